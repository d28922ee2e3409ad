/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "prhelper/choose.h"
#include "prhelper/disk.h"

#include "base/cleanup.h"
#include "base/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

static char top[] = "/tmp/hf-disk-XXXXXX";

static void make_dir(const char *name)
{
        hf_cleanup_free char *path = NULL;

        assert_true(asprintf(&path, "%s/%s", top, name) > 0);
        assert_int_equal(hf_path_make_dirs(path, 0700, NULL), 0);
}

static void make_link(const char *name, const char *target)
{
        hf_cleanup_free char *path = NULL;

        assert_true(asprintf(&path, "%s/%s", top, name) > 0);
        assert_int_equal(symlink(target, path), 0);
}

static void write_number(const char *folder, const char *number)
{
        hf_cleanup_free char *path = NULL;
        hf_cleanup_file FILE *file = NULL;

        assert_true(asprintf(&path, "%s/%s/dev", top, folder) > 0);
        file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fprintf(file, "%s\n", number) > 0);
}

/* A namespace: its two nodes have its controller for their device, as all of that controller. */
static void make_namespace(const char *block, const char *generic, unsigned int number)
{
        const char *names[] = {block, generic};

        for (int i = 0; i < 2; i++) {
                char folder[128], at[192], node[64];

                (void)snprintf(folder, sizeof(folder), "devices/nvme/nvme0/%s", names[i]);
                make_dir(folder);
                (void)snprintf(at, sizeof(at), "%s/device", folder);
                make_link(at, "../../nvme0");
                (void)snprintf(at, sizeof(at), "../../%s", folder);
                (void)snprintf(node, sizeof(node), "dev/%s:%u", i ? "char/240" : "block/259",
                               number);
                make_link(node, at);
        }
}

/* Two SCSI disks as the kernel lays them out, the first with two partitions; and two namespaces. */
static int setup(void **state)
{
        (void)state;
        assert_true(mkdtemp(top));
        make_dir("dev/block");
        make_dir("dev/char");
        make_dir("devices/0:0:0:0/block/sda/sda1/partition");
        make_dir("devices/0:0:0:0/block/sda/sda2/partition");
        make_dir("devices/0:0:0:0/scsi_generic/sg0");
        make_dir("devices/0:0:0:1/block/sdb");
        make_dir("devices/virtual/block/loop0");
        make_link("devices/0:0:0:0/block/sda/device", "../../../0:0:0:0");
        make_link("devices/0:0:0:0/scsi_generic/sg0/device", "../../../0:0:0:0");
        make_link("devices/0:0:0:1/block/sdb/device", "../../../0:0:0:1");
        make_link("dev/block/8:0", "../../devices/0:0:0:0/block/sda");
        make_link("dev/block/8:1", "../../devices/0:0:0:0/block/sda/sda1");
        make_link("dev/block/8:2", "../../devices/0:0:0:0/block/sda/sda2");
        make_link("dev/char/21:0", "../../devices/0:0:0:0/scsi_generic/sg0");
        make_link("dev/block/8:16", "../../devices/0:0:0:1/block/sdb");
        make_link("dev/block/7:0", "../../devices/virtual/block/loop0");
        /* A logical volume on a volume on the first partition; and one on the second disk. */
        make_dir("devices/virtual/block/dm-0/slaves");
        make_dir("devices/virtual/block/dm-1/slaves");
        make_dir("devices/virtual/block/dm-2/slaves");
        make_link("devices/virtual/block/dm-0/slaves/sda1", "../../../../0:0:0:0/block/sda/sda1");
        make_link("devices/virtual/block/dm-1/slaves/dm-0", "../../dm-0");
        make_link("devices/virtual/block/dm-2/slaves/sdb", "../../../../0:0:0:1/block/sdb");
        make_link("dev/block/253:0", "../../devices/virtual/block/dm-0");
        make_link("dev/block/253:1", "../../devices/virtual/block/dm-1");
        make_link("dev/block/253:2", "../../devices/virtual/block/dm-2");
        write_number("devices/virtual/block/dm-0", "253:0");
        write_number("devices/0:0:0:0/block/sda/sda1", "8:1");
        write_number("devices/0:0:0:1/block/sdb", "8:16");
        make_namespace("nvme0n1", "ng0n1", 0);
        make_namespace("nvme0n2", "ng0n2", 1);
        make_dir("devices/nvme/nvme0/nvme0n1/nvme0n1p1/partition");
        make_link("dev/block/259:2", "../../devices/nvme/nvme0/nvme0n1/nvme0n1p1");
        return 0;
}

static int teardown(void **state)
{
        hf_cleanup_free char *command = NULL;

        (void)state;
        assert_true(asprintf(&command, "rm -r %s", top) > 0);
        return system(command);
}

static struct stat node(mode_t kind, unsigned int number_major, unsigned int number_minor)
{
        return (struct stat){.st_mode = kind | 0600,
                             .st_dev = 5,
                             .st_ino = number_minor + 100,
                             .st_rdev = makedev(number_major, number_minor)};
}

static bool same(struct stat a, struct stat b)
{
        return hf_pr_same_disk(top, &a, &b) && hf_pr_same_disk(top, &b, &a);
}

static bool other(struct stat a, struct stat b)
{
        return !hf_pr_same_disk(top, &a, &b) && !hf_pr_same_disk(top, &b, &a);
}

static void a_partition_and_the_generic_node_are_the_disk(void **state)
{
        struct stat sda = node(S_IFBLK, 8, 0), sda1 = node(S_IFBLK, 8, 1);
        struct stat sg0 = node(S_IFCHR, 21, 0), sdb = node(S_IFBLK, 8, 16);

        (void)state;
        assert_true(same(sda, sda1));
        assert_true(same(sda, sg0));
        assert_true(same(sda1, sg0));
        assert_true(other(sda, sdb));
        assert_true(other(sdb, sg0));
}

static void namespaces_of_one_controller_are_different_disks(void **state)
{
        struct stat one = node(S_IFBLK, 259, 0), two = node(S_IFBLK, 259, 1);
        struct stat part = node(S_IFBLK, 259, 2);
        struct stat generic = node(S_IFCHR, 240, 0), generic_two = node(S_IFCHR, 240, 1);

        (void)state;
        assert_true(other(one, two));
        assert_true(other(generic, generic_two));
        assert_true(same(one, generic));
        assert_true(same(two, generic_two));
        assert_true(other(one, generic_two));
        assert_true(same(one, part));
        assert_true(same(part, generic));
        assert_true(other(part, two));
}

static void a_volume_stands_on_its_disk_and_on_no_other(void **state)
{
        struct stat sda = node(S_IFBLK, 8, 0), sg0 = node(S_IFCHR, 21, 0);
        struct stat sdb = node(S_IFBLK, 8, 16), sda1 = node(S_IFBLK, 8, 1);
        struct stat first = node(S_IFBLK, 253, 0), upper = node(S_IFBLK, 253, 1);
        struct stat second = node(S_IFBLK, 253, 2);

        (void)state;
        assert_true(hf_pr_stands_on(top, &sda, &sda1));
        assert_true(hf_pr_stands_on(top, &first, &sda));
        assert_true(hf_pr_stands_on(top, &upper, &sda));
        assert_true(hf_pr_stands_on(top, &upper, &sg0));
        assert_true(hf_pr_stands_on(top, &upper, &first));
        assert_false(hf_pr_stands_on(top, &upper, &sdb));
        assert_true(hf_pr_stands_on(top, &second, &sdb));
        assert_false(hf_pr_stands_on(top, &second, &sda));
        assert_false(hf_pr_stands_on(top, &sda, &first));
        assert_true(other(first, sda));
}

static void where_sysfs_is_silent_the_numbers_count(void **state)
{
        struct stat loop = node(S_IFBLK, 7, 0), unknown = node(S_IFBLK, 9, 9);
        struct stat again = unknown;

        (void)state;
        again.st_ino++;
        assert_true(same(unknown, again));
        assert_true(other(unknown, loop));
        /* Not the block device of that number, but a character device. */
        assert_true(other(loop, node(S_IFCHR, 7, 0)));
}

static void files_are_their_inodes(void **state)
{
        struct stat a = {.st_mode = S_IFREG, .st_dev = 1, .st_ino = 2}, b = a;

        (void)state;
        assert_true(same(a, b));
        b.st_ino = 3;
        assert_true(other(a, b));
        assert_true(other(a, node(S_IFBLK, 8, 0)));
}

/* The unit that the settings' nodes make of a descriptor. */
static const char *unit_of(struct hf_pr_settings *settings, struct stat st)
{
        struct hf_pr_choice choice;

        hf_pr_choose(settings, top, -1, &st, &choice);
        return choice.unit ? choice.unit : "none";
}

static void a_partition_that_is_a_unit_is_not_its_neighbour_nor_the_disk(void **state)
{
        char paths[3][64];
        struct hf_pr_unit units[3];
        struct hf_pr_settings settings = {.units = units};
        static const char *const names[] = {"0", "1", "2"};

        (void)state;
        for (unsigned int i = 0; i < 3; i++) {
                (void)snprintf(paths[i], sizeof(paths[i]), "%s/node%u", top, i);
                if (mknod(paths[i], S_IFBLK | 0600, makedev(8, i)) < 0)
                        skip(); /* takes CAP_MKNOD */
                units[i] = (struct hf_pr_unit){paths[i], (char *)(uintptr_t)names[i]};
        }
        settings.n_units = 3;
        for (unsigned int i = 0; i < 3; i++)
                assert_string_equal(unit_of(&settings, node(S_IFBLK, 8, i)), names[i]);
        /* The disk alone: all of it. The first partition alone: nothing else. */
        settings.n_units = 1;
        assert_string_equal(unit_of(&settings, node(S_IFBLK, 8, 2)), "0");
        assert_string_equal(unit_of(&settings, node(S_IFCHR, 21, 0)), "0");
        units[0] = units[1];
        assert_string_equal(unit_of(&settings, node(S_IFBLK, 8, 1)), "1");
        assert_string_equal(unit_of(&settings, node(S_IFBLK, 8, 2)), "none");
        assert_string_equal(unit_of(&settings, node(S_IFBLK, 8, 0)), "none");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_partition_and_the_generic_node_are_the_disk),
                cmocka_unit_test(namespaces_of_one_controller_are_different_disks),
                cmocka_unit_test(a_partition_that_is_a_unit_is_not_its_neighbour_nor_the_disk),
                cmocka_unit_test(a_volume_stands_on_its_disk_and_on_no_other),
                cmocka_unit_test(where_sysfs_is_silent_the_numbers_count),
                cmocka_unit_test(files_are_their_inodes),
        };

        return cmocka_run_group_tests_name("disk", tests, setup, teardown);
}
