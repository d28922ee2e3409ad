/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Learning: what a lock protects, where that was not known when it was taken.
 *
 * A disk that is hot-plugged by a hashed name is not yet open in its VM when the
 * lock is asked for, so nothing but the name is known. Later it is: then another
 * name of the same disk is seen as what it is.
 */

#include "daemon/server.h"

/* Looks again for the things that are searched for, as often as the searches may cost. */
void hf_learn_things(struct hf_server *server);
