/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/record.h"

#include <endian.h>
#include <errno.h>
#include <sha2.h>
#include <stdio.h>
#include <string.h>

#define MAGIC       "hfholder"
#define VERSION     1
#define FLAG_SHARED 1U
#define CHECKSUM_AT 496
#define CHECKSUM    16

/* Where the fields are. */
enum at {
        AT_VERSION = 8,
        AT_FLAGS = 10,
        AT_PID = 12,
        AT_SEQUENCE = 16,
        AT_WRITTEN = 24,
        AT_SINCE = 32,
        AT_EPOCH = 40,
        AT_MACHINE = 48,
        AT_BOOT = 64,
        AT_UUID = 80,
        AT_NFS_CLIENT = 96,
        AT_DIRECTORY = 112,
        AT_HOST = 120,
        AT_VIA = 184,
        AT_VM = 208,
        AT_RESOURCE = 288,
        AT_LOCKSPACE = 400,
};

static bool is_inside_character(char c)
{
        return ((unsigned char)c & 0xc0) == 0x80;
}

/* The begin of it. */
static void set_head(char *to, size_t size, const char *text)
{
        size_t len = strnlen(text, size);

        if (len == size) {
                len--;
                while (len && is_inside_character(text[len]))
                        len--;
        }
        memset(to, 0, size);
        memcpy(to, text, len);
}

/* The end of it, behind "...": of a path that is what tells. */
static void set_tail(char *to, size_t size, const char *text)
{
        static const char dots[] = "...";
        size_t len = strlen(text), room = size - sizeof(dots);

        memset(to, 0, size);
        if (len < size) {
                memcpy(to, text, len);
                return;
        }
        text += len - room;
        while (is_inside_character(*text))
                text++;
        (void)snprintf(to, size, "%s%s", dots, text);
}

void hf_record_set_vm(struct hf_record *record, const char *name)
{
        set_head(record->vm, sizeof(record->vm), name);
}

void hf_record_set_resource(struct hf_record *record, const char *name)
{
        set_tail(record->resource, sizeof(record->resource), name);
}

void hf_record_set_lockspace(struct hf_record *record, const char *path)
{
        set_tail(record->lockspace, sizeof(record->lockspace), path);
}

static void hash(const void *data, size_t len, uint8_t ret[static CHECKSUM])
{
        uint8_t digest[SHA256_DIGEST_LENGTH];
        SHA2_CTX context;

        SHA256Init(&context);
        SHA256Update(&context, data, len);
        SHA256Final(digest, &context);
        memcpy(ret, digest, CHECKSUM);
}

void hf_record_set_nfs_client(struct hf_record *record, const char *node, const char *unique)
{
        char text[512] = "";
        int len = snprintf(text, sizeof(text), "%s/%s", unique, node);

        hash(text, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1, record->nfs_client);
}

static void put16(uint8_t *to, uint16_t value)
{
        value = htole16(value);
        memcpy(to, &value, sizeof(value));
}

static void put32(uint8_t *to, uint32_t value)
{
        value = htole32(value);
        memcpy(to, &value, sizeof(value));
}

static void put64(uint8_t *to, uint64_t value)
{
        value = htole64(value);
        memcpy(to, &value, sizeof(value));
}

static uint16_t get16(const uint8_t *from)
{
        uint16_t value;

        memcpy(&value, from, sizeof(value));
        return le16toh(value);
}

static uint32_t get32(const uint8_t *from)
{
        uint32_t value;

        memcpy(&value, from, sizeof(value));
        return le32toh(value);
}

static uint64_t get64(const uint8_t *from)
{
        uint64_t value;

        memcpy(&value, from, sizeof(value));
        return le64toh(value);
}

/* size: of the text in memory, one byte more than on disk. */
static void put_text(uint8_t *to, const char *text, size_t size)
{
        memcpy(to, text, strnlen(text, size - 1));
}

static void get_text(const uint8_t *from, char *to, size_t size)
{
        size_t len = strnlen((const char *)from, size - 1);

        for (size_t i = 0; i < len; i++)
                to[i] = (char)(from[i] < ' ' || from[i] == 0x7f ? '?' : from[i]);
        to[len] = '\0';
}

void hf_record_encode(const struct hf_record *record, uint8_t ret[static HF_RECORD_SIZE])
{
        memset(ret, 0, HF_RECORD_SIZE);
        memcpy(ret, MAGIC, strlen(MAGIC));
        put16(ret + AT_VERSION, VERSION);
        put16(ret + AT_FLAGS, record->shared ? FLAG_SHARED : 0);
        put32(ret + AT_PID, (uint32_t)record->pid);
        put64(ret + AT_SEQUENCE, record->sequence);
        put64(ret + AT_WRITTEN, record->written);
        put64(ret + AT_SINCE, record->since);
        put64(ret + AT_EPOCH, record->epoch);
        memcpy(ret + AT_MACHINE, record->machine, sizeof(record->machine));
        memcpy(ret + AT_BOOT, record->boot, sizeof(record->boot));
        memcpy(ret + AT_UUID, record->uuid, sizeof(record->uuid));
        memcpy(ret + AT_NFS_CLIENT, record->nfs_client, sizeof(record->nfs_client));
        put64(ret + AT_DIRECTORY, record->directory);
        put_text(ret + AT_HOST, record->host, sizeof(record->host));
        put_text(ret + AT_VIA, record->via, sizeof(record->via));
        put_text(ret + AT_VM, record->vm, sizeof(record->vm));
        put_text(ret + AT_RESOURCE, record->resource, sizeof(record->resource));
        put_text(ret + AT_LOCKSPACE, record->lockspace, sizeof(record->lockspace));
        hash(ret, CHECKSUM_AT, ret + CHECKSUM_AT);
}

int hf_record_decode(const uint8_t *data, size_t size, struct hf_record *ret)
{
        uint8_t checksum[CHECKSUM];

        if (size != HF_RECORD_SIZE || memcmp(data, MAGIC, strlen(MAGIC)) != 0 ||
            get16(data + AT_VERSION) != VERSION)
                return -EBADMSG;
        hash(data, CHECKSUM_AT, checksum);
        if (memcmp(checksum, data + CHECKSUM_AT, sizeof(checksum)) != 0 ||
            get32(data + AT_PID) > INT32_MAX)
                return -EBADMSG;
        *ret = (struct hf_record){
                .shared = get16(data + AT_FLAGS) & FLAG_SHARED,
                .pid = (pid_t)get32(data + AT_PID),
                .sequence = get64(data + AT_SEQUENCE),
                .written = get64(data + AT_WRITTEN),
                .since = get64(data + AT_SINCE),
                .epoch = get64(data + AT_EPOCH),
                .directory = get64(data + AT_DIRECTORY),
        };
        memcpy(ret->machine, data + AT_MACHINE, sizeof(ret->machine));
        memcpy(ret->boot, data + AT_BOOT, sizeof(ret->boot));
        memcpy(ret->uuid, data + AT_UUID, sizeof(ret->uuid));
        memcpy(ret->nfs_client, data + AT_NFS_CLIENT, sizeof(ret->nfs_client));
        get_text(data + AT_HOST, ret->host, sizeof(ret->host));
        get_text(data + AT_VIA, ret->via, sizeof(ret->via));
        get_text(data + AT_VM, ret->vm, sizeof(ret->vm));
        get_text(data + AT_RESOURCE, ret->resource, sizeof(ret->resource));
        get_text(data + AT_LOCKSPACE, ret->lockspace, sizeof(ret->lockspace));
        return 0;
}

bool hf_record_same_host(const struct hf_record *a, const struct hf_record *b)
{
        return !memcmp(a->boot, b->boot, sizeof(a->boot)) &&
               !memcmp(a->machine, b->machine, sizeof(a->machine)) && !strcmp(a->host, b->host);
}
