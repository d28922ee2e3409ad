/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Persistent reservations of SCSI in the words of NVMe (base specification, Reservation Register,
 * Acquire, Release and Report), and back: pure. What is alike is alike by design: six types, keys
 * of eight bytes, a generation. What NVMe has not is refused, not made up:
 *
 *   REGISTER AND MOVE, REPLACE LOST RESERVATION   5/24/00
 *   SPEC_I_PT, and with it lists beyond 24 bytes  5/26/00, 5/1A/00
 *   another scope than the logical unit           5/24/00
 *
 * Registrations are of a host, by all of its controllers, whatever ALL_TG_PT says. The rules for
 * who is registered are SCSI's where one command can tell the controller to keep them, and there is
 * a plan of two where it cannot.
 */

#include "scsi/pr.h"
#include "scsi/result.h"

#include <stdbool.h>

enum hf_nvme_opcode {
        HF_NVME_REGISTER = 0x0d,
        HF_NVME_REPORT = 0x0e,
        HF_NVME_ACQUIRE = 0x11,
        HF_NVME_RELEASE = 0x15,
};

/* Keys: CRKEY, and NRKEY or PRKEY. */
#define HF_NVME_KEYS_SIZE 16

struct hf_nvme_command {
        uint8_t opcode;
        uint32_t cdw10;
        uint8_t keys[HF_NVME_KEYS_SIZE]; /* little-endian */
        uint8_t size;                    /* how many bytes of them the command takes */
};

/* How an OUT command is carried out. */
struct hf_nvme_plan {
        bool probe;          /* no command at all: good if this host is not registered */
        bool absent_is_good; /* a conflict means that there was nothing to be taken away */
        bool again;          /* a conflict means: try the second */
        struct hf_nvme_command first, second;
};

/* n: the length of its parameter list. Fills *ret, or gives the fault. */
enum hf_pr_fault hf_nvme_plan(const struct hf_pr_out *out, size_t n, struct hf_nvme_plan *ret);

/* The number of a type in NVMe and in the kernel's IOC_PR_*, and back; 0 for any other. */
unsigned int hf_nvme_type(unsigned int scsi_type);
unsigned int hf_nvme_type_to_scsi(unsigned int nvme_type);

/* Identifier of a host: 8 bytes, or 16 in the extended form. */
#define HF_NVME_HOST_MAX 16

struct hf_nvme_registrant {
        uint16_t controller;
        bool holder;
        uint64_t key;
        uint8_t host[HF_NVME_HOST_MAX];
};

/* As many as READ KEYS has room for. */
#define HF_NVME_REGISTRANTS_MAX ((HF_PR_DATA_MAX - 8) / 8)

/* The longest Report that is asked for: its extended header and that many. */
#define HF_NVME_REPORT_SIZE (64 + 64 * HF_NVME_REGISTRANTS_MAX)

struct hf_nvme_report {
        uint32_t generation;
        unsigned int type; /* as SCSI has it; 0: no reservation */
        bool persists;     /* through a loss of power */
        bool extended;     /* host identifiers of 16 bytes */
        size_t n;
        struct hf_nvme_registrant registrants[HF_NVME_REGISTRANTS_MAX];
};

/*
 * How many bytes the whole of a Report has, of which the first 64 came; `extended` as it was asked
 * for. -E2BIG beyond HF_NVME_REPORT_SIZE.
 */
int hf_nvme_report_size(const uint8_t data[static 64], bool extended);

/*
 * Decodes n bytes of it. A controller from before the extended form ignores that it is asked for
 * it; that is noticed. -EBADMSG if more is announced than came, or a type that there is not.
 */
int hf_nvme_report_decode(const uint8_t *data, size_t n, bool extended, struct hf_nvme_report *ret);

/* Whether a host with this identifier is among the registrants. */
bool hf_nvme_report_has(const struct hf_nvme_report *report,
                        const uint8_t host[static HF_NVME_HOST_MAX]);

/*
 * The data of an IN command, cut to room; rescap: the namespace's reservation capabilities (byte 31
 * of Identify Namespace). Returns its size, or -EOPNOTSUPP for another service action.
 */
int hf_nvme_in(unsigned int action, const struct hf_nvme_report *report, uint8_t rescap,
               uint8_t *data, size_t room);

/* Status codes that mean something to us: type and code, without the bits for "again" and "more".
 */
#define HF_NVME_STATUS_MASK       0x7ff
#define HF_NVME_INVALID_OPCODE    0x001
#define HF_NVME_INVALID_FIELD     0x002
#define HF_NVME_HOST_INCONSISTENT 0x018
#define HF_NVME_CONFLICT          0x083

/* A status of a command into *result; action: of OUT, or -1 for IN. */
void hf_nvme_result(unsigned int status, int action, struct hf_scsi_result *result);
