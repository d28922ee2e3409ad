/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/guard-private.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

/*
 * What is held, and how it is given back.
 *
 * Nothing here is undone by closing alone: the flag and the settings belong to the terminal, the
 * files to nobody, and flock to all duplicates of the descriptor, of which others may have one.
 */

struct hf_held *hf_held_find(struct hf_held_table *table, uint64_t id)
{
        for (size_t i = 0; i < table->n; i++)
                if (table->list[i].hold.id == id)
                        return &table->list[i];
        return NULL;
}

struct hf_held *hf_held_same(struct hf_held_table *table, const struct hf_hold *hold)
{
        for (size_t i = 0; i < table->n; i++) {
                const struct hf_hold *other = &table->list[i].hold;

                if (other->id != hold->id && other->kind == hold->kind && other->fs == hold->fs &&
                    other->rdev == hold->rdev)
                        return &table->list[i];
        }
        return NULL;
}

int hf_held_put(struct hf_held_table *table, const struct hf_hold *hold, int fd)
{
        struct hf_held *held = hf_held_find(table, hold->id);

        if (held) {
                held->hold = *hold;
                if (fd >= 0) {
                        hf_close_aside(hold, held->fd);
                        held->fd = fd;
                }
                return 0;
        }
        if (table->n == HF_GUARD_HOLDS_MAX)
                return -ENOSPC;
        if (table->n == table->room) {
                size_t room = table->room ? 2 * table->room : 16;

                held = realloc(table->list, room * sizeof(*held));
                if (!held)
                        return -ENOMEM;
                table->list = held;
                table->room = room;
        }
        table->list[table->n++] = (struct hf_held){.hold = *hold, .fd = fd};
        return 0;
}

void hf_held_drop(struct hf_held_table *table, struct hf_held *held)
{
        hf_close_aside(&held->hold, held->fd);
        *held = table->list[--table->n];
}

/* Its lock files, without those that another hold has as well: two devices of one base name. */
static void own_names(const struct hf_held_table *table, const struct hf_hold *hold,
                      struct hf_uucp *ret)
{
        *ret = hold->uucp;
        for (size_t i = 0; i < table->n; i++) {
                const struct hf_hold *other = &table->list[i].hold;

                for (int a = 0; other->id != hold->id && a < HF_UUCP_NAMES; a++)
                        for (int b = 0; b < HF_UUCP_NAMES; b++)
                                if (!strcmp(other->uucp.names[a], ret->names[b]))
                                        ret->names[b][0] = '\0';
        }
}

/*
 * The flag. A descriptor that is dead by a hang-up, in the middle of throwing somebody out, cannot
 * take it off; another one can.
 */
static void clear_flag(const struct hf_hold *hold, int fd)
{
        hf_cleanup_fd int again = -1;
        struct stat st;

        if (ioctl(fd, TIOCNXCL) == 0 || errno != EIO)
                return;
        again = open(hold->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (again >= 0 && fstat(again, &st) == 0 && st.st_rdev == hold->rdev)
                (void)ioctl(again, TIOCNXCL);
}

void hf_held_give_back(const struct hf_held_table *table, const char *lock_dir,
                       const struct hf_hold *hold, int fd)
{
        struct hf_uucp names;

        if (hold->kind != HF_DEVICE_TTY)
                return;
        /* At once, without waiting for what is still to be sent. */
        if (hold->has_termios)
                (void)tcsetattr(fd, TCSANOW, &hold->termios);
        if (hold->exclusive)
                clear_flag(hold, fd);
        own_names(table, hold, &names);
        hf_uucp_give_back(lock_dir, &names);
        (void)flock(fd, LOCK_UN);
}

void hf_held_give_all_back(const struct hf_held_table *table, const char *lock_dir,
                           uint32_t wait_ms)
{
        struct pollfd end = {.events = POLLIN};
        const struct hf_held_table none = {0};
        int pipe_fds[2];

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return;
        /* The flags first: they are what outlives us, and this waits for nobody. */
        for (size_t i = 0; i < table->n; i++)
                if (table->list[i].hold.exclusive)
                        (void)ioctl(table->list[i].fd, TIOCNXCL);
        for (size_t i = 0; i < table->n; i++) {
                pid_t pid = fork();

                if (pid > 0)
                        continue;
                hf_held_give_back(&none, lock_dir, &table->list[i].hold, table->list[i].fd);
                if (pid == 0)
                        _exit(0);
        }
        (void)close(pipe_fds[1]);
        end.fd = pipe_fds[0];
        (void)poll(&end, 1, (int)wait_ms);
        (void)close(pipe_fds[0]);
}

static bool may_wait(const struct hf_hold *hold)
{
        const struct stat st = {.st_mode = S_IFCHR, .st_rdev = (dev_t)hold->rdev};

        return hold->kind == HF_DEVICE_TTY && !hf_openers_is_pts(&st);
}

void hf_close_aside(const struct hf_hold *hold, int fd)
{
        hf_cleanup_fd int device = fd;
        int pipe_fds[2];
        char byte;

        if (fd < 0 || !may_wait(hold) || pipe2(pipe_fds, O_CLOEXEC) < 0)
                return;
        if (fork() == 0) {
                (void)dup2(pipe_fds[0], 0);
                (void)dup2(fd, 1);
                (void)close_range(2, ~0U, 0);
                (void)!read(0, &byte, 1); /* ends when our maker has closed the device */
                _exit(0);
        }
        hf_close_fd(&device);
        (void)close(pipe_fds[0]);
        (void)close(pipe_fds[1]);
}
