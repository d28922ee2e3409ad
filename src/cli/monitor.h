/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A monitor of our own for a QEMU that we start, by which the lock daemon can pause it.
 *
 * It is a QMP socket in a directory that only this user can enter, RUN_DIR/monitors, with a
 * name that is used once. QEMU is told of it by a file for -readconfig behind its own
 * options: "-mon" among these would take its default monitor away, which the user may want.
 *
 * A QEMU that is to run as another user cannot make a socket there, and shall not: whoever
 * could put another one in its place would be told what is meant for this VM. We listen for it, and
 * hand the descriptor on. The file, which is no secret, is in RUN_DIR/monitors-of-users then, which
 * lets others through: the sockets of QEMUs that made their own stay out of reach.
 *
 * Who waits for the VM removes both files when it has ended. What a killed one left is
 * removed by the next: files of a process that is gone, whose socket nobody has bound.
 * QEMU itself removes the socket where it can. What is left over does no harm.
 */

#include <stdbool.h>

struct hf_monitor {
        char *socket; /* NULL: there is none */
        char *config;
        char **argv; /* QEMU's, with the options for it; the strings belong to others */
        bool has_fd;
        int fd; /* it listens already, and QEMU gets this descriptor (has_fd) */
};

/*
 * Prepares one for a command line, which is QEMU's (or nothing happens), and removes what others
 * have left. Where that cannot be done it is reported, and there is none.
 */
void hf_monitor_prepare(char **argv, bool other_user, struct hf_monitor *ret);

/* After the fork, in the process that is not QEMU's: it listens no more. */
void hf_monitor_handed_on(struct hf_monitor *monitor);

/* Removes its files, but for a VM that has left its first process and lives. */
void hf_monitor_remove(struct hf_monitor *monitor);

/* Frees what the struct holds. */
void hf_monitor_clear(struct hf_monitor *monitor);

#define hf_cleanup_monitor hf_cleanup(hf_monitor_clear)
