/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lists: pages of the wire's structs become public ones. Each entry is
 * allocated by itself and reached by a pointer, so that a program that was
 * compiled with a shorter structure finds the next one all the same.
 */
#include "client/list.h"

#include "base/cleanup.h"
#include "base/thing.h"

#include <limits.h>
#include <string.h>

/* As many holds as the daemon's table has room for, twice over: it may change between pages. */
#define LIST_MAX (1U << 20)

int hf_list_make_room(void ***array, size_t n)
{
        void **grown;

        if (n != 0 && (n & (n - 1)) != 0)
                return 0;
        grown = reallocarray(*array, n ? 2 * n : 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        *array = grown;
        return 0;
}

void hf_list_free_vm(const struct holdfast_vm_info *info)
{
        if (!info)
                return;
        free((char *)(uintptr_t)info->name);
        free((char *)(uintptr_t)info->via);
        free((uint64_t *)(uintptr_t)info->connections);
        free((struct holdfast_vm_info *)(uintptr_t)info);
}

static void free_lock(const struct holdfast_lock_info *info)
{
        if (!info)
                return;
        free((char *)(uintptr_t)info->lockspace);
        free((char *)(uintptr_t)info->name);
        hf_list_free_vm(info->vm);
        free((struct holdfast_lock_info *)(uintptr_t)info);
}

struct holdfast_vm_info *hf_list_make_vm(const struct hf_holdfast_owner *from)
{
        size_t n = from->connections.connections_len;
        struct holdfast_vm_info *info = calloc(1, sizeof(*info));
        uint64_t *connections = calloc(n ? n : 1, sizeof(*connections));

        if (!info || !connections) {
                free(info);
                free(connections);
                return NULL;
        }
        for (size_t i = 0; i < n; i++)
                connections[i] = from->connections.connections_val[i];
        *info = (struct holdfast_vm_info){
                .size = sizeof(*info),
                .name = strdup(from->name),
                .id = from->id,
                .pid = (pid_t)from->pid,
                .start = from->start,
                .state = from->state,
                .since = from->since,
                .via = strdup(from->via),
                .locks = from->locks,
                .n_connections = n,
                .connections = connections,
                .paused = from->paused,
                .client = from->client,
        };
        memcpy(info->uuid, from->uuid, sizeof(info->uuid));
        if (!info->name || !info->via) {
                hf_list_free_vm(info);
                return NULL;
        }
        return info;
}

struct holdfast_thing hf_list_make_thing(const struct hf_holdfast_thing *from)
{
        return (struct holdfast_thing){from->kind, from->dev, from->ino};
}

static struct holdfast_lock_info *make_lock(const struct hf_holdfast_lock *from)
{
        struct holdfast_lock_info *info = calloc(1, sizeof(*info));

        if (!info)
                return NULL;
        *info = (struct holdfast_lock_info){
                .size = sizeof(*info),
                .lockspace = strdup(from->lockspace),
                .name = strdup(from->name),
                .file = hf_list_make_thing(&from->file),
                .thing = hf_list_make_thing(&from->thing),
                .shared = from->shared,
                .guarantee = from->guarantee,
                .since = from->since,
                .vm = hf_list_make_vm(&from->owner),
                .lease = from->lease,
                .metadata = from->class == HF_HOLDFAST_METADATA,
        };
        if (!info->lockspace || !info->name || !info->vm) {
                free_lock(info);
                return NULL;
        }
        return info;
}

HF_PUBLIC void holdfast_vm_list_free(struct holdfast_vm_list *list)
{
        if (!list)
                return;
        for (size_t i = 0; i < list->n; i++)
                hf_list_free_vm(list->vms[i]);
        free((void *)(uintptr_t)list->vms);
        free(list);
}

HF_PUBLIC void holdfast_lock_list_free(struct holdfast_lock_list *list)
{
        if (!list)
                return;
        for (size_t i = 0; i < list->n; i++)
                free_lock(list->locks[i]);
        free((void *)(uintptr_t)list->locks);
        free(list);
}

static int add_vms(struct holdfast_vm_list *list, const struct hf_holdfast_owner *from, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                void **array = (void **)(uintptr_t)list->vms;
                struct holdfast_vm_info *info;

                if (hf_list_make_room(&array, list->n) < 0)
                        return -ENOMEM;
                list->vms = (const struct holdfast_vm_info *const *)array;
                info = hf_list_make_vm(&from[i]);
                if (!info)
                        return -ENOMEM;
                array[list->n++] = info;
        }
        return 0;
}

static int add_locks(struct holdfast_lock_list *list, const struct hf_holdfast_lock *from, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                void **array = (void **)(uintptr_t)list->locks;
                struct holdfast_lock_info *info;

                if (hf_list_make_room(&array, list->n) < 0)
                        return -ENOMEM;
                list->locks = (const struct holdfast_lock_info *const *)array;
                info = make_lock(&from[i]);
                if (!info)
                        return -ENOMEM;
                array[list->n++] = info;
        }
        return 0;
}

int hf_list_check_page(size_t total, size_t n, unsigned int next, struct holdfast_error *err)
{
        if (total > LIST_MAX || (n == 0 && next != 0))
                return hf_fail(err, EBADMSG, HOLDFAST_E_PROTOCOL,
                               "the lock daemon sent a list without an end");
        return 0;
}

int hf_list_check_flags(unsigned int flags, struct holdfast_error *err)
{
        if (flags == 0)
                return 0;
        return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "unknown flags 0x%x", flags);
}

static int fetch_vms(struct hf_query *query, void *to, unsigned int *cursor,
                     struct holdfast_error *err)
{
        struct holdfast_vm_list *list = to;
        struct hf_holdfast_list_args args = {.cursor = *cursor};
        struct hf_holdfast_list_owners_ret page = {0};
        int r;

        r = hf_query_call(query, HF_HOLDFAST_LIST_OWNERS, (xdrproc_t)xdr_hf_holdfast_list_args,
                          &args, (xdrproc_t)xdr_hf_holdfast_list_owners_ret, &page, err);
        if (r < 0)
                return r;
        r = add_vms(list, page.owners.owners_val, page.owners.owners_len);
        r = r < 0 ? hf_fail_no_memory(err)
                  : hf_list_check_page(list->n, page.owners.owners_len, page.next, err);
        *cursor = page.next;
        hf_rpc_free((xdrproc_t)xdr_hf_holdfast_list_owners_ret, &page);
        return r;
}

static int fetch_locks(struct hf_query *query, void *to, unsigned int *cursor,
                       struct holdfast_error *err)
{
        struct holdfast_lock_list *list = to;
        struct hf_holdfast_list_args args = {.cursor = *cursor};
        struct hf_holdfast_list_locks_ret page = {0};
        int r;

        r = hf_query_call(query, HF_HOLDFAST_LIST_LOCKS, (xdrproc_t)xdr_hf_holdfast_list_args,
                          &args, (xdrproc_t)xdr_hf_holdfast_list_locks_ret, &page, err);
        if (r < 0)
                return r;
        r = add_locks(list, page.locks.locks_val, page.locks.locks_len);
        r = r < 0 ? hf_fail_no_memory(err)
                  : hf_list_check_page(list->n, page.locks.locks_len, page.next, err);
        *cursor = page.next;
        hf_rpc_free((xdrproc_t)xdr_hf_holdfast_list_locks_ret, &page);
        return r;
}

/* A question and its answers. */
struct who {
        struct hf_holdfast_who_args args;
        struct holdfast_lock_list *list;
};

/* The last page may be empty here: the daemon looks for matches only as it goes. */
static int fetch_who(struct hf_query *query, void *to, unsigned int *cursor,
                     struct holdfast_error *err)
{
        struct who *who = to;
        struct hf_holdfast_who_ret page = {0};
        int r;

        who->args.cursor = *cursor;
        r = hf_query_call(query, HF_HOLDFAST_WHO, (xdrproc_t)xdr_hf_holdfast_who_args, &who->args,
                          (xdrproc_t)xdr_hf_holdfast_who_ret, &page, err);
        if (r < 0)
                return r;
        r = add_locks(who->list, page.locks.locks_val, page.locks.locks_len);
        r = r < 0 ? hf_fail_no_memory(err)
                  : hf_list_check_page(who->list->n, page.locks.locks_len, page.next, err);
        *cursor = page.next;
        hf_rpc_free((xdrproc_t)xdr_hf_holdfast_who_ret, &page);
        return r;
}

static int fetch_all(struct hf_query *query, hf_list_fetch *fetch, void *list,
                     struct holdfast_error *err)
{
        unsigned int cursor = 0;
        int r;

        do
                r = fetch(query, list, &cursor, err);
        while (r >= 0 && cursor != 0);
        return r;
}

int hf_list_ask(hf_list_fetch *fetch, void *list, struct holdfast_error *err)
{
        hf_cleanup_query struct hf_query own = HF_QUERY_INIT, system = HF_QUERY_INIT;
        bool has_system;
        int r;

        r = hf_query_open(&own, err);
        has_system = hf_query_open_system(&system);
        if (r >= 0)
                r = fetch_all(&own, fetch, list, err);
        else if (has_system)
                r = 0;
        if (r >= 0 && has_system)
                r = fetch_all(&system, fetch, list, err);
        return r;
}

static void vm_list_freep(struct holdfast_vm_list **list)
{
        holdfast_vm_list_free(*list);
}

static void lock_list_freep(struct holdfast_lock_list **list)
{
        holdfast_lock_list_free(*list);
}

HF_PUBLIC int holdfast_list_vms(unsigned int flags, struct holdfast_vm_list **ret,
                                struct holdfast_error *err)
{
        hf_cleanup(vm_list_freep) struct holdfast_vm_list *list = calloc(1, sizeof(*list));
        int r = list ? hf_list_check_flags(flags, err) : hf_fail_no_memory(err);

        if (r >= 0) {
                list->size = sizeof(*list);
                r = hf_list_ask(fetch_vms, list, err);
        }
        if (r < 0)
                return r;
        *ret = hf_steal_ptr(list);
        return 0;
}

HF_PUBLIC int holdfast_list_locks(unsigned int flags, struct holdfast_lock_list **ret,
                                  struct holdfast_error *err)
{
        hf_cleanup(lock_list_freep) struct holdfast_lock_list *list = calloc(1, sizeof(*list));
        int r = list ? hf_list_check_flags(flags, err) : hf_fail_no_memory(err);

        if (r >= 0) {
                list->size = sizeof(*list);
                r = hf_list_ask(fetch_locks, list, err);
        }
        if (r < 0)
                return r;
        *ret = hf_steal_ptr(list);
        return 0;
}

/* The path as the daemon knows it: absolute, otherwise as written. */
static int make_absolute(const char *path, char **ret, struct holdfast_error *err)
{
        hf_cleanup_free char *cwd = NULL;
        int r;

        if (!path[0])
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "the path is empty");
        cwd = path[0] == '/' ? strdup("") : getcwd(NULL, 0);
        if (!cwd)
                return hf_fail(err, errno, HOLDFAST_E_SYSTEM,
                               "cannot tell the current directory: %m");
        r = asprintf(ret, path[0] == '/' ? "%s%s" : "%s/%s", cwd, path);
        if (r < 0) {
                *ret = NULL;
                return hf_fail_no_memory(err);
        }
        if (r < PATH_MAX)
                return 0;
        free(hf_steal_ptr(*ret));
        return hf_fail(err, ENAMETOOLONG, HOLDFAST_E_INVALID, "the path is longer than any file's");
}

HF_PUBLIC int holdfast_who(const char *path, unsigned int flags, struct holdfast_lock_list **ret,
                           struct holdfast_error *err)
{
        hf_cleanup(lock_list_freep) struct holdfast_lock_list *list = calloc(1, sizeof(*list));
        hf_cleanup_free char *absolute = NULL;
        struct who who = {.list = list};
        struct hf_thing thing = {0};
        struct stat st;
        int r = list ? hf_list_check_flags(flags, err) : hf_fail_no_memory(err);

        if (r >= 0)
                r = make_absolute(path, &absolute, err);
        if (r < 0)
                return r;
        list->size = sizeof(*list);
        who.args.path = absolute;
        /* What is not there, or cannot be seen from here, is asked for by its name alone. */
        if (stat(absolute, &st) == 0 && hf_thing_of(&st, &thing) >= 0)
                who.args.thing = (struct hf_holdfast_thing){thing.kind, thing.dev, thing.ino};
        r = hf_list_ask(fetch_who, &who, err);
        if (r < 0)
                return r;
        *ret = hf_steal_ptr(list);
        return 0;
}
