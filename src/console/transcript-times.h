/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The lines of a log's .times file: what is where in the log, and when it came. Decimal numbers,
 * a line each. Offsets are in the log.
 *
 *   origin OFFSET POSITION RUN                       from OFFSET on stand the bytes from POSITION
 *                                                    on of what a ring of that run has had
 *   missing OFFSET END POSITION RUN COUNT USEC       from OFFSET to END stands our own line, as
 *                                                    COUNT bytes are missing; then as origin
 *   OFFSET USEC                                      from OFFSET on it came at USEC or later
 *
 * The first line is an origin of offset 0, and another one comes once in a while, so that the last
 * pages are enough to know where a log goes on. What makes no sense is skipped: a line may be
 * torn, or somebody's editor was here. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Six numbers of twenty digits and a word. */
#define HF_TIMES_LINE_MAX 160

enum hf_times_kind {
        HF_TIMES_MARK,
        HF_TIMES_ORIGIN,
        HF_TIMES_MISSING,
};

struct hf_times_line {
        enum hf_times_kind kind;
        uint64_t offset;
        uint64_t end; /* of our own line; of others: offset */
        uint64_t position, run;
        uint64_t count;
        uint64_t usec;
};

/* Writes the line with its newline; returns its length. */
size_t hf_times_format(const struct hf_times_line *line, char ret[HF_TIMES_LINE_MAX]);

/* One line, without its newline. False: it is none of ours. */
bool hf_times_parse(const char *text, size_t len, struct hf_times_line *ret);

/*
 * The last origin or missing, and the last mark, of len bytes of such a file; begun: they begin in
 * the middle of a line, which is skipped. What stands behind the last newline does not count;
 * *ret_whole is where that is. Returns whether there was an origin or missing; ret_mark->usec
 * is 0 where there was no mark.
 */
bool hf_times_last(const char *text, size_t len, bool begun, struct hf_times_line *ret_origin,
                   struct hf_times_line *ret_mark, size_t *ret_whole);

/*
 * Our own line about COUNT missing bytes, found missing at that time; after_text: it follows
 * something that is no whole line. Always the same for the same. Returns its length.
 */
size_t hf_times_bracket(uint64_t count, uint64_t usec, bool after_text,
                        char ret[HF_TIMES_LINE_MAX]);
