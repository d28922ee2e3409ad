/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A console's life: asked for, held, ended. */
#include "console/console.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "console/program.h"
#include "console/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>

#define MODULE "console.console"

/* What its last client typed goes to the guest still, for so long, where others want the device. */
#define LEAVE_USEC 1000000

/* And where it stays held, and the guest may be about to read: a boot loader, a fsck. */
#define LEAVE_HELD_USEC 10000000

static struct hf_console *free_slot(struct hf_con_server *server, uint32_t *ret_index)
{
        struct hf_con_area *area = server->area;

        for (uint32_t i = 0; i < area->n_consoles; i++) {
                struct hf_console *console = hf_con_area_console(area, i);

                if (i < area->n_consoles_touched && console->id)
                        continue;
                if (i >= area->n_consoles_touched)
                        area->n_consoles_touched = i + 1;
                *ret_index = i;
                return console;
        }
        return NULL;
}

static void put_name(struct hf_console *console, const struct hf_con_name *name)
{
        (void)snprintf(console->vm, sizeof(console->vm), "%s", name->vm);
        (void)snprintf(console->device, sizeof(console->device), "%s", name->device);
        (void)snprintf(console->chardev, sizeof(console->chardev), "%s", name->chardev);
        (void)snprintf(console->monitor, sizeof(console->monitor), "%s", name->monitor);
        /* Who knows it by the path before finds it still. */
        if (strcmp(console->path, name->path)) {
                memcpy(console->alias, console->path, sizeof(console->alias));
                (void)snprintf(console->path, sizeof(console->path), "%s", name->path);
        }
        memcpy(console->uuid, name->uuid, sizeof(console->uuid));
        console->pid = name->pid;
}

int hf_console_new(struct hf_con_server *server, const struct hf_con_name *name,
                   struct hf_console **ret)
{
        uint32_t index;
        struct hf_console *console = free_slot(server, &index);
        uint64_t run;

        if (!console)
                return -ENOBUFS;
        if (getrandom(&run, sizeof(run), 0) != sizeof(run))
                run = hf_con_server_wall_clock(server);
        memset(console, 0, offsetof(struct hf_console, ring));
        console->server = server;
        console->bytes = hf_con_area_bytes(server->area, index);
        console->fd = console->vmm_fd = -1;
        for (int i = 0; i < 2; i++)
                console->in_pipe[i] = console->out_pipe[i] = -1;
        hf_ring_init(&console->ring, server->area->scrollback);
        put_name(console, name);
        console->state = HF_CONSOLE_OPENING;
        console->want_take = true;
        atomic_signal_fence(memory_order_seq_cst);
        hf_transcript_link_init(&console->log, server->area->next_console + 1, run);
        atomic_signal_fence(memory_order_seq_cst);
        console->id = ++server->area->next_console;
        hf_con_link_kick(server, HF_CON_GUARD);
        hf_con_server_check_idle(server);
        *ret = console;
        return 0;
}

void hf_console_take(struct hf_console *console, uint32_t flags)
{
        if (console->state == HF_CONSOLE_HELD || console->state == HF_CONSOLE_ENDED)
                return;
        if (console->asked == HF_GUARD_TAKE)
                return;
        console->take_flags = flags;
        console->want_take = true;
        console->state = HF_CONSOLE_OPENING;
        hf_con_link_kick(console->server, HF_CON_GUARD);
}

static int make_pipes(struct hf_console *console)
{
        for (int i = 0; i < 2; i++) {
                int32_t *at = i ? console->in_pipe : console->out_pipe;

                if (at[0] < 0 && pipe2(at, O_CLOEXEC | O_NONBLOCK) < 0)
                        return -errno;
        }
        return 0;
}

static void close_number(int32_t *at)
{
        int fd = *at;

        *at = -1;
        atomic_signal_fence(memory_order_seq_cst);
        hf_close_fd(&fd);
}

void hf_console_taken(struct hf_console *console, const struct hf_hold *hold, int fd_arg)
{
        hf_cleanup_fd int fd = fd_arg;
        int r;

        console->hold = *hold;
        console->held = true;
        if (console->state == HF_CONSOLE_ENDED) {
                hf_con_server_retry(console->server);
                return;
        }
        r = make_pipes(console);
        if (r < 0) {
                hf_console_end(console, "cannot hold it: %s", strerrordesc_np(-r));
                return;
        }
        if (console->fd < 0)
                console->fd = hf_steal_fd(&fd);
        console->since = hf_con_server_wall_clock(console->server);
        console->result = 0;
        console->text[0] = '\0';
        console->state = HF_CONSOLE_HELD;
        if (hf_console_watch(console) < 0)
                hf_console_end(console, "cannot watch it");
        hf_con_link_kick(console->server, HF_CON_TRANSCRIPT);
        hf_con_server_retry(console->server);
}

void hf_console_refused(struct hf_console *console, int result, const char *text,
                        const struct hf_intruder *intruder)
{
        console->result = result;
        console->tried = hf_con_server_now(console->server);
        (void)snprintf(console->text, sizeof(console->text), "%s",
                       *text ? text : strerrordesc_np(-result));
        if (intruder)
                console->intruder = *intruder;
        else
                console->intruder = (struct hf_intruder){0};
        if (console->state != HF_CONSOLE_ENDED)
                console->state = HF_CONSOLE_BUSY;
        hf_con_server_retry(console->server);
}

void hf_console_unusable(struct hf_console *console, const struct hf_hold *hold)
{
        console->hold = *hold;
        console->held = true;
        console->want_release = true;
        hf_console_refused(console, -EMFILE, "out of file descriptors for one more console", NULL);
}

void hf_console_same(struct hf_console *console, uint64_t id)
{
        struct hf_console *other = hf_console_by_id(console->server, id);

        if (!other || other->state == HF_CONSOLE_ENDED) {
                /* It is being given back, and is taken then. */
                console->blocked_by = id;
                console->want_take = true;
                return;
        }
        /* From now on this path leads to that one, and so does the name. */
        (void)snprintf(other->alias, sizeof(other->alias), "%s", console->path);
        if (console->registered && !other->registered) {
                struct hf_con_name name = {.vm = console->vm,
                                           .device = console->device,
                                           .path = other->path,
                                           .chardev = console->chardev,
                                           .monitor = console->monitor,
                                           .uuid = console->uuid,
                                           .pid = console->pid};

                (void)hf_console_register(other, &name, NULL);
        }
        console->registered = false;
        console->state = HF_CONSOLE_ENDED;
        hf_con_server_retry(console->server);
}

void hf_console_released(struct hf_console *console)
{
        console->want_release = false;
        console->held = false;
        hf_con_server_retry(console->server);
}

static int on_vmm_ended(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_console *console = data;

        (void)fd;
        (void)revents;
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        hf_console_take_rest(console);
        hf_console_end(console, "its VM has ended");
        return 0;
}

static int watch_vmm(struct hf_console *console)
{
        console->vmm_source = sd_event_source_disable_unref(console->vmm_source);
        if (console->vmm_fd < 0)
                return 0;
        return sd_event_add_io(console->server->event, &console->vmm_source, console->vmm_fd,
                               EPOLLIN, on_vmm_ended, console);
}

int hf_console_register(struct hf_console *console, const struct hf_con_name *name,
                        struct hf_error *err)
{
        hf_cleanup_fd int pidfd = -1;
        struct hf_process process;
        int r;

        if (console->registered && console->pid == name->pid && console->vmm_fd >= 0) {
                put_name(console, name);
                return 0;
        }
        r = hf_process_open(name->pid, &pidfd, &process, err);
        if (r < 0) {
                if (console->state == HF_CONSOLE_OPENING && !console->registered)
                        hf_console_end(console, "its VM has ended");
                return r;
        }
        put_name(console, name);
        console->pid_start = process.start;
        close_number(&console->vmm_fd);
        console->vmm_fd = hf_steal_fd(&pidfd);
        console->registered = true;
        r = watch_vmm(console);
        return r < 0 ? hf_error_sys(err, -r, "cannot watch the VM") : 0;
}

static void stop(struct hf_console *console)
{
        console->source = sd_event_source_disable_unref(console->source);
        console->vmm_source = sd_event_source_disable_unref(console->vmm_source);
        hf_console_stop_break(console);
}

void hf_console_end(struct hf_console *console, const char *format, ...)
{
        struct hf_con_session *s = NULL;
        va_list args;

        if (console->state == HF_CONSOLE_ENDED)
                return;
        va_start(args, format);
        (void)vsnprintf(console->text, sizeof(console->text), format, args);
        va_end(args);
        stop(console);
        console->state = HF_CONSOLE_ENDED;
        while ((s = hf_console_next_client(console, s))) {
                struct hf_con_notice *notice = hf_con_client_notice(s, HF_CONSOLE_NOTICE_ENDED);

                notice->position = hf_ring_head(&console->ring);
                (void)snprintf(notice->text, sizeof(notice->text), "the console has ended%s%.900s",
                               *console->text ? ": " : "", console->text);
                hf_con_client_tell(s);
                hf_con_client_push(s);
        }
        if (console->registered)
                hf_con_state_save(console->server);
        hf_con_server_retry(console->server);
}

/* Of one that has ended: what its clients and others do not need. */
static bool give_up(struct hf_console *console)
{
        struct hf_con_session *s = NULL;

        close_number(&console->vmm_fd);
        for (int i = 0; i < 2; i++)
                close_number(&console->in_pipe[i]);
        while ((s = hf_console_next_client(console, s)))
                if (hf_con_client_leaving(&s->client))
                        hf_con_client_left(s);
        if (console->asked != HF_GUARD_TAKE)
                console->want_take = false;
        if (console->held && !console->want_release) {
                console->want_release = true;
                hf_con_link_kick(console->server, HF_CON_GUARD);
        }
        if (console->held || console->want_take)
                return false;
        close_number(&console->fd);
        for (int i = 0; i < 2; i++)
                close_number(&console->out_pipe[i]);
        return true;
}

static void free_console(struct hf_console *console)
{
        struct hf_con_server *server = console->server;
        size_t size = server->area->scrollback / 4096 * 4096;
        uint8_t *page = (uint8_t *)(((uintptr_t)console->bytes + 4095) & ~(uintptr_t)4095);

        console->id = 0;
        if (size > 4096)
                (void)madvise(page, size - 4096, MADV_REMOVE);
        hf_con_server_check_idle(server);
}

/* Those whose connection has ended, when nothing of them is on its way any more. */
static bool free_ghosts(struct hf_console *console)
{
        struct hf_con_session *s, *next;
        bool others = false;

        for (s = hf_console_next_client(console, NULL); s; s = next) {
                next = hf_console_next_client(console, s);
                if (s->fd < 0 && !hf_con_client_leaving(&s->client))
                        hf_con_session_free(s);
                else
                        others = true;
        }
        return others;
}

static bool somebody_waits(const struct hf_con_server *server)
{
        for (const struct hf_con_session *s = server->sessions; s; s = s->next)
                if (s->state == HF_CON_WAITING)
                        return true;
        return false;
}

void hf_console_settle(struct hf_console *console)
{
        bool clients = free_ghosts(console);

        if (console->state == HF_CONSOLE_HELD && !clients && !console->registered && !console->keep)
                hf_console_end(console, "%s", "");
        if (console->state == HF_CONSOLE_BUSY && !console->registered &&
            !somebody_waits(console->server))
                hf_console_end(console, "%s", "");
        if (console->state != HF_CONSOLE_ENDED)
                return;
        if (!hf_con_transcript_has_all(console)) {
                hf_con_link_kick(console->server, HF_CON_TRANSCRIPT);
                clients = true;
        }
        if (give_up(console) && !clients)
                free_console(console);
}

void hf_console_leave(struct hf_console *console, struct hf_con_session *session)
{
        struct hf_con_client *client = &session->client;
        bool stays = console->registered || console->keep;

        if (hf_console_is_writer(console, session) && console->state == HF_CONSOLE_HELD) {
                hf_con_client_leave(session, NULL, stays ? LEAVE_HELD_USEC : LEAVE_USEC);
                hf_console_set_writer(console, NULL);
        } else if (hf_console_is_writer(console, session)) {
                hf_console_set_writer(console, NULL);
        }
        client->was_displaced = false;
        hf_console_pump(console);
        hf_con_server_retry(console->server);
}

void hf_console_forget(struct hf_console *console, uint32_t flags)
{
        console->registered = false;
        console->keep = false;
        hf_con_state_save(console->server);
        if (flags & HF_CONSOLE_ATTACH_FORCE)
                hf_console_end(console, "it was given up");
        hf_con_server_retry(console->server);
}

static void recover_clients(struct hf_console *console)
{
        struct hf_con_session *s = NULL;
        int bytes = 0;

        if (console->in_pipe[0] >= 0)
                (void)ioctl(console->in_pipe[0], FIONREAD, &bytes);
        while ((s = hf_console_next_client(console, s)))
                hf_con_client_recover(s, bytes > 0 ? (uint64_t)bytes : 0);
}

int hf_console_adopt(struct hf_console *console, struct hf_con_server *server)
{
        int left = 0, r = 0;

        (void)hf_ring_check(&console->ring, server->area->scrollback);
        if (console->out_pipe[0] >= 0)
                (void)ioctl(console->out_pipe[0], FIONREAD, &left);
        (void)hf_ring_recover(&console->ring, left > 0 ? (size_t)left : 0,
                              hf_con_server_wall_clock(server));
        recover_clients(console);
        hf_console_recover_break(console);
        if (console->state == HF_CONSOLE_HELD)
                r = hf_console_watch(console);
        if (r >= 0 && console->state != HF_CONSOLE_ENDED)
                r = watch_vmm(console);
        return r;
}

void hf_console_drop(struct hf_console *console)
{
        stop(console);
        close_number(&console->vmm_fd);
        close_number(&console->fd);
        for (int i = 0; i < 2; i++) {
                close_number(&console->in_pipe[i]);
                close_number(&console->out_pipe[i]);
        }
        console->id = 0;
}
