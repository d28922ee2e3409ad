/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who has the place of a daemon; under systemd also: whether that one is of the same service. */

#include "keeper/keeper.h"

#include <sys/types.h>

/*
 * As hf_pidfile_take. But where systemd has started this process while one of the same
 * service holds the place (the supervisor of that one was killed, so systemd took the service
 * for ended, and its server has become the supervisor), systemd is told which process is the
 * service's main one. Returns 1 then: there is nothing to do but to end, with success.
 */
int hf_keeper_take_place(const char *pid_file, pid_t pid, int *ret_fd, struct hf_error *err);

/*
 * Before another program is executed in our place that feeds no watchdog (off), and when that
 * has failed (not off): tells systemd, where it has one, to expect nothing, or as much as before.
 */
void hf_keeper_watchdog_off(const struct hf_keeper *keeper, bool off);
