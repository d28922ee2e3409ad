/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/duplicate.h"

#include "base/cleanup.h"
#include "storage/resource.h"
#include "storage/users.h"

#include <errno.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

/* Whether the number led to the same descriptor when it was fetched as when it was looked at. */
static bool is_of(int fd, const struct hf_thing *thing)
{
        struct hf_thing now;
        struct stat st;

        return fstat(fd, &st) == 0 && hf_thing_of(&st, &now) == 0 && hf_thing_same(&now, thing);
}

/*
 * That it has the lock shows when the same lock is set again: another's would be in the way. What
 * its server has given up is not set again, which would take it anew.
 */
static int check(int fd, const struct hf_thing *thing, bool shared, bool *lost)
{
        int r;

        if (!is_of(fd, thing))
                return -ENOENT;
        if (lost && *lost)
                return 0;
        r = hf_resource_prove(fd, shared);
        if (r == -EIO && lost)
                *lost = true;
        return r < 0 && !(r == -EIO && lost) ? -ENOENT : 0;
}

static int fetch(int pidfd, int number, const struct hf_thing *thing, bool shared, bool *lost,
                 int *ret_fd)
{
        hf_cleanup_fd int fd = pidfd_getfd(pidfd, number, 0);
        int r = fd < 0 ? -errno : check(fd, thing, shared, lost);

        if (r >= 0)
                *ret_fd = hf_steal_fd(&fd);
        return r;
}

int hf_duplicate_fetch(pid_t pid, int pidfd, const struct hf_thing *thing, bool shared, bool *lost,
                       int *ret_fd)
{
        int numbers[8], r = -ENOENT;
        int n = hf_user_lock_fds(pid, thing, shared, numbers, (int)HF_ARRAY_LEN(numbers));

        for (int i = 0; i < n; i++) {
                r = fetch(pidfd, numbers[i], thing, shared, lost, ret_fd);
                if (r >= 0)
                        break;
        }
        return r;
}
