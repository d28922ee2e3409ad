/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What came of a SCSI command: the device's status, and sense, which says why.
 */

#include <stddef.h>
#include <stdint.h>

enum hf_scsi_status {
        HF_SCSI_GOOD = 0x00,
        HF_SCSI_CHECK_CONDITION = 0x02, /* and only then there is sense */
        HF_SCSI_BUSY = 0x08,
        HF_SCSI_RESERVATION_CONFLICT = 0x18,
        HF_SCSI_TASK_SET_FULL = 0x28,
        HF_SCSI_TASK_ABORTED = 0x40,
};

enum hf_sense_key {
        HF_SENSE_NONE = 0x0,
        HF_SENSE_NOT_READY = 0x2,
        HF_SENSE_MEDIUM_ERROR = 0x3,
        HF_SENSE_HARDWARE_ERROR = 0x4,
        HF_SENSE_ILLEGAL_REQUEST = 0x5,
        HF_SENSE_UNIT_ATTENTION = 0x6,
        HF_SENSE_ABORTED_COMMAND = 0xb,
};

/* Additional sense code and its qualifier in one number, as the standard's lists have them. */
enum hf_sense_code {
        HF_ASC_NOT_READY_COMMUNICATION = 0x0400,
        HF_ASC_IO_PROCESS_TERMINATED = 0x0006,
        HF_ASC_LUN_COMMUNICATION_FAILURE = 0x0800,
        HF_ASC_UNRECOVERED_READ_ERROR = 0x1100,
        HF_ASC_PARAMETER_LIST_LENGTH = 0x1a00,
        HF_ASC_INVALID_OPCODE = 0x2000,
        HF_ASC_INVALID_FIELD_IN_CDB = 0x2400,
        HF_ASC_INVALID_FIELD_IN_LIST = 0x2600,
        HF_ASC_INVALID_RELEASE = 0x2604,
        HF_ASC_SCSI_BUS_RESET = 0x2902,
        HF_ASC_POWER_ON_RESET = 0x2907,
        HF_ASC_RESERVATIONS_PREEMPTED = 0x2a03,
        HF_ASC_RESERVATIONS_RELEASED = 0x2a04,
        HF_ASC_REGISTRATIONS_PREEMPTED = 0x2a05,
        HF_ASC_INTERNAL_TARGET_FAILURE = 0x4400,
        HF_ASC_INSUFFICIENT_REGISTRATION = 0x5504,
};

#define HF_SENSE_SIZE 96

struct hf_scsi_result {
        uint8_t status; /* enum hf_scsi_status, or another that the device gave */
        size_t size;    /* bytes of data that came; 0 unless it is an IN command with status 0 */
        uint8_t sense[HF_SENSE_SIZE]; /* all of it defined, zero where there is none */
};

/* Makes *result a CHECK CONDITION with sense in fixed format, 18 bytes; code as above. */
void hf_scsi_refuse(struct hf_scsi_result *result, enum hf_sense_key key, uint16_t code);

/* Makes *result a status alone: no data, no sense. */
void hf_scsi_status(struct hf_scsi_result *result, enum hf_scsi_status status);

/*
 * Reads key and code out of sense in fixed (70, 71) or descriptor (72, 73) format. Returns 0, or
 * -EBADMSG if that is neither.
 */
int hf_sense_decode(const uint8_t sense[static HF_SENSE_SIZE], unsigned int *ret_key,
                    unsigned int *ret_code);

/* Room for the longest text about a result. */
#define HF_SCSI_TEXT_MAX 128

/*
 * For people: "good", "reservation conflict", "illegal request: invalid field in CDB (5/24/00)".
 */
void hf_scsi_text(const struct hf_scsi_result *result, char ret[static HF_SCSI_TEXT_MAX]);
