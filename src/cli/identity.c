/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/identity.h"

#include "base/cleanup.h"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A user of the largest directories; the kernel's own limit is 65536. */
#define GROUPS_FIRST 64

/* Decimal, and none of the numbers that mean "no change" to the kernel. */
static bool is_number(const char *text, uint32_t *ret)
{
        char *end;
        unsigned long long value;

        if (text[0] < '0' || text[0] > '9')
                return false;
        value = strtoull(text, &end, 10);
        if (*end || value >= UINT32_MAX)
                return false;
        *ret = (uint32_t)value;
        return true;
}

static int find_group(const char *text, gid_t *ret, struct hf_error *err)
{
        const struct group *found;

        if (is_number(text, ret))
                return 0;
        errno = 0;
        found = getgrnam(text);
        if (!found)
                return hf_error_set(err, errno ? errno : ENOENT, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "there is no group \"%s\"", text);
        *ret = found->gr_gid;
        return 0;
}

/* *ret_name, from the user database, is NULL for a number that is nobody's. */
static int find_user(const char *text, bool has_group, struct hf_identity *who, char **ret_name,
                     struct hf_error *err)
{
        const struct passwd *found;
        bool number;

        errno = 0;
        found = getpwnam(text);
        number = !found && is_number(text, &who->uid);
        if (number)
                found = getpwuid(who->uid);
        if (!found && !number)
                return hf_error_set(err, errno ? errno : ENOENT, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "there is no user \"%s\"", text);
        if (!found && !has_group)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "user %s has no group of its own: say USER:GROUP", text);
        *ret_name = NULL;
        if (!found)
                return 0;
        who->uid = found->pw_uid;
        who->gid = found->pw_gid;
        *ret_name = strdup(found->pw_name);
        return *ret_name ? 0 : hf_error_sys(err, ENOMEM, "cannot look up user %s", text);
}

static int find_groups(const char *name, struct hf_identity *who, struct hf_error *err)
{
        int n = GROUPS_FIRST, before;

        do {
                gid_t *grown = reallocarray(who->groups, (size_t)n, sizeof(*grown));

                if (!grown)
                        return hf_error_sys(err, ENOMEM, "cannot list groups");
                who->groups = grown;
                before = n;
                if (name && getgrouplist(name, who->gid, who->groups, &n) >= 0)
                        break;
                if (!name) {
                        who->groups[0] = who->gid;
                        n = 1;
                }
        } while (n > before);
        who->n_groups = (size_t)n;
        return 0;
}

int hf_identity_parse(const char *text, struct hf_identity *ret, struct hf_error *err)
{
        hf_cleanup(hf_identity_clear) struct hf_identity who = {0};
        hf_cleanup_free char *user = strdup(text), *name = NULL;
        char *group = user ? strchr(user, ':') : NULL;
        int r;

        if (!user)
                return hf_error_sys(err, ENOMEM, "cannot look up user %s", text);
        if (group)
                *group++ = '\0';
        if (!*user || (group && !*group))
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "a user is USER or USER:GROUP, not \"%s\"", text);
        r = find_user(user, group != NULL, &who, &name, err);
        if (r >= 0 && group)
                r = find_group(group, &who.gid, err);
        if (r >= 0)
                r = find_groups(name, &who, err);
        if (r < 0)
                return r;
        *ret = who;
        who = (struct hf_identity){0};
        return 0;
}

void hf_identity_clear(struct hf_identity *who)
{
        free(who->groups);
        *who = (struct hf_identity){0};
}

/*
 * The kernel takes them from who stops being root, unless its securebits say otherwise; and what
 * may be inherited it leaves in any case.
 */
static int drop_capabilities(void)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -1;
        return (int)syscall(SYS_capset, &header, none);
}

int hf_identity_assume(const struct hf_identity *who, struct hf_error *err)
{
        if (setgroups(who->n_groups, who->groups) < 0 ||
            setresgid(who->gid, who->gid, who->gid) < 0 ||
            setresuid(who->uid, who->uid, who->uid) < 0 || (who->uid && drop_capabilities() < 0))
                return hf_error_sys(err, errno, "cannot become user %u, group %u", who->uid,
                                    who->gid);
        return 0;
}
