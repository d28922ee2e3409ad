/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * UNIX stream sockets: listening, connecting, who is at the other end, and
 * descriptors as cargo. All descriptors that come from here are close-on-exec.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct hf_peer {
        pid_t pid; /* 0 if it lives in a process namespace that ours cannot see */
        uid_t uid;
        gid_t gid;
};

/*
 * Listens on path, non-blocking, with exactly mode as the socket's permissions,
 * never wider even for a moment. A socket file that nobody answers on is
 * replaced. -EADDRINUSE if somebody does answer there (*err names the process)
 * or if path is no socket; -ENAMETOOLONG; else what the system calls fail with.
 *
 * Two processes that replace the same dead socket at once can get in each
 * other's way: hold a pid file's lock around this.
 */
int hf_socket_listen(const char *path, mode_t mode, int backlog, int *ret_fd, struct hf_error *err);

/*
 * Connects to path, waiting up to wait_ms milliseconds for a place in the
 * listener's queue (< 0: without a limit), then -ETIMEDOUT. With 0 the
 * descriptor is non-blocking, and a full queue is -EAGAIN at once. -ENOENT and
 * -ECONNREFUSED: nobody listens.
 */
int hf_socket_connect(const char *path, int wait_ms, int *ret_fd, struct hf_error *err);

/*
 * Whether somebody listens on path, found by connecting. Returns 1 and the
 * listener in *ret_peer (may be NULL; all zero if its queue was full), 0 if
 * there is no file or a dead socket, or a negative errno.
 */
int hf_socket_probe(const char *path, struct hf_peer *ret_peer, struct hf_error *err);

/*
 * Sends data with a descriptor, which its receiver, or until then the socket, has open as well.
 * flags: as of sendmsg. Returns 0 or a negative errno.
 */
int hf_socket_send_fd(int fd, const void *data, size_t len, int passed, int flags);

/*
 * Who is at the other end of a connected socket: on the listener's side the
 * process that called connect, on the other the one that called listen.
 */
int hf_socket_peer(int fd, struct hf_peer *ret, struct hf_error *err);
