/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/holder.h"

#include "base/log.h"
#include "base/process.h"

#include <string.h>

#define MODULE "daemon.holder"

void hf_holder_know_self(struct hf_server *server)
{
        struct hf_record *self = &server->self;
        uint64_t start = 0;

        hf_record_set_self(self);
        /*
         * The life of the daemon is that of the process that stands for it, so a server that
         * follows a killed one and a new program come to the same number. Never 0.
         */
        (void)hf_process_start(server->pids[0], &start);
        self->epoch = (start << 24 | (uint64_t)server->pids[0]) + 1;
}

static void fill(const struct hf_acquire_job *job, struct hf_record *ret)
{
        struct hf_server *server = job->server;
        const struct hf_owner *owner = hf_table_owner(server->table, job->request.owner);

        *ret = server->self;
        ret->shared = job->request.shared;
        ret->pid = owner->pid;
        ret->since = job->since;
        memcpy(ret->uuid, owner->uuid, sizeof(ret->uuid));
        (void)snprintf(ret->via, sizeof(ret->via), "%s", job->via);
        hf_record_set_vm(ret, hf_table_string(server->table, owner->name));
        hf_record_set_resource(ret, job->image ? job->image : job->name);
        hf_record_set_lockspace(ret,
                                hf_table_lockspace_path(server->table, job->request.lockspace));
}

void hf_holder_fill(const struct hf_acquire_job *job, struct hf_order *ret)
{
        ret->records = job->server->config->holder_records;
        ret->record_inside = hf_acquire_is_stand_in(job);
        if (ret->records)
                fill(job, &ret->record);
}

void hf_holder_clear(const struct hf_server *server, bool inside, struct hf_order *ret)
{
        ret->records = true;
        ret->record_inside = inside;
        ret->record = server->self;
        /* While the lock is ours, so is any record of this host: also one of an earlier life. */
        ret->record.epoch = 0;
}

void hf_holder_write(const struct hf_acquire_job *job, int fd)
{
        struct hf_guarantee_of guarantee;
        struct hf_record record;

        hf_work_guarantee(job->server, &job->result.file, &guarantee);
        if (!job->server->config->holder_records || guarantee.level != HF_LEVEL_CLUSTER_ADVISORY)
                return;
        fill(job, &record);
        hf_holder_report(job, hf_record_write(fd, hf_acquire_is_stand_in(job), &record));
}

void hf_holder_report(const struct hf_acquire_job *job, int status)
{
        if (status < 0)
                hf_log(HF_LOG_DEBUG, MODULE, "the lock of %s has no record for other hosts: %s",
                       job->path, strerrordesc_np(-status));
}

void hf_holder_note(struct hf_acquire_job *job, const struct hf_record *record)
{
        job->is_elsewhere = !hf_record_same_host(record, &job->server->self);
        if (job->is_elsewhere)
                job->elsewhere = *record;
}

void hf_holder_describe(const struct hf_server *server, const struct hf_record *record,
                        char buf[static HF_DESCRIPTION_MAX])
{
        const struct hf_description who = {
                .name = record->vm,
                .host = record->host,
                .via = record->via,
                .pid = record->pid,
                .since = record->since,
                .more = "",
        };

        hf_describe(&who, hf_server_wall_clock(server), buf);
}

const char *hf_holder_reach(struct hf_server *server, const struct hf_thing *file)
{
        struct hf_guarantee_of guarantee;

        hf_work_guarantee(server, file, &guarantee);
        return guarantee.level == HF_LEVEL_CLUSTER_ADVISORY ? " (cluster-advisory)" : "";
}
