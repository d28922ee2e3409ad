/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The lease of an NFSv4 mount.
 *
 * A server keeps a client's locks for as long as the client renews its lease. After that
 * another client may have them, and nobody tells the first one: its kernel goes on to
 * show the lock. Three questions can be asked:
 *
 * - of the kernel, without asking the server: how long a lease is, and whether the last
 *   renewal is longer ago (hf_nfs_leases). It says so only when it is too late;
 * - of the server: does it answer (hf_nfs_renew)? Any answer renews the lease, from the
 *   moment on at which the question was sent;
 * - of the server: does this lock still stand (hf_nfs_prove)? Only reading by the lock's
 *   own descriptor, past the page cache, tells. Setting the lock again would take it anew
 *   if it is free, and looking for a conflict finds none if another client has come and gone.
 *
 * The latter two wait for as long as the server does not answer.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_nfs_lease {
        const char *point;    /* where it is mounted */
        unsigned int seconds; /* that a lease lasts; 0: not said */
        unsigned int expired; /* seconds since the lease has ended; 0: it has not */
        bool sessions;        /* NFSv4.1 or later: each request renews the lease */
};

/* Mounts whose leases are told of; more than one host has. */
#define HF_NFS_LEASES_MAX 4096

struct hf_nfs_leases;

/* Reads the kernel's statistics of mounts. Negative errno. */
int hf_nfs_leases_new(struct hf_nfs_leases **ret);
struct hf_nfs_leases *hf_nfs_leases_free(struct hf_nfs_leases *leases);

static inline void hf_nfs_leases_freep(struct hf_nfs_leases **leases)
{
        *leases = hf_nfs_leases_free(*leases);
}

#define hf_cleanup_nfs_leases hf_cleanup(hf_nfs_leases_freep)

/* The NFSv4 mount at that point (the last one there), or NULL; belongs to the leases. */
const struct hf_nfs_lease *hf_nfs_leases_at(const struct hf_nfs_leases *leases, const char *point);

/*
 * The same for who knows no better than the point, while several may be mounted there, one above
 * the other: what is safe for all of them. False: there is none.
 */
bool hf_nfs_leases_safe(const struct hf_nfs_leases *leases, const char *point,
                        struct hf_nfs_lease *ret);

/* The parsing part, for tests and fuzzing, of a text that is changed and kept. -ENOMEM. */
int hf_nfs_leases_parse(char *text, struct hf_nfs_leases **ret);

/* Whether a filesystem's type, as mount(8) names it, is one with a lease. */
bool hf_nfs_has_lease(const char *type);

/* Whether a descriptor is of a file on NFS. */
bool hf_nfs_is_on(int fd);

/*
 * Whether the kernel is set to take lost locks again by itself (a parameter of its module
 * nfs): then nobody can tell that a lock was lost.
 */
bool hf_nfs_retakes_locks(void);

/*
 * Asks the server for the attributes of an open file. 0 when it has answered, whatever
 * it says of the file; what is waiting to be written is not waited for. A renewal
 * only with sessions. Negative errno: no answer; -ESTALE: the file is gone, and so is its lock.
 */
int hf_nfs_renew(int fd);

/*
 * Asks the server whether the lock of a descriptor stands. 0: it does; -EIO or -ESTALE:
 * it is lost, with its file perhaps, as the kernel may know without asking. Any other negative
 * errno tells nothing.
 */
int hf_nfs_prove(int fd);

/*
 * Whether the file of a descriptor has no name any more, as its server says. A stock virtlockd at
 * another host removes a lock file when it gives its lock back, which may reach the server
 * late: when another one has the lock.
 */
bool hf_nfs_is_removed(int fd);

/* Whether that is what hf_nfs_prove says of a lost lock. */
static inline bool hf_nfs_is_loss(int r)
{
        return r == -EIO || r == -ESTALE;
}
