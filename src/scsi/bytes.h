/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Integers of SCSI structures: big-endian, at any address. */

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t hf_get16(const uint8_t *at)
{
        return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t hf_get32(const uint8_t *at)
{
        uint32_t value;

        memcpy(&value, at, sizeof(value));
        return be32toh(value);
}

static inline uint64_t hf_get64(const uint8_t *at)
{
        uint64_t value;

        memcpy(&value, at, sizeof(value));
        return be64toh(value);
}

static inline void hf_put16(uint8_t *at, uint16_t value)
{
        at[0] = (uint8_t)(value >> 8);
        at[1] = (uint8_t)value;
}

static inline void hf_put32(uint8_t *at, uint32_t value)
{
        value = htobe32(value);
        memcpy(at, &value, sizeof(value));
}

static inline void hf_put64(uint8_t *at, uint64_t value)
{
        value = htobe64(value);
        memcpy(at, &value, sizeof(value));
}
