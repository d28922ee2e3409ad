/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/broker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

union cargo {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
};

int hf_pr_broker_ask(int control, enum hf_pr_backend_id id, int *ret_socket)
{
        uint8_t question = (uint8_t)id, answer;
        union cargo cargo;
        struct iovec piece = {.iov_base = &answer, .iov_len = sizeof(answer)};
        struct msghdr message = {.msg_iov = &piece,
                                 .msg_iovlen = 1,
                                 .msg_control = cargo.bytes,
                                 .msg_controllen = sizeof(cargo.bytes)};
        struct cmsghdr *found;
        ssize_t n;

        if (send(control, &question, sizeof(question), MSG_NOSIGNAL) < 0)
                return -errno;
        do
                n = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return n < 0 ? -errno : -EPIPE;
        found = CMSG_FIRSTHDR(&message);
        if (!found || found->cmsg_type != SCM_RIGHTS)
                return -EPERM;
        memcpy(ret_socket, CMSG_DATA(found), sizeof(int));
        return 0;
}

int hf_pr_broker_hear(int control, unsigned int *ret_id)
{
        uint8_t id;
        ssize_t n = recv(control, &id, sizeof(id), MSG_DONTWAIT);

        if (n < 0)
                return -errno;
        if (n == 0)
                return 0;
        *ret_id = id;
        return 1;
}

void hf_pr_broker_answer(int control, int socket)
{
        uint8_t answer = socket >= 0;
        union cargo cargo = {0};
        struct iovec piece = {.iov_base = &answer, .iov_len = sizeof(answer)};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

        if (socket >= 0) {
                struct cmsghdr *at;

                message.msg_control = cargo.bytes;
                message.msg_controllen = sizeof(cargo.bytes);
                at = CMSG_FIRSTHDR(&message);
                at->cmsg_level = SOL_SOCKET;
                at->cmsg_type = SCM_RIGHTS;
                at->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(at), &socket, sizeof(int));
        }
        if (sendmsg(control, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || socket < 0)
                return;
        /* The kernel limits descriptors on their way; who waits for an answer has to get one. */
        answer = 0;
        message.msg_control = NULL;
        message.msg_controllen = 0;
        /* A connection's process that does not take it has ended, or waits for nothing. */
        (void)sendmsg(control, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}
