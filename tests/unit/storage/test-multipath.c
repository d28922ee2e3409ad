/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/multipath.h"

#include "base/cleanup.h"
#include "base/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

static const char config[] = "defaults {\n"
                             "\tverbosity 2\n"
                             "\treservation_key \"file\"\n"
                             "\tall_tg_pt \"no\"\n"
                             "}\n"
                             "devices {\n"
                             "\tdevice {\n"
                             "\t\tvendor \"reservation_key 0x9\"\n"
                             "\t\treservation_key 0x8\n"
                             "\t}\n"
                             "}\n"
                             "multipaths {\n"
                             "\tmultipath {\n"
                             "\t\twwid \"3600a\"\n"
                             "\t\treservation_key 0x123abc\n"
                             "\t}\n"
                             "\tmultipath {\n"
                             "\t\treservation_key 0x456\n"
                             "\t\twwid \"3600b\"\n"
                             "\t}\n"
                             "\tmultipath {\n"
                             "\t\twwid \"3600c\"\n"
                             "\t}\n"
                             "}\n";

static void has(const char *text, const char *wwid, const char *wanted)
{
        char key[HF_MULTIPATH_KEY_MAX];

        hf_multipath_key_of(text, wwid, key);
        assert_string_equal(key, wanted);
}

static void a_maps_own_key_goes_before_that_of_the_defaults(void **state)
{
        (void)state;
        has(config, "3600a", "0x123abc");
        has(config, "3600b", "0x456");
        has(config, "3600c", "file");
        has(config, "3600", "file");
}

static void without_a_key_there_is_none(void **state)
{
        (void)state;
        has("", "3600a", "");
        has("defaults {\n\tverbosity 2\n}\n", "3600a", "");
        /* Not of this map, not of maps at all, or behind an end that nothing began. */
        has("multipaths {\n\tmultipath {\n\t\twwid \"b\"\n\t\treservation_key 0x1\n\t}\n}\n", "a",
            "");
        has("overrides {\n\treservation_key 0x1\n}\n", "a", "");
        has("}\n}\nreservation_key 0x1\n", "a", "");
}

static void a_key_that_is_too_long_is_cut(void **state)
{
        char text[4096] = "defaults {\nreservation_key ", key[HF_MULTIPATH_KEY_MAX];

        (void)state;
        memset(text + strlen(text), 'x', sizeof(text) - strlen(text) - 1);
        hf_multipath_key_of(text, "a", key);
        assert_int_equal(strlen(key), sizeof(key) - 1);
}

static void the_wwid_is_what_device_mapper_keeps(void **state)
{
        char top[] = "/tmp/hf-multipath-XXXXXX", wwid[HF_MULTIPATH_WWID_MAX];
        hf_cleanup_free char *dir = NULL, *path = NULL, *command = NULL;
        FILE *file;

        (void)state;
        assert_true(mkdtemp(top));
        assert_true(asprintf(&dir, "%s/dev/block/253:7/dm", top) > 0);
        assert_true(asprintf(&path, "%s/uuid", dir) > 0);
        assert_true(asprintf(&command, "rm -r %s", top) > 0);
        assert_int_equal(hf_path_make_dirs(dir, 0700, NULL), 0);
        assert_int_equal(hf_multipath_wwid(top, makedev(253, 7), wwid), -ENOENT);
        file = fopen(path, "w");
        assert_true(fputs("mpath-3600a\n", file) >= 0 && fclose(file) == 0);
        assert_int_equal(hf_multipath_wwid(top, makedev(253, 7), wwid), 0);
        assert_string_equal(wwid, "3600a");
        assert_int_equal(hf_multipath_wwid(top, makedev(253, 8), wwid), -ENOENT);
        file = fopen(path, "w");
        assert_true(fputs("LVM-3600a\n", file) >= 0 && fclose(file) == 0);
        assert_int_equal(hf_multipath_wwid(top, makedev(253, 7), wwid), -ENOENT);
        assert_int_equal(system(command), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_maps_own_key_goes_before_that_of_the_defaults),
                cmocka_unit_test(without_a_key_there_is_none),
                cmocka_unit_test(a_key_that_is_too_long_is_cut),
                cmocka_unit_test(the_wwid_is_what_device_mapper_keeps),
        };

        return cmocka_run_group_tests_name("multipath", tests, NULL, NULL);
}
