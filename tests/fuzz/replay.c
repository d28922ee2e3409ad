/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Feeds files to a fuzz target: `fuzz-TARGET FILE-OR-FOLDER...`. Of a folder all regular files
 * are taken, in the order of their names. Fails if one cannot be read, and if there was none, so
 * that a lost folder of seeds does not pass as a test.
 */

#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Seeds are small; a large one would make the ordinary tests slow. */
#define SEED_MAX (4u << 20)

static unsigned replayed;

static int replay_file(const char *path, const struct stat *st)
{
        size_t size = (size_t)st->st_size;
        uint8_t *data;
        FILE *file;
        int r = -1;

        if (size > SEED_MAX) {
                fprintf(stderr, "%s is larger than %u bytes\n", path, SEED_MAX);
                return -1;
        }
        /* Exactly as large as the seed, so that a sanitizer sees a read beyond its end. */
        data = malloc(size ? size : 1);
        file = fopen(path, "rb");
        if (data && file && fread(data, 1, size, file) == size) {
                (void)LLVMFuzzerTestOneInput(data, size);
                replayed++;
                r = 0;
        } else {
                perror(path);
        }
        if (file)
                fclose(file);
        free(data);
        return r;
}

static int replay(const char *path);

static int replay_folder(const char *path)
{
        struct dirent **names;
        int n = scandir(path, &names, NULL, alphasort), r = 0;

        if (n < 0) {
                perror(path);
                return -1;
        }
        for (int i = 0; i < n; i++) {
                char *inside = NULL;

                if (names[i]->d_name[0] != '.' &&
                    (asprintf(&inside, "%s/%s", path, names[i]->d_name) < 0 || replay(inside) < 0))
                        r = -1;
                free(inside);
                free(names[i]);
        }
        free(names);
        return r;
}

static int replay(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0) {
                perror(path);
                return -1;
        }
        return S_ISDIR(st.st_mode) ? replay_folder(path) : replay_file(path, &st);
}

int main(int argc, char **argv)
{
        int r = 0;

        for (int i = 1; i < argc; i++)
                if (replay(argv[i]) < 0)
                        r = -1;
        if (replayed == 0) {
                fprintf(stderr, "no seeds\n");
                r = -1;
        }
        printf("%u seeds\n", replayed);
        return r < 0 ? 1 : 0;
}
