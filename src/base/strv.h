/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Lists of strings: an allocated array of allocated strings, closed by NULL,
 * as argv is. NULL is the empty list.
 */

#include "base/cleanup.h"

#include <stddef.h>

/* Number of strings in list (NULL: 0). */
size_t hf_strv_len(char *const *list);

/*
 * Appends a copy of the first len bytes of text to *list, which may move.
 * Returns 0, or -ENOMEM with *list unchanged.
 */
int hf_strv_append_n(char ***list, const char *text, size_t len);

/* The same for a whole string. */
int hf_strv_append(char ***list, const char *text);

/* Frees the list and its strings; NULL is fine. */
void hf_strv_free(char **list);

static inline void hf_strv_freep(char ***list)
{
        hf_strv_free(*list);
        *list = NULL;
}

#define hf_cleanup_strv hf_cleanup(hf_strv_freep)
