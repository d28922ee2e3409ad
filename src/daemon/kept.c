/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/kept.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/area.h"
#include "daemon/parking.h"
#include "keeper/lot.h"
#include "storage/duplicate.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define MODULE "daemon.kept"

/* A descriptor that was parked. */
struct parked {
        uint32_t serial;
        int fd;     /* -1: it is a lock's in the table */
        bool again; /* it is parked again */
        struct hf_thing file;
        char *unlink_path; /* of the stand-in that goes with it */
};

struct hf_kept {
        struct hf_server *server;
        struct parked *parked; /* by serial */
        size_t n, room;
        bool incomplete;                /* for want of memory */
        struct parked *taken;           /* whose descriptor was given out last; NULL: a VM's */
        unsigned int restored, fetched; /* given out: from a lot, from a VM */
};

static void note_parked(void *data, int fd_arg, const void *cookie, size_t len, int again)
{
        hf_cleanup_fd int fd = fd_arg;
        struct hf_kept *kept = data;
        struct parked parked = {.again = again == 0};
        struct stat st;

        if (len != sizeof(parked.serial) || fstat(fd, &st) < 0 ||
            hf_thing_of(&st, &parked.file) < 0)
                return;
        if (kept->n == kept->room) {
                size_t room = kept->room ? 2 * kept->room : 256;
                struct parked *more = reallocarray(kept->parked, room, sizeof(*more));

                if (!more) {
                        kept->incomplete = true;
                        return;
                }
                kept->parked = more;
                kept->room = room;
        }
        memcpy(&parked.serial, cookie, sizeof(parked.serial));
        parked.fd = hf_steal_fd(&fd);
        kept->parked[kept->n++] = parked;
}

static int by_serial(const void *a, const void *b)
{
        const struct parked *x = a, *y = b;

        return (x->serial > y->serial) - (x->serial < y->serial);
}

/* The same lock twice, where a daemon was killed while it moved it. */
static void drop_twins(struct hf_kept *kept)
{
        size_t n = 0;

        for (size_t i = 0; i < kept->n; i++) {
                if (n && kept->parked[n - 1].serial == kept->parked[i].serial) {
                        /* Not unlocked: the other one would be, too. */
                        hf_close_fd(&kept->parked[i].fd);
                        kept->parked[n - 1].again |= kept->parked[i].again;
                } else {
                        kept->parked[n++] = kept->parked[i];
                }
        }
        kept->n = n;
}

struct hf_kept *hf_kept_new(struct hf_server *server)
{
        struct hf_kept *kept = calloc(1, sizeof(*kept));
        size_t left = 0;

        if (!kept)
                return NULL;
        kept->server = server;
        for (size_t i = 0; i < server->n_passed_lots; i++) {
                struct hf_passed_lot *lot = &server->passed_lots[i];
                int r = hf_lot_drain(lot->fd, hf_parking_fd(server), note_parked, kept);

                /* At once: a daemon that is killed on the way, again and again, leaves few lots. */
                if (r >= 0) {
                        hf_parking_drop_passed(server, lot);
                        continue;
                }
                hf_log(HF_LOG_ERROR, MODULE,
                       "cannot take all locks back from the service manager: %s; the rest stays "
                       "locked there",
                       strerrordesc_np(-r));
                /* Not ours to remove, and its number stays used. */
                hf_close_fd(&lot->fd);
                server->passed_lots[left++] = *lot;
        }
        server->n_passed_lots = left;
        if (kept->n)
                qsort(kept->parked, kept->n, sizeof(*kept->parked), by_serial);
        drop_twins(kept);
        /* No number twice, in whatever lot of whatever daemon. */
        if (kept->n)
                server->area->last_serial = kept->parked[kept->n - 1].serial;
        return kept;
}

static struct parked *find(const struct hf_kept *kept, const struct hf_claim *claim)
{
        const struct parked key = {.serial = claim->serial};
        struct parked *parked = kept && claim->serial && kept->n
                                        ? bsearch(&key, kept->parked, kept->n, sizeof(key),
                                                  by_serial)
                                        : NULL;

        return parked && hf_thing_same(&parked->file, &claim->file) ? parked : NULL;
}

/* The outcome for a lock that another claim, of the same lock, has brought into the table. */
static bool is_there(const struct hf_claim *claim, struct hf_resource_result *ret)
{
        *ret = (struct hf_resource_result){.status = -EAGAIN, .fd = -1, .file = claim->file};
        return true;
}

/* A lost one comes along all the same: it stands for the lock that nobody is to have again. */
static bool take(int fd, const struct hf_claim *claim, bool lost, struct hf_resource_result *ret)
{
        *ret = (struct hf_resource_result){
                .status = lost ? -EIO : 0, .fd = fd, .file = claim->file};
        return true;
}

static bool take_from_vm(struct hf_kept *kept, uint32_t index, const struct hf_claim *claim,
                         struct hf_resource_result *ret)
{
        struct hf_table *table = kept->server->table;
        const struct hf_owner *owner = hf_table_owner(table, index);
        bool lost = claim->unsafe & HF_LOCK_LOST;
        int fd;

        if (!claim->duplicated)
                return false;
        if (hf_table_find_file(table, &claim->file, 0))
                return is_there(claim, ret);
        if (hf_duplicate_fetch(owner->pid, owner->pidfd, &claim->file, claim->shared, &lost, &fd) <
            0)
                return false;
        kept->taken = NULL;
        kept->fetched++;
        return take(fd, claim, lost, ret);
}

bool hf_kept_take(struct hf_kept *kept, uint32_t owner, const struct hf_claim *claim,
                  struct hf_resource_result *ret)
{
        struct parked *parked;
        int r;

        if (!kept)
                return false;
        parked = find(kept, claim);
        if (!parked)
                return take_from_vm(kept, owner, claim, ret);
        if (parked->fd < 0)
                return is_there(claim, ret);
        /* To prove it would be to take it again. */
        r = claim->unsafe & HF_LOCK_LOST ? -EIO : hf_resource_prove(parked->fd, claim->shared);
        if (r < 0 && r != -EIO)
                return false;
        kept->taken = parked;
        kept->restored++;
        return take(hf_steal_fd(&parked->fd), claim, r == -EIO, ret);
}

void hf_kept_untake(struct hf_kept *kept, int fd)
{
        if (kept->taken) {
                kept->taken->fd = fd;
                kept->restored--;
        } else {
                /* Not unlocked: it is its VM's. */
                (void)close(fd);
                kept->fetched--;
        }
}

void hf_kept_entered(struct hf_kept *kept, const struct hf_claim *claim, uint32_t index)
{
        struct hf_table *table = kept->server->table;
        const struct parked *parked = find(kept, claim);
        struct hf_lock *lock = hf_table_lock(table, index);

        if (claim->duplicated)
                lock->flags |= HF_LOCK_DUPLICATED;
        if (lock->serial || !parked || parked->fd >= 0)
                return;
        lock->serial = parked->serial;
        if (parked->again)
                hf_table_set_lot(table, index, hf_parking_number(kept->server));
}

void hf_kept_ended(struct hf_kept *kept, const struct hf_claim *claim, const char *path)
{
        struct parked *parked = find(kept, claim);

        if (parked && parked->fd >= 0 && path && !parked->unlink_path)
                parked->unlink_path = strdup(path);
}

static void give_rest(struct hf_kept *kept)
{
        for (size_t i = 0; i < kept->n; i++) {
                struct parked *parked = &kept->parked[i];

                if (parked->fd >= 0)
                        hf_resource_give(parked->fd, parked->unlink_path);
                free(parked->unlink_path);
        }
        free(kept->parked);
}

struct hf_kept *hf_kept_free(struct hf_kept *kept)
{
        if (!kept)
                return NULL;
        if (kept->restored || kept->fetched)
                hf_log(HF_LOG_INFO, MODULE,
                       "%u locks were never free: the service manager kept %u of them, and VMs %u",
                       kept->restored + kept->fetched, kept->restored, kept->fetched);
        if (kept->incomplete)
                hf_log(HF_LOG_ERROR, MODULE,
                       "out of memory: not all locks could be taken back from the service manager");
        give_rest(kept);
        free(kept);
        return NULL;
}
