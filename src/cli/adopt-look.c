/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which process serves virtlockd's socket, and what it has: from /proc alone.
 *
 * What virtlockd locks it opens for reading and writing; the kernel shows the lock at the
 * descriptor. Nothing of that is opened by us except its pid file, and what we close takes no lock
 * from anybody but us.
 */
#include "cli/adopt.h"

#include "base/cleanup.h"
#include "base/strv.h"
#include "cli/message.h"
#include "storage/resource.h"

#include <fcntl.h>
#include <string.h>

/* More than a command line or an environment of a daemon has. */
#define TEXT_MAX (256 * 1024)

static const char *base_name(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

int hf_adopt_proc_text(const struct hf_adopt_daemon *daemon, const char *name, char **ret,
                       size_t *ret_size)
{
        hf_cleanup_fd int fd = openat(daemon->proc, name, O_RDONLY | O_CLOEXEC);
        hf_cleanup_free char *text = malloc(TEXT_MAX + 1);
        size_t size = 0;
        ssize_t n;

        if (fd < 0)
                return -errno;
        if (!text)
                return -ENOMEM;
        while ((n = read(fd, text + size, TEXT_MAX - size)) > 0)
                size += (size_t)n;
        if (n < 0)
                return -errno;
        text[size] = '\0';
        *ret = hf_steal_ptr(text);
        if (ret_size)
                *ret_size = size;
        return 0;
}

static void link_text(int dir, const char *name, char ret[static PATH_MAX])
{
        ssize_t len = readlinkat(dir, name, ret, PATH_MAX - 1);

        ret[len > 0 ? len : 0] = '\0';
}

/* ---- the process ------------------------------------------------------------------------ */

struct candidate {
        pid_t pid;
        bool ours;
};

/* The service manager has the listening socket as well: a lock daemon is known by its program. */
static void note_listener(void *data, pid_t pid, uint64_t inode)
{
        struct candidate *found = data;
        char link[64], exe[PATH_MAX], *deleted;

        (void)inode;
        (void)snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
        link_text(AT_FDCWD, link, exe);
        deleted = strstr(exe, " (deleted)");
        if (deleted)
                *deleted = '\0';
        if (!strcmp(base_name(exe), "virtlockd"))
                *found = (struct candidate){.pid = pid};
        else if (!strcmp(base_name(exe), "holdfastd"))
                *found = (struct candidate){.pid = pid, .ours = true};
}

static int find_listener(const struct hf_paths *paths, struct candidate *ret, struct hf_error *err)
{
        hf_cleanup_free struct hf_adopt_socket *sockets = NULL;
        size_t n = 0;
        int r = hf_adopt_sockets(paths->virtlockd_socket, &sockets, &n, err);

        for (size_t i = 0; r >= 0 && i < n; i++)
                if (sockets[i].listens)
                        r = hf_adopt_each_socket(&sockets[i].inode, 1, note_listener, ret);
        return r;
}

/* Of our two processes the one that stands for the daemon. */
static pid_t read_pid_file(const char *path)
{
        hf_cleanup_file FILE *file = fopen(path, "re");
        int pid = 0;

        return file && fscanf(file, "%d", &pid) == 1 ? (pid_t)pid : 0;
}

static int read_argv(struct hf_adopt_daemon *daemon)
{
        hf_cleanup_free char *text = NULL;
        size_t size = 0;
        int r = hf_adopt_proc_text(daemon, "cmdline", &text, &size);

        for (const char *word = text; r >= 0 && word < text + size; word += strlen(word) + 1)
                r = hf_strv_append(&daemon->argv, word);
        if (r >= 0 && !daemon->argv)
                r = -ESRCH;
        return r;
}

/* As execvp does it, with the PATH of that process. */
static void search_program(struct hf_adopt_daemon *daemon)
{
        hf_cleanup_free char *text = NULL;
        const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        size_t size = 0;

        (void)hf_adopt_proc_text(daemon, "environ", &text, &size);
        for (const char *word = text; word && word < text + size; word += strlen(word) + 1)
                if (!strncmp(word, "PATH=", 5))
                        path = word + 5;
        while (*path) {
                size_t len = strcspn(path, ":");
                char inside[PATH_MAX + 16];

                (void)snprintf(daemon->program, sizeof(daemon->program), "%.*s/%s", (int)len, path,
                               daemon->argv[0]);
                (void)snprintf(inside, sizeof(inside), "root/%s", daemon->program);
                if (faccessat(daemon->proc, inside, X_OK, 0) == 0)
                        return;
                path += len + (path[len] == ':');
        }
        daemon->program[0] = '\0';
}

static void find_program(struct hf_adopt_daemon *daemon)
{
        const char *name = daemon->argv[0];
        char folder[PATH_MAX];
        int n;

        if (!strchr(name, '/')) {
                search_program(daemon);
                return;
        }
        link_text(daemon->proc, "cwd", folder);
        n = name[0] == '/'
                    ? snprintf(daemon->program, sizeof(daemon->program), "%s", name)
                    : snprintf(daemon->program, sizeof(daemon->program), "%s/%s", folder, name);
        if (n < 0 || (size_t)n >= sizeof(daemon->program))
                daemon->program[0] = '\0';
}

static int open_process(struct hf_adopt_daemon *daemon, pid_t pid, struct hf_error *err)
{
        char path[64];
        int r = hf_process_open(pid, &daemon->pidfd, &daemon->process, err);

        if (r < 0)
                return r;
        (void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
        daemon->proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = daemon->proc < 0 ? -errno : read_argv(daemon);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot look at process %d", (int)pid);
        link_text(daemon->proc, "exe", daemon->exe);
        find_program(daemon);
        return 0;
}

int hf_adopt_find(const struct hf_paths *paths, struct hf_adopt_daemon *ret, struct hf_error *err)
{
        hf_cleanup_adopt_daemon struct hf_adopt_daemon daemon = HF_ADOPT_DAEMON_INIT;
        struct candidate found = {0};
        int r = find_listener(paths, &found, err);

        if (r < 0)
                return r;
        if (found.pid == 0)
                return hf_error_set(err, ENOENT, HF_ERR_NO_SERVER, HF_FROM_NONE,
                                    "no virtlockd serves %s", paths->virtlockd_socket);
        if (found.ours && read_pid_file(paths->pid_file) > 0)
                found.pid = read_pid_file(paths->pid_file);
        daemon.ours = found.ours;
        r = open_process(&daemon, found.pid, err);
        if (r < 0)
                return r;
        r = hf_adopt_read_files(&daemon, err);
        if (r < 0)
                return r;
        *ret = daemon;
        daemon = (struct hf_adopt_daemon)HF_ADOPT_DAEMON_INIT;
        return 0;
}

static void forget_files(struct hf_adopt_daemon *daemon)
{
        for (size_t i = 0; i < daemon->n_files; i++)
                free(daemon->files[i].path);
        free(daemon->files);
        daemon->files = NULL;
        daemon->n_files = 0;
}

void hf_adopt_done(struct hf_adopt_daemon *daemon)
{
        hf_close_fd(&daemon->pidfd);
        hf_close_fd(&daemon->proc);
        hf_strv_freep(&daemon->argv);
        forget_files(daemon);
        free(daemon->connections);
        daemon->connections = NULL;
        daemon->n_connections = 0;
}

/* ---- its files -------------------------------------------------------------------------- */

/* One line of fdinfo, as fs/locks.c writes it; flags are in octal. */
static void read_line(const char *line, struct hf_adopt_file *file, unsigned int *flags)
{
        char kind[16], mode[16];
        unsigned long long start;

        (void)sscanf(line, "flags: %o", flags);
        if (sscanf(line, "lock: %*d: %15s %*s %15s %*s %*s %llu", kind, mode, &start) != 3 ||
            start != 0 || !strcmp(kind, "FLOCK"))
                return;
        file->held = true;
        file->shared = !strcmp(mode, "READ");
}

/* Whether it holds just the daemon's own number. */
static bool is_pid_file(const struct hf_adopt_daemon *daemon, int dir, const char *number)
{
        hf_cleanup_fd int fd = openat(dir, number, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        char text[24];
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

        if (n <= 0)
                return false;
        text[n] = '\0';
        return (pid_t)atoi(text) == daemon->process.pid &&
               strspn(text, "0123456789\n") == (size_t)n;
}

static bool is_gone(const struct hf_adopt_daemon *daemon, const struct hf_adopt_file *file)
{
        char inside[PATH_MAX + 8];
        struct hf_thing thing;

        (void)snprintf(inside, sizeof(inside), "root%s", file->path);
        return hf_resource_of_entry(daemon->proc, inside, &thing) < 0 ||
               !hf_thing_same(&thing, &file->thing);
}

/* Returns 1 if the descriptor is of a file that is locked, or meant to be. */
static int read_file(const struct hf_adopt_daemon *daemon, int dir, const char *number,
                     struct hf_adopt_file *ret)
{
        hf_cleanup_file FILE *info = NULL;
        char name[32], line[256], target[PATH_MAX];
        unsigned int flags = O_RDONLY;
        int fd;

        if (number[0] == '.' || hf_resource_of_entry(dir, number, &ret->thing) < 0)
                return 0;
        (void)snprintf(name, sizeof(name), "fdinfo/%.16s", number);
        fd = openat(daemon->proc, name, O_RDONLY | O_CLOEXEC);
        info = fd < 0 ? NULL : fdopen(fd, "re");
        while (info && fgets(line, sizeof(line), info))
                read_line(line, ret, &flags);
        link_text(dir, number, target);
        /* What it opens for reading alone, for writing alone (logs), or has no name (memfd). */
        if (!ret->held && ((flags & O_ACCMODE) != O_RDWR || daemon->ours))
                return 0;
        if (is_pid_file(daemon, dir, number))
                return 0;
        ret->path = strdup(target);
        if (!ret->path)
                return -ENOMEM;
        ret->gone = is_gone(daemon, ret);
        return 1;
}

int hf_adopt_read_files(struct hf_adopt_daemon *daemon, struct hf_error *err)
{
        hf_cleanup_dir DIR *dir = NULL;
        struct dirent *entry;
        int fd = openat(daemon->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        forget_files(daemon);
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir)
                return hf_error_sys(err, errno, "cannot look at the files of process %d",
                                    (int)daemon->process.pid);
        while ((entry = readdir(dir))) {
                struct hf_adopt_file file = {0}, *more;
                int r = read_file(daemon, dirfd(dir), entry->d_name, &file);

                if (r == 0)
                        continue;
                more = r < 0 ? NULL
                             : reallocarray(daemon->files, daemon->n_files + 1, sizeof(*more));
                if (!more) {
                        free(file.path);
                        return hf_error_sys(err, ENOMEM, "cannot list files");
                }
                daemon->files = more;
                more[daemon->n_files++] = file;
        }
        return 0;
}

const struct hf_adopt_file *hf_adopt_file_of(const struct hf_adopt_daemon *daemon,
                                             const struct hf_thing *thing, bool shared)
{
        for (size_t i = 0; i < daemon->n_files; i++)
                if (daemon->files[i].held && daemon->files[i].shared == shared &&
                    hf_thing_same(&daemon->files[i].thing, thing))
                        return &daemon->files[i];
        return NULL;
}

size_t hf_adopt_n_held(const struct hf_adopt_daemon *daemon)
{
        size_t n = 0;

        for (size_t i = 0; i < daemon->n_files; i++)
                n += daemon->files[i].held;
        return n;
}
