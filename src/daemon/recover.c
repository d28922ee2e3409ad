/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/recover.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "daemon/acquire.h"
#include "daemon/owner.h"
#include "lockspace/claims.h"
#include "storage/resource.h"
#include "storage/users.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-id128.h>

#define MODULE "daemon.recover"

struct tally {
        unsigned int taken, ended, lost, damaged;
};

static void table_freep(struct hf_table **table)
{
        *table = hf_table_free(*table);
}

static char *with_suffix(const char *path, const char *suffix)
{
        char *whole;

        return asprintf(&whole, "%s%s", path, suffix) < 0 ? NULL : whole;
}

static int get_boot(uint8_t ret[static 16])
{
        sd_id128_t boot;
        int r = sd_id128_get_boot(&boot);

        if (r >= 0)
                memcpy(ret, boot.bytes, sizeof(boot.bytes));
        return r;
}

int hf_recover_table(const char *state_file, struct hf_table **ret)
{
        hf_cleanup_free char *path = with_suffix(state_file, ".new");
        uint8_t boot[16];
        int r = path ? get_boot(boot) : -ENOMEM;

        if (r >= 0)
                r = hf_table_create(path, boot, ret);
        if (r >= 0)
                return 0;
        hf_log(HF_LOG_WARNING, MODULE,
               "cannot keep the state in %s: %s; locks will not be taken again after an end of "
               "this daemon",
               state_file, strerrordesc_np(-r));
        return hf_table_new(ret);
}

static void lost(const struct hf_claim *claim, const char *why, struct tally *tally)
{
        tally->lost++;
        hf_log(HF_LOG_ERROR, MODULE,
               "%s (pid %d) runs on without its lock of %s, which it had until the last lock "
               "daemon ended: %s",
               *claim->vm ? claim->vm : "a VM", (int)claim->pid, claim->name, why);
}

/* The stand-in of a VM that is gone goes, as it would have gone with the lock. */
static void tidy(const struct hf_claim *claim)
{
        hf_cleanup_free char *path = NULL;
        struct hf_resource_request request = {.autocreate = true};
        struct hf_resource_result result;

        if (!claim->autocreate || asprintf(&path, "%s/%s", claim->lockspace, claim->name) < 0)
                return;
        request.path = path;
        hf_resource_take(&request, &result);
        if (result.status == 0)
                hf_resource_give(result.fd, path);
}

/*
 * A process that has the disk of an ended one open: its VM lives on there, as
 * after -daemonize. A reader counts only where it is known to carry the VM on,
 * as the readers of a shared disk are many. Returns 0 for none.
 */
static pid_t find_heir(const struct hf_claim *claim)
{
        const struct hf_thing *thing = *claim->lockspace && claim->thing.kind ? &claim->thing
                                                                              : &claim->file;
        struct hf_user_scan *scan;
        const struct hf_user *users;
        pid_t heir = 0;
        size_t n;

        if (hf_user_scan_new(thing, getpid(), &scan) < 0)
                return 0;
        while (hf_user_scan_step(scan, 1) > 0)
                ;
        users = hf_user_scan_result(scan, &n);
        for (size_t i = 0; i < n && !heir; i++)
                if (users[i].writes || (claim->shared && claim->carried))
                        heir = users[i].pid;
        (void)hf_user_scan_free(scan);
        return heir;
}

/* The process that the VM is: the owner, or who carries it on. -ESRCH: there is none. */
static int open_vm(const struct hf_claim *claim, int *ret_pidfd, struct hf_process *ret)
{
        int r = hf_process_open(claim->pid, ret_pidfd, ret, NULL);
        pid_t heir;

        if (r >= 0 && ret->start == claim->start)
                return 0;
        if (r >= 0)
                hf_close_fd(ret_pidfd);
        else if (r != -ESRCH)
                return r;
        heir = find_heir(claim);
        if (!heir)
                return -ESRCH;
        r = hf_process_open(heir, ret_pidfd, ret, NULL);
        if (r >= 0)
                hf_log(HF_LOG_WARNING, MODULE,
                       "%s: pid %d has ended, but %s (pid %d) has %s open; the lock is its now",
                       claim->vm, (int)claim->pid, ret->comm, (int)heir, claim->name);
        return r;
}

/* The owner's record in the new table. */
static int find_owner(struct hf_server *server, const struct hf_claim *claim, uint32_t *ret)
{
        hf_cleanup_fd int pidfd = -1;
        struct hf_process process;
        struct hf_owner_info info = {
                .since = claim->vm_since,
                .uuid = claim->uuid,
                .name = claim->vm,
                .via = claim->via,
                .id = claim->id,
        };
        int r = open_vm(claim, &pidfd, &process);

        if (r < 0)
                return r;
        *ret = hf_table_find_owner(server->table, process.pid, process.start);
        if (*ret)
                return 0;
        info.pid = process.pid;
        info.start = process.start;
        return hf_owner_watch(server, &info, &pidfd, ret);
}

static void recover_claim(struct hf_server *server, const struct hf_claim *claim,
                          struct tally *tally)
{
        struct hf_error error;
        uint32_t owner;
        int r = find_owner(server, claim, &owner);

        if (r == -ESRCH) {
                tally->ended++;
                tidy(claim);
                return;
        }
        if (r < 0) {
                lost(claim, strerrordesc_np(-r), tally);
                return;
        }
        if (hf_acquire_again(server, owner, claim, &error) >= 0)
                tally->taken++;
        else
                lost(claim, error.text, tally);
        hf_owner_drop_unused(server, owner);
}

/* Clients announce a lockspace when they start, and do not learn that the daemon did. */
static void recover_lockspaces(struct hf_server *server, struct hf_table *old, struct tally *tally)
{
        for (uint32_t i = 1; i <= hf_claims_lockspaces_end(old); i++) {
                const char *path;
                uint32_t index;
                int r = hf_claims_get_lockspace(old, i, &path);

                if (r > 0 && !hf_table_find_lockspace(server->table, path))
                        r = hf_table_add_lockspace(server->table, path, &index);
                if (r < 0)
                        tally->damaged++;
        }
}

static void recover_claims(struct hf_server *server, struct hf_table *old)
{
        struct tally tally = {0};

        recover_lockspaces(server, old, &tally);
        for (uint32_t i = 1; i <= hf_claims_end(old); i++) {
                struct hf_claim claim;
                int r = hf_claims_get(old, i, &claim);

                if (r < 0)
                        tally.damaged++;
                else if (r > 0)
                        recover_claim(server, &claim, &tally);
        }
        if (tally.taken || tally.ended)
                hf_log(HF_LOG_INFO, MODULE,
                       "took %u locks again that the last daemon held; the VMs of %u others have "
                       "ended",
                       tally.taken, tally.ended);
        if (tally.damaged)
                hf_log(HF_LOG_ERROR, MODULE, "%u records of the state were damaged and are lost",
                       tally.damaged);
}

/* What is not a state file of ours is kept for whoever wants to know why. */
static void set_aside(const char *state_file)
{
        hf_cleanup_free char *aside = with_suffix(state_file, ".damaged");

        if (aside && rename(state_file, aside) == 0)
                hf_log(HF_LOG_ERROR, MODULE,
                       "%s is damaged or of another version: no lock is taken again from it; it is "
                       "kept as %s",
                       state_file, aside);
}

void hf_recover(struct hf_server *server, const char *state_file)
{
        hf_cleanup_free char *path = with_suffix(state_file, ".new");
        hf_cleanup(table_freep) struct hf_table *old = NULL;
        uint8_t boot[16];
        int r = get_boot(boot);

        if (r >= 0)
                r = hf_table_load(state_file, boot, &old);
        if (r >= 0)
                recover_claims(server, old);
        else if (r == -EBADMSG)
                set_aside(state_file);
        else if (r != -ENOENT && r != -ESTALE)
                hf_log(HF_LOG_ERROR, MODULE, "cannot read %s: %s", state_file, strerrordesc_np(-r));
        if (path && rename(path, state_file) < 0 && errno != ENOENT)
                hf_log(HF_LOG_ERROR, MODULE, "cannot replace %s: %s", state_file,
                       strerrordesc_np(errno));
}

void hf_recover_leave(struct hf_server *server, const char *state_file)
{
        struct hf_table_counts counts = hf_table_count(server->table);

        /* The default lockspace is always there. */
        if (counts.holds == 0 && counts.lockspaces == 1)
                (void)unlink(state_file);
        else if (counts.holds > 0)
                hf_log(HF_LOG_WARNING, MODULE,
                       "ending with %u locks held: they are free until holdfastd runs again",
                       counts.holds);
}
