/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/launch.h"

#include "cli/dangers.h"
#include "cli/foreign.h"
#include "cli/holder.h"
#include "cli/lookaside.h"
#include "cli/message.h"
#include "cli/verb.h"

#include "base/cleanup.h"

#include <limits.h>
#include <string.h>
#include <sys/prctl.h>

static void free_vm(struct holdfast_vm **vm)
{
        holdfast_vm_free(*vm);
}

/*
 * A reader takes a read lock, which keeps writers out; READONLY alone would lock
 * nothing, for that is what it means under libvirt.
 */
static unsigned int library_flags(unsigned flags)
{
        if (flags & HF_VM_DISK_READONLY)
                return HOLDFAST_READONLY | HOLDFAST_SHARED;
        return flags & HF_VM_DISK_SHARED ? HOLDFAST_SHARED : 0;
}

static int add_resources(const struct hf_plan *plan, struct holdfast_vm *vm,
                         struct holdfast_error *err)
{
        int r = 0;

        for (size_t i = 0; i < plan->n_images && r >= 0; i++)
                r = holdfast_vm_add_disk(vm, plan->images[i].path,
                                         library_flags(plan->images[i].flags), err);
        for (size_t i = 0; i < plan->said.n_leases && r >= 0; i++) {
                const struct hf_vm_lease *lease = &plan->said.leases[i];

                r = holdfast_vm_add_lease(vm, lease->lockspace, lease->key, lease->path,
                                          lease->offset, err);
        }
        return r;
}

static void warn(void *ctx, const char *text)
{
        (void)ctx;
        hf_message("warning: %s", text);
}

int hf_launch_prepare(struct hf_plan *plan, struct holdfast_vm **ret, int *ret_status)
{
        hf_cleanup(free_vm) struct holdfast_vm *vm = NULL;
        struct holdfast_error error = {0};
        struct holdfast_vm_params params;
        int r;

        holdfast_vm_params_init(&params);
        params.name = plan->vm_name;
        params.via = plan->client ? "holdfast lock" : "holdfast run";
        params.driver = plan->driver;
        params.on_lost = plan->on_lost;
        params.warn = warn;
        params.flags = (plan->locks_images ? HOLDFAST_VM_LOCKS_IMAGES : 0) |
                       (plan->client ? HOLDFAST_VM_CLIENT : 0);
        params.wait_ms = plan->wait_ms;
        params.waiting = hf_wait_tell;
        params.waiting_ctx = &plan->wait;
        memcpy(params.uuid, plan->vm_uuid, sizeof(params.uuid));
        r = holdfast_vm_new(&params, &vm, &error);
        if (r >= 0)
                r = add_resources(plan, vm, &error);
        if (r < 0) {
                hf_message("%s", error.text);
                *ret_status = hf_message_status(&error);
                return r;
        }
        *ret = hf_steal_ptr(vm);
        return 0;
}

const char *hf_launch_short(const char *path)
{
        static char here[PATH_MAX];
        size_t len;

        if (!here[0] && !getcwd(here, sizeof(here)))
                return path;
        len = strlen(here);
        return len > 1 && !strncmp(path, here, len) && path[len] == '/' ? path + len + 1 : path;
}

static const struct hf_plan_image *image_of(const struct hf_plan *plan, const char *path)
{
        for (size_t i = 0; i < plan->n_images; i++)
                if (!strcmp(plan->images[i].path, path))
                        return &plan->images[i];
        return NULL;
}

/* waited: for how many seconds in vain; 0: not at all. */
static void report_held(const char *path, const char *holder, double waited)
{
        char after[64] = "";

        path = hf_launch_short(path);
        if (waited > 0)
                (void)snprintf(after, sizeof(after), ", after %.1f s in line", waited);
        hf_message("%s is %sheld by %s%s. Stop it first, or see 'holdfast who %s'.", path,
                   waited > 0 ? "still " : "", holder, after, path);
}

/* Names the holder, also where the daemon cannot. */
static void report_refusal(const struct hf_plan *plan, const struct holdfast_vm *vm,
                           const struct holdfast_error *error, double waited)
{
        struct holdfast_holder holder = {.size = sizeof(holder)};
        const struct hf_plan_image *image;
        char text[HF_HOLDER_TEXT_MAX];

        if (!holdfast_vm_refusal(vm, &holder)) {
                hf_message("%s", error->text);
                return;
        }
        image = image_of(plan, holder.resource);
        if (holder.pid || *holder.name || *holder.state)
                report_held(holder.resource, hf_holder_text(&holder, text), waited);
        else if (image && hf_foreign_opposes_aside(image, text))
                report_held(holder.resource, text, waited);
        else if (image)
                report_held(holder.resource, hf_foreign_opponent(image, text), waited);
        else
                hf_message("%s", error->text);
}

static int start(struct holdfast_vm *vm, int *ret_connection, struct holdfast_error *err)
{
        int r = holdfast_vm_start(vm, 0, ret_connection, err);

        /* That of another driver is not ours to start. */
        if (r >= 0 || err->code != HOLDFAST_E_NO_DAEMON ||
            strcmp(holdfast_vm_driver(vm), "lockd") != 0)
                return r;
        /* Usually one serves already, so it is looked for only now. */
        r = holdfast_daemon_start(0, err);
        return r < 0 ? r : holdfast_vm_start(vm, 0, ret_connection, err);
}

/* Whether our lock is not on the image, but on a file that stands for it. */
static bool is_aside(const struct hf_plan *plan, const struct hf_plan_image *image)
{
        hf_cleanup_lookaside struct hf_lookaside lookaside = {0};

        if (plan->locks_images && !(image->flags & HF_VM_DISK_READONLY))
                return true;
        return hf_lookaside_of(image->path, &lookaside, NULL) >= 0 && lookaside.dir;
}

/*
 * Our lock does not keep out a QEMU that never asked for one, but its own locks show. Neither does
 * a lock on a stand-in keep out who has one on the image, by other settings or another daemon.
 */
static int check_foreign(const struct hf_plan *plan)
{
        char text[HF_HOLDER_TEXT_MAX];

        for (size_t i = 0; i < plan->n_images; i++) {
                const struct hf_plan_image *image = &plan->images[i];

                if (hf_foreign_opposes(image, false) <= 0 &&
                    (hf_foreign_opposes(image, true) <= 0 || !is_aside(plan, image)))
                        continue;
                report_held(image->path, hf_foreign_opponent(image, text), 0);
                return HF_EXIT_HELD;
        }
        return HF_EXIT_OK;
}

static void warn_of_hosts(void *ctx, const struct hf_danger *danger)
{
        (void)ctx;
        if (danger->among_hosts)
                hf_message("warning: %s", danger->text);
}

/* On a shared filesystem: what others have left there, and word of us for them. */
static void mind_other_hosts(const struct hf_plan *plan)
{
        for (size_t i = 0; i < plan->n_images; i++) {
                if (plan->images[i].thing.kind != HF_THING_FILE)
                        continue;
                hf_dangers_at_start(&plan->images[i], plan, warn_of_hosts, NULL);
        }
}

int hf_launch_check(const struct hf_plan *plan)
{
        int r = hf_plan_find_vmm(plan);

        if (r < 0)
                return hf_launch_no_vmm(plan, -r);
        for (size_t i = 0; i < plan->n_images; i++) {
                if (!plan->images[i].problem)
                        continue;
                hf_plan_image_report(&plan->images[i]);
                return hf_plan_image_status(&plan->images[i]);
        }
        return HF_EXIT_OK;
}

int hf_launch_no_vmm(const struct hf_plan *plan, int number)
{
        hf_message("cannot run %s: %s", plan->vmm[0], strerror(number));
        return number == ENOENT ? HF_EXIT_NOT_FOUND : HF_EXIT_CANNOT_RUN;
}

static int report_failure(const struct hf_plan *plan, const struct holdfast_vm *vm,
                          const struct holdfast_error *error, double waited)
{
        if (error->code == HOLDFAST_E_BUSY)
                report_refusal(plan, vm, error, waited);
        else
                hf_message("%s", error->text);
        return hf_message_status(error);
}

int hf_launch_lock(struct hf_plan *plan, struct holdfast_vm *vm, int *ret_connection)
{
        struct holdfast_error error = {0};
        int connection = -1, status = HF_EXIT_OK, r;
        double waited;

        r = start(vm, &connection, &error);
        waited = hf_wait_end(&plan->wait);
        if (r < 0)
                return report_failure(plan, vm, &error, waited);
        if (waited > 0 && hf_plan_is_outdated(plan)) {
                hf_message("the images of %s have changed while it waited, and not all of them "
                           "are locked: start it again",
                           plan->vm_name);
                return HF_EXIT_HELD;
        }
        if (strcmp(holdfast_vm_driver(vm), "nop") != 0)
                status = check_foreign(plan);
        if (status != HF_EXIT_OK)
                return status;
        if (!strcmp(holdfast_vm_driver(vm), "lockd"))
                mind_other_hosts(plan);
        *ret_connection = connection;
        return HF_EXIT_OK;
}

int hf_launch_exec(const struct hf_plan *plan)
{
        (void)execvp(plan->vmm[0], plan->vmm);
        return hf_launch_no_vmm(plan, errno);
}

int hf_launch_become(struct hf_plan *plan, struct holdfast_vm *vm, const struct hf_relabel *relabel)
{
        unsigned char uuid[HOLDFAST_UUID_SIZE];
        int connection, status = hf_launch_lock(plan, vm, &connection);

        if (status != HF_EXIT_OK)
                return status;
        /* Of a child that stood in line for its parent. */
        if (plan->wait_ms && !plan->exec)
                (void)prctl(PR_SET_PDEATHSIG, 0);
        hf_plan_warn_of_nothing(plan, holdfast_vm_driver(vm));
        holdfast_vm_uuid(vm, uuid);
        status = hf_relabel_enter(relabel, plan, uuid);
        return status == HF_EXIT_OK ? hf_launch_exec(plan) : status;
}
