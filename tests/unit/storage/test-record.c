/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/record.h"

#include "base/cleanup.h"
#include "helper.h"
#include "storage/resource.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct hf_record example(const char *host)
{
        struct hf_record record = {
                .pid = 4711,
                .since = 1700000000000000,
                .epoch = 99,
                .machine = {1, 2, 3},
                .boot = {4, 5, 6},
                .uuid = {7, 8, 9},
                .via = "libvirt",
        };

        (void)snprintf(record.host, sizeof(record.host), "%s", host);
        hf_record_set_vm(&record, "web1");
        hf_record_set_resource(&record, "/srv/vms/web1.qcow2");
        hf_record_set_lockspace(&record, "");
        hf_record_set_nfs_client(&record, "alpha", "");
        return record;
}

static int take(const char *path, bool shared, bool autocreate)
{
        struct hf_resource_request request = {
                .path = path, .shared = shared, .autocreate = autocreate};
        struct hf_resource_result result;

        hf_resource_take(&request, &result);
        assert_int_equal(result.status, 0);
        return result.fd;
}

static off_t size_of(const char *path)
{
        struct stat st;

        return stat(path, &st) < 0 ? -1 : st.st_size;
}

/* What a look tells; *ret is the record where there is one. */
static enum hf_record_verdict look(const char *path, struct hf_record *ret)
{
        enum hf_record_verdict verdict;

        assert_int_equal(hf_record_look(path, ret, &verdict), 0);
        return verdict;
}

static void a_record_is_read_as_it_was_written(void **state)
{
        struct hf_record record = example("alpha"), back;
        uint8_t block[HF_RECORD_SIZE], again[HF_RECORD_SIZE];

        (void)state;
        record.shared = true;
        record.sequence = 0x0102030405060708;
        hf_record_encode(&record, block);
        assert_memory_equal(block, "hfholder\1\0\1\0", 12);
        assert_memory_equal(block + 16, "\10\7\6\5\4\3\2\1", 8);
        assert_int_equal(hf_record_decode(block, sizeof(block), &back), 0);
        assert_true(back.shared && back.sequence == record.sequence && back.pid == 4711);
        assert_string_equal(back.vm, "web1");
        assert_string_equal(back.host, "alpha");
        assert_string_equal(back.resource, "/srv/vms/web1.qcow2");
        assert_true(hf_record_same_host(&record, &back));
        hf_record_encode(&back, again);
        assert_memory_equal(block, again, sizeof(block));
}

static void no_damaged_byte_is_believed(void **state)
{
        struct hf_record record = example("alpha"), back;
        uint8_t block[HF_RECORD_SIZE];

        (void)state;
        hf_record_encode(&record, block);
        for (size_t i = 0; i < sizeof(block); i++) {
                block[i] ^= 0x10;
                assert_int_equal(hf_record_decode(block, sizeof(block), &back), -EBADMSG);
                block[i] ^= 0x10;
        }
        assert_int_equal(hf_record_decode(block, sizeof(block) - 1, &back), -EBADMSG);
        assert_int_equal(hf_record_decode(block, 0, &back), -EBADMSG);
        assert_int_equal(hf_record_decode(block, sizeof(block), &back), 0);
}

static void a_long_name_is_cut_where_it_tells_least(void **state)
{
        struct hf_record record = example("alpha"), back;
        uint8_t block[HF_RECORD_SIZE];
        char text[300];

        (void)state;
        memset(text, 'x', sizeof(text));
        /* A character of two bytes, of which only the first one fits. */
        memcpy(text + HF_RECORD_VM_MAX - 2, "\xc3\xa9", 2);
        (void)snprintf(text + 200, 100, "/end.qcow2");
        hf_record_set_vm(&record, text);
        hf_record_set_resource(&record, text);
        hf_record_encode(&record, block);
        assert_int_equal(hf_record_decode(block, sizeof(block), &back), 0);
        assert_int_equal(strlen(back.vm), HF_RECORD_VM_MAX - 2);
        assert_int_equal(strlen(back.resource), HF_RECORD_RESOURCE_MAX - 1);
        assert_non_null(strstr(back.resource, "/end.qcow2"));
        assert_memory_equal(back.resource, "...x", 4);
}

static void a_text_with_control_characters_commands_nothing(void **state)
{
        struct hf_record record = example("al\x1bpha"), back;
        uint8_t block[HF_RECORD_SIZE];

        (void)state;
        hf_record_set_vm(&record, "web\x1b[2J\n\x7f");
        hf_record_encode(&record, block);
        assert_int_equal(hf_record_decode(block, sizeof(block), &back), 0);
        assert_string_equal(back.vm, "web?[2J??");
        assert_string_equal(back.host, "al?pha");
}

static void a_stand_in_has_its_record_in_it_while_it_is_locked(void **state)
{
        const char *path = helper_path("lease");
        struct hf_record record = example("alpha"), found;
        int fd = take(path, false, true);

        (void)state;
        assert_int_equal(look(path, &found), HF_RECORD_UNKNOWN);
        assert_int_equal(hf_record_write(fd, true, &record), 0);
        assert_int_equal(size_of(path), HF_RECORD_SIZE);
        assert_int_equal(look(path, &found), HF_RECORD_HELD);
        assert_string_equal(found.vm, "web1");
        assert_int_equal(found.sequence, 1);
        assert_true(found.written > found.since && found.directory != 0);
        hf_record_clear(fd, true, &record);
        assert_int_equal(size_of(path), 0);
        hf_resource_give(fd, NULL);
        assert_int_equal(look(path, &found), HF_RECORD_FREE);
        assert_int_equal(unlink(path), 0);
}

static void the_record_of_a_locked_file_is_beside_it(void **state)
{
        const char *path = helper_file("disk", "image"),
                   *beside = helper_path(".holdfast/disk.holder");
        struct hf_record record = example("alpha"), found;
        int fd = take(path, false, false);

        (void)state;
        assert_int_equal(hf_record_write(fd, false, &record), 0);
        assert_int_equal(size_of(path), 5);
        assert_int_equal(size_of(beside), HF_RECORD_SIZE);
        assert_int_equal(look(path, &found), HF_RECORD_HELD);
        assert_string_equal(found.host, "alpha");
        hf_record_clear(fd, false, &record);
        assert_int_equal(size_of(beside), -1);
        assert_int_equal(size_of(helper_path(".holdfast")), -1);
        hf_resource_give(fd, NULL);
}

static void it_is_found_by_any_name_of_the_file(void **state)
{
        const char *path = helper_file("disk", "image"), *alias = helper_path("alias");
        struct hf_record record = example("alpha"), found;
        int fd = take(path, false, false);

        (void)state;
        assert_int_equal(symlink(path, alias), 0);
        assert_int_equal(hf_record_write(fd, false, &record), 0);
        assert_int_equal(look(alias, &found), HF_RECORD_HELD);
        hf_record_clear(fd, false, &record);
        hf_resource_give(fd, NULL);
}

static void a_record_without_a_lock_tells_of_the_last_holder(void **state)
{
        const char *path = helper_path("stale");
        struct hf_record record = example("alpha"), found;
        int fd = take(path, false, true);

        (void)state;
        assert_int_equal(hf_record_write(fd, true, &record), 0);
        hf_resource_give(fd, NULL);
        assert_int_equal(look(path, &found), HF_RECORD_LAST);
        assert_string_equal(found.vm, "web1");
        /* The next holder counts on. */
        fd = take(path, false, true);
        record = example("beta");
        assert_int_equal(hf_record_write(fd, true, &record), 0);
        assert_int_equal(look(path, &found), HF_RECORD_HELD);
        assert_int_equal(found.sequence, 2);
        assert_string_equal(found.host, "beta");
        hf_resource_give(fd, path);
        assert_int_equal(size_of(path), -1);
}

static void only_its_own_host_clears_a_record(void **state)
{
        const char *path = helper_path("other");
        struct hf_record record = example("alpha"), other = example("beta"),
                         life = example("alpha");
        int fd = take(path, false, true);

        (void)state;
        life.epoch = 100;
        assert_int_equal(hf_record_write(fd, true, &record), 0);
        hf_record_clear(fd, true, &other);
        hf_record_clear(fd, true, &life);
        assert_int_equal(size_of(path), HF_RECORD_SIZE);
        life.epoch = 0;
        hf_record_clear(fd, true, &life);
        assert_int_equal(size_of(path), 0);
        hf_resource_give(fd, path);
}

static void what_has_another_content_is_never_overwritten(void **state)
{
        const char *path = helper_file("image", "precious");
        struct hf_record record = example("alpha");
        hf_cleanup_fd int stranger = -1;
        int fd = take(path, false, false);

        (void)state;
        /* Not even where it is said to be a stand-in: it goes beside. */
        assert_int_equal(hf_record_write(fd, true, &record), 0);
        assert_int_equal(size_of(path), 8);
        stranger = open(helper_path(".holdfast/image.holder"), O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(stranger, "mine", 4, 0), 4);
        assert_int_equal(hf_record_write(fd, false, &record), -EEXIST);
        hf_record_clear(fd, false, &record);
        assert_int_equal(size_of(helper_path(".holdfast/image.holder")), HF_RECORD_SIZE);
        assert_int_equal(unlink(helper_path(".holdfast/image.holder")), 0);
        hf_resource_give(fd, NULL);
}

static void no_link_that_lies_in_wait_is_followed(void **state)
{
        const char *path = helper_file("disk", "image"), *victim = helper_file("victim", "");
        const char *beside = helper_path(".holdfast/disk.holder");
        struct hf_record record = example("alpha");
        int fd = take(path, false, false);

        (void)state;
        (void)mkdir(helper_path(".holdfast"), 0700);
        assert_int_equal(symlink(victim, beside), 0);
        assert_int_equal(hf_record_write(fd, false, &record), -ELOOP);
        assert_int_equal(unlink(beside), 0);
        assert_int_equal(link(victim, beside), 0);
        assert_int_equal(hf_record_write(fd, false, &record), -EEXIST);
        assert_int_equal(unlink(beside), 0);
        assert_int_equal(mkfifo(beside, 0600), 0);
        assert_int_equal(hf_record_write(fd, false, &record), -EEXIST);
        assert_int_equal(unlink(beside), 0);
        assert_int_equal(rmdir(helper_path(".holdfast")), 0);
        assert_int_equal(symlink(helper_path(""), helper_path(".holdfast")), 0);
        assert_true(hf_record_write(fd, false, &record) < 0);
        assert_int_equal(unlink(helper_path(".holdfast")), 0);
        assert_int_equal(size_of(victim), 0);
        hf_resource_give(fd, NULL);
}

static void a_share_is_held_as_well(void **state)
{
        const char *path = helper_file("shared", "image");
        struct hf_record record = example("alpha"), found;
        int fd = take(path, true, false);

        (void)state;
        record.shared = true;
        assert_int_equal(hf_record_write(fd, false, &record), 0);
        assert_int_equal(look(path, &found), HF_RECORD_HELD);
        assert_true(found.shared);
        hf_record_clear(fd, false, &record);
        hf_resource_give(fd, NULL);
}

static void what_is_no_file_cannot_be_looked_at(void **state)
{
        enum hf_record_verdict verdict;
        struct hf_record record;

        (void)state;
        assert_int_equal(hf_record_look(helper_path("none"), &record, &verdict), -ENOENT);
        assert_int_equal(hf_record_look("/dev/null", &record, &verdict), -ENOTSUP);
        assert_int_equal(hf_record_look("/tmp", &record, &verdict), -EISDIR);
}

/* To open a watchdog starts it, and to open a pipe lets its writer go on. */
static void what_is_no_file_is_not_even_opened(void **state)
{
        hf_cleanup_fd int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        const char *path = helper_path("pipe");
        struct inotify_event event;
        enum hf_record_verdict verdict;
        struct hf_record record;

        (void)state;
        assert_int_equal(mkfifo(path, 0600), 0);
        assert_true(inotify_add_watch(watch, path, IN_OPEN) >= 0);
        assert_int_equal(hf_record_look(path, &record, &verdict), -ENOTSUP);
        assert_int_equal(read(watch, &event, sizeof(event)), -1);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(unlink(path), 0);
}

/* Numbers of descriptors, as bits. */
static uint64_t descriptors(void)
{
        uint64_t open_ones = 0;

        for (int fd = 0; fd < 64; fd++)
                open_ones |= (uint64_t)(fcntl(fd, F_GETFD) >= 0) << fd;
        return open_ones;
}

/* The stack holds small numbers, which are other people's descriptors. */
static void spoil_stack(void)
{
        volatile int spoiled[4096];

        for (size_t i = 0; i < HF_ARRAY_LEN(spoiled); i++)
                spoiled[i] = (int)(i % 16) + 3;
}

static void no_descriptor_of_anybody_is_touched(void **state)
{
        const char *stand_in = helper_path("lease"), *disk = helper_file("disk", "image");
        struct hf_record record = example("alpha"), found;
        int fds[] = {take(stand_in, false, true), take(disk, false, false)};
        int others[12];
        uint64_t before;

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(others); i++)
                others[i] = dup(fds[0]);
        before = descriptors();
        for (size_t i = 0; i < HF_ARRAY_LEN(fds); i++) {
                spoil_stack();
                assert_int_equal(hf_record_write(fds[i], i == 0, &record), 0);
                assert_int_equal(descriptors(), before);
                spoil_stack();
                assert_int_equal(look(i ? disk : stand_in, &found), HF_RECORD_HELD);
                assert_int_equal(descriptors(), before);
                spoil_stack();
                hf_record_clear(fds[i], i == 0, &record);
                assert_int_equal(descriptors(), before);
        }
        for (size_t i = 0; i < HF_ARRAY_LEN(others); i++)
                (void)close(others[i]);
        hf_resource_give(fds[0], stand_in);
        hf_resource_give(fds[1], NULL);
}

static void a_filesystem_of_this_host_has_no_records(void **state)
{
        int fd = take(helper_path("lease"), false, true);

        (void)state;
        assert_false(hf_record_is_wanted(fd));
        hf_resource_give(fd, helper_path("lease"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_record_is_read_as_it_was_written),
                cmocka_unit_test(no_damaged_byte_is_believed),
                cmocka_unit_test(a_long_name_is_cut_where_it_tells_least),
                cmocka_unit_test(a_text_with_control_characters_commands_nothing),
                cmocka_unit_test(a_stand_in_has_its_record_in_it_while_it_is_locked),
                cmocka_unit_test(the_record_of_a_locked_file_is_beside_it),
                cmocka_unit_test(it_is_found_by_any_name_of_the_file),
                cmocka_unit_test(a_record_without_a_lock_tells_of_the_last_holder),
                cmocka_unit_test(only_its_own_host_clears_a_record),
                cmocka_unit_test(what_has_another_content_is_never_overwritten),
                cmocka_unit_test(no_link_that_lies_in_wait_is_followed),
                cmocka_unit_test(a_share_is_held_as_well),
                cmocka_unit_test(what_is_no_file_cannot_be_looked_at),
                cmocka_unit_test(what_is_no_file_is_not_even_opened),
                cmocka_unit_test(no_descriptor_of_anybody_is_touched),
                cmocka_unit_test(a_filesystem_of_this_host_has_no_records),
        };

        return cmocka_run_group_tests_name("record", tests, helper_make_folder,
                                           helper_remove_folder);
}
