/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between the parts of note alone. */

#include "driver/sanlock/note.h"

/* A name of ours, PATH_MAX twice and their signs; each byte of a string may become three. */
#define HF_SANLOCK_NOTE_SIZE_MAX (64 * 1024)

/*
 * What lies beside it: a state of as many leases as one may have, each with a path of some hundred
 * bytes. More is not written either: it could not be read when the VM is to go on.
 */
#define HF_SANLOCK_NOTE_STATE_MAX (4 * 1024 * 1024)

/* Allocated: RUN_DIR/sanlock. NULL: no memory. */
char *hf_sanlock_note_dir(const struct hf_paths *paths);

/* The pid that a file of that directory is about, in its name; 0: it is none of ours. */
pid_t hf_sanlock_note_pid_of(const char *name, uint64_t *ret_start);

/* Writes the file at path (mode 0600): by another name first, so that none is ever half there. */
int hf_sanlock_note_write_file(const char *path, const char *text, struct hf_error *err);

/*
 * Reads a file of ours of at most that many bytes whole, with a NUL behind it, if it is to be
 * believed. *ret is freed with free().
 */
int hf_sanlock_note_read_file(const char *path, size_t most, char **ret, size_t *ret_len,
                              uid_t *ret_owner, struct hf_error *err);

/* The note that the file at path holds, without its owner. Errors as hf_sanlock_note_read. */
int hf_sanlock_note_parse(const char *text, size_t len, const char *path,
                          struct hf_sanlock_note *ret, struct hf_error *err);
