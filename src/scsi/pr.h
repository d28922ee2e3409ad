/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Persistent reservations as SCSI has them: the two commands, their parameter lists and
 * their data, between bytes and bounded structures. Sources: SPC-4, clauses 5.13 (rules),
 * 6.15 and 6.16 (commands); the numbers are the standard's.
 *
 * All here is pure: no descriptors, no memory that is not the caller's.
 */

#include "scsi/transport-id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_PR_IN  0x5e
#define HF_PR_OUT 0x5f

/* What travels between a VMM and its helper, zero padded: the longest CDB that SG_IO is given. */
#define HF_PR_CDB_SIZE 16

/* Longest parameter list and longest data of one command that a helper carries (QEMU's limit). */
#define HF_PR_DATA_MAX 8192

/* A parameter list without TransportIDs. */
#define HF_PR_LIST_SIZE 24

enum hf_pr_in_action {
        HF_PR_READ_KEYS = 0,
        HF_PR_READ_RESERVATION = 1,
        HF_PR_REPORT_CAPABILITIES = 2,
        HF_PR_READ_FULL_STATUS = 3,
};

enum hf_pr_out_action {
        HF_PR_REGISTER = 0,
        HF_PR_RESERVE = 1,
        HF_PR_RELEASE = 2,
        HF_PR_CLEAR = 3,
        HF_PR_PREEMPT = 4,
        HF_PR_PREEMPT_AND_ABORT = 5,
        HF_PR_REGISTER_AND_IGNORE = 6,
        HF_PR_REGISTER_AND_MOVE = 7,
        HF_PR_REPLACE_LOST = 8,
};

enum hf_pr_type {
        HF_PR_NONE = 0, /* no reservation */
        HF_PR_WRITE_EXCLUSIVE = 1,
        HF_PR_EXCLUSIVE_ACCESS = 3,
        HF_PR_WRITE_EXCLUSIVE_REGISTRANTS = 5,
        HF_PR_EXCLUSIVE_ACCESS_REGISTRANTS = 6,
        HF_PR_WRITE_EXCLUSIVE_ALL = 7,
        HF_PR_EXCLUSIVE_ACCESS_ALL = 8,
};

/* Whether type is one of the six. */
bool hf_pr_type_known(unsigned int type);

/* Types for which every registrant is a holder (7, 8). */
bool hf_pr_type_is_all(unsigned int type);

/* Types that let registrants in (5 to 8). */
bool hf_pr_type_for_registrants(unsigned int type);

/*
 * "write-exclusive", "exclusive-access", "write-exclusive-registrants",
 * "exclusive-access-registrants", "write-exclusive-all", "exclusive-access-all";
 * NULL for any other number. And back: 0 for a word that is none of them.
 */
const char *hf_pr_type_name(unsigned int type);
unsigned int hf_pr_type_of(const char *name);

/* "register", "reserve", "preempt-and-abort", "read-keys", ...; NULL for an unknown number. */
const char *hf_pr_out_name(unsigned int action);
const char *hf_pr_in_name(unsigned int action);

/* ---- PERSISTENT RESERVE OUT ------------------------------------------------------------- */

/* More initiators than libmpathpersist can be told of at once (MPATH_MX_TIDS), so no more here. */
#define HF_PR_IDS_MAX 32

struct hf_pr_out {
        uint8_t action;   /* enum hf_pr_out_action, or any other that came: 5 bits */
        uint8_t scope;    /* 0: the logical unit, the only one that is not obsolete */
        uint8_t type;     /* 4 bits as they came */
        uint64_t key;     /* RESERVATION KEY: of who asks */
        uint64_t new_key; /* SERVICE ACTION RESERVATION KEY: to be registered, or of the victim */
        bool aptpl, all_tg_pt, spec_i_pt;
        size_t n_ids; /* with spec_i_pt, of REGISTER and REGISTER AND IGNORE */
        struct hf_transport_id ids[HF_PR_IDS_MAX];
};

/*
 * Why a parameter list was not understood: what a device answers to such a one, as sense with
 * key 5 (illegal request).
 */
enum hf_pr_fault {
        HF_PR_FAULT_NONE = 0,
        HF_PR_FAULT_LENGTH = 0x1a00, /* PARAMETER LIST LENGTH ERROR */
        HF_PR_FAULT_FIELD = 0x2600,  /* INVALID FIELD IN PARAMETER LIST */
        HF_PR_FAULT_CDB = 0x2400,    /* INVALID FIELD IN CDB */
        HF_PR_FAULT_OPCODE = 0x2000, /* INVALID COMMAND OPERATION CODE */
};

/*
 * Decodes an OUT command with its parameter list of n bytes. Judges only what cannot be decoded:
 * a list below 24 bytes (HF_PR_FAULT_LENGTH), TransportIDs that do not fit, of an unknown kind or
 * more than HF_PR_IDS_MAX (HF_PR_FAULT_FIELD). A list for REGISTER AND MOVE is decoded as far as
 * its first 24 bytes. Returns HF_PR_FAULT_NONE and *ret, or the fault and leaves *ret as it was.
 */
enum hf_pr_fault hf_pr_out_decode(const uint8_t cdb[static HF_PR_CDB_SIZE], const uint8_t *list,
                                  size_t n, struct hf_pr_out *ret);

/*
 * The bytes of such a command; ids are written after the list when spec_i_pt is set. Returns the
 * length of the list, or -E2BIG if it does not fit size.
 */
int hf_pr_out_encode(const struct hf_pr_out *out, uint8_t cdb[static HF_PR_CDB_SIZE], uint8_t *list,
                     size_t size);

/* ---- PERSISTENT RESERVE IN -------------------------------------------------------------- */

/* The service action (5 bits) and the allocation length of an IN command. */
unsigned int hf_pr_in_action(const uint8_t cdb[static HF_PR_CDB_SIZE]);
size_t hf_pr_length(const uint8_t cdb[static HF_PR_CDB_SIZE]); /* of OUT: of its list */

/* The bytes of an IN command that offers `room` bytes, HF_PR_DATA_MAX at most. */
void hf_pr_in_encode(unsigned int action, size_t room, uint8_t cdb[static HF_PR_CDB_SIZE]);

struct hf_pr_capabilities {
        bool rlr_c, crh, sip_c, atp_c, ptpl_c;
        bool tmv;      /* type_mask says something */
        uint8_t allow; /* ALLOW COMMANDS, 3 bits */
        bool ptpl_a;
        uint16_t type_mask; /* bit N: type N of enum hf_pr_type is supported */
};

struct hf_pr_reservation {
        uint32_t generation;
        uint64_t key; /* of the holder; 0 with types 7 and 8 */
        uint8_t scope;
        uint8_t type; /* HF_PR_NONE: there is no reservation */
};

/* One line of READ FULL STATUS. */
struct hf_pr_registrant {
        uint64_t key;
        bool all_tg_pt, holder;
        uint8_t scope, type; /* of a holder */
        uint16_t port;       /* relative target port */
        struct hf_transport_id id;
};

/*
 * Data of a device into structures. n is what came, which may be less than the device has: *ret_n
 * is how many entries it says it has, and at most `room` of those that came are stored: keys and
 * full status return how many that is. All return 0 or more, or -EBADMSG if that is no such data.
 * Entries of full status have no fixed size: *ret_n counts those that came whole, and one more if
 * that was not all.
 */
int hf_pr_keys_decode(const uint8_t *data, size_t n, uint32_t *ret_generation, uint64_t *keys,
                      size_t room, size_t *ret_n);
int hf_pr_reservation_decode(const uint8_t *data, size_t n, struct hf_pr_reservation *ret);
/*
 * Understands the two bytes of the type mask in both orders: multipath-tools 0.5 to 0.13 give
 * them swapped.
 */
int hf_pr_capabilities_decode(const uint8_t *data, size_t n, struct hf_pr_capabilities *ret);
int hf_pr_full_status_decode(const uint8_t *data, size_t n, uint32_t *ret_generation,
                             struct hf_pr_registrant *registrants, size_t room, size_t *ret_n);

/*
 * And back, for who answers in a device's place. Each writes at most size bytes (the allocation
 * length), cut where the standard says so, and returns how many; the lengths within are those of
 * the whole.
 */
size_t hf_pr_keys_encode(uint32_t generation, const uint64_t *keys, size_t n, uint8_t *data,
                         size_t size);
size_t hf_pr_reservation_encode(const struct hf_pr_reservation *reservation, uint8_t *data,
                                size_t size);
size_t hf_pr_capabilities_encode(const struct hf_pr_capabilities *capabilities, uint8_t *data,
                                 size_t size);
size_t hf_pr_full_status_encode(uint32_t generation, const struct hf_pr_registrant *registrants,
                                size_t n, uint8_t *data, size_t size);
