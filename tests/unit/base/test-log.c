/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/log-private.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

static char folder[] = "/tmp/holdfast-log.XXXXXX";
static char file_path[64], socket_path[64];

static int make_folder(void **state)
{
        (void)state;
        if (!mkdtemp(folder))
                return -1;
        (void)snprintf(file_path, sizeof(file_path), "%s/log", folder);
        (void)snprintf(socket_path, sizeof(socket_path), "%s/sock", folder);
        hf_log_places = (struct hf_log_places){.journal = socket_path, .syslog = socket_path};
        (void)unsetenv("JOURNAL_STREAM");
        return 0;
}

static int remove_folder(void **state)
{
        (void)state;
        return rmdir(folder);
}

static int begin(void **state)
{
        (void)state;
        hf_log_init("test");
        return 0;
}

static int end(void **state)
{
        (void)state;
        hf_log_close();
        (void)unlink(file_path);
        (void)unlink(socket_path);
        return 0;
}

static void log_to_file(int level)
{
        char text[128];

        (void)snprintf(text, sizeof(text), "%d:file:%s", level, file_path);
        assert_int_equal(hf_log_set_outputs(text, NULL), 0);
}

/* What is in the log file, at most size - 1 bytes. */
static const char *read_log(char *text, size_t size)
{
        hf_cleanup_fd int fd = open(file_path, O_RDONLY | O_CLOEXEC);
        ssize_t got = read(fd, text, size - 1);

        assert_true(got >= 0);
        text[got] = '\0';
        return text;
}

static void assert_matches(const char *text, const char *pattern)
{
        regex_t regex;
        int r;

        assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
        r = regexec(&regex, text, 0, NULL, 0);
        regfree(&regex);
        if (r != 0)
                fail_msg("\"%s\" does not match \"%s\"", text, pattern);
}

static void a_line_has_time_pid_level_module_and_text(void **state)
{
        char text[512], pattern[128];

        (void)state;
        log_to_file(1);
        hf_log(HF_LOG_WARNING, "session", "client %d left", 7);
        (void)snprintf(pattern, sizeof(pattern),
                       "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}\\+0000: "
                       "%d: warning : session : client 7 left\n$",
                       getpid());
        assert_matches(read_log(text, sizeof(text)), pattern);
}

static void the_log_file_is_for_its_owner_alone(void **state)
{
        struct stat st;

        (void)state;
        log_to_file(1);
        assert_int_equal(stat(file_path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
}

static void only_messages_of_the_level_or_above_pass(void **state)
{
        char text[1024];

        (void)state;
        log_to_file(1);
        assert_int_equal(hf_log_set_level(HF_LOG_WARNING, NULL), 0);
        hf_log(HF_LOG_INFO, "m", "quiet");
        hf_log(HF_LOG_ERROR, "m", "loud");
        assert_false(hf_log_wants(HF_LOG_INFO, "m"));
        assert_null(strstr(read_log(text, sizeof(text)), "quiet"));
        assert_non_null(strstr(text, "error : m : loud"));
}

static void the_first_filter_that_matches_decides(void **state)
{
        (void)state;
        assert_int_equal(hf_log_set_filters("4:lockspace 1:lock 3:+rpc 1:s?ssion", NULL), 0);
        assert_false(hf_log_wants(HF_LOG_WARNING, "lockspace"));
        assert_true(hf_log_wants(HF_LOG_DEBUG, "deadlock"));
        assert_false(hf_log_wants(HF_LOG_INFO, "rpc"));
        assert_true(hf_log_wants(HF_LOG_DEBUG, "session"));
        assert_false(hf_log_wants(HF_LOG_INFO, "other"));
        assert_int_equal(hf_log_set_filters("", NULL), 0);
        assert_true(hf_log_wants(HF_LOG_WARNING, "lockspace"));
}

static void an_output_takes_what_has_its_level(void **state)
{
        char text[1024];

        (void)state;
        log_to_file(HF_LOG_ERROR);
        assert_int_equal(hf_log_set_level(HF_LOG_DEBUG, NULL), 0);
        hf_log(HF_LOG_WARNING, "m", "quiet");
        hf_log(HF_LOG_ERROR, "m", "loud");
        assert_null(strstr(read_log(text, sizeof(text)), "quiet"));
        assert_non_null(strstr(text, "loud"));
}

static void assert_refused(int (*set)(const char *, struct hf_error *), const char *text,
                           const char *message)
{
        struct hf_error err;

        assert_int_equal(set(text, &err), -EINVAL);
        assert_string_equal(err.text, message);
}

static void bad_settings_are_told_and_change_nothing(void **state)
{
        (void)state;
        log_to_file(1);
        assert_int_equal(hf_log_set_filters("1:a", NULL), 0);
        assert_refused(hf_log_set_filters,
                       "1:b 2:", "log filter \"2:\": a module's name must follow the colon");
        assert_refused(hf_log_set_filters, "x:foo",
                       "log filter \"x:foo\": must begin with a level from 1 (debug) "
                       "to 4 (error) and a colon");
        assert_refused(hf_log_set_outputs, "5:stderr",
                       "log output \"5:stderr\": must begin with a level from 1 (debug) "
                       "to 4 (error) and a colon");
        assert_refused(hf_log_set_outputs, "1:syslog",
                       "log output \"1:syslog\": a name for the messages must follow \"syslog:\"");
        assert_refused(hf_log_set_outputs, "1:stderr:x",
                       "log output \"1:stderr:x\": nothing can follow \"stderr\"");
        assert_refused(hf_log_set_outputs, "1:stderr 1:pigeon",
                       "log output \"1:pigeon\": must go to stderr, syslog:NAME, file:PATH "
                       "or journald");
        assert_int_equal(hf_log_set_outputs("1:file:/nonexistent/x", NULL), -ENOENT);
        assert_int_equal(hf_log_set_level(5, NULL), -EINVAL);
        assert_string_equal(hf_log_filters(), "1:a");
        assert_non_null(strstr(hf_log_outputs(), file_path));
        assert_int_equal(hf_log_level(), HF_LOG_WARNING);
}

static void a_change_of_outputs_closes_the_old_ones(void **state)
{
        int before, after;

        (void)state;
        log_to_file(1);
        before = dup(STDERR_FILENO);
        (void)close(before);
        for (int i = 0; i < 10; i++)
                log_to_file(1);
        after = dup(STDERR_FILENO);
        (void)close(after);
        assert_int_equal(after <= before + 1, 1);
}

static void errno_is_kept_and_can_be_logged(void **state)
{
        char text[512];

        (void)state;
        log_to_file(1);
        errno = ENOENT;
        hf_log(HF_LOG_ERROR, "m", "%m");
        assert_int_equal(errno, ENOENT);
        hf_log(HF_LOG_DEBUG, "m", "not wanted");
        assert_int_equal(errno, ENOENT);
        assert_non_null(strstr(read_log(text, sizeof(text)), "No such file or directory"));
}

static void control_characters_cannot_forge_a_line(void **state)
{
        char text[512];

        (void)state;
        log_to_file(1);
        hf_log(HF_LOG_ERROR, "m", "vm \"%s\"", "a\nb\tc\x1b[2J\x7f");
        assert_non_null(strstr(read_log(text, sizeof(text)), "vm \"a b c?[2J?\"\n"));
}

static void long_text_is_cut_and_still_one_line(void **state)
{
        static char longer[3 * HF_LOG_TEXT_MAX];
        char text[2 * HF_LOG_TEXT_MAX];

        (void)state;
        log_to_file(1);
        memset(longer, 'x', sizeof(longer) - 1);
        hf_log(HF_LOG_ERROR, "m", "%s", longer);
        hf_log(HF_LOG_ERROR, "m", "next");
        assert_non_null(strstr(read_log(text, sizeof(text)), "x\n"));
        assert_non_null(strstr(text, "m : next\n"));
}

static int listen_datagrams(void)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

static const char *receive(int fd, char *text, size_t size)
{
        ssize_t got = recv(fd, text, size - 1, 0);

        assert_true(got >= 0);
        text[got] = '\0';
        return text;
}

static void the_journal_gets_fields(void **state)
{
        hf_cleanup_fd int journal = listen_datagrams();
        char text[1024], wanted[512];

        (void)state;
        assert_int_equal(hf_log_set_outputs("1:journald", NULL), 0);
        hf_log(HF_LOG_ERROR, "session", "lost %s", "it\nPRIORITY=0");
        (void)snprintf(
                wanted, sizeof(wanted),
                "MESSAGE=lost it PRIORITY=0\nPRIORITY=3\nSYSLOG_IDENTIFIER=test\nSYSLOG_PID=%d\n"
                "HOLDFAST_MODULE=session\n",
                getpid());
        assert_string_equal(receive(journal, text, sizeof(text)), wanted);
}

static void the_journal_gets_what_belongs_to_a_message(void **state)
{
        hf_cleanup_fd int journal = listen_datagrams();
        const struct hf_log_field fields[] = {
                {"HOLDFAST_VM", "web1"}, {"HOLDFAST_PID", ""}, {"HOLDFAST_RESOURCE", "a\nB=c"}};
        char text[1024], wanted[512];

        (void)state;
        assert_int_equal(hf_log_set_outputs("1:journald", NULL), 0);
        hf_log_fields(HF_LOG_INFO, "event", "0123456789abcdef0123456789abcdef", fields, 3, "low");
        hf_log_fields(HF_LOG_ERROR, "event", "0123456789abcdef0123456789abcdef", fields, 3,
                      "100%s lost");
        (void)snprintf(wanted, sizeof(wanted),
                       "MESSAGE=100%%s lost\nPRIORITY=3\nSYSLOG_IDENTIFIER=test\nSYSLOG_PID=%d\n"
                       "HOLDFAST_MODULE=event\nMESSAGE_ID=0123456789abcdef0123456789abcdef\n"
                       "HOLDFAST_VM=web1\nHOLDFAST_RESOURCE=a\n",
                       getpid());
        assert_string_equal(receive(journal, text, sizeof(text)), wanted);
}

static void syslog_gets_priority_name_and_pid(void **state)
{
        hf_cleanup_fd int daemon = listen_datagrams();
        char text[1024], pattern[128];

        (void)state;
        assert_int_equal(hf_log_set_outputs("1:syslog:virtlockd", NULL), 0);
        hf_log(HF_LOG_WARNING, "m", "text");
        (void)snprintf(pattern, sizeof(pattern),
                       "^<28>[A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} virtlockd\\[%d\\]: m : text$",
                       getpid());
        assert_matches(receive(daemon, text, sizeof(text)), pattern);
}

static void a_journal_that_does_not_read_stops_nobody(void **state)
{
        hf_cleanup_fd int journal = listen_datagrams();
        char text[4096];

        (void)state;
        /* If a message waited, the test would not end but by this signal. */
        (void)alarm(20);
        assert_int_equal(hf_log_set_outputs("1:journald", NULL), 0);
        for (int i = 0; i < 5000; i++)
                hf_log(HF_LOG_ERROR, "m", "message %d", i);
        (void)alarm(0);
        while (recv(journal, text, sizeof(text), 0) > 0)
                ;
        hf_log(HF_LOG_ERROR, "m", "after");
        assert_matches(receive(journal, text, sizeof(text)),
                       "^MESSAGE=[0-9]+ messages before this one are lost\nPRIORITY=4\n");
        assert_matches(receive(journal, text, sizeof(text)), "^MESSAGE=after\n");
}

static void a_journal_that_is_away_and_comes_back_is_used_again(void **state)
{
        hf_cleanup_fd int journal = -1;
        char text[4096];

        (void)state;
        assert_int_equal(hf_log_set_outputs("1:journald", NULL), 0);
        hf_log(HF_LOG_ERROR, "m", "nobody listens");
        journal = listen_datagrams();
        hf_log(HF_LOG_ERROR, "m", "here");
        assert_matches(receive(journal, text, sizeof(text)), "^MESSAGE=1 messages before");
        assert_matches(receive(journal, text, sizeof(text)), "^MESSAGE=here\n");
}

/* Runs with stderr replaced by fd; body must not use cmocka's output. */
static void with_stderr(int fd, void (*body)(void))
{
        hf_cleanup_fd int saved = dup(STDERR_FILENO);

        (void)dup2(fd, STDERR_FILENO);
        body();
        (void)dup2(saved, STDERR_FILENO);
}

static void log_much(void)
{
        for (int i = 0; i < 5000; i++)
                hf_log(HF_LOG_ERROR, "m", "message %d", i);
}

static void a_stderr_that_nobody_reads_stops_nobody(void **state)
{
        char text[256];
        int ends[2];

        (void)state;
        assert_int_equal(pipe(ends), 0);
        (void)alarm(20);
        with_stderr(ends[1], log_much);
        (void)alarm(0);
        assert_true(read(ends[0], text, sizeof(text)) > 0);
        (void)close(ends[0]);
        (void)close(ends[1]);
}

static void choose_default(void)
{
        (void)hf_log_set_outputs(NULL, NULL);
}

static void the_journal_is_the_default_where_stderr_leads_to_it(void **state)
{
        char stream[64];
        struct stat st;
        int ends[2];

        (void)state;
        choose_default();
        assert_string_equal(hf_log_outputs(), "1:stderr");
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(fstat(ends[1], &st), 0);
        (void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
                       (uintmax_t)st.st_ino);
        (void)setenv("JOURNAL_STREAM", stream, 1);
        with_stderr(ends[1], choose_default);
        assert_string_equal(hf_log_outputs(), "1:journald");
        choose_default();
        assert_string_equal(hf_log_outputs(), "1:stderr");
        (void)unsetenv("JOURNAL_STREAM");
        (void)close(ends[0]);
        (void)close(ends[1]);
}

#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                LOG_TEST(a_line_has_time_pid_level_module_and_text),
                LOG_TEST(the_log_file_is_for_its_owner_alone),
                LOG_TEST(only_messages_of_the_level_or_above_pass),
                LOG_TEST(the_first_filter_that_matches_decides),
                LOG_TEST(an_output_takes_what_has_its_level),
                LOG_TEST(bad_settings_are_told_and_change_nothing),
                LOG_TEST(a_change_of_outputs_closes_the_old_ones),
                LOG_TEST(errno_is_kept_and_can_be_logged),
                LOG_TEST(control_characters_cannot_forge_a_line),
                LOG_TEST(long_text_is_cut_and_still_one_line),
                LOG_TEST(the_journal_gets_fields),
                LOG_TEST(the_journal_gets_what_belongs_to_a_message),
                LOG_TEST(syslog_gets_priority_name_and_pid),
                LOG_TEST(a_journal_that_does_not_read_stops_nobody),
                LOG_TEST(a_journal_that_is_away_and_comes_back_is_used_again),
                LOG_TEST(a_stderr_that_nobody_reads_stops_nobody),
                LOG_TEST(the_journal_is_the_default_where_stderr_leads_to_it),
        };

        return cmocka_run_group_tests_name("log", tests, make_folder, remove_folder);
}
