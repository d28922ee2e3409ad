/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Holder records: who holds a lock, written where other hosts can read it.
 *
 * On a filesystem that hosts share the kernel says that a lock is held, and not by
 * whom. So who has taken one writes a record of itself: into the lock file where that is
 * a stand-in without content, else beside the file that is locked, as
 * .holdfast/NAME.holder in the same directory. It is cleared before the unlock.
 *
 * A record is a hint for people and nothing else: no lock is granted, refused or
 * broken because of one. It may be stale (its host has died: "last held by"), it may be
 * missing (a stock virtlockd writes none), and whoever may write there may have
 * written anything. That a lock is held only the kernel knows.
 *
 * A record is one block of 512 bytes; numbers have their lowest byte first, texts
 * end at their field's end or at the first 0, and what is behind that is 0:
 *
 *     at  size
 *      0     8  "hfholder"
 *      8     2  version: 1
 *     10     2  flags: 1 shared with others
 *     12     4  pid
 *     16     8  sequence: one more than that of the record before it
 *     24     8  time of writing, microseconds since the epoch
 *     32     8  since when it is held, the same
 *     40     8  epoch: a number of the lock daemon's life, from its start to its end
 *     48    16  machine id; zeros: not known
 *     64    16  boot id
 *     80    16  UUID of the VM
 *     96    16  of the host's NFS client id: SHA-256, the first bytes; zeros: not known
 *    112     8  inode number of the lock file's directory, or of that of the locked file
 *    120    64  host name
 *    184    24  through what
 *    208    80  name of the VM, cut at its end
 *    288   112  name or path of the resource; a long one is cut at its begin
 *    400    96  path of the lockspace's directory, cut the same way; "": none
 *    496    16  SHA-256 of all before, the first bytes
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HF_RECORD_SIZE 512

/* Of the texts, with a NUL. */
#define HF_RECORD_HOST_MAX      65
#define HF_RECORD_VIA_MAX       25
#define HF_RECORD_VM_MAX        81
#define HF_RECORD_RESOURCE_MAX  113
#define HF_RECORD_LOCKSPACE_MAX 97

struct hf_record {
        bool shared;
        pid_t pid;
        uint64_t sequence, written, since, epoch;
        uint8_t machine[16], boot[16], uuid[16], nfs_client[16];
        uint64_t directory;
        char host[HF_RECORD_HOST_MAX];
        char via[HF_RECORD_VIA_MAX];
        char vm[HF_RECORD_VM_MAX];
        char resource[HF_RECORD_RESOURCE_MAX];
        char lockspace[HF_RECORD_LOCKSPACE_MAX];
};

/* Fill in a text that may be too long for it; a cut is at a character boundary of UTF-8. */
void hf_record_set_vm(struct hf_record *record, const char *name);
void hf_record_set_resource(struct hf_record *record, const char *name);
void hf_record_set_lockspace(struct hf_record *record, const char *path);

/* Hashes the id by which an NFS server knows a host: its node name and what makes it unique. */
void hf_record_set_nfs_client(struct hf_record *record, const char *node, const char *unique);

/*
 * record-self.c: fills in who this host is: its name, its machine's id and that of its last
 * start, and its NFS client id. What cannot be found out is left empty.
 */
void hf_record_set_self(struct hf_record *record);

/* Makes the block. */
void hf_record_encode(const struct hf_record *record, uint8_t ret[static HF_RECORD_SIZE]);

/*
 * Reads a block of size bytes. -EBADMSG: it is none of ours, or damaged, or of a version that
 * is not known. Control characters in texts become '?'.
 */
int hf_record_decode(const uint8_t *data, size_t size, struct hf_record *ret);

/* Whether both were written on one host, since it was last started. */
bool hf_record_same_host(const struct hf_record *a, const struct hf_record *b);

/* What a look at a lock and its record tells. */
enum hf_record_verdict {
        HF_RECORD_FREE,    /* nobody has the lock, and no record is there */
        HF_RECORD_LAST,    /* nobody has it; the record tells of the last one */
        HF_RECORD_HELD,    /* it is held, and not from this descriptor; by whom the record tells */
        HF_RECORD_UNKNOWN, /* it is held, and no record tells by whom */
};

/* Whether the look found a record. */
static inline bool hf_record_was_found(enum hf_record_verdict verdict)
{
        return verdict == HF_RECORD_HELD || verdict == HF_RECORD_LAST;
}

/* record-file.c: records on disk. All of it may wait for the filesystem. */

/* Whether locks on this file have records: other hosts meet them there. */
bool hf_record_is_wanted(int fd);

/*
 * Writes the record of a lock that was just taken on fd; its sequence and time of writing are
 * filled in here, and its directory unless it is set. inside: fd is a stand-in that was made for
 * its lock, and the record goes into it, unless it has another content. Negative errno: there is no
 * record now, which is no fault of the lock.
 */
int hf_record_write(int fd, bool inside, const struct hf_record *record);

/*
 * Clears the record of a lock that is about to be given back, if it was written by the
 * same host since its start, and (unless epoch is 0) in the same life of its daemon. inside
 * as above: the locked file itself may be emptied. Not for a lock that was lost:
 * another host's record may be there.
 */
void hf_record_clear(int fd, bool inside, const struct hf_record *who);

/*
 * Looks at the lock of a file and at its record, twice, until both looks are alike.
 * *ret_record is filled in for LAST and HELD.
 * Negative errno: the file cannot be opened.
 */
int hf_record_look(const char *path, struct hf_record *ret_record, enum hf_record_verdict *ret);

/* Whether all that is in the file is a record. */
bool hf_record_is_all(int fd);
