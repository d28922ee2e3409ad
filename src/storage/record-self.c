/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What of a record is the same in all that this host writes. */
#include "storage/record.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <string.h>
#include <sys/utsname.h>

/* What an administrator may have given to this host's NFS client to tell it from others. */
static const char *const nfs_ids[] = {
        "/sys/fs/nfs/net/nfs_client/identifier",
        "/sys/module/nfs/parameters/nfs4_unique_id",
};

static void read_word(const char *path, char *ret, size_t size)
{
        hf_cleanup_file FILE *file = fopen(path, "re");

        if (!file || !fgets(ret, (int)size, file) || !strncmp(ret, "(null)", 6))
                ret[0] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
}

static uint8_t digit(char c)
{
        return (uint8_t)(isdigit((unsigned char)c) ? c - '0'
                                                   : tolower((unsigned char)c) - 'a' + 10);
}

/* An id of 32 hexadecimal digits, with or without hyphens; zeros: there is none. */
static void read_id(const char *path, uint8_t ret[static 16])
{
        char text[64];
        size_t n = 0;

        memset(ret, 0, 16);
        read_word(path, text, sizeof(text));
        for (const char *at = text; *at && n < 32; at++)
                if (isxdigit((unsigned char)*at)) {
                        ret[n / 2] = (uint8_t)(ret[n / 2] << 4 | digit(*at));
                        n++;
                }
        if (n != 32)
                memset(ret, 0, 16);
}

void hf_record_set_self(struct hf_record *record)
{
        char unique[128] = "";
        struct utsname host;

        read_id("/etc/machine-id", record->machine);
        read_id("/proc/sys/kernel/random/boot_id", record->boot);
        for (size_t i = 0; i < HF_ARRAY_LEN(nfs_ids) && !*unique; i++)
                read_word(nfs_ids[i], unique, sizeof(unique));
        if (uname(&host) < 0)
                return;
        (void)snprintf(record->host, sizeof(record->host), "%s", host.nodename);
        hf_record_set_nfs_client(record, host.nodename, unique);
}
