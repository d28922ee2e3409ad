/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * prload: how many requests a second a persistent reservation helper answers, as one line of JSON.
 *
 *   prload SOCKET DEVICE keys|register CONNECTIONS SECONDS
 *
 * Each connection is a process of its own, which asks, waits for the answer and asks again, as a
 * VMM does. It speaks the protocol by itself: ours and the original are measured alike.
 */

#include "samples.h"

#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CDB_SIZE        16
#define LIST_SIZE       24
#define ANSWER_SIZE     104
#define READ_SIZE       256
#define MAX_CONNECTIONS 64
/* Asked and not counted: the first ones pay for what the others find. */
#define WARM_UP 20

/* What one connection asks for again and again. */
struct request {
        uint8_t cdb[CDB_SIZE];
        uint8_t list[LIST_SIZE];
        bool out;
};

static void make_request(struct request *request, const char *mode)
{
        memset(request, 0, sizeof(*request));
        request->out = strcmp(mode, "register") == 0;
        if (request->out) {
                request->cdb[0] = 0x5f;
                request->cdb[1] = 6; /* REGISTER AND IGNORE EXISTING KEY */
                request->cdb[8] = LIST_SIZE;
                request->list[15] = 1; /* the new key */
        } else {
                request->cdb[0] = 0x5e; /* READ KEYS */
                request->cdb[7] = READ_SIZE >> 8;
                request->cdb[8] = READ_SIZE & 0xff;
        }
}

static void receive(int fd, void *data, size_t size)
{
        if (recv(fd, data, size, MSG_WAITALL) != (ssize_t)size)
                errx(1, "the helper closed the connection");
}

static int connect_to(const char *path)
{
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        uint32_t features = 0;
        int fd;

        if (strlen(path) >= sizeof(name.sun_path))
                errx(1, "%s: too long for a socket", path);
        strcpy(name.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
                err(1, "%s", path);
        receive(fd, &features, sizeof(features));
        features = 0;
        if (send(fd, &features, sizeof(features), MSG_NOSIGNAL) != sizeof(features))
                err(1, "%s", path);
        return fd;
}

static void send_command(int fd, int device, const struct request *request)
{
        struct iovec bytes = {(void *)request->cdb, CDB_SIZE};
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct msghdr message = {.msg_iov = &bytes,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control.room)};

        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &device, sizeof(int));
        if (sendmsg(fd, &message, MSG_NOSIGNAL) != CDB_SIZE)
                err(1, "sendmsg");
        if (request->out && send(fd, request->list, LIST_SIZE, MSG_NOSIGNAL) != LIST_SIZE)
                err(1, "send");
}

/* What is not answered well must not count as fast. */
static void ask(int fd, int device, const struct request *request)
{
        uint8_t answer[ANSWER_SIZE], data[READ_SIZE];
        uint32_t status, size;

        send_command(fd, device, request);
        receive(fd, answer, sizeof(answer));
        memcpy(&status, answer, sizeof(status));
        memcpy(&size, answer + 4, sizeof(size));
        size = ntohl(size);
        if (status != 0 || size > sizeof(data))
                errx(1, "answered with status %u and %u bytes", ntohl(status), size);
        if (size)
                receive(fd, data, size);
}

static void run_connection(const char *socket, int device, const struct request *request,
                           double seconds, uint64_t *counter)
{
        int fd = connect_to(socket);
        uint64_t count = 0, begin, end;

        for (int i = 0; i < WARM_UP; i++)
                ask(fd, device, request);
        begin = now_ns();
        end = begin + (uint64_t)(seconds * 1e9);
        do {
                ask(fd, device, request);
                count++;
        } while (now_ns() < end);
        /* Per 1000 seconds, so that whole numbers will do. */
        *counter = (uint64_t)((double)count * 1e12 / (double)(now_ns() - begin));
        exit(0);
}

int main(int argc, char **argv)
{
        struct request request;
        uint64_t *counters, sum = 0;
        int device, connections, status;

        if (argc != 6)
                errx(2, "usage: prload SOCKET DEVICE keys|register CONNECTIONS SECONDS");
        connections = atoi(argv[4]);
        if (connections < 1 || connections > MAX_CONNECTIONS)
                errx(2, "1 to %d connections", MAX_CONNECTIONS);
        make_request(&request, argv[3]);
        device = open(argv[2], O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (device < 0)
                err(1, "%s", argv[2]);
        counters = mmap(NULL, MAX_CONNECTIONS * sizeof(*counters), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (counters == MAP_FAILED)
                err(1, "mmap");
        for (int i = 0; i < connections; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        err(1, "fork");
                if (pid == 0) {
                        prctl(PR_SET_PDEATHSIG, SIGKILL);
                        run_connection(argv[1], device, &request, atof(argv[5]), &counters[i]);
                }
        }
        while (wait(&status) > 0)
                if (status != 0)
                        errx(1, "a connection failed");
        for (int i = 0; i < connections; i++)
                sum += counters[i];
        printf("{\"requests_per_s\": %.1f}\n", (double)sum / 1000);
        return 0;
}
