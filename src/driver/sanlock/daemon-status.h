/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the sanlock daemon tells of itself and of its hosts, which the library has no call for: the
 * command `sanlock client` is run, and its output read. That output may be of another version:
 * what is not understood is passed over.
 *
 *     sanlock client status -D            the daemon, processes, lockspaces, leases
 *     sanlock client host_status -s LS -D hosts of a lockspace, with their names
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HF_SANLOCK_HOST_NAME_MAX 48

struct hf_sanlock_process {
        pid_t pid;
        char name[49]; /* as it called itself, or "" */
        bool restricted;
};

struct hf_sanlock_space {
        char name[49];
        uint64_t host_id;
        char *path;
        uint64_t offset;
        unsigned int io_timeout;
        bool adding, removing;
        unsigned int renew_fail; /* 0: renewals succeed */
        bool killing;            /* it has failed, and its processes are being ended */
        uint64_t last_success;   /* of a renewal: seconds of CLOCK_MONOTONIC */
};

struct hf_sanlock_held {
        char lockspace[49], key[49];
        char *path;
        uint64_t offset, version; /* version 0 of a shared one */
        bool shared, orphan;
        pid_t pid;
};

struct hf_sanlock_daemon {
        char host_name[49];
        char version[32];
        bool watchdog;
        unsigned int grace; /* seconds between the first signal and SIGKILL */
        unsigned int
                watchdog_fire; /* seconds until the watchdog resets a host; 60 where not said */
        struct hf_sanlock_process *processes;
        size_t n_processes;
        struct hf_sanlock_space *spaces;
        size_t n_spaces;
        struct hf_sanlock_held *held;
        size_t n_held;
};

enum hf_sanlock_host_state {
        HF_SANLOCK_HOST_UNKNOWN = 1, /* numbers of sanlock_admin.h */
        HF_SANLOCK_HOST_FREE = 2,
        HF_SANLOCK_HOST_LIVE = 3,
        HF_SANLOCK_HOST_FAIL = 4,
        HF_SANLOCK_HOST_DEAD = 5,
};

struct hf_sanlock_host {
        uint64_t id, generation, timestamp;
        char name[49]; /* as its daemon is called; "" not known */
        unsigned int io_timeout;
        uint64_t last_live; /* when its lease was last seen renewed: seconds of CLOCK_MONOTONIC */
        enum hf_sanlock_host_state state;
};

/* Pure: the text of `status -D`. */
int hf_sanlock_status_parse(const char *text, struct hf_sanlock_daemon *ret, struct hf_error *err);
/* Asks. deadline in nanoseconds of CLOCK_MONOTONIC. */
int hf_sanlock_status_read(uint64_t deadline, struct hf_sanlock_daemon *ret, struct hf_error *err);
void hf_sanlock_status_clear(struct hf_sanlock_daemon *status);

/* Pure: the text of `host_status -D`. State is UNKNOWN in all. *ret is freed with free(). */
int hf_sanlock_hosts_parse(const char *text, struct hf_sanlock_host **ret, size_t *ret_n,
                           struct hf_error *err);
/* Asks the library for states and the command for names. Its own text for "not ready yet": -EAGAIN.
 */
int hf_sanlock_hosts_read(const char *lockspace, uint64_t deadline, struct hf_sanlock_host **ret,
                          size_t *ret_n, struct hf_error *err);
