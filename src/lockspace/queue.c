/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/queue.h"

#include "lockspace/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of lines, as in the lock table: enough for some thousand resources that are waited for. */
#define BUCKETS 4096U

struct line;

/* A want's place in a line. */
struct place {
        struct hf_queue_entry *entry;
        struct line *line; /* NULL: it is in none */
        struct place *next, *prev;
        bool shared;
        bool front;
};

/* All that is wanted by one name, or of one thing. */
struct line {
        struct line *next, **prev; /* in its bucket */
        struct place *first, *last;
        uint32_t hash;
        struct hf_thing thing; /* kind none: the line is that of a name */
        uint32_t lockspace;
        char name[];
};

struct want {
        struct place by_name, by_thing;
};

struct hf_queue_entry {
        struct hf_queue *queue;
        struct hf_queue_entry *next, *prev; /* by ticket */
        uint64_t ticket;
        void *data;
        size_t behind; /* places that are not at the front */
        size_t n;
        struct want wants[];
};

struct hf_queue {
        void (*ready)(void *entry_data);
        struct hf_queue_entry *first, *last;
        size_t count;
        struct line *lines[BUCKETS];
};

struct hf_queue *hf_queue_new(void (*ready)(void *entry_data))
{
        struct hf_queue *queue = calloc(1, sizeof(*queue));

        if (queue)
                queue->ready = ready;
        return queue;
}

static void tell_nobody(void *entry_data)
{
        (void)entry_data;
}

struct hf_queue *hf_queue_free(struct hf_queue *queue)
{
        if (queue)
                queue->ready = tell_nobody;
        while (queue && queue->first)
                (void)hf_queue_remove(queue->first);
        free(queue);
        return NULL;
}

/* ---- lines ---- */

static uint32_t hash_of(const struct hf_thing *thing, uint32_t lockspace, const char *name)
{
        uint64_t key[2] = {thing->dev, thing->ino};

        return thing->kind == HF_THING_NONE ? hf_map_hash(lockspace, name, strlen(name))
                                            : hf_map_hash(thing->kind, key, sizeof(key));
}

static bool is_line_of(const struct line *line, uint32_t hash, const struct hf_thing *thing,
                       uint32_t lockspace, const char *name)
{
        if (line->hash != hash || line->thing.kind != thing->kind)
                return false;
        if (thing->kind != HF_THING_NONE)
                return hf_thing_same(&line->thing, thing);
        return line->lockspace == lockspace && !strcmp(line->name, name);
}

/* The line of a thing or, where its kind is none, of a name; made if there is none. */
static struct line *get_line(struct hf_queue *queue, const struct hf_thing *thing,
                             uint32_t lockspace, const char *name)
{
        uint32_t hash = hash_of(thing, lockspace, name);
        struct line **bucket = &queue->lines[hash % BUCKETS], *line;
        size_t size = thing->kind == HF_THING_NONE ? strlen(name) + 1 : 0;

        for (line = *bucket; line; line = line->next)
                if (is_line_of(line, hash, thing, lockspace, name))
                        return line;
        line = calloc(1, sizeof(*line) + size);
        if (!line)
                return NULL;
        line->hash = hash;
        line->thing = *thing;
        line->lockspace = lockspace;
        if (size)
                memcpy(line->name, name, size);
        line->prev = bucket;
        line->next = *bucket;
        if (line->next)
                line->next->prev = &line->next;
        *bucket = line;
        return line;
}

static void drop_line(struct line *line)
{
        *line->prev = line->next;
        if (line->next)
                line->next->prev = line->prev;
        free(line);
}

static void set_front(struct place *place, bool front)
{
        struct hf_queue_entry *entry = place->entry;

        if (place->front == front)
                return;
        place->front = front;
        entry->behind += front ? (size_t)-1 : 1;
        if (entry->behind == 0)
                entry->queue->ready(entry->data);
}

/*
 * Says anew who is at the front. The places of one entry lie side by side, and are one: they
 * are shared if all of them are. Behind the first that is not at the front, and was not before,
 * nothing can have changed; `changed` is a place that was put in just now.
 */
static void refresh(struct line *line, const struct place *changed)
{
        bool open = true, all_shared = true;

        for (struct place *p = line->first, *end; p; p = end) {
                bool shared = true, first = p == line->first, settled = true;

                for (end = p; end && end->entry == p->entry; end = end->next) {
                        shared = shared && end->shared;
                        settled = settled && !end->front && end != changed;
                }
                open = open && (first || (shared && all_shared));
                all_shared = all_shared && shared;
                if (!open && settled)
                        return;
                for (struct place *q = p; q != end; q = q->next)
                        set_front(q, open);
        }
}

static void enter(struct line *line, struct place *place)
{
        struct place *before = line->last;

        while (before && before->entry->ticket > place->entry->ticket)
                before = before->prev;
        place->line = line;
        place->prev = before;
        place->next = before ? before->next : line->first;
        if (place->next)
                place->next->prev = place;
        else
                line->last = place;
        if (before)
                before->next = place;
        else
                line->first = place;
        place->front = false;
        place->entry->behind++;
}

static void leave(struct place *place)
{
        struct line *line = place->line;

        if (!line)
                return;
        if (place->prev)
                place->prev->next = place->next;
        else
                line->first = place->next;
        if (place->next)
                place->next->prev = place->prev;
        else
                line->last = place->prev;
        place->line = NULL;
        place->entry->behind -= place->front ? 0 : 1;
        if (line->first)
                refresh(line, NULL);
        else
                drop_line(line);
}

/* ---- entries ---- */

/* Where there is a line already, or can be one. */
static int enter_both(struct hf_queue_entry *entry, size_t i, const struct hf_queue_want *want)
{
        static const struct hf_thing none = {HF_THING_NONE, 0, 0};
        struct want *places = &entry->wants[i];
        struct line *line;

        places->by_name = (struct place){.entry = entry, .shared = want->shared};
        places->by_thing = places->by_name;
        if (want->name) {
                line = get_line(entry->queue, &none, want->lockspace, want->name);
                if (!line)
                        return -ENOMEM;
                enter(line, &places->by_name);
        }
        if (want->thing.kind != HF_THING_NONE) {
                line = get_line(entry->queue, &want->thing, 0, NULL);
                if (!line)
                        return -ENOMEM;
                enter(line, &places->by_thing);
        }
        return 0;
}

static void link_entry(struct hf_queue_entry *entry)
{
        struct hf_queue *queue = entry->queue;
        struct hf_queue_entry *before = queue->last;

        while (before && before->ticket > entry->ticket)
                before = before->prev;
        entry->prev = before;
        entry->next = before ? before->next : queue->first;
        *(entry->next ? &entry->next->prev : &queue->last) = entry;
        *(before ? &before->next : &queue->first) = entry;
        queue->count++;
}

static void unlink_entry(struct hf_queue_entry *entry)
{
        struct hf_queue *queue = entry->queue;

        *(entry->next ? &entry->next->prev : &queue->last) = entry->prev;
        *(entry->prev ? &entry->prev->next : &queue->first) = entry->next;
        queue->count--;
}

int hf_queue_add(struct hf_queue *queue, uint64_t ticket, const struct hf_queue_want *wants,
                 size_t n, void *data, struct hf_queue_entry **ret)
{
        struct hf_queue_entry *entry = calloc(1, sizeof(*entry) + n * sizeof(entry->wants[0]));
        int r = entry ? 0 : -ENOMEM;

        if (!entry)
                return r;
        entry->queue = queue;
        entry->ticket = ticket;
        entry->data = data;
        /* It is ready when all of it is there, and not on the way to that. */
        entry->behind = 1;
        link_entry(entry);
        for (; r >= 0 && entry->n < n; entry->n++)
                r = enter_both(entry, entry->n, &wants[entry->n]);
        if (r < 0) {
                (void)hf_queue_remove(entry);
                return r;
        }
        for (size_t i = 0; i < n; i++) {
                if (entry->wants[i].by_name.line)
                        refresh(entry->wants[i].by_name.line, &entry->wants[i].by_name);
                if (entry->wants[i].by_thing.line)
                        refresh(entry->wants[i].by_thing.line, &entry->wants[i].by_thing);
        }
        *ret = entry;
        if (--entry->behind == 0)
                queue->ready(data);
        return 0;
}

struct hf_queue_entry *hf_queue_remove(struct hf_queue_entry *entry)
{
        if (!entry)
                return NULL;
        unlink_entry(entry);
        /* Nobody is to be told that it is ready any more. */
        entry->behind++;
        for (size_t i = 0; i < entry->n; i++) {
                leave(&entry->wants[i].by_name);
                leave(&entry->wants[i].by_thing);
        }
        free(entry);
        return NULL;
}

int hf_queue_learn(struct hf_queue_entry *entry, size_t i, const struct hf_thing *thing)
{
        struct place *place = &entry->wants[i].by_thing;
        bool was_ready = entry->behind == 0;
        struct line *line;

        if (thing->kind == HF_THING_NONE ||
            (place->line && hf_thing_same(&place->line->thing, thing)))
                return 0;
        /* Nobody is told on the way. */
        entry->behind++;
        leave(place);
        line = get_line(entry->queue, thing, 0, NULL);
        if (line) {
                enter(line, place);
                refresh(line, place);
        }
        if (--entry->behind == 0 && !was_ready)
                entry->queue->ready(entry->data);
        return line ? 0 : -ENOMEM;
}

bool hf_queue_is_ready(const struct hf_queue_entry *entry)
{
        return entry->behind == 0;
}

static bool is_behind(const struct place *place)
{
        return place->line && !place->front;
}

size_t hf_queue_obstacle(const struct hf_queue_entry *entry)
{
        size_t i = 0;

        while (i < entry->n && !is_behind(&entry->wants[i].by_name) &&
               !is_behind(&entry->wants[i].by_thing))
                i++;
        return i;
}

/* Other entries before it in its line. */
static unsigned int before(const struct place *place)
{
        const struct hf_queue_entry *seen = place->entry;
        unsigned int n = 0;

        for (const struct place *p = place->line ? place->prev : NULL; p; p = p->prev) {
                n += p->entry != seen;
                seen = p->entry;
        }
        return n;
}

unsigned int hf_queue_position(const struct hf_queue_entry *entry, size_t i)
{
        unsigned int by_name = before(&entry->wants[i].by_name);
        unsigned int by_thing = before(&entry->wants[i].by_thing);

        return (by_name > by_thing ? by_name : by_thing) + 1;
}

struct hf_queue_entry *hf_queue_next(const struct hf_queue *queue,
                                     const struct hf_queue_entry *after)
{
        return after ? after->next : queue->first;
}

void *hf_queue_data(const struct hf_queue_entry *entry)
{
        return entry->data;
}

uint64_t hf_queue_ticket(const struct hf_queue_entry *entry)
{
        return entry->ticket;
}

size_t hf_queue_count(const struct hf_queue *queue)
{
        return queue->count;
}
