/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/keeper-private.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <string.h>
#include <sys/prctl.h>

/*
 * The way of a program into the keeper: as a first one, or in the place of one
 * that was there before; then as a supervisor or, unsupervised, as a server.
 */

extern char **environ;

/*
 * The environment of a successor is made now: a supervisor asks for no memory
 * later, and what a server does to its environment is its own affair.
 */
static int make_env(struct hf_keeper *keeper, struct hf_error *err)
{
        size_t n = 0;

        while (environ && environ[n])
                n++;
        keeper->env = calloc(n + 2, sizeof(*keeper->env));
        if (!keeper->env || asprintf(&keeper->env[0], HF_KEEPER_ENV "=%d",
                                     hf_keeper_fd(keeper, HF_KEEPER_FD_AREA)) < 0)
                return hf_error_sys(err, ENOMEM, "cannot copy the environment");
        if (n)
                memcpy(&keeper->env[1], environ, n * sizeof(*environ));
        return 0;
}

static int begin(struct hf_keeper *keeper, struct hf_error *err)
{
        int first, r;

        keeper->start = HF_KEEPER_FIRST;
        keeper->listen_fds = hf_keeper_numbers_listen();
        r = hf_keeper_numbers_note(keeper, err);
        if (r < 0)
                return r;
        if (keeper->program->keeps_given && keeper->n_given)
                first = keeper->given[keeper->n_given - 1] + 1;
        else
                first = hf_keeper_numbers_free(keeper->listen_fds);
        return hf_keeper_area_make(keeper, first, err);
}

/* A program that is executed by descriptor or by link has the name of that until it says its own.
 */
static void take_name(const struct hf_keeper_header *header)
{
        const char *slash = strrchr(header->path, '/');

        if (slash)
                (void)prctl(PR_SET_NAME, slash + 1);
}

static void take_over(struct hf_keeper *keeper)
{
        struct hf_keeper_header *header = keeper->header;

        take_name(header);
        hf_keeper_probe_leftover(keeper);
        keeper->start = header->command == HF_KEEPER_DO_UPGRADE ? HF_KEEPER_UPGRADED
                                                                : HF_KEEPER_HEIR;
        header->command = HF_KEEPER_GO_ON;
        header->tables++;
}

static int enter(struct hf_keeper *keeper, struct hf_error *err)
{
        int r;

        r = hf_keeper_numbers_standard(err);
        if (r >= 0)
                r = hf_keeper_area_find(keeper, err);
        if (r > 0)
                take_over(keeper);
        else if (r == 0)
                r = begin(keeper, err);
        if (r >= 0) {
                hf_keeper_watchdog_begin(keeper);
                r = hf_keeper_numbers_fill(keeper, err);
        }
        return r < 0 ? r : make_env(keeper, err);
}

static void leave(struct hf_keeper *keeper)
{
        if (keeper->env)
                free(keeper->env[0]);
        free(keeper->env);
        free(keeper->given);
        hf_keeper_area_unmap(keeper);
}

int hf_keeper_run(const struct hf_keeper_program *program, char **argv, bool supervised,
                  struct hf_error *err)
{
        struct hf_keeper keeper = {.program = program, .argv = argv, .supervised = supervised};
        int r;

        r = enter(&keeper, err);
        if (r >= 0 && supervised)
                r = hf_keeper_supervise(&keeper, err);
        else if (r >= 0) {
                hf_keeper_mask_server();
                r = program->serve(&keeper, program->data);
        }
        leave(&keeper);
        return r;
}

static void close_left_over(void *data, int fd)
{
        (void)data;
        (void)close(fd);
}

_Noreturn void hf_keeper_serve(struct hf_keeper *keeper)
{
        if (keeper->start == HF_KEEPER_FIRST && keeper->generation > 1) {
                hf_keeper_area_wipe(keeper);
                hf_keeper_reconcile(keeper, keeper->given, keeper->n_given, close_left_over, NULL);
        }
        exit(keeper->program->serve(keeper, keeper->program->data));
}

void *hf_keeper_area(struct hf_keeper *keeper)
{
        return (char *)keeper->header + HF_KEEPER_HEADER_SIZE;
}

size_t hf_keeper_area_size(const struct hf_keeper *keeper)
{
        return keeper->mapped_size - HF_KEEPER_HEADER_SIZE;
}

enum hf_keeper_start hf_keeper_start(const struct hf_keeper *keeper)
{
        return keeper->start;
}

int hf_keeper_last_status(const struct hf_keeper *keeper)
{
        return keeper->last_status;
}

bool hf_keeper_last_hung(const struct hf_keeper *keeper)
{
        return keeper->last_hung;
}

pid_t hf_keeper_pid(const struct hf_keeper *keeper)
{
        return keeper->header->pid;
}

int hf_keeper_listen_fds(const struct hf_keeper *keeper)
{
        return keeper->start == HF_KEEPER_FIRST ? keeper->listen_fds : 0;
}

void hf_keeper_ready(struct hf_keeper *keeper)
{
        keeper->header->ready_at = hf_clock_nsec(CLOCK_MONOTONIC);
        keeper->header->ready = 1;
}

void hf_keeper_end(struct hf_keeper *keeper)
{
        keeper->header->command = HF_KEEPER_DO_END;
}

int hf_keeper_supervisor_fd(const struct hf_keeper *keeper)
{
        return keeper->supervised ? hf_keeper_fd(keeper, HF_KEEPER_FD_SUPERVISOR) : -1;
}

int hf_keeper_upgrade_error(const struct hf_keeper *keeper)
{
        return keeper->upgrade_error;
}
