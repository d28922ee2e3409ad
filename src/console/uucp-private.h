/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One lock file of a terminal: what it is called, what it says, and how it is removed.
 */

#include "console/uucp.h"

#include <sys/stat.h>

/* All that are looked at: ours first. */
#define HF_UUCP_LOOKED_MAX 8

struct hf_uucp_all {
        size_t n, n_made; /* the first n_made are the ones that are made */
        char names[HF_UUCP_LOOKED_MAX][NAME_MAX + 1];
};

/* Without duplicates; a name that is too long for a file is left out. */
void hf_uucp_all_names(const char *path, dev_t rdev, struct hf_uucp_all *ret);

enum hf_uucp_state {
        HF_UUCP_FREE,  /* there is none */
        HF_UUCP_DEAD,  /* its process is, or it has none and is old: may be removed */
        HF_UUCP_TAKEN, /* in use */
};

/* A file as it was seen. */
struct hf_uucp_seen {
        enum hf_uucp_state state;
        pid_t pid; /* 0: none in it */
        dev_t dev;
        ino_t ino;
};

/* Looks at one, without waiting for anything. take_from as hf_uucp_take's. */
void hf_uucp_look(int dir, const char *name, const pid_t *take_from, struct hf_uucp_seen *ret);

/*
 * Removes the file that was seen, and no other one that has its name now. 0, also if it is gone;
 * or what renaming failed with. To be called with the directory locked by all who do.
 */
int hf_uucp_remove(int dir, const char *name, const struct hf_uucp_seen *seen);

/* As hf_uucp_look, for files with that pid in them; for others the state says nothing. Whatever is
 * there, it takes no longer than to read it. */
void hf_uucp_look_for(int dir, const char *name, pid_t pid, struct hf_uucp_seen *ret);

/* Files under way to or from a name are called this, "new." or "old.", their process's pid, and a
 * number that nobody guesses: anybody may make a directory of a name that is known before. */
#define HF_UUCP_ASIDE     "LTMP."
#define HF_UUCP_ASIDE_MAX 64

/* kind: "new", "old". */
void hf_uucp_name_aside(const char *kind, char ret[HF_UUCP_ASIDE_MAX]);

/* Removes it if it is such a file, of a dead process, with another dead one's pid in it or none. */
void hf_uucp_remove_aside(int dir, const char *name);

/* The content for pid. */
void hf_uucp_format(pid_t pid, char content[HF_UUCP_CONTENT + 1]);
