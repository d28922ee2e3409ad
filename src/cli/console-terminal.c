/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/console-terminal.h"

#include "cli/message.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

void hf_terminal_init(struct hf_terminal *terminal)
{
        *terminal = (struct hf_terminal){0};
        terminal->present = tcgetattr(STDIN_FILENO, &terminal->before) == 0;
}

int hf_terminal_enter(struct hf_terminal *terminal)
{
        struct termios raw = terminal->before;

        if (!terminal->present || terminal->raw)
                return 0;
        cfmakeraw(&raw);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        /* What was typed before is for the guest. */
        if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
                return -errno;
        terminal->raw = true;
        return 0;
}

void hf_terminal_leave(struct hf_terminal *terminal)
{
        if (terminal->raw)
                (void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal->before);
        terminal->raw = false;
}

bool hf_terminal_size(unsigned int *ret_rows, unsigned int *ret_columns)
{
        struct winsize size = {0};

        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 &&
            ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
                size = (struct winsize){0};
        *ret_rows = size.ws_row;
        *ret_columns = size.ws_col;
        return size.ws_row && size.ws_col;
}

int hf_terminal_open_output(void)
{
        struct stat st;
        int fd = -1;

        /* A description of our own: O_NONBLOCK on the one that is shared would hurt others. */
        if (isatty(STDOUT_FILENO) || (fstat(STDOUT_FILENO, &st) == 0 && S_ISFIFO(st.st_mode)))
                fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

void hf_terminal_say(const struct hf_terminal *terminal, bool fresh, const char *format, ...)
{
        const char *begin = terminal->raw && !fresh ? "\r\n" : "";
        const char *end = terminal->raw ? "]\r\n" : "]\n";
        char text[HF_MESSAGE_MAX], line[HF_MESSAGE_MAX + 32];
        va_list args;
        int n;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        n = snprintf(line, sizeof(line), "%s[holdfast: %s%s", begin, hf_message_clean(text), end);
        /* Nothing better can be done about a stderr that takes nothing. */
        if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
                return;
}
