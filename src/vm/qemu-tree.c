/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The second half of vm/qemu-opts.h: dotted keys into groups, and typed look-ups.
 */

#include "vm/qemu-opts.h"

#include "base/cleanup.h"

#include <string.h>

static int no_memory(struct hf_error *err)
{
        return hf_error_sys(err, ENOMEM, "cannot read a QEMU option");
}

static int too_deep(struct hf_error *err)
{
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                            "nested more than %d levels deep", HF_QEMU_DEPTH_MAX);
}

static int conflict(struct hf_error *err, const char *key)
{
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                            "'%.64s' is both a value and a group", key);
}

int hf_qemu_tree_put(struct json_object *tree, const char *key, struct json_object *value)
{
        if (!value)
                return -ENOMEM;
        if (json_object_object_add(tree, key, value) < 0) {
                (void)json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

/* Adds a value, taking a reference of its own; NULL is JSON's null. */
static int add_value(struct json_object *object, const char *key, struct json_object *value)
{
        if (json_object_object_add(object, key, json_object_get(value)) < 0) {
                (void)json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

/* The group `key` of `object`, made if it is not there; NULL: no memory or not a group. */
static struct json_object *group_at(struct json_object *object, const char *key, bool *ret_conflict)
{
        struct json_object *group;

        *ret_conflict = false;
        if (json_object_object_get_ex(object, key, &group)) {
                *ret_conflict = !json_object_is_type(group, json_type_object);
                return *ret_conflict ? NULL : group;
        }
        group = json_object_new_object();
        return hf_qemu_tree_put(object, key, group) < 0 ? NULL : group;
}

static int expand_into(struct json_object *tree, struct json_object *flat, unsigned depth,
                       struct hf_error *err);

/* An array's own elements are trees of their own. */
static int expand_array(struct json_object *from, struct json_object **ret, unsigned depth,
                        struct hf_error *err)
{
        hf_cleanup_json struct json_object *array = json_object_new_array();

        if (!array)
                return no_memory(err);
        for (size_t i = 0; i < json_object_array_length(from); i++) {
                struct json_object *item = json_object_array_get_idx(from, i);
                hf_cleanup_json struct json_object *copy = NULL;
                int r;

                if (json_object_is_type(item, json_type_object)) {
                        copy = json_object_new_object();
                        r = copy ? expand_into(copy, item, depth, err) : no_memory(err);
                        if (r < 0)
                                return r;
                } else {
                        copy = json_object_get(item);
                }
                if (json_object_array_add(array, copy) < 0)
                        return no_memory(err);
                copy = NULL;
        }
        *ret = hf_steal_ptr(array);
        return 0;
}

static int put_value(struct json_object *tree, const char *key, struct json_object *value,
                     unsigned depth, struct hf_error *err)
{
        hf_cleanup_json struct json_object *array = NULL;
        struct json_object *group;
        bool clash;
        int r;

        if (json_object_is_type(value, json_type_object)) {
                group = group_at(tree, key, &clash);
                if (!group)
                        return clash ? conflict(err, key) : no_memory(err);
                return expand_into(group, value, depth, err);
        }
        if (json_object_object_get_ex(tree, key, NULL))
                return conflict(err, key);
        if (json_object_is_type(value, json_type_array)) {
                r = expand_array(value, &array, depth, err);
                if (r < 0)
                        return r;
                value = array;
        }
        return add_value(tree, key, value) < 0 ? no_memory(err) : 0;
}

/* Puts the value at a dotted key, making the groups on the way. */
static int put_dotted(struct json_object *tree, const char *dotted, struct json_object *value,
                      unsigned depth, struct hf_error *err)
{
        hf_cleanup_free char *copy = strdup(dotted);
        char *key = copy, *dot;
        bool clash;

        if (!copy)
                return no_memory(err);
        while ((dot = strchr(key, '.'))) {
                *dot = '\0';
                if (++depth > HF_QEMU_DEPTH_MAX)
                        return too_deep(err);
                tree = group_at(tree, key, &clash);
                if (!tree)
                        return clash ? conflict(err, dotted) : no_memory(err);
                key = dot + 1;
        }
        return put_value(tree, key, value, depth, err);
}

static int expand_into(struct json_object *tree, struct json_object *flat, unsigned depth,
                       struct hf_error *err)
{
        int r;

        if (++depth > HF_QEMU_DEPTH_MAX)
                return too_deep(err);
        json_object_object_foreach(flat, key, value)
        {
                r = put_dotted(tree, key, value, depth, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int hf_qemu_tree_expand(struct json_object *flat, struct json_object **ret_tree,
                        struct hf_error *err)
{
        hf_cleanup_json struct json_object *tree = json_object_new_object();
        int r;

        if (!tree)
                return no_memory(err);
        r = expand_into(tree, flat, 0, err);
        if (r < 0)
                return r;
        *ret_tree = hf_steal_ptr(tree);
        return 0;
}

static int overlay(struct json_object *base, struct json_object *over, unsigned depth,
                   struct hf_error *err)
{
        if (depth > HF_QEMU_DEPTH_MAX)
                return too_deep(err);
        json_object_object_foreach(over, key, value)
        {
                struct json_object *below = NULL;
                int r;

                if (json_object_is_type(value, json_type_object) &&
                    json_object_object_get_ex(base, key, &below) &&
                    json_object_is_type(below, json_type_object))
                        r = overlay(below, value, depth + 1, err);
                else
                        r = add_value(base, key, value) < 0 ? no_memory(err) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

int hf_qemu_tree_overlay(struct json_object *base, struct json_object *over, struct hf_error *err)
{
        return overlay(base, over, 0, err);
}

int hf_qemu_tree_text(struct json_object *tree, const char *key, const char **ret_text,
                      struct hf_error *err)
{
        struct json_object *value = NULL;
        const char *text;

        (void)json_object_object_get_ex(tree, key, &value);
        if (!value) {
                *ret_text = NULL;
                return 0;
        }
        if (!json_object_is_type(value, json_type_string))
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "'%s' is not a text", key);
        text = json_object_get_string(value);
        if (strlen(text) != (size_t)json_object_get_string_len(value))
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "'%s' holds a zero byte", key);
        *ret_text = text;
        return 0;
}

int hf_qemu_tree_switch(struct json_object *tree, const char *key, bool *ret_value,
                        struct hf_error *err)
{
        static const char *const words[][2] = {
                {"off", "on"}, {"no", "yes"}, {"false", "true"}, {"n", "y"}};
        struct json_object *value = NULL;
        const char *text;
        int r;

        if (!json_object_object_get_ex(tree, key, &value))
                return 0;
        if (json_object_is_type(value, json_type_boolean)) {
                *ret_value = json_object_get_boolean(value);
                return 1;
        }
        r = hf_qemu_tree_text(tree, key, &text, err);
        if (r < 0)
                return r;
        for (size_t i = 0; text && i < 2 * HF_ARRAY_LEN(words); i++) {
                if (strcmp(text, words[i / 2][i % 2]) == 0) {
                        *ret_value = i % 2;
                        return 1;
                }
        }
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                            "'%s' is neither on nor off", key);
}
