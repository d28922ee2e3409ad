/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * QEMU's option texts as trees.
 *
 * QEMU describes a block device in three ways: "key=value,..." as -drive and -device
 * read it, "key=value,..." as -blockdev reads it, and JSON. All three say the same
 * thing, a tree: `file.driver=nbd` is {"file": {"driver": "nbd"}}. Each is turned into
 * one json-c object, so that what follows knows one form only.
 *
 * Pure: text in, tree out, no file is touched.
 */

#include "base/error.h"

#include <json-c/json.h>
#include <stdbool.h>

/* The kernel's limit for one argument (MAX_ARG_STRLEN); nothing longer can arrive. */
#define HF_QEMU_TEXT_MAX (128 * 1024)

/* The largest real -drive has some 60 keys; a tree of 128 KiB could have 40,000. */
#define HF_QEMU_KEYS_MAX 1024

/* Levels of nesting, far above real graphs (libvirt's deepest are 5). */
#define HF_QEMU_DEPTH_MAX 32

enum hf_qemu_dialect {
        /* -drive, -device, -name: a bare word is a switch ("readonly", "noreadonly"). */
        HF_QEMU_OPTS,
        /* -blockdev: a bare word is an error. */
        HF_QEMU_KEYVAL,
};

static inline void hf_json_put(struct json_object **object)
{
        (void)json_object_put(*object);
        *object = NULL;
}
#define hf_cleanup_json hf_cleanup(hf_json_put)

/*
 * Reads "key=value,...": a comma in a value is written twice, of a key given twice the
 * last one counts. A first word without '=' is the value of first_key (if not NULL).
 * *ret_flat holds strings only, keys as written ("file.driver"); the caller's to put.
 * -EINVAL with the reason, -E2BIG beyond HF_QEMU_KEYS_MAX, -ENOMEM.
 */
int hf_qemu_opts_parse(const char *text, enum hf_qemu_dialect dialect, const char *first_key,
                       struct json_object **ret_flat, struct hf_error *err);

/*
 * Reads one JSON object; nothing may follow it but blanks. Single quotes are taken as
 * well, as QEMU does. Keys stay as written. The caller's to put. Errors as above.
 */
int hf_qemu_json_parse(const char *text, struct json_object **ret_object, struct hf_error *err);

/*
 * Makes the tree of an object whose keys may be dotted, at any level. The values are
 * shared with the source, not copied; the caller's to put.
 * -EINVAL where a key is both a value and a group, or the nesting is too deep.
 */
int hf_qemu_tree_expand(struct json_object *flat, struct json_object **ret_tree,
                        struct hf_error *err);

/*
 * Lays `over` over `base`: groups are joined, else the value of `over` counts.
 * Errors: -EINVAL nested too deeply, -ENOMEM.
 */
int hf_qemu_tree_overlay(struct json_object *base, struct json_object *over, struct hf_error *err);

/* Sets the value at `key`, taking it over also on an error. value == NULL (what a constructor
 * returns then) and a failing insertion are -ENOMEM. */
int hf_qemu_tree_put(struct json_object *tree, const char *key, struct json_object *value);

/*
 * The text at `key`: *ret_text is NULL if there is none or JSON's null, owned by the
 * tree. -EINVAL if there is something else than a string, or a string with a zero byte.
 */
int hf_qemu_tree_text(struct json_object *tree, const char *key, const char **ret_text,
                      struct hf_error *err);

/*
 * The switch at `key`, on/off/yes/no/true/false/y/n or JSON's true and false. Returns 1
 * with *ret_value set, 0 if there is none, -EINVAL if it is something else.
 */
int hf_qemu_tree_switch(struct json_object *tree, const char *key, bool *ret_value,
                        struct hf_error *err);
