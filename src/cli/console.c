/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* holdfast console: the console of a VM, with one writer and any number of watchers. */

#include "cli/console.h"

#include "cli/message.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

/* A day is longer than anybody waits for an answer. */
#define LINGER_MAX 86400

#define REPLAY_MAX 1000000

static int key_option(const struct hf_option *option, const char *argument, void *out,
                      struct hf_error *err)
{
        return hf_console_key_read(argument, (int *)(void *)((char *)out + option->offset), err);
}

static const struct hf_option option_table[] = {
        {.short_name = 'w',
         .long_name = "watch",
         .help = "only look, whoever writes",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct hf_console_given, watch)},
        {.short_name = 'f',
         .long_name = "force",
         .help = "take it from its writer, who watches then, and from other programs",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct hf_console_given, force)},
        {.short_name = 'n',
         .long_name = "replay",
         .argument = "LINES",
         .help = "begin with the last lines that were printed (default: 10 on a terminal, else 0)",
         .kind = HF_OPTION_INT,
         .offset = offsetof(struct hf_console_given, replay),
         .max = REPLAY_MAX},
        {.short_name = 't',
         .long_name = "timestamps",
         .help = "put the time in front of each line",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct hf_console_given, timestamps)},
        {.short_name = 'p',
         .long_name = "plain",
         .help = "leave out what could harm a terminal: of escape sequences only colours pass",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct hf_console_given, plain)},
        {.short_name = 'l',
         .long_name = "log",
         .help = "attach nobody, but print the log, all of it or its last lines (--replay)",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct hf_console_given, log)},
        {.long_name = "keep",
         .help = "hold it also when nobody is attached any more, until it is released",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct hf_console_given, keep)},
        {.long_name = "release",
         .help = "attach nobody, but end such a hold; with --force also if somebody is attached",
         .kind = HF_OPTION_FLAG,
         .offset = offsetof(struct hf_console_given, release)},
        {.short_name = 'e',
         .long_name = "escape",
         .argument = "KEY",
         .help = "the key that leaves (default: ^]; \"none\": there is none)",
         .kind = HF_OPTION_CALL,
         .call = key_option,
         .offset = offsetof(struct hf_console_given, keys.leave)},
        {.long_name = "command-key",
         .argument = "KEY",
         .help = "the key behind which the next one is a command (default: ^_)",
         .kind = HF_OPTION_CALL,
         .call = key_option,
         .offset = offsetof(struct hf_console_given, keys.command)},
        {.long_name = "linger",
         .argument = "SECONDS",
         .help = "at the end of an input that is no terminal, listen so long (default: 1)",
         .kind = HF_OPTION_INT,
         .offset = offsetof(struct hf_console_given, linger),
         .max = LINGER_MAX},
        HF_STANDARD_OPTIONS(struct hf_console_given, standard),
};

static const struct hf_options options = {
        .program = "holdfast console",
        .usage = "[OPTION]... VM[:DEVICE] | PATH",
        .summary = "Connects to the console of a VM, or of a path; 'holdfast console list' lists "
                   "them.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

static char *make_absolute(const char *path)
{
        hf_cleanup_free char *here = *path == '/' ? strdup("") : getcwd(NULL, 0);
        char *whole;

        if (!here || asprintf(&whole, *path == '/' ? "%s%s" : "%s/%s", here, path) < 0)
                return NULL;
        return whole;
}

int hf_console_target_read(const char *text, struct hf_console_target *ret)
{
        struct hf_console_target target = {.name = text};
        const char *colon = strrchr(text, ':');

        if (strchr(text, '/')) {
                target.path = make_absolute(text);
        } else {
                target.vm = colon ? strndup(text, (size_t)(colon - text)) : strdup(text);
                target.device = strdup(colon ? colon + 1 : "");
        }
        if (!target.path && (!target.vm || !target.device)) {
                hf_message("cannot name the console: %s", strerror(errno));
                hf_console_target_clear(&target);
                return HF_EXIT_SYSTEM;
        }
        if (target.vm && !*target.vm) {
                hf_message("\"%s\" names no VM; see 'holdfast console --help'", text);
                hf_console_target_clear(&target);
                return HF_EXIT_USAGE;
        }
        *ret = target;
        return HF_EXIT_OK;
}

void hf_console_target_clear(struct hf_console_target *target)
{
        free(target->vm);
        free(target->device);
        free(target->path);
        *target = (struct hf_console_target){0};
}

static int release(const struct hf_console_given *given, const struct hf_console_target *target)
{
        struct holdfast_error error = {0};

        if (holdfast_console_forget(target->vm, target->device, target->path,
                                    given->force ? HOLDFAST_CONSOLE_FORCE : 0, &error) >= 0)
                return HF_EXIT_OK;
        hf_message("%s", error.text);
        return hf_console_status(&error);
}

/* Options that make no sense together, or NULL. */
static const char *contradiction(const struct hf_console_given *given)
{
        if (given->watch && given->force)
                return "--watch takes nothing, so --force has no place there";
        if (given->log && (given->watch || given->force || given->keep || given->release))
                return "--log attaches nobody, so --watch, --force, --keep and --release have no "
                       "place there";
        if (given->release && (given->watch || given->keep))
                return "--release attaches nobody, so --watch and --keep have no place there";
        if (given->keys.leave != HF_CONSOLE_NO_KEY && given->keys.leave == given->keys.command)
                return "one key cannot both leave and begin a command";
        return NULL;
}

int hf_verb_console(int argc, char **argv)
{
        hf_cleanup_console_target struct hf_console_target target = {0};
        struct hf_console_given given = {.replay = -1, .linger = 1, .keys = HF_CONSOLE_KEYS_INIT};
        const char *wrong;
        int first, status;

        if (argc > 1 && !strcmp(argv[1], "list"))
                return hf_console_verb_list(argc - 1, argv + 1);
        if (hf_verb_options(&options, argc, argv, &given, &given.standard, &first, &status) < 0)
                return status;
        wrong = argc - first != 1 ? "name one console" : contradiction(&given);
        if (wrong) {
                hf_message("%s; see 'holdfast console --help'", wrong);
                return HF_EXIT_USAGE;
        }
        status = hf_console_target_read(argv[first], &target);
        if (status != HF_EXIT_OK)
                return status;
        if (given.log)
                return hf_console_show_log(&given, &target);
        if (given.release)
                return release(&given, &target);
        return hf_console_attach(&given, &target);
}
