/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What came of a command, in words for people. */
#include "base/cleanup.h"
#include "scsi/result.h"

struct word {
        unsigned int number;
        const char *text;
};

static const struct word statuses[] = {
        {HF_SCSI_GOOD, "good"},
        {HF_SCSI_CHECK_CONDITION, "check condition"},
        {HF_SCSI_BUSY, "busy"},
        {HF_SCSI_RESERVATION_CONFLICT, "reservation conflict"},
        {HF_SCSI_TASK_SET_FULL, "task set full"},
        {HF_SCSI_TASK_ABORTED, "task aborted"},
};

static const struct word keys[] = {
        {HF_SENSE_NONE, "no sense"},
        {0x1, "recovered error"},
        {HF_SENSE_NOT_READY, "not ready"},
        {HF_SENSE_MEDIUM_ERROR, "medium error"},
        {HF_SENSE_HARDWARE_ERROR, "hardware error"},
        {HF_SENSE_ILLEGAL_REQUEST, "illegal request"},
        {HF_SENSE_UNIT_ATTENTION, "unit attention"},
        {0x7, "data protect"},
        {HF_SENSE_ABORTED_COMMAND, "aborted command"},
};

static const struct word codes[] = {
        {0x0000, "no additional sense information"},
        {HF_ASC_IO_PROCESS_TERMINATED, "I/O process terminated"},
        {HF_ASC_NOT_READY_COMMUNICATION, "logical unit not ready, cause not reportable"},
        {0x0500, "logical unit does not respond to selection"},
        {HF_ASC_LUN_COMMUNICATION_FAILURE, "logical unit communication failure"},
        {HF_ASC_UNRECOVERED_READ_ERROR, "unrecovered read error"},
        {HF_ASC_PARAMETER_LIST_LENGTH, "parameter list length error"},
        {HF_ASC_INVALID_OPCODE, "invalid command operation code"},
        {HF_ASC_INVALID_FIELD_IN_CDB, "invalid field in CDB"},
        {0x2500, "logical unit not supported"},
        {HF_ASC_INVALID_FIELD_IN_LIST, "invalid field in parameter list"},
        {HF_ASC_INVALID_RELEASE, "invalid release of persistent reservation"},
        {0x2707, "space allocation failed"},
        {0x2900, "power on, reset or bus device reset occurred"},
        {HF_ASC_SCSI_BUS_RESET, "SCSI bus reset occurred"},
        {HF_ASC_POWER_ON_RESET, "I_T nexus loss occurred"},
        {HF_ASC_RESERVATIONS_PREEMPTED, "reservations preempted"},
        {HF_ASC_RESERVATIONS_RELEASED, "reservations released"},
        {HF_ASC_REGISTRATIONS_PREEMPTED, "registrations preempted"},
        {0x2e02, "command timeout during processing"},
        {0x2f00, "commands cleared by another initiator"},
        {0x2f02, "commands cleared by device server"},
        {0x3a00, "medium not present"},
        {HF_ASC_INTERNAL_TARGET_FAILURE, "internal target failure"},
        {HF_ASC_INSUFFICIENT_REGISTRATION, "insufficient registration resources"},
};

static const char *word_of(const struct word *words, size_t n, unsigned int number)
{
        for (size_t i = 0; i < n; i++)
                if (words[i].number == number)
                        return words[i].text;
        return NULL;
}

static void text_of_sense(unsigned int key, unsigned int code, char ret[static HF_SCSI_TEXT_MAX])
{
        const char *name = word_of(keys, HF_ARRAY_LEN(keys), key);
        const char *why = word_of(codes, HF_ARRAY_LEN(codes), code);

        (void)snprintf(ret, HF_SCSI_TEXT_MAX, "%s%s%s (%x/%02x/%02x)", name ? name : "sense",
                       why ? ": " : "", why ? why : "", key, code >> 8, code & 0xff);
}

void hf_scsi_text(const struct hf_scsi_result *result, char ret[static HF_SCSI_TEXT_MAX])
{
        const char *name = word_of(statuses, HF_ARRAY_LEN(statuses), result->status);
        unsigned int key, code;

        if (result->status == HF_SCSI_CHECK_CONDITION &&
            hf_sense_decode(result->sense, &key, &code) >= 0)
                text_of_sense(key, code, ret);
        else if (name)
                (void)snprintf(ret, HF_SCSI_TEXT_MAX, "%s", name);
        else
                (void)snprintf(ret, HF_SCSI_TEXT_MAX, "status %02x", result->status);
}
