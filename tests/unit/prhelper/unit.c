/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

/* Asks who has never anything waiting, so that looking changes nothing. */
#define ONLOOKER "onlooker"

static unsigned int run(struct unit *unit, const char *nexus, const uint8_t *cdb)
{
        struct hf_scsi_result result;
        unsigned int key, code;

        unit->changed = hf_pr_model(&unit->state, nexus, unit->now, cdb, unit->data, &result);
        assert_true(unit->changed >= 0);
        assert_true(hf_pr_state_sound(&unit->state));
        unit->size = result.size;
        if (result.status != HF_SCSI_CHECK_CONDITION)
                return result.status;
        assert_int_equal(result.size, 0);
        assert_int_equal(hf_sense_decode(result.sense, &key, &code), 0);
        return key << 16 | code;
}

unsigned int ask_out(struct unit *unit, const char *nexus, const struct hf_pr_out *out, size_t n)
{
        uint8_t cdb[HF_PR_CDB_SIZE];

        assert_true(hf_pr_out_encode(out, cdb, unit->data, sizeof(unit->data)) > 0);
        if (n) {
                cdb[7] = (uint8_t)(n >> 8);
                cdb[8] = (uint8_t)n;
        }
        return run(unit, nexus, cdb);
}

unsigned int ask_type(struct unit *unit, const char *nexus, enum hf_pr_out_action action,
                      uint64_t key, uint64_t new_key, enum hf_pr_type type)
{
        struct hf_pr_out out = {
                .action = action, .key = key, .new_key = new_key, .type = (uint8_t)type};

        return ask_out(unit, nexus, &out, 0);
}

unsigned int ask(struct unit *unit, const char *nexus, enum hf_pr_out_action action, uint64_t key,
                 uint64_t new_key)
{
        return ask_type(unit, nexus, action, key, new_key, HF_PR_NONE);
}

unsigned int ask_in(struct unit *unit, const char *nexus, unsigned int action, size_t room)
{
        uint8_t cdb[HF_PR_CDB_SIZE];

        memset(unit->data, 0xee, sizeof(unit->data));
        hf_pr_in_encode(action, room, cdb);
        return run(unit, nexus, cdb);
}

void assert_keys_are(struct unit *unit, const uint64_t *keys, size_t n)
{
        uint64_t found[HF_PR_NEXUSES_MAX];
        uint32_t generation;
        size_t count;

        assert_int_equal(ask_in(unit, ONLOOKER, HF_PR_READ_KEYS, HF_PR_DATA_MAX), 0);
        assert_int_equal(unit->changed, 0);
        assert_true(hf_pr_keys_decode(unit->data, unit->size, &generation, found, HF_PR_NEXUSES_MAX,
                                      &count) >= 0);
        assert_int_equal(count, n);
        assert_int_equal(generation, unit->state.generation);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(found[i], keys[i]);
}

void assert_nobody(struct unit *unit)
{
        assert_keys_are(unit, NULL, 0);
}

void assert_reserved(struct unit *unit, enum hf_pr_type type, uint64_t key)
{
        struct hf_pr_reservation reservation;

        assert_int_equal(ask_in(unit, ONLOOKER, HF_PR_READ_RESERVATION, HF_PR_DATA_MAX), 0);
        assert_int_equal(hf_pr_reservation_decode(unit->data, unit->size, &reservation), 0);
        assert_int_equal(unit->size, type == HF_PR_NONE ? 8 : 24);
        assert_int_equal(reservation.type, type);
        assert_int_equal(reservation.key, key);
        assert_int_equal(reservation.generation, unit->state.generation);
}

void unit_clear(struct unit *unit)
{
        hf_pr_state_clear(&unit->state);
}
