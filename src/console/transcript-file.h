/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The files of one transcript. Whatever call fails, or is the last one before a SIGKILL, opening
 * them again finds out where they go on; so after each failure they are closed, and the next write
 * opens them.
 */

#include "console/transcript-times.h"
#include "console/transcript.h"

struct hf_transcript_file {
        const struct hf_transcript_settings *settings;
        char name[HF_TRANSCRIPT_NAME_MAX]; /* "VM/DEVICE" */
        char path[PATH_MAX];               /* of the log */
        const char *base;                  /* DEVICE, in name */
        int dir_fd, log_fd, times_fd;      /* -1: closed */
        uint64_t run;
        uint64_t position; /* up to here it is written; as the files say, once they were open */
        bool known;        /* they were, for this run */
        uint64_t size, times_size;
        uint64_t origin_at; /* where in .times the last origin stands */
        uint64_t marked;    /* USEC of the last mark; 0: none */
        bool after_text;    /* the log does not end with a newline */
        uint64_t looked;    /* when it was last made sure that the files are the ones in place */
};

/* -EINVAL: the name is not "VM/DEVICE"; -ENAMETOOLONG. */
int hf_transcript_file_init(struct hf_transcript_file *file, const char *name, uint64_t run,
                            const struct hf_transcript_settings *settings);

/*
 * Opens and mends them. head: positions beyond it are none of this run's. -EBUSY: another process
 * writes them; or what it failed with.
 */
int hf_transcript_file_open(struct hf_transcript_file *file, uint64_t head);

/* Writes the bytes from file->position on, which says how far it came. */
int hf_transcript_file_write(struct hf_transcript_file *file, const uint8_t *bytes, size_t len,
                             uint64_t usec);

/* Notes that count bytes from file->position on are missing. */
int hf_transcript_file_gap(struct hf_transcript_file *file, uint64_t count, uint64_t usec);

void hf_transcript_file_close(struct hf_transcript_file *file);
