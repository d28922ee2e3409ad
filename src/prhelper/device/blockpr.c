/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/device/blockpr.h"

#include "prhelper/device/nvme-translate.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/pr.h>
#include <sys/ioctl.h>

/* Of kernels that are newer than the headers here may be. */
struct read_keys {
        uint32_t generation;
        uint32_t n; /* in: room, out: how many there are */
        uint64_t keys;
};

struct read_reservation {
        uint64_t key;
        uint32_t generation;
        uint32_t type;
};

#define READ_KEYS        _IOWR('p', 206, struct read_keys)
#define READ_RESERVATION _IOR('p', 207, struct read_reservation)

/* Statuses above those of SCSI are paths that failed: another attempt may find a better one. */
#define PATH_FAILED 0x10000

/* Kernels before 6.5 return the driver's own number, of which the lowest byte says it. */
#define STATUS_MASK   0xff
#define NVME_CONFLICT (HF_NVME_CONFLICT & STATUS_MASK)

static void refuse(struct hf_scsi_result *result, enum hf_sense_code code)
{
        hf_scsi_refuse(result, HF_SENSE_ILLEGAL_REQUEST, (uint16_t)code);
}

static void result_of_error(int error, struct hf_scsi_result *result)
{
        switch (error) {
        case ENOTTY:
        case EOPNOTSUPP:
        case EPERM:
        case EACCES:
                refuse(result, HF_ASC_INVALID_OPCODE);
                break;
        case EINVAL:
                refuse(result, HF_ASC_INVALID_FIELD_IN_CDB);
                break;
        default:
                hf_scsi_refuse(result, HF_SENSE_ABORTED_COMMAND, HF_ASC_LUN_COMMUNICATION_FAILURE);
                break;
        }
}

void hf_blockpr_result(int returned, struct hf_scsi_result *result)
{
        if (returned < 0) {
                result_of_error(-returned, result);
                return;
        }
        if (returned >= PATH_FAILED) {
                hf_scsi_status(result, HF_SCSI_BUSY);
                return;
        }
        switch (returned & STATUS_MASK) {
        case 0:
                hf_scsi_status(result, HF_SCSI_GOOD);
                break;
        case HF_SCSI_RESERVATION_CONFLICT:
        case NVME_CONFLICT:
                hf_scsi_status(result, HF_SCSI_RESERVATION_CONFLICT);
                break;
        case HF_NVME_INVALID_OPCODE:
                refuse(result, HF_ASC_INVALID_OPCODE);
                break;
        case HF_SCSI_CHECK_CONDITION: /* and NVMe's "invalid field"; the sense is lost */
                refuse(result, HF_ASC_INVALID_FIELD_IN_CDB);
                break;
        default:
                hf_scsi_refuse(result, HF_SENSE_HARDWARE_ERROR, HF_ASC_INTERNAL_TARGET_FAILURE);
                break;
        }
}

/* Returns 0, or what the ioctl returned. */
static int read_keys(const struct hf_ioctls *kernel, int fd, uint64_t *keys, struct read_keys *ret)
{
        *ret = (struct read_keys){.n = HF_BLOCKPR_KEYS_MAX, .keys = (uintptr_t)keys};
        return kernel->call(kernel->context, fd, READ_KEYS, ret);
}

/* Older kernels have no such call: each driver has its own way to say so. */
static void result_of_reading(int returned, struct hf_scsi_result *result)
{
        hf_blockpr_result(returned == -EINVAL ? -ENOTTY : returned, result);
}

static size_t count(const uint64_t *keys, uint32_t n, uint64_t key)
{
        size_t found = 0;

        for (uint32_t i = 0; i < n && i < HF_BLOCKPR_KEYS_MAX; i++)
                found += keys[i] == key;
        return found;
}

static void unregister(const struct hf_ioctls *kernel, int fd, const struct hf_pr_out *out,
                       struct hf_scsi_result *result)
{
        struct pr_registration registration = {.old_key = out->key};
        uint64_t keys[HF_BLOCKPR_KEYS_MAX];
        struct read_keys before, after;
        size_t had;
        int rc;

        rc = read_keys(kernel, fd, keys, &before);
        if (rc != 0) {
                result_of_reading(rc, result);
                return;
        }
        had = count(keys, before.n, out->key);
        rc = kernel->call(kernel->context, fd, IOC_PR_REGISTER, &registration);
        hf_blockpr_result(rc, result);
        if (rc != 0)
                return;
        rc = read_keys(kernel, fd, keys, &after);
        if (rc != 0 || count(keys, after.n, out->key) >= had || count(keys, after.n, 0) > 0)
                hf_scsi_refuse(result, HF_SENSE_HARDWARE_ERROR, HF_ASC_INTERNAL_TARGET_FAILURE);
}

static void enrol(const struct hf_ioctls *kernel, int fd, const struct hf_pr_out *out,
                  struct hf_scsi_result *result)
{
        bool ignore = out->action == HF_PR_REGISTER_AND_IGNORE;
        struct pr_registration registration = {
                .old_key = ignore ? 0 : out->key,
                .new_key = out->new_key,
                .flags = ignore ? PR_FL_IGNORE_KEY : 0,
        };

        if (out->new_key != 0)
                hf_blockpr_result(kernel->call(kernel->context, fd, IOC_PR_REGISTER, &registration),
                                  result);
        else if (!ignore && out->key != 0)
                unregister(kernel, fd, out, result);
        else
                refuse(result, HF_ASC_INVALID_OPCODE);
}

static void reserve(const struct hf_ioctls *kernel, int fd, unsigned long request,
                    const struct hf_pr_out *out, struct hf_scsi_result *result)
{
        struct pr_reservation reservation = {.key = out->key, .type = hf_nvme_type(out->type)};

        hf_blockpr_result(kernel->call(kernel->context, fd, request, &reservation), result);
}

static void preempt(const struct hf_ioctls *kernel, int fd, unsigned long request,
                    const struct hf_pr_out *out, struct hf_scsi_result *result)
{
        /* "Old" is the key of who asks: the drivers hand it on as such. */
        struct pr_preempt preemption = {
                .old_key = out->key,
                .new_key = out->new_key,
                .type = hf_nvme_type(out->type),
        };

        hf_blockpr_result(kernel->call(kernel->context, fd, request, &preemption), result);
}

void hf_blockpr_out(const struct hf_ioctls *kernel, int fd, const struct hf_pr_out *out, size_t n,
                    struct hf_scsi_result *result)
{
        struct pr_clear clear = {.key = out->key};
        struct hf_nvme_plan plan;
        enum hf_pr_fault fault = hf_nvme_plan(out, n, &plan);

        /* Actions, types and flags that NVMe has not, this has not either. */
        if (fault != HF_PR_FAULT_NONE) {
                refuse(result, (enum hf_sense_code)fault);
                return;
        }
        switch (out->action) {
        case HF_PR_RESERVE:
                reserve(kernel, fd, IOC_PR_RESERVE, out, result);
                break;
        case HF_PR_RELEASE:
                reserve(kernel, fd, IOC_PR_RELEASE, out, result);
                break;
        case HF_PR_PREEMPT:
                preempt(kernel, fd, IOC_PR_PREEMPT, out, result);
                break;
        case HF_PR_PREEMPT_AND_ABORT:
                preempt(kernel, fd, IOC_PR_PREEMPT_ABORT, out, result);
                break;
        case HF_PR_CLEAR:
                hf_blockpr_result(kernel->call(kernel->context, fd, IOC_PR_CLEAR, &clear), result);
                break;
        default:
                enrol(kernel, fd, out, result);
                break;
        }
}

static void keys_in(const struct hf_ioctls *kernel, int fd, uint8_t *data, size_t room,
                    struct hf_scsi_result *result)
{
        uint64_t keys[HF_BLOCKPR_KEYS_MAX];
        struct read_keys answer;
        int rc = read_keys(kernel, fd, keys, &answer);

        result_of_reading(rc, result);
        if (rc != 0)
                return;
        /* More than were read: not one of them may be left out without a word. */
        if (answer.n > HF_BLOCKPR_KEYS_MAX)
                hf_scsi_refuse(result, HF_SENSE_HARDWARE_ERROR, HF_ASC_INTERNAL_TARGET_FAILURE);
        else
                result->size = hf_pr_keys_encode(answer.generation, keys, answer.n, data, room);
}

static void reservation_in(const struct hf_ioctls *kernel, int fd, uint8_t *data, size_t room,
                           struct hf_scsi_result *result)
{
        struct read_reservation answer = {};
        struct hf_pr_reservation reservation;
        int rc = kernel->call(kernel->context, fd, READ_RESERVATION, &answer);

        result_of_reading(rc, result);
        if (rc != 0)
                return;
        reservation = (struct hf_pr_reservation){
                .generation = answer.generation,
                .type = (uint8_t)hf_nvme_type_to_scsi(answer.type),
        };
        if (!hf_pr_type_is_all(reservation.type))
                reservation.key = answer.key;
        result->size = hf_pr_reservation_encode(&reservation, data, room);
}

void hf_blockpr_in(const struct hf_ioctls *kernel, int fd, const uint8_t cdb[static HF_PR_CDB_SIZE],
                   uint8_t *data, struct hf_scsi_result *result)
{
        size_t room = hf_pr_length(cdb);

        switch (hf_pr_in_action(cdb)) {
        case HF_PR_READ_KEYS:
                keys_in(kernel, fd, data, room, result);
                break;
        case HF_PR_READ_RESERVATION:
                reservation_in(kernel, fd, data, room, result);
                break;
        default:
                refuse(result, HF_ASC_INVALID_OPCODE);
                break;
        }
}
