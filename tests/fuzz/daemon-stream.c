/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes as what the clients of the lock daemon do: the daemon itself, whole,
 * in this process, with a world of its own around it (daemon/world.h).
 *
 * The input is a row of records: what is done and by which client (one byte; its
 * highest bit: the daemon sees it together with the next), how many bytes (two,
 * little-endian), the bytes. Files and processes are made up here, so
 * nothing outside is read, locked or killed. After each record the daemon must
 * hold exactly the locks that its table has, nobody has what another has alone,
 * and every answer is a frame; when all clients and processes have gone, nothing
 * is left.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/socket.h"
#include "daemon/area.h"
#include "daemon/world.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* A turn of the loop does little; an input that keeps it busy for longer is a finding. */
#define TURNS_MAX 10000

/* ---- the clients ---- */

static const struct client_kind {
        enum hf_service_kind service;
        bool read_only, refused;
        pid_t pid;
} kinds[] = {
        {.pid = 1},
        {.pid = 2},
        {.pid = 99},
        {.pid = 99, .read_only = true},
        {.pid = 99, .service = HF_SERVICE_ADMIN},
        {.pid = 3, .refused = true},
};

#define CLIENTS HF_ARRAY_LEN(kinds)

static struct client {
        struct hf_listener listener;
        bool came; /* connects when it first does something */
        int fd;    /* -1: has left */
        uint8_t *answer;
        size_t len;
} clients[CLIENTS];

static sd_event *event;
static struct hf_server *server;

static void connect_client(size_t i)
{
        struct client *client = &clients[i];
        const struct client_kind *kind = &kinds[i];
        const struct hf_peer peer = {.pid = kind->pid};
        struct hf_session *session;
        int fds[2];

        FUZZ_PROMISE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
        client->listener = (struct hf_listener){
                .server = server, .kind = kind->service, .read_only = kind->read_only};
        FUZZ_PROMISE(hf_session_new(&client->listener, fds[0], &peer, kind->refused, &session) ==
                     0);
        client->came = true;
        client->fd = fds[1];
        client->len = 0;
}

static void disconnect_client(size_t i)
{
        hf_close_fd(&clients[i].fd);
}

/* Takes whole answers out of what came. Each must be a reply, or a pong. */
static void check_answers(struct client *client)
{
        struct hf_rpc_header header;
        int64_t length;

        while (client->len >= HF_RPC_HEADER_SIZE) {
                length = hf_rpc_length(client->answer);
                FUZZ_PROMISE(length > 0 && length <= HF_SESSION_ANSWER_MAX);
                if ((uint64_t)length > client->len)
                        return;
                hf_rpc_get_header(client->answer, &header);
                FUZZ_PROMISE(header.type == HF_RPC_REPLY || header.type == HF_RPC_MESSAGE);
                FUZZ_PROMISE(header.status == HF_RPC_ERROR || header.status == HF_RPC_OK ||
                             header.type == HF_RPC_MESSAGE);
                client->len -= (size_t)length;
                memmove(client->answer, client->answer + length, client->len);
        }
}

static void read_answers(struct client *client)
{
        ssize_t n = 1;

        while (client->fd >= 0 && n > 0) {
                n = recv(client->fd, client->answer + client->len,
                         HF_SESSION_ANSWER_MAX - client->len, MSG_DONTWAIT);
                client->len += n > 0 ? (size_t)n : 0;
                check_answers(client);
        }
}

/* Runs the daemon until nothing is left to do but wait. Returns how many turns that took. */
static int run(void)
{
        int turns = 0;

        while (sd_event_run(event, 0) > 0)
                FUZZ_PROMISE(++turns < TURNS_MAX);
        return turns;
}

static void send_bytes(size_t i, const uint8_t *data, size_t len)
{
        while (clients[i].fd >= 0 && len > 0) {
                ssize_t n = send(clients[i].fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno != EAGAIN)
                        return;
                if (n < 0 && run() == 0)
                        return;
                data += n > 0 ? n : 0;
                len -= n > 0 ? (size_t)n : 0;
        }
}

/* ---- what must be so ---- */

static bool touch(const struct hf_lock *a, const struct hf_lock *b)
{
        return hf_thing_same(&a->file, &b->file) || hf_thing_same(&a->file, &b->thing) ||
               hf_thing_same(&a->thing, &b->file) || hf_thing_same(&a->thing, &b->thing);
}

static void check_one_holder(void)
{
        struct hf_table *table = server->table;

        for (uint32_t i = 0; (i = hf_table_next_hold(table, i));)
                for (uint32_t j = i; (j = hf_table_next_hold(table, j));) {
                        const struct hf_hold *a = hf_table_hold(table, i);
                        const struct hf_hold *b = hf_table_hold(table, j);
                        const struct hf_lock *la = hf_table_lock(table, a->lock);
                        const struct hf_lock *lb = hf_table_lock(table, b->lock);

                        if (a->owner != b->owner && touch(la, lb))
                                FUZZ_PROMISE(la->flags & lb->flags & HF_LOCK_SHARED);
                }
}

static bool has_hung_up(pid_t client)
{
        struct pollfd poller = {.fd = clients[client].fd, .events = POLLIN};

        FUZZ_PROMISE(client < 2);
        return poller.fd < 0 || (poll(&poller, 1, 0) > 0 && (poller.revents & POLLHUP));
}

static void check_owners(void)
{
        for (uint32_t i = 0; (i = hf_table_next_owner(server->table, i));) {
                const struct hf_owner *owner = hf_table_owner(server->table, i);

                FUZZ_PROMISE(owner->connections <= owner->sessions && owner->sessions <= CLIENTS);
                FUZZ_PROMISE(owner->holds || owner->sessions);
                /* Only a VM that has hung up is ended; the first two clients are VMs. */
                FUZZ_PROMISE(owner->state != HF_OWNER_ENDING || has_hung_up(owner->pid - 1));
                /* Dead and without a connection, it holds nothing any more. */
                if (world_is_dead(owner->pidfd) && !owner->connections)
                        FUZZ_PROMISE(!owner->holds);
        }
}

/* Those that the kernel has as well. */
static size_t table_locks(void)
{
        struct hf_table *table = server->table;
        size_t n = 0;

        for (uint32_t i = 0; (i = hf_table_next_hold(table, i));) {
                const struct hf_lock *lock = hf_table_lock(table, hf_table_hold(table, i)->lock);

                FUZZ_PROMISE(hf_table_hold(table, i)->check);
                n += lock->first_hold == i && !(lock->flags & HF_LOCK_METADATA);
        }
        return n;
}

static void check(void)
{
        FUZZ_PROMISE(table_locks() == world_locks());
        check_one_holder();
        check_owners();
}

/* ---- records ---- */

enum action { SEND, SEND_AND_READ, SEND_PADDING, LEAVE, END_PROCESS, REPLACE_FILE, ACTIONS };

/* In the byte that begins a record. */
#define MORE 0x80

/* The process that a record of that client ends. */
static unsigned int ends_with(size_t client)
{
        return 1 + (unsigned int)client % (WORLD_PROCESSES - 1);
}

static void act(enum action action, size_t i, const uint8_t *data, size_t len)
{
        static const uint8_t padding[4096];

        if (!clients[i].came && action <= SEND_PADDING)
                connect_client(i);
        switch (action) {
        case SEND_PADDING:
                for (size_t n = 0; n < len; n++)
                        send_bytes(i, padding, sizeof(padding));
                break;
        case LEAVE:
                disconnect_client(i);
                break;
        case END_PROCESS:
                world_end_process(ends_with(i));
                break;
        case REPLACE_FILE:
                world_replace_file((unsigned int)len);
                break;
        default:
                send_bytes(i, data, len);
        }
}

/* What each owner held before a record. */
static struct {
        pid_t pid;
        uint32_t holds;
        bool keeps;
} before[16];

/*
 * Nobody asks for anything in a record in which a client leaves or a process
 * ends; so who lives, or has its own connection open, keeps what it has.
 */
static void note_holds(enum action action, size_t client)
{
        memset(before, 0, sizeof(before));
        if (action != LEAVE && action != END_PROCESS)
                return;
        for (uint32_t i = 0; (i = hf_table_next_owner(server->table, i));) {
                const struct hf_owner *owner = hf_table_owner(server->table, i);
                bool leaves = action == LEAVE && kinds[client].pid == owner->pid;
                bool ends = action == END_PROCESS && ends_with(client) == (unsigned)owner->pid;

                FUZZ_PROMISE(i < HF_ARRAY_LEN(before));
                before[i].pid = owner->pid;
                before[i].holds = owner->holds;
                /* What a client has goes with its connection. */
                before[i].keeps = owner->connections > leaves ||
                                  (!owner->client && !ends && !world_is_dead(owner->pidfd));
        }
}

static void check_holds(void)
{
        for (uint32_t i = 0; i < HF_ARRAY_LEN(before); i++) {
                const struct hf_owner *owner = hf_table_owner(server->table, i);

                if (before[i].keeps && before[i].holds)
                        FUZZ_PROMISE(owner->pid == before[i].pid &&
                                     owner->holds == before[i].holds);
        }
}

/* Lets the daemon see it; the answers of who only sends stay unread. */
static void let_run(enum action action, size_t i)
{
        (void)run();
        check_holds();
        if (action != SEND) {
                read_answers(&clients[i]);
                (void)run();
        }
        check();
}

static void play(const uint8_t *data, size_t size)
{
        bool together = false;

        while (size >= 3) {
                enum action action = (data[0] & ~MORE) % ACTIONS;
                size_t i = (data[0] & ~MORE) / ACTIONS % CLIENTS;
                size_t len = data[1] + 256U * data[2], there = 0;
                bool more = data[0] & MORE;

                data += 3;
                size -= 3;
                /* Only what is sent has bytes of its own. */
                if (action <= SEND_AND_READ)
                        len = there = len < size ? len : size;
                note_holds(together || more ? SEND : action, i);
                act(action, i, data, action <= SEND_AND_READ ? len : len % 256);
                if (!more)
                        let_run(action, i);
                together = more;
                data += there;
                size -= there;
        }
}

static void begin(void)
{
        static struct hf_config config = {
                .max_clients = 16, .admin_max_clients = 2, .filesystem_timeout = 30};
        static struct hf_area *area;
        static bool initialised;
        struct hf_table *table;

        if (!initialised) {
                area = mmap(NULL, hf_area_size(&config), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
                FUZZ_PROMISE(area != MAP_FAILED);
                hf_log_init("fuzz");
                (void)hf_log_set_outputs("4:file:/dev/null", NULL);
                for (size_t i = 0; i < CLIENTS; i++)
                        FUZZ_PROMISE((clients[i].answer = malloc(HF_SESSION_ANSWER_MAX)));
                initialised = true;
        }
        world_begin();
        FUZZ_PROMISE(sd_event_new(&event) >= 0);
        FUZZ_PROMISE(hf_table_new(&table) == 0);
        hf_area_init(area, hf_area_size(&config));
        FUZZ_PROMISE(hf_server_new(event, &config, NULL, table, area, &server, NULL) == 0);
        for (size_t i = 0; i < CLIENTS; i++) {
                clients[i].came = false;
                clients[i].fd = -1;
        }
}

/* All leave; nothing may be left. */
static void end(void)
{
        struct hf_table_counts counts;

        for (size_t i = 0; i < CLIENTS; i++)
                disconnect_client(i);
        (void)run();
        for (unsigned int i = 1; i < WORLD_PROCESSES; i++)
                world_end_process(i);
        (void)run();
        counts = hf_table_count(server->table);
        FUZZ_PROMISE(!counts.owners && !counts.locks && !counts.holds && !world_locks());
        FUZZ_PROMISE(!server->sessions && server->n_free_slots == server->area->n_touched);
        server = hf_server_free(server);
        event = sd_event_unref(event);
        world_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        begin();
        play(data, size);
        end();
        return 0;
}
