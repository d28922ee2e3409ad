/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/session.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/socket.h"
#include "driver/sanlock/codes.h"

#include <fcntl.h>
#include <sanlock_resource.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* A daemon takes up to 7 I/O timeouts (of 10 s) over one lease on a disk that hardly answers. */
#define USUAL_LIMIT_NS (100 * 1000000000ULL)

int hf_sanlock_session_open(struct hf_sanlock_session *session, uint64_t deadline,
                            struct hf_lock_error *err)
{
        int fd = sanlock_register();

        if (fd < 0)
                return hf_sanlock_fail(err, HF_SANLOCK_REGISTER, fd,
                                       "cannot register with sanlock");
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        session->fd = fd;
        session->lost = false;
        session->deadline = deadline ? deadline : hf_clock_nsec(CLOCK_MONOTONIC) + USUAL_LIMIT_NS;
        return 0;
}

void hf_sanlock_session_limit(const struct hf_sanlock_session *session)
{
        uint64_t now = hf_clock_nsec(CLOCK_MONOTONIC);
        /* Zero would be no limit. */
        uint64_t left = session->deadline > now + 1000 ? (session->deadline - now) / 1000 : 1;
        const struct timeval limit = {
                .tv_sec = (time_t)(left / 1000000),
                .tv_usec = (suseconds_t)(left % 1000000),
        };

        if (session->deadline == UINT64_MAX)
                return;
        (void)setsockopt(session->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        (void)setsockopt(session->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

/*
 * A limit that was reached is -EAGAIN for the library, which has another meaning too, or -1, as is
 * the end of the connection.
 */
int hf_sanlock_session_result(struct hf_sanlock_session *session, int rv)
{
        bool late = hf_clock_nsec(CLOCK_MONOTONIC) >= session->deadline;

        if (rv != -1 && (rv != -EAGAIN || !late))
                return rv;
        session->lost = true;
        return late ? -ETIMEDOUT : -ECONNRESET;
}

int hf_sanlock_session_ask(struct hf_sanlock_session *session, struct hf_lock_error *err)
{
        hf_cleanup_free char *text = NULL;
        int n = 0, rv;

        hf_sanlock_session_limit(session);
        rv = hf_sanlock_session_result(session, sanlock_inquire(session->fd, -1, 0, &n, &text));
        return rv < 0 ? hf_sanlock_fail(err, HF_SANLOCK_INQUIRE, rv, "the sanlock daemon") : 0;
}

void hf_sanlock_session_done(struct hf_sanlock_session *session)
{
        hf_close_fd(&session->fd);
}

/* ---- the watchdog ------------------------------------------------------------------------- */

/* The daemon's words, from the first behind its name; each ends in a NUL, and so does the last. */
struct words {
        char text[4096];
        size_t len;
};

static bool read_file(const char *path, struct words *ret)
{
        hf_cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, ret->text, sizeof(ret->text) - 1);

        ret->len = n > 0 ? (size_t)n : 0;
        ret->text[ret->len] = '\0';
        return n >= 0;
}

/* Its option -w: 0 or 1, or -1 where it has none. The last one counts. */
static int option_of(const struct words *words)
{
        int said = -1;

        for (const char *at = words->text, *end = at + words->len; at < end; at += strlen(at) + 1) {
                const char *value = at + 2;

                if (strncmp(at, "-w", 2) != 0)
                        continue;
                if (!*value)
                        value = at + 3;
                if (value < end)
                        said = *value != '0';
        }
        return said;
}

/* The same of its configuration file, "use_watchdog = 0". */
static int setting_of(struct words *words)
{
        char *rest = words->text, *line;
        int said = -1, value;

        while ((line = strsep(&rest, "\n")))
                if (sscanf(line, " use_watchdog = %d", &value) == 1)
                        said = value != 0;
        return said;
}

/* 1: it has one; 0: none; -1: that cannot be told. */
static int has_watchdog(const struct hf_sanlock_session *session)
{
        struct hf_peer peer;
        struct words words;
        char path[64];
        int said;

        if (hf_socket_peer(session->fd, &peer, NULL) < 0 || peer.pid <= 0)
                return -1;
        (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", peer.pid);
        if (!read_file(path, &words) || words.len == 0)
                return -1;
        said = option_of(&words);
        if (said >= 0)
                return said;
        said = read_file("/etc/sanlock/sanlock.conf", &words) ? setting_of(&words) : -1;
        return said != 0;
}

unsigned int hf_sanlock_session_guarantee(const struct hf_sanlock_session *session,
                                          const struct hf_sanlock_driver *driver)
{
        int has = has_watchdog(session);

        if (has > 0)
                return HF_GUARANTEE_CLUSTER_FENCED;
        if (driver->warn)
                driver->warn(driver->warn_ctx,
                             has == 0 ? "the sanlock daemon runs without a watchdog (-w 0): a host "
                                        "that hangs is not reset before others take its leases"
                                      : "cannot tell whether the sanlock daemon uses a watchdog: "
                                        "its leases are taken for advisory");
        return HF_GUARANTEE_CLUSTER_ADVISORY;
}
