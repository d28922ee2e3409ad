/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scsi/result.h"

#include <errno.h>
#include <string.h>

/* Fixed format (SPC-4, 4.5.3): 18 bytes, of which the additional length counts those behind it. */
#define FIXED           0x70
#define FIXED_DEFERRED  0x71
#define DESCRIPTOR      0x72
#define DESCRIPTOR_LATE 0x73
#define FIXED_SIZE      18

void hf_scsi_refuse(struct hf_scsi_result *result, enum hf_sense_key key, uint16_t code)
{
        hf_scsi_status(result, HF_SCSI_CHECK_CONDITION);
        result->sense[0] = FIXED;
        result->sense[2] = (uint8_t)key;
        result->sense[7] = FIXED_SIZE - 8;
        result->sense[12] = (uint8_t)(code >> 8);
        result->sense[13] = (uint8_t)code;
}

void hf_scsi_status(struct hf_scsi_result *result, enum hf_scsi_status status)
{
        memset(result, 0, sizeof(*result));
        result->status = (uint8_t)status;
}

int hf_sense_decode(const uint8_t sense[static HF_SENSE_SIZE], unsigned int *ret_key,
                    unsigned int *ret_code)
{
        switch (sense[0] & 0x7f) {
        case FIXED:
        case FIXED_DEFERRED:
                *ret_key = sense[2] & 0x0f;
                *ret_code = (unsigned int)sense[12] << 8 | sense[13];
                return 0;
        case DESCRIPTOR:
        case DESCRIPTOR_LATE:
                *ret_key = sense[1] & 0x0f;
                *ret_code = (unsigned int)sense[2] << 8 | sense[3];
                return 0;
        default:
                return -EBADMSG;
        }
}
