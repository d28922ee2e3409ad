/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "usage.h"

#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* TMPFS_MAGIC of linux/magic.h. */
#define TMPFS 0x01021994

struct process {
        pid_t parent;
        uint64_t ticks;
};

/* Parses /proc/PID/stat. False if the process has gone. */
static bool process_read(pid_t pid, struct process *process)
{
        unsigned long user, system;
        char path[64], line[1024], *after;
        bool found = false;
        FILE *file;
        int parent;

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        file = fopen(path, "re");
        if (!file)
                return false;
        /* The name in brackets may hold anything, brackets too: start after the last one. */
        if (fgets(line, sizeof(line), file) && (after = strrchr(line, ')')) != NULL)
                found = sscanf(after + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                               &parent, &user, &system) == 3;
        (void)fclose(file);
        if (found)
                *process = (struct process){.parent = parent, .ticks = user + system};
        return found;
}

static bool is_below(pid_t pid, pid_t root)
{
        struct process process;

        while (pid > 1 && pid != root) {
                if (!process_read(pid, &process))
                        return false;
                pid = process.parent;
        }
        return pid == root;
}

/* Calls `each` with every process of the tree; a process that goes meanwhile is left out. */
static void for_tree(pid_t root, void (*each)(pid_t pid, void *data), void *data)
{
        DIR *folder = opendir("/proc");
        struct dirent *entry;

        if (!folder)
                err(1, "/proc");
        while ((entry = readdir(folder)) != NULL) {
                pid_t pid = (pid_t)atoi(entry->d_name);

                if (isdigit((unsigned char)entry->d_name[0]) && is_below(pid, root))
                        each(pid, data);
        }
        (void)closedir(folder);
}

/* The number of kibibytes after `key` in a file of /proc/PID; false if there is none. */
static bool read_kib(pid_t pid, const char *name, const char *key, uint64_t *ret_bytes)
{
        char path[64], line[256];
        bool found = false;
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
        file = fopen(path, "re");
        if (!file)
                return false;
        while (!found && fgets(line, sizeof(line), file)) {
                if (strncmp(line, key, strlen(key)) == 0) {
                        *ret_bytes = strtoull(line + strlen(key), NULL, 10) * 1024u;
                        found = true;
                }
        }
        (void)fclose(file);
        return found;
}

static void add_memory(pid_t pid, void *data)
{
        struct memory *memory = data;
        uint64_t anon, file, shmem;

        if (!read_kib(pid, "smaps_rollup", "Pss_Anon:", &anon) ||
            !read_kib(pid, "smaps_rollup", "Pss_Shmem:", &shmem) ||
            !read_kib(pid, "status", "RssFile:", &file))
                return;
        memory->anon += anon;
        memory->shmem += shmem;
        if (file > memory->file)
                memory->file = file;
}

void memory_read(pid_t root, const char *state, struct memory *memory)
{
        struct statfs fs;

        *memory = (struct memory){0};
        for_tree(root, add_memory, memory);
        if (memory->anon == 0)
                errx(1, "cannot read the memory use of process %d", (int)root);
        if (!state)
                return;
        if (statfs(state, &fs) < 0)
                err(1, "%s", state);
        if (fs.f_type == TMPFS)
                memory->state = (uint64_t)(fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize;
}

static void add_ticks(pid_t pid, void *data)
{
        struct process process;

        if (process_read(pid, &process))
                *(uint64_t *)data += process.ticks;
}

uint64_t cpu_of_tree(pid_t root)
{
        uint64_t ticks = 0;

        for_tree(root, add_ticks, &ticks);
        return ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

uint64_t cpu_of_self(void)
{
        struct timespec ts;

        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
