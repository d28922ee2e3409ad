/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Search: who holds a lock that is not in our table, found by reading /proc.
 *
 * All searches are done one after the other, a few processes in each turn of
 * the loop: however many clients are refused at once, the others wait for a few
 * processes only.
 */

#include "daemon/server.h"
#include "storage/users.h"

struct hf_search;

/*
 * Starts to look for the process that holds our byte of the thing. Unless the
 * search is freed before, found is called once, later: with the holder, or with
 * NULL if none can be seen. It may free the search. Returns 0 or a negative errno.
 */
int hf_search_new(struct hf_server *server, const struct hf_thing *thing,
                  void (*found)(void *data, const struct hf_user *holder), void *data,
                  struct hf_search **ret);
struct hf_search *hf_search_free(struct hf_search *search);

/* Who holds our byte of a thing that was looked for, or NULL; belongs to the scan. */
const struct hf_user *hf_search_holder(const struct hf_user_scan *scan,
                                       const struct hf_thing *thing);

/* How many there are. */
unsigned int hf_searches_count(const struct hf_server *server);

/* The handler of the server's searcher: goes on with the first search. */
int hf_searches_serve(sd_event_source *source, int fd, uint32_t revents, void *data);
