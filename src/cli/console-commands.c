/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/console-session.h"

#include "cli/holder.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

/* "anna (pid 4711, from 10.0.0.5, holdfast console)" */
#define WHO_MAX 512

static const char *who(const struct holdfast_console_client *client, char text[static WHO_MAX])
{
        (void)snprintf(text, WHO_MAX, "%.128s (pid %d%s%.128s%s%.128s)", client->user,
                       (int)client->pid, *client->from ? ", from " : "", client->from,
                       *client->via ? ", " : "", client->via);
        return text;
}

void hf_console_send_size(struct hf_console_session *session)
{
        struct holdfast_error error = {0};
        unsigned int rows, columns;
        int r;

        if (!session->console || !session->writer || session->no_size || session->lost ||
            !hf_terminal_size(&rows, &columns))
                return;
        r = holdfast_console_resize(session->console, rows, columns, &error);
        /* A serial line has no size, and nobody misses it. */
        if (r == -EOPNOTSUPP)
                session->no_size = true;
        else if (r < 0)
                hf_console_say(session, "the guest was not told the size: %s", error.text);
}

static void become_writer(struct hf_console_session *session)
{
        if (session->writer)
                return;
        session->writer = true;
        session->told = false;
        hf_console_say(session, "you are writing now");
        hf_console_send_size(session);
}

static void become_watcher(struct hf_console_session *session)
{
        session->writer = false;
        session->input_have = 0;
        session->told = false;
}

static void send_break(struct hf_console_session *session)
{
        struct holdfast_error error = {0};

        if (holdfast_console_break(session->console, &error) < 0)
                hf_console_say(session, "no break was sent: %s", error.text);
        else
                hf_console_say(session, "a break was sent");
}

static void take(struct hf_console_session *session, unsigned int flags)
{
        struct holdfast_error error = {0};
        char key[HF_CONSOLE_KEY_TEXT];
        int r = holdfast_console_take(session->console, flags, &error);

        if (r >= 0)
                become_writer(session);
        else
                hf_console_say(session, "%s%s%s%s", error.text, r == -EBUSY ? "; " : "",
                               r == -EBUSY ? hf_console_key_text(session->keys.command, key) : "",
                               r == -EBUSY ? " T takes it by force" : "");
}

static void yield(struct hf_console_session *session)
{
        struct holdfast_error error = {0};

        if (holdfast_console_yield(session->console, &error) < 0) {
                hf_console_say(session, "%s", error.text);
                return;
        }
        become_watcher(session);
        hf_console_say(session, "you are only watching now");
}

static int show_status(void *ctx, const struct holdfast_console_info *info)
{
        struct hf_console_session *session = ctx;
        const struct holdfast_console_info *ours = holdfast_console_info(session->console);
        char text[WHO_MAX], since[HF_SINCE_TEXT_MAX];

        if (info->id != ours->id || strcmp(info->path, ours->path) != 0)
                return 0;
        hf_console_say(session, "%s%s%s: %s, %" PRIu64 " bytes printed, log %s%s", info->vm,
                       *info->vm ? " " : "", *info->device ? info->device : info->path,
                       session->writer ? "you write" : "you watch", info->head,
                       *info->log ? info->log : "off", info->log_state == 2 ? " (failing)" : "");
        for (size_t i = 0; i < info->n_clients; i++)
                hf_console_say(
                        session, "%s: %s since %s", info->clients[i].writer ? "writer" : "watcher",
                        who(&info->clients[i], text), hf_since_text(info->clients[i].since, since));
        for (size_t i = 0; i < info->n_strangers; i++)
                hf_console_say(session, "also has it open: %s (pid %d), %s",
                               info->strangers[i].program, (int)info->strangers[i].pid,
                               info->strangers[i].how);
        return 1;
}

static void status(struct hf_console_session *session)
{
        struct holdfast_error error = {0};
        int r = holdfast_console_list(HOLDFAST_CONSOLE_LIST_STRANGERS, show_status, session,
                                      &error);

        if (r <= 0)
                hf_console_say(session, "%s", r < 0 ? error.text : "the console has ended");
}

static void help(struct hf_console_session *session)
{
        char leave[HF_CONSOLE_KEY_TEXT], key[HF_CONSOLE_KEY_TEXT];

        hf_console_say(session,
                       "%s leaves. Behind %s: b break, t take the writing, T by force, y yield it, "
                       "s status, . leave, %s itself",
                       hf_console_key_text(session->keys.leave, leave),
                       hf_console_key_text(session->keys.command, key), key);
}

void hf_console_do(struct hf_console_session *session, enum hf_console_command command)
{
        switch (command) {
        case HF_CONSOLE_NOTHING:
                break;
        case HF_CONSOLE_LEAVE:
                hf_console_session_end(session, HF_EXIT_OK);
                break;
        case HF_CONSOLE_BREAK:
                send_break(session);
                break;
        case HF_CONSOLE_TAKE:
                take(session, 0);
                break;
        case HF_CONSOLE_TAKE_BY_FORCE:
                take(session, HOLDFAST_CONSOLE_FORCE);
                break;
        case HF_CONSOLE_YIELD:
                yield(session);
                break;
        case HF_CONSOLE_STATUS:
                status(session);
                break;
        case HF_CONSOLE_HELP:
        case HF_CONSOLE_UNKNOWN:
                help(session);
                break;
        }
}

/* ---- notices ---------------------------------------------------------------------------- */

static void displaced(struct hf_console_session *session,
                      const struct holdfast_console_notice *notice)
{
        char text[WHO_MAX], key[HF_CONSOLE_KEY_TEXT], at[HF_SINCE_TEXT_MAX], lost[64] = "";

        become_watcher(session);
        if (notice->count)
                (void)snprintf(lost, sizeof(lost), ", %" PRIu64 " bytes of yours did not arrive",
                               notice->count);
        if (!session->terminal.present) {
                hf_console_say(session, "%s has taken the console%s",
                               notice->client ? who(notice->client, text) : "somebody", lost);
                hf_console_session_end(session, HF_EXIT_HELD);
                return;
        }
        hf_console_say(session,
                       "%s has taken the console at %s%s; you are watching now, %s t or T "
                       "takes it back",
                       notice->client ? who(notice->client, text) : "somebody",
                       hf_since_text(hf_clock_usec(CLOCK_REALTIME), at), lost,
                       hf_console_key_text(session->keys.command, key));
}

static void skipped(struct hf_console_session *session,
                    const struct holdfast_console_notice *notice)
{
        /* Told of a place that we have passed, or the next one before the last was reached. */
        if (session->skip || notice->position < session->output.position)
                session->skip_at = session->output.position;
        else
                session->skip_at = notice->position;
        session->skip += notice->count;
}

static void stranger(struct hf_console_session *session,
                     const struct holdfast_console_notice *notice)
{
        if (notice->stranger)
                hf_console_say(session,
                               "beware: %s (pid %d) has opened the device, too, and may take away "
                               "what the guest prints",
                               notice->stranger->program, (int)notice->stranger->pid);
        else
                hf_console_say(session, "%s", notice->text);
}

static void act_on(struct hf_console_session *session, const struct holdfast_console_notice *notice)
{
        switch (notice->kind) {
        case HOLDFAST_CONSOLE_DISPLACED:
                displaced(session, notice);
                break;
        case HOLDFAST_CONSOLE_SKIPPED:
                skipped(session, notice);
                break;
        case HOLDFAST_CONSOLE_IS_ENDED:
                session->ended = true;
                hf_console_say(session, "%s",
                               *notice->text ? notice->text : "the console has ended");
                break;
        case HOLDFAST_CONSOLE_STRANGER:
                stranger(session, notice);
                break;
        case HOLDFAST_CONSOLE_WRITER:
                become_writer(session);
                break;
        default:
                if (*notice->text)
                        hf_console_say(session, "%s", notice->text);
        }
}

void hf_console_take_notices(struct hf_console_session *session)
{
        struct holdfast_console_notice notice = {.size = sizeof(notice)};
        struct holdfast_error error = {0};
        int r;

        while ((r = holdfast_console_next_notice(session->console, &notice, &error)) > 0)
                act_on(session, &notice);
        /* A stream of nonsense is no better than none. */
        if (r < 0)
                session->lost = true;
}
