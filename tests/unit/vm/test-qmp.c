/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/qmp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GREETING         "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"
#define STATUS(id, what) "{\"return\": {\"status\": \"" what "\"}, \"id\": \"holdfast-" id "\"}\r\n"
#define OK(id)           "{\"return\": {}, \"id\": \"holdfast-" id "\"}\r\n"
#define EVENT            "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1}}\r\n"

static struct hf_qmp qmp;
static char sent[4096];

/* Names the commands that were sent, in order. */
static const char *talk(enum hf_qmp_goal goal, const char *text, size_t piece)
{
        size_t len = strlen(text);

        sent[0] = '\0';
        hf_qmp_begin(&qmp, goal);
        for (size_t at = 0; at < len;) {
                const char *command;

                at += hf_qmp_feed(&qmp, text + at, len - at < piece ? len - at : piece, &command);
                if (!command)
                        continue;
                assert_non_null(strchr(command, '\n'));
                command = strstr(command, ": \"") + 3;
                (void)snprintf(sent + strlen(sent), sizeof(sent) - strlen(sent), "%.*s ",
                               (int)strcspn(command, "\""), command);
        }
        return sent;
}

static void a_running_vm_is_stopped_whatever_the_pieces_of_the_answers(void **state)
{
        const char *text = GREETING OK("1") STATUS("2", "running") EVENT OK("3")
                STATUS("4", "paused");

        (void)state;
        for (size_t piece = 1; piece < 400; piece += 7) {
                assert_string_equal(talk(HF_QMP_STOP, text, piece),
                                    "qmp_capabilities query-status stop query-status ");
                assert_int_equal(qmp.state, HF_QMP_DONE);
        }
}

static void a_vm_that_somebody_has_stopped_is_left_alone(void **state)
{
        (void)state;
        (void)talk(HF_QMP_STOP, GREETING OK("1") STATUS("2", "paused"), 1000);
        assert_int_equal(qmp.state, HF_QMP_ALREADY);
        assert_false(qmp.commanded);
}

static void a_vm_that_still_runs_after_stop_has_not_been_stopped(void **state)
{
        (void)state;
        (void)talk(HF_QMP_STOP,
                   GREETING OK("1") STATUS("2", "suspended") OK("3") STATUS("4", "suspended"),
                   1000);
        assert_int_equal(qmp.state, HF_QMP_FAILED);
        assert_true(qmp.commanded);
}

static void what_others_ask_and_what_happens_is_no_answer(void **state)
{
        (void)state;
        assert_string_equal(
                talk(HF_QMP_STOP,
                     EVENT GREETING "{\"return\": {}}\n{\"return\": {}, \"id\": 1}\n" OK("2"), 9),
                "qmp_capabilities ");
        assert_int_equal(qmp.state, HF_QMP_TALKING);
}

static void a_vm_that_stopped_for_another_reason_is_not_continued(void **state)
{
        (void)state;
        assert_string_equal(talk(HF_QMP_CONT, GREETING OK("1") STATUS("2", "io-error"), 1000),
                            "qmp_capabilities query-status ");
        assert_int_equal(qmp.state, HF_QMP_OTHER);
        (void)talk(HF_QMP_CONT,
                   GREETING OK("1") STATUS("2", "paused") OK("3") STATUS("4", "running"), 1000);
        assert_int_equal(qmp.state, HF_QMP_DONE);
}

static void a_vm_is_ended_whatever_its_status(void **state)
{
        (void)state;
        assert_string_equal(talk(HF_QMP_QUIT, GREETING OK("1") EVENT OK("3"), 1000),
                            "qmp_capabilities quit ");
        assert_int_equal(qmp.state, HF_QMP_DONE);
        assert_true(qmp.commanded);
}

#define LIST(id, items) "{\"return\": [" items "], \"id\": \"holdfast-" id "\"}\r\n"
#define JOB(status)     "{\"id\": \"a\", \"type\": \"mirror\", \"status\": \"" status "\"}"

static void a_vm_is_settled_when_it_is_stopped_and_nothing_else_writes(void **state)
{
        (void)state;
        assert_string_equal(talk(HF_QMP_SETTLE,
                                 GREETING OK("1") STATUS("2", "running") OK("3") STATUS(
                                         "4", "paused") LIST("5", JOB("concluded")) LIST("6", ""),
                                 1000),
                            "qmp_capabilities query-status stop query-status query-jobs "
                            "query-block-exports ");
        assert_int_equal(qmp.state, HF_QMP_DONE);
        assert_string_equal(
                talk(HF_QMP_SETTLE,
                     GREETING OK("1") STATUS("2", "io-error") LIST("5", "") LIST("6", ""), 5),
                "qmp_capabilities query-status query-jobs query-block-exports ");
        assert_int_equal(qmp.state, HF_QMP_ALREADY);
}

static void a_stopped_vm_whose_disk_is_written_by_a_job_or_an_export_is_not_settled(void **state)
{
        static const char *const texts[] = {
                LIST("5", JOB("concluded") "," JOB("running")),
                LIST("5", "7"),
                LIST("5", "") LIST("6", "{\"id\": \"e\"}"),
        };
        char text[2048];

        (void)state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                (void)snprintf(text, sizeof(text), "%s%s",
                               GREETING OK("1") STATUS("2", "running") OK("3")
                                       STATUS("4", "paused"),
                               texts[i]);
                (void)talk(HF_QMP_SETTLE, text, 1000);
                assert_int_equal(qmp.state, HF_QMP_OTHER);
        }
        (void)talk(HF_QMP_SETTLE, GREETING OK("1") STATUS("2", "paused") OK("5"), 1000);
        assert_int_equal(qmp.state, HF_QMP_FAILED);
}

static void a_vm_that_stopped_at_an_error_of_its_disk_is_resumed_where_that_is_asked(void **state)
{
        const char *text = GREETING OK("1") STATUS("2", "io-error") OK("3") STATUS("4", "running");

        (void)state;
        assert_string_equal(talk(HF_QMP_RESUME, text, 1000),
                            "qmp_capabilities query-status cont query-status ");
        assert_int_equal(qmp.state, HF_QMP_DONE);
        (void)talk(HF_QMP_RESUME, GREETING OK("1") STATUS("2", "guest-panicked"), 1000);
        assert_int_equal(qmp.state, HF_QMP_OTHER);
}

static void an_error_or_no_object_ends_it(void **state)
{
        static const char *const texts[] = {
                "hello\n",
                "[1]\n",
                "\"QMP\"\n",
                GREETING "{\"error\": {\"desc\": \"no\"}, \"id\": \"holdfast-1\"}\n",
                GREETING OK("1") "{\"return\": [], \"id\": \"holdfast-2\"}\n",
                GREETING OK("1") "{\"return\": {\"status\": 7}, \"id\": \"holdfast-2\"}\n",
                "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}\n",
        };

        (void)state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                (void)talk(HF_QMP_STOP, texts[i], 1000);
                assert_int_equal(qmp.state, HF_QMP_FAILED);
        }
}

static void a_line_without_an_end_is_passed_over_in_little_memory(void **state)
{
        static char text[200000];
        size_t len = 150000;

        (void)state;
        memset(text, 'x', len);
        (void)snprintf(text + len, sizeof(text) - len, "\n%s%s%s", GREETING, OK("1"),
                       STATUS("2", "paused"));
        (void)talk(HF_QMP_STOP, text, sizeof(text));
        assert_int_equal(qmp.state, HF_QMP_ALREADY);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_running_vm_is_stopped_whatever_the_pieces_of_the_answers),
                cmocka_unit_test(a_vm_that_somebody_has_stopped_is_left_alone),
                cmocka_unit_test(a_vm_that_still_runs_after_stop_has_not_been_stopped),
                cmocka_unit_test(what_others_ask_and_what_happens_is_no_answer),
                cmocka_unit_test(a_vm_that_stopped_for_another_reason_is_not_continued),
                cmocka_unit_test(a_vm_is_ended_whatever_its_status),
                cmocka_unit_test(a_vm_is_settled_when_it_is_stopped_and_nothing_else_writes),
                cmocka_unit_test(
                        a_stopped_vm_whose_disk_is_written_by_a_job_or_an_export_is_not_settled),
                cmocka_unit_test(
                        a_vm_that_stopped_at_an_error_of_its_disk_is_resumed_where_that_is_asked),
                cmocka_unit_test(an_error_or_no_object_ends_it),
                cmocka_unit_test(a_line_without_an_end_is_passed_over_in_little_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
