/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/behind.h"

#include "base/cleanup.h"
#include "storage/resource.h"

#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <string.h>

#define HASH_DIGITS (SHA256_DIGEST_LENGTH * 2)

/* The longest command line that is looked at; the kernel's own limit for one argument is 128 KiB.
 */
#define COMMAND_LINE_MAX (1024 * 1024)

/* A process with more open files than this is not searched to its end. */
#define OPEN_FILES_MAX 4096

/*
 * So many bytes of possible paths are hashed, of a command line and again of open
 * files: a hundred disks with long paths need a tenth. A VMM may have been broken
 * into and can make of both whatever takes longest.
 */
#define HASHED_MAX (1024 * 1024)

bool hf_behind_is_hash(const char *name)
{
        return strlen(name) == HASH_DIGITS && strspn(name, "0123456789abcdef") == HASH_DIGITS;
}

static bool has_hash(const char *path, const char *hash)
{
        char digits[HASH_DIGITS + 1];

        return SHA256Data((const uint8_t *)path, strlen(path), digits) && !strcmp(digits, hash);
}

/*
 * Copies the path that begins at `at` up to what ends it there: a quote inside
 * JSON, a single comma in an option, or the end of the argument.
 */
static void copy_path(const char *at, bool quoted, char buf[static PATH_MAX])
{
        size_t used = 0;

        for (; *at && used < PATH_MAX - 1; at++) {
                if (quoted && *at == '"')
                        break;
                if (quoted && *at == '\\' && at[1])
                        at++;
                else if (!quoted && *at == ',' && at[1] == ',')
                        at++;
                else if (!quoted && *at == ',')
                        break;
                buf[used++] = *at;
        }
        buf[used] = '\0';
}

int hf_behind_scan(const char *argument, int (*found)(const char *path, void *data), void *data)
{
        char path[PATH_MAX];

        for (const char *at = strchr(argument, '/'); at; at = strchr(at + 1, '/')) {
                char before = at == argument ? '\0' : at[-1];
                int r;

                /* A path begins an argument, or follows "=", a quote or the ":" of "file:". */
                if (before && !strchr("=\":,", before))
                        continue;
                copy_path(at, before == '"', path);
                r = found(path, data);
                if (r)
                        return r;
        }
        return 0;
}

struct search {
        pid_t pid;
        const char *hash;
        struct hf_thing *ret;
        size_t hashed; /* bytes so far */
        char *path;    /* NULL: filesystems may be asked; else for a path where that is needed */
        bool unknown;  /* there was one */
};

/* Whether the process sees the files that we see. */
static bool has_our_root(pid_t pid)
{
        struct stat own, its;
        char name[64], root[2];

        (void)snprintf(name, sizeof(name), "/proc/%d/root", (int)pid);
        if (readlink(name, root, sizeof(root)) != 1)
                return false;
        (void)snprintf(name, sizeof(name), "/proc/%d/ns/mnt", (int)pid);
        return stat(name, &its) == 0 && stat("/proc/self/ns/mnt", &own) == 0 &&
               own.st_ino == its.st_ino;
}

/* Nothing but what is in memory is followed. */
static int identify_cached(struct search *search, const char *path)
{
        bool ours = has_our_root(search->pid);

        if (ours && hf_resource_identify_cached(path, search->ret) == 0)
                return 0;
        search->unknown = true;
        (void)snprintf(search->path, PATH_MAX, "%s", ours ? path : "");
        return -EAGAIN;
}

/* Follows the path with the eyes of the process: it may have mounts of its own. */
static int identify_in_process(const struct search *search, const char *path)
{
        hf_cleanup_free char *seen = NULL;
        struct stat st;

        if (asprintf(&seen, "/proc/%d/root%s", (int)search->pid, path) < 0) {
                seen = NULL;
                return -ENOMEM;
        }
        if (stat(seen, &st) < 0 && stat(path, &st) < 0)
                return -errno;
        return hf_thing_of(&st, search->ret);
}

/* Notes that path is to be hashed. False: it is enough. */
static bool spend(struct search *search, const char *path)
{
        /* However short it is, it costs a block. */
        search->hashed += strlen(path) + SHA256_BLOCK_LENGTH;
        return search->hashed <= HASHED_MAX;
}

/* 1: found, negative: it is enough. */
static int try_path(const char *path, void *data)
{
        struct search *search = data;

        if (!spend(search, path))
                return -E2BIG;
        if (!has_hash(path, search->hash))
                return 0;
        return (search->path ? identify_cached(search, path) : identify_in_process(search, path)) ==
               0;
}

static int search_command_line(struct search *search)
{
        hf_cleanup_free char *text = NULL;
        hf_cleanup_file FILE *file = NULL;
        char name[64];
        size_t len;

        (void)snprintf(name, sizeof(name), "/proc/%d/cmdline", (int)search->pid);
        file = fopen(name, "re");
        if (!file)
                return -errno;
        text = malloc(COMMAND_LINE_MAX + 1);
        if (!text)
                return -ENOMEM;
        len = fread(text, 1, COMMAND_LINE_MAX, file);
        text[len] = '\0';
        for (const char *at = text; at < text + len; at += strlen(at) + 1) {
                int r = hf_behind_scan(at, try_path, search);

                if (r)
                        return r < 0 ? r : 0;
        }
        return -ENOENT;
}

static int search_open_files(struct search *search)
{
        hf_cleanup_dir DIR *dir = NULL;
        char name[64], path[PATH_MAX];
        struct dirent *entry;

        (void)snprintf(name, sizeof(name), "/proc/%d/fd", (int)search->pid);
        dir = opendir(name);
        if (!dir)
                return -errno;
        search->hashed = 0;
        for (int n = 0; n < OPEN_FILES_MAX && (entry = readdir(dir)); n++) {
                ssize_t len = readlinkat(dirfd(dir), entry->d_name, path, sizeof(path) - 1);

                if (len <= 0 || path[0] != '/')
                        continue;
                path[len] = '\0';
                if (!spend(search, path))
                        return -E2BIG;
                if (has_hash(path, search->hash) &&
                    hf_resource_of_entry(dirfd(dir), entry->d_name, search->ret) == 0)
                        return 0;
        }
        return -ENOENT;
}

int hf_behind_find_cached(pid_t pid, const char *hash, struct hf_thing *ret,
                          char path[static PATH_MAX])
{
        struct search search = {.pid = pid, .hash = hash, .ret = ret, .path = path};

        if (search_command_line(&search) == 0 || search_open_files(&search) == 0)
                return 0;
        return search.unknown ? -EAGAIN : -ENOENT;
}

int hf_behind_find(pid_t pid, const char *hash, struct hf_thing *ret)
{
        struct search search = {.pid = pid, .hash = hash, .ret = ret};

        if (search_command_line(&search) == 0 || search_open_files(&search) == 0)
                return 0;
        return -ENOENT;
}
