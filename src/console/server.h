/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The server: one loop that never waits, for clients, devices and the two processes beside it.
 */

#include "console/area.h"
#include "keeper/keeper.h"

#include <unistd.h>

struct hf_con_listener {
        struct hf_con_server *server;
        sd_event_source *source;
        int fd;
        bool read_only;
        const char *name;
        const char *path;
};

struct hf_con_server {
        sd_event *event;
        struct hf_keeper *keeper; /* NULL: nobody would go on for this process */
        struct hf_con_area *area;
        const struct hf_con_config *config;
        const char *state_file, *log_dir;
        bool privileged;
        char host[256];
        struct hf_con_listener listeners[HF_CON_LISTENERS_MAX];
        struct hf_con_session *sessions;
        unsigned int clients[2], others, refused; /* by read_only; of them not the owner's */
        uint32_t *free_slots;
        size_t n_free_slots;
        struct hf_con_link links[HF_CON_LINKS];
        sd_event_source *retry; /* those that wait are looked at in the loop's next turn */
        sd_event_source *tick;  /* while something has a limit of time */
        sd_event_source *idle_timer;
        uint64_t idle_timeout;
        int spare_fd;
};

int hf_con_server_new(sd_event *event, struct hf_keeper *keeper, struct hf_con_area *area,
                      const struct hf_con_config *config, struct hf_con_server **ret,
                      struct hf_error *err);
struct hf_con_server *hf_con_server_free(struct hf_con_server *server);

/* Who may do all here; who may connect at all, the sockets' permissions say. */
static inline bool hf_con_is_owner(uid_t uid)
{
        return uid == 0 || uid == geteuid();
}

uint64_t hf_con_server_wall_clock(const struct hf_con_server *server);
uint64_t hf_con_server_now(const struct hf_con_server *server); /* CLOCK_MONOTONIC */

/* Something has happened that those who wait may wait for. */
void hf_con_server_retry(struct hf_con_server *server);

/* Something is to be looked at when that time has come, or earlier. */
void hf_con_server_wake_at(struct hf_con_server *server, uint64_t usec);

void hf_con_server_check_idle(struct hf_con_server *server);

/* The consoles that there are: *index from 0 on, NULL at the end. */
struct hf_console *hf_con_server_next(struct hf_con_server *server, uint32_t *index);
