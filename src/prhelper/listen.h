/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The socket: passed by systemd, or made where the options and settings say. */

#include "prhelper/options.h"
#include "prhelper/settings.h"

/* Room for a path: a UNIX socket has far less, a PID file's is beside it or given. */
#define HF_PR_PATH_MAX 4096

/*
 * Returns 0 and a listening socket that does not block; path is where it is, "" where it was
 * passed. -EINVAL with *err where one was passed and -k is given too, or several were.
 */
int hf_pr_listen(const struct hf_pr_arguments *arguments, const struct hf_pr_settings *settings,
                 char path[static HF_PR_PATH_MAX], int *ret_fd, struct hf_error *err);

/* Where the PID file is, if there is to be one. */
int hf_pr_pidfile(const struct hf_pr_arguments *arguments, char path[static HF_PR_PATH_MAX],
                  struct hf_error *err);
