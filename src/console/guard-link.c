/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The server's side of the guard: what is wanted of it, console by console.
 *
 * Of each console one request is under way at most. Whether it has been sent the kernel notes, in
 * the area; an answer is looked at, applied, and only then taken out of the socket. So a server
 * that takes over neither asks twice nor misses an answer.
 */
#include "console/guard-private.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "console/program.h"
#include "keeper/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#define MODULE "console.guard"

/* A device that is being given back under the same name has to be gone first. */
static bool is_in_the_way(struct hf_con_server *server, const struct hf_console *console)
{
        struct hf_console *other;
        uint32_t i = 0;

        while ((other = hf_con_server_next(server, &i)))
                if (other != console && other->state == HF_CONSOLE_ENDED && other->held &&
                    (other->id == console->blocked_by || !strcmp(other->path, console->path)))
                        return true;
        return false;
}

/* What is to be asked next; 0: nothing. */
static uint32_t next_op(struct hf_con_server *server, const struct hf_console *console)
{
        if (console->want_adopt)
                return HF_GUARD_ADOPT;
        if (console->want_release && console->held)
                return HF_GUARD_RELEASE;
        if (console->want_take)
                return is_in_the_way(server, console) ? 0 : HF_GUARD_TAKE;
        if (console->want_release)
                return HF_GUARD_RELEASE;
        return console->want_look && console->held ? HF_GUARD_LOOK : 0;
}

static int send_asked(struct hf_console *console, int fd)
{
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS}};
        struct hf_guard_request request = {
                .version = HF_GUARD_VERSION, .op = console->asked, .id = console->id};
        struct iovec iov = {&request, sizeof(request)};

        if (console->held)
                request.hold = console->hold;
        else
                memcpy(request.hold.path, console->path, sizeof(request.hold.path));
        if (console->asked == HF_GUARD_TAKE)
                request.flags = console->take_flags;
        console->asked_vec.msg_hdr = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
        if (console->asked == HF_GUARD_ADOPT && console->fd >= 0) {
                memcpy(CMSG_DATA(&control.header), &console->fd, sizeof(int));
                console->asked_vec.msg_hdr.msg_control = &control;
                console->asked_vec.msg_hdr.msg_controllen = sizeof(control.room);
        }
        if (sendmmsg(fd, &console->asked_vec, 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                return 0;
        return errno == EINTR ? -EAGAIN : -errno;
}

int hf_con_guard_write(struct hf_con_server *server, int fd)
{
        struct hf_console *console;
        uint32_t i = 0;

        while ((console = hf_con_server_next(server, &i))) {
                int r;

                if (!console->asked)
                        console->asked = next_op(server, console);
                if (!console->asked || console->asked_vec.msg_len)
                        continue;
                r = send_asked(console, fd);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void on_taken(struct hf_console *console, const struct hf_guard_reply *reply, int fd_arg)
{
        hf_cleanup_fd int fd = fd_arg;

        /* It is busy with something that we had asked before: that is answered as well. */
        if (reply->result == -EINVAL || reply->result == -EEXIST)
                return;
        console->want_take = false;
        if (reply->result == -EALREADY)
                hf_console_same(console, reply->hold.id);
        else if (reply->result < 0)
                hf_console_refused(console, reply->result, reply->text,
                                   reply->n_intruders ? &reply->intruders[0] : NULL);
        else if (fd >= 0)
                hf_console_taken(console, &reply->hold, hf_steal_fd(&fd));
        else
                hf_console_unusable(console, &reply->hold);
}

static bool is_known(const struct hf_console *console, const struct hf_intruder *intruder)
{
        for (uint32_t i = 0; i < console->n_strangers; i++)
                if (console->strangers[i].pid == intruder->pid)
                        return true;
        return false;
}

static void tell_stranger(struct hf_console *console, const struct hf_intruder *intruder)
{
        struct hf_con_session *s = NULL;

        while ((s = hf_console_next_client(console, s))) {
                struct hf_con_notice *notice = hf_con_client_notice(s, HF_CONSOLE_NOTICE_STRANGER);

                notice->has_stranger = true;
                notice->stranger = *intruder;
                (void)snprintf(notice->text, sizeof(notice->text),
                               "another program has this console open, too: %s (pid %d), %s",
                               intruder->program, (int)intruder->pid, intruder->how);
                hf_con_client_tell(s);
        }
}

static void on_looked(struct hf_console *console, const struct hf_guard_reply *reply)
{
        if (reply->result == -EINVAL)
                return;
        console->want_look = false;
        console->looked = hf_con_server_now(console->server);
        for (uint32_t i = 0; i < reply->n_intruders; i++)
                if (!is_known(console, &reply->intruders[i]))
                        tell_stranger(console, &reply->intruders[i]);
        console->n_strangers = reply->n_intruders;
        memcpy(console->strangers, reply->intruders, sizeof(console->strangers));
        hf_con_server_retry(console->server);
}

static void check_adopted(struct hf_con_server *server)
{
        struct hf_console *console;
        uint32_t i = 0;

        while ((console = hf_con_server_next(server, &i)))
                if (console->want_adopt)
                        return;
        hf_con_link_close_old(server, HF_CON_GUARD);
}

static void on_adopted(struct hf_console *console, const struct hf_guard_reply *reply)
{
        if (reply->result == -EINVAL)
                return;
        console->want_adopt = false;
        if (reply->result < 0)
                hf_log(HF_LOG_ERROR, MODULE, "%s is guarded no more: %s", console->path,
                       reply->text);
        else
                console->hold = reply->hold;
        check_adopted(console->server);
}

/* What is held, and nobody here knows of: what asked for it is gone. */
static void give_back(struct hf_con_server *server, uint64_t id)
{
        struct hf_guard_request request = {
                .version = HF_GUARD_VERSION, .op = HF_GUARD_RELEASE, .id = id};

        (void)hf_guard_send(server->links[HF_CON_GUARD].record->near, &request, -1);
}

static void apply(struct hf_con_server *server, const struct hf_guard_reply *reply, int fd_arg)
{
        hf_cleanup_fd int fd = fd_arg;
        struct hf_console *console = hf_console_by_id(server, reply->id);

        if (!console) {
                if (reply->op == HF_GUARD_TAKE && reply->result == 0)
                        give_back(server, reply->id);
                return;
        }
        if (reply->op != console->asked)
                return;
        switch (reply->op) {
        case HF_GUARD_TAKE:
                on_taken(console, reply, hf_steal_fd(&fd));
                break;
        case HF_GUARD_ADOPT:
                on_adopted(console, reply);
                break;
        case HF_GUARD_RELEASE:
                if (reply->result != -EINVAL)
                        hf_console_released(console);
                break;
        default:
                on_looked(console, reply);
        }
        console->asked_vec.msg_len = 0;
        atomic_signal_fence(memory_order_seq_cst);
        console->asked = 0;
        hf_con_link_kick(server, HF_CON_GUARD);
}

int hf_con_guard_read(struct hf_con_server *server, int fd)
{
        struct hf_guard_reply reply;

        for (;;) {
                hf_cleanup_fd int device = -1;
                ssize_t n = hf_guard_receive_record(fd, &reply, sizeof(reply), &device,
                                                    MSG_DONTWAIT | MSG_PEEK);

                if (n == -EAGAIN)
                        return 0;
                if (n != sizeof(reply) || reply.version != HF_GUARD_VERSION ||
                    reply.n_intruders > HF_INTRUDERS_MAX)
                        return -EPIPE;
                apply(server, &reply, hf_steal_fd(&device));
                (void)recv(fd, &(char){0}, 1, MSG_DONTWAIT);
        }
}

void hf_con_guard_begins(struct hf_con_server *server, bool anew)
{
        struct hf_console *console;
        uint32_t i = 0;

        while (anew && (console = hf_con_server_next(server, &i))) {
                console->asked = 0;
                console->asked_vec.msg_len = 0;
                console->want_adopt = console->held && console->fd >= 0;
        }
        if (anew)
                check_adopted(server);
}
