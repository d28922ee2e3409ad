/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast sanlock: becomes holdfast-sanlock, with the same words. What that program links is
 * not to be needed by this one.
 */

#include "base/cleanup.h"
#include "cli/message.h"

#include <string.h>

#define PROGRAM "holdfast-sanlock"

int hf_verb_sanlock(int argc, char **argv)
{
        const char *dir = secure_getenv("HOLDFAST_LIBEXEC_DIR");
        hf_cleanup_free char *path = NULL;

        (void)argc;
        /* A relative one would depend on where we happen to be. */
        if (!dir || dir[0] != '/')
                dir = HF_LIBEXECDIR;
        if (asprintf(&path, "%s/" PROGRAM, dir) < 0) {
                path = NULL;
                hf_message("out of memory");
                return HF_EXIT_SYSTEM;
        }
        argv[0] = (char *)(uintptr_t)PROGRAM;
        (void)execv(path, argv);
        if (errno == ENOENT) {
                hf_message("%s is not there: this Holdfast was built without sanlock, or that part "
                           "is not installed",
                           path);
                return HF_EXIT_NOT_FOUND;
        }
        hf_message("cannot run %s: %s", path, strerror(errno));
        return HF_EXIT_CANNOT_RUN;
}
