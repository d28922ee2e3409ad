/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/posix-lock.h"

#include "base/cleanup.h"
#include "storage/record.h"
#include "storage/resource.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* On virtlockd's byte. */
static int set_lock(int command, int fd, short type)
{
        struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};

        if (fcntl(fd, command, &lock) < 0)
                return errno == EACCES ? -EAGAIN : -errno;
        return 0;
}

/* As a release of an OFD lock does; see resource.c for why each question is asked. */
static void unlink_if_ours_alone(int fd, const char *path)
{
        struct stat st, named;

        if (hf_resource_is_shared_with_hosts(fd) || set_lock(F_SETLK, fd, F_WRLCK) < 0)
                return;
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
            (st.st_size == 0 || hf_record_is_all(fd)) && stat(path, &named) == 0 &&
            named.st_dev == st.st_dev && named.st_ino == st.st_ino)
                (void)unlink(path);
}

int hf_posix_prove(int fd, bool shared)
{
        return set_lock(F_SETLK, fd, shared ? F_RDLCK : F_WRLCK);
}

int hf_posix_to_ofd(int fd, bool shared)
{
        /* Each step leaves one of the two locks there. */
        int r = set_lock(F_SETLK, fd, F_RDLCK);

        if (r >= 0)
                r = set_lock(F_OFD_SETLK, fd, F_RDLCK);
        if (r >= 0)
                r = set_lock(F_SETLK, fd, F_UNLCK);
        return r < 0 || shared ? r : set_lock(F_OFD_SETLK, fd, F_WRLCK);
}

void hf_posix_give(int fd, const char *unlink_path)
{
        if (unlink_path)
                unlink_if_ours_alone(fd, unlink_path);
        (void)set_lock(F_SETLK, fd, F_UNLCK);
        (void)set_lock(F_OFD_SETLK, fd, F_UNLCK);
        (void)close(fd);
}

/* "lock:\t1: POSIX  ADVISORY  WRITE 4711 08:01:42 0 0", of one whose owner the table is. */
static enum hf_posix_lock read_lock_line(const char *line)
{
        unsigned long long start;
        char kind[16], mode[16];

        if (sscanf(line, "lock:\t%*d: %15s %*s %15s %*d %*s %llu", kind, mode, &start) != 3 ||
            strcmp(kind, "POSIX") != 0 || start != 0)
                return HF_POSIX_NONE;
        return !strcmp(mode, "WRITE") ? HF_POSIX_EXCLUSIVE : HF_POSIX_SHARED;
}

int hf_posix_lock_of(int fd, enum hf_posix_lock *ret)
{
        hf_cleanup_file FILE *file = NULL;
        enum hf_posix_lock found = HF_POSIX_NONE;
        char name[64], line[256];

        (void)snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
        file = fopen(name, "re");
        if (!file)
                return errno == ENOENT ? -EBADF : -errno;
        while (found == HF_POSIX_NONE && fgets(line, sizeof(line), file))
                found = read_lock_line(line);
        *ret = found;
        return 0;
}
