/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/area.h"

#include <errno.h>

/* Slots beyond the limits of clients: for connections that are being refused. */
#define SPARE_SLOTS 64

#define PAGE        4096

static size_t stride(uint64_t scrollback)
{
        return (sizeof(struct hf_console) + scrollback + PAGE - 1) / PAGE * PAGE;
}

static uint32_t slots_of(const struct hf_con_config *config)
{
        /* Of each of the two sockets. */
        return 2 * config->max_clients + SPARE_SLOTS;
}

size_t hf_con_area_size(const struct hf_con_config *config)
{
        return sizeof(struct hf_con_area) + slots_of(config) * sizeof(struct hf_con_session_slot) +
               config->max_consoles * stride((uint64_t)config->scrollback * 1024);
}

void hf_con_area_init(struct hf_con_area *area, const struct hf_con_config *config)
{
        area->pid_fd = -1;
        area->report_fd = -1;
        for (size_t i = 0; i < HF_CON_LINKS; i++)
                area->links[i] = (struct hf_con_link_record){-1, -1, -1, -1, 0, false};
        area->scrollback = (uint64_t)config->scrollback * 1024;
        area->n_slots = slots_of(config);
        area->n_consoles = config->max_consoles;
}

bool hf_con_area_check(struct hf_con_area *area, size_t size)
{
        size_t left = size - sizeof(*area);

        if (area->n_slots > left / sizeof(area->slots[0]))
                return false;
        left -= area->n_slots * sizeof(area->slots[0]);
        if (area->scrollback > left || area->n_consoles > left / stride(area->scrollback))
                return false;
        if (area->n_touched > area->n_slots)
                area->n_touched = area->n_slots;
        if (area->n_consoles_touched > area->n_consoles)
                area->n_consoles_touched = area->n_consoles;
        if (area->n_listeners > HF_CON_LISTENERS_MAX)
                area->n_listeners = HF_CON_LISTENERS_MAX;
        return true;
}

struct hf_console *hf_con_area_console(struct hf_con_area *area, uint32_t index)
{
        uint8_t *begin = (uint8_t *)&area->slots[area->n_slots];

        return (struct hf_console *)(void *)(begin + index * stride(area->scrollback));
}

uint8_t *hf_con_area_bytes(struct hf_con_area *area, uint32_t index)
{
        return (uint8_t *)(hf_con_area_console(area, index) + 1);
}

void hf_con_area_complete(struct hf_con_area *area)
{
        atomic_store_explicit(&area->complete, 1, memory_order_release);
}

bool hf_con_area_is_complete(const struct hf_con_area *area)
{
        return atomic_load_explicit(&area->complete, memory_order_acquire);
}

static void each_of_session(const struct hf_con_session *session, void (*each)(void *data, int fd),
                            void *data)
{
        each(data, session->fd);
        if (session->client.token || session->intent == HF_CON_INTENT_ATTACH) {
                each(data, session->client.data_fd);
                each(data, session->client.peer_fd);
        }
}

static void each_of_console(const struct hf_console *console, void (*each)(void *data, int fd),
                            void *data)
{
        each(data, console->fd);
        each(data, console->vmm_fd);
        for (int i = 0; i < 2; i++) {
                each(data, console->out_pipe[i]);
                each(data, console->in_pipe[i]);
        }
}

void hf_con_area_each_fd(struct hf_con_area *area, void (*each)(void *data, int fd), void *data)
{
        each(data, area->pid_fd);
        each(data, area->report_fd);
        for (uint32_t i = 0; i < area->n_listeners; i++)
                each(data, area->listeners[i].fd);
        for (size_t i = 0; i < HF_CON_LINKS; i++) {
                each(data, area->links[i].near);
                each(data, area->links[i].far);
                each(data, area->links[i].pidfd);
                each(data, area->links[i].old);
        }
        for (uint32_t i = 0; i < area->n_touched; i++)
                if (hf_con_session_is_used(&area->slots[i].session))
                        each_of_session(&area->slots[i].session, each, data);
        for (uint32_t i = 0; i < area->n_consoles_touched; i++)
                if (hf_con_area_console(area, i)->id)
                        each_of_console(hf_con_area_console(area, i), each, data);
}
