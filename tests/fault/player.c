/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "player.h"

#include "base/cleanup.h"
#include "rpc/errors.h"
#include "rpc/lock.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Requests under way on one connection. */
#define PIPELINE 4
/* Lockspaces that one connection announces; the daemon keeps them for good. */
#define SPACES 16
/* Requests are short; an answer may carry a long text three times. */
#define OUT_MAX    8192
#define IN_MAX     16384
#define STRING_MAX (FAULT_PATH_MAX + 32)
/* How long outstanding answers are waited for at the end. */
#define LAST_ANSWERS_MS 5000

enum op { REGISTER, ACQUIRE, RELEASE, ACQUIRE_TAKEN, RELEASE_TAKEN, NEW, PING, OPS };

struct question {
        enum op op;
        uint32_t resource; /* or the lockspace */
        bool again;        /* of a lockspace: it was asked for before */
        uint32_t serial;
        uint64_t asked_usec;
};

struct player {
        const struct stage *stage;
        struct part part;
        int fd; /* < 0: lost */
        uint32_t serial, first, waiting, spaces;
        struct question questions[PIPELINE];
        bool has[RESOURCES_EACH];
        unsigned int releases[RESOURCES_EACH]; /* asked for and not answered */
        uint8_t out[OUT_MAX], in[IN_MAX];
        size_t out_len, in_len;
};

static uint64_t now_usec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static _Atomic uint64_t *state_of(const struct player *p, uint32_t resource)
{
        return &p->stage->table->state[resource];
}

static void wrong(struct player *p, const struct question *q, const char *what)
{
        static const char *const names[OPS] = {
                "register", "acquire", "release", "acquire of another's", "release of another's",
                "new",      "ping"};
        struct tally *tally = p->stage->tally;

        tally->wrong++;
        if (!atomic_exchange(&tally->told, true))
                (void)snprintf(tally->first_wrong, FIRST_WRONG_MAX,
                               "vm%04u serial %u, %s of %u: %.400s", p->part.owner,
                               q ? q->serial : 0, q ? names[q->op] : "nothing", q ? q->resource : 0,
                               what);
}

/* ---- asking ---- */

static void put(struct player *p, struct question *q, const struct hf_rpc_header *header,
                xdrproc_t proc, const void *args)
{
        int len = hf_rpc_put(p->out + p->out_len, OUT_MAX - p->out_len, header, proc, args);

        if (len < 0)
                errx(1, "a request does not fit");
        p->out_len += (size_t)len;
        q->serial = p->serial++;
        q->asked_usec = now_usec();
        p->questions[(p->first + p->waiting++) % PIPELINE] = *q;
        p->stage->tally->requests++;
}

static void ask(struct player *p, struct question *q)
{
        char text[STRING_MAX], none[] = "";
        struct hf_rpc_header header = {.prog = HF_LOCK_PROGRAM,
                                       .vers = HF_LOCK_VERSION,
                                       .type = HF_RPC_CALL,
                                       .serial = p->serial};
        struct hf_lock_register_args owner = {.owner = {.name = text, .id = 1}};
        struct hf_lock_new_args space = {.path = text};
        struct hf_lock_resource_args resource = {.path = none, .name = text};

        switch (q->op) {
        case REGISTER:
                (void)snprintf(text, sizeof(text), "vm%04u", p->part.owner);
                memcpy(owner.owner.uuid, text, 6);
                owner.owner.pid = (unsigned int)p->part.pid;
                header.proc = HF_LOCK_REGISTER;
                put(p, q, &header, (xdrproc_t)xdr_hf_lock_register_args, &owner);
                return;
        case NEW:
                (void)snprintf(text, sizeof(text), "%s/space%u-%u", p->stage->folder, p->part.owner,
                               q->resource);
                header.proc = HF_LOCK_NEW;
                put(p, q, &header, (xdrproc_t)xdr_hf_lock_new_args, &space);
                return;
        case PING:
                header.prog = HF_KEEPALIVE_PROGRAM;
                header.vers = HF_KEEPALIVE_VERSION;
                header.type = HF_RPC_MESSAGE;
                header.proc = HF_KEEPALIVE_PING;
                put(p, q, &header, NULL, NULL);
                return;
        default:
                fault_path(text, p->stage->folder, q->resource);
                header.proc = q->op == ACQUIRE || q->op == ACQUIRE_TAKEN ? HF_LOCK_ACQUIRE_RESOURCE
                                                                         : HF_LOCK_RELEASE_RESOURCE;
                put(p, q, &header, (xdrproc_t)xdr_hf_lock_resource_args, &resource);
        }
}

/* From now on the release may take effect: nothing is certain any more. */
static void ask_release(struct player *p, struct question *q, uint32_t own)
{
        _Atomic uint64_t *state = state_of(p, q->resource);

        if (fault_is_held(*state))
                (*state)++;
        p->releases[own]++;
        ask(p, q);
}

static void ask_something(struct player *p)
{
        uint32_t own = 1 + (uint32_t)random() % (RESOURCES_EACH - 1);
        uint32_t other = (uint32_t)random() % p->stage->owners;
        struct question q = {.op = (enum op)(1 + random() % (OPS - 1)),
                             .resource = p->part.owner * RESOURCES_EACH + own};

        switch (q.op) {
        case ACQUIRE_TAKEN:
        case RELEASE_TAKEN:
                q.resource = other * RESOURCES_EACH;
                if (other == p->part.owner || !fault_is_held(*state_of(p, q.resource)))
                        return;
                break;
        case RELEASE:
                ask_release(p, &q, own);
                return;
        case NEW:
                if (p->spaces == 2 * SPACES)
                        return;
                q.resource = p->spaces / 2;
                q.again = p->spaces++ % 2;
                break;
        default:
                break;
        }
        ask(p, &q);
}

/* ---- judging ---- */

static void judge_acquire(struct player *p, const struct question *q, int status,
                          const struct hf_error *err)
{
        uint32_t own = q->resource % RESOURCES_EACH;
        _Atomic uint64_t *state = state_of(p, q->resource);

        if (status == 0) {
                p->has[own] = true;
                if (!p->releases[own] && !fault_is_held(*state))
                        (*state)++;
                if (own == 0)
                        p->stage->tally->ready++;
                return;
        }
        /* Where nobody of us has it, the competitor may have been there first. */
        if (p->has[own])
                wrong(p, q, err->text);
        else if (err->code != HF_ERR_RESOURCE_BUSY || strstr(err->text, "held by vm"))
                wrong(p, q, err->text);
        else
                p->stage->tally->refused++;
}

static void judge_release(struct player *p, const struct question *q, int status,
                          const struct hf_error *err)
{
        uint32_t own = q->resource % RESOURCES_EACH;

        p->releases[own]--;
        if (status == 0 ? !p->has[own] : p->has[own] || err->code != HF_ERR_RESOURCE_BUSY)
                wrong(p, q, status ? err->text : "granted, though it was not held");
        p->has[own] = false;
}

static void judge_taken(struct player *p, const struct question *q, int status,
                        const struct hf_error *err)
{
        char holder[32];

        (void)snprintf(holder, sizeof(holder), "held by vm%04u (", q->resource / RESOURCES_EACH);
        if (status == 0)
                wrong(p, q, "granted, though another has it");
        else if (err->code != HF_ERR_RESOURCE_BUSY || !strstr(err->text, holder))
                wrong(p, q, err->text);
}

static void judge(struct player *p, const struct question *q, int status,
                  const struct hf_error *err)
{
        switch (q->op) {
        case ACQUIRE:
                judge_acquire(p, q, status, err);
                return;
        case RELEASE:
                judge_release(p, q, status, err);
                return;
        case ACQUIRE_TAKEN:
                judge_taken(p, q, status, err);
                return;
        case RELEASE_TAKEN:
                if (status == 0 || err->code != HF_ERR_INTERNAL)
                        wrong(p, q, status ? err->text : "granted, though another has it");
                return;
        case NEW:
                if (q->again ? status == 0 || !strstr(err->text, "there already") : status != 0)
                        wrong(p, q, status ? err->text : "made a second time");
                return;
        default:
                if (status != 0)
                        wrong(p, q, err->text);
        }
}

static bool answers(const struct question *q, const struct hf_rpc_header *header)
{
        if (header->serial != q->serial)
                return false;
        if (q->op == PING)
                return header->prog == HF_KEEPALIVE_PROGRAM && header->type == HF_RPC_MESSAGE &&
                       header->proc == HF_KEEPALIVE_PONG;
        return header->prog == HF_LOCK_PROGRAM && header->type == HF_RPC_REPLY;
}

static void take_answer(struct player *p, const uint8_t *frame, size_t len)
{
        struct tally *tally = p->stage->tally;
        struct question *q = &p->questions[p->first % PIPELINE];
        struct hf_error error = {0};
        struct hf_rpc_header header;
        uint64_t took = now_usec() - q->asked_usec, slowest = tally->slowest_usec;

        hf_rpc_get_header(frame, &header);
        tally->answers++;
        if (!p->waiting || !answers(q, &header)) {
                wrong(p, p->waiting ? q : NULL, "an answer to something else");
                return;
        }
        while (took > slowest &&
               !atomic_compare_exchange_weak(&tally->slowest_usec, &slowest, took))
                ;
        p->first++;
        p->waiting--;
        if (header.status != HF_RPC_OK)
                (void)hf_rpc_get_error(frame + HF_RPC_HEADER_SIZE, len - HF_RPC_HEADER_SIZE,
                                       &error);
        judge(p, q, header.status == HF_RPC_OK ? 0 : -1, &error);
}

/* ---- the connection ---- */

/* The VM lives on, and so has what it had: what is certain stays certain. */
static void lose(struct player *p)
{
        p->stage->tally->closed++;
        p->stage->tally->missing += p->waiting;
        (void)close(p->fd);
        p->fd = -1;
}

static void take_in(struct player *p)
{
        ssize_t n = recv(p->fd, p->in + p->in_len, IN_MAX - p->in_len, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                lose(p);
                return;
        }
        p->in_len += (size_t)n;
        while (p->in_len >= HF_RPC_LENGTH_SIZE) {
                int64_t len = hf_rpc_length(p->in);

                if (len < 0 || len > IN_MAX) {
                        wrong(p, NULL, "no frame at all");
                        lose(p);
                        return;
                }
                if (p->in_len < (size_t)len)
                        return;
                take_answer(p, p->in, (size_t)len);
                p->in_len -= (size_t)len;
                memmove(p->in, p->in + len, p->in_len);
        }
}

/* Some of it, cut anywhere. */
static void send_some(struct player *p)
{
        size_t len = random() % 4 ? p->out_len : 1 + (size_t)random() % p->out_len;
        ssize_t n = send(p->fd, p->out, len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0) {
                if (errno != EAGAIN && errno != EINTR)
                        lose(p);
                return;
        }
        p->out_len -= (size_t)n;
        memmove(p->out, p->out + n, p->out_len);
}

static void meet(struct player *p)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct question hello = {.op = REGISTER};

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", p->stage->socket);
        p->out_len = p->in_len = 0;
        p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (p->fd < 0)
                err(1, "socket");
        if (connect(p->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                lose(p);
                return;
        }
        ask(p, &hello);
}

/* Who only acts for a VM may come and go. */
static void meet_again(struct player *p)
{
        (void)close(p->fd);
        p->stage->tally->reconnects++;
        meet(p);
}

static void think(struct player *p)
{
        if (!p->waiting && p->part.pid != getpid() && random() % 64 == 0)
                meet_again(p);
        for (int i = (int)(random() % PIPELINE); i >= 0 && p->waiting < PIPELINE; i--)
                ask_something(p);
}

/* One round; returns whether anything is still under way. */
static bool go_round(struct player *players, struct pollfd *polled, uint32_t n, bool stop)
{
        bool busy = false;

        for (uint32_t i = 0; i < n; i++) {
                struct player *p = &players[i];

                if (!stop && p->fd >= 0 && !p->out_len && p->waiting < PIPELINE)
                        think(p);
                polled[i].fd = p->fd;
                polled[i].events = (short)(POLLIN | (p->out_len ? POLLOUT : 0));
                busy |= p->fd >= 0 && p->waiting;
        }
        if (poll(polled, n, 10) <= 0)
                return busy;
        for (uint32_t i = 0; i < n; i++) {
                if (players[i].fd >= 0 && (polled[i].revents & ~POLLOUT))
                        take_in(&players[i]);
                if (players[i].fd >= 0 && players[i].out_len && (polled[i].revents & POLLOUT))
                        send_some(&players[i]);
        }
        return busy;
}

void play(const struct stage *stage, const struct part *parts, uint32_t n)
{
        hf_cleanup_free struct player *players = calloc(n, sizeof(*players));
        hf_cleanup_free struct pollfd *polled = calloc(n, sizeof(*polled));
        uint64_t end;

        if (!players || !polled)
                errx(1, "out of memory");
        for (uint32_t i = 0; i < n; i++) {
                struct question first = {.op = ACQUIRE,
                                         .resource = parts[i].owner * RESOURCES_EACH};

                players[i].stage = stage;
                players[i].part = parts[i];
                meet(&players[i]);
                if (players[i].fd >= 0)
                        ask(&players[i], &first);
        }
        while (!stage->tally->stop)
                (void)go_round(players, polled, n, false);
        end = now_usec() + LAST_ANSWERS_MS * 1000;
        while (go_round(players, polled, n, true) && now_usec() < end)
                ;
        for (uint32_t i = 0; i < n; i++) {
                if (players[i].fd >= 0)
                        stage->tally->missing += players[i].waiting;
                for (uint32_t r = 0; r < RESOURCES_EACH; r++) {
                        _Atomic uint64_t *state = state_of(&players[i],
                                                           parts[i].owner * RESOURCES_EACH + r);

                        if (fault_is_held(*state))
                                (*state)++;
                }
        }
}
