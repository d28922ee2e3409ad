/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/nfs-lease.h"
#include "base/cleanup.h"
#include "storage/kernel-text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

/* linux/magic.h */
#define NFS_MAGIC 0x6969

/* A lease of more than a day would be a mistake, of the kernel's or of ours. */
#define SECONDS_MAX 86400U

struct hf_nfs_leases {
        char *text; /* the mounts' points lie in it */
        struct hf_nfs_lease *leases;
        size_t n;
};

/* ---- what the kernel says ---- */

/* "device SOURCE mounted on POINT with fstype TYPE [statvers=...]"; true for a type with leases. */
static bool begin_mount(char *line, struct hf_nfs_lease *ret)
{
        static const char before_point[] = " mounted on ", before_type[] = " with fstype ";
        char *point, *type;

        if (strncmp(line, "device ", 7) != 0)
                return false;
        /* Blanks in names are escaped, so these words stand for themselves. */
        point = strstr(line, before_point);
        type = point ? strstr(point, before_type) : NULL;
        if (!type)
                return false;
        *type = '\0';
        point += strlen(before_point);
        type += strlen(before_type);
        type[strcspn(type, " ")] = '\0';
        hf_kernel_text_unescape(point);
        *ret = (struct hf_nfs_lease){.point = point};
        return hf_nfs_has_lease(type);
}

/* "key=NUMBER" among words between commas. False where it is not there. */
static bool find_number(const char *words, const char *key, unsigned int *ret)
{
        size_t len = strlen(key);

        for (const char *at = words; at; at = strchr(at, ',')) {
                unsigned int number = 0;

                at += *at == ',';
                if (strncmp(at, key, len) != 0 || at[len] != '=' ||
                    !isdigit((unsigned char)at[len + 1]))
                        continue;
                for (at += len + 1; isdigit((unsigned char)*at); at++)
                        number = number > SECONDS_MAX ? number
                                                      : number * 10 + (unsigned int)(*at - '0');
                *ret = number > SECONDS_MAX ? SECONDS_MAX : number;
                return true;
        }
        return false;
}

static bool has_word(const char *words, const char *word)
{
        size_t len = strlen(word);

        for (const char *at = words; at; at = strchr(at, ',')) {
                at += *at == ',';
                if (!strncmp(at, word, len) && (at[len] == ',' || !at[len]))
                        return true;
        }
        return false;
}

/* "\tnfsv4:\tWORD,KEY=VALUE,..." */
static void note_details(const char *line, struct hf_nfs_lease *lease)
{
        const char *words;

        line += strspn(line, " \t");
        if (strncmp(line, "nfsv4:", 6) != 0)
                return;
        words = line + 6 + strspn(line + 6, " \t");
        (void)find_number(words, "lease_time", &lease->seconds);
        (void)find_number(words, "lease_expired", &lease->expired);
        lease->sessions = has_word(words, "sessions");
}

static int add(struct hf_nfs_leases *leases, const struct hf_nfs_lease *lease)
{
        if (leases->n == HF_NFS_LEASES_MAX)
                return 0;
        if ((leases->n & (leases->n - 1)) == 0) {
                size_t room = leases->n ? 2 * leases->n : 1;
                struct hf_nfs_lease *more = reallocarray(leases->leases, room, sizeof(*more));

                if (!more)
                        return -ENOMEM;
                leases->leases = more;
        }
        leases->leases[leases->n++] = *lease;
        return 0;
}

int hf_nfs_leases_parse(char *text, struct hf_nfs_leases **ret)
{
        hf_cleanup_nfs_leases struct hf_nfs_leases *leases = calloc(1, sizeof(*leases));
        struct hf_nfs_lease *current = NULL, found;
        char *save = NULL;

        if (!leases)
                return -ENOMEM;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                if (strncmp(line, "device ", 7) != 0) {
                        if (current)
                                note_details(line, current);
                        continue;
                }
                current = NULL;
                if (!begin_mount(line, &found))
                        continue;
                if (add(leases, &found) < 0)
                        return -ENOMEM;
                current = &leases->leases[leases->n - 1];
        }
        *ret = hf_steal_ptr(leases);
        return 0;
}

int hf_nfs_leases_new(struct hf_nfs_leases **ret)
{
        hf_cleanup_fd int fd = open("/proc/self/mountstats", O_RDONLY | O_CLOEXEC);
        hf_cleanup_free char *text = fd < 0 ? NULL : hf_kernel_text(fd);
        int r;

        if (!text)
                return -errno;
        r = hf_nfs_leases_parse(text, ret);
        if (r >= 0)
                (*ret)->text = hf_steal_ptr(text);
        return r;
}

struct hf_nfs_leases *hf_nfs_leases_free(struct hf_nfs_leases *leases)
{
        if (!leases)
                return NULL;
        free(leases->leases);
        free(leases->text);
        free(leases);
        return NULL;
}

const struct hf_nfs_lease *hf_nfs_leases_at(const struct hf_nfs_leases *leases, const char *point)
{
        for (size_t i = leases->n; i-- > 0;)
                if (!strcmp(leases->leases[i].point, point))
                        return &leases->leases[i];
        return NULL;
}

bool hf_nfs_leases_safe(const struct hf_nfs_leases *leases, const char *point,
                        struct hf_nfs_lease *ret)
{
        struct hf_nfs_lease all = {.sessions = true};

        for (size_t i = 0; i < leases->n; i++) {
                const struct hf_nfs_lease *one = &leases->leases[i];

                if (strcmp(one->point, point) != 0)
                        continue;
                all.point = one->point;
                all.sessions &= one->sessions;
                if (one->seconds && (!all.seconds || one->seconds < all.seconds))
                        all.seconds = one->seconds;
                if (one->expired > all.expired)
                        all.expired = one->expired;
        }
        if (!all.point)
                return false;
        *ret = all;
        return true;
}

bool hf_nfs_has_lease(const char *type)
{
        return !strcmp(type, "nfs4");
}

bool hf_nfs_is_on(int fd)
{
        struct statfs st;

        return fstatfs(fd, &st) == 0 && (unsigned long)st.f_type == NFS_MAGIC;
}

bool hf_nfs_retakes_locks(void)
{
        hf_cleanup_fd int fd = open("/sys/module/nfs/parameters/recover_lost_locks",
                                    O_RDONLY | O_CLOEXEC);
        char set = 'N';

        return fd >= 0 && read(fd, &set, 1) == 1 && (set == 'Y' || set == '1');
}

/* ---- what the server says ---- */

/*
 * Something is wrong with the file, and it was the server who said so. Of a file that is gone
 * (ESTALE) the kernel remembers it, and does not ask.
 */
static bool is_answer(int number)
{
        return number == EACCES || number == EPERM || number == ENOENT;
}

/*
 * The mode alone: with a time among what is asked for, the kernel would write out all of the
 * file first, which may take longer than a lease.
 */
int hf_nfs_renew(int fd)
{
        struct statx sx;

        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_MODE, &sx) < 0)
                return is_answer(errno) ? 0 : -errno;
        return 0;
}

/*
 * Past the page cache: what is in memory is no answer. The flag belongs to the open file, which
 * nobody reads or writes by, and goes again, also one that was left by a process that was killed
 * here. Somebody else who asks the same may take it away before the read: then that told nothing.
 */
int hf_nfs_prove(int fd)
{
        _Alignas(4096) char buf[4096];
        int flags = fcntl(fd, F_GETFL), after;
        int r = 0;

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT) < 0)
                return errno == EINVAL ? -EOPNOTSUPP : -errno;
        if (pread(fd, buf, 1, 0) < 0)
                r = -errno;
        after = fcntl(fd, F_GETFL);
        (void)fcntl(fd, F_SETFL, flags & ~O_DIRECT);
        if (r == 0 && (after < 0 || !(after & O_DIRECT)))
                return -EAGAIN;
        return r;
}

bool hf_nfs_is_removed(int fd)
{
        struct statx sx;

        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_NLINK, &sx) < 0)
                return errno == ESTALE;
        return sx.stx_nlink == 0;
}
