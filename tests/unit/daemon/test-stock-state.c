/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/stock-state.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

/* As virtlockd 9.0.0 has written it, but for what is of no meaning to us. */
#define SERVERS                                                                                    \
        "\"daemon\": {\"servers\": {\"virtlockd\": {\"max_clients\": 1024, "                       \
        "\"next_client_id\": 3, \"services\": [{\"auth\": 0, \"socks\": [{\"fd\": 4, "             \
        "\"errfd\": -1, \"pid\": 0, \"isClient\": false, \"unlinkUNIX\": true}]}], "               \
        "\"clients\": [{\"id\": 1, \"auth\": 0, \"conn_time\": 1795359120, \"sock\": "             \
        "{\"fd\": 9, \"isClient\": true}, \"privateData\": {\"restricted\": true, "                \
        "\"ownerPid\": 25932, \"ownerId\": 7, \"ownerName\": \"vm one\", \"ownerUUID\": "          \
        "\"00010203-0405-0607-0809-0a0b0c0d0e0f\"}}]}}}"
#define LOCK(name, fd, flags)                                                                      \
        "{\"name\": \"" name "\", \"path\": \"" name "\", \"fd\": " fd ", \"lockHeld\": true, "    \
        "\"flags\": " flags ", \"owners\": [25932]}"
#define SPACES(locks, more)                                                                        \
        "\"defaultLockspace\": {\"resources\": [" locks "]}, \"lockspaces\": [" more "]"
#define MAGIC "\"magic\": \"25977\""

static const char whole[] = "{" SERVERS ", " SPACES(
        LOCK("/a", "10", "0") ", " LOCK("/b", "11", "1"),
        "{\"directory\": \"/space\", \"resources\": [" LOCK("abc", "13", "2") "]}") ", " MAGIC "}";

static void check_whole(const struct hf_stock_state *state)
{
        assert_int_equal(state->magic, 25977);
        assert_int_equal(state->n_sockets, 1);
        assert_int_equal(state->sockets[0].fd, 4);
        assert_true(state->sockets[0].removes);
        assert_int_equal(state->services[HF_SERVICE_LOCKS].max_clients, 1024);
        assert_int_equal(state->n_clients, 1);
        assert_int_equal(state->clients[0].fd, 9);
        assert_int_equal(state->clients[0].owner_pid, 25932);
        assert_int_equal(state->clients[0].owner_uuid[15], 15);
        assert_string_equal(state->clients[0].owner_name, "vm one");
        assert_true(state->clients[0].restricted);
        assert_int_equal(state->n_spaces, 2);
        assert_string_equal(state->spaces[1].directory, "/space");
        assert_int_equal(state->n_locks, 3);
        assert_false(state->locks[0].shared);
        assert_true(state->locks[1].shared);
        assert_true(state->locks[2].autocreate);
        assert_int_equal(state->locks[2].space, 1);
        assert_int_equal(state->locks[2].owners[0], 25932);
}

static void what_a_virtlockd_hands_over_is_understood(void **unused)
{
        struct hf_stock_state state;
        struct hf_error error;

        (void)unused;
        assert_int_equal(hf_stock_decode(whole, strlen(whole), &state, &error), 0);
        check_whole(&state);
        hf_stock_clear(&state);
}

static void what_is_written_for_a_virtlockd_says_the_same(void **unused)
{
        hf_cleanup_free char *text = NULL;
        struct hf_stock_state state;
        size_t len;

        (void)unused;
        assert_int_equal(hf_stock_decode(whole, strlen(whole), &state, NULL), 0);
        assert_int_equal(hf_stock_encode(&state, &text, &len, NULL), 0);
        hf_stock_clear(&state);
        assert_int_equal(hf_stock_decode(text, len, &state, NULL), 0);
        check_whole(&state);
        assert_non_null(strstr(text, "/space/abc"));
        hf_stock_clear(&state);
}

static void every_text_that_is_cut_off_is_refused(void **unused)
{
        struct hf_stock_state state;

        (void)unused;
        for (size_t len = 0; len + 1 < sizeof(whole); len++)
                assert_int_equal(hf_stock_decode(whole, len, &state, NULL), -EBADMSG);
}

static void what_is_wrong_is_said_in_one_error(void **unused)
{
        static const struct {
                const char *text, *says;
        } cases[] = {
                {"[]", "not JSON"},
                {"{} {}", "not JSON"},
                {"{}", "no \"magic\""},
                {"{\"magic\": 1}", "\"magic\" is no string"},
                {"{\"magic\": \"-1\"}", "no pid"},
                {"{\"magic\": \"1\\u0000\"}", "NUL"},
                {"{" MAGIC "}", "no \"daemon\""},
                {"{" SERVERS ", " MAGIC "}", "no \"defaultLockspace\""},
                {"{" SERVERS ", " SPACES(LOCK("/a", "2", "0"), "") ", " MAGIC "}", "\"fd\" is 2"},
                {"{" SERVERS ", " SPACES(LOCK("/a", "-1", "0"), "") ", " MAGIC "}",
                 "\"fd\" is not"},
                {"{" SERVERS ", " SPACES(LOCK("/a", "9", "0"), "") ", " MAGIC "}",
                 "descriptor 9 is there twice"},
                {"{" SERVERS ", " SPACES(LOCK("/a", "10", "4"), "") ", " MAGIC "}",
                 "not known (4)"},
                {"{" SERVERS ", " SPACES("", "{\"directory\": \"x\", \"resources\": []}") ", " MAGIC
                                                                                          "}",
                 "absolute"},
        };

        (void)unused;
        for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
                struct hf_stock_state state;
                struct hf_error error = {0};

                assert_int_equal(
                        hf_stock_decode(cases[i].text, strlen(cases[i].text), &state, &error),
                        -EBADMSG);
                assert_non_null(strstr(error.text, cases[i].says));
        }
}

/* A text with so many sockets, without end. */
static void more_than_there_may_be_is_refused(void **unused)
{
        hf_cleanup_free char *text = NULL;
        struct hf_stock_state state;
        struct hf_error error;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        (void)unused;
        assert_non_null(out);
        (void)fprintf(out, "{" MAGIC ", \"daemon\": {\"servers\": {\"virtlockd\": {"
                           "\"max_clients\": 1, \"next_client_id\": 1, \"clients\": [], "
                           "\"services\": [{\"socks\": [");
        for (int i = 0; i <= HF_LISTENERS_MAX; i++)
                (void)fprintf(out, "%s{\"fd\": %d, \"unlinkUNIX\": true}", i ? "," : "", 10 + i);
        (void)fprintf(out, "]}]}}}}");
        (void)fclose(out);
        assert_int_equal(hf_stock_decode(text, size, &state, &error), -E2BIG);
        assert_non_null(strstr(error.text, "listening sockets"));
}

static void only_a_file_for_this_process_is_read(void **unused)
{
        char path[] = "/tmp/hf-stock-XXXXXX";
        struct hf_stock_state state;
        int fd = mkstemp(path);

        (void)unused;
        assert_true(fd >= 0);
        assert_int_equal(write(fd, whole, strlen(whole)), strlen(whole));
        assert_int_equal(hf_stock_read("/nowhere/at/all", 25977, &state, NULL), 0);
        assert_int_equal(hf_stock_read(path, 1, &state, NULL), 0);
        assert_int_equal(hf_stock_read(path, 25977, &state, NULL), 1);
        check_whole(&state);
        hf_stock_clear(&state);
        assert_int_equal(fchmod(fd, 0622), 0);
        assert_int_equal(hf_stock_read(path, 25977, &state, NULL), -EPERM);
        (void)close(fd);
        (void)unlink(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_a_virtlockd_hands_over_is_understood),
                cmocka_unit_test(what_is_written_for_a_virtlockd_says_the_same),
                cmocka_unit_test(every_text_that_is_cut_off_is_refused),
                cmocka_unit_test(what_is_wrong_is_said_in_one_error),
                cmocka_unit_test(more_than_there_may_be_is_refused),
                cmocka_unit_test(only_a_file_for_this_process_is_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
