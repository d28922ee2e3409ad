/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parser leaves behind; shared by the three files of conf alone. */

#include "base/conf.h"

enum hf_conf_type { HF_CONF_INT, HF_CONF_STRING, HF_CONF_LIST };

struct hf_conf_value {
        enum hf_conf_type type;
        int64_t number;
        char *string;
        struct hf_conf_value *items; /* of a list: never lists themselves */
        size_t n_items;
};

struct hf_conf_entry {
        char *name;
        unsigned line; /* of the key, from 1 */
        struct hf_conf_value value;
};

struct hf_conf {
        char *filename;
        struct hf_conf_entry *entries; /* in the order of the file */
        size_t n_entries;
};

/* The entry that counts for key, or NULL. */
const struct hf_conf_entry *hf_conf_find(const struct hf_conf *conf, const char *key);
