/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The main process: accepts connections and makes a process for each, makes the backends' processes
 * that these ask for, and waits for them all. It reads nothing that a peer sent.
 *
 * Each connection's process has a control socket to us. It asks over it for backends, and ends when
 * our end of it is closed, once the command in flight is answered: so there is nothing to send when
 * it is time to go, and nothing to be left behind when we are killed.
 */

#include "prhelper/settings.h"

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct hf_pr_client;

struct hf_pr_server {
        const struct hf_pr_settings *settings;
        const char *vm;      /* of the option --vm, or NULL */
        const char *socket;  /* the path that we listen on; NULL: passed by systemd */
        dev_t socket_device; /* of that path, to know it again */
        ino_t socket_inode;
        char host[256]; /* this host's name as an initiator */
        int listener, signals;
        int pidfile; /* -1: none; children must not hold its lock */
        struct hf_pr_client *clients;
        size_t n_clients;
        pid_t *backends; /* all that live, also those whose connection is gone */
        size_t n_backends;
        bool stopping;
        bool short_of; /* descriptors, and it was said */
};

/* Takes over TERM, INT, HUP and CHLD, as of now: to be called first. -errno with *err. */
int hf_pr_server_init(struct hf_pr_server *server, struct hf_error *err);

/*
 * Serves until a signal says to stop; then until all have answered, or for so long as those who
 * stop daemons have patience. The socket is unlinked. Returns 0 or -errno with *err.
 */
int hf_pr_server_run(struct hf_pr_server *server, struct hf_error *err);
