/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/guard-private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/guard-run.h"
#include "daemon/lease-clock.h"
#include "storage/mounts.h"
#include "storage/nfs-lease.h"

#include <errno.h>
#include <string.h>

#define MODULE "daemon.guard"

#define SECOND UINT64_C(1000000)

/* While there is no answer, a question that has failed is asked again after so long. */
#define AGAIN_USEC SECOND

/* Locks that are looked at after an answer in sound times: they cost the server a read each. */
#define PROVED_EACH_TIME 8

/* After a look at locks that told nothing of any. */
#define PROVE_AGAIN_USEC SECOND

/* The kernel's statistics have a page for each mount; they are read at most so often. */
#define STATS_USEC (SECOND / 2)

/* ---- records ---- */

static struct hf_lease_record *find(struct hf_server *server, uint64_t dev)
{
        for (size_t i = 0; dev && i < HF_LEASES_MAX; i++)
                if (server->area->leases[i].dev == dev)
                        return &server->area->leases[i];
        return NULL;
}

static size_t index_of(struct hf_server *server, const struct hf_lease_record *record)
{
        return (size_t)(record - server->area->leases);
}

/* For people: where it is mounted. */
static const char *point_of(struct hf_server *server, uint64_t dev)
{
        const struct hf_mount *mount = hf_work_mount(server, dev);

        return mount ? mount->point : "(not mounted any more)";
}

/* How long the machine has slept since its boot. */
static uint64_t slept_usec(void)
{
        uint64_t with = hf_work_boottime(), without = hf_clock_usec(CLOCK_MONOTONIC);

        return with > without ? with - without : 0;
}

static struct hf_lease_clock clock_of(struct hf_server *server,
                                      const struct hf_lease_record *record)
{
        bool slept = slept_usec() > record->slept + SECOND;

        return (struct hf_lease_clock){
                .lease = record->lease,
                .last = record->last,
                .asked = record->asked,
                .expired = server->guard->expired[index_of(server, record)] ||
                           (slept && hf_work_boottime() > record->last + record->lease),
        };
}

/* ---- doubt ---- */

enum hf_guard_lease hf_guard_lease(struct hf_server *server, const struct hf_lock *lock)
{
        if (lock->flags & HF_LOCK_LOST)
                return HF_GUARD_LEASE_LOST;
        if (lock->flags & HF_LOCK_DOUBTED)
                return HF_GUARD_LEASE_DOUBTED;
        return lock->file.kind == HF_THING_FILE && find(server, lock->file.dev)
                       ? HF_GUARD_LEASE_SOUND
                       : HF_GUARD_LEASE_NONE;
}

static void doubt(struct hf_server *server, struct hf_lease_record *record, uint64_t now)
{
        bool begins = !record->doubted;
        unsigned int n;

        record->doubted = now;
        server->guard->trouble = true;
        n = hf_guard_doubt_all(server, record->dev);
        if (begins && n)
                hf_log(HF_LOG_WARNING, MODULE,
                       "the server of %s has not answered for %llu s of a lease of %llu s: its "
                       "%u locks are in danger, and their VMs are dealt with",
                       point_of(server, record->dev),
                       (unsigned long long)((now - record->last) / SECOND),
                       (unsigned long long)(record->lease / SECOND), n);
}

static void trust_again(struct hf_server *server, struct hf_lease_record *record)
{
        record->doubted = 0;
        hf_log(HF_LOG_WARNING, MODULE,
               "the server of %s answers again, and its locks were looked at",
               point_of(server, record->dev));
}

/* ---- questions ---- */

static void put_item(struct hf_server *server, struct hf_order *order, uint32_t hold)
{
        uint32_t index = hf_guard_lock_of(server, hold);
        const struct hf_lock *lock = hf_table_lock(server->table, index);

        order->items[order->n_items++] = (struct hf_work_item){
                .index = index,
                .fd = lock->fd,
                .stands_in = lock->flags & HF_LOCK_AUTOCREATE,
                .file = lock->file,
        };
}

static void ask(struct hf_server *server, struct hf_lease_record *record, uint64_t now)
{
        struct hf_place_key where = {HF_PLACE_LEASE, record->dev};
        uint32_t hold = hf_guard_rotate(server, record->dev, &record->asked_by);
        struct hf_order order = {.kind = HF_WORK_RENEW, .sent = now, .by_lock = record->by_lock};

        if (!hold)
                hold = hf_guard_next_lock(server, record->dev, 0);
        put_item(server, &order, hold);
        order.fd = order.items[0].fd;
        order.thing = order.items[0].file;
        if (hf_work_launch(server, where, &order) < 0)
                return;
        record->sent = now;
        if (!record->asked)
                record->asked = now;
}

/*
 * As many as one worker takes of those that are doubted, or of all where nobody asked for longer
 * than a lease; else some.
 */
static void prove(struct hf_server *server, struct hf_lease_record *record, uint64_t now)
{
        struct hf_place_key where = {HF_PLACE_LOCKS, record->dev};
        struct hf_order order = {.kind = HF_WORK_PROVE, .sent = now};
        uint32_t most = record->doubted || record->unproved ? HF_WORK_ITEMS_MAX : PROVED_EACH_TIME;
        uint32_t first = 0, hold;

        if (hf_work_is_busy(server, where) ||
            now < server->guard->prove_after[index_of(server, record)])
                return;
        while (order.n_items < most &&
               (hold = hf_guard_rotate(server, record->dev, &record->cursor)) && hold != first) {
                const struct hf_lock *lock = hf_table_lock(server->table,
                                                           hf_guard_lock_of(server, hold));

                first = first ? first : hold;
                if (!record->doubted || (lock->flags & HF_LOCK_DOUBTED))
                        put_item(server, &order, hold);
        }
        if (order.n_items)
                (void)hf_work_launch(server, where, &order);
        else if (record->doubted)
                trust_again(server, record);
}

/* What nobody asked about for longer than a lease may have been lost, and be held by others by now.
 */
static void renewed(struct hf_server *server, struct hf_lease_record *record, uint64_t begun)
{
        if (begun > record->last) {
                if (begun > record->last + record->lease)
                        record->unproved = hf_guard_count(server, record->dev);
                atomic_signal_fence(memory_order_release);
                record->slept = slept_usec();
                record->last = begun;
        }
        record->asked = 0;
}

/* NULL: it is lost already, or the record is another lock's by now. */
static const struct hf_lock *lock_of_item(struct hf_server *server, const struct hf_work_item *item)
{
        const struct hf_lock *lock = hf_table_lock(server->table, item->index);

        return lock->first_hold && lock->fd == item->fd &&
                               hf_thing_same(&lock->file, &item->file) &&
                               !(lock->flags & HF_LOCK_LOST)
                       ? lock
                       : NULL;
}

/* A mount that does not wait for its server (soft) answers EIO in its place. */
static bool says_lost(const struct hf_order *order, int status)
{
        return order->by_lock ? hf_nfs_is_loss(status) : status == -ESTALE;
}

static void end_of_question(struct hf_server *server, const struct hf_order *order,
                            const struct hf_result *outcome, bool done)
{
        struct hf_lease_record *record = find(server, order->thing.dev);
        uint64_t now = hf_work_boottime();
        struct hf_lease_clock clock;

        if (!record)
                return;
        hf_log(HF_LOG_DEBUG, MODULE, "the server of %s: %s after %llu ms",
               point_of(server, record->dev),
               !done ? "no answer, as who asked was ended" : strerrordesc_np(-outcome->status),
               (unsigned long long)((now - outcome->begun) / 1000));
        /* That a lock is lost the kernel may have known: no answer for the others. */
        if (done && says_lost(order, outcome->status) && lock_of_item(server, &order->items[0]))
                hf_guard_lose(server, order->items[0].index);
        if (done && outcome->status == 0)
                renewed(server, record, outcome->begun);
        clock = clock_of(server, record);
        if (hf_lease_is_sound(&clock, now) && !record->asked)
                prove(server, record, now);
        hf_guard_look_at(server, now);
}

static void end_of_look(struct hf_server *server, const struct hf_order *order,
                        const struct hf_result *outcome, bool done)
{
        struct hf_lease_record *record = find(server, order->items[0].file.dev);
        uint64_t now = hf_work_boottime();
        bool told = false;

        for (uint32_t i = 0; record && i < order->n_items; i++) {
                const struct hf_work_item *item = &order->items[i];

                if (!lock_of_item(server, item))
                        continue;
                told |= hf_nfs_is_loss(outcome->items[i]) || outcome->items[i] == HF_PROVED_SOUND;
                if (outcome->items[i] < 0 && !hf_nfs_is_loss(outcome->items[i]))
                        hf_guard_say_unproved(server, item->index, -outcome->items[i]);
                if (hf_nfs_is_loss(outcome->items[i]))
                        hf_guard_lose(server, item->index);
                else if (outcome->items[i] == HF_PROVED_SOUND && order->sent > record->doubted)
                        hf_guard_trust(server, item->index);
        }
        if (record && !told)
                server->guard->prove_after[index_of(server, record)] = now + PROVE_AGAIN_USEC;
        if (record && done)
                record->unproved -= record->unproved < order->n_items ? record->unproved
                                                                      : order->n_items;
        server->guard->trouble = true;
        hf_guard_look_at(server, now);
}

void hf_guard_ended(struct hf_server *server, const struct hf_order *order,
                    const struct hf_result *outcome, bool done)
{
        if (order->kind == HF_WORK_RENEW)
                end_of_question(server, order, outcome, done);
        else if (order->kind == HF_WORK_PROVE)
                end_of_look(server, order, outcome, done);
        else if (order->kind == HF_WORK_MONITOR)
                hf_guard_told(server, order, outcome, done);
        else
                hf_guard_signalled(server, order, outcome, done);
}

/* ---- looks ---- */

/* What the kernel says of the lease. */
static void note_lease(struct hf_server *server, struct hf_lease_record *record,
                       const struct hf_nfs_leases *leases)
{
        struct hf_nfs_lease lease = {0};

        /* One that is not mounted any more is told of no longer. */
        (void)hf_nfs_leases_safe(leases, point_of(server, record->dev), &lease);
        server->guard->expired[index_of(server, record)] = lease.expired > 0;
        if (!lease.seconds)
                return;
        record->lease = hf_lease_usec(lease.seconds);
        record->by_lock = !lease.sessions;
}

static void read_stats(struct hf_server *server, uint64_t now)
{
        hf_cleanup_nfs_leases struct hf_nfs_leases *leases = NULL;

        if (now < server->guard->stats_at + STATS_USEC)
                return;
        server->guard->stats_at = now;
        if (hf_nfs_leases_new(&leases) < 0)
                return;
        for (size_t i = 0; i < HF_LEASES_MAX; i++)
                if (server->area->leases[i].dev)
                        note_lease(server, &server->area->leases[i], leases);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

/* Looks at a filesystem; returns when to look again. */
static uint64_t look(struct hf_server *server, struct hf_lease_record *record, uint64_t now)
{
        bool busy = hf_work_is_busy(server, (struct hf_place_key){HF_PLACE_LEASE, record->dev});
        uint64_t interval = hf_lease_interval(record->lease);
        uint64_t due = record->sent + (record->asked || record->doubted
                                               ? earlier(interval, AGAIN_USEC)
                                               : interval);
        struct hf_lease_clock clock;

        if (!busy && now >= due) {
                ask(server, record, now);
                due = now + earlier(interval, AGAIN_USEC);
        }
        clock = clock_of(server, record);
        if (!hf_lease_is_sound(&clock, now)) {
                doubt(server, record, now);
                return now + HF_GUARD_SOON_USEC * 5;
        }
        if (record->doubted || record->unproved) {
                /* An answer that was asked for before is none to go on with. */
                if (!record->asked)
                        prove(server, record, now);
                return now + HF_GUARD_SOON_USEC;
        }
        return earlier(busy ? now + interval : due, hf_lease_deadline(&clock));
}

static void look_at_all(struct hf_server *server)
{
        struct hf_guard_state *guard = server->guard;
        uint64_t now = hf_work_boottime(), next = UINT64_MAX, patience = UINT64_MAX, act;

        read_stats(server, now);
        for (size_t i = 0; i < HF_LEASES_MAX; i++) {
                struct hf_lease_record *record = &server->area->leases[i];

                if (!record->dev)
                        continue;
                /* With its last lock it needs no guard any more. */
                if (!hf_guard_next_lock(server, record->dev, 0)) {
                        record->dev = 0;
                        continue;
                }
                next = earlier(next, look(server, record, now));
                patience = earlier(patience, hf_lease_patience(record->lease));
        }
        if (guard->trouble) {
                act = hf_guard_act(server, now, patience == UINT64_MAX ? 5 * SECOND : patience);
                guard->trouble = act;
                next = act ? earlier(next, act) : next;
        }
        if (next != UINT64_MAX)
                hf_guard_look_at(server, next);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
        (void)source;
        (void)usec;
        look_at_all(data);
        return 0;
}

void hf_guard_look_at(struct hf_server *server, uint64_t when)
{
        sd_event_source *timer = server->guard->timer;
        uint64_t before;
        int enabled;

        if (sd_event_source_get_enabled(timer, &enabled) >= 0 && enabled != SD_EVENT_OFF &&
            sd_event_source_get_time(timer, &before) >= 0 && before <= when)
                return;
        (void)sd_event_source_set_time(timer, when);
        (void)sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

/* ---- begin and end ---- */

static void say_unguarded(struct hf_server *server, uint64_t dev, const char *why)
{
        if (server->guard->said_unguarded)
                return;
        server->guard->said_unguarded = true;
        hf_log(HF_LOG_WARNING, MODULE, "nobody will notice when a lock on %s is lost: %s",
               point_of(server, dev), why);
}

static void begin(struct hf_server *server, uint64_t dev, uint64_t begun)
{
        struct hf_lease_record *record = server->area->leases;
        hf_cleanup_nfs_leases struct hf_nfs_leases *leases = NULL;

        while (record < server->area->leases + HF_LEASES_MAX && record->dev)
                record++;
        if (record == server->area->leases + HF_LEASES_MAX) {
                say_unguarded(server, dev, "too many file servers' filesystems have locks");
                return;
        }
        if (hf_nfs_retakes_locks())
                say_unguarded(server, dev,
                              "this kernel takes lost locks again by itself (parameter "
                              "recover_lost_locks of its module nfs, which should be N)");
        *record = (struct hf_lease_record){
                .lease = HF_LEASE_MIN_USEC, .last = begun, .slept = slept_usec()};
        server->guard->expired[index_of(server, record)] = false;
        server->guard->prove_after[index_of(server, record)] = 0;
        atomic_signal_fence(memory_order_release);
        record->dev = dev;
        if (hf_nfs_leases_new(&leases) >= 0)
                note_lease(server, record, leases);
        hf_guard_look_at(server, hf_work_boottime());
}

void hf_guard_taken(struct hf_server *server, const struct hf_thing *file, uint64_t begun)
{
        const struct hf_mount *mount = file->kind == HF_THING_FILE
                                               ? hf_work_mount(server, file->dev)
                                               : NULL;

        struct hf_lease_record *record = mount ? find(server, file->dev) : NULL;

        if (!mount || !hf_nfs_has_lease(mount->type))
                return;
        if (record) {
                /* It was taken, perhaps, before its server fell silent. */
                if (record->doubted && begun && begun <= record->doubted)
                        (void)hf_guard_doubt_all(server, file->dev);
                return;
        }
        if (server->guard->works)
                begin(server, file->dev, begun ? begun : hf_work_boottime());
        else
                say_unguarded(server, file->dev, "that takes a supervised daemon");
}

void hf_guard_leaves(struct hf_server *server, uint32_t index)
{
        const struct hf_hold *hold = hf_table_hold(server->table, index);
        struct hf_owner *owner = hf_table_owner(server->table, hold->owner);

        /* What it did with this resource since is not known. */
        if (hf_table_lock(server->table, hold->lock)->flags & HF_LOCK_UNSAFE)
                owner->acted |= HF_ACTED_FINAL;
}

void hf_guard_adopt(struct hf_server *server)
{
        while (server->guard->n_lost)
                hf_guard_lose(server, server->guard->lost[--server->guard->n_lost]);
        /* What was being marked when the last server was killed is marked to its end. */
        for (size_t i = 0; i < HF_LEASES_MAX; i++)
                if (server->area->leases[i].dev && server->area->leases[i].doubted)
                        (void)hf_guard_doubt_all(server, server->area->leases[i].dev);
        for (uint32_t i = 0;
             !server->guard->trouble && (i = hf_table_next_owner(server->table, i));)
                server->guard->trouble = hf_table_owner(server->table, i)->acted ||
                                         hf_guard_unsafe(server, i);
        hf_guard_look_at(server, hf_work_boottime());
}

int hf_guard_new(struct hf_server *server, const struct hf_keeper *keeper)
{
        int r;

        server->guard = calloc(1, sizeof(*server->guard));
        if (!server->guard)
                return -ENOMEM;
        server->guard->works = keeper;
        /* Above those of earlier servers, whose workers may be busy. */
        server->guard->last_group = hf_work_boottime();
        r = sd_event_add_time(server->event, &server->guard->timer, CLOCK_BOOTTIME, 0, 1000,
                              on_timer, server);
        return r < 0 ? r : sd_event_source_set_enabled(server->guard->timer, SD_EVENT_OFF);
}

void hf_guard_free(struct hf_server *server)
{
        if (!server->guard)
                return;
        (void)sd_event_source_disable_unref(server->guard->timer);
        free(server->guard->lost);
        free(server->guard);
        server->guard = NULL;
}
