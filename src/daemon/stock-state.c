/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/stock-state.h"

#include "base/cleanup.h"
#include "rpc/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <json.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

/* The text nests seven deep; more is none of virtlockd's. */
#define DEPTH_MAX 16

typedef struct json_object json;

/* ---- members of an object, each of the type that it must have ---- */

__attribute__((format(printf, 2, 3))) static int wrong(struct hf_error *err, const char *format,
                                                       ...)
{
        char text[256];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        return hf_error_set(err, EBADMSG, HF_ERR_INTERNAL, HF_FROM_NONE,
                            "this is no state of a virtlockd: %s", text);
}

static int too_many(struct hf_error *err, const char *what, uint64_t most)
{
        return hf_error_set(err, E2BIG, HF_ERR_INTERNAL, HF_FROM_NONE,
                            "the state of virtlockd has more than %llu %s",
                            (unsigned long long)most, what);
}

static int no_memory(struct hf_error *err)
{
        return hf_error_sys(err, ENOMEM, "cannot read the state of virtlockd");
}

static int get(json *object, const char *key, enum json_type type, json **ret, struct hf_error *err)
{
        if (!json_object_object_get_ex(object, key, ret))
                return wrong(err, "there is no \"%s\"", key);
        if (!json_object_is_type(*ret, type))
                return wrong(err, "\"%s\" is no %s", key, json_type_to_name(type));
        return 0;
}

static int get_number(json *object, const char *key, uint64_t max, uint64_t *ret,
                      struct hf_error *err)
{
        json *value;
        int64_t number;
        int r = get(object, key, json_type_int, &value, err);

        if (r < 0)
                return r;
        number = json_object_get_int64(value);
        if (number < 0 || (uint64_t)number > max)
                return wrong(err, "\"%s\" is not from 0 to %llu", key, (unsigned long long)max);
        *ret = (uint64_t)number;
        return 0;
}

static int get_flag(json *object, const char *key, bool *ret, struct hf_error *err)
{
        json *value;
        int r = get(object, key, json_type_boolean, &value, err);

        if (r >= 0)
                *ret = json_object_get_boolean(value);
        return r;
}

static int get_string(json *object, const char *key, size_t max, char **ret, struct hf_error *err)
{
        json *value;
        size_t len;
        int r = get(object, key, json_type_string, &value, err);

        if (r < 0)
                return r;
        len = (size_t)json_object_get_string_len(value);
        if (len > max || memchr(json_object_get_string(value), '\0', len))
                return wrong(err, "\"%s\" is longer than %zu bytes, or has a NUL in it", key, max);
        *ret = strdup(json_object_get_string(value));
        return *ret ? 0 : no_memory(err);
}

/* 0, 1 and 2 are no descriptors of a lock or a client. */
static int get_fd(json *object, int *ret, struct hf_error *err)
{
        uint64_t number = 0;
        int r = get_number(object, "fd", HF_STOCK_FD_MAX - 1, &number, err);

        if (r >= 0 && number <= 2)
                return wrong(err, "\"fd\" is %d", (int)number);
        if (r >= 0)
                *ret = (int)number;
        return r;
}

typedef int (*each_fn)(struct hf_stock_state *state, json *element, const void *what,
                       struct hf_error *err);

/* Each element of an array of objects. */
static int each(struct hf_stock_state *state, json *object, const char *key, each_fn take,
                const void *what, struct hf_error *err)
{
        json *array;
        int r = get(object, key, json_type_array, &array, err);

        for (size_t i = 0; r >= 0 && i < json_object_array_length(array); i++) {
                json *element = json_object_array_get_idx(array, i);

                r = json_object_is_type(element, json_type_object)
                            ? take(state, element, what, err)
                            : wrong(err, "an element of \"%s\" is no object", key);
        }
        return r;
}

/* Room for one more at the end of a list that doubles. */
static int grow(void **list, size_t n, size_t size)
{
        void *more;

        if (n & (n - 1))
                return 0;
        more = reallocarray(*list, n ? 2 * n : 1, size);
        if (!more)
                return -ENOMEM;
        *list = more;
        memset((char *)more + n * size, 0, (n ? n : 1) * size);
        return 0;
}

#define GROW(list, n) grow((void **)&(list), n, sizeof(*(list)))

/* ---- sockets and clients ---- */

static int take_socket(struct hf_stock_state *state, json *element, const void *what,
                       struct hf_error *err)
{
        struct hf_stock_socket *socket = &state->sockets[state->n_sockets];
        int r;

        if (state->n_sockets == HF_LISTENERS_MAX)
                return too_many(err, "listening sockets", HF_LISTENERS_MAX);
        socket->kind = *(const enum hf_service_kind *)what;
        r = get_fd(element, &socket->fd, err);
        if (r >= 0)
                r = get_flag(element, "unlinkUNIX", &socket->removes, err);
        state->n_sockets += r >= 0;
        return r;
}

static int take_service(struct hf_stock_state *state, json *element, const void *what,
                        struct hf_error *err)
{
        return each(state, element, "socks", take_socket, what, err);
}

static int read_uuid(const char *text, uint8_t ret[static 16])
{
        for (size_t i = 0; i < 16; i++) {
                unsigned int byte;
                int used = 0;

                if (*text == '-')
                        text++;
                if (sscanf(text, "%2x%n", &byte, &used) != 1 || used != 2 || *text == ' ')
                        return -EBADMSG;
                ret[i] = (uint8_t)byte;
                text += 2;
        }
        return *text ? -EBADMSG : 0;
}

static int read_private(struct hf_stock_client *client, json *data, struct hf_error *err)
{
        hf_cleanup_free char *uuid = NULL;
        uint64_t pid = 0, id = 0;
        int r = get_flag(data, "restricted", &client->restricted, err);

        if (r >= 0)
                r = get_number(data, "ownerPid", INT32_MAX, &pid, err);
        if (r >= 0)
                r = get_number(data, "ownerId", UINT32_MAX, &id, err);
        if (r >= 0)
                r = get_string(data, "ownerName", HF_LOCK_STRING_MAX, &client->owner_name, err);
        if (r >= 0)
                r = get_string(data, "ownerUUID", 64, &uuid, err);
        if (r >= 0 && read_uuid(uuid, client->owner_uuid) < 0)
                r = wrong(err, "\"ownerUUID\" is no UUID");
        client->owner_pid = (pid_t)pid;
        client->owner_id = (uint32_t)id;
        return r;
}

static int read_client(struct hf_stock_client *client, json *element, struct hf_error *err)
{
        json *sock, *data;
        int r = get(element, "sock", json_type_object, &sock, err);

        if (r >= 0)
                r = get_fd(sock, &client->fd, err);
        if (r >= 0)
                r = get_number(element, "id", INT64_MAX, &client->id, err);
        if (r >= 0)
                r = get_number(element, "conn_time", UINT32_MAX, &client->connected, err);
        /* Of an admin client there is nothing more to know. */
        if (r < 0 || client->kind != HF_SERVICE_LOCKS)
                return r;
        r = get(element, "privateData", json_type_object, &data, err);
        return r < 0 ? r : read_private(client, data, err);
}

static int take_client(struct hf_stock_state *state, json *element, const void *what,
                       struct hf_error *err)
{
        struct hf_stock_client *client;

        if (state->n_clients == HF_STOCK_CLIENTS_MAX)
                return too_many(err, "clients", HF_STOCK_CLIENTS_MAX);
        if (GROW(state->clients, state->n_clients) < 0)
                return no_memory(err);
        client = &state->clients[state->n_clients++];
        client->kind = *(const enum hf_service_kind *)what;
        return read_client(client, element, err);
}

static int take_server(struct hf_stock_state *state, json *server, enum hf_service_kind kind,
                       struct hf_error *err)
{
        struct hf_stock_service *service = &state->services[kind];
        int r = get_number(server, "max_clients", INT64_MAX, &service->max_clients, err);

        if (r >= 0)
                r = get_number(server, "next_client_id", INT64_MAX, &service->next_client_id, err);
        if (r >= 0)
                r = each(state, server, "services", take_service, &kind, err);
        return r < 0 ? r : each(state, server, "clients", take_client, &kind, err);
}

/* Each under its name; an unprivileged or an old virtlockd may have no admin server. */
static int take_servers(struct hf_stock_state *state, json *root, struct hf_error *err)
{
        json *daemon, *servers, *server;
        int r = get(root, "daemon", json_type_object, &daemon, err);

        if (r >= 0)
                r = get(daemon, "servers", json_type_object, &servers, err);
        if (r < 0)
                return r;
        json_object_object_foreach(servers, name, ignored)
        {
                (void)ignored;
                if (strcmp(name, hf_service_names[HF_SERVICE_LOCKS]) != 0 &&
                    strcmp(name, hf_service_names[HF_SERVICE_ADMIN]) != 0)
                        return wrong(err, "no virtlockd has a server \"%.32s\"", name);
        }
        for (int kind = 0; r >= 0 && kind < HF_SERVICE_KINDS; kind++) {
                if (kind == HF_SERVICE_ADMIN &&
                    !json_object_object_get_ex(servers, hf_service_names[kind], &server))
                        continue;
                r = get(servers, hf_service_names[kind], json_type_object, &server, err);
                if (r >= 0)
                        r = take_server(state, server, (enum hf_service_kind)kind, err);
        }
        return r;
}

/* ---- lockspaces and locks ---- */

static int read_owners(struct hf_stock_lock *lock, json *element, struct hf_error *err)
{
        json *owners;
        size_t n;
        int r = get(element, "owners", json_type_array, &owners, err);

        if (r < 0)
                return r;
        n = json_object_array_length(owners);
        if (n > HF_TABLE_OWNERS_MAX)
                return too_many(err, "owners of one lock", HF_TABLE_OWNERS_MAX);
        lock->owners = calloc(n + 1, sizeof(*lock->owners));
        if (!lock->owners)
                return no_memory(err);
        for (size_t i = 0; i < n; i++) {
                json *owner = json_object_array_get_idx(owners, i);
                int64_t pid = json_object_is_type(owner, json_type_int)
                                      ? json_object_get_int64(owner)
                                      : -1;

                if (pid < 0 || pid > INT32_MAX)
                        return wrong(err, "an owner of \"%.64s\" is no pid", lock->name);
                lock->owners[lock->n_owners++] = (pid_t)pid;
        }
        return 0;
}

static int read_lock(struct hf_stock_lock *lock, json *element, struct hf_error *err)
{
        uint64_t flags = 0;
        bool held = false;
        int r = get_string(element, "name", HF_TABLE_STRING_MAX, &lock->name, err);

        if (r >= 0)
                r = get_fd(element, &lock->fd, err);
        if (r >= 0)
                r = get_flag(element, "lockHeld", &held, err);
        if (r >= 0)
                r = get_number(element, "flags", UINT32_MAX, &flags, err);
        if (r < 0)
                return r;
        if (!held || flags & ~(uint64_t)(HF_LOCK_ACQUIRE_SHARED | HF_LOCK_ACQUIRE_AUTOCREATE))
                return wrong(err, "\"%.64s\" is not held, or in a way that is not known (%llu)",
                             lock->name, (unsigned long long)flags);
        lock->shared = flags & HF_LOCK_ACQUIRE_SHARED;
        lock->autocreate = flags & HF_LOCK_ACQUIRE_AUTOCREATE;
        return read_owners(lock, element, err);
}

static int take_lock(struct hf_stock_state *state, json *element, const void *what,
                     struct hf_error *err)
{
        struct hf_stock_lock *lock;

        (void)what;
        if (state->n_locks == HF_TABLE_LOCKS_MAX - 1)
                return too_many(err, "locks", HF_TABLE_LOCKS_MAX - 1);
        if (GROW(state->locks, state->n_locks) < 0)
                return no_memory(err);
        lock = &state->locks[state->n_locks++];
        lock->space = state->n_spaces - 1;
        return read_lock(lock, element, err);
}

static int add_space(struct hf_stock_state *state, struct hf_stock_space **ret,
                     struct hf_error *err)
{
        if (state->n_spaces == HF_TABLE_LOCKSPACES_MAX - 1)
                return too_many(err, "lockspaces", HF_TABLE_LOCKSPACES_MAX - 1);
        if (GROW(state->spaces, state->n_spaces) < 0)
                return no_memory(err);
        *ret = &state->spaces[state->n_spaces++];
        return 0;
}

static int take_space(struct hf_stock_state *state, json *element, const void *what,
                      struct hf_error *err)
{
        struct hf_stock_space *space = NULL;
        int r = add_space(state, &space, err);

        (void)what;
        if (r >= 0)
                r = get_string(element, "directory", HF_TABLE_STRING_MAX, &space->directory, err);
        if (r >= 0 && space->directory[0] != '/')
                r = wrong(err, "the lockspace \"%.64s\" is no absolute path", space->directory);
        return r < 0 ? r : each(state, element, "resources", take_lock, NULL, err);
}

static int take_spaces(struct hf_stock_state *state, json *root, struct hf_error *err)
{
        struct hf_stock_space *space = NULL;
        json *standard;
        int r = get(root, "defaultLockspace", json_type_object, &standard, err);

        if (r >= 0)
                r = add_space(state, &space, err);
        if (r < 0)
                return r;
        space->directory = strdup("");
        if (!space->directory)
                return no_memory(err);
        r = each(state, standard, "resources", take_lock, NULL, err);
        return r < 0 ? r : each(state, root, "lockspaces", take_space, NULL, err);
}

/* ---- as a whole ---- */

static int compare(const void *a, const void *b)
{
        return *(const int *)a - *(const int *)b;
}

/* A number that is named twice would be two things. */
static int check_numbers(const struct hf_stock_state *state, struct hf_error *err)
{
        size_t n = state->n_sockets + state->n_clients + state->n_locks, at = 0;
        hf_cleanup_free int *numbers = calloc(n + 1, sizeof(*numbers));

        if (!numbers)
                return no_memory(err);
        for (size_t i = 0; i < state->n_sockets; i++)
                numbers[at++] = state->sockets[i].fd;
        for (size_t i = 0; i < state->n_clients; i++)
                numbers[at++] = state->clients[i].fd;
        for (size_t i = 0; i < state->n_locks; i++)
                numbers[at++] = state->locks[i].fd;
        qsort(numbers, n, sizeof(*numbers), compare);
        for (size_t i = 1; i < n; i++)
                if (numbers[i] == numbers[i - 1])
                        return wrong(err, "the descriptor %d is there twice", numbers[i]);
        return 0;
}

static int take_magic(struct hf_stock_state *state, json *root, struct hf_error *err)
{
        hf_cleanup_free char *text = NULL;
        char *end;
        long pid;
        int r = get_string(root, "magic", 20, &text, err);

        if (r < 0)
                return r;
        pid = *text >= '1' && *text <= '9' ? strtol(text, &end, 10) : -1;
        if (pid < 1 || pid > INT32_MAX || *end)
                return wrong(err, "\"magic\" is no pid");
        state->magic = (pid_t)pid;
        return 0;
}

static int take_all(struct hf_stock_state *state, json *root, struct hf_error *err)
{
        int r = take_magic(state, root, err);

        if (r >= 0)
                r = take_servers(state, root, err);
        if (r >= 0)
                r = take_spaces(state, root, err);
        return r < 0 ? r : check_numbers(state, err);
}

int hf_stock_decode(const char *text, size_t len, struct hf_stock_state *ret, struct hf_error *err)
{
        hf_cleanup_stock struct hf_stock_state state = {0};
        struct json_tokener *tokener;
        size_t used;
        json *root;
        int r;

        if (len > HF_STOCK_TEXT_MAX)
                return hf_error_set(err, E2BIG, HF_ERR_INTERNAL, HF_FROM_NONE,
                                    "the state of virtlockd has more than %zu bytes",
                                    HF_STOCK_TEXT_MAX);
        tokener = json_tokener_new_ex(DEPTH_MAX);
        if (!tokener)
                return no_memory(err);
        root = json_tokener_parse_ex(tokener, text, (int)len);
        used = json_tokener_get_parse_end(tokener);
        json_tokener_free(tokener);
        while (used < len && strchr(" \n\t\r", text[used]) && text[used])
                used++;
        if (!json_object_is_type(root, json_type_object) || used < len) {
                (void)json_object_put(root);
                return wrong(err, "it is not JSON, or cut off");
        }
        r = take_all(&state, root, err);
        (void)json_object_put(root);
        if (r < 0)
                return r;
        *ret = state;
        state = (struct hf_stock_state){0};
        return 0;
}

void hf_stock_clear(struct hf_stock_state *state)
{
        for (size_t i = 0; i < state->n_clients; i++)
                free(state->clients[i].owner_name);
        for (size_t i = 0; i < state->n_spaces; i++)
                free(state->spaces[i].directory);
        for (size_t i = 0; i < state->n_locks; i++) {
                free(state->locks[i].name);
                free(state->locks[i].owners);
        }
        free(state->clients);
        free(state->spaces);
        free(state->locks);
        *state = (struct hf_stock_state){0};
}
