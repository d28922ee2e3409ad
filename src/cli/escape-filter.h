/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a guest has printed, without what could harm a terminal or deceive who reads it.
 *
 * A guest may print anything: a sequence that has the terminal answer as if its user had typed,
 * fills the clipboard, renames the window, or writes over what stands above. What passes is
 * text, newline, carriage return, backspace and tabulator; and colours (SGR), where they are
 * wanted, without the one that hides text. All other control characters and sequences are dropped.
 * Strings to the terminal (OSC, DCS, ...) that do not end are given up at the end of the line, so
 * that nobody can hide the rest of a log behind their begin.
 *
 * Text is UTF-8. What is none, and characters that turn the direction of writing around, become
 * U+FFFD; C1 control characters are the sequences they stand for. For a terminal that does not
 * speak UTF-8 all that is not ASCII becomes a question mark.
 *
 * Pure; input may be split anywhere.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An SGR sequence that is longer than this is no colour. */
#define HF_ESCAPE_SGR_MAX 48

struct hf_escape_filter {
        bool colours, utf8;
        bool coloured; /* something other than the terminal's own colours is on */
        uint8_t state;
        uint16_t string; /* bytes of a string so far */
        uint8_t held;    /* bytes of a sequence, or of a character */
        uint8_t wanted;  /* of a character */
        char bytes[HF_ESCAPE_SGR_MAX];
};

void hf_escape_filter_init(struct hf_escape_filter *filter, bool colours, bool utf8);

/* What len bytes may become at most. */
#define HF_ESCAPE_FILTER_ROOM(len) (3 * (len) + HF_ESCAPE_SGR_MAX + 8)

/* Filters len bytes into out, which has that room. Returns how many came out. */
size_t hf_escape_filter(struct hf_escape_filter *filter, const char *in, size_t len, char *out);

/* At the end: what an unfinished character becomes, and the terminal's own colours. Room: 8. */
size_t hf_escape_filter_end(struct hf_escape_filter *filter, char *out);
