/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/relabel.h"

#include "cli/message.h"
#include "cli/verb.h"
#include "storage/record.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <string.h>

struct hf_label_host hf_relabel_host(void)
{
        struct hf_label_host host = {0};
        struct hf_record self = {0};

        hf_record_set_self(&self);
        memcpy(host.machine, self.machine, sizeof(host.machine));
        memcpy(host.boot, self.boot, sizeof(host.boot));
        hf_label_set_text(host.name, sizeof(host.name), self.host);
        return host;
}

int hf_relabel_status(int r)
{
        switch (-r) {
        case EBUSY:
        case ETIMEDOUT:
                return HF_EXIT_HELD;
        case ENOTCONN:
                return HF_EXIT_NO_DAEMON;
        case ENOENT:
        case ENOTDIR:
        case EISDIR:
        case ESTALE:
        case ELOOP:
                return HF_EXIT_NO_IMAGE;
        case EACCES:
        case EPERM:
        case EROFS:
                return HF_EXIT_DENIED;
        case EINVAL:
                return HF_EXIT_USAGE;
        case ENOTSUP:
                return HF_EXIT_CONFIG;
        default:
                return HF_EXIT_SYSTEM;
        }
}

static int complain(int r, const struct hf_error *error, int *ret_status)
{
        hf_message("%s", error->text);
        *ret_status = hf_relabel_status(r);
        return r;
}

static int want(struct hf_relabel *relabel, const struct hf_label_kind *kind, const char *given,
                struct hf_error *err)
{
        struct hf_label_want *new = &relabel->wants[relabel->n_wants];
        int r = kind->take(given, new->label, err);

        if (r < 0)
                return r;
        new->kind = kind;
        relabel->n_wants++;
        return 0;
}

static int read_wishes(const struct hf_plan *plan, struct hf_relabel *relabel, struct hf_error *err)
{
        char owner[32];
        int r = 0;

        if (plan->user) {
                r = hf_identity_parse(plan->user, &relabel->who, err);
                if (r < 0) {
                        hf_error_prefix(err, "--user");
                        return -EINVAL;
                }
                relabel->has_user = true;
                (void)snprintf(owner, sizeof(owner), "%u:%u", relabel->who.uid, relabel->who.gid);
                r = want(relabel, &hf_label_dac, owner, err);
        }
        if (r >= 0 && plan->selinux_label) {
                r = want(relabel, &hf_label_selinux, plan->selinux_label, err);
                if (r < 0)
                        hf_error_prefix(err, "--selinux-label");
        }
        return r;
}

static int find_places(const struct hf_plan *plan, struct hf_relabel *relabel, struct hf_error *err)
{
        relabel->places = calloc(plan->n_images + 1, sizeof(*relabel->places));
        for (size_t i = 0; relabel->places && i < plan->n_images; i++) {
                char *place = realpath(plan->images[i].path, NULL);

                if (!place)
                        return hf_error_sys(err, errno, "cannot tell where %s is",
                                            plan->images[i].path);
                relabel->places[relabel->n_places++] = place;
        }
        return relabel->places ? 0 : hf_error_sys(err, ENOMEM, "cannot list the images");
}

int hf_relabel_prepare(struct hf_plan *plan, struct hf_relabel *ret, int *ret_status)
{
        const char *option = plan->user ? "--user" : "--selinux-label";
        struct hf_label_host host;
        struct hf_error error = {0};
        int r;

        *ret = (struct hf_relabel){0};
        if (!plan->user && !plan->selinux_label)
                return 0;
        if (plan->exec) {
                (void)hf_error_set(&error, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                   "%s and --exec do not go together: nobody would be there to "
                                   "give the images back when the VM has ended",
                                   option);
                return complain(-EINVAL, &error, ret_status);
        }
        if (geteuid() != 0) {
                (void)hf_error_set(&error, EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_NONE,
                                   "%s needs root: images are given to another user, or another "
                                   "context, and back",
                                   option);
                return complain(-EPERM, &error, ret_status);
        }
        r = read_wishes(plan, ret, &error);
        if (r >= 0)
                r = hf_plan_find_unnamed(plan, &error);
        if (r >= 0)
                r = find_places(plan, ret, &error);
        if (r >= 0) {
                host = hf_relabel_host();
                r = hf_label_scene_init(&host, &ret->scene, &error);
        }
        return r < 0 ? complain(r, &error, ret_status) : 0;
}

void hf_relabel_clear(struct hf_relabel *relabel)
{
        hf_identity_clear(&relabel->who);
        for (size_t i = 0; i < relabel->n_places; i++)
                free(relabel->places[i]);
        free(relabel->places);
        hf_label_scene_clear(&relabel->scene);
        memset(relabel, 0, sizeof(*relabel));
}

static void warn(void *ctx, const char *text)
{
        (void)ctx;
        hf_message("warning: %s", text);
}

static int label_images(const struct hf_relabel *relabel, const struct hf_plan *plan,
                        const uint8_t vm_uuid[static 16], struct hf_error *err)
{
        hf_cleanup_free struct hf_label_wanted_image *images = calloc(plan->n_images + 1,
                                                                      sizeof(*images));
        struct hf_label_use use = {
                .images = images,
                .wants = relabel->wants,
                .n_wants = relabel->n_wants,
                .vm_name = plan->vm_name,
                .vm_uuid = vm_uuid,
                .warn = warn,
        };
        int life; /* The VM's from here on. */

        if (!images)
                return hf_error_sys(err, ENOMEM, "cannot list the images");
        for (size_t i = 0; i < plan->n_images; i++)
                if (!plan->images[i].by_header)
                        images[use.n_images++] = (struct hf_label_wanted_image){
                                plan->images[i].path, plan->images[i].flags & HF_VM_DISK_READONLY,
                                plan->images[i].thing};
        return hf_label_use(&relabel->scene, &use, &life, err);
}

/* As the user: what was not given has to be usable as it is. */
static int check_unnamed(const struct hf_plan *plan, struct hf_error *err)
{
        for (size_t i = 0; i < plan->n_images; i++) {
                const struct hf_plan_image *image = &plan->images[i];
                bool readonly = image->flags & HF_VM_DISK_READONLY;

                if (!image->by_header || faccessat(AT_FDCWD, image->path,
                                                   readonly ? R_OK : R_OK | W_OK, AT_EACCESS) == 0)
                        continue;
                return hf_error_set(err, errno, HF_ERR_OPERATION_DENIED, HF_FROM_NONE,
                                    "user %s cannot use %s (%s), and is not given it, as only the "
                                    "header of an image names it; to give it, say --disk=%s%s",
                                    plan->user, image->path, image->from, image->path,
                                    readonly ? ":ro" : "");
        }
        return 0;
}

int hf_relabel_enter(const struct hf_relabel *relabel, const struct hf_plan *plan,
                     const uint8_t vm_uuid[static 16])
{
        struct hf_error error = {0};
        int r = 0, status = HF_EXIT_OK;

        if (relabel->n_wants)
                r = label_images(relabel, plan, vm_uuid, &error);
        if (r >= 0 && relabel->has_user)
                r = hf_identity_assume(&relabel->who, &error);
        if (r >= 0 && relabel->has_user)
                r = check_unnamed(plan, &error);
        if (r < 0)
                (void)complain(r, &error, &status);
        return status;
}

static void report(void *ctx, const struct hf_label_told *told)
{
        (void)ctx;
        if (told->error)
                hf_message("%s; 'holdfast label repair' tries again", told->error->text);
        else if (told->outcome == HF_LABEL_FOREIGN)
                hf_message("%s: somebody has changed its %s meanwhile; it stays as it is",
                           told->path, told->kind->noun);
}

void hf_relabel_leave(const struct hf_relabel *relabel)
{
        const char *const *places = (const char *const *)relabel->places;
        struct hf_error error = {0};
        int r;

        if (!relabel->n_wants)
                return;
        for (size_t i = 0; i < relabel->n_places; i++) {
                r = hf_label_settle(&relabel->scene, places[i], report, NULL, &error);
                /* Of one that is not there, more below. */
                if (r < 0 && r != -ENOENT && r != -ENOTDIR)
                        hf_message("%s; 'holdfast label repair' tries again", error.text);
        }
        r = hf_label_settle_absent(&relabel->scene, places, relabel->n_places, report, NULL,
                                   &error);
        if (r < 0)
                hf_message("%s; 'holdfast label repair' tries again", error.text);
        hf_life_sweep(relabel->scene.life_dir);
}
