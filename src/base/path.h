/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where things are.
 *
 * A process is privileged if its effective user is root; all others belong to
 * a user's session. The places are virtlockd's, so that stock clients find us,
 * with a holdfast/ of our own beside each libvirt/:
 *
 *                     privileged              session
 *   run root          RUNSTATEDIR (/run)      $XDG_RUNTIME_DIR, or without it
 *                                             $XDG_CACHE_HOME or ~/.cache
 *   sockets           ROOT/libvirt/virtlockd-sock, ROOT/libvirt/virtlockd-admin-sock,
 *                     ROOT/holdfast/holdfast-sock, ROOT/holdfast/holdfast-sock-ro
 *   pid files         ROOT/virtlockd.pid      ROOT/libvirt/virtlockd.pid
 *                     (and beside it virtlockd-restart-exec.json)
 *                     ROOT/holdfast/holdfastd.pid
 *   state             ROOT/holdfast/holdfastd.state
 *   labels            LOCALSTATEDIR/lib/       ROOT/holdfast/labels
 *                     holdfast/labels
 *   of consoles       ROOT/holdfast/console-sock, ROOT/holdfast/console-sock-ro,
 *                     ROOT/holdfast/holdfast-consoled.pid, ROOT/holdfast/holdfast-consoled.state
 *   what they print   LOCALSTATEDIR/log/       $XDG_STATE_HOME or ~/.local/state,
 *                     holdfast/consoles        holdfast/consoles below it
 *   configuration     SYSCONFDIR              $XDG_CONFIG_HOME or ~/.config
 *
 * HOLDFAST_RUN_DIR replaces the run root in both cases, and then labels and what consoles print
 * are below it in both.
 * The environment is
 * not believed in a set-user-ID program, and paths in it must be absolute.
 */

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct hf_paths {
        bool privileged;
        char *run_root;
        char *libvirt_run_dir;  /* ROOT/libvirt */
        char *run_dir;          /* ROOT/holdfast */
        char *virtlockd_socket; /* the six sockets fit struct sockaddr_un */
        char *virtlockd_admin_socket;
        char *socket;
        char *socket_ro;
        char *virtlockd_pid_file;
        char *virtlockd_handover; /* by which a virtlockd hands itself over when it executes itself
                                   */
        char *pid_file;
        char *state_file; /* ROOT/holdfast/holdfastd.state */
        char *label_dir;  /* the table of labelled images */
        char *libvirt_config_dir;
        char *config_dir;
        char *virtlockd_config; /* CONFIG/libvirt/virtlockd.conf */
        char *lockd_config;     /* CONFIG/libvirt/qemu-lockd.conf */
        char *sanlock_config;   /* CONFIG/libvirt/qemu-sanlock.conf */
        char *daemon_config;    /* CONFIG/holdfast/holdfastd.conf */
        char *client_config;    /* CONFIG/holdfast/holdfast.conf */
        char *console_socket;
        char *console_socket_ro;
        char *console_pid_file;
        char *console_state_file;
        char *console_log_dir; /* what the guests' consoles print */
        char *console_config;  /* CONFIG/holdfast/console.conf */
};

/*
 * Fills *ret for this process; free it with hf_paths_clear. Nothing is created
 * or looked at. -EINVAL when a variable of the environment is no absolute
 * path, -ENAMETOOLONG when a socket's path does not fit, -ENOENT when the user
 * has no home directory and needs one, -ENOMEM.
 */
int hf_paths_init(struct hf_paths *ret, struct hf_error *err);

/* Frees what the struct holds and sets it to zero. */
void hf_paths_clear(struct hf_paths *paths);

#define hf_cleanup_paths __attribute__((cleanup(hf_paths_clear)))

/*
 * Makes the directory at path and those above it that are missing, each with
 * mode (less the umask). One that is there already is left as it is. Also fine
 * when several processes do so at once. -ENOTDIR if something else is there.
 */
int hf_path_make_dirs(const char *path, mode_t mode, struct hf_error *err);
