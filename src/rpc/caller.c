/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/caller.h"

#include "base/clock.h"
#include "base/socket.h"
#include "rpc/errors.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* The largest answer that we read: an error with long strings, or a page of a list. */
#define ANSWER_MAX (1024 * 1024)

static int64_t now_ms(void)
{
        return hf_clock_msec(CLOCK_MONOTONIC);
}

int hf_caller_connect(struct hf_caller *caller, const char *path, struct hf_error *err)
{
        hf_cleanup_fd int fd = -1;
        hf_cleanup_free char *copy = NULL;
        int r;

        r = hf_socket_connect(path, caller->timeout_ms, &fd, err);
        if (r < 0)
                return r;
        copy = strdup(path);
        if (!copy)
                return hf_error_sys(err, ENOMEM, "cannot connect to %s", path);
        hf_caller_done(caller);
        caller->fd = hf_steal_fd(&fd);
        caller->path = hf_steal_ptr(copy);
        caller->serial = 0;
        return 0;
}

bool hf_caller_found_nobody(int r)
{
        return r == -ENOENT || r == -ENOTDIR || r == -ECONNREFUSED;
}

void hf_caller_done(struct hf_caller *caller)
{
        hf_close_fd(&caller->fd);
        free(caller->path);
        caller->path = NULL;
}

static int broken(struct hf_caller *caller, int number, struct hf_error *err, const char *what)
{
        hf_close_fd(&caller->fd);
        return hf_error_set(err, number, HF_ERR_RPC, HF_FROM_RPC, "%s at %s %s",
                            caller->what ? caller->what : "lock daemon",
                            caller->path ? caller->path : "(not connected)", what);
}

/* Waits until the socket can be read or written, or the deadline has passed. */
static int wait_for(struct hf_caller *caller, short events, int64_t deadline)
{
        struct pollfd poll_fd = {.fd = caller->fd, .events = events};
        int r, left;

        do {
                left = deadline < 0 ? -1 : (int)(deadline - now_ms());
                if (deadline >= 0 && left < 0)
                        return -ETIMEDOUT;
                r = poll(&poll_fd, 1, left);
        } while (r < 0 && errno == EINTR);
        if (r < 0)
                return -errno;
        return r == 0 ? -ETIMEDOUT : 0;
}

static int send_all(struct hf_caller *caller, const uint8_t *buf, size_t len, int64_t deadline)
{
        while (len > 0) {
                ssize_t n = send(caller->fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EAGAIN) {
                        int r = wait_for(caller, POLLOUT, deadline);

                        if (r < 0)
                                return r;
                        continue;
                }
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                buf += n;
                len -= (size_t)n;
        }
        return 0;
}

/*
 * Receives with what is attached: one descriptor, which comes with a first byte, if it
 * is wanted (fd not NULL) and there is room for it; all others the kernel drops.
 */
static ssize_t receive(int socket, uint8_t *buf, size_t len, int *fd)
{
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec part = {buf, len};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        const struct cmsghdr *header;
        ssize_t n;

        if (fd) {
                message.msg_control = &control;
                message.msg_controllen = sizeof(control.space);
        }
        n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        header = n >= 0 && fd ? CMSG_FIRSTHDR(&message) : NULL;
        if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
            header->cmsg_len == CMSG_LEN(sizeof(int))) {
                hf_close_fd(fd);
                memcpy(fd, CMSG_DATA(header), sizeof(*fd));
        }
        return n;
}

static int receive_all(struct hf_caller *caller, uint8_t *buf, size_t len, int64_t deadline,
                       int *fd)
{
        while (len > 0) {
                ssize_t n;
                int r = wait_for(caller, POLLIN, deadline);

                if (r < 0)
                        return r;
                n = receive(caller->fd, buf, len, fd);
                if (n < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -ECONNRESET;
                buf += n;
                len -= (size_t)n;
        }
        return 0;
}

/* Reads one whole message into a fresh buffer. */
static int receive_message(struct hf_caller *caller, int64_t deadline, int *fd, uint8_t **ret,
                           size_t *ret_len)
{
        hf_cleanup_free uint8_t *message = NULL;
        uint8_t word[HF_RPC_LENGTH_SIZE];
        int64_t length;
        int r;

        r = receive_all(caller, word, sizeof(word), deadline, fd);
        if (r < 0)
                return r;
        length = hf_rpc_length(word);
        if (length < 0 || length > ANSWER_MAX)
                return -EBADMSG;
        message = malloc((size_t)length);
        if (!message)
                return -ENOMEM;
        memcpy(message, word, sizeof(word));
        r = receive_all(caller, message + sizeof(word), (size_t)length - sizeof(word), deadline,
                        fd);
        if (r < 0)
                return r;
        *ret = hf_steal_ptr(message);
        *ret_len = (size_t)length;
        return 0;
}

/* Sends the call. Most calls are small; only long paths need more than the stack buffer. */
static int send_call(struct hf_caller *caller, const struct hf_rpc_header *header,
                     const struct hf_call *call, int64_t deadline)
{
        hf_cleanup_free uint8_t *large = NULL;
        uint8_t small[4096], *buf = small;
        int len = hf_rpc_put(small, sizeof(small), header, call->put, call->args);

        if (len < 0) {
                large = malloc(HF_RPC_REQUEST_KEPT);
                if (!large)
                        return -ENOMEM;
                len = hf_rpc_put(large, HF_RPC_REQUEST_KEPT, header, call->put, call->args);
                if (len < 0)
                        return len;
                buf = large;
        }
        return send_all(caller, buf, (size_t)len, deadline);
}

/* What is no answer: a message of this call, of another one, or of the keepalive program. */
static void pass_on(const struct hf_rpc_header *sent, const struct hf_call *call,
                    const struct hf_rpc_header *got, const uint8_t *message, size_t len)
{
        if (call->message && got->type == HF_RPC_MESSAGE && got->prog == sent->prog &&
            got->serial == sent->serial)
                call->message(call->message_ctx, got->proc, message + HF_RPC_HEADER_SIZE,
                              len - HF_RPC_HEADER_SIZE);
}

static int read_answer(struct hf_caller *caller, const struct hf_rpc_header *sent,
                       const struct hf_call *call, int64_t deadline, struct hf_error *err)
{
        hf_cleanup_free uint8_t *message = NULL;
        hf_cleanup_fd int fd = -1;
        struct hf_rpc_header got;
        size_t len;
        int r;

        for (;;) {
                free(hf_steal_ptr(message));
                r = receive_message(caller, deadline, call->ret_fd ? &fd : NULL, &message, &len);
                if (r == -ECONNRESET)
                        return broken(caller, ECONNRESET, err, "closed the connection");
                if (r == -ETIMEDOUT)
                        return broken(caller, ETIMEDOUT, err, "did not answer in time");
                if (r < 0)
                        return broken(caller, -r, err, "sent an answer that cannot be read");
                hf_rpc_get_header(message, &got);
                if (got.type == HF_RPC_REPLY)
                        break;
                pass_on(sent, call, &got, message, len);
        }
        if (got.serial != sent->serial || got.prog != sent->prog || got.proc != sent->proc)
                return broken(caller, EBADMSG, err, "answered a call that was not made");
        if (got.status == HF_RPC_ERROR)
                return hf_rpc_get_error(message + HF_RPC_HEADER_SIZE, len - HF_RPC_HEADER_SIZE,
                                        err);
        r = !call->get ? 0
                       : hf_rpc_get_payload(message + HF_RPC_HEADER_SIZE, len - HF_RPC_HEADER_SIZE,
                                            call->get, call->ret, err);
        if (r >= 0 && call->ret_fd)
                *call->ret_fd = hf_steal_fd(&fd);
        return r;
}

int hf_caller_call(struct hf_caller *caller, const struct hf_call *call, struct hf_error *err)
{
        struct hf_rpc_header header = {
                .prog = call->prog,
                .vers = call->vers,
                .proc = call->proc,
                .type = HF_RPC_CALL,
                .serial = caller->serial++,
        };
        int64_t deadline = caller->timeout_ms < 0 ? -1 : now_ms() + caller->timeout_ms;
        int r;

        if (caller->fd < 0)
                return broken(caller, ENOTCONN, err, "is not connected");
        r = send_call(caller, &header, call, deadline);
        if (r == -EMSGSIZE)
                return hf_error_set(err, EMSGSIZE, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "a path or name is longer than the protocol allows");
        if (r == -ETIMEDOUT)
                return broken(caller, ETIMEDOUT, err, "did not take the call in time");
        if (r < 0 && r != -EPIPE && r != -ECONNRESET)
                return broken(caller, -r, err, "could not be sent the call");
        /* After EPIPE an answer may still be there: a refusal of the whole connection. */
        return read_answer(caller, &header, call, deadline, err);
}
