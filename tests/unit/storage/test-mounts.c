/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/mounts.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int set_up(void **state)
{
        struct hf_mounts *mounts;

        if (hf_mounts_new(&mounts) < 0)
                return -1;
        *state = mounts;
        return 0;
}

static int tear_down(void **state)
{
        (void)hf_mounts_free(*state);
        return 0;
}

static void what_is_in_proc_is_not_local_but_can_be_closed(void **state)
{
        const struct hf_mount *mount = hf_mounts_of_path(*state, "/proc/self/status");

        assert_non_null(mount);
        assert_string_equal(mount->type, "proc");
        assert_string_equal(mount->point, "/proc");
        assert_false(mount->local);
        assert_true(mount->closes);
}

static void a_name_that_begins_like_a_mount_point_is_not_on_it(void **state)
{
        const struct hf_mount *mount = hf_mounts_of_path(*state, "/procedure/x");

        assert_non_null(mount);
        assert_string_not_equal(mount->point, "/proc");
}

static void a_path_whose_text_does_not_say_where_it_leads_is_on_no_mount(void **state)
{
        static const char *const paths[] = {"",        "x",        "x/y",      "//x",  "/x//y",
                                            "/x/../y", "/x/./y",   "/..",      "/.",   "/x/..",
                                            "./x",     "/x/y/../", "/x/y//z/", "../x", "."};

        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
                assert_null(hf_mounts_of_path(*state, paths[i]));
        assert_non_null(hf_mounts_of_path(*state, "/..x/.y/z..."));
        assert_non_null(hf_mounts_of_path(*state, "/x/"));
}

static void devices_are_never_local(void **state)
{
        const struct hf_mount *mount = hf_mounts_of_path(*state, "/dev/null");

        assert_non_null(mount);
        if (strcmp(mount->point, "/dev") != 0)
                skip();
        assert_false(mount->local);
}

static void a_filesystem_is_found_by_its_device(void **state)
{
        struct stat st;

        assert_int_equal(stat("/proc", &st), 0);
        assert_string_equal(hf_mounts_of_dev(*state, st.st_dev)->type, "proc");
        assert_null(hf_mounts_of_dev(*state, UINT64_MAX));
}

static void a_new_mount_is_known_when_its_change_is_told(void **state)
{
        char dir[] = "/tmp/hf-mounts-XXXXXX", path[64];

        (void)state;
        assert_non_null(mkdtemp(dir));
        (void)snprintf(path, sizeof(path), "%s/a b", dir);
        assert_int_equal(mkdir(path, 0700), 0);
        if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0) {
                struct hf_mounts *mounts;
                const struct hf_mount *found;

                assert_int_equal(hf_mounts_new(&mounts), 0);
                assert_int_equal(mount("tmpfs", path, "tmpfs", 0, NULL), 0);
                (void)strcat(path, "/file");
                found = hf_mounts_of_path(mounts, path);
                assert_null(strstr(found->point, "a b"));
                hf_mounts_changed(mounts);
                found = hf_mounts_of_path(mounts, path);
                assert_non_null(strstr(found->point, "a b"));
                assert_string_equal(found->type, "tmpfs");
                assert_true(found->local && found->closes);
                *strrchr(path, '/') = '\0';
                assert_int_equal(umount(path), 0);
                (void)hf_mounts_free(mounts);
        }
        (void)rmdir(path);
        (void)rmdir(dir);
}

static void a_new_mount_is_found_by_its_device_before_its_change_is_told(void **state)
{
        char dir[] = "/tmp/hf-mounts-XXXXXX";

        (void)state;
        assert_non_null(mkdtemp(dir));
        if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0) {
                struct hf_mounts *mounts;
                struct stat st;

                assert_int_equal(hf_mounts_new(&mounts), 0);
                assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, NULL), 0);
                assert_int_equal(stat(dir, &st), 0);
                assert_non_null(hf_mounts_of_dev(mounts, st.st_dev));
                assert_string_equal(hf_mounts_of_dev(mounts, st.st_dev)->point, dir);
                assert_int_equal(umount(dir), 0);
                (void)hf_mounts_free(mounts);
        }
        (void)rmdir(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_in_proc_is_not_local_but_can_be_closed),
                cmocka_unit_test(a_name_that_begins_like_a_mount_point_is_not_on_it),
                cmocka_unit_test(a_path_whose_text_does_not_say_where_it_leads_is_on_no_mount),
                cmocka_unit_test(devices_are_never_local),
                cmocka_unit_test(a_filesystem_is_found_by_its_device),
                cmocka_unit_test(a_new_mount_is_known_when_its_change_is_told),
                cmocka_unit_test(a_new_mount_is_found_by_its_device_before_its_change_is_told),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
