/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of log share: a message, and an output with its table of operations. */

#include "base/log.h"

#include <sys/types.h>
#include <time.h>

struct hf_log_message {
        enum hf_log_level level;
        const char *program;
        const char *module;
        const char *text;                  /* without control characters */
        const char *id;                    /* the journal's MESSAGE_ID, or NULL */
        const struct hf_log_field *fields; /* for the journal */
        size_t n_fields;
        struct timespec time;
        pid_t pid;
};

struct hf_log_output;

struct hf_log_output_ops {
        const char *name;     /* in log_outputs */
        const char *argument; /* what must follow the name, for messages; NULL: nothing */
        /* Opens output->fd. Returns 0 or -errno with *err. */
        int (*open)(struct hf_log_output *output, struct hf_error *err);
        /* Returns 0, or -errno when the message was not taken. Does not wait. */
        int (*write)(struct hf_log_output *output, const struct hf_log_message *message);
};

struct hf_log_output {
        const struct hf_log_output_ops *ops;
        enum hf_log_level level; /* lowest that it takes */
        char *argument;          /* syslog name or file path, or NULL */
        int fd;                  /* -1: none yet */
        bool borrowed;           /* fd is not ours to close */
        unsigned long lost;      /* messages since the last that was taken */
};

/* Looks an output kind up by its name (len bytes); NULL if there is none. */
const struct hf_log_output_ops *hf_log_find_output(const char *name, size_t len);

/* Where the journal and syslog listen; a test may have them elsewhere. */
struct hf_log_places {
        const char *journal;
        const char *syslog;
};

extern struct hf_log_places hf_log_places;

/* A filter: the first whose pattern matches a module decides. */
struct hf_log_filter {
        enum hf_log_level level;
        char *pattern; /* for fnmatch, "*MATCH*" */
};

/*
 * Parsers of log_filters and log_outputs. They open nothing; outputs come back
 * with fd -1. On success *ret is an array to be freed with the function below,
 * NULL if there are none.
 */
int hf_log_parse_filters(const char *text, struct hf_log_filter **ret, size_t *ret_n,
                         struct hf_error *err);
int hf_log_parse_outputs(const char *text, struct hf_log_output **ret, size_t *ret_n,
                         struct hf_error *err);
void hf_log_free_filters(struct hf_log_filter *filters, size_t n);
void hf_log_free_outputs(struct hf_log_output *outputs, size_t n);
