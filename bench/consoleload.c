/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * consoleload GUEST BYTES [READER]...: a guest that prints as fast as it may, and those who read.
 *
 * GUEST and READER are numbers of descriptors that were passed in: the side of a terminal that a
 * VMM has, and where what it prints comes out, be that the terminal's other side or a stream of a
 * daemon's. All that is between the two is what is measured.
 */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "samples.h"

/* What a guest's driver hands over at once, or less. */
#define PIECE 1024

/* The last byte, and none of the others. */
#define LAST        '\xff'

#define READERS_MAX 64
#define LIMIT_MS    60000

static void print_all(int fd, uint64_t bytes)
{
        char piece[PIECE];

        for (size_t i = 0; i < sizeof(piece); i++)
                piece[i] = i % 64 == 63 ? '\n' : (char)('0' + i % 64);
        while (bytes > 0) {
                size_t len = bytes < PIECE ? bytes : PIECE;
                ssize_t n;

                if (len == bytes)
                        piece[len - 1] = LAST;
                n = write(fd, piece, len);
                if (n < 0)
                        err(1, "the guest cannot print");
                /* What is left over begins anew: nobody looks at where in a line it is. */
                bytes -= (uint64_t)n;
        }
}

struct reader {
        uint64_t got;
        bool done;
};

static void take(struct pollfd *poller, struct reader *reader)
{
        static char bytes[65536];
        ssize_t n = read(poller->fd, bytes, sizeof(bytes));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0)
                err(1, "a reader's stream has ended");
        reader->got += (uint64_t)n;
        reader->done = bytes[n - 1] == LAST;
        if (reader->done)
                poller->fd = -1;
}

/* Until each has the last byte. */
static void read_all(struct pollfd *pollers, struct reader *readers, int n)
{
        int left = n;

        while (left > 0) {
                if (poll(pollers, (nfds_t)n, LIMIT_MS) <= 0)
                        errx(1, "nothing comes any more");
                for (int i = 0; i < n; i++) {
                        if (!pollers[i].revents || pollers[i].fd < 0)
                                continue;
                        take(&pollers[i], &readers[i]);
                        left -= readers[i].done;
                }
        }
}

/* The guest, in a process of its own; its time comes out of the pipe. */
static pid_t start_guest(int fd, uint64_t bytes, int pipe_fds[2])
{
        pid_t pid;

        if (pipe(pipe_fds) < 0)
                err(1, "pipe");
        pid = fork();
        if (pid < 0)
                err(1, "fork");
        if (pid == 0) {
                uint64_t begin = now_ns(), took;

                print_all(fd, bytes);
                took = now_ns() - begin;
                _exit(write(pipe_fds[1], &took, sizeof(took)) != sizeof(took));
        }
        return pid;
}

int main(int argc, char **argv)
{
        struct pollfd pollers[READERS_MAX];
        struct reader readers[READERS_MAX] = {0};
        int n = argc - 3, pipe_fds[2], status;
        uint64_t bytes, begin, took, read_ns, least;
        pid_t guest;

        if (n < 0 || n > READERS_MAX)
                errx(64, "usage: consoleload GUEST BYTES [READER]...");
        for (int i = 0; i < n; i++)
                pollers[i] = (struct pollfd){.fd = atoi(argv[i + 3]), .events = POLLIN};
        least = bytes = strtoull(argv[2], NULL, 10);
        begin = now_ns();
        guest = start_guest(atoi(argv[1]), bytes, pipe_fds);
        read_all(pollers, readers, n);
        read_ns = now_ns() - begin;
        if (waitpid(guest, &status, 0) != guest || status != 0 ||
            read(pipe_fds[0], &took, sizeof(took)) != sizeof(took))
                errx(1, "the guest has failed");
        for (int i = 0; i < n; i++)
                least = readers[i].got < least ? readers[i].got : least;
        printf("{\"guest_mb_per_s\": %.3f, \"read_mb_per_s\": %.3f, \"least_share\": %.4f}\n",
               (double)bytes * 1e3 / (double)took, (double)least * 1e3 / (double)read_ns,
               (double)least / (double)bytes);
        return 0;
}
