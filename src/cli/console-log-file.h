/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The files of one console's log, read while the daemon may be writing and rotating them: BASE.log
 * and its backups BASE.log.1, ..., each with its .times, of which the lines "OFFSET USEC" count
 * here. One that is missing, torn or nonsense costs the times and nothing else.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct hf_log_file {
        int fd;
        dev_t dev;
        ino_t ino;
        uint64_t size; /* as it was when it was opened */
        FILE *times;   /* NULL: none */
        /* The next mark that holds further on, and the one that holds here. */
        uint64_t next_offset, next_usec, usec;
};

struct hf_log_files {
        struct hf_log_file *files; /* the newest first */
        size_t n;
};

/* -ENOENT: there is none; or what the first one, or memory, failed with. */
int hf_log_files_open(int dir_fd, const char *base, struct hf_log_files *ret);
void hf_log_files_clear(struct hf_log_files *files);

/* Where the last n lines of all of them begin: in which file, and where there. */
int hf_log_files_lines(const struct hf_log_files *files, uint64_t n, size_t *ret_file,
                       uint64_t *ret_offset);

/* When the byte at an offset came; 0: not known. Offsets must not go back. */
uint64_t hf_log_file_time(struct hf_log_file *file, uint64_t offset);
