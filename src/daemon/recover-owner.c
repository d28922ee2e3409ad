/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whose a claim is now: the process that made it, or who carries its VM on. */
#include "daemon/recover-private.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "daemon/area.h"
#include "daemon/owner.h"

#include <errno.h>
#include <string.h>

#define MODULE "daemon.recover"

const struct hf_thing *hf_recover_disk_of(const struct hf_claim *claim)
{
        return *claim->lockspace && claim->thing.kind ? &claim->thing : &claim->file;
}

/* Whether a process is known as another VM, which shares the disk. */
static bool is_another_vm(struct hf_server *server, pid_t pid, const struct hf_claim *claim)
{
        uint32_t index = hf_table_find_owner(server->table, pid, 0);
        const struct hf_owner *owner = hf_table_owner(server->table, index);

        return index && (memcmp(owner->uuid, claim->uuid, sizeof(owner->uuid)) != 0 ||
                         strcmp(hf_table_string(server->table, owner->name), claim->vm) != 0);
}

/* A lock daemon that has our byte does not work on the disk; a VM may carry our lock itself. */
static bool may_be_vm(const struct hf_user *user, const struct hf_claim *claim)
{
        if (user->our_byte)
                return claim->duplicated && (claim->carried || (user->works && !claim->shared));
        return user->writes || (claim->shared && claim->carried);
}

/*
 * A process that has the disk of an ended one open: its VM lives on there, as
 * after -daemonize. A reader counts only where it is known to carry the VM on,
 * as the readers of a shared disk are many; a lock daemon, or whoever else has
 * taken our byte, never. Returns 0 for none.
 */
static pid_t find_heir(struct hf_server *server, const struct hf_claim *claim,
                       const struct hf_user_scan *scan)
{
        size_t n;
        const struct hf_user *users = hf_user_scan_users(scan, hf_recover_disk_of(claim), &n);

        for (size_t i = 0; i < n; i++)
                if (may_be_vm(&users[i], claim) && !is_another_vm(server, users[i].pid, claim))
                        return users[i].pid;
        return 0;
}

static int open_owner(const struct hf_claim *claim, int *ret_pidfd, struct hf_process *ret)
{
        int r = hf_process_open(claim->pid, ret_pidfd, ret, NULL);

        if (r < 0 || ret->start == claim->start)
                return r;
        hf_close_fd(ret_pidfd);
        return -ESRCH;
}

/*
 * The process that the VM is: the owner, or, where a scan is there to tell, who
 * carries it on. -ESRCH: there is none.
 */
static int open_vm(struct hf_server *server, const struct hf_claim *claim,
                   const struct hf_user_scan *scan, int *ret_pidfd, struct hf_process *ret)
{
        int r = open_owner(claim, ret_pidfd, ret);
        pid_t heir;

        if (r != -ESRCH || !scan || claim->client)
                return r;
        heir = find_heir(server, claim, scan);
        if (!heir)
                return -ESRCH;
        r = hf_process_open(heir, ret_pidfd, ret, NULL);
        if (r >= 0)
                hf_log(HF_LOG_WARNING, MODULE,
                       "%s: pid %d has ended, but %s (pid %d) has %s open; the lock is its now",
                       claim->vm, (int)claim->pid, ret->comm, (int)heir, claim->name);
        return r;
}

static uint32_t find_known(struct hf_server *server, const struct hf_claim *claim)
{
        return claim->client ? hf_table_find_client(server->table, claim->pid, claim->start,
                                                    claim->client)
                             : hf_table_find_owner(server->table, claim->pid, claim->start);
}

int hf_recover_owner(struct hf_server *server, const struct hf_claim *claim,
                     const struct hf_user_scan *scan, uint32_t *ret)
{
        hf_cleanup_fd int pidfd = -1;
        struct hf_process process;
        struct hf_owner_info info = {
                .client = claim->client,
                .since = claim->vm_since,
                .uuid = claim->uuid,
                .name = claim->vm,
                .via = claim->via,
                .id = claim->id,
        };
        uint32_t known = find_known(server, claim);
        int r;

        /* Of a VM with many disks only the first one costs a look at /proc. */
        if (known && hf_process_pidfd_is_dead(hf_table_owner(server->table, known)->pidfd) == 0) {
                *ret = known;
                return 0;
        }
        r = open_vm(server, claim, scan, &pidfd, &process);
        if (r < 0)
                return r;
        /* Perhaps another process, which carries the VM on. */
        *ret = claim->client ? known
                             : hf_table_find_owner(server->table, process.pid, process.start);
        if (*ret)
                return 0;
        info.pid = process.pid;
        info.start = process.start;
        if (server->area->next_client < claim->client)
                server->area->next_client = claim->client;
        return hf_owner_watch(server, &info, &pidfd, ret);
}
