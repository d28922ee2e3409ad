/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "samples.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t now_ns(void)
{
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void samples_reserve(struct samples *samples, size_t count)
{
        uint64_t *ns;

        if (count <= samples->room)
                return;
        ns = reallocarray(samples->ns, count, sizeof(*ns));
        if (!ns)
                err(1, "out of memory");
        memset(ns + samples->room, 0, (count - samples->room) * sizeof(*ns));
        samples->ns = ns;
        samples->room = count;
}

void samples_add(struct samples *samples, uint64_t ns)
{
        if (samples->count == samples->room)
                samples_reserve(samples, samples->room ? samples->room * 2 : 1024);
        samples->ns[samples->count++] = ns;
}

void samples_clear(struct samples *samples)
{
        free(samples->ns);
        *samples = (struct samples){0};
}

static int compare(const void *left, const void *right)
{
        uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

        return a < b ? -1 : a > b;
}

void samples_sort(struct samples *samples)
{
        if (samples->count)
                qsort(samples->ns, samples->count, sizeof(*samples->ns), compare);
}

uint64_t samples_at(const struct samples *samples, unsigned int permille)
{
        if (!samples->count)
                return 0;
        return samples->ns[(samples->count - 1) * permille / 1000];
}

void samples_print(const struct samples *samples, const char *name)
{
        printf("\"%s_p50_us\": %.3f, ", name, (double)samples_at(samples, 500) / 1e3);
        printf("\"%s_p99_us\": %.3f, ", name, (double)samples_at(samples, 990) / 1e3);
        printf("\"%s_max_us\": %.3f, ", name, (double)samples_at(samples, 1000) / 1e3);
}
