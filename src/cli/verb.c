/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/verb.h"

#include "cli/message.h"

#include <errno.h>

int hf_verb_options(const struct hf_options *options, int argc, char **argv, void *out,
                    const struct hf_standard_options *standard, int *ret_first, int *ret_status)
{
        struct hf_error error = {0};

        if (hf_options_parse(options, argc, argv, out, ret_first, &error) < 0) {
                hf_message("%s", error.text);
                *ret_status = HF_EXIT_USAGE;
                return -EINVAL;
        }
        if (hf_options_answer(options, standard, HF_VERSION_LINE)) {
                *ret_status = HF_EXIT_OK;
                return -ECANCELED;
        }
        return 0;
}
