/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Structures that begin with their own size, so that two sides compiled at
 * different times can pass them to each other: members are only added at the end.
 */

#include <stddef.h>

/* Whether a structure that the other side made goes as far as that field. */
#define HF_HAS(object, field)                                                                      \
        ((object)->size >= offsetof(__typeof__(*(object)), field) + sizeof((object)->field))
