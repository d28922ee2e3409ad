/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which sockets lead to a socket file, from the kernel (sock_diag(7)), without connecting to
 * anybody. A socket that was accepted counts as bound to the file that its listener is bound to.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct hf_unix_socket {
        uint32_t inode;
        uint32_t peer;    /* the inode of the other end; 0: none */
        bool listens;     /* else it is connected, or was */
        bool connected;   /* now */
        uint32_t waiting; /* of one that listens: connections not accepted yet */
};

/* A negative value ends the search. */
typedef int (*hf_unix_socket_fn)(void *data, const struct hf_unix_socket *socket);

/*
 * Tells fn of each socket of this network namespace that leads to the file of *st. Returns 0, what
 * fn ended it with, or a negative errno: then some may not have been told of.
 */
int hf_unix_sockets_of(const struct stat *st, hf_unix_socket_fn fn, void *data);
