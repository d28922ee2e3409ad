/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast sanlock init: makes a lockspace. How fast a lost host's leases can be had, and how
 * long storage may be silent before VMs are acted on, follow from its I/O timeout, which is
 * written into it here once and for all hosts.
 */

#include "cli/message.h"
#include "cli/print.h"
#include "driver/error.h"
#include "driver/sanlock/timing.h"
#include "sanlock/tool.h"

#include "base/cleanup.h"

#include <sanlock_admin.h>
#include <string.h>
#include <sys/stat.h>

/* What sanlock takes where nothing is said. */
#define IO_TIMEOUT_USUAL 10

/* Beyond it a host is given up no sooner than in a quarter of an hour. */
#define IO_TIMEOUT_MAX 100

/* Of daemons that cannot be told otherwise. */
#define WATCHDOG_FIRE_S 60
#define GRACE_S         40

static const struct hf_option option_table[] = {
        {.long_name = "io-timeout",
         .argument = "SECONDS",
         .help = "how long storage may take for one access (default: the settings' io_timeout, "
                 "else 10)",
         .kind = HF_OPTION_INT,
         .offset = offsetof(struct hf_tool_options, io_timeout),
         .min = 1,
         .max = IO_TIMEOUT_MAX},
        HF_TOOL_LOCKSPACE,
        HF_TOOL_PLACE,
        HF_TOOL_CONFIG,
        HF_STANDARD_OPTIONS(struct hf_tool_options, standard),
};

static const struct hf_options options = {
        .program = "holdfast sanlock init",
        .usage = "[OPTION]...",
        .summary = "Makes the lockspace of disks' leases in disk_lease_dir, or another one. "
                   "One that is there already is left alone.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

/* Reads what is at the place. *ret_name is "" where there is no lockspace. */
static int read_place(const struct hf_sanlock_lockspace *lockspace, char ret_name[static 49],
                      unsigned int *ret_io_timeout, struct hf_lock_error *err)
{
        struct sanlk_lockspace ls = {.host_id_disk = {.offset = lockspace->offset}};
        uint32_t io_timeout = 0;
        int rv;

        ret_name[0] = '\0';
        (void)snprintf(ls.host_id_disk.path, sizeof(ls.host_id_disk.path), "%s", lockspace->path);
        rv = sanlock_read_lockspace(&ls, 0, &io_timeout);
        if (rv < 0 && hf_sanlock_code(HF_SANLOCK_JOIN, rv)->number == ENOMEDIUM)
                return 0;
        if (rv < 0)
                return hf_sanlock_fail(err, HF_SANLOCK_READ, rv, "cannot look what is in %s",
                                       lockspace->path);
        (void)snprintf(ret_name, 49, "%.48s", ls.name);
        *ret_io_timeout = io_timeout ? io_timeout : IO_TIMEOUT_USUAL;
        return 0;
}

/* It is there already: fine, if it is what was wanted. wanted: 0, or an I/O timeout. */
static int accept_place(struct hf_sanlock_lockspace *lockspace, unsigned int wanted,
                        struct hf_lock_error *err)
{
        unsigned int io_timeout = 0;
        char name[49];
        int r = read_place(lockspace, name, &io_timeout, err);

        if (r < 0)
                return r;
        if (!*name)
                return hf_driver_refuse(err, EEXIST, HF_LOCK_E_CONFIG,
                                        "%s is there already, and is no lockspace",
                                        lockspace->path);
        if (strcmp(name, lockspace->name) != 0)
                return hf_driver_refuse(err, EEXIST, HF_LOCK_E_CONFIG,
                                        "there is another lockspace, %s, in %s already", name,
                                        lockspace->path);
        if (wanted && wanted != io_timeout)
                return hf_driver_refuse(err, EEXIST, HF_LOCK_E_CONFIG,
                                        "the lockspace in %s is there already, with an I/O timeout "
                                        "of %u s: to change that, all hosts leave it and its file "
                                        "is removed",
                                        lockspace->path, io_timeout);
        lockspace->io_timeout = io_timeout;
        return 0;
}

/* On a block device, where nothing can be found to be lost. */
static int format_device(const struct hf_sanlock_lockspace *lockspace, struct hf_lock_error *err)
{
        struct sanlk_lockspace ls = {.host_id_disk = {.offset = lockspace->offset}};
        int rv;

        (void)snprintf(ls.host_id_disk.path, sizeof(ls.host_id_disk.path), "%s", lockspace->path);
        memcpy(ls.name, lockspace->name, sizeof(ls.name));
        rv = sanlock_write_lockspace(&ls, 0, 0, lockspace->io_timeout);
        if (rv < 0)
                return hf_sanlock_fail(err, HF_SANLOCK_FORMAT, rv,
                                       "cannot make the lockspace %s in %s", lockspace->name,
                                       lockspace->path);
        return 0;
}

static int make_on_device(struct hf_sanlock_lockspace *lockspace, unsigned int wanted,
                          struct hf_lock_error *err)
{
        unsigned int io_timeout;
        char name[49];
        int r = read_place(lockspace, name, &io_timeout, err);

        if (r < 0)
                return r;
        return *name ? accept_place(lockspace, wanted, err) : format_device(lockspace, err);
}

static int make(struct hf_tool *tool, unsigned int wanted, struct hf_lock_error *err)
{
        struct hf_sanlock_lockspace *lockspace = &tool->lockspace;
        struct stat st;
        int r;

        if (stat(lockspace->path, &st) == 0 && S_ISBLK(st.st_mode))
                return make_on_device(lockspace, wanted, err);
        if (lockspace->offset != 0)
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                        "%s is no block device: a file that is made for a "
                                        "lockspace has it at offset 0",
                                        lockspace->path);
        r = hf_sanlock_lockspace_make(&tool->settings, lockspace, err);
        return r == -EEXIST ? accept_place(lockspace, wanted, err) : r;
}

static void tell_times(const struct hf_sanlock_lockspace *lockspace)
{
        struct hf_sanlock_timing timing = hf_sanlock_timing(lockspace->io_timeout, WATCHDOG_FIRE_S,
                                                            GRACE_S);

        hf_print_line("The lockspace %s is in %s, with an I/O timeout of %u s.", lockspace->name,
                      lockspace->path, lockspace->io_timeout);
        hf_print_line("When storage is silent, VMs are acted on after %u s; what a lost host held "
                      "can be had after %u s.",
                      timing.failed, timing.reset);
}

int hf_sanlock_verb_init(int argc, char **argv)
{
        struct hf_tool_options given = {0};
        hf_cleanup_tool struct hf_tool tool = {0};
        struct hf_lock_error err = {.size = sizeof(err)};
        int first, status;

        if (hf_tool_begin(&options, argc, argv, &given, &tool, &first, &status) < 0)
                return status;
        if (first < argc)
                return hf_tool_no_arguments(&options);
        if (given.lockspace && !given.path) {
                hf_message("--lockspace needs --path; see 'holdfast sanlock init --help'");
                return HF_EXIT_USAGE;
        }
        if (!tool.lockspace.io_timeout)
                tool.lockspace.io_timeout = IO_TIMEOUT_USUAL;
        if (!hf_tool_has_daemon())
                return HF_EXIT_NO_DAEMON;
        if (make(&tool, (unsigned int)given.io_timeout, &err) < 0)
                return hf_tool_fail(&err);
        tell_times(&tool.lockspace);
        return hf_print_end(HF_EXIT_OK);
}
