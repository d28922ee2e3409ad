/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "prhelper/device/stack.h"

#include "prhelper/device/dm.h"

#include "base/cleanup.h"

#include <linux/dm-ioctl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

/* A world of devices with the numbers 253:0 to 253:7; what is not mapped has no name. */
struct device {
        const char *name, *uuid;
        unsigned int targets, multipath;
        int below[4]; /* indexes, ended by a 0: nothing stands on the first device */
};

static dev_t number(int i)
{
        return makedev(253, (unsigned int)i);
}

static int look(void *context, dev_t device, struct hf_stack_node *ret, struct hf_error *err)
{
        const struct device *it = (const struct device *)context + minor(device);

        (void)err;
        *ret = (struct hf_stack_node){
                .mapped = it->name != NULL, .targets = it->targets, .multipath = it->multipath};
        (void)snprintf(ret->name, sizeof(ret->name), "%s", it->name ? it->name : "");
        (void)snprintf(ret->uuid, sizeof(ret->uuid), "%s", it->uuid ? it->uuid : "");
        return 0;
}

static int below(void *context, dev_t device, dev_t *ret, size_t room, struct hf_error *err)
{
        const struct device *it = (const struct device *)context + minor(device);
        size_t n = 0;

        (void)err;
        assert_true(room >= HF_ARRAY_LEN(it->below));
        for (; n < HF_ARRAY_LEN(it->below) && it->below[n]; n++)
                ret[n] = number(it->below[n]);
        return (int)n;
}

static const struct hf_stack_ops ops = {.look = look, .below = below};

static int find(struct device *world, struct hf_stack_map *map, struct hf_error *err)
{
        return hf_stack_find(&ops, world, number(0), map, err);
}

static void a_map_is_found_as_itself(void **state)
{
        struct device world[8] = {{"mpatha", "mpath-36001", 1, 1, {1, 2}}};
        struct hf_stack_map map;

        (void)state;
        assert_int_equal(find(world, &map, NULL), 1);
        assert_true(map.device == number(0));
        assert_string_equal(map.name, "mpatha");
}

static void a_device_without_paths_below_is_left_to_others(void **state)
{
        struct device plain[8] = {{}}, volume[8] = {{"vg-lv", "LVM-x", 2, 0, {1, 2}}};
        struct hf_stack_map map;

        (void)state;
        assert_int_equal(find(plain, &map, NULL), 0);
        assert_int_equal(find(volume, &map, NULL), 0);
}

static void a_volume_is_followed_down_to_its_map(void **state)
{
        struct device world[8] = {
                {"crypt", "CRYPT-x", 1, 0, {1}},
                {"vg-lv", "LVM-x", 2, 0, {2, 3}},
                {"part1", "part1-mpath-36001", 1, 0, {4}},
                {"part2", "part2-mpath-36001", 1, 0, {4}},
                {"mpatha", "mpath-36001", 1, 1, {5, 6}},
        };
        struct hf_stack_map map;

        (void)state;
        assert_int_equal(find(world, &map, NULL), 1);
        assert_true(map.device == number(4));
        assert_string_equal(map.name, "mpatha");
}

static void a_volume_on_two_maps_is_refused(void **state)
{
        struct device world[8] = {
                {"vg-lv", "LVM-x", 2, 0, {1, 2}},
                {"mpatha", "mpath-36001", 1, 1, {}},
                {"mpathb", "mpath-36002", 1, 1, {}},
        };
        struct hf_stack_map map;
        struct hf_error err;

        (void)state;
        assert_int_equal(find(world, &map, &err), -EXDEV);
        assert_string_equal(err.text, "it stands on two multipath devices, mpatha and mpathb");
}

static void a_volume_on_a_map_and_a_plain_disk_is_refused(void **state)
{
        struct device world[8] = {
                {"vg-lv", "LVM-x", 2, 0, {2, 1}},
                {"mpatha", "mpath-36001", 1, 1, {3}},
        };
        struct hf_stack_map map;
        struct hf_error err;

        (void)state;
        assert_int_equal(find(world, &map, &err), -EXDEV);
        assert_non_null(strstr(err.text, "mpatha and on the device 253:2"));
}

static void a_table_with_paths_for_a_part_is_refused(void **state)
{
        struct device world[8] = {{"mixed", "mpath-36001", 2, 1, {1, 2}}};
        struct hf_stack_map map;

        (void)state;
        assert_int_equal(find(world, &map, NULL), -EXDEV);
}

static void a_map_that_nobody_looks_after_is_refused(void **state)
{
        struct device world[8] = {{"handmade", "", 1, 1, {1, 2}}};
        struct hf_stack_map map;

        (void)state;
        assert_int_equal(find(world, &map, NULL), -EOPNOTSUPP);
}

static int too_many(void *context, dev_t device, dev_t *ret, size_t room, struct hf_error *err)
{
        (void)context;
        (void)err;
        for (size_t i = 0; i < room; i++)
                ret[i] = makedev(minor(device) + 1, (unsigned int)i);
        return (int)room;
}

static int look_plain(void *context, dev_t device, struct hf_stack_node *ret, struct hf_error *err)
{
        (void)context;
        (void)device;
        (void)err;
        *ret = (struct hf_stack_node){.mapped = true, .targets = 1};
        return 0;
}

static void a_stack_without_end_is_refused(void **state)
{
        const struct hf_stack_ops endless = {.look = look_plain, .below = too_many};
        struct hf_stack_map map;

        (void)state;
        assert_int_equal(hf_stack_find(&endless, NULL, number(0), &map, NULL), -E2BIG);
}

/* A table of the kernel with these targets, each with 40 bytes of status. */
struct table {
        struct {
                struct dm_target_spec spec;
                char status[40];
        } targets[3];
};

static struct table table(const char *first, const char *second, const char *third)
{
        const char *types[] = {first, second, third};
        struct table made = {};

        for (unsigned int i = 0; i < 3; i++) {
                made.targets[i].spec.next = (i + 1) * (unsigned int)sizeof(made.targets[0]);
                (void)snprintf(made.targets[i].spec.target_type,
                               sizeof(made.targets[i].spec.target_type), "%s", types[i]);
        }
        return made;
}

static void all_targets_of_a_table_count(void **state)
{
        struct table made = table("linear", "multipath", "multipath");

        (void)state;
        assert_int_equal(hf_dm_count_multipath(&made, sizeof(made), 1), 0);
        assert_int_equal(hf_dm_count_multipath(&made, sizeof(made), 2), 1);
        assert_int_equal(hf_dm_count_multipath(&made, sizeof(made), 3), 2);
        assert_int_equal(hf_dm_count_multipath(NULL, 0, 0), 0);
}

static void a_table_that_leads_out_of_itself_is_not_followed(void **state)
{
        struct table made = table("multipath", "linear", "linear");

        (void)state;
        assert_int_equal(hf_dm_count_multipath(&made, sizeof(made), 4), -EBADMSG);
        assert_int_equal(hf_dm_count_multipath(&made, 10, 1), -EBADMSG);
        made.targets[0].spec.next = 0;
        assert_int_equal(hf_dm_count_multipath(&made, sizeof(made), 3), -EBADMSG);
        made.targets[0].spec.next = 0xfffffff0;
        assert_int_equal(hf_dm_count_multipath(&made, sizeof(made), 3), -EBADMSG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_map_is_found_as_itself),
                cmocka_unit_test(a_device_without_paths_below_is_left_to_others),
                cmocka_unit_test(a_volume_is_followed_down_to_its_map),
                cmocka_unit_test(a_volume_on_two_maps_is_refused),
                cmocka_unit_test(a_volume_on_a_map_and_a_plain_disk_is_refused),
                cmocka_unit_test(a_table_with_paths_for_a_part_is_refused),
                cmocka_unit_test(a_map_that_nobody_looks_after_is_refused),
                cmocka_unit_test(a_stack_without_end_is_refused),
                cmocka_unit_test(all_targets_of_a_table_count),
                cmocka_unit_test(a_table_that_leads_out_of_itself_is_not_followed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
