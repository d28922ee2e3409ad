/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any text as the settings log_filters and log_outputs. Nothing is opened. */

#include "fuzz.h"

#include "base/cleanup.h"
#include "base/log-private.h"

#include <string.h>

static void check_filters(const char *text)
{
        struct hf_log_filter *filters = NULL;
        struct hf_error err = {0};
        size_t n = 0;

        if (hf_log_parse_filters(text, &filters, &n, &err) < 0) {
                FUZZ_PROMISE(*err.text && !filters && !n);
                return;
        }
        FUZZ_PROMISE(!*err.text && (n > 0) == (filters != NULL));
        for (size_t i = 0; i < n; i++) {
                FUZZ_PROMISE(filters[i].level >= HF_LOG_DEBUG && filters[i].level <= HF_LOG_ERROR);
                FUZZ_PROMISE(strlen(filters[i].pattern) > 2 && filters[i].pattern[0] == '*');
        }
        hf_log_free_filters(filters, n);
}

static void check_outputs(const char *text)
{
        struct hf_log_output *outputs = NULL;
        struct hf_error err = {0};
        size_t n = 0;

        if (hf_log_parse_outputs(text, &outputs, &n, &err) < 0) {
                FUZZ_PROMISE(*err.text && !outputs && !n);
                return;
        }
        FUZZ_PROMISE(!*err.text && (n > 0) == (outputs != NULL));
        for (size_t i = 0; i < n; i++) {
                FUZZ_PROMISE(outputs[i].ops && outputs[i].fd == -1);
                FUZZ_PROMISE(!outputs[i].ops->argument || *outputs[i].argument);
        }
        hf_log_free_outputs(outputs, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        hf_cleanup_free char *text = malloc(size + 1);

        FUZZ_PROMISE(text);
        memcpy(text, data, size);
        text[size] = '\0';
        check_filters(text);
        check_outputs(text);
        return 0;
}
