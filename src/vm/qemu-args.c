/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/qemu-args.h"

#include "vm/qemu-cmdline.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum kind {
        UNKNOWN, /* not an option of the QEMUs that are known */
        FLAG,    /* stands alone */
        VALUE,   /* has a value that says nothing of what the VM holds */
        ABOUT,   /* has a value that says something of the VM or of its images */
        IMAGE,   /* has a value that names an image */
};

/* The options of QEMU 1.0 to 10, all machines. Sorted. */
static const struct option {
        const char *name;
        enum kind kind;
} options[] = {
        {"D", VALUE},
        {"L", VALUE},
        {"M", VALUE},
        {"S", FLAG},
        {"accel", VALUE},
        {"acpitable", VALUE},
        {"action", VALUE},
        {"add-fd", ABOUT},
        {"alt-grab", FLAG},
        {"append", VALUE},
        {"async-teardown", FLAG},
        {"audio", VALUE},
        {"audio-help", FLAG},
        {"audiodev", VALUE},
        {"balloon", VALUE},
        {"bios", VALUE},
        {"blockdev", IMAGE},
        {"boot", VALUE},
        {"bt", VALUE},
        {"cdrom", IMAGE},
        {"chardev", VALUE},
        {"chroot", VALUE},
        {"clock", VALUE},
        {"compat", VALUE},
        {"cpu", VALUE},
        {"ctrl-grab", FLAG},
        {"curses", FLAG},
        {"d", VALUE},
        {"daemonize", FLAG},
        {"debugcon", VALUE},
        {"device", ABOUT},
        {"dfilter", VALUE},
        {"display", VALUE},
        {"drive", IMAGE},
        {"dtb", VALUE},
        {"dump-vmstate", VALUE},
        {"echr", VALUE},
        {"enable-fips", FLAG},
        {"enable-kvm", FLAG},
        {"enable-sync-profile", FLAG},
        {"fda", IMAGE},
        {"fdb", IMAGE},
        {"fsdev", VALUE},
        {"full-screen", FLAG},
        {"fw_cfg", VALUE},
        {"g", VALUE},
        {"gdb", VALUE},
        {"global", VALUE},
        {"h", FLAG},
        {"hda", IMAGE},
        {"hdachs", VALUE},
        {"hdb", IMAGE},
        {"hdc", IMAGE},
        {"hdd", IMAGE},
        {"help", FLAG},
        {"icount", VALUE},
        {"igvm", VALUE},
        {"incoming", VALUE},
        {"initrd", VALUE},
        {"iscsi", VALUE},
        {"jitdump", FLAG},
        {"k", VALUE},
        {"kernel", VALUE},
        {"loadvm", VALUE},
        {"localtime", FLAG},
        {"m", VALUE},
        {"machine", VALUE},
        {"mem-path", VALUE},
        {"mem-prealloc", FLAG},
        {"mon", VALUE},
        {"monitor", VALUE},
        {"msg", VALUE},
        {"mtdblock", IMAGE},
        {"name", ABOUT},
        {"net", VALUE},
        {"netdev", VALUE},
        {"nic", VALUE},
        {"no-acpi", FLAG},
        {"no-fd-bootchk", FLAG},
        {"no-frame", FLAG},
        {"no-hpet", FLAG},
        {"no-kvm", FLAG},
        {"no-kvm-irqchip", FLAG},
        {"no-kvm-pit", FLAG},
        {"no-kvm-pit-reinjection", FLAG},
        {"no-quit", FLAG},
        {"no-reboot", FLAG},
        {"no-shutdown", FLAG},
        {"no-user-config", FLAG},
        {"nodefaults", FLAG},
        {"nodefconfig", FLAG},
        {"nographic", FLAG},
        {"nouserconfig", FLAG},
        {"numa", VALUE},
        {"object", VALUE},
        {"old-param", FLAG},
        {"one-insn-per-tick", FLAG},
        {"only-migratable", FLAG},
        {"option-rom", VALUE},
        {"overcommit", VALUE},
        {"parallel", VALUE},
        {"perfmap", FLAG},
        {"pflash", IMAGE},
        {"pidfile", VALUE},
        {"plugin", VALUE},
        {"portrait", FLAG},
        {"preconfig", FLAG},
        {"prom-env", VALUE},
        {"qmp", VALUE},
        {"qmp-pretty", VALUE},
        {"qtest", VALUE},
        {"qtest-log", VALUE},
        {"readconfig", ABOUT},
        {"realtime", VALUE},
        {"rotate", VALUE},
        {"rtc", VALUE},
        {"rtc-td-hack", FLAG},
        {"run-with", VALUE},
        {"runas", VALUE},
        {"s", FLAG},
        {"sandbox", VALUE},
        {"sd", IMAGE},
        {"sdl", FLAG},
        {"seed", VALUE},
        {"semihosting", FLAG},
        {"semihosting-config", VALUE},
        {"serial", VALUE},
        {"set", ABOUT},
        {"shim", VALUE},
        {"show-cursor", FLAG},
        {"singlestep", FLAG},
        {"smbios", VALUE},
        {"smp", VALUE},
        {"snapshot", FLAG},
        {"soundhw", VALUE},
        {"spice", VALUE},
        {"startdate", VALUE},
        {"tb-size", VALUE},
        {"tdf", FLAG},
        {"teardown", VALUE},
        {"tpmdev", VALUE},
        {"trace", VALUE},
        {"trace-unassigned", VALUE},
        {"usb", FLAG},
        {"usbdevice", VALUE},
        {"uuid", ABOUT},
        {"version", FLAG},
        {"vga", VALUE},
        {"virtfs", VALUE},
        {"virtfs_synth", VALUE},
        {"virtioconsole", VALUE},
        {"vnc", VALUE},
        {"watchdog", VALUE},
        {"watchdog-action", VALUE},
        {"win2k-hack", FLAG},
        {"writeconfig", VALUE},
        {"xen-attach", FLAG},
        {"xen-create", FLAG},
        {"xen-domid", VALUE},
        {"xen-domid-restrict", FLAG},
};

static int compare(const void *key, const void *element)
{
        return strcmp(key, ((const struct option *)element)->name);
}

static enum kind kind_of(const char *name)
{
        const struct option *option = bsearch(name, options, HF_ARRAY_LEN(options),
                                              sizeof(options[0]), compare);

        return option ? option->kind : UNKNOWN;
}

/* The option's name, or NULL if the word is none. */
static const char *option_name(const char *word)
{
        if (word[0] != '-')
                return NULL;
        return word[1] == '-' ? word + 2 : word + 1;
}

static const char *base_name(const char *word)
{
        const char *slash = strrchr(word, '/');

        return slash ? slash + 1 : word;
}

/* Names that nothing else has. */
static bool is_surely_qemu(const char *word)
{
        static const char prefix[] = "qemu-system-";
        const char *name = base_name(word), *p;

        if (strcmp(name, "qemu-kvm") == 0 || strcmp(name, "qemu-storage-daemon") == 0)
                return true;
        if (strncmp(name, prefix, strlen(prefix)) != 0)
                return false;
        p = name + strlen(prefix);
        while (isalnum((unsigned char)*p) || *p == '_' || *p == '-')
                p++;
        return *p == '\0' && p > name + strlen(prefix);
}

/* Names that could be a value of something as well. */
static bool is_maybe_qemu(const char *word)
{
        const char *name = base_name(word);

        return strcmp(name, "kvm") == 0 || strcmp(name, "qemu") == 0;
}

/* Whether argv[i], which could be QEMU's name, is rather a value of what runs QEMU: a user
 * ("-u qemu"), a network ("exec kvm"). QEMU's own name then stands behind it. */
static bool is_rather_a_value(const char *const *argv, size_t i)
{
        const char *next = argv[i + 1];

        if (i > 0 && option_name(argv[i - 1]))
                return true;
        if (next && strcmp(next, "--") == 0)
                next = argv[i + 2];
        return next && is_surely_qemu(next);
}

/* The word that is QEMU's own name, or NULL. What comes after an option that names an image
 * is an argument of something that hands it to QEMU. */
static const char *const *find_program(const char *const *argv)
{
        const char *const *doubtful = NULL;
        enum kind before = UNKNOWN;

        for (size_t i = 0; argv[i]; i++) {
                const char *name = option_name(argv[i]);

                if (is_surely_qemu(argv[i]))
                        return &argv[i];
                if (is_maybe_qemu(argv[i]) && before < VALUE) {
                        if (!is_rather_a_value(argv, i))
                                return &argv[i];
                        doubtful = doubtful ? doubtful : &argv[i];
                }
                before = name ? kind_of(name) : UNKNOWN;
                if (before == IMAGE)
                        break;
        }
        return doubtful;
}

void hf_qemu_args_init(struct hf_qemu_args *args, const char *const *argv)
{
        const char *const *program = find_program(argv);

        args->program = program;
        args->next = program ? program + 1 : argv;
        if (!program && *argv)
                args->next++;
}

bool hf_qemu_is_run(const char *const *argv)
{
        const char *const *program = find_program(argv);

        return program &&
               (is_surely_qemu(*program) || !is_rather_a_value(argv, (size_t)(program - argv)));
}

/*
 * Whether a word before QEMU's name leaves QEMU the user and the files that we have: what
 * changes neither, its numbers and options, and variables.
 */
static bool is_harmless(const char *word)
{
        static const char *const names[] = {
                "chrt",    "env",    "ionice", "nice",   "nohup",   "numactl", "prlimit",
                "setarch", "setsid", "stdbuf", "strace", "taskset", "time",    "timeout",
        };

        if (isdigit((unsigned char)word[0]) || option_name(word) || strchr(word, '='))
                return true;
        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
                if (!strcmp(base_name(word), names[i]))
                        return true;
        return false;
}

bool hf_qemu_takes_config(const char *const *argv)
{
        const char *const *program = find_program(argv);

        for (const char *const *word = argv; program && word < program; word++)
                if (!is_harmless(*word))
                        return false;
        return program && strcmp(base_name(*program), "qemu-storage-daemon") != 0;
}

/* A value is taken as QEMU does, whatever it looks like. An unknown option is one of a later
 * QEMU, which most likely has a value; what looks like an option is none. */
static bool takes_value(const struct hf_qemu_args *args, const char *name)
{
        enum kind kind = kind_of(name);

        if (!args->program)
                return kind == ABOUT || kind == IMAGE;
        if (kind == UNKNOWN)
                return *name && *args->next && (*args->next)[0] != '-';
        return kind != FLAG;
}

/* "--option=value", as qemu-storage-daemon takes it. */
static bool take_joined(const char *word, struct hf_qemu_arg *ret)
{
        size_t len = strncmp(word, "--", 2) == 0 ? strcspn(word + 2, "=") : 0;

        for (size_t i = 0; len > 0 && word[2 + len] == '=' && i < HF_ARRAY_LEN(options); i++) {
                if (options[i].kind < ABOUT || strlen(options[i].name) != len ||
                    strncmp(options[i].name, word + 2, len) != 0)
                        continue;
                *ret = (struct hf_qemu_arg){.option = options[i].name, .value = word + 3 + len};
                return true;
        }
        return false;
}

bool hf_qemu_args_next(struct hf_qemu_args *args, struct hf_qemu_arg *ret)
{
        const char *word = *args->next;

        if (!word)
                return false;
        args->next++;
        if (take_joined(word, ret))
                return true;
        *ret = (struct hf_qemu_arg){.option = option_name(word)};
        if (!ret->option) {
                ret->value = word;
                return true;
        }
        if (takes_value(args, ret->option)) {
                ret->value = *args->next;
                ret->missing = !ret->value;
                if (ret->value)
                        args->next++;
        }
        return true;
}
