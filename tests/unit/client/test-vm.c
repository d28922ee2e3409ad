/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The library as a program in C meets it; where a leak would be seen. */
#include "holdfast/holdfast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct holdfast_vm *make_vm(const char *driver)
{
        struct holdfast_vm_params params;
        struct holdfast_vm *vm = NULL;

        holdfast_vm_params_init(&params);
        params.name = "vm";
        params.driver = driver;
        assert_int_equal(holdfast_vm_new(&params, &vm, NULL), 0);
        return vm;
}

static void a_vm_without_locks_lives_through_everything(void **state)
{
        struct holdfast_vm *vm = make_vm("nop");
        char *kept = NULL;
        int fd = -7;

        (void)state;
        assert_int_equal(holdfast_vm_add_disk(vm, "/disk", 0, NULL), 0);
        assert_int_equal(holdfast_vm_add_lease(vm, "pool", "key", "/leases", 0, NULL), 0);
        assert_int_equal(holdfast_vm_start(vm, 0, &fd, NULL), 0);
        assert_int_equal(fd, -1);
        assert_int_equal(holdfast_vm_pause(vm, &kept, NULL), 0);
        assert_null(kept);
        assert_int_equal(holdfast_vm_resume(vm, kept, NULL), 0);
        assert_int_equal(holdfast_vm_attach_disk(vm, "/other", HOLDFAST_SHARED, NULL), 0);
        assert_int_equal(holdfast_vm_detach_disk(vm, "/disk", 0, NULL), 0);
        assert_int_equal(holdfast_vm_detach_lease(vm, "pool", "key", "/leases", 0, NULL), 0);
        holdfast_vm_free(vm);
}

static void the_same_resource_is_added_once(void **state)
{
        struct holdfast_error error = {0};
        struct holdfast_vm *vm = make_vm("nop");

        (void)state;
        assert_int_equal(holdfast_vm_add_disk(vm, "/disk", 0, NULL), 0);
        assert_true(holdfast_vm_add_disk(vm, "/disk", HOLDFAST_SHARED, &error) < 0);
        assert_int_equal(error.code, HOLDFAST_E_INVALID);
        assert_int_equal(holdfast_vm_add_lease(vm, NULL, "/disk", NULL, 0, NULL), 0);
        holdfast_vm_free(vm);
}

static void a_uuid_is_made_where_none_was_given(void **state)
{
        unsigned char one[HOLDFAST_UUID_SIZE], two[HOLDFAST_UUID_SIZE];
        struct holdfast_vm *a = make_vm("nop"), *b = make_vm("nop");

        (void)state;
        holdfast_vm_uuid(a, one);
        holdfast_vm_uuid(b, two);
        assert_memory_not_equal(one, two, sizeof(one));
        assert_int_equal(one[6] >> 4, 4);
        holdfast_vm_free(a);
        holdfast_vm_free(b);
}

static void nothing_can_be_paused_before_its_pid_is_known(void **state)
{
        struct holdfast_vm *vm = make_vm("nop");

        (void)state;
        assert_true(holdfast_vm_pause(vm, NULL, NULL) < 0);
        assert_true(holdfast_vm_attach_disk(vm, "/disk", 0, NULL) < 0);
        holdfast_vm_set_pid(vm, 1);
        assert_int_equal(holdfast_vm_pause(vm, NULL, NULL), 0);
        holdfast_vm_free(vm);
}

static void without_a_daemon_the_module_fails_and_leaks_nothing(void **state)
{
        struct holdfast_error error = {0};
        struct holdfast_holder holder = {.size = sizeof(holder)};
        struct holdfast_lock_list *list = NULL;
        struct holdfast_vm *vm;
        char run_dir[] = "/tmp/hf-unit-XXXXXX";
        int fd = -7;

        (void)state;
        assert_non_null(mkdtemp(run_dir));
        assert_int_equal(setenv("HOLDFAST_RUN_DIR", run_dir, 1), 0);
        vm = make_vm("lockd");
        assert_string_equal(holdfast_vm_driver(vm), "lockd");
        assert_int_equal(holdfast_vm_add_disk(vm, "/disk", 0, NULL), 0);
        assert_true(holdfast_vm_start(vm, 0, &fd, &error) < 0);
        assert_int_equal(error.code, HOLDFAST_E_NO_DAEMON);
        assert_int_equal(fd, -7);
        assert_int_equal(holdfast_vm_refusal(vm, &holder), 0);
        assert_true(holdfast_who("/disk", 0, &list, &error) < 0);
        assert_null(list);
        holdfast_vm_free(vm);
        assert_int_equal(unsetenv("HOLDFAST_RUN_DIR"), 0);
        assert_int_equal(rmdir(run_dir), 0);
}

static void a_driver_that_is_not_there_leaves_nothing_behind(void **state)
{
        struct holdfast_vm_params params;
        struct holdfast_error error = {0};
        struct holdfast_vm *vm = NULL;

        (void)state;
        holdfast_vm_params_init(&params);
        params.name = "vm";
        params.driver = "none";
        assert_true(holdfast_vm_new(&params, &vm, &error) < 0);
        assert_int_equal(error.code, HOLDFAST_E_CONFIG);
        assert_null(vm);
        holdfast_vm_free(NULL);
        holdfast_lock_list_free(NULL);
        holdfast_vm_list_free(NULL);
        holdfast_daemon_info_free(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_vm_without_locks_lives_through_everything),
                cmocka_unit_test(the_same_resource_is_added_once),
                cmocka_unit_test(a_uuid_is_made_where_none_was_given),
                cmocka_unit_test(nothing_can_be_paused_before_its_pid_is_known),
                cmocka_unit_test(without_a_daemon_the_module_fails_and_leaks_nothing),
                cmocka_unit_test(a_driver_that_is_not_there_leaves_nothing_behind),
        };

        return cmocka_run_group_tests_name("client-vm", tests, NULL, NULL);
}
