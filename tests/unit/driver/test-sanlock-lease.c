/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/lease.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define DISK_MD5 "e2a4e6d938f557685858b0e989617815"

#define CLEANUP  hf_cleanup(hf_sanlock_lease_clear)

static void the_lease_of_a_disk_is_named_as_libvirt_names_it(void **state)
{
        CLEANUP struct hf_sanlock_lease lease = {0};

        (void)state;
        /* As `printf %s /var/lib/libvirt/images/a.img | md5sum` prints it. */
        assert_int_equal(
                hf_sanlock_lease_of_disk("/leases", "/var/lib/libvirt/images/a.img", &lease, NULL),
                0);
        assert_string_equal(lease.key, DISK_MD5);
        assert_string_equal(lease.path, "/leases/" DISK_MD5);
        assert_string_equal(lease.lockspace, "__LIBVIRT__DISKS__");
        assert_string_equal(lease.label, "/var/lib/libvirt/images/a.img");
        assert_int_equal(lease.offset, 0);
        assert_true(lease.made);
        assert_false(lease.shared);
}

static void a_disk_may_be_called_anything_that_is_absolute(void **state)
{
        CLEANUP struct hf_sanlock_lease blank = {0}, relative = {0};
        struct hf_error error = {0};

        (void)state;
        assert_int_equal(hf_sanlock_lease_of_disk("/leases", "/a b:c\n", &blank, NULL), 0);
        assert_int_equal(strlen(blank.key), 32);
        assert_int_equal(hf_sanlock_lease_of_disk("/leases", "a", &relative, &error), -EINVAL);
        assert_non_null(strstr(error.text, "absolute"));
        assert_null(relative.path);
}

static void a_lease_file_whose_path_sanlock_would_cut_is_refused(void **state)
{
        CLEANUP struct hf_sanlock_lease lease = {0};
        struct hf_error error = {0};
        char dir[SANLK_PATH_LEN] = "/";

        (void)state;
        memset(dir + 1, 'd', sizeof(dir) - 2);
        assert_int_equal(hf_sanlock_lease_of_disk(dir, "/a.img", &lease, &error), -ENAMETOOLONG);
        assert_null(lease.path);
        dir[SANLK_PATH_LEN - 34] = '\0';
        assert_int_equal(hf_sanlock_lease_of_disk(dir, "/a.img", &lease, &error), 0);
}

static void a_lease_of_the_users_goes_through_as_it_is(void **state)
{
        const char longest[] = "123456789012345678901234567890123456789012345678";
        CLEANUP struct hf_sanlock_lease lease = {0};
        struct hf_sanlock_resource res;

        (void)state;
        assert_int_equal(
                hf_sanlock_lease_named("ls", longest, "/dev/vg/x:y", 1048576, &lease, NULL), 0);
        assert_false(lease.made);
        lease.shared = true;
        hf_sanlock_lease_resource(&lease, &res);
        assert_memory_equal(res.res.name, longest, SANLK_NAME_LEN);
        assert_string_equal(res.res.lockspace_name, "ls");
        assert_string_equal(res.disk.path, "/dev/vg/x:y");
        assert_int_equal(res.disk.offset, 1048576);
        assert_int_equal(res.res.num_disks, 1);
        assert_int_equal(res.res.flags, SANLK_RES_SHARED);
        assert_int_equal(res.disk.pad1 + res.disk.pad2 + res.res.lver, 0);
        assert_ptr_equal(&res.disk, res.res.disks);
}

static void assert_refused(const char *lockspace, const char *key, const char *path,
                           const char *word)
{
        CLEANUP struct hf_sanlock_lease lease = {0};
        struct hf_error error = {0};

        assert_int_equal(hf_sanlock_lease_named(lockspace, key, path, 0, &lease, &error), -EINVAL);
        assert_non_null(strstr(error.text, word));
        assert_null(lease.path);
}

static void what_sanlock_could_not_take_or_report_is_refused(void **state)
{
        const char too_long[] = "1234567890123456789012345678901234567890123456789";

        (void)state;
        assert_refused("ls", too_long, "/x", "49 bytes");
        assert_refused(too_long, "k", "/x", "49 bytes");
        assert_refused("ls", "a b", "/x", "blank");
        assert_refused("ls", "a:b", "/x", "colon");
        assert_refused("a\tb", "k", "/x", "blank");
        assert_refused(NULL, "k", "/x", "lockspace");
        assert_refused("", "k", "/x", "lockspace");
        assert_refused("ls", "k", NULL, "absolute");
        assert_refused("ls", "k", "x", "absolute");
        assert_refused("ls", "k", "/x y", "blank");
        assert_refused("ls", "k", "/x\x7f", "control");
}

/* Colons count twice: sanlock writes them with a backslash. */
static void a_path_has_to_fit_with_its_colons_escaped(void **state)
{
        char path[SANLK_PATH_LEN + 8];

        (void)state;
        memset(path, 'a', sizeof(path));
        path[0] = '/';
        path[SANLK_PATH_LEN - 1] = '\0';
        assert_int_equal(hf_sanlock_check_path("x", path, NULL), 0);
        path[10] = ':';
        assert_int_equal(hf_sanlock_check_path("x", path, NULL), -ENAMETOOLONG);
        path[10] = 'a';
        path[SANLK_PATH_LEN - 1] = 'a';
        path[SANLK_PATH_LEN] = '\0';
        assert_int_equal(hf_sanlock_check_path("x", path, NULL), -ENAMETOOLONG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_lease_of_a_disk_is_named_as_libvirt_names_it),
                cmocka_unit_test(a_disk_may_be_called_anything_that_is_absolute),
                cmocka_unit_test(a_lease_file_whose_path_sanlock_would_cut_is_refused),
                cmocka_unit_test(a_lease_of_the_users_goes_through_as_it_is),
                cmocka_unit_test(what_sanlock_could_not_take_or_report_is_refused),
                cmocka_unit_test(a_path_has_to_fit_with_its_colons_escaped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
