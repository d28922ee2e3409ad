/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* holdfast pr register, reserve, release, clear, preempt: one change each. */

#include "cli/message.h"
#include "cli/pr.h"
#include "cli/print.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* ---- options ---------------------------------------------------------------------------- */

static int read_key(const char *argument, const char *name, uint64_t *ret, bool *ret_has,
                    struct hf_error *err)
{
        unsigned long long key;
        char *end;

        errno = 0;
        key = strtoull(argument, &end, 16);
        if (strncmp(argument, "0x", 2) || !isxdigit((unsigned char)argument[2]) || *end || errno)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "--%s: a key is written as 0x1234abcd, not \"%s\"", name,
                                    argument);
        *ret = key;
        *ret_has = true;
        return 0;
}

static int key_option(const struct hf_option *option, const char *argument, void *out,
                      struct hf_error *err)
{
        struct hf_pr_given *given = out;

        return read_key(argument, option->long_name, &given->key, &given->has_key, err);
}

static int new_key_option(const struct hf_option *option, const char *argument, void *out,
                          struct hf_error *err)
{
        struct hf_pr_given *given = out;

        return read_key(argument, option->long_name, &given->new_key, &given->has_new_key, err);
}

static int victim_option(const struct hf_option *option, const char *argument, void *out,
                         struct hf_error *err)
{
        struct hf_pr_given *given = out;

        return read_key(argument, option->long_name, &given->victim, &given->has_victim, err);
}

static int type_option(const struct hf_option *option, const char *argument, void *out,
                       struct hf_error *err)
{
        struct hf_pr_given *given = out;

        (void)option;
        for (unsigned int type = 1; type <= HOLDFAST_PR_EXCLUSIVE_ACCESS_ALL; type++) {
                const char number[] = {(char)('0' + type), '\0'};
                const char *name = holdfast_pr_type_name(type);

                if (!strcmp(name, "unknown") ||
                    (strcmp(name, argument) && strcmp(number, argument)))
                        continue;
                given->type = type;
                return 0;
        }
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                            "--type: there is no type \"%s\"; there are write-exclusive, "
                            "exclusive-access, and each with -registrants or -all behind it",
                            argument);
}

#define KEY_OPTION                                                                                 \
        {                                                                                          \
                .long_name = "key", .argument = "KEY", .help = "key that is registered from here", \
                .kind = HF_OPTION_CALL, .call = key_option                                         \
        }

#define TYPE_OPTION(text)                                                                          \
        {                                                                                          \
                .long_name = "type", .argument = "TYPE", .help = text, .kind = HF_OPTION_CALL,     \
                .call = type_option                                                                \
        }

#define FLAG_OPTION(name, member, text)                                                            \
        {                                                                                          \
                .long_name = name, .help = text, .kind = HF_OPTION_FLAG,                           \
                .offset = offsetof(struct hf_pr_given, member)                                     \
        }

static const struct hf_option register_table[] = {
        KEY_OPTION,
        {.long_name = "new-key",
         .argument = "KEY",
         .help = "key to be registered from now on; 0x0 ends the registration",
         .kind = HF_OPTION_CALL,
         .call = new_key_option},
        FLAG_OPTION("ignore", ignore, "replace whatever key is registered from here"),
        FLAG_OPTION("aptpl", persist, "registrations outlive a loss of power from now on"),
        FLAG_OPTION("all-ports", all_ports, "register at all ports of the device"),
        HF_PR_OPTIONS,
};

static const struct hf_option reserve_table[] = {
        KEY_OPTION, TYPE_OPTION("how: write-exclusive, exclusive-access-registrants, ..."),
        HF_PR_OPTIONS};

static const struct hf_option release_table[] = {
        KEY_OPTION, TYPE_OPTION("how it is reserved (default: as the device says)"), HF_PR_OPTIONS};

static const struct hf_option clear_table[] = {KEY_OPTION, HF_PR_OPTIONS};

static const struct hf_option preempt_table[] = {
        KEY_OPTION,
        {.long_name = "victim",
         .argument = "KEY",
         .help = "key of those whose registrations end",
         .kind = HF_OPTION_CALL,
         .call = victim_option},
        TYPE_OPTION("how it is reserved if the victim has it reserved"),
        FLAG_OPTION("abort", abort, "abort the victim's commands as well"),
        HF_PR_OPTIONS,
};

/* ---- a change and its end --------------------------------------------------------------- */

struct change {
        struct hf_options options;
        const char *action; /* in JSON */
        bool needs_key, needs_new_key, needs_victim, needs_type;
        int (*run)(const struct hf_pr_given *given, const struct hf_pr_device *device,
                   struct holdfast_error *err);
};

static int missing(const struct change *change, const char *what)
{
        hf_message("%s is missing; see '%s --help'", what, change->options.program);
        return HF_EXIT_USAGE;
}

static int check(const struct change *change, const struct hf_pr_given *given)
{
        if (change->needs_key && !given->has_key)
                return missing(change, "--key");
        if (change->needs_new_key && !given->has_new_key)
                return missing(change, "--new-key");
        if (change->needs_victim && !given->has_victim)
                return missing(change, "--victim");
        if (change->needs_type && !given->type)
                return missing(change, "--type");
        if (given->ignore && given->has_key) {
                hf_message("--ignore and --key exclude each other");
                return HF_EXIT_USAGE;
        }
        return HF_EXIT_OK;
}

/* Who stands against it, as far as the device tells: one line, and a member of the document. */
static void explain_conflict(const struct hf_pr_device *device, struct json_object *document)
{
        struct holdfast_pr_reservation held = {.size = sizeof(held)};
        char key[HF_PR_KEY_TEXT];

        if (holdfast_pr_read_reservation(device->pr, device->fd, &held, NULL) < 0)
                hf_message("%s: reservation conflict", device->path);
        else if (held.type == HOLDFAST_PR_NONE)
                hf_message("%s: reservation conflict: it is not reserved, so that key is not what "
                           "is registered from here",
                           device->path);
        else
                hf_message("%s: reservation conflict: it is reserved, %s, by %s%s; or that key is "
                           "not what is registered from here",
                           device->path, holdfast_pr_type_name(held.type),
                           held.key ? "key " : "all registrants",
                           held.key ? hf_pr_key_text(held.key, key) : "");
        hf_print_put(document, "reservation", hf_pr_reservation_json(&held));
}

static int finish(const struct change *change, const struct hf_pr_device *device, int r,
                  const struct holdfast_error *error)
{
        struct json_object *document = hf_print_document("holdfast.pr.change");
        int status = HF_EXIT_OK;

        hf_print_put(document, "device", hf_print_string(device->path));
        hf_print_put(document, "action", json_object_new_string(change->action));
        hf_print_put(document, "done", json_object_new_boolean(r >= 0));
        hf_print_put(document, "conflict", json_object_new_boolean(r == -EBUSY));
        if (r == -EBUSY) {
                explain_conflict(device, document);
                status = HF_EXIT_HELD;
        } else if (r < 0) {
                hf_print_put(document, "error", hf_print_string(error->text));
                status = hf_pr_failed(device, error);
        }
        if (device->json)
                hf_print_json(document);
        (void)json_object_put(document);
        return hf_print_end(status);
}

static int run_change(const struct change *change, int argc, char **argv)
{
        hf_cleanup_pr_device struct hf_pr_device device = HF_PR_DEVICE_INIT;
        struct hf_pr_given given = {0};
        struct holdfast_error error = {0};
        int status, r;

        if (hf_pr_read(&change->options, argc, argv, &given, &device, &status) < 0)
                return status;
        status = check(change, &given);
        if (status != HF_EXIT_OK || hf_pr_open(&given, true, &device, &status) < 0)
                return status;
        r = change->run(&given, &device, &error);
        return finish(change, &device, r, &error);
}

/* ---- the verbs -------------------------------------------------------------------------- */

static int do_register(const struct hf_pr_given *given, const struct hf_pr_device *device,
                       struct holdfast_error *err)
{
        unsigned int flags = (given->ignore ? HOLDFAST_PR_IGNORE_KEY : 0) |
                             (given->persist ? HOLDFAST_PR_PERSIST : 0) |
                             (given->all_ports ? HOLDFAST_PR_ALL_PORTS : 0);

        return holdfast_pr_register(device->pr, device->fd, given->key, given->new_key, flags, err);
}

int hf_pr_verb_register(int argc, char **argv)
{
        static const struct change change = {
                .options = {.program = "holdfast pr register",
                            .usage = "[OPTION]... --new-key=KEY DEVICE",
                            .summary = "Registers a key from here, changes it, or ends its "
                                       "registration.",
                            .table = register_table,
                            .n = HF_ARRAY_LEN(register_table)},
                .action = "register",
                .needs_new_key = true,
                .run = do_register,
        };

        return run_change(&change, argc, argv);
}

static int do_reserve(const struct hf_pr_given *given, const struct hf_pr_device *device,
                      struct holdfast_error *err)
{
        return holdfast_pr_reserve(device->pr, device->fd, given->key, given->type, err);
}

int hf_pr_verb_reserve(int argc, char **argv)
{
        static const struct change change = {
                .options = {.program = "holdfast pr reserve",
                            .usage = "[OPTION]... --key=KEY --type=TYPE DEVICE",
                            .summary = "Reserves the disk for who registered the key from here.",
                            .table = reserve_table,
                            .n = HF_ARRAY_LEN(reserve_table)},
                .action = "reserve",
                .needs_key = true,
                .needs_type = true,
                .run = do_reserve,
        };

        return run_change(&change, argc, argv);
}

/* Without a reservation any type will do: there is nothing to release. */
static int do_release(const struct hf_pr_given *given, const struct hf_pr_device *device,
                      struct holdfast_error *err)
{
        struct holdfast_pr_reservation held = {.size = sizeof(held), .type = given->type};
        int r = 0;

        if (!given->type)
                r = holdfast_pr_read_reservation(device->pr, device->fd, &held, err);
        if (r < 0)
                return r;
        return holdfast_pr_release(device->pr, device->fd, given->key,
                                   held.type ? held.type : HOLDFAST_PR_WRITE_EXCLUSIVE, err);
}

int hf_pr_verb_release(int argc, char **argv)
{
        static const struct change change = {
                .options = {.program = "holdfast pr release",
                            .usage = "[OPTION]... --key=KEY DEVICE",
                            .summary = "Ends the reservation of who registered the key from here.",
                            .table = release_table,
                            .n = HF_ARRAY_LEN(release_table)},
                .action = "release",
                .needs_key = true,
                .run = do_release,
        };

        return run_change(&change, argc, argv);
}

static int do_clear(const struct hf_pr_given *given, const struct hf_pr_device *device,
                    struct holdfast_error *err)
{
        return holdfast_pr_clear(device->pr, device->fd, given->key, err);
}

int hf_pr_verb_clear(int argc, char **argv)
{
        static const struct change change = {
                .options = {.program = "holdfast pr clear",
                            .usage = "[OPTION]... --key=KEY DEVICE",
                            .summary = "Ends the reservation and all registrations, everybody's.",
                            .table = clear_table,
                            .n = HF_ARRAY_LEN(clear_table)},
                .action = "clear",
                .needs_key = true,
                .run = do_clear,
        };

        return run_change(&change, argc, argv);
}

static int do_preempt(const struct hf_pr_given *given, const struct hf_pr_device *device,
                      struct holdfast_error *err)
{
        return holdfast_pr_preempt(device->pr, device->fd, given->key, given->victim, given->type,
                                   given->abort ? HOLDFAST_PR_ABORT : 0, err);
}

int hf_pr_verb_preempt(int argc, char **argv)
{
        static const struct change change = {
                .options = {.program = "holdfast pr preempt",
                            .usage = "[OPTION]... --key=KEY --victim=KEY --type=TYPE DEVICE",
                            .summary = "Ends registrations of others, and takes over what they "
                                       "have reserved.",
                            .table = preempt_table,
                            .n = HF_ARRAY_LEN(preempt_table)},
                .action = "preempt",
                .needs_key = true,
                .needs_victim = true,
                .needs_type = true,
                .run = do_preempt,
        };

        return run_change(&change, argc, argv);
}
