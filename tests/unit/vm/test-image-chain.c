/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Images and the files that their headers name. Each test works in a folder of its own, which
 * is its current directory. The last tests use images made by qemu-img.
 */

#include "qcow2-image.h"
#include "spec-text.h"
#include "vm/image-chain.h"
#include "vm/qemu-cmdline.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define QEMU "qemu-system-x86_64"

extern char **environ;

static char folder[256];
static struct hf_vm_spec spec;
static struct hf_error err;

static int start(void **state)
{
        const char *tmp = getenv("TMPDIR");

        (void)state;
        hf_vm_spec_init(&spec);
        memset(&err, 0, sizeof(err));
        snprintf(folder, sizeof(folder), "%s/holdfast-chain-XXXXXX", tmp ? tmp : "/tmp");
        return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        (void)st;
        (void)type;
        (void)ftw;
        return remove(path);
}

static int stop(void **state)
{
        (void)state;
        hf_vm_spec_free(&spec);
        return chdir("/") < 0 ? -1 : nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
        FILE *file = fopen(path, "w");

        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, len, file), len);
        assert_int_equal(fclose(file), 0);
}

static void make_raw(const char *path)
{
        write_file(path, "raw", 3);
}

/* NULL: not said. */
static void make_qcow2(const char *path, const char *backing, const char *format, const char *data)
{
        struct qcow2_image image;

        qcow2_image_init(&image, 3);
        if (format)
                qcow2_image_extend(&image, QCOW2_BACKING_FORMAT, format);
        if (data) {
                qcow2_image_external(&image);
                qcow2_image_extend(&image, QCOW2_DATA_FILE, data);
        }
        if (backing)
                qcow2_image_back(&image, backing);
        write_file(path, image.bytes, image.len);
}

static void assert_chain(const char *disk, unsigned flags, const char *format, const char *want)
{
        char *text;

        assert_int_equal(hf_vm_spec_add_disk(&spec, disk, flags, format, "test", NULL), 0);
        assert_int_equal(hf_image_chain_add(&spec, &err), 0);
        text = spec_text(&spec);
        assert_non_null(text);
        assert_string_equal(text, want);
        free(text);
}

static void assert_refused(const char *disk, int number, const char *text)
{
        assert_int_equal(hf_vm_spec_add_disk(&spec, disk, 0, NULL, "test", NULL), 0);
        assert_int_equal(hf_image_chain_add(&spec, &err), -number);
        assert_string_equal(err.text, text);
}

static void a_backing_chain_is_read_to_its_end(void **state)
{
        (void)state;
        make_raw("base");
        make_qcow2("mid", "base", "raw", NULL);
        make_qcow2("top", "mid", "qcow2", NULL);
        assert_chain("top", 0, "qcow2", "W top qcow2\nR mid qcow2\nR base raw\n");
        assert_string_equal(hf_vm_spec_find_disk(&spec, "mid")->from, "backing file of top");
        assert_string_equal(hf_vm_spec_find_disk(&spec, "base")->from, "backing file of mid");
}

static void a_format_that_is_not_said_is_looked_at(void **state)
{
        (void)state;
        make_raw("base");
        make_qcow2("mid", "base", NULL, NULL);
        make_qcow2("top", "mid", NULL, NULL);
        assert_chain("top", 0, NULL, "W top ?\nR mid ?\nR base ?\n");
}

static void an_image_used_as_raw_has_no_backing_file(void **state)
{
        (void)state;
        make_qcow2("top", "base", "raw", NULL);
        assert_chain("top", 0, "raw", "W top raw\n");
}

static void a_backing_file_used_as_raw_ends_the_chain(void **state)
{
        (void)state;
        make_qcow2("mid", "base", "raw", NULL);
        make_qcow2("top", "mid", "raw", NULL);
        assert_chain("top", 0, NULL, "W top ?\nR mid raw\n");
}

static void a_relative_name_starts_at_the_image(void **state)
{
        (void)state;
        assert_int_equal(mkdir("a", 0700), 0);
        assert_int_equal(mkdir("b", 0700), 0);
        make_raw("b/base");
        make_qcow2("b/mid", "base", "raw", NULL);
        make_qcow2("a/top", "../b/mid", "qcow2", NULL);
        assert_chain("./a/top", 0, NULL,
                     "W ./a/top ?\nR ./a/../b/mid qcow2\nR ./a/../b/base raw\n");
}

static void a_relative_name_starts_at_the_link_not_at_its_target(void **state)
{
        (void)state;
        assert_int_equal(mkdir("real", 0700), 0);
        make_qcow2("real/image", "base", "raw", NULL);
        assert_int_equal(symlink("real/image", "link"), 0);
        assert_chain("link", 0, NULL, "W link ?\nR base raw\n");
}

static void an_absolute_name_stays(void **state)
{
        (void)state;
        assert_int_equal(mkdir("a", 0700), 0);
        make_qcow2("a/top", "/nowhere/base", NULL, NULL);
        assert_chain("a/top", 0, NULL, "W a/top ?\nR /nowhere/base ?\n");
}

static void file_with_a_relative_name_starts_at_the_current_folder(void **state)
{
        (void)state;
        assert_int_equal(mkdir("a", 0700), 0);
        make_raw("base");
        make_qcow2("mid", "file:base", NULL, NULL);
        make_qcow2("a/top", "file:mid", "qcow2", NULL);
        assert_chain("a/top", 0, NULL, "W a/top ?\nR mid qcow2\nR base ?\n");
}

static void a_json_name_is_understood(void **state)
{
        (void)state;
        make_qcow2("base", "bottom", "raw", NULL);
        make_qcow2(
                "top",
                "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"base\"}}",
                NULL, NULL);
        assert_chain("top", 0, NULL, "W top ?\nR base qcow2\nR bottom raw\n");
}

static void a_backing_file_on_the_network_is_no_file_of_ours(void **state)
{
        (void)state;
        make_qcow2("top", "nbd://host/x", "raw", NULL);
        assert_chain("top", 0, NULL, "W top ?\n");
}

static void a_data_file_is_used_as_the_image_is(void **state)
{
        (void)state;
        make_raw("data");
        make_qcow2("top", NULL, NULL, "data");
        assert_chain("top", 0, NULL, "W top ?\nW data raw\n");
        hf_vm_spec_free(&spec);
        assert_chain("top", HF_VM_DISK_SHARED, NULL, "S top ?\nS data raw\n");
        hf_vm_spec_free(&spec);
        assert_chain("top", HF_VM_DISK_READONLY, NULL, "R top ?\nR data raw\n");
        assert_string_equal(hf_vm_spec_find_disk(&spec, "data")->from, "data file of top");
}

static void the_data_file_of_a_backing_file_is_read(void **state)
{
        (void)state;
        make_qcow2("base", NULL, NULL, "data");
        make_qcow2("top", "base", "qcow2", NULL);
        assert_chain("top", 0, NULL, "W top ?\nR base qcow2\nR data raw\n");
}

static void what_was_given_is_not_looked_for(void **state)
{
        (void)state;
        make_qcow2("top", "base", "raw", "data");
        assert_chain("top", HF_VM_DISK_BACKING_GIVEN | HF_VM_DISK_DATA_GIVEN, "qcow2",
                     "W top qcow2 +backing +data\n");
        hf_vm_spec_free(&spec);
        assert_chain("top", HF_VM_DISK_BACKING_GIVEN, "qcow2",
                     "W top qcow2 +backing\nW data raw\n");
        hf_vm_spec_free(&spec);
        assert_chain("top", HF_VM_DISK_DATA_GIVEN, "qcow2", "W top qcow2 +data\nR base raw\n");
}

static void two_disks_may_have_one_backing_file(void **state)
{
        (void)state;
        make_raw("base");
        make_qcow2("a", "base", "raw", NULL);
        make_qcow2("b", "base", "raw", NULL);
        assert_int_equal(hf_vm_spec_add_disk(&spec, "a", 0, NULL, "test", NULL), 0);
        assert_chain("b", 0, NULL, "W a ?\nW b ?\nR base raw\n");
}

static void a_disk_that_is_not_there_is_left_alone(void **state)
{
        (void)state;
        make_raw("file");
        assert_int_equal(hf_vm_spec_add_disk(&spec, "file/x", 0, NULL, "test", NULL), 0);
        assert_chain("gone", 0, NULL, "W file/x ?\nW gone ?\n");
}

/* Opening a pipe would wait for a writer, or make one believe in a reader. */
static void a_disk_of_another_kind_is_not_opened(void **state)
{
        (void)state;
        assert_int_equal(mkfifo("pipe", 0600), 0);
        assert_int_equal(hf_vm_spec_add_disk(&spec, "pipe", 0, NULL, "test", NULL), 0);
        assert_int_equal(hf_vm_spec_add_disk(&spec, ".", 0, NULL, "test", NULL), 0);
        assert_chain("/dev/null", 0, NULL, "W pipe ?\nW . ?\nW /dev/null ?\n");
}

static void an_image_that_cannot_be_read_is_an_error(void **state)
{
        (void)state;
        if (geteuid() == 0) {
                /* root reads everything; a loop of links stops it as well */
                assert_int_equal(symlink("loop", "loop"), 0);
                assert_refused("loop", ELOOP,
                               "cannot read loop, which may have a backing file: Too many levels "
                               "of symbolic links");
                return;
        }
        make_qcow2("top", "base", NULL, NULL);
        assert_int_equal(chmod("top", 0), 0);
        assert_refused("top", EACCES,
                       "cannot read top, which may have a backing file: Permission denied");
}

static void an_image_that_is_its_own_backing_file_is_refused(void **state)
{
        (void)state;
        make_qcow2("top", "top", NULL, NULL);
        assert_refused("top", ELOOP, "top is its own backing file");
}

static void a_circle_through_links_and_folders_is_refused(void **state)
{
        (void)state;
        assert_int_equal(mkdir("a", 0700), 0);
        make_qcow2("a/x", "../a/y", NULL, NULL);
        make_qcow2("a/y", "../a/../a/x", NULL, NULL);
        assert_refused("a/x", ELOOP, "a/../a/../a/../a/x is its own backing file");
}

static void a_chain_that_is_too_long_is_refused(void **state)
{
        char name[32], next[32];

        (void)state;
        for (int i = 0; i < HF_IMAGE_CHAIN_MAX + 1; i++) {
                snprintf(name, sizeof(name), "%d", i);
                snprintf(next, sizeof(next), "%d", i + 1);
                make_qcow2(name, i < HF_IMAGE_CHAIN_MAX ? next : NULL, "qcow2", NULL);
        }
        assert_refused("0", ELOOP, "200: too many backing files (200 in a chain, 10000 in all)");
        hf_vm_spec_free(&spec);
        assert_int_equal(hf_vm_spec_add_disk(&spec, "1", 0, NULL, "test", NULL), 0);
        assert_int_equal(hf_image_chain_add(&spec, NULL), 0);
        assert_int_equal(spec.n_disks, HF_IMAGE_CHAIN_MAX);
}

static void a_damaged_image_is_named(void **state)
{
        struct qcow2_image image;

        (void)state;
        qcow2_image_init(&image, 3);
        qcow2_image_be32(&image, 100, 7);
        write_file("bad", image.bytes, image.len);
        make_qcow2("top", "bad", NULL, NULL);
        assert_refused("top", EINVAL, "bad: damaged qcow2 header: its length");
}

static void a_broken_json_name_is_refused_with_the_image(void **state)
{
        (void)state;
        make_qcow2("top", "json:{", NULL, NULL);
        assert_refused("top", EINVAL, "backing file of top: the JSON ends too early at '{'");
}

static void the_command_line_and_the_headers_together(void **state)
{
        const char *argv[] = {QEMU, "-drive", "file=top,format=qcow2", "-cdrom", "iso", NULL};
        const struct hf_qemu_options no_backing = {.no_backing = true};
        char *text;

        (void)state;
        make_raw("iso");
        make_qcow2("top", "base", "raw", NULL);
        assert_int_equal(hf_qemu_read(argv, NULL, &spec, NULL), 0);
        text = spec_text(&spec);
        assert_string_equal(text, "W top qcow2\nR iso ?\nR base raw\n");
        free(text);
        hf_vm_spec_free(&spec);
        assert_int_equal(hf_qemu_read(argv, &no_backing, &spec, NULL), 0);
        text = spec_text(&spec);
        assert_string_equal(text, "W top qcow2\nR iso ?\n");
        free(text);
}

static void a_command_line_with_a_bad_image_adds_nothing(void **state)
{
        const char *argv[] = {QEMU, "-hda", "good", "-hdb", "top", NULL};

        (void)state;
        make_qcow2("top", "top", NULL, NULL);
        assert_int_equal(hf_qemu_read(argv, NULL, &spec, &err), -ELOOP);
        assert_int_equal(spec.n_disks, 0);
}

/* Runs qemu-img in the folder; skips the test if there is none. */
static void qemu_img(const char *const *argv)
{
        posix_spawn_file_actions_t quiet;
        pid_t pid;
        int status, r;

        assert_int_equal(posix_spawn_file_actions_init(&quiet), 0);
        assert_int_equal(posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0), 0);
        r = posix_spawnp(&pid, "qemu-img", &quiet, NULL, (char **)(uintptr_t)argv, environ);
        posix_spawn_file_actions_destroy(&quiet);
        if (r == ENOENT) {
                print_message("# qemu-img is not installed\n");
                skip();
        }
        assert_int_equal(r, 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#define QEMU_IMG(...) qemu_img((const char *const[]){"qemu-img", __VA_ARGS__, NULL})

static void a_chain_made_by_qemu_img_is_read(void **state)
{
        (void)state;
        QEMU_IMG("create", "-f", "raw", "base", "1M");
        QEMU_IMG("create", "-f", "qcow2", "-o", "compat=0.10", "-F", "raw", "-b", "base", "v2");
        QEMU_IMG("create", "-f", "qcow2", "-o", "cluster_size=2M", "-F", "qcow2", "-b", "v2", "v3");
        QEMU_IMG("create", "-f", "qcow2", "-F", "qcow2", "-b", "v3", "top");
        assert_chain("top", 0, NULL, "W top ?\nR v3 qcow2\nR v2 qcow2\nR base raw\n");
}

static void an_old_qcow_made_by_qemu_img_is_read(void **state)
{
        (void)state;
        QEMU_IMG("create", "-f", "raw", "base", "1M");
        QEMU_IMG("create", "-f", "qcow", "-F", "raw", "-b", "base", "top");
        assert_chain("top", 0, NULL, "W top ?\nR base ?\n");
}

static void a_data_file_made_by_qemu_img_is_read(void **state)
{
        (void)state;
        QEMU_IMG("create", "-f", "qcow2", "-o", "data_file=data,data_file_raw=on", "top", "1M");
        assert_chain("top", 0, NULL, "W top ?\nW data raw\n");
}

static void other_formats_made_by_qemu_img_name_no_files(void **state)
{
        (void)state;
        QEMU_IMG("create", "-f", "vmdk", "vmdk", "1M");
        QEMU_IMG("create", "-f", "vdi", "vdi", "1M");
        QEMU_IMG("create", "-f", "vhdx", "vhdx", "1M");
        assert_int_equal(hf_vm_spec_add_disk(&spec, "vmdk", 0, NULL, "test", NULL), 0);
        assert_int_equal(hf_vm_spec_add_disk(&spec, "vdi", 0, "vdi", "test", NULL), 0);
        assert_chain("vhdx", 0, NULL, "W vmdk ?\nW vdi vdi\nW vhdx ?\n");
}

#define CHAIN_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
        static const struct CMUnitTest tests[] = {
                CHAIN_TEST(a_backing_chain_is_read_to_its_end),
                CHAIN_TEST(a_format_that_is_not_said_is_looked_at),
                CHAIN_TEST(an_image_used_as_raw_has_no_backing_file),
                CHAIN_TEST(a_backing_file_used_as_raw_ends_the_chain),
                CHAIN_TEST(a_relative_name_starts_at_the_image),
                CHAIN_TEST(a_relative_name_starts_at_the_link_not_at_its_target),
                CHAIN_TEST(an_absolute_name_stays),
                CHAIN_TEST(file_with_a_relative_name_starts_at_the_current_folder),
                CHAIN_TEST(a_json_name_is_understood),
                CHAIN_TEST(a_backing_file_on_the_network_is_no_file_of_ours),
                CHAIN_TEST(a_data_file_is_used_as_the_image_is),
                CHAIN_TEST(the_data_file_of_a_backing_file_is_read),
                CHAIN_TEST(what_was_given_is_not_looked_for),
                CHAIN_TEST(two_disks_may_have_one_backing_file),
                CHAIN_TEST(a_disk_that_is_not_there_is_left_alone),
                CHAIN_TEST(a_disk_of_another_kind_is_not_opened),
                CHAIN_TEST(an_image_that_cannot_be_read_is_an_error),
                CHAIN_TEST(an_image_that_is_its_own_backing_file_is_refused),
                CHAIN_TEST(a_circle_through_links_and_folders_is_refused),
                CHAIN_TEST(a_chain_that_is_too_long_is_refused),
                CHAIN_TEST(a_damaged_image_is_named),
                CHAIN_TEST(a_broken_json_name_is_refused_with_the_image),
                CHAIN_TEST(the_command_line_and_the_headers_together),
                CHAIN_TEST(a_command_line_with_a_bad_image_adds_nothing),
                CHAIN_TEST(a_chain_made_by_qemu_img_is_read),
                CHAIN_TEST(an_old_qcow_made_by_qemu_img_is_read),
                CHAIN_TEST(a_data_file_made_by_qemu_img_is_read),
                CHAIN_TEST(other_formats_made_by_qemu_img_name_no_files),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
