/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The parking lot: descriptors that outlive all our processes at once.
 *
 * A socketpair, of which one end sends and the other receives. A descriptor that
 * is sent and not received is in flight: the kernel keeps it open, with all that
 * hangs on it, for as long as somebody has the receiving end. That end is given
 * away, once, to whoever outlives us (systemd's fd store); nothing more has to be
 * given away when descriptors are parked later.
 *
 * A parked descriptor comes with a cookie, a few bytes of the caller's by which
 * it is known again. Single ones cannot be taken out: what is of no use any more
 * goes with the whole lot, when all that is of use has been parked in another.
 */

#include <stddef.h>

/* Longest cookie. */
#define HF_LOT_COOKIE_MAX 64

/*
 * Makes an empty lot: `*ret_in` to park in, `*ret_out` to be given away (both
 * close-on-exec). Negative errno.
 */
int hf_lot_make(int *ret_in, int *ret_out);

/*
 * Parks a duplicate of the descriptor, which stays the caller's. Does not wait:
 * -EAGAIN when the lot is full, -ETOOMANYREFS when the user has too much in flight
 * (more than RLIMIT_NOFILE, without CAP_SYS_RESOURCE and CAP_SYS_ADMIN), -EPIPE when
 * nobody has the receiving end any more. cookie has len bytes, 1 to
 * HF_LOT_COOKIE_MAX.
 */
int hf_lot_park(int in, int fd, const void *cookie, size_t len);

/*
 * What came out of a lot; the descriptor is the callee's from now on. parked: it
 * has been parked again (see below).
 */
typedef void (*hf_lot_each_fn)(void *data, int fd, const void *cookie, size_t len, int parked);

/*
 * Takes everything out of a lot. Each descriptor is parked in another lot (`to`;
 * -1: none), with its cookie, before it leaves this one, so that there is no
 * moment in which it is in neither. parked is 0, or why it could not be, as
 * hf_lot_park says; -ENOENT without another lot. Returns 0 when the lot is
 * empty; a negative errno, such as -EMFILE, with the rest still in it.
 */
int hf_lot_drain(int out, int to, hf_lot_each_fn each, void *data);
