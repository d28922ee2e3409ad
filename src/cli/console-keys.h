/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The keys that are ours and not the guest's.
 *
 * One key leaves, at once, as in virsh: ^]. Another, ^_, makes the next key a command. Both count
 * only as the first byte that a read gives: what a person types comes byte by byte, what is pasted
 * comes in pieces and goes to the guest as it is.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hf_console_command {
        HF_CONSOLE_NOTHING,
        HF_CONSOLE_LEAVE,
        HF_CONSOLE_BREAK,
        HF_CONSOLE_TAKE,
        HF_CONSOLE_TAKE_BY_FORCE,
        HF_CONSOLE_YIELD,
        HF_CONSOLE_STATUS,
        HF_CONSOLE_HELP,
        HF_CONSOLE_UNKNOWN, /* a key behind ^_ that means nothing; it is dropped */
};

/* Neither of the two. */
#define HF_CONSOLE_NO_KEY (-1)

struct hf_console_keys {
        int leave, command; /* bytes, or HF_CONSOLE_NO_KEY */
        bool pending;       /* the key for commands was pressed */
};

#define HF_CONSOLE_KEYS_INIT                                                                       \
        {                                                                                          \
                .leave = 0x1d, .command = 0x1f                                                     \
        }

/* "^]", "^A", "~", "none". -EINVAL. */
int hf_console_key_read(const char *text, int *ret, struct hf_error *err);

/* "^]", "~", "none". Returns text. */
#define HF_CONSOLE_KEY_TEXT 8
const char *hf_console_key_text(int key, char text[static HF_CONSOLE_KEY_TEXT]);

/*
 * What n bytes (at least one) from the terminal mean: the command, and in *ret_skip how many of
 * them are ours; the others are the guest's.
 */
enum hf_console_command hf_console_keys_take(struct hf_console_keys *keys, const uint8_t *in,
                                             size_t n, size_t *ret_skip);
