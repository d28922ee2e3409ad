/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/worker.h"

#include "base/socket.h"
#include "keeper/keeper-private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* In the worker, before anything else. */
static void enter(const struct hf_keeper *keeper, enum hf_keeper_table table)
{
        (void)prctl(PR_SET_NAME, "holdfast-worker");
        if (table == HF_KEEPER_TABLE_SHARED)
                return;
        /* None of ours is closed by this: they are not taken over. */
        if (close_range((unsigned int)keeper->header->end_fd, ~0U, CLOSE_RANGE_UNSHARE) < 0)
                _exit(EXIT_FAILURE);
}

pid_t hf_keeper_clone_worker(struct hf_keeper *keeper, enum hf_keeper_table table,
                             int32_t *ret_pidfd)
{
        pid_t pid = hf_keeper_clone_beside(ret_pidfd);

        if (pid == 0)
                enter(keeper, table);
        return pid;
}

uint32_t hf_keeper_table(const struct hf_keeper *keeper)
{
        return keeper->header->tables;
}

union descriptor_message {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
};

int hf_keeper_send_result(struct hf_keeper *keeper, uint64_t number, int fd)
{
        return hf_socket_send_fd(hf_keeper_fd(keeper, HF_KEEPER_FD_RESULTS_IN), &number,
                                 sizeof(number), fd, MSG_NOSIGNAL);
}

int hf_keeper_receive_result(struct hf_keeper *keeper, uint64_t *ret_number, int *ret_fd)
{
        union descriptor_message control;
        uint64_t number;
        struct iovec iov = {.iov_base = &number, .iov_len = sizeof(number)};
        struct msghdr message = {.msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control)};
        const struct cmsghdr *header;

        if (recvmsg(hf_keeper_fd(keeper, HF_KEEPER_FD_RESULTS_OUT), &message, MSG_DONTWAIT) !=
            sizeof(number))
                return 0;
        header = CMSG_FIRSTHDR(&message);
        *ret_fd = -1;
        if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
                memcpy(ret_fd, CMSG_DATA(header), sizeof(*ret_fd));
        *ret_number = number;
        return 1;
}
