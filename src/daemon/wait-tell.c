/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Messages to those who wait: why, and what has changed. */
#include "daemon/wait-private.h"

/* Between two messages to one of them. */
#define TELL_USEC 1000000

void hf_waits_say_changes(struct hf_waits *waits)
{
        if (waits->tellers == 0 || waits->tell_at)
                return;
        waits->tell_at = hf_work_boottime() + TELL_USEC;
        hf_waits_come_back(waits, waits->tell_at);
}

/* What did not go at once has gone. */
static void on_told(void *job)
{
        struct hf_set *set = job;

        hf_waits_say_changes(set->server->waits);
}

/* Who has it now, as far as that is known without asking; what it waits for is left alone. */
static void look_again(struct hf_set *set)
{
        uint32_t blocked_by = set->blocked_by;

        if (set->foreign || hf_set_look(set)) {
                set->blocked_by = blocked_by;
                return;
        }
        set->outcome.hold = 0;
        set->outcome.error.text[0] = '\0';
        if (!hf_set_look_at_line(set))
                set->blocked_by = blocked_by;
}

static bool is_news(const struct hf_set *set, struct hf_set_told *ret)
{
        const struct hf_set_acquired *outcome = &set->outcome;

        *ret = (struct hf_set_told){
                .position = hf_queue_position(set->entry, outcome->refused),
                .refused = outcome->refused,
                .hold = outcome->hold,
                .since = hf_table_hold(set->server->table, outcome->hold)->since,
        };
        return !set->told.at || ret->position != set->told.position ||
               ret->refused != set->told.refused || ret->hold != set->told.hold ||
               ret->since != set->told.since;
}

void hf_waits_tell(struct hf_set *set, uint64_t now)
{
        struct hf_set_told told;

        if (set->told.at && set->told.at + TELL_USEC > now) {
                hf_waits_say_changes(set->server->waits);
                return;
        }
        if (set->told.at)
                look_again(set);
        if (!is_news(set, &told))
                return;
        hf_set_describe(set);
        set->session->told = on_told;
        if (!hf_wire_tell_waiting(set))
                return;
        set->told = told;
        set->told.at = now;
}

void hf_waits_tell_all(struct hf_waits *waits, uint64_t now)
{
        waits->tell_at = 0;
        for (struct hf_set *s = NULL; (s = hf_waits_next_of(waits, s));)
                if (s->state == HF_SET_WAITING && s->args.flags & HF_HOLDFAST_SET_PROGRESS)
                        hf_waits_tell(s, now);
}
