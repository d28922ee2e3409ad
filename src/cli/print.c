/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/print.h"

#include "cli/holder.h"
#include "cli/message.h"
#include "cli/verb.h"

#include "base/cleanup.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

/* Widths of a table's columns are kept on the stack. */
#define COLUMNS_MAX 16

struct json_object *hf_print_document(const char *schema)
{
        struct json_object *document = json_object_new_object();

        hf_print_put(document, "schema", json_object_new_string(schema));
        hf_print_put(document, "version", json_object_new_int(HF_PRINT_VERSION));
        return document;
}

struct json_object *hf_print_string(const char *text)
{
        static const char replacement[] = "\xef\xbf\xbd";
        size_t len = strlen(text), at = 0;
        hf_cleanup_free char *clean = malloc(len * (sizeof(replacement) - 1) + 1);

        if (!clean)
                return NULL;
        while (*text) {
                size_t n = hf_message_utf8(text);

                memcpy(clean + at, n ? text : replacement, n ? n : sizeof(replacement) - 1);
                at += n ? n : sizeof(replacement) - 1;
                text += n ? n : 1;
        }
        return json_object_new_string_len(clean, (int)at);
}

struct json_object *hf_print_time(uint64_t since)
{
        time_t seconds = (time_t)(since / 1000000);
        char text[64];
        struct tm tm;
        size_t len;

        if (since == 0 || !gmtime_r(&seconds, &tm))
                return NULL;
        len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(text + len, sizeof(text) - len, ".%06uZ", (unsigned int)(since % 1000000));
        return json_object_new_string(text);
}

void hf_print_put(struct json_object *object, const char *key, struct json_object *value)
{
        if (json_object_object_add(object, key, value) < 0)
                (void)json_object_put(value);
}

void hf_print_json(struct json_object *document)
{
        const int style = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                          JSON_C_TO_STRING_NOSLASHESCAPE;

        (void)puts(json_object_to_json_string_ext(document, style));
}

const char *hf_print_text(struct json_object *row, const char *key)
{
        struct json_object *value = json_object_object_get(row, key);

        return value ? json_object_get_string(value) : "";
}

static const char *text_of(struct json_object *row, const struct hf_print_column *column,
                           char buf[static HF_SINCE_TEXT_MAX])
{
        struct json_object *value = json_object_object_get(row, column->key);
        struct tm tm = {0};

        if (column->is_time && value) {
                (void)strptime(json_object_get_string(value), "%Y-%m-%dT%H:%M:%S", &tm);
                return hf_since_text((uint64_t)timegm(&tm) * 1000000, buf);
        }
        if (json_object_is_type(value, json_type_array)) {
                (void)snprintf(buf, HF_SINCE_TEXT_MAX, "%zu", json_object_array_length(value));
                return buf;
        }
        return hf_print_text(row, column->key);
}

static size_t width_of(const char *text)
{
        size_t width = 0;

        for (; *text; text++)
                width += (*text & 0xc0) != 0x80;
        return width;
}

/* The last column is not padded. */
static void print_cell(const char *text, size_t width, bool last)
{
        size_t shown = width_of(text);

        for (size_t n; *text; text += n) {
                n = hf_message_printable(text);
                if (n) {
                        (void)fwrite(text, 1, n, stdout);
                        continue;
                }
                (void)putchar('?');
                n = hf_message_utf8(text);
                n = n ? n : 1;
        }
        if (last)
                (void)putchar('\n');
        else
                (void)printf("%*s", (int)(width - shown + 2), "");
}

void hf_print_table(struct json_object *rows, const struct hf_print_column *columns, size_t n,
                    void (*detail)(struct json_object *row))
{
        size_t width[COLUMNS_MAX], count = json_object_array_length(rows);
        char buf[HF_SINCE_TEXT_MAX];

        for (size_t c = 0; c < n; c++) {
                width[c] = strlen(columns[c].title);
                for (size_t i = 0; i < count; i++) {
                        struct json_object *row = json_object_array_get_idx(rows, i);
                        size_t shown = width_of(text_of(row, &columns[c], buf));

                        width[c] = shown > width[c] ? shown : width[c];
                }
        }
        for (size_t c = 0; c < n; c++)
                print_cell(columns[c].title, width[c], c + 1 == n);
        for (size_t i = 0; i < count; i++) {
                struct json_object *row = json_object_array_get_idx(rows, i);

                for (size_t c = 0; c < n; c++)
                        print_cell(text_of(row, &columns[c], buf), width[c], c + 1 == n);
                if (detail)
                        detail(row);
        }
}

void hf_print_line(const char *format, ...)
{
        hf_cleanup_free char *line = NULL;
        va_list args;

        va_start(args, format);
        if (vasprintf(&line, format, args) < 0)
                line = NULL;
        va_end(args);
        if (line)
                (void)puts(hf_message_clean(line));
}

int hf_print_end(int status)
{
        if (fflush(stdout) == 0 && !ferror(stdout))
                return status;
        hf_message("cannot write the answer: %s", strerror(errno));
        return HF_EXIT_SYSTEM;
}
