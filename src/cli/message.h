/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the command says to a person, apart from its answer: one line each on
 * stderr, "holdfast: ...". Names of VMs and processes come from others, so
 * control characters are never sent to the terminal as they are.
 */

#include "cli/verb.h"

#include <holdfast/holdfast.h>
#include <stddef.h>

/* Longest message: an error's text and as much around it. */
#define HF_MESSAGE_MAX (HOLDFAST_ERROR_TEXT_MAX * 2)

/* Writes one line, in one piece, so that it stays whole beside the VMM's output. */
void hf_message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Bytes of the UTF-8 character at text, 0 if there is none. */
size_t hf_message_utf8(const char *text);

/* The same, but 0 also for what a terminal could take for a command: C0, DEL, C1. */
size_t hf_message_printable(const char *text);

/* Replaces each character that is not printable, and each byte that is none, by '?'; returns text.
 */
char *hf_message_clean(char *text);

/* The exit status for an error of the library. */
int hf_message_status(const struct holdfast_error *err);
