/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/resource.h"

#include "base/cleanup.h"
#include "helper.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

/* So many processes take a lock file that goes with its lock, each so often. */
#define RACERS      4
#define RACE_ROUNDS 3000

static struct hf_resource_result take(const char *path, bool shared, bool autocreate)
{
        struct hf_resource_request request = {
                .path = path, .shared = shared, .autocreate = autocreate};
        struct hf_resource_result result;

        hf_resource_take(&request, &result);
        assert_true((result.status == 0) == (result.fd >= 0));
        return result;
}

/* Takes what must be free. Returns the descriptor. */
static int taken(const char *path, bool shared, bool autocreate)
{
        struct hf_resource_result result = take(path, shared, autocreate);

        assert_int_equal(result.status, 0);
        return result.fd;
}

static bool exists(const char *path)
{
        return access(path, F_OK) == 0;
}

static void who_has_it_alone_has_it_alone(void **state)
{
        const char *path = helper_file("disk", "");
        int fd = taken(path, false, false);

        (void)state;
        assert_int_equal(take(path, false, false).status, -EAGAIN);
        assert_int_equal(take(path, true, false).status, -EAGAIN);
        hf_resource_give(fd, NULL);
        fd = taken(path, true, false);
        hf_resource_give(fd, NULL);
        assert_true(exists(path));
}

static void sharers_share(void **state)
{
        const char *path = helper_file("disk", "");
        int one = taken(path, true, false), two = taken(path, true, false);

        (void)state;
        assert_int_equal(take(path, false, false).status, -EAGAIN);
        hf_resource_give(one, NULL);
        assert_int_equal(take(path, false, false).status, -EAGAIN);
        hf_resource_give(two, NULL);
        hf_resource_give(taken(path, false, false), NULL);
}

static void all_names_of_a_file_are_one_thing(void **state)
{
        const char *path = helper_file("disk", ""), *link_path = helper_path("hard-link");
        const char *symlink_path = helper_path("symlink"), *dot_path = helper_path("./disk");
        const char *names[] = {path, link_path, symlink_path, dot_path};
        struct hf_thing first, thing;
        int fd;

        (void)state;
        assert_int_equal(link(path, link_path), 0);
        assert_int_equal(symlink("disk", symlink_path), 0);
        assert_int_equal(hf_resource_identify(path, &first), 0);
        assert_int_equal(first.kind, HF_THING_FILE);
        fd = taken(path, false, false);
        for (size_t i = 0; i < HF_ARRAY_LEN(names); i++) {
                struct hf_resource_result result = take(names[i], false, false);

                assert_int_equal(result.status, -EAGAIN);
                assert_true(hf_thing_same(&result.file, &first));
                assert_int_equal(hf_resource_identify(names[i], &thing), 0);
                assert_true(hf_thing_same(&thing, &first));
        }
        hf_resource_give(fd, NULL);
        assert_int_equal(hf_resource_identify(helper_file("other", ""), &thing), 0);
        assert_false(hf_thing_same(&thing, &first));
        assert_int_equal(unlink(link_path), 0);
        assert_int_equal(unlink(symlink_path), 0);
}

static void the_lock_is_on_the_first_byte_and_no_other(void **state)
{
        const char *path = helper_file("disk", "");
        int fd = taken(path, false, false), probe = open(path, O_RDWR | O_CLOEXEC);
        struct flock first = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
        struct flock rest = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 0};

        (void)state;
        assert_int_equal(fcntl(probe, F_OFD_GETLK, &first), 0);
        assert_int_equal(first.l_type, F_WRLCK);
        assert_int_equal(first.l_start, 0);
        assert_int_equal(first.l_len, 1);
        assert_int_equal(fcntl(probe, F_OFD_GETLK, &rest), 0);
        assert_int_equal(rest.l_type, F_UNLCK);
        (void)close(probe);
        hf_resource_give(fd, NULL);
}

static void lock_as_virtlockd(void *data)
{
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
        int fd = open(data, O_RDWR | O_CLOEXEC);

        if (fcntl(fd, F_SETLK, &lock) < 0)
                _exit(1);
}

static void a_stock_virtlockd_and_we_exclude_one_another(void **state)
{
        const char *path = helper_file("disk", "");
        pid_t pid = helper_spawn(lock_as_virtlockd, (void *)(uintptr_t)path);

        (void)state;
        assert_int_equal(take(path, false, false).status, -EAGAIN);
        assert_int_equal(take(path, true, false).status, -EAGAIN);
        helper_reap(pid);
        hf_resource_give(taken(path, false, false), NULL);
}

static void giving_frees_it_for_duplicates_of_the_descriptor_too(void **state)
{
        const char *path = helper_file("disk", "");
        int fd = taken(path, false, false), duplicate = dup(fd);

        (void)state;
        hf_resource_give(fd, NULL);
        hf_resource_give(taken(path, false, false), NULL);
        (void)close(duplicate);
}

static void closing_another_descriptor_of_the_file_frees_nothing(void **state)
{
        const char *path = helper_file("disk", "");
        int fd = taken(path, false, false), other = open(path, O_RDWR | O_CLOEXEC);

        (void)state;
        (void)close(other);
        assert_int_equal(take(path, false, false).status, -EAGAIN);
        hf_resource_give(fd, NULL);
}

static void a_sharer_needs_no_right_to_write(void **state)
{
        int fd = taken(helper_file("disk", ""), true, false);

        (void)state;
        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        assert_int_not_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
        hf_resource_give(fd, NULL);
}

static void what_is_no_file_or_block_device_is_refused_at_once(void **state)
{
        const char *fifo = helper_path("fifo"), *sock = helper_path("socket"),
                   *loop = helper_path("loop");
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        hf_cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct hf_thing thing;

        (void)state;
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.*s", 100, sock);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(mkfifo(fifo, 0600), 0);
        assert_int_equal(symlink("loop", loop), 0);
        for (int shared = 0; shared < 2; shared++) {
                assert_int_equal(take(fifo, shared, false).status, -ENOTSUP);
                assert_int_equal(take("/dev/null", shared, false).status, -ENOTSUP);
                assert_int_equal(take(sock, shared, false).status, -ENXIO);
                assert_int_equal(take("/tmp", shared, false).status, -EISDIR);
                assert_int_equal(take(helper_path("none"), shared, false).status, -ENOENT);
                assert_int_equal(take(loop, shared, false).status, -ELOOP);
        }
        assert_int_equal(hf_resource_identify(fifo, &thing), -ENOTSUP);
        assert_int_equal(hf_resource_identify("/tmp", &thing), -EISDIR);
        assert_int_equal(hf_resource_identify(helper_path("none"), &thing), -ENOENT);
}

static void a_file_that_was_made_for_a_lock_goes_with_it(void **state)
{
        const char *path = helper_path("lease");
        struct stat st;
        int fd;

        (void)state;
        assert_int_equal(take(path, false, false).status, -ENOENT);
        fd = taken(path, false, true);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(take(path, false, true).status, -EAGAIN);
        hf_resource_give(fd, path);
        assert_false(exists(path));
}

static void the_file_stays_while_others_share_it(void **state)
{
        const char *path = helper_path("lease");
        int one = taken(path, true, true), two = taken(path, true, true);

        (void)state;
        hf_resource_give(one, path);
        assert_true(exists(path));
        assert_int_equal(take(path, false, true).status, -EAGAIN);
        hf_resource_give(two, path);
        assert_false(exists(path));
}

static void a_file_with_something_in_it_is_never_removed(void **state)
{
        const char *path = helper_file("image", "precious");

        (void)state;
        hf_resource_give(taken(path, false, true), path);
        assert_true(exists(path));
}

static void a_file_that_took_the_name_meanwhile_is_not_removed(void **state)
{
        const char *path = helper_path("lease"), *away = helper_path("away");
        int fd = taken(path, false, true), newer;

        (void)state;
        assert_int_equal(rename(path, away), 0);
        newer = taken(path, false, true);
        hf_resource_give(fd, path);
        assert_true(exists(path));
        assert_int_equal(take(path, false, false).status, -EAGAIN);
        hf_resource_give(newer, path);
}

/*
 * Processes that know nothing of one another take a lock file, and remove it each
 * time. Without a look at the name after locking, some thousand rounds give two of
 * them a lock each: on a file that was removed meanwhile, and on the next one.
 */
static int race(const char *path, atomic_int *holders)
{
        for (int n = 0; n < RACE_ROUNDS; n++) {
                struct hf_resource_request request = {.path = path, .autocreate = true};
                struct hf_resource_result result;

                hf_resource_take(&request, &result);
                if (result.status == -EAGAIN)
                        continue;
                if (result.status < 0 || atomic_fetch_add(holders, 1) != 0)
                        return 1;
                (void)sched_yield();
                (void)atomic_fetch_sub(holders, 1);
                hf_resource_give(result.fd, path);
        }
        return 0;
}

static void a_lock_file_that_comes_and_goes_has_one_holder(void **state)
{
        atomic_int *holders = mmap(NULL, sizeof(*holders), PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        const char *path = helper_path("lease");
        int bad = 0, status;
        pid_t pids[RACERS];

        (void)state;
        assert_ptr_not_equal(holders, MAP_FAILED);
        for (int i = 0; i < RACERS; i++) {
                pids[i] = fork();
                if (pids[i] == 0)
                        _exit(race(path, holders));
        }
        for (int i = 0; i < RACERS; i++) {
                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                bad += status != 0;
        }
        assert_int_equal(bad, 0);
        assert_false(exists(path));
        (void)munmap(holders, sizeof(*holders));
}

static void a_resource_is_made_once_and_deleted_once(void **state)
{
        const char *path = helper_path("made");
        struct stat st;

        (void)state;
        assert_int_equal(hf_resource_create(path), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(hf_resource_create(path), 0);
        assert_int_equal(hf_resource_delete(path), 0);
        assert_false(exists(path));
        assert_int_equal(hf_resource_delete(path), 0);
        assert_int_equal(hf_resource_create(helper_path("none/x")), -ENOENT);
        assert_int_equal(hf_resource_delete(helper_path("../../tmp")), -EISDIR);
}

static void a_block_device_is_its_number_under_any_name(void **state)
{
        const char *one = helper_path("node1"), *two = helper_path("node2");
        struct hf_thing a, b;

        (void)state;
        /* A number that no driver has: nothing is ever opened. */
        if (mknod(one, S_IFBLK | 0600, makedev(0xabc, 5)) < 0) {
                print_message("skipped: device nodes cannot be made here (%s)\n", strerror(errno));
                skip();
        }
        assert_int_equal(mknod(two, S_IFBLK | 0600, makedev(0xabc, 5)), 0);
        assert_int_equal(hf_resource_identify(one, &a), 0);
        assert_int_equal(hf_resource_identify(two, &b), 0);
        assert_int_equal(a.kind, HF_THING_BLOCK);
        assert_true(a.dev == makedev(0xabc, 5) && a.ino == 0);
        assert_true(hf_thing_same(&a, &b));
}

/* A loop device over the file at path, which goes when it is closed. Returns its descriptor, or -1.
 */
static int make_loop(const char *path, char *device, size_t size)
{
        hf_cleanup_fd int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        hf_cleanup_fd int backing = open(path, O_RDWR | O_CLOEXEC);
        hf_cleanup_fd int fd = -1;
        struct loop_config config = {.fd = (uint32_t)backing, .info.lo_flags = LO_FLAGS_AUTOCLEAR};
        int n = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);

        if (n < 0)
                return -1;
        (void)snprintf(device, size, "/dev/loop%d", n);
        fd = open(device, O_RDWR | O_CLOEXEC);
        if (fd < 0 || ioctl(fd, LOOP_CONFIGURE, &config) < 0)
                return -1;
        return hf_steal_fd(&fd);
}

static void a_block_device_is_locked_under_all_its_names(void **state)
{
        const char *backing = helper_file("backing", ""), *alias = helper_path("loop-alias");
        hf_cleanup_fd int loop = -1;
        char device[64] = "";
        int fd;

        (void)state;
        assert_int_equal(truncate(backing, 1 << 20), 0);
        loop = make_loop(backing, device, sizeof(device));
        if (loop < 0) {
                print_message("skipped: no loop device can be had here\n");
                skip();
        }
        (void)symlink(device, alias);
        fd = taken(device, false, false);
        assert_int_equal(take(alias, false, false).status, -EAGAIN);
        /* The file behind the device is another thing. */
        hf_resource_give(taken(backing, false, false), NULL);
        hf_resource_give(fd, NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(who_has_it_alone_has_it_alone),
                cmocka_unit_test(sharers_share),
                cmocka_unit_test(all_names_of_a_file_are_one_thing),
                cmocka_unit_test(the_lock_is_on_the_first_byte_and_no_other),
                cmocka_unit_test(a_stock_virtlockd_and_we_exclude_one_another),
                cmocka_unit_test(giving_frees_it_for_duplicates_of_the_descriptor_too),
                cmocka_unit_test(closing_another_descriptor_of_the_file_frees_nothing),
                cmocka_unit_test(a_sharer_needs_no_right_to_write),
                cmocka_unit_test(what_is_no_file_or_block_device_is_refused_at_once),
                cmocka_unit_test(a_file_that_was_made_for_a_lock_goes_with_it),
                cmocka_unit_test(the_file_stays_while_others_share_it),
                cmocka_unit_test(a_file_with_something_in_it_is_never_removed),
                cmocka_unit_test(a_file_that_took_the_name_meanwhile_is_not_removed),
                cmocka_unit_test(a_lock_file_that_comes_and_goes_has_one_holder),
                cmocka_unit_test(a_resource_is_made_once_and_deleted_once),
                cmocka_unit_test(a_block_device_is_its_number_under_any_name),
                cmocka_unit_test(a_block_device_is_locked_under_all_its_names),
        };

        return cmocka_run_group_tests_name("resource", tests, helper_make_folder,
                                           helper_remove_folder);
}
