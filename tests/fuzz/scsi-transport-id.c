/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a TransportID. */

#include "fuzz.h"

#include "scsi/transport-id.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct hf_transport_id id, again;
        uint8_t bytes[HF_TRANSPORT_ID_MAX];
        char text[HF_TRANSPORT_TEXT_MAX];
        int used = hf_transport_id_decode(data, size, &id), length;

        if (used < 0)
                return 0;
        FUZZ_PROMISE(used >= 8 && (size_t)used <= size && used <= HF_TRANSPORT_ID_MAX);
        FUZZ_PROMISE(memchr(id.name, '\0', sizeof(id.name)));
        hf_transport_id_text(&id, text);
        for (const char *at = text; *at; at++)
                FUZZ_PROMISE((unsigned char)*at >= ' ' && *at != 0x7f);
        length = hf_transport_id_encode(&id, bytes, sizeof(bytes));
        FUZZ_PROMISE(length > 0);
        FUZZ_PROMISE(hf_transport_id_decode(bytes, (size_t)length, &again) == length);
        FUZZ_PROMISE(again.address == id.address && !strcmp(again.name, id.name));
        return 0;
}
