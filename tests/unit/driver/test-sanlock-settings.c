/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/settings.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define CLEANUP hf_cleanup(hf_sanlock_settings_clear)

/* Both files, in a folder of the test's own. */
struct files {
        char dir[32], ours[64], plugins[64];
        struct hf_paths paths;
};

static int set_up(void **state)
{
        static struct files files;

        (void)snprintf(files.dir, sizeof(files.dir), "/tmp/hf-XXXXXX");
        if (!mkdtemp(files.dir))
                return -1;
        (void)snprintf(files.ours, sizeof(files.ours), "%s/holdfast.conf", files.dir);
        (void)snprintf(files.plugins, sizeof(files.plugins), "%s/qemu-sanlock.conf", files.dir);
        files.paths = (struct hf_paths){
                .client_config = files.ours,
                .sanlock_config = files.plugins,
        };
        *state = &files;
        return 0;
}

static int tear_down(void **state)
{
        struct files *files = *state;

        (void)unlink(files->ours);
        (void)unlink(files->plugins);
        return rmdir(files->dir);
}

static void write_file(const char *path, const char *text)
{
        hf_cleanup_file FILE *file = fopen(path, "we");

        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
}

static int load(struct files *files, const char *ours, const char *plugins,
                struct hf_sanlock_settings *ret, struct hf_error *err)
{
        write_file(files->ours, ours);
        write_file(files->plugins, plugins);
        return hf_sanlock_settings_load(&files->paths, NULL, NULL, NULL, ret, err);
}

static void without_files_they_are_libvirts(void **state)
{
        CLEANUP struct hf_sanlock_settings settings = {0};
        struct files *files = *state;

        assert_int_equal(hf_sanlock_settings_load(&files->paths, NULL, NULL, NULL, &settings, NULL),
                         0);
        assert_false(settings.auto_disk_leases);
        assert_true(settings.require_lease_for_disks);
        assert_non_null(strstr(settings.disk_lease_dir, "/lib/libvirt/sanlock"));
        assert_int_equal(settings.host_id, 0);
        assert_int_equal(settings.io_timeout, 0);
        assert_true(settings.user == (uid_t)-1 && settings.group == (gid_t)-1);
}

static void the_plugins_file_counts_where_ours_says_nothing(void **state)
{
        CLEANUP struct hf_sanlock_settings settings = {0};

        assert_int_equal(load(*state, "host_id = 3\nlock_manager = \"sanlock\"\n",
                              "auto_disk_leases = 1\nhost_id = 2\ndisk_lease_dir = \"/l//\"\n"
                              "io_timeout = 5\nuser = \"root\"\ngroup = \"+12\"\n",
                              &settings, NULL),
                         0);
        assert_true(settings.auto_disk_leases);
        assert_false(settings.require_lease_for_disks);
        assert_string_equal(settings.disk_lease_dir, "/l");
        assert_int_equal(settings.host_id, 3);
        assert_int_equal(settings.io_timeout, 5);
        assert_int_equal(settings.user, 0);
        assert_int_equal(settings.group, 12);
}

static void what_cannot_be_is_refused_with_its_place(void **state)
{
        static const char *const lines[] = {
                "host_id = 2001\n",
                "host_id = -1\n",
                "io_timeout = \"1\"\n",
                "disk_lease_dir = \"x\"\n",
                "disk_lease_dir = \"/a b\"\n",
                "user = \"no-such-user\"\n",
                "group = \"no-such-group\"\n",
                "user = \"+\"\n",
        };

        for (size_t i = 0; i < HF_ARRAY_LEN(lines); i++) {
                CLEANUP struct hf_sanlock_settings settings = {0};
                struct hf_error error = {0};

                assert_int_equal(load(*state, lines[i], "", &settings, &error), -EINVAL);
                assert_non_null(strstr(error.text, "holdfast.conf:1"));
                assert_int_equal(load(*state, "", lines[i], &settings, &error), -EINVAL);
                assert_non_null(strstr(error.text, "qemu-sanlock.conf:1"));
                assert_null(settings.disk_lease_dir);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_files_they_are_libvirts),
                cmocka_unit_test(the_plugins_file_counts_where_ours_says_nothing),
                cmocka_unit_test(what_cannot_be_is_refused_with_its_place),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
