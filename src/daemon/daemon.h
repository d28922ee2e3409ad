/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The daemon's process: what it was asked for, and what it lives on.
 *
 *   main.c      options, into the background, under the keeper
 *   settings.c  the configuration, and the log as it says
 *   life.c      a server's life: from nothing or from an earlier one to its end
 *   handover.c  whether a virtlockd has executed us in its place, and the way back
 *   release-all.c   in place of all that: every lock is given up
 */

#include "base/options.h"
#include "base/path.h"
#include "daemon/config.h"
#include "daemon/leaving.h"
#include "daemon/server.h"
#include "daemon/stock-state.h"
#include "keeper/signals.h"

/* virtlockd's exit codes. */
enum exit_code {
        EXIT_OK = 0,
        EXIT_OTHER = 1, /* options, configuration, pid file */
        EXIT_RUN_DIR = 2,
        EXIT_INIT = 3,
        EXIT_SIGNALS = 4,
        EXIT_NETWORK = 6,
        EXIT_HANDOVER = 9, /* a virtlockd could not be taken over */
};

struct arguments {
        struct hf_standard_options standard;
        bool daemon;
        bool verbose;
        bool unsupervised;
        bool release_all;
        int timeout; /* seconds; 0: stay */
        const char *config;
        const char *pid_file;
        const char *probe_state;
};

/* Everything that lives as long as the daemon. */
struct daemon {
        struct arguments arguments;
        struct hf_paths paths;
        struct hf_config config;
        char *stands_for; /* virtlockd's path, at which a program was put that executed us */
        bool takes_over;  /* a virtlockd has executed us in its place */
        struct hf_stock_state stock; /* and this is what it had */
        char own_path[PATH_MAX];
        int report_fd; /* as the supervisor got it: of a first server only, then the area's */

        /* The server's. */
        struct hf_keeper *keeper;
        struct hf_area *area;
        sd_event *event;
        struct hf_server *server;
        struct hf_keeper_signals signals;
        struct hf_leaving_place leaving_place;
};

/* Reads the configuration. On failure nothing is changed. */
int daemon_load_config(const struct daemon *d, struct hf_config *ret, struct hf_error *err);

/* Whether the log can be as the configuration has it; nothing of it stays open. */
int daemon_check_log(const struct daemon *d, struct hf_error *err);

/* Logs as the configuration says. */
int daemon_apply_log(struct daemon *d, struct hf_error *err);

/* Reads the configuration again. What is wrong with it changes nothing. */
int daemon_reload(struct daemon *d, struct hf_error *err);

/*
 * Gives up every lock: of the daemon that runs, or what the last one left. Returns the
 * exit status.
 */
int daemon_release_all(const struct daemon *d);

/*
 * Looks for what a virtlockd has left for this very process: 1 with d->stock, 0 where there is
 * nothing, or a negative errno, which was reported: something is there, and cannot be read.
 */
int daemon_find_handover(struct daemon *d);

/* Where a newer program of ours will be found; NULL: where this one was started. */
const char *daemon_own_path(struct daemon *d);

/* Becomes the virtlockd again that has executed us, with all that it had, as soon as that can be.
 */
_Noreturn void daemon_give_back(const struct daemon *d, char **argv);

/* Serves: the program under the keeper. Returns the exit status. */
int daemon_live(struct hf_keeper *keeper, void *data);
