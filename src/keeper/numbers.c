/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/keeper-private.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Which descriptor has which number.
 *
 *   0, 1, 2         as the program was started with them, /dev/null where closed
 *   3 ...           what systemd passed, LISTEN_FDS of them; nearly always none
 *   the next six    the keeper's own (enum hf_keeper_number)
 *   up to 63        /dev/null, to have the numbers
 *   behind          the program's
 *
 * Low numbers of our own, taken before the program opens anything, make it cheap
 * to give a process a table without the program's descriptors: all behind a
 * number are cut off at once, and none of them is ever closed (closing a file of
 * a filesystem that hangs would hang). The kernel cuts between words of its bitmap of
 * numbers only; what is behind the cut and in the same word would be copied, and closed. That
 * is why the rest of the word is filled. Where who started us left something open
 * at these numbers, ours are the next six that are free: what is not ours is
 * not closed.
 */

#define FIRST_PASSED 3

/* Numbers in a word of the kernel's bitmap. */
#define WORD ((int)sizeof(long) * 8)

/* Who may have fewer descriptors than this has none to fill up with. */
#define FILL_LIMIT 512

static int open_null(void)
{
        return open("/dev/null", O_RDWR | O_CLOEXEC);
}

int hf_keeper_numbers_standard(struct hf_error *err)
{
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
                if (fcntl(fd, F_GETFD) >= 0)
                        continue;
                /* The lowest free number is this one. Not close-on-exec, as 0, 1 and 2 never are.
                 */
                if (open("/dev/null", O_RDWR) < 0)
                        return hf_error_sys(err, errno, "cannot open /dev/null");
        }
        return 0;
}

/* A whole number of the environment, or -1. */
static long env_number(const char *name)
{
        const char *text = getenv(name);
        char *end;
        long value;

        if (!text || *text < '0' || *text > '9')
                return -1;
        errno = 0;
        value = strtol(text, &end, 10);
        return errno || *end ? -1 : value;
}

int hf_keeper_numbers_listen(void)
{
        long n = env_number("LISTEN_FDS");

        if (env_number("LISTEN_PID") != getpid() || n <= 0 || n > INT_MAX - FIRST_PASSED)
                return 0;
        /* Numbers that are not open were not passed to us, whatever is said. */
        for (int fd = FIRST_PASSED; fd < FIRST_PASSED + n; fd++)
                if (fcntl(fd, F_GETFD) < 0)
                        return 0;
        for (int fd = FIRST_PASSED; fd < FIRST_PASSED + n; fd++)
                (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        return (int)n;
}

void hf_keeper_close_inherited(void)
{
        if (!hf_keeper_takes_over())
                (void)close_range(FIRST_PASSED + (unsigned int)hf_keeper_numbers_listen(), ~0U, 0);
}

int hf_keeper_numbers_free(int n_listen)
{
        int first = FIRST_PASSED + n_listen;

        for (int fd = first; fd < first + HF_KEEPER_FD_COUNT; fd++)
                if (fcntl(fd, F_GETFD) >= 0)
                        first = fd + 1;
        return first;
}

int hf_keeper_numbers_place(int fd, int number)
{
        int r = 0;

        if (fd == number)
                return 0;
        if (dup3(fd, number, O_CLOEXEC) < 0)
                r = -errno;
        (void)close(fd);
        return r;
}

/* The pair for what workers send; an earlier program's is kept with what waits in it. */
static int fill_results(const struct hf_keeper *keeper)
{
        int in = hf_keeper_fd(keeper, HF_KEEPER_FD_RESULTS_IN);
        int out = hf_keeper_fd(keeper, HF_KEEPER_FD_RESULTS_OUT);
        int pair[2], r;

        if (keeper->start != HF_KEEPER_FIRST) {
                (void)fcntl(in, F_SETFD, FD_CLOEXEC);
                return fcntl(out, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
        }
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        /* Either may have got the number that is meant for the other. */
        if (pair[1] == in || pair[0] == out) {
                int first = pair[0];

                pair[0] = pair[1];
                pair[1] = first;
        }
        r = hf_keeper_numbers_place(pair[0], in);
        return r < 0 ? r : hf_keeper_numbers_place(pair[1], out);
}

/* Where the program's numbers begin, decided once; and the rest of the word. */
static int fill_word(const struct hf_keeper *keeper)
{
        struct hf_keeper_header *header = keeper->header;
        int end = header->first_fd + HF_KEEPER_FD_COUNT;
        struct rlimit limit;
        hf_cleanup_fd int null = -1;

        if (!header->end_fd) {
                if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max >= FILL_LIMIT)
                        end = (end + WORD - 1) / WORD * WORD;
                header->end_fd = end;
        }
        null = open_null();
        if (null < 0)
                return -errno;
        for (int fd = header->first_fd + HF_KEEPER_FD_COUNT; fd < header->end_fd; fd++)
                if (fd != null && fcntl(fd, F_GETFD) < 0 && dup3(null, fd, O_CLOEXEC) < 0)
                        return -errno;
        /* Its own number, if that is one of these, is filled by staying open. */
        if (null < header->end_fd)
                (void)hf_steal_fd(&null);
        return 0;
}

int hf_keeper_numbers_fill(const struct hf_keeper *keeper, struct hf_error *err)
{
        int fd, r;

        fd = open_null();
        r = fd < 0 ? -errno
                   : hf_keeper_numbers_place(fd, hf_keeper_fd(keeper, HF_KEEPER_FD_PROGRAM));
        if (r < 0)
                return hf_error_sys(err, -r, "cannot open /dev/null");
        /* Of ourselves, now: a server cannot mistake another process for its supervisor. */
        fd = pidfd_open(getpid(), 0);
        r = fd < 0 ? -errno
                   : hf_keeper_numbers_place(fd, hf_keeper_fd(keeper, HF_KEEPER_FD_SUPERVISOR));
        if (r < 0)
                return hf_error_sys(err, -r, "cannot open a pidfd");
        r = fill_results(keeper);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot make a pair of sockets");
        fd = hf_keeper_watchdog_socket(keeper);
        r = fd < 0 ? fd : hf_keeper_numbers_place(fd, hf_keeper_fd(keeper, HF_KEEPER_FD_NOTIFY));
        if (r < 0)
                return hf_error_sys(err, -r, "cannot open a socket");
        r = fill_word(keeper);
        return r < 0 ? hf_error_sys(err, -r, "cannot open /dev/null") : 0;
}

void hf_keeper_numbers_forget_program(const struct hf_keeper *keeper)
{
        int fd = open_null();

        if (fd >= 0)
                (void)hf_keeper_numbers_place(fd, hf_keeper_fd(keeper, HF_KEEPER_FD_PROGRAM));
}

struct note {
        int *numbers;
        size_t n;
        bool failed;
};

static void note_number(void *data, int fd)
{
        struct note *note = data;
        int *more = realloc(note->numbers, (note->n + 1) * sizeof(*more));

        if (!more) {
                note->failed = true;
                return;
        }
        more[note->n++] = fd;
        note->numbers = more;
}

int hf_keeper_numbers_note(struct hf_keeper *keeper, struct hf_error *err)
{
        struct note note = {0};

        hf_keeper_scan(-1, -1, NULL, 0, note_number, &note);
        keeper->given = note.numbers;
        keeper->n_given = note.n;
        return note.failed ? hf_error_sys(err, ENOMEM, "cannot note open descriptors") : 0;
}
