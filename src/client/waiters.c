/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who waits for what. */
#include "client/list.h"

#include "base/cleanup.h"

#include <string.h>

static void free_waiter(const struct holdfast_waiter_info *info)
{
        if (!info)
                return;
        free((char *)(uintptr_t)info->lockspace);
        free((char *)(uintptr_t)info->name);
        hf_list_free_vm(info->vm);
        free((struct holdfast_waiter_info *)(uintptr_t)info);
}

static struct holdfast_waiter_info *make_waiter(const struct hf_holdfast_waiter *from)
{
        struct holdfast_waiter_info *info = calloc(1, sizeof(*info));

        if (!info)
                return NULL;
        *info = (struct holdfast_waiter_info){
                .size = sizeof(*info),
                .ticket = from->ticket,
                .position = from->position,
                .lockspace = strdup(from->lockspace),
                .name = strdup(from->name),
                .thing = hf_list_make_thing(&from->thing),
                .shared = from->shared,
                .metadata = from->class == HF_HOLDFAST_METADATA,
                .since = from->since,
                .until = from->until,
                .vm = hf_list_make_vm(&from->owner),
        };
        if (!info->lockspace || !info->name || !info->vm) {
                free_waiter(info);
                return NULL;
        }
        return info;
}

HF_PUBLIC void holdfast_waiter_list_free(struct holdfast_waiter_list *list)
{
        if (!list)
                return;
        for (size_t i = 0; i < list->n; i++)
                free_waiter(list->waiters[i]);
        free((void *)(uintptr_t)list->waiters);
        free(list);
}

static int add_waiters(struct holdfast_waiter_list *list, const struct hf_holdfast_waiter *from,
                       size_t n)
{
        for (size_t i = 0; i < n; i++) {
                void **array = (void **)(uintptr_t)list->waiters;
                struct holdfast_waiter_info *info;

                if (hf_list_make_room(&array, list->n) < 0)
                        return -ENOMEM;
                list->waiters = (const struct holdfast_waiter_info *const *)array;
                info = make_waiter(&from[i]);
                if (!info)
                        return -ENOMEM;
                array[list->n++] = info;
        }
        return 0;
}

static int fetch_waiters(struct hf_query *query, void *to, unsigned int *cursor,
                         struct holdfast_error *err)
{
        struct holdfast_waiter_list *list = to;
        struct hf_holdfast_list_args args = {.cursor = *cursor};
        struct hf_holdfast_list_waiters_ret page = {0};
        int r;

        r = hf_query_call(query, HF_HOLDFAST_LIST_WAITERS, (xdrproc_t)xdr_hf_holdfast_list_args,
                          &args, (xdrproc_t)xdr_hf_holdfast_list_waiters_ret, &page, err);
        /* One that does not know the call, and lets nobody wait; the connection is still good. */
        if (r == -EPROTO && query->caller.fd >= 0) {
                *cursor = 0;
                return 0;
        }
        if (r < 0)
                return r;
        r = add_waiters(list, page.waiters.waiters_val, page.waiters.waiters_len);
        r = r < 0 ? hf_fail_no_memory(err)
                  : hf_list_check_page(list->n, page.waiters.waiters_len, page.next, err);
        *cursor = page.next;
        hf_rpc_free((xdrproc_t)xdr_hf_holdfast_list_waiters_ret, &page);
        return r;
}

static void waiter_list_freep(struct holdfast_waiter_list **list)
{
        holdfast_waiter_list_free(*list);
}

HF_PUBLIC int holdfast_list_waiters(unsigned int flags, struct holdfast_waiter_list **ret,
                                    struct holdfast_error *err)
{
        hf_cleanup(waiter_list_freep) struct holdfast_waiter_list *list = calloc(1, sizeof(*list));
        int r = list ? hf_list_check_flags(flags, err) : hf_fail_no_memory(err);

        if (r >= 0) {
                list->size = sizeof(*list);
                r = hf_list_ask(fetch_waiters, list, err);
        }
        if (r < 0)
                return r;
        *ret = hf_steal_ptr(list);
        return 0;
}
