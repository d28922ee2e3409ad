/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* virtlockd's lock program: eight procedures, all of which answer without a body. */
#include "daemon/acquire.h"
#include "daemon/dispatch.h"
#include "daemon/owner.h"
#include "daemon/release.h"
#include "lockspace/rules.h"
#include "storage/resource.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "rpc/lock.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int call_register(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_lock_register_args *args = data;
        int r;

        /* The same words as for a connection that never registered: so does virtlockd. */
        if (args->owner.id == 0)
                return hf_error_set(err, EINVAL, HF_ERR_OPERATION_INVALID, HF_FROM_RPC,
                                    "no lock owner was registered on this connection: its id is 0");
        (void)snprintf(session->owner_name, sizeof(session->owner_name), "%s", args->owner.name);
        session->owner_id = args->owner.id;
        memcpy(session->owner_uuid, args->owner.uuid, sizeof(session->owner_uuid));
        r = hf_owner_register(session, (pid_t)args->owner.pid, err);
        session->registered = r >= 0;
        return r < 0 ? r : HF_DONE;
}

static int call_restrict(struct hf_session *session, const void *data, struct hf_error *err)
{
        (void)data;
        (void)err;
        hf_session_intend(session, HF_INTENT_RESTRICT, 0);
        return HF_DONE;
}

/* Announces a directory as a lockspace, making it if it is not there. */
static int add_lockspace(struct hf_session *session, const char *path, struct hf_error *err)
{
        uint32_t lockspace;
        struct stat st;
        int r;

        if (stat(path, &st) == 0) {
                if (!S_ISDIR(st.st_mode))
                        return hf_error_set(err, ENOTDIR, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                            "the lockspace %s exists and is not a directory", path);
        } else if (errno != ENOENT) {
                return hf_error_sys(err, errno, "cannot use the lockspace %s", path);
        } else {
                r = hf_path_make_dirs(path, 0700, err);
                if (r == -EEXIST) /* a symlink that leads nowhere */
                        r = -ENOTDIR;
                if (r < 0)
                        return hf_error_sys(err, -r, "cannot make the lockspace %s", path);
        }
        r = hf_table_add_lockspace(session->server->table, path, &lockspace);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot note the lockspace %s", path);
        hf_session_intend(session, HF_INTENT_CLAIM_LOCKSPACE, lockspace);
        return HF_DONE;
}

static int call_new(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_lock_new_args *args = data;

        if (!*args->path)
                return hf_error_set(err, EINVAL, HF_ERR_OPERATION_INVALID, HF_FROM_RPC,
                                    "the default lockspace is there already");
        if (hf_table_find_lockspace(session->server->table, args->path))
                return hf_error_set(err, EEXIST, HF_ERR_INTERNAL, HF_FROM_RPC,
                                    "the lockspace %s is there already", args->path);
        return add_lockspace(session, args->path, err);
}

static int call_create_lockspace(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_lock_lockspace_args *args = data;

        if (hf_table_find_lockspace(session->server->table, args->path))
                return HF_DONE;
        return add_lockspace(session, args->path, err);
}

/* A hold on the resource, by this name or another one of its file; or 0. */
static uint32_t hold_on(struct hf_server *server, uint32_t lockspace, const char *name,
                        const char *path)
{
        uint32_t hold = hf_table_find_name(server->table, lockspace, name), lock;
        struct hf_thing file;

        if (hold || hf_resource_identify(path, &file) < 0)
                return hold;
        lock = hf_table_find_file(server->table, &file, 0);
        if (!lock)
                lock = hf_table_find_thing(server->table, &file, 0);
        return lock ? hf_table_lock(server->table, lock)->first_hold : 0;
}

/* What create-resource and delete-resource have in common: the file, if nobody holds it. */
static int free_resource(struct hf_session *session, const struct hf_lock_resource_args *args,
                         char **ret_path, struct hf_error *err)
{
        struct hf_server *server = session->server;
        uint32_t lockspace = hf_find_lockspace(server, args->path, err);
        hf_cleanup_free char *path = NULL;
        uint32_t hold;
        int r;

        if (!lockspace)
                return -ENOENT;
        r = hf_check_resource_name(lockspace, args->name, err);
        if (r < 0)
                return r;
        path = hf_rules_path(args->path, args->name);
        if (!path)
                return hf_error_sys(err, ENOMEM, "cannot use %s", args->name);
        hold = hold_on(server, lockspace, args->name, path);
        if (hold)
                return hf_refuse(server, hold, args->name, err);
        *ret_path = hf_steal_ptr(path);
        return 0;
}

static int call_create_resource(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_lock_resource_args *args = data;
        hf_cleanup_free char *path = NULL;
        int r;

        r = free_resource(session, args, &path, err);
        if (r < 0)
                return r;
        r = hf_resource_create(path);
        if (r < 0) {
                r = hf_error_sys(err, -r, "cannot create the resource %s", path);
                if (err)
                        err->domain = HF_FROM_NONE; /* as virtlockd has it for this one */
                return r;
        }
        return HF_DONE;
}

static int call_delete_resource(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_lock_resource_args *args = data;
        hf_cleanup_free char *path = NULL;
        int r;

        r = free_resource(session, args, &path, err);
        if (r < 0)
                return r;
        r = hf_resource_delete(path);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot delete the resource %s", path);
        return HF_DONE;
}

static void answer_acquire(struct hf_session *session, const struct hf_acquired *acquired)
{
        if (acquired->status < 0)
                hf_session_answer_error(session, &acquired->error);
        else
                hf_session_answer(session, NULL, NULL);
}

static int call_acquire_resource(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_lock_resource_args *args = data;
        struct hf_acquire acquire = {
                .lockspace = args->path,
                .name = args->name,
                .shared = args->flags & HF_LOCK_ACQUIRE_SHARED,
                .autocreate = args->flags & HF_LOCK_ACQUIRE_AUTOCREATE,
        };

        return hf_acquire(session, &acquire, answer_acquire, err);
}

static int call_release_resource(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_lock_resource_args *args = data;

        return hf_release(session, args->path, args->name, err);
}

#define ARGS(type)         .decode = (xdrproc_t)xdr_##type, .args_size = sizeof(struct type)
#define FLAGS(type, known) .flags_at = offsetof(struct type, flags), .flags = (known)
#define RESOURCE(known)    ARGS(hf_lock_resource_args), FLAGS(hf_lock_resource_args, known)
#define OWNED              .guards = HF_GUARD_UNRESTRICTED | HF_GUARD_REGISTERED

static const struct hf_procedure procedures[] = {
        {HF_LOCK_REGISTER, "register", ARGS(hf_lock_register_args), FLAGS(hf_lock_register_args, 0),
         .guards = HF_GUARD_UNRESTRICTED, .call = call_register},
        {HF_LOCK_RESTRICT, "restrict", ARGS(hf_lock_restrict_args), FLAGS(hf_lock_restrict_args, 0),
         OWNED, .call = call_restrict},
        {HF_LOCK_NEW, "new", ARGS(hf_lock_new_args), FLAGS(hf_lock_new_args, 0), OWNED,
         .call = call_new},
        {HF_LOCK_CREATE_RESOURCE, "create-resource", RESOURCE(0), OWNED,
         .call = call_create_resource},
        {HF_LOCK_DELETE_RESOURCE, "delete-resource", RESOURCE(0), OWNED,
         .call = call_delete_resource},
        {HF_LOCK_ACQUIRE_RESOURCE, "acquire-resource",
         RESOURCE(HF_LOCK_ACQUIRE_SHARED | HF_LOCK_ACQUIRE_AUTOCREATE), OWNED,
         .call = call_acquire_resource},
        {HF_LOCK_RELEASE_RESOURCE, "release-resource", RESOURCE(0), OWNED,
         .call = call_release_resource},
        {HF_LOCK_CREATE_LOCKSPACE, "create-lockspace", ARGS(hf_lock_lockspace_args), .flags_at = -1,
         .guards = HF_GUARD_UNRESTRICTED, .call = call_create_lockspace},
};

const struct hf_program hf_lock_program = {
        .number = HF_LOCK_PROGRAM,
        .version = HF_LOCK_VERSION,
        .kind = HF_SERVICE_LOCKS,
        .domain = HF_FROM_RPC,
        .procedures = procedures,
        .n = HF_ARRAY_LEN(procedures),
};
