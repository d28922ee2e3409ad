/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The driver that locks nothing: built into the library, for hosts where
 * something else keeps two VMs apart, and to look at what a program does
 * without locks. It takes every resource and says that it guarantees nothing.
 */

#include "holdfast/lock-driver.h"

extern const struct hf_lock_driver hf_nop_driver;
