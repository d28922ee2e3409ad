/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* holdfastd.conf: virtlockd.conf's keys and ours. */

#include "base/conf.h"

struct hf_config {
        unsigned int max_clients;
        unsigned int admin_max_clients;
        unsigned int filesystem_timeout; /* seconds */
        bool holder_records;
        int on_lost; /* enum hf_on_lost, for VMs that said nothing; never DEFAULT */
        int log_level;
        char *log_filters;
        char *log_outputs;
        char *unix_sock_group;     /* of the sockets of our own; NULL: as the daemon */
        unsigned int sock_ro_mode; /* permissions of holdfast-sock-ro */
        char *unix_sock_ro_perms;
};

extern const struct hf_conf_key hf_config_keys[];
extern const size_t hf_config_keys_n;

/*
 * Reads the file at path, or with path NULL the default ones: holdfastd.conf,
 * or an existing virtlockd.conf as it is. Fields of *ret are overwritten; free
 * with hf_config_clear. notice is told of entries without effect.
 */
int hf_config_load(const char *path, const char *const *defaults, hf_conf_notice_fn notice,
                   void *ctx, struct hf_config *ret, struct hf_error *err);
void hf_config_clear(struct hf_config *config);
