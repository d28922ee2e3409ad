/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/foreign.h"

#include "cli/lookaside.h"
#include "cli/message.h"
#include "cli/reach.h"

#include "base/cleanup.h"
#include "base/process.h"
#include "storage/resource.h"

#include <fcntl.h>
#include <holdfast/holdfast.h>
#include <stdio.h>
#include <string.h>

/* Processes looked at in one go; nobody waits for us meanwhile. */
#define SCAN_STEP 4096

bool hf_foreign_is_locked(int fd, short type, off_t byte)
{
        struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

        return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int hf_foreign_opposes(const struct hf_plan_image *image, bool with_daemons)
{
        bool reads = image->flags & HF_VM_DISK_READONLY, shares = image->flags & HF_VM_DISK_SHARED;
        hf_cleanup_fd int fd = open(image->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        if (with_daemons &&
            hf_foreign_is_locked(fd, reads || shares ? F_RDLCK : F_WRLCK, HF_DAEMON_BYTE))
                return 1;
        /* QEMU takes read locks only, which a write lock would run against. */
        if (!shares && hf_foreign_is_locked(fd, F_WRLCK, HF_QEMU_USES + HF_QEMU_WRITING))
                return 1;
        return !reads && hf_foreign_is_locked(fd, F_WRLCK, HF_QEMU_FORBIDS + HF_QEMU_WRITING);
}

int hf_foreign_know(struct hf_foreign_known *known, pid_t pid)
{
        pid_t *grown = reallocarray(known->pids, known->n + 1, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        known->pids = grown;
        known->pids[known->n++] = pid;
        return 0;
}

void hf_foreign_forget(struct hf_foreign_known *known)
{
        free(known->pids);
        *known = (struct hf_foreign_known){0};
}

/* The parent of a process, or 0. */
static pid_t parent_of(pid_t pid)
{
        hf_cleanup_file FILE *file = NULL;
        char path[64], line[256];
        const char *rest;
        int parent = 0;

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        file = fopen(path, "re");
        if (!file || !fgets(line, sizeof(line), file))
                return 0;
        /* The name stands in parentheses and may hold some itself. */
        rest = strrchr(line, ')');
        return rest && sscanf(rest + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

int hf_foreign_know_daemon(struct hf_foreign_known *known, pid_t pid)
{
        known->daemon = pid;
        return hf_foreign_know(known, pid);
}

static bool is_known(const struct hf_foreign_known *known, pid_t pid)
{
        for (size_t i = 0; i < known->n; i++)
                if (known->pids[i] == pid)
                        return true;
        return known->daemon && parent_of(pid) == known->daemon;
}

static void end_scan(struct hf_user_scan **scan)
{
        *scan = hf_user_scan_free(*scan);
}

int hf_foreign_find(const struct hf_thing *thing, const struct hf_foreign_known *known,
                    void (*told)(const struct hf_user *user, void *context), void *context)
{
        hf_cleanup(end_scan) struct hf_user_scan *scan = NULL;
        const struct hf_user *users;
        size_t n;
        const pid_t skip[] = {getpid(), 0};
        int r = hf_user_scan_new(thing, skip, &scan), found = 0;

        if (r < 0)
                return r;
        while (hf_user_scan_step(scan, SCAN_STEP) > 0)
                ;
        users = hf_user_scan_result(scan, &n);
        for (size_t i = 0; i < n; i++) {
                if (!(users[i].locks || users[i].writes) || is_known(known, users[i].pid))
                        continue;
                told(&users[i], context);
                found++;
        }
        return found;
}

const char *hf_foreign_means(const struct hf_user *user)
{
        if (user->our_byte)
                return "another lock daemon";
        if (user->locks)
                return "by locks of its own, not by Holdfast";
        return "writes it without any lock";
}

struct opponent {
        struct hf_user user;
        bool found;
};

/* A writer says more than a reader. */
static void note_opponent(const struct hf_user *user, void *context)
{
        struct opponent *opponent = context;

        if (!opponent->found || (user->writes && !opponent->user.writes))
                opponent->user = *user;
        opponent->found = true;
}

/* A VM of another daemon that we may ask; our own daemon may know us as a holder already. */
static bool name_locker(const struct hf_plan_image *image, char text[static HF_HOLDER_TEXT_MAX])
{
        struct holdfast_lock_list *list;
        bool found = false;

        if (holdfast_who(image->path, 0, &list, NULL) < 0)
                return false;
        for (size_t i = 0; i < list->n && !found; i++) {
                const struct holdfast_lock_info *lock = list->locks[i];

                found = lock->vm->pid != getpid() &&
                        hf_lock_opposes(lock, hf_plan_image_shared(image));
                if (found)
                        hf_lock_holder_text(lock, NULL, text);
        }
        holdfast_lock_list_free(list);
        return found;
}

/* At another host, as its record says, or nobody knows where. */
static void name_elsewhere(const struct hf_plan_image *image, char text[static HF_HOLDER_TEXT_MAX])
{
        struct hf_guarantee_of guarantee;
        enum hf_record_verdict verdict;
        struct hf_record record;

        if (hf_record_look(image->path, &record, &verdict) >= 0 && verdict == HF_RECORD_HELD) {
                (void)hf_message_clean(hf_reach_holder_text(&record, text));
                return;
        }
        hf_reach_of(image->path, &image->thing, &guarantee);
        (void)snprintf(text, HF_HOLDER_TEXT_MAX, "%s",
                       guarantee.level == HF_LEVEL_CLUSTER_ADVISORY
                               ? "an unknown party: on another host (a virtlockd?), or a process "
                                 "that we may not look at"
                               : "a process that we may not look at, or one on another host");
}

char *hf_foreign_opponent(const struct hf_plan_image *image, char text[static HF_HOLDER_TEXT_MAX])
{
        struct hf_foreign_known known = {0};
        struct opponent opponent = {0};
        struct holdfast_daemon_info *daemon;

        /* Our daemon holds its locks for others; it would have named them. */
        if (holdfast_get_daemon_info(&daemon, NULL) >= 0) {
                (void)hf_foreign_know_daemon(&known, daemon->pid);
                holdfast_daemon_info_free(daemon);
        }
        (void)hf_foreign_find(&image->thing, &known, note_opponent, &opponent);
        hf_foreign_forget(&known);
        if (opponent.found) {
                (void)snprintf(text, HF_HOLDER_TEXT_MAX, "%s (pid %d, %s)", opponent.user.comm,
                               (int)opponent.user.pid, hf_foreign_means(&opponent.user));
                return hf_message_clean(text);
        }
        if (!name_locker(image, text))
                name_elsewhere(image, text);
        return text;
}

bool hf_foreign_opposes_aside(const struct hf_plan_image *image,
                              char text[static HF_HOLDER_TEXT_MAX])
{
        hf_cleanup_lookaside struct hf_lookaside lookaside = {0};
        struct hf_plan_image aside = {.flags = image->flags};

        if (hf_lookaside_of(image->path, &lookaside, NULL) < 0 || !lookaside.file ||
            hf_resource_identify(lookaside.file, &aside.thing) < 0)
                return false;
        aside.path = lookaside.file;
        if (hf_foreign_opposes(&aside, true) <= 0)
                return false;
        hf_foreign_opponent(&aside, text);
        return true;
}
