/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Holder records (storage/record.h) as this daemon writes and tells them: for which
 * VM it has a lock, for the people at other hosts, and who at another host has one that
 * it wants.
 */

#include "daemon/acquire-private.h"

/* Learns what is the same in all records of this daemon's life. server->pids is set. */
void hf_holder_know_self(struct hf_server *server);

/* Says in an order to take a lock what its record is to be; nothing, where records are not wanted.
 */
void hf_holder_fill(const struct hf_acquire_job *job, struct hf_order *ret);

/*
 * Says in an order to give one back that its record goes. inside: it is in the locked file. Not
 * to be said of a lock that was lost: what is there may be the next holder's.
 */
void hf_holder_clear(const struct hf_server *server, bool inside, struct hf_order *ret);

/*
 * Writes the record of a lock that was taken before anybody is served, for as long as that
 * takes. fd stays the caller's.
 */
void hf_holder_write(const struct hf_acquire_job *job, int fd);

/* Notes in the log that a lock has no record. */
void hf_holder_report(const struct hf_acquire_job *job, int status);

/* Notes what a record says, unless it is one of this host, which then is stale. */
void hf_holder_note(struct hf_acquire_job *job, const struct hf_record *record);

/* Who has it on another host, in words: "web1 (pid 4711, host alpha, since 10:04, ...)". */
void hf_holder_describe(const struct hf_server *server, const struct hf_record *record,
                        char buf[static HF_DESCRIPTION_MAX]);

/* " (cluster-advisory)" where that is what the lock of a thing is worth, else "". */
const char *hf_holder_reach(struct hf_server *server, const struct hf_thing *file);
