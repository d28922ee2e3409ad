/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A break for a guest whose console is no serial line of ours: QEMU sends it when its monitor is
 * asked to. The conversation is one of the loop's: it never waits, and has a deadline, as a monitor
 * that others use answers nobody else.
 */
#include "console/server.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "vm/qmp.h"

#define MODULE "console.monitor"

/* A monitor answers within milliseconds, or is somebody else's now. */
#define PATIENCE_USEC 5000000

/* Asked for while one is on its way; more at once is somebody leaning on a key. */
#define MORE_MAX 8

struct monitor_call {
        struct hf_console *console;
        struct hf_qmp_link link;
        sd_event_source *source, *limit;
        unsigned int more;
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

static int dial(struct monitor_call *call);

/* The conversation is over, or stands: what to do next. */
static void look(struct monitor_call *call)
{
        struct hf_console *console = call->console;
        char title[HF_CON_TEXT_MAX];

        if (call->link.talk.state == HF_QMP_TALKING)
                return;
        if (call->link.talk.state != HF_QMP_DONE) {
                hf_console_title(console, title, sizeof(title));
                hf_log(HF_LOG_WARNING, MODULE, "%s: the monitor at %s has sent no break", title,
                       console->monitor);
                call->more = 0;
        }
        hang_up(call);
        if (call->more == 0 || (call->more--, dial(call) < 0))
                hf_console_stop_monitor(console);
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

void hf_console_monitor_break(struct hf_console *console)
{
        struct monitor_call *call = console->monitor_call;
        char title[HF_CON_TEXT_MAX];
        int r;

        if (call) {
                call->more += call->more < MORE_MAX;
                return;
        }
        call = calloc(1, sizeof(*call));
        if (!call)
                return;
        call->console = console;
        call->link.fd = -1;
        console->monitor_call = call;
        r = dial(call);
        if (r >= 0)
                return;
        hf_console_title(console, title, sizeof(title));
        hf_log(HF_LOG_WARNING, MODULE, "%s: the monitor at %s cannot be asked for a break", title,
               console->monitor);
        hf_console_stop_monitor(console);
}
