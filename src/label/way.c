/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "label/way.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* As many as the kernel follows. */
#define LINKS_MAX 40

struct walk {
        const struct hf_label_image *image;
        uid_t owner;             /* of the image */
        int at;                  /* where we are */
        char rest[2 * PATH_MAX]; /* what is to be walked yet */
        unsigned int links;
};

static int fault(const struct walk *walk, int number, struct hf_error *err)
{
        return hf_error_sys(err, number, "cannot follow the way to %s", walk->image->path);
}

static void move_to(struct walk *walk, int fd)
{
        hf_close_fd(&walk->at);
        walk->at = fd;
}

/* A link of /proc leads to a thing, and its text may lead nowhere. */
static bool is_magic(int fd)
{
        struct statfs fs;

        return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

static int start_over(struct walk *walk, struct hf_error *err)
{
        int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (root < 0)
                return fault(walk, errno, err);
        move_to(walk, root);
        return 0;
}

/* Puts where the link leads in front of what is left. */
static int follow(struct walk *walk, int link, const char *name, struct hf_error *err)
{
        char target[PATH_MAX], rest[sizeof(walk->rest)];
        ssize_t len;

        if (is_magic(link)) {
                int fd = openat(walk->at, name, O_PATH | O_CLOEXEC);

                if (fd < 0)
                        return fault(walk, errno, err);
                move_to(walk, fd);
                return 0;
        }
        len = readlinkat(link, "", target, sizeof(target) - 1);
        if (len < 0)
                return fault(walk, errno, err);
        target[len] = '\0';
        if ((size_t)snprintf(rest, sizeof(rest), "%s/%s", target, walk->rest) >= sizeof(rest))
                return fault(walk, ENAMETOOLONG, err);
        memcpy(walk->rest, rest, sizeof(rest));
        return target[0] == '/' ? start_over(walk, err) : 0;
}

static int step(struct walk *walk, const char *name, struct hf_error *err)
{
        hf_cleanup_fd int fd = openat(walk->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return fault(walk, errno, err);
        if (!S_ISLNK(st.st_mode)) {
                move_to(walk, hf_steal_fd(&fd));
                return 0;
        }
        if (st.st_uid != 0 && st.st_uid != walk->owner)
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_NONE,
                                    "%s is not changed: the symbolic link \"%s\" on the way there "
                                    "is of user %u, the image of user %u; name the image itself",
                                    walk->image->path, name, st.st_uid, walk->owner);
        if (++walk->links > LINKS_MAX)
                return fault(walk, ELOOP, err);
        return follow(walk, fd, name, err);
}

/* Takes the next name off the rest. False: there is none. */
static bool next_name(struct walk *walk, char name[static PATH_MAX])
{
        char *begin = walk->rest + strspn(walk->rest, "/");
        size_t len = strcspn(begin, "/");

        if (!len || len >= PATH_MAX)
                return false;
        memcpy(name, begin, len);
        name[len] = '\0';
        memmove(walk->rest, begin + len, strlen(begin + len) + 1);
        return true;
}

static int walk_all(struct walk *walk, struct hf_error *err)
{
        char name[PATH_MAX];
        struct stat wanted, found;
        int r = start_over(walk, err);

        if (r >= 0 && fstat(walk->image->fd, &wanted) < 0)
                r = fault(walk, errno, err);
        if (r < 0)
                return r;
        walk->owner = wanted.st_uid;
        while (r >= 0 && next_name(walk, name))
                r = step(walk, name, err);
        if (r < 0)
                return r;
        if (fstat(walk->at, &found) < 0)
                return fault(walk, errno, err);
        if (found.st_dev != wanted.st_dev || found.st_ino != wanted.st_ino)
                return hf_error_set(err, ESTALE, HF_ERR_INTERNAL, HF_FROM_NONE,
                                    "%s leads elsewhere now than when it was locked",
                                    walk->image->path);
        return 0;
}

int hf_label_check_way(const struct hf_label_image *image, struct hf_error *err)
{
        struct walk walk = {.image = image, .at = -1};
        int r;

        if (image->path[0] != '/')
                return 0;
        if ((size_t)snprintf(walk.rest, sizeof(walk.rest), "%s", image->path) >= sizeof(walk.rest))
                return fault(&walk, ENAMETOOLONG, err);
        r = walk_all(&walk, err);
        hf_close_fd(&walk.at);
        return r;
}
