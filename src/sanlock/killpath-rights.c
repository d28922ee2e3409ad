/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sanlock/killpath.h"

#include "base/process.h"

#include <grp.h>
#include <string.h>

/* Of /proc/PID/status; 65536 groups of at most 10 digits are possible, and some hundred usual. */
#define STATUS_SIZE (1024 * 1024)
#define GROUPS_MAX  65536

struct rights {
        uid_t uids[4]; /* real, effective, saved, of files */
        gid_t gids[4];
        gid_t *groups;
        size_t n_groups;
};

static void clear_rights(struct rights *rights)
{
        free(rights->groups);
}

static const char *find_line(const char *text, const char *key)
{
        const char *at = strstr(text, key);

        return at && at > text && at[-1] == '\n' ? at + strlen(key) : NULL;
}

static bool read_four(const char *text, const char *key, unsigned int ret[static 4])
{
        const char *at = find_line(text, key);

        return at && sscanf(at, " %u %u %u %u", &ret[0], &ret[1], &ret[2], &ret[3]) == 4;
}

static int read_groups(const char *text, struct rights *rights)
{
        const char *at = find_line(text, "Groups:");

        if (!at)
                return -EIO;
        rights->groups = calloc(GROUPS_MAX, sizeof(*rights->groups));
        if (!rights->groups)
                return -ENOMEM;
        for (int used = 0; rights->n_groups < GROUPS_MAX; at += used) {
                unsigned int group;

                at += strspn(at, " \t");
                if (*at == '\n' || sscanf(at, "%u%n", &group, &used) != 1)
                        break;
                rights->groups[rights->n_groups++] = group;
        }
        return 0;
}

static int read_rights(pid_t pid, struct rights *rights)
{
        hf_cleanup_free char *text = calloc(1, STATUS_SIZE);
        hf_cleanup_file FILE *file = NULL;
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        file = fopen(path, "re");
        if (!file || !text)
                return file ? -ENOMEM : -errno;
        if (fread(text, 1, STATUS_SIZE - 1, file) == 0)
                return -EIO;
        /* The first line is the process's name, in which a line's end is written as \n. */
        if (!read_four(text, "Uid:", rights->uids) || !read_four(text, "Gid:", rights->gids))
                return -EIO;
        return read_groups(text, rights);
}

/* One of several users at once might be on its way to be somebody else. */
static bool is_all(const uid_t uids[static 4], uid_t uid)
{
        return uids[0] == uid && uids[1] == uid && uids[2] == uid && uids[3] == uid;
}

static int become(uid_t uid, const struct rights *rights, struct hf_error *err)
{
        gid_t gid = rights->gids[0];
        uid_t uids[3];

        if (setgroups(rights->n_groups, rights->groups) < 0 || setresgid(gid, gid, gid) < 0 ||
            setresuid(uid, uid, uid) < 0)
                return hf_error_sys(err, errno, "cannot become user %u", uid);
        if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 || uids[0] != uid || uids[1] != uid ||
            uids[2] != uid || setresuid((uid_t)-1, 0, (uid_t)-1) == 0)
                return hf_error_sys(err, EPERM, "cannot become user %u", uid);
        return 0;
}

int hf_killpath_rights(const struct hf_killpath *vm, struct hf_error *err)
{
        hf_cleanup(clear_rights) struct rights rights = {0};
        int r;

        if (vm->note.owner == 0)
                return 0;
        r = read_rights(vm->note.pid, &rights);
        /* The process of the pidfd still lives: so these were its own. */
        if (r >= 0 && hf_process_pidfd_is_dead(vm->pidfd) != 0)
                r = -ESRCH;
        if (r < 0)
                return hf_error_sys(err, -r, "cannot tell whose process %d is", vm->note.pid);
        if (!is_all(rights.uids, vm->note.owner))
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_LOCKING,
                                    "%s is not believed: user %u has written it, and process %d is "
                                    "another's",
                                    vm->note.path, vm->note.owner, vm->note.pid);
        return geteuid() == 0 ? become(vm->note.owner, &rights, err) : 0;
}
