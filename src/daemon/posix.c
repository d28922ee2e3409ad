/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/posix.h"

#include "base/log.h"
#include "daemon/parking.h"
#include "daemon/work-private.h"
#include "storage/posix-lock.h"

#include <errno.h>

#define MODULE "daemon.posix"

bool hf_posix_keeps(struct hf_server *server, const struct hf_thing *file)
{
        for (uint32_t i = 0; server->has_posix && (i = hf_table_find_file(server->table, file, i));)
                if (hf_table_lock(server->table, i)->flags & HF_LOCK_POSIX)
                        return true;
        return false;
}

bool hf_posix_keeps_path(struct hf_server *server, const char *path, struct hf_resource_result *ret)
{
        struct hf_thing file;

        if (!server->has_posix || hf_resource_identify_cached(path, &file) < 0 ||
            !hf_posix_keeps(server, &file))
                return false;
        *ret = (struct hf_resource_result){.status = -EAGAIN, .fd = -1, .file = file};
        return true;
}

bool hf_take_cached(struct hf_server *server, const struct hf_resource_request *request,
                    struct hf_resource_result *ret)
{
        return hf_posix_keeps_path(server, request->path, ret) ||
               hf_resource_take_cached(request, ret);
}

/* The lock of a hold, if it is such a one and the hold its first. */
static struct hf_lock *kept_lock(struct hf_server *server, uint32_t hold)
{
        struct hf_lock *lock = hf_table_lock(server->table,
                                             hf_table_hold(server->table, hold)->lock);

        return lock->first_hold == hold && lock->flags & HF_LOCK_POSIX ? lock : NULL;
}

static bool is_any(struct hf_server *server)
{
        for (uint32_t i = 0; (i = hf_table_next_hold(server->table, i));)
                if (kept_lock(server, i))
                        return true;
        return false;
}

void hf_posix_find(struct hf_server *server)
{
        server->has_posix = is_any(server);
}

int hf_posix_get_alone(struct hf_server *server)
{
        return server->has_posix && is_any(server) ? hf_work_get_alone(server) : 0;
}

static void report(struct hf_server *server, uint32_t hold, const char *what)
{
        const struct hf_hold *held = hf_table_hold(server->table, hold);
        const struct hf_owner *owner = hf_table_owner(server->table, held->owner);

        hf_log(HF_LOG_ERROR, MODULE, "%s (pid %d): the lock of %s that virtlockd had taken %s",
               hf_table_string(server->table, owner->name), (int)owner->pid,
               hf_table_string(server->table, held->name), what);
}

/* Proved by the kernel's own list of this table's locks. */
static void look(struct hf_server *server, uint32_t hold, struct hf_lock *lock)
{
        enum hf_posix_lock has;

        if (lock->flags & HF_LOCK_RELEASING || hf_posix_lock_of(lock->fd, &has) < 0 ||
            has == HF_POSIX_EXCLUSIVE)
                return;
        if (hf_posix_prove(lock->fd, lock->flags & HF_LOCK_SHARED) >= 0)
                report(server, hold, "was gone, and was taken again");
        else
                report(server, hold, "is gone, and somebody else has it");
}

void hf_posix_look(struct hf_server *server)
{
        for (uint32_t i = 0; server->has_posix && (i = hf_table_next_hold(server->table, i));) {
                struct hf_lock *lock = kept_lock(server, i);

                if (lock)
                        look(server, i, lock);
        }
}

void hf_posix_park_all(struct hf_server *server)
{
        if (!server->has_posix || hf_parking_fd(server) < 0)
                return;
        for (uint32_t i = 0; (i = hf_table_next_hold(server->table, i));) {
                struct hf_lock *lock = kept_lock(server, i);

                /* A filesystem that may hang must not hold up the end: its locks go with us. */
                if (!lock || lock->flags & HF_LOCK_RELEASING ||
                    !hf_work_closes(server, &lock->file))
                        continue;
                if (hf_posix_to_ofd(lock->fd, lock->flags & HF_LOCK_SHARED) == -EAGAIN)
                        report(server, i, "is shared by somebody else since just now");
                lock->flags &= ~(uint32_t)HF_LOCK_POSIX;
                hf_parking_park(server, i);
        }
}
