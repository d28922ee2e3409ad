/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/keeper-private.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * systemd's watchdog: it ends a service that has not said WATCHDOG=1 for some time.
 *
 * It is the supervisor that says so, since it is the service's main process, and only
 * while the server moves: the server counts in the header, the supervisor looks. The time
 * that systemd gives us is cut in eight: so often the server counts and the supervisor
 * looks. After half of it a server that does not move is replaced, as nothing is lost by
 * that, and there is time for the next one to move. What the watchdog of systemd is left
 * with is a server that cannot be ended because it waits for a disk.
 *
 * WATCHDOG_PID names the supervisor that systemd has started. An heir finds the time in
 * the header.
 */

#define PARTS     8
#define HANGS     4 /* of them */

#define USEC_MIN  (PARTS * 1000ULL)
#define USEC_MAX  (24 * 3600 * 1000000ULL)

#define NSEC_USEC 1000ULL

static uint64_t env_time(void)
{
        const char *text = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
        uint64_t usec;
        char *end;

        if (!getenv("NOTIFY_SOCKET") || !text || *text < '0' || *text > '9' ||
            (pid && strtol(pid, NULL, 10) != getpid()))
                return 0;
        errno = 0;
        usec = strtoull(text, &end, 10);
        return errno || *end || usec < USEC_MIN || usec > USEC_MAX ? 0 : usec;
}

void hf_keeper_watchdog_begin(struct hf_keeper *keeper)
{
        uint64_t usec = keeper->supervised ? env_time() : 0;

        if (usec)
                keeper->header->watchdog_usec = usec;
}

int hf_keeper_watchdog_socket(const struct hf_keeper *keeper)
{
        int fd;

        if (keeper->header->watchdog_usec)
                fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        else
                fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

uint64_t hf_keeper_watchdog_interval(const struct hf_keeper *keeper)
{
        return keeper->header->watchdog_usec / PARTS * NSEC_USEC;
}

/* No library is called by a supervisor: this is what sd_notify does. */
static void feed(const struct hf_keeper *keeper)
{
        static const char text[] = "WATCHDOG=1";
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        const char *path = getenv("NOTIFY_SOCKET");
        size_t len = path ? strlen(path) : 0;

        if (len < 2 || len >= sizeof(name.sun_path) || (*path != '/' && *path != '@'))
                return;
        memcpy(name.sun_path, path, len);
        /* What does not arrive is said again soon. */
        if (*path == '@')
                name.sun_path[0] = '\0';
        (void)sendto(hf_keeper_fd(keeper, HF_KEEPER_FD_NOTIFY), text, sizeof(text) - 1,
                     MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&name,
                     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}

bool hf_keeper_watchdog_look(const struct hf_keeper *keeper, struct hf_keeper_watch *watch)
{
        uint64_t interval = hf_keeper_watchdog_interval(keeper);
        const struct hf_keeper_header *header = keeper->header;
        uint64_t now = hf_clock_nsec(CLOCK_MONOTONIC), passed = now - watch->looked_at;
        uint32_t beats = header->beats;

        if (!interval || passed < interval)
                return false;
        watch->looked_at = now;
        if (beats != watch->beats) {
                watch->beats = beats;
                watch->moved_at = now;
                feed(keeper);
                return false;
        }
        /* Where nobody moved but the clock, we were stopped ourselves, and perhaps with it. */
        if (passed >= HANGS * interval || watch->moved_at < header->ready_at)
                watch->moved_at = now;
        return header->ready_at && header->command == HF_KEEPER_GO_ON &&
               now - watch->moved_at >= HANGS * interval;
}

uint64_t hf_keeper_watchdog_usec(const struct hf_keeper *keeper)
{
        return keeper->header->watchdog_usec;
}

uint64_t hf_keeper_beat_usec(const struct hf_keeper *keeper)
{
        return keeper->header->watchdog_usec / PARTS;
}

void hf_keeper_beat(struct hf_keeper *keeper)
{
        keeper->header->beats++;
}
