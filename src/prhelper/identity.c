/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/identity.h"

#include "base/cleanup.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <systemd/sd-id128.h>

/* A decimal number that is an id, and not the "none" of the system calls. */
static int parse_id(const char *text, unsigned int *ret)
{
        unsigned long value;
        char *end;

        errno = 0;
        value = strtoul(text, &end, 10);
        if (errno || text[0] < '0' || text[0] > '9' || *end || value >= (unsigned int)-1)
                return -EINVAL;
        *ret = (unsigned int)value;
        return 0;
}

static int unknown(struct hf_error *err, const char *what, const char *name)
{
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE, "invalid %s \"%s\"",
                            what, name);
}

static int find_user(const char *name, uid_t *uid, gid_t *gid, struct hf_error *err)
{
        const struct passwd *entry = getpwnam(name);

        if (!entry && parse_id(name, uid) < 0)
                return unknown(err, "user", name);
        if (!entry)
                entry = getpwuid(*uid);
        if (entry) {
                *uid = entry->pw_uid;
                *gid = entry->pw_gid;
        }
        return 0;
}

int hf_pr_identity(const char *user, const char *group, uid_t *ret_uid, gid_t *ret_gid,
                   struct hf_error *err)
{
        const struct group *entry = group ? getgrnam(group) : NULL;
        uid_t uid = (uid_t)-1;
        gid_t gid = (gid_t)-1;
        int r = user ? find_user(user, &uid, &gid, err) : 0;

        if (r < 0)
                return r;
        if (entry)
                gid = entry->gr_gid;
        else if (group && parse_id(group, &gid) < 0)
                return unknown(err, "group", group);
        *ret_uid = uid;
        *ret_gid = gid;
        return 0;
}

int hf_pr_host_name(const char *name, char *ret, size_t size, struct hf_error *err)
{
        sd_id128_t id;
        int r;

        if (name) {
                (void)snprintf(ret, size, "%s", name);
                return 0;
        }
        r = sd_id128_get_machine(&id);
        if (r < 0)
                return hf_error_sys(err, -r,
                                    "this host has no machine-id, and no host_name is set");
        (void)snprintf(ret, size, SD_ID128_FORMAT_STR, SD_ID128_FORMAT_VAL(id));
        return 0;
}
