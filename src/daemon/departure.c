/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/departure.h"

#include "base/log.h"
#include "base/process.h"
#include "daemon/event.h"
#include "daemon/owner.h"
#include "daemon/release.h"
#include "daemon/wait.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#define MODULE "daemon.departure"

/* virtlockd's times: SIGKILL comes at its 9th probe, and at the 15th it gives up. */
#define KILL_AFTER_USEC   1600000
#define REPORT_AFTER_USEC 1400000

/* Locks given back in one turn of the loop. */
#define GIVE_PER_TURN 32

static const char *name_of(struct hf_server *server, uint32_t owner)
{
        return hf_table_string(server->table, hf_table_owner(server->table, owner)->name);
}

static bool has_ended(const struct hf_owner *owner)
{
        return hf_process_pidfd_is_dead(owner->pidfd) == 1;
}

/* Nobody has its connection open, and its process is dead or does not matter. */
static bool is_gone(const struct hf_owner *owner)
{
        return owner->connections == 0 && (owner->client || has_ended(owner));
}

/* Gives back up to `most` locks of an owner, and returns how many. */
static unsigned int give_some(struct hf_server *server, uint32_t owner, unsigned int most)
{
        struct hf_table *table = server->table;
        unsigned int given = 0;

        for (uint32_t next, i = hf_table_owner(table, owner)->first_hold; i && given < most;
             i = next) {
                next = hf_table_hold(table, i)->next_in_owner;
                /* A worker may be busy with it. */
                if (hf_table_lock(table, hf_table_hold(table, i)->lock)->flags & HF_LOCK_RELEASING)
                        continue;
                (void)hf_give(server, i);
                given++;
        }
        return given;
}

int hf_departures_serve(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_server *server = data;
        unsigned int given = 0;

        (void)fd;
        (void)revents;
        for (uint32_t i = hf_table_next_owner(server->table, 0); i;
             i = hf_table_next_owner(server->table, i)) {
                if (!hf_table_owner(server->table, i)->leaving)
                        continue;
                given += give_some(server, i, GIVE_PER_TURN - given);
                if (given == GIVE_PER_TURN)
                        return 0;
                hf_owner_drop_unused(server, i);
        }
        hf_waits_serve(server);
        hf_server_check_idle(server);
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static void stop_timer(struct hf_server *server, uint32_t owner)
{
        if (server->owner_timers[owner])
                (void)sd_event_source_set_enabled(server->owner_timers[owner], SD_EVENT_OFF);
}

static void give_all(struct hf_server *server, uint32_t index)
{
        hf_table_owner(server->table, index)->leaving = 1;
        (void)sd_event_source_set_enabled(server->departures, SD_EVENT_ON);
}

static void send_signal(struct hf_server *server, uint32_t index, int number)
{
        const struct hf_owner *owner = hf_table_owner(server->table, index);

        if (syscall(SYS_pidfd_send_signal, owner->pidfd, number, NULL, 0) < 0 && errno != ESRCH)
                hf_log(HF_LOG_ERROR, MODULE, "cannot end %s (pid %d): %s; its locks stay",
                       name_of(server, index), (int)owner->pid, strerrordesc_np(errno));
}

static int on_ending_timer(sd_event_source *source, uint64_t usec, void *data);

static void set_timer(struct hf_server *server, uint32_t owner, uint64_t after)
{
        sd_event_source **timer = &server->owner_timers[owner];

        if (!*timer) {
                if (sd_event_add_time_relative(server->event, timer, CLOCK_MONOTONIC, after, 1000,
                                               on_ending_timer, server) < 0)
                        return;
        } else {
                (void)sd_event_source_set_time_relative(*timer, after);
        }
        (void)sd_event_source_set_enabled(*timer, SD_EVENT_ONESHOT);
}

static uint64_t monotonic_usec(const struct hf_server *server)
{
        uint64_t now = 0;

        (void)sd_event_now(server->event, CLOCK_MONOTONIC, &now);
        return now;
}

/* When the next step against it is due; the deadline is in the table, for a successor. */
static void set_deadline(struct hf_server *server, uint32_t index, uint64_t after)
{
        hf_table_owner(server->table, index)->deadline = monotonic_usec(server) + after;
        set_timer(server, index, after);
}

static void next_step(struct hf_server *server, uint32_t index)
{
        struct hf_owner *owner = hf_table_owner(server->table, index);

        if (!owner->killed) {
                hf_event_of_owner(server, HF_HOLDFAST_EVENT_KILLED, index,
                                  "does not end on SIGTERM after its lock connection closed; "
                                  "sending SIGKILL");
                send_signal(server, index, SIGKILL);
                set_deadline(server, index, REPORT_AFTER_USEC);
                owner->killed = 1;
                return;
        }
        hf_log(HF_LOG_ERROR, MODULE,
               "%s (pid %d) was killed and is still there; its %u locks stay until it is gone",
               name_of(server, index), (int)owner->pid, owner->holds);
        owner->state = HF_OWNER_STUBBORN;
}

static int on_ending_timer(sd_event_source *source, uint64_t usec, void *data)
{
        struct hf_server *server = data;

        (void)usec;
        for (uint32_t i = hf_table_next_owner(server->table, 0); i;
             i = hf_table_next_owner(server->table, i))
                if (server->owner_timers[i] == source) {
                        next_step(server, i);
                        break;
                }
        return 0;
}

/* What is being given back already, or only being acquired, is not what a process needs to end for.
 */
static bool holds_something(struct hf_server *server, uint32_t owner)
{
        struct hf_table *table = server->table;
        uint32_t i = hf_table_owner(table, owner)->first_hold;

        while (i &&
               (!hf_table_hold(table, i)->check ||
                hf_table_lock(table, hf_table_hold(table, i)->lock)->flags & HF_LOCK_RELEASING))
                i = hf_table_hold(table, i)->next_in_owner;
        return i != 0;
}

/* The VM has cut its own lock connection: libvirt relies on its being ended. */
static void begin_ending(struct hf_server *server, uint32_t index)
{
        struct hf_owner *owner = hf_table_owner(server->table, index);
        char why[128];

        (void)snprintf(why, sizeof(why), "closed its lock connection with %u locks held; ending it",
                       owner->holds);
        /* Of one that is ending by itself, and was only quicker to close its files, nothing is
         * told. */
        if (!hf_process_is_ending(owner->pid))
                hf_event_of_owner(server, HF_HOLDFAST_EVENT_KILLED, index, why);
        send_signal(server, index, SIGTERM);
        set_deadline(server, index, KILL_AFTER_USEC);
        /* Last: who is killed before it leaves the rest to do to a successor. */
        owner->state = HF_OWNER_ENDING;
        hf_waits_owner_ended(server, index);
}

void hf_departure_session_leaves(struct hf_server *server, uint32_t index, bool own)
{
        struct hf_owner *owner = hf_table_owner(server->table, index);

        /* Noted before the connection is forgotten: a successor would not know that there was one.
         */
        if (owner->client)
                owner->leaving = 1;
        else if (own && owner->connections == 1 && owner->state == HF_OWNER_ALIVE &&
                 holds_something(server, index) && !has_ended(owner))
                begin_ending(server, index);
}

void hf_departure_session_changed(struct hf_server *server, uint32_t index, bool own)
{
        struct hf_owner *owner = hf_table_owner(server->table, index);

        owner->sessions--;
        owner->connections -= own;
        /* Who waits for what a client held is to have it soon. */
        if (owner->client)
                (void)give_some(server, index, GIVE_PER_TURN);
        if (is_gone(owner) && (owner->holds || !owner->client))
                give_all(server, index);
        hf_owner_drop_unused(server, index);
}

void hf_departure_adopt(struct hf_server *server, uint32_t index)
{
        const struct hf_owner *owner = hf_table_owner(server->table, index);
        uint64_t now = monotonic_usec(server);

        if (owner->leaving)
                give_all(server, index);
        else if (owner->state == HF_OWNER_ENDING)
                set_timer(server, index, owner->deadline > now ? owner->deadline - now : 0);
}

void hf_departure_owner_ended(struct hf_server *server, uint32_t index)
{
        struct hf_owner *owner = hf_table_owner(server->table, index);

        /* Whoever was to be ended has ended. */
        stop_timer(server, index);
        hf_waits_owner_ended(server, index);
        if (owner->connections == 0) {
                give_all(server, index);
                return;
        }
        owner->state = HF_OWNER_CARRIED;
        if (owner->holds)
                hf_log(HF_LOG_INFO, MODULE,
                       "%s: pid %d has ended, another process carries its lock connection; its "
                       "%u locks stay",
                       name_of(server, index), (int)owner->pid, owner->holds);
}
