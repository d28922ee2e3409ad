/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/stage.h"

#include "prhelper/filter.h"

#include "base/cleanup.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

/* What a stage is about; capabilities end with -1. */
struct stage {
        const char *name;
        int capabilities[3];
};

static const struct stage stages[HF_PR_STAGES] = {
        [HF_PR_STAGE_SERVE] = {"serve", {-1}},
        [HF_PR_STAGE_CONNECTION] = {"connection", {CAP_SYS_RAWIO, -1}},
        [HF_PR_STAGE_MAPPER] = {"mapper", {CAP_SYS_RAWIO, CAP_SYS_ADMIN, -1}},
        [HF_PR_STAGE_NVME] = {"nvme", {CAP_SYS_ADMIN, -1}},
        [HF_PR_STAGE_EMULATED] = {"emulated", {-1}},
};

const char *hf_pr_stage_name(enum hf_pr_stage stage)
{
        return stages[stage].name;
}

static int failed(struct hf_error *err, enum hf_pr_stage stage, const char *what)
{
        return hf_error_sys(err, errno ? errno : EPERM, "cannot enter the stage %s: %s",
                            stages[stage].name, what);
}

/* Nothing that we might execute could have one again. Needs CAP_SETPCAP, as long as that is there.
 */
static int empty_bounding_set(void)
{
        if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
                return 0;
        for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
                if (prctl(PR_CAPBSET_DROP, cap) < 0)
                        return -errno;
        return 0;
}

/* Permitted capabilities outlive the change of user; what stays of them is for set_capabilities. */
static int become(uid_t uid, gid_t gid)
{
        if (prctl(PR_SET_KEEPCAPS, 1) < 0)
                return -errno;
        if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETGID) && setgroups(0, NULL) < 0)
                return -errno;
        if (gid != (gid_t)-1 && setresgid(gid, gid, gid) < 0)
                return -errno;
        if (uid != (uid_t)-1 && setresuid(uid, uid, uid) < 0)
                return -errno;
        return prctl(PR_SET_KEEPCAPS, 0) < 0 ? -errno : 0;
}

/* Keeps of what we have what is listed: permitted, and effective where it is to be used here. */
static int set_capabilities(const int *listed, bool effective)
{
        int keep[3], n = 0;

        if (capng_get_caps_process() < 0)
                return -EPERM;
        for (; *listed >= 0; listed++)
                if (capng_have_capability(CAPNG_PERMITTED, (unsigned int)*listed))
                        keep[n++] = *listed;
        capng_clear(CAPNG_SELECT_BOTH);
        while (n-- > 0)
                if (capng_update(CAPNG_ADD, CAPNG_PERMITTED | (effective ? CAPNG_EFFECTIVE : 0),
                                 (unsigned int)keep[n]) < 0)
                        return -EPERM;
        return capng_apply(CAPNG_SELECT_CAPS) < 0 ? -EPERM : 0;
}

static int enter_serve(uid_t uid, gid_t gid, bool admin)
{
        const int with_admin[] = {CAP_SYS_RAWIO, CAP_SYS_ADMIN, -1};
        const int without[] = {CAP_SYS_RAWIO, -1};
        int r;

        if (capng_get_caps_process() < 0)
                return -EPERM;
        r = empty_bounding_set();
        if (r >= 0)
                r = become(uid, gid);
        return r < 0 ? r : set_capabilities(admin ? with_admin : without, false);
}

int hf_pr_stage_enter(enum hf_pr_stage stage, uid_t uid, gid_t gid, bool admin,
                      struct hf_error *err)
{
        int r;

        if (stage == HF_PR_STAGE_SERVE)
                r = enter_serve(uid, gid, admin);
        else
                r = set_capabilities(stages[stage].capabilities, true);
        if (r < 0) {
                errno = -r;
                return failed(err, stage, "capabilities");
        }
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return failed(err, stage, "no new privileges");
        r = hf_pr_filter_install(stage);
        if (r < 0) {
                errno = -r;
                return failed(err, stage, "the filter of system calls");
        }
        return 0;
}
