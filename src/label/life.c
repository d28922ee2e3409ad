/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "label/life.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"

#include <fcntl.h>
#include <string.h>

/* "PID-START": unique while the host is up. */
#define NAME_MAX_LEN 48

bool hf_life_of_process(pid_t pid, uint64_t start)
{
        uint64_t now;
        int r = hf_process_start(pid, &now);

        /* Hidden from us, it is there nevertheless. */
        return r < 0 ? r != -ESRCH && r != -ENOENT : now == start;
}

/* Whether somebody has the lock on that file; one that cannot be asked counts as held. */
static bool is_held(int dir, const char *name)
{
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
        hf_cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

        if (fd < 0)
                return errno != ENOENT;
        return fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

static int open_dir(const char *dir)
{
        return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

enum hf_label_life hf_life_of(const char *dir, const struct hf_label_host *host,
                              const struct hf_label_user *user)
{
        hf_cleanup_fd int lives = -1;
        char name[NAME_MAX_LEN];

        if (memcmp(user->machine, host->machine, sizeof(user->machine)) != 0)
                return HF_LABEL_ELSEWHERE;
        if (memcmp(user->boot, host->boot, sizeof(user->boot)) != 0)
                return HF_LABEL_DEAD;
        if (hf_life_of_process(user->pid, user->start))
                return HF_LABEL_ALIVE;
        (void)snprintf(name, sizeof(name), "%d-%llu", (int)user->pid,
                       (unsigned long long)user->start);
        lives = open_dir(dir);
        if (lives < 0)
                return errno == ENOENT ? HF_LABEL_DEAD : HF_LABEL_ALIVE;
        return is_held(lives, name) ? HF_LABEL_ALIVE : HF_LABEL_DEAD;
}

int hf_life_begin(const char *dir, const struct hf_label_user *user, int *ret_fd,
                  struct hf_error *err)
{
        struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
        hf_cleanup_free char *path = NULL;
        hf_cleanup_fd int fd = -1;
        int r = hf_path_make_dirs(dir, 0700, err);

        if (r < 0)
                return r;
        if (asprintf(&path, "%s/%d-%llu", dir, (int)user->pid, (unsigned long long)user->start) <
            0) {
                path = NULL;
                return hf_error_sys(err, ENOMEM, "cannot name a file in %s", dir);
        }
        /*
         * Only this process can have made one by that name before. For reading: the VM may be
         * another user's, who shall not fill our filesystem by it.
         */
        fd = open(path, O_RDONLY | O_CREAT | O_NOFOLLOW, 0600);
        if (fd < 0)
                return hf_error_sys(err, errno, "cannot make %s", path);
        if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
                return hf_error_sys(err, errno, "cannot lock %s", path);
        *ret_fd = hf_steal_fd(&fd);
        return 0;
}

void hf_life_sweep(const char *dir)
{
        hf_cleanup_dir DIR *entries = opendir(dir);
        struct dirent *entry;

        while (entries && (entry = readdir(entries))) {
                unsigned long long start;
                int pid;

                if (sscanf(entry->d_name, "%d-%llu", &pid, &start) != 2 || pid <= 0 ||
                    hf_life_of_process(pid, start) || is_held(dirfd(entries), entry->d_name))
                        continue;
                (void)unlinkat(dirfd(entries), entry->d_name, 0);
        }
}
