/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * lockload: puts load on a daemon that speaks virtlockd's wire and says how it
 * did, as one line of JSON. It asks the same of every daemon and knows nothing
 * of any one of them. bench/run compares two daemons with it.
 */

#include "modes.h"

#include <err.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

struct mode {
        const char *name;
        void (*run)(const struct options *options);
        const char *what;
};

static const struct mode modes[] = {
        {"seq", mode_seq, "acquire and release on one connection"},
        {"conc", mode_conc, "the same on COUNT (32) connections at once"},
        {"connect", mode_connect, "connect, register, two acquires, restrict, by VM processes"},
        {"hold", mode_hold, "memory of the daemon with COUNT (10000) locks held"},
        {"hang", mode_hang, "answer times while a filesystem hangs, also over kills of the server"},
        {"recover", mode_recover,
         "time to serve again with COUNT (10000) locks, the server killed"},
        {"stubborn", mode_stubborn, "answer times while a VM process refuses to die"},
        {"handover", mode_handover,
         "from a release to the next of COUNT (50) in line, beside one that polls"},
        {"spawn", mode_spawn, "time of command A over command B, COUNT (100) times each"},
};

#define MODES (sizeof(modes) / sizeof(modes[0]))

static _Noreturn void usage(FILE *out, int status)
{
        fprintf(out, "usage: lockload MODE --socket SOCKET --dir FOLDER [--seconds S] [--count N]\n"
                     "                     [--daemon PID] [--state FOLDER]\n"
                     "       lockload spawn [--count N] -- A [ARG]... ::: B [ARG]...\n\n"
                     "modes:\n");
        for (size_t i = 0; i < MODES; i++)
                fprintf(out, "  %-9s %s\n", modes[i].name, modes[i].what);
        exit(status);
}

static const struct mode *find_mode(const char *name)
{
        for (size_t i = 0; i < MODES; i++)
                if (strcmp(modes[i].name, name) == 0)
                        return &modes[i];
        return NULL;
}

/* A number above zero, or the end of the program. */
static double number(const char *option, const char *text)
{
        char *end;
        double value = strtod(text, &end);

        if (end == text || *end || !(value > 0) || value > 1e9)
                errx(2, "--%s wants a number above zero, not %s", option, text);
        return value;
}

static void parse(struct options *options, int argc, char **argv)
{
        enum { SOCKET = 1, DIR, SECONDS, COUNT, DAEMON, STATE, HUNG, HELP };
        static const struct option table[] = {
                {"socket", required_argument, NULL, SOCKET},
                {"dir", required_argument, NULL, DIR},
                {"seconds", required_argument, NULL, SECONDS},
                {"count", required_argument, NULL, COUNT},
                {"daemon", required_argument, NULL, DAEMON},
                {"state", required_argument, NULL, STATE},
                {"hung", required_argument, NULL, HUNG},
                {"help", no_argument, NULL, HELP},
                {0},
        };
        int option;

        while ((option = getopt_long(argc, argv, "+", table, NULL)) != -1) {
                switch (option) {
                case SOCKET:
                        options->socket = optarg;
                        break;
                case DIR:
                        options->folder = optarg;
                        break;
                case SECONDS:
                        options->seconds = number("seconds", optarg);
                        break;
                case COUNT:
                        options->count = (size_t)number("count", optarg);
                        break;
                case DAEMON:
                        options->daemon = (pid_t)number("daemon", optarg);
                        break;
                case STATE:
                        options->state = optarg;
                        break;
                case HUNG:
                        options->hung = optarg;
                        break;
                default:
                        usage(option == HELP ? stdout : stderr, option == HELP ? 0 : 2);
                }
        }
}

/* Splits what follows `--` into two commands at the word `:::`. */
static void split_commands(struct options *options, char **words)
{
        options->command = words;
        for (; *words; words++) {
                if (strcmp(*words, ":::") == 0) {
                        *words = NULL;
                        options->other = words + 1;
                        break;
                }
        }
        if (!options->command[0] || !options->other || !options->other[0])
                usage(stderr, 2);
}

int main(int argc, char **argv)
{
        struct options options = {.seconds = 1.0};
        const struct mode *mode;

        if (argc < 2 || strcmp(argv[1], "--help") == 0)
                usage(argc < 2 ? stderr : stdout, argc < 2 ? 2 : 0);
        mode = find_mode(argv[1]);
        if (!mode)
                usage(stderr, 2);
        parse(&options, argc - 1, argv + 1);
        if (mode->run == mode_spawn)
                split_commands(&options, argv + 1 + optind);
        else if (!options.socket || !options.folder)
                usage(stderr, 2);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)signal(SIGPIPE, SIG_IGN);
        mode->run(&options);
        return fflush(stdout) == 0 ? 0 : 1;
}
