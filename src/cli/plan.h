/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What `run` and `check` are asked to do: the VMM's command line and what its
 * VM holds, put together from the options and from that command line.
 *
 * An image that is named twice, also by two names of one file, is in the plan
 * once. What the user said with --disk counts, whatever the command line says;
 * otherwise the stronger wish does.
 */

#include "base/options.h"
#include "base/thing.h"
#include "cli/wait.h"
#include "vm/resources.h"

struct hf_plan_image {
        char *path;     /* absolute; links in it are kept, for that is its name */
        char *from;     /* "-drive", "--disk" */
        unsigned flags; /* enum hf_vm_disk_flags */
        bool said;      /* by --disk */
        bool by_header; /* see hf_plan_find_unnamed */
        struct hf_thing thing;
        int problem; /* why it cannot be used: positive errno, or 0 */
};

struct hf_plan {
        /* Options. */
        struct hf_standard_options standard;
        const char *name, *uuid, *driver, *user, *selinux_label;
        bool no_scan, no_backing, exec, json, no_monitor, no_console, strict;
        unsigned int on_lost; /* enum holdfast_on_lost */
        int wait_ms;          /* as in struct holdfast_vm_params */
        struct hf_wait wait;
        bool client, close; /* of `lock`: no VM; its command does not get the connection */
        struct hf_vm_spec said;
        /* What came of them. */
        struct hf_vm_spec found;
        char **vmm;        /* belongs to argv */
        bool locks_images; /* the VMM locks whole images itself */
        const char *vm_name;
        uint8_t vm_uuid[16]; /* all zero: none was given */
        struct hf_plan_image *images;
        size_t n_images;
};

/* The rows of both verbs' option tables. */
int hf_plan_disk_option(const struct hf_option *option, const char *argument, void *out,
                        struct hf_error *err);
int hf_plan_lease_option(const struct hf_option *option, const char *argument, void *out,
                         struct hf_error *err);

#define HF_PLAN_OPTIONS                                                                            \
        {.long_name = "name",                                                                      \
         .argument = "NAME",                                                                       \
         .help = "name of the VM (default: QEMU's -name, its first image, or the VMM)",            \
         .kind = HF_OPTION_STRING,                                                                 \
         .offset = offsetof(struct hf_plan, name)},                                                \
                {.long_name = "uuid",                                                              \
                 .argument = "UUID",                                                               \
                 .help = "its UUID (default: QEMU's -uuid, or a new one)",                         \
                 .kind = HF_OPTION_STRING,                                                         \
                 .offset = offsetof(struct hf_plan, uuid)},                                        \
                {.long_name = "disk",                                                              \
                 .argument = "PATH[:ro|:shared]",                                                  \
                 .help = "lock this image too: for this VM alone, for reading, or shared with "    \
                         "others that say so; may be repeated",                                    \
                 .kind = HF_OPTION_CALL,                                                           \
                 .call = hf_plan_disk_option},                                                     \
                {.long_name = "lease",                                                             \
                 .argument = "LOCKSPACE:KEY:PATH[:OFFSET]",                                        \
                 .help = "hold this lease too; may be repeated",                                   \
                 .kind = HF_OPTION_CALL,                                                           \
                 .call = hf_plan_lease_option},                                                    \
                {.long_name = "driver",                                                            \
                 .argument = "NAME",                                                               \
                 .help = "lock driver (default: lock_manager of holdfast.conf)",                   \
                 .kind = HF_OPTION_STRING,                                                         \
                 .offset = offsetof(struct hf_plan, driver)},                                      \
                {.long_name = "no-scan",                                                           \
                 .help = "do not look for images in the VMM's command line",                       \
                 .kind = HF_OPTION_FLAG,                                                           \
                 .offset = offsetof(struct hf_plan, no_scan)},                                     \
        {                                                                                          \
                .long_name = "no-backing", .help = "do not lock the images' backing files",        \
                .kind = HF_OPTION_FLAG, .offset = offsetof(struct hf_plan, no_backing)             \
        }

/*
 * Reads the command line of the verb, then the VMM's. Returns 0 to go on;
 * otherwise the verb ends with *ret_status, and any fault was reported. Free
 * the plan with hf_plan_clear in both cases; *plan is zeroed before.
 */
int hf_plan_read(struct hf_plan *plan, const struct hf_options *options, int argc, char **argv,
                 int *ret_status);
void hf_plan_clear(struct hf_plan *plan);

/*
 * Finishes a plan whose options are read: what the images are that it says, or that its VMM's
 * command line shows, and what the VM is called. As above.
 */
int hf_plan_fill(struct hf_plan *plan, int *ret_status);

/*
 * Whether the same words mean other images by now: a backing file that came or went, or a
 * path that leads elsewhere.
 */
bool hf_plan_is_outdated(const struct hf_plan *plan);

/*
 * Marks the images that only the headers of others name. Headers are written by whoever had the
 * image, a VM that was somebody else's tool among them: what they name is not the user's word.
 */
int hf_plan_find_unnamed(struct hf_plan *plan, struct hf_error *err);

#define hf_cleanup_plan hf_cleanup(hf_plan_clear)

/*
 * Whether execvp would find the VMM. Returns 0, or -ENOENT, or -EACCES when
 * something by that name is there but cannot be run.
 */
int hf_plan_find_vmm(const struct hf_plan *plan);

/* The exit status for an image's problem. */
int hf_plan_image_status(const struct hf_plan_image *image);

/* Says what is wrong with an image. */
void hf_plan_image_report(const struct hf_plan_image *image);

/*
 * Says that nothing will be locked, where nobody asked for that: a VMM whose
 * command line we do not know would run unprotected without anybody noticing.
 */
void hf_plan_warn_of_nothing(const struct hf_plan *plan, const char *driver);

/* Whether the VM only asks to share it. */
static inline bool hf_plan_image_shared(const struct hf_plan_image *image)
{
        return image->flags & (HF_VM_DISK_READONLY | HF_VM_DISK_SHARED);
}
