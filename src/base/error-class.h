/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Classes of errors, for those who have to choose what to do next.
 *
 * The codes of base/error.h are the wire's and say who found the fault; a class
 * says what the fault means to a caller. Its numbers are those of enum
 * holdfast_code and enum hf_lock_code, the public forms.
 */

#include "base/error.h"

enum hf_error_class {
        HF_CLASS_OK = 0,
        HF_CLASS_SYSTEM = 1,
        HF_CLASS_INVALID = 2,
        HF_CLASS_BUSY = 3,
        HF_CLASS_NO_DAEMON = 4,
        HF_CLASS_DENIED = 5,
        HF_CLASS_CONFIG = 6,
        HF_CLASS_PROTOCOL = 7,
        HF_CLASS_UNSUPPORTED = 8,
        HF_CLASS_TIMEOUT = 9,
        HF_CLASS_INTERNAL = 10,
};

/* The class of an error that was returned as r with *err. Never NO_DAEMON or CONFIG. */
enum hf_error_class hf_error_class(int r, const struct hf_error *err);
