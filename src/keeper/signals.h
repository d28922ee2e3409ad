/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a server is told while it serves: to end (SIGINT, SIGQUIT, SIGTERM), to read its
 * configuration again (SIGHUP), to become the program that is installed now (SIGUSR1); and that
 * its supervisor was killed, whose place it takes. For servers whose loop is sd-event's.
 */

#include "keeper/keeper.h"

#include <systemd/sd-event.h>

struct hf_keeper_signal_ops {
        /* Reads the configuration again. What is wrong with it changes nothing. */
        int (*reload)(void *data, struct hf_error *err);
        /*
         * Before another program is executed, here or by the supervisor: what only this server can
         * bring to its end. A negative errno: not now. May be NULL.
         */
        int (*part)(void *data);
        /* All that the area tells of stays open in another program (stays), or does not. */
        void (*leave)(void *data, bool stays);
};

/* The caller's, for as long as the loop runs. Zeros at first. */
struct hf_keeper_signals {
        struct hf_keeper *keeper;
        sd_event *event;
        const struct hf_keeper_signal_ops *ops;
        void *data;
        sd_event_source *probe, *probe_limit; /* while a newer program is being asked */
        sd_event_source *succession;          /* the next try to take the supervisor's place */
};

/* Makes the loop act on all that. The first four members are set. */
int hf_keeper_handle_signals(struct hf_keeper_signals *signals, struct hf_error *err);
