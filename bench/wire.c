/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LOCK_PROGRAM 0x0EA7BEEFu
#define OWN_PROGRAM  0x486F6C64u
#define VERSION      1u
#define HEADER_LEN   28u
#define TYPE_AT      16u
#define SERIAL_AT    20u
#define TYPE_CALL    0u
#define TYPE_REPLY   1u

static void put_u32(struct call *call, uint32_t value)
{
        uint32_t wire = htonl(value);

        if (call->len + sizeof(wire) > CALL_MAX)
                errx(1, "a call would be longer than %d bytes", CALL_MAX);
        memcpy(call->bytes + call->len, &wire, sizeof(wire));
        call->len += sizeof(wire);
}

static void put_string(struct call *call, const char *text)
{
        size_t len = strlen(text);
        size_t padded = (len + 3) & ~(size_t)3;

        put_u32(call, (uint32_t)len);
        if (call->len + padded > CALL_MAX)
                errx(1, "name too long for a call: %s", text);
        memcpy(call->bytes + call->len, text, len);
        memset(call->bytes + call->len + len, 0, padded - len);
        call->len += padded;
}

static struct call *call_begin(uint32_t program, uint32_t procedure)
{
        struct call *call = malloc(sizeof(*call) + CALL_MAX);

        if (!call)
                err(1, "out of memory");
        call->len = 0;
        put_u32(call, 0); /* length: set by call_end */
        put_u32(call, program);
        put_u32(call, VERSION);
        put_u32(call, procedure);
        put_u32(call, TYPE_CALL);
        put_u32(call, 0); /* serial: set by wire_send */
        put_u32(call, 0); /* status */
        return call;
}

/* Completes the length word and gives back the room that was not needed. */
static struct call *call_end(struct call *call)
{
        uint32_t len = htonl((uint32_t)call->len);
        struct call *fitted;

        memcpy(call->bytes, &len, sizeof(len));
        fitted = realloc(call, sizeof(*call) + call->len);
        return fitted ? fitted : call;
}

struct call *call_register(pid_t owner, const char *name)
{
        struct call *call = call_begin(LOCK_PROGRAM, PROC_REGISTER);

        /* The UUID is of no matter to either daemon but should differ between owners. */
        put_u32(call, 0x6c6f6164u);
        put_u32(call, 0x00004000u);
        put_u32(call, 0x80000000u);
        put_u32(call, (uint32_t)owner);
        put_string(call, name);
        put_u32(call, 1); /* id: 0 would count as not registered */
        put_u32(call, (uint32_t)owner);
        put_u32(call, 0);
        return call_end(call);
}

struct call *call_restrict(void)
{
        struct call *call = call_begin(LOCK_PROGRAM, PROC_RESTRICT);

        put_u32(call, 0);
        return call_end(call);
}

static struct call *call_resource(uint32_t procedure, const char *path)
{
        struct call *call = call_begin(LOCK_PROGRAM, procedure);

        put_string(call, ""); /* default lockspace: the resource's name is the path */
        put_string(call, path);
        put_u32(call, 0);
        return call_end(call);
}

struct call *call_acquire(const char *path)
{
        return call_resource(PROC_ACQUIRE, path);
}

struct call *call_release(const char *path)
{
        return call_resource(PROC_RELEASE, path);
}

static void put_zeros(struct call *call, unsigned int words)
{
        while (words--)
                put_u32(call, 0);
}

struct call *call_client(const char *name)
{
        struct call *call = call_begin(OWN_PROGRAM, OWN_CLIENT);

        put_string(call, name);
        put_zeros(call, 6); /* UUID, pid, flags */
        return call_end(call);
}

struct call *call_wait_for(const char *path)
{
        struct call *call = call_begin(OWN_PROGRAM, OWN_ACQUIRE_SET);

        put_u32(call, 0); /* of its content */
        put_u32(call, UINT32_MAX);
        put_u32(call, UINT32_MAX);
        put_u32(call, 0); /* flags */
        put_u32(call, 1); /* one resource */
        put_string(call, "");
        put_string(call, path);
        put_zeros(call, 7); /* flags, thing, image */
        return call_end(call);
}

int wire_connect(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd;

        if (strlen(path) >= sizeof(address.sun_path))
                errx(1, "socket path too long: %s", path);
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                err(1, "socket");
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                err(1, "cannot connect to %s", path);
        return fd;
}

void wire_send(int fd, struct call *call, uint32_t serial)
{
        uint32_t wire = htonl(serial);
        ssize_t done;

        memcpy(call->bytes + SERIAL_AT, &wire, sizeof(wire));
        do {
                done = send(fd, call->bytes, call->len, MSG_NOSIGNAL);
        } while (done < 0 && errno == EINTR);
        if (done < 0)
                err(1, "send");
        if ((size_t)done != call->len)
                errx(1, "the daemon took only a part of a call");
}

static uint32_t get_u32(const unsigned char *bytes)
{
        uint32_t wire;

        memcpy(&wire, bytes, sizeof(wire));
        return ntohl(wire);
}

/* Code, domain, then the optional text; what follows is not of interest here. */
static void decode_error(const unsigned char *payload, size_t len, struct reply *reply)
{
        size_t text;

        reply->code = -1;
        reply->text[0] = '\0';
        if (len < 16)
                return;
        reply->code = (int32_t)get_u32(payload);
        text = get_u32(payload + 12);
        if (get_u32(payload + 8) != 1 || text > len - 16)
                return;
        if (text >= sizeof(reply->text))
                text = sizeof(reply->text) - 1;
        memcpy(reply->text, payload + 16, text);
        reply->text[text] = '\0';
}

static void decode_reply(const unsigned char *bytes, size_t len, struct reply *reply)
{
        uint32_t program = get_u32(bytes + 4);

        if ((program != LOCK_PROGRAM && program != OWN_PROGRAM) ||
            get_u32(bytes + TYPE_AT) != TYPE_REPLY)
                errx(1, "the daemon sent something that is no reply");
        reply->serial = get_u32(bytes + SERIAL_AT);
        reply->status = get_u32(bytes + 24);
        reply->first = reply->status == 0 && len >= HEADER_LEN + 4 ? get_u32(bytes + HEADER_LEN)
                                                                   : 0;
        if (reply->status != 0)
                decode_error(bytes + HEADER_LEN, len - HEADER_LEN, reply);
}

int wire_receive(int fd, int flags, struct reply *reply)
{
        static unsigned char bytes[REPLY_MAX];
        size_t have = 0, want = HEADER_LEN;

        while (have < want) {
                ssize_t done = recv(fd, bytes + have, want - have, have ? 0 : flags);

                if (done < 0 && errno == EINTR)
                        continue;
                if (done < 0 && errno == EAGAIN && have == 0)
                        return -EAGAIN;
                if (done < 0)
                        err(1, "receive");
                if (done == 0)
                        errx(1, "the daemon closed the connection");
                have += (size_t)done;
                if (have == HEADER_LEN && want == HEADER_LEN) {
                        want = get_u32(bytes);
                        if (want < HEADER_LEN || want > sizeof(bytes))
                                errx(1, "the daemon sent a frame of %zu bytes", want);
                }
        }
        decode_reply(bytes, want, reply);
        return 0;
}

void wire_expect_ok(const struct reply *reply, uint32_t serial, const char *what)
{
        if (reply->serial != serial)
                errx(1, "%s: answer %u to call %u", what, reply->serial, serial);
        if (reply->status != 0)
                errx(1, "%s refused: code %d: %s", what, reply->code, reply->text);
}

void wire_call(int fd, struct call *call, const char *what)
{
        static uint32_t serial;
        struct reply reply;

        serial++;
        wire_send(fd, call, serial);
        (void)wire_receive(fd, 0, &reply);
        wire_expect_ok(&reply, serial, what);
}

void wire_rehearse(struct call *call)
{
        unsigned char bytes[CALL_MAX];
        const uint32_t len = htonl(HEADER_LEN), type = htonl(TYPE_REPLY);
        struct reply reply;
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                err(1, "socketpair");
        wire_send(pair[0], call, 1);
        if (recv(pair[1], bytes, sizeof(bytes), 0) != (ssize_t)call->len)
                errx(1, "a socket pair lost a call");
        memcpy(bytes, &len, sizeof(len));
        memcpy(bytes + TYPE_AT, &type, sizeof(type));
        if (send(pair[1], bytes, HEADER_LEN, MSG_NOSIGNAL) != HEADER_LEN)
                err(1, "send");
        (void)wire_receive(pair[0], 0, &reply);
        wire_expect_ok(&reply, 1, "rehearsal");
        (void)close(pair[0]);
        (void)close(pair[1]);
}
