/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Consoles and clients as the wire has them. */
#include "console/program.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

/* So long a list waits for who has the devices open. */
#define LOOK_USEC 3000000

static char *text(const char *s)
{
        return (char *)(uintptr_t)s;
}

void hf_con_put_client(const struct hf_con_who *who, struct hf_console_client *ret)
{
        *ret = (struct hf_console_client){.role = who->role,
                                          .pid = (unsigned int)who->pid,
                                          .uid = who->uid,
                                          .user = text(who->user),
                                          .via = text(who->via),
                                          .from = text(who->from),
                                          .since = who->since,
                                          .last_input = who->last_input,
                                          .behind = who->behind,
                                          .skipped = who->skipped};
}

void hf_con_put_stranger(const struct hf_intruder *intruder, struct hf_console_stranger *ret)
{
        *ret = (struct hf_console_stranger){.pid = (unsigned int)intruder->pid,
                                            .uid = intruder->uid,
                                            .comm = text(intruder->program),
                                            .how = text(intruder->how)};
}

static unsigned int log_state(const struct hf_console *console, char *ret, size_t size)
{
        int failed = hf_transcript_fails(&console->log, hf_con_server_wall_clock(console->server));

        *ret = '\0';
        if (!*console->server->log_dir)
                return HF_CONSOLE_LOG_OFF;
        if (failed < 0)
                (void)snprintf(ret, size, "cannot write: %s", strerrordesc_np(-failed));
        return failed < 0 ? HF_CONSOLE_LOG_FAILING : HF_CONSOLE_LOG_ON;
}

static void put_clients(struct hf_console *console, struct hf_con_entry_room *room,
                        struct hf_console_entry *ret)
{
        struct hf_con_session *s = NULL;
        unsigned int n = 0;

        while ((s = hf_console_next_client(console, s))) {
                if (s->fd < 0)
                        continue;
                if (n == HF_CONSOLE_CLIENTS_MAX) {
                        ret->more_clients++;
                        continue;
                }
                hf_con_client_who(s, console, &room->who[n]);
                hf_con_put_client(&room->who[n], &room->clients[n]);
                n++;
        }
        ret->clients.clients_val = room->clients;
        ret->clients.clients_len = n;
}

void hf_con_put_entry(struct hf_console *console, struct hf_con_entry_room *room,
                      struct hf_console_entry *ret)
{
        *ret = (struct hf_console_entry){.id = console->id,
                                         .state = console->state,
                                         .text = console->text,
                                         .vm = console->vm,
                                         .device = console->device,
                                         .pid = (unsigned int)console->pid,
                                         .path = console->path,
                                         .registered = console->registered,
                                         .since = console->since,
                                         .head = hf_ring_head(&console->ring),
                                         .first = hf_ring_first(&console->ring),
                                         .written = console->written,
                                         .log = console->log.path,
                                         .log_text = room->log_text};
        memcpy(ret->uuid, console->uuid, sizeof(ret->uuid));
        ret->log_state = log_state(console, room->log_text, sizeof(room->log_text));
        put_clients(console, room, ret);
        for (uint32_t i = 0; i < console->n_strangers && i < HF_INTRUDERS_MAX; i++)
                hf_con_put_stranger(&console->strangers[i], &room->strangers[i]);
        ret->strangers.strangers_val = room->strangers;
        ret->strangers.strangers_len = console->n_strangers < HF_INTRUDERS_MAX
                                               ? console->n_strangers
                                               : HF_INTRUDERS_MAX;
}

static bool is_listed(const struct hf_con_session *session, const struct hf_console *console)
{
        if (console->state == HF_CONSOLE_ENDED && !hf_console_next_client(console, NULL))
                return false;
        return session->owner || console->registered;
}

/* Who else has the devices open is being looked for. */
static bool waits_for_look(struct hf_con_session *session)
{
        struct hf_con_server *server = session->server;
        uint64_t limit = session->waits_since + LOOK_USEC;
        struct hf_console *console;
        uint32_t i = 0;
        bool waits = false;

        if (hf_con_server_now(server) >= limit)
                return false;
        while ((console = hf_con_server_next(server, &i))) {
                if (!console->held || !is_listed(session, console) ||
                    console->looked >= session->waits_since)
                        continue;
                console->want_look = waits = true;
        }
        if (waits) {
                hf_con_link_kick(server, HF_CON_GUARD);
                hf_con_server_wake_at(server, limit);
        }
        return waits;
}

static size_t size_of(struct hf_console_entry *entry)
{
        return (size_t)xdr_sizeof((xdrproc_t)xdr_hf_console_entry, entry);
}

int hf_con_list(struct hf_con_session *session, const void *data, struct hf_error *err)
{
        const struct hf_holdfast_list_args *args = data;
        hf_cleanup_free struct hf_con_entry_room *rooms = NULL;
        hf_cleanup_free struct hf_console_entry *entries = NULL;
        struct hf_console_list_ret ret = {0};
        size_t size = 0, n = 0, most = 64;
        struct hf_console *console;
        uint32_t i = args->cursor;

        if (args->flags & HF_CONSOLE_LIST_STRANGERS && waits_for_look(session))
                return HF_CON_WAIT;
        rooms = calloc(most, sizeof(*rooms));
        entries = calloc(most, sizeof(*entries));
        if (!rooms || !entries)
                return hf_error_sys(err, ENOMEM, "cannot list the consoles");
        while (n < most && (console = hf_con_server_next(session->server, &i))) {
                if (!is_listed(session, console))
                        continue;
                hf_con_put_entry(console, &rooms[n], &entries[n]);
                size += size_of(&entries[n]);
                if (n > 0 && size > HF_CON_ANSWER_MAX - 1024) {
                        i--;
                        ret.next = i;
                        break;
                }
                n++;
                if (n == most)
                        ret.next = i;
        }
        ret.consoles.consoles_val = entries;
        ret.consoles.consoles_len = (unsigned int)n;
        hf_con_session_answer(session, (xdrproc_t)xdr_hf_console_list_ret, &ret);
        return HF_CON_ANSWERED;
}
