/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as what a device or a helper answers to PERSISTENT RESERVE IN. */

#include "fuzz.h"

#include "scsi/pr.h"

#include <string.h>

#define ROOM 5

static void full_status(const uint8_t *data, size_t size)
{
        struct hf_pr_registrant lines[ROOM];
        uint32_t generation;
        size_t n;
        int stored = hf_pr_full_status_decode(data, size, &generation, lines, ROOM, &n);

        if (stored < 0)
                return;
        FUZZ_PROMISE(stored <= ROOM && (size_t)stored <= n);
        for (int i = 0; i < stored; i++) {
                char text[HF_TRANSPORT_TEXT_MAX];

                hf_transport_id_text(&lines[i].id, text);
                FUZZ_PROMISE(memchr(text, '\0', sizeof(text)));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct hf_pr_reservation reservation;
        struct hf_pr_capabilities capabilities;
        uint64_t keys[ROOM];
        uint32_t generation;
        size_t n;
        int stored = hf_pr_keys_decode(data, size, &generation, keys, ROOM, &n);

        FUZZ_PROMISE(stored < 0 ||
                     (stored <= ROOM && (size_t)stored <= n && 8 + 8 * (size_t)stored <= size));
        if (hf_pr_reservation_decode(data, size, &reservation) == 0)
                FUZZ_PROMISE(reservation.type < 16 && reservation.scope < 16);
        if (hf_pr_capabilities_decode(data, size, &capabilities) == 0)
                FUZZ_PROMISE(capabilities.allow < 8);
        full_status(data, size);
        return 0;
}
