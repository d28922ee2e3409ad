/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/qemu-config.h"

#include "base/cleanup.h"

#include <string.h>

#define BLANKS " \t\r"

struct config {
        hf_qemu_section_fn *section;
        void *context;
        struct hf_error *err;
        char *group;              /* of the section at work, in the text */
        struct json_object *flat; /* its keys; NULL before the first */
        unsigned keys;
};

static void config_done(struct config *config)
{
        (void)json_object_put(config->flat);
}

static char *skip_blanks(char *text)
{
        return text + strspn(text, BLANKS);
}

/* Cuts what is between two quotes at *text; NULL if it is not quoted. *text then is behind. */
static char *take_quoted(char **text)
{
        char *value = *text + 1, *end;

        if (**text != '"')
                return NULL;
        end = strchr(value, '"');
        if (!end)
                return NULL;
        *end = '\0';
        *text = end + 1;
        return value;
}

static int finish_section(struct config *config)
{
        if (!config->flat)
                return 0;
        return config->section(config->context, config->group, config->flat, config->err);
}

static int put_key(struct config *config, const char *key, const char *value)
{
        if (++config->keys > HF_QEMU_KEYS_MAX)
                return hf_error_set(config->err, E2BIG, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "more than %d keys in a section", HF_QEMU_KEYS_MAX);
        if (hf_qemu_tree_put(config->flat, key, json_object_new_string(value)) < 0)
                return hf_error_sys(config->err, ENOMEM, "cannot read the configuration");
        return 0;
}

/* [GROUP] or [GROUP "ID"]; 0: it is neither. */
static int start_section(struct config *config, char *line)
{
        char *group = line + 1, *end = group + strcspn(group, BLANKS "]\""), *id = NULL;
        char *rest = skip_blanks(end);
        int r;

        if (*rest == '"')
                id = take_quoted(&rest);
        if (end == group || *rest != ']')
                return 0;
        *end = '\0';
        r = finish_section(config);
        if (r < 0)
                return r;
        (void)json_object_put(config->flat);
        config->flat = json_object_new_object();
        config->group = group;
        config->keys = 0;
        if (!config->flat)
                return hf_error_sys(config->err, ENOMEM, "cannot read the configuration");
        r = id ? put_key(config, "id", id) : 0;
        return r < 0 ? r : 1;
}

/* KEY = "VALUE"; 0: it is not. */
static int read_key(struct config *config, char *line)
{
        char *end = line + strcspn(line, BLANKS "="), *rest = skip_blanks(end), *value;
        int r;

        if (end == line || *rest != '=' || !config->flat)
                return 0;
        rest = skip_blanks(rest + 1);
        value = take_quoted(&rest);
        if (!value)
                return 0;
        *end = '\0';
        r = put_key(config, line, value);
        return r < 0 ? r : 1;
}

static int read_line(struct config *config, char *line)
{
        line = skip_blanks(line);
        if (*line == '\0' || *line == '#')
                return 1;
        return *line == '[' ? start_section(config, line) : read_key(config, line);
}

int hf_qemu_config_parse(const char *text, hf_qemu_section_fn *section, void *context,
                         struct hf_error *err)
{
        hf_cleanup(config_done) struct config config = {
                .section = section, .context = context, .err = err};
        hf_cleanup_free char *copy = strdup(text);
        char *next = copy, *line;
        int r;

        if (!copy)
                return hf_error_sys(err, ENOMEM, "cannot read the configuration");
        for (unsigned n = 1; (line = strsep(&next, "\n")); n++) {
                r = read_line(&config, line);
                if (r < 0)
                        return r;
                if (r == 0)
                        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                            "line %u is neither a section nor key = \"value\"", n);
        }
        return finish_section(&config);
}
