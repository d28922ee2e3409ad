/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/behind.h"

#include "base/cleanup.h"
#include "helper.h"
#include "storage/resource.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <sha2.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* SHA-256 of "/x", by sha256sum. */
#define HASH_OF_X "b3d1db318671a024a7e4b433389f8820d6ca466e2cf700afc29f37ed64f2fa0d"

static const char *hash_of(const char *path)
{
        static char digits[SHA256_DIGEST_LENGTH * 2 + 1];

        assert_non_null(SHA256Data((const uint8_t *)path, strlen(path), digits));
        return digits;
}

static void a_hash_is_64_lower_case_hexadecimal_digits(void **state)
{
        char name[] = HASH_OF_X;

        (void)state;
        assert_true(hf_behind_is_hash(name));
        assert_string_equal(hash_of("/x"), HASH_OF_X);
        assert_false(hf_behind_is_hash(name + 1));
        assert_false(hf_behind_is_hash(""));
        assert_false(hf_behind_is_hash(HASH_OF_X "0"));
        assert_false(hf_behind_is_hash(HASH_OF_X "g"));
        name[63] = 'A';
        assert_false(hf_behind_is_hash(name));
        name[63] = 'g';
        assert_false(hf_behind_is_hash(name));
}

/* Collects what is found, each path ended by a "|". */
static int collect(const char *path, void *data)
{
        char *text = data;

        (void)strcat(strcat(text, path), "|");
        return 0;
}

static void every_absolute_path_of_an_argument_is_found(void **state)
{
        static const struct {
                const char *argument, *paths;
        } rows[] = {
                {"/x", "/x|"},
                {"file=/x,format=raw", "/x|"},
                {"format=raw,file=/a=b", "/a=b|"},
                {"file=/a,,b,if=virtio", "/a,b|"},
                {"file=/a,,,,b", "/a,,b|"},
                {"file=/a,", "/a|"},
                {"file:/x", "/x|"},
                {"a=/x,b=/y", "/x|/y|"},
                {"{\"filename\":\"/x\"}", "/x|"},
                {"{\"filename\":\"/a,b\"}", "/a,b|"},
                {"{\"filename\":\"/a\\\"b\\\\c\"}", "/a\"b\\c|"},
                {"{\"a\":\"/x\",\"b\":\"/y\"}", "/x|/y|"},
                {"\"/x\\", "/x\\|"},
                {"relative/path", ""},
                {"no path", ""},
                {"", ""},
                /* Each may be the one: QEMU knows, we only compare hashes. */
                {"/a:/b", "/a:/b|/b|"},
        };

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
                char text[256] = "";

                assert_int_equal(hf_behind_scan(rows[i].argument, collect, text), 0);
                assert_string_equal(text, rows[i].paths);
        }
}

static int stop(const char *path, void *data)
{
        return ++*(int *)data == 2 ? -(int)path[1] : 0;
}

static void a_search_ends_when_it_has_found(void **state)
{
        int seen = 0;

        (void)state;
        assert_int_equal(hf_behind_scan("a=/x,b=/y,c=/z", stop, &seen), -'y');
        assert_int_equal(seen, 2);
}

static void a_path_that_no_file_can_have_is_cut(void **state)
{
        static char argument[2 * PATH_MAX], found[3 * PATH_MAX];

        (void)state;
        memset(argument, 'x', sizeof(argument) - 1);
        argument[0] = '/';
        assert_int_equal(hf_behind_scan(argument, collect, found), 0);
        assert_int_equal(strlen(found), PATH_MAX - 1 + 1);
}

static void exec_with(void *data)
{
        (void)execl("/proc/self/exe", "vm", "--sleep", (const char *)data, NULL);
        _exit(1);
}

/* A path, far more that are none, another path; the second of them open as well. */
static void exec_hiding(void *data)
{
        static char noise[100001];
        const char *const *paths = data;

        for (size_t i = 0; i < sizeof(noise) - 1; i++)
                noise[i] = "=/"[i % 2];
        if (open(paths[1], O_RDWR) < 0)
                _exit(1);
        (void)execl("/proc/self/exe", "vm", "--sleep", paths[0], noise, noise, paths[2], NULL);
        _exit(1);
}

/* The arguments of a process are not there from the very moment of its exec. */
static void wait_for_command_line(pid_t pid)
{
        char path[64], text[8] = "";
        time_t deadline = time(NULL) + 10;

        (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
        while (strcmp(text, "vm") != 0 && time(NULL) < deadline) {
                hf_cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

                memset(text, 0, sizeof(text));
                (void)!read(fd, text, sizeof(text) - 1);
                (void)sched_yield();
        }
        assert_string_equal(text, "vm");
}

static void open_it(void *data)
{
        if (open("/proc/self/exe", O_RDONLY | O_CLOEXEC) < 0 || open(data, O_RDWR | O_CLOEXEC) < 0)
                _exit(1);
}

static void assert_finds(pid_t pid, const char *hashed, const char *leads_to)
{
        struct hf_thing found, want;

        assert_int_equal(hf_resource_identify(leads_to, &want), 0);
        assert_int_equal(hf_behind_find(pid, hash_of(hashed), &found), 0);
        assert_true(hf_thing_same(&found, &want));
}

static void a_path_on_the_command_line_is_found_by_its_hash(void **state)
{
        const char *path = helper_file("a,b", ""), *name = helper_path("link");
        char argument[2 * HELPER_PATH_MAX];
        struct hf_thing thing;
        pid_t pid;

        (void)state;
        assert_int_equal(symlink("a,b", name), 0);
        (void)snprintf(argument, sizeof(argument), "file=%s,backing=%s", helper_path("a,,b"), name);
        pid = helper_spawn(exec_with, argument);
        wait_for_command_line(pid);
        assert_finds(pid, path, path);
        /* The name counts as it is written; what it leads to is the thing. */
        assert_finds(pid, name, path);
        assert_int_equal(hf_behind_find(pid, hash_of("/elsewhere"), &thing), -ENOENT);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(hf_behind_find(pid, hash_of(path), &thing), -ENOENT);
        helper_reap(pid);
}

static void who_has_paths_without_end_holds_up_nobody(void **state)
{
        const char *paths[] = {helper_file("first", ""), helper_file("open", ""),
                               helper_file("hidden", "")};
        pid_t pid = helper_spawn(exec_hiding, paths);
        struct hf_thing thing;

        (void)state;
        wait_for_command_line(pid);
        assert_finds(pid, paths[0], paths[0]);
        assert_finds(pid, paths[1], paths[1]);
        assert_int_equal(hf_behind_find(pid, hash_of(paths[2]), &thing), -ENOENT);
        helper_reap(pid);
}

static void an_open_file_is_found_by_the_hash_of_its_path(void **state)
{
        const char *path = helper_file("disk", "");
        pid_t pid = helper_spawn(open_it, (void *)(uintptr_t)path);
        struct hf_thing thing;

        (void)state;
        assert_finds(pid, path, path);
        helper_reap(pid);
        assert_int_equal(hf_behind_find(pid, hash_of(path), &thing), -ENOENT);
}

static void nothing_is_found_in_a_process_that_is_not_there(void **state)
{
        struct hf_thing thing;

        (void)state;
        assert_int_equal(hf_behind_find(1 << 30, hash_of("/x"), &thing), -ENOENT);
        assert_int_equal(hf_behind_find(0, hash_of("/x"), &thing), -ENOENT);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_hash_is_64_lower_case_hexadecimal_digits),
                cmocka_unit_test(every_absolute_path_of_an_argument_is_found),
                cmocka_unit_test(a_search_ends_when_it_has_found),
                cmocka_unit_test(a_path_that_no_file_can_have_is_cut),
                cmocka_unit_test(a_path_on_the_command_line_is_found_by_its_hash),
                cmocka_unit_test(who_has_paths_without_end_holds_up_nobody),
                cmocka_unit_test(an_open_file_is_found_by_the_hash_of_its_path),
                cmocka_unit_test(nothing_is_found_in_a_process_that_is_not_there),
        };

        /* The child that stands for a VM: it dies with its parent, as was set before exec. */
        if (argc > 1 && !strcmp(argv[1], "--sleep"))
                for (;;)
                        (void)pause();
        return cmocka_run_group_tests_name("behind", tests, helper_make_folder,
                                           helper_remove_folder);
}
