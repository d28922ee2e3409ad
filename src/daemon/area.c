/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/area.h"

/* Slots beyond the limits of clients: for connections that are being refused. */
#define SPARE_SLOTS 64

size_t hf_area_size(const struct hf_config *config)
{
        size_t slots = (size_t)config->max_clients + config->admin_max_clients + HF_READERS_MAX +
                       SPARE_SLOTS;

        return sizeof(struct hf_area) + slots * sizeof(struct hf_session_slot);
}

void hf_area_set_size(struct hf_area *area, size_t size)
{
        area->n_slots = (uint32_t)((size - sizeof(*area)) / sizeof(area->slots[0]));
        /* For what a server that crashed may have stored here. */
        if (area->n_touched > area->n_slots)
                area->n_touched = area->n_slots;
        if (area->n_listeners > HF_LISTENERS_MAX)
                area->n_listeners = HF_LISTENERS_MAX;
}

void hf_area_init(struct hf_area *area, size_t size)
{
        /* What is not touched costs no memory. */
        area->table_fd = -1;
        area->pid_fd = -1;
        area->stock_pid_fd = -1;
        area->report_fd = -1;
        hf_event_init(&area->events);
        hf_area_set_size(area, size);
}

void hf_area_complete(struct hf_area *area)
{
        atomic_store_explicit(&area->complete, 1, memory_order_release);
}

bool hf_area_is_complete(const struct hf_area *area)
{
        return atomic_load_explicit(&area->complete, memory_order_acquire);
}
