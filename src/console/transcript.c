/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The writer. It may wait for its disk as long as that takes; meanwhile its socket fills, and the
 * server keeps what guests print in their rings.
 *
 * When a write fails, what is left of that record is kept and tried again every second, which
 * shows when there is room; the server offers nothing of that console until then.
 */

#include "console/transcript-file.h"

#include "base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define RETRY_MS 1000

struct console {
        struct console *next;
        uint64_t id;
        struct hf_transcript_file file;
        int failed;
        bool hole_told;                   /* of the records that come now and fit nowhere */
        struct hf_transcript_header left; /* of what failed; op 0: nothing is left */
        uint8_t *left_bytes;
};

struct writer {
        int fd;
        const struct hf_transcript_settings *settings;
        struct console *consoles;
};

struct record {
        struct hf_transcript_header header;
        uint8_t bytes[HF_TRANSCRIPT_PIECE_MAX];
};

static void answer(const struct writer *writer, const struct console *console, bool opened)
{
        struct hf_transcript_answer answer = {.id = console->id,
                                              .written = console->file.position,
                                              .failed = console->failed,
                                              .opened = opened};

        memcpy(answer.path, console->file.path, sizeof(answer.path));
        /* A server that is gone is seen by the next read. */
        (void)send(writer->fd, &answer, sizeof(answer), MSG_NOSIGNAL);
}

static struct console **find(struct writer *writer, uint64_t id)
{
        struct console **at = &writer->consoles;

        while (*at && (*at)->id != id)
                at = &(*at)->next;
        return at;
}

static void forget_left(struct console *console)
{
        free(console->left_bytes);
        console->left_bytes = NULL;
        console->left.op = 0;
}

static void drop(struct console **at)
{
        struct console *console = *at;

        if (!console)
                return;
        *at = console->next;
        forget_left(console);
        hf_transcript_file_close(&console->file);
        free(console);
}

/* A console that was here before by that name has ended. */
static void drop_others(struct writer *writer, const char *name, uint64_t id)
{
        struct console **at = &writer->consoles;

        while (*at) {
                if ((*at)->id != id && !strcmp((*at)->file.name, name))
                        drop(at);
                else
                        at = &(*at)->next;
        }
}

static void refuse(const struct writer *writer, uint64_t id, int error)
{
        struct hf_transcript_answer refusal = {.id = id, .failed = error, .opened = true};

        (void)send(writer->fd, &refusal, sizeof(refusal), MSG_NOSIGNAL);
}

/* The console with that id, new or as it was: a server that took over asks again. */
static struct console *get(struct writer *writer, const struct record *record, const char *name)
{
        struct console **at = find(writer, record->header.id), *console = *at;
        int r;

        if (console && console->file.run == record->header.run && !strcmp(console->file.name, name))
                return console;
        drop(at);
        console = calloc(1, sizeof(*console));
        if (!console) {
                refuse(writer, record->header.id, -ENOMEM);
                return NULL;
        }
        r = hf_transcript_file_init(&console->file, name, record->header.run, writer->settings);
        if (r < 0) {
                free(console);
                refuse(writer, record->header.id, r);
                return NULL;
        }
        console->id = record->header.id;
        console->next = writer->consoles;
        writer->consoles = console;
        return console;
}

static void on_open(struct writer *writer, const struct record *record)
{
        char name[HF_TRANSCRIPT_NAME_MAX];
        struct console *console;

        if (record->header.len >= sizeof(name)) {
                refuse(writer, record->header.id, -ENAMETOOLONG);
                return;
        }
        memcpy(name, record->bytes, record->header.len);
        name[record->header.len] = '\0';
        drop_others(writer, name, record->header.id);
        console = get(writer, record, name);
        if (!console)
                return;
        /* It will be offered again. */
        forget_left(console);
        console->hole_told = false;
        console->failed = hf_transcript_file_open(&console->file, record->header.position);
        answer(writer, console, true);
}

/* Writes what is not written yet of a record that does not begin behind that. */
static int write_record(struct console *console, const struct hf_transcript_header *header,
                        const uint8_t *bytes)
{
        uint64_t len = header->op == HF_TRANSCRIPT_GAP ? header->count : header->len;
        uint64_t skip = console->file.position - header->position;

        if (skip >= len)
                return 0;
        if (header->op == HF_TRANSCRIPT_GAP)
                return hf_transcript_file_gap(&console->file, len - skip, header->usec);
        return hf_transcript_file_write(&console->file, bytes + skip, len - skip, header->usec);
}

static void keep_left(struct console *console, const struct record *record)
{
        uint8_t *copy = malloc(record->header.len ? record->header.len : 1);

        /* Without memory it is offered again, when the file can be opened. */
        if (!copy)
                return;
        memcpy(copy, record->bytes, record->header.len);
        console->left = record->header;
        console->left_bytes = copy;
}

static void on_bytes(struct writer *writer, const struct record *record)
{
        struct console *console = *find(writer, record->header.id);

        if (!console || console->failed < 0 || record->header.run != console->file.run)
                return;
        if (record->header.position > console->file.position) {
                if (!console->hole_told)
                        answer(writer, console, false);
                console->hole_told = true;
                return;
        }
        console->hole_told = false;
        console->failed = write_record(console, &record->header, record->bytes);
        if (console->failed < 0) {
                keep_left(console, record);
                answer(writer, console, false);
        }
}

static void try_again(const struct writer *writer, struct console *console)
{
        int r = hf_transcript_file_open(&console->file, UINT64_MAX);

        if (r >= 0 && console->left.op)
                r = write_record(console, &console->left, console->left_bytes);
        if (r == console->failed)
                return;
        console->failed = r;
        if (r >= 0)
                forget_left(console);
        answer(writer, console, false);
}

static bool try_failed(const struct writer *writer)
{
        bool fails = false;

        for (struct console *console = writer->consoles; console; console = console->next) {
                if (console->failed < 0)
                        try_again(writer, console);
                fails |= console->failed < 0;
        }
        return fails;
}

static void on_record(struct writer *writer, const struct record *record)
{
        if (record->header.op == HF_TRANSCRIPT_OPEN)
                on_open(writer, record);
        else if (record->header.op == HF_TRANSCRIPT_BYTES || record->header.op == HF_TRANSCRIPT_GAP)
                on_bytes(writer, record);
        else if (record->header.op == HF_TRANSCRIPT_CLOSE)
                drop(find(writer, record->header.id));
}

static int64_t now_ms(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool any_fails(const struct writer *writer)
{
        for (const struct console *console = writer->consoles; console; console = console->next)
                if (console->failed < 0)
                        return true;
        return false;
}

/* Returns when the server's end is closed, which is when all of its processes are gone. */
static void serve(struct writer *writer, struct record *record)
{
        int64_t tried = now_ms();

        for (;;) {
                struct pollfd ready = {.fd = writer->fd, .events = POLLIN};
                bool fails = any_fails(writer);
                ssize_t n;

                if (fails && now_ms() - tried >= RETRY_MS) {
                        fails = try_failed(writer);
                        tried = now_ms();
                }
                if (poll(&ready, 1, fails ? RETRY_MS : -1) <= 0)
                        continue;
                n = recv(writer->fd, record, sizeof(*record), 0);
                if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
                        return;
                if (n >= (ssize_t)sizeof(record->header) &&
                    record->header.len == (size_t)n - sizeof(record->header))
                        on_record(writer, record);
        }
}

_Noreturn void hf_transcript_serve(int fd, const struct hf_transcript_settings *settings)
{
        static struct record record;
        struct writer writer = {.fd = fd, .settings = settings};

        (void)prctl(PR_SET_NAME, "holdfast-log");
        /* A limit of file sizes is an error like a full disk. */
        (void)signal(SIGXFSZ, SIG_IGN);
        serve(&writer, &record);
        (void)try_failed(&writer);
        while (writer.consoles)
                drop(&writer.consoles);
        _exit(EXIT_SUCCESS);
}
