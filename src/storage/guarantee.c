/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/guarantee.h"

#include <stdio.h>
#include <string.h>

/*
 * What is known of filesystems; the first row that fits counts. A type that ends in
 * '.' stands for all that begin so, and so does an option that ends in '='. `reason` is
 * put behind the type and the option that was met; "" adds nothing.
 *
 * NFSv4 has leases: the locks of a host that is gone are freed, and a host that lives
 * gets its own back from a server that was restarted. Version 3 has none of this.
 * With local_lock the NFS client keeps locks to itself, and nolock is the same by
 * another name. GFS2 shows "localflocks" also where its lock_nolock was chosen when it
 * was made. OCFS2 carries record locks only with a cluster stack in user space, which
 * it then names.
 */
static const struct rule {
        const char *type, *option;
        enum hf_guarantee_level level;
        bool unsafe;
        const char *reason;
} rules[] = {
        {"nfs4", "local_lock=posix", HF_LEVEL_HOST, true, "other hosts do not see this lock"},
        {"nfs4", "local_lock=all", HF_LEVEL_HOST, true, "other hosts do not see this lock"},
        {"nfs4", "vers=", HF_LEVEL_CLUSTER_ADVISORY, false, ""},
        {"nfs4", NULL, HF_LEVEL_CLUSTER_ADVISORY, false, ""},
        {"nfs", "nolock", HF_LEVEL_HOST, true, "other hosts do not see this lock"},
        {"nfs", "local_lock=posix", HF_LEVEL_HOST, true, "other hosts do not see this lock"},
        {"nfs", "local_lock=all", HF_LEVEL_HOST, true, "other hosts do not see this lock"},
        {"nfs", "vers=", HF_LEVEL_HOST, true, "without leases the lock of a dead host stays"},
        {"nfs", NULL, HF_LEVEL_HOST, true, "without leases the lock of a dead host stays"},
        {"gfs2", "lockproto=lock_nolock", HF_LEVEL_HOST, true, "mounted for this host only"},
        {"gfs2", "localflocks", HF_LEVEL_HOST, true, "other hosts do not see this lock"},
        {"gfs2", NULL, HF_LEVEL_CLUSTER_ADVISORY, false, ""},
        {"ocfs2", "localflocks", HF_LEVEL_HOST, true, "other hosts do not see this lock"},
        {"ocfs2", "cluster_stack=o2cb", HF_LEVEL_HOST, true, "it does not carry such locks"},
        {"ocfs2", "cluster_stack=", HF_LEVEL_CLUSTER_ADVISORY, false, ""},
        {"ocfs2", NULL, HF_LEVEL_HOST, true, "its own cluster stack does not carry such locks"},
        {"ceph", NULL, HF_LEVEL_CLUSTER_ADVISORY, false, ""},
        {"fuse.ceph", NULL, HF_LEVEL_CLUSTER_ADVISORY, false, ""},
        {"fuse.ceph-fuse", NULL, HF_LEVEL_CLUSTER_ADVISORY, false, ""},
        {"cifs", NULL, HF_LEVEL_HOST, true, "locks between hosts are not relied upon"},
        {"smb3", NULL, HF_LEVEL_HOST, true, "locks between hosts are not relied upon"},
        {"9p", NULL, HF_LEVEL_HOST, true, "not known to carry locks to other hosts"},
        {"virtiofs", NULL, HF_LEVEL_HOST, true, "not known to carry locks to other hosts"},
        {"fuse", NULL, HF_LEVEL_HOST, true, "not known to carry locks to other hosts"},
        {"fuse.", NULL, HF_LEVEL_HOST, true, "not known to carry locks to other hosts"},
        {"fuseblk", NULL, HF_LEVEL_HOST, false, "this host only"},
        {"ext4", NULL, HF_LEVEL_HOST, false, "this host only"},
        {"ext3", NULL, HF_LEVEL_HOST, false, "this host only"},
        {"ext2", NULL, HF_LEVEL_HOST, false, "this host only"},
        {"xfs", NULL, HF_LEVEL_HOST, false, "this host only"},
        {"btrfs", NULL, HF_LEVEL_HOST, false, "this host only"},
        {"tmpfs", NULL, HF_LEVEL_HOST, false, "this host only"},
        {"ramfs", NULL, HF_LEVEL_HOST, false, "this host only"},
        {"f2fs", NULL, HF_LEVEL_HOST, false, "this host only"},
        {"zfs", NULL, HF_LEVEL_HOST, false, "this host only"},
        {"bcachefs", NULL, HF_LEVEL_HOST, false, "this host only"},
        {"overlay", NULL, HF_LEVEL_HOST, false, "this host only"},
        {NULL, NULL, HF_LEVEL_HOST, false, "not known to carry locks to other hosts"},
};

/* Whether name is pattern, or begins so where that ends in `any`. */
static bool fits(const char *pattern, char any, const char *name, size_t len)
{
        size_t n = strlen(pattern);

        if (n && pattern[n - 1] == any)
                return len >= n && !strncmp(name, pattern, n);
        return len == n && !strncmp(name, pattern, n);
}

/* The word among options with commas between them that fits; NULL: none. Sets its length. */
static const char *find_option(const char *options, const char *pattern, size_t *ret_len)
{
        for (const char *at = options; at && *at; at += strspn(at, ",")) {
                size_t len = strcspn(at, ",");

                if (fits(pattern, '=', at, len)) {
                        *ret_len = len;
                        return at;
                }
                at += len;
        }
        return NULL;
}

void hf_guarantee_of_mount(const struct hf_mount *mount, const struct hf_thing *thing,
                           struct hf_guarantee_of *ret)
{
        const struct rule *rule = rules;
        const char *option = NULL;
        size_t len = 0;

        *ret = (struct hf_guarantee_of){.level = HF_LEVEL_HOST};
        if (thing->kind == HF_THING_BLOCK || !mount) {
                (void)snprintf(ret->reason, sizeof(ret->reason), "%s",
                               thing->kind == HF_THING_BLOCK
                                       ? "a device node: other hosts do not see this lock"
                                       : "its filesystem is not known");
                return;
        }
        for (; rule->type; rule++) {
                if (!fits(rule->type, '.', mount->type, strlen(mount->type)))
                        continue;
                if (rule->option)
                        option = find_option(mount->super_options, rule->option, &len);
                if (rule->option && !option)
                        option = find_option(mount->options, rule->option, &len);
                if (!rule->option || option)
                        break;
        }
        ret->level = rule->level;
        ret->unsafe = rule->unsafe;
        (void)snprintf(ret->reason, sizeof(ret->reason), "%.40s%s%.*s%s%s", mount->type,
                       option ? ", " : "", (int)len, option ? option : "",
                       *rule->reason ? ": " : "", rule->reason);
}

void hf_guarantee_of_thing(struct hf_mounts *mounts, const struct hf_thing *thing,
                           struct hf_guarantee_of *ret)
{
        const struct hf_mount *mount = mounts && thing->kind == HF_THING_FILE
                                               ? hf_mounts_of_dev(mounts, thing->dev)
                                               : NULL;

        hf_guarantee_of_mount(mount, thing, ret);
}
