/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A break for a guest whose console is no serial line of ours: QEMU sends it when its monitor is
 * asked to. The conversation is one of the loop's: it never waits, and has a deadline, as a monitor
 * that others use answers nobody else. Who has asked is answered when it is over: what is typed
 * behind a break must not come before it.
 */
#include "console/server.h"

#include "vm/qmp.h"

#include <errno.h>
#include <stdlib.h>

/* A monitor answers within milliseconds, or is somebody else's now. */
#define PATIENCE_USEC 5000000

struct monitor_call {
        struct hf_console *console;
        struct hf_qmp_link link;
        sd_event_source *source, *limit;
        uint64_t asker; /* id of the session */
};

static void hang_up(struct monitor_call *call)
{
        call->source = sd_event_source_disable_unref(call->source);
        call->limit = sd_event_source_disable_unref(call->limit);
        hf_qmp_close(&call->link);
}

void hf_console_stop_monitor(struct hf_console *console)
{
        struct monitor_call *call = console->monitor_call;

        if (!call)
                return;
        console->monitor_call = NULL;
        hang_up(call);
        free(call);
}

/* The conversation is over, or stands. */
static void look(struct monitor_call *call)
{
        if (call->link.talk.state == HF_QMP_TALKING)
                return;
        hang_up(call);
        hf_con_server_retry(call->console->server);
}

static int on_answer(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct monitor_call *call = data;

        (void)source;
        (void)fd;
        (void)revents;
        hf_qmp_serve(&call->link);
        look(call);
        return 0;
}

static int on_late(sd_event_source *source, uint64_t usec, void *data)
{
        struct monitor_call *call = data;

        (void)source;
        (void)usec;
        call->link.talk.state = HF_QMP_FAILED;
        look(call);
        return 0;
}

static int dial(struct monitor_call *call)
{
        struct hf_console *console = call->console;
        sd_event *event = console->server->event;
        int r;

        hf_qmp_connect_break(&call->link, console->monitor, console->chardev);
        if (call->link.fd < 0)
                return -ECONNREFUSED;
        r = sd_event_add_io(event, &call->source, call->link.fd, EPOLLIN, on_answer, call);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &call->limit, CLOCK_MONOTONIC, PATIENCE_USEC,
                                               0, on_late, call);
        return r;
}

bool hf_console_has_monitor(const struct hf_console *console)
{
        return *console->monitor && *console->chardev;
}

static int begin(struct hf_console *console, uint64_t asker, struct hf_error *err)
{
        struct monitor_call *call = calloc(1, sizeof(*call));
        int r;

        if (!call)
                return hf_error_sys(err, ENOMEM, "cannot send a break");
        call->console = console;
        call->asker = asker;
        call->link.fd = -1;
        console->monitor_call = call;
        r = dial(call);
        if (r >= 0)
                return 1;
        hf_console_stop_monitor(console);
        return hf_error_sys(err, -r, "the VM's monitor at %s cannot be asked for a break",
                            console->monitor);
}

/* Whether who has asked still waits for what came of it. */
static bool is_awaited(const struct monitor_call *call)
{
        const struct hf_con_session *s = call->console->server->sessions;

        while (s && s->id != call->asker)
                s = s->next;
        return s && s->fd >= 0 && s->asked_monitor;
}

int hf_console_monitor_break(struct hf_console *console, uint64_t asker, bool *asked,
                             struct hf_error *err)
{
        struct monitor_call *call = console->monitor_call;
        enum hf_qmp_state state;

        if (call && call->link.talk.state == HF_QMP_TALKING)
                return 1;
        if (call && call->asker == asker) {
                state = call->link.talk.state;
                hf_console_stop_monitor(console);
                if (state == HF_QMP_DONE)
                        return 0;
                return hf_error_set(err, EIO, HF_ERR_RESOURCE_BUSY, HF_FROM_RPC,
                                    "the VM's monitor at %s has sent no break: it refused, or did "
                                    "not answer within %d s",
                                    console->monitor, PATIENCE_USEC / 1000000);
        }
        if (call && is_awaited(call))
                return 1;
        if (*asked)
                return hf_error_set(err, EIO, HF_ERR_INTERNAL, HF_FROM_RPC,
                                    "the daemon was replaced while the VM's monitor was asked: "
                                    "whether it has sent a break is not known");
        hf_console_stop_monitor(console);
        *asked = true;
        return begin(console, asker, err);
}
