/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The configuration, and the log as it says. */
#include "base/log.h"
#include "daemon/area.h"
#include "daemon/daemon.h"

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

static struct hf_log_settings log_of(const struct daemon *d, const struct hf_config *config)
{
        return (struct hf_log_settings){.program = "holdfastd",
                                        .level = config->log_level,
                                        .filters = config->log_filters,
                                        .outputs = config->log_outputs,
                                        .verbose = d->arguments.verbose,
                                        .background = d->arguments.daemon};
}

int daemon_check_log(const struct daemon *d, struct hf_error *err)
{
        struct hf_log_settings settings = log_of(d, &d->config);

        return hf_log_check(&settings, err);
}

int daemon_apply_log(struct daemon *d, struct hf_error *err)
{
        struct hf_log_settings settings = log_of(d, &d->config);

        return hf_log_apply(&settings, err);
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
        struct hf_log_settings settings;
        int r = daemon_load_config(d, &config, err);

        if (r < 0)
                return r;
        settings = log_of(d, &config);
        r = hf_log_apply(&settings, err);
        if (r < 0) {
                hf_config_clear(&config);
                (void)daemon_apply_log(d, NULL);
        } else {
                limit_clients(d, &config);
                hf_config_clear(&d->config);
                d->config = config;
        }
        return r;
}
