/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Workers: processes for what may block, made by a server.
 *
 * A server that calls into a filesystem that does not answer is lost with all it
 * serves, and a thread of it that does so hides its death. A worker is a process,
 * a copy of the server for one job, that can be waited for, or not. It is a child
 * of the supervisor, which reaps it, so it outlives the server, and is watched by
 * its pidfd alone.
 *
 * What it opens shall not turn up among the descriptors of a server that has
 * given it up, or of a later one. So it has a table of its own, made in one step
 * without ours in it, and sends what it opened through a pair of sockets, the
 * same for all workers. Its results wait there, whoever may have been killed
 * meanwhile, until a server fetches them. Only closing a descriptor of ours has
 * to be done in our table; such a worker opens nothing.
 */

#include "keeper/keeper.h"

enum hf_keeper_table {
        HF_KEEPER_TABLE_OWN,    /* 0, 1, 2 and the keeper's */
        HF_KEEPER_TABLE_SHARED, /* ours, as it is and will be */
};

/*
 * Makes a worker, in a server that is supervised. Returns 0 in it, its pid in the server, or a
 * negative errno. It has the server's signal mask, so that a signal to all of the program is not
 * its end, and ends with _exit. *ret_pidfd, which may lie in the area, is stored by
 * the kernel in the same call: there is no worker without it.
 */
pid_t hf_keeper_clone_worker(struct hf_keeper *keeper, enum hf_keeper_table table,
                             int32_t *ret_pidfd);

/*
 * Which descriptor table this is: another number after an upgrade, or in an heir.
 * A worker that was made before with HF_KEEPER_TABLE_SHARED has the table of then.
 */
uint32_t hf_keeper_table(const struct hf_keeper *keeper);

/* In a worker: sends a number and a descriptor to the server. Negative errno. */
int hf_keeper_send_result(struct hf_keeper *keeper, uint64_t number, int fd);

/*
 * In the server: the next of what workers have sent, without waiting. *ret_fd, the
 * caller's, is not close-on-exec, as its closing may block; -1 where there was no
 * room for it. Returns 1, or 0 when there is nothing.
 */
int hf_keeper_receive_result(struct hf_keeper *keeper, uint64_t *ret_number, int *ret_fd);
