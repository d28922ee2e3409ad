/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/console-session.h"

#include "cli/message.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

/* Taken from the console, or standard input, at once. */
#define PIECE 16384

/* How often to look whether the guest's side has taken what we sent. */
#define LOOK_MS 20

void hf_console_session_end(struct hf_console_session *session, int status)
{
        session->ending = HF_CONSOLE_OVER;
        session->status = status;
}

/* Stops as a program does that has a terminal to give back, and goes on where it was. */
static void stop(struct hf_console_session *session)
{
        hf_terminal_leave(&session->terminal);
        (void)raise(SIGSTOP);
        (void)hf_terminal_enter(&session->terminal);
        hf_console_send_size(session);
}

static void take_signal(struct hf_console_session *session)
{
        struct signalfd_siginfo info;

        if (read(session->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
                return;
        switch (info.ssi_signo) {
        case SIGWINCH:
                hf_console_send_size(session);
                break;
        case SIGTSTP:
                stop(session);
                break;
        case SIGCONT:
                /* After a stop that nobody can catch: the shell has had the terminal. */
                session->terminal.raw = false;
                (void)hf_terminal_enter(&session->terminal);
                break;
        default:
                hf_console_session_end(session, HF_EXIT_BY_SIGNAL + (int)info.ssi_signo);
        }
}

/* ---- to the guest ----------------------------------------------------------------------- */

static void send_input(struct hf_console_session *session)
{
        ssize_t n = send(holdfast_console_fd(session->console), session->input, session->input_have,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        /* Nobody takes it any more; what reads from there says why. */
        if (n < 0)
                n = (ssize_t)session->input_have;
        session->input_have -= (size_t)n;
        memmove(session->input, session->input + n, session->input_have);
        if (session->input_have == 0)
                session->dropping = false;
}

/* A person at a terminal is told; a pipe is not read until there is room. */
static void add_input(struct hf_console_session *session, const uint8_t *data, size_t n)
{
        size_t room = HF_CONSOLE_INPUT_MAX - session->input_have;
        char key[HF_CONSOLE_KEY_TEXT];

        if (n > 0 && !session->writer) {
                if (!session->told)
                        hf_console_say(session, "you are only watching; %s t takes the writing",
                                       hf_console_key_text(session->keys.command, key));
                session->told = true;
                return;
        }
        if (n > room) {
                if (!session->dropping)
                        hf_console_say(session, "the guest does not read: what is typed now is "
                                                "dropped");
                session->dropping = true;
                n = room;
        }
        memcpy(session->input + session->input_have, data, n);
        session->input_have += n;
        if (session->input_have)
                send_input(session);
}

static void end_input(struct hf_console_session *session)
{
        session->input_ended = true;
        if (session->terminal.present)
                hf_console_session_end(session, HF_EXIT_OK);
}

static void take_input(struct hf_console_session *session)
{
        size_t want = PIECE, room = HF_CONSOLE_INPUT_MAX - session->input_have, skip = 0;
        enum hf_console_command command = HF_CONSOLE_NOTHING;
        uint8_t data[PIECE];
        ssize_t n;

        if (!session->terminal.present && room < want)
                want = room;
        n = read(STDIN_FILENO, data, want);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) {
                end_input(session);
                return;
        }
        if (session->terminal.present)
                command = hf_console_keys_take(&session->keys, data, (size_t)n, &skip);
        hf_console_do(session, command);
        if (session->ending == HF_CONSOLE_GOES_ON)
                add_input(session, data + skip, (size_t)n - skip);
}

/* The end of a pipe's input: what was read has to be taken first, then the guest may answer. */
static int linger(struct hf_console_session *session)
{
        int64_t now = hf_clock_msec(CLOCK_MONOTONIC);
        int queued = 0;

        if (!session->input_ended)
                return -1;
        if (session->leave_at == 0) {
                if (session->input_have ||
                    (ioctl(holdfast_console_fd(session->console), SIOCOUTQ, &queued) == 0 &&
                     queued > 0 && !session->stream_ended))
                        return LOOK_MS;
                session->leave_at = now + (int64_t)session->given->linger * 1000;
        }
        if (now >= session->leave_at)
                hf_console_session_end(session, HF_EXIT_OK);
        return now >= session->leave_at ? 0 : (int)(session->leave_at - now);
}

/* ---- from the guest --------------------------------------------------------------------- */

/* Bytes that are missing are told of where they are missing. */
static void tell_skip(struct hf_console_session *session)
{
        if (!session->skip || session->output.position < session->skip_at)
                return;
        hf_console_say(session, "%llu bytes are missing here: they came faster than they were read",
                       (unsigned long long)session->skip);
        session->output.position += session->skip;
        session->skip = 0;
}

static void flush(struct hf_console_session *session)
{
        ssize_t left = hf_console_output_flush(&session->output);

        if (left >= 0)
                return;
        /* Whoever read has enough. */
        if (left != -EPIPE)
                hf_message("cannot write what the guest prints: %s", strerror((int)-left));
        hf_console_session_end(session, left == -EPIPE ? HF_EXIT_OK : HF_EXIT_SYSTEM);
}

static void take_output(struct hf_console_session *session)
{
        char data[PIECE];
        uint64_t until;
        ssize_t n;

        /* One that is due here leaves nothing to be read up to it: that would look like the end. */
        tell_skip(session);
        until = session->skip ? session->skip_at - session->output.position : PIECE;
        n = recv(holdfast_console_fd(session->console), data, until < PIECE ? until : PIECE,
                 MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
                session->stream_ended = session->lost;
                return;
        }
        if (n <= 0) {
                session->stream_ended = true;
                return;
        }
        if (hf_console_output_add(&session->output, session->console, data, (size_t)n) < 0) {
                hf_message("out of memory");
                hf_console_session_end(session, HF_EXIT_SYSTEM);
                return;
        }
        flush(session);
        tell_skip(session);
}

/* ---- the loop --------------------------------------------------------------------------- */

enum { SIGNALS, INPUT, STREAM, NOTICES, OUTPUT, N_POLLED };

static short input_events(const struct hf_console_session *session)
{
        if (session->terminal.present)
                return POLLIN;
        return session->writer && !session->input_ended &&
                               session->input_have < HF_CONSOLE_INPUT_MAX
                       ? POLLIN
                       : 0;
}

static void fill(const struct hf_console_session *session, struct pollfd polled[static N_POLLED])
{
        short input = input_events(session);
        short stream = (short)((session->output.have ? 0 : POLLIN) |
                               (session->input_have ? POLLOUT : 0));

        polled[SIGNALS] = (struct pollfd){session->signal_fd, POLLIN, 0};
        polled[INPUT] = (struct pollfd){input ? STDIN_FILENO : -1, input, 0};
        polled[STREAM] = (struct pollfd){
                session->stream_ended || !stream ? -1 : holdfast_console_fd(session->console),
                stream, 0};
        polled[NOTICES] = (struct pollfd){
                session->lost ? -1 : holdfast_console_notice_fd(session->console), POLLIN, 0};
        /* A pipe that nobody reads any more is reported without being asked for. */
        polled[OUTPUT] = (struct pollfd){session->output.fd, session->output.have ? POLLOUT : 0, 0};
}

/* What was printed has been read, and nothing comes any more: why? */
static void judge(struct hf_console_session *session)
{
        if (session->ending != HF_CONSOLE_GOES_ON || !session->stream_ended || session->output.have)
                return;
        if (session->ended)
                hf_console_session_end(session, HF_EXIT_OK);
        else if (session->lost)
                session->ending = HF_CONSOLE_LOST;
}

static void turn(struct hf_console_session *session)
{
        struct pollfd polled[N_POLLED];
        int timeout = linger(session);

        if (session->ending != HF_CONSOLE_GOES_ON)
                return;
        fill(session, polled);
        if (poll(polled, N_POLLED, timeout) < 0 && errno != EINTR) {
                hf_console_session_end(session, HF_EXIT_SYSTEM);
                return;
        }
        if (polled[SIGNALS].revents)
                take_signal(session);
        if (polled[INPUT].revents && session->ending == HF_CONSOLE_GOES_ON)
                take_input(session);
        if (polled[NOTICES].revents)
                hf_console_take_notices(session);
        if (polled[STREAM].revents & POLLOUT)
                send_input(session);
        /* After a loss what is there is all that there will be. */
        if ((polled[STREAM].revents & ~POLLOUT || session->lost) && !session->output.have &&
            !session->stream_ended)
                take_output(session);
        if (polled[OUTPUT].revents & POLLERR)
                hf_console_session_end(session, HF_EXIT_OK);
        else if (polled[OUTPUT].revents & POLLOUT)
                flush(session);
        tell_skip(session);
        judge(session);
}

enum hf_console_ending hf_console_session_run(struct hf_console_session *session)
{
        session->lost = session->ended = session->stream_ended = false;
        session->ending = HF_CONSOLE_GOES_ON;
        session->output.position = holdfast_console_position(session->console);
        session->skip = 0;
        while (session->ending == HF_CONSOLE_GOES_ON)
                turn(session);
        return session->ending;
}

enum hf_console_ending hf_console_session_pause(struct hf_console_session *session, int timeout_ms)
{
        int64_t until = hf_clock_msec(CLOCK_MONOTONIC) + timeout_ms;
        int64_t left = timeout_ms;

        session->ending = HF_CONSOLE_GOES_ON;
        while (left > 0 && session->ending == HF_CONSOLE_GOES_ON) {
                struct pollfd polled[] = {
                        {session->signal_fd, POLLIN, 0},
                        {session->terminal.present ? STDIN_FILENO : -1, POLLIN, 0},
                };
                uint8_t data[PIECE];
                size_t skip;
                ssize_t n = 0;

                (void)poll(polled, HF_ARRAY_LEN(polled), (int)left);
                if (polled[0].revents)
                        take_signal(session);
                if (polled[1].revents)
                        n = read(STDIN_FILENO, data, sizeof(data));
                if ((polled[1].revents && n <= 0) ||
                    (n > 0 && hf_console_keys_take(&session->keys, data, (size_t)n, &skip) ==
                                      HF_CONSOLE_LEAVE))
                        hf_console_session_end(session, HF_EXIT_OK);
                left = until - hf_clock_msec(CLOCK_MONOTONIC);
        }
        return session->ending;
}
