/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The audit: each PERSISTENT RESERVE OUT is one message at level info ("warning" where it was
 * refused by policy), with fields for the journal: who, on what, what, with which keys, what came
 * of it.
 */

#include "prhelper/backend.h"
#include "prhelper/peer.h"

/* The module of its messages, for log_filters. */
#define HF_PR_AUDIT_MODULE "pr.audit"

/*
 * out: NULL where the list could not be decoded. backend: NULL where none was asked. rule: of the
 * policy that denied it, or 0.
 */
void hf_pr_audit(const struct hf_pr_peer *peer, const struct hf_pr_request *request,
                 const char *backend, const struct hf_pr_out *out, int rule,
                 const struct hf_scsi_result *result);
