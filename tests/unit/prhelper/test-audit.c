/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "prhelper/audit.h"
#include "prhelper/log.h"

#include "base/cleanup.h"
#include "base/log-private.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

static char folder[] = "/tmp/hf-audit-XXXXXX";
static char journal_path[64];
static int journal;

static int setup(void **state)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        (void)state;
        assert_true(mkdtemp(folder));
        (void)snprintf(journal_path, sizeof(journal_path), "%s/journal", folder);
        (void)strcpy(address.sun_path, journal_path);
        journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        hf_log_places.journal = journal_path;
        hf_log_init("test");
        return bind(journal, (struct sockaddr *)&address, sizeof(address));
}

static int teardown(void **state)
{
        (void)state;
        hf_log_close();
        (void)close(journal);
        (void)unlink(journal_path);
        return rmdir(folder);
}

static const struct hf_pr_peer peer = {.pid = 77, .uid = 64055, .comm = "qemu", .vm = "web"};

/* What the journal got, "" if nothing. */
static const char *audited(struct hf_pr_settings *settings, const struct hf_pr_out *out, int rule,
                           const struct hf_scsi_result *result)
{
        static char text[8192];
        uint8_t cdb[HF_PR_CDB_SIZE] = {HF_PR_OUT, out ? out->action : 0, out ? out->type : 0};
        const struct hf_pr_arguments quiet = {.quiet = true};
        hf_cleanup_fd int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        struct hf_pr_request request = {.cdb = cdb, .fd = fd, .nexus = "a/web"};
        ssize_t len;

        assert_int_equal(fstat(fd, &request.st), 0);
        assert_int_equal(hf_pr_log_apply(&quiet, settings, NULL), 0);
        hf_pr_audit(&peer, &request, "sgio", out, rule, result);
        len = recv(journal, text, sizeof(text) - 1, 0);
        text[len < 0 ? 0 : len] = '\0';
        return text;
}

static struct hf_pr_settings settings_with(const char *filters)
{
        return (struct hf_pr_settings){.log_level = HF_LOG_ERROR,
                                       .log_filters = (char *)(uintptr_t)filters,
                                       .log_outputs = (char *)(uintptr_t) "1:journald"};
}

static void says(const char *text, const char *line)
{
        if (!strstr(text, line))
                fail_msg("%s is not in: %s", line, text);
}

static void the_journal_has_who_did_what_whatever_the_level(void **state)
{
        static const struct hf_pr_out out = {.action = HF_PR_PREEMPT,
                                             .type = HF_PR_EXCLUSIVE_ACCESS,
                                             .key = 0x11,
                                             .new_key = 0xfedcba9876543210};
        struct hf_pr_settings settings = settings_with(NULL);
        struct hf_scsi_result result = {0};
        const char *text;

        (void)state;
        hf_scsi_status(&result, HF_SCSI_RESERVATION_CONFLICT);
        text = audited(&settings, &out, 0, &result);
        says(text, "MESSAGE=qemu (pid 77, uid 64055, VM \"web\"): preempt exclusive-access on "
                   "/dev/null 1:3, key 0x11, of the victim 0xfedcba9876543210: reservation "
                   "conflict\n");
        says(text, "PRIORITY=6\n");
        says(text, "HOLDFAST_PR_PID=77\n");
        says(text, "HOLDFAST_PR_UID=64055\n");
        says(text, "HOLDFAST_PR_VM=web\n");
        says(text, "HOLDFAST_PR_DEVICE=/dev/null 1:3\n");
        says(text, "HOLDFAST_PR_NEXUS=a/web\n");
        says(text, "HOLDFAST_PR_BACKEND=sgio\n");
        says(text, "HOLDFAST_PR_ACTION=preempt\n");
        says(text, "HOLDFAST_PR_TYPE=exclusive-access\n");
        says(text, "HOLDFAST_PR_KEY=0x11\n");
        says(text, "HOLDFAST_PR_NEW_KEY=0xfedcba9876543210\n");
        says(text, "HOLDFAST_PR_RESULT=reservation conflict\n");
        assert_null(strstr(text, "HOLDFAST_PR_RULE"));
}

static void what_the_policy_denied_is_a_warning_with_its_rule(void **state)
{
        static const struct hf_pr_out out = {.action = HF_PR_CLEAR, .key = 1, .aptpl = true};
        struct hf_pr_settings settings = settings_with(NULL);
        struct hf_scsi_result result = {0};
        const char *text;

        (void)state;
        hf_scsi_refuse(&result, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_OPCODE);
        text = audited(&settings, &out, 3, &result);
        says(text, "PRIORITY=4\n");
        says(text, "denied by rule 3 of the policy\n");
        says(text, "HOLDFAST_PR_RULE=3\n");
        says(text, "HOLDFAST_PR_APTPL=1\n");
}

static void a_list_that_is_none_is_told_as_such(void **state)
{
        struct hf_pr_settings settings = settings_with(NULL);
        struct hf_scsi_result result = {0};
        const char *text;

        (void)state;
        hf_scsi_refuse(&result, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_PARAMETER_LIST_LENGTH);
        text = audited(&settings, NULL, 0, &result);
        says(text, "HOLDFAST_PR_ACTION=register\n");
        says(text, "a list that is none");
        assert_null(strstr(text, "HOLDFAST_PR_KEY"));
}

static void the_file_can_turn_it_off(void **state)
{
        static const struct hf_pr_out out = {.action = HF_PR_CLEAR};
        struct hf_pr_settings settings = settings_with("4:pr.audit");
        struct hf_scsi_result result = {0};

        (void)state;
        assert_string_equal(audited(&settings, &out, 0, &result), "");
}

static void without_a_journal_stderr_has_what_was_asked_for(void **state)
{
        static const struct {
                bool quiet;
                unsigned int verbose;
                const char *outputs;
        } rows[] = {{true, 0, "4:stderr"},
                    {false, 0, "3:stderr"},
                    {false, 1, "2:stderr"},
                    {false, 5, "1:stderr"}};
        struct hf_pr_settings settings = {.log_level = HF_LOG_WARNING};

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
                const struct hf_pr_arguments arguments = {.quiet = rows[i].quiet,
                                                          .verbose = rows[i].verbose};

                assert_int_equal(hf_pr_log_apply(&arguments, &settings, NULL), 0);
                says(hf_log_outputs(), rows[i].outputs);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_journal_has_who_did_what_whatever_the_level),
                cmocka_unit_test(what_the_policy_denied_is_a_warning_with_its_rule),
                cmocka_unit_test(a_list_that_is_none_is_told_as_such),
                cmocka_unit_test(the_file_can_turn_it_off),
                cmocka_unit_test(without_a_journal_stderr_has_what_was_asked_for),
        };

        return cmocka_run_group_tests_name("audit", tests, setup, teardown);
}
