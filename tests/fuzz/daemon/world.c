/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "world.h"

#include "../fuzz.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"
#include "storage/behind.h"
#include "storage/duplicate.h"
#include "storage/mounts.h"
#include "storage/posix-lock.h"
#include "storage/record.h"
#include "storage/resource.h"
#include "storage/users.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

/* Files that the names lead to, by their last character; they can be replaced. */
#define FILES 8

/* More locks than an input can get. */
#define KERNEL_LOCKS 256

/* Numbers of descriptors that are none of this process. */
#define FIRST_FD 1000000

/* ---- files and the kernel's locks ---- */

static uint64_t files[FILES];
static uint64_t last_file;

static struct kernel_lock {
        bool held;
        bool shared;
        uint64_t ino;
} kernel[KERNEL_LOCKS];

size_t world_locks(void)
{
        size_t n = 0;

        for (size_t i = 0; i < KERNEL_LOCKS; i++)
                n += kernel[i].held;
        return n;
}

static unsigned int file_of(const char *path)
{
        size_t len = strlen(path);

        return len ? (unsigned char)path[len - 1] % FILES : 0;
}

int hf_resource_identify(const char *path, struct hf_thing *ret)
{
        if (strchr(path, '!'))
                return -ENOENT;
        *ret = (struct hf_thing){HF_THING_FILE, 7, files[file_of(path)]};
        return 0;
}

static int kernel_take(uint64_t ino, bool shared)
{
        size_t room = KERNEL_LOCKS;

        for (size_t i = 0; i < KERNEL_LOCKS; i++) {
                if (!kernel[i].held)
                        room = i;
                else if (kernel[i].ino == ino && !(kernel[i].shared && shared))
                        return -EAGAIN;
        }
        FUZZ_PROMISE(room < KERNEL_LOCKS);
        kernel[room] = (struct kernel_lock){true, shared, ino};
        return FIRST_FD + (int)room;
}

void hf_resource_take(const struct hf_resource_request *request, struct hf_resource_result *ret)
{
        *ret = (struct hf_resource_result){.fd = -1};
        ret->status = request->autocreate && strchr(request->path, '!')
                              ? -EROFS
                              : hf_resource_identify(request->path, &ret->file);
        if (ret->status < 0)
                return;
        /* Somebody outside has what ends in "+". */
        ret->status = strchr(request->path, '+') ? -EAGAIN
                                                 : kernel_take(ret->file.ino, request->shared);
        if (ret->status >= 0) {
                ret->fd = ret->status;
                ret->status = 0;
        }
}

/* For workers alone, of which there are none here. */
void hf_resource_await(const struct hf_resource_request *request, struct hf_resource_result *ret)
{
        hf_resource_take(request, ret);
}

/* What is not in memory ends in "~". */
bool hf_resource_take_cached(const struct hf_resource_request *request,
                             struct hf_resource_result *ret)
{
        if (strchr(request->path, '~'))
                return false;
        hf_resource_take(request, ret);
        return ret->status >= 0;
}

int hf_resource_of_fd(int fd, struct hf_thing *ret)
{
        FUZZ_PROMISE(fd >= FIRST_FD && fd < FIRST_FD + KERNEL_LOCKS && kernel[fd - FIRST_FD].held);
        *ret = (struct hf_thing){HF_THING_FILE, 7, kernel[fd - FIRST_FD].ino};
        return 0;
}

int hf_resource_identify_cached(const char *path, struct hf_thing *ret)
{
        return strchr(path, '~') ? -EAGAIN : hf_resource_identify(path, ret);
}

int hf_resource_parent_cached(const char *path, uint64_t *ret_dev)
{
        (void)path;
        (void)ret_dev;
        return -EAGAIN;
}

void hf_resource_give(int fd, const char *unlink_path)
{
        (void)unlink_path;
        FUZZ_PROMISE(fd >= FIRST_FD && fd < FIRST_FD + KERNEL_LOCKS && kernel[fd - FIRST_FD].held);
        kernel[fd - FIRST_FD].held = false;
}

int hf_resource_prove(int fd, bool shared)
{
        (void)fd;
        (void)shared;
        return -EAGAIN;
}

/* Of a virtlockd there was none before. */
int hf_posix_lock_of(int fd, enum hf_posix_lock *ret)
{
        (void)fd;
        *ret = HF_POSIX_NONE;
        return 0;
}

int hf_posix_prove(int fd, bool shared)
{
        return hf_resource_prove(fd, shared);
}

int hf_posix_to_ofd(int fd, bool shared)
{
        return hf_resource_prove(fd, shared);
}

void hf_posix_give(int fd, const char *unlink_path)
{
        (void)fd;
        (void)unlink_path;
        FUZZ_PROMISE(false);
}

int hf_duplicate_fetch(pid_t pid, int pidfd, const struct hf_thing *thing, bool shared, bool *lost,
                       int *ret_fd)
{
        (void)pid;
        (void)pidfd;
        (void)thing;
        (void)shared;
        (void)lost;
        (void)ret_fd;
        return -ENOENT;
}

/* What another host has, where "+" says so, has a record unless there are two of them. */
int hf_record_look(const char *path, struct hf_record *ret_record, enum hf_record_verdict *ret)
{
        *ret = strstr(path, "++") ? HF_RECORD_UNKNOWN : HF_RECORD_HELD;
        *ret_record = (struct hf_record){.pid = 1, .host = "alpha", .vm = "web1"};
        return 0;
}

bool hf_record_is_wanted(int fd)
{
        FUZZ_PROMISE(fd >= FIRST_FD);
        return true;
}

int hf_record_write(int fd, bool inside, const struct hf_record *record)
{
        FUZZ_PROMISE(fd >= FIRST_FD && *record->via);
        return inside ? 0 : -EROFS;
}

void hf_record_clear(int fd, bool inside, const struct hf_record *who)
{
        (void)inside;
        (void)who;
        FUZZ_PROMISE(fd >= FIRST_FD && fd < FIRST_FD + KERNEL_LOCKS && kernel[fd - FIRST_FD].held);
}

int hf_resource_create(const char *path)
{
        return strchr(path, '!') ? -EROFS : 0;
}

int hf_resource_delete(const char *path)
{
        return strchr(path, '!') ? -EROFS : 0;
}

int hf_path_make_dirs(const char *path, mode_t mode, struct hf_error *err)
{
        (void)mode;
        return strchr(path, '!') ? hf_error_sys(err, EROFS, "cannot make %s", path) : 0;
}

bool hf_behind_is_hash(const char *name)
{
        return name[0] == 'h';
}

int hf_behind_find(pid_t pid, const char *hash, struct hf_thing *ret)
{
        (void)pid;
        if (hash[1] == 'h')
                return -ENOENT;
        *ret = (struct hf_thing){HF_THING_FILE, 7, files[(unsigned char)hash[1] % FILES]};
        return 0;
}

int hf_behind_find_cached(pid_t pid, const char *hash, struct hf_thing *ret,
                          char path[static PATH_MAX])
{
        if (!strchr(hash, '~'))
                return hf_behind_find(pid, hash, ret);
        (void)snprintf(path, PATH_MAX, "/%s", hash);
        return -EAGAIN;
}

/* One filesystem, which has to be asked for what ends in "~". */
static const struct hf_mount mount = {
        .dev = 7,
        .point = "/",
        .type = "nfs4",
        .options = "rw",
        .super_options = "rw,vers=4.2",
        .local = true,
        .closes = true,
};

struct hf_mounts {
        int fd; /* says nothing */
};

int hf_mounts_new(struct hf_mounts **ret)
{
        static struct hf_mounts mounts;

        mounts.fd = eventfd(0, EFD_CLOEXEC);
        FUZZ_PROMISE(mounts.fd >= 0);
        *ret = &mounts;
        return 0;
}

struct hf_mounts *hf_mounts_free(struct hf_mounts *mounts)
{
        if (mounts)
                hf_close_fd(&mounts->fd);
        return NULL;
}

int hf_mounts_fd(const struct hf_mounts *mounts)
{
        return mounts->fd;
}

void hf_mounts_changed(struct hf_mounts *mounts)
{
        (void)mounts;
}

const struct hf_mount *hf_mounts_of_path(struct hf_mounts *mounts, const char *path)
{
        (void)mounts;
        (void)path;
        return &mount;
}

const struct hf_mount *hf_mounts_of_dev(struct hf_mounts *mounts, uint64_t dev)
{
        (void)mounts;
        (void)dev;
        return &mount;
}

struct hf_user_scan {
        unsigned int steps;
        struct hf_user user;
};

int hf_user_scan_new(const struct hf_thing *thing, const pid_t *skip, struct hf_user_scan **ret)
{
        struct hf_user_scan *scan = calloc(1, sizeof(*scan));

        (void)skip;
        FUZZ_PROMISE(scan);
        scan->steps = thing->ino % 3;
        scan->user = (struct hf_user){.pid = 77, .comm = "other", .our_byte = thing->ino % 2};
        *ret = scan;
        return 0;
}

struct hf_user_scan *hf_user_scan_free(struct hf_user_scan *scan)
{
        free(scan);
        return NULL;
}

int hf_user_scan_step(struct hf_user_scan *scan, unsigned int processes)
{
        (void)processes;
        return scan->steps ? (int)scan->steps-- : 0;
}

const struct hf_user *hf_user_scan_users(const struct hf_user_scan *scan,
                                         const struct hf_thing *thing, size_t *ret_n)
{
        (void)thing;
        *ret_n = 1;
        return &scan->user;
}

/* ---- processes, whose pidfds are eventfds ---- */

static int ended[WORLD_PROCESSES]; /* readable: that process is dead */

bool world_is_dead(int fd)
{
        uint64_t value;
        bool is = read(fd, &value, sizeof(value)) == sizeof(value);

        if (is)
                FUZZ_PROMISE(write(fd, &value, sizeof(value)) == sizeof(value));
        return is;
}

void world_end_process(unsigned int pid)
{
        uint64_t one = 1;

        if (!world_is_dead(ended[pid]))
                FUZZ_PROMISE(write(ended[pid], &one, sizeof(one)) == sizeof(one));
}

bool hf_process_is_ending(pid_t pid)
{
        return pid >= 1 && pid < WORLD_PROCESSES && world_is_dead(ended[pid]);
}

int hf_process_pidfd_is_dead(int pidfd)
{
        return world_is_dead(pidfd);
}

int hf_process_start(pid_t pid, uint64_t *ret)
{
        *ret = (uint64_t)pid;
        return 0;
}

int hf_process_open(pid_t pid, int *ret_pidfd, struct hf_process *ret, struct hf_error *err)
{
        if (pid < 1 || pid >= WORLD_PROCESSES || world_is_dead(ended[pid]))
                return hf_error_sys(err, ESRCH, "process %d is not there", (int)pid);
        *ret = (struct hf_process){.pid = pid, .start = 1};
        *ret_pidfd = dup(ended[pid]);
        FUZZ_PROMISE(*ret_pidfd >= 0);
        return 0;
}

int hf_process_comm(pid_t pid, char *ret, size_t size)
{
        (void)pid;
        (void)snprintf(ret, size, "client");
        return 0;
}

void world_begin(void)
{
        for (size_t i = 0; i < FILES; i++)
                files[i] = 1 + i / 2;
        last_file = FILES;
        for (size_t i = 1; i < WORLD_PROCESSES; i++)
                FUZZ_PROMISE((ended[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) >= 0);
}

void world_end(void)
{
        for (size_t i = 1; i < WORLD_PROCESSES; i++)
                hf_close_fd(&ended[i]);
}

void world_replace_file(unsigned int n)
{
        files[n % FILES] = ++last_file;
}
