/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Giving locks back: a name is taken out of what its owner holds, and the lock
 * goes with the last name of the last owner.
 */

#include "daemon/session.h"

/* Gives back what the session's owner holds by that name, when the answer is committed. */
int hf_release(struct hf_session *session, const char *lockspace, const char *name,
               struct hf_error *err);

/* Does so: a hold, and all others that its owner has by that name. May be repeated. */
void hf_release_named(struct hf_server *server, uint32_t hold);

/* Gives back what anybody holds. May be repeated. */
void hf_release_everything(struct hf_server *server);

/* Removes one hold; with the last one the lock goes. */
void hf_give(struct hf_server *server, uint32_t hold);

/* Goes on with a lock that an earlier server was giving back when it was killed. */
void hf_give_again(struct hf_server *server, uint32_t lock);
