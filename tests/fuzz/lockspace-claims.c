/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A lock table in which some bytes were overwritten, read for its claims and
 * then gone on with. The input is patches: which part of the table (a byte),
 * where in it (two bytes, the lower one first), and the byte to put there.
 */

#include "fuzz.h"

#include "base/cleanup.h"
#include "lockspace/claims.h"
#include "lockspace/map.h"
#include "unit/lockspace/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define HOLDS 4

static void fill(struct hf_table *table, const char *const *names)
{
        static const uint8_t uuid[16] = {1, 2, 3};
        struct hf_owner_info vm = {
                .pid = 4711, .start = 99, .since = 5, .uuid = uuid, .name = "web1", .via = "fuzz"};
        struct hf_hold_info hold = {.via = "fuzz", .since = 7};

        FUZZ_PROMISE(hf_table_add_owner(table, &vm, &hold.owner) == 0);
        FUZZ_PROMISE(hf_table_add_lockspace(table, "/space", &hold.lockspace) == 0);
        hf_table_claim_lockspace(table, hold.lockspace);
        for (uint32_t i = 0, index; i < HOLDS; i++) {
                struct hf_thing file = {HF_THING_FILE, 1, i + 1};

                hold.lockspace = i < 2 ? HF_LOCKSPACE_DEFAULT : hold.lockspace;
                hold.name = names[i];
                FUZZ_PROMISE(hf_table_add_lock(table, &file, &file, (int)i, i & 1, &hold.lock) ==
                             0);
                FUZZ_PROMISE(hf_table_add_hold(table, &hold, &index) == 0);
                hf_table_claim_hold(table, index);
        }
}

/* Within what is used of a part of the table, and a little beyond. */
static void patch(struct hf_map *map, const uint8_t *data)
{
        const struct {
                void *begin;
                size_t size;
        } parts[] = {
                {&map->head, offsetof(struct hf_map, owner_by_pid)},
                {map->lockspaces, 4 * sizeof(map->lockspaces[0])},
                {map->owners, 3 * sizeof(map->owners[0])},
                {map->locks, (HOLDS + 2) * sizeof(map->locks[0])},
                {map->holds, (HOLDS + 2) * sizeof(map->holds[0])},
                {map->strings, 512},
        };
        size_t part = data[0] % HF_ARRAY_LEN(parts);
        size_t at = (size_t)(data[1] | data[2] << 8) % parts[part].size;

        ((uint8_t *)parts[part].begin)[at] = data[3];
}

/* The table is freed. */
static void go_on(struct hf_table *table, bool damaged)
{
        int fd = fcntl(hf_table_fd(table), F_DUPFD_CLOEXEC, 0), r;
        struct hf_rebuilt rebuilt;

        FUZZ_PROMISE(fd >= 0);
        (void)hf_table_free(table);
        r = hf_table_adopt(fd, false, &table);
        if (r < 0) {
                FUZZ_PROMISE(r == -EBADMSG && damaged);
                (void)close(fd);
                return;
        }
        hf_table_rebuild(table, NULL, NULL, &rebuilt);
        FUZZ_PROMISE(damaged || (rebuilt.kept == HOLDS && !rebuilt.damaged));
        FUZZ_PROMISE(!whole_fault(table));
        FUZZ_PROMISE(!whole_use(table));
        (void)hf_table_free(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char *const names[HOLDS] = {"/disk1", "/disk2", "aaaa", "bbbb"};
        struct hf_table *table;
        struct hf_claim claim;
        const char *path;
        size_t found = 0;

        FUZZ_PROMISE(hf_table_new(&table) == 0);
        fill(table, names);
        for (size_t i = 0; i + 4 <= size; i += 4)
                patch(table->map, data + i);
        /* As far as a damaged counter says, but no input may take for ever. */
        for (uint32_t i = 1; i <= hf_claims_end(table) && i < 4096; i++) {
                if (hf_claims_get(table, i, &claim) <= 0)
                        continue;
                found++;
                FUZZ_PROMISE(strlen(claim.name) <= HF_TABLE_STRING_MAX);
                FUZZ_PROMISE(strlen(claim.vm) <= HF_TABLE_OWNER_NAME_MAX);
                FUZZ_PROMISE(strlen(claim.lockspace) <= HF_TABLE_STRING_MAX);
                FUZZ_PROMISE(strlen(claim.via) < HF_TABLE_VIA_MAX);
        }
        FUZZ_PROMISE(size >= 4 || found == HOLDS);
        for (uint32_t i = 1; i <= hf_claims_lockspaces_end(table) && i < 4096; i++)
                if (hf_claims_get_lockspace(table, i, &path) > 0)
                        FUZZ_PROMISE(strlen(path) <= HF_TABLE_STRING_MAX);
        go_on(table, size >= 4);
        return 0;
}
