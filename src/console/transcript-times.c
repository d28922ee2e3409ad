/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/transcript-times.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define USEC_PER_SEC UINT64_C(1000000)

size_t hf_times_format(const struct hf_times_line *line, char ret[HF_TIMES_LINE_MAX])
{
        int n = 0;

        if (line->kind == HF_TIMES_ORIGIN)
                n = snprintf(ret, HF_TIMES_LINE_MAX, "origin %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                             line->offset, line->position, line->run);
        else if (line->kind == HF_TIMES_MISSING)
                n = snprintf(ret, HF_TIMES_LINE_MAX,
                             "missing %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                             " %" PRIu64 "\n",
                             line->offset, line->end, line->position, line->run, line->count,
                             line->usec);
        else
                n = snprintf(ret, HF_TIMES_LINE_MAX, "%" PRIu64 " %" PRIu64 "\n", line->offset,
                             line->usec);
        return n < 0 ? 0 : (size_t)n;
}

/* The next number, behind one space where there is something before it. */
static bool take_number(const char **at, const char *end, bool first, uint64_t *ret)
{
        uint64_t value = 0;
        const char *digit = *at;

        if (!first) {
                if (digit == end || *digit != ' ')
                        return false;
                digit++;
        }
        *at = digit;
        for (; digit < end && *digit >= '0' && *digit <= '9'; digit++)
                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(*digit - '0'), &value))
                        return false;
        if (digit == *at)
                return false;
        *at = digit;
        *ret = value;
        return true;
}

static bool has_word(const char **at, const char *end, const char *word)
{
        size_t len = strlen(word);

        if ((size_t)(end - *at) < len || memcmp(*at, word, len) != 0)
                return false;
        *at += len;
        return true;
}

bool hf_times_parse(const char *text, size_t len, struct hf_times_line *ret)
{
        struct hf_times_line line = {.kind = HF_TIMES_MARK};
        uint64_t *mark[] = {&line.offset, &line.usec};
        uint64_t *origin[] = {&line.offset, &line.position, &line.run};
        uint64_t *missing[] = {&line.offset, &line.end,   &line.position,
                               &line.run,    &line.count, &line.usec};
        uint64_t **fields = mark;
        const char *at = text, *end = text + len;
        size_t n = 2;

        if (has_word(&at, end, "origin")) {
                line.kind = HF_TIMES_ORIGIN;
                fields = origin;
                n = 3;
        } else if (has_word(&at, end, "missing")) {
                line.kind = HF_TIMES_MISSING;
                fields = missing;
                n = 6;
        }
        for (size_t i = 0; i < n; i++)
                if (!take_number(&at, end, at == text, fields[i]))
                        return false;
        if (line.kind != HF_TIMES_MISSING)
                line.end = line.offset;
        if (at != end || line.end < line.offset || line.end - line.offset > HF_TIMES_LINE_MAX)
                return false;
        *ret = line;
        return true;
}

bool hf_times_last(const char *text, size_t len, bool begun, struct hf_times_line *ret_origin,
                   struct hf_times_line *ret_mark, size_t *ret_whole)
{
        struct hf_times_line line;
        const char *at = text, *end = text + len, *newline;
        bool found = false;

        *ret_mark = (struct hf_times_line){0};
        *ret_whole = 0;
        for (; (newline = memchr(at, '\n', (size_t)(end - at))); at = newline + 1) {
                bool skipped = begun;

                begun = false;
                *ret_whole = (size_t)(newline + 1 - text);
                if (skipped || !hf_times_parse(at, (size_t)(newline - at), &line))
                        continue;
                if (line.kind == HF_TIMES_MARK) {
                        *ret_mark = line;
                        continue;
                }
                *ret_origin = line;
                found = true;
        }
        return found;
}

size_t hf_times_bracket(uint64_t count, uint64_t usec, bool after_text, char ret[HF_TIMES_LINE_MAX])
{
        time_t seconds = (time_t)(usec / USEC_PER_SEC);
        struct tm parts;
        char when[64] = "?";
        int n;

        if (gmtime_r(&seconds, &parts))
                (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &parts);
        n = snprintf(ret, HF_TIMES_LINE_MAX,
                     "%s[holdfast: %" PRIu64 " bytes are missing, until %s]\n",
                     after_text ? "\n" : "", count, when);
        return n < 0 ? 0 : (size_t)n;
}
