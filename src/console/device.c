/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What can be done with a device besides reading and writing: a break, a size. */
#include "console/server.h"

#include "base/log.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>

#define MODULE "console.device"

/* How long a line is held for a break: what tcsendbreak does at least. */
#define BREAK_USEC 250000

/* The majors of the slaves of pseudo-terminals (Linux, devices.txt). */
#define PTS_MAJOR_FIRST 136
#define PTS_MAJOR_LAST  143

static bool is_pty(const struct hf_console *console)
{
        unsigned int number = major(console->hold.rdev);

        return number >= PTS_MAJOR_FIRST && number <= PTS_MAJOR_LAST;
}

bool hf_console_is_line(const struct hf_console *console)
{
        return console->hold.kind == HF_DEVICE_TTY && !is_pty(console);
}

int hf_console_can_break(const struct hf_console *console, struct hf_error *err)
{
        if (hf_console_is_line(console) || hf_console_has_monitor(console))
                return 0;
        return hf_error_set(err, EOPNOTSUPP, HF_ERR_OPERATION_INVALID, HF_FROM_RPC,
                            "a break cannot be sent to this console: it is no serial line, and "
                            "its VM's monitor is not known");
}

void hf_console_stop_break(struct hf_console *console)
{
        hf_console_stop_monitor(console);
        if (!console->break_source)
                return;
        console->break_source = sd_event_source_disable_unref(console->break_source);
        if (console->fd >= 0)
                (void)ioctl(console->fd, TIOCCBRK);
}

void hf_console_recover_break(struct hf_console *console)
{
        if (hf_console_is_line(console) && console->fd >= 0)
                (void)ioctl(console->fd, TIOCCBRK);
}

static int on_break_over(sd_event_source *source, uint64_t usec, void *data)
{
        (void)source;
        (void)usec;
        hf_console_stop_break(data);
        return 0;
}

void hf_console_break(struct hf_console *console)
{
        if (console->fd < 0 || ioctl(console->fd, TIOCSBRK) < 0)
                return;
        console->break_source = sd_event_source_disable_unref(console->break_source);
        if (sd_event_add_time_relative(console->server->event, &console->break_source,
                                       CLOCK_MONOTONIC, BREAK_USEC, 0, on_break_over, console) < 0)
                (void)ioctl(console->fd, TIOCCBRK);
}

int hf_console_resize(struct hf_console *console, uint32_t rows, uint32_t columns,
                      struct hf_error *err)
{
        struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};

        if (console->hold.kind != HF_DEVICE_TTY || console->fd < 0)
                return hf_error_set(err, EOPNOTSUPP, HF_ERR_OPERATION_INVALID, HF_FROM_RPC,
                                    "this console has no size");
        if (rows > UINT16_MAX || columns > UINT16_MAX)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_RPC,
                                    "no terminal is as large as that");
        if (ioctl(console->fd, TIOCSWINSZ, &size) < 0)
                return hf_error_sys(err, errno, "cannot set the console's size");
        return 0;
}
