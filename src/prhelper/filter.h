/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Filters of system calls. What a filter does not let through fails with EPERM; nobody is killed
 * for it, so that a library's surprise is an error and not a riddle.
 *
 * The main process and the mapper are kept from what no part of this program does: their children,
 * and a library that is not ours, decide what else they need. The others have a list of what they
 * may do, and that is all.
 */

#include "prhelper/stage.h"

/* Installs the stage's, for the rest of this process's life and its children's. -errno. */
int hf_pr_filter_install(enum hf_pr_stage stage);
