/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a log's .times: what is a line of ours says the same when it is written again. */

#include "fuzz.h"

#include "console/transcript-times.h"

#include <string.h>

static void check_line(const char *text, size_t len)
{
        struct hf_times_line line, again;
        char written[HF_TIMES_LINE_MAX];
        size_t n;

        if (!hf_times_parse(text, len, &line))
                return;
        FUZZ_PROMISE(line.end >= line.offset);
        n = hf_times_format(&line, written);
        FUZZ_PROMISE(n > 0 && n < sizeof(written) && written[n - 1] == '\n');
        FUZZ_PROMISE(hf_times_parse(written, n - 1, &again));
        FUZZ_PROMISE(again.kind == line.kind && again.offset == line.offset &&
                     again.end == line.end && again.position == line.position &&
                     again.run == line.run && again.count == line.count && again.usec == line.usec);
        n = hf_times_bracket(line.count, line.usec, true, written);
        FUZZ_PROMISE(n < sizeof(written) && written[n - 1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *text = (const char *)data, *at = text, *newline;
        struct hf_times_line origin, mark;
        size_t whole;

        for (int begun = 0; begun < 2; begun++) {
                (void)hf_times_last(text, size, begun, &origin, &mark, &whole);
                FUZZ_PROMISE(whole <= size && (whole == 0 || text[whole - 1] == '\n'));
        }
        for (; (newline = memchr(at, '\n', size - (size_t)(at - text))); at = newline + 1)
                check_line(at, (size_t)(newline - at));
        return 0;
}
