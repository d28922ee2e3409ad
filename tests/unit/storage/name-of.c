/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * name-of [--file DIR] [--lvm DIR] [--scsi DIR] [--timeout MS] PATH...: prints for each
 * path the lockspace, the name and how it was found, with tabs between them. "-" stands
 * for no lockspace. Ends with 1, and says why, at the first one that has no name.
 */
#include "base/cleanup.h"
#include "storage/names.h"

#include <getopt.h>
#include <time.h>

static uint64_t deadline_in(long ms)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + (uint64_t)ms * 1000000;
}

static int print_name(const struct hf_name_dirs *dirs, const char *path, long ms)
{
        struct hf_error error = {0};
        struct hf_name name;

        if (hf_name_of_disk(dirs, path, deadline_in(ms), &name, &error) < 0) {
                fprintf(stderr, "name-of: %s: %s\n", path, error.text);
                return 1;
        }
        printf("%s\t%s\t%s\n", *name.lockspace ? name.lockspace : "-", name.text,
               hf_name_way(name.way));
        free(name.text);
        return 0;
}

int main(int argc, char **argv)
{
        static const struct option options[] = {{"file", required_argument, NULL, 'f'},
                                                {"lvm", required_argument, NULL, 'l'},
                                                {"scsi", required_argument, NULL, 's'},
                                                {"timeout", required_argument, NULL, 't'},
                                                {NULL, 0, NULL, 0}};
        struct hf_name_udev *udev = hf_name_udev_new();
        struct hf_name_dirs dirs = {.udev = udev};
        long ms = 30000;
        int option, status = 0;

        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
                switch (option) {
                case 'f':
                        dirs.file = optarg;
                        break;
                case 'l':
                        dirs.lvm = optarg;
                        break;
                case 's':
                        dirs.scsi = optarg;
                        break;
                case 't':
                        ms = strtol(optarg, NULL, 10);
                        break;
                default:
                        return 2;
                }
        }
        for (int i = optind; i < argc && status == 0; i++)
                status = print_name(&dirs, argv[i], ms);
        hf_name_udev_free(udev);
        return status;
}
