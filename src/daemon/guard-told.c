/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What workers tell of VMs that they were to stop or to continue. */
#include "daemon/guard-private.h"

#include "base/log.h"
#include "daemon/guard-run.h"
#include "vm/qmp.h"

#include <signal.h>
#include <string.h>

#define MODULE "daemon.guard"

#define SECOND UINT64_C(1000000)

/* Between two tries to continue a VM whose monitor does not answer, and between two looks whether
 * one that somebody else has paused still is. */
#define RETRY_USEC (2 * SECOND)

const char *hf_guard_name(struct hf_server *server, uint32_t index)
{
        const char *name = hf_table_string(server->table,
                                           hf_table_owner(server->table, index)->name);

        return *name ? name : "a VM without a name";
}

uint64_t hf_guard_note_foreign(struct hf_owner *owner, uint64_t now)
{
        owner->ask_until = now + RETRY_USEC;
        owner->acted &= (uint16_t) ~(HF_ACTED_ASKED | HF_ACTED_MUTE);
        owner->acted |= HF_ACTED_FOREIGN;
        return owner->ask_until;
}

/* ---- monitors ---- */

static void told_to_stop(struct hf_server *server, uint32_t index, enum hf_qmp_state state,
                         bool commanded)
{
        struct hf_owner *owner = hf_table_owner(server->table, index);

        if (state == HF_QMP_DONE) {
                owner->acted &= (uint16_t)~HF_ACTED_FOREIGN;
                owner->acted |= HF_ACTED_STOPPED | HF_ACTED_SEEN;
                hf_log(HF_LOG_WARNING, MODULE,
                       "%s (pid %d) is paused by its monitor: a lock of its is in danger or lost",
                       hf_guard_name(server, index), (int)owner->pid);
        } else if (state == HF_QMP_ALREADY) {
                if (!(owner->acted & HF_ACTED_FOREIGN))
                        hf_log(HF_LOG_WARNING, MODULE,
                               "%s (pid %d) was paused by somebody else already; it is left so",
                               hf_guard_name(server, index), (int)owner->pid);
                (void)hf_guard_note_foreign(owner, hf_work_boottime());
        } else {
                owner->acted &= (uint16_t)~HF_ACTED_FOREIGN;
                owner->acted |= commanded ? HF_ACTED_ASKED : HF_ACTED_MUTE;
        }
}

void hf_guard_not_stopped(struct hf_owner *owner)
{
        owner->acted |= HF_ACTED_ASKED;
        atomic_signal_fence(memory_order_release);
        owner->acted &= (uint16_t) ~(HF_ACTED_ASKING | HF_ACTED_STOPPED | HF_ACTED_SEEN);
}

static void told_to_continue(struct hf_server *server, uint32_t index, enum hf_qmp_state state,
                             bool commanded)
{
        struct hf_owner *owner = hf_table_owner(server->table, index);
        uint16_t over = HF_ACTED_ASKED | HF_ACTED_STOPPED | HF_ACTED_SEEN | HF_ACTED_STUCK;

        if (state == HF_QMP_DONE || state == HF_QMP_ALREADY) {
                owner->acted &= (uint16_t)~over;
                hf_log(HF_LOG_WARNING, MODULE, "%s (pid %d) continues: all of its locks are sound",
                       hf_guard_name(server, index), (int)owner->pid);
        } else if (state == HF_QMP_OTHER) {
                owner->acted &= (uint16_t)~over;
                hf_log(HF_LOG_ERROR, MODULE,
                       "%s (pid %d) is stopped for another reason by now and is left so; all of "
                       "its locks are sound",
                       hf_guard_name(server, index), (int)owner->pid);
        } else {
                owner->ask_until = hf_work_boottime() + RETRY_USEC;
                if (commanded)
                        hf_guard_not_stopped(owner);
                if (!(owner->acted & HF_ACTED_STUCK))
                        hf_log(HF_LOG_ERROR, MODULE,
                               "%s (pid %d) cannot be continued, as its monitor does not answer; "
                               "trying again. All of its locks are sound",
                               hf_guard_name(server, index), (int)owner->pid);
                owner->acted |= HF_ACTED_STUCK;
        }
}

void hf_guard_told(struct hf_server *server, const struct hf_order *order,
                   const struct hf_result *outcome, bool done)
{
        for (uint32_t i = 0; i < order->n_items; i++) {
                const struct hf_work_item *item = &order->items[i];
                struct hf_owner *owner = hf_table_owner(server->table, item->index);
                int32_t told = outcome->items[i];
                bool commanded = outcome->commanded[i] || !done;
                enum hf_qmp_state state = told >= HF_TOLD_BASE &&
                                                          told <= HF_TOLD_BASE + HF_QMP_FAILED
                                                  ? (enum hf_qmp_state)(told - HF_TOLD_BASE)
                                                  : HF_QMP_FAILED;

                if (!owner->pid || owner->start != item->start)
                        continue;
                if (order->action == HF_QMP_STOP)
                        told_to_stop(server, item->index, state, commanded);
                else
                        told_to_continue(server, item->index, state, commanded);
                atomic_signal_fence(memory_order_release);
                owner->acted &= (uint16_t)~HF_ACTED_ASKING;
        }
        server->guard->trouble = true;
        hf_guard_look_at(server, hf_work_boottime());
}

/* ---- signals ---- */

void hf_guard_signalled(struct hf_server *server, const struct hf_order *order,
                        const struct hf_result *outcome, bool done)
{
        for (uint32_t i = 0; i < order->n_items; i++) {
                struct hf_owner *owner = hf_table_owner(server->table, order->items[i].index);

                if (done || !owner->pid || owner->start != order->items[i].start)
                        continue;
                /* What did not get there is to be sent once more. */
                if (order->action == SIGCONT)
                        owner->acted |= HF_ACTED_SIGNAL;
                else
                        owner->acted &= (uint16_t)~HF_ACTED_SPREAD;
        }
        if (outcome->status < 0)
                hf_log(HF_LOG_ERROR, MODULE,
                       "cannot tell which processes carry the lock connections of VMs: %s",
                       strerrordesc_np(-outcome->status));
        server->guard->trouble = true;
        hf_guard_look_at(server, hf_work_boottime());
}
