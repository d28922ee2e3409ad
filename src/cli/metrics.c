/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast metrics: the daemon's numbers in the text format of OpenMetrics. That there is no
 * daemon is an answer as well: holdfast_up is 0 then.
 */
#include "cli/message.h"
#include "cli/print.h"
#include "cli/verb.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct metrics_options {
        struct hf_standard_options standard;
        const char *output;
};

static const struct hf_option option_table[] = {
        {.short_name = 'o',
         .long_name = "output",
         .argument = "FILE",
         .help = "write them into FILE, which is replaced as a whole",
         .kind = HF_OPTION_STRING,
         .offset = offsetof(struct metrics_options, output)},
        HF_STANDARD_OPTIONS(struct metrics_options, standard),
};

static const struct hf_options options = {
        .program = "holdfast metrics",
        .usage = "[OPTION]...",
        .summary = "Shows the lock daemon's numbers, in the format of OpenMetrics.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

/* A daemon may have any version: what is no name of a metric is left out. */
static bool is_name(const char *name)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
        static const char more[] =
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

        return *name && strchr(letters, *name) && name[strspn(name, more)] == '\0';
}

static void put_help(FILE *file, const char *help)
{
        for (; *help; help++) {
                if (*help == '\n')
                        (void)fputs("\\n", file);
                else if (*help == '\\' || *help == '"')
                        (void)fprintf(file, "\\%c", *help);
                else
                        (void)fputc(*help, file);
        }
}

static void put_metric(FILE *file, const struct holdfast_metric *metric)
{
        static const char seconds[] = "_seconds";
        size_t len = strlen(metric->name);
        bool is_time = len > strlen(seconds) &&
                       !strcmp(metric->name + len - strlen(seconds), seconds);
        const char *suffix = metric->gauge ? "" : "_total";

        if (!is_name(metric->name))
                return;
        (void)fprintf(file, "# TYPE %s %s\n", metric->name, metric->gauge ? "gauge" : "counter");
        if (is_time)
                (void)fprintf(file, "# UNIT %s seconds\n", metric->name);
        (void)fprintf(file, "# HELP %s ", metric->name);
        put_help(file, metric->help);
        (void)fprintf(file, "\n%s%s %llu", metric->name, suffix,
                      (unsigned long long)(is_time ? metric->value / 1000000 : metric->value));
        if (is_time)
                (void)fprintf(file, ".%06u", (unsigned int)(metric->value % 1000000));
        (void)fputc('\n', file);
}

static void put_all(FILE *file, const struct holdfast_metric_list *list)
{
        const struct holdfast_metric up = {
                .name = "holdfast_up",
                .gauge = 1,
                .value = list ? 1 : 0,
                .help = "Whether a lock daemon answers.",
        };

        put_metric(file, &up);
        for (size_t i = 0; list && i < list->n; i++)
                put_metric(file, list->metrics[i]);
        (void)fputs("# EOF\n", file);
}

/* Whoever reads the file has all of the old one or all of the new one. */
static int write_beside(const char *path, char *beside, const struct holdfast_metric_list *list)
{
        hf_cleanup_fd int fd = mkostemp(beside, O_CLOEXEC);
        FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
        int r;

        if (!file)
                return -errno;
        (void)hf_steal_fd(&fd);
        put_all(file, list);
        r = ferror(file) || fflush(file) < 0 || fchmod(fileno(file), 0644) < 0 ? -errno : 0;
        if (fclose(file) < 0 && r >= 0)
                r = -errno;
        if (r >= 0 && rename(beside, path) < 0)
                r = -errno;
        return r;
}

static int write_file(const char *path, const struct holdfast_metric_list *list)
{
        hf_cleanup_free char *beside = NULL;
        int r;

        if (asprintf(&beside, "%s.XXXXXX", path) < 0) {
                beside = NULL;
                r = -ENOMEM;
        } else {
                r = write_beside(path, beside, list);
                if (r < 0)
                        (void)unlink(beside);
        }
        if (r >= 0)
                return HF_EXIT_OK;
        hf_message("cannot write %s: %s", path, strerror(-r));
        return HF_EXIT_SYSTEM;
}

int hf_verb_metrics(int argc, char **argv)
{
        struct metrics_options given = {0};
        struct holdfast_error error = {0};
        struct holdfast_metric_list *list = NULL;
        int first, status;

        if (hf_verb_options(&options, argc, argv, &given, &given.standard, &first, &status) < 0)
                return status;
        if (first < argc) {
                hf_message("metrics takes no arguments; see 'holdfast metrics --help'");
                return HF_EXIT_USAGE;
        }
        if (holdfast_get_metrics(0, &list, &error) < 0) {
                hf_message("%s", error.text);
                if (error.code != HOLDFAST_E_NO_DAEMON)
                        return hf_message_status(&error);
        }
        if (given.output) {
                status = write_file(given.output, list);
        } else {
                put_all(stdout, list);
                status = hf_print_end(HF_EXIT_OK);
        }
        holdfast_metric_list_free(list);
        return status;
}
