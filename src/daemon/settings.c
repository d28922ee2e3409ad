/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The configuration, and the log as it says. */
#include "base/log.h"
#include "daemon/area.h"
#include "daemon/daemon.h"

#include <unistd.h>

#define MODULE "daemon.settings"

static void notice(void *ctx, const char *text)
{
        (void)ctx;
        hf_log(HF_LOG_WARNING, MODULE, "%s; ignored", text);
}

int daemon_load_config(const struct daemon *d, struct hf_config *ret, struct hf_error *err)
{
        const char *defaults[] = {d->paths.daemon_config, d->paths.virtlockd_config, NULL};

        return hf_config_load(d->arguments.config, defaults, notice, NULL, ret, err);
}

static int set_log(const struct daemon *d, const struct hf_config *config, struct hf_error *err)
{
        int level = config->log_level;
        int r;

        if (d->arguments.verbose && level > HF_LOG_INFO)
                level = HF_LOG_INFO;
        r = hf_log_set_level(level, err);
        if (r >= 0)
                r = hf_log_set_filters(config->log_filters, err);
        if (r >= 0)
                r = hf_log_set_outputs(config->log_outputs, err);
        return r;
}

int daemon_check_log(const struct daemon *d, struct hf_error *err)
{
        int r = set_log(d, &d->config, err);

        hf_log_init("holdfastd");
        return r;
}

/* A daemon without a terminal and without outputs of its own goes to the system's log. */
static void log_to_system(struct daemon *d)
{
        if (d->arguments.daemon && !d->config.log_outputs)
                (void)hf_log_set_outputs(access("/run/systemd/journal/socket", F_OK) == 0
                                                 ? "1:journald"
                                                 : "1:syslog:holdfastd",
                                         NULL);
}

int daemon_apply_log(struct daemon *d, struct hf_error *err)
{
        int r = set_log(d, &d->config, err);

        log_to_system(d);
        return r;
}

/* Connections have their slots from the start of the supervisor. */
static void limit_clients(const struct daemon *d, struct hf_config *config)
{
        if (!d->area || hf_area_size(config) <= hf_keeper_area_size(d->keeper))
                return;
        hf_log(HF_LOG_WARNING, MODULE, "a higher limit of clients needs an upgrade (SIGUSR1)");
        config->max_clients = d->config.max_clients;
        config->admin_max_clients = d->config.admin_max_clients;
}

int daemon_reload(struct daemon *d, struct hf_error *err)
{
        struct hf_config config;
        int r = daemon_load_config(d, &config, err);

        if (r < 0)
                return r;
        r = set_log(d, &config, err);
        if (r < 0) {
                hf_config_clear(&config);
                (void)set_log(d, &d->config, NULL);
        } else {
                limit_clients(d, &config);
                hf_config_clear(&d->config);
                d->config = config;
        }
        log_to_system(d);
        return r;
}
