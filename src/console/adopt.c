/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/adopt.h"

#include "base/cleanup.h"
#include "console/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Numbers of descriptors. */
struct numbers {
        int *fd;
        size_t n, room;
        bool incomplete; /* for want of memory */
};

struct hf_con_adoption {
        bool crashed;            /* the last server, by a fault of its own */
        struct numbers accepted; /* connections that were not recorded */
};

static void add_number(void *data, int fd)
{
        struct numbers *numbers = data;

        if (fd < 0)
                return;
        if (numbers->n == numbers->room) {
                size_t room = numbers->room ? 2 * numbers->room : 1024;
                int *more = reallocarray(numbers->fd, room, sizeof(*more));

                if (!more) {
                        numbers->incomplete = true;
                        return;
                }
                numbers->fd = more;
                numbers->room = room;
        }
        numbers->fd[numbers->n++] = fd;
}

/* Connected by a client to a socket with a path, and no other socket of ours. */
static bool is_accepted(int fd)
{
        struct sockaddr_un name, peer;
        socklen_t name_len = sizeof(name), peer_len = sizeof(peer);

        return getsockname(fd, (struct sockaddr *)&name, &name_len) == 0 &&
               name.sun_family == AF_UNIX && name_len > offsetof(struct sockaddr_un, sun_path) &&
               getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0;
}

static void on_orphan(void *data, int fd)
{
        struct hf_con_adoption *adoption = data;

        if (is_accepted(fd))
                add_number(&adoption->accepted, fd);
        else
                (void)close(fd);
}

static int reconcile(struct hf_con_adoption *adoption, const struct hf_keeper *keeper,
                     struct hf_con_area *area)
{
        struct numbers kept = {0};

        hf_con_area_each_fd(area, add_number, &kept);
        /* What is not in the list would be closed. */
        if (!kept.incomplete)
                hf_keeper_reconcile(keeper, kept.fd, kept.n, on_orphan, adoption);
        free(kept.fd);
        return kept.incomplete ? -ENOMEM : 0;
}

static bool is_crash(int status)
{
        return WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS ||
                                       WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGILL ||
                                       WTERMSIG(status) == SIGFPE || WTERMSIG(status) == SIGSYS);
}

int hf_con_adoption_new(const struct hf_keeper *keeper, struct hf_con_area *area,
                        struct hf_con_adoption **ret)
{
        struct hf_con_adoption *adoption = calloc(1, sizeof(*adoption));
        int r;

        if (!adoption)
                return -ENOMEM;
        adoption->crashed = is_crash(hf_keeper_last_status(keeper));
        if (!hf_con_area_check(area, hf_keeper_area_size(keeper)))
                return -EBADMSG;
        for (uint32_t i = 0; i < area->n_touched; i++)
                if (hf_con_session_is_used(&area->slots[i].session))
                        hf_con_session_settle(&area->slots[i].session, adoption->crashed);
        r = reconcile(adoption, keeper, area);
        if (r < 0)
                return r;
        *ret = adoption;
        return 0;
}

void hf_con_adoption_free(struct hf_con_adoption *adoption)
{
        free(adoption->accepted.fd);
        free(adoption);
}

static void set_flags(void *data, int fd)
{
        if (fd >= 0)
                (void)fcntl(fd, F_SETFD, *(const int *)data);
}

void hf_con_adoption_leave(struct hf_con_area *area, bool stays)
{
        int flags = stays ? 0 : FD_CLOEXEC;

        hf_con_area_each_fd(area, set_flags, &flags);
}

/* Pointers first, of all of them: one leads to others. */
static int adopt_consoles(struct hf_con_server *server)
{
        struct hf_console *console;
        int r = 0;

        for (uint32_t i = 0; i < server->area->n_consoles_touched; i++) {
                console = hf_con_area_console(server->area, i);
                console->server = server;
                console->bytes = hf_con_area_bytes(server->area, i);
                console->source = console->vmm_source = console->break_source = NULL;
                console->monitor_call = NULL;
        }
        for (uint32_t i = 0; r >= 0 && (console = hf_con_server_next(server, &i));)
                r = hf_console_adopt(console, server);
        return r;
}

static int adopt_sessions(struct hf_con_server *server)
{
        struct hf_con_area *area = server->area;
        int r = 0;

        for (uint32_t i = 0; r >= 0 && i < area->n_touched; i++) {
                struct hf_con_session *session = &area->slots[i].session;

                if (!hf_con_session_is_used(session))
                        continue;
                session->client.source = NULL;
                r = hf_con_session_adopt(session, server);
        }
        return r;
}

int hf_con_adoption_apply(struct hf_con_adoption *adoption, struct hf_con_server *server,
                          struct hf_error *err)
{
        int r = hf_con_listeners_adopt(server, err);

        if (r >= 0)
                r = adopt_sessions(server);
        if (r >= 0)
                r = adopt_consoles(server);
        if (r >= 0)
                r = hf_con_links_begin(server);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot take over what the last server had");
        for (struct hf_con_session *s = server->sessions; s; s = s->next)
                hf_con_session_carry_out(s);
        for (size_t i = 0; i < adoption->accepted.n; i++)
                hf_con_listeners_adopt_connection(server, adoption->accepted.fd[i]);
        return 0;
}

/* Its client has left, or all that it typed has gone, and the rest of that was not done. Without
 * an attachment nothing else would ever look at it. */
static void resume_client(struct hf_con_server *server, struct hf_con_session *session)
{
        struct hf_console *console = hf_console_by_id(server, session->client.console);

        if (session->client.token ? !console : session->fd < 0) {
                hf_con_session_free(session);
                return;
        }
        if (!session->client.token)
                return;
        (void)hf_con_client_watch(session);
        if (session->fd < 0)
                hf_console_leave(console, session);
        else
                hf_con_client_push(session);
}

void hf_con_adoption_resume(struct hf_con_server *server)
{
        struct hf_con_session *next;
        struct hf_console *console;
        uint32_t i = 0;

        for (struct hf_con_session *s = server->sessions; s; s = next) {
                next = s->next;
                resume_client(server, s);
        }
        while ((console = hf_con_server_next(server, &i))) {
                if (console->in_pipe[0] >= 0)
                        hf_con_server_wake_at(server, hf_con_server_now(server));
                hf_console_resume(console);
        }
        for (struct hf_con_session *s = server->sessions; s; s = next) {
                next = s->next;
                hf_con_session_resume(s);
        }
        hf_con_server_retry(server);
}
