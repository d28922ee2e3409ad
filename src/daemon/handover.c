/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Before there is a server: whether a virtlockd has executed us in its place, and the way back to
 * it where we cannot take its place.
 *
 * Who ends here ends with every lock of every VM. So a process that was handed a virtlockd's
 * descriptors and cannot go on holds them, and does nothing else, until the path by which it was
 * executed leads to another program: whoever has put us there takes us away again. The file is
 * as it was, and virtlockd finds all it had.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/program.h"
#include "daemon/daemon.h"
#include "daemon/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define MODULE "daemon.handover"

/* How often the path is looked at. */
#define LOOK_USEC 100000

static bool is_this_program(const char *path)
{
        struct stat own, st;

        return stat("/proc/self/exe", &own) == 0 && stat(path, &st) == 0 &&
               own.st_dev == st.st_dev && own.st_ino == st.st_ino;
}

/* What the file says of whose it is, where the rest of it cannot be read: at its end. */
static bool is_ours_by_its_end(const char *path)
{
        hf_cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        char text[128], magic[48];
        struct stat st;
        ssize_t got;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
                return false;
        got = pread(fd, text, sizeof(text) - 1,
                    st.st_size < (off_t)sizeof(text) ? 0 : st.st_size - (off_t)sizeof(text) + 1);
        text[got > 0 ? got : 0] = '\0';
        (void)snprintf(magic, sizeof(magic), "\"magic\": \"%d\"", (int)getpid());
        return strstr(text, magic);
}

/* virtlockd writes its pid file once, and keeps it locked until it executes itself. */
static bool is_in_pid_file(const char *path)
{
        hf_cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        char text[32];
        ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

        text[got > 0 ? got : 0] = '\0';
        return got > 0 && atoi(text) == getpid();
}

/*
 * A file that was left behind by a process that had our number once: what it names is not open
 * here.
 */
static bool is_stale(const struct hf_stock_state *stock)
{
        for (size_t i = 0; i < stock->n_sockets; i++) {
                socklen_t len = sizeof(int);
                int listens = 0;

                if (getsockopt(stock->sockets[i].fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) ==
                            0 &&
                    listens)
                        return false;
        }
        return true;
}

/* Room for a server to open what it needs above all that virtlockd had. */
static void raise_descriptor_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/*
 * Who has executed us in virtlockd's place says by this variable where that is, and tells by it a
 * second time from the first. It is nobody else's business.
 */
#define STANDS_FOR "HOLDFAST_STANDS_FOR"

static void take_place_name(struct daemon *d)
{
        const char *place = secure_getenv(STANDS_FOR);

        d->stands_for = place && place[0] == '/' ? strdup(place) : NULL;
        (void)unsetenv(STANDS_FOR);
}

int daemon_find_handover(struct daemon *d)
{
        struct hf_error error = {0};
        int r;

        take_place_name(d);
        if (hf_keeper_takes_over() || hf_paths_init(&d->paths, NULL) < 0)
                return 0;
        r = hf_stock_read(d->paths.virtlockd_handover, getpid(), &d->stock, &error);
        if (r < 0 && (is_ours_by_its_end(d->paths.virtlockd_handover) ||
                      is_in_pid_file(d->paths.virtlockd_pid_file))) {
                hf_log(HF_LOG_ERROR, MODULE, "cannot take over from virtlockd: %s", error.text);
                return r;
        }
        if (r > 0 && is_stale(&d->stock)) {
                hf_log(HF_LOG_WARNING, MODULE, "%s is out of date: nothing that it names is here",
                       d->paths.virtlockd_handover);
                hf_stock_clear(&d->stock);
                return 0;
        }
        d->takes_over = r > 0;
        if (d->takes_over)
                raise_descriptor_limit();
        return r > 0;
}

/*
 * The path that led here was perhaps another program's, for the moment: then whoever did that says
 * in a file where we are at home, which is believed of nothing but this very program.
 */
const char *daemon_own_path(struct daemon *d)
{
        hf_cleanup_free char *hint = NULL;
        hf_cleanup_fd int fd = -1;
        ssize_t got;

        if (asprintf(&hint, "%s/holdfastd.path", d->paths.run_dir) < 0)
                hint = NULL;
        fd = hint ? open(hint, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
        got = fd < 0 ? -1 : read(fd, d->own_path, sizeof(d->own_path) - 1);
        d->own_path[got > 0 ? got : 0] = '\0';
        d->own_path[strcspn(d->own_path, "\n")] = '\0';
        if (d->own_path[0] == '/' && is_this_program(d->own_path))
                return d->own_path;
        return is_this_program(HF_SBINDIR "/holdfastd") ? HF_SBINDIR "/holdfastd" : NULL;
}

_Noreturn void daemon_give_back(const struct daemon *d, char **argv)
{
        char path[PATH_MAX];

        hf_takeover_keep_open(&d->stock, true);
        if (d->stands_for) {
                argv[0] = d->stands_for;
                (void)setenv(STANDS_FOR, d->stands_for, 1);
        }
        hf_log(HF_LOG_ERROR, MODULE,
               "holding what virtlockd had, until \"%s\" is virtlockd again and can be executed",
               argv[0]);
        for (;;) {
                if (strchr(argv[0], '/'))
                        (void)snprintf(path, sizeof(path), "%s", argv[0]);
                else if (hf_program_find(argv[0], path) < 0)
                        path[0] = '\0';
                if (*path && !is_this_program(path))
                        (void)execv(path, argv);
                (void)usleep(LOOK_USEC);
        }
}
