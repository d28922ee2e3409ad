/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files of the table, see store.h. */

#include "label/store.h"

#include <stdbool.h>

/* As hf_label_load, for the table alone, and whatever the place says. */
int hf_table_load(const struct hf_label_store *store, const struct hf_label_image *image,
                  const struct hf_label_kind *kind, struct hf_label_record *ret,
                  struct hf_error *err);

/* Writes the record durably, as it is. */
int hf_table_save(const struct hf_label_store *store, const struct hf_label_image *image,
                  const struct hf_label_record *record, struct hf_error *err);

int hf_table_remove(const struct hf_label_store *store, const struct hf_label_image *image,
                    const struct hf_label_kind *kind, struct hf_error *err);

/* An entry as it was found. */
struct hf_table_entry {
        char *name;
        bool damaged; /* the record is not set then */
        struct hf_label_record record;
};

struct hf_table_list {
        struct hf_table_entry *entries;
        size_t n;
};

/* All entries, in the order of their paths. No directory is an empty list. */
int hf_table_list(const char *dir, struct hf_table_list *ret, struct hf_error *err);
void hf_table_list_clear(struct hf_table_list *list);

#define hf_cleanup_table_list __attribute__((cleanup(hf_table_list_clear)))

/* Removes what was being written by processes that are gone. */
void hf_table_sweep(const char *dir);

/*
 * Removes the entry by that name if it still has that record: what another image's record has
 * taken the place of stays. None there is no error.
 */
int hf_table_drop(const char *dir, const struct hf_table_entry *entry, struct hf_error *err);
