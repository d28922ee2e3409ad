/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which consoles there are, and which are to be held. */

#include "client/console.h"
#include "client/list.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

/* Twice the most that a daemon may be told to have. */
#define CONSOLES_MAX 131072

struct listing {
        unsigned int flags;
        int (*each)(void *ctx, const struct holdfast_console_info *info);
        void *ctx;
        size_t total;
};

static int tell(struct listing *listing, const struct hf_console_list_ret *page,
                struct holdfast_error *err)
{
        for (size_t i = 0; i < page->consoles.consoles_len; i++) {
                hf_cleanup(hf_console_view_clear) struct hf_console_view view = {0};
                int r = hf_console_view_fill(&view, &page->consoles.consoles_val[i], err);

                if (r >= 0)
                        r = listing->each(listing->ctx, &view.info);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* All pages of one daemon: 0, or what one of each has returned. */
static int list(struct listing *listing, struct hf_query *query, struct holdfast_error *err)
{
        struct hf_holdfast_list_args args = {.flags = listing->flags};
        int r;

        do {
                struct hf_console_list_ret page = {0};

                r = hf_query_call(query, HF_HOLDFAST_CONSOLE_LIST,
                                  (xdrproc_t)xdr_hf_holdfast_list_args, &args,
                                  (xdrproc_t)xdr_hf_console_list_ret, &page, err);
                if (r < 0)
                        return r;
                listing->total += page.consoles.consoles_len;
                if (listing->total > CONSOLES_MAX || (!page.consoles.consoles_len && page.next))
                        r = hf_fail(err, EBADMSG, HOLDFAST_E_PROTOCOL,
                                    "the console daemon sent a list without an end");
                if (r >= 0)
                        r = tell(listing, &page, err);
                args.cursor = page.next;
                hf_rpc_free((xdrproc_t)xdr_hf_console_list_ret, &page);
        } while (r == 0 && args.cursor != 0);
        return r;
}

HF_PUBLIC int holdfast_console_list(unsigned int flags,
                                    int (*each)(void *ctx,
                                                const struct holdfast_console_info *info),
                                    void *ctx, struct holdfast_error *err)
{
        hf_cleanup_query struct hf_query own = HF_QUERY_INIT, system = HF_QUERY_INIT;
        struct listing listing = {.each = each, .ctx = ctx};
        bool has_system;
        int r;

        if (flags & ~HOLDFAST_CONSOLE_LIST_STRANGERS)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "unknown flags 0x%x", flags);
        if (flags & HOLDFAST_CONSOLE_LIST_STRANGERS)
                listing.flags |= HF_CONSOLE_LIST_STRANGERS;
        r = hf_console_reach(&own, NULL, false, err);
        has_system = hf_console_reach_system(&system, NULL, true);
        if (r >= 0)
                r = list(&listing, &own, err);
        else if (has_system)
                r = 0;
        if (r == 0 && has_system)
                r = list(&listing, &system, err);
        return r;
}

static char *unconst(const char *text)
{
        return (char *)(uintptr_t)(text ? text : "");
}

static int check_registration(const struct holdfast_console_registration *from,
                              struct holdfast_error *err)
{
        if (!HF_HAS(from, chardev))
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "struct holdfast_console_registration has no size");
        if (!from->vm || !*from->vm || !from->device || !*from->device || from->pid <= 0)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "a console is registered with its VM, its device and a pid");
        if (!from->path || from->path[0] != '/')
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "the path of a console must be absolute, not \"%s\"",
                               from->path ? from->path : "");
        return 0;
}

HF_PUBLIC int holdfast_console_register(const struct holdfast_console_registration *from,
                                        struct holdfast_error *err)
{
        hf_cleanup_query struct hf_query query = HF_QUERY_INIT;
        struct hf_console_register_args args = {0};
        struct hf_console_register_ret ret = {0};
        int r = check_registration(from, err);

        if (r >= 0)
                r = hf_console_reach(&query, NULL, true, err);
        if (r < 0)
                return r;
        args = (struct hf_console_register_args){
                .vm = unconst(from->vm),
                .pid = (unsigned int)from->pid,
                .device = unconst(from->device),
                .path = unconst(from->path),
                .monitor = unconst(from->monitor),
                .chardev = unconst(from->chardev),
        };
        memcpy(args.uuid, from->uuid, sizeof(args.uuid));
        r = hf_query_call(&query, HF_HOLDFAST_CONSOLE_REGISTER,
                          (xdrproc_t)xdr_hf_console_register_args, &args,
                          (xdrproc_t)xdr_hf_console_register_ret, &ret, err);
        if (r < 0)
                return r;
        r = ret.state != HF_CONSOLE_BUSY;
        if (!r)
                (void)hf_console_refuse(from->path, NULL, NULL, ret.text, err);
        hf_rpc_free((xdrproc_t)xdr_hf_console_register_ret, &ret);
        return r;
}

HF_PUBLIC int holdfast_console_forget(const char *vm, const char *device, const char *path,
                                      unsigned int flags, struct holdfast_error *err)
{
        hf_cleanup_query struct hf_query query = HF_QUERY_INIT;
        struct hf_console_forget_args args = {
                .vm = unconst(vm),
                .device = unconst(device),
                .path = unconst(path),
                .flags = flags,
        };
        int r;

        if (flags & ~HOLDFAST_CONSOLE_FORCE)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "unknown flags 0x%x", flags);
        r = hf_console_reach(&query, NULL, false, err);
        return r < 0 ? r
                     : hf_query_call(&query, HF_HOLDFAST_CONSOLE_FORGET,
                                     (xdrproc_t)xdr_hf_console_forget_args, &args, NULL, NULL, err);
}
