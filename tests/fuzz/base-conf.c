/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/conf.h"
#include "base/strv.h"

#include <limits.h>

/* Whatever the bytes are: no fault, and what was parsed can be read in every way. */

struct settings {
        int level;
        bool on;
        char *text;
        char **list;
        int choice;
};

static const char *const words[] = {"a", "b", NULL};

static const struct hf_conf_key table[] = {
        {"i", HF_CONF_KIND_INT, offsetof(struct settings, level), INT_MIN, INT_MAX},
        {"b", HF_CONF_KIND_BOOL, offsetof(struct settings, on)},
        {"s", HF_CONF_KIND_STRING, offsetof(struct settings, text)},
        {"l", HF_CONF_KIND_STRINGS, offsetof(struct settings, list)},
        {"c", HF_CONF_KIND_CHOICE, offsetof(struct settings, choice), .choices = words},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *ctx, const char *text)
{
        (void)ctx;
        (void)text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        hf_cleanup_conf struct hf_conf *conf = NULL;
        struct settings out;
        struct hf_error err;

        if (hf_conf_parse((const char *)data, size, "fuzz.conf", &conf, &err) < 0)
                return 0;
        if (hf_conf_apply(conf, table, HF_ARRAY_LEN(table), &out, ignore, NULL, &err) == 0)
                hf_conf_clear(table, HF_ARRAY_LEN(table), &out);
        return 0;
}
