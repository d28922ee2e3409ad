/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/device/nvme-translate.h"

#include "base/cleanup.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Command dword 10. */
#define REGISTER_NEW     0
#define REGISTER_REMOVE  1
#define REGISTER_REPLACE 2
#define ACQUIRE          0
#define PREEMPT          1
#define PREEMPT_ABORT    2
#define RELEASE          0
#define CLEAR            1
#define IGNORE_KEY       (1U << 3)
#define TYPE_SHIFT       8
#define PERSIST_NO       (2U << 30)
#define PERSIST_YES      (3U << 30)

/* Report: a header, then one entry for each controller of a registered host. */
#define PLAIN_SIZE      24 /* of header and entry */
#define EXTENDED_SIZE   64
#define REPORT_TYPE     4
#define REPORT_COUNT    5
#define REPORT_PERSISTS 9
#define ENTRY_STATUS    2
#define ENTRY_HOLDER    0x01

/* Reservation capabilities of a namespace: bit N is type N. */
#define RESCAP_PERSISTS 0x01

/* NVMe's types are these, from 1. */
static const uint8_t types[] = {
        HF_PR_NONE,
        HF_PR_WRITE_EXCLUSIVE,
        HF_PR_EXCLUSIVE_ACCESS,
        HF_PR_WRITE_EXCLUSIVE_REGISTRANTS,
        HF_PR_EXCLUSIVE_ACCESS_REGISTRANTS,
        HF_PR_WRITE_EXCLUSIVE_ALL,
        HF_PR_EXCLUSIVE_ACCESS_ALL,
};

unsigned int hf_nvme_type(unsigned int scsi_type)
{
        for (unsigned int i = 1; i < HF_ARRAY_LEN(types); i++) {
                if (types[i] == scsi_type)
                        return i;
        }
        return 0;
}

unsigned int hf_nvme_type_to_scsi(unsigned int nvme_type)
{
        return nvme_type < HF_ARRAY_LEN(types) ? types[nvme_type] : HF_PR_NONE;
}

static uint16_t get16(const uint8_t *at)
{
        return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get32(const uint8_t *at)
{
        uint32_t value;

        memcpy(&value, at, sizeof(value));
        return le32toh(value);
}

static uint64_t get64(const uint8_t *at)
{
        uint64_t value;

        memcpy(&value, at, sizeof(value));
        return le64toh(value);
}

static struct hf_nvme_command command(enum hf_nvme_opcode opcode, uint32_t cdw10, uint64_t first,
                                      uint64_t second)
{
        struct hf_nvme_command made = {.opcode = (uint8_t)opcode, .cdw10 = cdw10};

        first = htole64(first);
        second = htole64(second);
        memcpy(made.keys, &first, sizeof(first));
        memcpy(made.keys + sizeof(first), &second, sizeof(second));
        made.size = opcode == HF_NVME_RELEASE ? sizeof(first) : HF_NVME_KEYS_SIZE;
        return made;
}

static struct hf_nvme_command enrol(const struct hf_pr_out *out, uint32_t how)
{
        how |= out->aptpl ? PERSIST_YES : PERSIST_NO;
        return command(HF_NVME_REGISTER, how, out->key, out->new_key);
}

static void plan_register(const struct hf_pr_out *out, struct hf_nvme_plan *plan)
{
        if (out->key == 0 && out->new_key == 0)
                plan->probe = true;
        else if (out->new_key == 0)
                plan->first = enrol(out, REGISTER_REMOVE);
        else
                plan->first = enrol(out, out->key ? REGISTER_REPLACE : REGISTER_NEW);
}

/*
 * Replacing whatever is there, and where nothing is, a new registration: controllers differ in
 * whether a replacement may be the first.
 */
static void plan_ignore(const struct hf_pr_out *out, struct hf_nvme_plan *plan)
{
        struct hf_pr_out keyless = *out;

        keyless.key = 0;
        if (out->new_key == 0) {
                plan->absent_is_good = true;
                plan->first = enrol(&keyless, REGISTER_REMOVE | IGNORE_KEY);
                return;
        }
        plan->again = true;
        plan->first = enrol(&keyless, REGISTER_REPLACE | IGNORE_KEY);
        plan->second = enrol(&keyless, REGISTER_NEW | IGNORE_KEY);
}

static bool has_type(unsigned int action)
{
        return action == HF_PR_RESERVE || action == HF_PR_RELEASE || action == HF_PR_PREEMPT ||
               action == HF_PR_PREEMPT_AND_ABORT;
}

static enum hf_pr_fault judge(const struct hf_pr_out *out, size_t n)
{
        if (out->action > HF_PR_REGISTER_AND_IGNORE)
                return HF_PR_FAULT_CDB;
        if (out->spec_i_pt)
                return HF_PR_FAULT_FIELD;
        if (n != HF_PR_LIST_SIZE)
                return HF_PR_FAULT_LENGTH;
        if (has_type(out->action) && (out->scope != 0 || !hf_nvme_type(out->type)))
                return HF_PR_FAULT_CDB;
        return HF_PR_FAULT_NONE;
}

enum hf_pr_fault hf_nvme_plan(const struct hf_pr_out *out, size_t n, struct hf_nvme_plan *ret)
{
        uint32_t type = hf_nvme_type(out->type) << TYPE_SHIFT;
        enum hf_pr_fault fault = judge(out, n);

        if (fault != HF_PR_FAULT_NONE)
                return fault;
        *ret = (struct hf_nvme_plan){};
        switch (out->action) {
        case HF_PR_REGISTER:
                plan_register(out, ret);
                break;
        case HF_PR_REGISTER_AND_IGNORE:
                plan_ignore(out, ret);
                break;
        case HF_PR_RESERVE:
                ret->first = command(HF_NVME_ACQUIRE, ACQUIRE | type, out->key, 0);
                break;
        case HF_PR_PREEMPT:
                ret->first = command(HF_NVME_ACQUIRE, PREEMPT | type, out->key, out->new_key);
                break;
        case HF_PR_PREEMPT_AND_ABORT:
                ret->first = command(HF_NVME_ACQUIRE, PREEMPT_ABORT | type, out->key, out->new_key);
                break;
        case HF_PR_RELEASE:
                ret->first = command(HF_NVME_RELEASE, RELEASE | type, out->key, 0);
                break;
        default:
                ret->first = command(HF_NVME_RELEASE, CLEAR, out->key, 0);
                break;
        }
        return HF_PR_FAULT_NONE;
}

static size_t entries_of(const uint8_t *data)
{
        return get16(data + REPORT_COUNT);
}

int hf_nvme_report_size(const uint8_t data[static 64], bool extended)
{
        size_t each = extended ? EXTENDED_SIZE : PLAIN_SIZE;

        if (entries_of(data) > HF_NVME_REGISTRANTS_MAX)
                return -E2BIG;
        return (int)(each + each * entries_of(data));
}

/* Between the plain header and the extended one nothing is defined, where an entry has a key. */
static bool is_extended(const uint8_t *data)
{
        for (size_t i = PLAIN_SIZE; i < EXTENDED_SIZE; i++) {
                if (data[i])
                        return false;
        }
        return true;
}

static void decode_entry(const uint8_t *entry, bool extended, struct hf_nvme_registrant *ret)
{
        *ret = (struct hf_nvme_registrant){
                .controller = get16(entry),
                .holder = entry[ENTRY_STATUS] & ENTRY_HOLDER,
                .key = get64(entry + (extended ? 8 : 16)),
        };
        memcpy(ret->host, entry + (extended ? 16 : 8), extended ? HF_NVME_HOST_MAX : 8);
}

int hf_nvme_report_decode(const uint8_t *data, size_t n, bool extended, struct hf_nvme_report *ret)
{
        size_t each, count;

        if (n < EXTENDED_SIZE)
                return -EBADMSG;
        extended = extended && is_extended(data);
        each = extended ? EXTENDED_SIZE : PLAIN_SIZE;
        count = entries_of(data);
        if (count > HF_NVME_REGISTRANTS_MAX || each + count * each > n)
                return -EBADMSG;
        if (data[REPORT_TYPE] && !hf_nvme_type_to_scsi(data[REPORT_TYPE]))
                return -EBADMSG;
        ret->generation = get32(data);
        ret->type = hf_nvme_type_to_scsi(data[REPORT_TYPE]);
        ret->persists = data[REPORT_PERSISTS] & 0x01;
        ret->extended = extended;
        ret->n = count;
        for (size_t i = 0; i < count; i++)
                decode_entry(data + each + i * each, extended, &ret->registrants[i]);
        return 0;
}

bool hf_nvme_report_has(const struct hf_nvme_report *report,
                        const uint8_t host[static HF_NVME_HOST_MAX])
{
        for (size_t i = 0; i < report->n; i++) {
                if (memcmp(report->registrants[i].host, host,
                           report->extended ? HF_NVME_HOST_MAX : 8) == 0)
                        return true;
        }
        return false;
}

static size_t keys_in(const struct hf_nvme_report *report, uint8_t *data, size_t room)
{
        uint64_t keys[HF_NVME_REGISTRANTS_MAX];

        for (size_t i = 0; i < report->n; i++)
                keys[i] = report->registrants[i].key;
        return hf_pr_keys_encode(report->generation, keys, report->n, data, room);
}

static size_t reservation_in(const struct hf_nvme_report *report, uint8_t *data, size_t room)
{
        struct hf_pr_reservation reservation = {
                .generation = report->generation,
                .type = (uint8_t)report->type,
        };

        for (size_t i = 0; i < report->n && !hf_pr_type_is_all(report->type); i++) {
                if (report->registrants[i].holder)
                        reservation.key = report->registrants[i].key;
        }
        return hf_pr_reservation_encode(&reservation, data, room);
}

static size_t capabilities_in(const struct hf_nvme_report *report, uint8_t rescap, uint8_t *data,
                              size_t room)
{
        struct hf_pr_capabilities capabilities = {
                .atp_c = true,
                .ptpl_c = rescap & RESCAP_PERSISTS,
                .tmv = true,
                .ptpl_a = report->persists,
        };

        for (unsigned int i = 1; i < HF_ARRAY_LEN(types); i++) {
                if (rescap & 1U << i)
                        capabilities.type_mask |= (uint16_t)(1U << types[i]);
        }
        return hf_pr_capabilities_encode(&capabilities, data, room);
}

/*
 * NVMe has no TransportID. The form with the longest text is taken for it: the name that NVMe gives
 * to a host of which the identifier is known, or an EUI for the short one.
 */
static void name_host(const struct hf_nvme_report *report, const uint8_t *host,
                      struct hf_transport_id *ret)
{
        char digits[2 * HF_NVME_HOST_MAX + 1];

        *ret = (struct hf_transport_id){.protocol = HF_TRANSPORT_ISCSI};
        if (!report->extended) {
                (void)snprintf(ret->name, sizeof(ret->name), "eui.%016" PRIx64, get64(host));
                return;
        }
        for (size_t i = 0; i < HF_NVME_HOST_MAX; i++)
                (void)snprintf(digits + 2 * i, 3, "%02x", host[i]);
        (void)snprintf(ret->name, sizeof(ret->name),
                       "nqn.2014-08.org.nvmexpress:uuid:%.8s-%.4s-%.4s-%.4s-%s", digits, digits + 8,
                       digits + 12, digits + 16, digits + 20);
}

static int full_status_in(const struct hf_nvme_report *report, uint8_t *data, size_t room)
{
        hf_cleanup_free struct hf_pr_registrant *all = calloc(report->n + 1, sizeof(*all));

        if (!all)
                return -ENOMEM;
        for (size_t i = 0; i < report->n; i++) {
                const struct hf_nvme_registrant *it = &report->registrants[i];

                all[i] = (struct hf_pr_registrant){
                        .key = it->key,
                        .all_tg_pt = true,
                        .holder = it->holder || hf_pr_type_is_all(report->type),
                        .port = it->controller,
                };
                if (all[i].holder)
                        all[i].type = (uint8_t)report->type;
                name_host(report, it->host, &all[i].id);
        }
        return (int)hf_pr_full_status_encode(report->generation, all, report->n, data, room);
}

int hf_nvme_in(unsigned int action, const struct hf_nvme_report *report, uint8_t rescap,
               uint8_t *data, size_t room)
{
        switch (action) {
        case HF_PR_READ_KEYS:
                return (int)keys_in(report, data, room);
        case HF_PR_READ_RESERVATION:
                return (int)reservation_in(report, data, room);
        case HF_PR_REPORT_CAPABILITIES:
                return (int)capabilities_in(report, rescap, data, room);
        case HF_PR_READ_FULL_STATUS:
                return full_status_in(report, data, room);
        default:
                return -EOPNOTSUPP;
        }
}

/* A field that the controller does not take: which of ours that is depends on the action. */
static uint16_t field_of(int action)
{
        switch (action) {
        case HF_PR_RELEASE:
                return HF_ASC_INVALID_RELEASE;
        case HF_PR_PREEMPT:
        case HF_PR_PREEMPT_AND_ABORT:
                return HF_ASC_INVALID_FIELD_IN_LIST;
        default:
                return HF_ASC_INVALID_FIELD_IN_CDB;
        }
}

/* Type 3: the path, not the namespace. The kernel tries others before it tells us. */
#define PATH_RELATED        0x300
#define TYPE_MASK           0x700
#define INVALID_NS          0x00b
#define NAMESPACE_NOT_READY 0x082
#define ABORTED             0x007
#define ABORTED_SQ          0x008

void hf_nvme_result(unsigned int status, int action, struct hf_scsi_result *result)
{
        status &= HF_NVME_STATUS_MASK;
        if ((status & TYPE_MASK) == PATH_RELATED) {
                hf_scsi_status(result, HF_SCSI_BUSY);
                return;
        }
        switch (status) {
        case 0:
                hf_scsi_status(result, HF_SCSI_GOOD);
                return;
        case HF_NVME_CONFLICT:
                hf_scsi_status(result, HF_SCSI_RESERVATION_CONFLICT);
                return;
        case HF_NVME_INVALID_OPCODE:
                hf_scsi_refuse(result, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_OPCODE);
                return;
        case HF_NVME_INVALID_FIELD:
        case INVALID_NS:
                hf_scsi_refuse(result, HF_SENSE_ILLEGAL_REQUEST, field_of(action));
                return;
        case NAMESPACE_NOT_READY:
                hf_scsi_refuse(result, HF_SENSE_NOT_READY, HF_ASC_NOT_READY_COMMUNICATION);
                return;
        case ABORTED:
        case ABORTED_SQ:
                hf_scsi_refuse(result, HF_SENSE_ABORTED_COMMAND, HF_ASC_IO_PROCESS_TERMINATED);
                return;
        default:
                hf_scsi_refuse(result, HF_SENSE_HARDWARE_ERROR, HF_ASC_INTERNAL_TARGET_FAILURE);
                return;
        }
}
