/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/wait-private.h"

#include "base/cleanup.h"
#include "daemon/await.h"
#include "daemon/owner.h"

#include <errno.h>
#include <string.h>

/*
 * Between two tries where what is in the way tells nobody when it goes: a file that is being
 * removed, or a helper that there is none for.
 */
#define AGAIN_USEC 100000

/* How exact a time is: what is waited for is not that urgent. */
#define ACCURACY_USEC 1000

/* ---- lists ---- */

static void link_to(struct hf_set *set, struct hf_set **at)
{
        set->next_woken = *at;
        set->prev_woken = at;
        if (*at)
                (*at)->prev_woken = &set->next_woken;
        *at = set;
}

void hf_waits_unlink(struct hf_set *set)
{
        struct hf_waits *waits = set->server->waits;

        if (!set->prev_woken)
                return;
        if (waits->woken_last == set)
                waits->woken_last = NULL;
        *set->prev_woken = set->next_woken;
        if (set->next_woken)
                set->next_woken->prev_woken = set->prev_woken;
        set->prev_woken = NULL;
}

/* Looked after whatever the loop does, as long as there is anybody. */
void hf_waits_watch_loop(struct hf_waits *waits)
{
        bool busy = hf_queue_count(waits->queue) || waits->woken || waits->giving ||
                    waits->server->answered;

        (void)sd_event_source_set_enabled(waits->post, busy ? SD_EVENT_ON : SD_EVENT_OFF);
}

void hf_waits_wake(struct hf_set *set)
{
        struct hf_waits *waits = set->server->waits;
        struct hf_set **at = &waits->woken;

        hf_waits_unlink(set);
        /* Of many, who are woken by their tickets, each comes right behind the one before. */
        if (waits->woken_last && waits->woken_last->number < set->number)
                at = &waits->woken_last->next_woken;
        while (*at && (*at)->number < set->number)
                at = &(*at)->next_woken;
        link_to(set, at);
        waits->woken_last = set;
        waits->server->woken = true;
}

void hf_waits_give(struct hf_set *set)
{
        struct hf_waits *waits = set->server->waits;

        hf_waits_unlink(set);
        link_to(set, &waits->giving);
        /* What is in its way may go before all of it is given back. */
        if (set->blocked_by)
                hf_bits_add(waits->watched, set->blocked_by);
        hf_waits_watch_loop(waits);
}

void hf_waits_next_turn(struct hf_set *set)
{
        struct hf_waits *waits = set->server->waits;

        hf_waits_unlink(set);
        link_to(set, &waits->next_turn);
        (void)sd_event_source_set_enabled(waits->soon, SD_EVENT_ON);
}

/* The queue says that it is at the front. */
static void on_ready(void *data)
{
        struct hf_set *set = data;

        set->again = true;
        if (set->state == HF_SET_WAITING)
                hf_waits_wake(set);
}

static const struct hf_set *set_of(const struct hf_queue_entry *entry)
{
        return entry ? hf_queue_data(entry) : NULL;
}

const struct hf_set *hf_waits_next(const struct hf_server *server, const struct hf_set *after)
{
        return set_of(hf_queue_next(server->waits->queue, after ? after->entry : NULL));
}

struct hf_set *hf_waits_next_of(struct hf_waits *waits, const struct hf_set *after)
{
        struct hf_queue_entry *entry = hf_queue_next(waits->queue, after ? after->entry : NULL);

        return entry ? hf_queue_data(entry) : NULL;
}

/* ---- waiting ---- */

/* Has the loop come back at a time; an earlier one stands. */
void hf_waits_come_back(struct hf_waits *waits, uint64_t when)
{
        if (when == 0 || (waits->armed && waits->armed <= when))
                return;
        waits->armed = when;
        (void)sd_event_source_set_time(waits->timer, when);
        (void)sd_event_source_set_enabled(waits->timer, SD_EVENT_ONESHOT);
}

static void look_later(struct hf_set *set)
{
        set->look_at = hf_work_boottime() + AGAIN_USEC;
        hf_waits_come_back(set->server->waits, set->look_at);
}

static const struct hf_holdfast_acquire_args *awaited(const struct hf_set *set)
{
        return &set->args.wants.wants_val[set->outcome.refused];
}

/* Whether another set waits for the same holder already. */
static bool is_awaited(struct hf_waits *waits, const struct hf_set *set)
{
        const struct hf_holdfast_acquire_args *want = awaited(set);

        for (const struct hf_set *s = NULL; (s = hf_waits_next(waits->server, s));)
                if (s->await && !strcmp(awaited(s)->name, want->name) &&
                    !strcmp(awaited(s)->path, want->path))
                        return true;
        return false;
}

/* Others may wait for the holder that it waited for: the first of them is to do so now. */
void hf_waits_await_no_more(struct hf_set *set)
{
        struct hf_waits *waits = set->server->waits;

        if (!set->await)
                return;
        set->await = hf_await_free(set->await);
        waits->passed_on = true;
        waits->server->woken = true;
}

static void pass_on(struct hf_waits *waits)
{
        for (struct hf_set *s = NULL; (s = hf_waits_next_of(waits, s));)
                if (s->state == HF_SET_WAITING && s->foreign && !s->await)
                        hf_waits_wake(s);
}

static void on_awaited(void *data, struct hf_resource_result *got)
{
        struct hf_set *set = data;
        struct hf_server *server = set->server;

        set->await = hf_await_free(set->await);
        server->waits->passed_on = true;
        server->woken = true;
        if (got->status < 0) {
                /* The try says what is wrong, if it still is. */
                look_later(set);
                return;
        }
        set->got = *got;
        set->got_for = set->outcome.refused;
        hf_waits_wake(set);
        hf_waits_serve(server);
}

static void await_foreign(struct hf_set *set)
{
        struct hf_order order;
        int r = hf_await_order(set, set->outcome.refused, &order);

        if (r >= 0)
                r = hf_await_start(set->server, &order, on_awaited, set, &set->await);
        if (r < 0)
                look_later(set);
}

void hf_waits_begin(struct hf_set *set)
{
        struct hf_waits *waits = set->server->waits;

        if (!set->waits)
                hf_waits_learn_things(set);
        set->state = HF_SET_WAITING;
        if (!set->waits)
                hf_set_note_wait(set);
        if (set->args.flags & HF_HOLDFAST_SET_PROGRESS) {
                waits->tellers += !set->waits;
                set->waits = true;
                hf_waits_tell(set, hf_work_boottime());
        }
        set->waits = true;
        hf_waits_say_changes(waits);
        hf_waits_come_back(waits, set->until);
        if (set->blocked_by)
                hf_bits_add(waits->watched, set->blocked_by);
        else if (set->foreign && !is_awaited(waits, set))
                await_foreign(set);
        else if (!set->foreign && hf_queue_is_ready(set->entry))
                look_later(set);
        hf_waits_watch_loop(waits);
}

/* ---- being woken ---- */

void hf_waits_freed(struct hf_server *server, uint32_t lock)
{
        struct hf_waits *waits = server->waits;

        while (waits->giving)
                hf_waits_wake(waits->giving);
        if (!hf_bits_has(waits->watched, lock))
                return;
        hf_bits_drop(waits->watched, lock);
        for (struct hf_set *s = NULL; (s = hf_waits_next_of(waits, s));) {
                if (s->blocked_by != lock)
                        continue;
                s->again = true;
                /* Of a long line, the front; the others are woken when they are there. */
                if (s->state == HF_SET_WAITING && hf_queue_is_ready(s->entry))
                        hf_waits_wake(s);
        }
}

static void wake_sets_of(struct hf_server *server, uint32_t owner)
{
        struct hf_waits *waits = server->waits;

        if (!waits->by_owner[owner])
                return;
        for (struct hf_set *s = NULL; (s = hf_waits_next_of(waits, s));)
                if (s->owner == owner && s->state == HF_SET_WAITING)
                        hf_waits_wake(s);
}

void hf_waits_owner_holds(struct hf_server *server, uint32_t owner)
{
        wake_sets_of(server, owner);
}

void hf_waits_owner_ended(struct hf_server *server, uint32_t owner)
{
        wake_sets_of(server, owner);
}

/* Whether it waits no longer: its time is over, its owner is, or it has something. */
static bool is_over(struct hf_set *set)
{
        struct hf_error error;
        int r = hf_owner_bind(set->session, &error);

        if (r < 0) {
                set->outcome = (struct hf_set_acquired){.status = r, .error = error};
                return true;
        }
        /* Who has it, or is before it. */
        if (!hf_set_look(set))
                (void)hf_set_look_at_line(set);
        return (set->until && hf_work_boottime() >= set->until) || hf_set_may_not_wait(set);
}

/* Who is at the front tries once more, also when its time is over: who has it is known then. */
static void look_at(struct hf_set *set)
{
        if (set->state == HF_SET_GIVING) {
                hf_set_given(set);
                return;
        }
        if (hf_queue_is_ready(set->entry)) {
                hf_set_try(set);
                return;
        }
        /* Somebody who asked before wants the same, as is known by now, and waits for it. */
        hf_set_give_awaited(set);
        if (is_over(set))
                hf_set_end(set);
}

void hf_waits_look(struct hf_server *server)
{
        struct hf_waits *waits = server->waits;
        struct hf_set *set;

        if (waits->looking)
                return;
        waits->looking = true;
        do {
                while ((set = waits->woken)) {
                        hf_waits_unlink(set);
                        look_at(set);
                }
                if (waits->passed_on)
                        pass_on(waits);
                waits->passed_on = false;
        } while (waits->woken);
        server->woken = false;
        waits->looking = false;
        hf_waits_watch_loop(waits);
}

void hf_waits_serve(struct hf_server *server)
{
        if (server->woken)
                hf_waits_look(server);
        hf_sessions_resume(server);
}

static int on_post(sd_event_source *source, void *data)
{
        struct hf_server *server = data;

        (void)source;
        hf_waits_serve(server);
        hf_waits_watch_loop(server->waits);
        return 0;
}

static int on_soon(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_server *server = data;
        struct hf_waits *waits = server->waits;
        struct hf_set *set = waits->next_turn;

        (void)fd;
        (void)revents;
        if (set) {
                hf_waits_unlink(set);
                hf_set_go_on(set);
        }
        hf_waits_serve(server);
        return waits->next_turn ? 0 : sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static int on_time(sd_event_source *source, uint64_t usec, void *data)
{
        struct hf_server *server = data;
        struct hf_waits *waits = server->waits;
        uint64_t now = hf_work_boottime(), next = UINT64_MAX;

        (void)source;
        (void)usec;
        waits->armed = 0;
        for (struct hf_set *s = NULL; (s = hf_waits_next_of(waits, s));) {
                const uint64_t times[] = {s->until, s->look_at};
                bool expired = false;

                if (s->state != HF_SET_WAITING)
                        continue;
                for (size_t i = 0; i < HF_ARRAY_LEN(times); i++) {
                        if (times[i] && times[i] <= now)
                                expired = true;
                        else if (times[i] && times[i] < next)
                                next = times[i];
                }
                if (expired) {
                        s->look_at = 0;
                        hf_waits_wake(s);
                }
        }
        if (waits->tell_at && waits->tell_at <= now)
                hf_waits_tell_all(waits, now);
        if (waits->tell_at && waits->tell_at < next)
                next = waits->tell_at;
        hf_waits_come_back(waits, next == UINT64_MAX ? 0 : next);
        hf_waits_serve(server);
        return 0;
}

/* ---- begin and end ---- */

int hf_waits_new(struct hf_server *server)
{
        struct hf_waits *waits = calloc(1, sizeof(*waits));
        int r;

        if (!waits)
                return -ENOMEM;
        server->waits = waits;
        waits->server = server;
        waits->queue = hf_queue_new(on_ready);
        if (!waits->queue)
                return -ENOMEM;
        r = sd_event_add_post(server->event, &waits->post, on_post, server);
        if (r >= 0)
                r = sd_event_source_set_enabled(waits->post, SD_EVENT_OFF);
        if (r >= 0)
                r = hf_server_add_background(server, on_soon, &waits->soon);
        if (r >= 0)
                r = sd_event_add_time(server->event, &waits->timer, CLOCK_BOOTTIME, 0,
                                      ACCURACY_USEC, on_time, server);
        return r < 0 ? r : sd_event_source_set_enabled(waits->timer, SD_EVENT_OFF);
}

void hf_waits_free(struct hf_server *server)
{
        struct hf_waits *waits = server->waits;

        if (!waits)
                return;
        (void)sd_event_source_disable_unref(waits->post);
        (void)sd_event_source_disable_unref(waits->soon);
        (void)sd_event_source_disable_unref(waits->timer);
        (void)hf_queue_free(waits->queue);
        free(waits);
        server->waits = NULL;
}
