/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scsi/sg.h"

#include "base/cleanup.h"

#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>

/*
 * Milliseconds that a device has for one command: what the kernel's disk driver gives to any
 * other. A preemption that aborts the commands of others may take some seconds.
 */
#define TIMEOUT_MS 30000

/* What the SCSI layer says went wrong on the way to a device (the kernel's DID_ values). */
enum host_status {
        HOST_NO_CONNECT = 0x01,
        HOST_BUSY = 0x02,
        HOST_TIME_OUT = 0x03,
        HOST_BAD_RESPONSE = 0x04,
        HOST_ABORTED = 0x05,
        HOST_RESET = 0x08,
        HOST_TRANSPORT_DISRUPTED = 0x0e,
        HOST_TARGET_FAILURE = 0x10,
        HOST_RESERVATION_ERROR = 0x11,
        HOST_ALLOCATION_FAILURE = 0x12,
        HOST_MEDIUM_ERROR = 0x13,
};

/* And its driver: no more than these two are left in use. */
#define DRIVER_TIMEOUT 0x06
#define DRIVER_SENSE   0x08

/* A number as it comes, and what a guest is told for it. */
struct meaning {
        int number;
        enum hf_scsi_status status;
        enum hf_sense_key key; /* with code, where status is a check condition */
        uint16_t code;
};

#define REFUSED(what, sense_key, sense_code)                                                       \
        {                                                                                          \
                .number = (what), .status = HF_SCSI_CHECK_CONDITION, .key = (sense_key),           \
                .code = (sense_code)                                                               \
        }

/* Codes that nobody else needs. */
#define ASC_LUN_NOT_RESPONDING 0x0500
#define ASC_SPACE_ALLOCATION   0x2707
#define ASC_RESET              0x2900
#define ASC_COMMAND_TIMEOUT    0x2e02
#define ASC_COMMAND_ABORTED    0x2f02
#define ASC_NO_MEDIUM          0x3a00
#define KEY_DATA_PROTECT       ((enum hf_sense_key)0x7)

static const struct meaning errors[] = {
        {EDOM, HF_SCSI_TASK_SET_FULL, HF_SENSE_NONE, 0},
        {EBADE, HF_SCSI_RESERVATION_CONFLICT, HF_SENSE_NONE, 0},
        REFUSED(ENODATA, HF_SENSE_MEDIUM_ERROR, HF_ASC_UNRECOVERED_READ_ERROR),
        REFUSED(EREMOTEIO, HF_SENSE_HARDWARE_ERROR, HF_ASC_INTERNAL_TARGET_FAILURE),
        REFUSED(ENOMEM, HF_SENSE_HARDWARE_ERROR, HF_ASC_INTERNAL_TARGET_FAILURE),
        REFUSED(ENOMEDIUM, HF_SENSE_NOT_READY, ASC_NO_MEDIUM),
        REFUSED(EINVAL, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_FIELD_IN_CDB),
        REFUSED(ENOSPC, KEY_DATA_PROTECT, ASC_SPACE_ALLOCATION),
};

static const struct meaning host_statuses[] = {
        {HOST_BUSY, HF_SCSI_BUSY, HF_SENSE_NONE, 0},
        {HOST_RESERVATION_ERROR, HF_SCSI_RESERVATION_CONFLICT, HF_SENSE_NONE, 0},
        REFUSED(HOST_NO_CONNECT, HF_SENSE_ABORTED_COMMAND, ASC_LUN_NOT_RESPONDING),
        REFUSED(HOST_TIME_OUT, HF_SENSE_ABORTED_COMMAND, ASC_COMMAND_TIMEOUT),
        REFUSED(HOST_BAD_RESPONSE, HF_SENSE_ABORTED_COMMAND, HF_ASC_LUN_COMMUNICATION_FAILURE),
        REFUSED(HOST_ABORTED, HF_SENSE_ABORTED_COMMAND, ASC_COMMAND_ABORTED),
        REFUSED(HOST_RESET, HF_SENSE_UNIT_ATTENTION, ASC_RESET),
        REFUSED(HOST_TRANSPORT_DISRUPTED, HF_SENSE_ABORTED_COMMAND, HF_ASC_POWER_ON_RESET),
        REFUSED(HOST_TARGET_FAILURE, HF_SENSE_HARDWARE_ERROR, HF_ASC_INTERNAL_TARGET_FAILURE),
        REFUSED(HOST_ALLOCATION_FAILURE, KEY_DATA_PROTECT, ASC_SPACE_ALLOCATION),
        REFUSED(HOST_MEDIUM_ERROR, HF_SENSE_MEDIUM_ERROR, HF_ASC_UNRECOVERED_READ_ERROR),
};

/* What a number means; of one that the table does not know, what `otherwise` does. */
static void explain(const struct meaning *table, size_t n, int number,
                    const struct meaning *otherwise, struct hf_scsi_result *result)
{
        const struct meaning *found = otherwise;

        for (size_t i = 0; i < n; i++)
                if (table[i].number == number)
                        found = &table[i];
        if (found->status == HF_SCSI_CHECK_CONDITION)
                hf_scsi_refuse(result, found->key, found->code);
        else
                hf_scsi_status(result, found->status);
}

static void explain_error(int number, struct hf_scsi_result *result)
{
        static const struct meaning otherwise = REFUSED(0, HF_SENSE_ABORTED_COMMAND,
                                                        HF_ASC_IO_PROCESS_TERMINATED);

        explain(errors, HF_ARRAY_LEN(errors), number, &otherwise, result);
}

/* Any fault on the way that has no name here is none that the command survived. */
static void explain_host(int number, struct hf_scsi_result *result)
{
        static const struct meaning otherwise = REFUSED(0, HF_SENSE_ABORTED_COMMAND,
                                                        HF_ASC_POWER_ON_RESET);

        explain(host_statuses, HF_ARRAY_LEN(host_statuses), number, &otherwise, result);
}

/* The device's own answer, with the sense that it gave. */
static void take_status(const struct sg_io_hdr *io, const uint8_t sense[static HF_SENSE_SIZE],
                        struct hf_scsi_result *result)
{
        size_t n = io->sb_len_wr < HF_SENSE_SIZE ? io->sb_len_wr : HF_SENSE_SIZE;
        bool check = io->status == HF_SCSI_CHECK_CONDITION ||
                     (!io->status && (io->driver_status & DRIVER_SENSE));

        hf_scsi_status(result, check ? HF_SCSI_CHECK_CONDITION : io->status);
        if (check)
                memcpy(result->sense, sense, n);
}

/*
 * One command of up to 16 bytes. direction: SG_DXFER_*. Returns how many of the n bytes of data
 * were moved; what came of it is in *result, without a size.
 */
static size_t run(int fd, const uint8_t *cdb, size_t cdb_size, int direction, void *data, size_t n,
                  struct hf_scsi_result *result)
{
        uint8_t sense[HF_SENSE_SIZE] = {0};
        struct sg_io_hdr io = {
                .interface_id = 'S',
                .dxfer_direction = direction,
                .cmd_len = (unsigned char)cdb_size,
                .cmdp = (unsigned char *)(uintptr_t)cdb,
                .mx_sb_len = sizeof(sense),
                .sbp = sense,
                .dxferp = data,
                .dxfer_len = (unsigned int)n,
                .timeout = TIMEOUT_MS,
        };

        if (ioctl(fd, SG_IO, &io) < 0)
                explain_error(errno, result);
        else if (io.host_status)
                explain_host(io.host_status, result);
        else if (io.driver_status & DRIVER_TIMEOUT)
                hf_scsi_status(result, HF_SCSI_BUSY);
        else
                take_status(&io, sense, result);
        return io.resid >= 0 && (size_t)io.resid <= n ? n - (size_t)io.resid : n;
}

void hf_sg_pr(int fd, const uint8_t cdb[static HF_PR_CDB_SIZE], void *data,
              struct hf_scsi_result *result)
{
        size_t length = hf_pr_length(cdb), moved;

        if (cdb[0] == HF_PR_OUT) {
                (void)run(fd, cdb, HF_PR_CDB_SIZE, SG_DXFER_TO_DEV, data, length, result);
                return;
        }
        /* Some devices do not say that they gave less, and it goes to whoever asked. */
        memset(data, 0, HF_PR_DATA_MAX);
        moved = run(fd, cdb, HF_PR_CDB_SIZE, SG_DXFER_FROM_DEV, data, HF_PR_DATA_MAX, result);
        if (result->status == HF_SCSI_GOOD)
                result->size = moved < length ? moved : length;
}

void hf_sg_test_unit_ready(int fd, struct hf_scsi_result *result)
{
        const uint8_t cdb[6] = {0};

        (void)run(fd, cdb, sizeof(cdb), SG_DXFER_NONE, NULL, 0, result);
}
