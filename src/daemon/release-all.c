/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfastd --release-all: the explicit way to be rid of every lock.
 *
 * A daemon that is stopped frees nothing: it has its locks again when it is
 * started, and what others keep for it was never free. Who means to give up all
 * locks says so: to the daemon that runs, or, where none does, to what the last
 * one left.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/pidfile.h"
#include "base/process.h"
#include "daemon/daemon.h"
#include "daemon/recover.h"
#include "lockspace/claims.h"
#include "lockspace/rules.h"
#include "rpc/caller.h"
#include "rpc/holdfast.h"
#include "storage/duplicate.h"
#include "storage/resource.h"

#include <errno.h>

#define MODULE "daemon.release-all"

static int fail(const struct hf_error *err)
{
        hf_log(HF_LOG_ERROR, MODULE, "%s", err->text);
        return EXIT_OTHER;
}

static int ask_daemon(struct hf_caller *caller, unsigned int *ret, struct hf_error *err)
{
        struct hf_holdfast_release_all_args args = {0};
        struct hf_holdfast_release_all_ret answer = {0};
        const struct hf_call call = {
                .prog = HF_HOLDFAST_PROGRAM,
                .vers = HF_HOLDFAST_VERSION,
                .proc = HF_HOLDFAST_RELEASE_ALL,
                .put = (xdrproc_t)xdr_hf_holdfast_release_all_args,
                .args = &args,
                .get = (xdrproc_t)xdr_hf_holdfast_release_all_ret,
                .ret = &answer,
        };
        int r = hf_caller_call(caller, &call, err);

        if (r >= 0)
                *ret = answer.released;
        return r;
}

/* Frees what the claim's VM carries, if it is the same process still. Returns whether it did. */
static bool free_duplicate(const struct hf_claim *claim)
{
        hf_cleanup_free char *path = claim->autocreate
                                             ? hf_rules_path(claim->lockspace, claim->name)
                                             : NULL;
        hf_cleanup_fd int pidfd = -1;
        struct hf_process process;
        int fd;

        if (claim->file.kind == HF_THING_METADATA ||
            hf_process_open(claim->pid, &pidfd, &process, NULL) < 0 ||
            process.start != claim->start ||
            hf_duplicate_fetch(claim->pid, pidfd, &claim->file, claim->shared, NULL, &fd) < 0)
                return false;
        hf_resource_give(fd, path);
        return true;
}

/* What the last daemon left is forgotten. While we hold its pid file no other one begins. */
static int forget_state(const char *state_file, struct hf_error *err)
{
        hf_cleanup_table struct hf_table *old = NULL;
        unsigned int forgotten = 0, freed = 0;
        int r = hf_recover_load(state_file, &old);

        for (uint32_t i = 1; r >= 0 && i <= hf_claims_end(old); i++) {
                struct hf_claim claim;

                if (hf_claims_get(old, i, &claim) <= 0)
                        continue;
                forgotten++;
                freed += free_duplicate(&claim);
        }
        if (unlink(state_file) < 0 && errno != ENOENT)
                return hf_error_sys(err, errno, "cannot remove %s", state_file);
        (void)printf("no daemon runs; %u locks forgotten that the last one held, %u of them "
                     "released that a VM kept\n",
                     forgotten, freed);
        return 0;
}

static int release_without(const struct daemon *d, struct hf_error *err)
{
        int pid_fd = -1;
        int r = hf_pidfile_take(d->paths.pid_file, getpid(), &pid_fd, err);

        /* Where there never was a daemon there is not even a directory. */
        if (r < 0 && r != -ENOENT)
                return r;
        r = forget_state(d->paths.state_file, err);
        hf_pidfile_drop(d->paths.pid_file, pid_fd);
        return r;
}

int daemon_release_all(const struct daemon *d)
{
        hf_cleanup_caller struct hf_caller caller = HF_CALLER_INIT;
        struct hf_error error = {0};
        unsigned int released;
        int r = hf_caller_connect(&caller, d->paths.socket, &error);

        if (hf_caller_found_nobody(r))
                return release_without(d, &error) < 0 ? fail(&error) : EXIT_OK;
        if (r >= 0)
                r = ask_daemon(&caller, &released, &error);
        if (r < 0)
                return fail(&error);
        (void)printf("%u locks released\n", released);
        return EXIT_OK;
}
