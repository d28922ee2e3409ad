/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uucp-scene.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

char lock_dir[64];

pid_t alive, dead;

void forget_files(void)
{
        hf_cleanup_dir DIR *list = opendir(lock_dir);

        for (struct dirent *e; list && (e = readdir(list)) != NULL;)
                (void)unlinkat(dirfd(list), e->d_name, 0);
}

int make_dir(void **state)
{
        (void)state;
        (void)snprintf(lock_dir, sizeof(lock_dir), "/tmp/hf-uucp-XXXXXX");
        return mkdtemp(lock_dir) ? 0 : -1;
}

int remove_dir(void **state)
{
        (void)state;
        (void)chmod(lock_dir, 0700);
        forget_files();
        return rmdir(lock_dir);
}

int make_processes(void **state)
{
        (void)state;
        alive = fork();
        if (alive == 0)
                for (;;)
                        (void)pause();
        dead = fork();
        if (dead == 0)
                _exit(0);
        return waitpid(dead, NULL, 0) == dead ? 0 : -1;
}

int end_processes(void **state)
{
        (void)state;
        (void)kill(alive, SIGKILL);
        return waitpid(alive, NULL, 0) == alive ? 0 : -1;
}

void put(const char *name, const void *content, size_t len, int age_sec)
{
        const struct timespec times[2] = {{.tv_sec = time(NULL) - age_sec},
                                          {.tv_sec = time(NULL) - age_sec}};
        char path[PATH_MAX];
        int fd;

        (void)snprintf(path, sizeof(path), "%s/%s", lock_dir, name);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, len), len);
        assert_int_equal(futimens(fd, times), 0);
        (void)close(fd);
}

void put_pid(const char *name, pid_t pid)
{
        char content[HF_UUCP_CONTENT + 1];

        hf_uucp_format(pid, content);
        put(name, content, HF_UUCP_CONTENT, 100);
}

pid_t in_file(const char *name)
{
        uint8_t content[64];
        char path[PATH_MAX];
        hf_cleanup_fd int fd = -1;
        ssize_t n;

        (void)snprintf(path, sizeof(path), "%s/%s", lock_dir, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -1;
        n = read(fd, content, sizeof(content));
        return n < 0 ? -1 : hf_uucp_parse(content, (size_t)n);
}

size_t count_files(void)
{
        hf_cleanup_dir DIR *list = opendir(lock_dir);
        size_t n = 0;

        for (struct dirent *e; list && (e = readdir(list)) != NULL;)
                n += e->d_name[0] != '.';
        return n;
}

int take(struct hf_uucp *ret, struct hf_uucp_holder *ret_holder)
{
        struct hf_error err;

        return hf_uucp_take(lock_dir, PATH, RDEV, getpid(), NULL, ret, ret_holder, &err);
}
