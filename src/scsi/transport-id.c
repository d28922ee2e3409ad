/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * FC and SAS: 24 bytes with an address of 8 in them. iSCSI: a text behind four bytes, of which two
 * are its length with the zero that ends it and the padding to four.
 */

#include "scsi/transport-id.h"

#include "scsi/bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define FIXED_SIZE    24
#define FC_ADDRESS    8
#define SAS_ADDRESS   4
#define TEXT          4 /* where the name of iSCSI begins */
#define TEXT_MAX      (HF_TRANSPORT_ID_MAX - TEXT)
#define TEXT_MIN      20 /* SPC-4: no shorter name is padded to less */
#define PROTOCOL_BITS 0x0f
#define FORMAT_SHIFT  6

static int decode_iscsi(const uint8_t *data, size_t n, struct hf_transport_id *id)
{
        size_t room, length;

        if (n < TEXT)
                return -EBADMSG;
        room = hf_get16(data + 2);
        if (id->format > 1 || room == 0 || room > TEXT_MAX || room % 4 || room > n - TEXT)
                return -EBADMSG;
        length = strnlen((const char *)data + TEXT, room);
        if (length == 0 || length == room)
                return -EBADMSG;
        memcpy(id->name, data + TEXT, length);
        return (int)(TEXT + room);
}

int hf_transport_id_decode(const uint8_t *data, size_t n, struct hf_transport_id *ret)
{
        struct hf_transport_id id = {0};
        int used;

        if (n == 0)
                return -EBADMSG;
        id.protocol = data[0] & PROTOCOL_BITS;
        id.format = data[0] >> FORMAT_SHIFT;
        switch (id.protocol) {
        case HF_TRANSPORT_FC:
        case HF_TRANSPORT_SAS:
                if (id.format != 0 || n < FIXED_SIZE)
                        return -EBADMSG;
                id.address = hf_get64(data +
                                      (id.protocol == HF_TRANSPORT_FC ? FC_ADDRESS : SAS_ADDRESS));
                used = FIXED_SIZE;
                break;
        case HF_TRANSPORT_ISCSI:
                used = decode_iscsi(data, n, &id);
                if (used < 0)
                        return used;
                break;
        default:
                return -EBADMSG;
        }
        *ret = id;
        return used;
}

int hf_transport_id_encode(const struct hf_transport_id *id, uint8_t *data, size_t size)
{
        size_t length = strnlen(id->name, sizeof(id->name) - 1);
        size_t used = FIXED_SIZE;

        if (id->protocol == HF_TRANSPORT_ISCSI) {
                size_t room = (length + 1 + 3) / 4 * 4;

                used = TEXT + (room < TEXT_MIN ? TEXT_MIN : room);
        }
        if (used > size || used > HF_TRANSPORT_ID_MAX)
                return -E2BIG;
        memset(data, 0, used);
        data[0] = (uint8_t)(id->format << FORMAT_SHIFT | (id->protocol & PROTOCOL_BITS));
        if (id->protocol == HF_TRANSPORT_ISCSI) {
                hf_put16(data + 2, (uint16_t)(used - TEXT));
                memcpy(data + TEXT, id->name, length);
        } else {
                hf_put64(data + (id->protocol == HF_TRANSPORT_FC ? FC_ADDRESS : SAS_ADDRESS),
                         id->address);
        }
        return (int)used;
}

void hf_transport_id_text(const struct hf_transport_id *id, char ret[static HF_TRANSPORT_TEXT_MAX])
{
        switch (id->protocol) {
        case HF_TRANSPORT_FC:
        case HF_TRANSPORT_SAS:
                (void)snprintf(ret, HF_TRANSPORT_TEXT_MAX, "%s 0x%016" PRIx64,
                               id->protocol == HF_TRANSPORT_FC ? "fc" : "sas", id->address);
                break;
        case HF_TRANSPORT_ISCSI:
                (void)snprintf(ret, HF_TRANSPORT_TEXT_MAX, "%s", id->name);
                /* The name is whatever an initiator chose, and this goes to a terminal. */
                for (char *at = ret; *at; at++)
                        if ((unsigned char)*at < ' ' || *at == 0x7f)
                                *at = '?';
                break;
        default:
                (void)snprintf(ret, HF_TRANSPORT_TEXT_MAX, "other");
        }
}
