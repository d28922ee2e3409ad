/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The file by which a virtlockd hands itself over to the program that it executes.
 *
 * Its re-exec (SIGUSR1) writes one JSON text: the listening sockets, the clients with whom they
 * act for, and every lock with its descriptor, whose number is the same in the next program. The
 * pid in it ("magic") says whose it is. What is read here was perhaps written by somebody else:
 * all of it is checked and bounded, and a text that is wrong anywhere is wrong as a whole.
 */

#include "daemon/server.h"

/* virtlockd itself reads no more, and is lost with a state that is larger. */
#define HF_STOCK_TEXT_STOCK_MAX ((size_t)10 << 20)
/* What a virtlockd may have written all the same; for as many locks as the table has room for. */
#define HF_STOCK_TEXT_MAX ((size_t)256 << 20)
/* Its own limit of clients is 5,000 at most unless somebody has raised it; each is a descriptor. */
#define HF_STOCK_CLIENTS_MAX (1U << 16)
/* No system allows a higher number by default (fs.nr_open). */
#define HF_STOCK_FD_MAX (1 << 20)

struct hf_stock_socket {
        int fd;
        enum hf_service_kind kind;
        bool removes; /* virtlockd made the socket, and removes it at its end */
};

struct hf_stock_client {
        int fd;
        enum hf_service_kind kind;
        uint64_t id;
        uint64_t connected; /* seconds since the epoch */
        bool restricted;
        uint32_t owner_id; /* 0: it has not registered */
        pid_t owner_pid;
        uint8_t owner_uuid[16];
        char *owner_name;
};

/* A directory, or (directory "") the default lockspace, which is always the first. */
struct hf_stock_space {
        char *directory;
};

struct hf_stock_lock {
        size_t space;
        char *name;
        int fd;
        bool shared, autocreate;
        size_t n_owners;
        pid_t *owners; /* may have one twice */
};

struct hf_stock_service {
        uint64_t max_clients;
        uint64_t next_client_id;
};

struct hf_stock_state {
        pid_t magic;
        struct hf_stock_service services[HF_SERVICE_KINDS];
        struct hf_stock_socket sockets[HF_LISTENERS_MAX];
        size_t n_sockets;
        struct hf_stock_client *clients;
        size_t n_clients;
        struct hf_stock_space *spaces;
        size_t n_spaces;
        struct hf_stock_lock *locks;
        size_t n_locks;
};

/* Frees what is in it, and makes zeros of it. */
void hf_stock_clear(struct hf_stock_state *state);
#define hf_cleanup_stock hf_cleanup(hf_stock_clear)

/*
 * Decodes a text of len bytes, which need not end with a NUL. -EBADMSG with *err, which says
 * what is wrong; -E2BIG: a limit is passed; -ENOMEM.
 */
int hf_stock_decode(const char *text, size_t len, struct hf_stock_state *ret, struct hf_error *err);

/* The text as virtlockd writes and reads it, to be freed. -ENOMEM. */
int hf_stock_encode(const struct hf_stock_state *state, char **ret, size_t *ret_len,
                    struct hf_error *err);

/*
 * Reads the file at path, if it is for this process: returns 1, or 0 where there is none, or it is
 * another process's, or a negative errno with *err; -EPERM: others could have written it.
 */
int hf_stock_read(const char *path, pid_t self, struct hf_stock_state *ret, struct hf_error *err);
