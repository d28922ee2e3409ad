/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/users.h"

#include "base/cleanup.h"
#include "helper.h"
#include "storage/resource.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>

#include <cmocka.h>

/* How a child has the file open. */
struct use {
        const char *path;
        int flags;
        int lock_type; /* of an OFD lock; F_UNLCK: none */
        int lock_at;
        bool flock;
};

static void use_file(void *data)
{
        const struct use *use = data;
        struct flock lock = {.l_type = (short)use->lock_type,
                             .l_whence = SEEK_SET,
                             .l_start = use->lock_at,
                             .l_len = 1};
        int fd = open(use->path, use->flags | O_CLOEXEC);

        (void)prctl(PR_SET_NAME, "a VM");
        if (fd < 0 || (use->lock_type != F_UNLCK && fcntl(fd, F_OFD_SETLK, &lock) < 0) ||
            (use->flock && flock(fd, LOCK_EX) < 0))
                _exit(1);
}

/* What a whole scan finds of pid. Returns false when it does not find it. */
static bool scan(const char *path, pid_t pid, pid_t skip, struct hf_user *ret)
{
        const struct hf_user *users;
        const pid_t skipped[] = {skip, 0};
        struct hf_user_scan *scan;
        struct hf_thing thing;
        unsigned int found = 0;
        size_t n;

        assert_int_equal(hf_resource_identify(path, &thing), 0);
        assert_int_equal(hf_user_scan_new(&thing, skipped, &scan), 0);
        while (hf_user_scan_step(scan, 7) > 0)
                ;
        users = hf_user_scan_result(scan, &n);
        for (size_t i = 0; i < n; i++)
                if (users[i].pid == pid) {
                        *ret = users[i];
                        found++;
                }
        (void)hf_user_scan_free(scan);
        assert_in_range(found, 0, 1);
        return found == 1;
}

/* What a scan says of a child that uses the file so. */
static struct hf_user look_at(struct use use)
{
        struct hf_user user = {0};
        pid_t pid = helper_spawn(use_file, &use);

        assert_true(scan(use.path, pid, 0, &user));
        helper_reap(pid);
        return user;
}

static void many_things_are_looked_for_at_once(void **state)
{
        enum { THINGS = 40, USED = 17 };
        char name[16];
        const char *paths[THINGS];
        struct hf_thing things[THINGS];
        struct hf_user_scan *scan;
        pid_t pid;
        size_t n;

        (void)state;
        assert_int_equal(hf_user_scan_new(NULL, NULL, &scan), 0);
        for (int i = 0; i < THINGS; i++) {
                (void)snprintf(name, sizeof(name), "disk%d", i);
                paths[i] = strdup(helper_file(name, "data"));
                assert_non_null(paths[i]);
                assert_int_equal(hf_resource_identify(paths[i], &things[i]), 0);
                /* Twice, as two VMs may have had it. */
                assert_int_equal(hf_user_scan_add(scan, &things[i]), 0);
                assert_int_equal(hf_user_scan_add(scan, &things[i]), 0);
        }
        pid = helper_spawn(use_file, &(struct use){paths[USED], O_RDWR, F_UNLCK, 0, false});
        while (hf_user_scan_step(scan, 7) > 0)
                ;
        helper_reap(pid);
        for (int i = 0; i < THINGS; i++) {
                const struct hf_user *users = hf_user_scan_users(scan, &things[i], &n);

                assert_int_equal(n, i == USED);
                assert_true(i != USED || (users->pid == pid && users->writes));
                free((char *)(uintptr_t)paths[i]);
        }
        (void)hf_user_scan_free(scan);
}

static void a_writer_with_our_lock_is_found_with_its_name(void **state)
{
        const char *path = helper_file("disk", "");
        struct hf_user user = look_at((struct use){path, O_RDWR, F_WRLCK, 0, false});

        (void)state;
        assert_true(user.writes && user.locks && user.our_byte);
        assert_string_equal(user.comm, "a VM");
}

static void a_reader_without_a_lock_is_found_as_that(void **state)
{
        const char *path = helper_file("disk", "");
        struct hf_user user = look_at((struct use){path, O_RDONLY, F_UNLCK, 0, false});

        (void)state;
        assert_false(user.writes || user.locks || user.our_byte);
}

static void a_reader_that_shares_our_byte_is_found_as_that(void **state)
{
        const char *path = helper_file("disk", "");
        struct hf_user user = look_at((struct use){path, O_RDONLY, F_RDLCK, 0, false});

        (void)state;
        assert_true(user.locks && user.our_byte);
        assert_false(user.writes);
}

static void the_bytes_that_qemu_locks_are_not_ours(void **state)
{
        const char *path = helper_file("disk", "");
        struct hf_user user = look_at((struct use){path, O_RDWR, F_RDLCK, 100, false});

        (void)state;
        assert_true(user.locks && user.writes);
        assert_false(user.our_byte);
}

static void a_flock_is_not_on_our_byte(void **state)
{
        const char *path = helper_file("disk", "");
        struct hf_user user = look_at((struct use){path, O_RDWR, F_UNLCK, 0, true});

        (void)state;
        assert_true(user.locks);
        assert_false(user.our_byte);
}

static void who_is_skipped_or_has_left_is_not_found(void **state)
{
        struct use use = {helper_file("disk", ""), O_RDWR, F_WRLCK, 0, false};
        pid_t pid = helper_spawn(use_file, &use);
        struct hf_user user;

        (void)state;
        assert_true(scan(use.path, pid, 0, &user));
        assert_false(scan(use.path, pid, pid, &user));
        assert_false(scan(helper_file("other", ""), pid, 0, &user));
        helper_reap(pid);
        assert_false(scan(use.path, pid, 0, &user));
}

static void use_twice(void *data)
{
        struct use other = *(struct use *)data;

        use_file(data);
        other.flags = O_RDONLY;
        other.lock_type = F_UNLCK;
        use_file(&other);
}

static void a_process_with_two_descriptors_is_found_once_with_all_it_does(void **state)
{
        struct use use = {helper_file("disk", ""), O_RDWR, F_WRLCK, 0, false};
        pid_t pid = helper_spawn(use_twice, &use);
        struct hf_user user;

        (void)state;
        assert_true(scan(use.path, pid, 0, &user));
        assert_true(user.writes && user.our_byte);
        helper_reap(pid);
}

static void a_character_device_is_not_taken_for_a_block_device(void **state)
{
        /* Every system has this character device; a block device of that number is another thing.
         */
        struct hf_thing thing = {.kind = HF_THING_BLOCK};
        struct use use = {"/dev/null", O_RDWR, F_UNLCK, 0, false};
        pid_t pid = helper_spawn(use_file, &use);
        struct hf_user_scan *scan;
        struct stat st;
        size_t n;

        (void)state;
        assert_int_equal(stat("/dev/null", &st), 0);
        thing.dev = st.st_rdev;
        assert_int_equal(hf_user_scan_new(&thing, NULL, &scan), 0);
        while (hf_user_scan_step(scan, 100) > 0)
                ;
        (void)hf_user_scan_result(scan, &n);
        assert_int_equal(n, 0);
        (void)hf_user_scan_free(scan);
        helper_reap(pid);
}

static void a_scan_goes_on_slice_by_slice(void **state)
{
        struct use use = {helper_file("disk", ""), O_RDWR, F_WRLCK, 0, false};
        pid_t pid = helper_spawn(use_file, &use);
        struct hf_user_scan *scan;
        struct hf_thing thing;
        unsigned int slices = 0;
        size_t n = 0;

        (void)state;
        assert_int_equal(hf_resource_identify(use.path, &thing), 0);
        assert_int_equal(hf_user_scan_new(&thing, NULL, &scan), 0);
        while (hf_user_scan_step(scan, 1) > 0)
                slices++;
        /* At least this process and its child were there to be looked at. */
        assert_true(slices >= 2);
        (void)hf_user_scan_result(scan, &n);
        assert_int_equal(n, 1);
        (void)hf_user_scan_free(scan);
        helper_reap(pid);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_writer_with_our_lock_is_found_with_its_name),
                cmocka_unit_test(a_reader_without_a_lock_is_found_as_that),
                cmocka_unit_test(a_reader_that_shares_our_byte_is_found_as_that),
                cmocka_unit_test(the_bytes_that_qemu_locks_are_not_ours),
                cmocka_unit_test(a_flock_is_not_on_our_byte),
                cmocka_unit_test(who_is_skipped_or_has_left_is_not_found),
                cmocka_unit_test(a_process_with_two_descriptors_is_found_once_with_all_it_does),
                cmocka_unit_test(a_character_device_is_not_taken_for_a_block_device),
                cmocka_unit_test(a_scan_goes_on_slice_by_slice),
                cmocka_unit_test(many_things_are_looked_for_at_once),
        };

        return cmocka_run_group_tests_name("users", tests, helper_make_folder,
                                           helper_remove_folder);
}
