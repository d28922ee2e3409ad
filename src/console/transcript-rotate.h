/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A log and its backups, each with its .times, in a directory.
 *
 * A log's next file exists before the last one is moved, as far as it says where the log goes on:
 * BASE.log.times.new. Then backups are moved up, the oldest one first, each before its .times; so
 * of one who was killed there is at most one log without a file and a .times beside no log,
 * which belongs one further up.
 */

#include <limits.h>
#include <stdint.h>

enum hf_rotate_kind {
        HF_ROTATE_LOG,
        HF_ROTATE_TIMES,
        HF_ROTATE_NEXT, /* .times of the next log */
};

/* The name of the i-th backup, 0: the log itself. */
void hf_rotate_name(const char *base, enum hf_rotate_kind kind, uint32_t i, char ret[NAME_MAX + 1]);

/* Whether that name is there: 1, 0 or a negative errno. */
int hf_rotate_exists(int dir_fd, const char *base, enum hf_rotate_kind kind, uint32_t i);

/* Moves all up; the oldest goes. Negative errno. */
int hf_rotate_shift(int dir_fd, const char *base, uint32_t max_backups);

/* Does what one who was killed had yet to do to leave each log with its .times. */
int hf_rotate_mend(int dir_fd, const char *base, uint32_t max_backups);
