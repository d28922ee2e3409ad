/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/query.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "base/socket.h"

#include <string.h>
#include <unistd.h>

/* A list is made from memory: a daemon that takes longer has another problem. */
#define QUERY_TIMEOUT_MS 10000

static int call(struct hf_query *query, int proc, xdrproc_t put, const void *args, xdrproc_t get,
                void *ret, struct hf_error *err)
{
        const struct hf_call request = {
                .prog = HF_HOLDFAST_PROGRAM,
                .vers = HF_HOLDFAST_VERSION,
                .proc = proc,
                .put = put,
                .args = args,
                .get = get,
                .ret = ret,
        };

        return hf_caller_call(&query->caller, &request, err);
}

int hf_query_call(struct hf_query *query, int proc, xdrproc_t put, const void *args, xdrproc_t get,
                  void *ret, struct holdfast_error *err)
{
        struct hf_error error = {0};
        int r = call(query, proc, put, args, get, ret, &error);

        return r < 0 ? hf_fail_from(err, r, &error) : 0;
}

void hf_query_done(struct hf_query *query)
{
        hf_rpc_free((xdrproc_t)xdr_hf_holdfast_hello_ret, &query->hello);
        memset(&query->hello, 0, sizeof(query->hello));
        hf_caller_done(&query->caller);
}

static int try_socket(struct hf_query *query, const struct hf_query_place *place, const char *path,
                      struct hf_error *err)
{
        struct hf_holdfast_hello_args args = {.via = (char *)(uintptr_t)place->via};
        int r;

        query->caller.timeout_ms = QUERY_TIMEOUT_MS;
        query->caller.what = place->what;
        r = hf_caller_connect(&query->caller, path, err);
        if (r < 0)
                return r;
        return call(query, HF_HOLDFAST_HELLO, (xdrproc_t)xdr_hf_holdfast_hello_args, &args,
                    (xdrproc_t)xdr_hf_holdfast_hello_ret, &query->hello, err);
}

/* The daemon drops who may not talk to it without a word. */
static bool not_permitted(int r)
{
        return r == -EACCES || r == -EPERM || r == -ECONNRESET || r == -EPIPE;
}

int hf_query_open_place(struct hf_query *query, const struct hf_query_place *place,
                        struct holdfast_error *err)
{
        struct hf_error error = {0}, second = {0};
        int r, again;

        r = try_socket(query, place, place->socket, &error);
        if (hf_caller_found_nobody(r))
                return hf_fail(err, -r, HOLDFAST_E_NO_DAEMON, "no %s answers at %s", place->what,
                               place->socket);
        if (not_permitted(r)) {
                again = try_socket(query, place, place->socket_ro, &second);
                query->read_only = again >= 0;
                if (again >= 0)
                        return 0;
                /* Without that socket, or dropped there too: what counts is that we may not. */
                if (!hf_caller_found_nobody(again) && !not_permitted(again))
                        return hf_fail_from(err, again, &second);
                return hf_fail(err, EACCES, HOLDFAST_E_DENIED,
                               "the %s at %s does not let this user in", place->what,
                               place->socket);
        }
        return r < 0 ? hf_fail_from(err, r, &error) : 0;
}

/* Nobody answers for Holdfast: is there a daemon that cannot tell? */
static int explain_absence(const struct hf_paths *paths, int r, struct holdfast_error *err)
{
        if (hf_socket_probe(paths->virtlockd_socket, NULL, NULL) > 0)
                return hf_fail(
                        err, EOPNOTSUPP, HOLDFAST_E_UNSUPPORTED,
                        "the daemon at %s is libvirt's virtlockd, which cannot say who holds "
                        "what; nobody answers at %s",
                        paths->virtlockd_socket, paths->socket);
        return r;
}

int hf_query_open(struct hf_query *query, struct holdfast_error *err)
{
        hf_cleanup_paths struct hf_paths paths = {0};
        struct hf_query_place place = {.what = "lock daemon", .via = "libholdfast"};
        struct holdfast_error absent = {0};
        struct hf_error error = {0};
        int r;

        r = hf_paths_init(&paths, &error);
        if (r < 0)
                return hf_fail_from(err, r, &error);
        place.socket = paths.socket;
        place.socket_ro = paths.socket_ro;
        r = hf_query_open_place(query, &place, err ? err : &absent);
        if (r < 0 && (err ? err : &absent)->code == HOLDFAST_E_NO_DAEMON)
                return explain_absence(&paths, r, err);
        return r;
}

bool hf_query_open_system(struct hf_query *query)
{
        const struct hf_query_place place = {.what = "lock daemon", .via = "libholdfast"};

        /* Root's own daemon is the system's; HOLDFAST_RUN_DIR moves everything elsewhere. */
        if (geteuid() == 0 || secure_getenv("HOLDFAST_RUN_DIR"))
                return false;
        query->read_only = true;
        return try_socket(query, &place, HF_RUNSTATEDIR "/holdfast/holdfast-sock-ro", NULL) >= 0;
}

HF_PUBLIC void holdfast_daemon_info_free(struct holdfast_daemon_info *info)
{
        if (!info)
                return;
        free((char *)(uintptr_t)info->version);
        free((char *)(uintptr_t)info->host);
        free((char *)(uintptr_t)info->socket);
        free(info);
}

HF_PUBLIC int holdfast_get_daemon_info(struct holdfast_daemon_info **ret,
                                       struct holdfast_error *err)
{
        hf_cleanup_query struct hf_query query = HF_QUERY_INIT;
        struct holdfast_daemon_info *info;
        int r;

        r = hf_query_open(&query, err);
        if (r < 0 && !hf_query_open_system(&query))
                return r;
        info = calloc(1, sizeof(*info));
        if (!info)
                return hf_fail_no_memory(err);
        *info = (struct holdfast_daemon_info){
                .size = sizeof(*info),
                .version = strdup(query.hello.release),
                .host = strdup(query.hello.host),
                .pid = (pid_t)query.hello.pid,
                .socket = strdup(query.caller.path),
                .read_only = query.read_only,
        };
        if (!info->version || !info->host || !info->socket) {
                holdfast_daemon_info_free(info);
                return hf_fail_no_memory(err);
        }
        *ret = info;
        return 0;
}
