/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The queue, by example, and at random against a model that looks at every pair of wants.
 *
 * Usage: test-lockspace-queue [STEPS [SEED]]. The seed is printed, so that what failed once
 * can be run again.
 */
#include "lockspace/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Few of each, so that they meet often. */
#define NAMES    5
#define THINGS   4
#define WANTS    4
#define SETS_MAX 24

struct set {
        struct hf_queue_entry *entry; /* NULL: it is not in the queue */
        uint64_t ticket;
        struct hf_queue_want wants[WANTS];
        size_t n;
        unsigned int told; /* how often it was said to be ready */
};

static const char *const names[NAMES] = {"/a", "/b", "/c", "/d", "/e"};
static unsigned long steps = 20000;
static unsigned long seed;
static uint64_t random_state;
static struct hf_queue *queue;

static void on_ready(void *data)
{
        struct set *set = data;

        set->told++;
}

static int begin(void **state)
{
        (void)state;
        queue = hf_queue_new(on_ready);
        return queue ? 0 : -1;
}

static int end(void **state)
{
        (void)state;
        queue = hf_queue_free(queue);
        return 0;
}

static struct hf_thing thing(uint64_t ino)
{
        return (struct hf_thing){ino ? HF_THING_FILE : HF_THING_NONE, 7, ino};
}

static struct hf_queue_want want(const char *name, uint64_t ino, bool shared)
{
        return (struct hf_queue_want){1, name, thing(ino), shared};
}

static void add(struct set *set, uint64_t ticket)
{
        set->ticket = ticket;
        set->told = 0;
        assert_int_equal(hf_queue_add(queue, ticket, set->wants, set->n, set, &set->entry), 0);
}

static void take_out(struct set *set)
{
        set->entry = hf_queue_remove(set->entry);
}

/* ---- by example ---- */

static void those_who_want_one_thing_go_in_the_order_of_asking(void **state)
{
        struct set sets[50] = {0};

        (void)state;
        for (size_t i = 0; i < 50; i++) {
                sets[i].wants[0] = want("/a", 0, false);
                sets[i].n = 1;
                add(&sets[i], i + 1);
                assert_int_equal(hf_queue_position(sets[i].entry, 0), i + 1);
        }
        for (size_t i = 0; i < 50; i++) {
                for (size_t j = i; j < 50; j++)
                        assert_int_equal(hf_queue_is_ready(sets[j].entry), j == i);
                assert_int_equal(sets[i].told, 1);
                take_out(&sets[i]);
        }
        assert_int_equal(hf_queue_count(queue), 0);
}

static void who_waits_for_one_part_keeps_the_others_from_those_who_came_later(void **state)
{
        struct set both = {.wants = {want("/a", 0, false), want("/b", 0, false)}, .n = 2};
        struct set crossing = {.wants = {want("/b", 0, false), want("/a", 0, false)}, .n = 2};
        struct set later = {.wants = {want("/b", 0, false)}, .n = 1};
        struct set other = {.wants = {want("/c", 0, false)}, .n = 1};

        (void)state;
        add(&both, 1);
        add(&crossing, 2);
        add(&later, 3);
        add(&other, 4);
        assert_true(hf_queue_is_ready(both.entry));
        assert_false(hf_queue_is_ready(crossing.entry));
        assert_false(hf_queue_is_ready(later.entry));
        assert_int_equal(hf_queue_position(later.entry, 0), 3);
        assert_true(hf_queue_is_ready(other.entry));
        take_out(&both);
        assert_true(hf_queue_is_ready(crossing.entry));
        take_out(&crossing);
        assert_true(hf_queue_is_ready(later.entry));
}

static void sharers_go_together_and_pass_nobody(void **state)
{
        struct set one = {.wants = {want("/a", 0, true)}, .n = 1}, two = one, late = one;
        struct set alone = {.wants = {want("/a", 0, false)}, .n = 1};

        (void)state;
        add(&one, 1);
        add(&two, 2);
        add(&alone, 3);
        add(&late, 4);
        assert_true(hf_queue_is_ready(one.entry) && hf_queue_is_ready(two.entry));
        assert_false(hf_queue_is_ready(alone.entry) || hf_queue_is_ready(late.entry));
        take_out(&one);
        assert_false(hf_queue_is_ready(alone.entry));
        take_out(&two);
        assert_true(hf_queue_is_ready(alone.entry));
        assert_false(hf_queue_is_ready(late.entry));
        take_out(&alone);
        assert_true(hf_queue_is_ready(late.entry));
}

static void who_vanishes_lets_those_behind_it_forward(void **state)
{
        struct set first = {.wants = {want("/a", 0, false)}, .n = 1}, second = first, third = first;

        (void)state;
        add(&first, 1);
        add(&second, 2);
        add(&third, 3);
        take_out(&second);
        assert_int_equal(hf_queue_position(third.entry, 0), 2);
        assert_int_equal(third.told, 0);
        take_out(&first);
        assert_int_equal(third.told, 1);
}

static void one_thing_by_two_names_is_one_line(void **state)
{
        struct set first = {.wants = {want("/a", 3, false)}, .n = 1};
        struct set alias = {.wants = {want("/b", 3, false)}, .n = 1};
        struct set unknown = {.wants = {want("/c", 0, false)}, .n = 1};
        struct hf_thing known = thing(3);

        (void)state;
        add(&first, 1);
        add(&alias, 2);
        add(&unknown, 3);
        assert_false(hf_queue_is_ready(alias.entry));
        assert_true(hf_queue_is_ready(unknown.entry));
        assert_int_equal(hf_queue_learn(unknown.entry, 0, &known), 0);
        assert_false(hf_queue_is_ready(unknown.entry));
        assert_int_equal(hf_queue_position(unknown.entry, 0), 3);
        take_out(&first);
        take_out(&alias);
        assert_true(hf_queue_is_ready(unknown.entry));
        assert_int_equal(unknown.told, 2);
}

static void a_thing_is_wanted_without_a_name(void **state)
{
        struct set first = {.wants = {want(NULL, 3, false)}, .n = 1};
        struct set second = {.wants = {want(NULL, 3, false)}, .n = 1};
        struct set other = {.wants = {want(NULL, 4, false)}, .n = 1};

        (void)state;
        add(&first, 1);
        add(&second, 2);
        add(&other, 3);
        assert_true(hf_queue_is_ready(first.entry) && hf_queue_is_ready(other.entry));
        assert_false(hf_queue_is_ready(second.entry));
        assert_int_equal(hf_queue_obstacle(second.entry), 0);
        assert_int_equal(hf_queue_obstacle(first.entry), 1);
}

static void a_set_is_not_in_its_own_way(void **state)
{
        struct set twice = {
                .wants = {want("/a", 3, false), want("/b", 3, false), want("/a", 3, false)},
                .n = 3};
        struct set next = {.wants = {want("/b", 0, false)}, .n = 1};

        (void)state;
        add(&twice, 1);
        add(&next, 2);
        assert_true(hf_queue_is_ready(twice.entry));
        assert_int_equal(hf_queue_position(next.entry, 0), 2);
        take_out(&twice);
        assert_true(hf_queue_is_ready(next.entry));
}

static void a_lower_ticket_goes_to_its_place(void **state)
{
        struct set late = {.wants = {want("/a", 0, false)}, .n = 1}, early = late;

        (void)state;
        add(&late, 7);
        assert_true(hf_queue_is_ready(late.entry));
        add(&early, 3);
        assert_false(hf_queue_is_ready(late.entry));
        assert_true(hf_queue_is_ready(early.entry));
        assert_ptr_equal(hf_queue_data(hf_queue_next(queue, NULL)), &early);
        assert_int_equal(hf_queue_ticket(hf_queue_next(queue, early.entry)), 7);
}

/* ---- at random ---- */

/* SplitMix64. */
static uint32_t below(uint32_t limit)
{
        uint64_t z = random_state += 0x9e3779b97f4a7c15ULL;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return (uint32_t)((z ^ (z >> 31)) % limit);
}

static bool collide(const struct hf_queue_want *a, const struct hf_queue_want *b)
{
        bool same_name = a->name && b->name && a->lockspace == b->lockspace &&
                         !strcmp(a->name, b->name);

        return (same_name || hf_thing_same(&a->thing, &b->thing)) && !(a->shared && b->shared);
}

static bool is_fair(const struct set *sets, const struct set *set)
{
        for (const struct set *s = sets; s < sets + SETS_MAX; s++) {
                if (!s->entry || s->ticket >= set->ticket)
                        continue;
                for (size_t i = 0; i < set->n; i++)
                        for (size_t j = 0; j < s->n; j++)
                                if (collide(&set->wants[i], &s->wants[j]))
                                        return false;
        }
        return true;
}

static void make_up(struct set *set)
{
        set->n = 1 + below(WANTS);
        for (size_t i = 0; i < set->n; i++) {
                set->wants[i] = want(names[below(NAMES)], below(2) ? 1 + below(THINGS) : 0,
                                     below(2) == 0);
                set->wants[i].lockspace = 1 + below(2);
                if (set->wants[i].thing.ino && below(4) == 0)
                        set->wants[i].name = NULL;
        }
}

/* Whoever becomes ready is told. */
static void compare(const struct set *sets, const bool *was_ready, unsigned long step)
{
        const struct set *lowest = NULL;
        size_t count = 0;

        for (size_t i = 0; i < SETS_MAX; i++) {
                const struct set *set = &sets[i];
                bool fair;

                if (!set->entry)
                        continue;
                count++;
                fair = is_fair(sets, set);
                if (hf_queue_is_ready(set->entry) != fair)
                        fail_msg("step %lu: the set of ticket %llu is%s ready", step,
                                 (unsigned long long)set->ticket, fair ? " not" : "");
                if (fair && !was_ready[i] && !set->told)
                        fail_msg("step %lu: the set of ticket %llu was not told", step,
                                 (unsigned long long)set->ticket);
                assert_int_equal(hf_queue_obstacle(set->entry) == set->n, fair);
                if (!lowest || set->ticket < lowest->ticket)
                        lowest = set;
        }
        assert_int_equal(hf_queue_count(queue), count);
        if (lowest)
                assert_true(hf_queue_is_ready(lowest->entry));
}

static void random_step(struct set *set, uint64_t *ticket)
{
        if (!set->entry) {
                make_up(set);
                /* Now and then one that asked earlier comes later. */
                add(set, below(8) ? ++*ticket : 1 + 1000000 + ((uint64_t)below(1000000) << 20));
        } else if (below(4) == 0) {
                struct hf_thing learned = thing(1 + below(THINGS));
                size_t i = below((uint32_t)set->n);

                assert_int_equal(hf_queue_learn(set->entry, i, &learned), 0);
                set->wants[i].thing = learned;
        } else {
                take_out(set);
        }
}

static void at_every_moment_those_are_ready_who_are_in_nobodys_shadow(void **state)
{
        struct set sets[SETS_MAX] = {0};
        bool was_ready[SETS_MAX];
        uint64_t ticket = (uint64_t)1 << 50;

        (void)state;
        random_state = seed;
        for (unsigned long step = 0; step < steps; step++) {
                for (size_t i = 0; i < SETS_MAX; i++) {
                        was_ready[i] = sets[i].entry && hf_queue_is_ready(sets[i].entry);
                        sets[i].told = 0;
                }
                struct set *chosen = &sets[below(SETS_MAX)];

                if (!chosen->entry)
                        was_ready[chosen - sets] = false;
                random_step(chosen, &ticket);
                compare(sets, was_ready, step);
        }
}

static void nobody_waits_for_ever_while_others_come_and_go(void **state)
{
        struct set old = {.n = NAMES < WANTS ? NAMES : WANTS}, sets[SETS_MAX - 1] = {0};
        uint64_t ticket = 0;

        (void)state;
        random_state = seed;
        for (size_t i = 0; i < SETS_MAX - 1; i++) {
                make_up(&sets[i]);
                add(&sets[i], ++ticket);
        }
        for (size_t i = 0; i < old.n; i++)
                old.wants[i] = want(names[i], i + 1, false);
        add(&old, ++ticket);
        /* Each of the others that goes comes again at once, behind. */
        for (unsigned int turns = 0; !hf_queue_is_ready(old.entry); turns++) {
                struct hf_queue_entry *first = hf_queue_next(queue, NULL);
                struct set *set = hf_queue_data(first);

                assert_true(turns < SETS_MAX);
                take_out(set);
                add(set, ++ticket);
        }
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(those_who_want_one_thing_go_in_the_order_of_asking,
                                                begin, end),
                cmocka_unit_test_setup_teardown(
                        who_waits_for_one_part_keeps_the_others_from_those_who_came_later, begin,
                        end),
                cmocka_unit_test_setup_teardown(sharers_go_together_and_pass_nobody, begin, end),
                cmocka_unit_test_setup_teardown(who_vanishes_lets_those_behind_it_forward, begin,
                                                end),
                cmocka_unit_test_setup_teardown(one_thing_by_two_names_is_one_line, begin, end),
                cmocka_unit_test_setup_teardown(a_thing_is_wanted_without_a_name, begin, end),
                cmocka_unit_test_setup_teardown(a_set_is_not_in_its_own_way, begin, end),
                cmocka_unit_test_setup_teardown(a_lower_ticket_goes_to_its_place, begin, end),
                cmocka_unit_test_setup_teardown(
                        at_every_moment_those_are_ready_who_are_in_nobodys_shadow, begin, end),
                cmocka_unit_test_setup_teardown(nobody_waits_for_ever_while_others_come_and_go,
                                                begin, end),
        };

        steps = argc > 1 ? strtoul(argv[1], NULL, 0) : steps;
        seed = argc > 2 ? strtoul(argv[2], NULL, 0) : (unsigned long)time(NULL);
        (void)printf("seed %lu\n", seed);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
