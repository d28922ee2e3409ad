/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Disks that are built of nodes (-blockdev), and what the devices in front of
 * them say about sharing. Each row is one sentence and one test.
 */

#include "base/cleanup.h"
#include "cmdline-rows.h"

static const struct row rows[] = {
        /* -blockdev */
        {"-blockdev by keys",
         {QEMU, "-blockdev", "driver=qcow2,node-name=n,file.driver=file,file.filename=/x"},
         "W /x qcow2\n"},
        {"-blockdev takes its first word for the driver",
         {QEMU, "-blockdev", "file,filename=/x,node-name=p"},
         "W /x raw\n"},
        {"-blockdev in two parts is one file",
         {QEMU, "-blockdev", "file,filename=/x,node-name=p", "-blockdev",
          "qcow2,file=p,node-name=f"},
         "W /x qcow2\n"},
        {"a file used only by a read-only node is read",
         {QEMU, "-blockdev", "file,filename=/x,node-name=p", "-blockdev",
          "raw,file=p,node-name=f,read-only=on"},
         "R /x raw\n"},
        {"a file that a device uses beside a read-only node is written",
         {QEMU, "-blockdev", "file,filename=/x,node-name=p", "-blockdev",
          "raw,file=p,node-name=f,read-only=on", "-device", "virtio-blk-pci,drive=p"},
         "W /x raw\n"},
        {"a node inside another can be shown by a device of its own",
         {QEMU, "-blockdev",
          "raw,node-name=n,read-only=on,file.driver=file,file.filename=/x,"
          "file.node-name=p",
          "-device", "scsi-hd,drive=p,share-rw=on"},
         "S /x raw\n"},
        {"a read-only file is read whatever is above it",
         {QEMU, "-blockdev", "file,filename=/x,node-name=p,read-only=on", "-blockdev",
          "raw,file=p,node-name=f"},
         "R /x raw\n"},
        {"read-only comes down to a nested file",
         {QEMU, "-blockdev", "qcow2,node-name=n,read-only=on,file.driver=file,file.filename=/x"},
         "R /x qcow2\n"},
        {"auto-read-only is tried for writing first",
         {QEMU, "-blockdev", "file,node-name=n,filename=/x,auto-read-only=on"},
         "W /x raw\n"},
        {"force-share is for readers",
         {QEMU, "-blockdev", "file,node-name=n,filename=/x,read-only=on,force-share=on"},
         "R /x raw\n"},
        {"-blockdev in JSON",
         {QEMU, "-blockdev",
          "{\"driver\":\"qcow2\",\"node-name\":\"n\",\"file\":{\"driver\":\"file\","
          "\"filename\":\"/x\"}}"},
         "W /x qcow2\n"},
        {"-blockdev in JSON with single quotes and escapes",
         {QEMU, "-blockdev", "{'driver':'file','node-name':'n','filename':'/\\u0061\\/b'}"},
         "W /a/b raw\n"},
        {"a device file by -blockdev",
         {QEMU, "-blockdev",
          "{\"driver\":\"host_device\",\"filename\":\"/dev/vg/lv\",\"node-name\":\"n\"}"},
         "W /dev/vg/lv raw\n"},
        {"a backing chain by node names is read below the top",
         {QEMU, "-blockdev", "file,filename=/b,node-name=b", "-blockdev",
          "qcow2,file=b,node-name=bq", "-blockdev",
          "qcow2,node-name=t,file.driver=file,file.filename=/t,backing=bq"},
         "W /t qcow2 +backing\nR /b qcow2\n"},
        {"a file that is backing here and a disk there is written",
         {QEMU, "-blockdev", "qcow2,file.driver=file,file.filename=/b,node-name=bq", "-blockdev",
          "qcow2,node-name=t,file.driver=file,file.filename=/t,backing=bq", "-device",
          "virtio-blk-pci,drive=bq"},
         "W /b qcow2\nW /t qcow2 +backing\n"},
        {"-blockdev is not touched by -snapshot",
         {QEMU, "-snapshot", "-blockdev", "file,node-name=n,filename=/x"},
         "W /x raw\n"},
        {"nbd by -blockdev holds nothing",
         {QEMU, "-blockdev",
          "{\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"/s\"},\"node-name\":\"n\"}"},
         ""},
        {"a file of a new protocol is held",
         {QEMU, "-blockdev", "driver=shiny,filename=/x,node-name=n"},
         "W /x raw\n"},
        {"a disk as libvirt writes it is one file, written",
         {QEMU, "-blockdev",
          "{\"driver\":\"file\",\"filename\":\"/x.img\",\"node-name\":\"libvirt-1-storage\","
          "\"auto-read-only\":true,\"discard\":\"unmap\"}",
          "-blockdev",
          "{\"node-name\":\"libvirt-1-format\",\"read-only\":false,\"driver\":\"raw\","
          "\"file\":\"libvirt-1-storage\"}",
          "-device",
          "{\"driver\":\"virtio-blk-pci\",\"bus\":\"pci.4\",\"addr\":\"0x0\","
          "\"drive\":\"libvirt-1-format\",\"id\":\"virtio-disk0\",\"bootindex\":1}"},
         "W /x.img raw\n"},
        {"an overlay as libvirt writes it",
         {QEMU, "-blockdev",
          "{\"driver\":\"file\",\"filename\":\"/b\",\"node-name\":\"libvirt-2-storage\","
          "\"auto-read-only\":true,\"discard\":\"unmap\"}",
          "-blockdev",
          "{\"node-name\":\"libvirt-2-format\",\"read-only\":true,\"driver\":\"qcow2\","
          "\"file\":\"libvirt-2-storage\",\"backing\":null}",
          "-blockdev",
          "{\"driver\":\"file\",\"filename\":\"/t\",\"node-name\":\"libvirt-1-storage\","
          "\"auto-read-only\":true,\"discard\":\"unmap\"}",
          "-blockdev",
          "{\"node-name\":\"libvirt-1-format\",\"read-only\":false,\"driver\":\"qcow2\","
          "\"file\":\"libvirt-1-storage\",\"backing\":\"libvirt-2-format\"}",
          "-device", "ide-hd,bus=ide.0,unit=0,drive=libvirt-1-format,id=ide0-0-0"},
         "W /t qcow2 +backing\nR /b qcow2 +backing\n"},
        {"a shareable disk as libvirt writes it is shared",
         {QEMU, "-blockdev",
          "{\"driver\":\"file\",\"filename\":\"/x\",\"node-name\":\"libvirt-1-storage\","
          "\"auto-read-only\":true}",
          "-blockdev",
          "{\"node-name\":\"libvirt-1-format\",\"read-only\":false,\"driver\":\"raw\","
          "\"file\":\"libvirt-1-storage\"}",
          "-device",
          "{\"driver\":\"virtio-blk-pci\",\"drive\":\"libvirt-1-format\",\"share-rw\":true}"},
         "S /x raw\n"},
        {"firmware as libvirt writes it: code is read, variables are written",
         {QEMU, "-blockdev",
          "{\"driver\":\"file\",\"filename\":\"/OVMF_CODE.fd\","
          "\"node-name\":\"libvirt-pflash0-storage\",\"auto-read-only\":true}",
          "-blockdev",
          "{\"node-name\":\"libvirt-pflash0-format\",\"read-only\":true,\"driver\":\"raw\","
          "\"file\":\"libvirt-pflash0-storage\"}",
          "-blockdev",
          "{\"driver\":\"file\",\"filename\":\"/vm_VARS.fd\","
          "\"node-name\":\"libvirt-pflash1-storage\"}",
          "-blockdev",
          "{\"node-name\":\"libvirt-pflash1-format\",\"read-only\":false,\"driver\":\"raw\","
          "\"file\":\"libvirt-pflash1-storage\"}",
          "-machine", "q35,pflash0=libvirt-pflash0-format,pflash1=libvirt-pflash1-format"},
         "R /OVMF_CODE.fd raw\nW /vm_VARS.fd raw\n"},

        /* share-rw */
        {"share-rw=on shares a drive",
         {QEMU, "-drive", "file=/x,id=d,if=none,format=raw", "-device",
          "virtio-blk-pci,drive=d,share-rw=on"},
         "S /x raw\n"},
        {"share-rw=on counts for the node name too",
         {QEMU, "-device", "scsi-hd,drive=n,share-rw=true", "-drive",
          "file=/x,id=d,node-name=n,if=none"},
         "S /x ?\n"},
        {"share-rw=off does not share",
         {QEMU, "-drive", "file=/x,id=d,if=none", "-device", "scsi-hd,drive=d,share-rw=off"},
         "W /x ?\n"},
        {"one device without share-rw keeps it exclusive",
         {QEMU, "-drive", "file=/x,id=d,if=none", "-device", "scsi-hd,drive=d,share-rw=on",
          "-device", "scsi-hd,drive=d"},
         "W /x ?\n"},
        {"a reader is a reader although it shares",
         {QEMU, "-drive", "file=/x,id=d,if=none,readonly=on", "-device",
          "scsi-hd,drive=d,share-rw=on"},
         "R /x ?\n"},
        {"-set can share",
         {QEMU, "-drive", "file=/x,id=d,if=none", "-device", "scsi-hd,drive=d,id=v", "-set",
          "device.v.share-rw=on"},
         "S /x ?\n"},
};

int main(void)
{
        return run_rows("qemu-blockdev", rows, HF_ARRAY_LEN(rows), NULL, 0);
}
