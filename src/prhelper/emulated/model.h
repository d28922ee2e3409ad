/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The rules of persistent reservations (SPC-4, 5.13), as a function from one state of a logical
 * unit to the next. Pure: who keeps the state, and where, is a store's (store.h).
 */

#include "scsi/pr.h"
#include "scsi/result.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names of initiators: "HOST" or "HOST/VM". */
#define HF_PR_NEXUS_MAX 512

/* Registrants of one unit: hosts, or VMs. One answer carries 1023 keys; nobody has a tenth. */
#define HF_PR_NEXUSES_MAX 256

/* Nexuses with nothing but a message that nobody fetched, kept at most; the oldest goes first. */
#define HF_PR_ATTENTIONS_MAX 256

/*
 * How long a message waits, in seconds. A disk keeps it for ever, but a disk also tells it with the
 * next READ; here only the next PR command can carry it, and after an hour who asks that looks anew
 * anyway.
 */
#define HF_PR_ATTENTION_AGE 3600

/* A boot id is a UUID in text. */
#define HF_PR_BOOT_MAX 40

struct hf_pr_nexus_state {
        char name[HF_PR_NEXUS_MAX];
        uint64_t key; /* 0: not registered, only a message waits */
        bool all_tg_pt;
        char boot[HF_PR_BOOT_MAX]; /* of its host, when it registered: power.h */
        uint16_t attention; /* enum hf_sense_code of what it is told with its next command; 0: no */
        uint64_t attention_since; /* seconds since the epoch: for the bound in time */
};

struct hf_pr_state {
        uint32_t generation;
        bool aptpl;   /* as the last successful REGISTER said; without it: power.h */
        uint8_t type; /* HF_PR_NONE: no reservation */
        char holder[HF_PR_NEXUS_MAX]; /* "" with types 7 and 8 */
        size_t n;
        struct hf_pr_nexus_state *nexuses; /* n of them, in the order they came; by realloc */
};

/*
 * Carries out one command of that nexus at the time `now` (seconds since the epoch). data has the
 * list of OUT, or room for the data of IN (HF_PR_DATA_MAX bytes). Changes *state only if the result
 * is good, or a message was told. Returns 1 if *state changed and has to be kept before the answer
 * goes out, 0 if not, -ENOMEM, -ENAMETOOLONG (of the nexus).
 */
int hf_pr_model(struct hf_pr_state *state, const char *nexus, uint64_t now, const uint8_t *cdb,
                uint8_t *data, struct hf_scsi_result *result);

/* Whether there can be such a state: what a store reads is judged by it. */
bool hf_pr_state_sound(const struct hf_pr_state *state);

void hf_pr_state_clear(struct hf_pr_state *state);
