/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A connection whose backend says what no backend may: the peer gets frames all the same that no
 * VMM ends over. The backend is ours, behind the real process border; the device is a file that is
 * emulated.
 */
#include "prhelper/broker.h"
#include "prhelper/connection.h"
#include "prhelper/remote.h"

#include "base/cleanup.h"
#include "scsi/helper.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

struct lie {
        int verdict;
        struct hf_scsi_result result;
};

/* What the backend says in this test; set before its process is made. */
static struct lie lie;

static int tell_lie(void *state, const struct hf_pr_request *request, struct hf_scsi_result *result,
                    struct hf_error *note)
{
        (void)state;
        (void)note;
        memset(request->data, 0xab, HF_PR_DATA_MAX);
        *result = lie.result;
        return lie.verdict;
}

static const struct hf_pr_backend liar = {
        .name = "liar", .stage = HF_PR_STAGE_EMULATED, .execute = tell_lie};

struct scene {
        char path[32];
        struct hf_pr_unit unit;
        struct hf_pr_settings settings;
        int disk, peer, control;
        pid_t connection, backend;
};

static void make_pair(int type, int pair[2])
{
        assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
}

/* The processes of the connection and, when it asks, of the backend. */
static void open_scene(struct scene *s)
{
        int line[2], control[2];

        *s = (struct scene){.path = "/tmp/hf-connection-XXXXXX"};
        s->disk = mkstemp(s->path);
        assert_true(s->disk >= 0);
        s->unit = (struct hf_pr_unit){.path = s->path, .name = (char *)(uintptr_t) "unit"};
        s->settings = (struct hf_pr_settings){.units = &s->unit, .n_units = 1};
        make_pair(SOCK_STREAM, line);
        make_pair(SOCK_SEQPACKET, control);
        s->peer = line[0];
        s->control = control[0];
        s->connection = fork();
        assert_true(s->connection >= 0);
        if (s->connection == 0) {
                struct hf_pr_connection connection;

                (void)close(line[0]);
                (void)close(control[0]);
                if (hf_pr_connection_init(&connection, line[1], control[1], &s->settings, NULL,
                                          NULL, "host", NULL) >= 0)
                        hf_pr_connection_serve(&connection);
                _exit(0);
        }
        (void)close(line[1]);
        (void)close(control[1]);
}

static void answer_broker(struct scene *s)
{
        unsigned int id;
        int pair[2], r;

        do
                r = hf_pr_broker_hear(s->control, &id);
        while (r == -EAGAIN);
        assert_int_equal(r, 1);
        assert_int_equal(id, HF_PR_BACKEND_EMULATED);
        make_pair(SOCK_SEQPACKET, pair);
        s->backend = fork();
        assert_true(s->backend >= 0);
        if (s->backend == 0) {
                (void)close(pair[0]);
                (void)close(s->control);
                (void)close(s->peer);
                hf_pr_remote_serve(pair[1], &liar, NULL, NULL);
                _exit(0);
        }
        hf_pr_broker_answer(s->control, pair[0]);
        (void)close(pair[0]);
        (void)close(pair[1]);
}

static void close_scene(struct scene *s)
{
        int status;

        (void)close(s->peer);
        assert_int_equal(waitpid(s->connection, &status, 0), s->connection);
        assert_int_equal(status, 0);
        if (s->backend) {
                assert_int_equal(waitpid(s->backend, &status, 0), s->backend);
                assert_int_equal(status, 0);
        }
        (void)close(s->control);
        (void)close(s->disk);
        (void)unlink(s->path);
}

static void read_all(int fd, void *data, size_t n)
{
        if (n > 0)
                assert_int_equal(recv(fd, data, n, MSG_WAITALL), n);
}

static void ask(const struct scene *s, uint8_t opcode, uint16_t length)
{
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } cargo = {0};
        uint8_t bytes[HF_PR_CDB_SIZE + HF_PR_DATA_MAX] = {opcode};
        struct iovec piece = {.iov_base = bytes,
                              .iov_len = HF_PR_CDB_SIZE + (opcode == HF_PR_OUT ? length : 0)};
        struct msghdr message = {.msg_iov = &piece,
                                 .msg_iovlen = 1,
                                 .msg_control = cargo.bytes,
                                 .msg_controllen = sizeof(cargo.bytes)};
        struct cmsghdr *at = CMSG_FIRSTHDR(&message);

        bytes[7] = (uint8_t)(length >> 8);
        bytes[8] = (uint8_t)length;
        at->cmsg_level = SOL_SOCKET;
        at->cmsg_type = SCM_RIGHTS;
        at->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(at), &s->disk, sizeof(int));
        assert_int_equal(sendmsg(s->peer, &message, 0), piece.iov_len);
}

/* One command over a backend that says so; the frame, of which it is sure that a VMM takes it. */
static struct hf_scsi_result judge(uint8_t opcode, uint16_t length, const struct lie *told)
{
        uint8_t greeting[HF_HELPER_FEATURES_SIZE] = {0}, frame[HF_HELPER_ANSWER_SIZE];
        uint8_t data[HF_PR_DATA_MAX];
        struct hf_scsi_result result;
        struct scene s;

        lie = *told;
        open_scene(&s);
        read_all(s.peer, greeting, sizeof(greeting));
        assert_int_equal(send(s.peer, greeting, sizeof(greeting), 0), sizeof(greeting));
        ask(&s, opcode, length);
        answer_broker(&s);
        read_all(s.peer, frame, sizeof(frame));
        assert_int_equal(hf_helper_answer_decode(frame, opcode == HF_PR_IN ? length : 0, &result),
                         0);
        read_all(s.peer, data, result.size);
        /* Nothing more, until we close. */
        assert_int_equal(shutdown(s.peer, SHUT_WR), 0);
        assert_int_equal(recv(s.peer, data, sizeof(data), 0), 0);
        close_scene(&s);
        return result;
}

/* In a child, whose namespace of processes is a new one: who made the pair has no number there. */
static _Noreturn void init_apart(int fd, enum hf_pr_nexus_mode nexus)
{
        const struct hf_pr_settings settings = {.nexus = nexus};
        struct hf_pr_connection connection;

        if (hf_pr_connection_init(&connection, fd, -1, &settings, NULL, NULL, "host", NULL) < 0)
                _exit(100);
        _exit((int)strlen(connection.nexus));
}

static int init_from_nowhere(enum hf_pr_nexus_mode nexus)
{
        int pair[2], status;
        pid_t pid;

        make_pair(SOCK_STREAM, pair);
        pid = fork();
        if (pid == 0) {
                if (unshare(CLONE_NEWPID) < 0)
                        _exit(77); /* takes CAP_SYS_ADMIN */
                pid = fork();
                if (pid == 0)
                        init_apart(pair[1], nexus);
                _exit(waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : 101);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        (void)close(pair[0]);
        (void)close(pair[1]);
        return WEXITSTATUS(status);
}

static void test_two_that_cannot_be_told_apart_are_not_one_initiator(void **state)
{
        int length = init_from_nowhere(HF_PR_NEXUS_VM);

        (void)state;
        if (length == 77)
                skip();
        assert_int_equal(length, 0);
        assert_int_equal(init_from_nowhere(HF_PR_NEXUS_HOST), strlen("host"));
}

static void test_an_out_answer_never_has_data(void **state)
{
        const struct lie told = {1, {.status = HF_SCSI_GOOD, .size = 24}};
        struct hf_scsi_result result = judge(HF_PR_OUT, 24, &told);

        (void)state;
        assert_int_equal(result.status, HF_SCSI_GOOD);
        assert_int_equal(result.size, 0);
}

static void test_an_in_answer_never_has_more_than_was_asked_for(void **state)
{
        const struct lie told = {1, {.status = HF_SCSI_GOOD, .size = SIZE_MAX}};

        (void)state;
        assert_int_equal(judge(HF_PR_IN, 8, &told).size, 8);
        assert_int_equal(judge(HF_PR_IN, 0, &told).size, 0);
        assert_int_equal(judge(HF_PR_IN, HF_PR_DATA_MAX, &told).size, HF_PR_DATA_MAX);
}

static void test_data_comes_with_a_good_status_alone(void **state)
{
        const struct lie told = {1, {.status = HF_SCSI_RESERVATION_CONFLICT, .size = 8}};
        struct hf_scsi_result result = judge(HF_PR_IN, 8, &told);

        (void)state;
        assert_int_equal(result.status, HF_SCSI_RESERVATION_CONFLICT);
        assert_int_equal(result.size, 0);
}

static void test_a_backend_that_declines_leaves_the_command_to_the_kernel(void **state)
{
        const struct lie told = {0, {.status = HF_SCSI_GOOD, .size = 8}};
        struct hf_scsi_result result = judge(HF_PR_IN, 8, &told);
        unsigned int key, code;

        (void)state;
        assert_int_equal(result.status, HF_SCSI_CHECK_CONDITION);
        assert_int_equal(hf_sense_decode(result.sense, &key, &code), 0);
        assert_int_equal(code, HF_ASC_IO_PROCESS_TERMINATED);
}

static void test_a_verdict_that_is_none_is_not_believed(void **state)
{
        const struct lie told = {-5, {.status = HF_SCSI_GOOD, .size = 8}};
        struct hf_scsi_result result = judge(HF_PR_IN, 8, &told);
        unsigned int key, code;

        (void)state;
        assert_int_equal(result.status, HF_SCSI_CHECK_CONDITION);
        assert_int_equal(result.size, 0);
        /* Nor taken for "not mine", or a map would be half registered by way of the kernel. */
        assert_int_equal(hf_sense_decode(result.sense, &key, &code), 0);
        assert_int_equal(code, HF_ASC_LUN_COMMUNICATION_FAILURE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_two_that_cannot_be_told_apart_are_not_one_initiator),
                cmocka_unit_test(test_an_out_answer_never_has_data),
                cmocka_unit_test(test_an_in_answer_never_has_more_than_was_asked_for),
                cmocka_unit_test(test_data_comes_with_a_good_status_alone),
                cmocka_unit_test(test_a_backend_that_declines_leaves_the_command_to_the_kernel),
                cmocka_unit_test(test_a_verdict_that_is_none_is_not_believed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
