/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/pr.h"

#include "base/cleanup.h"

#include <string.h>

/* Looking: one IN command each, and its data as structures. */

/* What fits one answer: 8 bytes of header, 8 a key; 24 and the shortest of an id a registrant. */
#define KEYS_MAX        ((HF_PR_DATA_MAX - 8) / 8)
#define REGISTRANTS_MAX ((HF_PR_DATA_MAX - 8) / 24)

static int ask(struct holdfast_pr *pr, int fd, unsigned int action,
               uint8_t data[static HF_PR_DATA_MAX], size_t *ret_n, struct holdfast_error *err)
{
        uint8_t cdb[HF_PR_CDB_SIZE];
        struct hf_scsi_result result = {0};
        int r;

        hf_pr_in_encode(action, HF_PR_DATA_MAX, cdb);
        r = hf_pr_ask(pr, fd, cdb, data, &result, err);
        if (r >= 0)
                *ret_n = result.size;
        return r;
}

static int not_understood(unsigned int action, struct holdfast_error *err)
{
        return hf_fail(err, EBADMSG, HOLDFAST_E_PROTOCOL,
                       "the device's answer to %s makes no sense", hf_pr_in_name(action));
}

HF_PUBLIC int holdfast_pr_read_keys(struct holdfast_pr *pr, int fd, struct holdfast_pr_keys **ret,
                                    struct holdfast_error *err)
{
        uint8_t data[HF_PR_DATA_MAX];
        hf_cleanup_free uint64_t *keys = calloc(KEYS_MAX, sizeof(*keys));
        hf_cleanup_free struct holdfast_pr_keys *list = calloc(1, sizeof(*list));
        uint32_t generation;
        size_t n, all;
        int r;

        if (!keys || !list)
                return hf_fail_no_memory(err);
        r = ask(pr, fd, HF_PR_READ_KEYS, data, &n, err);
        if (r < 0)
                return r;
        r = hf_pr_keys_decode(data, n, &generation, keys, KEYS_MAX, &all);
        if (r < 0)
                return not_understood(HF_PR_READ_KEYS, err);
        *list = (struct holdfast_pr_keys){
                .size = sizeof(*list),
                .generation = generation,
                .n_all = all,
                .n = (size_t)r,
                .keys = hf_steal_ptr(keys),
        };
        *ret = hf_steal_ptr(list);
        return 0;
}

HF_PUBLIC void holdfast_pr_keys_free(struct holdfast_pr_keys *keys)
{
        if (!keys)
                return;
        free((uint64_t *)(uintptr_t)keys->keys);
        free(keys);
}

HF_PUBLIC int holdfast_pr_read_reservation(struct holdfast_pr *pr, int fd,
                                           struct holdfast_pr_reservation *ret,
                                           struct holdfast_error *err)
{
        uint8_t data[HF_PR_DATA_MAX];
        struct hf_pr_reservation found;
        size_t n;
        int r;

        if (!HF_HAS(ret, key))
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "the reservation has no size");
        r = ask(pr, fd, HF_PR_READ_RESERVATION, data, &n, err);
        if (r < 0)
                return r;
        if (hf_pr_reservation_decode(data, n, &found) < 0)
                return not_understood(HF_PR_READ_RESERVATION, err);
        ret->generation = found.generation;
        ret->type = found.type;
        ret->key = found.key;
        return 0;
}

HF_PUBLIC int holdfast_pr_read_capabilities(struct holdfast_pr *pr, int fd,
                                            struct holdfast_pr_capabilities *ret,
                                            struct holdfast_error *err)
{
        uint8_t data[HF_PR_DATA_MAX];
        struct hf_pr_capabilities found;
        size_t n;
        int r;

        if (!HF_HAS(ret, replace_lost))
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "the capabilities have no size");
        r = ask(pr, fd, HF_PR_REPORT_CAPABILITIES, data, &n, err);
        if (r < 0)
                return r;
        if (hf_pr_capabilities_decode(data, n, &found) < 0)
                return not_understood(HF_PR_REPORT_CAPABILITIES, err);
        ret->types = found.tmv ? found.type_mask : 0;
        ret->persists = found.ptpl_c;
        ret->persisting = found.ptpl_a;
        ret->specify_initiators = found.sip_c;
        ret->all_ports = found.atp_c;
        ret->compatible = found.crh;
        ret->replace_lost = found.rlr_c;
        return 0;
}

/* ---- who is registered ------------------------------------------------------------------ */

/* The public list, and behind it all that it points to. */
struct registrants {
        struct holdfast_pr_registrant_list list;
        const struct holdfast_pr_registrant **pointers;
        struct holdfast_pr_registrant *items;
        char (*texts)[HF_TRANSPORT_TEXT_MAX];
};

static void registrants_free(struct registrants *all)
{
        if (!all)
                return;
        free(all->pointers);
        free(all->items);
        free(all->texts);
        free(all);
}

static struct registrants *registrants_new(size_t n)
{
        struct registrants *all = calloc(1, sizeof(*all));

        if (!all)
                return NULL;
        /* One more, as no memory for nothing may be NULL. */
        all->pointers = calloc(n + 1, sizeof(*all->pointers));
        all->items = calloc(n + 1, sizeof(*all->items));
        all->texts = calloc(n + 1, sizeof(*all->texts));
        if (all->pointers && all->items && all->texts)
                return all;
        registrants_free(all);
        return NULL;
}

static void take(struct registrants *all, size_t i, const struct hf_pr_registrant *found)
{
        hf_transport_id_text(&found->id, all->texts[i]);
        all->items[i] = (struct holdfast_pr_registrant){
                .size = sizeof(all->items[i]),
                .key = found->key,
                .holder = found->holder,
                .type = found->holder ? found->type : HOLDFAST_PR_NONE,
                .all_ports = found->all_tg_pt,
                .port = found->port,
                .initiator = all->texts[i],
        };
        all->pointers[i] = &all->items[i];
}

HF_PUBLIC int holdfast_pr_read_registrants(struct holdfast_pr *pr, int fd,
                                           struct holdfast_pr_registrant_list **ret,
                                           struct holdfast_error *err)
{
        uint8_t data[HF_PR_DATA_MAX];
        hf_cleanup_free struct hf_pr_registrant *found = calloc(REGISTRANTS_MAX, sizeof(*found));
        struct registrants *all;
        uint32_t generation;
        size_t n, n_all;
        int r;

        if (!found)
                return hf_fail_no_memory(err);
        r = ask(pr, fd, HF_PR_READ_FULL_STATUS, data, &n, err);
        if (r < 0)
                return r;
        r = hf_pr_full_status_decode(data, n, &generation, found, REGISTRANTS_MAX, &n_all);
        if (r < 0)
                return not_understood(HF_PR_READ_FULL_STATUS, err);
        n = (size_t)r;
        all = registrants_new(n);
        if (!all)
                return hf_fail_no_memory(err);
        for (size_t i = 0; i < n; i++)
                take(all, i, &found[i]);
        all->list = (struct holdfast_pr_registrant_list){
                .size = sizeof(all->list),
                .generation = generation,
                .n_all = n_all,
                .n = n,
                .registrants = all->pointers,
        };
        *ret = &all->list;
        return 0;
}

HF_PUBLIC void holdfast_pr_registrant_list_free(struct holdfast_pr_registrant_list *list)
{
        registrants_free((struct registrants *)list);
}
