/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Names of images: the third part of vm/qemu-nodes.h.
 *
 * QEMU takes "word:" before the first slash for a protocol. Few of them end at a file of
 * this machine; these are the table below. All others give a node without a file (a network
 * peer, a made-up disk; or a word that QEMU does not know and refuses).
 */

#include "vm/qemu-nodes.h"

#include "base/cleanup.h"

#include <string.h>

static int parse(const char *name, unsigned depth, struct json_object **ret_node, bool *ret_whole,
                 struct hf_error *err);

static int no_memory(struct hf_error *err)
{
        return hf_error_sys(err, ENOMEM, "cannot read the name of an image");
}

static int file_node(const char *driver, size_t driver_len, const char *path,
                     struct json_object **ret_node, struct hf_error *err)
{
        hf_cleanup_json struct json_object *node = json_object_new_object();

        if (!node)
                return no_memory(err);
        if (driver && hf_qemu_tree_put(node, "driver",
                                       json_object_new_string_len(driver, (int)driver_len)) < 0)
                return no_memory(err);
        if (path && hf_qemu_tree_put(node, "filename", json_object_new_string(path)) < 0)
                return no_memory(err);
        *ret_node = hf_steal_ptr(node);
        return 0;
}

/* Adds the image `name` as a child. */
static int add_child(struct json_object *node, const char *key, const char *name, unsigned depth,
                     struct hf_error *err)
{
        struct json_object *child = NULL;
        bool whole;
        int r;

        if (++depth > HF_QEMU_DEPTH_MAX)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "nested more than %d levels deep", HF_QEMU_DEPTH_MAX);
        r = parse(name, depth, &child, &whole, err);
        if (r < 0)
                return r;
        return hf_qemu_tree_put(node, key, child) < 0 ? no_memory(err) : 0;
}

/* "blkdebug:CONFIG:IMAGE" and "blkverify:RAW:IMAGE". */
static int debug_node(const char *name, size_t driver_len, unsigned depth,
                      struct json_object **ret_node, struct hf_error *err)
{
        hf_cleanup_json struct json_object *node = NULL;
        const char *first = name + driver_len + 1, *second = strchr(first, ':');
        bool verify = strncmp(name, "blkverify", driver_len) == 0;
        hf_cleanup_free char *raw = NULL;
        int r;

        if (!second)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "%.64s is not of the form %.*s:NAME:IMAGE", name,
                                    (int)driver_len, name);
        r = file_node(name, driver_len, NULL, &node, err);
        if (r < 0)
                return r;
        if (verify) {
                raw = strndup(first, (size_t)(second - first));
                r = raw ? add_child(node, "raw", raw, depth, err) : no_memory(err);
                if (r < 0)
                        return r;
        }
        r = add_child(node, verify ? "test" : "image", second + 1, depth, err);
        if (r < 0)
                return r;
        *ret_node = hf_steal_ptr(node);
        return 0;
}

static int json_node(const char *text, struct json_object **ret_node, struct hf_error *err)
{
        hf_cleanup_json struct json_object *flat = NULL;
        int r;

        r = hf_qemu_json_parse(text, &flat, err);
        if (r < 0)
                return r;
        return hf_qemu_tree_expand(flat, ret_node, err);
}

static bool word_is(const char *name, size_t len, const char *word)
{
        return strlen(word) == len && strncmp(name, word, len) == 0;
}

static int parse(const char *name, unsigned depth, struct json_object **ret_node, bool *ret_whole,
                 struct hf_error *err)
{
        size_t len = strcspn(name, ":/");
        int r;

        if (name[len] != ':')
                r = file_node(NULL, 0, name, ret_node, err);
        else if (word_is(name, len, "json"))
                r = json_node(name + len + 1, ret_node, err);
        else if (word_is(name, len, "blkdebug") || word_is(name, len, "blkverify"))
                r = debug_node(name, len, depth, ret_node, err);
        else if (word_is(name, len, "file") || word_is(name, len, "host_device") ||
                 word_is(name, len, "host_cdrom"))
                r = file_node(name, len, name + len + 1, ret_node, err);
        else
                r = file_node(name, len, NULL, ret_node, err);
        if (r < 0)
                return r;
        *ret_whole = name[len] == ':' && word_is(name, len, "json");
        return 0;
}

int hf_qemu_filename_parse(const char *name, struct json_object **ret_node, bool *ret_whole,
                           struct hf_error *err)
{
        return parse(name, 0, ret_node, ret_whole, err);
}

bool hf_qemu_filename_has_protocol(const char *name)
{
        return name[strcspn(name, ":/")] == ':';
}
