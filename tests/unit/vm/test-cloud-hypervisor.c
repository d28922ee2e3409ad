/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/cloud-hypervisor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LINE(...) ((const char *const[]){__VA_ARGS__, NULL})

static int read_line(const char *const *argv, struct hf_vm_spec *spec)
{
        hf_vm_spec_init(spec);
        return hf_cloud_hypervisor_read(argv, true, spec, NULL);
}

static void each_value_of_an_option_is_an_image(void **state)
{
        struct hf_vm_spec spec;

        (void)state;
        assert_int_equal(read_line(LINE("cloud-hypervisor", "--kernel", "k", "--disk", "path=a.img",
                                        "path=b.img,readonly=on", "--cpus", "boot=4", "--disk",
                                        "readonly=true,path=/c,id=x", "--memory", "size=1G"),
                                   &spec),
                         0);
        assert_int_equal(spec.n_disks, 3);
        assert_string_equal(spec.disks[0].path, "a.img");
        assert_int_equal(spec.disks[0].flags, 0);
        assert_string_equal(spec.disks[1].path, "b.img");
        assert_int_equal(spec.disks[1].flags, HF_VM_DISK_READONLY);
        assert_string_equal(spec.disks[2].path, "/c");
        assert_int_equal(spec.disks[2].flags, HF_VM_DISK_READONLY);
        hf_vm_spec_free(&spec);
}

static void a_value_may_be_part_of_the_word_and_quoted(void **state)
{
        struct hf_vm_spec spec;

        (void)state;
        assert_int_equal(read_line(LINE("cloud-hypervisor",
                                        "--disk=path=\"a,b.img\",queue_affinity=[0@[1,2],1@[3]],"
                                        "readonly=off",
                                        "path=c"),
                                   &spec),
                         0);
        assert_int_equal(spec.n_disks, 2);
        assert_string_equal(spec.disks[0].path, "a,b.img");
        assert_int_equal(spec.disks[0].flags, 0);
        assert_string_equal(spec.disks[1].path, "c");
        hf_vm_spec_free(&spec);
}

static void persistent_memory_is_an_image_and_a_served_disk_is_none(void **state)
{
        struct hf_vm_spec spec;

        (void)state;
        assert_int_equal(read_line(LINE("cloud-hypervisor", "--pmem", "file=p,discard_writes=on",
                                        "--disk", "vhost_user=on,socket=/s", "--disk"),
                                   &spec),
                         0);
        assert_int_equal(spec.n_disks, 1);
        assert_string_equal(spec.disks[0].path, "p");
        assert_int_equal(spec.disks[0].flags, HF_VM_DISK_READONLY);
        hf_vm_spec_free(&spec);
}

static void a_path_without_end_is_refused(void **state)
{
        struct hf_vm_spec spec;
        char text[8192] = "path=";

        (void)state;
        memset(text + 5, 'a', sizeof(text) - 6);
        assert_int_equal(read_line(LINE("cloud-hypervisor", "--disk", text), &spec), -EINVAL);
        hf_vm_spec_free(&spec);
}

static void it_is_known_by_its_name(void **state)
{
        (void)state;
        assert_int_equal(hf_cloud_hypervisor_find(LINE("/opt/cloud-hypervisor-static", "--disk")),
                         0);
        assert_int_equal(hf_cloud_hypervisor_find(LINE("nice", "-n", "5", "cloud-hypervisor")), 3);
        assert_int_equal(hf_cloud_hypervisor_find(LINE("cloud-hypervisor-static-aarch64")), 0);
        assert_int_equal(hf_cloud_hypervisor_find(LINE("cloud-hypervisor-like")), -ENOENT);
        assert_int_equal(hf_cloud_hypervisor_find(LINE("firecracker", "path=/x/cloud-hypervisor")),
                         -ENOENT);
        assert_int_equal(
                hf_cloud_hypervisor_find(LINE("qemu-system-x86_64", "-name", "cloud-hypervisor")),
                -ENOENT);
        assert_int_equal(
                hf_cloud_hypervisor_find(LINE("start", "-name", "cloud-hypervisor", "-drive", "x")),
                -ENOENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_value_of_an_option_is_an_image),
                cmocka_unit_test(a_value_may_be_part_of_the_word_and_quoted),
                cmocka_unit_test(persistent_memory_is_an_image_and_a_served_disk_is_none),
                cmocka_unit_test(a_path_without_end_is_refused),
                cmocka_unit_test(it_is_known_by_its_name),
        };

        return cmocka_run_group_tests_name("vm-cloud-hypervisor", tests, NULL, NULL);
}
