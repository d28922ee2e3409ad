/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as the record of a label; also with the sum that they should have. */

#include "fuzz.h"

#include "label/record.h"

#include <sha2.h>
#include <stdio.h>
#include <string.h>

#define SUM 16

static void read_it(const char *text, size_t size)
{
        struct hf_label_record record, again;
        char *back = NULL;
        size_t len;

        if (hf_label_record_decode(text, size, &record) < 0)
                return;
        FUZZ_PROMISE(record.n_users <= HF_LABEL_USERS_MAX);
        FUZZ_PROMISE(*record.kind && *record.path && *record.original && *record.wanted);
        FUZZ_PROMISE(record.file.n_handle <= sizeof(record.file.handle));
        for (size_t i = 0; i < record.n_users; i++)
                FUZZ_PROMISE(record.users[i].pid >= 0 && *record.users[i].name &&
                             *record.users[i].host);
        /* There is one way to write a record, but for bytes that need not be escaped. */
        FUZZ_PROMISE(hf_label_record_encode(&record, &back, &len) == 0);
        FUZZ_PROMISE(hf_label_record_decode(back, len, &again) == 0);
        FUZZ_PROMISE(again.n_users == record.n_users && again.place == record.place &&
                     !strcmp(again.original, record.original) && !strcmp(again.path, record.path) &&
                     hf_label_file_same(&again.file, &record.file));
        hf_label_record_clear(&record);
        hf_label_record_clear(&again);
        free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char line[] = "sum ";
        const size_t end = sizeof(line) - 1 + 2 * SUM + 1;
        uint8_t digest[SHA256_DIGEST_LENGTH];
        SHA2_CTX context;
        char *text, *at;

        read_it((const char *)data, size);
        if (size < end)
                return 0;
        text = malloc(size + 1);
        if (!text)
                return 0;
        memcpy(text, data, size);
        SHA256Init(&context);
        SHA256Update(&context, data, size - end);
        SHA256Final(digest, &context);
        at = text + size - end;
        at += snprintf(at, end, "%s", line);
        for (size_t i = 0; i < SUM; i++)
                at += snprintf(at, 3, "%02x", digest[i]);
        *at = '\n';
        read_it(text, size);
        free(text);
        return 0;
}
