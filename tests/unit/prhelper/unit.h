/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A logical unit and commands to it as one reads them: ask(&unit, "a", REGISTER, 0, 0x11) is
 * nexus a registering key 0x11. Answers are numbers: 0 good, 0x18 a conflict, and sense as 0xKCCQQ
 * (0x62a05: unit attention 2A/05).
 */

#include "prhelper/emulated/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CONFLICT 0x18

struct unit {
        struct hf_pr_state state;
        uint64_t now;
        int changed; /* as the model returned last */
        size_t size; /* of the data that came */
        uint8_t data[HF_PR_DATA_MAX];
};

/* The answer to an OUT command of 24 bytes without flags. */
unsigned int ask(struct unit *unit, const char *nexus, enum hf_pr_out_action action, uint64_t key,
                 uint64_t new_key);

/* The same with a type. */
unsigned int ask_type(struct unit *unit, const char *nexus, enum hf_pr_out_action action,
                      uint64_t key, uint64_t new_key, enum hf_pr_type type);

/* Any OUT command; its list is as long as n says, if that is not 0. */
unsigned int ask_out(struct unit *unit, const char *nexus, const struct hf_pr_out *out, size_t n);

/* Any IN command; the data is in unit->data. */
unsigned int ask_in(struct unit *unit, const char *nexus, unsigned int action, size_t room);

/* Asserts what is registered, as keys in their order, and what is reserved: 0 for nothing. */
#define assert_keys(unit, ...)                                                                     \
        assert_keys_are((unit), (const uint64_t[]){__VA_ARGS__},                                   \
                        sizeof((const uint64_t[]){__VA_ARGS__}) / 8)
void assert_keys_are(struct unit *unit, const uint64_t *keys, size_t n);
void assert_nobody(struct unit *unit);
void assert_reserved(struct unit *unit, enum hf_pr_type type, uint64_t key);

void unit_clear(struct unit *unit);

#define UNIT __attribute__((cleanup(unit_clear))) struct unit unit = {.now = 1000}
