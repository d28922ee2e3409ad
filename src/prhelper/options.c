/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/options.h"

#include "prhelper/peer.h"

#include "base/cleanup.h"

#include <string.h>

#define PROGRAM "holdfast-pr-helper"

#define OPTION(letter, name, what, field, ...)                                                     \
        {                                                                                          \
                .short_name = letter, .long_name = name, .help = what,                             \
                .offset = offsetof(struct hf_pr_arguments, field), __VA_ARGS__                     \
        }

/* QEMU's helper traces where it is told to; here the events are the messages of level debug. */
static int trace(const struct hf_option *option, const char *argument, void *out,
                 struct hf_error *err)
{
        (void)option;
        (void)argument;
        (void)err;
        ((struct hf_pr_arguments *)out)->trace = true;
        return 0;
}

static const struct hf_option table[] = {
        OPTION('k', "socket", "listen on this socket", socket, .argument = "PATH",
               .kind = HF_OPTION_STRING),
        OPTION('f', "pidfile", "write the process's number to this file", pidfile,
               .argument = "PATH", .kind = HF_OPTION_STRING),
        OPTION('d', "daemon", "run in the background; return when the socket is there", daemon,
               .kind = HF_OPTION_FLAG),
        OPTION('q', "quiet", "report errors only", quiet, .kind = HF_OPTION_FLAG),
        OPTION('v', "verbose", "report more; twice: everything", verbose, .kind = HF_OPTION_COUNT),
        OPTION('u', "user", "become this user", user, .argument = "USER", .kind = HF_OPTION_STRING),
        OPTION('g', "group", "become a member of this group", group, .argument = "GROUP",
               .kind = HF_OPTION_STRING),
        OPTION('T', "trace", "as -vv; what it names is not looked at", trace, .argument = "WHAT",
               .kind = HF_OPTION_CALL, .call = trace),
        OPTION('\0', "config", "read this file in place of pr-policy.conf", config,
               .argument = "FILE", .kind = HF_OPTION_STRING),
        OPTION('\0', "vm", "all that connects is this VM", vm, .argument = "NAME",
               .kind = HF_OPTION_STRING),
        HF_STANDARD_OPTIONS(struct hf_pr_arguments, standard),
};

static const struct hf_options options = {
        .program = PROGRAM,
        .usage = "[OPTION]...",
        .summary = "Persistent reservations for virtual machines without privilege; stands in for "
                   "qemu-pr-helper.",
        .table = table,
        .n = HF_ARRAY_LEN(table),
};

/* What began with a slash is found from any folder; another path would be where nobody looks. */
static int check(const struct hf_pr_arguments *arguments, struct hf_error *err)
{
        if (arguments->socket && arguments->socket[0] != '/')
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "the socket's path must be absolute, not \"%s\"",
                                    arguments->socket);
        if (arguments->vm && !*arguments->vm)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "--vm needs a name");
        if (arguments->vm && strlen(arguments->vm) >= HF_PR_VM_MAX)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "the name of a VM has %d bytes at most", HF_PR_VM_MAX - 1);
        return 1;
}

int hf_pr_options_read(int argc, char **argv, struct hf_pr_arguments *ret, struct hf_error *err)
{
        int first, r = hf_options_parse(&options, argc, argv, ret, &first, err);

        if (r < 0)
                return r;
        if (hf_options_answer(&options, &ret->standard, PROGRAM " (holdfast) " HF_VERSION))
                return 0;
        if (first < argc)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "unexpected argument \"%s\"; see " PROGRAM " --help",
                                    argv[first]);
        return check(ret, err);
}
