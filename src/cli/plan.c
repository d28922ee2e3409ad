/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/plan.h"

#include "cli/lookaside.h"
#include "cli/message.h"
#include "cli/verb.h"
#include "vm/cloud-hypervisor.h"
#include "vm/qemu-cmdline.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

int hf_plan_disk_option(const struct hf_option *option, const char *argument, void *out,
                        struct hf_error *err)
{
        struct hf_plan *plan = out;

        (void)option;
        return hf_vm_spec_add_disk_option(&plan->said, argument, err);
}

int hf_plan_lease_option(const struct hf_option *option, const char *argument, void *out,
                         struct hf_error *err)
{
        struct hf_plan *plan = out;

        (void)option;
        return hf_vm_spec_add_lease_option(&plan->said, argument, err);
}

/* Whether each process finds something else under that name: a descriptor of its own. */
static bool is_own_descriptor(const char *path)
{
        static const char *const places[] = {"/dev/fd/", "/dev/std", "/proc/self/",
                                             "/proc/thread-self/"};

        for (size_t i = 0; i < HF_ARRAY_LEN(places); i++)
                if (!strncmp(path, places[i], strlen(places[i])))
                        return true;
        return false;
}

/*
 * The daemon has another working directory and other descriptors, so it gets
 * names without. NULL with errno.
 */
static char *absolute(const char *path)
{
        char *whole = is_own_descriptor(path) ? realpath(path, NULL) : NULL;

        return whole ? whole : hf_lookaside_absolute(path);
}

/* What stands at the path, and whether the VMM could use it as it wants. */
static void look_at(struct hf_plan_image *image)
{
        int mode = image->flags & HF_VM_DISK_READONLY ? R_OK : R_OK | W_OK;
        struct stat st;
        int r;

        if (stat(image->path, &st) < 0) {
                image->problem = errno;
                return;
        }
        r = hf_thing_of(&st, &image->thing);
        if (r < 0)
                image->problem = -r;
        else if (faccessat(AT_FDCWD, image->path, mode, AT_EACCESS) < 0)
                image->problem = errno;
}

/* Exclusive beats shared, shared beats read-only. */
static unsigned stronger(unsigned a, unsigned b)
{
        const unsigned modes = HF_VM_DISK_READONLY | HF_VM_DISK_SHARED;

        if (!(a & modes) || !(b & modes))
                return 0;
        return (a & b & HF_VM_DISK_READONLY) ? HF_VM_DISK_READONLY : HF_VM_DISK_SHARED;
}

static bool known_already(struct hf_plan *plan, const struct hf_plan_image *image)
{
        for (size_t i = 0; i < plan->n_images; i++) {
                struct hf_plan_image *known = &plan->images[i];

                if (strcmp(known->path, image->path) != 0 &&
                    !hf_thing_same(&known->thing, &image->thing))
                        continue;
                if (known->said == image->said) {
                        known->flags = stronger(known->flags, image->flags);
                        look_at(known);
                }
                return true;
        }
        return false;
}

static void clear_image(struct hf_plan_image *image)
{
        free(image->path);
        free(image->from);
}

static int add_images(struct hf_plan *plan, const struct hf_vm_spec *spec, bool said,
                      struct hf_error *err)
{
        struct hf_plan_image *grown;

        grown = reallocarray(plan->images, plan->n_images + spec->n_disks + 1, sizeof(*grown));
        if (!grown)
                return hf_error_sys(err, ENOMEM, "cannot list the images");
        plan->images = grown;
        for (size_t i = 0; i < spec->n_disks; i++) {
                const struct hf_vm_disk *disk = &spec->disks[i];
                struct hf_plan_image image = {
                        .path = absolute(disk->path),
                        .from = strdup(disk->from ? disk->from : "command line"),
                        .flags = disk->flags,
                        .said = said,
                };

                if (!image.path || !image.from) {
                        int r = hf_error_sys(err, errno, "cannot tell where %s is (current folder)",
                                             disk->path);

                        clear_image(&image);
                        return r;
                }
                look_at(&image);
                if (known_already(plan, &image))
                        clear_image(&image);
                else
                        plan->images[plan->n_images++] = image;
        }
        return 0;
}

/*
 * Each VMM has a language of its own; what is none that we know is read as QEMU's. Where both
 * are named, one of them may be no more than a VM's name: what either would have is locked then.
 */
static int scan(struct hf_plan *plan, struct hf_error *err)
{
        const char *const *vmm = (const char *const *)plan->vmm;
        struct hf_qemu_options options = {.no_backing = plan->no_backing};
        int place = hf_cloud_hypervisor_find(vmm), r = 0;
        bool qemu = place < 0 || hf_qemu_is_run(vmm);

        plan->locks_images = !qemu;
        if (plan->no_scan)
                return 0;
        if (place >= 0)
                r = hf_cloud_hypervisor_read(vmm + place, plan->no_backing, &plan->found, err);
        return r < 0 || !qemu ? r : hf_qemu_read(vmm, &options, &plan->found, err);
}

static int find_images(struct hf_plan *plan, struct hf_error *err)
{
        int r = scan(plan, err);

        if (r < 0)
                return r;
        r = add_images(plan, &plan->said, true, err);
        return r < 0 ? r : add_images(plan, &plan->found, false, err);
}

static const char *last_part(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash && slash[1] ? slash + 1 : path;
}

static int name_vm(struct hf_plan *plan, struct hf_error *err)
{
        if (plan->name && !*plan->name)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "--name: a VM without a name cannot be told from others");
        if (plan->uuid && hf_vm_uuid_parse(plan->uuid, plan->vm_uuid, err) < 0) {
                hf_error_prefix(err, "--uuid");
                return -EINVAL;
        }
        if (!plan->uuid && plan->found.has_uuid)
                memcpy(plan->vm_uuid, plan->found.uuid, sizeof(plan->vm_uuid));
        plan->vm_name = plan->name         ? plan->name
                        : plan->found.name ? plan->found.name
                        : plan->n_images   ? last_part(plan->images[0].path)
                                           : last_part(plan->vmm[0]);
        return 0;
}

/* An image header that cannot be read is the image's fault, the rest the command line's. */
static int status_of(int r)
{
        switch (-r) {
        case EACCES:
        case EPERM:
                return HF_EXIT_DENIED;
        case ENOENT:
        case EIO:
                return HF_EXIT_NO_IMAGE;
        default:
                return HF_EXIT_USAGE;
        }
}

int hf_plan_fill(struct hf_plan *plan, int *ret_status)
{
        struct hf_error error = {0};
        int r = find_images(plan, &error);

        if (r >= 0)
                r = name_vm(plan, &error);
        if (r < 0) {
                hf_message("%s", error.text);
                *ret_status = status_of(r);
        }
        return r;
}

int hf_plan_read(struct hf_plan *plan, const struct hf_options *options, int argc, char **argv,
                 int *ret_status)
{
        int first, r;

        memset(plan, 0, sizeof(*plan));
        hf_vm_spec_init(&plan->said);
        hf_vm_spec_init(&plan->found);
        r = hf_verb_options(options, argc, argv, plan, &plan->standard, &first, ret_status);
        if (r < 0)
                return r;
        plan->vmm = argv + first;
        if (!plan->vmm[0]) {
                hf_message("which program shall be run? Put it behind \"--\"; see '%s --help'",
                           options->program);
                *ret_status = HF_EXIT_USAGE;
                return -EINVAL;
        }
        return hf_plan_fill(plan, ret_status);
}

void hf_plan_clear(struct hf_plan *plan)
{
        for (size_t i = 0; i < plan->n_images; i++)
                clear_image(&plan->images[i]);
        free(plan->images);
        hf_vm_spec_free(&plan->said);
        hf_vm_spec_free(&plan->found);
        memset(plan, 0, sizeof(*plan));
}

static bool same_images(const struct hf_plan *a, const struct hf_plan *b)
{
        bool same = a->n_images == b->n_images;

        for (size_t i = 0; same && i < a->n_images; i++)
                same = !strcmp(a->images[i].path, b->images[i].path) &&
                       a->images[i].flags == b->images[i].flags &&
                       hf_thing_same(&a->images[i].thing, &b->images[i].thing);
        return same;
}

/* What the same words mean now; cleared with forget_again. */
static int read_again(const struct hf_plan *plan, bool no_backing, struct hf_plan *ret,
                      struct hf_error *err)
{
        *ret = (struct hf_plan){
                .vmm = plan->vmm,
                .no_scan = plan->no_scan,
                .no_backing = no_backing,
                .said = plan->said,
        };
        hf_vm_spec_init(&ret->found);
        return find_images(ret, err);
}

/* What was said belongs to the plan. */
static void forget_again(struct hf_plan *again)
{
        hf_vm_spec_init(&again->said);
        hf_plan_clear(again);
}

bool hf_plan_is_outdated(const struct hf_plan *plan)
{
        struct hf_plan now;
        bool same = read_again(plan, plan->no_backing, &now, NULL) >= 0 && same_images(plan, &now);

        forget_again(&now);
        return !same;
}

static bool is_among(const struct hf_plan *plan, const struct hf_plan_image *image)
{
        for (size_t i = 0; i < plan->n_images; i++)
                if (hf_thing_same(&plan->images[i].thing, &image->thing))
                        return true;
        return false;
}

int hf_plan_find_unnamed(struct hf_plan *plan, struct hf_error *err)
{
        struct hf_plan named;
        int r = read_again(plan, true, &named, err);

        for (size_t i = 0; r >= 0 && i < plan->n_images; i++)
                plan->images[i].by_header = !is_among(&named, &plan->images[i]);
        forget_again(&named);
        return r;
}

void hf_plan_warn_of_nothing(const struct hf_plan *plan, const char *driver)
{
        if (plan->no_scan || plan->n_images || plan->said.n_leases || !strcmp(driver, "nop"))
                return;
        hf_message("found no local disk on the command line of %s: nothing is locked (see --disk)",
                   plan->vmm[0]);
}

static int try_program(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return errno == EACCES ? -EACCES : -ENOENT;
        return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : -EACCES;
}

int hf_plan_find_vmm(const struct hf_plan *plan)
{
        const char *name = plan->vmm[0], *path = getenv("PATH");
        int found = -ENOENT, r;

        if (strchr(name, '/'))
                return try_program(name);
        /* Without PATH execvp has a default of its own; it shall then judge. */
        if (!path)
                return 0;
        for (const char *end; *name; path = end + 1) {
                char whole[PATH_MAX];

                end = strchrnul(path, ':');
                (void)snprintf(whole, sizeof(whole), "%.*s%s%s", (int)(end - path), path,
                               end == path ? "" : "/", name);
                r = try_program(whole);
                if (r == 0)
                        return 0;
                if (r == -EACCES)
                        found = r;
                if (!*end)
                        break;
        }
        return found;
}

int hf_plan_image_status(const struct hf_plan_image *image)
{
        switch (image->problem) {
        case 0:
                return HF_EXIT_OK;
        case EACCES:
        case EPERM:
        case EROFS:
                return HF_EXIT_DENIED;
        default:
                return HF_EXIT_NO_IMAGE;
        }
}

void hf_plan_image_report(const struct hf_plan_image *image)
{
        switch (image->problem) {
        case ENOENT:
        case ENOTDIR:
                hf_message("there is no image %s (%s)", image->path, image->from);
                break;
        case EISDIR:
        case ENOTSUP:
                hf_message("%s is neither a file nor a block device (%s)", image->path,
                           image->from);
                break;
        default:
                hf_message("cannot open %s for %s (%s): %s", image->path,
                           image->flags & HF_VM_DISK_READONLY ? "reading" : "writing", image->from,
                           strerror(image->problem));
        }
}
