/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Helpers that wait for the locks of strangers, in a supervised server without any client.
 *
 * Each scene runs in a program of its own (keeper/keeper.h); what it finds wrong it says, and
 * ends with 1.
 */
#include "daemon/await.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/area.h"
#include "daemon/server.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000)

/* A round takes about a millisecond. */
#define ROUNDS 150

#define MUST(condition)                                                                            \
        do {                                                                                       \
                if (!(condition)) {                                                                \
                        (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__,           \
                                      #condition);                                                 \
                        _exit(1);                                                                  \
                }                                                                                  \
        } while (0)

static char folder[] = "/tmp/hf-await-XXXXXX";

static struct hf_config config = {
        .max_clients = 4, .admin_max_clients = 1, .filesystem_timeout = 30};

static struct hf_server *server;

/* ---- strangers ---- */

struct stranger {
        pid_t pid;
        int talk; /* a byte there, and it lets go of all it has; one comes back */
};

static const char *file(unsigned int number)
{
        static char paths[8][64];
        static unsigned int next;
        char *path = paths[next++ % HF_ARRAY_LEN(paths)];

        (void)snprintf(path, sizeof(paths[0]), "%s/disk%u", folder, number);
        return path;
}

static int lock_whole(unsigned int number)
{
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
        int fd = open(file(number), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        MUST(fd >= 0);
        return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? (close(fd), -1) : fd;
}

static _Noreturn void be_stranger(int talk, unsigned int first, unsigned int n)
{
        int fds[64];
        char byte;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
                for (unsigned int i = 0; i < n; i++) {
                        while ((fds[i] = lock_whole(first + i)) < 0)
                                (void)usleep(100);
                }
                if (write(talk, "h", 1) != 1 || read(talk, &byte, 1) != 1)
                        _exit(0);
                for (unsigned int i = 0; i < n; i++)
                        (void)close(fds[i]);
                if (write(talk, "f", 1) != 1 || read(talk, &byte, 1) != 1)
                        _exit(0);
        }
}

static void await_byte(const struct stranger *stranger)
{
        char byte;

        MUST(read(stranger->talk, &byte, 1) == 1);
}

/* Has the locks of n files when this returns. */
static struct stranger start_stranger(unsigned int first, unsigned int n)
{
        struct stranger stranger;
        int fds[2];

        MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        stranger.pid = fork();
        MUST(stranger.pid >= 0);
        if (stranger.pid == 0) {
                (void)close(fds[0]);
                be_stranger(fds[1], first, n);
        }
        (void)close(fds[1]);
        stranger.talk = fds[0];
        await_byte(&stranger);
        return stranger;
}

/* Lets go, or takes them again. */
static void next(const struct stranger *stranger)
{
        MUST(write(stranger->talk, "n", 1) == 1);
        await_byte(stranger);
}

static void end_stranger(struct stranger *stranger)
{
        (void)close(stranger->talk);
        (void)waitpid(stranger->pid, NULL, 0);
}

/* ---- what is looked at ---- */

struct outcome {
        struct hf_await *await;
        int done, status, fd;
        struct hf_thing file;
        uint64_t proved;
};

static void on_done(void *data, struct hf_resource_result *got)
{
        struct outcome *outcome = data;

        outcome->done++;
        outcome->status = got->status;
        outcome->fd = got->fd;
        outcome->file = got->file;
        outcome->proved = got->proved;
        outcome->await = hf_await_free(outcome->await);
}

static int start(const char *path, struct outcome *outcome)
{
        struct hf_order order = {.kind = HF_WORK_AWAIT};

        MUST(hf_order_set_path(&order, path) == 0);
        return hf_await_start(server, &order, on_done, outcome, &outcome->await);
}

static void await(struct outcome *outcome, unsigned int number)
{
        *outcome = (struct outcome){.fd = -1};
        MUST(start(file(number), outcome) == 0);
        MUST(!outcome->done);
}

static uint64_t now_usec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec / 1000;
}

static void serve_for(uint64_t usec)
{
        for (uint64_t end = now_usec() + usec, now; (now = now_usec()) < end;)
                MUST(sd_event_run(server->event, end - now) >= 0);
}

static bool is_waiting(const struct hf_worker *worker)
{
        return atomic_load(&worker->state) != HF_WORKER_NONE && worker->order.kind == HF_WORK_AWAIT;
}

static unsigned int count_helpers(void)
{
        unsigned int n = 0;

        for (int i = 0; i < HF_WORKERS_MAX; i++)
                n += is_waiting(&server->area->workers[i]);
        return n;
}

static unsigned int count_workers(void)
{
        unsigned int n = 0;

        for (int i = 0; i < HF_WORKERS_MAX; i++)
                n += atomic_load(&server->area->workers[i].state) != HF_WORKER_NONE;
        return n;
}

static unsigned int count_descriptors(void)
{
        DIR *dir = opendir("/proc/self/fd");
        unsigned int n = 0;

        MUST(dir);
        while (readdir(dir))
                n++;
        (void)closedir(dir);
        return n;
}

static void serve_until_no_workers(void)
{
        for (uint64_t end = now_usec() + 10 * SECOND; count_workers() > 0;) {
                MUST(now_usec() < end);
                MUST(sd_event_run(server->event, SECOND / 10) >= 0);
        }
}

static void serve_until_done(struct outcome *outcome)
{
        for (uint64_t end = now_usec() + 10 * SECOND; !outcome->done;) {
                MUST(now_usec() < end);
                MUST(sd_event_run(server->event, SECOND / 10) >= 0);
        }
}

static void must_be_free(unsigned int number)
{
        int fd = lock_whole(number);

        MUST(fd >= 0);
        (void)close(fd);
}

/* ---- scenes ---- */

static void it_comes_with_the_lock(void)
{
        struct stranger stranger = start_stranger(1, 1);
        struct outcome outcome;

        await(&outcome, 1);
        serve_for(SECOND / 5);
        MUST(!outcome.done && count_helpers() == 1);
        next(&stranger);
        serve_until_done(&outcome);
        MUST(outcome.done == 1 && outcome.status == 0 && outcome.fd >= 0);
        MUST(outcome.file.kind == HF_THING_FILE && outcome.proved > 0);
        MUST(lock_whole(1) < 0);
        (void)close(outcome.fd);
        must_be_free(1);
        end_stranger(&stranger);
        serve_until_no_workers();
}

static void who_is_not_wanted_any_more_leaves_nothing(void)
{
        struct stranger stranger = start_stranger(1, 1);
        unsigned int before = count_descriptors();
        struct outcome outcome;

        await(&outcome, 1);
        serve_for(SECOND / 20);
        (void)hf_await_free(outcome.await);
        serve_until_no_workers();
        MUST(!outcome.done && count_descriptors() == before);
        next(&stranger);
        must_be_free(1);
        end_stranger(&stranger);
}

/* The helper has it at that moment, or not yet, or has sent it, or the loop knows already. */
static void what_is_had_at_the_moment_of_giving_up_is_given_back(void)
{
        struct stranger stranger = start_stranger(1, 1);
        unsigned int before = count_descriptors(), had = 0;
        struct outcome outcome;

        for (unsigned int i = 0; i < ROUNDS; i++) {
                await(&outcome, 1);
                /* It has to be asleep, or the stranger would not be who wakes it. */
                serve_for(i % 3 * 300);
                next(&stranger);
                if (i % 5)
                        (void)usleep(i % 5 * 100);
                if (i % 7 == 0)
                        (void)sd_event_run(server->event, 0);
                had += (unsigned int)outcome.done;
                if (outcome.done)
                        (void)close(outcome.fd);
                (void)hf_await_free(outcome.await);
                serve_until_no_workers();
                must_be_free(1);
                MUST(count_descriptors() == before);
                next(&stranger);
        }
        MUST(had < ROUNDS);
        end_stranger(&stranger);
}

static void a_helper_that_is_killed_is_followed_by_another(void)
{
        struct stranger stranger = start_stranger(1, 1);
        struct outcome outcome;

        await(&outcome, 1);
        for (int round = 0; round < 3; round++) {
                for (int i = 0; i < HF_WORKERS_MAX; i++)
                        if (is_waiting(&server->area->workers[i]))
                                MUST(syscall(SYS_pidfd_send_signal, server->area->workers[i].pidfd,
                                             SIGKILL, NULL, 0) == 0);
                serve_for(SECOND / 5);
                MUST(!outcome.done && count_helpers() == 1);
        }
        next(&stranger);
        serve_until_done(&outcome);
        MUST(outcome.status == 0 && lock_whole(1) < 0);
        (void)close(outcome.fd);
        end_stranger(&stranger);
}

static void more_than_there_may_be_helpers_get_theirs_too(void)
{
        struct stranger stranger = start_stranger(1, HF_WORKERS_AWAIT + 8);
        struct outcome outcomes[HF_WORKERS_AWAIT + 8];

        for (unsigned int i = 0; i < HF_ARRAY_LEN(outcomes); i++)
                await(&outcomes[i], i + 1);
        serve_for(SECOND / 5);
        MUST(count_helpers() == HF_WORKERS_AWAIT);
        next(&stranger);
        for (unsigned int i = 0; i < HF_ARRAY_LEN(outcomes); i++) {
                serve_until_done(&outcomes[i]);
                MUST(outcomes[i].status == 0 && lock_whole(i + 1) < 0);
                (void)close(outcomes[i].fd);
        }
        end_stranger(&stranger);
        serve_until_no_workers();
}

static void where_no_process_can_be_made_it_is_looked_at_again(void)
{
        struct stranger stranger = start_stranger(1, 1);
        struct outcome outcome, dropped;
        uint64_t freed;

        await(&outcome, 1);
        await(&dropped, 1);
        serve_for(SECOND / 4);
        MUST(!outcome.done && count_workers() == 0);
        (void)hf_await_free(dropped.await);
        next(&stranger);
        freed = now_usec();
        serve_until_done(&outcome);
        MUST(outcome.status == 0 && lock_whole(1) < 0 && !dropped.done);
        MUST(now_usec() - freed < SECOND + SECOND / 5);
        (void)close(outcome.fd);
        must_be_free(1);
        end_stranger(&stranger);
}

static void what_cannot_be_had_is_said(void)
{
        struct outcome outcome = {.fd = -1};

        MUST(start("/nowhere/at/all", &outcome) == 0);
        serve_until_done(&outcome);
        MUST(outcome.done == 1 && outcome.status == -ENOENT && outcome.fd == -1);
        serve_until_no_workers();
}

/* ---- the program ---- */

struct scene {
        void (*play)(void);
        bool helpers; /* there may be some */
};

static int serve(struct hf_keeper *keeper, void *data)
{
        const struct scene *scene = data;
        struct hf_area *area = hf_keeper_area(keeper);
        struct hf_table *table;
        sd_event *event;

        hf_area_init(area, hf_keeper_area_size(keeper));
        MUST(sd_event_default(&event) >= 0);
        MUST(hf_table_new(&table) >= 0);
        MUST(hf_server_new(event, &config, scene->helpers ? keeper : NULL, table, area, &server,
                           NULL) >= 0);
        server->pids[0] = hf_keeper_pid(keeper);
        scene->play();
        server = hf_server_free(server);
        (void)sd_event_unref(event);
        return 0;
}

static void run(void (*play)(void), bool helpers)
{
        char *argv[] = {(char *)(uintptr_t) "test", NULL};
        struct scene scene = {play, helpers};
        const struct hf_keeper_program program = {
                .version = 1, .area_size = hf_area_size(&config), .serve = serve, .data = &scene};
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                struct hf_error error = {0};
                int r;

                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                r = hf_keeper_run(&program, argv, true, &error);
                if (r < 0)
                        (void)fprintf(stderr, "%s\n", error.text);
                _exit(r ? 1 : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

#define SCENE(name, helpers)                                                                       \
        static void run_##name(void **state)                                                       \
        {                                                                                          \
                (void)state;                                                                       \
                run(name, helpers);                                                                \
        }

SCENE(it_comes_with_the_lock, true)
SCENE(who_is_not_wanted_any_more_leaves_nothing, true)
SCENE(what_is_had_at_the_moment_of_giving_up_is_given_back, true)
SCENE(a_helper_that_is_killed_is_followed_by_another, true)
SCENE(more_than_there_may_be_helpers_get_theirs_too, true)
SCENE(what_cannot_be_had_is_said, true)
SCENE(where_no_process_can_be_made_it_is_looked_at_again, false)

static int make_folder(void **state)
{
        (void)state;
        return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
        (void)state;
        for (unsigned int i = 0; i <= HF_WORKERS_AWAIT + 8; i++)
                (void)unlink(file(i));
        return rmdir(folder);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(run_it_comes_with_the_lock),
                cmocka_unit_test(run_who_is_not_wanted_any_more_leaves_nothing),
                cmocka_unit_test(run_what_is_had_at_the_moment_of_giving_up_is_given_back),
                cmocka_unit_test(run_a_helper_that_is_killed_is_followed_by_another),
                cmocka_unit_test(run_more_than_there_may_be_helpers_get_theirs_too),
                cmocka_unit_test(run_what_cannot_be_had_is_said),
                cmocka_unit_test(run_where_no_process_can_be_made_it_is_looked_at_again),
        };

        return cmocka_run_group_tests_name("await", tests, make_folder, remove_folder);
}
