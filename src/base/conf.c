/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/conf-private.h"

#include "base/strv.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

static void clear_value(struct hf_conf_value *value)
{
        for (size_t i = 0; i < value->n_items; i++)
                free(value->items[i].string);
        free(value->items);
        free(value->string);
}

void hf_conf_free(struct hf_conf *conf)
{
        if (!conf)
                return;
        for (size_t i = 0; i < conf->n_entries; i++) {
                free(conf->entries[i].name);
                clear_value(&conf->entries[i].value);
        }
        free(conf->entries);
        free(conf->filename);
        free(conf);
}

/* Reads all of fd, which fstat says to be a regular file, into *ret. */
static int read_text(int fd, const char *path, char **ret, size_t *ret_len, struct hf_error *err)
{
        hf_cleanup_free char *text = NULL;
        size_t used = 0;
        ssize_t got;

        /* One byte more than allowed, so that a file that is too long shows. */
        text = malloc(HF_CONF_SIZE_MAX + 1);
        if (!text)
                return hf_error_sys(err, ENOMEM, "cannot read %s", path);
        while (used < HF_CONF_SIZE_MAX + 1) {
                got = read(fd, text + used, HF_CONF_SIZE_MAX + 1 - used);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return hf_error_sys(err, errno, "cannot read %s", path);
                if (got == 0)
                        break;
                used += (size_t)got;
        }
        *ret = hf_steal_ptr(text);
        *ret_len = used;
        return 0;
}

/* O_NONBLOCK: a FIFO in the place of the file must not stop us. Returns 0 if there is no file. */
static int open_file(const char *path, bool required, int *ret_fd, struct hf_error *err)
{
        hf_cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        struct stat st;

        if (fd < 0 && errno == ENOENT && !required)
                return 0;
        if (fd < 0)
                return hf_error_sys(err, errno, "cannot open %s", path);
        if (fstat(fd, &st) < 0)
                return hf_error_sys(err, errno, "cannot stat %s", path);
        if (!S_ISREG(st.st_mode))
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "%s is not a regular file", path);
        *ret_fd = hf_steal_fd(&fd);
        return 1;
}

int hf_conf_load(const char *path, bool required, struct hf_conf **ret, struct hf_error *err)
{
        hf_cleanup_free char *text = NULL;
        hf_cleanup_fd int fd = -1;
        size_t len = 0;
        int found, r;

        found = open_file(path, required, &fd, err);
        if (found < 0)
                return found;
        if (found) {
                r = read_text(fd, path, &text, &len, err);
                if (r < 0)
                        return r;
        }
        r = hf_conf_parse(text, len, path, ret, err);
        return r < 0 ? r : found;
}

const struct hf_conf_entry *hf_conf_find(const struct hf_conf *conf, const char *key)
{
        for (size_t i = 0; i < conf->n_entries; i++)
                if (strcmp(conf->entries[i].name, key) == 0)
                        return &conf->entries[i];
        return NULL;
}

void hf_conf_blame(const struct hf_conf *conf, const char *key, struct hf_error *err)
{
        const struct hf_conf_entry *entry = hf_conf_find(conf, key);

        if (entry)
                hf_error_prefix(err, "%s:%u: key \"%s\"", conf->filename, entry->line, key);
}

int hf_conf_parse_mode(const char *text, unsigned int *ret, struct hf_error *err)
{
        char *end;
        unsigned long mode = strtoul(text, &end, 8);

        if (*text < '0' || *text > '7' || *end || mode > 0777)
                return hf_error_set(err, EINVAL, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                                    "must be an octal mode such as \"0770\", not \"%s\"", text);
        *ret = (unsigned int)mode;
        return 0;
}

static const char *type_name(enum hf_conf_type type)
{
        static const char *const names[] = {
                [HF_CONF_INT] = "an integer",
                [HF_CONF_STRING] = "a string",
                [HF_CONF_LIST] = "a list",
        };

        return names[type];
}

static int wrong_type(const struct hf_conf *conf, const struct hf_conf_entry *entry,
                      const char *wanted, struct hf_error *err)
{
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                            "%s:%u: key \"%s\" must be %s, not %s", conf->filename, entry->line,
                            entry->name, wanted, type_name(entry->value.type));
}

int hf_conf_get_int(const struct hf_conf *conf, const char *key, int64_t min, int64_t max,
                    int64_t *ret, struct hf_error *err)
{
        const struct hf_conf_entry *entry = hf_conf_find(conf, key);

        if (!entry)
                return 0;
        if (entry->value.type != HF_CONF_INT)
                return wrong_type(conf, entry, "an integer", err);
        if (entry->value.number < min || entry->value.number > max)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "%s:%u: key \"%s\" must be an integer from %" PRId64
                                    " to %" PRId64 ", not %" PRId64,
                                    conf->filename, entry->line, key, min, max,
                                    entry->value.number);
        *ret = entry->value.number;
        return 1;
}

int hf_conf_get_bool(const struct hf_conf *conf, const char *key, bool *ret, struct hf_error *err)
{
        int64_t number;
        int r = hf_conf_get_int(conf, key, 0, 1, &number, err);

        if (r > 0)
                *ret = number != 0;
        return r;
}

int hf_conf_get_string(const struct hf_conf *conf, const char *key, const char **ret,
                       struct hf_error *err)
{
        const struct hf_conf_entry *entry = hf_conf_find(conf, key);

        if (!entry)
                return 0;
        if (entry->value.type != HF_CONF_STRING)
                return wrong_type(conf, entry, "a string in quotes", err);
        *ret = entry->value.string;
        return 1;
}

int hf_conf_get_strings(const struct hf_conf *conf, const char *key, char ***ret,
                        struct hf_error *err)
{
        const struct hf_conf_entry *entry = hf_conf_find(conf, key);
        hf_cleanup_strv char **list = NULL;
        const struct hf_conf_value *items;
        size_t n;

        if (!entry)
                return 0;
        if (entry->value.type == HF_CONF_INT)
                return wrong_type(conf, entry, "a list of strings", err);
        items = entry->value.type == HF_CONF_LIST ? entry->value.items : &entry->value;
        n = entry->value.type == HF_CONF_LIST ? entry->value.n_items : 1;
        for (size_t i = 0; i < n; i++) {
                if (items[i].type != HF_CONF_STRING)
                        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                            "%s:%u: key \"%s\" must be a list of strings, "
                                            "not of integers",
                                            conf->filename, entry->line, key);
                if (hf_strv_append(&list, items[i].string) < 0)
                        return hf_error_sys(err, ENOMEM, "cannot read %s", conf->filename);
        }
        *ret = hf_steal_ptr(list);
        return 1;
}
