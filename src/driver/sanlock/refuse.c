/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Refusals in words, with all that can be found out about who stands in the way. */
#include "driver/sanlock/take.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"
#include "driver/sanlock/codes.h"
#include "driver/sanlock/holders.h"

#include <endian.h>
#include <fcntl.h>
#include <sanlock_admin.h>
#include <sanlock_rv.h>
#include <string.h>

/* The words are worth that much of the caller's time, and no more. */
#define LOOK_NS (5 * 1000000000ULL)

static const char *kind_of(const struct hf_sanlock_lease *lease)
{
        return lease->made ? "disk" : "lease";
}

static void append(struct hf_lock_error *err, const char *words, const char *more)
{
        size_t used = strlen(err->text);

        (void)snprintf(err->text + used, sizeof(err->text) - used, "%s%s", words, more);
}

/* Who it is, of this host or another one. */
static void append_holder(struct hf_lock_error *err, const struct hf_lock_holder *holder)
{
        char words[sizeof(holder->name) + sizeof(holder->state) + 64] = "";

        if (holder->pid)
                (void)snprintf(words, sizeof(words), "by %s%s(pid %d)", holder->name,
                               *holder->name ? " " : "", holder->pid);
        else
                (void)snprintf(words, sizeof(words), "%s", holder->state);
        if (*words)
                append(err, "; ", words);
}

static uint64_t look_until(const struct hf_sanlock_take *take)
{
        uint64_t until = hf_clock_nsec(CLOCK_MONOTONIC) + LOOK_NS;

        return until < take->session->deadline ? until : take->session->deadline;
}

/* Fills *ret; whether anybody was found. */
static bool look(const struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                 struct hf_lock_holder *ret)
{
        hf_cleanup_holders struct hf_sanlock_holders holders = {
                .paths = &take->vm->driver->paths,
                .deadline = look_until(take),
                .self = take->vm->who.pid,
        };

        return hf_sanlock_holder_of(&holders, lease, ret);
}

/* What of a lease's first sector is of use for words: by sanlock's format, little endian. */
struct leader {
        uint32_t magic, version, flags, sector_size;
        uint64_t num_hosts, max_hosts, owner, generation, lver;
};

#define LEADER_MAGIC 0x06152010

/*
 * The host that had the lease last, which the daemon tells only while one has it; 0: not known,
 * as where this process may not read there.
 */
static uint64_t last_owner(const struct hf_sanlock_lease *lease, uint64_t lver)
{
        hf_cleanup_fd int fd = open(lease->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct leader leader;

        if (fd < 0 || pread(fd, &leader, sizeof(leader), (off_t)lease->offset) != sizeof(leader) ||
            le32toh(leader.magic) != LEADER_MAGIC || le64toh(leader.lver) != lver)
                return 0;
        return le64toh(leader.owner);
}

/* ", last by host 2 (beta)", or nothing. */
static void last_words(const struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                       uint64_t lver, char *text, size_t size)
{
        hf_cleanup_free struct hf_sanlock_host *hosts = NULL;
        uint64_t id = last_owner(lease, lver);
        const char *name = "";
        size_t n = 0;

        *text = '\0';
        if (!id)
                return;
        (void)hf_sanlock_hosts_read(lease->lockspace, look_until(take), &hosts, &n, NULL);
        for (size_t i = 0; i < n; i++)
                if (hosts[i].id == id)
                        name = hosts[i].name;
        (void)snprintf(text, size, ", last by host %llu%s%s%s", (unsigned long long)id,
                       *name ? " (" : "", name, *name ? ")" : "");
}

static void version_words(const struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                          char *text, size_t size)
{
        const struct sanlk_resource *item = hf_sanlock_take_demanded(take, lease);
        struct hf_sanlock_resource now;
        char last[128];

        *text = '\0';
        hf_sanlock_lease_resource(lease, &now);
        now.res.flags = 0;
        if (!item || sanlock_read_resource(&now.res, 0) < 0)
                return;
        last_words(take, lease, now.res.lver, last, sizeof(last));
        (void)snprintf(text, size, " (version %llu then, %llu now%s)",
                       (unsigned long long)item->lver, (unsigned long long)now.res.lver, last);
}

static int refuse_stale(const struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease,
                        struct hf_lock_error *err)
{
        char versions[256];

        version_words(take, lease, versions, sizeof(versions));
        return hf_driver_refuse(err, ESTALE, HF_LOCK_E_STALE,
                                "the lease of %s %s was used elsewhere since VM %s was paused%s: "
                                "what is on it may have changed. Do not resume it: stop the VM, "
                                "and start it anew",
                                kind_of(lease), lease->label, take->vm->who.name, versions);
}

/* Nobody has it any more, or a process that has ended: the daemon will notice. */
static bool is_gone(const struct hf_lock_holder *holder, bool found)
{
        uint64_t start;

        return !found || (holder->pid > 0 && hf_process_start(holder->pid, &start) == -ESRCH);
}

int hf_sanlock_refuse(struct hf_sanlock_take *take, const struct hf_sanlock_lease *lease, int rv,
                      struct hf_lock_error *err)
{
        struct hf_lock_holder found = {.size = sizeof(found)};
        bool known;
        int r;

        if (rv == SANLK_ACQUIRE_LVER)
                return refuse_stale(take, lease, err);
        r = hf_sanlock_fail(err, HF_SANLOCK_ACQUIRE, rv, "cannot lock %s %s", kind_of(lease),
                            lease->label);
        if (r != -EBUSY) {
                append(err, ", lease file ", lease->path);
                return r;
        }
        known = look(take, lease, &found);
        take->gone = is_gone(&found, known);
        if (known)
                append_holder(err, &found);
        (void)snprintf(found.resource, sizeof(found.resource), "%s", lease->label);
        if (take->holder) {
                size_t size = take->holder->size < sizeof(found) ? take->holder->size
                                                                 : sizeof(found);

                found.size = take->holder->size;
                memcpy(take->holder, &found, size);
        }
        return r;
}
