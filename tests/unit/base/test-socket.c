/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/socket.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cmocka.h>

static char folder[] = "/tmp/holdfast-socket.XXXXXX";
static char path[64];

/* What bind found: whether another one that starts would have had to wait. */
static bool was_locked;

static bool is_locked(void)
{
        hf_cleanup_fd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* In place of the C library's: who may write the folder puts something else where we have bound. */
static const char *put_there;

int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t n)
{
        int r = (int)syscall(SYS_bind, fd, address.__sockaddr__, n);
        int saved = errno;

        was_locked = is_locked();
        if (r == 0 && put_there) {
                assert_int_equal(unlink(path), 0);
                assert_int_equal(symlink(put_there, path), 0);
        }
        errno = saved;
        return r;
}

static int make_folder(void **state)
{
        (void)state;
        if (!mkdtemp(folder))
                return -1;
        (void)snprintf(path, sizeof(path), "%s/sock", folder);
        return 0;
}

static int remove_folder(void **state)
{
        (void)state;
        return rmdir(folder);
}

static int remove_socket(void **state)
{
        (void)state;
        (void)unlink(path);
        return 0;
}

static void a_listener_has_exactly_the_mode_asked_for(void **state)
{
        static const mode_t modes[] = {0600, 0666, 0770};
        mode_t old = umask(022);

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(modes); i++) {
                hf_cleanup_fd int fd = -1;
                struct stat st;

                assert_int_equal(hf_socket_listen(path, modes[i], 5, &fd, NULL), 0);
                assert_int_equal(stat(path, &st), 0);
                assert_int_equal(st.st_mode & 07777, modes[i]);
                assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
                assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
                (void)unlink(path);
        }
        (void)umask(old);
}

static void a_dead_socket_is_replaced(void **state)
{
        hf_cleanup_fd int first = -1, second = -1, client = -1;

        (void)state;
        assert_int_equal(hf_socket_listen(path, 0600, 5, &first, NULL), 0);
        hf_close_fd(&first);
        assert_int_equal(hf_socket_probe(path, NULL, NULL), 0);
        assert_int_equal(hf_socket_listen(path, 0600, 5, &second, NULL), 0);
        assert_int_equal(hf_socket_connect(path, -1, &client, NULL), 0);
}

static void a_live_socket_is_never_displaced_and_its_process_is_named(void **state)
{
        hf_cleanup_fd int first = -1, client = -1;
        struct hf_peer peer = {0};
        struct hf_error err;
        char wanted[128];
        int second = -1;

        (void)state;
        assert_int_equal(hf_socket_listen(path, 0600, 5, &first, NULL), 0);
        assert_int_equal(hf_socket_probe(path, &peer, NULL), 1);
        assert_int_equal(peer.pid, getpid());
        assert_int_equal(hf_socket_listen(path, 0600, 5, &second, &err), -EADDRINUSE);
        assert_int_equal(second, -1);
        (void)snprintf(wanted, sizeof(wanted), "process %d serves %s", getpid(), path);
        assert_non_null(strstr(err.text, wanted));
        assert_int_equal(hf_socket_connect(path, -1, &client, NULL), 0);
}

static void a_listener_with_a_full_queue_is_alive(void **state)
{
        hf_cleanup_fd int listener = -1, one = -1, two = -1;
        int three = -1;

        (void)state;
        assert_int_equal(hf_socket_listen(path, 0600, 0, &listener, NULL), 0);
        assert_int_equal(hf_socket_connect(path, 0, &one, NULL), 0);
        assert_int_equal(hf_socket_connect(path, 0, &two, NULL), -EAGAIN);
        assert_int_equal(hf_socket_probe(path, NULL, NULL), 1);
        assert_int_equal(hf_socket_listen(path, 0600, 0, &three, NULL), -EADDRINUSE);
}

static void a_file_that_is_no_socket_is_kept(void **state)
{
        struct stat st;
        int fd = -1;

        (void)state;
        assert_int_equal(mknod(path, S_IFREG | 0600, 0), 0);
        assert_int_equal(hf_socket_listen(path, 0600, 5, &fd, NULL), -EADDRINUSE);
        assert_int_equal(stat(path, &st), 0);
}

static void a_link_in_the_sockets_place_changes_no_other_files_mode(void **state)
{
        hf_cleanup_free char *other = NULL;
        hf_cleanup_fd int file = -1, fd = -1;
        mode_t old = umask(077);
        struct stat st;

        (void)state;
        assert_true(asprintf(&other, "%s/other", folder) > 0);
        file = open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        put_there = other;
        assert_true(hf_socket_listen(path, 0666, 5, &fd, NULL) < 0);
        put_there = NULL;
        (void)umask(old);
        assert_int_equal(fstat(file, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(unlink(other), 0);
}

static void of_two_that_start_at_once_the_second_waits_until_the_first_listens(void **state)
{
        hf_cleanup_fd int fd = -1;

        (void)state;
        assert_int_equal(hf_socket_listen(path, 0600, 5, &fd, NULL), 0);
        assert_true(was_locked);
        assert_false(is_locked());
}

static void who_keeps_the_folder_locked_keeps_nobody_from_starting(void **state)
{
        hf_cleanup_fd int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;

        (void)state;
        assert_int_equal(flock(lock, LOCK_EX), 0);
        assert_int_equal(hf_socket_listen(path, 0600, 5, &fd, NULL), 0);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
        char longer[200] = "/";
        int fd = -1;

        (void)state;
        memset(longer + 1, 'x', 150);
        assert_int_equal(hf_socket_listen(longer, 0600, 5, &fd, NULL), -ENAMETOOLONG);
        assert_int_equal(hf_socket_connect(longer, -1, &fd, NULL), -ENAMETOOLONG);
}

static void a_peer_is_known_by_pid_and_user(void **state)
{
        struct hf_peer peer;
        int pair[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(hf_socket_peer(pair[0], &peer, NULL), 0);
        assert_int_equal(peer.pid, getpid());
        assert_int_equal(peer.uid, geteuid());
        assert_int_equal(peer.gid, getegid());
        (void)close(pair[0]);
        (void)close(pair[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_listener_has_exactly_the_mode_asked_for),
                cmocka_unit_test_teardown(a_dead_socket_is_replaced, remove_socket),
                cmocka_unit_test_teardown(a_live_socket_is_never_displaced_and_its_process_is_named,
                                          remove_socket),
                cmocka_unit_test_teardown(a_listener_with_a_full_queue_is_alive, remove_socket),
                cmocka_unit_test_teardown(a_file_that_is_no_socket_is_kept, remove_socket),
                cmocka_unit_test_teardown(a_link_in_the_sockets_place_changes_no_other_files_mode,
                                          remove_socket),
                cmocka_unit_test_teardown(
                        of_two_that_start_at_once_the_second_waits_until_the_first_listens,
                        remove_socket),
                cmocka_unit_test_teardown(who_keeps_the_folder_locked_keeps_nobody_from_starting,
                                          remove_socket),
                cmocka_unit_test(a_path_that_is_too_long_is_refused),
                cmocka_unit_test(a_peer_is_known_by_pid_and_user),
        };

        return cmocka_run_group_tests_name("socket", tests, make_folder, remove_folder);
}
