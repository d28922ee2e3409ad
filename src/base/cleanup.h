/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Scope-bound ownership.
 *
 * A variable declared with one of the hf_cleanup_* attributes owns what it
 * holds until the scope ends or until it is stolen. hf_steal_ptr and
 * hf_steal_fd move ownership out: they return the value and leave the empty
 * value behind, so that the attribute then does nothing.
 */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define hf_cleanup(fn) __attribute__((cleanup(fn)))

/* Closes *fd if it is a descriptor (>= 0), keeping errno. */
static inline void hf_close_fd(int *fd)
{
        if (*fd >= 0) {
                int saved = errno;

                (void)close(*fd);
                errno = saved;
        }
        *fd = -1;
}

static inline void hf_free_ptr(void *ptr)
{
        void **owned = ptr;

        free(*owned);
        *owned = NULL;
}

static inline void hf_close_file(FILE **file)
{
        if (*file)
                (void)fclose(*file);
        *file = NULL;
}

static inline void hf_close_dir(DIR **dir)
{
        if (*dir)
                (void)closedir(*dir);
        *dir = NULL;
}

#define hf_cleanup_fd   hf_cleanup(hf_close_fd)
#define hf_cleanup_free hf_cleanup(hf_free_ptr)
#define hf_cleanup_file hf_cleanup(hf_close_file)
#define hf_cleanup_dir  hf_cleanup(hf_close_dir)

static inline int hf_steal_fd(int *fd)
{
        int value = *fd;

        *fd = -1;
        return value;
}

#define hf_steal_ptr(ptr)                                                                          \
        ({                                                                                         \
                __typeof__(ptr) *hf_steal_at = &(ptr);                                             \
                __typeof__(ptr) hf_stolen = *hf_steal_at;                                          \
                *hf_steal_at = NULL;                                                               \
                hf_stolen;                                                                         \
        })

#define HF_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
