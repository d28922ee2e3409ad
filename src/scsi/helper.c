/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scsi/helper.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* Where the frame has its parts. */
#define STATUS_AT 0
#define SIZE_AT   4
#define SENSE_AT  8

static void put32(uint8_t *at, uint32_t value)
{
        uint32_t wire = htobe32(value);

        memcpy(at, &wire, sizeof(wire));
}

static uint32_t get32(const uint8_t *at)
{
        uint32_t wire;

        memcpy(&wire, at, sizeof(wire));
        return be32toh(wire);
}

void hf_helper_answer_encode(const struct hf_scsi_result *result,
                             uint8_t frame[static HF_HELPER_ANSWER_SIZE])
{
        put32(frame + STATUS_AT, result->status);
        put32(frame + SIZE_AT, (uint32_t)result->size);
        memcpy(frame + SENSE_AT, result->sense, HF_SENSE_SIZE);
}

int hf_helper_answer_decode(const uint8_t frame[static HF_HELPER_ANSWER_SIZE], size_t room,
                            struct hf_scsi_result *ret)
{
        uint32_t status = get32(frame + STATUS_AT), size = get32(frame + SIZE_AT);

        if (status > UINT8_MAX || size > room || (size && status != HF_SCSI_GOOD))
                return -EBADMSG;
        hf_scsi_status(ret, (enum hf_scsi_status)status);
        ret->size = size;
        if (status == HF_SCSI_CHECK_CONDITION)
                memcpy(ret->sense, frame + SENSE_AT, HF_SENSE_SIZE);
        return 0;
}
