/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Metadata locks: one request, on a connection of its own, for all files at once.
 *
 * The daemon knows them by device and inode and opens nothing; that the numbers go on to mean
 * the same files is proved by the descriptors that are kept open here. It lets requests
 * wait in line, so there is nothing to poll, no order to take locks in, and nothing that
 * threads of one process would have to share.
 */
#include "client/metadata.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/query.h"

#include <limits.h>
#include <string.h>
#include <sys/random.h>

/* Where the caller sets none: as long as libvirt waited. */
#define DEFAULT_TIMEOUT_MS 60000

/* What the daemon may take to answer, beside the time that it lets us wait. */
#define ANSWER_MS 10000

/* A release is made from memory; where it takes longer, closing the connection does it. */
#define RELEASE_MS 5000

/* Of a request in bytes without its wants, and of a want without its name. */
#define REQUEST_SIZE (HF_RPC_HEADER_SIZE + 64)
#define WANT_SIZE    40

struct holdfast_metadata {
        struct hf_query query;
        struct hf_metadata_files files;
        uint64_t token;
        bool held;
        pid_t pid; /* whose lock it is */
        unsigned char uuid[HOLDFAST_UUID_SIZE];
};

static int64_t now_ms(void)
{
        return hf_clock_msec(CLOCK_MONOTONIC);
}

static int call(struct holdfast_metadata *held, const struct hf_call *wanted, int timeout_ms,
                struct holdfast_error *err)
{
        struct hf_error error = {0};
        struct hf_call request = *wanted;
        int r;

        request.prog = HF_HOLDFAST_PROGRAM;
        request.vers = HF_HOLDFAST_VERSION;
        held->query.caller.timeout_ms = timeout_ms;
        r = hf_caller_call(&held->query.caller, &request, &error);
        if (r == -EPROTO && held->query.caller.fd >= 0)
                return hf_fail(err, EOPNOTSUPP, HOLDFAST_E_UNSUPPORTED,
                               "the lock daemon at %s is of a version without metadata locks",
                               held->query.caller.path);
        return r < 0 ? hf_fail_from(err, r, &error) : 0;
}

/* Connects, and says that it is no VM that asks. */
static int introduce(struct holdfast_metadata *held, struct holdfast_error *err)
{
        struct hf_holdfast_client_args args = {.name = program_invocation_short_name};
        const struct hf_call client = {
                .proc = HF_HOLDFAST_CLIENT,
                .put = (xdrproc_t)xdr_hf_holdfast_client_args,
                .args = &args,
        };
        int r = hf_query_open(&held->query, err);

        if (r < 0)
                return r;
        if (held->query.read_only)
                return hf_fail(err, EACCES, HOLDFAST_E_DENIED,
                               "the lock daemon at %s lets this user look, but lock nothing",
                               held->query.caller.path);
        memcpy(args.uuid, held->uuid, sizeof(args.uuid));
        return call(held, &client, ANSWER_MS, err);
}

static int introduce_or_start(struct holdfast_metadata *held, struct holdfast_error *err)
{
        struct holdfast_error error = {0};
        int r = introduce(held, &error);

        if (r < 0 && error.code == HOLDFAST_E_NO_DAEMON) {
                r = holdfast_daemon_start(0, &error);
                if (r >= 0)
                        r = introduce(held, &error);
        }
        if (r < 0 && err)
                *err = error;
        return r;
}

/* Of a long list the names, which are for people, are cut: the end of a path says more. */
static const char *cut(const char *name, size_t room)
{
        size_t len = strlen(name);

        if (len <= room)
                return name;
        name += len - room;
        while ((*name & 0xc0) == 0x80)
                name++;
        return name;
}

static void fill_wants(const struct hf_metadata_files *files,
                       struct hf_holdfast_acquire_args *wants)
{
        size_t room = (HF_RPC_REQUEST_KEPT - REQUEST_SIZE) / files->n - WANT_SIZE, total = 0;

        for (size_t i = 0; i < files->n; i++)
                total += WANT_SIZE + strlen(files->files[i].name);
        if (total <= HF_RPC_REQUEST_KEPT - REQUEST_SIZE)
                room = SIZE_MAX;
        for (size_t i = 0; i < files->n; i++) {
                const struct hf_metadata_file *file = &files->files[i];

                wants[i] = (struct hf_holdfast_acquire_args){
                        .path = (char *)(uintptr_t) "",
                        .name = (char *)(uintptr_t)cut(file->name, room),
                        .thing = {1, file->dev, file->ino},
                        .image = (char *)(uintptr_t) "",
                };
        }
}

static int refused(const struct holdfast_metadata *held,
                   const struct hf_holdfast_acquire_set_ret *ret, struct holdfast_error *err)
{
        const char *name = ret->refused < held->files.n ? held->files.files[ret->refused].name : "";

        return hf_fail(err, EBUSY, HOLDFAST_E_BUSY,
                       "cannot lock the metadata of %s: %s (waited %.1f s)", name, ret->text,
                       (double)ret->waited / 1e6);
}

/* deadline: in milliseconds of CLOCK_MONOTONIC; < 0: none. */
static int acquire(struct holdfast_metadata *held, int64_t deadline, struct holdfast_error *err)
{
        hf_cleanup_free struct hf_holdfast_acquire_args *wants = calloc(held->files.n,
                                                                        sizeof(*wants));
        struct hf_holdfast_acquire_set_args args = {
                .class = HF_HOLDFAST_METADATA,
                .timeout = HF_HOLDFAST_FOREVER,
                .wants = {.wants_len = (unsigned int)held->files.n, .wants_val = wants},
        };
        struct hf_holdfast_acquire_set_ret ret = {0};
        const struct hf_call request = {
                .proc = HF_HOLDFAST_ACQUIRE_SET,
                .put = (xdrproc_t)xdr_hf_holdfast_acquire_set_args,
                .args = &args,
                .get = (xdrproc_t)xdr_hf_holdfast_acquire_set_ret,
                .ret = &ret,
        };
        int64_t left = deadline < 0 ? 0 : deadline - now_ms();
        int r;

        if (!wants)
                return hf_fail_no_memory(err);
        fill_wants(&held->files, wants);
        if (deadline >= 0)
                args.timeout = left > 0 ? (uint64_t)left * 1000 : 0;
        r = call(held, &request,
                 deadline < 0 || left > INT_MAX - ANSWER_MS ? -1
                 : left > 0                                 ? (int)left + ANSWER_MS
                                                            : ANSWER_MS,
                 err);
        if (r < 0)
                return r;
        held->held = ret.granted != HF_HOLDFAST_REFUSED;
        held->token = ret.token;
        r = held->held ? 0 : refused(held, &ret, err);
        hf_rpc_free((xdrproc_t)xdr_hf_holdfast_acquire_set_ret, &ret);
        return r;
}

static int lock(struct holdfast_metadata *held, const struct holdfast_metadata_target *targets,
                size_t n, int timeout_ms, struct holdfast_error *err)
{
        int64_t deadline = timeout_ms < 0
                                   ? -1
                                   : now_ms() + (timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS);
        int r;

        r = hf_metadata_files_open(targets, n, &held->files, err);
        /* Nothing is locked at once, whoever serves. */
        if (r < 0 || n == 0)
                return r;
        if (getrandom(held->uuid, sizeof(held->uuid), 0) != (ssize_t)sizeof(held->uuid))
                return hf_fail(err, EIO, HOLDFAST_E_SYSTEM, "cannot make a random UUID");
        r = introduce_or_start(held, err);
        if (r >= 0)
                r = acquire(held, deadline, err);
        return r < 0 ? r : hf_metadata_files_check(targets, n, &held->files, err);
}

HF_PUBLIC int holdfast_metadata_lock(const struct holdfast_metadata_target *targets, size_t n,
                                     int timeout_ms, struct holdfast_metadata **ret,
                                     struct holdfast_error *err)
{
        struct holdfast_metadata *held = calloc(1, sizeof(*held));
        int r;

        if (!held)
                return hf_fail_no_memory(err);
        held->query = (struct hf_query)HF_QUERY_INIT;
        held->pid = getpid();
        r = lock(held, targets, n, timeout_ms, err);
        if (r < 0) {
                holdfast_metadata_unlock(held);
                return r;
        }
        *ret = held;
        return 0;
}

HF_PUBLIC int holdfast_metadata_fd(const struct holdfast_metadata *held, size_t target)
{
        return held->files.files[held->files.of_target[target]].fd;
}

static int release(struct holdfast_metadata *held)
{
        struct hf_holdfast_release_set_args args = {.token = held->token};
        const struct hf_call request = {
                .proc = HF_HOLDFAST_RELEASE_SET,
                .put = (xdrproc_t)xdr_hf_holdfast_release_set_args,
                .args = &args,
        };

        return call(held, &request, RELEASE_MS, NULL);
}

HF_PUBLIC void holdfast_metadata_unlock(struct holdfast_metadata *held)
{
        if (!held)
                return;
        /*
         * Closing does the same, but only when everybody has; and the connection may have ended
         * with a daemon whose successor has our locks.
         */
        if (held->held && held->pid == getpid() && release(held) < 0 && held->query.caller.fd < 0) {
                hf_query_done(&held->query);
                if (introduce(held, NULL) >= 0)
                        (void)release(held);
        }
        hf_query_done(&held->query);
        hf_metadata_files_clear(&held->files);
        free(held);
}
