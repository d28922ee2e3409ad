/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The owner of a file, "UID:GID". */

#include "label/kind.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One number, as we write it; -1 of the kernel's type means "leave it", and is nobody. */
static bool take_id(const char **at, char stop, uint32_t *ret)
{
        char *end;
        unsigned long long value;

        if (**at < '0' || **at > '9')
                return false;
        value = strtoull(*at, &end, 10);
        if (value >= UINT32_MAX || *end != stop)
                return false;
        *ret = (uint32_t)value;
        *at = stop ? end + 1 : end;
        return true;
}

static bool parse(const char *label, uint32_t *uid, uint32_t *gid)
{
        return strlen(label) < HF_LABEL_TEXT_MAX && take_id(&label, ':', uid) &&
               take_id(&label, '\0', gid);
}

static void put(uint32_t uid, uint32_t gid, char ret[static HF_LABEL_TEXT_MAX])
{
        (void)snprintf(ret, HF_LABEL_TEXT_MAX, "%" PRIu32 ":%" PRIu32, uid, gid);
}

static int take(const char *given, char ret[static HF_LABEL_TEXT_MAX], struct hf_error *err)
{
        uint32_t uid, gid;

        if (!parse(given, &uid, &gid))
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "\"%s\" is no owner UID:GID", given);
        put(uid, gid, ret);
        return 0;
}

static int read_owner(int fd, char ret[static HF_LABEL_TEXT_MAX])
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        put(st.st_uid, st.st_gid, ret);
        return 0;
}

static int write_owner(int fd, const char *label)
{
        uint32_t uid, gid;

        if (!parse(label, &uid, &gid))
                return -EINVAL;
        return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

const struct hf_label_kind hf_label_dac = {
        .name = "dac",
        .noun = "owner",
        .take = take,
        .read = read_owner,
        .write = write_owner,
};

const struct hf_label_kind *const hf_label_kinds[HF_LABEL_KINDS] = {
        &hf_label_dac,
        &hf_label_selinux,
};
