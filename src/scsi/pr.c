/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The two commands, and the parameter list of OUT.
 *
 *   CDB   0 opcode   1 service action (5 bits)   2 scope (4 bits), type (4)
 *         7-8 length: of the list, or of the room for data
 *   list  0-7 key   8-15 service action key   20 SPEC_I_PT 3, ALL_TG_PT 2, APTPL 0
 *         with SPEC_I_PT   24-27 length   28.. TransportIDs
 *         REGISTER AND MOVE instead   17 APTPL 0   18.. where to
 */

#include "scsi/pr.h"

#include "scsi/bytes.h"

#include "base/cleanup.h"

#define ACTION_BITS 0x1f
#define LENGTH      7
#define NEW_KEY     8
#define MOVE_FLAGS  17
#define FLAGS       20
#define IDS_LENGTH  HF_PR_LIST_SIZE
#define IDS         (IDS_LENGTH + 4)

#define APTPL       0x01
#define ALL_TG_PT   0x04
#define SPEC_I_PT   0x08

static const char *const type_names[] = {
        [HF_PR_WRITE_EXCLUSIVE] = "write-exclusive",
        [HF_PR_EXCLUSIVE_ACCESS] = "exclusive-access",
        [HF_PR_WRITE_EXCLUSIVE_REGISTRANTS] = "write-exclusive-registrants",
        [HF_PR_EXCLUSIVE_ACCESS_REGISTRANTS] = "exclusive-access-registrants",
        [HF_PR_WRITE_EXCLUSIVE_ALL] = "write-exclusive-all",
        [HF_PR_EXCLUSIVE_ACCESS_ALL] = "exclusive-access-all",
};

static const char *const out_names[] = {
        [HF_PR_REGISTER] = "register",
        [HF_PR_RESERVE] = "reserve",
        [HF_PR_RELEASE] = "release",
        [HF_PR_CLEAR] = "clear",
        [HF_PR_PREEMPT] = "preempt",
        [HF_PR_PREEMPT_AND_ABORT] = "preempt-and-abort",
        [HF_PR_REGISTER_AND_IGNORE] = "register-and-ignore",
        [HF_PR_REGISTER_AND_MOVE] = "register-and-move",
        [HF_PR_REPLACE_LOST] = "replace-lost",
};

static const char *const in_names[] = {
        [HF_PR_READ_KEYS] = "read-keys",
        [HF_PR_READ_RESERVATION] = "read-reservation",
        [HF_PR_REPORT_CAPABILITIES] = "report-capabilities",
        [HF_PR_READ_FULL_STATUS] = "read-full-status",
};

const char *hf_pr_type_name(unsigned int type)
{
        return type < HF_ARRAY_LEN(type_names) ? type_names[type] : NULL;
}

bool hf_pr_type_known(unsigned int type)
{
        return hf_pr_type_name(type) != NULL;
}

bool hf_pr_type_is_all(unsigned int type)
{
        return type == HF_PR_WRITE_EXCLUSIVE_ALL || type == HF_PR_EXCLUSIVE_ACCESS_ALL;
}

bool hf_pr_type_for_registrants(unsigned int type)
{
        return type >= HF_PR_WRITE_EXCLUSIVE_REGISTRANTS && type <= HF_PR_EXCLUSIVE_ACCESS_ALL;
}

unsigned int hf_pr_type_of(const char *name)
{
        for (unsigned int type = 0; type < HF_ARRAY_LEN(type_names); type++)
                if (type_names[type] && !strcmp(type_names[type], name))
                        return type;
        return HF_PR_NONE;
}

const char *hf_pr_out_name(unsigned int action)
{
        return action < HF_ARRAY_LEN(out_names) ? out_names[action] : NULL;
}

const char *hf_pr_in_name(unsigned int action)
{
        return action < HF_ARRAY_LEN(in_names) ? in_names[action] : NULL;
}

unsigned int hf_pr_in_action(const uint8_t cdb[static HF_PR_CDB_SIZE])
{
        return cdb[1] & ACTION_BITS;
}

size_t hf_pr_length(const uint8_t cdb[static HF_PR_CDB_SIZE])
{
        return hf_get16(cdb + LENGTH);
}

void hf_pr_in_encode(unsigned int action, size_t room, uint8_t cdb[static HF_PR_CDB_SIZE])
{
        memset(cdb, 0, HF_PR_CDB_SIZE);
        cdb[0] = HF_PR_IN;
        cdb[1] = action & ACTION_BITS;
        hf_put16(cdb + LENGTH, (uint16_t)(room < HF_PR_DATA_MAX ? room : HF_PR_DATA_MAX));
}

static bool takes_ids(const struct hf_pr_out *out)
{
        return out->spec_i_pt &&
               (out->action == HF_PR_REGISTER || out->action == HF_PR_REGISTER_AND_IGNORE);
}

static enum hf_pr_fault decode_ids(const uint8_t *list, size_t n, struct hf_pr_out *out)
{
        size_t at = IDS, end;

        if (n < IDS)
                return HF_PR_FAULT_LENGTH;
        if (hf_get32(list + IDS_LENGTH) > n - IDS)
                return HF_PR_FAULT_FIELD;
        end = IDS + hf_get32(list + IDS_LENGTH);
        while (at < end) {
                int used;

                if (out->n_ids == HF_PR_IDS_MAX)
                        return HF_PR_FAULT_FIELD;
                used = hf_transport_id_decode(list + at, end - at, &out->ids[out->n_ids]);
                if (used < 0)
                        return HF_PR_FAULT_FIELD;
                at += (size_t)used;
                out->n_ids++;
        }
        return HF_PR_FAULT_NONE;
}

enum hf_pr_fault hf_pr_out_decode(const uint8_t cdb[static HF_PR_CDB_SIZE], const uint8_t *list,
                                  size_t n, struct hf_pr_out *ret)
{
        struct hf_pr_out out = {
                .action = cdb[1] & ACTION_BITS, .scope = cdb[2] >> 4, .type = cdb[2] & 0x0f};

        if (n < HF_PR_LIST_SIZE)
                return HF_PR_FAULT_LENGTH;
        out.key = hf_get64(list);
        out.new_key = hf_get64(list + NEW_KEY);
        if (out.action == HF_PR_REGISTER_AND_MOVE) {
                out.aptpl = list[MOVE_FLAGS] & APTPL;
        } else {
                out.aptpl = list[FLAGS] & APTPL;
                out.all_tg_pt = list[FLAGS] & ALL_TG_PT;
                out.spec_i_pt = list[FLAGS] & SPEC_I_PT;
        }
        if (takes_ids(&out)) {
                enum hf_pr_fault fault = decode_ids(list, n, &out);

                if (fault != HF_PR_FAULT_NONE)
                        return fault;
        }
        *ret = out;
        return HF_PR_FAULT_NONE;
}

static int encode_ids(const struct hf_pr_out *out, uint8_t *list, size_t size)
{
        size_t at = IDS;

        if (size < IDS || out->n_ids > HF_PR_IDS_MAX)
                return -E2BIG;
        for (size_t i = 0; i < out->n_ids; i++) {
                int used = hf_transport_id_encode(&out->ids[i], list + at, size - at);

                if (used < 0)
                        return used;
                at += (size_t)used;
        }
        hf_put32(list + IDS_LENGTH, (uint32_t)(at - IDS));
        return (int)at;
}

int hf_pr_out_encode(const struct hf_pr_out *out, uint8_t cdb[static HF_PR_CDB_SIZE], uint8_t *list,
                     size_t size)
{
        int length = HF_PR_LIST_SIZE;
        uint8_t flags = out->aptpl ? APTPL : 0;

        if (size > HF_PR_DATA_MAX)
                size = HF_PR_DATA_MAX;
        if (size < HF_PR_LIST_SIZE)
                return -E2BIG;
        memset(list, 0, HF_PR_LIST_SIZE);
        hf_put64(list, out->key);
        hf_put64(list + NEW_KEY, out->new_key);
        if (out->action == HF_PR_REGISTER_AND_MOVE)
                list[MOVE_FLAGS] = flags;
        else
                list[FLAGS] = (uint8_t)(flags | (out->all_tg_pt ? ALL_TG_PT : 0) |
                                        (out->spec_i_pt ? SPEC_I_PT : 0));
        if (takes_ids(out))
                length = encode_ids(out, list, size);
        if (length < 0)
                return length;
        memset(cdb, 0, HF_PR_CDB_SIZE);
        cdb[0] = HF_PR_OUT;
        cdb[1] = out->action & ACTION_BITS;
        cdb[2] = (uint8_t)(out->scope << 4 | (out->type & 0x0f));
        hf_put16(cdb + LENGTH, (uint16_t)length);
        return length;
}
