/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/link.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "console/server.h"
#include "keeper/worker.h"

#include <errno.h>
#include <linux/close_range.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

#define MODULE "console.link"

/* Before a process that could not be made, or ended at once, is made again. */
#define RETRY_USEC 200000

/* What opening a device may take: a path on a dead file server, a line without a carrier. */
#define OPEN_TIMEOUT_MSEC 5000

/* At the daemon's end: what giving the devices back may take, before nobody waits for it. */
#define GIVE_BACK_MSEC 2000

/* What is different between the two. */
static const struct link_ops {
        const char *what;
        void (*begins)(struct hf_con_server *server, bool anew);
        int (*read)(struct hf_con_server *server, int fd);
        int (*write)(struct hf_con_server *server, int fd);
} ops[HF_CON_LINKS] = {
        [HF_CON_GUARD] = {"the guard of the devices", hf_con_guard_begins, hf_con_guard_read,
                          hf_con_guard_write},
        [HF_CON_TRANSCRIPT] = {"the writer of logs", hf_con_transcript_begins,
                               hf_con_transcript_read, hf_con_transcript_write},
};

static void launch(struct hf_con_link *link);
static int watch(struct hf_con_link *link);

static void close_number(int32_t *at)
{
        int fd = *at;

        *at = -1;
        atomic_signal_fence(memory_order_seq_cst);
        hf_close_fd(&fd);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *data)
{
        struct hf_con_link *link = data;

        (void)source;
        (void)usec;
        link->retry = sd_event_source_disable_unref(link->retry);
        launch(link);
        return 0;
}

static void retry_later(struct hf_con_link *link)
{
        (void)sd_event_source_disable_unref(link->retry);
        if (sd_event_add_time_relative(link->server->event, &link->retry, CLOCK_MONOTONIC,
                                       RETRY_USEC, 0, on_retry, link) < 0)
                link->retry = NULL;
}

/* It is gone. Of the guard the old end stays until the new one has all that this one had. */
static void lose(struct hf_con_link *link)
{
        struct hf_con_link_record *record = link->record;

        hf_log(HF_LOG_WARNING, MODULE, "%s (pid %d) was ended; another one takes its place",
               ops[link->kind].what, (int)record->pid);
        link->source = sd_event_source_disable_unref(link->source);
        link->end = sd_event_source_disable_unref(link->end);
        record->ready = false;
        if (link->kind == HF_CON_GUARD && record->old < 0)
                record->old = record->near;
        else
                close_number(&record->near);
        record->near = -1;
        close_number(&record->far);
        close_number(&record->pidfd);
        if (link->failures++ == 0)
                launch(link);
        else
                retry_later(link);
}

/*
 * It has greeted, and our copy of its end is closed. A server that takes over in the midst of this
 * does it again: before it is ready it is asked nothing, so what can be read is the greeting.
 */
static void greeted(struct hf_con_link *link)
{
        struct hf_con_link_record *record = link->record;

        link->end = sd_event_source_disable_unref(link->end);
        ops[link->kind].begins(link->server, true);
        (void)recv(record->near, &(char){0}, 1, MSG_DONTWAIT);
        atomic_signal_fence(memory_order_seq_cst);
        record->ready = true;
        hf_con_link_kick(link->server, link->kind);
}

/* It has left our descriptors: its end is its own now. */
static int greet(struct hf_con_link *link)
{
        struct hf_con_link_record *record = link->record;
        char byte;
        ssize_t n = recv(record->near, &byte, sizeof(byte), MSG_DONTWAIT | MSG_PEEK);

        if (n != sizeof(byte))
                return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
        close_number(&record->far);
        greeted(link);
        return 0;
}

/* As long as we have a copy of its end, its death does not show at ours. */
static int on_end(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_con_link *link = data;

        (void)source;
        (void)fd;
        (void)revents;
        lose(link);
        return 0;
}

static int serve(struct hf_con_link *link, uint32_t revents)
{
        int r = 0;

        if (!link->record->ready)
                return revents & EPOLLIN ? greet(link) : -EPIPE;
        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                r = ops[link->kind].read(link->server, link->record->near);
        if (r < 0)
                return r;
        link->failures = 0;
        r = ops[link->kind].write(link->server, link->record->near);
        (void)sd_event_source_set_io_events(link->source, EPOLLIN | (r == -EAGAIN ? EPOLLOUT : 0U));
        return r == -EAGAIN ? 0 : r;
}

static int on_link(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_con_link *link = data;

        (void)source;
        (void)fd;
        if (serve(link, revents) < 0)
                lose(link);
        return 0;
}

/* What is to be said is said once in a turn of the loop, however often that was asked for. */
static int on_soon(sd_event_source *source, void *data)
{
        struct hf_con_link *link = data;

        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (link->record->ready && serve(link, 0) < 0)
                lose(link);
        return 0;
}

void hf_con_link_kick(struct hf_con_server *server, enum hf_con_link_kind kind)
{
        (void)sd_event_source_set_enabled(server->links[kind].soon, SD_EVENT_ON);
}

static void guard_settings(const struct hf_con_server *server, pid_t before,
                           struct hf_guard_settings *ret)
{
        *ret = (struct hf_guard_settings){.privileged = server->privileged,
                                          .open_timeout_ms = OPEN_TIMEOUT_MSEC,
                                          .swept = before};
        (void)snprintf(ret->lock_dir, sizeof(ret->lock_dir), "%s",
                       hf_con_config_lock_dir(server->config));
}

static void transcript_settings(const struct hf_con_server *server,
                                struct hf_transcript_settings *ret)
{
        *ret = (struct hf_transcript_settings){.max_size = (uint64_t)server->config->log_max_size *
                                                           1024,
                                               .max_backups = server->config->log_max_backups};
        (void)snprintf(ret->dir, sizeof(ret->dir), "%s", server->log_dir);
}

/* In the new process: out of the table that we share, with nothing but its end. */
static _Noreturn void become(const struct hf_con_link *link, int fd, pid_t before)
{
        struct hf_guard_settings guard;
        struct hf_transcript_settings transcript;

        if (close_range((unsigned int)fd + 1, ~0U, CLOSE_RANGE_UNSHARE) < 0)
                _exit(EXIT_FAILURE);
        hf_log_close_outputs();
        (void)close_range(STDERR_FILENO + 1, (unsigned int)fd - 1, 0);
        if (send(fd, "", 1, MSG_NOSIGNAL) != 1)
                _exit(EXIT_SUCCESS);
        if (link->kind == HF_CON_GUARD) {
                guard_settings(link->server, before, &guard);
                hf_guard_serve(fd, &guard);
        }
        transcript_settings(link->server, &transcript);
        hf_transcript_serve(fd, &transcript);
}

/* Without a keeper it is an ordinary child. */
static pid_t clone_one(const struct hf_con_link *link)
{
        pid_t pid;

        if (link->server->keeper)
                return hf_keeper_clone_worker(link->server->keeper, HF_KEEPER_TABLE_SHARED,
                                              &link->record->pidfd);
        pid = fork();
        if (pid > 0)
                link->record->pidfd = pidfd_open(pid, 0);
        return pid < 0 ? -errno : pid;
}

static int make_pair(struct hf_con_link_record *record)
{
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        record->near = pair[0];
        record->far = pair[1];
        return 0;
}

static void launch(struct hf_con_link *link)
{
        struct hf_con_link_record *record = link->record;
        pid_t before = record->pid, pid = -1;
        int r, far;

        /* Of one before, where a server was killed while it lost that or made it. */
        close_number(&record->far);
        close_number(&record->pidfd);
        r = make_pair(record);
        far = record->far;
        if (r >= 0) {
                pid = clone_one(link);
                if (pid == 0)
                        become(link, far, before);
                r = pid < 0 ? pid : 0;
        }
        if (r >= 0) {
                record->pid = pid;
                r = watch(link);
        }
        if (r < 0) {
                hf_log(HF_LOG_ERROR, MODULE, "cannot make %s: %s; trying again",
                       ops[link->kind].what, strerrordesc_np(-r));
                link->source = sd_event_source_disable_unref(link->source);
                close_number(&record->near);
                close_number(&record->far);
                retry_later(link);
        }
}

static int watch(struct hf_con_link *link)
{
        const struct hf_con_link_record *record = link->record;
        int r = sd_event_add_io(link->server->event, &link->source, record->near, EPOLLIN, on_link,
                                link);

        if (r < 0 || record->ready || record->pidfd < 0)
                return r;
        return sd_event_add_io(link->server->event, &link->end, record->pidfd, EPOLLIN, on_end,
                               link);
}

/* One whose beginning was cut short is made anew, as if there had been none. */
static int begin_one(struct hf_con_server *server, enum hf_con_link_kind kind)
{
        struct hf_con_link *link = &server->links[kind];
        struct hf_con_link_record *record = &server->area->links[kind];
        int r;

        *link = (struct hf_con_link){.server = server, .kind = kind, .record = record};
        r = sd_event_add_defer(server->event, &link->soon, on_soon, link);
        if (r >= 0)
                r = sd_event_source_set_enabled(link->soon, SD_EVENT_OFF);
        if (r < 0)
                return r;
        /* It was being noted as the old one: that was not over. */
        if (record->near >= 0 && record->old == record->near) {
                record->near = -1;
                record->ready = false;
                close_number(&record->far);
                close_number(&record->pidfd);
        }
        if (record->near >= 0 && record->pidfd < 0 && server->keeper) {
                close_number(&record->near);
                close_number(&record->far);
        }
        if (record->near < 0) {
                launch(link);
                return 0;
        }
        r = watch(link);
        if (r >= 0 && record->ready) {
                ops[kind].begins(server, false);
                hf_con_link_kick(server, kind);
        } else if (r >= 0 && record->far < 0) {
                greeted(link);
        }
        return r;
}

int hf_con_links_begin(struct hf_con_server *server)
{
        int r = begin_one(server, HF_CON_GUARD);

        if (r >= 0 && *server->log_dir)
                r = begin_one(server, HF_CON_TRANSCRIPT);
        return r;
}

void hf_con_link_close_old(struct hf_con_server *server, enum hf_con_link_kind kind)
{
        struct hf_con_link_record *record = server->links[kind].record;
        struct hf_guard_request quit = {.version = HF_GUARD_VERSION, .op = HF_GUARD_QUIT};

        if (record->old < 0)
                return;
        (void)hf_guard_send(record->old, &quit, -1);
        close_number(&record->old);
}

/* Who starts anew at once finds the devices free. */
static void await_end(const struct hf_con_link_record *record)
{
        struct pollfd end = {.fd = record->pidfd, .events = POLLIN};

        if (record->pidfd >= 0)
                (void)poll(&end, 1, GIVE_BACK_MSEC);
}

void hf_con_links_end(struct hf_con_server *server)
{
        for (size_t i = 0; i < HF_CON_LINKS; i++) {
                struct hf_con_link *link = &server->links[i];

                if (!link->record)
                        continue;
                (void)sd_event_source_disable_unref(link->source);
                (void)sd_event_source_disable_unref(link->end);
                (void)sd_event_source_disable_unref(link->retry);
                (void)sd_event_source_disable_unref(link->soon);
                close_number(&link->record->near);
                close_number(&link->record->far);
                close_number(&link->record->old);
                if (link->kind == HF_CON_GUARD)
                        await_end(link->record);
                close_number(&link->record->pidfd);
        }
}
