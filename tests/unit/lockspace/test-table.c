/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/table.h"

#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

static uint32_t add_owner(pid_t pid, uint64_t start, const char *name)
{
        struct hf_owner_info info = {
                .pid = pid, .start = start, .uuid = uuid, .name = name, .via = ""};
        uint32_t owner;

        assert_int_equal(hf_table_add_owner(table, &info, &owner), 0);
        return owner;
}

static uint32_t add_lock_with(struct hf_thing on, struct hf_thing thing, uint32_t flags)
{
        uint32_t lock;

        assert_int_equal(hf_table_add_lock(table, &on, &thing, 3, flags, &lock), 0);
        return lock;
}

static uint32_t add_lock(struct hf_thing on, struct hf_thing thing)
{
        return add_lock_with(on, thing, 0);
}

static uint32_t add_hold(uint32_t owner, uint32_t lock, uint32_t lockspace, const char *name)
{
        struct hf_hold_info info = {
                .lock = lock, .owner = owner, .lockspace = lockspace, .name = name, .via = "test"};
        uint32_t hold;

        assert_int_equal(hf_table_add_hold(table, &info, &hold), 0);
        return hold;
}

static void assert_counts(uint32_t owners, uint32_t locks, uint32_t holds)
{
        struct hf_table_counts counts = hf_table_count(table);

        assert_int_equal(counts.owners, owners);
        assert_int_equal(counts.locks, locks);
        assert_int_equal(counts.holds, holds);
}

static void a_new_table_has_the_default_lockspace_and_nothing_else(void **state)
{
        (void)state;
        assert_counts(0, 0, 0);
        assert_int_equal(hf_table_count(table).lockspaces, 1);
        assert_int_equal(hf_table_find_lockspace(table, ""), HF_LOCKSPACE_DEFAULT);
        assert_string_equal(hf_table_lockspace_path(table, HF_LOCKSPACE_DEFAULT), "");
        assert_int_equal(hf_table_find_lockspace(table, "/a"), 0);
        assert_int_equal(hf_table_next_owner(table, 0), 0);
        assert_int_equal(hf_table_next_hold(table, 0), 0);
}

static void a_lockspace_is_found_by_its_path(void **state)
{
        uint32_t a, b;

        (void)state;
        assert_int_equal(hf_table_add_lockspace(table, "/a", &a), 0);
        assert_int_equal(hf_table_add_lockspace(table, "/a/", &b), 0);
        assert_int_not_equal(a, b);
        assert_int_equal(hf_table_find_lockspace(table, "/a"), a);
        assert_int_equal(hf_table_find_lockspace(table, "/a/"), b);
        assert_string_equal(hf_table_lockspace_path(table, b), "/a/");
}

static void lockspaces_beyond_the_limit_are_refused(void **state)
{
        uint32_t lockspace;
        char path[32];

        (void)state;
        for (unsigned int i = 2; i < HF_TABLE_LOCKSPACES_MAX; i++) {
                (void)snprintf(path, sizeof(path), "/%u", i);
                assert_int_equal(hf_table_add_lockspace(table, path, &lockspace), 0);
        }
        assert_int_equal(hf_table_add_lockspace(table, "/more", &lockspace), -ENOSPC);
        assert_int_equal(hf_table_find_lockspace(table, "/more"), 0);
        assert_int_equal(hf_table_find_lockspace(table, path), lockspace);
}

static void strings_up_to_the_path_limit_are_kept_whole(void **state)
{
        static char name[HF_TABLE_STRING_MAX + 2];
        struct hf_hold_info info = {.name = name, .via = "", .lockspace = HF_LOCKSPACE_DEFAULT};
        uint32_t hold, lockspace;

        (void)state;
        memset(name, 'x', sizeof(name) - 1);
        info.owner = add_owner(1, 1, "a");
        info.lock = add_lock(thing(1), thing(1));
        assert_int_equal(hf_table_add_hold(table, &info, &hold), -ENAMETOOLONG);
        assert_int_equal(hf_table_add_lockspace(table, name, &lockspace), -ENAMETOOLONG);
        assert_counts(1, 1, 0);
        name[HF_TABLE_STRING_MAX] = '\0';
        assert_int_equal(hf_table_add_hold(table, &info, &hold), 0);
        assert_string_equal(hf_table_string(table, hf_table_hold(table, hold)->name), name);
        assert_int_equal(hf_table_find_name(table, HF_LOCKSPACE_DEFAULT, name), hold);
        assert_int_equal(hf_table_add_lockspace(table, name, &lockspace), 0);
        assert_int_equal(hf_table_find_lockspace(table, name), lockspace);
}

static void a_vm_name_that_is_too_long_is_cut(void **state)
{
        static char name[HF_TABLE_OWNER_NAME_MAX + 10];
        uint32_t owner;

        (void)state;
        memset(name, 'x', sizeof(name) - 1);
        owner = add_owner(1, 1, name);
        assert_int_equal(strlen(hf_table_string(table, hf_table_owner(table, owner)->name)),
                         HF_TABLE_OWNER_NAME_MAX);
}

static void an_owner_is_a_pid_and_its_start(void **state)
{
        uint32_t first = add_owner(100, 5, "first"), second = add_owner(100, 9, "second");
        /* Pids that differ by a power of two share a chain, if any do. */
        uint32_t other = add_owner(100 + (1 << 20), 5, "other");

        (void)state;
        assert_int_equal(hf_table_find_owner(table, 100, 5), first);
        assert_int_equal(hf_table_find_owner(table, 100, 9), second);
        assert_int_equal(hf_table_find_owner(table, 100, 6), 0);
        assert_int_equal(hf_table_find_owner(table, 100 + (1 << 20), 5), other);
        assert_int_equal(hf_table_find_owner(table, 101, 0), 0);
        /* Without a start time the newest of that pid is meant. */
        assert_int_equal(hf_table_find_owner(table, 100, 0), second);
        assert_memory_equal(hf_table_owner(table, first)->uuid, uuid, sizeof(uuid));
        hf_table_remove_owner(table, second);
        assert_int_equal(hf_table_find_owner(table, 100, 0), first);
        assert_int_equal(hf_table_find_owner(table, 100, 9), 0);
        hf_table_remove_owner(table, first);
        assert_int_equal(hf_table_find_owner(table, 100, 0), 0);
        assert_int_equal(hf_table_find_owner(table, 100 + (1 << 20), 0), other);
        assert_counts(1, 0, 0);
}

static void a_walk_sees_each_owner_and_hold_once(void **state)
{
        uint32_t owners[5], holds[5], lock = add_lock(thing(1), thing(1)), seen = 0;

        (void)state;
        for (int i = 0; i < 5; i++) {
                owners[i] = add_owner(10 + i, 1, "a");
                holds[i] = add_hold(owners[i], lock, HF_LOCKSPACE_DEFAULT, "/a");
        }
        hf_table_remove_hold(table, holds[2]);
        hf_table_remove_owner(table, owners[2]);
        for (uint32_t i = 0; (i = hf_table_next_owner(table, i)); seen++)
                assert_int_not_equal(i, owners[2]);
        assert_int_equal(seen, 4);
        seen = 0;
        for (uint32_t i = 0; (i = hf_table_next_hold(table, i)); seen++)
                assert_int_not_equal(i, holds[2]);
        assert_int_equal(seen, 4);
}

static void a_walk_from_beyond_the_end_is_over_or_begins_anew(void **state)
{
        uint32_t owner = add_owner(1, 1, "a");

        (void)state;
        assert_int_equal(hf_table_next_owner(table, owner), 0);
        assert_int_equal(hf_table_next_owner(table, UINT32_MAX - 1), 0);
        assert_int_equal(hf_table_next_hold(table, UINT32_MAX - 1), 0);
        assert_int_equal(hf_table_next_owner(table, UINT32_MAX), owner);
}

static void holds_of_one_name_are_found_one_after_the_other(void **state)
{
        uint32_t lock = add_lock(thing(1), thing(1)), a = add_owner(1, 1, "a"),
                 b = add_owner(2, 1, "b");
        uint32_t one = add_hold(a, lock, HF_LOCKSPACE_DEFAULT, "/x");
        uint32_t two = add_hold(b, lock, HF_LOCKSPACE_DEFAULT, "/x");
        uint32_t first = hf_table_find_name(table, HF_LOCKSPACE_DEFAULT, "/x");
        uint32_t next = hf_table_next_name(table, first);

        (void)state;
        (void)add_hold(b, lock, HF_LOCKSPACE_DEFAULT, "/y");
        assert_true((first == one && next == two) || (first == two && next == one));
        assert_int_equal(hf_table_next_name(table, next), 0);
}

static void a_name_in_one_lockspace_is_not_that_in_another(void **state)
{
        uint32_t lock = add_lock(thing(1), none), a = add_owner(1, 1, "a"), space, hold;

        (void)state;
        assert_int_equal(hf_table_add_lockspace(table, "/space", &space), 0);
        hold = add_hold(a, lock, space, "x");
        assert_int_equal(hf_table_find_name(table, space, "x"), hold);
        assert_int_equal(hf_table_find_name(table, HF_LOCKSPACE_DEFAULT, "x"), 0);
        assert_int_equal(hf_table_find_name(table, space, "xx"), 0);
}

static void a_lock_is_found_by_file_and_by_thing(void **state)
{
        struct hf_thing f = thing(1), t = thing(2), block = {HF_THING_BLOCK, 7, 1},
                        other = thing(3);
        uint32_t one = add_lock(f, t), two = add_lock(f, t), first;

        (void)state;
        first = hf_table_find_file(table, &f, 0);
        assert_true(first == one || first == two);
        assert_int_equal(hf_table_find_file(table, &f, first), one + two - first);
        assert_int_equal(hf_table_find_file(table, &f, one + two - first), 0);
        first = hf_table_find_thing(table, &t, 0);
        assert_true(first == one || first == two);
        assert_int_equal(hf_table_find_thing(table, &t, first), one + two - first);
        assert_int_equal(hf_table_find_thing(table, &t, one + two - first), 0);
        assert_int_equal(hf_table_find_file(table, &t, 0), 0);
        assert_int_equal(hf_table_find_thing(table, &f, 0), 0);
        assert_int_equal(hf_table_find_file(table, &other, 0), 0);
        /* A block device is no file, whatever its numbers are. */
        assert_int_equal(hf_table_find_file(table, &block, 0), 0);
}

static void what_is_not_known_is_the_same_as_nothing(void **state)
{
        struct hf_thing stray = {HF_THING_NONE, 5, 6};

        (void)state;
        (void)add_lock(thing(1), none);
        (void)add_lock(thing(2), stray);
        assert_int_equal(hf_table_find_thing(table, &none, 0), 0);
        assert_int_equal(hf_table_find_thing(table, &stray, 0), 0);
}

static void only_what_may_be_found_out_is_searched_for(void **state)
{
        struct hf_thing stray = {HF_THING_NONE, 5, 6};
        uint32_t one = add_lock_with(thing(1), none, HF_LOCK_SEARCHED);
        uint32_t two = add_lock_with(thing(2), stray, HF_LOCK_SEARCHED);

        (void)state;
        (void)add_lock(thing(3), none);
        (void)add_lock(thing(4), thing(4));
        assert_int_equal(hf_table_find_searched(table, 0), two);
        assert_int_equal(hf_table_find_searched(table, two), one);
        assert_int_equal(hf_table_find_searched(table, one), 0);
}

static void a_thing_that_becomes_known_is_found_from_then_on(void **state)
{
        uint32_t one = add_lock_with(thing(1), none, HF_LOCK_SEARCHED);
        uint32_t two = add_lock_with(thing(2), none, HF_LOCK_SEARCHED);
        uint32_t three = add_lock(thing(3), none);
        struct hf_thing t = thing(9), u = thing(8);

        (void)state;
        hf_table_set_thing(table, one, &t);
        assert_int_equal(hf_table_find_thing(table, &t, 0), one);
        assert_int_equal(hf_table_find_searched(table, 0), two);
        assert_int_equal(hf_table_find_searched(table, two), 0);
        hf_table_set_thing(table, three, &u);
        assert_int_equal(hf_table_find_thing(table, &u, 0), three);
        hf_table_remove_lock(table, one);
        assert_int_equal(hf_table_find_thing(table, &t, 0), 0);
        hf_table_remove_lock(table, two);
        assert_int_equal(hf_table_find_searched(table, 0), 0);
        hf_table_remove_lock(table, three);
        assert_counts(0, 0, 0);
}

static void holds_leave_the_chains_of_lock_and_owner_from_any_place(void **state)
{
        /* All orders in which four holds can go. */
        static const char orders[] = "0123 3210 1203 2130 0312 2031";

        (void)state;
        for (const char *order = orders; order < orders + sizeof(orders) - 1; order += 5) {
                uint32_t owner = add_owner(1, 1, "a"), lock = add_lock(thing(1), thing(1)),
                         holds[4];

                for (int i = 0; i < 4; i++)
                        holds[i] = add_hold(owner, lock, HF_LOCKSPACE_DEFAULT,
                                            (const char *[]){"/a", "/b", "/c", "/d"}[i]);
                for (uint32_t left = 4; left > 0; left--) {
                        uint32_t n = 0;

                        assert_int_equal(hf_table_owner(table, owner)->holds, left);
                        assert_int_equal(hf_table_lock(table, lock)->holds, left);
                        for (uint32_t i = hf_table_owner(table, owner)->first_hold; i;
                             i = hf_table_hold(table, i)->next_in_owner)
                                n++;
                        for (uint32_t i = hf_table_lock(table, lock)->first_hold; i;
                             i = hf_table_hold(table, i)->next_in_lock)
                                n++;
                        assert_int_equal(n, 2 * left);
                        hf_table_remove_hold(table, holds[order[4 - left] - '0']);
                }
                assert_int_equal(hf_table_owner(table, owner)->first_hold, 0);
                assert_int_equal(hf_table_lock(table, lock)->first_hold, 0);
                hf_table_remove_lock(table, lock);
                hf_table_remove_owner(table, owner);
                assert_counts(0, 0, 0);
        }
}

static void names_that_come_and_go_for_long_do_not_use_the_room_up(void **state)
{
        static char name[HF_TABLE_STRING_MAX + 1], vm[HF_TABLE_OWNER_NAME_MAX + 1];
        uint32_t lock = add_lock(thing(1), thing(1)), owner;

        (void)state;
        memset(vm, 'v', sizeof(vm) - 1);
        /* Twice what the table has room for, of either kind, in names of several lengths. */
        for (size_t n = 0; n < 2 * (size_t)HF_TABLE_STRINGS_SIZE / sizeof(vm); n++) {
                memset(name, 'x', sizeof(name) - 1);
                name[HF_TABLE_STRING_MAX - n % 3 * 1000] = '\0';
                owner = add_owner(1, 1, vm);
                hf_table_remove_hold(table, add_hold(owner, lock, HF_LOCKSPACE_DEFAULT, name));
                hf_table_remove_owner(table, owner);
        }
        assert_counts(0, 1, 0);
}

static void client_owners_of_a_process_are_found_by_number_and_never_as_the_process(void **state)
{
        struct hf_owner_info info = {.pid = 7, .start = 5, .uuid = uuid, .name = "c", .via = ""};
        uint32_t vm, clients[3], seen = 0;

        (void)state;
        for (int i = 0; i < 3; i++) {
                info.client = (uint64_t)i + 1;
                assert_int_equal(hf_table_add_owner(table, &info, &clients[i]), 0);
        }
        info.start = 6;
        info.client = 9;
        assert_int_equal(hf_table_add_owner(table, &info, &vm), 0);
        assert_int_equal(hf_table_find_owner(table, 7, 5), 0);
        assert_int_equal(hf_table_find_owner(table, 7, 0), 0);
        vm = add_owner(7, 5, "vm");
        assert_int_equal(hf_table_find_owner(table, 7, 5), vm);
        assert_int_equal(hf_table_find_owner(table, 7, 0), vm);
        for (uint32_t i = 0; (i = hf_table_next_client(table, 7, 5, i)); seen++)
                assert_true(i == clients[0] || i == clients[1] || i == clients[2]);
        assert_int_equal(seen, 3);
        assert_int_equal(hf_table_find_client(table, 7, 5, 2), clients[1]);
        assert_int_equal(hf_table_find_client(table, 7, 5, 9), 0);
        assert_int_equal(hf_table_find_client(table, 7, 5, 0), 0);
        hf_table_remove_owner(table, clients[1]);
        assert_int_equal(hf_table_find_client(table, 7, 5, 2), 0);
        assert_int_equal(hf_table_find_client(table, 7, 5, 3), clients[2]);
}

static void a_full_table_refuses_owners_and_takes_them_again_when_one_left(void **state)
{
        struct hf_owner_info info = {.pid = 1, .uuid = uuid, .name = "more", .via = ""};
        uint32_t owner = 0;

        (void)state;
        for (unsigned int i = 1; i < HF_TABLE_OWNERS_MAX; i++)
                owner = add_owner((pid_t)i, i, "a");
        assert_int_equal(hf_table_add_owner(table, &info, &owner), -ENOSPC);
        assert_int_equal(hf_table_owner(table, owner)->pid, HF_TABLE_OWNERS_MAX - 1);
        hf_table_remove_owner(table, 17);
        assert_int_equal(hf_table_add_owner(table, &info, &owner), 0);
        assert_int_equal(owner, 17);
        assert_counts(HF_TABLE_OWNERS_MAX - 1, 0, 0);
}

static void a_full_table_refuses_locks(void **state)
{
        struct hf_thing on;
        uint32_t lock;

        (void)state;
        for (unsigned int i = 1; i < HF_TABLE_LOCKS_MAX; i++)
                (void)add_lock(thing(i), thing(i));
        on = thing(HF_TABLE_LOCKS_MAX);
        assert_int_equal(hf_table_add_lock(table, &on, &on, 3, 0, &lock), -ENOSPC);
        on = thing(HF_TABLE_LOCKS_MAX - 1);
        assert_int_not_equal(hf_table_find_file(table, &on, 0), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        const struct CMUnitTest tests[] = {
                TEST(a_new_table_has_the_default_lockspace_and_nothing_else),
                TEST(a_lockspace_is_found_by_its_path),
                TEST(lockspaces_beyond_the_limit_are_refused),
                TEST(strings_up_to_the_path_limit_are_kept_whole),
                TEST(a_vm_name_that_is_too_long_is_cut),
                TEST(an_owner_is_a_pid_and_its_start),
                TEST(a_walk_sees_each_owner_and_hold_once),
                TEST(a_walk_from_beyond_the_end_is_over_or_begins_anew),
                TEST(holds_of_one_name_are_found_one_after_the_other),
                TEST(a_name_in_one_lockspace_is_not_that_in_another),
                TEST(a_lock_is_found_by_file_and_by_thing),
                TEST(what_is_not_known_is_the_same_as_nothing),
                TEST(only_what_may_be_found_out_is_searched_for),
                TEST(a_thing_that_becomes_known_is_found_from_then_on),
                TEST(holds_leave_the_chains_of_lock_and_owner_from_any_place),
                TEST(names_that_come_and_go_for_long_do_not_use_the_room_up),
                TEST(client_owners_of_a_process_are_found_by_number_and_never_as_the_process),
                TEST(a_full_table_refuses_owners_and_takes_them_again_when_one_left),
                TEST(a_full_table_refuses_locks),
        };

        return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
