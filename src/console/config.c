/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/config.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

#define KEY(type, field, key, ...)                                                                 \
        {                                                                                          \
                .name = key, .kind = HF_CONF_KIND_##type,                                          \
                .offset = offsetof(struct hf_con_config, field), __VA_ARGS__                       \
        }

/* A client costs two descriptors, a console six: more than this no table here can hold. */
#define CLIENTS_LIMIT  100000
#define CONSOLES_LIMIT 10000

/* What a pipe brings at once has to fit; and all of them together an address space. */
#define SCROLLBACK_MIN 64
#define SCROLLBACK_MAX 65536

const struct hf_conf_key hf_con_config_keys[] = {
        KEY(STRING, lock_files, "lock_files", .def_text = "auto",
            .help = "directory of terminals' lock files: \"auto\", \"off\" or a path"),
        KEY(STRING, log_directory, "log_directory",
            .help = "where what consoles print is kept: a path, or \"off\""),
        KEY(UINT, log_max_size, "log_max_size", .min = 0, .max = 1 << 30, .def = 2048,
            .help = "KiB of a console's log before it is rotated; 0: no limit"),
        KEY(UINT, log_max_backups, "log_max_backups", .min = 0, .max = 1000, .def = 3,
            .help = "rotated logs that are kept of a console"),
        KEY(UINT, scrollback, "scrollback", .min = SCROLLBACK_MIN, .max = SCROLLBACK_MAX,
            .def = 256, .help = "KiB of each console that are kept for newcomers"),
        KEY(UINT, max_consoles, "max_consoles", .min = 1, .max = CONSOLES_LIMIT, .def = 256,
            .help = "consoles held at once; one more is refused with an error"),
        KEY(UINT, max_clients, "max_clients", .min = 1, .max = CLIENTS_LIMIT, .def = 1024,
            .help = "connections served at once by each socket"),
        KEY(STRING, unix_sock_group, "unix_sock_group", .help = "group of the sockets"),
        KEY(STRING, unix_sock_rw_perms, "unix_sock_rw_perms", .def_text = "0700",
            .help = "permissions of the socket, in octal"),
        KEY(STRING, unix_sock_ro_perms, "unix_sock_ro_perms", .def_text = "0700",
            .help = "permissions of the read-only socket, in octal"),
        KEY(INT, log_level, "log_level", .min = 1, .max = 4, .def = 3,
            .help = "1 debug, 2 information, 3 warnings, 4 errors"),
        KEY(STRING, log_filters, "log_filters",
            .help = "levels for single modules: \"1:console.session 3:console\""),
        KEY(STRING, log_outputs, "log_outputs",
            .help = "where to log: \"LEVEL:stderr\", \"LEVEL:syslog:NAME\", "
                    "\"LEVEL:file:PATH\", \"LEVEL:journald\""),
};
const size_t hf_con_config_keys_n = HF_ARRAY_LEN(hf_con_config_keys);

static int check_place(const char *text, const char *word, struct hf_error *err)
{
        if (!text || *text == '/' || !strcmp(text, "off") || (word && !strcmp(text, word)))
                return 0;
        return hf_error_set(err, EINVAL, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                            "must be %s%s%s\"off\" or an absolute path, not \"%s\"",
                            word ? "\"" : "", word ? word : "", word ? "\", " : "", text);
}

/* What is in a text is for its user to understand; where it stands is known here. */
static int check_texts(const struct hf_conf *conf, struct hf_con_config *config,
                       struct hf_error *err)
{
        const char *key = "lock_files";
        int r = check_place(config->lock_files, "auto", err);

        if (r >= 0) {
                key = "log_directory";
                r = check_place(config->log_directory, NULL, err);
        }
        if (r >= 0) {
                key = "unix_sock_rw_perms";
                r = hf_conf_parse_mode(config->unix_sock_rw_perms, &config->rw_mode, err);
        }
        if (r >= 0) {
                key = "unix_sock_ro_perms";
                r = hf_conf_parse_mode(config->unix_sock_ro_perms, &config->ro_mode, err);
        }
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

int hf_con_config_load(const char *path, const char *default_path, hf_conf_notice_fn notice,
                       void *ctx, struct hf_con_config *ret, struct hf_error *err)
{
        hf_cleanup_conf struct hf_conf *conf = NULL;
        struct hf_con_config config = {0};
        int r;

        r = hf_conf_load(path ? path : default_path, path != NULL, &conf, err);
        if (r < 0)
                return r;
        r = hf_conf_apply(conf, hf_con_config_keys, hf_con_config_keys_n, &config, notice, ctx,
                          err);
        if (r < 0)
                return r;
        r = check_texts(conf, &config, err);
        if (r < 0) {
                hf_con_config_clear(&config);
                return r;
        }
        *ret = config;
        return 0;
}

void hf_con_config_clear(struct hf_con_config *config)
{
        hf_conf_clear(hf_con_config_keys, hf_con_config_keys_n, config);
}

const char *hf_con_config_lock_dir(const struct hf_con_config *config)
{
        if (!strcmp(config->lock_files, "auto"))
                return HF_LOCKFILEDIR;
        return strcmp(config->lock_files, "off") ? config->lock_files : "";
}
