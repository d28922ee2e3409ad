/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * hammer FOLDER TABLE: wants every resource, all the time.
 *
 * Tries a write lock on byte 0 of each, POSIX and OFD in turn, without waiting, and
 * gives back at once what it gets. A grant of what a VM held for certain, before
 * and after, is a theft. Ends on SIGTERM with one line of JSON.
 */
#include "table.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* What nobody holds is tried only now and then: it would stand in the way of the VMs. */
#define FREE_TRIES_ONE_IN 64

static volatile sig_atomic_t stop;

static void on_end(int number)
{
        (void)number;
        stop = 1;
}

static bool lock(int fd, bool ofd, short type)
{
        struct flock wish = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};

        if (fcntl(fd, ofd ? F_OFD_SETLK : F_SETLK, &wish) == 0)
                return true;
        if (errno != EAGAIN && errno != EACCES)
                err(1, "fcntl");
        return false;
}

struct score {
        uint64_t tries, skipped, grants, thefts;
};

static void try_one(struct score *score, int fd, _Atomic uint64_t *state, bool ofd)
{
        uint64_t before = *state;

        if (!fault_is_held(before) && score->skipped++ % FREE_TRIES_ONE_IN)
                return;
        score->tries++;
        if (!lock(fd, ofd, F_WRLCK))
                return;
        score->grants++;
        score->thefts += fault_is_held(before) && *state == before;
        (void)lock(fd, ofd, F_UNLCK);
}

int main(int argc, char **argv)
{
        struct timespec pause_time = {.tv_nsec = 1000000};
        struct score score = {0};
        struct fault_table *table;
        int table_fd, fds[FAULT_RESOURCES];
        uint32_t n;

        if (argc != 3)
                errx(2, "usage: hammer FOLDER TABLE");
        (void)signal(SIGTERM, on_end);
        (void)signal(SIGINT, on_end);
        while ((table_fd = open(argv[2], O_RDONLY | O_CLOEXEC)) < 0 && !stop)
                (void)nanosleep(&pause_time, NULL);
        if (stop)
                return 0;
        while (lseek(table_fd, 0, SEEK_END) < (off_t)sizeof(*table) && !stop)
                (void)nanosleep(&pause_time, NULL);
        table = mmap(NULL, sizeof(*table), PROT_READ, MAP_SHARED, table_fd, 0);
        if (table == MAP_FAILED)
                err(1, "%s", argv[2]);
        while (!table->n && !stop)
                (void)nanosleep(&pause_time, NULL);
        n = table->n;
        for (uint32_t i = 0; i < n; i++) {
                char path[FAULT_PATH_MAX];

                fault_path(path, argv[1], i);
                fds[i] = open(path, O_RDWR | O_CLOEXEC);
                if (fds[i] < 0)
                        err(1, "%s", path);
        }
        for (bool ofd = false; !stop; ofd = !ofd)
                for (uint32_t i = 0; i < n && !stop; i++)
                        try_one(&score, fds[i], &table->state[i], ofd);
        (void)printf("{\"tries\": %llu, \"grants\": %llu, \"thefts\": %llu}\n",
                     (unsigned long long)score.tries, (unsigned long long)score.grants,
                     (unsigned long long)score.thefts);
        return 0;
}
