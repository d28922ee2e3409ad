/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/strv.h"

#include <string.h>

size_t hf_strv_len(char *const *list)
{
        size_t n = 0;

        while (list && list[n])
                n++;
        return n;
}

int hf_strv_append_n(char ***list, const char *text, size_t len)
{
        hf_cleanup_free char *copy = strndup(text, len);
        size_t n = hf_strv_len(*list);
        char **larger;

        if (!copy)
                return -ENOMEM;
        /* Grown when n is a power of two, so that a long list is not copied for each string. */
        if ((n & (n - 1)) == 0) {
                larger = reallocarray(*list, n ? 2 * n + 1 : 2, sizeof(*larger));
                if (!larger)
                        return -ENOMEM;
                *list = larger;
        }
        (*list)[n] = hf_steal_ptr(copy);
        (*list)[n + 1] = NULL;
        return 0;
}

int hf_strv_append(char ***list, const char *text)
{
        return hf_strv_append_n(list, text, strlen(text));
}

void hf_strv_free(char **list)
{
        for (char **at = list; at && *at; at++)
                free(*at);
        free(list);
}
