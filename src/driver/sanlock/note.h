/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Notes of VMs: what the killpath program, `holdfast who` and `holdfast sanlock` have to know
 * of a VM whose leases are with sanlock, which keeps only its pid.
 *
 * A file RUN_DIR/sanlock/PID-START (mode 0600), in the format of our settings, written by the
 * process that becomes the VMM before it registers. Its path is all that the killpath program gets,
 * since sanlock crops what it passes on. When that program has paused a VM, the versions of its
 * leases lie beside it, in PID-START.state. Notes of processes that are gone are removed by whoever
 * finds them.
 *
 * Strings are written as in an address: %XX for a byte that could end one, or a line.
 *
 * A note is believed only where nobody but its owner could have written it, or could put
 * something else in its place: it and all directories above it are his or root's, closed to the
 * writing of others, and no links. Whether its owner may say anything of that process is for the
 * reader to judge (see owner).
 */

#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* sanlock keeps no more of the path of a killpath program, and of its arguments. */
#define HF_SANLOCK_KILLPATH_MAX 126

enum hf_sanlock_action {
        HF_SANLOCK_ACTION_NONE, /* sanlock's own: SIGTERM, later SIGKILL */
        HF_SANLOCK_ACTION_POWEROFF,
        HF_SANLOCK_ACTION_PAUSE,
};

struct hf_sanlock_note {
        char *path; /* of the note itself */
        char *name;
        char *uuid; /* in its usual form */
        char *via;
        char *monitor; /* absolute path of a QMP socket, or NULL */
        char *run_dir; /* of the sanlock daemon: SANLOCK_RUN_DIR, or NULL */
        pid_t pid;
        uint64_t start; /* of the process, clock ticks since boot */
        int action;     /* enum hf_sanlock_action */
        uid_t owner;    /* of the file: who says all this; set where it is read */
};

#define hf_cleanup_sanlock_note hf_cleanup(hf_sanlock_note_clear)

/*
 * Writes a note about this process; note->pid, start and path (freed by hf_sanlock_note_clear) are
 * set by it. One that is there is replaced. Removes notes of processes that are gone.
 */
int hf_sanlock_note_write(const struct hf_paths *paths, struct hf_sanlock_note *note,
                          struct hf_error *err);

/*
 * -ENOENT: there is none. -EPERM: not to be believed, in words. -EINVAL: no note, or another
 * process's than its name says. It may be of a process that is gone.
 */
int hf_sanlock_note_read(const char *path, struct hf_sanlock_note *ret, struct hf_error *err);
void hf_sanlock_note_clear(struct hf_sanlock_note *note);

/* The note of a pid, if that process lives and has one. Returns 1 or 0. */
int hf_sanlock_note_find(const struct hf_paths *paths, pid_t pid, struct hf_sanlock_note *ret);

/*
 * The note of the living process that word names: a pid, or the name or uuid of a VM. -ENOENT with
 * words; -ENOTUNIQ: several have that name.
 */
int hf_sanlock_note_named(const struct hf_paths *paths, const char *word,
                          struct hf_sanlock_note *ret, struct hf_error *err);

/* The path of the note's other file, freed with free(); NULL: no memory. */
char *hf_sanlock_note_state_path(const struct hf_sanlock_note *note);

/* Whether a living process has one. In a few microseconds, for it is asked at each acquire. */
bool hf_sanlock_note_has_state(const struct hf_paths *paths, pid_t pid);

/* Writes it, whole or not at all; and reads it: -ENOENT where there is none. */
int hf_sanlock_note_state_write(const struct hf_sanlock_note *note, const char *state,
                                struct hf_error *err);
int hf_sanlock_note_state_read(const struct hf_sanlock_note *note, char **ret,
                               struct hf_error *err);

/*
 * Says what becomes of the process registered by sock, to sanlock: which program, with the note's
 * path. -ENAMETOOLONG with words when one of the two does not fit, and -EPERM when the program
 * would not believe the note.
 */
int hf_sanlock_note_arm(int sock, const struct hf_sanlock_note *note, struct hf_error *err);
