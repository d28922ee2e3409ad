/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as the record of a lock's holder; also with the checksum that they should have. */

#include "fuzz.h"

#include "storage/record.h"

#include <sha2.h>
#include <string.h>

#define CHECKED 496

static void read_it(const uint8_t *block, size_t size)
{
        struct hf_record record, again;
        uint8_t back[HF_RECORD_SIZE];

        if (hf_record_decode(block, size, &record) < 0)
                return;
        FUZZ_PROMISE(size == HF_RECORD_SIZE && record.pid >= 0);
        FUZZ_PROMISE(strlen(record.host) < sizeof(record.host) &&
                     strlen(record.via) < sizeof(record.via) &&
                     strlen(record.vm) < sizeof(record.vm) &&
                     strlen(record.resource) < sizeof(record.resource) &&
                     strlen(record.lockspace) < sizeof(record.lockspace));
        for (const char *at = record.vm; *at; at++)
                FUZZ_PROMISE((unsigned char)*at >= ' ' && *at != 0x7f);
        hf_record_encode(&record, back);
        FUZZ_PROMISE(hf_record_decode(back, sizeof(back), &again) == 0);
        FUZZ_PROMISE(again.sequence == record.sequence && hf_record_same_host(&again, &record) &&
                     !strcmp(again.vm, record.vm));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t block[HF_RECORD_SIZE], digest[SHA256_DIGEST_LENGTH];
        SHA2_CTX context;

        read_it(data, size);
        if (size != sizeof(block))
                return 0;
        memcpy(block, data, size);
        SHA256Init(&context);
        SHA256Update(&context, block, CHECKED);
        SHA256Final(digest, &context);
        memcpy(block + CHECKED, digest, sizeof(block) - CHECKED);
        read_it(block, size);
        return 0;
}
