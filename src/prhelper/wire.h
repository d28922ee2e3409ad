/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A connection's bytes: whole requests in, whole answers out.
 *
 * Each call waits for the peer and, beside it, for the end of the control socket: by that the main
 * process says, also by dying, that there is no more time. Then one request is still served whose
 * first bytes have come, for the peer would not send it again; after it is the end.
 */

#include "scsi/pr.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct hf_pr_wire {
        int fd, control;
        int timeout;      /* seconds from a request's first byte to its last; 0: any */
        uint64_t started; /* of the request that is read: CLOCK_MONOTONIC, ms */
        bool leaving;     /* the control socket has ended */
        uint64_t left;    /* when that was seen, as above */
};

/*
 * Reads n bytes; a descriptor that comes with them is dropped. Returns 1; 0 where the peer is gone
 * or time is up; -ETIMEDOUT; -errno.
 */
int hf_pr_wire_read(struct hf_pr_wire *wire, void *data, size_t n);

/*
 * Reads a CDB and the one descriptor that comes with any of its bytes. Returns as above, and
 * -EBADMSG without a descriptor or with several.
 */
int hf_pr_wire_read_cdb(struct hf_pr_wire *wire, uint8_t cdb[static HF_PR_CDB_SIZE], int *ret_fd);

/* Sends two pieces as one. Returns 1, 0 where the peer is gone, -ETIMEDOUT or -errno. */
int hf_pr_wire_write(struct hf_pr_wire *wire, const void *head, size_t head_size, const void *tail,
                     size_t tail_size);
