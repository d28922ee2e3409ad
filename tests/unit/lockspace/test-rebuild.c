/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/rebuild.h"

#include "base/cleanup.h"
#include "lockspace/claims.h"
#include "lockspace/map.h"
#include "whole.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fixture.h"

static struct hf_rebuilt rebuilt;

static uint32_t add_owner(pid_t pid, const char *name)
{
        struct hf_owner_info info = {
                .pid = pid, .start = 5, .since = 6, .uuid = uuid, .name = name, .via = "test"};
        uint32_t owner;

        assert_int_equal(hf_table_add_owner(table, &info, &owner), 0);
        return owner;
}

static uint32_t add_lock(int fd, uint32_t flags)
{
        struct hf_thing file = thing((uint64_t)fd);
        uint32_t lock;

        assert_int_equal(hf_table_add_lock(table, &file, fd % 2 ? &file : &none, fd, flags, &lock),
                         0);
        return lock;
}

static uint32_t add_hold(uint32_t owner, uint32_t lock, uint32_t lockspace, const char *name)
{
        struct hf_hold_info info = {.lock = lock,
                                    .owner = owner,
                                    .lockspace = lockspace,
                                    .name = name,
                                    .via = "test",
                                    .since = 7};
        uint32_t hold;

        assert_int_equal(hf_table_add_hold(table, &info, &hold), 0);
        return hold;
}

/* An owner, a lock and a hold of the same number. */
static uint32_t add_claim(int number)
{
        uint32_t hold = add_hold(add_owner(number, "vm"), add_lock(number, 0), HF_LOCKSPACE_DEFAULT,
                                 "/disk");

        hf_table_claim_hold(table, hold);
        return hold;
}

static void assert_whole(const char *fault)
{
        if (fault)
                fail_msg("not so: %s", fault);
}

/* The process is another one from now on. */
static void change_hands(void)
{
        int fd = fcntl(hf_table_fd(table), F_DUPFD_CLOEXEC, 0);

        assert_true(fd >= 0);
        (void)hf_table_free(table);
        assert_int_equal(hf_table_adopt(fd, false, &table), 0);
}

static void rebuild_with(bool (*is_used)(void *data, uint32_t owner), void *data)
{
        change_hands();
        hf_table_rebuild(table, is_used, data, &rebuilt);
        assert_whole(whole_fault(table));
        assert_whole(whole_use(table));
}

static void rebuild(void)
{
        rebuild_with(NULL, NULL);
}

static bool is_one(void *data, uint32_t owner)
{
        return owner == *(uint32_t *)data;
}

static void what_is_claimed_is_there_as_it_was(void **state)
{
        uint32_t space, owner, other, shared, hold, of_other, named;
        struct hf_claim claim;

        (void)state;
        assert_int_equal(hf_table_add_lockspace(table, "/space", &space), 0);
        hf_table_claim_lockspace(table, space);
        owner = add_owner(1, "one");
        other = add_owner(2, "two");
        hf_table_owner(table, owner)->sessions = 3;
        hf_table_owner(table, owner)->deadline = 12345;
        hf_table_owner(table, owner)->state = HF_OWNER_ENDING;
        shared = add_lock(10, HF_LOCK_SHARED | HF_LOCK_SEARCHED);
        hold = add_hold(owner, shared, space, "shared");
        of_other = add_hold(other, shared, space, "shared");
        named = add_hold(owner, add_lock(11, HF_LOCK_AUTOCREATE), HF_LOCKSPACE_DEFAULT, "/mine");
        hf_table_claim_hold(table, hold);
        hf_table_claim_hold(table, of_other);
        hf_table_claim_hold(table, named);
        rebuild();
        assert_int_equal(rebuilt.kept, 3);
        assert_int_equal(rebuilt.damaged + rebuilt.unfinished, 0);
        assert_int_equal(hf_table_find_lockspace(table, "/space"), space);
        assert_int_equal(hf_table_find_owner(table, 1, 5), owner);
        assert_int_equal(hf_table_owner(table, owner)->sessions, 0);
        assert_int_equal(hf_table_owner(table, owner)->deadline, 12345);
        assert_int_equal(hf_table_owner(table, owner)->state, HF_OWNER_ENDING);
        assert_int_equal(hf_table_find_searched(table, 0), shared);
        assert_int_equal(hf_table_lock(table, shared)->holds, 2);
        assert_int_equal(hf_table_find_name(table, HF_LOCKSPACE_DEFAULT, "/mine"), named);
        assert_int_equal(hf_claims_get(table, named, &claim), 1);
        assert_int_equal(claim.fd, 11);
        assert_true(claim.autocreate);
}

static void what_was_not_claimed_is_gone_and_is_no_damage(void **state)
{
        uint32_t space;

        (void)state;
        (void)add_hold(add_owner(1, "one"), add_lock(1, 0), HF_LOCKSPACE_DEFAULT, "/disk");
        assert_int_equal(hf_table_add_lockspace(table, "/space", &space), 0);
        rebuild();
        assert_int_equal(rebuilt.kept + rebuilt.damaged, 0);
        assert_int_equal(rebuilt.unfinished, 4);
        assert_int_equal(hf_table_count(table).owners, 0);
        assert_int_equal(hf_table_find_lockspace(table, "/space"), 0);
}

static void a_claim_can_be_made_before_the_table_is_rebuilt(void **state)
{
        uint32_t hold, space;

        (void)state;
        assert_int_equal(hf_table_add_lockspace(table, "/space", &space), 0);
        hold = add_hold(add_owner(1, "one"), add_lock(1, 0), space, "disk");
        change_hands();
        hf_table_claim_lockspace(table, space);
        hf_table_claim_hold(table, hold);
        hf_table_claim_hold(table, hold);
        rebuild();
        assert_int_equal(rebuilt.kept, 1);
        assert_int_equal(hf_table_find_name(table, space, "disk"), hold);
}

static void an_owner_without_holds_stays_only_where_somebody_needs_it(void **state)
{
        uint32_t needed = add_owner(1, "one"), blank = needed + 1;

        (void)state;
        (void)add_owner(2, "two");
        rebuild_with(is_one, &needed);
        assert_int_equal(hf_table_count(table).owners, 1);
        assert_int_equal(hf_table_find_owner(table, 1, 5), needed);
        hf_table_owner(table, needed)->name += 3;
        rebuild_with(is_one, &needed);
        assert_int_equal(rebuilt.damaged, 1);
        assert_int_equal(hf_table_owner(table, needed)->pid, 0);
        rebuild_with(is_one, &blank);
        assert_int_equal(rebuilt.damaged + rebuilt.unfinished, 0);
}

static void a_release_that_has_begun_is_known_to_have_begun(void **state)
{
        uint32_t hold = add_claim(1);

        (void)state;
        hf_table_set_releasing(table, hf_table_hold(table, hold)->lock);
        rebuild();
        assert_int_equal(rebuilt.kept, 1);
        assert_int_equal(hf_table_lock(table, hf_table_hold(table, hold)->lock)->flags,
                         HF_LOCK_RELEASING);
}

static void of_two_locks_with_one_descriptor_that_stays_which_is_not_being_released(void **state)
{
        uint32_t old = add_claim(1), new = add_claim(2);

        (void)state;
        hf_table_set_releasing(table, hf_table_hold(table, old)->lock);
        hf_table_lock(table, hf_table_hold(table, new)->lock)->fd = 1;
        hf_table_claim_hold(table, new);
        rebuild();
        assert_int_equal(rebuilt.kept, 1);
        assert_int_equal(rebuilt.damaged, 0);
        assert_int_equal(hf_table_next_hold(table, 0), new);
}

static void a_descriptor_that_was_changed_is_no_claim(void **state)
{
        uint32_t hold = add_claim(1), negative = add_claim(2);

        (void)state;
        hf_table_lock(table, hf_table_hold(table, hold)->lock)->fd = 9;
        hf_table_lock(table, hf_table_hold(table, negative)->lock)->fd = -1;
        hf_table_claim_hold(table, negative);
        rebuild();
        assert_int_equal(rebuilt.kept, 0);
        assert_int_equal(rebuilt.damaged, 2);
}

static void two_records_cannot_have_one_string(void **state)
{
        uint32_t one = add_claim(1), two = add_claim(2);

        (void)state;
        hf_table_hold(table, two)->name = hf_table_hold(table, one)->name;
        rebuild();
        assert_int_equal(rebuilt.kept, 1);
        assert_int_equal(rebuilt.damaged, 1);
}

static void a_thing_that_was_cut_off_is_searched_for_again(void **state)
{
        uint32_t lock = add_lock(10, HF_LOCK_SEARCHED);

        (void)state;
        hf_table_claim_hold(table, add_hold(add_owner(1, "one"), lock, HF_LOCKSPACE_DEFAULT, "x"));
        hf_table_lock(table, lock)->thing = thing(99);
        hf_table_lock(table, lock)->thing_check = 0;
        rebuild();
        assert_int_equal(rebuilt.damaged, 0);
        assert_int_equal(hf_table_lock(table, lock)->thing.kind, HF_THING_NONE);
        assert_int_equal(hf_table_find_searched(table, 0), lock);
}

static void the_default_lockspace_is_always_there(void **state)
{
        uint32_t hold = add_claim(1);

        (void)state;
        memset(&table->map->lockspaces[HF_LOCKSPACE_DEFAULT], 0xee, sizeof(struct hf_lockspace));
        memset(table->map->strings, 0xee, 2 * HF_ARENA_GRAIN);
        rebuild();
        assert_int_equal(rebuilt.kept, 1);
        assert_int_equal(hf_table_find_name(table, HF_LOCKSPACE_DEFAULT, "/disk"), hold);
}

static void a_damaged_block_costs_no_string_behind_it(void **state)
{
        uint32_t first = add_claim(1), last;

        (void)state;
        for (int i = 2; i < 20; i++)
                last = add_claim(i);
        hf_table_remove_hold(table, hf_table_next_hold(table, first));
        memset(table->map->strings + hf_table_hold(table, first)->name - 4, 0xee, 4);
        table->map->arena.used = 7;
        rebuild();
        assert_int_equal(rebuilt.kept, 18);
        assert_true(rebuilt.damaged >= 2);
        assert_string_equal(hf_table_string(table, hf_table_hold(table, last)->name), "/disk");
}

static void of_processes_with_one_pid_the_last_one_is_still_found_first(void **state)
{
        struct hf_owner_info info = {.pid = 7, .start = 9, .uuid = uuid, .name = "", .via = ""};
        uint32_t gone = add_owner(6, "gone"), old = add_owner(7, "old"), new;
        uint32_t locks[] = {add_lock(1, 0), add_lock(2, 0)};

        (void)state;
        hf_table_remove_owner(table, gone);
        assert_int_equal(hf_table_add_owner(table, &info, &new), 0);
        assert_true(new < old);
        hf_table_claim_hold(table, add_hold(old, locks[0], HF_LOCKSPACE_DEFAULT, "/a"));
        hf_table_claim_hold(table, add_hold(new, locks[1], HF_LOCKSPACE_DEFAULT, "/b"));
        rebuild();
        assert_int_equal(hf_table_find_owner(table, 7, 0), new);
}

static void what_has_no_descriptor_is_a_metadata_lock_and_nothing_else(void **state)
{
        struct hf_thing keys[] = {{HF_THING_METADATA, 7, 1}, {HF_THING_METADATA, 7, 2}};
        uint32_t content = add_claim(1), client, locks[2], holds[2];
        struct hf_owner_info info = {
                .pid = 1, .start = 5, .client = 3, .uuid = uuid, .name = "", .via = ""};

        (void)state;
        assert_int_equal(hf_table_add_owner(table, &info, &client), 0);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(
                        hf_table_add_lock(table, &keys[i], &none, -1, HF_LOCK_METADATA, &locks[i]),
                        0);
                holds[i] = add_hold(client, locks[i], HF_LOCKSPACE_DEFAULT, "/disk");
                hf_table_claim_hold(table, holds[i]);
        }
        /* Not covered by a check of its own. */
        hf_table_lock(table, locks[0])->flags = 0;
        rebuild();
        assert_int_equal(rebuilt.kept, 3);
        assert_int_equal(rebuilt.damaged + rebuilt.unfinished, 0);
        assert_int_equal(hf_table_lock(table, locks[0])->flags, HF_LOCK_METADATA);
        assert_int_equal(hf_table_find_name(table, HF_LOCKSPACE_DEFAULT, "/disk"), content);
        assert_int_equal(hf_table_next_name(table, content), 0);
        assert_int_equal(hf_table_find_client(table, 1, 5, 3), client);
        assert_true(hf_table_find_owner(table, 1, 5) != client);
        hf_table_lock(table, locks[0])->fd = 40;
        hf_table_claim_hold(table, holds[0]);
        hf_table_lock(table, locks[1])->file.kind = HF_THING_FILE;
        hf_table_claim_hold(table, holds[1]);
        rebuild();
        assert_int_equal(rebuilt.kept, 1);
        assert_int_equal(rebuilt.damaged, 2);
}

static void a_descriptor_of_something_else_stays_the_callers(void **state)
{
        hf_cleanup_fd int fd = memfd_create("test", MFD_CLOEXEC);
        struct hf_table *other = NULL;

        (void)state;
        assert_int_equal(hf_table_adopt(fd, true, &other), -EBADMSG);
        assert_int_equal(ftruncate(fd, sizeof(struct hf_map)), 0);
        assert_int_equal(hf_table_adopt(fd, true, &other), -EBADMSG);
        assert_null(other);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        hf_map_sign(table->map, NULL);
        assert_int_equal(pwrite(fd, table->map, 4096, 0), 4096);
        assert_int_equal(hf_table_adopt(fd, true, &other), 0);
        assert_true(hf_table_is_kept(other) && !hf_table_is_kept(table));
        assert_int_equal(hf_table_fd(other), fd);
        (void)hf_table_free(other);
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        fd = -1;
}

static void keeping_a_table_in_memory_gives_no_storage_to_the_rest(void **state)
{
        struct stat before, after;
        int r;

        (void)state;
        (void)add_claim(1);
        assert_int_equal(fstat(hf_table_fd(table), &before), 0);
        r = hf_table_lock_memory(table);
        if (r < 0) {
                print_message("not allowed here: %s\n", strerror(-r));
                skip();
        }
        (void)add_claim(2);
        assert_int_equal(fstat(hf_table_fd(table), &after), 0);
        assert_int_equal(before.st_blocks, after.st_blocks);
}

static void looking_at_a_table_gives_no_storage_to_it(void **state)
{
        struct stat before, after;

        (void)state;
        (void)add_claim(1);
        assert_int_equal(fstat(hf_table_fd(table), &before), 0);
        rebuild();
        assert_int_equal(fstat(hf_table_fd(table), &after), 0);
        assert_int_equal(before.st_blocks, after.st_blocks);
}

#define REBUILD_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                REBUILD_TEST(what_is_claimed_is_there_as_it_was),
                REBUILD_TEST(what_was_not_claimed_is_gone_and_is_no_damage),
                REBUILD_TEST(a_claim_can_be_made_before_the_table_is_rebuilt),
                REBUILD_TEST(an_owner_without_holds_stays_only_where_somebody_needs_it),
                REBUILD_TEST(a_release_that_has_begun_is_known_to_have_begun),
                REBUILD_TEST(
                        of_two_locks_with_one_descriptor_that_stays_which_is_not_being_released),
                REBUILD_TEST(a_descriptor_that_was_changed_is_no_claim),
                REBUILD_TEST(two_records_cannot_have_one_string),
                REBUILD_TEST(a_thing_that_was_cut_off_is_searched_for_again),
                REBUILD_TEST(the_default_lockspace_is_always_there),
                REBUILD_TEST(a_damaged_block_costs_no_string_behind_it),
                REBUILD_TEST(of_processes_with_one_pid_the_last_one_is_still_found_first),
                REBUILD_TEST(what_has_no_descriptor_is_a_metadata_lock_and_nothing_else),
                REBUILD_TEST(a_descriptor_of_something_else_stays_the_callers),
                REBUILD_TEST(keeping_a_table_in_memory_gives_no_storage_to_the_rest),
                REBUILD_TEST(looking_at_a_table_gives_no_storage_to_it),
        };

        return cmocka_run_group_tests_name("rebuild", tests, NULL, NULL);
}
