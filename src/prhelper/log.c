/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/log.h"

#include "prhelper/audit.h"

#include "base/cleanup.h"
#include "base/log.h"

/* Where the journal takes messages. */
#define JOURNAL "/run/systemd/journal/socket"

static int level_of(const struct hf_pr_arguments *arguments, const struct hf_pr_settings *settings)
{
        int level = arguments->quiet ? HF_LOG_ERROR : settings->log_level;

        if (arguments->trace || arguments->verbose > 1)
                return HF_LOG_DEBUG;
        return arguments->verbose && level > HF_LOG_INFO ? HF_LOG_INFO : level;
}

/* A log of its own takes what the levels let through; stderr what a person asked for. */
static int default_outputs(int level, bool background, struct hf_error *err)
{
        char text[64];

        if (access(JOURNAL, F_OK) < 0)
                (void)snprintf(text, sizeof(text),
                               background ? "1:syslog:holdfast-pr-helper" : "%d:stderr", level);
        else if (background || hf_log_stderr_is_journal())
                (void)snprintf(text, sizeof(text), "1:journald");
        else
                (void)snprintf(text, sizeof(text), "1:journald %d:stderr", level);
        return hf_log_set_outputs(text, err);
}

/* The audit is let through behind the filters of the file, of which the first that fits decides. */
static int set_filters(const struct hf_pr_settings *settings, struct hf_error *err)
{
        hf_cleanup_free char *filters = NULL;

        if (asprintf(&filters, "%s %d:" HF_PR_AUDIT_MODULE,
                     settings->log_filters ? settings->log_filters : "", HF_LOG_INFO) < 0) {
                filters = NULL;
                return hf_error_sys(err, ENOMEM, "cannot set up the log");
        }
        return hf_log_set_filters(filters, err);
}

int hf_pr_log_apply(const struct hf_pr_arguments *arguments, const struct hf_pr_settings *settings,
                    struct hf_error *err)
{
        int level = level_of(arguments, settings);
        int r = set_filters(settings, err);

        if (r >= 0)
                r = hf_log_set_level(level, err);
        if (r >= 0)
                r = settings->log_outputs ? hf_log_set_outputs(settings->log_outputs, err)
                                          : default_outputs(level, arguments->daemon, err);
        return r;
}
