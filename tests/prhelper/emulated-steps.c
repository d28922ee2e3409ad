/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Registers one key after the other with an emulated unit, as the helper does it, and says each one
 * that was answered as good: what a test may then kill at any step.
 *
 * Usage: emulated-steps sqlite|files PLACE UNIT NEXUS FIRST COUNT
 */

#include "prhelper/backend.h"

#include "base/cleanup.h"

#include <err.h>
#include <string.h>

static uint64_t number(const char *text)
{
        return strtoull(text, NULL, 0);
}

int main(int argc, char **argv)
{
        static uint8_t data[HF_PR_DATA_MAX];
        struct hf_pr_settings settings = {0};
        struct hf_scsi_result result;
        struct hf_error error = {0};
        uint8_t cdb[HF_PR_CDB_SIZE];
        struct hf_pr_request request = {.cdb = cdb, .data = data, .fd = -1};
        void *state;

        if (argc != 7)
                errx(64, "usage: %s sqlite|files PLACE UNIT NEXUS FIRST COUNT", argv[0]);
        if (strcmp(argv[1], "sqlite") == 0)
                settings.database = argv[2];
        else
                settings.directory = argv[2];
        request.unit = argv[3];
        request.nexus = argv[4];
        if (hf_pr_emulated.start(&settings, &state, &error) < 0)
                errx(1, "%s", error.text);
        for (uint64_t i = 0; i < number(argv[6]); i++) {
                struct hf_pr_out out = {.action = HF_PR_REGISTER_AND_IGNORE,
                                        .new_key = number(argv[5]) + i,
                                        .aptpl = true};

                (void)hf_pr_out_encode(&out, cdb, data, sizeof(data));
                (void)hf_pr_emulated.execute(state, &request, &result, &error);
                if (result.status != HF_SCSI_GOOD)
                        errx(1, "status %02x: %s", result.status, error.text);
                printf("%llu\n", (unsigned long long)out.new_key);
                (void)fflush(stdout);
        }
        return 0;
}
