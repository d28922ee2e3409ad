/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/console.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void hf_console_fill_client(struct holdfast_console_client *client,
                            const struct hf_console_client *from)
{
        *client = (struct holdfast_console_client){
                .writer = from->role == HF_CONSOLE_WRITER,
                .pid = (pid_t)from->pid,
                .uid = (uid_t)from->uid,
                .user = from->user,
                .via = from->via,
                .from = from->from,
                .since = from->since,
                .last_input = from->last_input,
                .behind = from->behind,
                .skipped = from->skipped,
        };
}

void hf_console_fill_stranger(struct holdfast_console_stranger *stranger,
                              const struct hf_console_stranger *from)
{
        *stranger = (struct holdfast_console_stranger){
                .pid = (pid_t)from->pid,
                .uid = (uid_t)from->uid,
                .program = from->comm,
                .how = from->how,
        };
}

void hf_console_view_clear(struct hf_console_view *view)
{
        free(view->clients);
        free(view->strangers);
        memset(view, 0, sizeof(*view));
}

static void fill(struct hf_console_view *view, const struct hf_console_entry *from)
{
        view->info = (struct holdfast_console_info){
                .id = from->id,
                .state = (enum holdfast_console_state)from->state,
                .text = from->text,
                .vm = from->vm,
                .device = from->device,
                .pid = (pid_t)from->pid,
                .path = from->path,
                .registered = from->registered != 0,
                .since = from->since,
                .head = from->head,
                .first = from->first,
                .written = from->written,
                .log_state = (int)from->log_state,
                .log_text = from->log_text,
                .log = from->log,
                .clients = view->clients,
                .n_clients = from->clients.clients_len,
                .n_more_clients = from->more_clients,
                .strangers = view->strangers,
                .n_strangers = from->strangers.strangers_len,
        };
        memcpy(view->info.uuid, from->uuid, sizeof(view->info.uuid));
}

int hf_console_view_fill(struct hf_console_view *view, const struct hf_console_entry *from,
                         struct holdfast_error *err)
{
        size_t n_clients = from->clients.clients_len, n_strangers = from->strangers.strangers_len;

        memset(view, 0, sizeof(*view));
        view->clients = calloc(n_clients + 1, sizeof(*view->clients));
        view->strangers = calloc(n_strangers + 1, sizeof(*view->strangers));
        if (!view->clients || !view->strangers) {
                hf_console_view_clear(view);
                return hf_fail_no_memory(err);
        }
        for (size_t i = 0; i < n_clients; i++)
                hf_console_fill_client(&view->clients[i], &from->clients.clients_val[i]);
        for (size_t i = 0; i < n_strangers; i++)
                hf_console_fill_stranger(&view->strangers[i], &from->strangers.strangers_val[i]);
        fill(view, from);
        return 0;
}

/* "10:04", or with the date when that was not today. */
static void put_since(FILE *out, uint64_t since)
{
        time_t then = (time_t)(since / 1000000), now = time(NULL);
        char text[32];
        struct tm a, b;
        bool today;

        if (since == 0 || !localtime_r(&then, &a) || !localtime_r(&now, &b))
                return;
        today = a.tm_year == b.tm_year && a.tm_yday == b.tm_yday;
        if (today ? strftime(text, sizeof(text), "%H:%M", &a)
                  : strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &a))
                (void)fprintf(out, ", since %s", text);
}

/* Nobody minds a pause for thought. */
#define IDLE_MIN 10

static void put_idle(FILE *out, const struct hf_console_client *client)
{
        uint64_t last = client->last_input > client->since ? client->last_input : client->since;
        uint64_t now = hf_clock_usec(CLOCK_REALTIME), idle;

        idle = now > last && last ? (now - last) / 1000000 : 0;
        if (idle < IDLE_MIN)
                return;
        if (idle < 120)
                (void)fprintf(out, ", idle %" PRIu64 " s", idle);
        else if (idle < 7200)
                (void)fprintf(out, ", idle %" PRIu64 " min", idle / 60);
        else
                (void)fprintf(out, ", idle %" PRIu64 " h", idle / 3600);
}

char *hf_console_who(const struct hf_console_client *client, char text[static HF_CONSOLE_WHO_MAX])
{
        hf_cleanup_file FILE *out = fmemopen(text, HF_CONSOLE_WHO_MAX, "w");

        text[0] = '\0';
        if (!out)
                return text;
        (void)fprintf(out, "%.128s (pid %u", client->user, client->pid);
        if (*client->from)
                (void)fprintf(out, ", from %.128s", client->from);
        put_since(out, client->since);
        if (client->role == HF_CONSOLE_WRITER)
                put_idle(out, client);
        if (*client->via)
                (void)fprintf(out, ", %.128s", client->via);
        (void)fputc(')', out);
        return text;
}

int hf_console_refuse(const char *name, const struct hf_console_client *writer,
                      const struct hf_console_stranger *stranger, const char *text,
                      struct holdfast_error *err)
{
        char who[HF_CONSOLE_WHO_MAX];
        int r;

        if (writer)
                return hf_fail(err, EBUSY, HOLDFAST_E_BUSY, "the console of %s is written by %s",
                               name, hf_console_who(writer, who));
        if (text && *text)
                r = hf_fail(err, EBUSY, HOLDFAST_E_BUSY, "%s", text);
        else if (stranger)
                r = hf_fail(err, EBUSY, HOLDFAST_E_BUSY,
                            "%s is used by another program: %s (pid %u), %s", name, stranger->comm,
                            stranger->pid, stranger->how);
        else
                r = hf_fail(err, EBUSY, HOLDFAST_E_BUSY, "the console of %s is busy", name);
        if (err)
                err->sys = EBUSY;
        return r;
}
