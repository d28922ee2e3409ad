/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "storage/nfs-lease.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* As a kernel 6.1 prints it. */
#define MOUNT(point, details)                                                                      \
        "device 10.0.0.1:/ mounted on " point " with fstype nfs4 statvers=1.1\n"                   \
        "\topts:\trw,vers=4.2,rsize=262144,addr=10.0.0.1,local_lock=none\n"                        \
        "\tage:\t12\n"                                                                             \
        "\timpl_id:\tname='',domain='',date='0,0'\n"                                               \
        "\tcaps:\tcaps=0x7fff,wtmult=512,dtsize=262144,bsize=0,namlen=255\n" details               \
        "\tsec:\tflavor=1,pseudoflavor=1\n"                                                        \
        "\tper-op statistics\n\t        NULL: 1 1 0 44 24 10 0 11 0\n"
#define DETAILS(rest) "\tnfsv4:\tbm0=0xfdffbfff,bm1=0x40f9be3e,acl=0x3," rest "\n"

static char text[65536];

static struct hf_nfs_leases *parse(const char *from)
{
        struct hf_nfs_leases *leases;

        (void)snprintf(text, sizeof(text), "%s", from);
        assert_int_equal(hf_nfs_leases_parse(text, &leases), 0);
        return leases;
}

static void a_lease_is_found_by_where_it_is_mounted(void **state)
{
        hf_cleanup_nfs_leases struct hf_nfs_leases *leases = parse(
                "device rootfs mounted on / with fstype rootfs\n" MOUNT(
                        "/mnt",
                        DETAILS("sessions,pnfs=not configured,lease_time=10,lease_expired=0"))
                        MOUNT("/other", DETAILS("lease_time=90,lease_expired=17")));
        const struct hf_nfs_lease *lease = hf_nfs_leases_at(leases, "/mnt");

        (void)state;
        assert_non_null(lease);
        assert_int_equal(lease->seconds, 10);
        assert_int_equal(lease->expired, 0);
        assert_true(lease->sessions);
        lease = hf_nfs_leases_at(leases, "/other");
        assert_non_null(lease);
        assert_int_equal(lease->seconds, 90);
        assert_int_equal(lease->expired, 17);
        assert_false(lease->sessions);
        assert_null(hf_nfs_leases_at(leases, "/"));
}

static void a_blank_in_a_path_is_undone(void **state)
{
        hf_cleanup_nfs_leases struct hf_nfs_leases *leases = parse(
                MOUNT("/a\\040b\\134c", DETAILS("lease_time=10,lease_expired=0")));

        (void)state;
        assert_non_null(hf_nfs_leases_at(leases, "/a b\\c"));
}

static void of_two_mounts_at_one_point_the_last_one_counts(void **state)
{
        hf_cleanup_nfs_leases struct hf_nfs_leases *leases = parse(
                MOUNT("/m", DETAILS("lease_time=10")) MOUNT("/m", DETAILS("lease_time=20")));

        (void)state;
        assert_int_equal(hf_nfs_leases_at(leases, "/m")->seconds, 20);
}

static void of_two_mounts_at_one_point_the_shorter_lease_is_safe(void **state)
{
        hf_cleanup_nfs_leases struct hf_nfs_leases *leases = parse(
                MOUNT("/m", DETAILS("lease_time=10,lease_expired=3")) MOUNT("/m", "")
                        MOUNT("/m", DETAILS("sessions,lease_time=90"))
                                MOUNT("/n", DETAILS("sessions,lease_time=5")));
        struct hf_nfs_lease lease;

        (void)state;
        assert_true(hf_nfs_leases_safe(leases, "/m", &lease));
        assert_int_equal(lease.seconds, 10);
        assert_int_equal(lease.expired, 3);
        assert_false(lease.sessions);
        assert_true(hf_nfs_leases_safe(leases, "/n", &lease));
        assert_int_equal(lease.seconds, 5);
        assert_int_equal(lease.expired, 0);
        assert_true(lease.sessions);
        assert_false(hf_nfs_leases_safe(leases, "/", &lease));
}

static void what_is_not_said_is_zero_and_what_is_absurd_is_cut(void **state)
{
        hf_cleanup_nfs_leases struct hf_nfs_leases *leases = parse(
                MOUNT("/a", "") MOUNT("/b", DETAILS("lease_time=999999999999999999999")) MOUNT(
                        "/c",
                        DETAILS("lease_time=x,sessionsx")) "device h:/v3 mounted on /d with fstype nfs statvers=1.1\n");

        (void)state;
        assert_int_equal(hf_nfs_leases_at(leases, "/a")->seconds, 0);
        assert_int_equal(hf_nfs_leases_at(leases, "/b")->seconds, 86400);
        assert_int_equal(hf_nfs_leases_at(leases, "/c")->seconds, 0);
        assert_false(hf_nfs_leases_at(leases, "/c")->sessions);
        assert_null(hf_nfs_leases_at(leases, "/d"));
}

static void this_machine_can_be_asked(void **state)
{
        hf_cleanup_nfs_leases struct hf_nfs_leases *leases = NULL;

        (void)state;
        assert_int_equal(hf_nfs_leases_new(&leases), 0);
        assert_null(hf_nfs_leases_at(leases, "/there is no such mount"));
}

static void a_local_file_is_not_on_nfs_and_its_flags_stay(void **state)
{
        char path[] = "/tmp/holdfast-lease-XXXXXX";
        hf_cleanup_fd int fd = mkstemp(path);
        int flags = fcntl(fd, F_GETFL);

        (void)state;
        assert_true(fd >= 0);
        assert_int_equal(unlink(path), 0);
        assert_false(hf_nfs_is_on(fd));
        assert_int_equal(hf_nfs_renew(fd), 0);
        /* A filesystem may refuse it, or its alignment; no loss is made of that. */
        assert_false(hf_nfs_is_loss(hf_nfs_prove(fd)));
        assert_int_equal(fcntl(fd, F_GETFL), flags);
        assert_int_equal(hf_nfs_prove(-1), -EBADF);
        assert_int_equal(hf_nfs_renew(-1), -EBADF);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_lease_is_found_by_where_it_is_mounted),
                cmocka_unit_test(a_blank_in_a_path_is_undone),
                cmocka_unit_test(of_two_mounts_at_one_point_the_last_one_counts),
                cmocka_unit_test(of_two_mounts_at_one_point_the_shorter_lease_is_safe),
                cmocka_unit_test(what_is_not_said_is_zero_and_what_is_absurd_is_cut),
                cmocka_unit_test(this_machine_can_be_asked),
                cmocka_unit_test(a_local_file_is_not_on_nfs_and_its_flags_stay),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
