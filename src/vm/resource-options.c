/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The texts in which a user names a resource to our own commands, and UUIDs.
 */

#include "vm/resources.h"

#include "base/cleanup.h"

#include <assert.h>
#include <string.h>
#include <systemd/sd-id128.h>

static_assert(HF_VM_UUID_TEXT == SD_ID128_UUID_STRING_MAX, "room for an UUID");
static_assert(sizeof(sd_id128_t) == 16, "an UUID has 16 bytes");

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

int hf_vm_uuid_parse(const char *text, uint8_t ret_uuid[16], struct hf_error *err)
{
        sd_id128_t id;

        if (sd_id128_from_string(text, &id) < 0)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "not an UUID: %.64s", text);
        memcpy(ret_uuid, id.bytes, sizeof(id.bytes));
        return 0;
}

const char *hf_vm_uuid_format(const uint8_t uuid[16], char text[HF_VM_UUID_TEXT])
{
        sd_id128_t id;

        memcpy(id.bytes, uuid, sizeof(id.bytes));
        return sd_id128_to_uuid_string(id, text);
}
