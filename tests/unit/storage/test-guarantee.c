/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/guarantee.h"

#include "base/cleanup.h"
#include "helper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

/* Lines as Linux writes them, each for the device that its number says. */
static const struct line {
        const char *text;
        enum hf_guarantee_level level;
        bool unsafe;
        const char *reason;
} lines[] = {
        {"36 35 0:0 / /a rw,relatime shared:1 - nfs4 filer:/vms rw,vers=4.2,rsize=262144,"
         "wsize=262144,namlen=255,hard,proto=tcp,timeo=600,retrans=2,sec=sys,clientaddr=10.0.0.1,"
         "local_lock=none,addr=10.0.0.2",
         HF_LEVEL_CLUSTER_ADVISORY, false, "nfs4, vers=4.2"},
        {"36 35 0:1 / /b rw - nfs4 filer:/vms rw,vers=4.0,local_lock=none,addr=10.0.0.2",
         HF_LEVEL_CLUSTER_ADVISORY, false, "nfs4, vers=4.0"},
        {"36 35 0:2 / /c rw - nfs4 filer:/a\\040b rw,vers=4.1,local_lock=posix", HF_LEVEL_HOST,
         true, "nfs4, local_lock=posix: other hosts do not see this lock"},
        {"36 35 0:3 / /d rw - nfs4 filer:/vms rw,local_lock=all,vers=4.1", HF_LEVEL_HOST, true,
         "nfs4, local_lock=all: other hosts do not see this lock"},
        {"36 35 0:4 / /e rw - nfs4 filer:/vms rw,local_lock=flock,vers=4.1",
         HF_LEVEL_CLUSTER_ADVISORY, false, "nfs4, vers=4.1"},
        {"36 35 0:5 / /f rw - nfs filer:/vms rw,vers=3,local_lock=none,addr=10.0.0.2",
         HF_LEVEL_HOST, true, "nfs, vers=3: without leases the lock of a dead host stays"},
        {"36 35 0:6 / /g rw - nfs filer:/vms rw,vers=3,nolock,local_lock=all", HF_LEVEL_HOST, true,
         "nfs, nolock: other hosts do not see this lock"},
        {"36 35 0:7 / /h rw - nfs filer:/vms rw,vers=3,local_lock=all", HF_LEVEL_HOST, true,
         "nfs, local_lock=all: other hosts do not see this lock"},
        {"36 35 0:8 / /i rw - gfs2 /dev/mapper/vg-shared rw,errors=panic",
         HF_LEVEL_CLUSTER_ADVISORY, false, "gfs2"},
        {"36 35 0:9 / /j rw - gfs2 /dev/sdb rw,lockproto=lock_nolock,localflocks", HF_LEVEL_HOST,
         true, "gfs2, lockproto=lock_nolock: mounted for this host only"},
        {"36 35 0:10 / /k rw - gfs2 /dev/sdb rw,localflocks", HF_LEVEL_HOST, true,
         "gfs2, localflocks: other hosts do not see this lock"},
        {"36 35 0:11 / /l rw - ocfs2 /dev/sdb rw,_netdev,heartbeat=none,cluster_stack=pcmk",
         HF_LEVEL_CLUSTER_ADVISORY, false, "ocfs2, cluster_stack=pcmk"},
        {"36 35 0:12 / /m rw - ocfs2 /dev/sdb rw,heartbeat=local,localflocks,cluster_stack=pcmk",
         HF_LEVEL_HOST, true, "ocfs2, localflocks: other hosts do not see this lock"},
        {"36 35 0:13 / /n rw - ocfs2 /dev/sdb rw,_netdev,heartbeat=local", HF_LEVEL_HOST, true,
         "ocfs2: its own cluster stack does not carry such locks"},
        {"36 35 0:14 / /o rw - ceph 10.0.0.1:6789:/ rw,name=vm,secret=<hidden>,acl,wsync",
         HF_LEVEL_CLUSTER_ADVISORY, false, "ceph"},
        {"36 35 0:15 / /p rw - fuse.ceph-fuse ceph-fuse rw,user_id=0", HF_LEVEL_CLUSTER_ADVISORY,
         false, "fuse.ceph-fuse"},
        {"36 35 0:16 / /q rw - cifs //filer/vms rw,vers=3.1.1", HF_LEVEL_HOST, true,
         "cifs: locks between hosts are not relied upon"},
        {"36 35 0:17 / /r rw - 9p host0 rw,trans=virtio", HF_LEVEL_HOST, true,
         "9p: not known to carry locks to other hosts"},
        {"36 35 0:18 / /s rw - virtiofs vms rw", HF_LEVEL_HOST, true,
         "virtiofs: not known to carry locks to other hosts"},
        {"36 35 0:19 / /t rw - fuse.sshfs me@filer:/vms rw,user_id=0", HF_LEVEL_HOST, true,
         "fuse.sshfs: not known to carry locks to other hosts"},
        {"36 35 8:1 / / rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro", HF_LEVEL_HOST, false,
         "ext4: this host only"},
        {"36 35 0:21 / /u rw - tmpfs  rw,size=1024k", HF_LEVEL_HOST, false,
         "tmpfs: this host only"},
        {"36 35 0:22 / /v rw - newfs pool rw", HF_LEVEL_HOST, false,
         "newfs: not known to carry locks to other hosts"},
};

static int set_up(void **state)
{
        char text[8192] = "";
        struct hf_mounts *mounts;

        if (helper_make_folder(state) < 0)
                return -1;
        for (size_t i = 0; i < HF_ARRAY_LEN(lines); i++) {
                (void)strcat(text, lines[i].text);
                (void)strcat(text, "\n");
        }
        if (hf_mounts_new_from(helper_file("mountinfo", text), &mounts) < 0)
                return -1;
        *state = mounts;
        return 0;
}

static int tear_down(void **state)
{
        (void)hf_mounts_free(*state);
        return helper_remove_folder(state);
}

static dev_t device_of(const struct line *line)
{
        unsigned int major_number, minor_number;

        assert_int_equal(sscanf(line->text, "%*d %*d %u:%u", &major_number, &minor_number), 2);
        return makedev(major_number, minor_number);
}

static void each_filesystem_is_judged_by_its_type_and_options(void **state)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(lines); i++) {
                struct hf_thing thing = {HF_THING_FILE, device_of(&lines[i]), 5};
                struct hf_guarantee_of found;

                hf_guarantee_of_thing(*state, &thing, &found);
                assert_string_equal(found.reason, lines[i].reason);
                assert_int_equal(found.level, lines[i].level);
                assert_int_equal(found.unsafe, lines[i].unsafe);
        }
}

static void the_same_is_found_by_a_path(void **state)
{
        const struct hf_mount *mount = hf_mounts_of_path(*state, "/c/disk.img");
        struct hf_thing thing = {HF_THING_FILE, 1, 2};
        struct hf_guarantee_of found;

        assert_non_null(mount);
        hf_guarantee_of_mount(mount, &thing, &found);
        assert_int_equal(found.level, HF_LEVEL_HOST);
        assert_string_equal(mount->options, "rw");
}

static void a_device_node_is_a_matter_of_its_host_wherever_it_lies(void **state)
{
        struct hf_thing thing = {HF_THING_BLOCK, makedev(0, 0), 0};
        struct hf_guarantee_of found;

        hf_guarantee_of_mount(hf_mounts_of_path(*state, "/a/node"), &thing, &found);
        assert_int_equal(found.level, HF_LEVEL_HOST);
        assert_string_equal(found.reason, "a device node: other hosts do not see this lock");
        hf_guarantee_of_thing(*state, &thing, &found);
        assert_int_equal(found.level, HF_LEVEL_HOST);
}

static void what_is_not_known_is_a_matter_of_its_host(void **state)
{
        struct hf_thing thing = {HF_THING_FILE, makedev(77, 77), 5};
        struct hf_guarantee_of found;

        hf_guarantee_of_thing(*state, &thing, &found);
        assert_int_equal(found.level, HF_LEVEL_HOST);
        assert_string_equal(found.reason, "its filesystem is not known");
        hf_guarantee_of_thing(NULL, &thing, &found);
        assert_int_equal(found.level, HF_LEVEL_HOST);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_filesystem_is_judged_by_its_type_and_options),
                cmocka_unit_test(the_same_is_found_by_a_path),
                cmocka_unit_test(a_device_node_is_a_matter_of_its_host_wherever_it_lies),
                cmocka_unit_test(what_is_not_known_is_a_matter_of_its_host),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
