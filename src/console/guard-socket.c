/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/guard-private.h"

#include "base/unix-diag.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * A chardev that listens on a UNIX socket serves one client, and lets further ones wait
 * without a word. So the kernel is asked first whether somebody is connected to it: it knows of
 * each socket the file that it is bound to, and an accepted one has the listener's.
 */

static int count(void *data, const struct hf_unix_socket *socket)
{
        *(unsigned int *)data += socket->connected;
        return 0;
}

/* How many are connected to the socket of this file; 0 where the kernel does not tell. */
static unsigned int count_connections(const struct stat *st)
{
        unsigned int n = 0;

        (void)hf_unix_sockets_of(st, count, &n);
        return n;
}

void hf_job_take_socket(struct hf_job *job, int path_fd, const struct stat *st)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct hf_hold *hold = &job->reply.hold;

        if (count_connections(st) > 0) {
                hf_job_intruder(job, &(struct hf_opener){0}, "is connected to it");
                hf_job_fail(job, -EBUSY, "%s is in use: another program is connected to it",
                            hold->path);
                return;
        }
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", path_fd);
        job->device = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (job->device < 0 ||
            connect(job->device, (struct sockaddr *)&address, sizeof(address)) < 0) {
                hf_job_fail(job, -errno, "cannot connect to %s: %s", hold->path, strerror(errno));
                return;
        }
        /* Only now: a full queue is waited for, and the guard's deadline ends that. */
        (void)fcntl(job->device, F_SETFL, O_NONBLOCK);
        if (!hf_job_stage(job))
                hf_job_fail(job, -ECANCELED, "the guard does not want it any more");
}
