/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/pr.h"

#include "base/cleanup.h"

#include <errno.h>

/*
 * What a device's answer means to a caller. The text is for people and has the device's own
 * reason; the number is what a program can act on.
 */

/* A device has at most a handful of news for one initiator; more is a device that never ends. */
#define ATTENTIONS_MAX 8

static const struct meaning {
        unsigned int key, code;
        int number;
        int public_code;
        const char *hint;
} meanings[] = {
        {HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_OPCODE, EOPNOTSUPP, HOLDFAST_E_UNSUPPORTED,
         ": the device has no such command, its descriptor is not open for writing, or the "
         "helper's rules do not allow it"},
        {HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_FIELD_IN_CDB, EINVAL, HOLDFAST_E_INVALID, ""},
        {HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_FIELD_IN_LIST, EINVAL, HOLDFAST_E_INVALID, ""},
        {HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_RELEASE, EINVAL, HOLDFAST_E_INVALID,
         ": it is held with another type"},
        {HF_SENSE_ILLEGAL_REQUEST, HF_ASC_PARAMETER_LIST_LENGTH, EINVAL, HOLDFAST_E_INVALID, ""},
        {HF_SENSE_ABORTED_COMMAND, HF_ASC_IO_PROCESS_TERMINATED, EIO, HOLDFAST_E_SYSTEM,
         ": this is no device for such commands, or whoever gave it has not the right "
         "(CAP_SYS_RAWIO)"},
};

static int explain_sense(const struct hf_scsi_result *result, const char *text,
                         struct holdfast_error *err)
{
        unsigned int key, code;

        if (hf_sense_decode(result->sense, &key, &code) == 0)
                for (size_t i = 0; i < HF_ARRAY_LEN(meanings); i++)
                        if (meanings[i].key == key && meanings[i].code == code)
                                return hf_fail(err, meanings[i].number, meanings[i].public_code,
                                               "%s%s", text, meanings[i].hint);
        return hf_fail(err, EIO, HOLDFAST_E_SYSTEM, "%s", text);
}

static int explain(const struct hf_scsi_result *result, struct holdfast_error *err)
{
        char text[HF_SCSI_TEXT_MAX];

        hf_scsi_text(result, text);
        switch (result->status) {
        case HF_SCSI_GOOD:
                return 0;
        case HF_SCSI_RESERVATION_CONFLICT:
                return hf_fail(err, EBUSY, HOLDFAST_E_BUSY, "%s", text);
        case HF_SCSI_BUSY:
        case HF_SCSI_TASK_SET_FULL:
                return hf_fail(err, EAGAIN, HOLDFAST_E_SYSTEM, "the device is busy: %s", text);
        case HF_SCSI_CHECK_CONDITION:
                return explain_sense(result, text, err);
        default:
                return hf_fail(err, EIO, HOLDFAST_E_SYSTEM, "%s", text);
        }
}

static bool is_attention(const struct hf_scsi_result *result)
{
        unsigned int key, code;

        return result->status == HF_SCSI_CHECK_CONDITION &&
               hf_sense_decode(result->sense, &key, &code) == 0 && key == HF_SENSE_UNIT_ATTENTION;
}

int hf_pr_ask(struct holdfast_pr *pr, int fd, const uint8_t cdb[static HF_PR_CDB_SIZE], void *data,
              struct hf_scsi_result *ret, struct holdfast_error *err)
{
        for (int i = 0; i < ATTENTIONS_MAX; i++) {
                int r = hf_pr_run(pr, fd, cdb, data, ret, err);

                if (r < 0)
                        return r;
                if (!is_attention(ret))
                        break;
        }
        return explain(ret, err);
}
