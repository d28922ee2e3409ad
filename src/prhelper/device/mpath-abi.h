/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The interface of libmpathpersist, soname 0, in our own words: the library is loaded where it is
 * found, so its header is not needed to build the helper. Numbers and layouts are those of
 * <mpath_persist.h>; where that header is installed, a unit test compares them one by one.
 */

#include "scsi/pr.h"

#include <stdint.h>

#define HF_MPATH_LIBRARY "libmpathpersist.so.0"

/* What the library is given to fill or to read; also the size of its internal buffers. */
#define HF_MPATH_BUFFER 8192

/* Results of both calls. */
enum hf_mpath_code {
        HF_MPATH_SUCCESS = 0,
        HF_MPATH_SYNTAX_ERROR = 1, /* also: no reservation_key is configured */
        HF_MPATH_NOT_READY = 2,
        HF_MPATH_MEDIUM_ERROR = 3,
        HF_MPATH_HARDWARE_ERROR = 4,
        HF_MPATH_ILLEGAL_REQUEST = 5,
        HF_MPATH_UNIT_ATTENTION = 6,
        HF_MPATH_INVALID_OPERATION = 7,
        HF_MPATH_ABORTED_COMMAND = 8,
        HF_MPATH_NO_SENSE = 9,
        HF_MPATH_MALFORMED = 10,
        HF_MPATH_CONFLICT = 11,
        HF_MPATH_FILE_ERROR = 12,
        HF_MPATH_MAP_ERROR = 13,
        HF_MPATH_THREAD_ERROR = 14,
        HF_MPATH_OTHER = 15,
};

/* Of READ KEYS, and with one entry of other content of READ RESERVATION; numbers as the host's. */
struct hf_mpath_list {
        uint32_t generation;
        uint32_t length; /* of the whole list, which may be more than came */
        uint8_t entries[HF_MPATH_BUFFER];
};

struct hf_mpath_capabilities {
        uint16_t length;
        uint8_t flags[2];
        uint16_t type_mask; /* in the order of its version */
        uint16_t reserved;
};

union hf_mpath_in {
        struct hf_mpath_list list;
        struct hf_mpath_capabilities capabilities;
        /* The library's own structure has this size, without a list of pointers at its end. */
        uint8_t whole[8 + HF_MPATH_BUFFER];
};

struct hf_mpath_id {
        uint8_t format; /* 0, or 0x40 */
        uint8_t protocol;
        union {
                uint8_t port[8]; /* of FC and SAS */
                uint8_t name[256];
        };
};

struct hf_mpath_out {
        uint8_t key[8];
        uint8_t new_key[8];
        uint32_t obsolete;
        uint8_t flags; /* as in byte 20 of the parameter list */
        uint8_t reserved;
        uint16_t obsolete2;
        uint8_t own[HF_MPATH_BUFFER]; /* the library's, to build its list in */
        uint32_t n_ids;
        /* The library's declaration leaves the number open; more than these it does not take. */
        struct hf_mpath_id *ids[HF_PR_IDS_MAX];
};

typedef int (*hf_mpath_in_fn)(int fd, int action, union hf_mpath_in *answer, int noisy,
                              int verbose);
typedef int (*hf_mpath_out_fn)(int fd, int action, int scope, unsigned int type,
                               struct hf_mpath_out *out, int noisy, int verbose);
