/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "toy.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

static char *in_folder(const struct toy *toy, const char *name)
{
        static char path[TOY_LINE];

        (void)snprintf(path, sizeof(path), "%s/%s", toy->folder, name);
        return path;
}

static void for_each_kept(const struct toy_area *area, void (*each)(void *data, int fd), void *data)
{
        if (area->listener)
                each(data, area->listener);
        if (area->leash)
                each(data, area->leash);
        for (size_t i = 0; i < TOY_LOCKS; i++)
                if (area->locks[i])
                        each(data, area->locks[i]);
        for (size_t i = 0; i < TOY_CONNECTIONS; i++)
                if (area->connections[i])
                        each(data, area->connections[i]);
}

static void set_flags(void *data, int fd)
{
        (void)fcntl(fd, F_SETFD, *(int *)data);
}

void toy_close_on_exec(const struct toy_area *area, bool set)
{
        int flags = set ? FD_CLOEXEC : 0;

        for_each_kept(area, set_flags, &flags);
}

static int lock(const char *path)
{
        struct flock byte = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0 || fcntl(fd, F_OFD_SETLK, &byte) < 0)
                exit(EXIT_FAILURE);
        return fd;
}

static int listen_at(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (strlen(path) >= sizeof(address.sun_path))
                exit(EXIT_FAILURE);
        memcpy(address.sun_path, path, strlen(path));
        (void)unlink(path);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(fd, TOY_CONNECTIONS) < 0)
                exit(EXIT_FAILURE);
        return fd;
}

static void begin(struct toy *toy)
{
        const char *leash = getenv("TOY_LEASH");
        char name[16];

        toy->area->leash = leash ? atoi(leash) : 0;
        for (size_t i = 0; i < TOY_LOCKS; i++) {
                (void)snprintf(name, sizeof(name), "lock-%zu", i);
                toy->area->locks[i] = lock(in_folder(toy, name));
        }
        toy->area->listener = listen_at(in_folder(toy, "socket"));
}

static void note_connection(struct toy_area *area, int fd)
{
        for (size_t i = 0; i < TOY_CONNECTIONS; i++)
                if (!area->connections[i]) {
                        area->connections[i] = fd;
                        return;
                }
        (void)close(fd);
}

/* A connection that was accepted and not yet noted; all else is of no use. */
static void take_orphan(void *data, int fd)
{
        struct sockaddr_un address;
        socklen_t size = sizeof(address);

        if (!getpeername(fd, (struct sockaddr *)&address, &size))
                note_connection(data, fd);
        else
                (void)close(fd);
}

struct kept {
        int fds[2 + TOY_LOCKS + TOY_CONNECTIONS];
        size_t n;
};

static void list_kept(void *data, int fd)
{
        struct kept *kept = data;

        kept->fds[kept->n++] = fd;
}

static void take_over(struct toy *toy)
{
        struct kept kept = {0};

        for_each_kept(toy->area, list_kept, &kept);
        hf_keeper_reconcile(toy->keeper, kept.fds, kept.n, take_orphan, toy->area);
        toy_close_on_exec(toy->area, true);
}

/* While there is such a file, a server ends here: by the signal in it, or with the negative status.
 */
static void crash(const struct toy *toy, const char *name)
{
        hf_cleanup_file FILE *file = fopen(in_folder(toy, name), "re");
        int number = 0;

        if (!file || fscanf(file, "%d", &number) != 1)
                return;
        if (number < 0)
                exit(-number);
        (void)raise(number);
}

/* Each start is a line of FOLDER/starts. */
static void note_start(const struct toy *toy)
{
        hf_cleanup_file FILE *log = fopen(in_folder(toy, "starts"), "ae");
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        if (log)
                (void)fprintf(log, "%d %ld %llu\n", hf_keeper_start(toy->keeper),
                              now.tv_sec * 1000 + now.tv_nsec / 1000000,
                              (unsigned long long)toy->area->counter);
        toy->area->counter++;
}

static void take_signals(struct toy *toy)
{
        struct signalfd_siginfo info;

        while (read(toy->signals, &info, sizeof(info)) == sizeof(info)) {
                if (info.ssi_signo == SIGHUP)
                        toy->area->hups++;
                else if (info.ssi_signo != SIGCHLD && info.ssi_signo != SIGUSR1)
                        toy->exit_status = (int)info.ssi_signo;
        }
}

static void accept_one(struct toy *toy)
{
        int fd = accept4(toy->area->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0)
                note_connection(toy->area, fd);
}

static void turn(struct toy *toy)
{
        struct pollfd fds[4 + TOY_CONNECTIONS] = {
                {.fd = toy->signals, .events = POLLIN},
                {.fd = hf_keeper_supervisor_fd(toy->keeper), .events = POLLIN},
                {.fd = toy->area->leash ? toy->area->leash : -1, .events = POLLIN},
                {.fd = toy->area->listener, .events = POLLIN},
        };

        for (size_t i = 0; i < TOY_CONNECTIONS; i++)
                fds[4 + i] = (struct pollfd){
                        .fd = toy->area->connections[i] ? toy->area->connections[i] : -1,
                        .events = POLLIN};
        if (poll(fds, HF_ARRAY_LEN(fds), -1) < 0)
                return;
        if (fds[2].revents) {
                toy->exit_status = 0;
                return;
        }
        if (fds[0].revents)
                take_signals(toy);
        if (fds[1].revents) {
                toy_close_on_exec(toy->area, false);
                (void)hf_keeper_inherit(toy->keeper);
        }
        if (fds[3].revents)
                accept_one(toy);
        for (size_t i = 0; i < TOY_CONNECTIONS; i++)
                if (fds[4 + i].revents)
                        toy_request(toy, i);
}

static int serve(struct hf_keeper *keeper, void *data)
{
        struct toy *toy = data;
        sigset_t signals;

        toy->keeper = keeper;
        toy->area = hf_keeper_area(keeper);
        toy->area->generations++;
        note_start(toy);
        crash(toy, "crashes");
        if (hf_keeper_start(keeper) == HF_KEEPER_FIRST)
                begin(toy);
        else
                take_over(toy);
        crash(toy, "crashes-late");
        (void)sigprocmask(SIG_BLOCK, NULL, &signals);
        toy->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        toy->exit_status = -1;
        hf_keeper_ready(keeper);
        while (toy->exit_status < 0)
                turn(toy);
        return toy->exit_status;
}

/* A file beside this program says how it answers: probe-hangs, or probe-refuses. */
static int answer_probe(const char *version)
{
        char self[TOY_LINE], path[TOY_LINE * 2];
        ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

        if (length < 0)
                return EXIT_FAILURE;
        self[length] = '\0';
        *strrchr(self, '/') = '\0';
        (void)snprintf(path, sizeof(path), "%s/probe-hangs", self);
        if (!access(path, F_OK))
                (void)pause();
        (void)snprintf(path, sizeof(path), "%s/probe-refuses", self);
        return access(path, F_OK) && atoi(version) == TOY_VERSION ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
        struct toy toy = {.folder = argv[argc - 1]};
        struct hf_keeper_program program = {
                .version = TOY_VERSION,
                .area_size = sizeof(struct toy_area),
                .serve = serve,
                .data = &toy,
        };
        struct hf_error err = {0};
        int r;

        if (argc > 2 && !strcmp(argv[argc - 2], "--probe-state"))
                return answer_probe(argv[argc - 1]);
        r = hf_keeper_run(&program, argv, argc == 2, &err);
        if (r < 0)
                (void)fprintf(stderr, "keeper-toy: %s\n", err.text);
        return r < 0 ? EXIT_FAILURE : r;
}
