/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The daemon's process: what it was asked for, and what it lives on.
 *
 *   main.c      options, configuration, into the background, under the keeper
 *   life.c      a server's life: from nothing or from an earlier one to its end
 */

#include "base/log.h"
#include "base/options.h"
#include "base/path.h"
#include "console/server.h"
#include "keeper/signals.h"

/* As holdfastd's. */
enum exit_code {
        EXIT_OK = 0,
        EXIT_OTHER = 1, /* options, configuration, pid file */
        EXIT_RUN_DIR = 2,
        EXIT_INIT = 3,
        EXIT_SIGNALS = 4,
        EXIT_NETWORK = 6,
};

struct arguments {
        struct hf_standard_options standard;
        bool daemon, verbose, unsupervised;
        int timeout; /* seconds; 0: stay */
        const char *config, *probe_state;
};

/* Everything that lives as long as the daemon. */
struct consoled {
        struct arguments arguments;
        struct hf_paths paths;
        struct hf_con_config config;
        int report_fd; /* as the supervisor got it: of a first server only, then the area's */

        /* The server's. */
        struct hf_keeper *keeper;
        struct hf_con_area *area;
        sd_event *event;
        struct hf_con_server *server;
        struct hf_keeper_signals signals;
};

int consoled_load_config(const struct consoled *d, struct hf_con_config *ret, struct hf_error *err);
struct hf_log_settings consoled_log(const struct consoled *d, const struct hf_con_config *config);

/* Serves: the program under the keeper. Returns the exit status. */
int consoled_live(struct hf_keeper *keeper, void *data);
