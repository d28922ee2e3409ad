/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/conf-private.h"

#include "base/strv.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/*
 * From entries to a struct.
 *
 * One row of `kinds` says all about one kind of field: whether the value in
 * the file fits (check), how the field gets it or its default (set), and how
 * what it owns is freed (clear). Checking all rows comes first, so that a bad
 * file leaves the caller's struct alone.
 */

struct kind_ops {
        int (*check)(const struct hf_conf *conf, const struct hf_conf_key *key,
                     struct hf_error *err);
        int (*set)(const struct hf_conf *conf, const struct hf_conf_key *key, void *field);
        void (*clear)(void *field);
};

/* Index of word among the choices, or -1. */
static int find_choice(const struct hf_conf_key *key, const char *word)
{
        for (int i = 0; key->choices[i]; i++)
                if (strcmp(key->choices[i], word) == 0)
                        return i;
        return -1;
}

static void list_choices(const struct hf_conf_key *key, char *text, size_t size)
{
        size_t used = 0;

        text[0] = '\0';
        for (int i = 0; key->choices[i] && used < size; i++)
                used += (size_t)snprintf(text + used, size - used, "%s\"%s\"", i ? ", " : "",
                                         key->choices[i]);
}

static int check_int(const struct hf_conf *conf, const struct hf_conf_key *key,
                     struct hf_error *err)
{
        int64_t number;

        return hf_conf_get_int(conf, key->name, key->min, key->max, &number, err);
}

static int check_bool(const struct hf_conf *conf, const struct hf_conf_key *key,
                      struct hf_error *err)
{
        bool value;

        return hf_conf_get_bool(conf, key->name, &value, err);
}

static int check_string(const struct hf_conf *conf, const struct hf_conf_key *key,
                        struct hf_error *err)
{
        const char *text;

        return hf_conf_get_string(conf, key->name, &text, err);
}

static int check_strings(const struct hf_conf *conf, const struct hf_conf_key *key,
                         struct hf_error *err)
{
        hf_cleanup_strv char **list = NULL;

        return hf_conf_get_strings(conf, key->name, &list, err);
}

static int check_choice(const struct hf_conf *conf, const struct hf_conf_key *key,
                        struct hf_error *err)
{
        const char *word;
        char known[256];
        int r;

        r = hf_conf_get_string(conf, key->name, &word, err);
        if (r <= 0 || find_choice(key, word) >= 0)
                return r;
        list_choices(key, known, sizeof(known));
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                            "%s:%u: key \"%s\" must be one of %s, not \"%s\"", conf->filename,
                            hf_conf_find(conf, key->name)->line, key->name, known, word);
}

static int check_path(const struct hf_conf *conf, const struct hf_conf_key *key,
                      struct hf_error *err)
{
        const char *text;
        int r = hf_conf_get_string(conf, key->name, &text, err);

        if (r <= 0 || text[0] == '/')
                return r;
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                            "%s:%u: key \"%s\" must be an absolute path, not \"%s\"",
                            conf->filename, hf_conf_find(conf, key->name)->line, key->name, text);
}

static int check_nothing(const struct hf_conf *conf, const struct hf_conf_key *key,
                         struct hf_error *err)
{
        (void)conf;
        (void)key;
        (void)err;
        return 0;
}

static int64_t number_of(const struct hf_conf *conf, const struct hf_conf_key *key)
{
        const struct hf_conf_entry *entry = hf_conf_find(conf, key->name);

        return entry ? entry->value.number : key->def;
}

static int set_int(const struct hf_conf *conf, const struct hf_conf_key *key, void *field)
{
        *(int *)field = (int)number_of(conf, key);
        return 0;
}

static int set_uint(const struct hf_conf *conf, const struct hf_conf_key *key, void *field)
{
        *(unsigned *)field = (unsigned)number_of(conf, key);
        return 0;
}

static int set_bool(const struct hf_conf *conf, const struct hf_conf_key *key, void *field)
{
        *(bool *)field = number_of(conf, key) != 0;
        return 0;
}

static int set_choice(const struct hf_conf *conf, const struct hf_conf_key *key, void *field)
{
        const struct hf_conf_entry *entry = hf_conf_find(conf, key->name);

        *(int *)field = entry ? find_choice(key, entry->value.string) : (int)key->def;
        return 0;
}

static int set_string(const struct hf_conf *conf, const struct hf_conf_key *key, void *field)
{
        const struct hf_conf_entry *entry = hf_conf_find(conf, key->name);
        const char *text = entry ? entry->value.string : key->def_text;
        char *copy = NULL;

        if (text) {
                copy = strdup(text);
                if (!copy)
                        return -ENOMEM;
        }
        *(char **)field = copy;
        return 0;
}

static int set_strings(const struct hf_conf *conf, const struct hf_conf_key *key, void *field)
{
        hf_cleanup_strv char **list = NULL;
        int r;

        r = hf_conf_get_strings(conf, key->name, &list, NULL);
        if (r == 0 && key->def_text)
                r = hf_strv_append(&list, key->def_text);
        if (r < 0)
                return r;
        *(char ***)field = hf_steal_ptr(list);
        return 0;
}

static int set_nothing(const struct hf_conf *conf, const struct hf_conf_key *key, void *field)
{
        (void)conf;
        (void)key;
        (void)field;
        return 0;
}

static void clear_string(void *field)
{
        hf_free_ptr(field);
}

static void clear_strings(void *field)
{
        hf_strv_freep(field);
}

static const struct kind_ops kinds[] = {
        [HF_CONF_KIND_INT] = {check_int, set_int, NULL},
        [HF_CONF_KIND_UINT] = {check_int, set_uint, NULL},
        [HF_CONF_KIND_BOOL] = {check_bool, set_bool, NULL},
        [HF_CONF_KIND_STRING] = {check_string, set_string, clear_string},
        [HF_CONF_KIND_STRINGS] = {check_strings, set_strings, clear_strings},
        [HF_CONF_KIND_CHOICE] = {check_choice, set_choice, NULL},
        [HF_CONF_KIND_PATH] = {check_path, set_string, clear_string},
        [HF_CONF_KIND_OTHERS] = {check_nothing, set_nothing, NULL},
};

static void *field_of(const struct hf_conf_key *key, void *out)
{
        return (char *)out + key->offset;
}

static bool is_known(const struct hf_conf_key *table, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(table[i].name, name) == 0)
                        return true;
        return false;
}

/* Says of an entry that an earlier one has its key. */
static void describe_repeat(const struct hf_conf *conf, const struct hf_conf_entry *entry,
                            unsigned first, char text[static HF_ERROR_TEXT_MAX])
{
        (void)snprintf(text, HF_ERROR_TEXT_MAX, "%s:%u: key \"%s\" was set already, in line %u",
                       conf->filename, entry->line, entry->name, first);
}

int hf_conf_refuse_repeats(const struct hf_conf *conf, struct hf_error *err)
{
        char text[HF_ERROR_TEXT_MAX];

        for (size_t i = 0; i < conf->n_entries; i++) {
                const struct hf_conf_entry *entry = &conf->entries[i];
                const struct hf_conf_entry *first = hf_conf_find(conf, entry->name);

                if (first == entry)
                        continue;
                describe_repeat(conf, entry, first->line, text);
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE, "%s", text);
        }
        return 0;
}

/* Tells of entries that nobody reads. Key names are short: the parser bounds only the file. */
static void give_notices(const struct hf_conf *conf, const struct hf_conf_key *table, size_t n,
                         hf_conf_notice_fn notice, void *ctx)
{
        char text[HF_ERROR_TEXT_MAX];

        for (size_t i = 0; i < conf->n_entries; i++) {
                const struct hf_conf_entry *entry = &conf->entries[i];
                const struct hf_conf_entry *first = hf_conf_find(conf, entry->name);

                if (!is_known(table, n, entry->name))
                        (void)snprintf(text, sizeof(text), "%s:%u: unknown key \"%s\"",
                                       conf->filename, entry->line, entry->name);
                else if (first != entry)
                        describe_repeat(conf, entry, first->line, text);
                else
                        continue;
                notice(ctx, text);
        }
}

int hf_conf_apply(const struct hf_conf *conf, const struct hf_conf_key *table, size_t n, void *out,
                  hf_conf_notice_fn notice, void *ctx, struct hf_error *err)
{
        int r = 0;

        for (size_t i = 0; i < n; i++) {
                r = kinds[table[i].kind].check(conf, &table[i], err);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < n; i++)
                if (kinds[table[i].kind].clear)
                        memset(field_of(&table[i], out), 0, sizeof(void *));
        for (size_t i = 0; i < n; i++) {
                r = kinds[table[i].kind].set(conf, &table[i], field_of(&table[i], out));
                if (r < 0) {
                        hf_conf_clear(table, n, out);
                        return hf_error_sys(err, -r, "cannot keep the values of %s",
                                            conf->filename);
                }
        }
        if (notice)
                give_notices(conf, table, n, notice, ctx);
        return 0;
}

void hf_conf_clear(const struct hf_conf_key *table, size_t n, void *out)
{
        for (size_t i = 0; i < n; i++)
                if (kinds[table[i].kind].clear)
                        kinds[table[i].kind].clear(field_of(&table[i], out));
}
