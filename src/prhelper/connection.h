/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One connection, in a process of its own: a plain loop that reads a request, has it carried out,
 * and answers. What a peer or a device does here, no other connection notices.
 */

#include "prhelper/backends.h"
#include "prhelper/emulated/model.h"
#include "prhelper/peer.h"
#include "prhelper/wire.h"

#include <stdbool.h>

struct hf_pr_connection {
        struct hf_pr_wire wire;
        const struct hf_pr_settings *settings;
        struct hf_pr_peer peer;
        char nexus[HF_PR_NEXUS_MAX];  /* "": cannot be told from others */
        int backends[HF_PR_BACKENDS]; /* sockets to their processes; -1: none yet */
        bool refused[HF_PR_BACKENDS]; /* and it was said in the log */
};

/*
 * Makes a connection of the two descriptors, which stay the caller's. vm and socket as in peer.h;
 * host: this host's name as an initiator.
 */
int hf_pr_connection_init(struct hf_pr_connection *connection, int fd, int control,
                          const struct hf_pr_settings *settings, const char *vm, const char *socket,
                          const char *host, struct hf_error *err);

/* Serves it to its end. */
void hf_pr_connection_serve(struct hf_pr_connection *connection);
