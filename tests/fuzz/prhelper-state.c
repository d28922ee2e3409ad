/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a unit's state in a store; also with the checksum that they should have. */

#include "fuzz.h"

#include "prhelper/emulated/state-text.h"

#include <sha2.h>
#include <string.h>

#define DIGITS (SHA256_DIGEST_LENGTH * 2)

static void read_it(const char *text, size_t n)
{
        struct hf_pr_state state;
        char *again;
        size_t length;

        if (hf_pr_state_decode(text, n, &state, NULL) < 0)
                return;
        FUZZ_PROMISE(hf_pr_state_sound(&state));
        FUZZ_PROMISE(hf_pr_state_encode(&state, &again, &length) == 0);
        FUZZ_PROMISE(length == n && !memcmp(again, text, n));
        free(again);
        hf_pr_state_clear(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char digest[DIGITS + 1];
        char *copy;

        read_it((const char *)data, size);
        if (size < DIGITS + 5)
                return 0;
        copy = malloc(size);
        if (!copy)
                return 0;
        memcpy(copy, data, size);
        (void)SHA256Data(data, size - DIGITS - 5, digest);
        memcpy(copy + size - DIGITS - 1, digest, DIGITS);
        read_it(copy, size);
        free(copy);
        return 0;
}
