/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which console, which client, and what they are called. */
#include "console/program.h"

#include <string.h>
#include <strings.h>
#include <time.h>

struct hf_console *hf_console_by_id(struct hf_con_server *server, uint64_t id)
{
        struct hf_console *console;
        uint32_t i = 0;

        while (id && (console = hf_con_server_next(server, &i)))
                if (console->id == id)
                        return console;
        return NULL;
}

struct hf_console *hf_console_by_path(struct hf_con_server *server, const char *path)
{
        struct hf_console *console;
        uint32_t i = 0;

        while ((console = hf_con_server_next(server, &i)))
                if (console->state != HF_CONSOLE_ENDED &&
                    (!strcmp(console->path, path) || !strcmp(console->alias, path)))
                        return console;
        return NULL;
}

static void uuid_text(const uint8_t uuid[16], char ret[37])
{
        char *at = ret;

        for (int i = 0; i < 16; i++)
                at += snprintf(at, 4, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                               uuid[i]);
}

static bool is_vm(const struct hf_console *console, const char *vm, bool by_uuid)
{
        char text[37];

        if (!by_uuid)
                return !strcmp(console->vm, vm);
        uuid_text(console->uuid, text);
        return !strcasecmp(text, vm);
}

/* The one that a guest's operating system most likely has its console on. */
static bool is_serial(const struct hf_console *console)
{
        return !strncmp(console->device, "serial", strlen("serial"));
}

static struct hf_console *pick(struct hf_con_server *server, const char *vm, const char *device,
                               bool by_uuid)
{
        struct hf_console *console, *found = NULL;
        uint32_t i = 0;

        while ((console = hf_con_server_next(server, &i))) {
                if (console->state == HF_CONSOLE_ENDED || !*console->vm ||
                    !is_vm(console, vm, by_uuid))
                        continue;
                if (*device) {
                        if (!strcmp(console->device, device))
                                return console;
                        continue;
                }
                if (!found || (is_serial(console) &&
                               (!is_serial(found) || strcmp(console->device, found->device) < 0)))
                        found = console;
        }
        return found;
}

struct hf_console *hf_console_by_name(struct hf_con_server *server, const char *vm,
                                      const char *device)
{
        struct hf_console *console = *vm ? pick(server, vm, device, false) : NULL;

        return console || !*vm ? console : pick(server, vm, device, true);
}

struct hf_con_session *hf_console_next_client(const struct hf_console *console,
                                              const struct hf_con_session *after)
{
        struct hf_con_session *s = after ? after->next : console->server->sessions;

        while (s && (!s->client.token || s->client.console != console->id))
                s = s->next;
        return s;
}

bool hf_console_is_writer(const struct hf_console *console, const struct hf_con_session *session)
{
        return session->client.token && session->client.token == hf_console_writer_token(console);
}

struct hf_con_session *hf_console_writer(const struct hf_console *console)
{
        struct hf_con_session *s = NULL;

        if (!hf_console_writer_token(console))
                return NULL;
        while ((s = hf_console_next_client(console, s)))
                if (hf_console_is_writer(console, s))
                        return s;
        return NULL;
}

void hf_console_set_writer(struct hf_console *console, struct hf_con_session *session)
{
        atomic_store_explicit(&console->writer, session ? session->client.token : 0,
                              memory_order_release);
}

void hf_console_title(const struct hf_console *console, char *ret, size_t size)
{
        if (*console->vm)
                (void)snprintf(ret, size, "the console of %s%s%s%s", console->vm,
                               *console->device ? " (" : "", console->device,
                               *console->device ? ")" : "");
        else
                (void)snprintf(ret, size, "the console %s", console->path);
}

#define MINUTE 60000000ULL
#define DAY    (24 * 60 * MINUTE)

static void time_text(uint64_t usec, uint64_t now, char *ret, size_t size)
{
        time_t seconds = (time_t)(usec / 1000000);
        struct tm tm;

        if (!localtime_r(&seconds, &tm) ||
            !strftime(ret, size, now - usec < DAY ? "%H:%M" : "%Y-%m-%d %H:%M", &tm))
                (void)snprintf(ret, size, "?");
}

static void idle_text(uint64_t usec, char *ret, size_t size)
{
        if (usec < MINUTE)
                (void)snprintf(ret, size, "idle %u s", (unsigned int)(usec / 1000000));
        else if (usec < 60 * MINUTE)
                (void)snprintf(ret, size, "idle %u min", (unsigned int)(usec / MINUTE));
        else
                (void)snprintf(ret, size, "idle %u h", (unsigned int)(usec / (60 * MINUTE)));
}

void hf_con_who_text(const struct hf_con_who *who, uint64_t now, char *ret, size_t size)
{
        uint64_t active = who->last_input > who->since ? who->last_input : who->since;
        char since[32], idle[32];

        time_text(who->since, now, since, sizeof(since));
        idle_text(now > active ? now - active : 0, idle, sizeof(idle));
        (void)snprintf(ret, size, "%s (pid %d%s%s, since %s, %s%s%s)", who->user, (int)who->pid,
                       *who->from ? ", from " : "", who->from, since, idle, *who->via ? ", " : "",
                       who->via);
}
