/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/dangers.h"

#include "cli/lookaside.h"
#include "cli/message.h"
#include "cli/reach.h"

#include "base/cleanup.h"
#include "storage/nfs-lease.h"
#include "storage/resource.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

/* What is known of an image and of its lock. */
struct ground {
        const struct hf_plan_image *image;
        struct hf_lookaside lookaside;
        uint64_t directory;                /* inode of its directory; 0: none, or none yet */
        struct hf_guarantee_of disk, lock; /* what a lock on the disk, and its own, is worth */
        struct hf_record self;
        hf_danger_fn tell;
        void *ctx;
};

static void tell(const struct ground *ground, const char *key, bool among_hosts, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

static void tell(const struct ground *ground, const char *key, bool among_hosts, const char *format,
                 ...)
{
        struct hf_danger danger = {.key = key, .among_hosts = among_hosts};
        va_list args;

        va_start(args, format);
        (void)vsnprintf(danger.text, sizeof(danger.text), format, args);
        va_end(args);
        ground->tell(ground->ctx, &danger);
}

static const char *name_of(const struct ground *ground)
{
        return ground->image->path;
}

/* ---- how far the lock goes ---- */

/* Whether other hosts may have the disk, as far as this one can tell. */
static bool may_be_shared(const struct ground *ground)
{
        return ground->image->thing.kind == HF_THING_BLOCK || ground->disk.unsafe ||
               ground->disk.level == HF_LEVEL_CLUSTER_ADVISORY;
}

static void judge_reach(const struct ground *ground)
{
        const char *dir = ground->lookaside.dir;

        if (!dir && ground->image->thing.kind == HF_THING_BLOCK)
                tell(ground, "device-node", false,
                     "%s is a device node of this host: if other hosts have the disk too, they do "
                     "not see its lock; set lvm_lockspace_dir, scsi_lockspace_dir or "
                     "file_lockspace_dir to a directory that they share",
                     name_of(ground));
        else if (ground->lock.unsafe)
                tell(ground, "no-reach", false,
                     "%s: its lock%s%s does not keep other hosts off: %s", name_of(ground),
                     dir ? " in " : "", dir ? dir : "", ground->lock.reason);
        else if (dir && ground->lock.level == HF_LEVEL_HOST && may_be_shared(ground))
                tell(ground, "local-lockspace", false,
                     "%s may be had by other hosts, but the lock file in %s is not seen by them "
                     "(%s): the lockspace directory has to be on a filesystem that they share",
                     name_of(ground), dir, ground->lock.reason);
}

static void judge_kernel(const struct ground *ground)
{
        if (ground->lock.level == HF_LEVEL_CLUSTER_ADVISORY &&
            !strncmp(ground->lock.reason, "nfs", 3) && hf_nfs_retakes_locks())
                tell(ground, "recover-lost-locks", false,
                     "%s: this kernel takes locks again that a file server has given away "
                     "(parameter recover_lost_locks of its module nfs), and nobody can notice the "
                     "loss; set it to N",
                     name_of(ground));
}

/* ---- what other hosts have written ---- */

static bool is_set(const uint8_t id[static 16])
{
        static const uint8_t none[16];

        return memcmp(id, none, sizeof(none)) != 0;
}

/* Its machine is another one; or this one, which then has been started since. */
static bool is_another_machine(const struct ground *ground, const struct hf_record *record,
                               bool held)
{
        const struct hf_record *self = &ground->self;

        if (is_set(record->machine) && is_set(self->machine) &&
            memcmp(record->machine, self->machine, sizeof(self->machine)) != 0)
                return true;
        /* A clone: for what a machine had before it was started again, it holds no lock. */
        return held && memcmp(record->boot, self->boot, sizeof(self->boot)) != 0;
}

static void judge_client_id(const struct ground *ground, const struct hf_record *record, bool held)
{
        if (strncmp(ground->lock.reason, "nfs", 3) != 0 || !is_set(record->nfs_client) ||
            memcmp(record->nfs_client, ground->self.nfs_client, sizeof(record->nfs_client)) != 0 ||
            !is_another_machine(ground, record, held))
                return;
        tell(ground, "same-client-id", true,
             "%s: the host that had its lock last (%s, for %s) has the same NFS client id as this "
             "one: the file server takes the two for one host and drops the locks of each in turn; "
             "give each host its own name, or its own nfs4_unique_id",
             name_of(ground), record->host, record->vm);
}

/* In one directory a disk has a name for each path that it is given by. */
static void judge_path(const struct ground *ground, const struct hf_record *record)
{
        struct hf_record own = {0};

        hf_record_set_resource(&own, name_of(ground));
        if (strcmp(own.resource, record->resource) != 0)
                tell(ground, "other-path", true,
                     "%s: host %s locks this disk by another path, %s: neither sees the other's "
                     "lock; give both the same path",
                     name_of(ground), record->host, record->resource);
}

/* Where another host locks this disk, by the record beside it. */
static void judge_place(const struct ground *ground, const struct hf_record *record)
{
        bool word = hf_lookaside_is_word(name_of(ground), record);

        if (hf_record_same_host(record, &ground->self) || (!word && !ground->lookaside.dir))
                return;
        if (word && record->directory == ground->directory) {
                judge_path(ground, record);
                return;
        }
        tell(ground, "other-lockspace", true,
             "%s: host %s locks this disk %s%s, and this host %s%s: neither sees the other's lock; "
             "give both the same settings (file_lockspace_dir and its like)",
             name_of(ground), record->host, word ? "in " : "itself", word ? record->lockspace : "",
             ground->lookaside.dir ? "in " : "itself",
             ground->lookaside.dir ? ground->lookaside.dir : "");
}

static void judge_records(const struct ground *ground)
{
        enum hf_record_verdict verdict;
        struct hf_record record;

        if (ground->lookaside.file &&
            hf_record_look(ground->lookaside.file, &record, &verdict) >= 0 &&
            hf_record_was_found(verdict))
                judge_client_id(ground, &record, verdict == HF_RECORD_HELD);
        if (ground->image->thing.kind != HF_THING_FILE ||
            hf_record_look(name_of(ground), &record, &verdict) < 0 || !hf_record_was_found(verdict))
                return;
        if (!ground->lookaside.file)
                judge_client_id(ground, &record, verdict == HF_RECORD_HELD);
        judge_place(ground, &record);
}

/* Whether all of it could be found out. */
static bool survey(struct ground *ground)
{
        const char *dir;
        struct stat st;

        if (ground->image->problem ||
            hf_lookaside_of(name_of(ground), &ground->lookaside, NULL) < 0)
                return false;
        hf_reach_of(name_of(ground), &ground->image->thing, &ground->disk);
        hf_lookaside_reach(&ground->lookaside, name_of(ground), &ground->image->thing,
                           &ground->lock);
        dir = ground->lookaside.dir;
        if (dir && stat(dir, &st) == 0)
                ground->directory = st.st_ino;
        hf_record_set_self(&ground->self);
        return true;
}

static void judge(const struct ground *ground)
{
        judge_reach(ground);
        judge_kernel(ground);
        judge_records(ground);
}

/* ---- a word for other hosts ---- */

/*
 * Another host's word stays while that host has its lock: who comes after us has to be warned of
 * it, too. Seen where its directory is here as well.
 */
static bool is_anothers(const struct ground *ground)
{
        hf_cleanup_free char *hash = NULL, *file = NULL;
        enum hf_record_verdict verdict;
        struct hf_record record;

        if (hf_record_look(name_of(ground), &record, &verdict) < 0 ||
            !hf_record_was_found(verdict) || !hf_lookaside_is_word(name_of(ground), &record) ||
            hf_record_same_host(&record, &ground->self) || record.directory == ground->directory)
                return false;
        hash = hf_name_hash(record.resource);
        if (!hash || asprintf(&file, "%s/%s", record.lockspace, hash) < 0) {
                file = NULL;
                return false;
        }
        return hf_record_look(file, &record, &verdict) >= 0 &&
               (verdict == HF_RECORD_HELD || verdict == HF_RECORD_UNKNOWN);
}

static void write_word(const struct ground *ground, const struct hf_plan *plan)
{
        hf_cleanup_fd int fd = open(name_of(ground), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        struct hf_record record = ground->self;

        if (fd < 0)
                return;
        record.shared = hf_plan_image_shared(ground->image);
        record.pid = getpid();
        record.directory = ground->directory;
        memcpy(record.uuid, plan->vm_uuid, sizeof(record.uuid));
        (void)snprintf(record.via, sizeof(record.via), "holdfast run");
        hf_record_set_vm(&record, plan->vm_name);
        hf_record_set_resource(&record, name_of(ground));
        hf_record_set_lockspace(&record, ground->lookaside.dir);
        (void)hf_record_write(fd, false, &record);
}

/* ---- what is asked for ---- */

void hf_dangers_of_image(const struct hf_plan_image *image, hf_danger_fn tell_fn, void *ctx)
{
        struct ground ground = {.image = image, .tell = tell_fn, .ctx = ctx};

        if (survey(&ground))
                judge(&ground);
        hf_lookaside_clear(&ground.lookaside);
}

void hf_dangers_at_start(const struct hf_plan_image *image, const struct hf_plan *plan,
                         hf_danger_fn tell_fn, void *ctx)
{
        struct ground ground = {.image = image, .tell = tell_fn, .ctx = ctx};

        if (survey(&ground)) {
                judge(&ground);
                if (ground.lookaside.dir && ground.directory &&
                    ground.disk.level == HF_LEVEL_CLUSTER_ADVISORY && !is_anothers(&ground))
                        write_word(&ground, plan);
        }
        hf_lookaside_clear(&ground.lookaside);
}
