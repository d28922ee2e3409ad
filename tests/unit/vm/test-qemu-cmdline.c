/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Command lines and the disks they hold. Each row is one sentence and one test.
 */

#include "base/cleanup.h"
#include "cmdline-rows.h"
#include "spec-text.h"
#include "vm/qemu-cmdline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct row rows[] = {
        /* -drive */
        {"a drive is written", {QEMU, "-drive", "file=/x.img"}, "W /x.img ?\n"},
        {"two dashes are as good as one", {QEMU, "--drive", "file=/x.img"}, "W /x.img ?\n"},
        {"format= says the format", {QEMU, "-drive", "file=/x,format=raw"}, "W /x raw\n"},
        {"driver= says the format", {QEMU, "-drive", "driver=qcow2,file=/x"}, "W /x qcow2\n"},
        {"the order of keys does not matter",
         {QEMU, "-drive", "if=virtio,id=d0,format=qcow2,cache=none,aio=native,file=/x"},
         "W /x qcow2\n"},
        {"file.filename= names the file",
         {QEMU, "-drive", "file.filename=/x,format=raw"},
         "W /x raw\n"},
        {"file.driver=file with file.filename= names the file",
         {QEMU, "-drive", "file.driver=file,file.filename=/x,driver=raw"},
         "W /x raw\n"},
        {"file.driver=host_device names a block device",
         {QEMU, "-drive", "file.driver=host_device,file.filename=/dev/vg/lv,format=raw"},
         "W /dev/vg/lv raw\n"},
        {"driver=file with filename= is the file itself",
         {QEMU, "-drive", "driver=file,filename=/x"},
         "W /x raw\n"},
        {"driver=file with file= is the file itself",
         {QEMU, "-drive", "driver=file,file=/x"},
         "W /x raw\n"},
        {"format=host_device with file= is the device itself",
         {QEMU, "-drive", "format=host_device,file=/dev/sdb"},
         "W /dev/sdb raw\n"},
        {"file= goes with other keys of the file",
         {QEMU, "-drive", "file=/x,file.locking=off,format=raw"},
         "W /x raw\n"},
        {"the last file= counts", {QEMU, "-drive", "file=/a,file=/b"}, "W /b ?\n"},
        {"a doubled comma is one comma",
         {QEMU, "-drive", "file=/a,,b.img,format=raw"},
         "W /a,b.img raw\n"},
        {"three doubled commas are three commas",
         {QEMU, "-drive", "file=,,a,,,,b,format=raw"},
         "W ,a,,b raw\n"},
        {"a value may hold an equals sign", {QEMU, "-drive", "file=/a=b"}, "W /a=b ?\n"},
        {"file: is taken off", {QEMU, "-drive", "file=file:/x"}, "W /x ?\n"},
        {"after file: a colon belongs to the path",
         {QEMU, "-drive", "file=file:x:y.img"},
         "W x:y.img ?\n"},
        {"a colon after a slash belongs to the path",
         {QEMU, "-drive", "file=./x:y.img"},
         "W ./x:y.img ?\n"},
        {"in file.filename= nothing is a protocol",
         {QEMU, "-drive", "file.filename=nbd:x,format=raw"},
         "W nbd:x raw\n"},
        {"host_device: is taken off",
         {QEMU, "-drive", "file=host_device:/dev/sdb"},
         "W /dev/sdb ?\n"},
        {"readonly=on reads", {QEMU, "-drive", "file=/x,readonly=on"}, "R /x ?\n"},
        {"read-only=on reads", {QEMU, "-drive", "file=/x,read-only=on"}, "R /x ?\n"},
        {"readonly=yes reads", {QEMU, "-drive", "file=/x,readonly=yes"}, "R /x ?\n"},
        {"a bare readonly reads", {QEMU, "-drive", "file=/x,readonly"}, "R /x ?\n"},
        {"a bare noreadonly writes", {QEMU, "-drive", "file=/x,noreadonly"}, "W /x ?\n"},
        {"readonly=off writes", {QEMU, "-drive", "file=/x,readonly=off"}, "W /x ?\n"},
        {"media=cdrom reads", {QEMU, "-drive", "file=/x.iso,media=cdrom"}, "R /x.iso ?\n"},
        {"media=cdrom reads even with readonly=off",
         {QEMU, "-drive", "file=/x.iso,media=cdrom,readonly=off"},
         "R /x.iso ?\n"},
        {"media=disk writes", {QEMU, "-drive", "file=/x,media=disk"}, "W /x ?\n"},
        {"snapshot=on reads", {QEMU, "-drive", "file=/x,snapshot=on"}, "R /x ?\n"},
        {"an empty drive holds nothing", {QEMU, "-drive", "if=ide,media=cdrom"}, ""},
        {"an empty file= holds nothing", {QEMU, "-drive", "if=none,id=a,file="}, ""},
        {"a directory as fat: holds nothing", {QEMU, "-drive", "file=fat:rw:/dir"}, ""},
        {"vvfat by driver holds nothing",
         {QEMU, "-drive", "file.driver=vvfat,file.dir=/dir,file.rw=on,if=virtio"},
         ""},
        {"nbd:, nbd+unix: and nbd:// hold nothing",
         {QEMU, "-drive", "file=nbd:unix:/s", "-drive", "file=nbd+unix:///x?socket=/s", "-drive",
          "file=nbd://host/x"},
         ""},
        {"rbd: holds nothing", {QEMU, "-drive", "file=rbd:pool/image:id=a,format=raw"}, ""},
        {"http, iscsi, ssh, gluster and nfs hold nothing",
         {QEMU, "-drive", "file=https://h/x.iso", "-drive", "file=iscsi://h/iqn/1", "-drive",
          "file=ssh://h/x", "-drive", "file=gluster+tcp://h/v/x", "-drive", "file=nfs://h/x"},
         ""},
        {"a network driver by key holds nothing",
         {QEMU, "-drive", "driver=raw,file.driver=nbd,file.path=/sock,if=virtio", "-drive",
          "file.driver=https,file.url=https://h/x,format=qcow2"},
         ""},
        {"null-co holds nothing",
         {QEMU, "-drive", "file=null-co://,format=raw", "-drive", "driver=null-co,size=1G"},
         ""},
        {"nvme:// holds nothing", {QEMU, "-drive", "file=nvme://0000:44:00.0/1"}, ""},
        {"blkdebug: leads to its image",
         {QEMU, "-drive", "file=blkdebug:rules.conf:/x,format=raw"},
         "W /x raw\n"},
        {"blkverify: leads to both",
         {QEMU, "-drive", "file=blkverify:/raw.img:/x.qcow2"},
         "W /raw.img ?\nW /x.qcow2 ?\n"},
        {"a throttle filter leads to its file",
         {QEMU, "-drive",
          "file.driver=throttle,file.throttle-group=g,file.file.filename=/x,format=qcow2"},
         "W /x qcow2\n"},
        {"a node without a driver hands on what is above it",
         {QEMU, "-drive", "driver=qcow2,file.file.filename=/x"},
         "W /x qcow2\n"},
        {"copy-on-read on top leaves the format below to be looked at",
         {QEMU, "-drive", "driver=copy-on-read,file.driver=qcow2,file.file.filename=/x"},
         "W /x qcow2\n"},
        {"quorum leads to all its children",
         {QEMU, "-drive",
          "driver=quorum,vote-threshold=2,children.0.file.filename=/a,children.0.driver=raw,"
          "children.1.file.filename=/b,children.1.driver=qcow2"},
         "W /a raw\nW /b qcow2\n"},
        {"quorum in JSON leads to all its children",
         {QEMU, "-blockdev", "file,filename=/a,node-name=a", "-blockdev",
          "{\"driver\":\"quorum\",\"vote-threshold\":1,\"node-name\":\"q\",\"children\":[\"a\","
          "{\"driver\":\"file\",\"filename\":\"/b\"}]}"},
         "W /a raw\nW /b raw\n"},
        {"qcow2 over raw has a qcow2 header",
         {QEMU, "-drive", "driver=qcow2,file.driver=raw,file.file.filename=/x"},
         "W /x qcow2\n"},
        {"a backing file by key is read",
         {QEMU, "-drive", "file=/t,format=qcow2,backing.driver=raw,backing.file.filename=/b"},
         "W /t qcow2 +backing\nR /b raw\n"},
        {"backing.driver= alone leaves the backing file to the header",
         {QEMU, "-drive", "file=/t,format=qcow2,backing.driver=qcow2"},
         "W /t qcow2\n"},
        {"backing= cuts the backing file off",
         {QEMU, "-drive", "file=/t,format=qcow2,backing="},
         "W /t qcow2 +backing\n"},
        {"a backing file on the network leaves the header's unused",
         {QEMU, "-drive", "file=/t,format=qcow2,backing.file.driver=nbd,backing.file.path=/s"},
         "W /t qcow2 +backing\n"},
        {"a data file by key is written",
         {QEMU, "-drive", "file=/t,format=qcow2,data-file.filename=/d,data-file.driver=file"},
         "W /t qcow2 +data\nW /d raw\n"},
        {"a data file of a read-only image is read",
         {QEMU, "-drive",
          "file=/t,format=qcow2,readonly=on,data-file.filename=/d,data-file.driver=file"},
         "R /t qcow2 +data\nR /d raw\n"},
        {"the log of blklogwrites is written",
         {QEMU, "-drive",
          "driver=blklogwrites,file.driver=raw,file.file.filename=/x,log.driver=file,"
          "log.filename=/l"},
         "W /x raw\nW /l raw\n"},
        {"the detached header of LUKS is used as its data",
         {QEMU, "-blockdev",
          "luks,node-name=n,file.driver=file,file.filename=/x,header.driver=file,"
          "header.filename=/h"},
         "W /x luks\nW /h luks\n"},
        {"-set changes a drive that stands before it",
         {QEMU, "-drive", "id=z,file=/old", "-set", "drive.z.file=/new", "-set",
          "drive.z.readonly=on"},
         "R /new ?\n"},
        {"-set of another group changes no drive",
         {QEMU, "-drive", "id=z,file=/old", "-set", "device.z.file=/new"},
         "W /old ?\n"},

        /* json: */
        {"json: with a nested file",
         {QEMU, "-drive",
          "file=json:{\"driver\":\"qcow2\",,\"file\":{\"driver\":\"file\",,\"filename\":\"/x\"}}"},
         "W /x qcow2\n"},
        {"json: with dotted keys",
         {QEMU, "-drive", "file=json:{\"driver\":\"raw\",,\"file.filename\":\"/x\"}"},
         "W /x raw\n"},
        {"json: with single quotes",
         {QEMU, "-drive",
          "file=json:{'driver':'raw',,'file':{'driver':'file',,'filename':'/a,,b'}}"},
         "W /a,b raw\n"},
        {"json: as -hda has single commas",
         {QEMU, "-hda",
          "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"/x:y\"}}"},
         "W /x:y raw\n"},
        {"json: without a backing file",
         {QEMU, "-hda",
          "json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":{\"filename\":\"/x\"}}"},
         "W /x qcow2 +backing\n"},
        {"json: that is read-only",
         {QEMU, "-hda",
          "json:{\"driver\":\"qcow2\",\"read-only\":true,\"file\":{\"filename\":\"/x\"}}"},
         "R /x qcow2\n"},
        {"json: on the network holds nothing",
         {QEMU, "-hda",
          "json:{\"file.driver\":\"https\",\"file.url\":\"https://h/x\",\"driver\":\"raw\"}"},
         ""},
        {"keys beside json: count more",
         {QEMU, "-drive", "file=json:{\"driver\":\"raw\",,\"file.filename\":\"/x\"},format=qcow2"},
         "W /x qcow2\n"},

        /* the short options */
        {"-hda to -hdd are written",
         {QEMU, "-hda", "a", "-hdb", "b", "-hdc", "c", "-hdd", "d"},
         "W a ?\nW b ?\nW c ?\nW d ?\n"},
        {"a comma in -hda is a comma", {QEMU, "-hda", "/a,b=c"}, "W /a,b=c ?\n"},
        {"-cdrom is read", {QEMU, "-cdrom", "/x.iso"}, "R /x.iso ?\n"},
        {"floppies, flash, cards are written",
         {QEMU, "-fda", "a", "-fdb", "b", "-mtdblock", "c", "-pflash", "d", "-sd", "e"},
         "W a ?\nW b ?\nW c ?\nW d ?\nW e ?\n"},
        {"flash by -drive: code is read, variables are written",
         {QEMU, "-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/OVMF_CODE.fd", "-drive",
          "if=pflash,format=raw,unit=1,file=/VARS.fd"},
         "R /OVMF_CODE.fd raw\nW /VARS.fd raw\n"},
        {"-hda nbd: holds nothing", {QEMU, "-hda", "nbd://h/x"}, ""},
        {"-snapshot reads all drives, wherever it stands",
         {QEMU, "-hda", "/a", "-drive", "file=/b,if=virtio", "-pflash", "/c", "-snapshot"},
         "R /a ?\nR /b ?\nR /c ?\n"},
        {"snapshot=off counts more than -snapshot",
         {QEMU, "-snapshot", "-drive", "file=/x,snapshot=off"},
         "W /x ?\n"},

        /* a word alone */
        {"a word alone is a disk", {QEMU, "/x.img"}, "W /x.img ?\n"},
        {"a word after a flag is a disk", {QEMU, "-nographic", "x.img", "-s"}, "W x.img ?\n"},
        {"a word after an option's value is a disk",
         {QEMU, "-m", "512", "-smp", "2", "-enable-kvm", "x.img"},
         "W x.img ?\n"},
        {"the value of an option is not a disk",
         {QEMU, "-kernel", "bzImage", "-append", "console=ttyS0 root=/dev/sda", "-serial", "stdio"},
         ""},
        {"a value that looks like an option is a value",
         {QEMU, "-append", "-hda", "x.img"},
         "W x.img ?\n"},
        {"the value of an option that is not known is not a disk",
         {QEMU, "-shiny", "thing", "x.img"},
         "W x.img ?\n"},
        {"an option after one that is not known is an option",
         {QEMU, "-shiny", "-hda", "x.img"},
         "W x.img ?\n"},
        {"dashes alone are nothing", {QEMU, "-", "x.img", "--"}, "W x.img ?\n"},
        {"a word alone follows -snapshot", {QEMU, "-snapshot", "x.img"}, "R x.img ?\n"},

        /* who runs QEMU */
        {"numactl before QEMU",
         {"numactl", "--cpunodebind=0", "-m", "0", QEMU, "x.img"},
         "W x.img ?\n"},
        {"unshare -m before QEMU", {"unshare", "-m", QEMU, "x.img"}, "W x.img ?\n"},
        {"a user called qemu before QEMU",
         {"sudo", "-u", "qemu", "-g", "kvm", QEMU, "-hda", "x"},
         "W x ?\n"},
        {"a user called kvm and two dashes before QEMU",
         {"runuser", "-u", "kvm", "--", "env", "A=b", QEMU, "x"},
         "W x ?\n"},
        {"a network called qemu before QEMU",
         {"ip", "netns", "exec", "qemu", QEMU, "-hda", "x"},
         "W x ?\n"},
        {"a user called qemu before kvm", {"sudo", "-u", "qemu", "kvm", "x"}, "W x ?\n"},
        {"a VM called as QEMU is", {"kvm", "x", "-name", QEMU, "y"}, "W x ?\nW y ?\n"},
        {"env and sudo before QEMU",
         {"sudo", "-E", "env", "A=b", "/usr/bin/" QEMU, "-hda", "x"},
         "W x ?\n"},
        {"taskset, nice and timeout before kvm",
         {"timeout", "-k", "10", "60", "nice", "-n", "5", "taskset", "-c", "1", "kvm", "x.img"},
         "W x.img ?\n"},
        {"/usr/libexec/qemu-kvm is QEMU", {"/usr/libexec/qemu-kvm", "x.img"}, "W x.img ?\n"},
        {"any machine's QEMU is QEMU", {"/opt/bin/qemu-system-ppc64", "x.img"}, "W x.img ?\n"},
        {"a file named after QEMU is not QEMU",
         {"strace", "-o", "qemu-system-x86_64.log", QEMU, "x.img"},
         "W x.img ?\n"},
        {"a VM named kvm is not QEMU", {"./start", "-hda", "a", "-name", "kvm", "b"}, "W a ?\n"},
        {"a script that passes options on", {"./start", "-v", "-hda", "a", "b"}, "W a ?\n"},
        {"a shell with arguments", {"sh", "-c", "exec \"$@\"", "sh", QEMU, "x.img"}, "W x.img ?\n"},
        {"qemu-storage-daemon",
         {"qemu-storage-daemon", "--blockdev", "file,filename=/x,node-name=n", "--export",
          "type=nbd,node-name=n,id=e", "--daemonize"},
         "W /x raw\n"},
        {"qemu-storage-daemon with =",
         {"qemu-storage-daemon", "--blockdev=file,filename=/x,node-name=n", "--daemonize"},
         "W /x raw\n"},
        {"not QEMU: nothing", {"sleep", "60"}, ""},
        {"not QEMU: a VMM with other options",
         {"cloud-hypervisor", "--disk", "path=/x.img", "--kernel", "vmlinux"},
         ""},
        {"not QEMU: -name, -device and -uuid of something else",
         {"thing", "-name", "a,b=c", "-device", "{x", "-device", "d,drive=a,share-rw=x", "-uuid",
          "me", "-set", "x", "-sd"},
         ""},
        {"nothing at all", {NULL}, ""},

        /* together */
        {"a file named twice is there once, the stronger mode counts",
         {QEMU, "-cdrom", "/x", "-hda", "/x", "-drive", "file=/x,readonly=on"},
         "W /x ?\n"},
        {"help holds nothing",
         {QEMU, "-drive", "help", "-blockdev", "help", "-device", "help"},
         ""},
        {"a Proxmox VE guest",
         {"/usr/bin/kvm",
          "-id",
          "100",
          "-name",
          "vm100,debug-threads=on",
          "-no-shutdown",
          "-chardev",
          "socket,id=qmp,path=/var/run/qemu-server/100.qmp,server=on,wait=off",
          "-mon",
          "chardev=qmp,mode=control",
          "-daemonize",
          "-smbios",
          "type=1,uuid=a8f1cbe9-6cb1-4a61-8a20-dcd2e7d62ac7",
          "-drive",
          "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/pve-edk2-firmware/OVMF_CODE.fd",
          "-drive",
          "if=pflash,unit=1,id=drive-efidisk0,format=raw,file=/dev/pve/vm-100-disk-0",
          "-nodefaults",
          "-drive",
          "file=/var/lib/vz/template/iso/d.iso,if=none,id=drive-ide2,media=cdrom,aio=io_uring",
          "-device",
          "ide-cd,bus=ide.1,unit=0,drive=drive-ide2,id=ide2",
          "-drive",
          "file=/dev/pve/vm-100-disk-1,if=none,id=drive-scsi0,format=raw,cache=none,aio=io_uring,"
          "detect-zeroes=on",
          "-device",
          "scsi-hd,bus=scsihw0.0,drive=drive-scsi0,id=scsi0",
          "-machine",
          "type=q35"},
         "R /usr/share/pve-edk2-firmware/OVMF_CODE.fd raw\n"
         "W /dev/pve/vm-100-disk-0 raw\n"
         "R /var/lib/vz/template/iso/d.iso ?\n"
         "W /dev/pve/vm-100-disk-1 raw\n"},
        {"a test farm's guest",
         {"qemu-system-aarch64",
          "-M",
          "virt",
          "-cpu",
          "cortex-a57",
          "-m",
          "1G",
          "-nographic",
          "-kernel",
          "Image",
          "-initrd",
          "initrd.gz",
          "-append",
          "root=/dev/vda",
          "-drive",
          "if=none,file=hd.qcow2,id=hd0,snapshot=on",
          "-device",
          "virtio-blk-device,drive=hd0",
          "-netdev",
          "user,id=n,hostfwd=tcp::2222-:22",
          "-device",
          "virtio-net-device,netdev=n",
          "-no-reboot"},
         "R hd.qcow2 ?\n"},
};

static void the_name_and_the_uuid_are_found(void **state)
{
        const char *argv[] = {QEMU,
                              "-name",
                              "guest=a,,b,debug-threads=on",
                              "-uuid",
                              "A8F1CBE9-6cb1-4a61-8a20-dcd2e7d62ac7",
                              NULL};
        char text[HF_VM_UUID_TEXT];
        struct hf_vm_spec spec;

        (void)state;
        hf_vm_spec_init(&spec);
        assert_int_equal(hf_qemu_parse(argv, NULL, &spec, NULL), 0);
        assert_string_equal(spec.name, "a,b");
        assert_true(spec.has_uuid);
        assert_string_equal(hf_vm_uuid_format(spec.uuid, text),
                            "a8f1cbe9-6cb1-4a61-8a20-dcd2e7d62ac7");
        hf_vm_spec_free(&spec);
}

static void the_first_word_of_name_is_the_name(void **state)
{
        const char *argv[] = {QEMU, "-name", "vm1,process=qemu:vm1", NULL};
        struct hf_vm_spec spec;

        (void)state;
        hf_vm_spec_init(&spec);
        assert_int_equal(hf_qemu_parse(argv, NULL, &spec, NULL), 0);
        assert_string_equal(spec.name, "vm1");
        assert_false(spec.has_uuid);
        hf_vm_spec_free(&spec);
}

static void what_the_caller_set_stays(void **state)
{
        const char *argv[] = {QEMU, "-name", "theirs", "-hda", "/x", "-cdrom", "/y", NULL};
        struct hf_vm_spec spec;
        char *text;

        (void)state;
        hf_vm_spec_init(&spec);
        assert_int_equal(hf_vm_spec_set_name(&spec, "ours", NULL), 0);
        assert_int_equal(hf_vm_spec_add_disk_option(&spec, "/x:ro", NULL), 0);
        assert_int_equal(hf_vm_spec_add_disk_option(&spec, "/y", NULL), 0);
        assert_int_equal(hf_qemu_parse(argv, NULL, &spec, NULL), 0);
        assert_string_equal(spec.name, "ours");
        text = spec_text(&spec);
        assert_string_equal(text, "W /x ?\nW /y ?\n");
        free(text);
        hf_vm_spec_free(&spec);
}

static void the_origin_is_the_option(void **state)
{
        const char *argv[] = {QEMU,        "a",          "--drive",
                              "file=b",    "-blockdev",  "file,filename=c,node-name=p",
                              "-blockdev", "raw,file=p", "-cdrom",
                              "d",         NULL};
        struct hf_vm_spec spec;

        (void)state;
        hf_vm_spec_init(&spec);
        assert_int_equal(hf_qemu_parse(argv, NULL, &spec, NULL), 0);
        assert_string_equal(hf_vm_spec_find_disk(&spec, "a")->from, "image argument");
        assert_string_equal(hf_vm_spec_find_disk(&spec, "b")->from, "-drive");
        assert_string_equal(hf_vm_spec_find_disk(&spec, "c")->from, "-blockdev");
        assert_string_equal(hf_vm_spec_find_disk(&spec, "d")->from, "-cdrom");
        hf_vm_spec_free(&spec);
}

int main(void)
{
        static const struct CMUnitTest more[] = {
                cmocka_unit_test(the_name_and_the_uuid_are_found),
                cmocka_unit_test(the_first_word_of_name_is_the_name),
                cmocka_unit_test(what_the_caller_set_stays),
                cmocka_unit_test(the_origin_is_the_option),
        };

        return run_rows("qemu-cmdline", rows, HF_ARRAY_LEN(rows), more, HF_ARRAY_LEN(more));
}
