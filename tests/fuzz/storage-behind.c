/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any text as one argument of a VM's command line, searched for paths. */

#include "fuzz.h"

#include "base/cleanup.h"
#include "storage/behind.h"

#include <limits.h>
#include <string.h>

struct count {
        size_t found, stop_at;
};

static int look(const char *path, void *data)
{
        struct count *count = data;

        FUZZ_PROMISE(path[0] == '/' && strlen(path) < PATH_MAX);
        return ++count->found == count->stop_at ? 7 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        hf_cleanup_free char *text = malloc(size + 1);
        struct count all = {0}, one = {.stop_at = 1};
        size_t slashes = 0;

        FUZZ_PROMISE(text);
        memcpy(text, data, size);
        text[size] = '\0';
        for (const char *at = text; *at; at++)
                slashes += *at == '/';
        FUZZ_PROMISE(hf_behind_scan(text, look, &all) == 0);
        FUZZ_PROMISE(all.found <= slashes && (text[0] != '/' || all.found > 0));
        FUZZ_PROMISE(hf_behind_scan(text, look, &one) == (all.found ? 7 : 0));
        FUZZ_PROMISE(!hf_behind_is_hash(text) || (strlen(text) == 64 && !slashes));
        return 0;
}
