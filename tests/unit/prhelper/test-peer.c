/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "prhelper/peer.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static void expect_cgroup(const char *text, const char *vm)
{
        char name[HF_PR_VM_MAX] = "untouched";

        assert_int_equal(hf_pr_peer_vm_of_cgroup(text, name), vm ? 0 : -ENOENT);
        assert_string_equal(name, vm ? vm : "untouched");
}

static void expect_socket(const char *text, const char *vm)
{
        char name[HF_PR_VM_MAX] = "untouched";

        assert_int_equal(hf_pr_peer_vm_of_socket(text, name), vm ? 0 : -ENOENT);
        assert_string_equal(name, vm ? vm : "untouched");
}

static void test_the_vm_is_found_in_the_scope_that_systemd_made(void **state)
{
        (void)state;
        expect_cgroup("0::/machine.slice/machine-qemu\\x2d12\\x2ddeb.scope\n", "deb");
        expect_cgroup("0::/machine.slice/machine-qemu\\x2d1\\x2dmy\\x2dvm.scope/libvirt/emulator\n",
                      "my-vm");
        expect_cgroup("12:cpu:/\n0::/machine.slice/machine-qemu\\x2d3\\x2da.b_c.scope/libvirt\n",
                      "a.b_c");
}

static void test_what_only_looks_like_a_scope_names_no_vm(void **state)
{
        (void)state;
        expect_cgroup("", NULL);
        expect_cgroup("0::/", NULL);
        expect_cgroup("0::/user.slice/session-2.scope\n", NULL);
        expect_cgroup("0::/machine.slice/machine-qemu\\x2d12\\x2d.scope\n", NULL);
        expect_cgroup("0::/machine.slice/machine-qemu\\x2d\\x2ddeb.scope\n", NULL);
        expect_cgroup("0::/machine.slice/machine-qemu\\x2d12\\x2ddeb\n", NULL);
        expect_cgroup("0::/xmachine-qemu\\x2d12\\x2ddeb.scope\n", NULL);
        expect_cgroup("0::/machine-qemu\\x2d1\\x2da\\x00b.scope\n", NULL);
}

static void test_a_folder_that_a_user_could_make_himself_names_no_vm(void **state)
{
        (void)state;
        /* Below a service or a scope are those whom systemd gave it to. */
        expect_cgroup(
                "0::/user.slice/user-7.slice/user@7.service/machine-qemu\\x2d1\\x2ddb.scope\n",
                NULL);
        expect_cgroup("0::/user.slice/user-7.slice/user@7.service/machine.slice/"
                      "machine-qemu\\x2d1\\x2ddb.scope\n",
                      NULL);
        expect_cgroup("0::/lxc/a/machine-qemu\\x2d1\\x2ddb.scope\n", NULL);
        expect_cgroup("0::/../machine-qemu\\x2d1\\x2ddb.scope\n", NULL);
        /* A hierarchy that is not systemd's. */
        expect_cgroup("5:mine,name=x:/machine.slice/machine-qemu\\x2d1\\x2ddb.scope\n", NULL);
        expect_cgroup("1:name=systemd:/machine.slice/machine-qemu\\x2d1\\x2ddb.scope\n", "db");
        expect_cgroup("0::/machine.slice/machine-prod.slice/machine-qemu\\x2d1\\x2ddb.scope\n",
                      "db");
}

static void test_a_name_that_does_not_fit_names_no_vm(void **state)
{
        char text[1024] = "0::/machine.slice/machine-qemu\\x2d1\\x2d";

        (void)state;
        memset(text + strlen(text), 'n', 600);
        strcat(text, ".scope\n");
        expect_cgroup(text, NULL);
}

/* "qemu-12-" and the name are 62 characters, and 63. */
static void test_a_scope_whose_name_may_have_been_cut_names_no_vm(void **state)
{
        char text[256] = "0::/machine-qemu\\x2d12\\x2d", name[64] = "";

        (void)state;
        memset(name, 'n', 54);
        strcat(strcat(text, name), ".scope\n");
        expect_cgroup(text, name);
        strcpy(strstr(text, ".scope"), "n.scope\n");
        expect_cgroup(text, NULL);
}

static void test_the_vm_is_found_in_libvirts_folder(void **state)
{
        (void)state;
        expect_socket("/var/lib/libvirt/qemu/domain-7-deb-12/pr-helper0.sock", "deb-12");
        expect_socket("/x/domain-7-a/s", "a");
}

static void test_another_folder_names_no_vm(void **state)
{
        (void)state;
        expect_socket("/run/qemu-pr-helper.sock", NULL);
        expect_socket("/x/domain-7-/s", NULL);
        expect_socket("/x/domain--a/s", NULL);
        expect_socket("/domain-7-a/deeper/s", NULL);
        expect_socket("s", NULL);
        expect_socket("", NULL);
}

#define SCOPE "0::/machine.slice/machine-qemu\\x2d7\\x2dwindows\\x2dcluster\\x2dnode\\x2d1.scope\n"

static void expect_vm(const char *socket, const char *cgroup, const char *vm)
{
        char name[HF_PR_VM_MAX] = "";

        assert_int_equal(hf_pr_peer_vm_of(socket, cgroup, name), vm ? 0 : -ENOENT);
        assert_string_equal(name, vm ? vm : "");
}

static void test_a_name_that_libvirt_cut_is_no_name_of_a_vm(void **state)
{
        static const char cut[] = "/x/domain-7-windows-cluster-node/s";

        (void)state;
        expect_vm("/x/domain-7-windows-cluster-nod/s", "", "windows-cluster-nod");
        expect_vm(cut, "", NULL);
        expect_vm(cut, SCOPE, "windows-cluster-node-1");
        expect_vm(cut, "0::/machine-qemu\\x2d8\\x2dother.scope\n", NULL);
        expect_vm("/x/s", SCOPE, "windows-cluster-node-1");
        expect_vm(NULL, SCOPE, "windows-cluster-node-1");
        expect_vm(NULL, "0::/", NULL);
}

static void test_a_peer_is_known_by_what_the_kernel_says_of_it(void **state)
{
        struct hf_pr_peer peer;
        int pair[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(hf_pr_peer_of(pair[0], "the vm", "/x/domain-1-other/s", &peer, NULL), 0);
        assert_int_equal(peer.pid, getpid());
        assert_int_equal(peer.uid, geteuid());
        assert_true(peer.start > 0);
        assert_string_equal(peer.vm, "the vm");
        assert_int_equal(hf_pr_peer_of(pair[0], NULL, "/x/domain-1-other/s", &peer, NULL), 0);
        assert_string_equal(peer.vm, "other");
        (void)close(pair[0]);
        (void)close(pair[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_vm_is_found_in_the_scope_that_systemd_made),
                cmocka_unit_test(test_what_only_looks_like_a_scope_names_no_vm),
                cmocka_unit_test(test_a_folder_that_a_user_could_make_himself_names_no_vm),
                cmocka_unit_test(test_a_name_that_does_not_fit_names_no_vm),
                cmocka_unit_test(test_a_scope_whose_name_may_have_been_cut_names_no_vm),
                cmocka_unit_test(test_the_vm_is_found_in_libvirts_folder),
                cmocka_unit_test(test_another_folder_names_no_vm),
                cmocka_unit_test(test_a_name_that_libvirt_cut_is_no_name_of_a_vm),
                cmocka_unit_test(test_a_peer_is_known_by_what_the_kernel_says_of_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
