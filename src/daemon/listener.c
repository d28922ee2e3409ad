/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/listener.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/socket.h"
#include "daemon/area.h"
#include "daemon/parking.h"
#include "daemon/session.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#define MODULE "daemon.listener"

/* A burst of VMs that start at once waits here, not in their faces. */
#define BACKLOG 512

/* Connections over the limit that may wait for their refusal; more are closed unheard. */
#define REFUSED_MAX 32

const char *const hf_service_names[HF_SERVICE_KINDS] = {
        [HF_SERVICE_LOCKS] = "virtlockd",
        [HF_SERVICE_ADMIN] = "admin",
};

/* Whether as many as may be are served there already. */
static bool is_full(const struct hf_listener *listener)
{
        const struct hf_server *server = listener->server;

        if (listener->read_only)
                return server->readers >= HF_READERS_MAX;
        if (listener->kind == HF_SERVICE_ADMIN)
                return server->clients[HF_SERVICE_ADMIN] >= server->config->admin_max_clients;
        return server->clients[HF_SERVICE_LOCKS] - server->readers >= server->config->max_clients;
}

/*
 * Root's daemon serves root, a user's daemon that user. Read-only sockets are
 * open to whomever their permissions let in.
 */
static bool may_connect(const struct hf_listener *listener, const struct hf_peer *peer)
{
        if (listener->read_only)
                return true;
        return peer->uid == (listener->server->privileged ? 0 : geteuid());
}

/* The one that has waited longest makes room. */
static void drop_oldest_refused(struct hf_server *server)
{
        struct hf_session *oldest = NULL;

        for (struct hf_session *s = server->sessions; s; s = s->next)
                if (s->refused)
                        oldest = s;
        if (oldest)
                hf_session_close(oldest);
}

static void serve_connection(struct hf_listener *listener, int fd_arg)
{
        hf_cleanup_fd int fd = fd_arg;
        struct hf_server *server = listener->server;
        struct hf_session *session;
        struct hf_peer peer;
        bool refused;
        int r;

        if (hf_socket_peer(fd, &peer, NULL) < 0)
                return;
        if (!may_connect(listener, &peer)) {
                hf_log(HF_LOG_WARNING, MODULE, "refusing a connection by uid %u (pid %d) on %s",
                       (unsigned int)peer.uid, (int)peer.pid,
                       *listener->path ? listener->path : "a passed socket");
                return;
        }
        refused = is_full(listener);
        if (refused && server->refused >= REFUSED_MAX)
                drop_oldest_refused(server);
        r = hf_session_new(listener, hf_steal_fd(&fd), &peer, refused, &session);
        if (r < 0) {
                hf_log(HF_LOG_ERROR, MODULE, "cannot serve pid %d: %s", (int)peer.pid,
                       strerrordesc_np(-r));
                return;
        }
        hf_server_check_idle(server);
}

/* No descriptor left: give up the spare one to tell the newcomer by closing, then take it again. */
static void turn_away(struct hf_listener *listener)
{
        struct hf_server *server = listener->server;
        int fd;

        hf_close_fd(&server->spare_fd);
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
        hf_close_fd(&fd);
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        hf_log(HF_LOG_ERROR, MODULE, "out of file descriptors: a client was turned away");
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_listener *listener = data;
        int connection;

        (void)source;
        (void)revents;
        connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (connection >= 0)
                serve_connection(listener, connection);
        else if (errno == EMFILE || errno == ENFILE)
                turn_away(listener);
        return 0;
}

/* The sockets there may be. */
struct socket_name {
        const char *name; /* that systemd's unit gives it */
        size_t path_at;   /* of the default path, in struct hf_paths */
        enum hf_service_kind kind;
        bool read_only;
        bool virtlockd; /* one of virtlockd's */
};

static const struct socket_name socket_names[] = {
        {"holdfastd.socket", offsetof(struct hf_paths, socket), HF_SERVICE_LOCKS, false, false},
        {"holdfastd-ro.socket", offsetof(struct hf_paths, socket_ro), HF_SERVICE_LOCKS, true,
         false},
        {"virtlockd.socket", offsetof(struct hf_paths, virtlockd_socket), HF_SERVICE_LOCKS, false,
         true},
        {"virtlockd-admin.socket", offsetof(struct hf_paths, virtlockd_admin_socket),
         HF_SERVICE_ADMIN, false, true},
};

/* Lets the loop tell of connections to a socket that is recorded at index. */
static int watch(struct hf_server *server, uint32_t index, struct hf_error *err)
{
        const struct hf_listener_record *record = &server->area->listeners[index];
        const struct socket_name *socket = &socket_names[record->name % HF_ARRAY_LEN(socket_names)];
        struct hf_listener *listener = &server->listeners[index];
        int r;

        *listener = (struct hf_listener){.server = server,
                                         .index = index,
                                         .kind = socket->kind,
                                         .read_only = socket->read_only,
                                         .name = socket->name,
                                         .path = record->path,
                                         .fd = record->fd};
        r = sd_event_add_io(server->event, &listener->source, listener->fd, EPOLLIN, on_connection,
                            listener);
        return r < 0 ? hf_error_sys(err, -r, "cannot listen") : 0;
}

static int add_listener(struct hf_server *server, const struct socket_name *socket, int fd_arg,
                        const char *path, struct hf_error *err)
{
        struct hf_area *area = server->area;
        struct hf_listener_record *record = &area->listeners[area->n_listeners];
        hf_cleanup_fd int fd = fd_arg;
        int r;

        if (area->n_listeners == HF_LISTENERS_MAX)
                return hf_error_set(err, E2BIG, HF_ERR_INTERNAL, HF_FROM_RPC,
                                    "more than %d listening sockets", HF_LISTENERS_MAX);
        *record = (struct hf_listener_record){.fd = fd, .name = (uint32_t)(socket - socket_names)};
        (void)snprintf(record->path, sizeof(record->path), "%s", path);
        r = watch(server, area->n_listeners, err);
        if (r < 0)
                return r;
        (void)hf_steal_fd(&fd);
        area->n_listeners++;
        return 0;
}

static int set_group(const char *path, const char *name, struct hf_error *err)
{
        const struct group *group = getgrnam(name);

        if (!group)
                return hf_error_set(err, EINVAL, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                                    "unix_sock_group: there is no group \"%s\"", name);
        if (chown(path, (uid_t)-1, group->gr_gid) < 0)
                return hf_error_sys(err, errno, "cannot give %s to the group %s", path, name);
        return 0;
}

static int open_one(struct hf_server *server, const char *path, const struct socket_name *socket,
                    struct hf_error *err)
{
        mode_t mode = socket->read_only ? server->config->sock_ro_mode : 0700;
        hf_cleanup_fd int fd = -1;
        int r;

        r = hf_socket_listen(path, mode, BACKLOG, &fd, err);
        if (r < 0)
                return r;
        r = add_listener(server, socket, hf_steal_fd(&fd), path, err);
        if (r < 0 || !socket->read_only || !server->config->unix_sock_group)
                return r;
        return set_group(path, server->config->unix_sock_group, err);
}

static const char *path_of(const struct hf_paths *paths, const struct socket_name *socket)
{
        return *(char *const *)(const void *)((const char *)paths + socket->path_at);
}

static bool is_open(const struct hf_server *server, const char *name)
{
        for (uint32_t i = 0; i < server->area->n_listeners; i++)
                if (server->listeners[i].name == name)
                        return true;
        return false;
}

int hf_listeners_open(struct hf_server *server, const struct hf_paths *paths, bool with_virtlockd,
                      struct hf_error *err)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < HF_ARRAY_LEN(socket_names); i++) {
                const struct socket_name *socket = &socket_names[i];

                if (is_open(server, socket->name) || (socket->virtlockd && !with_virtlockd))
                        continue;
                r = open_one(server, path_of(paths, socket), socket, err);
        }
        if (r < 0)
                hf_listeners_close(server);
        return r;
}

/* Takes the next of the names, which colons separate. */
static void next_name(const char **names, char *ret, size_t size)
{
        size_t len = *names ? strcspn(*names, ":") : 0;

        (void)snprintf(ret, size, "%.*s", (int)len, *names ? *names : "");
        if (*names)
                *names = (*names)[len] ? *names + len + 1 : NULL;
}

static const struct socket_name *recognise(const struct hf_paths *paths, const char *name, int fd)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(socket_names); i++) {
                const struct socket_name *known = &socket_names[i];

                if (!strcmp(name, known->name) ||
                    sd_is_socket_unix(fd, SOCK_STREAM, 1, path_of(paths, known), 0) > 0)
                        return known;
        }
        return NULL;
}

bool hf_listeners_are_passed(const struct hf_paths *paths, int n, bool virtlockd)
{
        const char *names = getenv("LISTEN_FDNAMES");

        for (int i = 0; i < n; i++) {
                const struct socket_name *known;
                char name[64];

                next_name(&names, name, sizeof(name));
                known = recognise(paths, name, SD_LISTEN_FDS_START + i);
                if (known && known->virtlockd == virtlockd)
                        return true;
        }
        return false;
}

int hf_listeners_activated(struct hf_server *server, const struct hf_paths *paths, int n,
                           struct hf_error *err)
{
        /* As the environment has them, by rising descriptor. */
        const char *names = getenv("LISTEN_FDNAMES");
        int sockets = 0;

        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i, r;
                char name[64];
                const struct socket_name *known;

                next_name(&names, name, sizeof(name));
                if (hf_parking_pass(server, fd, name))
                        continue;
                known = recognise(paths, name, fd);
                if (!known)
                        return hf_error_set(err, EINVAL, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                                            "passed descriptor %d (\"%s\") is no socket of ours: "
                                            "name it virtlockd.socket, virtlockd-admin.socket, "
                                            "holdfastd.socket or holdfastd-ro.socket",
                                            fd, name);
                (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
                r = add_listener(server, known, fd, "", err);
                if (r < 0)
                        return r;
                sockets++;
        }
        return sockets;
}

/* Its path, if it is to be removed with it; "" else. */
static void path_to_remove(const struct hf_stock_socket *socket, char *ret, size_t size)
{
        struct sockaddr_un name = {.sun_family = AF_UNSPEC};
        socklen_t len = sizeof(name);

        ret[0] = '\0';
        if (!socket->removes || getsockname(socket->fd, (struct sockaddr *)&name, &len) < 0 ||
            name.sun_family != AF_UNIX || len <= offsetof(struct sockaddr_un, sun_path))
                return;
        (void)snprintf(ret, size, "%.*s", (int)(len - offsetof(struct sockaddr_un, sun_path)),
                       name.sun_path);
}

int hf_listeners_take(struct hf_server *server, const struct hf_stock_socket *socket,
                      struct hf_error *err)
{
        const struct socket_name *known = socket_names;
        char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];

        while (!known->virtlockd || known->kind != socket->kind)
                known++;
        path_to_remove(socket, path, sizeof(path));
        (void)fcntl(socket->fd, F_SETFL, fcntl(socket->fd, F_GETFL) | O_NONBLOCK);
        (void)listen(socket->fd, BACKLOG);
        return add_listener(server, known, socket->fd, path, err);
}

void hf_listeners_add_own(struct hf_server *server, const struct hf_paths *paths)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(socket_names); i++) {
                const struct socket_name *socket = &socket_names[i];
                struct hf_error error;

                if (!socket->virtlockd &&
                    open_one(server, path_of(paths, socket), socket, &error) < 0)
                        hf_log(HF_LOG_ERROR, MODULE, "%s", error.text);
        }
}

int hf_listeners_adopt(struct hf_server *server, struct hf_error *err)
{
        int r = 0;

        for (uint32_t i = 0; r >= 0 && i < server->area->n_listeners; i++) {
                const struct hf_listener_record *record = &server->area->listeners[i];

                /* Once more, as clients are shown the process that did so last. */
                if (*record->path)
                        (void)listen(record->fd, BACKLOG);
                r = watch(server, i, err);
        }
        return r;
}

void hf_listeners_adopt_connection(struct hf_server *server, int fd_arg)
{
        hf_cleanup_fd int fd = fd_arg;
        struct sockaddr_un ours, its;

        for (uint32_t i = 0; i < server->area->n_listeners; i++) {
                socklen_t ours_len = sizeof(ours), its_len = sizeof(its);

                if (getsockname(server->listeners[i].fd, (struct sockaddr *)&ours, &ours_len) ==
                            0 &&
                    getsockname(fd, (struct sockaddr *)&its, &its_len) == 0 &&
                    ours_len == its_len && memcmp(&ours, &its, its_len) == 0) {
                        serve_connection(&server->listeners[i], hf_steal_fd(&fd));
                        return;
                }
        }
}

void hf_listeners_close(struct hf_server *server)
{
        for (uint32_t i = 0; i < server->area->n_listeners; i++) {
                struct hf_listener *listener = &server->listeners[i];

                (void)sd_event_source_disable_unref(listener->source);
                if (*listener->path)
                        (void)unlink(listener->path);
                /* Also where a worker that hangs has a copy of it; but not for others that have. */
                if (*listener->path)
                        (void)shutdown(listener->fd, SHUT_RDWR);
                hf_close_fd(&listener->fd);
        }
        server->area->n_listeners = 0;
}
