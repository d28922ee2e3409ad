/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* holdfast-consoled: the daemon that has the guests' consoles. */
#include "base/cleanup.h"
#include "base/daemonize.h"
#include "console/consoled.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define MODULE  "console.main"

#define PROGRAM "holdfast-consoled"

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
               "end after so many seconds without a client; never while a console is held", timeout,
               .argument = "SECONDS", .kind = HF_OPTION_INT, .min = 0, .max = TIMEOUT_MAX),
        OPTION('f', "config", "read this configuration file", config, .argument = "FILE",
               .kind = HF_OPTION_STRING),
        OPTION('\0', "no-supervisor", "serve in one process, which nobody replaces; for debuggers",
               unsupervised, .kind = HF_OPTION_FLAG),
        OPTION('\0', "probe-state",
               "say by the exit status whether this program could go on with such a state",
               probe_state, .argument = "VERSION", .kind = HF_OPTION_STRING),
        HF_STANDARD_OPTIONS(struct arguments, standard),
};

static const struct hf_options options = {
        .program = PROGRAM,
        .usage = "[OPTION]...",
        .summary = "Keeps the consoles of virtual machines: one writer, many watchers, a log.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

static int fail(const struct hf_error *err)
{
        hf_log(HF_LOG_ERROR, MODULE, "%s", err->text);
        return EXIT_OTHER;
}

static void notice(void *ctx, const char *text)
{
        (void)ctx;
        hf_log(HF_LOG_WARNING, MODULE, "%s; ignored", text);
}

int consoled_load_config(const struct consoled *d, struct hf_con_config *ret, struct hf_error *err)
{
        return hf_con_config_load(d->arguments.config, d->paths.console_config, notice, NULL, ret,
                                  err);
}

struct hf_log_settings consoled_log(const struct consoled *d, const struct hf_con_config *config)
{
        return (struct hf_log_settings){.program = PROGRAM,
                                        .level = config->log_level,
                                        .filters = config->log_filters,
                                        .outputs = config->log_outputs,
                                        .verbose = d->arguments.verbose,
                                        .background = d->arguments.daemon};
}

/* What is wrong with the configuration is said before anybody goes into the background. */
static int check(struct consoled *d, struct hf_error *err)
{
        struct hf_log_settings settings;
        int r = hf_paths_init(&d->paths, err);

        if (r >= 0)
                r = consoled_load_config(d, &d->config, err);
        if (r < 0)
                return r;
        settings = consoled_log(d, &d->config);
        return hf_log_check(&settings, err);
}

/* A daemon that takes over has no way back: it goes on with the defaults. */
static void check_successor(struct consoled *d)
{
        struct hf_error error = {0};

        if (check(d, &error) >= 0)
                return;
        hf_log(HF_LOG_ERROR, MODULE, "going on with the default settings: %s", error.text);
        hf_con_config_clear(&d->config);
        (void)hf_con_config_load("/dev/null", NULL, NULL, NULL, &d->config, NULL);
}

static bool knows_state(const char *version)
{
        char known[16];

        (void)snprintf(known, sizeof(known), "%u", HF_CON_STATE_VERSION);
        return !strcmp(version, known);
}

static int go_into_background(struct consoled *d, char ***argv, struct hf_error *err)
{
        int r = hf_daemonize_fix_path(&d->arguments.config, "--config", argv);

        if (r >= 0)
                d->report_fd = r = hf_daemonize();
        return r < 0 ? hf_error_sys(err, -r, "cannot go into the background") : 0;
}

static int run(struct consoled *d, char **argv)
{
        struct hf_keeper_program program = {
                .version = HF_CON_STATE_VERSION,
                .serve = consoled_live,
                .data = d,
        };
        struct hf_error error = {0};
        int status;

        if (hf_keeper_takes_over())
                check_successor(d);
        else if (check(d, &error) < 0)
                return fail(&error);
        if (d->arguments.probe_state)
                return knows_state(d->arguments.probe_state) ? EXIT_OK : EXIT_OTHER;
        if (d->arguments.daemon && !hf_keeper_takes_over() &&
            go_into_background(d, &argv, &error) < 0)
                return fail(&error);
        program.area_size = hf_con_area_size(&d->config);
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
                status = fail(&error);
                hf_daemonize_report(d->report_fd, status);
        }
        return status;
}

int main(int argc, char **argv)
{
        struct consoled d = {.report_fd = -1};
        struct hf_error error = {0};
        int first, status;

        if (hf_fill_standard_descriptors() < 0)
                return EXIT_INIT;
        hf_keeper_close_inherited();
        /* A limit of file sizes ("ulimit -f") is an error like any other. */
        (void)signal(SIGXFSZ, SIG_IGN);
        hf_log_init(PROGRAM);
        if (hf_options_parse(&options, argc, argv, &d.arguments, &first, &error) < 0 ||
            (first < argc &&
             hf_error_set(&error, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                          "unexpected argument \"%s\"; see " PROGRAM " --help", argv[first]) < 0)) {
                (void)fprintf(stderr, PROGRAM ": %s\n", error.text);
                return EXIT_OTHER;
        }
        if (hf_options_answer(&options, &d.arguments.standard, PROGRAM " (holdfast) " HF_VERSION))
                return EXIT_OK;
        status = run(&d, argv);
        hf_con_config_clear(&d.config);
        hf_paths_clear(&d.paths);
        hf_log_close();
        return status;
}
