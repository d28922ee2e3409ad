/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include "prhelper/emulated/state-text.h"

#include "base/cleanup.h"

static void make(struct unit *unit, char **ret, size_t *ret_n)
{
        assert_int_equal(ask(unit, "host/a b%\n\303\251", HF_PR_REGISTER, 0, 0xabcdef), 0);
        assert_int_equal(ask(unit, "-", HF_PR_REGISTER, 0, UINT64_MAX), 0);
        assert_int_equal(ask(unit, ".c", HF_PR_REGISTER, 0, 3), 0);
        assert_int_equal(ask_type(unit, "-", HF_PR_RESERVE, UINT64_MAX, 0, 5), 0);
        assert_int_equal(ask(unit, "-", HF_PR_PREEMPT, UINT64_MAX, 3), 0);
        assert_int_equal(hf_pr_state_encode(&unit->state, ret, ret_n), 0);
}

static void a_state_goes_there_and_back(void **state)
{
        hf_cleanup_free char *text = NULL, *again = NULL;
        struct hf_pr_state read;
        size_t n, length;
        UNIT;

        (void)state;
        make(&unit, &text, &n);
        assert_non_null(strstr(text, "\ngeneration 4\naptpl 0\ntype 5\nholder %2D\n"));
        assert_non_null(strstr(text, " host/a%20b%25%0A%C3%A9\n"));
        assert_int_equal(hf_pr_state_decode(text, n, &read, NULL), 0);
        assert_int_equal(read.n, 3);
        assert_string_equal(read.nexuses[0].name, "host/a b%\n\303\251");
        assert_int_equal(read.nexuses[2].attention, HF_ASC_REGISTRATIONS_PREEMPTED);
        assert_int_equal(hf_pr_state_encode(&read, &again, &length), 0);
        assert_string_equal(text, again);
        hf_pr_state_clear(&read);
}

static void nobody_and_nothing_is_a_state(void **state)
{
        const struct hf_pr_state none = {0};
        hf_cleanup_free char *text = NULL;
        struct hf_pr_state read;
        size_t n;

        (void)state;
        assert_int_equal(hf_pr_state_encode(&none, &text, &n), 0);
        assert_int_equal(hf_pr_state_decode(text, n, &read, NULL), 0);
        assert_int_equal(read.n, 0);
}

static void the_fullest_state_fits(void **state)
{
        hf_cleanup_free char *text = NULL;
        char name[HF_PR_NEXUS_MAX];
        struct hf_pr_state read;
        size_t n;
        UNIT;

        (void)state;
        memset(name, '\377', sizeof(name));
        name[sizeof(name) - 1] = '\0';
        for (int i = 0; i < HF_PR_NEXUSES_MAX; i++) {
                name[0] = (char)(i / 16 + 1);
                name[1] = (char)(i % 16 + 1);
                assert_int_equal(ask(&unit, name, HF_PR_REGISTER, 0, UINT64_MAX), 0);
        }
        assert_int_equal(hf_pr_state_encode(&unit.state, &text, &n), 0);
        assert_true(n < HF_PR_STATE_TEXT_MAX / 2);
        assert_int_equal(hf_pr_state_decode(text, n, &read, NULL), 0);
        assert_int_equal(read.n, HF_PR_NEXUSES_MAX);
        hf_pr_state_clear(&read);
}

static void damage_anywhere_is_seen(void **state)
{
        hf_cleanup_free char *text = NULL;
        struct hf_pr_state read;
        struct hf_error err;
        size_t n;
        UNIT;

        (void)state;
        make(&unit, &text, &n);
        for (size_t at = 0; at < n; at++) {
                text[at] ^= 0x01;
                assert_int_equal(hf_pr_state_decode(text, n, &read, &err), -EBADMSG);
                text[at] ^= 0x01;
                assert_int_equal(hf_pr_state_decode(text, at, &read, &err), -EBADMSG);
        }
}

static void a_state_that_cannot_be_is_not_taken(void **state)
{
        /* A holder that is not registered; a type that is none. */
        struct hf_pr_state states[] = {{.type = 1, .holder = "a"}, {.type = 2}, {.type = 7}};
        struct hf_pr_state read;

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(states); i++) {
                hf_cleanup_free char *text = NULL;
                size_t n;

                assert_int_equal(hf_pr_state_encode(&states[i], &text, &n), 0);
                assert_int_equal(hf_pr_state_decode(text, n, &read, NULL), -EBADMSG);
        }
}

static void a_word_is_a_safe_file_name(void **state)
{
        char word[16];

        (void)state;
        assert_int_equal(hf_pr_word_encode("..", false, word, sizeof(word)), 4);
        assert_string_equal(word, "%2E.");
        assert_int_equal(hf_pr_word_encode("a/b c", false, word, sizeof(word)), 9);
        assert_string_equal(word, "a%2Fb%20c");
        assert_int_equal(hf_pr_word_encode("", false, word, sizeof(word)), 1);
        assert_int_equal(hf_pr_word_encode("abcdefghijklmnop", false, word, sizeof(word)),
                         -ENAMETOOLONG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_state_goes_there_and_back),
                cmocka_unit_test(nobody_and_nothing_is_a_state),
                cmocka_unit_test(the_fullest_state_fits),
                cmocka_unit_test(damage_anywhere_is_seen),
                cmocka_unit_test(a_state_that_cannot_be_is_not_taken),
                cmocka_unit_test(a_word_is_a_safe_file_name),
        };

        return cmocka_run_group_tests_name("state-text", tests, NULL, NULL);
}
