/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast check: would it start here and now, and if not, why.
 *
 * The same questions as `run` asks, in the same order, but all of them, and
 * nothing is taken: the exit status is that of the first that is answered no.
 * It is an answer about this moment only; who needs to know starts the VM.
 */

#include "cli/dangers.h"
#include "cli/foreign.h"
#include "cli/holder.h"
#include "cli/launch.h"
#include "cli/lookaside.h"
#include "cli/message.h"
#include "cli/patience.h"
#include "cli/pr-danger.h"
#include "cli/print.h"
#include "cli/reach.h"
#include "cli/report.h"
#include "cli/verb.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <string.h>

static const struct hf_option option_table[] = {
        HF_PLAN_OPTIONS,
        {.long_name = "strict",
         .help = "answer no also where a lock is worth less than it seems",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct hf_plan, strict)},
        HF_JSON_OPTION(struct hf_plan),
        HF_STANDARD_OPTIONS(struct hf_plan, standard),
};

static const struct hf_options options = {
        .program = "holdfast check",
        .usage = "[OPTION]... -- VMM [ARGUMENT]...",
        .summary = "Tells whether 'holdfast run' would start this VM here and now, and if not, "
                   "why. Changes nothing and starts nothing.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
        .stop_early = true,
};

static const struct hf_print_column columns[] = {
        {"IMAGE", "path"}, {"MODE", "mode"},   {"GUARANTEE", "guarantee"},
        {"FROM", "from"},  {"STATE", "state"},
};

/* Who has a resource, as the lock driver told. */
struct told {
        char *resource;
        bool shared;
        char holder[HF_HOLDER_TEXT_MAX];
};

struct check {
        struct hf_plan *plan;
        struct json_object *images;
        struct json_object *warnings;
        int status;             /* of the first no */
        bool locks;             /* the driver does more than nothing */
        bool lockd;             /* it is the driver whose leases are files */
        bool daemon;            /* one answers and can tell who holds what */
        bool looked;            /* the driver did: it needs no lock daemon of ours */
        bool blind;             /* it could not be asked: who has what is not known */
        unsigned int guarantee; /* that it told */
        struct told *told;
        size_t n_told;
        char *host;
};

/* A no; only the first one decides how we end. */
static void refuse(struct check *check, int status)
{
        if (check->status == HF_EXIT_OK)
                check->status = status;
}

static void check_vmm(struct check *check)
{
        int r = hf_plan_find_vmm(check->plan);

        if (r < 0)
                refuse(check, hf_launch_no_vmm(check->plan, -r));
}

static void check_files(struct check *check)
{
        for (size_t i = 0; i < check->plan->n_images; i++) {
                const struct hf_plan_image *image = &check->plan->images[i];

                if (!image->problem)
                        continue;
                hf_plan_image_report(image);
                refuse(check, hf_plan_image_status(image));
        }
}

static void note_told(void *ctx, const struct holdfast_holder *holder)
{
        struct check *check = ctx;
        struct told *grown = reallocarray(check->told, check->n_told + 1, sizeof(*grown)), *told;

        if (!grown)
                return;
        check->told = grown;
        told = &grown[check->n_told];
        told->resource = strdup(holder->resource);
        told->shared = holder->shared;
        hf_holder_text(holder, told->holder);
        check->n_told += told->resource != NULL;
}

static void forget_told(struct check *check)
{
        for (size_t i = 0; i < check->n_told; i++)
                free(check->told[i].resource);
        free(check->told);
}

/* In text; false if the driver knows of nobody who stands against it. */
static bool driver_refuses(const struct check *check, const char *resource, bool shared,
                           char text[static HF_HOLDER_TEXT_MAX])
{
        for (size_t i = 0; i < check->n_told; i++)
                if (!strcmp(check->told[i].resource, resource) &&
                    !(shared && check->told[i].shared)) {
                        (void)snprintf(text, HF_HOLDER_TEXT_MAX, "%s", check->told[i].holder);
                        return true;
                }
        return false;
}

static void ask_driver(struct check *check, struct holdfast_vm *vm)
{
        struct holdfast_error error = {0};
        int r = holdfast_vm_look(vm, note_told, check, &check->guarantee, &error);

        check->looked = r >= 0 || error.code != HOLDFAST_E_UNSUPPORTED;
        if (r >= 0 || !check->looked)
                return;
        check->blind = true;
        hf_message("%s", error.text);
        refuse(check, hf_message_status(&error));
}

static void check_driver(struct check *check)
{
        struct holdfast_error error = {0};
        struct holdfast_vm *vm;
        int status;

        if (hf_launch_prepare(check->plan, &vm, &status) < 0) {
                refuse(check, status);
                return;
        }
        check->locks = strcmp(holdfast_vm_driver(vm), "nop") != 0;
        check->lockd = !strcmp(holdfast_vm_driver(vm), "lockd");
        /* Takes nothing, but shows the driver all resources: it may not serve one of them. */
        if (holdfast_vm_inquire(vm, NULL, &error) < 0) {
                hf_message("%s", error.text);
                refuse(check, hf_message_status(&error));
        }
        if (check->locks && !check->lockd)
                ask_driver(check, vm);
        hf_plan_warn_of_nothing(check->plan, holdfast_vm_driver(vm));
        holdfast_vm_free(vm);
}

/* As the library decides: for root only where everything was moved elsewhere. */
static bool would_start_daemon(void)
{
        return geteuid() != 0 || secure_getenv("HOLDFAST_RUN_DIR");
}

static void check_daemon(struct check *check)
{
        struct holdfast_daemon_info *info;
        struct holdfast_error error = {0};

        if (!check->locks || check->looked)
                return;
        if (holdfast_get_daemon_info(&info, &error) >= 0) {
                check->daemon = true;
                check->host = strdup(info->host);
                holdfast_daemon_info_free(info);
                return;
        }
        if (error.code == HOLDFAST_E_UNSUPPORTED ||
            (error.code == HOLDFAST_E_NO_DAEMON && would_start_daemon()))
                return;
        hf_message("%s", error.text);
        refuse(check, hf_message_status(&error));
}

/* Who stands against it, in text; false if nobody does. */
static bool daemon_refuses(const struct check *check, const char *path, bool shared,
                           char text[static HF_HOLDER_TEXT_MAX])
{
        struct holdfast_lock_list *list;
        struct holdfast_error error = {0};
        bool found = false;

        if (!check->daemon || holdfast_who(path, 0, &list, &error) < 0)
                return false;
        for (size_t i = 0; i < list->n && !found; i++) {
                found = hf_lock_opposes(list->locks[i], shared);
                if (found)
                        hf_lock_holder_text(list->locks[i], check->host, text);
        }
        holdfast_lock_list_free(list);
        return found;
}

static bool is_held(const struct check *check, const struct hf_plan_image *image,
                    char text[static HF_HOLDER_TEXT_MAX])
{
        if (!check->locks || image->problem)
                return false;
        if (daemon_refuses(check, image->path, hf_plan_image_shared(image), text) ||
            driver_refuses(check, image->path, hf_plan_image_shared(image), text))
                return true;
        if (hf_foreign_opposes(image, true) <= 0)
                return hf_foreign_opposes_aside(image, text);
        hf_foreign_opponent(image, text);
        return true;
}

static const char *mode_of(const struct hf_plan_image *image)
{
        if (image->flags & HF_VM_DISK_READONLY)
                return "read-only";
        return image->flags & HF_VM_DISK_SHARED ? "shared" : "exclusive";
}

/* What its lock would be worth. */
static void put_guarantee(const struct check *check, const struct hf_plan_image *image,
                          struct json_object *object)
{
        struct hf_guarantee_of guarantee = {.level = HF_LEVEL_NONE, .reason = "nothing is locked"};
        hf_cleanup_lookaside struct hf_lookaside lookaside = {0};

        if (check->looked && !image->problem) {
                guarantee = (struct hf_guarantee_of){
                        .level = (enum hf_guarantee_level)check->guarantee,
                        .reason = "as its lock driver says"};
        } else if (check->locks && !image->problem) {
                if (check->lockd)
                        (void)hf_lookaside_of(image->path, &lookaside, NULL);
                hf_lookaside_reach(&lookaside, image->path, &image->thing, &guarantee);
                /* In a directory of the driver's own. */
                if (check->lockd && check->plan->locks_images && !lookaside.dir &&
                    !(image->flags & HF_VM_DISK_READONLY))
                        guarantee = (struct hf_guarantee_of){
                                .level = HF_LEVEL_HOST,
                                .reason = "beside the socket of this host's lock daemon"};
        }
        hf_reach_put(object, &guarantee);
}

static void note_danger(void *ctx, const struct hf_danger *danger)
{
        struct check *check = ctx;
        struct json_object *object = json_object_new_object();

        hf_print_put(object, "key", json_object_new_string(danger->key));
        hf_print_put(object, "text", hf_print_string(danger->text));
        (void)json_object_array_add(check->warnings, object);
        hf_message("warning: %s", danger->text);
        if (check->plan->strict)
                refuse(check, HF_EXIT_CONFIG);
}

static void check_image(struct check *check, const struct hf_plan_image *image)
{
        struct json_object *object = json_object_new_object();
        char holder[HF_HOLDER_TEXT_MAX];
        bool held = is_held(check, image, holder);
        const char *state = "free";

        if (held)
                state = "held";
        else if (image->problem)
                state = "unusable";
        else if (check->blind)
                state = "unknown";
        hf_print_put(object, "path", hf_print_string(image->path));
        hf_print_put(object, "mode", json_object_new_string(mode_of(image)));
        put_guarantee(check, image, object);
        hf_print_put(object, "from", hf_print_string(image->from));
        hf_print_put(object, "state", json_object_new_string(state));
        hf_print_put(object, "holder", held ? hf_print_string(holder) : NULL);
        (void)json_object_array_add(check->images, object);
        if (check->lockd)
                hf_dangers_of_image(image, note_danger, check);
        hf_pr_dangers_of_image(image, check->plan->vmm, note_danger, check);
        if (!held)
                return;
        hf_message("%s is held by %s", hf_launch_short(image->path), holder);
        refuse(check, HF_EXIT_HELD);
}

/* The lease of the driver lockd is a file, which has to exist; of others the driver may tell. */
static void check_lease(struct check *check, const struct hf_vm_lease *lease)
{
        hf_cleanup_free char *path = NULL;
        char holder[HF_HOLDER_TEXT_MAX];
        int status;

        if (check->looked && driver_refuses(check, lease->key, false, holder)) {
                hf_message("the lease %s in %s is held by %s", lease->key, lease->lockspace,
                           holder);
                refuse(check, HF_EXIT_HELD);
        }
        if (!check->lockd)
                return;
        if (asprintf(&path, "%s/%s/%s", lease->path, lease->lockspace, lease->key) < 0) {
                path = NULL;
                return;
        }
        if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) < 0) {
                status = errno == EACCES ? HF_EXIT_DENIED : HF_EXIT_NO_IMAGE;
                hf_message("cannot use the lease %s: %s", path, strerror(errno));
                refuse(check, status);
        } else if (daemon_refuses(check, path, false, holder)) {
                hf_message("the lease %s in %s is held by %s", lease->key, lease->lockspace,
                           holder);
                refuse(check, HF_EXIT_HELD);
        }
}

static void show(struct check *check)
{
        const struct hf_plan *plan = check->plan;
        struct json_object *document = hf_print_document("holdfast.check");

        hf_print_put(document, "name", hf_print_string(plan->vm_name));
        hf_print_put(document, "would_start", json_object_new_boolean(check->status == HF_EXIT_OK));
        hf_print_put(document, "status", json_object_new_int(check->status));
        hf_print_put(document, "daemon", json_object_new_boolean(check->daemon));
        hf_print_put(document, "images", json_object_get(check->images));
        hf_print_put(document, "warnings", json_object_get(check->warnings));
        if (plan->json) {
                hf_print_json(document);
        } else {
                if (plan->n_images)
                        hf_print_table(check->images, columns, HF_ARRAY_LEN(columns), NULL);
                hf_print_line("%s would %sstart here.", plan->vm_name,
                              check->status == HF_EXIT_OK ? "" : "not ");
        }
        (void)json_object_put(document);
}

static int check_all(int argc, char **argv)
{
        hf_cleanup_plan struct hf_plan plan;
        struct check check = {.plan = &plan};
        int status;

        hf_patience_begin("the VM's images");
        if (hf_plan_read(&plan, &options, argc, argv, &status) < 0)
                return status;
        check.images = json_object_new_array();
        check.warnings = json_object_new_array();
        check_vmm(&check);
        check_files(&check);
        check_driver(&check);
        check_daemon(&check);
        for (size_t i = 0; i < plan.n_images; i++)
                check_image(&check, &plan.images[i]);
        for (size_t i = 0; i < plan.said.n_leases; i++)
                check_lease(&check, &plan.said.leases[i]);
        hf_patience_end();
        show(&check);
        (void)json_object_put(check.images);
        (void)json_object_put(check.warnings);
        forget_told(&check);
        free(check.host);
        return hf_print_end(check.status);
}

int hf_verb_check(int argc, char **argv)
{
        return hf_patience(check_all, argc, argv);
}
