/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/describe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* 2026-03-04 10:04:00 UTC, and times around it, in microseconds. */
#define MINUTE 60000000ULL
#define DAY    (24 * 60 * MINUTE)
#define SINCE  1772618640000000ULL

static struct hf_table *table;
static uint32_t owner;

static int begin(void **state)
{
        (void)state;
        if (setenv("TZ", "UTC", 1) < 0)
                return -1;
        tzset();
        return hf_table_new(&table);
}

static int end(void **state)
{
        (void)state;
        table = hf_table_free(table);
        return 0;
}

/* A hold since SINCE of pid 4711, called name. */
static uint32_t hold_by(const char *name, const char *via)
{
        static const uint8_t uuid[16];
        static const struct hf_thing file = {HF_THING_FILE, 1, 2};
        struct hf_owner_info info = {
                .pid = 4711, .start = 1, .uuid = uuid, .name = name, .via = ""};
        struct hf_hold_info hold = {.name = "/x", .via = via, .since = SINCE};
        uint32_t ret;

        hold.lockspace = HF_LOCKSPACE_DEFAULT;
        assert_int_equal(hf_table_add_owner(table, &info, &owner), 0);
        hold.owner = owner;
        assert_int_equal(hf_table_add_lock(table, &file, &file, 7, 0, &hold.lock), 0);
        assert_int_equal(hf_table_add_hold(table, &hold, &ret), 0);
        return ret;
}

static const char *describe(uint32_t hold, uint64_t now)
{
        static char buf[HF_DESCRIPTION_MAX];

        memset(buf, '!', sizeof(buf));
        hf_describe_holder(table, hold, "alpha", now, buf);
        assert_non_null(memchr(buf, '\0', sizeof(buf)));
        return buf;
}

static void a_holder_is_named_with_pid_host_time_and_program(void **state)
{
        uint32_t hold = hold_by("web0", "holdfast run");

        (void)state;
        assert_string_equal(describe(hold, SINCE + MINUTE),
                            "web0 (pid 4711, host alpha, since 10:04, holdfast run)");
}

static void without_a_program_none_is_named(void **state)
{
        (void)state;
        assert_string_equal(describe(hold_by("web0", ""), SINCE),
                            "web0 (pid 4711, host alpha, since 10:04)");
}

static void a_vm_without_a_name_is_called_that(void **state)
{
        (void)state;
        assert_string_equal(describe(hold_by("", ""), SINCE),
                            "a VM without a name (pid 4711, host alpha, since 10:04)");
}

static void another_day_is_given_with_its_date(void **state)
{
        uint32_t hold = hold_by("web0", "");

        (void)state;
        assert_string_equal(describe(hold, SINCE + DAY),
                            "web0 (pid 4711, host alpha, since 2026-03-04 10:04)");
        /* The same day of another year. */
        assert_string_equal(describe(hold, SINCE + 365 * DAY),
                            "web0 (pid 4711, host alpha, since 2026-03-04 10:04)");
}

static void midnight_makes_another_day(void **state)
{
        uint32_t hold = hold_by("web0", "");
        uint64_t midnight = SINCE / DAY * DAY + DAY;

        (void)state;
        assert_null(strstr(describe(hold, midnight - 1), "2026"));
        assert_non_null(strstr(describe(hold, midnight), "2026"));
}

static void the_state_of_an_owner_is_said(void **state)
{
        static const struct {
                enum hf_owner_state state;
                const char *words;
        } states[] = {
                {HF_OWNER_ALIVE, "web0 (pid 4711, host alpha, since 10:04)"},
                {HF_OWNER_CARRIED, "another one carries its connection)"},
                {HF_OWNER_ENDING, ", being ended)"},
                {HF_OWNER_STUBBORN, ", killed but not yet gone)"},
        };
        uint32_t hold = hold_by("web0", "");

        (void)state;
        for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
                hf_table_owner(table, owner)->state = (uint8_t)states[i].state;
                assert_non_null(strstr(describe(hold, SINCE), states[i].words));
        }
}

static void the_longest_name_leaves_room_for_the_rest(void **state)
{
        char name[2 * HF_TABLE_OWNER_NAME_MAX];
        const char *text;

        (void)state;
        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        text = describe(hold_by(name, "a program of a very long name"), SINCE + DAY);
        assert_int_equal(strspn(text, "n"), HF_TABLE_OWNER_NAME_MAX);
        assert_non_null(strstr(text, "since 2026-03-04 10:04, a program of a very l"));
        assert_int_equal(text[strlen(text) - 1], ')');
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        const struct CMUnitTest tests[] = {
                TEST(a_holder_is_named_with_pid_host_time_and_program),
                TEST(without_a_program_none_is_named),
                TEST(a_vm_without_a_name_is_called_that),
                TEST(another_day_is_given_with_its_date),
                TEST(midnight_makes_another_day),
                TEST(the_state_of_an_owner_is_said),
                TEST(the_longest_name_leaves_room_for_the_rest),
        };

        return cmocka_run_group_tests_name("describe", tests, NULL, NULL);
}
