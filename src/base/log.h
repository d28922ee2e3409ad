/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The log of a program. Libraries do not log: they return errors.
 *
 * Levels, filters and outputs are written as in libvirt's configuration:
 *
 *   log_level    1 debug, 2 info, 3 warning, 4 error
 *   log_filters  words LEVEL:MATCH. The first whose MATCH is found in the
 *                module's name (a glob pattern, anywhere in it) replaces
 *                log_level for that module. A "+" before MATCH, which asks
 *                libvirt for stack traces, has no effect.
 *   log_outputs  words LEVEL:stderr, LEVEL:syslog:NAME, LEVEL:file:PATH,
 *                LEVEL:journald. Each takes what has at least its level.
 *
 * Without outputs there is one: the journal if the journal is where stderr
 * goes ($JOURNAL_STREAM), else stderr. On stderr and in files a message is
 *
 *   YYYY-MM-DD HH:MM:SS.mmm+0000: PID: LEVEL : MODULE : TEXT
 *
 * A message never stops the program. Journal, syslog and stderr are given a
 * message only if they take it at once; what they do not take is lost, and
 * how much that was is told with the next message that gets through.
 *
 * One process, one thread: the state is global.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum hf_log_level {
        HF_LOG_DEBUG = 1,
        HF_LOG_INFO = 2,
        HF_LOG_WARNING = 3,
        HF_LOG_ERROR = 4,
};

/* Longer text is cut; the longest error text fits with its prefix. */
#define HF_LOG_TEXT_MAX 2048

/*
 * Names the program (for the journal) and resets level (HF_LOG_WARNING),
 * filters and outputs to those of a program without configuration. program
 * must stay valid. Logging works without this call too.
 */
void hf_log_init(const char *program);

/*
 * Closes what the outputs have open. Until outputs are set again, the next message
 * opens those of a program without configuration.
 */
void hf_log_close_outputs(void);

/* Closes what the outputs have open and goes back to the state before hf_log_init. */
void hf_log_close(void);

/*
 * Each may be called at any time. On -EINVAL (*err says which word and why),
 * -ENOMEM or what opening an output fails with, all stays as it was. Empty
 * text or NULL: no filters, or the default output.
 */
int hf_log_set_level(int level, struct hf_error *err);
int hf_log_set_filters(const char *text, struct hf_error *err);
int hf_log_set_outputs(const char *text, struct hf_error *err);

/* Whether the text could be set, as far as it can be told without opening anything. */
int hf_log_check_filters(const char *text, struct hf_error *err);
int hf_log_check_outputs(const char *text, struct hf_error *err);

/* What is in force, in the form in which it is set; valid until the next change. */
int hf_log_level(void);
const char *hf_log_filters(void);
const char *hf_log_outputs(void);

/* Whether stderr leads to the journal, so that one of the two will do as an output. */
bool hf_log_stderr_is_journal(void);

/* Whether a message would go anywhere: before costly preparations. */
bool hf_log_wants(enum hf_log_level level, const char *module);

/*
 * Logs one message, one line: control characters in it are replaced. errno is
 * as before. module is a short name such as "session".
 */
void hf_log(enum hf_log_level level, const char *module, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* What the journal keeps beside a message, to be searched for. */
struct hf_log_field {
        const char *name;  /* as the journal wants it: A to Z, 0 to 9 and _ */
        const char *value; /* it ends where a line ends; "": the field is left out */
};

/* Most of them, which is what an audit of a reservation has; more are left out. */
#define HF_LOG_FIELDS_MAX 16

/*
 * The same for a text as it is, with fields and a MESSAGE_ID for the journal; all other
 * outputs get the text alone.
 */
void hf_log_fields(enum hf_log_level level, const char *module, const char *id,
                   const struct hf_log_field *fields, size_t n, const char *text);

/* What a daemon's configuration and options say of the log. */
struct hf_log_settings {
        const char *program;
        int level;
        const char *filters, *outputs;
        bool verbose;    /* information at least */
        bool background; /* without outputs of its own the system's log is one */
};

/* Logs like that. On failure some of it may be in force: set the former settings again. */
int hf_log_apply(const struct hf_log_settings *settings, struct hf_error *err);

/* Whether it could be; nothing of it stays open. */
int hf_log_check(const struct hf_log_settings *settings, struct hf_error *err);
