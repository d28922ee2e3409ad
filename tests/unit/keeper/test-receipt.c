/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/receipt.h"

#include "base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Requests and all that is said to them are frames: three words, and bytes that follow from
 * these. A request is told of twice, more or less, and answered once.
 */
struct frame {
        uint32_t size, request, kind;
};

enum { REQUEST, MESSAGE, ANSWER };

#define KEPT       256
#define SAID       20000
#define N_REQUESTS 300
#define KILLS      20

/* What outlives a server. */
struct place {
        struct hf_exchange exchange;
        uint8_t request[HF_EXCHANGE_BUFFER(KEPT)];
        uint8_t said[2 * SAID];
};

struct scene {
        struct place *place;
        int server, client;
};

static int set_up(void **state)
{
        struct scene *scene = calloc(1, sizeof(*scene));
        int fds[2], small = 4096;

        assert_non_null(scene);
        scene->place = mmap(NULL, sizeof(*scene->place), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        assert_ptr_not_equal(scene->place, MAP_FAILED);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        scene->server = fds[0];
        scene->client = fds[1];
        /* So that what is said goes in several pieces. */
        assert_int_equal(setsockopt(scene->server, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)),
                         0);
        *state = scene;
        return 0;
}

static int tear_down(void **state)
{
        struct scene *scene = *state;

        (void)close(scene->server);
        (void)close(scene->client);
        (void)munmap(scene->place, sizeof(*scene->place));
        free(scene);
        return 0;
}

static uint8_t byte_of(const struct frame *frame, size_t i)
{
        return (uint8_t)(frame->request * 31 + frame->kind * 7 + i);
}

static uint32_t put(uint8_t *at, uint32_t size, uint32_t request, uint32_t kind)
{
        struct frame frame = {size, request, kind};

        memcpy(at, &frame, sizeof(frame));
        for (size_t i = sizeof(frame); i < size; i++)
                at[i] = byte_of(&frame, i);
        return size;
}

static void tell(struct place *place, uint32_t request)
{
        hf_exchange_tell(&place->exchange, put(place->said, SAID, request, MESSAGE));
}

static void answer(struct place *place, uint32_t request, uint32_t size)
{
        uint8_t *at = place->said + hf_exchange_room(&place->exchange);

        hf_exchange_commit(&place->exchange, put(at, size, request, ANSWER));
}

static int send_some(struct scene *scene, int attached)
{
        struct hf_exchange_way way = {scene->server, scene->place->said, attached};

        return hf_exchange_send(&scene->place->exchange, &way);
}

static void read_whole(int fd, void *buffer, size_t size)
{
        for (size_t got = 0; got < size;) {
                ssize_t n = read(fd, (uint8_t *)buffer + got, size - got);

                assert_true(n > 0);
                got += (size_t)n;
        }
}

/* The next frame, which has to be whole. */
static struct frame hear(int fd)
{
        static uint8_t bytes[SAID];
        struct frame frame;

        read_whole(fd, &frame, sizeof(frame));
        assert_in_range(frame.size, sizeof(frame), sizeof(bytes));
        read_whole(fd, bytes + sizeof(frame), frame.size - sizeof(frame));
        for (size_t i = sizeof(frame); i < frame.size; i++)
                assert_int_equal(bytes[i], byte_of(&frame, i));
        return frame;
}

static void a_message_leaves_the_request_where_it_is(void **state)
{
        struct scene *scene = *state;
        struct hf_exchange *exchange = &scene->place->exchange;
        uint8_t asked[16];

        put(asked, sizeof(asked), 1, REQUEST);
        assert_int_equal(write(scene->client, asked, sizeof(asked)), sizeof(asked));
        assert_int_equal(hf_exchange_receive(exchange, scene->server, scene->place->request, KEPT,
                                             sizeof(asked)),
                         sizeof(asked));
        hf_exchange_tell(exchange, put(scene->place->said, 100, 1, MESSAGE));
        assert_true(hf_exchange_tells(exchange) && !hf_exchange_replies(exchange));
        assert_int_equal(send_some(scene, -1), 1);
        hf_exchange_told(exchange);
        assert_false(hf_exchange_tells(exchange) || hf_exchange_replies(exchange));
        assert_int_equal(hf_exchange_received(exchange), sizeof(asked));
        assert_memory_equal(hf_exchange_request(exchange, scene->place->request), asked,
                            sizeof(asked));
        assert_int_equal(hear(scene->client).kind, MESSAGE);
}

static void an_answer_goes_behind_the_message_that_has_not_gone(void **state)
{
        struct scene *scene = *state;

        tell(scene->place, 1);
        assert_int_equal(send_some(scene, -1), 0);
        answer(scene->place, 1, 500);
        assert_true(hf_exchange_replies(&scene->place->exchange));
        assert_false(hf_exchange_tells(&scene->place->exchange));
        if (fork() == 0) {
                while (send_some(scene, -1) == 0)
                        (void)poll(&(struct pollfd){scene->server, POLLOUT, 0}, 1, -1);
                _exit(0);
        }
        assert_int_equal(hear(scene->client).kind, MESSAGE);
        assert_int_equal(hear(scene->client).kind, ANSWER);
        assert_true(wait(NULL) > 0);
}

/* Whether what comes next has a descriptor with its first byte. */
static bool comes_with_descriptor(int fd, size_t size)
{
        uint8_t bytes[1024];
        char control[CMSG_SPACE(sizeof(int))];
        struct iovec iov = {bytes, size};
        struct msghdr header = {.msg_iov = &iov,
                                .msg_iovlen = 1,
                                .msg_control = control,
                                .msg_controllen = sizeof(control)};
        const struct cmsghdr *found;
        int got;

        assert_int_equal(recvmsg(fd, &header, 0), size);
        found = CMSG_FIRSTHDR(&header);
        if (!found)
                return false;
        memcpy(&got, CMSG_DATA(found), sizeof(got));
        (void)close(got);
        return true;
}

static void a_descriptor_goes_with_the_answer_and_not_with_the_message(void **state)
{
        struct scene *scene = *state;

        hf_exchange_tell(&scene->place->exchange, put(scene->place->said, 100, 1, MESSAGE));
        answer(scene->place, 1, 200);
        assert_int_equal(send_some(scene, scene->server), 1);
        assert_false(comes_with_descriptor(scene->client, 100));
        assert_true(comes_with_descriptor(scene->client, 200));
}

/* What is in the area says all that a server has to know; it may die at any point. */
static void serve_step(struct scene *scene)
{
        struct place *place = scene->place;
        struct hf_exchange *exchange = &place->exchange;
        struct frame asked;
        short wanted = POLLIN;

        if (hf_exchange_replies(exchange)) {
                wanted = POLLOUT;
                if (send_some(scene, -1) == 1) {
                        hf_exchange_consume(exchange, place->request, KEPT, sizeof(asked));
                        return;
                }
        } else if (hf_exchange_received(exchange) >= sizeof(asked)) {
                memcpy(&asked, hf_exchange_request(exchange, place->request), sizeof(asked));
                for (int i = 0; i < 2; i++) {
                        if (!hf_exchange_tells(exchange))
                                tell(place, asked.request);
                        if (send_some(scene, -1) == 1)
                                hf_exchange_told(exchange);
                }
                answer(place, asked.request, 500 + asked.request);
                return;
        } else if (hf_exchange_receive(exchange, scene->server, place->request, KEPT,
                                       sizeof(asked)) > 0) {
                return;
        }
        (void)poll(&(struct pollfd){scene->server, wanted, 0}, 1, -1);
}

static pid_t start_server(struct scene *scene)
{
        pid_t pid = fork();

        assert_true(pid >= 0);
        while (pid == 0)
                serve_step(scene);
        return pid;
}

/* In a process of its own, so that the other one is free to kill. */
static void be_client(int fd)
{
        for (uint32_t i = 1; i <= N_REQUESTS; i++) {
                struct frame asked = {sizeof(asked), i, REQUEST}, heard;

                assert_int_equal(write(fd, &asked, sizeof(asked)), sizeof(asked));
                do {
                        heard = hear(fd);
                        assert_int_equal(heard.request, i);
                } while (heard.kind == MESSAGE);
                assert_int_equal(heard.size, 500 + i);
        }
        _exit(0);
}

static void a_server_killed_anywhere_leaves_whole_messages_and_one_answer(void **state)
{
        struct scene *scene = *state;
        pid_t client = fork(), server;
        int status, kills = 0;

        if (client == 0)
                be_client(scene->client);
        for (server = start_server(scene); waitpid(client, &status, WNOHANG) == 0;) {
                (void)usleep((useconds_t)(random() % 500));
                kills++;
                assert_int_equal(kill(server, SIGKILL), 0);
                assert_int_equal(waitpid(server, NULL, 0), server);
                server = start_server(scene);
        }
        (void)kill(server, SIGKILL);
        (void)waitpid(server, NULL, 0);
        print_message("%d kills, %d requests\n", kills, N_REQUESTS);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_true(kills >= KILLS);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_message_leaves_the_request_where_it_is, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(an_answer_goes_behind_the_message_that_has_not_gone,
                                                set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        a_descriptor_goes_with_the_answer_and_not_with_the_message, set_up,
                        tear_down),
                cmocka_unit_test_setup_teardown(
                        a_server_killed_anywhere_leaves_whole_messages_and_one_answer, set_up,
                        tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
