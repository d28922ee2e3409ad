/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/users.h"

#include "base/cleanup.h"
#include "base/process.h"
#include "storage/resource.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

/* Users reported for one thing; who has more readers than this knows enough. */
#define USERS_MAX 64

/* A thing that is looked for. */
struct target {
        struct hf_thing thing;
        size_t n;
        struct hf_user *users; /* NULL, or room for USERS_MAX */
};

_Static_assert(offsetof(struct target, thing) == 0, "targets are looked up by their first field");

struct hf_user_scan {
        const pid_t *skip;
        DIR *proc;
        size_t n, room;
        struct target *targets;
        bool sorted;
};

int hf_user_scan_new(const struct hf_thing *thing, const pid_t *skip, struct hf_user_scan **ret)
{
        struct hf_user_scan *scan = calloc(1, sizeof(*scan));
        int r;

        if (!scan)
                return -ENOMEM;
        scan->skip = skip;
        scan->proc = opendir("/proc");
        r = scan->proc ? 0 : -errno;
        if (r >= 0 && thing)
                r = hf_user_scan_add(scan, thing);
        if (r < 0) {
                (void)hf_user_scan_free(scan);
                return r;
        }
        *ret = scan;
        return 0;
}

struct hf_user_scan *hf_user_scan_free(struct hf_user_scan *scan)
{
        if (!scan)
                return NULL;
        for (size_t i = 0; i < scan->n; i++)
                free(scan->targets[i].users);
        free(scan->targets);
        hf_close_dir(&scan->proc);
        free(scan);
        return NULL;
}

int hf_user_scan_add(struct hf_user_scan *scan, const struct hf_thing *thing)
{
        if (scan->n == scan->room) {
                size_t room = scan->room ? 2 * scan->room : 1;
                struct target *targets = reallocarray(scan->targets, room, sizeof(*scan->targets));

                if (!targets)
                        return -ENOMEM;
                scan->targets = targets;
                scan->room = room;
        }
        scan->targets[scan->n++] = (struct target){.thing = *thing};
        scan->sorted = false;
        return 0;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
        return (a > b) - (a < b);
}

/* The first field of a target is its thing: what is looked up may be either. */
static int compare_things(const void *a_arg, const void *b_arg)
{
        const struct hf_thing *a = a_arg, *b = b_arg;
        int r = compare_numbers(a->kind, b->kind);

        if (r == 0)
                r = compare_numbers(a->dev, b->dev);
        return r ? r : compare_numbers(a->ino, b->ino);
}

/* Of a thing that was added twice it is always the same one. */
static struct target *find_target(const struct hf_user_scan *scan, const struct hf_thing *thing)
{
        if (thing->kind == HF_THING_NONE)
                return NULL;
        return bsearch(thing, scan->targets, scan->n, sizeof(*scan->targets), compare_things);
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
        struct hf_user one = {0};
        char path[64 + NAME_MAX], line[256];

        (void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)pid, fd);
        file = fopen(path, "re");
        while (file && fgets(line, sizeof(line), file))
                read_line(line, &one);
        user->writes |= one.writes;
        user->locks |= one.locks;
        user->our_byte |= one.our_byte;
        user->works |= one.writes && !one.our_byte;
}

/* The entry of a process, which is the last one where it has one; NULL: there is no room. */
static struct hf_user *note_user(struct target *target, pid_t pid)
{
        struct hf_user *user;

        if (target->n && target->users[target->n - 1].pid == pid)
                return &target->users[target->n - 1];
        if (!target->users)
                target->users = calloc(USERS_MAX, sizeof(*target->users));
        if (!target->users || target->n == USERS_MAX)
                return NULL;
        user = &target->users[target->n++];
        *user = (struct hf_user){.pid = pid};
        if (hf_process_comm(pid, user->comm, sizeof(user->comm)) < 0)
                (void)snprintf(user->comm, sizeof(user->comm), "?");
        return user;
}

static void scan_process(struct hf_user_scan *scan, pid_t pid)
{
        hf_cleanup_dir DIR *dir = NULL;
        struct dirent *entry;
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
        dir = opendir(path);
        while (dir && (entry = readdir(dir))) {
                struct hf_thing thing = {0};
                struct target *target;
                struct hf_user *user;

                if (entry->d_name[0] == '.' ||
                    hf_resource_of_entry(dirfd(dir), entry->d_name, &thing) < 0)
                        continue;
                target = find_target(scan, &thing);
                user = target ? note_user(target, pid) : NULL;
                if (user)
                        read_fdinfo(pid, entry->d_name, user);
        }
}

/* Whether a descriptor of a process holds our byte in that mode; other bytes may be held too. */
static bool has_lock(pid_t pid, const char *fd, bool shared)
{
        hf_cleanup_file FILE *file = NULL;
        char path[64 + NAME_MAX], line[256], kind[16], mode[16];
        unsigned long long start;

        (void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)pid, fd);
        file = fopen(path, "re");
        while (file && fgets(line, sizeof(line), file))
                if (sscanf(line, "lock: %*d: %15s %*s %15s %*s %*s %llu", kind, mode, &start) ==
                            3 &&
                    start == 0 && !strcmp(kind, "OFDLCK") &&
                    !strcmp(mode, shared ? "READ" : "WRITE"))
                        return true;
        return false;
}

int hf_user_lock_fds(pid_t pid, const struct hf_thing *thing, bool shared, int *numbers, int max)
{
        hf_cleanup_dir DIR *dir = NULL;
        struct dirent *entry;
        char path[64];
        int n = 0;

        (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
        dir = opendir(path);
        while (dir && n < max && (entry = readdir(dir))) {
                struct hf_thing found;

                if (entry->d_name[0] != '.' &&
                    hf_resource_of_entry(dirfd(dir), entry->d_name, &found) == 0 &&
                    hf_thing_same(&found, thing) && has_lock(pid, entry->d_name, shared))
                        numbers[n++] = atoi(entry->d_name);
        }
        return n;
}

static bool is_skipped(const struct hf_user_scan *scan, pid_t pid)
{
        const pid_t *skip = scan->skip;

        while (skip && *skip && *skip != pid)
                skip++;
        return skip && *skip;
}

int hf_user_scan_step(struct hf_user_scan *scan, unsigned int processes)
{
        struct dirent *entry;

        if (!scan->sorted)
                qsort(scan->targets, scan->n, sizeof(*scan->targets), compare_things);
        scan->sorted = true;
        while (processes > 0 && (entry = readdir(scan->proc))) {
                pid_t pid = (pid_t)atoi(entry->d_name);

                if (pid <= 0 || is_skipped(scan, pid))
                        continue;
                scan_process(scan, pid);
                processes--;
        }
        return processes == 0;
}

const struct hf_user *hf_user_scan_result(const struct hf_user_scan *scan, size_t *ret_n)
{
        return hf_user_scan_users(scan, &scan->targets[0].thing, ret_n);
}

const struct hf_user *hf_user_scan_users(const struct hf_user_scan *scan,
                                         const struct hf_thing *thing, size_t *ret_n)
{
        const struct target *target = find_target(scan, thing);

        *ret_n = target ? target->n : 0;
        return target ? target->users : NULL;
}
