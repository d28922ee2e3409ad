/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/pr.h"

#include <errno.h>

/* Changing registrations and reservations: one OUT command each. */

static int change(struct holdfast_pr *pr, int fd, const struct hf_pr_out *out,
                  struct holdfast_error *err)
{
        uint8_t cdb[HF_PR_CDB_SIZE], list[HF_PR_LIST_SIZE];
        struct hf_scsi_result result = {0};

        if (hf_pr_out_encode(out, cdb, list, sizeof(list)) < 0)
                return hf_fail(err, EINVAL, HOLDFAST_E_INTERNAL, "this command has no bytes");
        return hf_pr_ask(pr, fd, cdb, list, &result, err);
}

static int refuse_flags(unsigned int flags, struct holdfast_error *err)
{
        return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "unknown flags %#x", flags);
}

static int check_type(unsigned int type, struct holdfast_error *err)
{
        if (hf_pr_type_known(type))
                return 0;
        return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "there is no type %u of reservations",
                       type);
}

HF_PUBLIC const char *holdfast_pr_type_name(unsigned int type)
{
        const char *name = hf_pr_type_name(type);

        return name ? name : type == HOLDFAST_PR_NONE ? "none" : "unknown";
}

HF_PUBLIC int holdfast_pr_register(struct holdfast_pr *pr, int fd, uint64_t key, uint64_t new_key,
                                   unsigned int flags, struct holdfast_error *err)
{
        bool ignore = flags & HOLDFAST_PR_IGNORE_KEY;
        const struct hf_pr_out out = {
                .action = ignore ? HF_PR_REGISTER_AND_IGNORE : HF_PR_REGISTER,
                .key = ignore ? 0 : key,
                .new_key = new_key,
                .aptpl = flags & HOLDFAST_PR_PERSIST,
                .all_tg_pt = flags & HOLDFAST_PR_ALL_PORTS,
        };

        if (flags & ~(HOLDFAST_PR_IGNORE_KEY | HOLDFAST_PR_PERSIST | HOLDFAST_PR_ALL_PORTS))
                return refuse_flags(flags, err);
        return change(pr, fd, &out, err);
}

HF_PUBLIC int holdfast_pr_reserve(struct holdfast_pr *pr, int fd, uint64_t key, unsigned int type,
                                  struct holdfast_error *err)
{
        const struct hf_pr_out out = {.action = HF_PR_RESERVE, .type = (uint8_t)type, .key = key};
        int r = check_type(type, err);

        return r < 0 ? r : change(pr, fd, &out, err);
}

HF_PUBLIC int holdfast_pr_release(struct holdfast_pr *pr, int fd, uint64_t key, unsigned int type,
                                  struct holdfast_error *err)
{
        const struct hf_pr_out out = {.action = HF_PR_RELEASE, .type = (uint8_t)type, .key = key};
        int r = check_type(type, err);

        return r < 0 ? r : change(pr, fd, &out, err);
}

HF_PUBLIC int holdfast_pr_clear(struct holdfast_pr *pr, int fd, uint64_t key,
                                struct holdfast_error *err)
{
        const struct hf_pr_out out = {.action = HF_PR_CLEAR, .key = key};

        return change(pr, fd, &out, err);
}

HF_PUBLIC int holdfast_pr_preempt(struct holdfast_pr *pr, int fd, uint64_t key, uint64_t victim,
                                  unsigned int type, unsigned int flags, struct holdfast_error *err)
{
        const struct hf_pr_out out = {
                .action = flags & HOLDFAST_PR_ABORT ? HF_PR_PREEMPT_AND_ABORT : HF_PR_PREEMPT,
                .type = (uint8_t)type,
                .key = key,
                .new_key = victim,
        };
        int r = check_type(type, err);

        if (r < 0)
                return r;
        if (flags & ~HOLDFAST_PR_ABORT)
                return refuse_flags(flags, err);
        return change(pr, fd, &out, err);
}
