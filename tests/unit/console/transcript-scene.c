/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "transcript-scene.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct scene scene;

void start_writer_with(void (*first)(void))
{
        int ends[2];

        assert_int_equal(hf_transcript_pair(ends), 0);
        scene.writer = fork();
        assert_true(scene.writer >= 0);
        if (scene.writer == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                close(ends[0]);
                if (first)
                        first();
                hf_transcript_serve(ends[1], &scene.settings);
        }
        close(ends[1]);
        scene.fd = ends[0];
        hf_transcript_begin(&scene.link);
}

void start_writer(void)
{
        start_writer_with(NULL);
}

void new_ring(uint64_t run)
{
        hf_ring_init(&scene.ring, RING_SIZE);
        hf_transcript_link_init(&scene.link, 1, run);
}

int setup(void **state)
{
        (void)state;
        memset(&scene, 0, sizeof(scene));
        strcpy(scene.dir, "/tmp/holdfast-transcript-XXXXXX");
        assert_non_null(mkdtemp(scene.dir));
        strcpy(scene.settings.dir, scene.dir);
        scene.settings.max_size = 0;
        scene.settings.max_backups = 3;
        scene.now = 1000 * SECONDS;
        scene.fd = -1;
        new_ring(77);
        return 0;
}

void kill_writer(void)
{
        if (scene.writer <= 0)
                return;
        (void)kill(scene.writer, SIGKILL);
        (void)waitpid(scene.writer, NULL, 0);
        scene.writer = 0;
        hf_close_fd(&scene.fd);
}

static int remove_it(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
        (void)st;
        (void)what;
        (void)ftw;
        return remove(path);
}

int teardown(void **state)
{
        (void)state;
        kill_writer();
        return nftw(scene.dir, remove_it, 16, FTW_DEPTH | FTW_PHYS);
}

void print(const char *text)
{
        size_t len = strlen(text), at = 0;
        struct iovec room[2];
        int n = hf_ring_room(&scene.ring, scene.bytes, len, room);

        hf_ring_expect(&scene.ring, len);
        for (int i = 0; i < n; at += room[i].iov_len, i++)
                memcpy(room[i].iov_base, text + at, room[i].iov_len);
        hf_ring_arrived(&scene.ring, scene.now);
}

int turn(void)
{
        struct hf_transcript_answer answer;
        int r = hf_transcript_offer(&scene.link, scene.fd, NAME, &scene.ring, scene.bytes,
                                    scene.now);
        int heard;

        while ((heard = hf_transcript_receive(scene.fd, &answer)) > 0)
                hf_transcript_heard(&scene.link, &answer);
        return heard < 0 ? heard : r;
}

void run_until_offered(void)
{
        for (int i = 0; i < 5000; i++) {
                int r = turn();

                assert_true(r >= 0 || r == -EAGAIN);
                if (scene.link.opened && scene.link.position == hf_ring_head(&scene.ring))
                        return;
                (void)poll(NULL, 0, 1);
        }
        fail_msg("the writer does not take it");
}

void finish_writer(void)
{
        int status;

        run_until_offered();
        hf_close_fd(&scene.fd);
        assert_int_equal(waitpid(scene.writer, &status, 0), scene.writer);
        scene.writer = 0;
        assert_int_equal(status, 0);
}

const char *content(const char *name)
{
        static char text[65536];
        char path[256];
        ssize_t n;
        hf_cleanup_fd int fd = -1;

        snprintf(path, sizeof(path), "%s/%s", scene.dir, name);
        fd = open(path, O_RDONLY);
        if (fd < 0)
                return NULL;
        n = read(fd, text, sizeof(text) - 1);
        assert_true(n >= 0);
        text[n] = '\0';
        return text;
}

void put(const char *name, const char *text)
{
        char path[256];
        hf_cleanup_fd int fd = -1;

        snprintf(path, sizeof(path), "%s/%s", scene.dir, name);
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}
