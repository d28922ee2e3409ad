/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a command line refers to outside itself: files for -readconfig, and descriptors.
 */

#include "spec-text.h"
#include "vm/qemu-cmdline.h"
#include "vm/qemu-config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define QEMU "qemu-system-x86_64"

static struct hf_vm_spec spec;
static struct hf_error err;

static int start(void **state)
{
        (void)state;
        hf_vm_spec_init(&spec);
        memset(&err, 0, sizeof(err));
        return 0;
}

static int stop(void **state)
{
        (void)state;
        hf_vm_spec_free(&spec);
        return 0;
}

/* The configuration that the host of these tests has, whatever its name. */
static const char *config;

static int read_config(const char *path, char **ret_text, struct hf_error *e)
{
        (void)path;
        (void)e;
        *ret_text = strdup(config);
        return *ret_text ? 0 : -ENOMEM;
}

static int fd_path(int fd, char **ret_path, struct hf_error *e)
{
        (void)e;
        if (fd == 9)
                return 0;
        return asprintf(ret_path, "/file-%d", fd) < 0 ? -ENOMEM : 1;
}

static const struct hf_qemu_host host = {.read_config = read_config, .fd_path = fd_path};

static void assert_holds(const char *const *argv, const char *want)
{
        char *text;
        int r = hf_qemu_parse(argv, &host, &spec, &err);

        assert_string_equal(err.text, "");
        assert_int_equal(r, 0);
        text = spec_text(&spec);
        assert_non_null(text);
        assert_string_equal(text, want);
        free(text);
}

static void assert_config_holds(const char *text, const char *want)
{
        const char *argv[] = {QEMU, "-readconfig", "c.cfg", NULL};

        config = text;
        assert_holds(argv, want);
}

static void assert_config_refused(const char *text, const char *want)
{
        const char *argv[] = {QEMU, "-readconfig", "c.cfg", NULL};

        config = text;
        assert_int_equal(hf_qemu_parse(argv, &host, &spec, &err), -EINVAL);
        assert_string_equal(err.text, want);
        assert_int_equal(spec.n_disks, 0);
}

static void drives_in_a_configuration_are_drives(void **state)
{
        (void)state;
        assert_config_holds("# disks\n"
                            "[drive \"a\"]\n"
                            "  file = \"/a,b=c\"\n"
                            "  format = \"raw\"\r\n"
                            "\n"
                            "[drive]\n"
                            "file=\"/iso\"\n"
                            "media=\"cdrom\"\n"
                            "[machine]\n"
                            "type = \"q35\"\n",
                            "W /a,b=c raw\nR /iso ?\n");
        assert_string_equal(spec.disks[0].from, "-readconfig");
}

static void devices_names_set_and_snapshot_reach_a_configuration(void **state)
{
        const char *argv[] = {QEMU,   "-snapshot",         "-readconfig", "c.cfg",
                              "-set", "drive.b.file=/new", "-set",        "drive.b.snapshot=off",
                              NULL};

        (void)state;
        config = "[device]\ndriver = \"scsi-hd\"\ndrive = \"b\"\nshare-rw = \"on\"\n"
                 "[drive \"a\"]\nfile = \"/a\"\n"
                 "[drive \"b\"]\nfile = \"/old\"\n"
                 "[name]\nguest = \"vm\"\n";
        assert_holds(argv, "R /a ?\nS /new ?\n");
        assert_string_equal(spec.name, "vm");
}

static void an_empty_configuration_holds_nothing(void **state)
{
        (void)state;
        assert_config_holds("", "");
        assert_config_holds("\n \n#\n", "");
}

static void a_broken_configuration_names_the_line(void **state)
{
        static const char *const texts[] = {
                "[drive \"a\"]\nfile = /a\n",
                "[drive \"a\"]\nfile = \"/a\n",
                "[drive \"a\"]\n= \"/a\"\n",
                "[drive \"a\"]\nfile \"/a\"\n",
                "#\nfile = \"/a\"\n",
                "#\n[drive \"a\"\n",
                "#\n[]\n",
                "#\n[drive \"a]\n",
                "[drive \"a\"]\nfile",
                "#\nbogus",
        };

        (void)state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                assert_config_refused(texts[i], "-readconfig c.cfg: line 2 is neither a section "
                                                "nor key = \"value\"");
}

static void a_wrong_value_in_a_configuration_is_refused(void **state)
{
        (void)state;
        assert_config_refused("[drive \"a\"]\nfile = \"/a\"\nreadonly = \"maybe\"\n",
                              "-readconfig c.cfg: 'readonly' is neither on nor off");
}

static void a_section_with_too_many_keys_is_refused(void **state)
{
        static char text[16 * HF_QEMU_KEYS_MAX] = "[drive]\n";
        const char *argv[] = {QEMU, "-readconfig", "c.cfg", NULL};
        size_t len = strlen(text);

        (void)state;
        for (int i = 0; i < HF_QEMU_KEYS_MAX + 1; i++)
                len += (size_t)sprintf(text + len, "k%d=\"v\"\n", i);
        config = text;
        assert_int_equal(hf_qemu_parse(argv, &host, &spec, &err), -E2BIG);
}

static void a_descriptor_set_is_the_file_behind_it(void **state)
{
        const char *argv[] = {QEMU,
                              "-add-fd",
                              "set=2,fd=5",
                              "-add-fd",
                              "fd=9,set=3,opaque=x",
                              "-drive",
                              "file=/dev/fdset/2,format=raw",
                              "-hda",
                              "/dev/fdset/3",
                              "-hdb",
                              "/x",
                              NULL};

        (void)state;
        assert_holds(argv, "W /file-5 raw\nW /dev/fdset/3 ?\nW /x ?\n");
}

static void a_descriptor_that_is_no_number_is_refused(void **state)
{
        static const char *const texts[] = {"set=2",       "fd=5",      "set=2,fd=x",
                                            "set=2,fd=-1", "set=2,fd=", "set=2,fd=99999999999"};
        const char *argv[] = {QEMU, "-add-fd", NULL, NULL};

        (void)state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                argv[2] = texts[i];
                assert_int_equal(hf_qemu_parse(argv, &host, &spec, NULL), -EINVAL);
        }
}

static void this_machine_has_files_and_descriptors(void **state)
{
        char path[] = "/tmp/holdfast-host-XXXXXX", set[32], want[128];
        const char *argv[] = {QEMU, "-readconfig", path,           "-add-fd",
                              set,  "-hda",        "/dev/fdset/1", NULL};
        const struct hf_qemu_options options = {.no_backing = true};
        const char *text = "[drive]\nfile = \"/a\"\n";
        int fd = mkstemp(path), r;

        (void)state;
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        snprintf(set, sizeof(set), "set=1,fd=%d", fd);
        r = hf_qemu_read(argv, &options, &spec, &err);
        unlink(path);
        close(fd);
        assert_int_equal(r, 0);
        snprintf(want, sizeof(want), "W /a ?\nW %s ?\n", path);
        assert_holds((const char *const[]){NULL}, want);
}

static void a_configuration_that_is_a_pipe_is_not_read_away(void **state)
{
        const char *argv[] = {QEMU, "-readconfig", NULL, NULL};
        char path[32], byte;
        int fds[2];

        (void)state;
        assert_int_equal(pipe(fds), 0);
        assert_int_equal(write(fds[1], "#", 1), 1);
        snprintf(path, sizeof(path), "/dev/fd/%d", fds[0]);
        argv[2] = path;
        assert_int_equal(hf_qemu_read(argv, NULL, &spec, &err), -EINVAL);
        assert_non_null(strstr(err.text, "is no regular file"));
        assert_int_equal(read(fds[0], &byte, 1), 1);
        close(fds[0]);
        close(fds[1]);
}

static void a_configuration_that_is_not_there_is_refused(void **state)
{
        const char *argv[] = {QEMU, "-readconfig", "/nowhere/c.cfg", NULL};

        (void)state;
        assert_int_equal(hf_qemu_read(argv, NULL, &spec, &err), -ENOENT);
        assert_string_equal(err.text, "-readconfig /nowhere/c.cfg: cannot open /nowhere/c.cfg: No "
                                      "such file or directory");
}

static void without_a_host_nothing_is_looked_up(void **state)
{
        const char *argv[] = {QEMU,           "-readconfig", "/nowhere",     "-add-fd",
                              "set=1,fd=999", "-hda",        "/dev/fdset/1", NULL};

        (void)state;
        assert_int_equal(hf_qemu_parse(argv, NULL, &spec, NULL), 0);
        assert_int_equal(spec.n_disks, 1);
        assert_string_equal(spec.disks[0].path, "/dev/fdset/1");
}

#define HOST_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
        static const struct CMUnitTest tests[] = {
                HOST_TEST(drives_in_a_configuration_are_drives),
                HOST_TEST(devices_names_set_and_snapshot_reach_a_configuration),
                HOST_TEST(an_empty_configuration_holds_nothing),
                HOST_TEST(a_broken_configuration_names_the_line),
                HOST_TEST(a_wrong_value_in_a_configuration_is_refused),
                HOST_TEST(a_section_with_too_many_keys_is_refused),
                HOST_TEST(a_descriptor_set_is_the_file_behind_it),
                HOST_TEST(a_descriptor_that_is_no_number_is_refused),
                HOST_TEST(this_machine_has_files_and_descriptors),
                HOST_TEST(a_configuration_that_is_a_pipe_is_not_read_away),
                HOST_TEST(a_configuration_that_is_not_there_is_refused),
                HOST_TEST(without_a_host_nothing_is_looked_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
