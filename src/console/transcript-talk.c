/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The server's side of a transcript. What it offers next it notes after the send: a server that is
 * killed between the two offers the same again, and the writer, who knows what is in the file,
 * skips it.
 */

#include "base/file-name.h"
#include "console/transcript.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Records in one go, so that one busy console does not keep a server from the others. */
#define PIECES_AT_ONCE 4

int hf_transcript_pair(int ret[2])
{
        return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) < 0 ? -errno : 0;
}

void hf_transcript_name(const char *vm, const char *device, char ret[HF_TRANSCRIPT_NAME_MAX])
{
        char room[HF_FILE_NAME_MAX + 1], thing[HF_FILE_NAME_MAX + 1];

        hf_file_name(*vm ? vm : "by-path", room);
        hf_file_name(*device ? device : "console", thing);
        (void)snprintf(ret, HF_TRANSCRIPT_NAME_MAX, "%s/%s", room, thing);
}

int hf_transcript_receive(int fd, struct hf_transcript_answer *ret)
{
        struct hf_transcript_answer answer;
        ssize_t n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
        if (n == 0)
                return -EPIPE;
        if (n != (ssize_t)sizeof(answer))
                return -EBADMSG;
        answer.path[sizeof(answer.path) - 1] = '\0';
        *ret = answer;
        return 1;
}

void hf_transcript_link_init(struct hf_transcript_link *link, uint64_t id, uint64_t run)
{
        *link = (struct hf_transcript_link){.id = id, .run = run};
}

void hf_transcript_begin(struct hf_transcript_link *link)
{
        link->asked = link->opened = false;
        link->failed = 0;
        link->stuck = 0;
}

/* A record: 0, -EAGAIN, -EPIPE. */
static int send_record(struct hf_transcript_link *link, int fd, struct hf_transcript_header *header,
                       struct iovec *bytes, int n)
{
        struct iovec iov[3] = {{.iov_base = header, .iov_len = sizeof(*header)}};
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)n + 1};

        header->id = link->id;
        header->run = link->run;
        for (int i = 0; i < n; i++) {
                iov[i + 1] = bytes[i];
                header->len += (uint32_t)bytes[i].iov_len;
        }
        if (sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                return 0;
        return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM ? -EAGAIN
                                                                                        : -EPIPE;
}

static int ask(struct hf_transcript_link *link, int fd, const char *name, uint64_t head)
{
        struct hf_transcript_header header = {.op = HF_TRANSCRIPT_OPEN, .position = head};
        struct iovec bytes = {.iov_base = (char *)name, .iov_len = strlen(name)};
        int r = send_record(link, fd, &header, &bytes, 1);

        if (r == 0)
                link->asked = true;
        return r;
}

/* When the byte at a position came. */
static uint64_t time_of(const struct hf_ring *ring, uint64_t position, uint64_t now)
{
        struct hf_ring_mark mark;

        return hf_ring_marks(ring, position, &mark, 1) > 0 && mark.position <= position ? mark.usec
                                                                                        : now;
}

/* Not beyond the next mark, so that what came at another time is a record of its own. */
static size_t piece_at(const struct hf_ring *ring, uint64_t position)
{
        struct hf_ring_mark marks[2];

        if (hf_ring_marks(ring, position, marks, 2) == 2 && marks[1].position > position &&
            marks[1].position - position < HF_TRANSCRIPT_PIECE_MAX)
                return marks[1].position - position;
        return HF_TRANSCRIPT_PIECE_MAX;
}

static int offer_piece(struct hf_transcript_link *link, int fd, const struct hf_ring *ring,
                       uint8_t *bytes, uint64_t now)
{
        uint64_t first = hf_ring_first(ring);
        struct hf_transcript_header header = {.position = link->position};
        struct iovec iov[2];
        int r, n = 0;

        if (link->position < first) {
                header.op = HF_TRANSCRIPT_GAP;
                header.count = first - link->position;
                header.usec = time_of(ring, first, now);
        } else {
                header.op = HF_TRANSCRIPT_BYTES;
                header.usec = time_of(ring, link->position, now);
                n = hf_ring_peek(ring, bytes, link->position, piece_at(ring, link->position), iov);
        }
        r = send_record(link, fd, &header, iov, n);
        if (r == 0)
                link->position += header.op == HF_TRANSCRIPT_GAP ? header.count : header.len;
        return r;
}

int hf_transcript_offer(struct hf_transcript_link *link, int fd, const char *name,
                        const struct hf_ring *ring, uint8_t *bytes, uint64_t now)
{
        uint64_t head = hf_ring_head(ring);
        int r = link->asked ? 0 : ask(link, fd, name, head);

        for (int i = 0; r == 0 && i < PIECES_AT_ONCE; i++) {
                if (!link->opened || link->failed < 0 || link->position >= head)
                        break;
                r = offer_piece(link, fd, ring, bytes, now);
                if (r == 0)
                        link->stuck = 0;
        }
        /* Of an answer to OPEN that stays away, too. */
        if (r == 0 && link->opened)
                link->stuck = 0;
        else if (!link->stuck)
                link->stuck = now;
        if (r < 0)
                return r;
        return link->opened && link->failed == 0 && link->position < head;
}

void hf_transcript_heard(struct hf_transcript_link *link, const struct hf_transcript_answer *answer)
{
        /* What an answer says that is older than our last OPEN is no news. */
        if (!link->asked || (!link->opened && !answer->opened))
                return;
        link->opened = true;
        link->stuck = 0;
        link->failed = answer->failed;
        link->position = answer->written;
        memcpy(link->path, answer->path, sizeof(link->path));
}

int hf_transcript_finish(struct hf_transcript_link *link, int fd, const char *name,
                         const struct hf_ring *ring, uint8_t *bytes, uint64_t now)
{
        struct hf_transcript_header header = {.op = HF_TRANSCRIPT_CLOSE};
        int r = hf_transcript_offer(link, fd, name, ring, bytes, now);

        if (r == -EAGAIN && hf_transcript_fails(link, now))
                return 1;
        if (r < 0)
                return r;
        if (!hf_transcript_fails(link, now) &&
            (!link->opened || link->position < hf_ring_head(ring)))
                return 0;
        r = send_record(link, fd, &header, NULL, 0);
        return r < 0 ? r : 1;
}

int hf_transcript_fails(const struct hf_transcript_link *link, uint64_t now)
{
        if (link->failed < 0)
                return link->failed;
        return link->stuck && now > link->stuck && now - link->stuck > HF_TRANSCRIPT_STUCK_USEC
                       ? -ETIMEDOUT
                       : 0;
}
