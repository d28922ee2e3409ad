/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/config.h"

#include "base/log.h"
#include "lockspace/table.h"

#include <errno.h>

#define KEY(type, field, key, ...)                                                                 \
        {                                                                                          \
                .name = key, .kind = HF_CONF_KIND_##type,                                          \
                .offset = offsetof(struct hf_config, field), __VA_ARGS__                           \
        }

/* A client costs a descriptor and a slot; more than this no descriptor table here can hold. */
#define CLIENTS_LIMIT 100000

/*
 * A hard NFS mount asks its server again after a minute at first; who starts a VM waits
 * half of that and gets an error with a reason, before tools lose patience without one.
 */
#define FILESYSTEM_TIMEOUT 30

/* In the order of enum hf_on_lost, without its first. */
static const char *const on_lost_words[] = {"warn", "pause", "kill", NULL};

const struct hf_conf_key hf_config_keys[] = {
        KEY(UINT, max_clients, "max_clients", .min = 1, .max = CLIENTS_LIMIT, .def = 1024,
            .help = "connections served at once; one more is refused with an error"),
        KEY(UINT, admin_max_clients, "admin_max_clients", .min = 1, .max = CLIENTS_LIMIT,
            .def = 5000, .help = "the same for the admin socket"),
        KEY(UINT, filesystem_timeout, "filesystem_timeout", .min = 1, .max = 3600,
            .def = FILESYSTEM_TIMEOUT,
            .help = "seconds that a request waits for a filesystem that does not answer"),
        KEY(BOOL, holder_records, "holder_records", .def = true,
            .help = "write down for other hosts who holds a lock that they meet"),
        KEY(CHOICE, on_lost, "on_lost", .choices = on_lost_words, .def = HF_ON_LOST_PAUSE - 1,
            .help = "what becomes of a VM that loses a lock and said nothing of this itself"),
        KEY(INT, log_level, "log_level", .min = 1, .max = 4, .def = 3,
            .help = "1 debug, 2 information, 3 warnings, 4 errors"),
        KEY(STRING, log_filters, "log_filters",
            .help = "levels for single modules: \"1:daemon.session 3:daemon\""),
        KEY(STRING, log_outputs, "log_outputs",
            .help = "where to log: \"LEVEL:stderr\", \"LEVEL:syslog:NAME\", "
                    "\"LEVEL:file:PATH\", \"LEVEL:journald\""),
        KEY(STRING, unix_sock_group, "unix_sock_group", .help = "group of the read-only socket"),
        KEY(STRING, unix_sock_ro_perms, "unix_sock_ro_perms", .def_text = "0700",
            .help = "permissions of the read-only socket, in octal"),
};
const size_t hf_config_keys_n = HF_ARRAY_LEN(hf_config_keys);

/* What is in a text is for its user to understand; where it stands is known here. */
static int check_texts(const struct hf_conf *conf, struct hf_config *config, struct hf_error *err)
{
        const char *key = "unix_sock_ro_perms";
        int r = hf_conf_parse_mode(config->unix_sock_ro_perms, &config->sock_ro_mode, err);

        if (r >= 0) {
                key = "log_filters";
                r = hf_log_check_filters(config->log_filters, err);
        }
        if (r >= 0) {
                key = "log_outputs";
                r = hf_log_check_outputs(config->log_outputs, err);
        }
        if (r < 0)
                hf_conf_blame(conf, key, err);
        return r;
}

/* The first of the default files that exists, else an empty configuration. */
static int load_default(const char *const *defaults, struct hf_conf **ret, struct hf_error *err)
{
        for (size_t i = 0;; i++) {
                int r = hf_conf_load(defaults[i], false, ret, err);

                if (r != 0 || !defaults[i + 1])
                        return r;
                hf_conf_freep(ret);
        }
}

int hf_config_load(const char *path, const char *const *defaults, hf_conf_notice_fn notice,
                   void *ctx, struct hf_config *ret, struct hf_error *err)
{
        hf_cleanup_conf struct hf_conf *conf = NULL;
        struct hf_config config = {0};
        int r;

        r = path ? hf_conf_load(path, true, &conf, err) : load_default(defaults, &conf, err);
        if (r < 0)
                return r;
        r = hf_conf_apply(conf, hf_config_keys, hf_config_keys_n, &config, notice, ctx, err);
        if (r < 0)
                return r;
        config.on_lost++;
        r = check_texts(conf, &config, err);
        if (r < 0) {
                hf_config_clear(&config);
                return r;
        }
        *ret = config;
        return 0;
}

void hf_config_clear(struct hf_config *config)
{
        hf_conf_clear(hf_config_keys, hf_config_keys_n, config);
}
