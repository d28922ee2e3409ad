/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/table.h"

#include "base/cleanup.h"
#include "lockspace/claims.h"
#include "lockspace/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* An empty table in a mapping of zeros. */
static int begin(struct hf_table *table, const uint8_t *boot)
{
        struct hf_map *map = table->map;
        uint32_t lockspace;
        int r;

        if (hf_map_back(table, map, offsetof(struct hf_map, owners)) < 0)
                return -ENOSPC;
        map->owner_pool.max = HF_TABLE_OWNERS_MAX;
        map->lock_pool.max = HF_TABLE_LOCKS_MAX;
        map->hold_pool.max = HF_TABLE_HOLDS_MAX;
        map->lockspace_pool.max = HF_TABLE_LOCKSPACES_MAX;
        hf_arena_init(&map->arena, HF_TABLE_STRINGS_SIZE);
        r = hf_table_add_lockspace(table, "", &lockspace);
        if (r < 0)
                return r;
        hf_table_claim_lockspace(table, lockspace);
        hf_map_sign(map, boot);
        return 0;
}

/* fd is taken over, also on failure. */
static int open_table(int fd_arg, struct hf_table **ret)
{
        hf_cleanup_fd int fd = fd_arg;
        struct hf_table *table = calloc(1, sizeof(*table));
        int r;

        if (!table)
                return -ENOMEM;
        r = hf_map_open(table, fd);
        if (r < 0) {
                free(table);
                return r;
        }
        (void)hf_steal_fd(&fd);
        *ret = table;
        return 0;
}

/* As large as the mapping. */
static int set_size(int fd)
{
        return ftruncate(fd, sizeof(struct hf_map)) < 0 ? -errno : 0;
}

/*
 * A file in memory fills no disk, but a limit of the sizes of files would be one of
 * it too. What is allowed to the process is lifted for the moment.
 */
static int set_size_in_memory(int fd)
{
        const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
        struct rlimit limit, most;
        int r = set_size(fd);

        if (r != -EFBIG || getrlimit(RLIMIT_FSIZE, &limit) < 0)
                return r;
        most = (struct rlimit){limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_FSIZE, &none) < 0 && setrlimit(RLIMIT_FSIZE, &most) < 0)
                return r;
        r = set_size(fd);
        (void)setrlimit(RLIMIT_FSIZE, &limit);
        return r;
}

/* fd is a file of zeros; -1: private memory. */
static int new_table(int fd, bool kept, const uint8_t *boot, struct hf_table **ret)
{
        hf_cleanup_table struct hf_table *table = NULL;
        int r = open_table(fd, &table);

        if (r < 0)
                return r;
        table->kept = kept;
        r = begin(table, boot);
        if (r < 0)
                return r;
        *ret = hf_steal_ptr(table);
        return 0;
}

int hf_table_new(struct hf_table **ret)
{
        hf_cleanup_fd int fd = memfd_create("holdfast-locks", MFD_CLOEXEC);
        int r;

        if (fd < 0)
                return -errno;
        r = set_size_in_memory(fd);
        if (r < 0 && r != -EFBIG)
                return r;
        return new_table(r < 0 ? -1 : hf_steal_fd(&fd), false, NULL, ret);
}

int hf_table_create(const char *path, const uint8_t boot[static 16], struct hf_table **ret)
{
        hf_cleanup_fd int fd = -1;
        int r;

        if (unlink(path) < 0 && errno != ENOENT)
                return -errno;
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = set_size(fd);
        return r < 0 ? r : new_table(hf_steal_fd(&fd), true, boot, ret);
}

/* Whether the file is one that this program, for this user, has written. */
static int check_file(int fd)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH) ||
            st.st_size != (off_t)sizeof(struct hf_map))
                return -EBADMSG;
        return 0;
}

int hf_table_load(const char *path, const uint8_t boot[static 16], struct hf_table **ret)
{
        hf_cleanup_table struct hf_table *table = NULL;
        hf_cleanup_fd int fd = -1;
        int r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        r = check_file(fd);
        if (r >= 0)
                r = open_table(-1, &table);
        if (r >= 0)
                r = hf_map_read(table, fd);
        if (r < 0)
                return r;
        if (!hf_map_is_ours(table->map))
                return -EBADMSG;
        if (memcmp(table->map->head.boot, boot, sizeof(table->map->head.boot)) != 0)
                return -ESTALE;
        *ret = hf_steal_ptr(table);
        return 0;
}

struct hf_table *hf_table_free(struct hf_table *table)
{
        if (!table)
                return NULL;
        hf_map_close(table);
        hf_close_fd(&table->fd);
        table->marks = hf_map_free_marks(table->marks);
        free(table);
        return NULL;
}

bool hf_table_is_kept(const struct hf_table *table)
{
        return table->kept;
}

int hf_table_fd(const struct hf_table *table)
{
        return table->fd;
}

int hf_table_lock_memory(struct hf_table *table)
{
        return mlock2(table->map, sizeof(*table->map), MLOCK_ONFAULT) < 0 ? -errno : 0;
}

struct hf_owner *hf_table_owner(struct hf_table *table, uint32_t owner)
{
        return &table->map->owners[owner];
}

struct hf_lock *hf_table_lock(struct hf_table *table, uint32_t lock)
{
        return &table->map->locks[lock];
}

struct hf_hold *hf_table_hold(struct hf_table *table, uint32_t hold)
{
        return &table->map->holds[hold];
}

const char *hf_table_string(const struct hf_table *table, uint32_t string)
{
        return table->map->strings + string;
}

const char *hf_table_lockspace_path(struct hf_table *table, uint32_t lockspace)
{
        return hf_table_string(table, table->map->lockspaces[lockspace].path);
}

uint32_t hf_table_find_lockspace(struct hf_table *table, const char *path)
{
        struct hf_map *map = table->map;

        for (uint32_t i = 1; i <= map->lockspace_pool.used; i++)
                if (map->lockspaces[i].path && !strcmp(hf_table_lockspace_path(table, i), path))
                        return i;
        return 0;
}

int hf_table_add_lockspace(struct hf_table *table, const char *path, uint32_t *ret)
{
        struct hf_map *map = table->map;
        uint32_t index, string;
        int r;

        if (strlen(path) > HF_TABLE_STRING_MAX)
                return -ENAMETOOLONG;
        r = hf_map_add_string(table, path, HF_TABLE_STRING_MAX, &string);
        if (r < 0)
                return r;
        index = HF_MAP_TAKE(table, lockspace);
        if (!index) {
                hf_arena_remove(&map->arena, map->strings, string);
                return -ENOSPC;
        }
        map->lockspaces[index].path = string;
        *ret = index;
        return 0;
}

void hf_table_claim_lockspace(struct hf_table *table, uint32_t index)
{
        uint32_t check = hf_claims_check_lockspace(table, index);

        atomic_signal_fence(memory_order_release);
        table->map->lockspaces[index].check = check;
}

static uint32_t *bucket_of_pid(struct hf_map *map, pid_t pid)
{
        return &map->owner_by_pid[(uint32_t)pid % HF_MAP_BUCKETS];
}

uint32_t hf_table_find_owner(struct hf_table *table, pid_t pid, uint64_t start)
{
        uint32_t i = *bucket_of_pid(table->map, pid);

        /* The chain begins with the one that was started last. */
        while (i && (hf_table_owner(table, i)->client || hf_table_owner(table, i)->pid != pid ||
                     (start && hf_table_owner(table, i)->start != start)))
                i = hf_table_owner(table, i)->next;
        return i;
}

uint32_t hf_table_next_client(struct hf_table *table, pid_t pid, uint64_t start, uint32_t after)
{
        uint32_t i = after ? hf_table_owner(table, after)->next : *bucket_of_pid(table->map, pid);

        while (i && (!hf_table_owner(table, i)->client || hf_table_owner(table, i)->pid != pid ||
                     hf_table_owner(table, i)->start != start))
                i = hf_table_owner(table, i)->next;
        return i;
}

uint32_t hf_table_find_client(struct hf_table *table, pid_t pid, uint64_t start, uint64_t client)
{
        uint32_t i = hf_table_next_client(table, pid, start, 0);

        while (i && hf_table_owner(table, i)->client != client)
                i = hf_table_next_client(table, pid, start, i);
        return i;
}

void hf_map_link_owner(struct hf_map *map, uint32_t index)
{
        struct hf_owner *owner = &map->owners[index];
        uint32_t *at = bucket_of_pid(map, owner->pid);

        while (*at && map->owners[*at].start > owner->start)
                at = &map->owners[*at].next;
        owner->next = *at;
        *at = index;
}

int hf_table_add_owner(struct hf_table *table, const struct hf_owner_info *info, uint32_t *ret)
{
        struct hf_map *map = table->map;
        uint32_t index, string;
        struct hf_owner *owner;
        int r;

        r = hf_map_add_string(table, info->name, HF_TABLE_OWNER_NAME_MAX, &string);
        if (r < 0)
                return r;
        index = HF_MAP_TAKE(table, owner);
        if (!index) {
                hf_arena_remove(&map->arena, map->strings, string);
                return -ENOSPC;
        }
        owner = hf_table_owner(table, index);
        owner->start = info->start;
        owner->client = info->client;
        owner->since = info->since;
        memcpy(owner->uuid, info->uuid, sizeof(owner->uuid));
        owner->name = string;
        owner->id = info->id;
        owner->pidfd = info->pidfd;
        (void)snprintf(owner->via, sizeof(owner->via), "%s", info->via);
        /* With a pid it is an owner, and whole. */
        atomic_signal_fence(memory_order_release);
        owner->pid = info->pid;
        hf_map_link_owner(map, index);
        *ret = index;
        return 0;
}

int hf_table_set_monitor(struct hf_table *table, uint32_t index, const char *path)
{
        struct hf_owner *owner = hf_table_owner(table, index);
        size_t len = strlen(path);

        if (len >= sizeof(owner->monitor))
                return -ENAMETOOLONG;
        owner->monitor_check = 0;
        atomic_signal_fence(memory_order_release);
        memset(owner->monitor, 0, sizeof(owner->monitor));
        memcpy(owner->monitor, path, len);
        atomic_signal_fence(memory_order_release);
        owner->monitor_check = len ? hf_claims_check_monitor(owner) : 0;
        return 0;
}

const char *hf_table_monitor(struct hf_table *table, uint32_t index)
{
        const struct hf_owner *owner = hf_table_owner(table, index);

        return owner->monitor_check && owner->monitor_check == hf_claims_check_monitor(owner)
                       ? owner->monitor
                       : "";
}

void hf_table_remove_owner(struct hf_table *table, uint32_t index)
{
        struct hf_map *map = table->map;
        struct hf_owner *owner = hf_table_owner(table, index);

        HF_MAP_UNCHAIN(map, bucket_of_pid(map, owner->pid), owner, next, index);
        owner->pid = 0;
        atomic_signal_fence(memory_order_release);
        hf_arena_remove(&map->arena, map->strings, owner->name);
        HF_MAP_GIVE(map, owner, index);
}

struct hf_table_counts hf_table_count(const struct hf_table *table)
{
        const struct hf_map *map = table->map;

        return (struct hf_table_counts){
                .owners = map->owner_pool.count,
                .locks = map->lock_pool.count,
                .holds = map->hold_pool.count,
                .lockspaces = map->lockspace_pool.count,
        };
}

uint32_t hf_table_next_owner(struct hf_table *table, uint32_t after)
{
        for (uint32_t i = after + 1; i <= table->map->owner_pool.used; i++)
                if (table->map->owners[i].pid)
                        return i;
        return 0;
}

uint32_t hf_table_next_hold(struct hf_table *table, uint32_t after)
{
        for (uint32_t i = after + 1; i <= table->map->hold_pool.used; i++)
                if (table->map->holds[i].lock)
                        return i;
        return 0;
}
