/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * First all is judged and nothing written: the bits below say what stays. Then
 * all is written anew by these bits alone, in fields by which nothing is judged.
 * So whoever begins again after a kill judges the same. What goes is judged by
 * what stays, never by what goes as well, which may be gone the second time.
 */
#include "lockspace/rebuild.h"

#include "lockspace/bits.h"
#include "lockspace/claims.h"
#include "lockspace/map.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define GRAINS HF_BITS_WORDS(HF_TABLE_STRINGS_SIZE / HF_ARENA_GRAIN)

/* Slots for the descriptors of all locks; never more than half full. */
#define FD_SLOTS (2 * HF_TABLE_LOCKS_MAX)

/* What stays. Made beforehand, as rebuilding must not fail for want of memory. */
struct hf_marks {
        uint64_t owners[HF_BITS_WORDS(HF_TABLE_OWNERS_MAX)];
        uint64_t locks[HF_BITS_WORDS(HF_TABLE_LOCKS_MAX)];
        uint64_t holds[HF_BITS_WORDS(HF_TABLE_HOLDS_MAX)];
        uint64_t lockspaces[HF_BITS_WORDS(HF_TABLE_LOCKSPACES_MAX)];
        uint64_t starts[GRAINS], grains[GRAINS]; /* of strings, see arena.h */
        uint32_t lock_by_fd[FD_SLOTS];           /* by descriptor, or in the next free slot */
};

struct rebuild {
        struct hf_table *table;
        struct hf_map *map;
        struct hf_marks *marks;
        uint32_t owners, locks, holds, lockspaces; /* the highest records there are */
        struct hf_rebuilt found;
};

/* What is never used up: it is written whatever the table looks like. */
static int back_beginnings(struct hf_table *table)
{
        struct hf_map *map = table->map;
        int r = hf_map_back(table, map, offsetof(struct hf_map, owners));

        return r < 0 ? r : hf_map_back(table, map->strings, (size_t)2 * HF_ARENA_GRAIN);
}

/* Large, and touched as far as there are records: pages of zeros. */
static struct hf_marks *new_marks(void)
{
        void *marks = mmap(NULL, sizeof(struct hf_marks), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        return marks == MAP_FAILED ? NULL : marks;
}

struct hf_marks *hf_map_free_marks(struct hf_marks *marks)
{
        if (marks)
                (void)munmap(marks, sizeof(*marks));
        return NULL;
}

int hf_table_adopt(int fd, bool kept, struct hf_table **ret)
{
        hf_cleanup_table struct hf_table *table = calloc(1, sizeof(*table));
        struct stat st;
        int r;

        if (!table)
                return -ENOMEM;
        table->fd = -1;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size != (off_t)sizeof(*table->map))
                return -EBADMSG;
        table->marks = new_marks();
        if (!table->marks)
                return -ENOMEM;
        r = hf_map_open(table, fd);
        if (r < 0)
                return r;
        /* The caller's until all went well. */
        r = hf_map_is_ours(table->map) ? hf_map_find_backed(table) : -EBADMSG;
        if (r >= 0)
                r = back_beginnings(table);
        if (r < 0) {
                table->fd = -1;
                return r;
        }
        table->text_end = (uint32_t)hf_map_reach(table, table->map->strings, HF_TABLE_STRINGS_SIZE);
        table->kept = kept;
        *ret = hf_steal_ptr(table);
        return 0;
}

/* ---- what there is ---- */

/* Whether bytes are all 0. */
static bool is_blank(const void *at, size_t len)
{
        const char *bytes = at;

        return len == 0 || (bytes[0] == 0 && !memcmp(bytes, bytes + 1, len - 1));
}

/* Looked at in one go. */
#define MANY 64

/* The highest record that has storage, and in which anything was ever written. */
static uint32_t last_record(struct rebuild *b, const void *base, size_t size, uint32_t max)
{
        const char *records = base;
        size_t n = hf_map_reach(b->table, base, size * max) / size;

        while (n > MANY && is_blank(records + (n - MANY) * size, MANY * size))
                n -= MANY;
        while (n > 1 && is_blank(records + (n - 1) * size, size))
                n--;
        return n ? (uint32_t)n - 1 : 0;
}

static void find_records(struct rebuild *b)
{
        const struct hf_map *map = b->map;

        b->owners = last_record(b, map->owners, sizeof(map->owners[0]), HF_TABLE_OWNERS_MAX);
        b->locks = last_record(b, map->locks, sizeof(map->locks[0]), HF_TABLE_LOCKS_MAX);
        b->holds = last_record(b, map->holds, sizeof(map->holds[0]), HF_TABLE_HOLDS_MAX);
        b->lockspaces = last_record(b, map->lockspaces, sizeof(map->lockspaces[0]),
                                    HF_TABLE_LOCKSPACES_MAX);
}

/* ---- what stays ---- */

static void drop_string(struct rebuild *b, uint32_t string)
{
        const char *text = hf_table_string(b->table, string);
        uint32_t begin, n = hf_arena_grains(string, (uint32_t)strlen(text), &begin);

        hf_bits_drop(b->marks->starts, begin);
        while (n--)
                hf_bits_drop(b->marks->grains, begin + n);
}

/* Not where another string lies. */
static bool keep_string(struct rebuild *b, uint32_t string)
{
        const char *text = hf_claims_string(b->table, string, HF_TABLE_STRING_MAX);
        uint32_t begin = 0, n;

        n = text ? hf_arena_grains(string, (uint32_t)strlen(text), &begin) : 0;
        if (n == 0 || hf_bits_next(b->marks->grains, begin, begin + n) < begin + n)
                return false;
        hf_bits_add(b->marks->starts, begin);
        while (n--)
                hf_bits_add(b->marks->grains, begin + n);
        return true;
}

/* All or none. */
static bool keep_strings(struct rebuild *b, const uint32_t *strings, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (keep_string(b, strings[i]))
                        continue;
                while (i--)
                        drop_string(b, strings[i]);
                return false;
        }
        return true;
}

/* The slot of the lock with that descriptor, or where it belongs. */
static uint32_t *slot_of_fd(struct rebuild *b, int fd)
{
        uint32_t i = (uint32_t)fd % FD_SLOTS;

        while (b->marks->lock_by_fd[i] && b->map->locks[b->marks->lock_by_fd[i]].fd != fd)
                i = (i + 1) % FD_SLOTS;
        return &b->marks->lock_by_fd[i];
}

/* A hold with a right check stays, with all it refers to, if nothing that stays is against it. */
static bool keep_hold(struct rebuild *b, uint32_t index)
{
        const struct hf_hold *hold = &b->map->holds[index];
        struct hf_marks *marks = b->marks;
        int fd = b->map->locks[hold->lock].fd;
        uint32_t *slot = fd >= 0 ? slot_of_fd(b, fd) : NULL;
        uint32_t strings[3] = {hold->name};
        size_t n = 1;

        if (slot && *slot && *slot != hold->lock)
                return false;
        if (!hf_bits_has(marks->owners, hold->owner))
                strings[n++] = b->map->owners[hold->owner].name;
        if (!hf_bits_has(marks->lockspaces, hold->lockspace))
                strings[n++] = b->map->lockspaces[hold->lockspace].path;
        if (!keep_strings(b, strings, n))
                return false;
        if (slot)
                *slot = hold->lock;
        hf_bits_add(marks->locks, hold->lock);
        hf_bits_add(marks->owners, hold->owner);
        hf_bits_add(marks->lockspaces, hold->lockspace);
        hf_bits_add(marks->holds, index);
        return true;
}

/* A metadata lock has no descriptor, and no other one is without. */
static bool has_right_descriptor(const struct hf_claim *claim)
{
        return claim->file.kind == HF_THING_METADATA ? claim->fd == -1 : claim->fd >= 0;
}

static bool is_right(struct rebuild *b, uint32_t index)
{
        const struct hf_hold *hold = &b->map->holds[index];
        struct hf_claim claim;

        return hold->owner && hold->owner <= b->owners && hold->lock && hold->lock <= b->locks &&
               hold->lockspace && hold->lockspace <= b->lockspaces &&
               hf_claims_get(b->table, index, &claim) > 0 && has_right_descriptor(&claim);
}

/* With others that it belongs to, which were not all claimed. */
static bool is_unfinished(struct rebuild *b, uint32_t index)
{
        struct hf_claim claim;

        return hf_claims_get(b->table, index, &claim) == 0;
}

/* Those of locks whose release has begun, or the others. Returns whether some were left out. */
static bool judge_holds(struct rebuild *b, bool releasing)
{
        bool left_out = false;

        for (uint32_t i = 1; i <= b->holds; i++) {
                const struct hf_hold *hold = &b->map->holds[i];
                bool right = hold->check && is_right(b, i);

                if (right && !!(b->map->locks[hold->lock].flags & HF_LOCK_RELEASING) != releasing)
                        left_out = true;
                else if (right && keep_hold(b, i))
                        b->found.kept++;
                else if (right && releasing)
                        b->found.unfinished++; /* closed already, and its number taken */
                else if (hold->check && !releasing && is_unfinished(b, i))
                        b->found.unfinished++;
                else if (hold->check && !releasing)
                        b->found.damaged++;
        }
        return left_out;
}

/* The path of the default lockspace is the first string of all, and never another one. */
static void restore_default(struct rebuild *b)
{
        struct hf_lockspace *lockspace = &b->map->lockspaces[HF_LOCKSPACE_DEFAULT];
        const char *path;

        if (lockspace->path == HF_ARENA_FIRST &&
            hf_claims_get_lockspace(b->table, HF_LOCKSPACE_DEFAULT, &path) > 0 && !*path)
                return;
        b->found.damaged++;
        hf_arena_restore_first(b->map->strings);
        lockspace->path = HF_ARENA_FIRST;
        hf_table_claim_lockspace(b->table, HF_LOCKSPACE_DEFAULT);
}

static void judge_lockspaces(struct rebuild *b)
{
        for (uint32_t i = HF_LOCKSPACE_DEFAULT; i <= b->lockspaces; i++) {
                const char *path;
                int r = hf_claims_get_lockspace(b->table, i, &path);

                if (r > 0 && keep_strings(b, &b->map->lockspaces[i].path, 1))
                        hf_bits_add(b->marks->lockspaces, i);
                else if (r != 0)
                        b->found.damaged++;
        }
}

/* An owner that has no hold: there is no check of what it says. */
static bool can_be_owner(struct rebuild *b, const struct hf_owner *owner)
{
        return owner->pid > 0 && memchr(owner->via, '\0', sizeof(owner->via)) &&
               hf_claims_string(b->table, owner->name, HF_TABLE_OWNER_NAME_MAX) &&
               keep_strings(b, &owner->name, 1);
}

static void judge_owners(struct rebuild *b, bool (*is_used)(void *data, uint32_t owner), void *data)
{
        for (uint32_t i = 1; i <= b->owners; i++) {
                const struct hf_owner *owner = &b->map->owners[i];

                if (hf_bits_has(b->marks->owners, i) ||
                    is_blank(&owner->next + 1, sizeof(*owner) - sizeof(owner->next)))
                        continue;
                if (!owner->pid || !is_used || !is_used(data, i))
                        b->found.unfinished++;
                else if (can_be_owner(b, owner))
                        hf_bits_add(b->marks->owners, i);
                else
                        b->found.damaged++;
        }
}

static void count_unfinished(struct rebuild *b)
{
        for (uint32_t i = 1; i <= b->holds; i++)
                b->found.unfinished += !b->map->holds[i].check &&
                                       !is_blank(&b->map->holds[i].next + 1,
                                                 sizeof(struct hf_hold) - sizeof(uint32_t));
        for (uint32_t i = 1; i <= b->locks; i++)
                b->found.unfinished += !hf_bits_has(b->marks->locks, i) &&
                                       !is_blank(&b->map->locks[i].next + 1,
                                                 sizeof(struct hf_lock) - sizeof(uint32_t));
        for (uint32_t i = 1; i <= b->lockspaces; i++)
                b->found.unfinished += !b->map->lockspaces[i].check && b->map->lockspaces[i].path;
}

/* ---- all anew ---- */

/* What does not stay is free, and behind the last that stays nothing was ever used. */
static void rebuild_pool(struct hf_pool *pool, uint32_t max, void *base, size_t size,
                         const uint64_t *kept, uint32_t last)
{
        uint32_t used = hf_bits_last(kept, last + 1), free_record = 0, count = 0;

        for (uint32_t i = last; i > 0; i--) {
                uint32_t *record = (uint32_t *)(void *)((char *)base + size * i);

                if (hf_bits_has(kept, i)) {
                        count++;
                        continue;
                }
                if (!is_blank(record, size))
                        memset(record, 0, size);
                if (i < used) {
                        *record = free_record;
                        free_record = i;
                }
        }
        *pool = (struct hf_pool){.max = max, .used = used, .free = free_record, .count = count};
}

/* Holds first: none with a right check may refer to what is gone. */
static void rebuild_pools(struct rebuild *b)
{
        struct hf_map *map = b->map;

        rebuild_pool(&map->hold_pool, HF_TABLE_HOLDS_MAX, map->holds, sizeof(map->holds[0]),
                     b->marks->holds, b->holds);
        rebuild_pool(&map->lock_pool, HF_TABLE_LOCKS_MAX, map->locks, sizeof(map->locks[0]),
                     b->marks->locks, b->locks);
        rebuild_pool(&map->owner_pool, HF_TABLE_OWNERS_MAX, map->owners, sizeof(map->owners[0]),
                     b->marks->owners, b->owners);
        rebuild_pool(&map->lockspace_pool, HF_TABLE_LOCKSPACES_MAX, map->lockspaces,
                     sizeof(map->lockspaces[0]), b->marks->lockspaces, b->lockspaces);
}

/* A lock whose thing is not what was noted protects nothing that is known. */
static void rebuild_lock(struct rebuild *b, uint32_t index)
{
        struct hf_lock *lock = &b->map->locks[index];
        uint32_t check = hf_claims_check_thing(&lock->thing);

        if (lock->thing_check != check) {
                b->found.damaged += lock->thing_check != 0;
                lock->thing_check = 0;
                atomic_signal_fence(memory_order_release);
                lock->thing = (struct hf_thing){HF_THING_NONE, 0, 0};
                atomic_signal_fence(memory_order_release);
                lock->thing_check = hf_claims_check_thing(&lock->thing);
        }
        if (lock->thing.kind != HF_THING_NONE)
                lock->flags &= ~(uint32_t)HF_LOCK_SEARCHED;
        lock->flags &= HF_LOCK_SHARED | HF_LOCK_AUTOCREATE | HF_LOCK_SEARCHED | HF_LOCK_RELEASING |
                       HF_LOCK_DUPLICATED | HF_LOCK_UNSAFE | HF_LOCK_POSIX |
                       UINT32_MAX << HF_LOCK_LOT_SHIFT;
        if (lock->file.kind == HF_THING_METADATA)
                lock->flags |= HF_LOCK_METADATA;
        lock->next_thing = 0;
        lock->first_hold = 0;
        lock->holds = 0;
        hf_map_link_lock(b->map, index);
}

static void rebuild_owner(struct rebuild *b, uint32_t index)
{
        struct hf_owner *owner = &b->map->owners[index];

        owner->first_hold = 0;
        owner->holds = 0;
        owner->sessions = 0;
        owner->connections = 0;
        if (owner->state > HF_OWNER_STUBBORN)
                owner->state = HF_OWNER_ALIVE;
        if (owner->on_lost >= HF_ON_LOST_KINDS)
                owner->on_lost = HF_ON_LOST_DEFAULT;
        owner->via[sizeof(owner->via) - 1] = '\0';
        hf_map_link_owner(b->map, index);
}

static void rebuild_chains(struct rebuild *b)
{
        struct hf_map *map = b->map;

        memset(map->owner_by_pid, 0, sizeof(map->owner_by_pid));
        memset(map->lock_by_file, 0, sizeof(map->lock_by_file));
        memset(map->lock_by_thing, 0, sizeof(map->lock_by_thing));
        memset(map->hold_by_name, 0, sizeof(map->hold_by_name));
        map->first_searched = 0;
        for (uint32_t i = 1; i <= map->owner_pool.used; i++)
                if (hf_bits_has(b->marks->owners, i))
                        rebuild_owner(b, i);
        for (uint32_t i = 1; i <= map->lock_pool.used; i++)
                if (hf_bits_has(b->marks->locks, i))
                        rebuild_lock(b, i);
        for (uint32_t i = 1; i <= map->hold_pool.used; i++)
                if (hf_bits_has(b->marks->holds, i))
                        hf_map_link_hold(map, i);
        for (uint32_t i = 1; i <= map->lockspace_pool.used; i++)
                if (hf_bits_has(b->marks->lockspaces, i))
                        hf_table_claim_lockspace(b->table, i);
}

void hf_table_rebuild(struct hf_table *table, bool (*is_used)(void *data, uint32_t owner),
                      void *data, struct hf_rebuilt *ret)
{
        struct hf_map *map = table->map;
        struct rebuild b = {.table = table, .map = map, .marks = table->marks};

        restore_default(&b);
        find_records(&b);
        judge_lockspaces(&b);
        if (judge_holds(&b, false))
                (void)judge_holds(&b, true);
        judge_owners(&b, is_used, data);
        count_unfinished(&b);
        rebuild_pools(&b);
        rebuild_chains(&b);
        b.found.damaged += hf_arena_rebuild(&map->arena, map->strings, HF_TABLE_STRINGS_SIZE,
                                            table->text_end, table->marks->starts,
                                            table->marks->grains);
        table->text_end = HF_TABLE_STRINGS_SIZE;
        /* Last: until then its holds are not there for whoever begins again. */
        map->unfinished_set = map->unfinished_check = 0;
        table->marks = hf_map_free_marks(table->marks);
        *ret = b.found;
}
