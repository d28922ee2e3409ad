/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A backend in a process of its own: one packet with the command and its descriptor there, one
 * with what came of it back. Neither side believes the other more than it has to: the backend is
 * given what a guest wrote, and its library may do anything.
 */

#include "prhelper/backend.h"

/*
 * Has the command carried out by the process behind socket. As execute() of struct hf_pr_backend,
 * but -errno with *note if that process is gone or answers nonsense.
 */
int hf_pr_remote_execute(int socket, const struct hf_pr_request *request,
                         struct hf_scsi_result *result, struct hf_error *note);

/* Serves one connection until its end of the socket is closed. start_error: of a start that failed,
 * then every command is refused; NULL otherwise. */
void hf_pr_remote_serve(int socket, const struct hf_pr_backend *backend, void *state,
                        const struct hf_error *start_error);
