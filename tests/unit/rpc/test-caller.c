/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A caller on one end of a pair of sockets; the daemon's answers lie ready on the other. */
#include "rpc/caller.h"

#include "rpc/errors.h"
#include "rpc/lock.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

/* Long enough for a process to run, short enough to wait for. */
#define SHORT_MS 30

static struct hf_caller caller;
static int daemon_fd;
static char path[] = "/space";
static struct hf_lock_lockspace_args args = {.path = path};

/* create-lockspace: arguments, and an answer without a body. */
static const struct hf_call call = {
        .prog = HF_LOCK_PROGRAM,
        .vers = HF_LOCK_VERSION,
        .proc = HF_LOCK_CREATE_LOCKSPACE,
        .put = (xdrproc_t)xdr_hf_lock_lockspace_args,
        .args = &args,
};

static int begin(void **state)
{
        int fds[2];

        (void)state;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -1;
        caller = (struct hf_caller)HF_CALLER_INIT;
        caller.fd = fds[0];
        caller.timeout_ms = 5000;
        daemon_fd = fds[1];
        return 0;
}

static int end(void **state)
{
        (void)state;
        hf_caller_done(&caller);
        hf_close_fd(&daemon_fd);
        return 0;
}

static struct hf_rpc_header answer_to(unsigned int serial)
{
        struct hf_rpc_header header = {.prog = call.prog,
                                       .vers = call.vers,
                                       .proc = call.proc,
                                       .type = HF_RPC_REPLY,
                                       .serial = serial};

        return header;
}

static void say(const void *data, size_t len)
{
        assert_int_equal(write(daemon_fd, data, len), len);
}

static void answer(struct hf_rpc_header header)
{
        uint8_t buf[HF_RPC_HEADER_SIZE];

        say(buf, (size_t)hf_rpc_put(buf, sizeof(buf), &header, NULL, NULL));
}

static void assert_broken(int number)
{
        struct hf_error err;

        assert_int_equal(hf_caller_call(&caller, &call, &err), -number);
        assert_int_equal(err.code, HF_ERR_RPC);
        /* From then on every call says so. */
        assert_int_equal(hf_caller_call(&caller, &call, &err), -ENOTCONN);
        assert_non_null(strstr(err.text, "is not connected"));
}

static void calls_go_out_one_by_one_with_serials_of_their_own(void **state)
{
        uint8_t sent[1024];
        struct hf_rpc_header header;
        size_t len = HF_RPC_HEADER_SIZE + 4 + 8;

        (void)state;
        for (unsigned int serial = 0; serial < 3; serial++) {
                answer(answer_to(serial));
                assert_int_equal(hf_caller_call(&caller, &call, NULL), 0);
                assert_int_equal(read(daemon_fd, sent, sizeof(sent)), len);
                assert_true(hf_rpc_length(sent) == (int64_t)len);
                hf_rpc_get_header(sent, &header);
                assert_int_equal(header.serial, serial);
                assert_int_equal(header.type, HF_RPC_CALL);
                assert_int_equal(header.proc, HF_LOCK_CREATE_LOCKSPACE);
                assert_memory_equal(sent + HF_RPC_HEADER_SIZE + 4, "/space\0", 8);
        }
}

/* A process that says it byte by byte, each when the one before was read. */
static pid_t say_slowly(const uint8_t *data, size_t len)
{
        pid_t pid = fork();

        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (size_t i = 0; i < len; i++) {
                        int unread = 1;

                        (void)!write(daemon_fd, data + i, 1);
                        while (unread > 0 && ioctl(daemon_fd, SIOCOUTQ, &unread) == 0)
                                (void)sched_yield();
                }
                _exit(0);
        }
        return pid;
}

static void an_answer_in_single_bytes_is_put_together(void **state)
{
        uint8_t buf[4096];
        struct hf_rpc_header to = answer_to(0);
        struct hf_error refusal, err;
        pid_t pid;
        int r;

        (void)state;
        (void)hf_error_set(&refusal, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE, "/x is held");
        r = hf_rpc_put_error(buf, sizeof(buf), &to, &refusal);
        pid = say_slowly(buf, (size_t)r);
        r = hf_caller_call(&caller, &call, &err);
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(r, -EBUSY);
        assert_string_equal(err.text, "/x is held");
        assert_int_not_equal(caller.fd, -1);
}

static void a_refusal_leaves_the_connection_usable(void **state)
{
        uint8_t buf[4096];
        struct hf_rpc_header to = answer_to(0);
        struct hf_error refusal;

        (void)state;
        (void)hf_error_set(&refusal, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_RPC, "no");
        say(buf, (size_t)hf_rpc_put_error(buf, sizeof(buf), &to, &refusal));
        answer(answer_to(1));
        assert_int_equal(hf_caller_call(&caller, &call, NULL), -EPERM);
        assert_int_equal(hf_caller_call(&caller, &call, NULL), 0);
}

static void messages_that_answer_nothing_are_passed_over(void **state)
{
        struct hf_rpc_header message = answer_to(0);

        (void)state;
        message.type = HF_RPC_MESSAGE;
        answer(message);
        message.serial = 77;
        answer(message);
        answer(answer_to(0));
        assert_int_equal(hf_caller_call(&caller, &call, NULL), 0);
}

struct heard {
        unsigned int n;
        int proc;
        size_t len;
};

static void hear(void *ctx, int proc, const uint8_t *payload, size_t len)
{
        struct heard *heard = ctx;

        (void)payload;
        heard->n++;
        heard->proc = proc;
        heard->len = len;
}

static void messages_of_a_pending_call_are_handed_over_until_its_answer(void **state)
{
        struct hf_rpc_header message = answer_to(0);
        struct heard heard = {0};
        struct hf_call listening = call;
        uint8_t buf[1024];

        (void)state;
        listening.message = hear;
        listening.message_ctx = &heard;
        message.type = HF_RPC_MESSAGE;
        message.proc = HF_LOCK_NEW;
        for (int i = 0; i < 3; i++)
                say(buf, (size_t)hf_rpc_put(buf, sizeof(buf), &message, call.put, call.args));
        /* Of another call, and of another program. */
        message.serial = 77;
        answer(message);
        message.serial = 0;
        message.prog = HF_KEEPALIVE_PROGRAM;
        answer(message);
        answer(answer_to(0));
        assert_int_equal(hf_caller_call(&caller, &listening, NULL), 0);
        assert_int_equal(heard.n, 3);
        assert_int_equal(heard.proc, HF_LOCK_NEW);
        assert_int_equal(heard.len, 4 + 8);
}

static void messages_do_not_move_the_deadline_of_a_call(void **state)
{
        struct hf_rpc_header message = answer_to(0);
        struct heard heard = {0};
        struct hf_call listening = call;

        (void)state;
        listening.message = hear;
        listening.message_ctx = &heard;
        message.type = HF_RPC_MESSAGE;
        answer(message);
        caller.timeout_ms = SHORT_MS;
        assert_int_equal(hf_caller_call(&caller, &listening, NULL), -ETIMEDOUT);
        assert_int_equal(heard.n, 1);
}

static void an_answer_to_another_call_breaks_the_connection(void **state)
{
        (void)state;
        answer(answer_to(1));
        assert_broken(EBADMSG);
}

static void an_answer_of_another_procedure_breaks_the_connection(void **state)
{
        struct hf_rpc_header other = answer_to(0);

        (void)state;
        other.proc = HF_LOCK_NEW;
        answer(other);
        assert_broken(EBADMSG);
}

static void a_length_out_of_bounds_breaks_the_connection(void **state)
{
        static const uint8_t short_word[] = {0, 0, 0, 27};

        (void)state;
        say(short_word, sizeof(short_word));
        assert_broken(EBADMSG);
}

static void an_answer_that_is_too_long_is_not_read(void **state)
{
        /* Legal on the wire, and more than any daemon has to say to us. */
        static const uint8_t long_word[] = {0, 0x20, 0, 0};

        (void)state;
        say(long_word, sizeof(long_word));
        assert_broken(EBADMSG);
}

static void a_connection_that_ends_in_the_middle_of_an_answer_is_said_so(void **state)
{
        static const uint8_t half[] = {0, 0, 0, 28, 0x0e, 0xa7};

        (void)state;
        say(half, sizeof(half));
        assert_int_equal(shutdown(daemon_fd, SHUT_WR), 0);
        assert_broken(ECONNRESET);
}

static void what_was_said_before_the_daemon_closed_is_still_heard(void **state)
{
        uint8_t buf[4096];
        struct hf_rpc_header to = answer_to(0);
        struct hf_error refusal, err;

        (void)state;
        (void)hf_error_set(&refusal, EBUSY, HF_ERR_RPC, HF_FROM_RPC, "too many clients");
        say(buf, (size_t)hf_rpc_put_error(buf, sizeof(buf), &to, &refusal));
        hf_close_fd(&daemon_fd);
        assert_true(hf_caller_call(&caller, &call, &err) < 0);
        assert_string_equal(err.text, "too many clients");
}

static void a_daemon_that_does_not_answer_is_given_up_in_time(void **state)
{
        static const uint8_t half[] = {0, 0, 0, 28, 0x0e, 0xa7};
        struct timespec begin_at, end_at;
        int64_t ms;

        (void)state;
        say(half, sizeof(half));
        caller.timeout_ms = SHORT_MS;
        (void)clock_gettime(CLOCK_MONOTONIC, &begin_at);
        assert_broken(ETIMEDOUT);
        (void)clock_gettime(CLOCK_MONOTONIC, &end_at);
        ms = (end_at.tv_sec - begin_at.tv_sec) * 1000 +
             (end_at.tv_nsec - begin_at.tv_nsec) / 1000000;
        assert_true(ms >= SHORT_MS - 1);
}

/* A process that sends messages without end. */
static pid_t chatter(void)
{
        struct hf_rpc_header message = answer_to(0);
        uint8_t buf[HF_RPC_HEADER_SIZE];
        pid_t pid;

        message.type = HF_RPC_MESSAGE;
        (void)hf_rpc_put(buf, sizeof(buf), &message, NULL, NULL);
        pid = fork();
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                while (write(daemon_fd, buf, sizeof(buf)) == sizeof(buf))
                        ;
                _exit(0);
        }
        return pid;
}

static void a_daemon_that_says_all_but_the_answer_is_given_up_in_time(void **state)
{
        pid_t pid = chatter();

        (void)state;
        caller.timeout_ms = SHORT_MS;
        assert_broken(ETIMEDOUT);
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_daemon_that_does_not_read_is_given_up_in_time(void **state)
{
        static char long_path[HF_LOCK_STRING_MAX + 1];
        int size = 1;

        (void)state;
        memset(long_path, 'x', sizeof(long_path) - 1);
        args.path = long_path;
        caller.timeout_ms = SHORT_MS;
        assert_int_equal(setsockopt(caller.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
        assert_broken(ETIMEDOUT);
        args.path = path;
}

static void an_argument_that_is_too_long_is_refused_without_harm(void **state)
{
        static char long_path[HF_LOCK_STRING_MAX + 2];
        struct hf_error err;

        (void)state;
        memset(long_path, 'x', sizeof(long_path) - 1);
        args.path = long_path;
        assert_int_equal(hf_caller_call(&caller, &call, &err), -EMSGSIZE);
        assert_int_equal(err.code, HF_ERR_INVALID_ARG);
        args.path = path;
        answer(answer_to(caller.serial));
        assert_int_equal(hf_caller_call(&caller, &call, NULL), 0);
}

static void a_body_that_does_not_decode_is_an_error(void **state)
{
        struct hf_lock_restrict_args ret = {0};
        struct hf_call with_body = call;

        (void)state;
        with_body.get = (xdrproc_t)xdr_hf_lock_restrict_args;
        with_body.ret = &ret;
        answer(answer_to(0));
        assert_int_equal(hf_caller_call(&caller, &with_body, NULL), -EBADMSG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        const struct CMUnitTest tests[] = {
                TEST(calls_go_out_one_by_one_with_serials_of_their_own),
                TEST(an_answer_in_single_bytes_is_put_together),
                TEST(a_refusal_leaves_the_connection_usable),
                TEST(messages_that_answer_nothing_are_passed_over),
                TEST(messages_of_a_pending_call_are_handed_over_until_its_answer),
                TEST(messages_do_not_move_the_deadline_of_a_call),
                TEST(an_answer_to_another_call_breaks_the_connection),
                TEST(an_answer_of_another_procedure_breaks_the_connection),
                TEST(a_length_out_of_bounds_breaks_the_connection),
                TEST(an_answer_that_is_too_long_is_not_read),
                TEST(a_connection_that_ends_in_the_middle_of_an_answer_is_said_so),
                TEST(what_was_said_before_the_daemon_closed_is_still_heard),
                TEST(a_daemon_that_does_not_answer_is_given_up_in_time),
                TEST(a_daemon_that_says_all_but_the_answer_is_given_up_in_time),
                TEST(a_daemon_that_does_not_read_is_given_up_in_time),
                TEST(an_argument_that_is_too_long_is_refused_without_harm),
                TEST(a_body_that_does_not_decode_is_an_error),
        };

        return cmocka_run_group_tests_name("caller", tests, NULL, NULL);
}
