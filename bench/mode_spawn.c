/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a command costs over another: both are run in turn, many times, and
 * each is timed from before its process exists until it has been reaped. The
 * pairs' differences are reported, so that whatever slows down the machine for
 * a while hits both sides of a pair.
 */

#include "modes.h"
#include "samples.h"

#include <err.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS  100
#define WARM_UP 3

static uint64_t run_once(char **command)
{
        uint64_t begin = now_ns();
        int status, error;
        pid_t child;

        error = posix_spawn(&child, command[0], NULL, NULL, command, environ);
        if (error)
                errx(1, "cannot run %s: %s", command[0], strerror(error));
        while (waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        err(1, "waitpid");
        begin = now_ns() - begin;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                errx(1, "%s %s failed with status %d", command[0], command[1] ? command[1] : "",
                     WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        return begin;
}

static int compare(const void *left, const void *right)
{
        double a = *(const double *)left, b = *(const double *)right;

        return a < b ? -1 : a > b;
}

void mode_spawn(const struct options *options)
{
        size_t rounds = options->count ? options->count : ROUNDS;
        struct samples first = {0}, second = {0};
        double *difference;

        if (!options->command || !options->other)
                errx(2, "spawn: give two commands: -- A ARGS... ::: B ARGS...");
        difference = calloc(rounds, sizeof(*difference));
        if (!difference)
                err(1, "out of memory");
        for (size_t i = 0; i < WARM_UP; i++) {
                (void)run_once(options->command);
                (void)run_once(options->other);
        }
        for (size_t i = 0; i < rounds; i++) {
                uint64_t a = run_once(options->command), b = run_once(options->other);

                samples_add(&first, a);
                samples_add(&second, b);
                difference[i] = ((double)a - (double)b) / 1e6;
        }
        qsort(difference, rounds, sizeof(*difference), compare);
        samples_sort(&first);
        samples_sort(&second);
        printf("{\"mode\": \"spawn\", ");
        samples_print(&first, "first");
        samples_print(&second, "second");
        printf("\"difference_p50_ms\": %.4f, \"difference_p99_ms\": %.4f, \"rounds\": %zu}\n",
               difference[rounds / 2], difference[(rounds - 1) * 99 / 100], rounds);
        free(difference);
        samples_clear(&first);
        samples_clear(&second);
}
