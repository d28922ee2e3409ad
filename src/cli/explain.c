/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast explain: everything that can be known about who has a disk, and the
 * one safe next step. It takes no lock, not even for a moment: locks are only
 * asked for (F_OFD_GETLK), so nobody is disturbed and nothing breaks.
 */

#include "cli/advice.h"
#include "cli/foreign.h"
#include "cli/look.h"
#include "cli/lookaside.h"
#include "cli/message.h"
#include "cli/patience.h"
#include "cli/print.h"
#include "cli/reach.h"
#include "cli/report.h"
#include "cli/verb.h"
#include "cli/waiters.h"

#include "base/cleanup.h"
#include "storage/nfs-lease.h"
#include "storage/resource.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct explain_options {
        struct hf_standard_options standard;
        bool json;
};

static const struct hf_option option_table[] = {
        HF_JSON_OPTION(struct explain_options),
        HF_STANDARD_OPTIONS(struct explain_options, standard),
};

static const struct hf_options options = {
        .program = "holdfast explain",
        .usage = "[OPTION]... PATH",
        .summary = "Tells everything that is known about who has a disk, and what to do next. "
                   "Changes nothing.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

/* What is found out, for the answer and for the advice. */
struct explanation {
        struct hf_thing thing;
        struct json_object *document;
        struct hf_standing standing;
        struct holdfast_lock_list *locks; /* NULL: no daemon was asked */
        struct holdfast_vm_list *vms;     /* the same */
        struct hf_foreign_known known;
        struct json_object *processes;
        struct hf_user process;
        struct hf_record record;
        struct holdfast_holder leased;
        bool driver; /* the settings have one that can be asked: it has no lock files */
};

static int identify(struct explanation *e)
{
        struct json_object *file = json_object_new_object();
        struct stat st;
        int r = stat(e->standing.path, &st) < 0 ? -errno : hf_thing_of(&st, &e->thing);

        hf_print_put(e->document, "path", hf_print_string(e->standing.path));
        hf_print_put(e->document, "file", file);
        if (r < 0) {
                hf_print_put(file, "problem", json_object_new_string(strerror(-r)));
                return r;
        }
        hf_print_put(
                file, "kind",
                json_object_new_string(e->thing.kind == HF_THING_BLOCK ? "block device" : "file"));
        hf_print_put(file, "device", json_object_new_int64((int64_t)e->thing.dev));
        hf_print_put(file, "inode", json_object_new_int64((int64_t)e->thing.ino));
        return 0;
}

static void ask_who_serves(struct explanation *e)
{
        struct json_object *daemon = json_object_new_object();
        struct holdfast_daemon_info *info;
        struct holdfast_error error = {0};

        hf_print_put(e->document, "daemon", daemon);
        if (holdfast_get_daemon_info(&info, &error) < 0) {
                hf_print_put(daemon, "problem", hf_print_string(error.text));
                return;
        }
        e->standing.daemon = true;
        hf_print_put(daemon, "version", hf_print_string(info->version));
        hf_print_put(daemon, "host", hf_print_string(info->host));
        hf_print_put(daemon, "pid", json_object_new_int(info->pid));
        (void)hf_foreign_know_daemon(&e->known, info->pid);
        holdfast_daemon_info_free(info);
}

/* The state that needs most care stands for all of them. */
static bool outweighs(const struct holdfast_lock_info *lock, const struct holdfast_lock_info *than)
{
        static const unsigned int weights[] = {
                [HOLDFAST_VM_ALIVE] = 0,
                [HOLDFAST_VM_CARRIED] = 1,
                [HOLDFAST_VM_ENDING] = 2,
                [HOLDFAST_VM_STUBBORN] = 3,
        };
        unsigned int state = lock->vm->state, other = than ? than->vm->state : 0;

        return !than || (state < HF_ARRAY_LEN(weights) && other < HF_ARRAY_LEN(weights) &&
                         weights[state] > weights[other]);
}

/* The same VM as the list of VMs has it, with its connections. */
static const struct holdfast_vm_info *listed(const struct explanation *e,
                                             const struct holdfast_vm_info *vm)
{
        for (size_t i = 0; e->vms && i < e->vms->n; i++)
                if (e->vms->vms[i]->pid == vm->pid && e->vms->vms[i]->start == vm->start)
                        return e->vms->vms[i];
        return vm;
}

static pid_t first_pid(struct json_object *carriers)
{
        struct json_object *first = json_object_array_length(carriers)
                                            ? json_object_array_get_idx(carriers, 0)
                                            : NULL;

        return first ? json_object_get_int(json_object_object_get(first, "pid")) : 0;
}

static void add_hold(struct explanation *e, struct json_object *holds,
                     const struct holdfast_lock_info *lock)
{
        struct json_object *object = hf_report_vm(lock->vm);
        struct json_object *carriers = hf_report_carriers(listed(e, lock->vm), &e->known);

        hf_print_put(object, "lock", hf_report_lock(lock));
        hf_print_put(object, "carriers", carriers);
        (void)hf_foreign_know(&e->known, lock->vm->pid);
        if (!lock->metadata && outweighs(lock, e->standing.hold)) {
                e->standing.hold = lock;
                e->standing.carrier = first_pid(carriers);
        }
        (void)json_object_array_add(holds, object);
}

static void ask_daemon(struct explanation *e)
{
        struct json_object *holds = json_object_new_array();
        struct holdfast_error error = {0};

        hf_print_put(e->document, "holds", holds);
        if (!e->standing.daemon)
                return;
        if (holdfast_who(e->standing.path, 0, &e->locks, &error) < 0 ||
            holdfast_list_vms(0, &e->vms, &error) < 0) {
                hf_message("%s", error.text);
                e->standing.daemon = false;
                return;
        }
        for (size_t i = 0; i < e->locks->n; i++)
                add_hold(e, holds, e->locks->locks[i]);
        hf_print_put(e->document, "waiters", hf_waiters_of(e->standing.path, &e->thing));
}

/* Drivers of leases know of other hosts' too. */
static void ask_driver(struct explanation *e)
{
        struct json_object *leases = json_object_new_array();
        struct holdfast_error error = {0};
        int r = hf_look_at_disk(e->standing.path, leases, &e->leased, &error);

        e->driver = r != -EOPNOTSUPP;
        e->standing.daemon |= r >= 0;
        if (r < 0 && e->driver) {
                hf_message("%s", error.text);
                *(hf_look_has_driver() ? &e->standing.unasked : &e->standing.unclear) = true;
        }
        e->standing.leased = r > 0 ? &e->leased : NULL;
        for (size_t i = 0; i < json_object_array_length(leases); i++)
                (void)hf_foreign_know(&e->known,
                                      hf_report_pid(json_object_array_get_idx(leases, i)));
        hf_print_put(e->document, "leases", leases);
}

static void add_process(const struct hf_user *user, void *context)
{
        struct explanation *e = context;
        struct json_object *object = json_object_new_object();

        hf_print_put(object, "pid", json_object_new_int(user->pid));
        hf_print_put(object, "command", hf_print_string(user->comm));
        hf_print_put(object, "writes", json_object_new_boolean(user->writes));
        hf_print_put(object, "locks", json_object_new_boolean(user->locks));
        hf_print_put(object, "lock_daemon", json_object_new_boolean(user->our_byte));
        hf_print_put(object, "means", json_object_new_string(hf_foreign_means(user)));
        (void)json_object_array_add(e->processes, object);
        /* A lock daemon says more than a writer, and a writer more than a reader. */
        if (!e->standing.process || user->our_byte > e->process.our_byte ||
            (user->our_byte == e->process.our_byte && user->writes > e->process.writes))
                e->process = *user;
        e->standing.process = &e->process;
}

static void ask_processes(struct explanation *e)
{
        e->processes = json_object_new_array();
        hf_print_put(e->document, "processes", e->processes);
        (void)hf_foreign_find(&e->thing, &e->known, add_process, e);
}

static struct json_object *qemu_words(int fd, off_t base)
{
        static const char *const words[] = {"consistent-read", "write", "write-unchanged",
                                            "resize"};
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < HF_ARRAY_LEN(words); i++)
                if (hf_foreign_is_locked(fd, F_WRLCK, base + (off_t)i))
                        (void)json_object_array_add(array, json_object_new_string(words[i]));
        return array;
}

static int open_to_look(const char *path)
{
        return open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* What the kernel, or the file server, says of locks on the disk, whoever has them. */
static void ask_locks(struct explanation *e)
{
        hf_cleanup_fd int fd = open_to_look(e->standing.path);
        struct json_object *locks = json_object_new_object(), *uses, *forbids;

        hf_print_put(e->document, "locks", locks);
        if (fd < 0) {
                e->standing.hidden |= errno == EACCES || errno == EPERM;
                hf_print_put(locks, "problem", json_object_new_string(strerror(errno)));
                return;
        }
        e->standing.locked |= hf_foreign_is_locked(fd, F_WRLCK, HF_DAEMON_BYTE);
        uses = qemu_words(fd, HF_QEMU_USES);
        forbids = qemu_words(fd, HF_QEMU_FORBIDS);
        e->standing.used = json_object_array_length(uses) || json_object_array_length(forbids);
        hf_print_put(locks, "daemons",
                     json_object_new_boolean(hf_foreign_is_locked(fd, F_WRLCK, HF_DAEMON_BYTE)));
        hf_print_put(locks, "qemu_uses", uses);
        hf_print_put(locks, "qemu_forbids", forbids);
}

/* Seconds of the lease that the file server of a mount gives; 0: it gives none. */
static unsigned int lease_of(const char *path)
{
        hf_cleanup_nfs_leases struct hf_nfs_leases *leases = NULL;
        hf_cleanup_mounts struct hf_mounts *mounts = NULL;
        const struct hf_nfs_lease *lease = NULL;
        const struct hf_mount *mount;
        struct hf_thing thing;

        if (hf_resource_identify(path, &thing) < 0 || thing.kind != HF_THING_FILE ||
            hf_mounts_new(&mounts) < 0 || hf_nfs_leases_new(&leases) < 0)
                return 0;
        mount = hf_mounts_of_dev(mounts, thing.dev);
        if (mount && hf_nfs_has_lease(mount->type))
                lease = hf_nfs_leases_at(leases, mount->point);
        return lease ? lease->seconds : 0;
}

/* The record at the lock, and whether it tells of now. */
static void ask_record(struct explanation *e, const char *file, struct json_object *object)
{
        enum hf_record_verdict verdict;
        struct hf_record self = {0};
        int r = hf_record_look(file, &e->record, &verdict);

        e->standing.hidden |= r == -EACCES || r == -EPERM;
        if (r < 0)
                return;
        e->standing.locked |= verdict == HF_RECORD_HELD || verdict == HF_RECORD_UNKNOWN;
        hf_print_put(object, "taken", json_object_new_boolean(e->standing.locked));
        if (!hf_record_was_found(verdict) || hf_lookaside_is_word(file, &e->record))
                return;
        hf_record_set_self(&self);
        e->standing.record = &e->record;
        e->standing.is_ours = hf_record_same_host(&e->record, &self);
        hf_print_put(object, "record", hf_reach_report(&e->record));
}

/* The file that carries the lock: the disk itself, or what stands for it. */
static void ask_lock_file(struct explanation *e)
{
        hf_cleanup_lookaside struct hf_lookaside lookaside = {0};
        struct json_object *object = json_object_new_object();
        struct hf_guarantee_of guarantee;
        struct hf_error error = {0};
        const char *file = e->standing.path;

        hf_print_put(e->document, "lock_file", object);
        if (hf_lookaside_of(e->standing.path, &lookaside, &error) < 0) {
                hf_print_put(object, "problem", hf_print_string(error.text));
                e->standing.unclear = true;
                return;
        }
        if (lookaside.file)
                file = lookaside.file;
        hf_print_put(object, "path", hf_print_string(file));
        hf_lookaside_reach(&lookaside, file, &e->thing, &guarantee);
        hf_reach_put(object, &guarantee);
        ask_record(e, file, object);
        e->standing.lease_s = lease_of(file);
        hf_print_put(object, "lease_seconds", json_object_new_int64(e->standing.lease_s));
}

static void explain(struct explanation *e)
{
        ask_who_serves(e);
        ask_daemon(e);
        ask_driver(e);
        hf_patience_begin(e->standing.path);
        if (e->thing.kind != HF_THING_NONE) {
                ask_processes(e);
                ask_locks(e);
        }
        if (!e->driver)
                ask_lock_file(e);
        hf_patience_end();
}

static void print_words(const char *title, struct json_object *words)
{
        for (size_t i = 0; words && i < json_object_array_length(words); i++)
                hf_print_line("%s %s", title,
                              json_object_get_string(json_object_array_get_idx(words, i)));
}

static bool says(struct json_object *object, const char *key)
{
        return json_object_get_boolean(json_object_object_get(object, key));
}

static void print_hold(struct json_object *hold)
{
        struct json_object *carriers = json_object_object_get(hold, "carriers");
        struct json_object *lock = json_object_object_get(hold, "lock");

        hf_print_line("Held by        %s (pid %s, %s): %s, %s", hf_print_text(hold, "name"),
                      hf_print_text(hold, "pid"), hf_print_text(hold, "state"),
                      says(lock, "metadata") ? "metadata" : hf_print_text(lock, "mode"),
                      hf_print_text(lock, "guarantee"));
        hf_print_line("  its lease    %s", hf_print_text(lock, "lease"));
        if (*hf_print_text(lock, "lockspace"))
                hf_print_line("  lock file    %s/%s", hf_print_text(lock, "lockspace"),
                              hf_print_text(lock, "name"));
        for (size_t i = 0; i < json_object_array_length(carriers); i++) {
                struct json_object *carrier = json_object_array_get_idx(carriers, i);

                hf_print_line("  connection   open in %s (pid %s)",
                              hf_print_text(carrier, "command"), hf_print_text(carrier, "pid"));
        }
}

static void print_waiter(struct json_object *waiter)
{
        hf_print_line("Waited for by  %s (pid %s): %s", hf_print_text(waiter, "name"),
                      hf_print_text(waiter, "pid"), hf_print_text(waiter, "state"));
}

static void print_process(struct json_object *process)
{
        hf_print_line("Process        %s (pid %s): %s", hf_print_text(process, "command"),
                      hf_print_text(process, "pid"), hf_print_text(process, "means"));
}

static void print_each(struct json_object *array, void (*print)(struct json_object *object))
{
        for (size_t i = 0; array && i < json_object_array_length(array); i++)
                print(json_object_array_get_idx(array, i));
}

static void print_lock_file(struct json_object *file)
{
        struct json_object *record = json_object_object_get(file, "record");
        const char *lease = hf_print_text(file, "lease_seconds");

        if (*hf_print_text(file, "problem")) {
                hf_print_line("Lock file      cannot be told: %s", hf_print_text(file, "problem"));
                return;
        }
        hf_print_line("Lock file      %s: %s", hf_print_text(file, "path"),
                      says(file, "taken") ? "taken" : "free");
        hf_print_line("  is worth     %s (%s)", hf_print_text(file, "guarantee"),
                      hf_print_text(file, "guarantee_reason"));
        if (*lease && strcmp(lease, "0") != 0)
                hf_print_line("  lease        of %s seconds, from its file server", lease);
        if (record)
                hf_print_line("  record       of %s (pid %s, host %s), written %s",
                              hf_print_text(record, "name"), hf_print_text(record, "pid"),
                              hf_print_text(record, "host"), hf_print_text(record, "written"));
}

static void print_facts(struct json_object *document)
{
        struct json_object *file = json_object_object_get(document, "file");
        struct json_object *daemon = json_object_object_get(document, "daemon");
        struct json_object *locks = json_object_object_get(document, "locks");

        hf_print_line("Path           %s", hf_print_text(document, "path"));
        hf_print_line("  leads to     %s%s", hf_print_text(file, "kind"),
                      hf_print_text(file, "problem"));
        if (*hf_print_text(daemon, "problem"))
                hf_print_line("Lock daemon    %s", hf_print_text(daemon, "problem"));
        else
                hf_print_line("Lock daemon    holdfastd %s on %s (pid %s)",
                              hf_print_text(daemon, "version"), hf_print_text(daemon, "host"),
                              hf_print_text(daemon, "pid"));
        print_each(json_object_object_get(document, "holds"), print_hold);
        print_each(json_object_object_get(document, "leases"), hf_look_print);
        print_each(json_object_object_get(document, "waiters"), print_waiter);
        print_each(json_object_object_get(document, "processes"), print_process);
        if (json_object_object_get(document, "lock_file"))
                print_lock_file(json_object_object_get(document, "lock_file"));
        if (!locks)
                return;
        if (*hf_print_text(locks, "problem")) {
                hf_print_line("Locks on it    cannot be told: %s", hf_print_text(locks, "problem"));
                return;
        }
        hf_print_line("Daemons' lock  %s", says(locks, "daemons") ? "taken" : "free");
        print_words("QEMU's lock    uses it for", json_object_object_get(locks, "qemu_uses"));
        print_words("QEMU's lock    bears no other for",
                    json_object_object_get(locks, "qemu_forbids"));
}

static int show(struct explanation *e, bool json)
{
        struct hf_advice advice;

        hf_advise(&e->standing, &advice);
        hf_print_put(e->document, "situation", json_object_new_string(advice.situation));
        hf_print_put(e->document, "free", json_object_new_boolean(advice.free));
        hf_print_put(e->document, "verdict", hf_print_string(advice.verdict));
        hf_print_put(e->document, "next", hf_print_string(advice.next));
        if (json) {
                hf_print_json(e->document);
        } else {
                print_facts(e->document);
                hf_print_line("%s", "");
                hf_print_line("%s", advice.verdict);
                hf_print_line("%s", advice.next);
        }
        return hf_print_end(HF_EXIT_OK);
}

/* What is gone may still be held by its name; what was never there may not. */
static int explain_path(const char *path, bool json)
{
        struct explanation e = {.standing = {.path = path, .all_seen = geteuid() == 0},
                                .document = hf_print_document("holdfast.explain")};
        int problem = identify(&e), status;

        explain(&e);
        if (problem < 0 && !e.standing.hold) {
                hf_message("%s: %s", path, strerror(-problem));
                status = problem == -EACCES ? HF_EXIT_DENIED : HF_EXIT_NO_IMAGE;
        } else {
                status = show(&e, json);
        }
        holdfast_lock_list_free(e.locks);
        holdfast_vm_list_free(e.vms);
        hf_foreign_forget(&e.known);
        (void)json_object_put(e.document);
        return status;
}

static int explain_one(int argc, char **argv)
{
        struct explain_options given = {0};
        int first, status;

        if (hf_verb_options(&options, argc, argv, &given, &given.standard, &first, &status) < 0)
                return status;
        if (first + 1 != argc) {
                hf_message("explain what? Name one disk; see 'holdfast explain --help'");
                return HF_EXIT_USAGE;
        }
        return explain_path(argv[first], given.json);
}

int hf_verb_explain(int argc, char **argv)
{
        return hf_patience(explain_one, argc, argv);
}
