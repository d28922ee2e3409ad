/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The state of a virtlockd as a file: reading it whole, and writing it as virtlockd would. */
#include "daemon/stock-state.h"

#include "base/cleanup.h"
#include "rpc/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <json.h>
#include <string.h>
#include <sys/stat.h>

/* ---- reading ---- */

static int read_text(int fd, size_t size, char **ret)
{
        hf_cleanup_free char *text = malloc(size + 1);
        size_t len = 0;
        ssize_t got;

        if (!text)
                return -ENOMEM;
        while (len < size && (got = read(fd, text + len, size - len)) != 0) {
                if (got < 0 && errno != EINTR)
                        return -errno;
                len += got > 0 ? (size_t)got : 0;
        }
        if (len < size)
                return -EIO;
        *ret = hf_steal_ptr(text);
        return 0;
}

int hf_stock_read(const char *path, pid_t self, struct hf_stock_state *ret, struct hf_error *err)
{
        hf_cleanup_stock struct hf_stock_state state = {0};
        hf_cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        hf_cleanup_free char *text = NULL;
        struct stat st;
        int r;

        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return hf_error_sys(err, errno, "cannot read %s", path);
        if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
                return hf_error_sys(err, EPERM, "%s is no ordinary file of this user's alone",
                                    path);
        if ((uint64_t)st.st_size > HF_STOCK_TEXT_MAX)
                return hf_error_sys(err, E2BIG, "%s has more than %zu bytes", path,
                                    HF_STOCK_TEXT_MAX);
        r = read_text(fd, (size_t)st.st_size, &text);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot read %s", path);
        r = hf_stock_decode(text, (size_t)st.st_size, &state, err);
        if (r < 0) {
                hf_error_prefix(err, "%s", path);
                return r;
        }
        if (state.magic != self)
                return 0;
        *ret = state;
        state = (struct hf_stock_state){0};
        return 1;
}

/* ---- writing ---- */

typedef struct json_object json;

/*
 * Members are added to an object that is there. What fails for want of memory leaves the flag, so
 * that it is looked at once, at the end.
 */
struct writer {
        bool failed;
};

static json *made(struct writer *w, json *value)
{
        w->failed |= !value;
        return value;
}

static void put(struct writer *w, json *object, const char *key, json *value)
{
        if (object && value && json_object_object_add(object, key, value) == 0)
                return;
        w->failed = true;
        (void)json_object_put(value);
}

static void append(struct writer *w, json *array, json *value)
{
        if (array && value && json_object_array_add(array, value) == 0)
                return;
        w->failed = true;
        (void)json_object_put(value);
}

static void put_number(struct writer *w, json *object, const char *key, uint64_t value)
{
        put(w, object, key, made(w, json_object_new_int64((int64_t)value)));
}

static void put_flag(struct writer *w, json *object, const char *key, bool value)
{
        put(w, object, key, made(w, json_object_new_boolean(value)));
}

static void put_string(struct writer *w, json *object, const char *key, const char *value)
{
        put(w, object, key, made(w, json_object_new_string(value)));
}

static json *make_sock(struct writer *w, int fd, bool is_client, bool removes)
{
        json *sock = made(w, json_object_new_object());

        put_number(w, sock, "fd", (uint64_t)fd);
        put(w, sock, "errfd", made(w, json_object_new_int(-1)));
        put_number(w, sock, "pid", 0);
        put_flag(w, sock, "isClient", is_client);
        put_flag(w, sock, "unlinkUNIX", removes);
        return sock;
}

/* virtlockd has a service for each socket that it made or was passed. */
static json *make_services(struct writer *w, const struct hf_stock_state *state,
                           enum hf_service_kind kind)
{
        json *services = made(w, json_object_new_array());

        for (size_t i = 0; i < state->n_sockets; i++) {
                const struct hf_stock_socket *socket = &state->sockets[i];
                json *service, *socks;

                if (socket->kind != kind)
                        continue;
                service = made(w, json_object_new_object());
                socks = made(w, json_object_new_array());
                put_number(w, service, "auth", 0);
                put_flag(w, service, "readonly", false);
                put_number(w, service, "nrequests_client_max", 1);
                append(w, socks, make_sock(w, socket->fd, false, socket->removes));
                put(w, service, "socks", socks);
                append(w, services, service);
        }
        return services;
}

static json *make_private(struct writer *w, const struct hf_stock_client *client)
{
        json *data = made(w, json_object_new_object());
        const uint8_t *u = client->owner_uuid;
        char uuid[40];

        (void)snprintf(uuid, sizeof(uuid),
                       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
                       u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
                       u[13], u[14], u[15]);
        put_flag(w, data, "restricted", client->restricted);
        put_number(w, data, "ownerPid", (uint64_t)client->owner_pid);
        put_number(w, data, "ownerId", client->owner_id);
        put_string(w, data, "ownerName", client->owner_name ? client->owner_name : "");
        put_string(w, data, "ownerUUID", uuid);
        return data;
}

static json *make_clients(struct writer *w, const struct hf_stock_state *state,
                          enum hf_service_kind kind)
{
        json *clients = made(w, json_object_new_array());

        for (size_t i = 0; i < state->n_clients; i++) {
                const struct hf_stock_client *client = &state->clients[i];
                json *one;

                if (client->kind != kind)
                        continue;
                one = made(w, json_object_new_object());
                put_number(w, one, "id", client->id);
                put_number(w, one, "auth", 0);
                put_flag(w, one, "auth_pending", false);
                put_flag(w, one, "readonly", false);
                put_number(w, one, "nrequests_max", 1);
                put_number(w, one, "conn_time", client->connected);
                put(w, one, "sock", make_sock(w, client->fd, true, false));
                if (kind == HF_SERVICE_LOCKS)
                        put(w, one, "privateData", make_private(w, client));
                append(w, clients, one);
        }
        return clients;
}

static json *make_server(struct writer *w, const struct hf_stock_state *state,
                         enum hf_service_kind kind)
{
        const struct hf_stock_service *service = &state->services[kind];
        json *server = made(w, json_object_new_object());

        put_number(w, server, "min_workers", 0);
        put_number(w, server, "max_workers", 0);
        put_number(w, server, "priority_workers", 0);
        put_number(w, server, "max_clients", service->max_clients);
        put_number(w, server, "max_anonymous_clients", service->max_clients);
        /* Off: -1, which virtlockd writes so. */
        put_number(w, server, "keepaliveInterval", UINT32_MAX);
        put_number(w, server, "keepaliveCount", 0);
        put_number(w, server, "next_client_id", service->next_client_id);
        put(w, server, "services", make_services(w, state, kind));
        put(w, server, "clients", make_clients(w, state, kind));
        return server;
}

static json *make_lock(struct writer *w, const struct hf_stock_state *state,
                       const struct hf_stock_lock *lock)
{
        const char *directory = state->spaces[lock->space].directory;
        json *resource = made(w, json_object_new_object());
        json *owners = made(w, json_object_new_array());
        hf_cleanup_free char *path = NULL;

        if (asprintf(&path, "%s%s%s", directory, *directory ? "/" : "", lock->name) < 0)
                path = NULL;
        put_string(w, resource, "name", lock->name);
        put_string(w, resource, "path", path ? path : "");
        w->failed |= !path;
        put_number(w, resource, "fd", (uint64_t)lock->fd);
        put_flag(w, resource, "lockHeld", true);
        put_number(w, resource, "flags",
                   (lock->shared ? HF_LOCK_ACQUIRE_SHARED : 0) |
                           (lock->autocreate ? HF_LOCK_ACQUIRE_AUTOCREATE : 0));
        for (size_t i = 0; i < lock->n_owners; i++)
                append(w, owners, made(w, json_object_new_int64(lock->owners[i])));
        put(w, resource, "owners", owners);
        return resource;
}

/* Each space's locks in one walk over all: the arrays are there before. */
static void put_spaces(struct writer *w, json *root, const struct hf_stock_state *state)
{
        hf_cleanup_free json **resources = calloc(state->n_spaces + 1, sizeof(*resources));
        json *spaces = made(w, json_object_new_array());

        for (size_t i = 0; resources && i < state->n_spaces; i++) {
                json *space = made(w, json_object_new_object());

                resources[i] = made(w, json_object_new_array());
                if (i)
                        put_string(w, space, "directory", state->spaces[i].directory);
                put(w, space, "resources", resources[i]);
                if (i)
                        append(w, spaces, space);
                else
                        put(w, root, "defaultLockspace", space);
        }
        put(w, root, "lockspaces", spaces);
        w->failed |= !resources;
        for (size_t i = 0; !w->failed && i < state->n_locks; i++)
                append(w, resources[state->locks[i].space], make_lock(w, state, &state->locks[i]));
}

int hf_stock_encode(const struct hf_stock_state *state, char **ret, size_t *ret_len,
                    struct hf_error *err)
{
        struct writer w = {0};
        json *root = made(&w, json_object_new_object());
        json *daemon = made(&w, json_object_new_object());
        json *servers = made(&w, json_object_new_object());
        const char *text;
        char magic[16];

        for (int kind = HF_SERVICE_KINDS - 1; kind >= 0; kind--)
                put(&w, servers, hf_service_names[kind],
                    make_server(&w, state, (enum hf_service_kind)kind));
        put(&w, daemon, "servers", servers);
        put(&w, root, "daemon", daemon);
        put_spaces(&w, root, state);
        (void)snprintf(magic, sizeof(magic), "%d", (int)state->magic);
        put_string(&w, root, "magic", magic);
        text = w.failed ? NULL
                        : json_object_to_json_string_length(
                                  root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE,
                                  ret_len);
        *ret = text ? strdup(text) : NULL;
        (void)json_object_put(root);
        return *ret ? 0 : hf_error_sys(err, ENOMEM, "cannot write the state for virtlockd");
}
