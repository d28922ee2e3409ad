/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * racer DIR ROUNDS RACERS: processes that all want the same terminal's lock files at the same
 * moment, where a dead process has left some. Prints how many rounds had no winner, one, and more.
 */

#include "console/uucp-private.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PATH "/dev/pts/900003"
#define MADE "LCK..pts_900003"

static struct shared {
        pthread_barrier_t barrier;
        _Atomic unsigned int winners, errors;
        unsigned int rounds, count[3];
} * shared;

static pid_t dead;

static void put(const char *dir, const char *name, const char *text, bool old)
{
        static const struct timespec long_ago[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
        char path[PATH_MAX];
        hf_cleanup_fd int fd = -1;

        (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
                exit(1);
        if (old)
                (void)futimens(fd, long_ago);
}

/* What lies there at the beginning of this round. */
static void set_up(const char *dir, unsigned int round)
{
        char text[HF_UUCP_CONTENT + 1];

        hf_uucp_format(dead, text);
        if (round % 4 == 1 || round % 4 == 3)
                put(dir, MADE, text, false);
        if (round % 4 == 2 || round % 4 == 3)
                put(dir, "LCK..900003", text, false);
        /* To know that nobody has that open takes a look at all processes. */
        if (round % 100 == 0)
                put(dir, "LCK.._pts_900003", "garbage", true);
}

static void wait_for_all(void)
{
        (void)pthread_barrier_wait(&shared->barrier);
}

static _Noreturn void race(const char *dir, bool leads)
{
        for (unsigned int round = 0; round < shared->rounds; round++) {
                struct hf_uucp_holder holder;
                struct hf_uucp uucp;
                struct hf_error err;
                int r;

                if (leads)
                        set_up(dir, round);
                wait_for_all();
                r = hf_uucp_take(dir, PATH, 0, getpid(), NULL, &uucp, &holder, &err);
                if (r == 0 && uucp.names[0][0] && uucp.names[1][0])
                        shared->winners++;
                else if (r != -EBUSY)
                        shared->errors++;
                wait_for_all();
                if (leads)
                        shared->count[shared->winners < 2 ? shared->winners : 2]++;
                if (leads)
                        shared->winners = 0;
                if (r == 0)
                        hf_uucp_give_back(dir, &uucp);
                wait_for_all();
        }
        _exit(0);
}

int main(int argc, char **argv)
{
        unsigned int racers = argc == 4 ? (unsigned int)atoi(argv[3]) : 0;
        pthread_barrierattr_t attr;

        if (!racers)
                return 64;
        dead = fork();
        if (dead == 0)
                _exit(0);
        (void)waitpid(dead, NULL, 0);
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                      0);
        if (shared == MAP_FAILED)
                return 1;
        shared->rounds = (unsigned int)atoi(argv[2]);
        (void)pthread_barrierattr_init(&attr);
        (void)pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
        (void)pthread_barrier_init(&shared->barrier, &attr, racers);
        for (unsigned int i = 0; i < racers; i++)
                if (fork() == 0)
                        race(argv[1], i == 0);
        while (wait(NULL) > 0)
                ;
        printf("%u %u %u %u\n", shared->count[0], shared->count[1], shared->count[2],
               shared->errors);
        return 0;
}
