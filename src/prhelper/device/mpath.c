/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Mapped devices. One that stands on a multipath map is reserved on all paths of the map at once,
 * by libmpathpersist, which does its own input and output and tells multipathd the key, so that
 * paths that come later get it too. Any other mapped device is left to SG_IO.
 *
 * Where that is not to be had (no library, no multipathd, not root) the command is refused.
 * SG_IO would take it, and each time another path: half a registration, which no guest expects.
 */

#include "prhelper/backend.h"
#include "prhelper/device/dm.h"
#include "prhelper/device/mpath-lib.h"
#include "prhelper/device/mpath-translate.h"

#include "scsi/sg.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct mpath {
        bool allowed; /* by the settings */
        struct hf_dm dm;
        bool loaded;
        struct hf_mpath_lib lib;
        bool told; /* why it refuses: once is enough for the log */
};

/* Nothing yet: most connections have no multipath device, and do not need the library. */
static int start(const struct hf_pr_settings *settings, void **ret, struct hf_error *err)
{
        struct mpath *mpath = calloc(1, sizeof(*mpath));

        if (!mpath)
                return hf_error_sys(err, ENOMEM, "multipath");
        mpath->allowed = hf_pr_settings_allow(settings, "mpath");
        mpath->dm.control = -1;
        *ret = mpath;
        return 0;
}

static int refuse(struct mpath *mpath, const struct hf_error *why, struct hf_scsi_result *result,
                  struct hf_error *note)
{
        hf_scsi_refuse(result, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_OPCODE);
        if (!mpath->told && note)
                *note = *why;
        mpath->told = true;
        return 1;
}

/* All that the library needs around it. multipathd may come and go; the library stays. */
static int get_ready(struct mpath *mpath, const struct hf_stack_map *map, struct hf_error *err)
{
        int rc = 0;

        if (!mpath->allowed)
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_NONE,
                                    "no reservations on the multipath device %s: the settings "
                                    "leave the backend mpath out",
                                    map->name);
        if (geteuid() != 0)
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_NONE,
                                    "no reservations on the multipath device %s: multipathd "
                                    "listens to root alone, and this helper was started with "
                                    "another user",
                                    map->name);
        if (!mpath->loaded) {
                rc = hf_mpath_lib_load(HF_MPATH_LIBRARY, &mpath->lib, err);
                mpath->loaded = rc == 0;
        }
        if (rc == 0)
                rc = hf_mpath_lib_daemon(&mpath->lib, err);
        if (rc < 0)
                hf_error_prefix(err, "no reservations on the multipath device %s", map->name);
        return rc;
}

/* The true sense of a device, where it has any; otherwise *result stays. */
static void fetch_sense(int fd, struct hf_scsi_result *result)
{
        struct hf_scsi_result fetched;

        hf_sg_test_unit_ready(fd, &fetched);
        if (fetched.status == HF_SCSI_CHECK_CONDITION)
                *result = fetched;
}

/* `code` of the library into *result and *note. */
static void conclude(int fd, const struct hf_stack_map *map, int code,
                     struct hf_scsi_result *result, struct hf_error *note)
{
        const char *text = hf_mpath_text(code);

        if (hf_mpath_result(code, result))
                fetch_sense(fd, result);
        if (text)
                (void)hf_error_set(note, EIO, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                   "reservation on the multipath device %s: %s", map->name, text);
}

static void run_in(const struct mpath *mpath, const struct hf_stack_map *map,
                   const struct hf_pr_request *request, int fd, struct hf_scsi_result *result,
                   struct hf_error *note)
{
        int action = hf_mpath_in_action(request->cdb);
        hf_cleanup_free union hf_mpath_in *answer = NULL;
        int code;

        if (action < 0) {
                hf_scsi_refuse(result, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_FIELD_IN_CDB);
                return;
        }
        answer = calloc(1, sizeof(*answer));
        if (!answer) {
                hf_scsi_status(result, HF_SCSI_BUSY);
                return;
        }
        code = mpath->lib.in(fd, action, answer, 0, 0);
        conclude(fd, map, code, result, note);
        if (code == HF_MPATH_SUCCESS)
                result->size = hf_mpath_encode(action, answer, request->data,
                                               hf_pr_length(request->cdb));
}

static void run_out(const struct mpath *mpath, const struct hf_stack_map *map,
                    const struct hf_pr_request *request, int fd, struct hf_scsi_result *result,
                    struct hf_error *note)
{
        hf_cleanup_free struct hf_mpath_command *command = malloc(sizeof(*command));
        enum hf_pr_fault fault;

        if (!command) {
                hf_scsi_status(result, HF_SCSI_BUSY);
                return;
        }
        fault = hf_mpath_decode(request->cdb, request->data, hf_pr_length(request->cdb), command);
        if (fault != HF_PR_FAULT_NONE) {
                hf_scsi_refuse(result, HF_SENSE_ILLEGAL_REQUEST, (uint16_t)fault);
                return;
        }
        conclude(fd, map,
                 mpath->lib.out(fd, command->action, command->scope, command->type, &command->out,
                                0, 0),
                 result, note);
}

/* On a descriptor of the map: what was passed may be that of a volume on top of it. */
static void run(const struct mpath *mpath, const struct hf_stack_map *map,
                const struct hf_pr_request *request, struct hf_scsi_result *result,
                struct hf_error *note)
{
        hf_cleanup_fd int own = -1;
        int fd = request->fd;

        if (map->device != request->st.st_rdev) {
                own = hf_dm_open(map->device, note);
                if (own < 0) {
                        hf_scsi_refuse(result, HF_SENSE_ABORTED_COMMAND,
                                       HF_ASC_LUN_COMMUNICATION_FAILURE);
                        return;
                }
                fd = own;
        }
        if (request->cdb[0] == HF_PR_IN)
                run_in(mpath, map, request, fd, result, note);
        else
                run_out(mpath, map, request, fd, result, note);
}

static int execute(void *state, const struct hf_pr_request *request, struct hf_scsi_result *result,
                   struct hf_error *note)
{
        struct mpath *mpath = state;
        struct hf_stack_map map;
        struct hf_error err;
        int rc;

        rc = hf_stack_find(&hf_dm_ops, &mpath->dm, request->st.st_rdev, &map, &err);
        if (rc == 0)
                return 0;
        if (rc < 0) {
                hf_error_prefix(&err, "no reservations on the mapped device %u:%u",
                                major(request->st.st_rdev), minor(request->st.st_rdev));
                return refuse(mpath, &err, result, note);
        }
        rc = get_ready(mpath, &map, &err);
        if (rc < 0)
                return refuse(mpath, &err, result, note);
        mpath->told = false;
        run(mpath, &map, request, result, note);
        return 1;
}

const struct hf_pr_backend hf_pr_mpath = {
        .name = "mpath",
        .stage = HF_PR_STAGE_MAPPER,
        .sorts = true,
        .start = start,
        .execute = execute,
};
