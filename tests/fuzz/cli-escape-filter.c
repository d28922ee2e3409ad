/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes as what a guest has printed: what comes out holds nothing that a terminal obeys but
 * colours and the layout of text, and is the same however the input is split.
 */

#include "fuzz.h"

#include "cli/escape-filter.h"

#include <string.h>

/* Behind an ESC: the length of the colour's sequence. */
static size_t check_colour(const char *at, size_t left)
{
        size_t len = 2;

        FUZZ_PROMISE(left > 2 && at[1] == '[');
        while (len < left && (strchr("0123456789;:", at[len]) && at[len]))
                len++;
        FUZZ_PROMISE(len < left && at[len] == 'm');
        return len + 1;
}

/* One character of UTF-8, none of the C1 controls. */
static size_t check_character(const char *at, size_t left)
{
        unsigned char c = (unsigned char)*at;
        size_t len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

        FUZZ_PROMISE(c >= 0xc2 && c < 0xf5 && len <= left);
        for (size_t i = 1; i < len; i++)
                FUZZ_PROMISE(((unsigned char)at[i] & 0xc0) == 0x80);
        FUZZ_PROMISE(c != 0xc2 || (unsigned char)at[1] >= 0xa0);
        return len;
}

static void check_harmless(const char *out, size_t len, bool colours, bool utf8)
{
        for (size_t at = 0; at < len;) {
                unsigned char c = (unsigned char)out[at];

                if (c == 0x1b) {
                        FUZZ_PROMISE(colours);
                        at += check_colour(out + at, len - at);
                } else if (c >= 0x80) {
                        FUZZ_PROMISE(utf8);
                        at += check_character(out + at, len - at);
                } else {
                        FUZZ_PROMISE((c >= ' ' && c < 0x7f) || (c && strchr("\n\r\b\t", c)));
                        at++;
                }
        }
}

/* In pieces of that many bytes. */
static size_t filter(const uint8_t *data, size_t size, size_t piece, bool colours, bool utf8,
                     char *out)
{
        struct hf_escape_filter filter;
        size_t n = 0;

        hf_escape_filter_init(&filter, colours, utf8);
        for (size_t at = 0; at < size; at += piece) {
                size_t len = size - at < piece ? size - at : piece;
                size_t more = hf_escape_filter(&filter, (const char *)data + at, len, out + n);

                FUZZ_PROMISE(more <= HF_ESCAPE_FILTER_ROOM(len));
                n += more;
        }
        return n + hf_escape_filter_end(&filter, out + n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t room = HF_ESCAPE_FILTER_ROOM(size) + 64;
        char *whole = malloc(room), *split = malloc(room);

        FUZZ_PROMISE(whole && split);
        for (int how = 0; how < 4; how++) {
                size_t n = filter(data, size, size ? size : 1, how & 1, how & 2, whole);

                check_harmless(whole, n, how & 1, how & 2);
                FUZZ_PROMISE(filter(data, size, 1, how & 1, how & 2, split) == n &&
                             !memcmp(whole, split, n));
                FUZZ_PROMISE(filter(data, size, 3, how & 1, how & 2, split) == n &&
                             !memcmp(whole, split, n));
        }
        free(whole);
        free(split);
        return 0;
}
