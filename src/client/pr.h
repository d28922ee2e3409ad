/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Persistent reservations, inside: the way to a device (pr.c), the talk with a helper
 * (pr-helper.c), what an answer means to a caller (pr-answer.c), and the calls.
 */

#include "client/client.h"
#include "holdfast/pr.h"
#include "scsi/pr.h"
#include "scsi/result.h"

#include <stdbool.h>

struct holdfast_pr {
        bool direct;
        char *socket; /* NULL if direct */
        int fd;       /* connection to the helper; -1: there is none now */
        int timeout_ms;
};

/*
 * Connects and greets, if that is needed: a connection that the helper has closed is
 * replaced, which is safe as long as no command was sent on it.
 */
int hf_pr_helper_connect(struct holdfast_pr *pr, struct holdfast_error *err);

/*
 * One command over the connection. data has room for what hf_pr_length(cdb) says. After a failure
 * the connection is closed: nobody could tell to which command a late answer belongs.
 */
int hf_pr_helper_command(struct holdfast_pr *pr, int fd, const uint8_t cdb[static HF_PR_CDB_SIZE],
                         void *data, struct hf_scsi_result *ret, struct holdfast_error *err);

/* One command by whichever way; cdb and data are known to be sound. */
int hf_pr_run(struct holdfast_pr *pr, int fd, const uint8_t cdb[static HF_PR_CDB_SIZE], void *data,
              struct hf_scsi_result *ret, struct holdfast_error *err);

/* The same, given anew after unit attentions; a status other than good is a failure, as pr.h says.
 */
int hf_pr_ask(struct holdfast_pr *pr, int fd, const uint8_t cdb[static HF_PR_CDB_SIZE], void *data,
              struct hf_scsi_result *ret, struct holdfast_error *err);
