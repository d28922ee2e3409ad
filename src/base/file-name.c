/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/file-name.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* '%' and 16 digits of a hash. */
#define TAIL 17

/* FNV-1a: not a secret, only seldom the same. */
static uint64_t hash_of(const char *name)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (; *name; name++)
                hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
        return hash;
}

static int is_plain(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c && strchr("._-+:@", c));
}

void hf_file_name(const char *name, char ret[HF_FILE_NAME_MAX + 1])
{
        size_t len = 0, cut = 0;

        for (const char *at = name; *at; at++) {
                char piece[4] = {*at};

                if (!is_plain(*at) || (*at == '.' && at == name))
                        (void)snprintf(piece, sizeof(piece), "%%%02X", (unsigned char)*at);
                if (len + strlen(piece) <= HF_FILE_NAME_MAX - TAIL)
                        cut = len + strlen(piece);
                if (len + strlen(piece) > HF_FILE_NAME_MAX) {
                        (void)snprintf(ret + cut, HF_FILE_NAME_MAX + 1 - cut, "%%%016" PRIx64,
                                       hash_of(name));
                        return;
                }
                memcpy(ret + len, piece, strlen(piece));
                len += strlen(piece);
        }
        if (len == 0)
                ret[len++] = '%';
        ret[len] = '\0';
}
