/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What would make it unsafe to turn a virtlockd into a holdfastd.
 *
 * A program that is executed has no way back to the one that executed it. So whatever could keep
 * holdfastd from going on is looked for before: what the kernel would forbid to it in that
 * process's surroundings, words on the command line that it does not understand, a state that
 * cannot be written. All that is found is told, not just the first of it.
 */
#include "cli/adopt.h"

#include "base/cleanup.h"
#include "cli/print.h"

#include <fcntl.h>
#include <holdfast/holdfast.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <string.h>
#include <sys/statvfs.h>

/* A virtlockd's own part of what it writes down, and of that what a lock and a client take. */
#define STATE_BASE   8192
#define STATE_FILE   512
#define STATE_CLIENT 1024

/* Without these holdfastd could not open VMs' images, look at their processes, or end them. */
static const struct {
        unsigned int number;
        const char *name;
} capabilities[] = {
        {CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"},
        {CAP_KILL, "CAP_KILL"},
        {CAP_SYS_PTRACE, "CAP_SYS_PTRACE"},
};

void hf_adopt_finding(struct json_object *findings, bool stops, const char *key, const char *format,
                      ...)
{
        struct json_object *finding = json_object_new_object();
        char text[HF_ERROR_TEXT_MAX];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        hf_print_put(finding, "key", json_object_new_string(key));
        hf_print_put(finding, "stops", json_object_new_boolean(stops));
        hf_print_put(finding, "text", hf_print_string(text));
        (void)json_object_array_add(findings, finding);
}

bool hf_adopt_stops(struct json_object *findings)
{
        for (size_t i = 0; i < json_object_array_length(findings); i++)
                if (json_object_get_boolean(json_object_object_get(
                            json_object_array_get_idx(findings, i), "stops")))
                        return true;
        return false;
}

const char *hf_adopt_holdfastd(void)
{
        const char *named = secure_getenv("HOLDFAST_DAEMON");

        return named && named[0] == '/' ? named : HF_SBINDIR "/holdfastd";
}

/* ---- its surroundings ------------------------------------------------------------------- */

static void judge_namespace(const struct hf_adopt_daemon *daemon, const char *kind,
                            struct json_object *findings)
{
        char name[32], own[32];
        struct stat theirs, ours;

        (void)snprintf(name, sizeof(name), "ns/%s", kind);
        (void)snprintf(own, sizeof(own), "/proc/self/ns/%s", kind);
        if (fstatat(daemon->proc, name, &theirs, 0) < 0 || stat(own, &ours) < 0 ||
            theirs.st_ino != ours.st_ino)
                hf_adopt_finding(findings, true, "namespace",
                                 "virtlockd is in another %s namespace than this command; run "
                                 "holdfast adopt where virtlockd runs",
                                 kind);
}

static unsigned long long status_number(const char *status, const char *key)
{
        const char *line = strstr(status, key);

        return line ? strtoull(line + strlen(key), NULL, 16) : 0;
}

static void judge_rights(const struct hf_adopt_daemon *daemon, struct json_object *findings)
{
        hf_cleanup_free char *status = NULL;
        unsigned long long caps;

        if (hf_adopt_proc_text(daemon, "status", &status, NULL) < 0)
                return;
        caps = status_number(status, "\nCapEff:");
        if (status_number(status, "\nSeccomp:"))
                hf_adopt_finding(findings, true, "seccomp",
                                 "virtlockd runs under a filter of system calls (seccomp), which "
                                 "would go on for holdfastd and may end it. Take SystemCallFilter= "
                                 "and the like out of its unit; that counts from its next start");
        for (size_t i = 0; i < HF_ARRAY_LEN(capabilities); i++)
                if (!(caps >> capabilities[i].number & 1))
                        hf_adopt_finding(findings, true, "capability",
                                         "virtlockd runs without %s, which holdfastd needs and "
                                         "could not get back",
                                         capabilities[i].name);
}

static bool selinux_enforces(void)
{
        hf_cleanup_file FILE *file = fopen("/sys/fs/selinux/enforce", "re");

        return file && fgetc(file) == '1';
}

static bool confines(const char *label)
{
        /* AppArmor says how; a context of SELinux counts where that is enforced. */
        if (strstr(label, " (enforce)"))
                return true;
        return strchr(label, ':') && !strstr(label, ":unconfined_t:") &&
               !strstr(label, ":unconfined_service_t:") && selinux_enforces();
}

/* Rules for virtlockd would go on for another program, or not let it be executed. */
static void judge_confinement(const struct hf_adopt_daemon *daemon, struct json_object *findings)
{
        hf_cleanup_free char *label = NULL;

        if (hf_adopt_proc_text(daemon, "attr/current", &label, NULL) < 0)
                return;
        label[strcspn(label, "\n")] = '\0';
        if (confines(label))
                hf_adopt_finding(findings, true, "confined",
                                 "virtlockd is confined as \"%s\", and whether that lets it "
                                 "execute holdfastd cannot be tried without doing it",
                                 label);
}

static void judge_surroundings(const struct hf_adopt_daemon *daemon, struct json_object *findings)
{
        char root[PATH_MAX];
        ssize_t len = readlinkat(daemon->proc, "root", root, sizeof(root) - 1);

        root[len > 0 ? len : 0] = '\0';
        if (strcmp(root, "/") != 0)
                hf_adopt_finding(findings, true, "root",
                                 "virtlockd's root directory is %s; in there holdfastd would not "
                                 "find what it needs",
                                 root);
        judge_namespace(daemon, "pid", findings);
        judge_namespace(daemon, "user", findings);
        judge_rights(daemon, findings);
        judge_confinement(daemon, findings);
}

/* ---- what it writes down ---------------------------------------------------------------- */

static size_t state_size(const struct hf_adopt_daemon *daemon)
{
        size_t size = STATE_BASE + daemon->n_connections * STATE_CLIENT;

        for (size_t i = 0; i < daemon->n_files; i++)
                size += STATE_FILE + 2 * strlen(daemon->files[i].path);
        return size;
}

void hf_adopt_judge_state_file(const struct hf_paths *paths, const struct hf_adopt_daemon *daemon,
                               struct json_object *findings)
{
        char file[PATH_MAX], folder[PATH_MAX];
        struct statvfs fs;
        struct stat st;

        (void)snprintf(file, sizeof(file), "root%s", paths->virtlockd_handover);
        (void)snprintf(folder, sizeof(folder), "/proc/%d/root%s", (int)daemon->process.pid,
                       paths->run_root);
        if (fstatat(daemon->proc, file, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            (!S_ISREG(st.st_mode) || st.st_uid != 0 || st.st_mode & (S_IWGRP | S_IWOTH)))
                hf_adopt_finding(findings, true, "state-file",
                                 "%s is no ordinary file of root's alone; virtlockd writes down "
                                 "what it has there",
                                 file + strlen("root"));
        if (statvfs(folder, &fs) < 0)
                hf_adopt_finding(findings, true, "state-file", "cannot look at %s: %s",
                                 paths->run_root, strerror(errno));
        else if (fs.f_flag & ST_RDONLY)
                hf_adopt_finding(findings, true, "state-file",
                                 "%s is read-only for virtlockd, which has to write down there "
                                 "what it has",
                                 paths->run_root);
        else if (fs.f_bavail * fs.f_frsize < state_size(daemon) || (fs.f_files && fs.f_favail == 0))
                hf_adopt_finding(findings, true, "space",
                                 "%s is full: what virtlockd has takes up to %zu bytes there, and "
                                 "there is room for %llu. A virtlockd that cannot write it ends, "
                                 "and loses every lock",
                                 paths->run_root, state_size(daemon),
                                 (unsigned long long)(fs.f_bavail * fs.f_frsize));
}

/* ---- its files -------------------------------------------------------------------------- */

static void judge_file(const struct hf_adopt_daemon *daemon, size_t n, struct json_object *findings)
{
        const struct hf_adopt_file *file = &daemon->files[n];

        for (size_t i = 0; i < n; i++)
                if (hf_thing_same(&daemon->files[i].thing, &file->thing)) {
                        hf_adopt_finding(findings, true, "twice",
                                         "virtlockd has %s open twice, as two resources: two VMs "
                                         "may be on that disk right now, by two names (%s). End "
                                         "one of them first",
                                         file->path, daemon->files[i].path);
                        return;
                }
        if (!file->held)
                hf_adopt_finding(findings, false, "unlocked",
                                 "virtlockd has %s open without a lock on it: it has lost that "
                                 "lock, or something else has it open there",
                                 file->path);
        else if (file->gone)
                hf_adopt_finding(findings, false, "replaced",
                                 "%s is not the file any more that virtlockd has locked by that "
                                 "name; the lock stays on the one that it has",
                                 file->path);
}

/* ---- the programs ----------------------------------------------------------------------- */

static void judge_programs(const struct hf_adopt_daemon *daemon, const char *holdfastd,
                           struct json_object *findings)
{
        char inside[PATH_MAX + 8], said[NAME_MAX];
        struct hf_error error = {0};
        struct stat st;

        (void)snprintf(inside, sizeof(inside), "root%s", daemon->program);
        if (!daemon->program[0] || fstatat(daemon->proc, inside, &st, 0) < 0 ||
            !S_ISREG(st.st_mode)) {
                hf_adopt_finding(findings, true, "program",
                                 "the program that virtlockd would execute (\"%s\") is not there",
                                 daemon->argv[0]);
                return;
        }
        if (strstr(daemon->exe, " (deleted)"))
                hf_adopt_finding(findings, false, "upgraded",
                                 "%s was replaced since this virtlockd was started, by another "
                                 "version perhaps",
                                 daemon->program);
        if (hf_adopt_try(daemon, holdfastd, said, &error) < 0)
                hf_adopt_finding(findings, true, "holdfastd", "%s", error.text);
        else if (strncmp(said, "holdfastd (holdfast) ", 21) != 0)
                hf_adopt_finding(findings, true, "holdfastd", "%s is no holdfastd: it says \"%s\"",
                                 holdfastd, said);
        else if (strcmp(said + 21, HF_VERSION) != 0)
                hf_adopt_finding(findings, true, "holdfastd",
                                 "%s is version %s, and this command %s: install both anew",
                                 holdfastd, said + 21, HF_VERSION);
}

/* One that holds nothing can be stopped; only systemd starts it again where it has to be. */
void hf_adopt_judge_own(const struct hf_paths *paths, struct json_object *findings)
{
        pid_t pid = hf_adopt_own_server(paths);
        struct holdfast_vm_list *list = NULL;
        struct holdfast_error error = {0};
        bool holds = true;

        if (pid == 0 || (pid == 1 && hf_adopt_service() != HF_ADOPT_SERVICE_NONE))
                return;
        if (holdfast_list_vms(0, &list, &error) >= 0)
                holds = list->n > 0;
        holdfast_vm_list_free(list);
        if (holds || hf_adopt_service() == HF_ADOPT_SERVICE_NONE)
                hf_adopt_finding(
                        findings, true, "beside",
                        "process %d serves %s already, beside this virtlockd; one host has "
                        "one lock daemon. Stop it first, when nothing is locked there any "
                        "more (holdfast ps)",
                        (int)pid, paths->socket);
}

void hf_adopt_judge(const struct hf_paths *paths, const struct hf_adopt_daemon *daemon,
                    const char *holdfastd, struct json_object *findings)
{
        if (hf_adopt_is_covered(daemon))
                hf_adopt_finding(
                        findings, false, "left-over",
                        "an earlier attempt was ended half-way and has left its program at "
                        "%s; it is taken away first",
                        daemon->program);
        hf_adopt_judge_own(paths, findings);
        judge_surroundings(daemon, findings);
        judge_programs(daemon, holdfastd, findings);
        hf_adopt_judge_state_file(paths, daemon, findings);
        for (size_t i = 0; i < daemon->n_files; i++)
                judge_file(daemon, i, findings);
        hf_adopt_judge_peers(daemon, findings);
}
