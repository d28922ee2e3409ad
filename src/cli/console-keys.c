/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/console-keys.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

int hf_console_key_read(const char *text, int *ret, struct hf_error *err)
{
        unsigned char c = (unsigned char)text[0];

        if (!strcmp(text, "none")) {
                *ret = HF_CONSOLE_NO_KEY;
                return 0;
        }
        if (c && !text[1] && c < 0x80) {
                *ret = c;
                return 0;
        }
        if (c == '^' && text[1] && !text[2]) {
                int upper = text[1] >= 'a' && text[1] <= 'z' ? text[1] - 'a' + 'A' : text[1];

                if (upper >= '@' && upper <= '_') {
                        *ret = upper & 0x1f;
                        return 0;
                }
        }
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                            "a key is one character, one with a caret in front as in \"^]\", or "
                            "\"none\", and not \"%s\"",
                            text);
}

const char *hf_console_key_text(int key, char text[static HF_CONSOLE_KEY_TEXT])
{
        if (key == HF_CONSOLE_NO_KEY)
                (void)snprintf(text, HF_CONSOLE_KEY_TEXT, "none");
        else
                (void)snprintf(text, HF_CONSOLE_KEY_TEXT, key < 0x20 ? "^%c" : "%c",
                               key < 0x20 ? key + '@' : key);
        return text;
}

static enum hf_console_command command_of(const struct hf_console_keys *keys, uint8_t key)
{
        static const struct {
                char key;
                enum hf_console_command command;
        } table[] = {
                {'b', HF_CONSOLE_BREAK}, {'t', HF_CONSOLE_TAKE},   {'T', HF_CONSOLE_TAKE_BY_FORCE},
                {'y', HF_CONSOLE_YIELD}, {'s', HF_CONSOLE_STATUS}, {'.', HF_CONSOLE_LEAVE},
                {'?', HF_CONSOLE_HELP},
        };

        if (key == keys->leave)
                return HF_CONSOLE_LEAVE;
        for (size_t i = 0; i < HF_ARRAY_LEN(table); i++)
                if (key == (uint8_t)table[i].key)
                        return table[i].command;
        return HF_CONSOLE_UNKNOWN;
}

enum hf_console_command hf_console_keys_take(struct hf_console_keys *keys, const uint8_t *in,
                                             size_t n, size_t *ret_skip)
{
        size_t at = 0;

        *ret_skip = 0;
        if (!keys->pending && in[0] == keys->leave) {
                *ret_skip = n;
                return HF_CONSOLE_LEAVE;
        }
        if (!keys->pending) {
                if (in[0] != keys->command)
                        return HF_CONSOLE_NOTHING;
                keys->pending = true;
                *ret_skip = at = 1;
        }
        if (at == n)
                return HF_CONSOLE_NOTHING;
        keys->pending = false;
        /* Twice: once for the guest. */
        if (in[at] == keys->command)
                return HF_CONSOLE_NOTHING;
        *ret_skip = at + 1;
        return command_of(keys, in[at]);
}
