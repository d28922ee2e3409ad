/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/log-private.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>

/*
 * Where messages go.
 *
 * sd_journal_sendv and syslog(3) wait while their daemon does not read; a
 * stopped journald would then stop the lock daemon and with it every guest
 * that wants to start. So both are written here as what they are, one
 * datagram, sent without waiting. The journal's native protocol is "NAME=value"
 * lines; values with a line end have another form, which we do not need, for a
 * text has none.
 */

struct hf_log_places hf_log_places = {
        .journal = "/run/systemd/journal/socket",
        .syslog = "/dev/log",
};

static int level_priority(enum hf_log_level level)
{
        static const int priorities[] = {
                [HF_LOG_DEBUG] = LOG_DEBUG,
                [HF_LOG_INFO] = LOG_INFO,
                [HF_LOG_WARNING] = LOG_WARNING,
                [HF_LOG_ERROR] = LOG_ERR,
        };

        return priorities[level];
}

static const char *level_name(enum hf_log_level level)
{
        static const char *const names[] = {
                [HF_LOG_DEBUG] = "debug",
                [HF_LOG_INFO] = "info",
                [HF_LOG_WARNING] = "warning",
                [HF_LOG_ERROR] = "error",
        };

        return names[level];
}

/* Room for a message with what stands before it. */
#define LINE_MAX_SIZE (HF_LOG_TEXT_MAX + 256)

/* The line of stderr and files. UTC, so that lines of several hosts can be merged. */
static size_t format_line(const struct hf_log_message *m, char *line, size_t size)
{
        struct tm tm;
        char when[32];
        int len;

        (void)gmtime_r(&m->time.tv_sec, &tm);
        (void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
        len = snprintf(line, size, "%s.%03ld+0000: %d: %s : %s : %s\n", when,
                       m->time.tv_nsec / 1000000, m->pid, level_name(m->level), m->module, m->text);
        if ((size_t)len < size)
                return (size_t)len;
        line[size - 2] = '\n';
        return size - 1;
}

static int write_line(struct hf_log_output *output, const struct hf_log_message *message)
{
        char line[LINE_MAX_SIZE];
        size_t len = format_line(message, line, sizeof(line));
        ssize_t put;

        do
                put = write(output->fd, line, len);
        while (put < 0 && errno == EINTR);
        return put < 0 ? -errno : 0;
}

static int open_stderr(struct hf_log_output *output, struct hf_error *err)
{
        (void)err;
        output->fd = STDERR_FILENO;
        output->borrowed = true;
        return 0;
}

/*
 * A pipe that nobody reads must not stop us. One that poll calls writable
 * takes at least PIPE_BUF (4096) bytes, which is more than a line, at once.
 */
static int write_stderr(struct hf_log_output *output, const struct hf_log_message *message)
{
        struct pollfd poller = {.fd = output->fd, .events = POLLOUT};

        if (poll(&poller, 1, 0) <= 0 || !(poller.revents & POLLOUT))
                return -EAGAIN;
        return write_line(output, message);
}

/* Root's log is not for everybody: it names guests and their disks. */
static int open_file(struct hf_log_output *output, struct hf_error *err)
{
        output->fd = open(output->argument,
                          O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
        if (output->fd < 0)
                return hf_error_sys(err, errno, "cannot open the log file %s", output->argument);
        return 0;
}

/* Not connected: the daemon may be restarted, and its socket be made anew. */
static int open_datagram(struct hf_log_output *output, struct hf_error *err)
{
        output->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (output->fd < 0)
                return hf_error_sys(err, errno, "cannot make a socket for the log");
        return 0;
}

static int send_datagram(int fd, const char *path, struct iovec *parts, size_t n)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct msghdr message = {
                .msg_name = &address,
                .msg_namelen = sizeof(address),
                .msg_iov = parts,
                .msg_iovlen = n,
        };

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* RFC 3164, as the local syslog socket takes it: priority, local time, name, pid. */
static int write_syslog(struct hf_log_output *output, const struct hf_log_message *m)
{
        char line[LINE_MAX_SIZE], when[32];
        struct iovec part = {.iov_base = line};
        struct tm tm;
        int len;

        (void)localtime_r(&m->time.tv_sec, &tm);
        (void)strftime(when, sizeof(when), "%b %e %H:%M:%S", &tm);
        len = snprintf(line, sizeof(line), "<%d>%s %s[%d]: %s : %s",
                       LOG_DAEMON | level_priority(m->level), when, output->argument, m->pid,
                       m->module, m->text);
        part.iov_len = (size_t)len < sizeof(line) ? (size_t)len : sizeof(line) - 1;
        return send_datagram(output->fd, hf_log_places.syslog, &part, 1);
}

static void add_part(struct iovec *parts, size_t *n, const char *text)
{
        parts[(*n)++] = (struct iovec){.iov_base = (char *)text, .iov_len = strlen(text)};
}

static void add_field(struct iovec *parts, size_t *n, const char *name, const char *value)
{
        /* A line end in a value would begin another field: the value ends there. */
        size_t len = strcspn(value, "\n");

        add_part(parts, n, name);
        add_part(parts, n, "=");
        parts[(*n)++] = (struct iovec){.iov_base = (char *)value, .iov_len = len};
        add_part(parts, n, "\n");
}

static int write_journal(struct hf_log_output *output, const struct hf_log_message *m)
{
        struct iovec parts[4 * (6 + HF_LOG_FIELDS_MAX)];
        char priority[4], pid[16];
        size_t n = 0;

        (void)snprintf(priority, sizeof(priority), "%d", level_priority(m->level));
        (void)snprintf(pid, sizeof(pid), "%d", m->pid);
        add_field(parts, &n, "MESSAGE", m->text);
        add_field(parts, &n, "PRIORITY", priority);
        add_field(parts, &n, "SYSLOG_IDENTIFIER", m->program);
        add_field(parts, &n, "SYSLOG_PID", pid);
        add_field(parts, &n, "HOLDFAST_MODULE", m->module);
        if (m->id)
                add_field(parts, &n, "MESSAGE_ID", m->id);
        for (size_t i = 0; i < m->n_fields; i++)
                if (*m->fields[i].value)
                        add_field(parts, &n, m->fields[i].name, m->fields[i].value);
        return send_datagram(output->fd, hf_log_places.journal, parts, n);
}

static const struct hf_log_output_ops kinds[] = {
        {"stderr", NULL, open_stderr, write_stderr},
        {"syslog", "a name for the messages", open_datagram, write_syslog},
        {"file", "a path", open_file, write_line},
        {"journald", NULL, open_datagram, write_journal},
};

const struct hf_log_output_ops *hf_log_find_output(const char *name, size_t len)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++)
                if (strlen(kinds[i].name) == len && memcmp(kinds[i].name, name, len) == 0)
                        return &kinds[i];
        return NULL;
}
