/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "helper.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

static char folder[] = "/tmp/holdfast-storage.XXXXXX";

int helper_make_folder(void **state)
{
        (void)state;
        return mkdtemp(folder) ? 0 : -1;
}

int helper_remove_folder(void **state)
{
        const struct dirent *entry;
        DIR *dir = opendir(folder);

        (void)state;
        while (dir && (entry = readdir(dir)))
                if (entry->d_name[0] != '.' && unlinkat(dirfd(dir), entry->d_name, 0) < 0)
                        (void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
        if (dir)
                (void)closedir(dir);
        return rmdir(folder);
}

const char *helper_path(const char *name)
{
        static char paths[8][HELPER_PATH_MAX];
        static unsigned int next;
        char *path = paths[next++ % HF_ARRAY_LEN(paths)];

        assert_true(snprintf(path, HELPER_PATH_MAX, "%s/%s", folder, name) < HELPER_PATH_MAX);
        return path;
}

const char *helper_file(const char *name, const char *text)
{
        const char *path = helper_path(name);
        hf_cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_int_not_equal(fd, -1);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        return path;
}

pid_t helper_spawn(void (*body)(void *data), void *data)
{
        int ready[2];
        char byte;
        pid_t pid;

        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                body(data);
                (void)!write(ready[1], "x", 1);
                for (;;)
                        (void)pause();
        }
        (void)close(ready[1]);
        /* A child that leaves by exec or dies gives no byte, but the end of the pipe. */
        assert_true(read(ready[0], &byte, 1) >= 0);
        (void)close(ready[0]);
        return pid;
}

void helper_reap(pid_t pid)
{
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}
