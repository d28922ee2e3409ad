/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * READ FULL STATUS has to name each initiator by a TransportID. Ours have none, so they are given
 * names as of iSCSI: a prefix in a domain that cannot exist, the name of the nexus as far as the
 * characters are allowed there, and an ISID made of the whole name, so that two differ even where
 * that left nothing else.
 */

#include "prhelper/emulated/data.h"

#include "prhelper/emulated/nexus.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ISCSI_PREFIX "iqn.2025-01.invalid.holdfast:"

/* ",i,0x" and 12 digits have to follow, and all of it is to be 251 characters at most. */
#define NEXUS_SHOWN (HF_ISCSI_NAME_MAX - 2 - (int)sizeof(ISCSI_PREFIX) - 17)

/* The relative port of a unit that has one. */
#define PORT 1

/* FNV-1a; nothing depends on it but that names can be told apart. */
static uint64_t isid_of(const char *name)
{
        uint64_t hash = 0xcbf29ce484222325;

        for (; *name; name++)
                hash = (hash ^ (unsigned char)*name) * 0x100000001b3;
        return (hash ^ hash >> 48) & 0xffffffffffff;
}

static void name_initiator(const char *nexus, struct hf_transport_id *id)
{
        int length;

        id->protocol = HF_TRANSPORT_ISCSI;
        id->format = 1;
        length = snprintf(id->name, sizeof(id->name), ISCSI_PREFIX "%.*s", NEXUS_SHOWN, nexus);
        for (char *at = id->name + strlen(ISCSI_PREFIX); *at; at++) {
                if (isascii(*at) && isupper(*at))
                        *at = (char)tolower(*at);
                else if (*at == '/')
                        *at = ':';
                else if (!isascii(*at) || (!isalnum(*at) && !strchr(".-:", *at)))
                        *at = '-';
        }
        (void)snprintf(id->name + length, sizeof(id->name) - (size_t)length, ",i,0x%012" PRIx64,
                       isid_of(nexus));
}

static size_t keys(const struct hf_pr_state *state, uint8_t *data, size_t room)
{
        uint64_t list[HF_PR_NEXUSES_MAX];
        size_t n = 0;

        for (size_t i = 0; i < state->n && n < HF_PR_NEXUSES_MAX; i++)
                if (state->nexuses[i].key)
                        list[n++] = state->nexuses[i].key;
        return hf_pr_keys_encode(state->generation, list, n, data, room);
}

static size_t reservation(const struct hf_pr_state *state, uint8_t *data, size_t room)
{
        const struct hf_pr_nexus_state *holder = hf_pr_nexus_find(state, state->holder);
        struct hf_pr_reservation some = {.generation = state->generation, .type = state->type};

        if (state->type != HF_PR_NONE && !hf_pr_type_is_all(state->type) && holder)
                some.key = holder->key;
        return hf_pr_reservation_encode(&some, data, room);
}

static size_t capabilities(const struct hf_pr_state *state, uint8_t *data, size_t room)
{
        struct hf_pr_capabilities ours = {.atp_c = true,
                                          .ptpl_c = true,
                                          .tmv = true,
                                          .ptpl_a = state->aptpl,
                                          .type_mask = 0x1ea};

        return hf_pr_capabilities_encode(&ours, data, room);
}

static size_t full_status(const struct hf_pr_state *state, uint8_t *data, size_t room)
{
        static struct hf_pr_registrant list[HF_PR_NEXUSES_MAX];
        size_t n = 0;

        for (size_t i = 0; i < state->n && n < HF_PR_NEXUSES_MAX; i++) {
                const struct hf_pr_nexus_state *nexus = &state->nexuses[i];

                if (!nexus->key)
                        continue;
                list[n] = (struct hf_pr_registrant){.key = nexus->key,
                                                    .all_tg_pt = nexus->all_tg_pt,
                                                    .holder = hf_pr_nexus_holds(state, nexus),
                                                    .type = state->type,
                                                    .port = PORT};
                name_initiator(nexus->name, &list[n].id);
                n++;
        }
        return hf_pr_full_status_encode(state->generation, list, n, data, room);
}

void hf_pr_state_data(const struct hf_pr_state *state, const uint8_t *cdb, uint8_t *data,
                      struct hf_scsi_result *result)
{
        static size_t (*const answers[])(const struct hf_pr_state *, uint8_t *, size_t) = {
                [HF_PR_READ_KEYS] = keys,
                [HF_PR_READ_RESERVATION] = reservation,
                [HF_PR_REPORT_CAPABILITIES] = capabilities,
                [HF_PR_READ_FULL_STATUS] = full_status,
        };
        size_t room = hf_pr_length(cdb);
        unsigned int action = hf_pr_in_action(cdb);

        if (action >= sizeof(answers) / sizeof(answers[0])) {
                hf_scsi_refuse(result, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_FIELD_IN_CDB);
                return;
        }
        result->size = answers[action](state, data, room < HF_PR_DATA_MAX ? room : HF_PR_DATA_MAX);
}
