/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * stillfs -f DIRECTORY: a filesystem of empty files, for tests of what happens when
 * one does not answer: stop it (SIGSTOP) and it does not, continue it (SIGCONT) and it does.
 *
 * It grants locks itself, so that locking and unlocking ask it too, and it is told of each
 * descriptor that is closed, as file servers are. On SIGUSR1 it gives all locks up: from then on
 * who had one reads an error, and others can have it.
 */
#define FUSE_USE_VERSION 31

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define FILES 256

static struct file {
        char path[256];    /* empty: it was removed, or never was */
        unsigned int open; /* how often */
        uint64_t owner;    /* of the lock */
        bool locked;
        bool given_up; /* while there was a lock; until it is open no more */
} files[FILES];

static volatile sig_atomic_t to_give_up;

static void on_give_up(int number)
{
        to_give_up = number;
}

/* Before anything is answered. */
static void give_up(void)
{
        if (!to_give_up)
                return;
        to_give_up = 0;
        for (int i = 0; i < FILES; i++) {
                files[i].given_up |= files[i].locked;
                files[i].locked = false;
        }
}

static struct file *find(const char *path)
{
        for (int i = 0; path && i < FILES; i++)
                if (*files[i].path && !strcmp(files[i].path, path))
                        return &files[i];
        return NULL;
}

/* The one that is open; of that no path is said. */
static struct file *file_of(const struct fuse_file_info *info)
{
        return &files[info->fh];
}

static void open_as(struct fuse_file_info *info, struct file *file)
{
        info->fh = (uint64_t)(file - files);
        /* To read is to ask. */
        info->direct_io = 1;
        file->open++;
}

static int get_attributes(const char *path, struct stat *ret, struct fuse_file_info *info)
{
        const struct file *file = path ? find(path) : file_of(info);

        memset(ret, 0, sizeof(*ret));
        ret->st_mode = file ? S_IFREG | 0600 : S_IFDIR | 0755;
        ret->st_nlink = 1;
        ret->st_ino = file ? (ino_t)(file - files) + 2 : 1;
        return file || (path && !strcmp(path, "/")) ? 0 : -ENOENT;
}

static int list(const char *path, void *to, fuse_fill_dir_t fill, off_t offset,
                struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
        (void)path;
        (void)offset;
        (void)info;
        (void)flags;
        for (int i = 0; i < FILES; i++)
                if (*files[i].path)
                        fill(to, files[i].path + 1, NULL, 0, 0);
        return 0;
}

static int create(const char *path, mode_t mode, struct fuse_file_info *info)
{
        (void)mode;
        for (int i = 0; i < FILES && !find(path); i++)
                if (!*files[i].path && !files[i].open) {
                        files[i] = (struct file){0};
                        (void)snprintf(files[i].path, sizeof(files[i].path), "%s", path);
                }
        if (!find(path))
                return -ENOSPC;
        open_as(info, find(path));
        return 0;
}

static int open_file(const char *path, struct fuse_file_info *info)
{
        if (!find(path))
                return -ENOENT;
        open_as(info, find(path));
        return 0;
}

static int close_last(const char *path, struct fuse_file_info *info)
{
        (void)path;
        if (--file_of(info)->open == 0)
                file_of(info)->given_up = false;
        return 0;
}

static int remove_file(const char *path)
{
        struct file *file = find(path);

        if (!file)
                return -ENOENT;
        *file->path = '\0';
        return 0;
}

static int flush(const char *path, struct fuse_file_info *info)
{
        (void)path;
        (void)info;
        return 0;
}

/* A file whose name begins so says nothing of its lock. */
#define UNREADABLE "/unreadable"

static int read_file(const char *path, char *buf, size_t size, off_t offset,
                     struct fuse_file_info *info)
{
        (void)path;
        (void)buf;
        (void)size;
        (void)offset;
        give_up();
        if (!strncmp(file_of(info)->path, UNREADABLE, strlen(UNREADABLE)))
                return -EACCES;
        return file_of(info)->given_up ? -EIO : 0;
}

/* Of one kind: exclusive, of the whole file. */
static int lock(const char *path, struct fuse_file_info *info, int command, struct flock *lock)
{
        struct file *file = file_of(info);
        bool free;

        (void)path;
        give_up();
        free = !file->locked || file->owner == info->lock_owner;
        if (command == F_GETLK) {
                lock->l_type = free ? F_UNLCK : F_WRLCK;
                return 0;
        }
        if (lock->l_type == F_UNLCK) {
                file->locked = file->locked && !free;
                return 0;
        }
        if (!free)
                return -EAGAIN;
        file->owner = info->lock_owner;
        file->locked = true;
        return 0;
}

static void *begin(struct fuse_conn_info *connection, struct fuse_config *config)
{
        (void)connection;
        config->use_ino = 1;
        config->hard_remove = config->nullpath_ok = 1;
        /* Whoever wants to know something has to ask. */
        config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
        return NULL;
}

static const struct fuse_operations operations = {
        .init = begin,
        .getattr = get_attributes,
        .readdir = list,
        .create = create,
        .open = open_file,
        .read = read_file,
        .unlink = remove_file,
        .release = close_last,
        .flush = flush,
        .lock = lock,
};

int main(int argc, char **argv)
{
        const struct sigaction action = {.sa_handler = on_give_up, .sa_flags = SA_RESTART};

        (void)sigaction(SIGUSR1, &action, NULL);
        return fuse_main(argc, argv, &operations, NULL);
}
