/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The queue: who waits for what, in the order in which it was asked for.
 *
 * An entry is a set of wants that is granted whole or not at all, with a ticket; a lower
 * ticket was asked for earlier. Everything that is wanted has a *line*, one by the name and,
 * where it is known, one by the thing. In a line the wants stand by their tickets, and its
 * *front* is the first entry there, or all first ones that share. An entry is *ready* when each of
 * its wants is at the front of each of its lines: only then a try of it is fair. Whoever is
 * not passes nobody, also where what it wants is free: it is kept for the one before.
 *
 * So in each line all go in the exact order of their tickets, but for sharers, who do not
 * stand in one another's way; and the entry with the lowest ticket of all is always ready, so
 * nobody waits for ever for those who came later. An entry holds nothing while it is in the
 * queue, so a circle of those who wait for each other cannot be.
 *
 * Wants of one entry are never in each other's way. The queue does no I/O, and knows nothing
 * of holders: whether what a ready entry wants is free is for others to find out.
 */

#include "base/cleanup.h"
#include "base/thing.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_queue;
struct hf_queue_entry;

/* What is wanted: a name, or a thing, or both. */
struct hf_queue_want {
        uint32_t lockspace;
        const char *name;      /* NULL: only the thing counts */
        struct hf_thing thing; /* kind none: not known (yet) */
        bool shared;
};

/*
 * An empty queue. ready is called for each entry that becomes ready, if only until the change
 * that made it so is over; it may not touch the queue. NULL without memory.
 */
struct hf_queue *hf_queue_new(void (*ready)(void *entry_data));

/* With all that is in it. NULL is fine, and is returned. */
struct hf_queue *hf_queue_free(struct hf_queue *queue);

static inline void hf_queue_freep(struct hf_queue **queue)
{
        *queue = hf_queue_free(*queue);
}

#define hf_cleanup_queue hf_cleanup(hf_queue_freep)

/*
 * Enters a set, wherever its ticket belongs; no two entries have the same. data comes back in
 * `ready`, which is called here too, where the entry is ready at once. -ENOMEM.
 */
int hf_queue_add(struct hf_queue *queue, uint64_t ticket, const struct hf_queue_want *wants,
                 size_t n, void *data, struct hf_queue_entry **ret);

/* It has what it wanted, or wants it no more. NULL is fine, and is returned. */
struct hf_queue_entry *hf_queue_remove(struct hf_queue_entry *entry);

/*
 * What a want is about was found out, or is another thing by now. An entry may lose its place at
 * the front by that, to one that asked earlier for the same by another name. -ENOMEM: then only its
 * name counts.
 */
int hf_queue_learn(struct hf_queue_entry *entry, size_t want, const struct hf_thing *thing);

bool hf_queue_is_ready(const struct hf_queue_entry *entry);

/* The first want that is not at the front, or the number of wants where all are. */
size_t hf_queue_obstacle(const struct hf_queue_entry *entry);

/* The place of a want in its lines; 1: nobody is before it. */
unsigned int hf_queue_position(const struct hf_queue_entry *entry, size_t want);

/* All entries in the order of their tickets: the first (after NULL) and the next ones, or NULL. */
struct hf_queue_entry *hf_queue_next(const struct hf_queue *queue,
                                     const struct hf_queue_entry *after);

void *hf_queue_data(const struct hf_queue_entry *entry);
uint64_t hf_queue_ticket(const struct hf_queue_entry *entry);

/* How many entries there are. */
size_t hf_queue_count(const struct hf_queue *queue);
