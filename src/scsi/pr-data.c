/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The data of PERSISTENT RESERVE IN (SPC-4, 6.15). All but the capabilities begin with the
 * generation and with the length of what follows, which is that of the whole even when less fits.
 */

#include "scsi/pr.h"

#include "scsi/bytes.h"

#include <errno.h>

#define HEADER   8
#define KEY_SIZE 8

/* READ RESERVATION: the key at 8, 16-20 obsolete, the type at 21. */
#define RESERVATION_SIZE 16
#define RESERVATION_TYPE 21

/* REPORT CAPABILITIES. */
#define CAPABILITIES_SIZE 8
#define CAPABILITIES_MASK 4 /* and 5: the last that is needed */

#define RLR_C             0x80
#define CRH               0x10
#define SIP_C             0x08
#define ATP_C             0x04
#define PTPL_C            0x01
#define TMV               0x80
#define PTPL_A            0x01

/* Which bits of the type mask's two bytes mean a type. */
#define MASK_FIRST  0xea
#define MASK_SECOND 0x01

/* READ FULL STATUS: 24 bytes and a TransportID for each. */
#define STATUS_FLAGS  12
#define STATUS_TYPE   13
#define STATUS_PORT   18
#define STATUS_LENGTH 20
#define STATUS_SIZE   24
#define ALL_TG_PT     0x02
#define R_HOLDER      0x01

int hf_pr_keys_decode(const uint8_t *data, size_t n, uint32_t *ret_generation, uint64_t *keys,
                      size_t room, size_t *ret_n)
{
        size_t length, stored = 0;

        if (n < HEADER)
                return -EBADMSG;
        length = hf_get32(data + 4);
        if (length % KEY_SIZE)
                return -EBADMSG;
        while (stored < room && stored < length / KEY_SIZE && stored < (n - HEADER) / KEY_SIZE) {
                keys[stored] = hf_get64(data + HEADER + KEY_SIZE * stored);
                stored++;
        }
        *ret_generation = hf_get32(data);
        *ret_n = length / KEY_SIZE;
        return (int)stored;
}

int hf_pr_reservation_decode(const uint8_t *data, size_t n, struct hf_pr_reservation *ret)
{
        struct hf_pr_reservation reservation = {0};
        size_t length;

        if (n < HEADER)
                return -EBADMSG;
        reservation.generation = hf_get32(data);
        length = hf_get32(data + 4);
        if (length != 0) {
                if (length < RESERVATION_SIZE || n < HEADER + RESERVATION_SIZE)
                        return -EBADMSG;
                reservation.key = hf_get64(data + HEADER);
                reservation.scope = data[RESERVATION_TYPE] >> 4;
                reservation.type = data[RESERVATION_TYPE] & 0x0f;
        }
        *ret = reservation;
        return 0;
}

static uint16_t decode_mask(const uint8_t *at)
{
        bool swapped = (at[0] & ~MASK_FIRST || at[1] & ~MASK_SECOND) &&
                       !(at[1] & ~MASK_FIRST || at[0] & ~MASK_SECOND);

        return (uint16_t)(at[swapped] | at[!swapped] << 8);
}

int hf_pr_capabilities_decode(const uint8_t *data, size_t n, struct hf_pr_capabilities *ret)
{
        if (n < CAPABILITIES_MASK + 2 || hf_get16(data) < CAPABILITIES_MASK + 2)
                return -EBADMSG;
        *ret = (struct hf_pr_capabilities){
                .rlr_c = data[2] & RLR_C,
                .crh = data[2] & CRH,
                .sip_c = data[2] & SIP_C,
                .atp_c = data[2] & ATP_C,
                .ptpl_c = data[2] & PTPL_C,
                .tmv = data[3] & TMV,
                .allow = data[3] >> 4 & 7,
                .ptpl_a = data[3] & PTPL_A,
                .type_mask = decode_mask(data + CAPABILITIES_MASK),
        };
        return 0;
}

/* Returns how long the entry is, or 0 if not all of it is there. */
static size_t decode_registrant(const uint8_t *data, size_t n, struct hf_pr_registrant *ret)
{
        size_t length;

        if (n < STATUS_SIZE)
                return 0;
        length = hf_get32(data + STATUS_LENGTH);
        if (length > n - STATUS_SIZE)
                return 0;
        *ret = (struct hf_pr_registrant){
                .key = hf_get64(data),
                .all_tg_pt = data[STATUS_FLAGS] & ALL_TG_PT,
                .holder = data[STATUS_FLAGS] & R_HOLDER,
                .port = hf_get16(data + STATUS_PORT),
        };
        if (ret->holder) {
                ret->scope = data[STATUS_TYPE] >> 4;
                ret->type = data[STATUS_TYPE] & 0x0f;
        }
        /* A key is worth knowing even where its initiator is on a transport that is not. */
        if (hf_transport_id_decode(data + STATUS_SIZE, length, &ret->id) < 0)
                ret->id = (struct hf_transport_id){.protocol = HF_TRANSPORT_OTHER};
        return STATUS_SIZE + length;
}

int hf_pr_full_status_decode(const uint8_t *data, size_t n, uint32_t *ret_generation,
                             struct hf_pr_registrant *registrants, size_t room, size_t *ret_n)
{
        size_t length, at = 0, count = 0, came;

        if (n < HEADER)
                return -EBADMSG;
        length = hf_get32(data + 4);
        came = length < n - HEADER ? length : n - HEADER;
        while (at < came) {
                struct hf_pr_registrant one;
                size_t used = decode_registrant(data + HEADER + at, came - at, &one);

                if (used == 0 && came == length)
                        return -EBADMSG;
                if (used == 0)
                        break;
                if (count < room)
                        registrants[count] = one;
                count++;
                at += used;
        }
        *ret_generation = hf_get32(data);
        *ret_n = at < length ? count + 1 : count;
        return (int)(count < room ? count : room);
}

/* Writes as much of those bytes as there is room for at *at, and counts all of them. */
static void put(uint8_t *data, size_t size, size_t *at, const uint8_t *bytes, size_t n)
{
        if (*at < size)
                memcpy(data + *at, bytes, n < size - *at ? n : size - *at);
        *at += n;
}

static size_t finish(uint32_t generation, size_t length, uint8_t *data, size_t size)
{
        uint8_t header[HEADER];
        size_t at = 0;

        hf_put32(header, generation);
        hf_put32(header + 4, (uint32_t)(length - HEADER));
        put(data, size, &at, header, sizeof(header));
        return length < size ? length : size;
}

size_t hf_pr_keys_encode(uint32_t generation, const uint64_t *keys, size_t n, uint8_t *data,
                         size_t size)
{
        size_t at = HEADER;

        for (size_t i = 0; i < n; i++) {
                uint8_t key[KEY_SIZE];

                hf_put64(key, keys[i]);
                put(data, size, &at, key, sizeof(key));
        }
        return finish(generation, at, data, size);
}

size_t hf_pr_reservation_encode(const struct hf_pr_reservation *reservation, uint8_t *data,
                                size_t size)
{
        uint8_t body[RESERVATION_SIZE] = {0};
        size_t at = HEADER;

        if (reservation->type != HF_PR_NONE) {
                hf_put64(body, reservation->key);
                body[RESERVATION_TYPE - HEADER] = (uint8_t)(reservation->scope << 4 |
                                                            (reservation->type & 0x0f));
                put(data, size, &at, body, sizeof(body));
        }
        return finish(reservation->generation, at, data, size);
}

size_t hf_pr_capabilities_encode(const struct hf_pr_capabilities *capabilities, uint8_t *data,
                                 size_t size)
{
        uint8_t body[CAPABILITIES_SIZE] = {0};
        size_t at = 0;

        hf_put16(body, sizeof(body));
        body[2] = (uint8_t)((capabilities->rlr_c ? RLR_C : 0) | (capabilities->crh ? CRH : 0) |
                            (capabilities->sip_c ? SIP_C : 0) | (capabilities->atp_c ? ATP_C : 0) |
                            (capabilities->ptpl_c ? PTPL_C : 0));
        body[3] = (uint8_t)((capabilities->tmv ? TMV : 0) | (capabilities->allow & 7) << 4 |
                            (capabilities->ptpl_a ? PTPL_A : 0));
        body[CAPABILITIES_MASK] = (uint8_t)capabilities->type_mask;
        body[CAPABILITIES_MASK + 1] = (uint8_t)(capabilities->type_mask >> 8);
        put(data, size, &at, body, sizeof(body));
        return at < size ? at : size;
}

size_t hf_pr_full_status_encode(uint32_t generation, const struct hf_pr_registrant *registrants,
                                size_t n, uint8_t *data, size_t size)
{
        size_t at = HEADER;

        for (size_t i = 0; i < n; i++) {
                uint8_t entry[STATUS_SIZE + HF_TRANSPORT_ID_MAX] = {0};
                int length = hf_transport_id_encode(&registrants[i].id, entry + STATUS_SIZE,
                                                    HF_TRANSPORT_ID_MAX);

                if (length < 0)
                        length = 0;
                hf_put64(entry, registrants[i].key);
                entry[STATUS_FLAGS] = (uint8_t)((registrants[i].all_tg_pt ? ALL_TG_PT : 0) |
                                                (registrants[i].holder ? R_HOLDER : 0));
                if (registrants[i].holder)
                        entry[STATUS_TYPE] = (uint8_t)(registrants[i].scope << 4 |
                                                       (registrants[i].type & 0x0f));
                hf_put16(entry + STATUS_PORT, registrants[i].port);
                hf_put32(entry + STATUS_LENGTH, (uint32_t)length);
                put(data, size, &at, entry, STATUS_SIZE + (size_t)length);
        }
        return finish(generation, at, data, size);
}
