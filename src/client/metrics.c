/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon's numbers. */
#include "client/list.h"

#include "base/cleanup.h"

#include <string.h>

static void free_metric(const struct holdfast_metric *metric)
{
        if (!metric)
                return;
        free((char *)(uintptr_t)metric->name);
        free((char *)(uintptr_t)metric->help);
        free((struct holdfast_metric *)(uintptr_t)metric);
}

static struct holdfast_metric *make_metric(const struct hf_holdfast_metric *from)
{
        struct holdfast_metric *metric = calloc(1, sizeof(*metric));

        if (!metric)
                return NULL;
        *metric = (struct holdfast_metric){
                .size = sizeof(*metric),
                .name = strdup(from->name),
                .gauge = from->gauge,
                .value = from->value,
                .help = strdup(from->help),
        };
        if (metric->name && metric->help)
                return metric;
        free_metric(metric);
        return NULL;
}

HF_PUBLIC void holdfast_metric_list_free(struct holdfast_metric_list *list)
{
        if (!list)
                return;
        for (size_t i = 0; i < list->n; i++)
                free_metric(list->metrics[i]);
        free((void *)(uintptr_t)list->metrics);
        free(list);
}

static void list_freep(struct holdfast_metric_list **list)
{
        holdfast_metric_list_free(*list);
}

static int add_metrics(struct holdfast_metric_list *list,
                       const struct hf_holdfast_metrics_ret *from)
{
        for (size_t i = 0; i < from->metrics.metrics_len; i++) {
                void **array = (void **)(uintptr_t)list->metrics;
                struct holdfast_metric *metric;

                if (hf_list_make_room(&array, list->n) < 0)
                        return -ENOMEM;
                list->metrics = (const struct holdfast_metric *const *)array;
                metric = make_metric(&from->metrics.metrics_val[i]);
                if (!metric)
                        return -ENOMEM;
                array[list->n++] = metric;
        }
        return 0;
}

HF_PUBLIC int holdfast_get_metrics(unsigned int flags, struct holdfast_metric_list **ret,
                                   struct holdfast_error *err)
{
        hf_cleanup(list_freep) struct holdfast_metric_list *list = NULL;
        hf_cleanup_query struct hf_query own = HF_QUERY_INIT, system = HF_QUERY_INIT;
        struct hf_query *query = &own;
        struct hf_holdfast_metrics_ret answer = {0};
        int r = hf_list_check_flags(flags, err);

        if (r < 0)
                return r;
        r = hf_query_open(&own, err);
        if (r < 0 && !hf_query_open_system(&system))
                return r;
        if (r < 0)
                query = &system;
        list = calloc(1, sizeof(*list));
        if (!list)
                return hf_fail_no_memory(err);
        list->size = sizeof(*list);
        r = hf_query_call(query, HF_HOLDFAST_METRICS, NULL, NULL,
                          (xdrproc_t)xdr_hf_holdfast_metrics_ret, &answer, err);
        if (r < 0)
                return r;
        r = add_metrics(list, &answer);
        hf_rpc_free((xdrproc_t)xdr_hf_holdfast_metrics_ret, &answer);
        if (r < 0)
                return hf_fail_no_memory(err);
        *ret = hf_steal_ptr(list);
        return 0;
}
