/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Whether a user of an image is still there.
 *
 * A VM need not be the process that it began as: QEMU's -daemonize goes on in another one. So each
 * VM carries a *life*: a lock on a file of its own below the run directory, by a descriptor that
 * its processes hand on as they do its lock connection. The kernel drops the lock when the last of
 * them has ended, however it ended, and tells who asks without taking anything. No lock daemon and
 * no lock driver has to know of it.
 *
 * A VM lives when its first process does, or its life is held. On another host nobody can tell:
 * users there are never taken for dead. After this host was started anew all of its own are.
 */

#include "label/record.h"

#include <stdbool.h>

/* What this host is called; the ids of the machine and of its last start must be known. */
struct hf_label_host {
        uint8_t machine[16], boot[16];
        char name[HF_LABEL_HOST_MAX];
};

enum hf_label_life {
        HF_LABEL_DEAD,
        HF_LABEL_ALIVE,
        HF_LABEL_ELSEWHERE, /* of another host */
};

/* In dir, where the lives of this host are. What cannot be found out is alive. */
enum hf_label_life hf_life_of(const char *dir, const struct hf_label_host *host,
                              const struct hf_label_user *user);

/*
 * Makes this process's life for the user and holds it: *ret_fd is not close-on-exec, and to be left
 * open. dir is made where it is missing.
 */
int hf_life_begin(const char *dir, const struct hf_label_user *user, int *ret_fd,
                  struct hf_error *err);

/* Whether that very process is there. */
bool hf_life_of_process(pid_t pid, uint64_t start);

/* Removes the files of lives that have ended. */
void hf_life_sweep(const char *dir);
