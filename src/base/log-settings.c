/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The log as a daemon's configuration has it. */
#include "base/log.h"

#include <stdio.h>
#include <unistd.h>

static int set(const struct hf_log_settings *settings, struct hf_error *err)
{
        int level = settings->level;
        int r;

        if (settings->verbose && level > HF_LOG_INFO)
                level = HF_LOG_INFO;
        r = hf_log_set_level(level, err);
        if (r >= 0)
                r = hf_log_set_filters(settings->filters, err);
        if (r >= 0)
                r = hf_log_set_outputs(settings->outputs, err);
        return r;
}

int hf_log_check(const struct hf_log_settings *settings, struct hf_error *err)
{
        int r = set(settings, err);

        hf_log_init(settings->program);
        return r;
}

int hf_log_apply(const struct hf_log_settings *settings, struct hf_error *err)
{
        char text[128] = "1:journald";
        int r = set(settings, err);

        if (!settings->background || settings->outputs)
                return r;
        if (access("/run/systemd/journal/socket", F_OK) < 0)
                (void)snprintf(text, sizeof(text), "1:syslog:%s", settings->program);
        (void)hf_log_set_outputs(text, NULL);
        return r;
}
