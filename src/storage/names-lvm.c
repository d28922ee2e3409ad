/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/names-private.h"

#include "base/cleanup.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/*
 * LVM gives the kernel each volume as "VG-LV", with every hyphen within the two doubled, and
 * with the uuid "LVM-", 32 letters of the group's id, 32 of the volume's. What else LVM
 * makes of a volume has something behind that, and is not what the path means.
 */
#define PREFIX     "LVM-"
#define ID_LETTERS 32

/* Longer than what the kernel takes for either. */
#define ATTRIBUTE_MAX 256

/* How LVM prints an id: the letters of each group, with hyphens between. */
static const unsigned char groups[] = {6, 4, 4, 4, 4, 4, 6};

static bool is_letter(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '!' || c == '#';
}

/* The letters that names of groups and volumes have, less the hyphen. */
static bool is_plain(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '+' || c == '_' || c == '.';
}

/* The volume's half of the uuid, or NULL. */
static const char *volume_id(const char *uuid)
{
        if (strncmp(uuid, PREFIX, strlen(PREFIX)) != 0 ||
            strlen(uuid) != strlen(PREFIX) + 2 * (size_t)ID_LETTERS)
                return NULL;
        uuid += strlen(PREFIX);
        for (size_t i = 0; i < 2 * (size_t)ID_LETTERS; i++)
                if (!is_letter(uuid[i]))
                        return NULL;
        return uuid + ID_LETTERS;
}

/* Whether name is VG-LV: plain letters, doubled hyphens, and one single one within. */
static bool is_pair(const char *name)
{
        size_t singles = 0;

        for (const char *at = name; *at; at++) {
                if (at[0] == '-' && at[1] == '-')
                        at++;
                else if (at[0] == '-' && ++singles && (at == name || !at[1]))
                        return false;
                else if (at[0] != '-' && !is_plain(at[0]))
                        return false;
        }
        return singles == 1;
}

/* Whether VG/LV, as path has it, is what the kernel calls name. */
static bool matches(const char *pair, const char *name)
{
        for (; *pair; pair++) {
                char c = *pair == '/' ? '-' : *pair;

                if (*name++ != c || (*pair == '-' && *name++ != '-'))
                        return false;
        }
        return !*name;
}

/* The part of path that names VG and LV, or NULL; *ret_mapped: as the kernel has it. */
static const char *names_in(const char *path, bool *ret_mapped)
{
        const char *slash;

        if (strncmp(path, "/dev/", strlen("/dev/")) != 0)
                return NULL;
        path += strlen("/dev/");
        slash = strchr(path, '/');
        if (!slash || slash == path || !slash[1] || strchr(slash + 1, '/'))
                return NULL;
        *ret_mapped = !strncmp(path, "mapper/", strlen("mapper/"));
        return *ret_mapped ? slash + 1 : path;
}

bool hf_name_lvm_id(const char *path, const char *dm_name, const char *dm_uuid,
                    char ret[static HF_LVM_ID_SIZE])
{
        const char *id = volume_id(dm_uuid), *names;
        bool mapped;
        char *to = ret;

        names = names_in(path, &mapped);
        if (!id || !names || !is_pair(dm_name))
                return false;
        if (mapped ? strcmp(names, dm_name) != 0 : !matches(names, dm_name))
                return false;
        for (size_t i = 0; i < HF_ARRAY_LEN(groups); i++) {
                if (i > 0)
                        *to++ = '-';
                memcpy(to, id, groups[i]);
                to += groups[i];
                id += groups[i];
        }
        *to = '\0';
        return true;
}

static bool read_attribute(const char *sys, dev_t dev, const char *name,
                           char ret[static ATTRIBUTE_MAX])
{
        hf_cleanup_file FILE *file = NULL;
        char path[PATH_MAX];
        int len = snprintf(path, sizeof(path), "%s/dev/block/%u:%u/dm/%s", sys, major(dev),
                           minor(dev), name);

        if (len < 0 || len >= (int)sizeof(path))
                return false;
        file = fopen(path, "re");
        if (!file || !fgets(ret, ATTRIBUTE_MAX, file))
                return false;
        ret[strcspn(ret, "\n")] = '\0';
        return true;
}

bool hf_name_lvm_kernel(const char *sys, const char *path, char ret[static HF_LVM_ID_SIZE])
{
        char name[ATTRIBUTE_MAX], uuid[ATTRIBUTE_MAX];
        struct stat st;
        bool mapped;

        return names_in(path, &mapped) && stat(path, &st) == 0 && S_ISBLK(st.st_mode) &&
               read_attribute(sys, st.st_rdev, "name", name) &&
               read_attribute(sys, st.st_rdev, "uuid", uuid) &&
               hf_name_lvm_id(path, name, uuid, ret);
}
