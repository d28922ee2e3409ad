/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/note.h"

#include <sanlock.h>
#include <sanlock_resource.h>
#include <sanlock_rv.h>
#include <stdbool.h>
#include <string.h>

#define PROGRAM "holdfast-sanlock-killpath"

/* In a tree that is not installed it lies elsewhere. */
static const char *program_dir(void)
{
        const char *dir = secure_getenv("HOLDFAST_LIBEXEC_DIR");

        return dir && dir[0] == '/' ? dir : HF_LIBEXECDIR;
}

/* sanlock parts arguments at blanks, and takes a byte behind a backslash as it is. */
static bool escape(const char *text, char *ret, size_t size)
{
        size_t len = 0;

        for (; *text; text++) {
                bool special = strchr(" \t\n\v\f\r\\", *text);

                if (len + special + 1 >= size)
                        return false;
                if (special)
                        ret[len++] = '\\';
                ret[len++] = *text;
        }
        ret[len] = '\0';
        return true;
}

static int too_long(const char *what, const char *path, struct hf_error *err)
{
        return hf_error_set(err, ENAMETOOLONG, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                            "sanlock can end or pause a VM only by paths of at most %d bytes, and "
                            "%s has more: %s",
                            HF_SANLOCK_KILLPATH_MAX, what, path);
}

/* As that program will judge it, when it is too late to tell anybody. */
static int check_note(const struct hf_sanlock_note *note, struct hf_error *err)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note again = {0};
        int r = hf_sanlock_note_read(note->path, &again, err);

        if (r < 0)
                hf_error_prefix(err, "the program that acts on a VM would do nothing");
        return r;
}

int hf_sanlock_note_arm(int sock, const struct hf_sanlock_note *note, struct hf_error *err)
{
        char program[HF_SANLOCK_KILLPATH_MAX + 1], arg[HF_SANLOCK_KILLPATH_MAX + 1];
        const char *dir = program_dir();
        int r = snprintf(program, sizeof(program), "%s/" PROGRAM, dir);

        if (r < 0 || (size_t)r >= sizeof(program))
                return too_long("that of " PROGRAM, dir, err);
        if (!escape(note->path, arg, sizeof(arg)))
                return too_long("that of the VM's note", note->path, err);
        /* sanlock would only tell when it is too late. */
        if (access(program, X_OK) < 0)
                return hf_error_sys(err, errno, "the program that acts on a VM, %s, cannot be run",
                                    program);
        r = check_note(note, err);
        if (r < 0)
                return r;
        r = sanlock_killpath(sock, 0, program, arg);
        if (r < 0)
                return hf_error_set(err, r > -200 ? -r : EIO, HF_ERR_INTERNAL, HF_FROM_LOCKING,
                                    "sanlock cannot be told what to do with a VM that loses its "
                                    "leases (sanlock: %d)",
                                    r);
        return 0;
}
