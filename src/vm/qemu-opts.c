/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/qemu-opts.h"

#include "base/cleanup.h"

#include <string.h>

static int no_memory(struct hf_error *err)
{
        return hf_error_sys(err, ENOMEM, "cannot read a QEMU option");
}

static int invalid(struct hf_error *err, const char *problem, const char *where, size_t len)
{
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING, "%s at '%.*s'",
                            problem, (int)(len < 64 ? len : 64), where);
}

static int add_string(struct json_object *object, const char *key, size_t key_len,
                      const char *value, size_t value_len)
{
        hf_cleanup_free char *name = strndup(key, key_len);

        if (!name)
                return -ENOMEM;
        return hf_qemu_tree_put(object, name, json_object_new_string_len(value, (int)value_len));
}

/* Copies the value at *text into `buffer`, single commas for double ones; *text then is
 * at the comma that ends it, or at the end. Returns its length. */
static size_t take_value(const char **text, char *buffer)
{
        const char *p = *text;
        size_t len = 0;

        while (*p && (p[0] != ',' || p[1] == ',')) {
                if (*p == ',')
                        p++;
                buffer[len++] = *p++;
        }
        *text = p;
        return len;
}

/* A word without '=': "readonly" is readonly=on, "noreadonly" readonly=off. */
static int take_switch(const char **text, size_t len, struct json_object *flat)
{
        const char *word = *text;
        bool on = len < 2 || strncmp(word, "no", 2) != 0;

        *text += len;
        return add_string(flat, on ? word : word + 2, on ? len : len - 2, on ? "on" : "off",
                          on ? 2 : 3);
}

static int take_item(const char **text, enum hf_qemu_dialect dialect, const char *first_key,
                     char *buffer, struct json_object *flat, struct hf_error *err)
{
        const char *key = *text;
        size_t len = strcspn(key, "=,");
        bool first = first_key && key[len] != '=';
        int r;

        if (len == 0)
                return invalid(err, "a key is missing", key, strlen(key));
        if (first) {
                key = first_key;
                len = strlen(first_key);
        } else if (key[len] == '=') {
                *text += len + 1;
        } else if (dialect == HF_QEMU_KEYVAL) {
                return invalid(err, "a value is missing", key, len);
        } else {
                r = take_switch(text, len, flat);
                return r < 0 ? no_memory(err) : 0;
        }
        r = add_string(flat, key, len, buffer, take_value(text, buffer));
        return r < 0 ? no_memory(err) : 0;
}

int hf_qemu_opts_parse(const char *text, enum hf_qemu_dialect dialect, const char *first_key,
                       struct json_object **ret_flat, struct hf_error *err)
{
        hf_cleanup_json struct json_object *flat = NULL;
        hf_cleanup_free char *buffer = NULL;
        int r;

        if (strlen(text) >= HF_QEMU_TEXT_MAX)
                return invalid(err, "too long", text, HF_QEMU_TEXT_MAX);
        flat = json_object_new_object();
        buffer = malloc(strlen(text) + 1);
        if (!flat || !buffer)
                return no_memory(err);
        for (unsigned n = 0; *text; n++) {
                if (n >= HF_QEMU_KEYS_MAX)
                        return hf_error_set(err, E2BIG, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                            "more than %d keys", HF_QEMU_KEYS_MAX);
                r = take_item(&text, dialect, n == 0 ? first_key : NULL, buffer, flat, err);
                if (r < 0)
                        return r;
                if (*text == ',')
                        text++;
        }
        *ret_flat = hf_steal_ptr(flat);
        return 0;
}

static void tokener_free(struct json_tokener **tokener)
{
        if (*tokener)
                json_tokener_free(*tokener);
}

int hf_qemu_json_parse(const char *text, struct json_object **ret_object, struct hf_error *err)
{
        hf_cleanup(tokener_free) struct json_tokener *tokener = json_tokener_new_ex(
                HF_QEMU_DEPTH_MAX);
        hf_cleanup_json struct json_object *object = NULL;
        size_t len = strlen(text), end;

        if (!tokener)
                return no_memory(err);
        if (len >= HF_QEMU_TEXT_MAX)
                return invalid(err, "too long", text, HF_QEMU_TEXT_MAX);
        object = json_tokener_parse_ex(tokener, text, (int)len);
        end = json_tokener_get_parse_end(tokener);
        if (!object && json_tokener_get_error(tokener) == json_tokener_continue)
                return invalid(err, "the JSON ends too early", text, len);
        if (!object && json_tokener_get_error(tokener) != json_tokener_success)
                return invalid(err, json_tokener_error_desc(json_tokener_get_error(tokener)),
                               text + end, len - end);
        if (!json_object_is_type(object, json_type_object))
                return invalid(err, "not a JSON object", text, len);
        if (text[end + strspn(text + end, " \t\r\n")] != '\0')
                return invalid(err, "something follows the JSON", text + end, len - end);
        *ret_object = hf_steal_ptr(object);
        return 0;
}
