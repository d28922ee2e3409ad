/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/device/mpath-translate.h"

#include "scsi/bytes.h"

#include <errno.h>
#include <string.h>

/* In a parameter list (SPC-4, 6.16.3). */
#define LIST_KEY     0
#define LIST_NEW_KEY 8
#define LIST_FLAGS   20
#define LIST_IDS     24 /* the length of the TransportIDs, which follow */

#define FORMAT_PORT  0x40 /* of an iSCSI TransportID: with an ISID */

#define IN_HEADER    8

/* The types of reservation that there are, as the two bytes of REPORT CAPABILITIES have them. */
#define TYPES_KNOWN 0xea01

static void convert_id(const struct hf_transport_id *id, struct hf_mpath_id *ret)
{
        *ret = (struct hf_mpath_id){.protocol = id->protocol};
        if (id->protocol == HF_TRANSPORT_ISCSI) {
                ret->format = id->format ? FORMAT_PORT : 0;
                memcpy(ret->name, id->name, sizeof(id->name));
        } else {
                hf_put64(ret->port, id->address);
        }
}

/* What lies behind the first 24 bytes, whatever the flags say. */
static enum hf_pr_fault decode_ids(const uint8_t *list, size_t n, struct hf_mpath_command *command)
{
        size_t length, at = LIST_IDS + sizeof(uint32_t);

        if (n < at)
                return HF_PR_FAULT_LENGTH;
        length = hf_get32(list + LIST_IDS);
        if (length > n - at)
                return HF_PR_FAULT_FIELD;
        for (size_t end = at + length; at < end;) {
                struct hf_transport_id id;
                struct hf_mpath_id *slot = &command->ids[command->out.n_ids];
                int taken;

                if (command->out.n_ids == HF_PR_IDS_MAX)
                        return HF_PR_FAULT_FIELD;
                taken = hf_transport_id_decode(list + at, end - at, &id);
                if (taken < 0)
                        return HF_PR_FAULT_FIELD;
                convert_id(&id, slot);
                command->out.ids[command->out.n_ids++] = slot;
                at += (size_t)taken;
        }
        return HF_PR_FAULT_NONE;
}

enum hf_pr_fault hf_mpath_decode(const uint8_t cdb[static HF_PR_CDB_SIZE], const uint8_t *list,
                                 size_t n, struct hf_mpath_command *ret)
{
        if (n < HF_PR_LIST_SIZE)
                return HF_PR_FAULT_LENGTH;
        if (cdb[1] > HF_PR_REGISTER_AND_IGNORE)
                return HF_PR_FAULT_CDB;
        *ret = (struct hf_mpath_command){
                .action = cdb[1],
                .scope = cdb[2] >> 4,
                .type = cdb[2] & 0x0f,
        };
        memcpy(ret->out.key, list + LIST_KEY, sizeof(ret->out.key));
        memcpy(ret->out.new_key, list + LIST_NEW_KEY, sizeof(ret->out.new_key));
        ret->out.flags = list[LIST_FLAGS];
        return n > HF_PR_LIST_SIZE ? decode_ids(list, n, ret) : HF_PR_FAULT_NONE;
}

int hf_mpath_in_action(const uint8_t cdb[static HF_PR_CDB_SIZE])
{
        return cdb[1] <= HF_PR_REPORT_CAPABILITIES ? cdb[1] : -EOPNOTSUPP;
}

static void encode_list(const struct hf_mpath_list *list, uint8_t whole[static HF_PR_DATA_MAX])
{
        size_t room = HF_PR_DATA_MAX - IN_HEADER;

        hf_put32(whole, list->generation);
        hf_put32(whole + sizeof(list->generation), list->length);
        memcpy(whole + IN_HEADER, list->entries, list->length < room ? list->length : room);
}

/*
 * The types as the standard has them, EA first. Versions 0.5 to 0.13 of the library have the two
 * bytes in either order; no bit of the one is one of the other.
 */
static uint16_t types_of(uint16_t mask)
{
        uint16_t swapped = (uint16_t)(mask << 8 | mask >> 8);

        return (mask & ~TYPES_KNOWN) && !(swapped & ~TYPES_KNOWN) ? swapped : mask;
}

static void encode_capabilities(const struct hf_mpath_capabilities *capabilities, uint8_t *whole)
{
        hf_put16(whole, capabilities->length);
        memcpy(whole + 2, capabilities->flags, sizeof(capabilities->flags));
        hf_put16(whole + 4, types_of(capabilities->type_mask));
}

size_t hf_mpath_encode(int action, const union hf_mpath_in *answer, uint8_t *data, size_t room)
{
        uint8_t whole[HF_PR_DATA_MAX] = {};

        if (action == HF_PR_REPORT_CAPABILITIES)
                encode_capabilities(&answer->capabilities, whole);
        else
                encode_list(&answer->list, whole);
        if (room > sizeof(whole))
                room = sizeof(whole);
        memcpy(data, whole, room);
        return room;
}

struct meaning {
        enum hf_sense_key key;
        enum hf_sense_code code;
        bool device_knows; /* TEST UNIT READY fetches the true sense */
};

static const struct meaning meanings[] = {
        [HF_MPATH_NOT_READY] = {HF_SENSE_NOT_READY, HF_ASC_NOT_READY_COMMUNICATION, true},
        [HF_MPATH_MEDIUM_ERROR] = {HF_SENSE_MEDIUM_ERROR, HF_ASC_UNRECOVERED_READ_ERROR, true},
        [HF_MPATH_HARDWARE_ERROR] = {HF_SENSE_HARDWARE_ERROR, HF_ASC_INTERNAL_TARGET_FAILURE, true},
        [HF_MPATH_ILLEGAL_REQUEST] = {HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_FIELD_IN_LIST,
                                      false},
        [HF_MPATH_UNIT_ATTENTION] = {HF_SENSE_UNIT_ATTENTION, HF_ASC_SCSI_BUS_RESET, false},
        [HF_MPATH_INVALID_OPERATION] = {HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_OPCODE, false},
        [HF_MPATH_ABORTED_COMMAND] = {HF_SENSE_ABORTED_COMMAND, HF_ASC_IO_PROCESS_TERMINATED, true},
};

bool hf_mpath_result(int code, struct hf_scsi_result *result)
{
        switch (code) {
        case HF_MPATH_SUCCESS:
                hf_scsi_status(result, HF_SCSI_GOOD);
                return false;
        case HF_MPATH_CONFLICT:
                hf_scsi_status(result, HF_SCSI_RESERVATION_CONFLICT);
                return false;
        case HF_MPATH_NO_SENSE:
                hf_scsi_refuse(result, HF_SENSE_NONE, 0);
                return false;
        case HF_MPATH_NOT_READY ... HF_MPATH_ABORTED_COMMAND:
                hf_scsi_refuse(result, meanings[code].key, (uint16_t)meanings[code].code);
                return meanings[code].device_knows;
        default:
                hf_scsi_refuse(result, HF_SENSE_ABORTED_COMMAND, HF_ASC_LUN_COMMUNICATION_FAILURE);
                return false;
        }
}

const char *hf_mpath_text(int code)
{
        switch (code) {
        case HF_MPATH_SYNTAX_ERROR:
                return "multipath.conf gives this device no reservation_key, or not the one that "
                       "is used: `reservation_key file` suits every guest";
        case HF_MPATH_MALFORMED:
                return "a path gave an answer that is none";
        case HF_MPATH_FILE_ERROR:
                return "the device node of a path cannot be opened";
        case HF_MPATH_MAP_ERROR:
                return "the map or its paths cannot be read, or no path is usable";
        case HF_MPATH_THREAD_ERROR:
                return "no thread could be started for a path";
        case HF_MPATH_OTHER:
                return "a path failed";
        default:
                return NULL;
        }
}
