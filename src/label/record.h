/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The record of a label: what one image was labelled with before its VMs came, what they
 * wanted it to be, and which VMs these are.
 *
 * A label is text in all of this room: the owner "64055:64055" or a security context. Its
 * kind (kind.h) alone understands it.
 *
 * A record is text as well, so that an administrator can read it where it is kept. All lines are
 * there in this order, each value without a space: what might have one has it as %20.
 *
 *     holdfast-label 1 KIND
 *     place attribute | table       where the record is that counts
 *     boot ID                       of the host, when this was written
 *     file INODE BIRTH HANDLE DEVICE    which file it is about, see file.h
 *     path PATH                     of the file, when it was labelled; "-" in an attribute
 *     original LABEL
 *     wanted LABEL
 *     user MACHINE BOOT UUID PID START HOST NAME     any number of these
 *     sum SHA-256                   of all before, its first half
 *
 * What does not read exactly so is damaged: it is never half believed.
 */

#include "label/file.h"

#include "base/error.h"

#include <limits.h>
#include <sys/types.h>

/* A context with many categories; owners are far shorter. */
#define HF_LABEL_TEXT_MAX 1024

/* "dac", "selinux", with a NUL. */
#define HF_LABEL_KIND_MAX 16

#define HF_LABEL_HOST_MAX 65
#define HF_LABEL_NAME_MAX 81

/* One image for all VMs of a host: some times what the largest hosts run. */
#define HF_LABEL_USERS_MAX 4096

/* All users with their longest names, and the longest path; with each byte of these as %XX. */
#define HF_LABEL_RECORD_MAX (HF_LABEL_USERS_MAX * 640 + 3 * PATH_MAX + 6 * HF_LABEL_TEXT_MAX + 1024)

enum hf_label_place {
        HF_LABEL_ATTRIBUTE = 0, /* in extended attributes of the file itself */
        HF_LABEL_TABLE = 1,     /* in a file of the state directory */
};

/* A VM that uses an image, as the host knows it that it runs on. */
struct hf_label_user {
        uint8_t machine[16], boot[16], uuid[16];
        pid_t pid;
        uint64_t start; /* of the process, see base/process.h */
        char host[HF_LABEL_HOST_MAX];
        char name[HF_LABEL_NAME_MAX];
};

struct hf_label_record {
        char kind[HF_LABEL_KIND_MAX];
        enum hf_label_place place;
        uint8_t boot[16];
        struct hf_label_file file;
        char path[PATH_MAX];
        char original[HF_LABEL_TEXT_MAX];
        char wanted[HF_LABEL_TEXT_MAX];
        struct hf_label_user *users;
        size_t n_users;
};

/* Frees what the record holds and sets it to zero. */
void hf_label_record_clear(struct hf_label_record *record);

#define hf_cleanup_label_record __attribute__((cleanup(hf_label_record_clear)))

/* Puts a copy of the user at the end. -E2BIG beyond HF_LABEL_USERS_MAX, -ENOMEM. */
int hf_label_record_join(struct hf_label_record *record, const struct hf_label_user *user);

/* Takes the user at that place out; the others keep their order. */
void hf_label_record_strike(struct hf_label_record *record, size_t place);

/* Whether both are the same VM in the same process. */
bool hf_label_user_same(const struct hf_label_user *a, const struct hf_label_user *b);

/* Copies as much of text as fits, in whole characters of UTF-8; an empty text becomes "?". */
void hf_label_set_text(char *field, size_t size, const char *text);

/* Makes the text; *ret is freed with free(), and *ret_len does not count the NUL behind it. */
int hf_label_record_encode(const struct hf_label_record *record, char **ret, size_t *ret_len);

/*
 * Reads it, from anybody. -EBADMSG: it is none, or damaged, or of a version that is not known.
 * -ENOMEM.
 */
int hf_label_record_decode(const char *text, size_t len, struct hf_label_record *ret);
