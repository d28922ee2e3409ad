/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What lists have in common: pages that are fetched, and entries that are made of them. */

#include "client/query.h"

/*
 * Fetches a page, adds it to the list, and moves the cursor, which is 0 behind the last one.
 */
typedef int hf_list_fetch(struct hf_query *query, void *list, unsigned int *cursor,
                          struct holdfast_error *err);

/*
 * All pages from our own daemon, and from the system's where we may look there; one of them
 * will do.
 */
int hf_list_ask(hf_list_fetch *fetch, void *list, struct holdfast_error *err);

/*
 * Refuses a list that never ends: total entries so far, n of them from a page behind which
 * next is to come.
 */
int hf_list_check_page(size_t total, size_t n, unsigned int next, struct holdfast_error *err);

/* Refuses flags; there are none yet. */
int hf_list_check_flags(unsigned int flags, struct holdfast_error *err);

/* Grows *array by one pointer when its length is a power of two. -ENOMEM. */
int hf_list_make_room(void ***array, size_t n);

/* NULL: out of memory. Free it with hf_list_free_vm, for which NULL is fine. */
struct holdfast_vm_info *hf_list_make_vm(const struct hf_holdfast_owner *from);
void hf_list_free_vm(const struct holdfast_vm_info *info);

struct holdfast_thing hf_list_make_thing(const struct hf_holdfast_thing *from);
