/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Where the helper's messages go. Its stderr is libvirt's, which reads there why a start failed, so
 * it is kept for what is wrong (and more with -v); the audit goes to the journal, where there is
 * one, also with -q.
 */

#include "prhelper/options.h"
#include "prhelper/settings.h"

/* -EINVAL and others with *err: the settings' log_filters or log_outputs. */
int hf_pr_log_apply(const struct hf_pr_arguments *arguments, const struct hf_pr_settings *settings,
                    struct hf_error *err);
