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

/* Two namespaces of a controller: what is behind "device" is both's. */
static void make_namespaces(void)
{
        make_dir("devices/nvme0/nvme0n1/nvme0n1p1/partition");
        make_dir("devices/nvme0/nvme0n2");
        make_dir("devices/nvme0/ng0n1");
        make_link("devices/nvme0/nvme0n1/device", "../../nvme0");
        make_link("devices/nvme0/nvme0n2/device", "../../nvme0");
        make_link("devices/nvme0/ng0n1/device", "../../nvme0");
        make_link("dev/block/259:0", "../../devices/nvme0/nvme0n1");
        make_link("dev/block/259:1", "../../devices/nvme0/nvme0n1/nvme0n1p1");
        make_link("dev/block/259:2", "../../devices/nvme0/nvme0n2");
        make_link("dev/char/240:0", "../../devices/nvme0/ng0n1");
}

/* Two SCSI disks as the kernel lays them out, the first with two partitions. */
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
        make_namespaces();
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
        struct stat first = node(S_IFBLK, 259, 0), part = node(S_IFBLK, 259, 1);
        struct stat second = node(S_IFBLK, 259, 2), generic = node(S_IFCHR, 240, 0);

        (void)state;
        assert_true(same(first, part));
        assert_true(same(first, generic));
        assert_true(same(part, generic));
        assert_true(other(first, second));
        assert_true(other(part, second));
        assert_true(other(second, generic));
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
                cmocka_unit_test(where_sysfs_is_silent_the_numbers_count),
                cmocka_unit_test(files_are_their_inodes),
        };

        return cmocka_run_group_tests_name("disk", tests, setup, teardown);
}
