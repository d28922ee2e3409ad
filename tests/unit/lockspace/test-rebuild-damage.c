/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A table in which random bytes were overwritten goes to a successor: it loses
 * what was damaged and nothing else, and is whole.
 *
 * Usage: test-lockspace-rebuild-damage [ROUNDS [SEED]]. The seed is printed, so
 * that what failed once can be run again.
 */
#include "lockspace/map.h"
#include "lockspace/rebuild.h"

#include "base/cleanup.h"
#include "whole.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define CLAIMS 40

static unsigned long rounds = 1000, seed;
static uint64_t random_state;

static const uint8_t uuid[16] = "0123456789abcde";
static struct hf_table *table;

static void assert_whole(const char *fault)
{
        if (fault)
                fail_msg("not so: %s", fault);
}

/* SplitMix64. */
static uint32_t below(size_t limit)
{
        uint64_t z = random_state += 0x9e3779b97f4a7c15ULL;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return (uint32_t)((z ^ (z >> 31)) % limit);
}

static uint32_t add_space(const char *path)
{
        uint32_t space;

        assert_int_equal(hf_table_add_lockspace(table, path, &space), 0);
        hf_table_claim_lockspace(table, space);
        return space;
}

/* Claims of several kinds, and between them records and strings that went. */
static void fill(void)
{
        const uint32_t spaces[] = {HF_LOCKSPACE_DEFAULT, add_space("/space"), add_space("/more")};
        struct hf_owner_info owner = {.start = 5, .since = 6, .uuid = uuid, .via = "test"};
        struct hf_hold_info hold = {.via = "test", .since = 7};
        uint32_t holds[CLAIMS];
        char name[300];

        owner.name = hold.name = name;
        for (int i = 0; i < CLAIMS; i++) {
                struct hf_thing file = {HF_THING_FILE, 7, (uint64_t)i};

                (void)snprintf(name, sizeof(name), "%0*d", 1 + (i * 37) % 290, i);
                owner.pid = 100 + i;
                if (i % 3 == 0)
                        assert_int_equal(hf_table_add_owner(table, &owner, &hold.owner), 0);
                if (i % 2 == 0)
                        assert_int_equal(hf_table_add_lock(table, &file, &file, 10 + i,
                                                           HF_LOCK_SHARED, &hold.lock),
                                         0);
                hold.lockspace = spaces[i % 3];
                hold.set = (uint64_t)(i % 4);
                assert_int_equal(hf_table_add_hold(table, &hold, &holds[i]), 0);
                hf_table_claim_hold(table, holds[i]);
        }
        for (int i = 0; i < CLAIMS; i += 5)
                hf_table_remove_hold(table, holds[i]);
}

static void damage(struct hf_map *map)
{
        const struct {
                void *begin;
                size_t size;
        } parts[] = {
                {&map->owner_pool,
                 offsetof(struct hf_map, owner_by_pid) - offsetof(struct hf_map, owner_pool)},
                {map->owner_by_pid,
                 offsetof(struct hf_map, lockspaces) - offsetof(struct hf_map, owner_by_pid)},
                {map->lockspaces, 6 * sizeof(map->lockspaces[0])},
                {map->owners, 20 * sizeof(map->owners[0])},
                {map->locks, 30 * sizeof(map->locks[0])},
                {map->holds, 50 * sizeof(map->holds[0])},
                {map->strings, 12000},
        };
        size_t part = below(HF_ARRAY_LEN(parts));
        uint8_t *at = (uint8_t *)parts[part].begin + below(parts[part].size);

        *at = below(2) ? *at ^ (uint8_t)(1U << below(8)) : (uint8_t)below(256);
}

static bool same_string(const struct hf_table *a, const struct hf_table *b, uint32_t string)
{
        return !strcmp(hf_table_string(a, string), hf_table_string(b, string));
}

/* Whether all that a hold says is what it said, byte for byte. */
static bool is_untouched(struct hf_table *a, struct hf_table *b, uint32_t i)
{
        const struct hf_hold *h = hf_table_hold(a, i), *h2 = hf_table_hold(b, i);
        const struct hf_owner *o = hf_table_owner(a, h->owner), *o2 = hf_table_owner(b, h->owner);
        const struct hf_lock *l = hf_table_lock(a, h->lock), *l2 = hf_table_lock(b, h->lock);
        const uint32_t modes = HF_LOCK_SHARED | HF_LOCK_AUTOCREATE;
        uint32_t path = a->map->lockspaces[h->lockspace].path;

        return h->check == h2->check && h->lock == h2->lock && h->owner == h2->owner &&
               h->lockspace == h2->lockspace && h->name == h2->name && h->since == h2->since &&
               h->set == h2->set && !strcmp(h->via, h2->via) && o->pid == o2->pid &&
               o->start == o2->start && o->client == o2->client && o->since == o2->since &&
               !memcmp(o->uuid, o2->uuid, sizeof(uuid)) && o->name == o2->name && o->id == o2->id &&
               l->fd == l2->fd && !memcmp(&l->file, &l2->file, sizeof(l->file)) &&
               (l->flags & modes) == (l2->flags & modes) && same_string(a, b, h->name) &&
               same_string(a, b, o->name) && path == b->map->lockspaces[h->lockspace].path &&
               same_string(a, b, path);
}

static bool all_used(void *data, uint32_t owner)
{
        (void)data;
        (void)owner;
        return true;
}

static void damage_and_rebuild(void)
{
        struct hf_table *after = whole_copy(table), *again;
        bool untouched[CLAIMS + 1] = {false};
        struct hf_rebuilt first, second;

        assert_non_null(after);
        for (uint32_t n = 1 + below(20); n > 0; n--)
                damage(after->map);
        for (uint32_t i = 0; (i = hf_table_next_hold(table, i));)
                untouched[i] = is_untouched(table, after, i);
        hf_table_rebuild(after, below(2) ? all_used : NULL, NULL, &first);
        assert_whole(whole_fault(after));
        for (uint32_t i = 0; (i = hf_table_next_hold(table, i));)
                assert_true(!untouched[i] || is_untouched(table, after, i));
        again = whole_copy(after);
        assert_non_null(again);
        hf_table_rebuild(again, all_used, NULL, &second);
        assert_int_equal(second.kept, first.kept);
        assert_int_equal(second.damaged + second.unfinished, 0);
        assert_int_equal(whole_size(after), whole_size(again));
        assert_memory_equal(after->map->holds, again->map->holds,
                            (CLAIMS + 1) * sizeof(struct hf_hold));
        (void)hf_table_free(again);
        assert_whole(whole_use(after));
        (void)hf_table_free(after);
}

static void no_damage_takes_more_than_what_is_damaged(void **state)
{
        (void)state;
        print_message("%lu rounds, seed %lu\n", rounds, seed);
        random_state = seed;
        assert_int_equal(hf_table_new(&table), 0);
        fill();
        for (unsigned long i = 0; i < rounds; i++)
                damage_and_rebuild();
        table = hf_table_free(table);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_damage_takes_more_than_what_is_damaged),
        };
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        seed = (unsigned long)now.tv_sec * 1000000 + (unsigned long)now.tv_nsec / 1000;
        if (argc > 1)
                rounds = strtoul(argv[1], NULL, 10);
        if (argc > 2)
                seed = strtoul(argv[2], NULL, 10);
        return cmocka_run_group_tests_name("rebuild-damage", tests, NULL, NULL);
}
