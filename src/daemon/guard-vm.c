/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What becomes of a VM whose locks may be lost.
 *
 * warn      it is reported. So is all that becomes of a client owner that has not asked for more.
 * kill      SIGKILL, to its process and to all that carry its lock connection.
 * pause     by its monitor, if that is known: QEMU itself then knows that it is paused. Its "stop"
 *           waits for what the guest is writing, which may be to the server that is silent; so
 *           its time is short. Without a monitor, or an answer, SIGSTOP to the process and
 *           to those that carry its connection.
 *
 * A VM that was paused before is left as it is, and is not continued later; but it is looked at
 * again and again, as who paused it may continue it while its locks are not sound. Before anything
 * is done to a VM that is noted in its record, so that a successor undoes what this server did;
 * that a signal went to all who are to have it is noted afterwards, so that it surely did.
 */
#include "daemon/guard-private.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "daemon/event.h"
#include "daemon/guard-run.h"
#include "daemon/session.h"
#include "vm/qmp.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#define MODULE "daemon.guard"

#define SECOND UINT64_C(1000000)

/* For a VM that is to be continued: nothing presses. */
#define CONT_USEC (5 * SECOND)

/* A worker ends by itself at the time that it was given; one that is stopped does not. */
#define SLACK_USEC (SECOND / 5)

/* What was done, other than reporting. */
#define DEALT_WITH                                                                                 \
        (HF_ACTED_WARNED | HF_ACTED_ASKING | HF_ACTED_MUTE | HF_ACTED_PAUSED | HF_ACTED_KILLED |   \
         HF_ACTED_FOREIGN)

struct acts {
        struct hf_server *server;
        uint64_t now, patience, next;
        struct hf_order talk, spread; /* what workers are to do */
        size_t talk_used;             /* of its paths */
};

static void come_back(struct acts *acts, uint64_t when)
{
        if (!acts->next || when < acts->next)
                acts->next = when;
}

static enum hf_on_lost wish_of(struct hf_server *server, const struct hf_owner *owner)
{
        if (owner->on_lost)
                return (enum hf_on_lost)owner->on_lost;
        /* Of a script or a backup nobody knows whether it can be paused. */
        return owner->client ? HF_ON_LOST_WARN : (enum hf_on_lost)server->config->on_lost;
}

static bool is_there(const struct hf_owner *owner)
{
        return owner->state != HF_OWNER_CARRIED && hf_process_pidfd_is_dead(owner->pidfd) == 0;
}

/* The letter of its state, or 0. Only where the pid is still the owner's that is the truth. */
static char state_of(const struct hf_owner *owner)
{
        char path[64], line[512];
        hf_cleanup_file FILE *file = NULL;
        const char *end;

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)owner->pid);
        file = fopen(path, "re");
        if (!file || !fgets(line, sizeof(line), file))
                return 0;
        /* The name may hold anything, so its end is the last one. */
        end = strrchr(line, ')');
        return end && end[1] == ' ' ? end[2] : '\0';
}

static bool has_stopped(const struct hf_owner *owner)
{
        return state_of(owner) == 'T';
}

/* It waits for a filesystem, or is held by who traces it, and stops before it does anything else.
 */
static bool is_about_to(const struct hf_owner *owner)
{
        char state = state_of(owner);

        return state == 'D' || state == 't';
}

static void send_signal(struct hf_server *server, uint32_t index, int number)
{
        const struct hf_owner *owner = hf_table_owner(server->table, index);

        if (!is_there(owner))
                return;
        if (pidfd_send_signal(owner->pidfd, number, NULL, 0) < 0 && errno != ESRCH)
                hf_log(HF_LOG_ERROR, MODULE, "cannot send signal %d to %s (pid %d): %s", number,
                       hf_guard_name(server, index), (int)owner->pid, strerrordesc_np(errno));
}

/* ---- those that carry its connection ---- */

/* The signal got, or gets, to all. */
static void note_spread(struct hf_server *server, uint32_t index, int number)
{
        struct hf_owner *owner = hf_table_owner(server->table, index);

        if (number != SIGCONT) {
                owner->acted |= HF_ACTED_SPREAD;
                return;
        }
        owner->acted &= (uint16_t) ~(HF_ACTED_SIGNAL | HF_ACTED_SPREAD | HF_ACTED_SEEN);
        if (!(owner->acted & (HF_ACTED_ASKED | HF_ACTED_STOPPED)))
                hf_log(HF_LOG_WARNING, MODULE, "%s (pid %d) continues: all of its locks are sound",
                       hf_guard_name(server, index), (int)owner->pid);
}

/*
 * What cannot be begun is tried again by the next look. A worker with another signal may be slow:
 * its signal shall not come after this one's.
 */
static void flush_spread(struct acts *acts)
{
        struct hf_order *order = &acts->spread;
        struct hf_place_key where = {HF_PLACE_VMS, 0};

        if (!order->n_items)
                return;
        where.number = ++acts->server->guard->last_group;
        order->kind = HF_WORK_SIGNAL;
        order->sent = acts->now;
        if (!hf_work_sends_another(acts->server, order->action) &&
            hf_work_launch(acts->server, where, order) >= 0)
                for (uint32_t i = 0; i < order->n_items; i++)
                        note_spread(acts->server, order->items[i].index, (int)order->action);
        else
                come_back(acts, acts->now + HF_GUARD_SOON_USEC);
        order->n_items = order->n_inodes = 0;
}

/* As many connections as are looked for at a time. */
#define INODES_MAX 64

/* The signal goes to all that carry the owner's own connection. */
static void spread(struct acts *acts, uint32_t index, int number)
{
        struct hf_server *server = acts->server;
        struct hf_owner *owner = hf_table_owner(server->table, index);
        struct hf_order *order = &acts->spread;

        if (!owner->connections) {
                note_spread(server, index, number);
                return;
        }
        if (order->action != (uint32_t)number || order->n_items == HF_WORK_ITEMS_MAX ||
            order->n_inodes + owner->connections > INODES_MAX)
                flush_spread(acts);
        order->action = (uint32_t)number;
        order->items[order->n_items++] = (struct hf_work_item){.index = index,
                                                               .start = owner->start};
        for (const struct hf_session *s = server->sessions; s; s = s->next) {
                struct stat st;

                if (s->own && s->owner == index && order->n_inodes < INODES_MAX &&
                    fstat(s->fd, &st) == 0)
                        order->inodes[order->n_inodes++] = st.st_ino;
        }
        come_back(acts, acts->now + SECOND);
}

/* ---- pausing and killing ---- */

static void stop(struct acts *acts, uint32_t index)
{
        struct hf_owner *owner = hf_table_owner(acts->server->table, index);

        if (is_there(owner) && has_stopped(owner) && !(owner->acted & HF_ACTED_PAUSED)) {
                come_back(acts, hf_guard_note_foreign(owner, acts->now));
                hf_log(HF_LOG_WARNING, MODULE,
                       "%s (pid %d) was stopped by somebody else already; it is left so",
                       hf_guard_name(acts->server, index), (int)owner->pid);
                return;
        }
        owner->acted |= HF_ACTED_SIGNAL;
        send_signal(acts->server, index, SIGSTOP);
        spread(acts, index, SIGSTOP);
        hf_log(HF_LOG_WARNING, MODULE, "%s (pid %d) is paused by SIGSTOP: a lock of its is %s",
               hf_guard_name(acts->server, index), (int)owner->pid,
               hf_guard_unsafe(acts->server, index) & HF_LOCK_LOST ? "lost" : "in danger");
        come_back(acts, acts->now + HF_GUARD_SOON_USEC);
}

static void kill_vm(struct acts *acts, uint32_t index)
{
        struct hf_owner *owner = hf_table_owner(acts->server->table, index);

        owner->acted |= HF_ACTED_KILLED;
        hf_event_of_owner(acts->server, HF_HOLDFAST_EVENT_KILLED, index,
                          hf_guard_unsafe(acts->server, index) & HF_LOCK_LOST
                                  ? "is killed: a lock of its is lost"
                                  : "is killed: a lock of its is in danger");
        send_signal(acts->server, index, SIGKILL);
        spread(acts, index, SIGKILL);
}

static void warn(struct acts *acts, uint32_t index)
{
        struct hf_owner *owner = hf_table_owner(acts->server->table, index);

        owner->acted |= HF_ACTED_WARNED;
        hf_log(HF_LOG_WARNING, MODULE,
               "%s (pid %d) runs on, as it is to be warned of only: a lock of its is %s",
               hf_guard_name(acts->server, index), (int)owner->pid,
               hf_guard_unsafe(acts->server, index) & HF_LOCK_LOST ? "lost" : "in danger");
}

/* ---- monitors ---- */

static void flush_talk(struct acts *acts)
{
        struct hf_order *order = &acts->talk;
        struct hf_place_key where = {HF_PLACE_VMS, 0};

        if (!order->n_items)
                return;
        where.number = ++acts->server->guard->last_group;
        order->kind = HF_WORK_MONITOR;
        order->sent = acts->now;
        if (hf_work_launch(acts->server, where, order) < 0)
                for (uint32_t i = 0; i < order->n_items; i++) {
                        uint32_t index = order->items[i].index;

                        hf_table_owner(acts->server->table, index)
                                ->acted &= (uint16_t)~HF_ACTED_ASKING;
                        if (order->action == HF_QMP_STOP)
                                stop(acts, index);
                }
        order->n_items = 0;
        acts->talk_used = 0;
}

static void talk_to(struct acts *acts, uint32_t index, enum hf_qmp_goal goal)
{
        struct hf_owner *owner = hf_table_owner(acts->server->table, index);
        const char *path = hf_table_monitor(acts->server->table, index);
        struct hf_order *order = &acts->talk;
        size_t len = strlen(path) + 1;

        if (order->action != (uint32_t)goal || order->n_items == HF_WORK_ITEMS_MAX ||
            acts->talk_used + len > sizeof(order->path))
                flush_talk(acts);
        order->action = goal;
        order->until = acts->now + (goal == HF_QMP_STOP ? acts->patience : CONT_USEC);
        memcpy(order->path + acts->talk_used, path, len);
        acts->talk_used += len;
        order->items[order->n_items++] = (struct hf_work_item){.index = index,
                                                               .start = owner->start};
        owner->ask_until = order->until + SLACK_USEC;
        atomic_signal_fence(memory_order_release);
        owner->acted |= HF_ACTED_ASKING;
        come_back(acts, owner->ask_until);
}

/* ---- one VM ---- */

static void begin(struct acts *acts, uint32_t index)
{
        switch (wish_of(acts->server, hf_table_owner(acts->server->table, index))) {
        case HF_ON_LOST_WARN:
                warn(acts, index);
                break;
        case HF_ON_LOST_KILL:
                kill_vm(acts, index);
                break;
        default:
                if (*hf_table_monitor(acts->server->table, index))
                        talk_to(acts, index, HF_QMP_STOP);
                else
                        stop(acts, index);
        }
}

/*
 * Nothing came of talking to its monitor in time. Whether it was told something the worker says
 * when it ends, however late; there is none where the server was killed before it had made one.
 */
static void give_up_talk(struct hf_owner *owner)
{
        owner->acted |= HF_ACTED_MUTE;
        atomic_signal_fence(memory_order_release);
        owner->acted &= (uint16_t) ~(HF_ACTED_ASKING | HF_ACTED_FOREIGN);
}

/* Somebody else has paused it: does that still hold? */
static void look_after_foreign(struct acts *acts, uint32_t index)
{
        struct hf_owner *owner = hf_table_owner(acts->server->table, index);

        if (acts->now < owner->ask_until) {
                come_back(acts, owner->ask_until);
        } else if (is_there(owner) && has_stopped(owner)) {
                come_back(acts, hf_guard_note_foreign(owner, acts->now));
        } else if (*hf_table_monitor(acts->server->table, index)) {
                talk_to(acts, index, HF_QMP_STOP);
        } else {
                owner->acted &= (uint16_t)~HF_ACTED_FOREIGN;
                stop(acts, index);
        }
}

/* Its locks are not sound, and something was begun. */
static void go_on(struct acts *acts, uint32_t index)
{
        struct hf_owner *owner = hf_table_owner(acts->server->table, index);

        if ((owner->acted & HF_ACTED_ASKING) && (owner->acted & HF_ACTED_PAUSED)) {
                hf_guard_not_stopped(owner);
        } else if (owner->acted & HF_ACTED_ASKING) {
                if (acts->now < owner->ask_until) {
                        come_back(acts, owner->ask_until);
                        return;
                }
                give_up_talk(owner);
        }
        if ((owner->acted & HF_ACTED_FOREIGN) && !(owner->acted & HF_ACTED_SIGNAL)) {
                look_after_foreign(acts, index);
        } else if ((owner->acted & (HF_ACTED_ASKED | HF_ACTED_MUTE)) &&
                   !(owner->acted & (HF_ACTED_SIGNAL | HF_ACTED_STOPPED))) {
                stop(acts, index);
        } else if ((owner->acted & (HF_ACTED_SIGNAL | HF_ACTED_KILLED)) &&
                   !(owner->acted & HF_ACTED_SPREAD)) {
                /* Also to itself: who was killed before it could send it has noted it only. */
                int number = owner->acted & HF_ACTED_KILLED ? SIGKILL : SIGSTOP;

                send_signal(acts->server, index, number);
                spread(acts, index, number);
        }
        if ((owner->acted & HF_ACTED_SIGNAL) && !(owner->acted & HF_ACTED_SEEN)) {
                if (!is_there(owner) || has_stopped(owner))
                        owner->acted |= HF_ACTED_SEEN;
                else
                        come_back(acts,
                                  acts->now + (is_about_to(owner) ? SECOND : HF_GUARD_SOON_USEC));
        }
}

/* All of its locks are sound: what was done is undone, as far as it was our doing. */
static void undo(struct acts *acts, uint32_t index)
{
        struct hf_owner *owner = hf_table_owner(acts->server->table, index);
        bool told = owner->acted & (HF_ACTED_ASKED | HF_ACTED_STOPPED);

        if (owner->acted & (HF_ACTED_ASKING | HF_ACTED_SIGNAL | HF_ACTED_ASKED | HF_ACTED_STOPPED))
                come_back(acts, acts->now + HF_GUARD_SOON_USEC);
        if (owner->acted & HF_ACTED_ASKING) {
                if (acts->now < owner->ask_until + SLACK_USEC)
                        return;
                give_up_talk(owner);
        }
        if (owner->acted & HF_ACTED_SIGNAL) {
                /* Should it have to stop again, it has to be sent to all again. */
                owner->acted &= (uint16_t) ~(HF_ACTED_SPREAD | HF_ACTED_SEEN);
                atomic_signal_fence(memory_order_release);
                send_signal(acts->server, index, SIGCONT);
                spread(acts, index, SIGCONT);
                owner->ask_until = acts->now;
        }
        if (told && acts->now >= owner->ask_until)
                talk_to(acts, index, HF_QMP_CONT);
        if (!told)
                owner->acted &= HF_ACTED_SIGNAL | HF_ACTED_KILLED | HF_ACTED_SPREAD |
                                HF_ACTED_FINAL;
}

static void deal_with(struct acts *acts, uint32_t index)
{
        struct hf_owner *owner = hf_table_owner(acts->server->table, index);
        uint32_t unsafe = hf_guard_unsafe(acts->server, index);

        if (!unsafe && !owner->acted)
                return;
        if (unsafe || (owner->acted & HF_ACTED_FINAL)) {
                if (unsafe && !(owner->acted & DEALT_WITH))
                        begin(acts, index);
                else
                        go_on(acts, index);
        } else {
                undo(acts, index);
        }
}

uint64_t hf_guard_act(struct hf_server *server, uint64_t now, uint64_t patience)
{
        struct acts acts = {.server = server, .now = now, .patience = patience};

        for (uint32_t i = 0; (i = hf_table_next_owner(server->table, i));)
                if (!hf_table_owner(server->table, i)->leaving)
                        deal_with(&acts, i);
        flush_talk(&acts);
        flush_spread(&acts);
        return acts.next;
}
