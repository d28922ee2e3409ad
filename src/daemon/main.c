/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfastd: the lock daemon.
 *
 * Options and exit codes are virtlockd's, so that it can stand in its place:
 * also under that name, as which a session libvirtd starts it.
 */
#include "base/cleanup.h"
#include "base/daemonize.h"
#include "base/log.h"
#include "daemon/area.h"
#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "daemon.main"

/* A year: longer than that is the same as for ever, and fits the timer. */
#define TIMEOUT_MAX (366 * 24 * 3600)

#define OPTION(letter, name, what, field, ...)                                                     \
        {                                                                                          \
                .short_name = letter, .long_name = name, .help = what,                             \
                .offset = offsetof(struct arguments, field), __VA_ARGS__                           \
        }

static const struct hf_option option_table[] = {
        OPTION('v', "verbose", "log more: information as well as warnings", verbose,
               .kind = HF_OPTION_FLAG),
        OPTION('d', "daemon", "run in the background; return when it serves", daemon,
               .kind = HF_OPTION_FLAG),
        OPTION('t', "timeout",
               "end after so many seconds without a client; never while a lock is held", timeout,
               .argument = "SECONDS", .kind = HF_OPTION_INT, .min = 0, .max = TIMEOUT_MAX),
        OPTION('f', "config", "read this configuration file", config, .argument = "FILE",
               .kind = HF_OPTION_STRING),
        OPTION('p', "pid-file", "use this pid file in place of virtlockd's", pid_file,
               .argument = "FILE", .kind = HF_OPTION_STRING),
        OPTION('\0', "no-supervisor", "serve in one process, which nobody replaces; for debuggers",
               unsupervised, .kind = HF_OPTION_FLAG),
        OPTION('\0', "release-all",
               "release every lock of every VM, running or not, and exit; no VM is ended",
               release_all, .kind = HF_OPTION_FLAG),
        OPTION('\0', "probe-state",
               "say by the exit status whether this program could go on with such a state",
               probe_state, .argument = "VERSION", .kind = HF_OPTION_STRING),
        HF_STANDARD_OPTIONS(struct arguments, standard),
};

static const struct hf_options options = {
        .program = "holdfastd",
        .usage = "[OPTION]...",
        .summary = "Lock daemon for virtual machines; stands in for virtlockd.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

static int fail(const struct hf_error *err)
{
        hf_log(HF_LOG_ERROR, MODULE, "%s", err->text);
        return EXIT_OTHER;
}

/* What is wrong with the configuration is said before anybody goes into the background. */
static int check(struct daemon *d, struct hf_error *err)
{
        int r;

        hf_paths_clear(&d->paths);
        r = hf_paths_init(&d->paths, err);
        if (r >= 0)
                r = daemon_load_config(d, &d->config, err);
        return r < 0 ? r : daemon_check_log(d, err);
}

/*
 * A daemon that takes over from another one does not end here: whatever is wrong with the
 * configuration by now, it goes on with the defaults.
 */
static void check_successor(struct daemon *d)
{
        struct hf_error error = {0};

        if (check(d, &error) >= 0)
                return;
        hf_log(HF_LOG_ERROR, MODULE, "going on with the default settings: %s", error.text);
        hf_config_clear(&d->config);
        (void)hf_config_load("/dev/null", NULL, NULL, NULL, &d->config, NULL);
}

static bool knows_state(const char *version)
{
        char known[16];

        (void)snprintf(known, sizeof(known), "%u", HF_STATE_VERSION);
        return !strcmp(version, known);
}

static int go_into_background(struct daemon *d, char ***argv, struct hf_error *err)
{
        int r = hf_daemonize_fix_path(&d->arguments.config, "--config", argv);

        if (r >= 0)
                d->report_fd = r = hf_daemonize();
        return r < 0 ? hf_error_sys(err, -r, "cannot go into the background") : 0;
}

/* What it served is served on, however many clients the configuration allows. */
static void prepare_takeover(struct daemon *d, struct hf_keeper_program *program)
{
        uint64_t most = d->stock.n_clients + d->stock.services[HF_SERVICE_LOCKS].max_clients;

        if (most > HF_STOCK_CLIENTS_MAX)
                most = HF_STOCK_CLIENTS_MAX;
        if (d->config.max_clients < most)
                d->config.max_clients = (unsigned int)most;
        program->keeps_given = true;
        program->path = daemon_own_path(d);
}

static int run(struct daemon *d, char **argv)
{
        struct hf_keeper_program program = {
                .version = HF_STATE_VERSION,
                .serve = daemon_live,
                .data = d,
        };
        struct hf_error error = {0};
        int status;

        if (hf_keeper_takes_over() || d->takes_over)
                check_successor(d);
        else if (check(d, &error) < 0)
                return fail(&error);
        if (d->arguments.probe_state)
                return knows_state(d->arguments.probe_state) ? EXIT_OK : EXIT_OTHER;
        if (d->arguments.release_all && !hf_keeper_takes_over())
                return daemon_release_all(d);
        if (d->takes_over)
                prepare_takeover(d, &program);
        if (d->arguments.daemon && !hf_keeper_takes_over() && !d->takes_over &&
            go_into_background(d, &argv, &error) < 0)
                return fail(&error);
        program.area_size = hf_area_size(&d->config);
        /* Each server would have them from the supervisor's memory, by numbers used again since. */
        hf_log_close_outputs();
        status = hf_keeper_run(&program, argv, !d->arguments.unsupervised, &error);
        if (status == -EFBIG) {
                hf_log(HF_LOG_WARNING, MODULE,
                       "%s: raise the limit of file sizes (ulimit -f); serving without a "
                       "supervisor: nobody will replace this process when it is killed",
                       error.text);
                d->arguments.unsupervised = true;
                status = hf_keeper_run(&program, argv, false, &error);
        }
        /* Else a server has said it, and the number is somebody else's by now. */
        if (status < 0) {
                /* Nothing was begun yet: virtlockd can still go on. */
                status = d->takes_over ? (fail(&error), EXIT_HANDOVER) : fail(&error);
                hf_daemonize_report(d->report_fd, status);
                if (d->takes_over)
                        status = EXIT_HANDOVER;
        }
        return status;
}

static int parse(struct daemon *d, int argc, char **argv, struct hf_error *err)
{
        int first, r = hf_options_parse(&options, argc, argv, &d->arguments, &first, err);

        if (r < 0 || first == argc)
                return r;
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                            "unexpected argument \"%s\"; see holdfastd --help", argv[first]);
}

int main(int argc, char **argv)
{
        struct daemon d = {.report_fd = -1};
        struct hf_error error = {0};
        int status;

        if (hf_fill_standard_descriptors() < 0)
                return EXIT_INIT;
        hf_log_init("holdfastd");
        if (daemon_find_handover(&d) < 0)
                daemon_give_back(&d, argv);
        if (!d.takes_over)
                hf_keeper_close_inherited();
        /* A limit of file sizes ("ulimit -f") is an error like any other. */
        (void)signal(SIGXFSZ, SIG_IGN);
        if (parse(&d, argc, argv, &error) < 0) {
                (void)fprintf(stderr, "holdfastd: %s\n", error.text);
                if (d.takes_over)
                        daemon_give_back(&d, argv);
                return EXIT_OTHER;
        }
        if (hf_options_answer(&options, &d.arguments.standard, "holdfastd (holdfast) " HF_VERSION))
                return EXIT_OK;
        status = run(&d, argv);
        if (d.takes_over && status == EXIT_HANDOVER)
                daemon_give_back(&d, argv);
        hf_config_clear(&d.config);
        hf_paths_clear(&d.paths);
        free(d.stands_for);
        hf_log_close();
        return status;
}
