/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/pty.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* -1: that descriptor is no master of a terminal. */
static int index_of(pid_t pid, const char *fd)
{
        char path[64], line[128];
        hf_cleanup_file FILE *file = NULL;
        int index;

        (void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.16s", (int)pid, fd);
        file = fopen(path, "re");
        while (file && fgets(line, sizeof(line), file))
                if (sscanf(line, "tty-index: %d", &index) == 1)
                        return index;
        return -1;
}

bool hf_pty_is_here(pid_t pid, const char *path)
{
        char theirs[PATH_MAX];
        struct stat here, there;

        if (stat(path, &here) < 0 || !S_ISCHR(here.st_mode))
                return false;
        if (snprintf(theirs, sizeof(theirs), "/proc/%d/root%s", (int)pid, path) >=
            (int)sizeof(theirs))
                return false;
        if (stat(theirs, &there) < 0)
                return errno == EACCES || errno == EPERM;
        return there.st_dev == here.st_dev && there.st_rdev == here.st_rdev;
}

static void add(struct hf_ptys *ptys, const char *path)
{
        for (size_t i = 0; i < ptys->n; i++)
                if (!strcmp(ptys->paths[i], path))
                        return;
        if (ptys->n < HF_PTYS_MAX)
                (void)snprintf(ptys->paths[ptys->n++], HF_PTY_PATH_MAX, "%s", path);
}

/* Descriptors in their order, which is that of opening, mostly. */
static int by_number(const struct dirent **one, const struct dirent **other)
{
        size_t a = strlen((*one)->d_name), b = strlen((*other)->d_name);

        return a != b ? (a < b ? -1 : 1) : strcmp((*one)->d_name, (*other)->d_name);
}

int hf_ptys_of(pid_t pid, struct hf_ptys *ret)
{
        char dir[64], path[HF_PTY_PATH_MAX];
        struct dirent **fds;
        int n;

        (void)snprintf(dir, sizeof(dir), "/proc/%d/fdinfo", (int)pid);
        n = scandir(dir, &fds, NULL, by_number);
        if (n < 0)
                return -errno;
        ret->n = 0;
        for (int i = 0; i < n; i++) {
                int index = index_of(pid, fds[i]->d_name);

                (void)snprintf(path, sizeof(path), "/dev/pts/%d", index);
                if (index >= 0 && hf_pty_is_here(pid, path))
                        add(ret, path);
                free(fds[i]);
        }
        free(fds);
        return 0;
}
