/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/path.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* Any user that is not root; the tests may run as root or not. */
#define SOME_USER 65534

static int forget_environment(void **state)
{
        static const char *const names[] = {"HOLDFAST_RUN_DIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME",
                                            "XDG_CONFIG_HOME", "HOME"};

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(names); i++)
                (void)unsetenv(names[i]);
        return 0;
}

static int become_user(void **state)
{
        (void)forget_environment(state);
        return geteuid() == 0 ? seteuid(SOME_USER) : 0;
}

static int become_self(void **state)
{
        (void)state;
        return seteuid(getuid());
}

static void root_gets_the_paths_of_the_system_daemon(void **state)
{
        hf_cleanup_paths struct hf_paths paths = {0};

        (void)state;
        if (geteuid() != 0)
                skip();
        (void)setenv("XDG_RUNTIME_DIR", "/not/for/root", 1);
        assert_int_equal(hf_paths_init(&paths, NULL), 0);
        assert_true(paths.privileged);
        assert_string_equal(paths.virtlockd_socket, "/run/libvirt/virtlockd-sock");
        assert_string_equal(paths.virtlockd_admin_socket, "/run/libvirt/virtlockd-admin-sock");
        assert_string_equal(paths.socket, "/run/holdfast/holdfast-sock");
        assert_string_equal(paths.socket_ro, "/run/holdfast/holdfast-sock-ro");
        assert_string_equal(paths.virtlockd_pid_file, "/run/virtlockd.pid");
        assert_string_equal(paths.pid_file, "/run/holdfast/holdfastd.pid");
        assert_non_null(strstr(paths.label_dir, "/lib/holdfast/labels"));
        assert_non_null(strstr(paths.virtlockd_config, "/libvirt/virtlockd.conf"));
        assert_non_null(strstr(paths.daemon_config, "/holdfast/holdfastd.conf"));
}

static void a_user_gets_the_paths_of_the_session(void **state)
{
        hf_cleanup_paths struct hf_paths paths = {0};

        (void)state;
        (void)setenv("XDG_RUNTIME_DIR", "/run/user/7/", 1);
        (void)setenv("XDG_CONFIG_HOME", "/conf", 1);
        assert_int_equal(hf_paths_init(&paths, NULL), 0);
        assert_false(paths.privileged);
        assert_string_equal(paths.virtlockd_socket, "/run/user/7/libvirt/virtlockd-sock");
        assert_string_equal(paths.virtlockd_pid_file, "/run/user/7/libvirt/virtlockd.pid");
        assert_string_equal(paths.pid_file, "/run/user/7/holdfast/holdfastd.pid");
        assert_string_equal(paths.virtlockd_config, "/conf/libvirt/virtlockd.conf");
        assert_string_equal(paths.sanlock_config, "/conf/libvirt/qemu-sanlock.conf");
        assert_string_equal(paths.lockd_config, "/conf/libvirt/qemu-lockd.conf");
        assert_string_equal(paths.client_config, "/conf/holdfast/holdfast.conf");
}

static void without_a_runtime_directory_the_cache_directory_serves(void **state)
{
        hf_cleanup_paths struct hf_paths cache = {0}, home = {0};

        (void)state;
        (void)setenv("HOME", "/home/me", 1);
        assert_int_equal(hf_paths_init(&home, NULL), 0);
        assert_string_equal(home.run_root, "/home/me/.cache");
        assert_string_equal(home.config_dir, "/home/me/.config/holdfast");
        (void)setenv("XDG_CACHE_HOME", "/cache", 1);
        assert_int_equal(hf_paths_init(&cache, NULL), 0);
        assert_string_equal(cache.run_root, "/cache");
}

static void without_home_the_user_database_serves(void **state)
{
        hf_cleanup_paths struct hf_paths paths = {0};
        struct hf_error err = {0};
        int r;

        (void)state;
        r = hf_paths_init(&paths, &err);
        if (r == -ENOENT)
                assert_non_null(strstr(err.text, "set HOME"));
        else
                assert_int_equal(r, 0);
}

static void the_run_directory_can_be_moved(void **state)
{
        hf_cleanup_paths struct hf_paths paths = {0};

        (void)state;
        (void)setenv("HOLDFAST_RUN_DIR", "/tmp/x", 1);
        (void)setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
        (void)setenv("HOME", "/home/me", 1);
        assert_int_equal(hf_paths_init(&paths, NULL), 0);
        assert_string_equal(paths.socket, "/tmp/x/holdfast/holdfast-sock");
        assert_string_equal(paths.virtlockd_socket, "/tmp/x/libvirt/virtlockd-sock");
        assert_string_equal(paths.label_dir, "/tmp/x/holdfast/labels");
}

static void a_relative_path_in_the_environment_is_refused(void **state)
{
        struct hf_paths paths = {0};
        struct hf_error err;

        (void)state;
        (void)setenv("HOLDFAST_RUN_DIR", "here", 1);
        assert_int_equal(hf_paths_init(&paths, &err), -EINVAL);
        assert_string_equal(err.text, "HOLDFAST_RUN_DIR must be an absolute path, not \"here\"");
        assert_null(paths.run_root);
}

static void a_socket_path_that_is_too_long_is_refused(void **state)
{
        char dir[128] = "/";
        struct hf_paths paths = {0};
        struct hf_error err;

        (void)state;
        (void)setenv("HOME", "/home/me", 1);
        memset(dir + 1, 'd', 100);
        (void)setenv("HOLDFAST_RUN_DIR", dir, 1);
        assert_int_equal(hf_paths_init(&paths, &err), -ENAMETOOLONG);
        assert_non_null(strstr(err.text, "at most 107 are possible; set HOLDFAST_RUN_DIR"));
}

/* No name of ours may need a shorter directory than the longest of virtlockd's does. */
static void a_directory_that_suits_virtlockd_suits_us(void **state)
{
        char dir[128] = "/";
        hf_cleanup_paths struct hf_paths paths = {0};

        (void)state;
        (void)setenv("HOME", "/home/me", 1);
        memset(dir + 1, 'd', 107 - strlen("/libvirt/virtlockd-admin-sock") - 1);
        (void)setenv("HOLDFAST_RUN_DIR", dir, 1);
        assert_int_equal(hf_paths_init(&paths, NULL), 0);
}

static void missing_directories_are_made_with_their_mode(void **state)
{
        char top[] = "/tmp/holdfast-path.XXXXXX";
        char path[64], file[64];
        struct hf_error err;
        struct stat st;

        (void)state;
        assert_non_null(mkdtemp(top));
        (void)snprintf(path, sizeof(path), "%s/a//b/", top);
        assert_int_equal(hf_path_make_dirs(path, 0700, NULL), 0);
        assert_int_equal(hf_path_make_dirs(path, 0755, NULL), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_true(S_ISDIR(st.st_mode));
        assert_int_equal(st.st_mode & 0777, 0700);

        (void)snprintf(file, sizeof(file), "%s/a/b/c", top);
        assert_int_equal(mknod(file, S_IFREG | 0600, 0), 0);
        (void)strcat(file, "/d");
        assert_int_equal(hf_path_make_dirs(file, 0700, &err), -ENOTDIR);

        *strrchr(file, '/') = '\0';
        (void)unlink(file);
        (void)rmdir(path);
        (void)snprintf(path, sizeof(path), "%s/a", top);
        (void)rmdir(path);
        assert_int_equal(rmdir(top), 0);
}

#define AS_USER(f) cmocka_unit_test_setup_teardown(f, become_user, become_self)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(root_gets_the_paths_of_the_system_daemon,
                                       forget_environment),
                AS_USER(a_user_gets_the_paths_of_the_session),
                AS_USER(without_a_runtime_directory_the_cache_directory_serves),
                AS_USER(without_home_the_user_database_serves),
                AS_USER(the_run_directory_can_be_moved),
                AS_USER(a_relative_path_in_the_environment_is_refused),
                AS_USER(a_socket_path_that_is_too_long_is_refused),
                AS_USER(a_directory_that_suits_virtlockd_suits_us),
                cmocka_unit_test(missing_directories_are_made_with_their_mode),
        };

        return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
