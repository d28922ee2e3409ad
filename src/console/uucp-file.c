/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/uucp-private.h"

#include "base/cleanup.h"
#include "base/process.h"
#include "console/openers.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sysmacros.h>
#include <time.h>

/* So long a file without a pid is one that its maker is about to write: seconds, for a machine
 * that is busy. Nobody waits for it longer than once. */
#define YOUNG_SEC 10

/* More than anybody writes; a pid comes first. */
#define READ_MAX 64

/* The old form: the number as the machine has it. */
#define BINARY_SIZE 4

/* A number below 2^24 has a byte in it that no text has. */
static bool is_text(const uint8_t *content, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (!isprint(content[i]) && !isspace(content[i]))
                        return false;
        return true;
}

pid_t hf_uucp_parse(const uint8_t *content, size_t len)
{
        size_t at = 0, first;
        int64_t pid = 0;
        int32_t binary;

        if (len == BINARY_SIZE && !is_text(content, len)) {
                memcpy(&binary, content, sizeof(binary));
                return binary > 0 ? binary : 0;
        }
        while (at < len && isspace(content[at]))
                at++;
        for (first = at; at < len && isdigit(content[at]); at++) {
                pid = pid * 10 + (content[at] - '0');
                if (pid > INT_MAX)
                        return 0;
        }
        if (at == first || (at < len && content[at] && !isspace(content[at])))
                return 0;
        return (pid_t)pid;
}

void hf_uucp_format(pid_t pid, char content[HF_UUCP_CONTENT + 1])
{
        (void)snprintf(content, HF_UUCP_CONTENT + 1, "%10d\n", (int)pid);
}

static void add(struct hf_uucp_all *all, const char *name)
{
        if (strlen(name) > NAME_MAX || all->n == HF_UUCP_LOOKED_MAX)
                return;
        for (size_t i = 0; i < all->n; i++)
                if (!strcmp(all->names[i], name))
                        return;
        (void)snprintf(all->names[all->n++], NAME_MAX + 1, "%s", name);
}

/* "LCK.." and the path from skip on, with slashes as underscores. */
static void add_path(struct hf_uucp_all *all, const char *path, size_t skip)
{
        char name[PATH_MAX + 8];
        int n = snprintf(name, sizeof(name), "LCK..%s", path + skip);

        if (n < 0 || (size_t)n >= sizeof(name))
                return;
        for (char *c = name; *c; c++)
                if (*c == '/')
                        *c = '_';
        add(all, name);
}

static size_t below_dev(const char *path)
{
        if (!strncmp(path, "/dev/", 5) && path[5])
                return 5;
        return *path == '/' ? 1 : 0;
}

static void add_both(struct hf_uucp_all *all, const char *path)
{
        const char *base = strrchr(path, '/');

        add_path(all, path, below_dev(path));
        add_path(all, base ? base + 1 : path, 0);
}

void hf_uucp_all_names(const char *path, dev_t rdev, struct hf_uucp_all *ret)
{
        hf_cleanup_free char *real = realpath(path, NULL);
        const char *name = real ?: path;
        char number[64];

        memset(ret, 0, sizeof(*ret));
        add_both(ret, name);
        /* libvirt's has the slash behind /dev, too. */
        add_path(ret, name, below_dev(name) == 5 ? 4 : 0);
        ret->n_made = ret->n;
        if (strcmp(name, path) != 0)
                add_both(ret, path);
        if (!rdev)
                return;
        (void)snprintf(number, sizeof(number), "LCK.%03u.%03u", major(rdev), minor(rdev));
        add(ret, number);
        (void)snprintf(number, sizeof(number), "LK.000.%03u.%03u", major(rdev), minor(rdev));
        add(ret, number);
}

static bool is_young(const struct stat *st)
{
        time_t now = time(NULL);

        /* A time that lies far ahead is as wrong as an old one. */
        return st->st_mtime > now - YOUNG_SEC && st->st_mtime < now + YOUNG_SEC;
}

static bool is_open(const struct stat *st)
{
        struct hf_openers *who = malloc(sizeof(*who));
        bool open;

        if (!who)
                return true;
        hf_openers_find(st, -1, who);
        open = who->n > 0;
        free(who);
        return open;
}

static bool is_listed(const pid_t *list, pid_t pid)
{
        for (; list && *list; list++)
                if (*list == pid)
                        return true;
        return false;
}

/* A process that has ended but was not waited for holds nothing any more. */
static bool is_alive(pid_t pid)
{
        uint64_t start;

        return hf_process_start(pid, &start) != -ESRCH;
}

static enum hf_uucp_state judge(const struct stat *st, pid_t pid, const pid_t *take_from)
{
        if (!S_ISREG(st->st_mode))
                return HF_UUCP_TAKEN;
        if (pid)
                return !is_listed(take_from, pid) && is_alive(pid) ? HF_UUCP_TAKEN : HF_UUCP_DEAD;
        return is_young(st) || is_open(st) ? HF_UUCP_TAKEN : HF_UUCP_DEAD;
}

/* What it is, and says; judged only if it cannot be seen. False: there is no more to be known. */
static bool see(int dir, const char *name, struct hf_uucp_seen *ret, struct stat *ret_st)
{
        uint8_t content[READ_MAX];
        hf_cleanup_fd int fd = openat(dir, name,
                                      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        int error = fd < 0 ? errno : 0;
        ssize_t n = 0;

        memset(ret, 0, sizeof(*ret));
        if (error == ENOENT)
                return false;
        if (fd >= 0 ? fstat(fd, ret_st) < 0 : fstatat(dir, name, ret_st, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        if (fd >= 0 && S_ISREG(ret_st->st_mode))
                n = read(fd, content, sizeof(content));
        ret->dev = ret_st->st_dev;
        ret->ino = ret_st->st_ino;
        ret->pid = n > 0 ? hf_uucp_parse(content, (size_t)n) : 0;
        /* For want of a descriptor or memory: it may be anybody's. */
        if (n >= 0 && (!error || error == EACCES || error == EPERM || error == ELOOP))
                return true;
        ret->state = HF_UUCP_TAKEN;
        return false;
}

void hf_uucp_look(int dir, const char *name, const pid_t *take_from, struct hf_uucp_seen *ret)
{
        struct stat st;

        if (see(dir, name, ret, &st))
                ret->state = judge(&st, ret->pid, take_from);
}

void hf_uucp_look_for(int dir, const char *name, pid_t pid, struct hf_uucp_seen *ret)
{
        struct stat st;

        if (see(dir, name, ret, &st) && ret->pid == pid)
                ret->state = judge(&st, pid, NULL);
}

void hf_uucp_name_aside(const char *kind, char ret[HF_UUCP_ASIDE_MAX])
{
        uint64_t number = 0;

        (void)!getrandom(&number, sizeof(number), GRND_NONBLOCK);
        (void)snprintf(ret, HF_UUCP_ASIDE_MAX, HF_UUCP_ASIDE "%s.%d.%016" PRIx64, kind,
                       (int)getpid(), number);
}

int hf_uucp_remove(int dir, const char *name, const struct hf_uucp_seen *seen)
{
        char aside[HF_UUCP_ASIDE_MAX];
        struct stat st;
        int r = 0;

        /*
         * Programs that do not lock the directory may put a new file in its place at any moment. So
         * it is moved away first, and only then looked at; another one than was meant goes back.
         */
        hf_uucp_name_aside("old", aside);
        if (renameat(dir, name, dir, aside) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (fstatat(dir, aside, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != seen->ino ||
            st.st_dev != seen->dev) {
                (void)!linkat(dir, aside, dir, name, 0);
                r = -EAGAIN;
        }
        (void)unlinkat(dir, aside, 0);
        return r;
}

void hf_uucp_remove_aside(int dir, const char *name)
{
        const size_t skip = strlen(HF_UUCP_ASIDE "new.");
        struct hf_uucp_seen seen;
        struct stat st;
        pid_t maker;

        if (strncmp(name, HF_UUCP_ASIDE "new.", skip) != 0 &&
            strncmp(name, HF_UUCP_ASIDE "old.", skip) != 0)
                return;
        maker = hf_uucp_parse((const uint8_t *)name + skip, strspn(name + skip, "0123456789"));
        if (!maker || is_alive(maker) || !see(dir, name, &seen, &st) || !S_ISREG(st.st_mode))
                return;
        /* Nobody looks for such a name, and who would have written it is dead, however young it is.
         */
        if (!seen.pid || !is_alive(seen.pid))
                (void)unlinkat(dir, name, 0);
}
