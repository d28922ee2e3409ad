/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as the state that a virtlockd hands over. */

#include "fuzz.h"

#include "daemon/stock-state.h"

#include <string.h>

static void check(const struct hf_stock_state *state)
{
        FUZZ_PROMISE(state->magic > 0);
        FUZZ_PROMISE(state->n_spaces > 0 && !*state->spaces[0].directory);
        for (size_t i = 0; i < state->n_locks; i++)
                FUZZ_PROMISE(state->locks[i].fd > 2 && state->locks[i].space < state->n_spaces &&
                             strlen(state->locks[i].name) <= HF_TABLE_STRING_MAX);
        for (size_t i = 0; i < state->n_clients; i++)
                FUZZ_PROMISE(state->clients[i].fd > 2 &&
                             (state->clients[i].owner_name || state->clients[i].kind));
        FUZZ_PROMISE(state->n_sockets <= HF_LISTENERS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct hf_stock_state state, again;
        struct hf_error error;
        char *text = NULL;
        size_t len;
        int r = hf_stock_decode((const char *)data, size, &state, &error);

        FUZZ_PROMISE(r >= 0 || *error.text);
        if (r < 0)
                return 0;
        check(&state);
        /* What is written of it says the same. */
        FUZZ_PROMISE(hf_stock_encode(&state, &text, &len, NULL) == 0);
        FUZZ_PROMISE(hf_stock_decode(text, len, &again, NULL) == 0);
        FUZZ_PROMISE(again.magic == state.magic && again.n_locks == state.n_locks &&
                     again.n_clients == state.n_clients && again.n_spaces == state.n_spaces &&
                     again.n_sockets == state.n_sockets);
        check(&again);
        hf_stock_clear(&state);
        hf_stock_clear(&again);
        free(text);
        return 0;
}
