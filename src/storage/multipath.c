/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/multipath.h"

#include "base/cleanup.h"
#include "base/program.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sysmacros.h>

/* The built-in table of devices makes up most of it, some 60 kB; a site adds a line a disk. */
#define CONFIG_MAX (4 * 1024 * 1024)

/* "mpath-" stands before the WWID in the UUID that device-mapper keeps. */
#define UUID_PREFIX "mpath-"

int hf_multipath_wwid(const char *sysfs, dev_t device, char ret[static HF_MULTIPATH_WWID_MAX])
{
        char path[4096], uuid[sizeof(UUID_PREFIX) - 1 + HF_MULTIPATH_WWID_MAX] = "";
        hf_cleanup_file FILE *file = NULL;

        (void)snprintf(path, sizeof(path), "%s/dev/block/%u:%u/dm/uuid", sysfs, major(device),
                       minor(device));
        file = fopen(path, "re");
        if (!file || !fgets(uuid, sizeof(uuid), file))
                return -ENOENT;
        uuid[strcspn(uuid, "\n")] = '\0';
        if (strncmp(uuid, UUID_PREFIX, strlen(UUID_PREFIX)))
                return -ENOENT;
        (void)snprintf(ret, HF_MULTIPATH_WWID_MAX, "%s", uuid + strlen(UUID_PREFIX));
        return 0;
}

/* ---- the configuration ------------------------------------------------------------------ */

/* Where in it we are: "defaults", or "multipaths" and in it one "multipath" a map. */
struct place {
        char outer[32], inner[32];
        unsigned int depth;
        char wwid[HF_MULTIPATH_WWID_MAX], key[HF_MULTIPATH_KEY_MAX]; /* of the inner section */
};

static void copy(char *to, size_t size, const char *text, size_t len)
{
        (void)snprintf(to, size, "%.*s", (int)(len < size ? len : size - 1), text);
}

/* The first two words of a line; a value stands in quotation marks or not. */
static void split(const char *line, size_t len, char word[static 64], char value[static 256])
{
        const char *end = line + len, *at = line;
        size_t n;

        while (at < end && (*at == ' ' || *at == '\t'))
                at++;
        n = 0;
        while (at + n < end && !strchr(" \t", at[n]))
                n++;
        copy(word, 64, at, n);
        at += n;
        while (at < end && strchr(" \t\"", *at))
                at++;
        n = 0;
        while (at + n < end && !strchr(" \t\"", at[n]))
                n++;
        copy(value, 256, at, n);
}

/* Whether the line begins or ends a section. */
static bool take_section(struct place *place, const char *word, const char *value)
{
        if (!strcmp(value, "{")) {
                char *name = place->depth == 0 ? place->outer : place->inner;

                if (place->depth < 2)
                        copy(name, sizeof(place->outer), word, strlen(word));
                place->depth++;
                place->wwid[0] = place->key[0] = '\0';
                return true;
        }
        if (!strcmp(word, "}")) {
                place->depth -= place->depth > 0;
                return true;
        }
        return false;
}

static bool is_map(const struct place *place)
{
        return place->depth == 2 && !strcmp(place->outer, "multipaths") &&
               !strcmp(place->inner, "multipath");
}

/* Each key as it comes; a map's own counts when its section names the WWID, before or after. */
static void take_line(struct place *place, const char *word, const char *value, const char *wwid,
                      char defaults[static HF_MULTIPATH_KEY_MAX],
                      char own[static HF_MULTIPATH_KEY_MAX])
{
        if (take_section(place, word, value))
                return;
        if (place->depth == 1 && !strcmp(place->outer, "defaults") &&
            !strcmp(word, "reservation_key"))
                copy(defaults, HF_MULTIPATH_KEY_MAX, value, strlen(value));
        if (!is_map(place))
                return;
        if (!strcmp(word, "wwid"))
                copy(place->wwid, sizeof(place->wwid), value, strlen(value));
        else if (!strcmp(word, "reservation_key"))
                copy(place->key, sizeof(place->key), value, strlen(value));
        if (*place->key && !strcmp(place->wwid, wwid))
                copy(own, HF_MULTIPATH_KEY_MAX, place->key, strlen(place->key));
}

void hf_multipath_key_of(const char *config, const char *wwid,
                         char ret[static HF_MULTIPATH_KEY_MAX])
{
        char defaults[HF_MULTIPATH_KEY_MAX] = "", own[HF_MULTIPATH_KEY_MAX] = "";
        struct place place = {0};

        while (*config) {
                size_t len = strcspn(config, "\n");
                char word[64], value[256];

                split(config, len, word, value);
                take_line(&place, word, value, wwid, defaults, own);
                config += len + (config[len] == '\n');
        }
        (void)snprintf(ret, HF_MULTIPATH_KEY_MAX, "%s", *own ? own : defaults);
}

int hf_multipath_key(const char *wwid, uint64_t deadline, char ret[static HF_MULTIPATH_KEY_MAX],
                     struct hf_error *err)
{
        static const char *const argv[] = {"multipath", "-t", NULL};
        hf_cleanup_free char *config = NULL;
        char program[PATH_MAX];
        int status, r;

        if (hf_program_find(argv[0], program) < 0)
                return hf_error_set(err, ENOENT, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_LOCKING,
                                    "there is no program multipath");
        r = hf_program_read(program, argv, deadline, CONFIG_MAX, &config, &status, err);
        if (r < 0)
                return r;
        if (status != 0)
                return hf_error_set(err, EIO, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_LOCKING,
                                    "%s -t ended with %d", program, status);
        hf_multipath_key_of(config, wwid, ret);
        return 0;
}
