/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * pr-policy.conf: what the helper may be asked for, by whom, and how devices without reservations
 * of their own are to have them. Without the file everybody who can connect may do everything, as
 * with QEMU's helper, and nothing is emulated.
 */

#include "prhelper/policy.h"

#include "base/conf.h"

#include <stdbool.h>

enum hf_pr_nexus_mode {
        HF_PR_NEXUS_HOST, /* all that asks here is one initiator, as on a real disk */
        HF_PR_NEXUS_VM,   /* each VM is one of its own (emulated backend only) */
};

/* A logical unit that is emulated: `emulate = [ "PATH as NAME" ]`. */
struct hf_pr_unit {
        char *path; /* followed, so /dev/disk/by-id will do; compared as a thing, not as a name */
        char *name; /* what it is called in the database: the same on all hosts */
        bool file;  /* it was one when the settings were read: no device is compared with it */
};

struct hf_pr_settings {
        char **rules_text;           /* rules: policy.h */
        struct hf_pr_policy *policy; /* made of them */
        char **emulate_text;         /* emulate */
        struct hf_pr_unit *units;    /* made of them, n_units of them */
        size_t n_units;
        char *database;       /* emulation_database: an sqlite file; or NULL */
        char *directory;      /* emulation_dir: a folder of files with locks; or NULL */
        int nexus;            /* nexus: enum hf_pr_nexus_mode */
        char *host;           /* host_name: of this host as an initiator; NULL: machine-id */
        char **backends;      /* backends: names, NULL: all of them */
        int max_clients;      /* connections at once, all peers */
        int max_user_clients; /* of one uid that is not root's */
        int request_timeout;  /* seconds from a request's first byte to its last; 0: none */
        char *socket_group;   /* socket_group, NULL: as the helper's own */
        int socket_mode;      /* socket_mode, octal text in the file; -1: by the umask */
        int log_level;
        char *log_filters, *log_outputs;
};

/*
 * Reads the file; path NULL: HF_SYSCONFDIR/holdfast/pr-policy.conf, which need not be there.
 * -EINVAL with file and line in *err, also for a key that is unknown or there twice: a rule without
 * effect is worse than none. To be freed with hf_pr_settings_clear.
 */
int hf_pr_settings_load(const char *path, struct hf_pr_settings *ret, struct hf_error *err);
void hf_pr_settings_clear(struct hf_pr_settings *settings);

/* Whether the backend of that name may be used. */
bool hf_pr_settings_allow(const struct hf_pr_settings *settings, const char *backend);
