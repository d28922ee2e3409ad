/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Answers: for programs as JSON, for people as a table of the same facts.
 *
 * A verb builds one JSON document: {"schema": "holdfast.ps", "version": 1, ...}.
 * Members may be added; when one is removed or changes its meaning, the version
 * goes up.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HF_PRINT_VERSION 1

/* NULL if out of memory. */
struct json_object *hf_print_document(const char *schema);

/* A string for JSON: what is not UTF-8 (names and paths may be anything) becomes U+FFFD. */
struct json_object *hf_print_string(const char *text);

/* A time as UTC, "2026-01-31T10:04:05.123456Z"; null for 0. since: microseconds. */
struct json_object *hf_print_time(uint64_t since);

/* object[key] = value, and gives object the reference; NULL stands for null. */
void hf_print_put(struct json_object *object, const char *key, struct json_object *value);

/* Writes the document and a newline. */
void hf_print_json(struct json_object *document);

struct hf_print_column {
        const char *title;
        const char *key; /* of the row's member; of an array its length is shown */
        bool is_time;    /* as hf_print_time made it; shown as hf_since_text does */
};

/* Writes rows (an array of objects) below titles, columns aligned; after each row, detail(row). */
void hf_print_table(struct json_object *rows, const struct hf_print_column *columns, size_t n,
                    void (*detail)(struct json_object *row));

/* Writes one line of text, fit for a terminal whatever is put into it. */
void hf_print_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The member as text as it is, or "". Belongs to row. */
const char *hf_print_text(struct json_object *row, const char *key);

/* Whether all that was written to stdout got there; reports it if not. Returns an exit status. */
int hf_print_end(int status);
