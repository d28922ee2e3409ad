/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/server.h"

#include "prhelper/broker.h"
#include "prhelper/connection.h"
#include "prhelper/remote.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/socket.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MODULE "prhelper.server"

/*
 * Milliseconds that we wait for commands in flight when we are to stop; those who stop us kill
 * after ten or more. What takes longer is answered all the same: its process does not need us.
 */
#define STOP_MS 5000

/* Milliseconds before accept is tried again when there is no descriptor or process to be had. */
#define RETRY_MS 100

/* A connection, as we know it. */
struct hf_pr_client {
        pid_t pid;
        uid_t uid;
        int control; /* -1: its process is gone, or told to go */
        pid_t backends[HF_PR_BACKENDS];
};

/* ---- start and signals ------------------------------------------------------------------ */

int hf_pr_server_init(struct hf_pr_server *server, struct hf_error *err)
{
        sigset_t mask;

        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGTERM);
        (void)sigaddset(&mask, SIGINT);
        (void)sigaddset(&mask, SIGHUP);
        (void)sigaddset(&mask, SIGCHLD);
        (void)signal(SIGPIPE, SIG_IGN);
        (void)signal(SIGCHLD, SIG_DFL);
        /* Children keep them blocked: what ends them is their control socket. */
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return hf_error_sys(err, errno, "cannot block signals");
        server->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        return server->signals < 0 ? hf_error_sys(err, errno, "cannot watch signals") : 0;
}

/* ---- processes -------------------------------------------------------------------------- */

/* In a child: what is the main process's alone. */
static void forget(struct hf_pr_server *server)
{
        for (size_t i = 0; i < server->n_clients; i++)
                hf_close_fd(&server->clients[i].control);
        hf_close_fd(&server->listener);
        hf_close_fd(&server->signals);
        hf_close_fd(&server->pidfile);
}

static _Noreturn void fail(const struct hf_error *err)
{
        hf_log(HF_LOG_ERROR, MODULE, "%s", err->text);
        _exit(EXIT_FAILURE);
}

static _Noreturn void live_connection(struct hf_pr_server *server, int fd, int control)
{
        struct hf_pr_connection connection;
        struct hf_error error = {0};

        forget(server);
        if (hf_pr_connection_init(&connection, fd, control, server->settings, server->vm,
                                  server->socket, server->host, &error) < 0 ||
            hf_pr_stage_enter(HF_PR_STAGE_CONNECTION, (uid_t)-1, (gid_t)-1, false, &error) < 0)
                fail(&error);
        hf_pr_connection_serve(&connection);
        _exit(EXIT_SUCCESS);
}

static _Noreturn void live_backend(struct hf_pr_server *server, const struct hf_pr_backend *backend,
                                   int socket)
{
        struct hf_error error = {0}, start_error = {0};
        void *state = NULL;
        int r = 0;

        forget(server);
        if (backend->start)
                r = backend->start(server->settings, &state, &start_error);
        if (hf_pr_stage_enter(backend->stage, (uid_t)-1, (gid_t)-1, false, &error) < 0)
                fail(&error);
        if (r < 0)
                hf_log(HF_LOG_ERROR, MODULE, "backend %s: %s", backend->name, start_error.text);
        hf_pr_remote_serve(socket, backend, state, r < 0 ? &start_error : NULL);
        _exit(EXIT_SUCCESS);
}

/* For one backend more. */
static int make_room(struct hf_pr_server *server)
{
        pid_t *grown = reallocarray(server->backends, server->n_backends + 1, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        server->backends = grown;
        return 0;
}

/*
 * One of each kind for a connection, whatever its process asks for: it asks again when it has given
 * up the one that it had.
 */
static void start_backend(struct hf_pr_server *server, struct hf_pr_client *client, unsigned int id)
{
        const struct hf_pr_backend *backend = hf_pr_backend_of(id);
        int pair[2], control = client->control;
        pid_t pid = -1;

        if (!backend || backend->stage == HF_PR_STAGE_CONNECTION ||
            !hf_pr_backend_runs(backend, server->settings) || make_room(server) < 0 ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
                hf_pr_broker_answer(control, -1);
                return;
        }
        if (client->backends[id] > 0)
                (void)kill(client->backends[id], SIGKILL);
        pid = fork();
        if (pid == 0) {
                (void)close(pair[0]);
                live_backend(server, backend, pair[1]);
        }
        if (pid < 0)
                hf_log(HF_LOG_ERROR, MODULE, "cannot make a process for the backend %s: %s",
                       backend->name, strerrordesc_np(errno));
        else
                server->backends[server->n_backends++] = pid;
        client->backends[id] = pid;
        hf_pr_broker_answer(control, pid > 0 ? pair[0] : -1);
        (void)close(pair[0]);
        (void)close(pair[1]);
}

/* ---- connections ------------------------------------------------------------------------ */

/* Whether there may be one more of that user. */
static bool may_come(const struct hf_pr_server *server, const struct hf_peer *peer)
{
        int n = 0;

        if (server->n_clients >= (size_t)server->settings->max_clients) {
                hf_log(HF_LOG_WARNING, MODULE, "pid %d of uid %u is turned away: max_clients (%d)",
                       (int)peer->pid, (unsigned int)peer->uid, server->settings->max_clients);
                return false;
        }
        for (size_t i = 0; i < server->n_clients; i++)
                n += server->clients[i].uid == peer->uid;
        if (peer->uid == 0 || n < server->settings->max_user_clients)
                return true;
        hf_log(HF_LOG_WARNING, MODULE, "pid %d of uid %u is turned away: max_user_clients (%d)",
               (int)peer->pid, (unsigned int)peer->uid, server->settings->max_user_clients);
        return false;
}

/* pair: the control socket's ends, which stay the caller's; ours is taken over on success. */
static int add_client(struct hf_pr_server *server, const struct hf_peer *peer, int fd, int pair[2])
{
        struct hf_pr_client *grown = reallocarray(server->clients, server->n_clients + 1,
                                                  sizeof(*grown));
        pid_t pid;

        if (!grown)
                return -ENOMEM;
        server->clients = grown;
        pid = fork();
        if (pid == 0) {
                hf_close_fd(&pair[0]);
                live_connection(server, fd, pair[1]);
        }
        if (pid < 0)
                return -errno;
        server->clients[server->n_clients++] = (struct hf_pr_client){
                .pid = pid, .uid = peer->uid, .control = hf_steal_fd(&pair[0])};
        return 0;
}

/* Who comes waits until somebody goes; said once, not ten times a second. */
static int short_of(struct hf_pr_server *server, int r)
{
        if (!server->short_of)
                hf_log(HF_LOG_ERROR, MODULE, "connections have to wait: %s", strerrordesc_np(-r));
        server->short_of = true;
        return r;
}

static int serve_accepted(struct hf_pr_server *server, int fd, int pair[2])
{
        struct hf_peer peer;
        int r;

        server->short_of = false;
        if (hf_socket_peer(fd, &peer, NULL) < 0 || !may_come(server, &peer))
                return 0;
        r = add_client(server, &peer, fd, pair);
        if (r < 0)
                hf_log(HF_LOG_ERROR, MODULE, "cannot make a process for a connection of pid %d: %s",
                       (int)peer.pid, strerrordesc_np(-r));
        return r;
}

/*
 * Returns -errno where nobody can be accepted for now. What a connection takes is had before it is
 * accepted: one that is not accepted can wait, one that is closed has failed.
 */
static int accept_one(struct hf_pr_server *server)
{
        int pair[2] = {-1, -1}, r = 0;
        hf_cleanup_fd int fd = -1;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return short_of(server, -errno);
        fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
                r = serve_accepted(server, fd, pair);
        else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
                r = short_of(server, -errno);
        hf_close_fd(&pair[0]);
        hf_close_fd(&pair[1]);
        return r;
}

static void remove_client(struct hf_pr_server *server, size_t i)
{
        hf_close_fd(&server->clients[i].control);
        server->clients[i] = server->clients[--server->n_clients];
}

/* Its number may be another process's from now on. */
static void remove_backend(struct hf_pr_server *server, size_t at)
{
        pid_t pid = server->backends[at];

        server->backends[at] = server->backends[--server->n_backends];
        for (size_t i = 0; i < server->n_clients; i++)
                for (size_t k = 0; k < HF_PR_BACKENDS; k++)
                        if (server->clients[i].backends[k] == pid)
                                server->clients[i].backends[k] = 0;
}

/* Not each child is ours: the program that became us may have had some, and process 1 has orphans.
 */
static void bury(struct hf_pr_server *server, pid_t pid, int status)
{
        size_t i = 0, k = 0;

        while (i < server->n_clients && server->clients[i].pid != pid)
                i++;
        while (k < server->n_backends && server->backends[k] != pid)
                k++;
        if (i == server->n_clients && k == server->n_backends)
                return;
        if (WIFSIGNALED(status))
                hf_log(HF_LOG_ERROR, MODULE, "the process of a %s was ended by signal %d",
                       i < server->n_clients ? "connection" : "backend", WTERMSIG(status));
        if (i < server->n_clients)
                remove_client(server, i);
        else
                remove_backend(server, k);
}

static void reap(struct hf_pr_server *server)
{
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                bury(server, pid, status);
}

/* ---- the loop --------------------------------------------------------------------------- */

/* Whoever removed our socket may have another helper there by now. */
static bool is_ours(const struct hf_pr_server *server)
{
        struct stat st;

        return lstat(server->socket, &st) < 0 ||
               (st.st_dev == server->socket_device && st.st_ino == server->socket_inode);
}

static void stop(struct hf_pr_server *server)
{
        if (server->stopping)
                return;
        server->stopping = true;
        if (server->socket && is_ours(server) && unlink(server->socket) < 0 && errno != ENOENT)
                hf_log(HF_LOG_WARNING, MODULE, "cannot remove the socket %s: %s", server->socket,
                       strerrordesc_np(errno));
        hf_close_fd(&server->listener);
        for (size_t i = 0; i < server->n_clients; i++)
                hf_close_fd(&server->clients[i].control);
}

static void take_signals(struct hf_pr_server *server)
{
        struct signalfd_siginfo info;

        while (read(server->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
                if (info.ssi_signo == SIGCHLD)
                        reap(server);
                else
                        stop(server);
        }
}

static void hear_client(struct hf_pr_server *server, struct hf_pr_client *client)
{
        unsigned int id;
        int r = hf_pr_broker_hear(client->control, &id);

        if (r > 0)
                start_backend(server, client, id);
        else if (r != -EAGAIN && r != -EINTR)
                hf_close_fd(&client->control);
}

/* Waits for and does what there is to do. timeout: ms, -1 for ever. */
static int turn(struct hf_pr_server *server, bool accepting, int timeout)
{
        size_t n = server->n_clients;
        hf_cleanup_free struct pollfd *fds = calloc(n + 2, sizeof(*fds));
        int r = 0;

        if (!fds)
                return -ENOMEM;
        fds[0] = (struct pollfd){.fd = server->signals, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = accepting ? server->listener : -1, .events = POLLIN};
        for (size_t i = 0; i < n; i++)
                fds[i + 2] = (struct pollfd){.fd = server->clients[i].control, .events = POLLIN};
        if (poll(fds, n + 2, timeout) < 0)
                return errno == EINTR ? 0 : -errno;
        /* Before others come or go: the numbers are those of the list above. */
        for (size_t i = 0; i < n; i++)
                if (fds[i + 2].revents)
                        hear_client(server, &server->clients[i]);
        if (fds[1].revents)
                r = accept_one(server);
        if (fds[0].revents)
                take_signals(server);
        return r;
}

/* Whether there is somebody to wait for, and time. */
static int time_to_stop(uint64_t deadline)
{
        uint64_t at = (uint64_t)hf_clock_msec(CLOCK_MONOTONIC);

        return at < deadline ? (int)(deadline - at) : 0;
}

static int finish(struct hf_pr_server *server)
{
        uint64_t deadline = (uint64_t)hf_clock_msec(CLOCK_MONOTONIC) + STOP_MS;

        while (server->n_clients + server->n_backends > 0 && time_to_stop(deadline) > 0) {
                int r = turn(server, false, time_to_stop(deadline));

                if (r < 0)
                        return r;
        }
        if (server->n_clients)
                hf_log(HF_LOG_WARNING, MODULE,
                       "%zu commands did not end within %d s; they are left to be answered later",
                       server->n_clients, STOP_MS / 1000);
        return 0;
}

int hf_pr_server_run(struct hf_pr_server *server, struct hf_error *err)
{
        bool accepting = true;
        int r = 0;

        while (!server->stopping) {
                r = turn(server, accepting, accepting ? -1 : RETRY_MS);
                /* Whoever waits in the queue is served when somebody has gone. */
                accepting = r >= 0;
        }
        r = finish(server);
        hf_close_fd(&server->signals);
        free(server->clients);
        free(server->backends);
        server->clients = NULL;
        server->backends = NULL;
        return r < 0 ? hf_error_sys(err, -r, "cannot wait for the connections' processes") : 0;
}
