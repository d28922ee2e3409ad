/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Backends: how a command is carried out, one ops table a kind of device.
 *
 * Each has a stage (stage.h): the process that it runs in, with the rights that this takes. sgio
 * runs in the connection's own process. Each other one is a process that the broker starts for a
 * connection when it first needs it, and that is gone with the connection.
 *
 * Which backend a descriptor gets is decided for each command by choose.h, from what the descriptor
 * is, never from what the peer says.
 */

#include "prhelper/settings.h"
#include "prhelper/stage.h"

#include "scsi/pr.h"
#include "scsi/result.h"

#include "base/error.h"

#include <sys/stat.h>

struct hf_pr_request {
        const uint8_t *cdb; /* HF_PR_CDB_SIZE bytes; opcode HF_PR_IN or HF_PR_OUT */
        uint8_t *data;      /* HF_PR_DATA_MAX bytes: the list of OUT, room for the data of IN */
        int fd;             /* the device's, as the peer opened it; -1 in stages that need none */
        struct stat st;     /* of the descriptor */
        const char *unit;   /* of the emulated backend: the logical unit's name; else NULL */
        const char *nexus;  /* who asks, as one initiator: settings.h; "": not known */
};

struct hf_pr_backend {
        const char *name; /* as in the settings' `backends` */
        enum hf_pr_stage stage;
        /*
         * Finds out itself whether a device is its own: runs also where the settings leave it out,
         * and then refuses those that are.
         */
        bool sorts;

        /*
         * Called once in the backend's process, with its rights, before these are given up. May be
         * NULL. -errno and *err: the backend cannot work here; the process lives on, and execute
         * is not called: each command is answered with 5/20/00, and *err is logged once.
         */
        int (*start)(const struct hf_pr_settings *settings, void **ret, struct hf_error *err);

        /*
         * Carries out one command, as long as it takes. Returns 1 with *result filled; 0 if the
         * device is none of its kind after all (mpath: a mapped device without paths below): then
         * sgio has a try. Never fails otherwise: what goes wrong is a status and sense, and a line
         * in *note (may be left as it is) for the log, for people.
         */
        int (*execute)(void *state, const struct hf_pr_request *request,
                       struct hf_scsi_result *result, struct hf_error *note);
};

extern const struct hf_pr_backend hf_pr_sgio;     /* SCSI: the kernel's SG_IO */
extern const struct hf_pr_backend hf_pr_mpath;    /* mapped devices: libmpathpersist */
extern const struct hf_pr_backend hf_pr_nvme;     /* NVMe: pass-through, else the kernel's IOC_PR */
extern const struct hf_pr_backend hf_pr_emulated; /* anything: kept by us in a file */
