/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How a connection's process gets a backend that may do more than it may itself: it asks the main
 * process, over its control socket, and is sent a socket to a process made for it.
 */

#include "prhelper/backends.h"

/*
 * Asks for a backend. Returns 0 and the socket, -EPERM where the main process will not have one, or
 * -errno.
 */
int hf_pr_broker_ask(int control, enum hf_pr_backend_id id, int *ret_socket);

/*
 * In the main process: reads a question from a connection's control socket. Returns 1 and what is
 * asked for, 0 when the connection's process is gone, -errno (-EAGAIN: nothing yet).
 */
int hf_pr_broker_hear(int control, unsigned int *ret_id);

/* Answers it; socket < 0: no. */
void hf_pr_broker_answer(int control, int socket);
