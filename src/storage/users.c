/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/users.h"

#include "base/cleanup.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Users reported for one thing; who has more readers than this knows enough. */
#define USERS_MAX 64

struct hf_user_scan {
        struct hf_thing thing;
        pid_t skip;
        DIR *proc;
        size_t n;
        struct hf_user users[USERS_MAX];
};

int hf_user_scan_new(const struct hf_thing *thing, pid_t skip, struct hf_user_scan **ret)
{
        struct hf_user_scan *scan = calloc(1, sizeof(*scan));

        if (!scan)
                return -ENOMEM;
        scan->thing = *thing;
        scan->skip = skip;
        scan->proc = opendir("/proc");
        if (!scan->proc) {
                int r = -errno;

                free(scan);
                return r;
        }
        *ret = scan;
        return 0;
}

struct hf_user_scan *hf_user_scan_free(struct hf_user_scan *scan)
{
        if (scan)
                hf_close_dir(&scan->proc);
        free(scan);
        return NULL;
}

/*
 * What a descriptor of another process is, without asking a file server that may
 * not answer.
 */
static bool is_thing(int dir, const char *fd, const struct hf_thing *thing)
{
        struct statx sx;

        if (statx(dir, fd, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_INO, &sx) < 0)
                return false;
        if (thing->kind == HF_THING_BLOCK)
                return S_ISBLK(sx.stx_mode) &&
                       makedev(sx.stx_rdev_major, sx.stx_rdev_minor) == thing->dev;
        return S_ISREG(sx.stx_mode) && sx.stx_ino == thing->ino &&
               makedev(sx.stx_dev_major, sx.stx_dev_minor) == thing->dev;
}

/*
 * One line of fdinfo. A lock line reads "lock:\tN: KIND  ADVISORY  WRITE PID
 * MAJOR:MINOR:INODE START END" (fs/locks.c); flags are in octal.
 */
static void read_line(const char *line, struct hf_user *user)
{
        char kind[16];
        unsigned long long start;
        unsigned int flags;

        if (sscanf(line, "flags: %o", &flags) == 1)
                user->writes |= (flags & O_ACCMODE) != O_RDONLY;
        if (sscanf(line, "lock: %*d: %15s %*s %*s %*s %*s %llu", kind, &start) != 2)
                return;
        user->locks = true;
        user->our_byte |= start == 0 && strcmp(kind, "FLOCK") != 0;
}

static void read_fdinfo(pid_t pid, const char *fd, struct hf_user *user)
{
        hf_cleanup_file FILE *file = NULL;
        char path[64 + NAME_MAX], line[256];

        (void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)pid, fd);
        file = fopen(path, "re");
        while (file && fgets(line, sizeof(line), file))
                read_line(line, user);
}

static void scan_process(struct hf_user_scan *scan, pid_t pid)
{
        hf_cleanup_dir DIR *dir = NULL;
        struct hf_user user = {.pid = pid};
        struct dirent *entry;
        char path[64];
        bool uses = false;

        (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
        dir = opendir(path);
        while (dir && (entry = readdir(dir))) {
                if (entry->d_name[0] == '.' || !is_thing(dirfd(dir), entry->d_name, &scan->thing))
                        continue;
                uses = true;
                read_fdinfo(pid, entry->d_name, &user);
        }
        if (!uses || scan->n == USERS_MAX)
                return;
        if (hf_process_comm(pid, user.comm, sizeof(user.comm)) < 0)
                (void)snprintf(user.comm, sizeof(user.comm), "?");
        scan->users[scan->n++] = user;
}

int hf_user_scan_step(struct hf_user_scan *scan, unsigned int processes)
{
        struct dirent *entry;

        while (processes > 0 && (entry = readdir(scan->proc))) {
                pid_t pid = (pid_t)atoi(entry->d_name);

                if (pid <= 0 || pid == scan->skip)
                        continue;
                scan_process(scan, pid);
                processes--;
        }
        return processes == 0;
}

const struct hf_user *hf_user_scan_result(const struct hf_user_scan *scan, size_t *ret_n)
{
        *ret_n = scan->n;
        return scan->users;
}
