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

/* Whether a terminal could take what stands at text for a command: C0, DEL, C1 as UTF-8. */
bool hf_message_is_control(const char *text);

/* Replaces what a terminal could take for a command by '?'; returns text. */
char *hf_message_clean(char *text);

/* The exit status for an error of the library. */
int hf_message_status(const struct holdfast_error *err);
