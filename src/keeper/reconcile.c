/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/keeper-private.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

/*
 * Finding the descriptors that nobody told of.
 *
 * A server that is killed leaves behind what it had opened and not yet noted.
 * Every number the table has room for is asked, but those that are kept: the
 * kernel says how large the table is. No memory is asked for (a server that
 * cannot find its orphans must not start), so the kept ones are marked in a map
 * of fixed size, one stretch of numbers after the other.
 */

/* Numbers per stretch: the map is 8 KiB of stack, and one stretch is nearly always all. */
#define STRETCH 65536

/*
 * Where the size of the table cannot be read: no system allows more numbers by
 * default (fs.nr_open), and asking for as many takes 0.1 s.
 */
#define NUMBERS_MAX (1 << 20)

/* The line "FDSize:" of /proc/self/status. */
static int read_table_size(void)
{
        hf_cleanup_fd int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        char text[4096];
        const char *line;
        ssize_t got;

        if (fd < 0)
                return -1;
        got = read(fd, text, sizeof(text) - 1);
        if (got < 0)
                return -1;
        text[got] = '\0';
        line = strstr(text, "\nFDSize:");
        return line ? atoi(line + strlen("\nFDSize:")) : -1;
}

/* All open numbers are smaller than this. The number used for asking is free again. */
static int table_size(void)
{
        struct rlimit limit;
        int size = read_table_size();

        if (size > 0)
                return size;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max > NUMBERS_MAX)
                return NUMBERS_MAX;
        return (int)limit.rlim_max;
}

static void scan_stretch(int first, int end, const int own[static 2], const int *kept, size_t n,
                         void (*found)(void *data, int fd), void *data)
{
        unsigned char map[STRETCH / 8] = {0};

        for (size_t i = 0; i < n; i++)
                if (kept[i] >= first && kept[i] < end)
                        map[(kept[i] - first) / 8] |= (unsigned char)(1 << (kept[i] - first) % 8);
        for (int fd = first; fd < end; fd++) {
                if (map[(fd - first) / 8] & 1 << (fd - first) % 8)
                        continue;
                if (own[0] >= 0 && fd >= own[0] && fd < own[1])
                        continue;
                if (fcntl(fd, F_GETFD) >= 0)
                        found(data, fd);
        }
}

void hf_keeper_scan(int own, int end, const int *kept, size_t n, void (*found)(void *data, int fd),
                    void *data)
{
        const int ours[2] = {own, end};
        int size = table_size();

        for (int first = STDERR_FILENO + 1; first < size; first += STRETCH)
                scan_stretch(first, size - first > STRETCH ? first + STRETCH : size, ours, kept, n,
                             found, data);
}

void hf_keeper_reconcile(const struct hf_keeper *keeper, const int *kept, size_t n,
                         void (*orphan)(void *data, int fd), void *data)
{
        hf_keeper_scan(keeper->header->first_fd, keeper->header->end_fd, kept, n, orphan, data);
}
