/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * virtlockd's admin program: what virt-admin shows of servers and clients.
 *
 * Only reading. What would change the daemon is refused with a reason: a
 * client that is thrown out by hand would take a VM with it, and limits and
 * logging have one place, the configuration file.
 */
#include "daemon/dispatch.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "rpc/admin.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

/* The libvirt whose protocol this is: 9.0.0. Clients show it and may compare it. */
#define LIBVIRT_RELEASE 9000000

/* A line of /etc/passwd or /etc/group; a user without one is shown by number. */
#define ACCOUNT_LINE_MAX 65536

#define ACCOUNT_NAME_MAX 256

/* The order of the list; virtlockd has none. */
static const enum hf_service_kind kinds[] = {HF_SERVICE_ADMIN, HF_SERVICE_LOCKS};

/* Encoding only reads; the structs of rpcgen cannot say so. */
static char *text_of(const char *text)
{
        return (char *)(uintptr_t)text;
}

static struct hf_admin_param uint_param(const char *field, unsigned int value)
{
        return (struct hf_admin_param){text_of(field),
                                       {.type = HF_ADMIN_UINT, .hf_admin_value_u.ui = value}};
}

static struct hf_admin_param int_param(const char *field, int value)
{
        return (struct hf_admin_param){text_of(field),
                                       {.type = HF_ADMIN_INT, .hf_admin_value_u.i = value}};
}

static struct hf_admin_param bool_param(const char *field, bool value)
{
        return (struct hf_admin_param){text_of(field),
                                       {.type = HF_ADMIN_BOOLEAN, .hf_admin_value_u.b = value}};
}

static struct hf_admin_param string_param(const char *field, const char *value)
{
        return (struct hf_admin_param){
                text_of(field), {.type = HF_ADMIN_STRING, .hf_admin_value_u.s = text_of(value)}};
}

/* The server's kind, an enum hf_service_kind, or a negative errno. */
static int find_server(const struct hf_admin_server *server, struct hf_error *err)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++)
                if (!strcmp(server->name, hf_service_names[kinds[i]]))
                        return (int)kinds[i];
        return hf_error_set(err, ENOENT, HF_ERR_NO_SERVER, HF_FROM_RPC, "No server named '%s'",
                            server->name);
}

/* Connections that only wait for their refusal are no clients. */
static bool is_client(const struct hf_session *session, int kind)
{
        return (int)session->kind == kind && !session->refused;
}

/* NULL, and why, when there is none. */
static const struct hf_session *find_client(const struct hf_server *server,
                                            const struct hf_admin_server *name, uint64_t id,
                                            struct hf_error *err)
{
        int kind = find_server(name, err);

        if (kind < 0)
                return NULL;
        for (const struct hf_session *s = server->sessions; s; s = s->next)
                if (is_client(s, kind) && s->id == id)
                        return s;
        (void)hf_error_set(err, ENOENT, HF_ERR_NO_CLIENT, HF_FROM_RPC,
                           "No client with matching ID '%llu'", (unsigned long long)id);
        return NULL;
}

static struct hf_admin_client wire_client(const struct hf_session *session)
{
        return (struct hf_admin_client){
                .server.name = text_of(hf_service_names[session->kind]),
                .id = session->id,
                .connected = (int64_t)(session->connected / 1000000),
                .transport = HF_ADMIN_TRANSPORT_UNIX,
        };
}

static int call_open(struct hf_session *session, const void *data, struct hf_error *err)
{
        (void)session;
        (void)data;
        (void)err;
        return HF_DONE;
}

static int call_close(struct hf_session *session, const void *data, struct hf_error *err)
{
        (void)data;
        (void)err;
        session->leaving = true;
        return HF_DONE;
}

static int call_get_lib_version(struct hf_session *session, const void *data, struct hf_error *err)
{
        struct hf_admin_get_lib_version_ret ret = {.release = LIBVIRT_RELEASE};

        (void)data;
        (void)err;
        hf_session_answer(session, (xdrproc_t)xdr_hf_admin_get_lib_version_ret, &ret);
        return HF_ANSWERED;
}

static int call_list_servers(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_admin_list_servers_args *args = data;
        struct hf_admin_server servers[HF_ARRAY_LEN(kinds)];
        struct hf_admin_list_servers_ret ret = {
                .servers.servers_val = servers,
                .servers.servers_len = args->wanted ? HF_ARRAY_LEN(kinds) : 0,
                .n = HF_ARRAY_LEN(kinds),
        };

        (void)err;
        for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++)
                servers[i].name = text_of(hf_service_names[kinds[i]]);
        hf_session_answer(session, (xdrproc_t)xdr_hf_admin_list_servers_ret, &ret);
        return HF_ANSWERED;
}

static int call_lookup_server(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_admin_server_args *args = data;
        struct hf_admin_lookup_server_ret ret = {.server = args->server};
        int kind = find_server(&args->server, err);

        if (kind < 0)
                return kind;
        hf_session_answer(session, (xdrproc_t)xdr_hf_admin_lookup_server_ret, &ret);
        return HF_ANSWERED;
}

/* One thread serves all, so that there is no pool; virtlockd says the same of itself. */
static int call_get_threadpool(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_admin_server_args *args = data;
        struct hf_admin_param params[] = {
                uint_param("minWorkers", 0),  uint_param("maxWorkers", 0),
                uint_param("nWorkers", 0),    uint_param("freeWorkers", 0),
                uint_param("prioWorkers", 0), uint_param("jobQueueDepth", 0),
        };
        struct hf_admin_get_threadpool_ret ret = {{HF_ARRAY_LEN(params), params}};
        int kind = find_server(&args->server, err);

        if (kind < 0)
                return kind;
        hf_session_answer(session, (xdrproc_t)xdr_hf_admin_get_threadpool_ret, &ret);
        return HF_ANSWERED;
}

/* Nobody has to log in: none is ever on the way to it, and its limit is that of all. */
static int call_get_client_limits(struct hf_session *session, const void *data,
                                  struct hf_error *err)
{
        const struct hf_admin_server_args *args = data;
        const struct hf_server *server = session->server;
        unsigned int limit, clients;
        int kind = find_server(&args->server, err);

        if (kind < 0)
                return kind;
        limit = kind == HF_SERVICE_ADMIN ? server->config->admin_max_clients
                                         : server->config->max_clients;
        /* Those that only look have places of their own. */
        clients = server->clients[kind] - (kind == HF_SERVICE_LOCKS ? server->readers : 0);
        struct hf_admin_param params[] = {
                uint_param("nclients_max", limit),
                uint_param("nclients", clients),
                uint_param("nclients_unauth_max", limit),
                uint_param("nclients_unauth", 0),
        };
        struct hf_admin_get_client_limits_ret ret = {{HF_ARRAY_LEN(params), params}};

        hf_session_answer(session, (xdrproc_t)xdr_hf_admin_get_client_limits_ret, &ret);
        return HF_ANSWERED;
}

/*
 * The list has no pages: as many clients as the answer slot holds (some 7000),
 * and an error instead of the list when there are more. Sessions are kept
 * newest first, virtlockd lists the oldest first.
 */
static int call_list_clients(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_admin_list_clients_args *args = data;
        const struct hf_server *server = session->server;
        hf_cleanup_free struct hf_admin_client *clients = NULL;
        struct hf_admin_list_clients_ret ret = {0};
        unsigned int left;
        int kind = find_server(&args->server, err);

        if (kind < 0)
                return kind;
        ret.n = left = server->clients[kind];
        clients = calloc(left + 1, sizeof(*clients));
        if (!clients)
                return hf_error_sys(err, ENOMEM, "cannot list the clients");
        for (const struct hf_session *s = server->sessions; s && left > 0; s = s->next)
                if (is_client(s, kind))
                        clients[--left] = wire_client(s);
        ret.clients.clients_val = clients;
        ret.clients.clients_len = args->wanted ? ret.n : 0;
        hf_session_answer(session, (xdrproc_t)xdr_hf_admin_list_clients_ret, &ret);
        return HF_ANSWERED;
}

static int call_lookup_client(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_admin_lookup_client_args *args = data;
        struct hf_admin_lookup_client_ret ret;
        const struct hf_session *client = find_client(session->server, &args->server, args->id,
                                                      err);

        if (!client)
                return -ENOENT;
        ret.client = wire_client(client);
        hf_session_answer(session, (xdrproc_t)xdr_hf_admin_lookup_client_ret, &ret);
        return HF_ANSWERED;
}

static void close_file(FILE **file)
{
        if (*file)
                (void)fclose(*file);
}

/*
 * Names of users and groups come from the local files alone: any other source
 * may be a server that does not answer, and then no VM would get its locks.
 */
static void user_name(uid_t uid, char ret[static ACCOUNT_NAME_MAX])
{
        hf_cleanup(close_file) FILE *file = fopen("/etc/passwd", "re");
        hf_cleanup_free char *line = malloc(ACCOUNT_LINE_MAX);
        struct passwd entry, *found;

        (void)snprintf(ret, ACCOUNT_NAME_MAX, "%u", (unsigned int)uid);
        while (file && line && fgetpwent_r(file, &entry, line, ACCOUNT_LINE_MAX, &found) == 0) {
                if (entry.pw_uid == uid) {
                        (void)snprintf(ret, ACCOUNT_NAME_MAX, "%s", entry.pw_name);
                        return;
                }
        }
}

static void group_name(gid_t gid, char ret[static ACCOUNT_NAME_MAX])
{
        hf_cleanup(close_file) FILE *file = fopen("/etc/group", "re");
        hf_cleanup_free char *line = malloc(ACCOUNT_LINE_MAX);
        struct group entry, *found;

        (void)snprintf(ret, ACCOUNT_NAME_MAX, "%u", (unsigned int)gid);
        while (file && line && fgetgrent_r(file, &entry, line, ACCOUNT_LINE_MAX, &found) == 0) {
                if (entry.gr_gid == gid) {
                        (void)snprintf(ret, ACCOUNT_NAME_MAX, "%s", entry.gr_name);
                        return;
                }
        }
}

static int call_client_get_info(struct hf_session *session, const void *data, struct hf_error *err)
{
        const struct hf_admin_client_get_info_args *args = data;
        char user[ACCOUNT_NAME_MAX], group[ACCOUNT_NAME_MAX];
        const struct hf_session *client = find_client(session->server, &args->client.server,
                                                      args->client.id, err);

        if (!client) {
                /* The one lookup that virtlockd reports in the name of the admin program. */
                if (err)
                        err->domain = HF_FROM_ADMIN;
                return -ENOENT;
        }
        user_name(client->peer_uid, user);
        group_name(client->peer_gid, group);
        struct hf_admin_param params[] = {
                bool_param("readonly", client->read_only),
                int_param("unix_user_id", (int)client->peer_uid),
                string_param("unix_user_name", user),
                int_param("unix_group_id", (int)client->peer_gid),
                string_param("unix_group_name", group),
                int_param("unix_process_id", (int)client->peer_pid),
        };
        struct hf_admin_client_get_info_ret ret = {{HF_ARRAY_LEN(params), params}};

        hf_session_answer(session, (xdrproc_t)xdr_hf_admin_client_get_info_ret, &ret);
        return HF_ANSWERED;
}

static unsigned int count_words(const char *text)
{
        static const char blank[] = " \t\n";
        unsigned int n = 0;

        for (text += strspn(text, blank); *text; text += strspn(text, blank)) {
                text += strcspn(text, blank);
                n++;
        }
        return n;
}

static int call_get_log_outputs(struct hf_session *session, const void *data, struct hf_error *err)
{
        const char *outputs = hf_log_outputs();
        struct hf_admin_get_log_outputs_ret ret = {text_of(outputs), count_words(outputs)};

        (void)data;
        (void)err;
        hf_session_answer(session, (xdrproc_t)xdr_hf_admin_get_log_outputs_ret, &ret);
        return HF_ANSWERED;
}

static int call_get_log_filters(struct hf_session *session, const void *data, struct hf_error *err)
{
        hf_rpc_string filters = text_of(hf_log_filters());
        struct hf_admin_get_log_filters_ret ret = {.n = count_words(filters)};

        (void)data;
        (void)err;
        ret.filters = ret.n > 0 ? &filters : NULL;
        hf_session_answer(session, (xdrproc_t)xdr_hf_admin_get_log_filters_ret, &ret);
        return HF_ANSWERED;
}

static int refuse(struct hf_error *err, const char *what, const char *instead)
{
        return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_ADMIN,
                            "%s is read-only here: %s", what, instead);
}

static int call_set_threadpool(struct hf_session *session, const void *data, struct hf_error *err)
{
        (void)session;
        (void)data;
        return refuse(err, "the thread pool", "the daemon has one thread");
}

static int call_client_close(struct hf_session *session, const void *data, struct hf_error *err)
{
        (void)session;
        (void)data;
        return refuse(err, "the list of clients",
                      "a VM whose connection is closed would be ended; end the client instead");
}

static int call_set_client_limits(struct hf_session *session, const void *data,
                                  struct hf_error *err)
{
        (void)session;
        (void)data;
        return refuse(err, "the limit of clients",
                      "set max_clients or admin_max_clients in the daemon's configuration");
}

static int call_set_logging(struct hf_session *session, const void *data, struct hf_error *err)
{
        (void)session;
        (void)data;
        return refuse(err, "the logging",
                      "set log_outputs or log_filters in the daemon's configuration and send it "
                      "SIGHUP");
}

static int call_update_tls(struct hf_session *session, const void *data, struct hf_error *err)
{
        (void)session;
        (void)data;
        return refuse(err, "TLS", "the daemon has no TLS, only UNIX sockets");
}

static int call_set_timeout(struct hf_session *session, const void *data, struct hf_error *err)
{
        (void)session;
        (void)data;
        return refuse(err, "the timeout", "start the daemon with --timeout");
}

#define ARGS(type)                                                                                 \
        .decode = (xdrproc_t)xdr_##type, .args_size = sizeof(struct type),                         \
        .flags_at = offsetof(struct type, flags)

#define NO_ARGS .flags_at = -1

static const struct hf_procedure procedures[] = {
        {HF_ADMIN_CONNECT_OPEN, "connect-open", ARGS(hf_admin_flags_args), .call = call_open},
        {HF_ADMIN_CONNECT_CLOSE, "connect-close", NO_ARGS, .call = call_close},
        {HF_ADMIN_GET_LIB_VERSION, "get-lib-version", NO_ARGS, .call = call_get_lib_version},
        {HF_ADMIN_LIST_SERVERS, "list-servers", ARGS(hf_admin_list_servers_args),
         .call = call_list_servers},
        {HF_ADMIN_LOOKUP_SERVER, "lookup-server", ARGS(hf_admin_server_args),
         .call = call_lookup_server},
        {HF_ADMIN_GET_THREADPOOL, "get-threadpool", ARGS(hf_admin_server_args),
         .call = call_get_threadpool},
        {HF_ADMIN_SET_THREADPOOL, "set-threadpool", NO_ARGS, .call = call_set_threadpool},
        {HF_ADMIN_LIST_CLIENTS, "list-clients", ARGS(hf_admin_list_clients_args),
         .call = call_list_clients},
        {HF_ADMIN_LOOKUP_CLIENT, "lookup-client", ARGS(hf_admin_lookup_client_args),
         .call = call_lookup_client},
        {HF_ADMIN_CLIENT_GET_INFO, "client-get-info", ARGS(hf_admin_client_get_info_args),
         .call = call_client_get_info},
        {HF_ADMIN_CLIENT_CLOSE, "client-close", NO_ARGS, .call = call_client_close},
        {HF_ADMIN_GET_CLIENT_LIMITS, "get-client-limits", ARGS(hf_admin_server_args),
         .call = call_get_client_limits},
        {HF_ADMIN_SET_CLIENT_LIMITS, "set-client-limits", NO_ARGS, .call = call_set_client_limits},
        {HF_ADMIN_GET_LOG_OUTPUTS, "get-log-outputs", ARGS(hf_admin_flags_args),
         .call = call_get_log_outputs},
        {HF_ADMIN_GET_LOG_FILTERS, "get-log-filters", ARGS(hf_admin_flags_args),
         .call = call_get_log_filters},
        {HF_ADMIN_SET_LOG_OUTPUTS, "set-log-outputs", NO_ARGS, .call = call_set_logging},
        {HF_ADMIN_SET_LOG_FILTERS, "set-log-filters", NO_ARGS, .call = call_set_logging},
        {HF_ADMIN_UPDATE_TLS, "update-tls", NO_ARGS, .call = call_update_tls},
        {HF_ADMIN_SET_TIMEOUT, "set-timeout", NO_ARGS, .call = call_set_timeout},
};

const struct hf_program hf_admin_program = {
        .number = HF_ADMIN_PROGRAM,
        .version = HF_ADMIN_VERSION,
        .kind = HF_SERVICE_ADMIN,
        .domain = HF_FROM_ADMIN,
        .procedures = procedures,
        .n = HF_ARRAY_LEN(procedures),
};
