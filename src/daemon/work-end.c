/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The end of the daemon while filesystems hang.
 *
 * The last process that has a file open closes it when it ends, and would wait there
 * for a filesystem that hangs. So locks that are not local are closed by workers, one
 * for each filesystem. One that hangs has all our descriptors then: the local locks
 * are closed before, as our end would have done. None is unlocked: whoever else has a
 * duplicate of a lock keeps it when a lock daemon ends.
 */
#include "daemon/work-private.h"

#include "base/cleanup.h"

#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <unistd.h>

/* How long workers may take at the end, before the daemon ends without them. */
#define END_MS 100

static const struct hf_lock *lock_of(struct hf_server *server, uint32_t hold)
{
        return hf_table_lock(server->table, hf_table_hold(server->table, hold)->lock);
}

static bool is_same_place(const struct hf_thing *a, const struct hf_thing *b)
{
        return a->kind == b->kind && a->dev == b->dev;
}

/* In a worker: closes all locks on a filesystem. */
static _Noreturn void close_locks(struct hf_server *server, const struct hf_thing *place)
{
        for (uint32_t i = 0; (i = hf_table_next_hold(server->table, i));)
                if (is_same_place(&lock_of(server, i)->file, place))
                        (void)close(lock_of(server, i)->fd);
        _exit(EXIT_SUCCESS);
}

/* Those that are busy, and need not go on; notes which of them have our descriptors. */
static nfds_t kill_workers(struct hf_works *works, struct pollfd *ends)
{
        nfds_t n = 0;

        for (int i = 0; i < HF_WORKERS_MAX; i++) {
                const struct hf_worker *worker = hf_worker_at(works, i);

                if (hf_worker_state(worker) == HF_WORKER_NONE)
                        continue;
                (void)pidfd_send_signal(worker->pidfd, SIGKILL, NULL, 0);
                if (hf_work_shares(worker->order.kind))
                        ends[n++] = (struct pollfd){.fd = worker->pidfd, .events = POLLIN};
        }
        return n;
}

/* A worker for each filesystem of a lock that is not local. */
static nfds_t make_closers(struct hf_works *works, struct pollfd *ends)
{
        struct hf_server *server = works->server;
        struct hf_thing places[HF_WORKERS_MAX];
        nfds_t n = 0;

        for (uint32_t i = 0; n < HF_WORKERS_MAX && (i = hf_table_next_hold(server->table, i));) {
                const struct hf_thing *file = &lock_of(server, i)->file;
                nfds_t known = 0;

                if (file->kind == HF_THING_METADATA || hf_work_closes(server, file))
                        continue;
                while (known < n && !is_same_place(&places[known], file))
                        known++;
                if (known < n)
                        continue;
                places[n] = *file;
                ends[n] = (struct pollfd){.fd = -1, .events = POLLIN};
                if (hf_keeper_clone_worker(works->keeper, HF_KEEPER_TABLE_SHARED, &ends[n].fd) == 0)
                        close_locks(server, &places[n]);
                n++;
        }
        return n;
}

/*
 * Before the pid files are given up, so that a daemon that begins then finds none of
 * them in its way. Of a lock with several holds once.
 */
static void close_rest(struct hf_server *server, bool all)
{
        for (uint32_t i = 0; (i = hf_table_next_hold(server->table, i));)
                if (lock_of(server, i)->first_hold == i && lock_of(server, i)->fd >= 0 &&
                    (all || hf_work_closes(server, &lock_of(server, i)->file)))
                        (void)close(lock_of(server, i)->fd);
}

void hf_work_let_go(struct hf_works *works)
{
        struct pollfd ends[2 * HF_WORKERS_MAX];
        uint64_t end = hf_work_now_usec() + END_MS * 1000;
        nfds_t n;

        if (!works->keeper) {
                close_rest(works->server, true);
                return;
        }
        n = kill_workers(works, ends);
        n += make_closers(works, ends + n);
        for (nfds_t i = 0; i < n; i++) {
                uint64_t now = hf_work_now_usec();

                (void)poll(&ends[i], 1, now < end ? (int)((end - now) / 1000) : 0);
        }
        close_rest(works->server, false);
}
