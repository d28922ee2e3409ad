/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Attaching, and what is done with an attachment. */
#include "console/program.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* What a new writer waits at most until what those before it had typed is with the guest. */
#define TAKE_OVER_USEC 1000000

static int find(struct hf_con_session *session, const struct hf_console_attach_args *args,
                struct hf_console **ret, struct hf_error *err)
{
        struct hf_con_server *server = session->server;
        struct hf_console *console;

        if (*args->path)
                console = hf_console_by_path(server, args->path);
        else
                console = hf_console_by_name(server, args->vm, args->device);
        /* What others have by its path is not theirs to know. */
        if (console && !session->owner && !console->registered)
                console = NULL;
        *ret = console;
        if (console ||
            (*args->path && session->owner && !(args->flags & HF_CONSOLE_ATTACH_ONLY_HELD)))
                return 0;
        if (!*args->path && !*args->vm)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_RPC,
                                    "neither a VM nor a path was named");
        if (*args->path && !session->owner)
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_RPC,
                                    "%s is no registered console, and only %s may open others",
                                    args->path,
                                    session->server->privileged ? "root" : "the daemon's user");
        (void)hf_error_set(
                err, ENOENT, HF_ERR_SYSTEM, HF_FROM_RPC, "no console of %s%s%s%s is held",
                *args->path ? args->path : args->vm, *args->path || !*args->device ? "" : " (",
                *args->path ? "" : args->device, *args->path || !*args->device ? "" : ")");
        if (err)
                err->sys = ENOENT;
        return -ENOENT;
}

static int make(struct hf_con_session *session, const struct hf_console_attach_args *args,
                struct hf_console **ret, struct hf_error *err)
{
        struct hf_con_name name = {.vm = args->vm,
                                   .device = args->device,
                                   .path = args->path,
                                   .chardev = "",
                                   .monitor = "",
                                   .uuid = (const uint8_t *)args->uuid,
                                   .pid = (pid_t)args->pid};
        int r;

        if (*args->path != '/')
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_RPC,
                                    "the path \"%s\" is not absolute", args->path);
        r = hf_console_new(session->server, &name, ret);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot hold one more console (max_consoles)");
        hf_console_take(*ret, args->flags & HF_CONSOLE_ATTACH_FORCE ? HF_GUARD_EVICT : 0);
        return 0;
}

/* Whether it is to be tried (again) for this request. */
static bool is_to_be_tried(const struct hf_con_session *session, const struct hf_console *console,
                           unsigned int flags)
{
        if (console->state != HF_CONSOLE_BUSY || flags & HF_CONSOLE_ATTACH_ONLY_HELD)
                return false;
        return console->tried < session->waits_since ||
               (console->result == -EBUSY && flags & HF_CONSOLE_ATTACH_FORCE &&
                !(console->take_flags & HF_GUARD_EVICT));
}

static void refuse(struct hf_con_session *session, struct hf_console_attach_ret *ret)
{
        ret->marks.marks_val = NULL;
        hf_con_session_answer(session, (xdrproc_t)xdr_hf_console_attach_ret, ret);
}

/* Another program has it, or it could not be opened. */
static int refuse_busy(struct hf_con_session *session, struct hf_console *console,
                       struct hf_error *err)
{
        struct hf_console_stranger stranger;
        struct hf_console_attach_ret ret = {.text = console->text, .stranger = &stranger};

        if (console->result != -EBUSY) {
                (void)hf_error_set(err, -console->result, HF_ERR_SYSTEM, HF_FROM_RPC, "%s",
                                   console->text);
                if (err)
                        err->sys = -console->result;
                return console->result;
        }
        hf_con_put_stranger(&console->intruder, &stranger);
        refuse(session, &ret);
        return HF_CON_ANSWERED;
}

static void writer_text(const struct hf_console *console, const struct hf_con_who *who,
                        uint64_t now, char *ret, size_t size)
{
        char title[PATH_MAX + 64], text[HF_CON_TEXT_MAX];

        hf_console_title(console, title, sizeof(title));
        hf_con_who_text(who, now, text, sizeof(text));
        (void)snprintf(ret, size,
                       "%s is written by %s. Watch it with \"holdfast console --watch %s\", or "
                       "take it with --force.",
                       title, text, *console->vm ? console->vm : console->path);
}

static void fill_refusal(struct hf_con_session *session, const struct hf_console *console,
                         struct hf_con_who *who, struct hf_console_client *client, char *text,
                         size_t size)
{
        hf_con_client_who(hf_console_writer(console), console, who);
        hf_con_put_client(who, client);
        writer_text(console, who, hf_con_server_wall_clock(session->server), text, size);
}

static int refuse_written(struct hf_con_session *session, struct hf_console *console)
{
        struct hf_con_who who;
        struct hf_console_client client;
        char text[3 * PATH_MAX];
        struct hf_console_attach_ret ret = {.text = text, .writer = &client};

        fill_refusal(session, console, &who, &client, text, sizeof(text));
        refuse(session, &ret);
        return HF_CON_ANSWERED;
}

static size_t put_marks(const struct hf_console *console, uint64_t position,
                        struct hf_console_mark *ret)
{
        struct hf_ring_mark *marks = calloc(HF_CONSOLE_MARKS_MAX, sizeof(*marks));
        size_t n;

        if (!marks)
                return 0;
        n = hf_ring_marks(&console->ring, position, marks, HF_CONSOLE_MARKS_MAX);
        for (size_t i = 0; i < n; i++)
                ret[i] = (struct hf_console_mark){marks[i].position, marks[i].usec};
        free(marks);
        return n;
}

static void answer(struct hf_con_session *session, struct hf_console *console, uint64_t position)
{
        hf_cleanup_free struct hf_console_mark *marks = NULL;
        hf_cleanup_free struct hf_con_entry_room *room = calloc(1, sizeof(*room));
        struct hf_console_entry entry;
        struct hf_console_attach_ret ret = {.granted = 1,
                                            .text = (char *)(uintptr_t) "",
                                            .position = position,
                                            .live = hf_ring_head(&console->ring)};

        if (getrandom(&ret.token, sizeof(ret.token), 0) != sizeof(ret.token) || !ret.token)
                ret.token = hf_con_server_wall_clock(session->server) << 16 | session->id;
        if (position < ret.live) {
                marks = calloc(HF_CONSOLE_MARKS_MAX, sizeof(*marks));
                ret.marks.marks_val = marks;
                ret.marks.marks_len = marks ? (unsigned int)put_marks(console, position, marks) : 0;
        }
        if (room) {
                hf_con_put_entry(console, room, &entry);
                ret.console = &entry;
        }
        session->intent_token = ret.token;
        hf_con_session_answer(session, (xdrproc_t)xdr_hf_console_attach_ret, &ret);
}

static int grant(struct hf_con_session *session, struct hf_console *console,
                 const struct hf_console_attach_args *args, struct hf_error *err)
{
        uint64_t position = hf_ring_head(&console->ring);
        uint64_t lines = args->replay < HF_CONSOLE_REPLAY_MAX ? args->replay
                                                              : HF_CONSOLE_REPLAY_MAX;
        int r;

        if (lines)
                position = hf_ring_lines(&console->ring, console->bytes, lines);
        r = hf_con_client_prepare(session, console, position, args->from);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot attach");
        session->intent = HF_CON_INTENT_ATTACH;
        session->intent_console = console->id;
        session->intent_flags = args->flags;
        if (!(args->flags & HF_CONSOLE_ATTACH_WATCH) && args->rows)
                (void)hf_console_resize(console, args->rows, args->columns, NULL);
        answer(session, console, position);
        return HF_CON_ANSWERED;
}

static int check(const struct hf_con_session *session, const struct hf_console_attach_args *args,
                 struct hf_error *err)
{
        const unsigned int only = HF_CONSOLE_ATTACH_WATCH | HF_CONSOLE_ATTACH_ONLY_HELD;

        if (session->client.token)
                return hf_error_set(err, EINVAL, HF_ERR_OPERATION_INVALID, HF_FROM_RPC,
                                    "this connection has attached already");
        if (session->read_only && args->flags != only)
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_RPC,
                                    "on the read-only socket consoles that are held may be "
                                    "watched, and nothing else");
        return 0;
}

int hf_con_attach(struct hf_con_session *session, const void *data, struct hf_error *err)
{
        const struct hf_console_attach_args *args = data;
        struct hf_console *console;
        int r = check(session, args, err);

        if (r >= 0)
                r = find(session, args, &console, err);
        if (r >= 0 && !console)
                r = make(session, args, &console, err);
        if (r < 0)
                return r;
        if (is_to_be_tried(session, console, args->flags))
                hf_console_take(console,
                                args->flags & HF_CONSOLE_ATTACH_FORCE ? HF_GUARD_EVICT : 0);
        if (console->state == HF_CONSOLE_OPENING)
                return HF_CON_WAIT;
        if (console->state == HF_CONSOLE_BUSY)
                return refuse_busy(session, console, err);
        if (!(args->flags & (HF_CONSOLE_ATTACH_WATCH | HF_CONSOLE_ATTACH_FORCE)) &&
            hf_console_writer(console))
                return refuse_written(session, console);
        return grant(session, console, args, err);
}

/* Who is displaced is told by whom. */
static void take_over(struct hf_console *console, struct hf_con_session *session)
{
        struct hf_con_session *before = hf_console_writer(console);
        struct hf_con_who who;

        if (before == session)
                return;
        hf_con_clients_hurry(console, TAKE_OVER_USEC);
        if (before) {
                hf_con_client_who(session, console, &who);
                who.role = HF_CONSOLE_WRITER;
                hf_con_client_leave(before, &who, TAKE_OVER_USEC);
        }
        hf_console_set_writer(console, session);
        hf_console_pump(console);
}

/* Every step may be repeated. */
void hf_con_attach_carry_out(struct hf_con_session *session)
{
        struct hf_console *console = hf_console_by_id(session->server, session->intent_console);

        if (!console)
                return;
        session->client.token = session->intent_token;
        if (session->intent_flags & HF_CONSOLE_ATTACH_KEEP)
                console->keep = true;
        if (hf_con_client_watch(session) < 0)
                session->client.deaf = true;
        if (!(session->intent_flags & HF_CONSOLE_ATTACH_WATCH))
                take_over(console, session);
        console->want_look = console->held;
        hf_con_link_kick(session->server, HF_CON_GUARD);
        hf_con_client_push(session);
}

static struct hf_con_session *by_token(const struct hf_con_server *server, uint64_t token)
{
        for (struct hf_con_session *s = server->sessions; s && token; s = s->next)
                if (s->client.token == token && s->fd >= 0)
                        return s;
        return NULL;
}

static int act_take(struct hf_con_session *session, struct hf_con_session *of,
                    struct hf_console *console, unsigned int flags)
{
        struct hf_con_session *writer = hf_console_writer(console);
        struct hf_con_who who;
        struct hf_console_client client;
        char text[3 * PATH_MAX] = "";
        struct hf_console_act_ret ret = {.granted = 1, .text = text};

        if (of != writer && writer && !(flags & HF_CONSOLE_ATTACH_FORCE)) {
                ret.granted = 0;
                ret.writer = &client;
                fill_refusal(session, console, &who, &client, text, sizeof(text));
        } else if (of != writer) {
                take_over(console, of);
                (void)snprintf(hf_con_client_notice(of, HF_CONSOLE_NOTICE_WRITER)->text,
                               HF_CON_TEXT_MAX, "you write to the console now");
                hf_con_client_tell(of);
        }
        hf_con_session_answer(session, (xdrproc_t)xdr_hf_console_act_ret, &ret);
        return HF_CON_ANSWERED;
}

static void act_yield(struct hf_con_session *of, struct hf_console *console)
{
        if (hf_console_writer(console) != of)
                return;
        hf_con_client_leave(of, NULL, TAKE_OVER_USEC);
        hf_console_set_writer(console, NULL);
        hf_console_pump(console);
}

/* Of a line of ours it is sent behind the answer's commit, of others before the answer. */
static int act_break(struct hf_con_session *session, struct hf_console *console,
                     struct hf_error *err)
{
        int r = hf_console_can_break(console, err);

        if (r < 0 || !hf_console_is_line(console))
                return r < 0 ? r
                             : hf_console_monitor_break(console, session->id,
                                                        &session->asked_monitor, err);
        session->intent = HF_CON_INTENT_BREAK;
        session->intent_console = console->id;
        return 0;
}

int hf_con_act(struct hf_con_session *session, const void *data, struct hf_error *err)
{
        const struct hf_console_act_args *args = data;
        struct hf_con_session *of = by_token(session->server, args->token);
        struct hf_console *console = of ? hf_console_by_id(session->server, of->client.console)
                                        : NULL;
        struct hf_console_act_ret ret = {.granted = 1, .text = (char *)(uintptr_t) ""};
        int r = 0;

        if (!console || of->read_only || (of->peer_uid != session->peer_uid && !session->owner))
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_RPC,
                                    "no attachment that may do so has this token");
        if (console->state != HF_CONSOLE_HELD)
                return hf_error_set(err, EINVAL, HF_ERR_OPERATION_INVALID, HF_FROM_RPC,
                                    "the console has ended");
        if (args->act == HF_CONSOLE_ACT_TAKE)
                return act_take(session, of, console, args->flags);
        if (args->act != HF_CONSOLE_ACT_YIELD && hf_console_writer(console) != of)
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_RPC,
                                    "only the console's writer may do that");
        if (args->act == HF_CONSOLE_ACT_BREAK) {
                r = act_break(session, console, err);
                if (r > 0)
                        return HF_CON_WAIT;
        } else if (args->act == HF_CONSOLE_ACT_SIZE) {
                r = hf_console_resize(console, args->rows, args->columns, err);
        } else if (args->act == HF_CONSOLE_ACT_YIELD) {
                act_yield(of, console);
        } else {
                r = hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_RPC, "there is no act %u",
                                 args->act);
        }
        if (r < 0)
                return r;
        hf_con_session_answer(session, (xdrproc_t)xdr_hf_console_act_ret, &ret);
        return HF_CON_ANSWERED;
}
