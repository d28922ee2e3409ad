/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/cloud-hypervisor.h"

#include "base/cleanup.h"
#include "vm/image-chain.h"

#include <string.h>

#define PROGRAM "cloud-hypervisor"
#define STATIC  PROGRAM "-static" /* and the machine's name, as it is released */
#define QEMU    "qemu-"

/* An option whose values are images. */
static const struct image_option {
        const char *name;
        const char *path, *readonly; /* the parts that matter */
} image_options[] = {
        {"--disk", "path", "readonly"},
        {"--pmem", "file", "discard_writes"},
};

/* Whether what follows is what a VM is to be called. */
static bool is_name_option(const char *word)
{
        return !strcmp(word, "-name") || !strcmp(word, "--name");
}

/* The name of the program that a word may be, or NULL. */
static const char *program_name(const char *word)
{
        const char *slash = strrchr(word, '/');

        return strchr(word, '=') ? NULL : slash ? slash + 1 : word;
}

int hf_cloud_hypervisor_find(const char *const *argv)
{
        for (int i = 0; argv[i]; i++) {
                const char *name = program_name(argv[i]);

                if (!name || (i > 0 && is_name_option(argv[i - 1])))
                        continue;
                if (i == 0 && !strncmp(name, QEMU, strlen(QEMU)))
                        break;
                if (!strcmp(name, PROGRAM) || !strncmp(name, STATIC, strlen(STATIC)))
                        return i;
        }
        return -ENOENT;
}

/*
 * Copies the next part of *text, without its quotes, and goes on behind it. Returns whether
 * there was one.
 */
static bool next_part(const char **text, char part[static HF_VM_PATH_MAX])
{
        const char *at = *text;
        bool quoted = false;
        size_t used = 0;
        int depth = 0;

        if (!*at)
                return false;
        for (; *at && (quoted || depth > 0 || *at != ','); at++) {
                if (*at == '"') {
                        quoted = !quoted;
                        continue;
                }
                if (!quoted)
                        depth += (*at == '[') - (*at == ']');
                if (used < HF_VM_PATH_MAX - 1)
                        part[used++] = *at;
        }
        part[used] = '\0';
        *text = *at ? at + 1 : at;
        return true;
}

/* The value if the part is KEY=VALUE, or NULL. */
static const char *value_of(const char *part, const char *key)
{
        size_t len = strlen(key);

        return !strncmp(part, key, len) && part[len] == '=' ? part + len + 1 : NULL;
}

static int add_image(const struct image_option *option, const char *text, struct hf_vm_spec *spec,
                     struct hf_error *err)
{
        char part[HF_VM_PATH_MAX], path[HF_VM_PATH_MAX] = "";
        unsigned flags = 0;
        const char *rest = text;

        if (strlen(text) >= HF_VM_PATH_MAX)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "%s: longer than %d bytes", option->name, HF_VM_PATH_MAX);
        while (next_part(&rest, part)) {
                const char *value = value_of(part, option->path);

                if (value)
                        memcpy(path, value, strlen(value) + 1);
                value = value_of(part, option->readonly);
                if (value)
                        flags = !strcmp(value, "on") || !strcmp(value, "true") ? HF_VM_DISK_READONLY
                                                                               : 0;
        }
        /* A disk that another process serves, over a socket, has none. */
        return *path ? hf_vm_spec_add_disk(spec, path, flags, NULL, option->name, err) : 0;
}

/* The option that a word is, with *ret_value what follows its "=", or NULL. */
static const struct image_option *option_of(const char *word, const char **ret_value)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(image_options); i++) {
                *ret_value = value_of(word, image_options[i].name);
                if (*ret_value || !strcmp(word, image_options[i].name))
                        return &image_options[i];
        }
        return NULL;
}

int hf_cloud_hypervisor_read(const char *const *argv, bool no_backing, struct hf_vm_spec *spec,
                             struct hf_error *err)
{
        const struct image_option *option = NULL;
        int r = 0;

        for (size_t i = 1; argv[i] && r >= 0; i++) {
                const char *value = argv[i];

                /* Whatever does not look like an option is one more value of the last one. */
                if (argv[i][0] == '-')
                        option = option_of(argv[i], &value);
                if (option && value)
                        r = add_image(option, value, spec, err);
        }
        return r < 0 || no_backing ? r : hf_image_chain_add(spec, err);
}
