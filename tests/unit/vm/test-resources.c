/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The spec, and the options --disk and --lease.
 */

#include "spec-text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct hf_vm_spec spec;

static int start(void **state)
{
        (void)state;
        hf_vm_spec_init(&spec);
        return 0;
}

static int stop(void **state)
{
        (void)state;
        hf_vm_spec_free(&spec);
        return 0;
}

static void assert_spec(const char *want)
{
        char *text = spec_text(&spec);

        assert_non_null(text);
        assert_string_equal(text, want);
        free(text);
}

static void freeing_nothing_is_fine(void **state)
{
        (void)state;
        hf_vm_spec_free(NULL);
        hf_vm_spec_free(&spec);
        hf_vm_spec_free(&spec);
}

static void the_stronger_wish_for_a_disk_wins_in_any_order(void **state)
{
        static const unsigned wishes[] = {HF_VM_DISK_READONLY, HF_VM_DISK_SHARED, 0};
        static const char *const texts[] = {"R /x raw\n", "S /x raw\n", "W /x raw\n"};

        (void)state;
        for (int a = 0; a < 3; a++) {
                for (int b = 0; b < 3; b++) {
                        hf_vm_spec_free(&spec);
                        assert_int_equal(
                                hf_vm_spec_add_disk(&spec, "/x", wishes[a], "raw", "one", NULL), 0);
                        assert_int_equal(
                                hf_vm_spec_add_disk(&spec, "/x", wishes[b], "raw", "two", NULL), 0);
                        assert_spec(texts[a > b ? a : b]);
                        assert_string_equal(spec.disks[0].from, b > a ? "two" : "one");
                }
        }
}

static void formats_that_disagree_become_unknown(void **state)
{
        (void)state;
        assert_int_equal(hf_vm_spec_add_disk(&spec, "/x", 0, "raw", NULL, NULL), 0);
        assert_int_equal(hf_vm_spec_add_disk(&spec, "/x", 0, "qcow2", NULL, NULL), 0);
        assert_int_equal(hf_vm_spec_add_disk(&spec, "/x", 0, "raw", NULL, NULL), 0);
        assert_spec("W /x ?\n");
}

static void a_backing_file_is_given_only_if_all_say_so(void **state)
{
        (void)state;
        assert_int_equal(
                hf_vm_spec_add_disk(&spec, "/x", HF_VM_DISK_BACKING_GIVEN, NULL, NULL, NULL), 0);
        assert_spec("W /x ? +backing\n");
        assert_int_equal(hf_vm_spec_add_disk(&spec, "/x", HF_VM_DISK_READONLY, NULL, NULL, NULL),
                         0);
        assert_spec("W /x ?\n");
}

static void other_spellings_of_a_path_are_other_disks(void **state)
{
        (void)state;
        assert_int_equal(hf_vm_spec_add_disk_option(&spec, "/x", NULL), 0);
        assert_int_equal(hf_vm_spec_add_disk_option(&spec, "/./x", NULL), 0);
        assert_spec("W /x ?\nW /./x ?\n");
}

static void a_disk_without_a_path_is_refused(void **state)
{
        struct hf_error err = {0};

        (void)state;
        assert_int_equal(hf_vm_spec_add_disk(&spec, "", 0, NULL, NULL, &err), -EINVAL);
        assert_string_equal(err.text, "the path of a disk is empty");
        assert_int_equal(hf_vm_spec_add_disk_option(&spec, ":ro", &err), -EINVAL);
        assert_string_equal(err.text, "--disk :ro: the path of a disk is empty");
        assert_spec("");
}

static void more_disks_than_the_limit_are_refused(void **state)
{
        struct hf_error err = {0};
        char path[32];

        (void)state;
        for (int i = 0; i < HF_VM_DISKS_MAX; i++) {
                snprintf(path, sizeof(path), "/%d", i);
                assert_int_equal(hf_vm_spec_add_disk(&spec, path, 0, NULL, NULL, NULL), 0);
        }
        assert_int_equal(hf_vm_spec_add_disk(&spec, "/new", 0, NULL, NULL, &err), -E2BIG);
        assert_string_equal(err.text, "more than 4096 disks for one virtual machine");
        assert_int_equal(hf_vm_spec_add_disk(&spec, "/7", 0, NULL, NULL, &err), 0);
}

static void the_words_of_disk_are_ro_and_shared(void **state)
{
        static const struct {
                const char *option, *want;
        } rows[] = {
                {"/x", "W /x ?\n"},           {"/x:ro", "R /x ?\n"},
                {"/x:shared", "S /x ?\n"},    {"/x:rw", "W /x:rw ?\n"},
                {"/x:", "W /x: ?\n"},         {"/a:b:c", "W /a:b:c ?\n"},
                {"/a:b:ro", "R /a:b ?\n"},    {"/a:ro:shared", "S /a:ro ?\n"},
                {"/a:RO", "W /a:RO ?\n"},     {"/a:ro/b", "W /a:ro/b ?\n"},
                {"json:{}", "W json:{} ?\n"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                hf_vm_spec_free(&spec);
                assert_int_equal(hf_vm_spec_add_disk_option(&spec, rows[i].option, NULL), 0);
                assert_spec(rows[i].want);
                assert_string_equal(spec.disks[0].from, "--disk");
        }
}

static void a_lease_has_three_parts_and_perhaps_an_offset(void **state)
{
        static const struct {
                const char *option, *want;
        } rows[] = {
                {"ls:key:/p", "lease ls key /p 0\n"},
                {"ls:key:/p:0", "lease ls key /p 0\n"},
                {"ls:key:/p:1048576", "lease ls key /p 1048576\n"},
                {"ls:key:/p:18446744073709551615", "lease ls key /p 18446744073709551615\n"},
                {"ls:key:/p:q", "lease ls key /p:q 0\n"},
                {"ls:key:/p:q:7", "lease ls key /p:q 7\n"},
                {"ls:key:/p:", "lease ls key /p: 0\n"},
                {"ls:key:/p:-1", "lease ls key /p:-1 0\n"},
                {"ls:key:/p: 1", "lease ls key /p: 1 0\n"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                hf_vm_spec_free(&spec);
                assert_int_equal(hf_vm_spec_add_lease_option(&spec, rows[i].option, NULL), 0);
                assert_spec(rows[i].want);
        }
}

static void a_lease_with_a_part_missing_is_refused(void **state)
{
        static const struct {
                const char *option;
                int number;
                const char *text;
        } rows[] = {
                {"", EINVAL, "--lease : not of the form LOCKSPACE:KEY:PATH[:OFFSET]"},
                {"ls", EINVAL, "--lease ls: not of the form LOCKSPACE:KEY:PATH[:OFFSET]"},
                {"ls:k", EINVAL, "--lease ls:k: not of the form LOCKSPACE:KEY:PATH[:OFFSET]"},
                {":k:/p", EINVAL, "--lease :k:/p: the lockspace of a lease is empty"},
                {"ls::/p", EINVAL, "--lease ls::/p: the key of a lease is empty"},
                {"ls:k:", EINVAL, "--lease ls:k:: the path of a lease is empty"},
                {"ls:k::5", EINVAL, "--lease ls:k::5: the path of a lease is empty"},
                {"ls:k:/p:18446744073709551616", ERANGE,
                 "--lease ls:k:/p:18446744073709551616: the offset 18446744073709551616 does not "
                 "fit 64 bits"},
        };
        struct hf_error err;

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                assert_int_equal(hf_vm_spec_add_lease_option(&spec, rows[i].option, &err),
                                 -rows[i].number);
                assert_string_equal(err.text, rows[i].text);
        }
        assert_spec("");
}

static void the_same_lease_twice_is_one(void **state)
{
        (void)state;
        assert_int_equal(hf_vm_spec_add_lease_option(&spec, "ls:k:/p:5", NULL), 0);
        assert_int_equal(hf_vm_spec_add_lease_option(&spec, "ls:k:/p:5", NULL), 0);
        assert_int_equal(hf_vm_spec_add_lease_option(&spec, "ls:k:/p:6", NULL), 0);
        assert_spec("lease ls k /p 5\nlease ls k /p 6\n");
}

static void a_merge_that_fails_changes_nothing(void **state)
{
        struct hf_vm_spec other;
        char path[32];

        (void)state;
        hf_vm_spec_init(&other);
        assert_int_equal(hf_vm_spec_add_disk_option(&spec, "/x:ro", NULL), 0);
        for (int i = 0; i < HF_VM_DISKS_MAX - 1; i++) {
                snprintf(path, sizeof(path), "/%d", i);
                assert_int_equal(hf_vm_spec_add_disk(&other, path, 0, NULL, NULL, NULL), 0);
        }
        assert_int_equal(hf_vm_spec_add_disk_option(&other, "/last", NULL), 0);
        assert_int_equal(hf_vm_spec_merge(&spec, &other, NULL), -E2BIG);
        assert_spec("R /x ?\n");
        hf_vm_spec_free(&other);
}

static void a_merge_adds_all_and_keeps_the_name(void **state)
{
        static const uint8_t uuid[16] = {1, 2, 3};
        struct hf_vm_spec other;

        (void)state;
        hf_vm_spec_init(&other);
        assert_int_equal(hf_vm_spec_set_name(&spec, "mine", NULL), 0);
        assert_int_equal(hf_vm_spec_set_name(&other, "yours", NULL), 0);
        memcpy(other.uuid, uuid, sizeof(uuid));
        other.has_uuid = true;
        assert_int_equal(hf_vm_spec_add_disk_option(&spec, "/x:ro", NULL), 0);
        assert_int_equal(hf_vm_spec_add_disk_option(&other, "/x", NULL), 0);
        assert_int_equal(hf_vm_spec_add_lease_option(&other, "ls:k:/p", NULL), 0);
        assert_int_equal(hf_vm_spec_merge(&spec, &other, NULL), 0);
        assert_spec("W /x ?\nlease ls k /p 0\n");
        assert_string_equal(spec.name, "mine");
        assert_true(spec.has_uuid);
        assert_memory_equal(spec.uuid, uuid, 16);
        hf_vm_spec_free(&other);
}

static void a_name_that_is_empty_or_too_long_is_refused(void **state)
{
        char name[HF_VM_NAME_MAX + 1];

        (void)state;
        memset(name, 'a', HF_VM_NAME_MAX);
        name[HF_VM_NAME_MAX] = '\0';
        assert_int_equal(hf_vm_spec_set_name(&spec, "", NULL), -EINVAL);
        assert_int_equal(hf_vm_spec_set_name(&spec, name, NULL), -EINVAL);
        assert_null(spec.name);
        assert_int_equal(hf_vm_spec_set_name(&spec, name + 1, NULL), 0);
}

static void an_uuid_survives_being_written_and_read(void **state)
{
        static const char usual[] = "a8f1cbe9-6cb1-4a61-8a20-dcd2e7d62ac7";
        uint8_t uuid[16], again[16];
        char text[HF_VM_UUID_TEXT];

        (void)state;
        assert_int_equal(hf_vm_uuid_parse(usual, uuid, NULL), 0);
        assert_int_equal(uuid[0], 0xa8);
        assert_int_equal(uuid[15], 0xc7);
        assert_string_equal(hf_vm_uuid_format(uuid, text), usual);
        assert_int_equal(hf_vm_uuid_parse("A8F1CBE96CB14A618A20DCD2E7D62AC7", again, NULL), 0);
        assert_memory_equal(uuid, again, 16);
}

static void what_is_no_uuid_is_refused(void **state)
{
        static const char *const texts[] = {"",
                                            "a8f1cbe9",
                                            "a8f1cbe9-6cb1-4a61-8a20-dcd2e7d62ac",
                                            "a8f1cbe9-6cb1-4a61-8a20-dcd2e7d62ac7f",
                                            "g8f1cbe9-6cb1-4a61-8a20-dcd2e7d62ac7",
                                            "a8f1cbe96cb1-4a61-8a20-dcd2e7d62ac7-"};
        uint8_t uuid[16] = {42};

        (void)state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                assert_int_equal(hf_vm_uuid_parse(texts[i], uuid, NULL), -EINVAL);
        assert_int_equal(uuid[0], 42);
}

#define SPEC_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
        static const struct CMUnitTest tests[] = {
                SPEC_TEST(freeing_nothing_is_fine),
                SPEC_TEST(the_stronger_wish_for_a_disk_wins_in_any_order),
                SPEC_TEST(formats_that_disagree_become_unknown),
                SPEC_TEST(a_backing_file_is_given_only_if_all_say_so),
                SPEC_TEST(other_spellings_of_a_path_are_other_disks),
                SPEC_TEST(a_disk_without_a_path_is_refused),
                SPEC_TEST(more_disks_than_the_limit_are_refused),
                SPEC_TEST(the_words_of_disk_are_ro_and_shared),
                SPEC_TEST(a_lease_has_three_parts_and_perhaps_an_offset),
                SPEC_TEST(a_lease_with_a_part_missing_is_refused),
                SPEC_TEST(the_same_lease_twice_is_one),
                SPEC_TEST(a_merge_that_fails_changes_nothing),
                SPEC_TEST(a_merge_adds_all_and_keeps_the_name),
                SPEC_TEST(a_name_that_is_empty_or_too_long_is_refused),
                SPEC_TEST(an_uuid_survives_being_written_and_read),
                SPEC_TEST(what_is_no_uuid_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
