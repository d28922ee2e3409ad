/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmdline-rows.h"

#include "spec-text.h"
#include "vm/qemu-cmdline.h"

#include <stdlib.h>
#include <string.h>

/* The most tests of one program. */
#define TESTS_MAX 512

static void holds_what_the_row_says(void **state)
{
        const struct row *row = *state;
        struct hf_vm_spec spec;
        struct hf_error err = {0};
        char *text;
        int r;

        hf_vm_spec_init(&spec);
        r = hf_qemu_parse(row->argv, NULL, &spec, &err);
        assert_string_equal(err.text, "");
        assert_int_equal(r, 0);
        text = spec_text(&spec);
        assert_non_null(text);
        assert_string_equal(text, row->want);
        free(text);
        hf_vm_spec_free(&spec);
}

int run_rows(const char *group, const struct row *rows, size_t n, const struct CMUnitTest *more,
             size_t n_more)
{
        static struct CMUnitTest tests[TESTS_MAX];

        if (n + n_more > TESTS_MAX)
                return -1;
        for (size_t i = 0; i < n; i++)
                tests[i] = (struct CMUnitTest){.name = rows[i].sentence,
                                               .test_func = holds_what_the_row_says,
                                               .initial_state = (void *)(uintptr_t)&rows[i]};
        if (n_more)
                memcpy(tests + n, more, n_more * sizeof(*more));
        return _cmocka_run_group_tests(group, tests, n + n_more, NULL, NULL);
}
