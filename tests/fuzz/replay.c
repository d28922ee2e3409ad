/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Stands in for libFuzzer in the ordinary build, so that every test run feeds
 * each decoder its seeds: as they are, cut off after each byte, and with each
 * byte changed in a few ways. It needs no special compiler, always does the
 * same, and ends in seconds; with a sanitizer it finds most of what reads or
 * writes out of bounds.
 *
 * Usage: NAME SEED-DIRECTORY [PLACES]
 */

#include "base/cleanup.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

/* Seeds are small by design; a larger one is a mistake in the tree. */
#define SEED_SIZE_MAX (64 * 1024)

/* Beyond this many bytes a seed is cut and changed at evenly spread places only. */
static size_t places = 512;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Gives the decoder a copy of exactly size bytes, so that a read past them is seen. */
static void feed(const uint8_t *data, size_t size)
{
        hf_cleanup_free uint8_t *copy = malloc(size ? size : 1);

        if (!copy)
                err(1, "%zu bytes", size);
        if (size)
                memcpy(copy, data, size);
        (void)LLVMFuzzerTestOneInput(copy, size);
}

static void feed_variants(uint8_t *data, size_t size)
{
        /* The lowest and the highest bit, the sign of a length, an end of string. */
        static const uint8_t masks[] = {0x01, 0x80, 0xff};
        size_t step = size / places + 1;

        feed(data, size);
        for (size_t at = 0; at < size; at += step) {
                uint8_t saved = data[at];

                feed(data, at);
                for (size_t i = 0; i < HF_ARRAY_LEN(masks); i++) {
                        data[at] = saved ^ masks[i];
                        feed(data, size);
                }
                data[at] = 0;
                feed(data, size);
                data[at] = saved;
        }
}

static void replay(int dir, const char *name)
{
        static uint8_t data[SEED_SIZE_MAX + 1];
        hf_cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
        ssize_t size;

        if (fd < 0)
                err(1, "%s", name);
        size = read(fd, data, sizeof(data));
        if (size < 0)
                err(1, "%s", name);
        if (size > SEED_SIZE_MAX)
                errx(1, "%s: a seed has at most %d bytes", name, SEED_SIZE_MAX);
        feed_variants(data, (size_t)size);
}

int main(int argc, char **argv)
{
        const struct dirent *entry;
        size_t count = 0;
        DIR *dir;

        if (argc > 2)
                places = strtoul(argv[2], NULL, 10);
        if (argc < 2 || argc > 3 || places == 0)
                errx(64, "usage: %s SEED-DIRECTORY [PLACES]", argv[0]);
        dir = opendir(argv[1]);
        if (!dir)
                err(1, "%s", argv[1]);
        while ((entry = readdir(dir))) {
                if (entry->d_name[0] == '.')
                        continue;
                replay(dirfd(dir), entry->d_name);
                count++;
        }
        (void)closedir(dir);
        if (count == 0)
                errx(1, "%s: no seeds", argv[1]);
        printf("%zu seeds\n", count);
        return 0;
}
