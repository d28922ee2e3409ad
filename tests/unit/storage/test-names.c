/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/names-private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GROUP "FQVWrD1RqE1H0lqN2MrWxYhTz3Bd9vNp"
#define UUID  "LVM-" GROUP "aBcDeF0123456789ghijKLMNopqrST#!"
#define ID    "aBcDeF-0123-4567-89gh-ijKL-MNop-qrST#!"

static const char *id_of(const char *path, const char *name, const char *uuid)
{
        static char id[HF_LVM_ID_SIZE];

        return hf_name_lvm_id(path, name, uuid, id) ? id : NULL;
}

static void both_spellings_of_a_volume_have_the_id_that_lvs_prints(void **state)
{
        (void)state;
        assert_string_equal(id_of("/dev/vg0/disk", "vg0-disk", UUID), ID);
        assert_string_equal(id_of("/dev/mapper/vg0-disk", "vg0-disk", UUID), ID);
        assert_string_equal(id_of("/dev/v-g/a-b", "v--g-a--b", UUID), ID);
        assert_string_equal(id_of("/dev/mapper/v--g-a--b", "v--g-a--b", UUID), ID);
        assert_string_equal(id_of("/dev/v-/b", "v---b", UUID), ID);
}

static void a_path_that_lvs_would_read_otherwise_has_none(void **state)
{
        static const char *const paths[] = {
                "/dev/dm-0",         "/dev/disk/by-id/dm-name-vg0-disk",
                "/dev/vg0",          "/dev/vg0/",
                "/dev//disk",        "/dev/vg0//disk",
                "/dev/vg0/disk2",    "/dev/mapper/vg0--disk",
                "/devices/vg0/disk", "/dev/mapper/other",
                "/dev/vg0-disk/x",   "vg0/disk",
        };

        (void)state;
        for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
                assert_null(id_of(paths[i], "vg0-disk", UUID));
}

static void a_device_that_is_no_whole_volume_has_none(void **state)
{
        (void)state;
        assert_null(id_of("/dev/mapper/vg0-disk", "vg0-disk", UUID "-real"));
        assert_null(id_of("/dev/mapper/vg0-disk", "vg0-disk", "LVM-" GROUP));
        assert_null(id_of("/dev/mapper/vg0-disk", "vg0-disk", "mpath-36001405"));
        assert_null(id_of("/dev/mapper/vg0-disk", "vg0-disk", "CRYPT" UUID));
        assert_null(id_of("/dev/mapper/mpatha", "mpatha", UUID));
        assert_null(id_of("/dev/mapper/a-b-c", "a-b-c", UUID));
        assert_null(id_of("/dev/mapper/-b", "-b", UUID));
        assert_null(id_of("/dev/mapper/a-", "a-", UUID));
        assert_null(id_of("/dev/mapper/a\\x20-b", "a\\x20-b", UUID));
}

static void the_id_of_udev_counts_where_it_can_be_no_other_than_that_of_scsi_id(void **state)
{
        (void)state;
        assert_true(hf_name_scsi_is_certain("360014052e3b4a1f2c3d4e5f60718293a"));
        assert_true(hf_name_scsi_is_certain("35000c500a1b2c3d4"));
        assert_false(hf_name_scsi_is_certain("0QEMU_QEMU_HARDDISK_drive0"));
        assert_false(hf_name_scsi_is_certain("360014052e3b4a1f2c3d4e5f60718293"));
        assert_false(hf_name_scsi_is_certain("260014052e3b4a1f"));
        assert_false(hf_name_scsi_is_certain("36001405_e3b4a1f2c3d4e5f60718293a"));
        assert_false(hf_name_scsi_is_certain(""));
}

static void what_a_program_prints_is_cut_as_libvirt_cuts_it(void **state)
{
        char lvs[] = " \t\n  abc-def  \nsecond\n", scsi[] = "  36001405 \nmore", none[] = "\n";

        (void)state;
        assert_string_equal(hf_name_trim(lvs, true), "abc-def  ");
        assert_string_equal(hf_name_trim(scsi, false), "  36001405 ");
        assert_string_equal(hf_name_trim(none, false), "");
}

static void a_name_without_directories_is_the_path(void **state)
{
        const struct hf_name_dirs none = {0}, hash = {.file = "/locks"};
        struct hf_name name;

        (void)state;
        assert_int_equal(hf_name_of_disk(&none, "/dev/vg0/disk", 0, &name, NULL), 0);
        assert_string_equal(name.lockspace, "");
        assert_string_equal(name.text, "/dev/vg0/disk");
        free(name.text);
        assert_int_equal(hf_name_of_disk(&hash, "/srv/a.img", 0, &name, NULL), 0);
        assert_string_equal(name.lockspace, "/locks");
        /* printf %s /srv/a.img | sha256sum */
        assert_string_equal(name.text,
                            "2b6011ba5d563292bf53a35f00c7b345640583bc4e94cca624e490f135ff7c13");
        free(name.text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(both_spellings_of_a_volume_have_the_id_that_lvs_prints),
                cmocka_unit_test(a_path_that_lvs_would_read_otherwise_has_none),
                cmocka_unit_test(a_device_that_is_no_whole_volume_has_none),
                cmocka_unit_test(
                        the_id_of_udev_counts_where_it_can_be_no_other_than_that_of_scsi_id),
                cmocka_unit_test(what_a_program_prints_is_cut_as_libvirt_cuts_it),
                cmocka_unit_test(a_name_without_directories_is_the_path),
        };

        return cmocka_run_group_tests_name("storage-names", tests, NULL, NULL);
}
