/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/settings.h"

#include "prhelper/disk.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/strv.h"

#include <ctype.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#define KEY(type, field, key, ...)                                                                 \
        {                                                                                          \
                .name = key, .kind = HF_CONF_KIND_##type,                                          \
                .offset = offsetof(struct hf_pr_settings, field), __VA_ARGS__                      \
        }

/* Each connection is a process; more than this no host that runs VMs has to spare. */
#define CLIENTS_LIMIT 32768

/*
 * A VM has one connection for each of its helper objects, and all VMs of libvirt are one user's:
 * room for a full host, but not all of it for one user.
 */
#define CLIENTS      1024
#define USER_CLIENTS 768

/* QEMU sends a request at once; who takes longer is stopped, or means to occupy us. */
#define REQUEST_TIMEOUT 30

/* The names of units and hosts are names of files too, and "/" is put between some of them. */
#define NAME_CHARS "._-:+@"
#define NAME_LEN   200

static const char *const nexus_words[] = {"host", "vm", NULL};
static const char *const backend_names[] = {"sgio", "mpath", "nvme", "emulated", NULL};

static const struct hf_conf_key keys[] = {
        KEY(STRINGS, rules_text, "rules", .help = "who may do what; the first that fits decides"),
        KEY(STRINGS, emulate_text, "emulate",
            .help = "what has emulated reservations: \"PATH as NAME\""),
        KEY(PATH, database, "emulation_database", .help = "where they are kept: an sqlite file"),
        KEY(PATH, directory, "emulation_dir", .help = "or instead: a folder of files"),
        KEY(CHOICE, nexus, "nexus", .choices = nexus_words, .def = HF_PR_NEXUS_HOST,
            .help = "who is one initiator to emulated reservations"),
        KEY(STRING, host, "host_name", .help = "this host as an initiator"),
        KEY(STRINGS, backends, "backends", .help = "ways to a device that may be taken"),
        KEY(INT, max_clients, "max_clients", .min = 1, .max = CLIENTS_LIMIT, .def = CLIENTS,
            .help = "connections at once"),
        KEY(INT, max_user_clients, "max_user_clients", .min = 1, .max = CLIENTS_LIMIT,
            .def = USER_CLIENTS, .help = "of one user other than root"),
        KEY(INT, request_timeout, "request_timeout", .min = 0, .max = 3600, .def = REQUEST_TIMEOUT,
            .help = "seconds for a request to arrive, from its first byte to its last; 0: any"),
        KEY(STRING, socket_group, "socket_group", .help = "group of the socket"),
        KEY(OTHERS, socket_mode, "socket_mode", .help = "permissions of the socket, in octal"),
        KEY(INT, log_level, "log_level", .min = 1, .max = 4, .def = HF_LOG_WARNING,
            .help = "1 debug, 2 information, 3 warnings, 4 errors"),
        KEY(STRING, log_filters, "log_filters", .help = "levels for single modules"),
        KEY(STRING, log_outputs, "log_outputs", .help = "where to log"),
};

static int wrong(struct hf_error *err, const char *what, const char *word)
{
        return hf_error_set(err, EINVAL, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE, "%s: \"%s\"",
                            what, word);
}

static int no_memory(struct hf_error *err)
{
        return hf_error_sys(err, ENOMEM, "cannot keep the settings");
}

static bool is_name(const char *text)
{
        size_t len = strlen(text);

        if (len == 0 || len > NAME_LEN || text[0] == '.')
                return false;
        for (; *text; text++)
                if (!isalnum((unsigned char)*text) && !strchr(NAME_CHARS, *text))
                        return false;
        return true;
}

/* ---- what a text means ------------------------------------------------------------------ */

static int read_mode(const struct hf_conf *conf, struct hf_pr_settings *settings,
                     struct hf_error *err)
{
        const char *text;
        unsigned int mode;
        int r = hf_conf_get_string(conf, "socket_mode", &text, err);

        settings->socket_mode = -1;
        if (r <= 0)
                return r;
        r = hf_conf_parse_mode(text, &mode, err);
        if (r < 0)
                hf_conf_blame(conf, "socket_mode", err);
        else
                settings->socket_mode = (int)mode;
        return r;
}

static int read_rules(struct hf_pr_settings *settings, struct hf_error *err)
{
        return hf_pr_policy_parse(settings->rules_text, &settings->policy, err);
}

/* The last " as ", for a path may have one too and a name has not. */
static const char *find_as(const char *text)
{
        const char *found = NULL;

        for (const char *at = text; (at = strstr(at, " as ")); at++)
                found = at;
        return found;
}

/* As far as both are there: a device may come later. */
static bool is_one_thing(const char *a, const char *b)
{
        struct stat a_st, b_st;

        return !strcmp(a, b) ||
               (stat(a, &a_st) == 0 && stat(b, &b_st) == 0 && hf_pr_same_node(&a_st, &b_st));
}

/* Of two names the first would count, here; where they stand the other way round, the other. */
static int check_twins(const struct hf_pr_settings *settings, struct hf_error *err)
{
        const struct hf_pr_unit *last = &settings->units[settings->n_units - 1];

        for (const struct hf_pr_unit *unit = settings->units; unit < last; unit++)
                if (is_one_thing(unit->path, last->path))
                        return wrong(err, "one of the others is the same: it cannot be two units",
                                     last->path);
        return 0;
}

static int read_unit(struct hf_pr_settings *settings, const char *text, struct hf_error *err)
{
        struct hf_pr_unit *unit = &settings->units[settings->n_units];
        const char *as = find_as(text);
        struct stat st;

        if (!as || text[0] != '/')
                return wrong(err, "must be \"/PATH as NAME\"", text);
        if (!is_name(as + 4))
                return wrong(err, "a name has letters, digits and any of " NAME_CHARS, as + 4);
        for (size_t i = 0; i < settings->n_units; i++)
                if (!strcmp(settings->units[i].name, as + 4))
                        return wrong(err, "two of them would be one unit", as + 4);
        settings->n_units++;
        unit->path = strndup(text, (size_t)(as - text));
        unit->name = strdup(as + 4);
        if (!unit->path || !unit->name)
                return no_memory(err);
        unit->file = stat(unit->path, &st) == 0 && S_ISREG(st.st_mode);
        return check_twins(settings, err);
}

static int read_units(struct hf_pr_settings *settings, struct hf_error *err)
{
        size_t n = hf_strv_len(settings->emulate_text);
        int r = 0;

        if (n == 0)
                return 0;
        settings->units = calloc(n, sizeof(*settings->units));
        if (!settings->units)
                return no_memory(err);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = read_unit(settings, settings->emulate_text[i], err);
        if (r >= 0 && !settings->database == !settings->directory)
                r = hf_error_set(err, EINVAL, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                                 "one of emulation_database and emulation_dir has to say where the "
                                 "reservations are kept");
        return r;
}

static int check_host(struct hf_pr_settings *settings, struct hf_error *err)
{
        if (!settings->host || is_name(settings->host))
                return 0;
        return wrong(err, "a name has letters, digits and any of " NAME_CHARS, settings->host);
}

static int check_backends(struct hf_pr_settings *settings, struct hf_error *err)
{
        for (char **name = settings->backends; name && *name; name++) {
                size_t i = 0;

                while (backend_names[i] && strcmp(backend_names[i], *name))
                        i++;
                if (!backend_names[i])
                        return wrong(err, "the backends are sgio, mpath, nvme and emulated, not",
                                     *name);
        }
        return 0;
}

static int check_filters(struct hf_pr_settings *settings, struct hf_error *err)
{
        return hf_log_check_filters(settings->log_filters, err);
}

static int check_outputs(struct hf_pr_settings *settings, struct hf_error *err)
{
        return hf_log_check_outputs(settings->log_outputs, err);
}

/* What is in a text is for its reader to understand; where it stands is known here. */
static const struct meaning {
        const char *key;
        int (*read)(struct hf_pr_settings *settings, struct hf_error *err);
} meanings[] = {
        {"rules", read_rules},          {"emulate", read_units},
        {"host_name", check_host},      {"backends", check_backends},
        {"log_filters", check_filters}, {"log_outputs", check_outputs},
};

/* ---- the file --------------------------------------------------------------------------- */

/* An empty list would be taken for "not said", which means all of them. */
static int refuse_no_backends(const struct hf_conf *conf, struct hf_error *err)
{
        hf_cleanup_strv char **names = NULL;
        int r = hf_conf_get_strings(conf, "backends", &names, err);

        if (r <= 0 || names)
                return r;
        r = hf_error_set(err, EINVAL, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                         "a helper without any backend is of no use");
        hf_conf_blame(conf, "backends", err);
        return r;
}

static int understand(const struct hf_conf *conf, struct hf_pr_settings *settings,
                      struct hf_error *err)
{
        int r = refuse_no_backends(conf, err);

        if (r >= 0)
                r = read_mode(conf, settings, err);
        for (size_t i = 0; i < HF_ARRAY_LEN(meanings) && r >= 0; i++) {
                r = meanings[i].read(settings, err);
                if (r < 0)
                        hf_conf_blame(conf, meanings[i].key, err);
        }
        return r;
}

/* A rule below a misspelt key is one that somebody believes in: it is an error here. */
static void notice(void *ctx, const char *text)
{
        char *first = ctx;

        if (!*first)
                (void)snprintf(first, HF_ERROR_TEXT_MAX, "%s", text);
}

/* Reads the table's keys; *out is to be cleared in any case. */
static int apply(const struct hf_conf *conf, struct hf_pr_settings *out, struct hf_error *err)
{
        char unknown[HF_ERROR_TEXT_MAX] = "";
        int r = hf_conf_refuse_repeats(conf, err);

        if (r >= 0)
                r = hf_conf_apply(conf, keys, HF_ARRAY_LEN(keys), out, notice, unknown, err);
        if (r >= 0 && *unknown)
                r = hf_error_set(err, EINVAL, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE, "%s",
                                 unknown);
        return r;
}

int hf_pr_settings_load(const char *path, struct hf_pr_settings *ret, struct hf_error *err)
{
        const char *file = path ? path : HF_SYSCONFDIR "/holdfast/pr-policy.conf";
        hf_cleanup_conf struct hf_conf *conf = NULL;
        struct hf_pr_settings settings = {0};
        int r = hf_conf_load(file, path != NULL, &conf, err);

        if (r < 0)
                return r;
        r = apply(conf, &settings, err);
        if (r >= 0)
                r = understand(conf, &settings, err);
        if (r < 0) {
                hf_pr_settings_clear(&settings);
                return r;
        }
        *ret = settings;
        return 0;
}

void hf_pr_settings_clear(struct hf_pr_settings *settings)
{
        for (size_t i = 0; i < settings->n_units; i++) {
                free(settings->units[i].path);
                free(settings->units[i].name);
        }
        free(settings->units);
        hf_pr_policy_free(settings->policy);
        hf_conf_clear(keys, HF_ARRAY_LEN(keys), settings);
        *settings = (struct hf_pr_settings){.socket_mode = -1};
}

bool hf_pr_settings_allow(const struct hf_pr_settings *settings, const char *backend)
{
        if (!settings->backends)
                return true;
        for (char **name = settings->backends; *name; name++)
                if (!strcmp(*name, backend))
                        return true;
        return false;
}
