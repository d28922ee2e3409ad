/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which VM has which note, and what lies beside it. */
#include "base/process.h"
#include "driver/sanlock/note-private.h"

#include <limits.h>
#include <string.h>

int hf_sanlock_note_find(const struct hf_paths *paths, pid_t pid, struct hf_sanlock_note *ret)
{
        hf_cleanup_free char *dir = NULL, *real = NULL, *path = NULL;
        uint64_t start;

        if (hf_process_start(pid, &start) < 0)
                return 0;
        dir = hf_sanlock_note_dir(paths);
        real = dir ? realpath(dir, NULL) : NULL;
        if (!real || asprintf(&path, "%s/%d-%llu", real, (int)pid, (unsigned long long)start) < 0) {
                path = NULL;
                return 0;
        }
        return hf_sanlock_note_read(path, ret, NULL) >= 0;
}

static bool is_meant(const struct hf_sanlock_note *note, const char *word)
{
        char pid[16];

        (void)snprintf(pid, sizeof(pid), "%d", (int)note->pid);
        return !strcmp(word, pid) || (note->name && !strcmp(word, note->name)) ||
               (note->uuid && !strcasecmp(word, note->uuid));
}

/* One entry of the directory; false: it is not the note that is looked for. */
static bool read_entry(const struct hf_paths *paths, const char *name, const char *word,
                       struct hf_sanlock_note *ret)
{
        uint64_t start;
        pid_t pid = hf_sanlock_note_pid_of(name, &start);

        if (!pid || strchr(name, '.') || !hf_sanlock_note_find(paths, pid, ret))
                return false;
        if (ret->start == start && is_meant(ret, word))
                return true;
        hf_sanlock_note_clear(ret);
        return false;
}

static int unknown(const char *word, struct hf_error *err)
{
        return hf_error_set(err, ENOENT, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                            "no VM whose leases are with sanlock is called \"%s\" here", word);
}

int hf_sanlock_note_named(const struct hf_paths *paths, const char *word,
                          struct hf_sanlock_note *ret, struct hf_error *err)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note found = {0};
        hf_cleanup_free char *dir = hf_sanlock_note_dir(paths);
        hf_cleanup_dir DIR *entries = dir ? opendir(dir) : NULL;
        struct dirent *entry;

        if (!entries && errno != ENOENT)
                return hf_error_sys(err, errno, "cannot look through %s/sanlock", paths->run_dir);
        while (entries && (entry = readdir(entries))) {
                hf_cleanup_sanlock_note struct hf_sanlock_note note = {0};

                if (!read_entry(paths, entry->d_name, word, &note))
                        continue;
                if (found.path)
                        return hf_error_set(err, ENOTUNIQ, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                            "several VMs are called \"%s\" (processes %d and %d): "
                                            "name the one by its process",
                                            word, (int)found.pid, (int)note.pid);
                found = note;
                note = (struct hf_sanlock_note){0};
        }
        if (!found.path)
                return unknown(word, err);
        *ret = found;
        found = (struct hf_sanlock_note){0};
        return 0;
}

char *hf_sanlock_note_state_path(const struct hf_sanlock_note *note)
{
        char *path;

        return asprintf(&path, "%s.state", note->path) < 0 ? NULL : path;
}

bool hf_sanlock_note_has_state(const struct hf_paths *paths, pid_t pid)
{
        hf_cleanup_free char *path = NULL;
        uint64_t start;

        if (hf_process_start(pid, &start) < 0)
                return false;
        if (asprintf(&path, "%s/sanlock/%d-%llu.state", paths->run_dir, (int)pid,
                     (unsigned long long)start) < 0) {
                path = NULL;
                return true;
        }
        return access(path, F_OK) == 0 || errno != ENOENT;
}

int hf_sanlock_note_state_write(const struct hf_sanlock_note *note, const char *state,
                                struct hf_error *err)
{
        hf_cleanup_free char *path = hf_sanlock_note_state_path(note);

        if (!path)
                return hf_error_sys(err, ENOMEM, "cannot note the leases of process %d",
                                    (int)note->pid);
        if (strlen(state) > HF_SANLOCK_NOTE_STATE_MAX)
                return hf_error_sys(err, E2BIG, "cannot note the leases of process %d",
                                    (int)note->pid);
        return hf_sanlock_note_write_file(path, state, err);
}

int hf_sanlock_note_state_read(const struct hf_sanlock_note *note, char **ret, struct hf_error *err)
{
        hf_cleanup_free char *path = hf_sanlock_note_state_path(note);
        hf_cleanup_free char *text = NULL;
        uid_t owner;
        size_t len;
        int r;

        if (!path)
                return hf_error_sys(err, ENOMEM, "cannot read the leases of process %d",
                                    (int)note->pid);
        r = hf_sanlock_note_read_file(path, HF_SANLOCK_NOTE_STATE_MAX, &text, &len, &owner, err);
        if (r < 0)
                return r;
        if (owner != note->owner && owner != 0)
                return hf_error_set(err, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_LOCKING,
                                    "%s is not believed: it is another user's than the note", path);
        *ret = hf_steal_ptr(text);
        return 0;
}
