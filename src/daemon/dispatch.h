/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * From a frame to a procedure.
 *
 * A program is a table of procedures; a procedure says what its arguments are
 * and what must hold before it is called. The checks are made here, once and
 * in the protocol's order: program, status, procedure, payload, flags,
 * restricted, registered.
 */

#include "daemon/session.h"

/* What a procedure returns when it did not fail. */
enum hf_outcome {
        HF_DONE = 0,     /* success without a body: dispatch answers */
        HF_ANSWERED = 1, /* the procedure has answered */
        HF_PENDING = 2,  /* a step is under way; its completion answers and resumes */
};

enum hf_guard {
        HF_GUARD_UNRESTRICTED = 1U << 0, /* refused on a restricted connection */
        HF_GUARD_REGISTERED = 1U << 1,   /* refused before register */
        HF_GUARD_READ_ONLY_OK = 1U << 2, /* answered on the read-only socket too */
};

struct hf_procedure {
        int number;
        const char *name;
        xdrproc_t decode; /* NULL: no arguments */
        size_t args_size;
        bool takes_args;     /* what is in them is the call's to free, unless it fails */
        ptrdiff_t flags_at;  /* offset of the flags word in the arguments, or -1 */
        unsigned int flags;  /* those it knows */
        unsigned int guards; /* enum hf_guard */
        /* Returns enum hf_outcome or a negative errno with *err filled in. */
        int (*call)(struct hf_session *session, const void *args, struct hf_error *err);
};

struct hf_program {
        unsigned int number, version;
        enum hf_service_kind kind; /* the sockets that serve it */
        int domain;                /* enum hf_error_domain: of what is wrong with a call's flags */
        const struct hf_procedure *procedures;
        size_t n;
};

/* Largest argument struct of any procedure; they are decoded on the stack. */
#define HF_ARGS_MAX 256

/* Serves session->call with its payload: leaves an answer, a step under way, or nothing to say. */
void hf_dispatch(struct hf_session *session, const uint8_t *payload, size_t len);

extern const struct hf_program hf_lock_program;
extern const struct hf_program hf_holdfast_program;
extern const struct hf_program hf_admin_program;
