/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast sanlock resume: a VM that was paused because it was losing its leases goes on.
 *
 * Its leases are taken at exactly the versions that were noted when they were given back. Another
 * version means that somebody else has had its disk in between: it does not go on then, for its
 * guest would write into what it does not know.
 */
#include "sanlock/verbs.h"

#include "base/clock.h"
#include "base/process.h"
#include "cli/message.h"
#include "cli/verb.h"
#include "driver/error.h"
#include "driver/sanlock/lockspace.h"
#include "driver/sanlock/state.h"
#include "sanlock/talk.h"
#include "sanlock/tool.h"

#include <fcntl.h>
#include <sanlock_admin.h>
#include <string.h>
#include <sys/file.h>

/* QEMU answers "cont" in no time; who is asked again in vain has hung. */
#define TALK_MS 10000

/* To join a lockspace again takes 21 s with the usual I/O timeout, 161 s at the worst. */
#define JOIN_NS (180 * UINT64_C(1000000000))

struct resume_options {
        struct hf_standard_options standard;
};

static const struct hf_option option_table[] = {
        HF_STANDARD_OPTIONS(struct resume_options, standard),
};

static const struct hf_options options = {
        .program = "holdfast sanlock resume",
        .usage = "[OPTION]... VM|UUID|PID",
        .summary = "Takes back the leases of a VM that was paused when it lost them, and lets it "
                   "run.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

struct resume {
        struct hf_paths paths;
        struct hf_sanlock_note note;
        struct hf_sanlock_state state;
        bool *taken; /* one for each item of state: by this program, which may give it back */
        struct hf_qmp_link link;
        int pidfd;
        int lock; /* the note, locked: one resumes a VM at a time */
};

static void clear_resume(struct resume *vm)
{
        hf_qmp_close(&vm->link);
        hf_sanlock_state_clear(&vm->state);
        free(vm->taken);
        hf_sanlock_note_clear(&vm->note);
        hf_paths_clear(&vm->paths);
        hf_close_fd(&vm->pidfd);
        hf_close_fd(&vm->lock);
}

static const char *name_of(const struct resume *vm)
{
        return vm->note.name && *vm->note.name ? vm->note.name : "without a name";
}

/* ---- what is there ---- */

static int find_vm(const char *word, struct resume *vm)
{
        struct hf_error error = {0};
        struct hf_process process;
        int r = hf_paths_init(&vm->paths, &error);

        if (r >= 0)
                r = hf_sanlock_note_named(&vm->paths, word, &vm->note, &error);
        if (r >= 0)
                r = hf_process_open(vm->note.pid, &vm->pidfd, &process, &error);
        if (r >= 0 && process.start != vm->note.start)
                r = hf_error_sys(&error, ESRCH, "the VM %s has ended", name_of(vm));
        if (r >= 0)
                return HF_EXIT_OK;
        hf_message("%s", error.text);
        switch (-r) {
        case ENOENT:
        case ESRCH:
                return HF_EXIT_NOBODY;
        case ENOTUNIQ:
                return HF_EXIT_USAGE;
        case EACCES:
        case EPERM:
                return HF_EXIT_DENIED;
        default:
                return HF_EXIT_SYSTEM;
        }
}

static int lock_vm(struct resume *vm)
{
        vm->lock = open(vm->note.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (vm->lock >= 0 && flock(vm->lock, LOCK_EX | LOCK_NB) == 0)
                return HF_EXIT_OK;
        if (errno == EWOULDBLOCK) {
                hf_message("VM %s is being resumed by somebody else", name_of(vm));
                return HF_EXIT_HELD;
        }
        hf_message("cannot lock %s: %s", vm->note.path, strerror(errno));
        return HF_EXIT_SYSTEM;
}

static int find_state(struct resume *vm)
{
        struct hf_lock_error why = {.size = sizeof(why)};
        hf_cleanup_free char *text = NULL;
        struct hf_error error = {0};
        int r = hf_sanlock_note_state_read(&vm->note, &text, &error);

        if (r == -ENOENT) {
                hf_message("VM %s was not paused because it lost its leases: there is nothing to "
                           "take back",
                           name_of(vm));
                return HF_EXIT_NOBODY;
        }
        if (r >= 0 && hf_sanlock_state_parse(text, &vm->state, &why) >= 0) {
                vm->taken = calloc((size_t)vm->state.n + 1, sizeof(*vm->taken));
                return vm->taken ? HF_EXIT_OK : HF_EXIT_SYSTEM;
        }
        hf_message("the leases of VM %s cannot be read: %s", name_of(vm),
                   r < 0 ? error.text : why.text);
        return r == -EPERM ? HF_EXIT_DENIED : HF_EXIT_SYSTEM;
}

/* Before anything is taken: a VM that nobody could continue had better not hold its leases. */
static int find_monitor(struct resume *vm)
{
        const char *why = hf_sanlock_talk_begin(&vm->note, HF_QMP_RESUME, &vm->link);

        if (!why)
                return HF_EXIT_OK;
        hf_message("VM %s cannot be told to run: %s", name_of(vm), why);
        return HF_EXIT_SYSTEM;
}

/* The daemon of the VM, whatever our own environment says, which has to answer. */
static int choose_daemon(struct resume *vm)
{
        const char *dir = vm->note.run_dir;
        int r = dir ? setenv("SANLOCK_RUN_DIR", dir, 1) : unsetenv("SANLOCK_RUN_DIR");

        if (r < 0)
                return HF_EXIT_SYSTEM;
        return hf_tool_has_daemon() ? HF_EXIT_OK : HF_EXIT_NO_DAEMON;
}

/* ---- the leases ---- */

/* Which lease it was, and what its version is now. */
static void tell_stale(const struct resume *vm)
{
        for (int i = 0; i < vm->state.n; i++) {
                const struct sanlk_resource *then = vm->state.items[i];
                struct hf_sanlock_resource now = {.res = *then, .disk = then->disks[0]};

                if (!(then->flags & SANLK_RES_LVER))
                        continue;
                now.res.flags = 0;
                now.res.num_disks = 1;
                if (sanlock_read_resource(&now.res, 0) < 0 || now.res.lver == then->lver)
                        continue;
                hf_message("the lease in %s was used elsewhere since VM %s was paused (version "
                           "%llu then, %llu now): the disk may have changed. The VM is not "
                           "resumed; end it, and start it anew",
                           now.disk.path, name_of(vm), (unsigned long long)then->lver,
                           (unsigned long long)now.res.lver);
                return;
        }
        hf_message("a lease of VM %s was used elsewhere since it was paused: its disk may have "
                   "changed. The VM is not resumed; end it, and start it anew",
                   name_of(vm));
}

/* A host that loses a lockspace leaves it, and has to join it again. */
static int join_again(const struct resume *vm, struct hf_lock_error *err)
{
        hf_cleanup(hf_sanlock_settings_clear) struct hf_sanlock_settings settings = {0};
        hf_cleanup(hf_sanlock_lockspace_clear) struct hf_sanlock_lockspace disks = {0};
        struct hf_error error = {0};
        int r = hf_sanlock_settings_load(&vm->paths, NULL, NULL, NULL, &settings, &error);

        if (r < 0) {
                err->code = HF_LOCK_E_CONFIG;
                (void)snprintf(err->text, sizeof(err->text), "%s", error.text);
                return r;
        }
        if (!settings.host_id)
                return -ENOENT;
        r = hf_sanlock_lockspace_of_disks(&settings, &disks, err);
        if (r < 0)
                return r;
        hf_message("joining the lockspace %s again, which takes a while", disks.name);
        return hf_sanlock_lockspace_join(&disks, hf_clock_nsec(CLOCK_MONOTONIC) + JOIN_NS, err);
}

/*
 * Whether the VM has it already, as one has whose leases were noted and then not given back. With
 * another version, somebody else has taken it for the VM since.
 */
static int has_already(const struct resume *vm, const struct hf_sanlock_state *held,
                       const struct sanlk_resource *item, struct hf_lock_error *err)
{
        const struct sanlk_resource *had = hf_sanlock_state_find(held, item->lockspace_name,
                                                                 item->name);

        if (!had)
                return 0;
        if (had->lver == item->lver)
                return 1;
        return hf_driver_refuse(err, EBUSY, HF_LOCK_E_BUSY,
                                "somebody else has just taken its lease %.48s for VM %s",
                                item->name, name_of(vm));
}

/*
 * One by one, since to take a lease makes its version higher: of a call with several it would not
 * be known which of them were had before one was refused.
 */
static int take_each(const struct resume *vm, struct hf_lock_error *err)
{
        hf_cleanup(hf_sanlock_state_clear) struct hf_sanlock_state held = {0};
        int r = hf_sanlock_state_of(vm->note.pid, &held, err);

        for (int i = 0; i < vm->state.n && r >= 0; i++) {
                const struct hf_sanlock_state one = {.items = &vm->state.items[i], .n = 1};
                const struct sanlk_resource *item = vm->state.items[i];

                /* Of several of one name the last one counts. */
                if (vm->taken[i] ||
                    hf_sanlock_state_find(&vm->state, item->lockspace_name, item->name) != item)
                        continue;
                r = has_already(vm, &held, item, err);
                if (r != 0)
                        continue;
                r = hf_sanlock_state_retake(vm->note.pid, &one, err);
                vm->taken[i] = r >= 0;
        }
        return r < 0 ? r : 0;
}

static int retake(const struct resume *vm, struct hf_lock_error *err)
{
        struct hf_lock_error why = {.size = sizeof(why)};
        int r = take_each(vm, err);

        if (r != -ENOLCK && r != -ENOSPC)
                return r;
        r = join_again(vm, &why);
        if (r == -ENOENT)
                return r;
        if (r < 0) {
                *err = why;
                return r;
        }
        return take_each(vm, err);
}

static void forget_state(const struct resume *vm)
{
        hf_cleanup_free char *path = hf_sanlock_note_state_path(&vm->note);

        if (path)
                (void)unlink(path);
}

/* Of what was taken here: as the VM has it now. *ret has no items of its own. */
static int find_taken(struct resume *vm, const struct hf_sanlock_state *now,
                      struct hf_sanlock_state *ret)
{
        ret->items = calloc((size_t)now->n + 1, sizeof(*ret->items));
        if (!ret->items)
                return -ENOMEM;
        for (int i = 0; i < now->n; i++)
                for (int j = 0; j < vm->state.n; j++) {
                        struct sanlk_resource *item = vm->state.items[j];

                        if (!vm->taken[j] || hf_sanlock_state_find(now, item->lockspace_name,
                                                                   item->name) != now->items[i])
                                continue;
                        item->lver = item->flags & SANLK_RES_LVER ? now->items[i]->lver : 0;
                        ret->items[ret->n++] = now->items[i];
                }
        return ret->n;
}

/* Its leases as they were, but for the versions of those that were had meanwhile. */
static int note_versions(const struct resume *vm, struct hf_lock_error *err)
{
        hf_cleanup_free char *text = NULL;
        struct hf_error error = {0};
        int r = hf_sanlock_state_text(&vm->state, &text, err);

        if (r < 0 || !text)
                return r;
        r = hf_sanlock_note_state_write(&vm->note, text, &error);
        if (r < 0)
                (void)snprintf(err->text, sizeof(err->text), "%s", error.text);
        return r;
}

static void free_items(struct hf_sanlock_state *state)
{
        free(state->items);
}

/*
 * What was taken here is given back, and can be taken again. Nothing else is: another one may have
 * taken it, and let the VM run.
 */
static void put_back(struct resume *vm)
{
        hf_cleanup(hf_sanlock_state_clear) struct hf_sanlock_state now = {0};
        hf_cleanup(free_items) struct hf_sanlock_state ours = {0};
        struct hf_lock_error error = {.size = sizeof(error)};
        int r = hf_sanlock_state_of(vm->note.pid, &now, &error);

        if (r < 0 || find_taken(vm, &now, &ours) <= 0)
                return;
        r = note_versions(vm, &error);
        if (r >= 0)
                r = hf_sanlock_state_release(vm->note.pid, &ours, &error);
        if (r < 0)
                hf_message("VM %s keeps leases, and is paused: %s", name_of(vm), error.text);
}

static int take_leases(struct resume *vm)
{
        struct hf_lock_error error = {.size = sizeof(error)};
        int r = retake(vm, &error);

        if (r >= 0)
                return HF_EXIT_OK;
        put_back(vm);
        if (r == -ESTALE) {
                tell_stale(vm);
                return HF_EXIT_STALE;
        }
        hf_message("VM %s is not resumed: %s", name_of(vm), error.text);
        return error.code == HF_LOCK_E_BUSY ? HF_EXIT_HELD : HF_EXIT_SYSTEM;
}

/* ---- the VM ---- */

static int let_run(struct resume *vm)
{
        enum hf_qmp_state state = hf_sanlock_talk(&vm->link, vm->pidfd, TALK_MS);

        if (state == HF_QMP_FAILED || state == HF_QMP_TALKING) {
                hf_message("VM %s has not answered; %s", name_of(vm),
                           vm->link.talk.commanded ? "it has its leases, and may run or not"
                                                   : "it stays as it was, without its leases");
                /* One that may run must keep them. */
                if (vm->link.talk.commanded)
                        forget_state(vm);
                else
                        put_back(vm);
                return HF_EXIT_SYSTEM;
        }
        forget_state(vm);
        if (state == HF_QMP_OTHER) {
                hf_message("VM %s has its leases again, and is stopped for a reason of its own: "
                           "see its monitor",
                           name_of(vm));
                return HF_EXIT_SYSTEM;
        }
        if (state == HF_QMP_ALREADY)
                hf_message("warning: VM %s was running without its leases", name_of(vm));
        printf("%s has its leases again, and runs\n", name_of(vm));
        return HF_EXIT_OK;
}

static int resume(const char *word)
{
        static int (*const steps[])(struct resume * vm) = {lock_vm, find_state, find_monitor,
                                                           choose_daemon};
        hf_cleanup(clear_resume) struct resume vm = {.pidfd = -1, .lock = -1, .link.fd = -1};
        int status = find_vm(word, &vm);

        for (size_t i = 0; i < HF_ARRAY_LEN(steps) && status == HF_EXIT_OK; i++)
                status = steps[i](&vm);
        if (status == HF_EXIT_OK)
                status = take_leases(&vm);
        return status == HF_EXIT_OK ? let_run(&vm) : status;
}

int hf_sanlock_verb_resume(int argc, char **argv)
{
        struct resume_options given = {0};
        int first, status;

        if (hf_verb_options(&options, argc, argv, &given, &given.standard, &first, &status) < 0)
                return status;
        if (argc - first != 1) {
                hf_message("which VM? 'holdfast sanlock resume VM', a name, a uuid or a process");
                return HF_EXIT_USAGE;
        }
        return resume(argv[first]);
}
