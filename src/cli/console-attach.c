/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/console-session.h"

#include "cli/message.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

/* Lines that are shown of what was printed before, where a person looks. */
#define REPLAY_LINES 10

/* The whole of what a daemon has kept. */
#define REPLAY_ALL 1000000

/* Between two tries to reach a daemon that is gone: twice as long each time, up to the last. */
#define FIRST_PAUSE_MS 50
#define LAST_PAUSE_MS  2000

int hf_console_status(const struct holdfast_error *err)
{
        /* What is no terminal, or has nobody behind it, is no console. */
        if (err->code == HOLDFAST_E_SYSTEM &&
            (err->sys == ENOTTY || err->sys == ENXIO || err->sys == ENODEV || err->sys == EIO))
                return HF_EXIT_NO_IMAGE;
        return hf_message_status(err);
}

/* Who is in the way, and what to do about it. */
static void explain(const struct hf_console_session *session, int r,
                    const struct holdfast_error *err)
{
        const struct hf_console_target *target = session->target;

        if (r == -EBUSY && !session->given->force && err->sys == 0)
                hf_message("%s. Watch it with \"holdfast console --watch %s\", or take it with "
                           "--force.",
                           err->text, target->name);
        else if (r == -EBUSY && !session->given->force)
                hf_message("%s. As root, --force takes it from there.", err->text);
        else
                hf_message("%s", err->text);
}

static int attach(struct hf_console_session *session, unsigned int flags, unsigned int replay,
                  struct holdfast_error *err)
{
        const struct hf_console_target *target = session->target;
        struct holdfast_console_params params;
        int r;

        holdfast_console_params_init(&params);
        params.vm = target->vm;
        params.device = target->device;
        params.path = target->path;
        if (session->domain.path) {
                params.vm = session->domain.vm;
                params.device = session->domain.device;
                params.path = session->domain.path;
                memcpy(params.uuid, session->domain.uuid, sizeof(params.uuid));
        }
        params.flags = flags;
        params.replay = replay;
        params.via = "holdfast console";
        if (!(flags & HOLDFAST_CONSOLE_WATCH))
                (void)hf_terminal_size(&params.rows, &params.columns);
        r = holdfast_console_attach(&params, &session->console, err);
        if (r >= 0)
                session->writer = !(flags & HOLDFAST_CONSOLE_WATCH);
        return r;
}

/* A VM that our daemon does not know may be one of libvirt's. */
static int attach_first(struct hf_console_session *session, unsigned int flags, unsigned int replay,
                        struct holdfast_error *err)
{
        const struct hf_console_target *target = session->target;
        struct hf_error error = {0};
        int r = attach(session, flags, replay, err), found;

        if (r != -ENOENT || !target->vm)
                return r;
        found = hf_domain_console_find(target->vm, target->device, &session->domain, &error);
        if (found >= 0)
                return attach(session, flags, replay, err);
        if (found == -ESRCH)
                return r;
        *err = (struct holdfast_error){.code = HOLDFAST_E_SYSTEM, .sys = -found};
        (void)snprintf(err->text, sizeof(err->text), "%s", error.text);
        return found;
}

/* ---- again ------------------------------------------------------------------------------ */

struct search {
        const struct holdfast_console_info *ours;
        uint64_t since; /* ret: 0: not found */
};

static int look_for(void *ctx, const struct holdfast_console_info *info)
{
        struct search *search = ctx;
        const struct holdfast_console_info *ours = search->ours;

        if (*ours->vm ? strcmp(ours->vm, info->vm) || strcmp(ours->device, info->device)
                      : strcmp(ours->path, info->path))
                return 0;
        search->since = info->since;
        return 1;
}

/* A daemon that began to read after the loss has kept just what we have missed. */
static unsigned int missed(const struct holdfast_console_info *ours, uint64_t lost)
{
        struct search search = {.ours = ours};

        if (holdfast_console_list(0, look_for, &search, NULL) <= 0)
                return 0;
        return search.since > lost ? REPLAY_ALL : 0;
}

static bool may_come_back(const struct holdfast_error *err)
{
        return err->code == HOLDFAST_E_NO_DAEMON || err->code == HOLDFAST_E_PROTOCOL ||
               err->code == HOLDFAST_E_TIMEOUT;
}

/* One try: 1 when it is attached, 0 when it may be later; else it is over. */
static int try_again(struct hf_console_session *session, struct holdfast_console *old,
                     uint64_t lost)
{
        unsigned int keep = session->given->keep ? HOLDFAST_CONSOLE_KEEP : 0;
        unsigned int watch = session->writer ? 0 : HOLDFAST_CONSOLE_WATCH;
        unsigned int replay = missed(holdfast_console_info(old), lost);
        struct holdfast_error error = {0};
        int r = attach(session, keep | watch, replay, &error);

        if (r == -EBUSY && !watch && session->terminal.present) {
                hf_console_say(session, "%s; you are watching", error.text);
                r = attach(session, keep | HOLDFAST_CONSOLE_WATCH, replay, &error);
        }
        if (r >= 0)
                return 1;
        if (may_come_back(&error))
                return 0;
        hf_console_say(session, "%s", error.text);
        hf_console_session_end(session, hf_console_status(&error));
        return -ECANCELED;
}

/* Until a daemon serves again and we are attached, or it is over. */
static enum hf_console_ending come_back(struct hf_console_session *session)
{
        struct holdfast_console *old = hf_steal_ptr(session->console);
        uint64_t lost = hf_clock_usec(CLOCK_REALTIME);
        int pause = FIRST_PAUSE_MS, r;

        hf_console_say(session, "the console daemon is gone; attaching again");
        session->input_have = 0;
        for (;;) {
                r = try_again(session, old, lost);
                if (r != 0)
                        break;
                if (hf_console_session_pause(session, pause) != HF_CONSOLE_GOES_ON)
                        break;
                pause = 2 * pause < LAST_PAUSE_MS ? 2 * pause : LAST_PAUSE_MS;
        }
        holdfast_console_free(old);
        if (r <= 0)
                return HF_CONSOLE_OVER;
        hf_console_say(session, "attached again");
        return HF_CONSOLE_GOES_ON;
}

/* ---- the whole -------------------------------------------------------------------------- */

/* Whatever ends us comes by a descriptor: the terminal is given back first. */
static int take_signals(void)
{
        static const int signals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
                                      SIGUSR2, SIGALRM, SIGTSTP, SIGCONT, SIGWINCH};
        sigset_t set;

        (void)sigemptyset(&set);
        for (size_t i = 0; i < HF_ARRAY_LEN(signals); i++) {
                struct sigaction now;

                /* Who started us may want some to pass us by, as nohup does. */
                if (sigaction(signals[i], NULL, &now) < 0 || now.sa_handler != SIG_IGN)
                        (void)sigaddset(&set, signals[i]);
        }
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -1;
        return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void clear(struct hf_console_session *session)
{
        hf_terminal_leave(&session->terminal);
        holdfast_console_free(session->console);
        hf_close_fd(&session->output.fd);
        hf_console_output_clear(&session->output);
        hf_close_fd(&session->signal_fd);
        hf_domain_console_clear(&session->domain);
        free(session->input);
}

static int prepare(struct hf_console_session *session)
{
        hf_terminal_init(&session->terminal);
        hf_console_output_init(&session->output, hf_terminal_open_output(),
                               session->given->timestamps, session->given->plain);
        session->keys = session->given->keys;
        session->input = malloc(HF_CONSOLE_INPUT_MAX);
        if (session->output.fd >= 0 && session->input && signal(SIGPIPE, SIG_IGN) != SIG_ERR)
                return HF_EXIT_OK;
        hf_message("cannot set up the terminal: %s", strerror(errno));
        return HF_EXIT_SYSTEM;
}

static void greet(const struct hf_console_session *session)
{
        const struct holdfast_console_info *info = holdfast_console_info(session->console);
        char leave[HF_CONSOLE_KEY_TEXT], key[HF_CONSOLE_KEY_TEXT];

        if (!session->terminal.present)
                return;
        hf_message("%s %s%s%s%s. %s leaves, %s ? tells more.",
                   session->writer ? "connected to" : "watching", *info->vm ? info->vm : info->path,
                   *info->vm && *info->device ? " (" : "",
                   *info->vm && *info->device ? info->device : "",
                   *info->vm && *info->device ? ")" : "",
                   hf_console_key_text(session->keys.leave, leave),
                   hf_console_key_text(session->keys.command, key));
        for (size_t i = 0; i < info->n_strangers; i++)
                hf_message("beware: %s (pid %d) has the device, too: %s",
                           info->strangers[i].program, (int)info->strangers[i].pid,
                           info->strangers[i].how);
}

static unsigned int first_replay(const struct hf_console_given *given)
{
        if (given->replay >= 0)
                return (unsigned int)given->replay;
        return isatty(STDOUT_FILENO) ? REPLAY_LINES : 0;
}

int hf_console_attach(const struct hf_console_given *given, const struct hf_console_target *target)
{
        hf_cleanup(clear) struct hf_console_session session = {
                .given = given, .target = target, .signal_fd = -1, .output.fd = -1};
        unsigned int flags = (given->watch ? HOLDFAST_CONSOLE_WATCH : 0) |
                             (given->force ? HOLDFAST_CONSOLE_FORCE : 0) |
                             (given->keep ? HOLDFAST_CONSOLE_KEEP : 0);
        struct holdfast_error error = {0};
        enum hf_console_ending ending;
        int r = prepare(&session);

        if (r != HF_EXIT_OK)
                return r;
        r = attach_first(&session, flags, first_replay(given), &error);
        if (r < 0) {
                explain(&session, r, &error);
                return hf_console_status(&error);
        }
        greet(&session);
        /* Not before: until here they end us as ever, also while nobody answers. */
        session.signal_fd = take_signals();
        if (session.signal_fd < 0) {
                hf_message("cannot take signals: %s", strerror(errno));
                return HF_EXIT_SYSTEM;
        }
        r = hf_terminal_enter(&session.terminal);
        if (r < 0) {
                hf_message("cannot make the terminal the guest's: %s", strerror(-r));
                return HF_EXIT_SYSTEM;
        }
        do {
                ending = hf_console_session_run(&session);
                if (ending == HF_CONSOLE_LOST)
                        ending = come_back(&session);
        } while (ending == HF_CONSOLE_GOES_ON);
        if (session.terminal.raw && !session.output.fresh)
                (void)!write(STDERR_FILENO, "\r\n", 2);
        return session.status;
}
