/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A table for each test, and what is entered into it. cmocka's headers come before this one. */

#include "lockspace/table.h"

static const uint8_t uuid[16] = "0123456789abcde";
static const struct hf_thing none = {HF_THING_NONE, 0, 0};
static struct hf_table *table;

static int begin(void **state)
{
        (void)state;
        return hf_table_new(&table);
}

static int end(void **state)
{
        (void)state;
        table = hf_table_free(table);
        return 0;
}

static struct hf_thing thing(uint64_t ino)
{
        return (struct hf_thing){HF_THING_FILE, 7, ino};
}
