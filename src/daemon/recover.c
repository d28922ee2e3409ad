/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/recover.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "daemon/acquire.h"
#include "daemon/area.h"
#include "daemon/guard.h"
#include "daemon/kept.h"
#include "daemon/metadata.h"
#include "daemon/owner.h"
#include "daemon/parking.h"
#include "daemon/posix.h"
#include "daemon/recover-private.h"
#include "lockspace/claims.h"
#include "lockspace/rules.h"
#include "storage/resource.h"
#include "storage/users.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-id128.h>

#define MODULE "daemon.recover"

struct tally {
        unsigned int taken, ended, lost, damaged;
};

/*
 * The claims that a first look did not settle: the owner has ended, or somebody
 * else has the lock. For these all processes are looked at, once, after the last
 * of them was seen so.
 */
struct open_claims {
        struct hf_kept *kept;
        struct hf_user_scan *scan;
        uint32_t *index;
        size_t n, room;
        bool too_large; /* the new table, beside the old one */
};

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

static int create(const char *state_file, struct hf_table **ret)
{
        hf_cleanup_free char *path = with_suffix(state_file, ".new");
        uint8_t boot[16];
        int r = path ? get_boot(boot) : -ENOMEM;

        if (r < 0)
                return r;
        r = hf_table_create(path, boot, ret);
        if (r < 0)
                (void)unlink(path);
        return r;
}

int hf_recover_table(const char *state_file, struct hf_table **ret)
{
        return create(state_file, ret) >= 0 ? 0 : hf_table_new(ret);
}

static void lost(const struct hf_claim *claim, const char *why, struct tally *tally)
{
        tally->lost++;
        hf_log(HF_LOG_ERROR, MODULE,
               "%s (pid %d) runs on without its lock of %s, which it had until the last lock "
               "daemon ended: %s",
               *claim->vm ? claim->vm : "a VM", (int)claim->pid, claim->name, why);
}

/*
 * The stand-in of a VM that is gone goes, as it would have gone with the lock. A
 * file that has taken its place stays.
 */
static void tidy(struct hf_server *server, struct hf_kept *kept, const struct hf_claim *claim)
{
        hf_cleanup_free char *path = claim->autocreate
                                             ? hf_rules_path(claim->lockspace, claim->name)
                                             : NULL;
        struct hf_resource_request request = {.path = path};
        struct hf_resource_result result;

        /* What was kept for it goes later, with the last who shared it. */
        hf_kept_ended(kept, claim, path);
        if (!path || hf_posix_keeps_path(server, path, &result))
                return;
        hf_resource_take(&request, &result);
        if (result.status == 0)
                hf_resource_give(result.fd,
                                 hf_thing_same(&result.file, &claim->file) ? path : NULL);
}

static bool is_metadata(const struct hf_claim *claim)
{
        return claim->file.kind == HF_THING_METADATA;
}

/* There is nothing to be opened: it is held because it is in the table. */
static int enter_metadata(struct hf_server *server, uint32_t owner, const struct hf_claim *claim,
                          struct hf_error *err)
{
        const struct hf_metadata_lock what = {
                .owner = owner,
                .thing = claim->file,
                .name = claim->name,
                .via = claim->via,
                .since = claim->since,
                .set = claim->set,
        };
        uint32_t hold;
        int r = hf_metadata_enter(server, &what, &hold);

        if (server->area->next_ticket < claim->set)
                server->area->next_ticket = claim->set;

        if (r < 0)
                return hf_error_sys(err, -r, "cannot note it");
        hf_table_claim_hold(server->table, hold);
        return 0;
}

/* 0, or -ESRCH: the VM has ended, or a negative errno with *err: it runs on without its lock. */
static int take_again(struct hf_server *server, const struct hf_claim *claim, struct hf_kept *kept,
                      const struct hf_user_scan *scan, struct hf_error *err)
{
        uint32_t owner;
        int r = hf_recover_owner(server, claim, scan, &owner);

        if (r == -ESRCH)
                return r;
        if (r < 0)
                return hf_error_sys(err, -r, "cannot watch pid %d", (int)claim->pid);
        hf_guard_recover(server, owner, claim);
        r = is_metadata(claim) ? enter_metadata(server, owner, claim, err)
                               : hf_acquire_again(server, owner, claim, kept, scan, err);
        hf_owner_drop_unused(server, owner);
        return r == -ESRCH ? -EIO : r;
}

/* Notes a claim for a second look. */
static int leave_open(struct hf_server *server, struct open_claims *open,
                      const struct hf_claim *claim, uint32_t index)
{
        hf_cleanup_free char *path = hf_rules_path(claim->lockspace, claim->name);
        struct hf_thing now;
        int r;

        if (!path)
                return -ENOMEM;
        if (!open->scan) {
                r = hf_user_scan_new(NULL, server->pids, &open->scan);
                if (r < 0)
                        return r;
        }
        if (open->n == open->room) {
                size_t room = open->room ? 2 * open->room : 64;
                uint32_t *more = reallocarray(open->index, room, sizeof(*more));

                if (!more)
                        return -ENOMEM;
                open->index = more;
                open->room = room;
        }
        r = hf_user_scan_add(open->scan, hf_recover_disk_of(claim));
        if (r < 0)
                return r;
        /* Who holds the lock has the file of that name open, which may be a new one. */
        if (!is_metadata(claim) && hf_resource_identify(path, &now) == 0)
                r = hf_user_scan_add(open->scan, &now);
        if (r >= 0)
                open->index[open->n++] = index;
        return r;
}

/*
 * Whether what stands in the way is the VM's own duplicate, which we could not get:
 * nobody else is seen to have the lock.
 */
static bool holds_it_itself(const struct hf_claim *claim, const struct hf_user_scan *scan)
{
        size_t n;
        const struct hf_user *users = hf_user_scan_users(scan, &claim->file, &n);

        for (size_t i = 0; i < n; i++)
                if (users[i].our_byte && users[i].pid != claim->pid)
                        return false;
        return claim->duplicated;
}

static void settle_open(struct hf_server *server, struct hf_table *old, struct open_claims *open,
                        struct tally *tally)
{
        while (open->n && hf_user_scan_step(open->scan, 1000) > 0)
                ;
        for (size_t i = 0; i < open->n; i++) {
                struct hf_claim claim;
                struct hf_error error;
                int r;

                if (hf_claims_get(old, open->index[i], &claim) <= 0)
                        continue;
                r = take_again(server, &claim, open->kept, open->scan, &error);
                if (r >= 0) {
                        tally->taken++;
                } else if (r == -ESRCH) {
                        tally->ended++;
                        tidy(server, open->kept, &claim);
                } else if (r == -EBUSY && holds_it_itself(&claim, open->scan)) {
                        hf_log(HF_LOG_WARNING, MODULE,
                               "%s (pid %d) holds the lock of %s by a descriptor of its own, which "
                               "this daemon may not have: the lock is safe, goes when the VM ends, "
                               "and cannot be released before",
                               claim.vm, (int)claim.pid, claim.name);
                } else {
                        hf_guard_recover_not(server, &claim);
                        lost(&claim, error.text, tally);
                }
        }
        (void)hf_user_scan_free(open->scan);
        free(open->index);
}

static void recover_claim(struct hf_server *server, struct open_claims *open,
                          const struct hf_claim *claim, uint32_t index, struct tally *tally)
{
        struct hf_error error;
        int r = take_again(server, claim, open->kept, NULL, &error);

        if (r >= 0) {
                tally->taken++;
                return;
        }
        /* Nobody carries a client on. */
        if (r == -ESRCH && claim->client) {
                tally->ended++;
                tidy(server, open->kept, claim);
                return;
        }
        open->too_large |= r == -ENOSPC;
        if (leave_open(server, open, claim, index) < 0)
                lost(claim, "out of memory", tally);
}

/* Clients announce a lockspace when they start, and do not learn that the daemon did. */
static void recover_lockspaces(struct hf_server *server, struct hf_table *old, struct tally *tally)
{
        for (uint32_t i = 1; i <= hf_claims_lockspaces_end(old); i++) {
                const char *path;
                uint32_t index;
                int r = hf_claims_get_lockspace(old, i, &path);

                if (r > 0 && !hf_table_find_lockspace(server->table, path)) {
                        r = hf_table_add_lockspace(server->table, path, &index);
                        if (r >= 0)
                                hf_table_claim_lockspace(server->table, index);
                }
                if (r < 0)
                        tally->damaged++;
        }
}

/*
 * The new table takes the place of the old one, which is wrong from now on: where
 * there is none in a file, none stays.
 */
static void replace(struct hf_server *server, const char *state_file)
{
        hf_cleanup_free char *path = with_suffix(state_file, ".new");

        if (hf_table_is_kept(server->table) && path) {
                if (rename(path, state_file) == 0)
                        return;
                hf_log(HF_LOG_ERROR, MODULE,
                       "cannot replace %s: %s; locks will not be taken again after an end of this "
                       "daemon",
                       state_file, strerrordesc_np(errno));
        }
        if (unlink(state_file) < 0 && errno != ENOENT)
                hf_log(HF_LOG_ERROR, MODULE,
                       "cannot remove %s: %s; remove it before this daemon is started again, it "
                       "is out of date",
                       state_file, strerrordesc_np(errno));
}

/* Returns whether the new table has the old one's place already. */
static bool recover_claims(struct hf_server *server, struct hf_table *old, struct hf_kept *kept,
                           const char *state_file)
{
        struct open_claims open = {.kept = kept};
        struct tally tally = {0};

        recover_lockspaces(server, old, &tally);
        for (uint32_t i = 1; i <= hf_claims_end(old); i++) {
                struct hf_claim claim;
                int r = hf_claims_get(old, i, &claim);

                if (r < 0)
                        tally.damaged++;
                else if (r > 0)
                        recover_claim(server, &open, &claim, i, &tally);
        }
        /* The old one has been read; without its storage there may be room for the rest. */
        if (open.too_large)
                replace(server, state_file);
        settle_open(server, old, &open, &tally);
        if (tally.taken || tally.ended)
                hf_log(HF_LOG_INFO, MODULE,
                       "took %u locks again that the last daemon held; the VMs of %u others have "
                       "ended",
                       tally.taken, tally.ended);
        if (tally.damaged)
                hf_log(HF_LOG_ERROR, MODULE, "%u records of the state were damaged and are lost",
                       tally.damaged);
        return open.too_large;
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

/*
 * A second try for a table that could not be in a file: the old one has been read
 * and leaves its storage to it.
 */
static void make_room(struct hf_server *server, const char *state_file)
{
        struct hf_table *table;
        int r;

        (void)unlink(state_file);
        r = create(state_file, &table);
        if (r >= 0) {
                (void)hf_table_free(server->table);
                server->table = table;
                return;
        }
        hf_log(HF_LOG_WARNING, MODULE,
               "cannot keep the state in %s: %s; locks will not be taken again after an end of "
               "this daemon",
               state_file, strerrordesc_np(-r));
}

int hf_recover_load(const char *state_file, struct hf_table **ret)
{
        uint8_t boot[16];
        int r = get_boot(boot);

        return r < 0 ? r : hf_table_load(state_file, boot, ret);
}

void hf_recover(struct hf_server *server, const char *state_file)
{
        hf_cleanup_table struct hf_table *old = NULL;
        hf_cleanup_kept struct hf_kept *kept = NULL;
        bool replaced = false;
        int r = hf_recover_load(state_file, &old);

        hf_parking_begin(server);
        kept = hf_kept_new(server);
        if (r == -EBADMSG)
                set_aside(state_file);
        else if (r < 0 && r != -ENOENT && r != -ESTALE)
                hf_log(HF_LOG_ERROR, MODULE, "cannot read %s: %s", state_file, strerrordesc_np(-r));
        /* Not of one that has something in it already (takeover.h). */
        if (!hf_table_is_kept(server->table) && !hf_table_count(server->table).holds)
                make_room(server, state_file);
        if (r >= 0)
                replaced = recover_claims(server, old, kept, state_file);
        kept = hf_kept_free(kept);
        hf_parking_park_all(server);
        if (!replaced)
                replace(server, state_file);
        hf_guard_adopt(server);
}

static void leave_nothing(struct hf_server *server, const char *state_file)
{
        (void)unlink(state_file);
        hf_parking_leave(server);
}

void hf_recover_leave(struct hf_server *server, const char *state_file)
{
        struct hf_table_counts counts = hf_table_count(server->table);

        /* The default lockspace is always there. */
        if (counts.holds == 0 && counts.lockspaces == 1)
                leave_nothing(server, state_file);
        else if (counts.holds > 0)
                hf_log(HF_LOG_WARNING, MODULE,
                       "ending with %u locks held: but for those that the service manager or their "
                       "VMs keep, they are free until holdfastd runs again",
                       counts.holds);
}
