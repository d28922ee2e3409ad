/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/note.h"

#include "base/conf.h"
#include "base/process.h"
#include "driver/sanlock/note-private.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

static const char *const actions[] = {
        [HF_SANLOCK_ACTION_NONE] = "default",
        [HF_SANLOCK_ACTION_POWEROFF] = "poweroff",
        [HF_SANLOCK_ACTION_PAUSE] = "pause",
};

void hf_sanlock_note_clear(struct hf_sanlock_note *note)
{
        free(note->path);
        free(note->name);
        free(note->uuid);
        free(note->via);
        free(note->monitor);
        free(note->run_dir);
        *note = (struct hf_sanlock_note){0};
}

char *hf_sanlock_note_dir(const struct hf_paths *paths)
{
        char *dir;

        return asprintf(&dir, "%s/sanlock", paths->run_dir) < 0 ? NULL : dir;
}

/* Without links on the way, such as /var/run: the reader follows none. */
static char *path_of(const char *dir, pid_t pid, uint64_t start)
{
        hf_cleanup_free char *real = realpath(dir, NULL);
        char *path;

        if (!real || asprintf(&path, "%s/%d-%" PRIu64, real, (int)pid, start) < 0)
                return NULL;
        return path;
}

pid_t hf_sanlock_note_pid_of(const char *name, uint64_t *ret_start)
{
        int pid, end = 0;

        if (sscanf(name, "%d-%" SCNu64 "%n", &pid, ret_start, &end) != 2 || pid <= 0)
                return 0;
        /* What follows is a suffix of ours, or nothing. */
        return end && (!name[end] || name[end] == '.') ? pid : 0;
}

/* ---- writing ---- */

/* A line of the note; nothing for a value that there is not. */
static void put_text(FILE *out, const char *key, const char *value)
{
        if (!value)
                return;
        (void)fprintf(out, "%s = \"", key);
        for (const unsigned char *at = (const unsigned char *)value; *at; at++) {
                bool plain = *at >= ' ' && *at != 0x7f && *at != '"' && *at != '%';

                (void)fprintf(out, plain ? "%c" : "%%%02X", *at);
        }
        (void)fputs("\"\n", out);
}

static int compose(const struct hf_sanlock_note *note, char **ret)
{
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);

        if (!out)
                return -ENOMEM;
        (void)fprintf(out, "pid = %d\nstart = %" PRIu64 "\n", (int)note->pid, note->start);
        put_text(out, "action", actions[note->action]);
        put_text(out, "name", note->name);
        put_text(out, "uuid", note->uuid);
        put_text(out, "via", note->via);
        put_text(out, "monitor", note->monitor);
        put_text(out, "run_dir", note->run_dir);
        if (fclose(out) != 0) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        return len < HF_SANLOCK_NOTE_SIZE_MAX ? 0 : (free(text), -E2BIG);
}

/*
 * Only of processes that are gone for certain, which costs next to nothing to ask: a pid that
 * somebody else has by now is looked at again when that one has ended.
 */
static void sweep(const char *dir)
{
        hf_cleanup_dir DIR *entries = opendir(dir);
        struct dirent *entry;

        while (entries && (entry = readdir(entries))) {
                uint64_t start;
                pid_t pid = hf_sanlock_note_pid_of(entry->d_name, &start);

                if (pid && kill(pid, 0) < 0 && errno == ESRCH)
                        (void)unlinkat(dirfd(entries), entry->d_name, 0);
        }
}

static int make_dir(const struct hf_paths *paths, char **ret, struct hf_error *err)
{
        char *dir = hf_sanlock_note_dir(paths);
        int r;

        if (!dir)
                return hf_error_sys(err, ENOMEM, "cannot make a note of this VM");
        *ret = dir;
        /* As it nearly always is. */
        if (access(dir, W_OK) == 0)
                return 0;
        r = hf_path_make_dirs(paths->run_dir, paths->privileged ? 0755 : 0700, err);
        return r < 0 ? r : hf_path_make_dirs(dir, 0700, err);
}

/* Who reads it is somewhere else. */
static int check_paths(const struct hf_sanlock_note *note, struct hf_error *err)
{
        const char *const said[] = {note->monitor, note->run_dir};

        for (size_t i = 0; i < HF_ARRAY_LEN(said); i++)
                if (said[i] && said[i][0] != '/')
                        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                            "a path that is not absolute is of no use where a VM "
                                            "has to be acted on: %s",
                                            said[i]);
        return 0;
}

int hf_sanlock_note_write(const struct hf_paths *paths, struct hf_sanlock_note *note,
                          struct hf_error *err)
{
        hf_cleanup_free char *dir = NULL, *text = NULL;
        int r = check_paths(note, err);

        if (r >= 0)
                r = make_dir(paths, &dir, err);
        if (r < 0)
                return r;
        sweep(dir);
        note->pid = getpid();
        r = hf_process_start(note->pid, &note->start);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot tell when this process was started");
        free(note->path);
        note->path = path_of(dir, note->pid, note->start);
        r = note->path ? compose(note, &text) : -errno;
        if (r < 0)
                return hf_error_sys(err, -r, "cannot make a note of this VM");
        return hf_sanlock_note_write_file(note->path, text, err);
}

/* ---- reading ---- */

/* -EINVAL: what put_text does not write. */
static int decode(const char *text, char **ret)
{
        char *copy = strdup(text), *to = copy;

        if (!copy)
                return -ENOMEM;
        for (; *text; to++) {
                unsigned int byte;
                int end = 0;

                if (*text != '%') {
                        *to = *text++;
                        continue;
                }
                if (sscanf(text, "%%%2X%n", &byte, &end) != 1 || end != 3 || !byte) {
                        free(copy);
                        return -EINVAL;
                }
                *to = (char)byte;
                text += end;
        }
        *to = '\0';
        *ret = copy;
        return 0;
}

static int get_text(const struct hf_conf *conf, const char *key, char **ret, struct hf_error *err)
{
        const char *text = NULL;
        int r = hf_conf_get_string(conf, key, &text, err);

        if (r <= 0)
                return r;
        r = decode(text, ret);
        return r < 0 ? hf_error_sys(err, -r, "the note's \"%s\" cannot be read", key) : 0;
}

/* A path that a system call is given. */
static int get_path(const struct hf_conf *conf, const char *key, char **ret, struct hf_error *err)
{
        int r = get_text(conf, key, ret, err);

        if (r < 0 || !*ret || (*ret)[0] == '/')
                return r;
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                            "the note's \"%s\" is no absolute path", key);
}

static int get_action(const struct hf_conf *conf, int *ret, struct hf_error *err)
{
        const char *text = "";
        int r = hf_conf_get_string(conf, "action", &text, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < HF_ARRAY_LEN(actions); i++)
                if (!strcmp(text, actions[i])) {
                        *ret = (int)i;
                        return 0;
                }
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                            "the note says no action that is known");
}

/* Which process, and that the file's name says the same: a note is of no use under another's. */
static int get_process(const struct hf_conf *conf, const char *path, struct hf_sanlock_note *note,
                       struct hf_error *err)
{
        int64_t pid = 0, start = 0;
        char name[64];
        int r = hf_conf_get_int(conf, "pid", 1, INT_MAX, &pid, err);

        if (r >= 0)
                r = hf_conf_get_int(conf, "start", 0, INT64_MAX, &start, err);
        if (r < 0)
                return r;
        (void)snprintf(name, sizeof(name), "%d-%" PRId64, (int)pid, start);
        if (strcmp(name, strrchr(path, '/') + 1) != 0)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "it is a note of another process than its name says");
        note->pid = (pid_t)pid;
        note->start = (uint64_t)start;
        return 0;
}

static int fill(const struct hf_conf *conf, const char *path, struct hf_sanlock_note *note,
                struct hf_error *err)
{
        int r = get_process(conf, path, note, err);

        if (r >= 0)
                r = get_action(conf, &note->action, err);
        if (r >= 0)
                r = get_text(conf, "name", &note->name, err);
        if (r >= 0)
                r = get_text(conf, "uuid", &note->uuid, err);
        if (r >= 0)
                r = get_text(conf, "via", &note->via, err);
        if (r >= 0)
                r = get_path(conf, "monitor", &note->monitor, err);
        if (r >= 0)
                r = get_path(conf, "run_dir", &note->run_dir, err);
        note->path = strdup(path);
        if (r >= 0 && !note->path)
                r = hf_error_sys(err, ENOMEM, "no memory");
        return r;
}

int hf_sanlock_note_parse(const char *text, size_t len, const char *path,
                          struct hf_sanlock_note *ret, struct hf_error *err)
{
        hf_cleanup_sanlock_note struct hf_sanlock_note note = {0};
        hf_cleanup_conf struct hf_conf *conf = NULL;
        struct hf_error error = {0};
        int r = hf_conf_parse(text, len, path, &conf, &error);

        /* Its text may quote the file, which need not be ours to show. */
        if (r < 0)
                return hf_error_set(err, -r, HF_ERR_INVALID_ARG, HF_FROM_NONE, "%s is no note",
                                    path);
        r = fill(conf, path, &note, &error);
        if (r < 0)
                return hf_error_set(err, -r, HF_ERR_INVALID_ARG, HF_FROM_NONE, "%s: %s", path,
                                    error.text);
        *ret = note;
        note = (struct hf_sanlock_note){0};
        return 0;
}

int hf_sanlock_note_read(const char *path, struct hf_sanlock_note *ret, struct hf_error *err)
{
        hf_cleanup_free char *text = NULL;
        uid_t owner = 0;
        size_t len = 0;
        int r = hf_sanlock_note_read_file(path, HF_SANLOCK_NOTE_SIZE_MAX, &text, &len, &owner, err);

        if (r >= 0)
                r = hf_sanlock_note_parse(text, len, path, ret, err);
        if (r >= 0)
                ret->owner = owner;
        return r;
}
