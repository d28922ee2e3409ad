/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The texts in which a user names a resource to our own commands, and UUIDs.
 */

#include "vm/resources.h"

#include "base/cleanup.h"

#include <string.h>

static const struct {
        const char *word;
        unsigned flags;
} disk_words[] = {
        {":ro", HF_VM_DISK_READONLY},
        {":shared", HF_VM_DISK_SHARED},
};

int hf_vm_spec_add_disk_option(struct hf_vm_spec *spec, const char *text, struct hf_error *err)
{
        hf_cleanup_free char *path = strdup(text);
        unsigned flags = 0;
        char *colon;
        int r;

        if (!path)
                return hf_error_sys(err, ENOMEM, "--disk %.64s", text);
        colon = strrchr(path, ':');
        for (size_t i = 0; colon && i < HF_ARRAY_LEN(disk_words); i++) {
                if (strcmp(colon, disk_words[i].word) == 0) {
                        flags = disk_words[i].flags;
                        *colon = '\0';
                        break;
                }
        }
        r = hf_vm_spec_add_disk(spec, path, flags, NULL, "--disk", err);
        if (r < 0)
                hf_error_prefix(err, "--disk %.64s", text);
        return r;
}

/* Cuts ":DIGITS" off the end of *path; without one the offset is 0. */
static int cut_offset(char *path, uint64_t *ret_offset, struct hf_error *err)
{
        char *colon = strrchr(path, ':');
        unsigned long long offset;

        *ret_offset = 0;
        if (!colon || colon[1] == '\0' || colon[1 + strspn(colon + 1, "0123456789")] != '\0')
                return 0;
        errno = 0;
        offset = strtoull(colon + 1, NULL, 10);
        if (errno != 0)
                return hf_error_set(err, ERANGE, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "the offset %.32s does not fit 64 bits", colon + 1);
        *ret_offset = offset;
        *colon = '\0';
        return 0;
}

static int add_lease(struct hf_vm_spec *spec, char *text, struct hf_error *err)
{
        struct hf_vm_lease lease = {.lockspace = text};
        int r;

        lease.key = strchr(text, ':');
        if (lease.key)
                *lease.key++ = '\0';
        lease.path = lease.key ? strchr(lease.key, ':') : NULL;
        if (!lease.path)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "not of the form LOCKSPACE:KEY:PATH[:OFFSET]");
        *lease.path++ = '\0';
        r = cut_offset(lease.path, &lease.offset, err);
        if (r < 0)
                return r;
        return hf_vm_spec_add_lease(spec, &lease, err);
}

int hf_vm_spec_add_lease_option(struct hf_vm_spec *spec, const char *text, struct hf_error *err)
{
        hf_cleanup_free char *copy = strdup(text);
        int r;

        if (!copy)
                return hf_error_sys(err, ENOMEM, "--lease %.64s", text);
        r = add_lease(spec, copy, err);
        if (r < 0)
                hf_error_prefix(err, "--lease %.64s", text);
        return r;
}

/*
 * UUIDs are read and written here rather than by sd-id128: loading libsystemd
 * and what it needs would take `holdfast run` a quarter of the 3 ms it may add
 * to the start of a VM.
 */

/* The value of a hexadecimal digit, or -1. */
static int digit_value(char c)
{
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *at = c ? strchr(digits, c) : NULL;

        return at ? (int)(at - digits) % 16 : -1;
}

/* Whether, in the usual spelling, a dash stands before the byte of this index. */
static bool follows_dash(size_t index)
{
        return index == 4 || index == 6 || index == 8 || index == 10;
}

int hf_vm_uuid_parse(const char *text, uint8_t ret_uuid[16], struct hf_error *err)
{
        bool dashes = strchr(text, '-') != NULL;
        const char *at = text;
        uint8_t uuid[16];

        for (size_t i = 0; i < sizeof(uuid); i++) {
                int high, low;

                if (dashes && follows_dash(i) && *at++ != '-')
                        break;
                high = digit_value(at[0]);
                low = high < 0 ? -1 : digit_value(at[1]);
                if (low < 0)
                        break;
                uuid[i] = (uint8_t)(high << 4 | low);
                at += 2;
                if (i + 1 == sizeof(uuid) && *at == '\0') {
                        memcpy(ret_uuid, uuid, sizeof(uuid));
                        return 0;
                }
        }
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING, "not a UUID: %.64s",
                            text);
}

const char *hf_vm_uuid_format(const uint8_t uuid[16], char text[HF_VM_UUID_TEXT])
{
        size_t len = 0;

        for (size_t i = 0; i < 16; i++)
                len += (size_t)snprintf(text + len, HF_VM_UUID_TEXT - len, "%s%02x",
                                        follows_dash(i) ? "-" : "", uuid[i]);
        return text;
}
