/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/rules.h"

#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Two owners, a directory lockspace, and things by number. */
static struct hf_table *table;
static uint32_t a, b, space;

static const struct hf_thing none = {HF_THING_NONE, 0, 0};
static const struct hf_thing disk = {HF_THING_FILE, 7, 1}, other = {HF_THING_FILE, 7, 2};
static const struct hf_thing stand_in = {HF_THING_FILE, 7, 3}, stand_in2 = {HF_THING_FILE, 7, 4};

static int begin(void **state)
{
        static const uint8_t uuid[16];
        struct hf_owner_info info = {.pid = 1, .start = 1, .uuid = uuid, .name = "a", .via = ""};

        (void)state;
        if (hf_table_new(&table) < 0 || hf_table_add_owner(table, &info, &a) < 0)
                return -1;
        info.pid = 2;
        return hf_table_add_owner(table, &info, &b) < 0 ||
               hf_table_add_lockspace(table, "/space", &space) < 0;
}

static int end(void **state)
{
        (void)state;
        table = hf_table_free(table);
        return 0;
}

static uint32_t hold(uint32_t owner, uint32_t lock, uint32_t lockspace, const char *name)
{
        struct hf_hold_info info = {
                .lock = lock, .owner = owner, .lockspace = lockspace, .name = name, .via = ""};
        uint32_t ret;

        assert_int_equal(hf_table_add_hold(table, &info, &ret), 0);
        return ret;
}

/* A lock with its first hold. */
static uint32_t held(uint32_t owner, uint32_t lockspace, const char *name, struct hf_thing file,
                     struct hf_thing thing, bool shared)
{
        uint32_t lock;

        assert_int_equal(
                hf_table_add_lock(table, &file, &thing, 3, shared ? HF_LOCK_SHARED : 0, &lock), 0);
        (void)hold(owner, lock, lockspace, name);
        return lock;
}

static uint32_t held_disk(uint32_t owner, const char *name, bool shared)
{
        return held(owner, HF_LOCKSPACE_DEFAULT, name, disk, disk, shared);
}

static struct hf_request ask(uint32_t owner, const char *name, bool shared)
{
        return (struct hf_request){
                .owner = owner, .lockspace = HF_LOCKSPACE_DEFAULT, .name = name, .shared = shared};
}

/* As the daemon asks once it has opened what name leads to. */
static struct hf_verdict judge(uint32_t owner, uint32_t lockspace, const char *name,
                               struct hf_thing file, struct hf_thing thing, bool shared)
{
        struct hf_request request = {owner, lockspace, name, shared, file, thing};

        return hf_rules_by_thing(table, &request);
}

static void assert_against(struct hf_verdict verdict, uint32_t owner)
{
        assert_int_equal(verdict.kind, HF_VERDICT_CONFLICT);
        assert_int_equal(hf_table_hold(table, verdict.hold)->owner, owner);
}

static void assert_had(struct hf_verdict verdict, uint32_t owner)
{
        assert_int_equal(verdict.kind, HF_VERDICT_HAVE);
        assert_int_equal(hf_table_hold(table, verdict.hold)->owner, owner);
        assert_int_equal(hf_table_hold(table, verdict.hold)->lock, verdict.lock);
}

static void what_nobody_has_is_free(void **state)
{
        struct hf_request request = ask(a, "/x", false);

        (void)state;
        assert_int_equal(hf_rules_by_name(table, &request).kind, HF_VERDICT_FREE);
        request.file = disk;
        assert_int_equal(hf_rules_by_thing(table, &request).kind, HF_VERDICT_FREE);
}

static void a_name_that_another_has_alone_is_refused_in_either_mode(void **state)
{
        struct hf_request alone = ask(b, "/x", false), shared = ask(b, "/x", true);

        (void)state;
        (void)held_disk(a, "/x", false);
        assert_against(hf_rules_by_name(table, &alone), a);
        assert_against(hf_rules_by_name(table, &shared), a);
}

static void a_name_that_another_shares_is_refused_only_to_who_wants_it_alone(void **state)
{
        struct hf_request alone = ask(b, "/x", false), shared = ask(b, "/x", true);

        (void)state;
        (void)held_disk(a, "/x", true);
        assert_against(hf_rules_by_name(table, &alone), a);
        assert_int_not_equal(hf_rules_by_name(table, &shared).kind, HF_VERDICT_CONFLICT);
}

static void asking_again_by_the_same_name_changes_nothing(void **state)
{
        struct hf_request alone = ask(a, "/x", false);

        (void)state;
        (void)held_disk(a, "/x", false);
        assert_int_equal(hf_rules_by_name(table, &alone).kind, HF_VERDICT_FREE);
        assert_had(judge(a, HF_LOCKSPACE_DEFAULT, "/x", disk, none, false), a);
        (void)held(a, HF_LOCKSPACE_DEFAULT, "/s", other, other, true);
        assert_had(judge(a, HF_LOCKSPACE_DEFAULT, "/s", other, none, true), a);
}

static void asking_again_by_a_name_of_another_file_is_a_new_request(void **state)
{
        (void)state;
        (void)held_disk(a, "/x", false);
        assert_int_equal(judge(a, HF_LOCKSPACE_DEFAULT, "/x", other, none, false).kind,
                         HF_VERDICT_FREE);
        (void)held_disk(b, "/y", false);
        (void)held(b, HF_LOCKSPACE_DEFAULT, "/z", other, other, false);
        assert_against(judge(a, HF_LOCKSPACE_DEFAULT, "/x", other, none, false), b);
}

static void a_sharer_has_it_also_when_others_came_after(void **state)
{
        uint32_t lock = held_disk(a, "/x", true);

        (void)state;
        (void)hold(b, lock, HF_LOCKSPACE_DEFAULT, "/x");
        assert_had(judge(a, HF_LOCKSPACE_DEFAULT, "/x", disk, none, true), a);
        assert_had(judge(b, HF_LOCKSPACE_DEFAULT, "/x", disk, none, true), b);
}

static void there_is_no_upgrade_and_no_downgrade(void **state)
{
        struct hf_request request = ask(a, "/x", true);

        (void)state;
        (void)held_disk(a, "/x", false);
        assert_against(hf_rules_by_name(table, &request), a);
        assert_against(judge(a, HF_LOCKSPACE_DEFAULT, "/y", disk, none, true), a);
        (void)held(a, HF_LOCKSPACE_DEFAULT, "/s", other, other, true);
        request = ask(a, "/s", false);
        assert_against(hf_rules_by_name(table, &request), a);
        assert_against(judge(a, HF_LOCKSPACE_DEFAULT, "/t", other, none, false), a);
}

static void another_name_of_the_same_file_conflicts(void **state)
{
        (void)state;
        (void)held_disk(a, "/x", false);
        assert_against(judge(b, HF_LOCKSPACE_DEFAULT, "/link", disk, none, false), a);
        assert_against(judge(b, HF_LOCKSPACE_DEFAULT, "/link", disk, none, true), a);
        assert_int_equal(judge(b, HF_LOCKSPACE_DEFAULT, "/y", other, none, false).kind,
                         HF_VERDICT_FREE);
}

static void another_name_of_what_one_has_joins_its_lock(void **state)
{
        struct hf_verdict verdict;
        uint32_t lock = held_disk(a, "/x", false);

        (void)state;
        verdict = judge(a, HF_LOCKSPACE_DEFAULT, "/link", disk, none, false);
        assert_int_equal(verdict.kind, HF_VERDICT_JOIN);
        assert_int_equal(verdict.lock, lock);
}

static void sharers_of_one_file_share_one_lock(void **state)
{
        struct hf_verdict verdict;
        uint32_t lock = held_disk(a, "/x", true);

        (void)state;
        verdict = judge(b, HF_LOCKSPACE_DEFAULT, "/link", disk, none, true);
        assert_int_equal(verdict.kind, HF_VERDICT_JOIN);
        assert_int_equal(verdict.lock, lock);
        assert_against(judge(b, HF_LOCKSPACE_DEFAULT, "/link", disk, none, false), a);
}

static void a_share_of_a_name_is_no_share_of_the_file_that_replaced_it(void **state)
{
        struct hf_request request = ask(b, "/x", true);

        (void)state;
        (void)held_disk(a, "/x", true);
        /* /x leads to another file by now: the name alone must not settle it. */
        assert_int_equal(hf_rules_by_name(table, &request).kind, HF_VERDICT_FREE);
        assert_int_equal(judge(b, HF_LOCKSPACE_DEFAULT, "/x", other, none, true).kind,
                         HF_VERDICT_FREE);
}

static void one_name_may_stand_for_two_files_of_two_sharers(void **state)
{
        struct hf_request request = ask(a, "/x", false);

        (void)state;
        (void)held_disk(a, "/x", true);
        (void)held(b, HF_LOCKSPACE_DEFAULT, "/x", other, other, true);
        assert_had(judge(a, HF_LOCKSPACE_DEFAULT, "/x", disk, none, true), a);
        assert_had(judge(b, HF_LOCKSPACE_DEFAULT, "/x", other, none, true), b);
        assert_int_equal(hf_rules_by_name(table, &request).kind, HF_VERDICT_CONFLICT);
}

static void two_stand_ins_for_one_thing_conflict(void **state)
{
        (void)state;
        (void)held(a, space, "hash1", stand_in, disk, false);
        assert_against(judge(b, space, "hash2", stand_in2, disk, false), a);
        assert_against(judge(b, space, "hash2", stand_in2, disk, true), a);
        /* Where only the names are known there is nothing to compare. */
        assert_int_equal(judge(b, space, "hash2", stand_in2, none, false).kind, HF_VERDICT_FREE);
}

static void a_stand_in_and_the_thing_itself_conflict_whichever_came_first(void **state)
{
        (void)state;
        (void)held(a, space, "hash1", stand_in, disk, false);
        assert_against(judge(b, HF_LOCKSPACE_DEFAULT, "/x", disk, none, false), a);
        (void)held(a, HF_LOCKSPACE_DEFAULT, "/y", other, other, false);
        assert_against(judge(b, space, "hash2", stand_in2, other, false), a);
}

static void a_stand_in_that_is_somebodys_disk_conflicts(void **state)
{
        (void)state;
        (void)held(a, HF_LOCKSPACE_DEFAULT, "/space/hash1", stand_in, stand_in, false);
        assert_against(judge(b, space, "hash1", stand_in, disk, false), a);
        (void)held(a, space, "hash2", stand_in2, disk, false);
        assert_against(judge(b, HF_LOCKSPACE_DEFAULT, "/y", stand_in2, none, false), a);
        assert_against(judge(b, space, "hash3", other, stand_in2, false), a);
}

static void sharers_of_a_stand_in_for_two_things_have_two_locks(void **state)
{
        (void)state;
        (void)held(a, space, "hash1", stand_in, disk, true);
        assert_int_equal(judge(b, space, "hash1", stand_in, disk, true).kind, HF_VERDICT_JOIN);
        assert_int_equal(judge(b, space, "hash1", stand_in, other, true).kind, HF_VERDICT_FREE);
        assert_int_equal(judge(b, space, "hash1", stand_in, none, true).kind, HF_VERDICT_FREE);
}

static void an_exclusive_stand_in_cannot_come_to_stand_for_another_thing(void **state)
{
        (void)state;
        (void)held(a, space, "hash1", stand_in, disk, false);
        assert_int_equal(judge(a, space, "h", stand_in, disk, false).kind, HF_VERDICT_JOIN);
        assert_int_equal(judge(a, space, "h", stand_in, none, false).kind, HF_VERDICT_JOIN);
        assert_against(judge(a, space, "h", stand_in, other, false), a);
        assert_against(judge(a, space, "hash1", stand_in, other, false), a);
        (void)held(a, space, "hash2", stand_in2, none, false);
        assert_int_equal(judge(a, space, "h", stand_in2, other, false).kind, HF_VERDICT_JOIN);
}

static void who_has_it_by_name_has_it_when_its_thing_becomes_known(void **state)
{
        (void)state;
        (void)held(a, space, "hash1", stand_in, none, true);
        (void)held(b, space, "hash2", stand_in2, none, false);
        assert_had(judge(a, space, "hash1", stand_in, disk, true), a);
        assert_had(judge(b, space, "hash2", stand_in2, other, false), b);
}

static void in_the_default_lockspace_the_file_is_what_is_protected(void **state)
{
        struct hf_request request = {
                .lockspace = HF_LOCKSPACE_DEFAULT, .file = disk, .thing = other};

        (void)state;
        assert_true(hf_thing_same(hf_rules_thing(&request), &disk));
        request.lockspace = space;
        assert_true(hf_thing_same(hf_rules_thing(&request), &other));
}

static void one_owner_may_have_a_thing_through_two_stand_ins(void **state)
{
        struct hf_verdict verdict;

        (void)state;
        (void)held(a, space, "hash1", stand_in, disk, false);
        verdict = judge(a, space, "hash2", stand_in2, disk, false);
        /* Another lock file: there is no lock on it to join. */
        assert_int_equal(verdict.kind, HF_VERDICT_FREE);
        assert_against(judge(a, space, "hash2", stand_in2, disk, true), a);
}

static void a_conflict_behind_a_lock_to_join_is_seen(void **state)
{
        (void)state;
        /* The same stand-in would be shared, but the thing is held by its own name. */
        (void)held(a, space, "hash1", stand_in, none, true);
        (void)held_disk(b, "/x", false);
        assert_against(judge(a, space, "hash2", stand_in, disk, true), b);
}

static void a_hold_is_found_by_owner_and_name(void **state)
{
        uint32_t lock = held_disk(a, "/x", true), of_b = hold(b, lock, HF_LOCKSPACE_DEFAULT, "/x");

        (void)state;
        assert_int_equal(hf_rules_hold_of(table, b, HF_LOCKSPACE_DEFAULT, "/x"), of_b);
        assert_int_not_equal(hf_rules_hold_of(table, a, HF_LOCKSPACE_DEFAULT, "/x"), 0);
        assert_int_not_equal(hf_rules_hold_of(table, a, HF_LOCKSPACE_DEFAULT, "/x"), of_b);
        assert_int_equal(hf_rules_hold_of(table, a, HF_LOCKSPACE_DEFAULT, "/y"), 0);
        assert_int_equal(hf_rules_hold_of(table, a, space, "/x"), 0);
}

static void metadata_and_content_of_a_file_have_nothing_to_do_with_one_another(void **state)
{
        struct hf_thing key = hf_rules_metadata_key(disk.dev, disk.ino);
        struct hf_request request = {
                .owner = b, .lockspace = HF_LOCKSPACE_DEFAULT, .name = "/x", .file = disk};
        uint32_t lock, of_a;

        (void)state;
        assert_int_equal(hf_rules_metadata(table, &disk), 0);
        (void)held(a, HF_LOCKSPACE_DEFAULT, "/x", other, other, false);
        assert_int_equal(hf_rules_metadata(table, &other), 0);
        assert_int_equal(hf_table_add_lock(table, &key, &none, -1, HF_LOCK_METADATA, &lock), 0);
        of_a = hold(a, lock, HF_LOCKSPACE_DEFAULT, "/y");
        assert_int_equal(hf_rules_metadata(table, &disk), of_a);
        assert_int_equal(hf_rules_metadata(table, &key), of_a);
        assert_int_equal(hf_rules_metadata(table, &other), 0);
        assert_int_equal(hf_rules_hold_of(table, a, HF_LOCKSPACE_DEFAULT, "/y"), 0);
        request.name = "/y";
        assert_int_equal(hf_rules_by_name(table, &request).kind, HF_VERDICT_FREE);
        assert_int_equal(hf_rules_by_thing(table, &request).kind, HF_VERDICT_FREE);
        hf_table_remove_hold(table, of_a);
        hf_table_remove_lock(table, lock);
        assert_int_equal(hf_rules_metadata(table, &disk), 0);
}

static void a_name_that_leaves_its_directory_is_refused(void **state)
{
        static const char *const bad[] = {"", ".", "..", "/", "/x", "x/", "x/y", "../x"};
        static const char *const good[] = {"x", "...", ".x", "..x", "x..", " ", "x y"};

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++)
                assert_int_equal(hf_rules_check_name(bad[i]), -EINVAL);
        for (size_t i = 0; i < HF_ARRAY_LEN(good); i++)
                assert_int_equal(hf_rules_check_name(good[i]), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        const struct CMUnitTest tests[] = {
                TEST(what_nobody_has_is_free),
                TEST(a_name_that_another_has_alone_is_refused_in_either_mode),
                TEST(a_name_that_another_shares_is_refused_only_to_who_wants_it_alone),
                TEST(asking_again_by_the_same_name_changes_nothing),
                TEST(asking_again_by_a_name_of_another_file_is_a_new_request),
                TEST(a_sharer_has_it_also_when_others_came_after),
                TEST(there_is_no_upgrade_and_no_downgrade),
                TEST(another_name_of_the_same_file_conflicts),
                TEST(another_name_of_what_one_has_joins_its_lock),
                TEST(sharers_of_one_file_share_one_lock),
                TEST(a_share_of_a_name_is_no_share_of_the_file_that_replaced_it),
                TEST(one_name_may_stand_for_two_files_of_two_sharers),
                TEST(two_stand_ins_for_one_thing_conflict),
                TEST(a_stand_in_and_the_thing_itself_conflict_whichever_came_first),
                TEST(a_stand_in_that_is_somebodys_disk_conflicts),
                TEST(sharers_of_a_stand_in_for_two_things_have_two_locks),
                TEST(an_exclusive_stand_in_cannot_come_to_stand_for_another_thing),
                TEST(who_has_it_by_name_has_it_when_its_thing_becomes_known),
                TEST(in_the_default_lockspace_the_file_is_what_is_protected),
                TEST(one_owner_may_have_a_thing_through_two_stand_ins),
                TEST(a_conflict_behind_a_lock_to_join_is_seen),
                TEST(a_hold_is_found_by_owner_and_name),
                TEST(metadata_and_content_of_a_file_have_nothing_to_do_with_one_another),
                TEST(a_name_that_leaves_its_directory_is_refused),
        };

        return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
