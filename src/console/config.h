/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* console.conf. */

#include "base/conf.h"

struct hf_con_config {
        char *lock_files;          /* "auto", "off" or a directory */
        char *log_directory;       /* NULL: the default; "off" */
        unsigned int log_max_size; /* KiB of one file; 0: no limit */
        unsigned int log_max_backups;
        unsigned int scrollback; /* KiB kept of each console */
        unsigned int max_consoles;
        unsigned int max_clients;
        char *unix_sock_group; /* of both sockets; NULL: as the daemon */
        char *unix_sock_rw_perms, *unix_sock_ro_perms;
        unsigned int rw_mode, ro_mode; /* the same, understood */
        int log_level;
        char *log_filters, *log_outputs;
};

extern const struct hf_conf_key hf_con_config_keys[];
extern const size_t hf_con_config_keys_n;

/*
 * Reads the file at path, or with path NULL the one at default_path, if there is one. Fields of
 * *ret are overwritten; free with hf_con_config_clear. notice is told of entries without effect.
 */
int hf_con_config_load(const char *path, const char *default_path, hf_conf_notice_fn notice,
                       void *ctx, struct hf_con_config *ret, struct hf_error *err);
void hf_con_config_clear(struct hf_con_config *config);

/* The directory of lock files as the configuration has it; "": none are made. */
const char *hf_con_config_lock_dir(const struct hf_con_config *config);
