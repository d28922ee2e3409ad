/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Errors: what went wrong, for a program and for a person.
 *
 * A function that can fail returns a negative errno and, where its last
 * parameter is a struct hf_error, fills that in once, at the place that knows
 * most. The caller owns the struct; NULL means "not interested". On success
 * the struct is not touched.
 *
 * `code` and `domain` are those of libvirt's error structure, because that is
 * what travels on the wire (src/rpc maps them one to one). The text names who,
 * what and which, and is complete without any prefix.
 */

#include <stdarg.h>

/* Long enough for two paths of ordinary length and a holder's description. */
#define HF_ERROR_TEXT_MAX 1024

/* libvirt's error numbers (include/libvirt/virterror.h, stable since 2007). */
enum hf_error_code {
        HF_ERR_OK = 0,
        HF_ERR_INTERNAL = 1,
        HF_ERR_INVALID_ARG = 8,
        HF_ERR_OPERATION_DENIED = 29,
        HF_ERR_SYSTEM = 38,
        HF_ERR_RPC = 39,
        HF_ERR_OPERATION_INVALID = 55,
        HF_ERR_CONFIG_UNSUPPORTED = 67,
        HF_ERR_RESOURCE_BUSY = 87,
        HF_ERR_NO_SERVER = 95,
        HF_ERR_NO_CLIENT = 96,
};

/* libvirt's error domains (same source). */
enum hf_error_domain {
        HF_FROM_NONE = 0,
        HF_FROM_RPC = 7,
        HF_FROM_LOCKING = 42,
        HF_FROM_LOCKSPACE = 51,
        HF_FROM_ADMIN = 62,
};

struct hf_error {
        int code;   /* enum hf_error_code */
        int domain; /* enum hf_error_domain */
        int sys;    /* positive errno where code is HF_ERR_SYSTEM, else 0 */
        char text[HF_ERROR_TEXT_MAX];
};

/*
 * Fills *err (if not NULL) and returns -number, so that a failing function can
 * end in `return hf_error_set(err, EBUSY, ...)`. number is a positive errno.
 * Text that is too long is cut at a character boundary of UTF-8.
 */
int hf_error_set(struct hf_error *err, int number, int code, int domain, const char *format, ...)
        __attribute__((format(printf, 5, 6)));

/*
 * As hf_error_set for a failed system call: code is HF_ERR_SYSTEM, the domain
 * HF_FROM_LOCKSPACE, and ": " with the words for number are appended.
 */
int hf_error_sys(struct hf_error *err, int number, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Puts "<prefix>: " before the text that is already in *err (if not NULL). */
void hf_error_prefix(struct hf_error *err, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
