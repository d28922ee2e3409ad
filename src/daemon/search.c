/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/search.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Processes looked at in one turn of the loop. */
#define SCAN_PER_TURN 8

struct hf_search {
        struct hf_search *next, **prev; /* the server's queue; prev NULL: it is done */
        struct hf_server *server;
        struct hf_thing thing;
        struct hf_user_scan *scan;
        void (*found)(void *data, const struct hf_user *holder);
        void *data;
};

static void enqueue(struct hf_search *search)
{
        struct hf_search **end = &search->server->searches;

        while (*end)
                end = &(*end)->next;
        search->prev = end;
        *end = search;
}

static void dequeue(struct hf_search *search)
{
        if (!search->prev)
                return;
        *search->prev = search->next;
        if (search->next)
                search->next->prev = search->prev;
        search->prev = NULL;
}

const struct hf_user *hf_search_holder(const struct hf_user_scan *scan,
                                       const struct hf_thing *thing)
{
        size_t n;
        const struct hf_user *users = hf_user_scan_users(scan, thing, &n);

        for (size_t i = 0; i < n; i++)
                if (users[i].our_byte)
                        return &users[i];
        return NULL;
}

int hf_searches_serve(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        struct hf_server *server = data;
        struct hf_search *search = server->searches;

        (void)fd;
        (void)revents;
        if (search && hf_user_scan_step(search->scan, SCAN_PER_TURN) == 0) {
                dequeue(search);
                search->found(search->data, hf_search_holder(search->scan, &search->thing));
        }
        return server->searches ? 0 : sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

int hf_search_new(struct hf_server *server, const struct hf_thing *thing,
                  void (*found)(void *data, const struct hf_user *holder), void *data,
                  struct hf_search **ret)
{
        struct hf_search *search = calloc(1, sizeof(*search));
        int r;

        if (!search)
                return -ENOMEM;
        search->server = server;
        search->thing = *thing;
        search->found = found;
        search->data = data;
        r = hf_user_scan_new(thing, server->pids, &search->scan);
        if (r >= 0)
                r = sd_event_source_set_enabled(server->searcher, SD_EVENT_ON);
        if (r < 0) {
                (void)hf_search_free(search);
                return r;
        }
        enqueue(search);
        *ret = search;
        return 0;
}

struct hf_search *hf_search_free(struct hf_search *search)
{
        if (!search)
                return NULL;
        dequeue(search);
        (void)hf_user_scan_free(search->scan);
        free(search);
        return NULL;
}

unsigned int hf_searches_count(const struct hf_server *server)
{
        unsigned int n = 0;

        for (const struct hf_search *i = server->searches; i; i = i->next)
                n++;
        return n;
}
