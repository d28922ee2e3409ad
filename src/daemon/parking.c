/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/parking.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/area.h"
#include "keeper/lot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#define MODULE "daemon.parking"

/* Names of lots are this and a number. */
#define LOT_NAME "holdfast-lot-"

/* Numbers in names; there are never more lots at once than those passed and two. */
#define LOT_NUMBERS (HF_LOTS_MAX + 2)

/* Locks parked in one turn of the loop: some 100 microseconds. */
#define PARK_PER_TURN 64

/*
 * How long the file of a released lock may stay open for a parked duplicate of its
 * descriptor: a lot is renewed once in this time, however many are released.
 */
#define RENEW_AFTER_USEC 1000000

static struct hf_lot_record *lot_in_use(const struct hf_server *server)
{
        return &server->area->lots[server->area->lot % 2];
}

/* The one that is being emptied, if it has a number. */
static struct hf_lot_record *lot_beside(const struct hf_server *server)
{
        return &server->area->lots[(server->area->lot + 1) % 2];
}

int hf_parking_fd(const struct hf_server *server)
{
        const struct hf_lot_record *lot = lot_in_use(server);

        return lot->number ? lot->fd : -1;
}

uint32_t hf_parking_number(const struct hf_server *server)
{
        return lot_in_use(server)->number;
}

static void remove_stored(const struct hf_server *server, uint32_t number)
{
        (void)sd_pid_notifyf(server->pids[0], 0, "FDSTOREREMOVE=1\nFDNAME=" LOT_NAME "%u", number);
}

/* Takes the record away and closes the lot; what is in it stays there if somebody has it stored. */
static void forget(struct hf_lot_record *lot)
{
        int fd = lot->fd;

        lot->number = 0;
        atomic_signal_fence(memory_order_seq_cst);
        (void)close(fd);
}

bool hf_parking_pass(struct hf_server *server, int fd, const char *name)
{
        unsigned long number;
        char *end;

        if (strncmp(name, LOT_NAME, strlen(LOT_NAME)) != 0)
                return false;
        number = strtoul(name + strlen(LOT_NAME), &end, 10);
        /* A server before this one may have dealt with it, and not with what came after that. */
        if (*end || number == 0 || number > LOT_NUMBERS || server->n_passed_lots == HF_LOTS_MAX ||
            fcntl(fd, F_GETFD) < 0)
                return true;
        server->passed_lots[server->n_passed_lots++] = (struct hf_passed_lot){fd, (uint32_t)number};
        return true;
}

void hf_parking_drop_passed(struct hf_server *server, struct hf_passed_lot *lot)
{
        remove_stored(server, lot->number);
        hf_close_fd(&lot->fd);
}

static bool is_used(const struct hf_server *server, uint32_t number)
{
        for (size_t i = 0; i < server->n_passed_lots; i++)
                if (server->passed_lots[i].number == number)
                        return true;
        return lot_in_use(server)->number == number || lot_beside(server)->number == number;
}

static int store(const struct hf_server *server, int fd, uint32_t number)
{
        hf_cleanup_free char *state = NULL;

        if (asprintf(&state, "FDSTORE=1\nFDPOLL=0\nFDNAME=" LOT_NAME "%u", number) < 0)
                return -ENOMEM;
        return sd_pid_notify_with_fds(server->pids[0], 0, state, &fd, 1);
}

/* Makes another lot the one in use, when it is stored. The receiving end is not ours to have. */
static int make_lot(struct hf_server *server)
{
        struct hf_lot_record *lot = lot_beside(server);
        hf_cleanup_fd int in = -1, out = -1;
        uint32_t number = 1;
        int r;

        while (is_used(server, number))
                number++;
        r = hf_lot_make(&in, &out);
        if (r >= 0)
                r = store(server, out, number);
        if (r <= 0)
                return r;
        lot->fd = hf_steal_fd(&in);
        atomic_signal_fence(memory_order_seq_cst);
        lot->number = number;
        atomic_signal_fence(memory_order_seq_cst);
        server->area->lot++;
        server->parked_dead = 0;
        return 1;
}

static void complain(struct hf_server *server, int error)
{
        if (server->parking_failed)
                return;
        server->parking_failed = true;
        if (error == -EPIPE)
                hf_log(HF_LOG_WARNING, MODULE,
                       "the service manager keeps no descriptors for this service "
                       "(FileDescriptorStoreMax=): if all its processes are killed at once, locks "
                       "are free until it runs again");
        else
                hf_log(HF_LOG_WARNING, MODULE,
                       "cannot leave all lock descriptors with the service manager: %s; if all "
                       "processes of this service are killed at once, some locks are free until "
                       "it runs again",
                       strerrordesc_np(-error));
}

/* Nobody has the lot in use. Where there was one before, that is not worse than none. */
static void give_up(struct hf_server *server)
{
        forget(lot_in_use(server));
        if (lot_beside(server)->number)
                server->area->lot++;
}

/* 0 is none. */
static uint32_t next_serial(struct hf_area *area)
{
        if (++area->last_serial == 0)
                area->last_serial = 1;
        return area->last_serial;
}

static int park(struct hf_server *server, uint32_t index)
{
        const struct hf_lot_record *lot = lot_in_use(server);
        struct hf_lock *lock = hf_table_lock(server->table, index);
        int r;

        if (!lot->number || hf_table_lot(lock) == lot->number ||
            lock->flags & (HF_LOCK_RELEASING | HF_LOCK_METADATA | HF_LOCK_POSIX))
                return 0;
        /*
         * One number for one descriptor, whatever becomes of us on the way: who finds it
         * twice has to know that it is the same lock.
         */
        if (!lock->serial)
                lock->serial = next_serial(server->area);
        r = hf_lot_park(lot->fd, lock->fd, &lock->serial, sizeof(lock->serial));
        if (r >= 0) {
                hf_table_set_lot(server->table, index, lot->number);
                return 0;
        }
        complain(server, r);
        if (r == -EPIPE)
                give_up(server);
        return r;
}

void hf_parking_park(struct hf_server *server, uint32_t hold)
{
        if (lot_in_use(server)->number)
                (void)park(server, hf_table_hold(server->table, hold)->lock);
}

/* All locks are in the lot in use. */
static void finish_renewal(struct hf_server *server)
{
        struct hf_lot_record *lot = lot_beside(server);

        if (!lot->number)
                return;
        remove_stored(server, lot->number);
        forget(lot);
}

/* Parks some more. Returns 1 while there are more, 0 when all are parked, or a negative errno. */
static int park_some(struct hf_server *server, unsigned int n)
{
        while (n--) {
                uint32_t hold = hf_table_next_hold(server->table, server->parker_at);
                int r;

                if (!hold) {
                        finish_renewal(server);
                        return 0;
                }
                server->parker_at = hold;
                r = park(server, hf_table_hold(server->table, hold)->lock);
                if (r < 0)
                        return r;
        }
        return 1;
}

static void plan_renewal(struct hf_server *server);

static int on_parker(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_server *server = data;

        (void)fd;
        (void)revents;
        if (park_some(server, PARK_PER_TURN) > 0)
                return 0;
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (server->parked_dead)
                plan_renewal(server);
        return 0;
}

/* Begins to look at all locks. What cannot be parked now is tried again with the next renewal. */
static void start_parking(struct hf_server *server)
{
        server->parker_at = 0;
        if (!server->parker && hf_server_add_background(server, on_parker, &server->parker) < 0)
                return;
        (void)sd_event_source_set_enabled(server->parker, SD_EVENT_ON);
}

static void renew(struct hf_server *server)
{
        int r = 1;

        if (!lot_in_use(server)->number)
                return;
        /* One that is not finished is gone on with. */
        if (!lot_beside(server)->number)
                r = make_lot(server);
        if (r < 0)
                complain(server, r);
        else if (r > 0)
                start_parking(server);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
        (void)source;
        (void)usec;
        renew(data);
        return 0;
}

/* The lot is to be renewed soon, whatever else is released until then. */
static void plan_renewal(struct hf_server *server)
{
        int planned = SD_EVENT_OFF;

        if (!server->parker_timer) {
                (void)sd_event_add_time_relative(server->event, &server->parker_timer,
                                                 CLOCK_MONOTONIC, RENEW_AFTER_USEC, 0, on_timer,
                                                 server);
                return;
        }
        (void)sd_event_source_get_enabled(server->parker_timer, &planned);
        if (planned != SD_EVENT_OFF)
                return;
        (void)sd_event_source_set_time_relative(server->parker_timer, RENEW_AFTER_USEC);
        (void)sd_event_source_set_enabled(server->parker_timer, SD_EVENT_ONESHOT);
}

void hf_parking_released(struct hf_server *server, const struct hf_lock *lock)
{
        uint32_t number = lot_in_use(server)->number;

        if (!number || hf_table_lot(lock) != number)
                return;
        server->parked_dead++;
        if (server->parked_dead > hf_table_count(server->table).locks &&
            !lot_beside(server)->number)
                renew(server);
        else
                plan_renewal(server);
}

void hf_parking_begin(struct hf_server *server)
{
        int r;

        if (!getenv("NOTIFY_SOCKET"))
                return;
        r = make_lot(server);
        if (r < 0)
                complain(server, r);
}

void hf_parking_adopt(struct hf_server *server)
{
        if (!lot_in_use(server)->number)
                return;
        start_parking(server);
        /* There may be. */
        server->parked_dead = 1;
        plan_renewal(server);
}

void hf_parking_park_all(struct hf_server *server)
{
        server->parker_at = 0;
        while (park_some(server, UINT32_MAX) > 0)
                ;
}

void hf_parking_leave(struct hf_server *server)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(server->area->lots); i++)
                if (server->area->lots[i].number)
                        remove_stored(server, server->area->lots[i].number);
}
