/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * holdfast pr: what its verbs share. Each names one device; commands for it go through a
 * helper, so that no right is needed but to open the device, or straight to it.
 */

#include "cli/verb.h"

#include <holdfast/pr.h>
#include <json-c/json.h>
#include <stdbool.h>

struct hf_pr_given {
        struct hf_standard_options standard;
        const char *socket; /* of the helper; NULL: the system's */
        bool direct, json;
        uint64_t key, new_key, victim; /* those that were given, as the has_ members say */
        bool has_key, has_new_key, has_victim;
        unsigned int type; /* 0: not given */
        bool abort, ignore, persist, all_ports;
};

/* Rows of the options that all verbs have. */
#define HF_PR_OPTIONS                                                                              \
        {.long_name = "socket",                                                                    \
         .argument = "PATH",                                                                       \
         .help = "socket of the helper (default: the system's)",                                   \
         .kind = HF_OPTION_STRING,                                                                 \
         .offset = offsetof(struct hf_pr_given, socket)},                                          \
                {.long_name = "direct",                                                            \
                 .help = "ask the device without a helper, which takes CAP_SYS_RAWIO",             \
                 .kind = HF_OPTION_FLAG,                                                           \
                 .offset = offsetof(struct hf_pr_given, direct)},                                  \
                HF_JSON_OPTION(struct hf_pr_given),                                                \
                HF_STANDARD_OPTIONS(struct hf_pr_given, standard)

/* A device that is open, and the way to it. */
struct hf_pr_device {
        const char *path;
        int fd;
        struct holdfast_pr *pr;
        bool json;
};

/*
 * Reads the options and which device. Returns 0; otherwise the verb ends with *ret_status, which
 * was explained.
 */
int hf_pr_read(const struct hf_options *options, int argc, char **argv, struct hf_pr_given *given,
               struct hf_pr_device *device, int *ret_status);

/* Opens that device, for changes if writable. As hf_pr_read; to be closed in any case. */
int hf_pr_open(const struct hf_pr_given *given, bool writable, struct hf_pr_device *device,
               int *ret_status);

/* Both, to look. */
int hf_pr_begin(const struct hf_options *options, int argc, char **argv, struct hf_pr_given *given,
                struct hf_pr_device *device, int *ret_status);
void hf_pr_end(struct hf_pr_device *device);

#define HF_PR_DEVICE_INIT                                                                          \
        {                                                                                          \
                .fd = -1                                                                           \
        }
#define hf_cleanup_pr_device hf_cleanup(hf_pr_end)

/* Says what went wrong with the device. Returns the exit status. */
int hf_pr_failed(const struct hf_pr_device *device, const struct holdfast_error *err);

/* A key as all of ours write it: "0x1234". */
#define HF_PR_KEY_TEXT 24
const char *hf_pr_key_text(uint64_t key, char ret[static HF_PR_KEY_TEXT]);
struct json_object *hf_pr_key_json(uint64_t key);

/* {"type", "key"} of a reservation; NULL where there is none. */
struct json_object *hf_pr_reservation_json(const struct holdfast_pr_reservation *reservation);

/* ---- the verbs -------------------------------------------------------------------------- */

int hf_pr_verb_keys(int argc, char **argv);
int hf_pr_verb_status(int argc, char **argv);
int hf_pr_verb_capabilities(int argc, char **argv);
int hf_pr_verb_register(int argc, char **argv);
int hf_pr_verb_reserve(int argc, char **argv);
int hf_pr_verb_release(int argc, char **argv);
int hf_pr_verb_clear(int argc, char **argv);
int hf_pr_verb_preempt(int argc, char **argv);
