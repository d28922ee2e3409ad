/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Who is at the other end of a connection. The VM's name comes from what the peer cannot choose:
 * the option --vm of this helper, else the folder of libvirt that our socket is in
 * (domain-ID-NAME), else the cgroup that systemd made for the machine
 * (machine-qemu\x2dID\x2dNAME.scope). Two VMs of one name would be one initiator, and one in the
 * eyes of a rule, so a name that may be the beginning of two is none.
 */

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

#define HF_PR_VM_MAX 256

struct hf_pr_peer {
        pid_t pid;
        uint64_t start; /* of the process, base/process.h; 0: not known */
        uid_t uid;
        gid_t gid;
        char comm[64];
        char vm[HF_PR_VM_MAX]; /* "": not known */
};

/* vm: of the option, or NULL. socket: the path that we listen on, or NULL. */
int hf_pr_peer_of(int connection, const char *vm, const char *socket, struct hf_pr_peer *ret,
                  struct hf_error *err);

/* Of both texts what counts; socket may be NULL. 0, or -ENOENT. Pure. */
int hf_pr_peer_vm_of(const char *socket, const char *cgroup, char ret[static HF_PR_VM_MAX]);

/* The two texts that a name is found in, as it stands there; 0, or -ENOENT. Pure. */
int hf_pr_peer_vm_of_cgroup(const char *cgroup, char ret[static HF_PR_VM_MAX]);
int hf_pr_peer_vm_of_socket(const char *socket, char ret[static HF_PR_VM_MAX]);
