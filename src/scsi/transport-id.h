/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * TransportIDs: how the standard names an initiator (SPC-4, 7.6.4), one form a transport.
 */

#include <stddef.h>
#include <stdint.h>

enum hf_transport {
        HF_TRANSPORT_FC = 0,
        HF_TRANSPORT_ISCSI = 5,
        HF_TRANSPORT_SAS = 6,
        HF_TRANSPORT_OTHER = 0xff, /* none of these: only out of hf_pr_full_status_decode */
};

/* ADDITIONAL LENGTH of an iSCSI TransportID is at most 252 here: name, separator, ISID, padding. */
#define HF_ISCSI_NAME_MAX 253

struct hf_transport_id {
        uint8_t protocol;             /* enum hf_transport */
        uint8_t format;               /* of iSCSI: 0 name alone, 1 with an ISID */
        uint64_t address;             /* of FC and SAS: port name or address */
        char name[HF_ISCSI_NAME_MAX]; /* of iSCSI, with ",i,0x<isid>" where format is 1 */
};

/* Longest of any kind: four bytes and an iSCSI name. */
#define HF_TRANSPORT_ID_MAX (4 + 252)

/*
 * Reads one TransportID from the n bytes at data. Returns how many it takes, or -EBADMSG: it does
 * not fit, or its kind or form is none of the above.
 */
int hf_transport_id_decode(const uint8_t *data, size_t n, struct hf_transport_id *ret);

/*
 * Writes it; returns how many bytes, or -E2BIG if that is more than size, or more than
 * HF_TRANSPORT_ID_MAX (an iSCSI name of more than 251 characters).
 */
int hf_transport_id_encode(const struct hf_transport_id *id, uint8_t *data, size_t size);

/* Room for the longest text of one. */
#define HF_TRANSPORT_TEXT_MAX (HF_ISCSI_NAME_MAX + 8)

/* For people: "fc 0x50...", "sas 0x50...", or the iSCSI name; "other". */
void hf_transport_id_text(const struct hf_transport_id *id, char ret[static HF_TRANSPORT_TEXT_MAX]);
