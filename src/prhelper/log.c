/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/log.h"

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

static int default_outputs(int level, bool background, struct hf_error *err)
{
        int audit = level < HF_LOG_INFO ? level : HF_LOG_INFO;
        char text[128];

        if (access(JOURNAL, F_OK) < 0)
                (void)snprintf(text, sizeof(text),
                               background ? "%d:syslog:holdfast-pr-helper" : "%d:stderr", level);
        else if (background || secure_getenv("JOURNAL_STREAM"))
                (void)snprintf(text, sizeof(text), "%d:journald", audit);
        else
                (void)snprintf(text, sizeof(text), "%d:journald %d:stderr", audit, level);
        return hf_log_set_outputs(text, err);
}

int hf_pr_log_apply(const struct hf_pr_arguments *arguments, const struct hf_pr_settings *settings,
                    struct hf_error *err)
{
        int level = level_of(arguments, settings);
        int r = hf_log_set_filters(settings->log_filters, err);

        if (r >= 0)
                r = settings->log_outputs ? hf_log_set_outputs(settings->log_outputs, err)
                                          : default_outputs(level, arguments->daemon, err);
        /* The outputs have the level; what reaches them is the audit at least. */
        if (r >= 0)
                r = hf_log_set_level(level < HF_LOG_INFO ? level : HF_LOG_INFO, err);
        return r;
}
