/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/thing.h"

#include <errno.h>

int hf_thing_of(const struct stat *st, struct hf_thing *ret)
{
        if (S_ISREG(st->st_mode))
                *ret = (struct hf_thing){HF_THING_FILE, st->st_dev, st->st_ino};
        else if (S_ISBLK(st->st_mode))
                *ret = (struct hf_thing){HF_THING_BLOCK, st->st_rdev, 0};
        else
                return S_ISDIR(st->st_mode) ? -EISDIR : -ENOTSUP;
        return 0;
}
