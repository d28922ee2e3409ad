/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfastd: the lock daemon.
 *
 * Options and exit codes are virtlockd's, so that it can stand in its place:
 * also under that name, as which a session libvirtd starts it.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/options.h"
#include "base/path.h"
#include "base/socket.h"
#include "daemon/daemonize.h"
#include "daemon/listener.h"
#include "daemon/pidfile.h"
#include "daemon/recover.h"
#include "daemon/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#define MODULE "daemon.main"

/* virtlockd's exit codes. */
enum exit_code {
        EXIT_OK = 0,
        EXIT_OTHER = 1, /* options, configuration, pid file */
        EXIT_RUN_DIR = 2,
        EXIT_INIT = 3,
        EXIT_SIGNALS = 4,
        EXIT_NETWORK = 6,
};

struct arguments {
        struct hf_standard_options standard;
        bool daemon;
        bool verbose;
        int timeout; /* seconds; 0: stay */
        const char *config;
        const char *pid_file;
};

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
        HF_STANDARD_OPTIONS(struct arguments, standard),
};

static const struct hf_options options = {
        .program = "holdfastd",
        .usage = "[OPTION]...",
        .summary = "Lock daemon for virtual machines; stands in for virtlockd.",
        .table = option_table,
        .n = HF_ARRAY_LEN(option_table),
};

/* Everything that lives as long as the daemon. */
struct daemon {
        struct arguments arguments;
        struct hf_paths paths;
        struct hf_config config;
        unsigned int max_clients_at_start, admin_max_clients_at_start;
        sd_event *event;
        struct hf_server *server;
        int report_fd;
        int pid_fd;           /* ours: one daemon per run directory */
        int virtlockd_pid_fd; /* virtlockd's, or that of --pid-file */
};

static const char *stock_pid_file(const struct daemon *d)
{
        return d->arguments.pid_file ? d->arguments.pid_file : d->paths.virtlockd_pid_file;
}

static int fail(enum exit_code code, const struct hf_error *err)
{
        hf_log(HF_LOG_ERROR, MODULE, "%s", err->text);
        return code;
}

static void notice(void *ctx, const char *text)
{
        (void)ctx;
        hf_log(HF_LOG_WARNING, MODULE, "%s; ignored", text);
}

static int load_config(const struct daemon *d, struct hf_config *ret, struct hf_error *err)
{
        const char *defaults[] = {d->paths.daemon_config, d->paths.virtlockd_config, NULL};

        return hf_config_load(d->arguments.config, defaults, notice, NULL, ret, err);
}

static int apply_log(const struct daemon *d, const struct hf_config *config, struct hf_error *err)
{
        int level = config->log_level;
        int r;

        if (d->arguments.verbose && level > HF_LOG_INFO)
                level = HF_LOG_INFO;
        r = hf_log_set_level(level, err);
        if (r >= 0)
                r = hf_log_set_filters(config->log_filters, err);
        if (r >= 0)
                r = hf_log_set_outputs(config->log_outputs, err);
        return r;
}

/* A daemon without a terminal and without outputs of its own goes to the system's log. */
static void log_to_system(struct daemon *d)
{
        if (d->arguments.daemon && !d->config.log_outputs)
                (void)hf_log_set_outputs(access("/run/systemd/journal/socket", F_OK) == 0
                                                 ? "1:journald"
                                                 : "1:syslog:holdfastd",
                                         NULL);
}

static int make_run_dirs(const struct daemon *d, struct hf_error *err)
{
        mode_t mode = d->paths.privileged ? 0755 : 0700;
        int r = hf_path_make_dirs(d->paths.run_dir, mode, err);

        return r < 0 ? r : hf_path_make_dirs(d->paths.libvirt_run_dir, mode, err);
}

/*
 * Who has virtlockd's place? Returns 1 when it is ours, 0 when a live daemon
 * serves there, which is not displaced.
 */
static int claim_virtlockd(struct daemon *d, struct hf_error *err)
{
        struct hf_peer peer;
        int r;

        r = hf_pidfile_take(stock_pid_file(d), &d->virtlockd_pid_fd, err);
        if (r == -EBUSY && !d->arguments.pid_file) {
                hf_log(HF_LOG_WARNING, MODULE,
                       "%s; serving on %s only, stock clients stay with that daemon", err->text,
                       d->paths.socket);
                return 0;
        }
        if (r < 0)
                return r;
        r = hf_socket_probe(d->paths.virtlockd_socket, &peer, err);
        if (r <= 0)
                return r < 0 ? r : 1;
        hf_log(HF_LOG_WARNING, MODULE,
               "a live daemon (pid %d) serves %s; serving on %s only, stock clients stay with that "
               "daemon",
               (int)peer.pid, d->paths.virtlockd_socket, d->paths.socket);
        return 0;
}

static int open_sockets(struct daemon *d, bool with_virtlockd, struct hf_error *err)
{
        int passed = hf_listeners_activated(d->server, &d->paths, err);

        if (passed < 0)
                return passed;
        return hf_listeners_open(d->server, &d->paths, with_virtlockd && passed == 0, err);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
        hf_log(HF_LOG_INFO, MODULE, "ending on signal %u", info->ssi_signo);
        (void)data;
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

/*
 * Connections have their slots from the start: limits change down, or up to what
 * they were then.
 */
static void limit_clients(const struct daemon *d, struct hf_config *config)
{
        if (config->max_clients <= d->max_clients_at_start &&
            config->admin_max_clients <= d->admin_max_clients_at_start)
                return;
        hf_log(HF_LOG_WARNING, MODULE, "a higher limit of clients needs a restart");
        config->max_clients = d->config.max_clients;
        config->admin_max_clients = d->config.admin_max_clients;
}

/* Takes over *config, or frees it and leaves all as it is. */
static int adopt_config(struct daemon *d, struct hf_config *config, struct hf_error *err)
{
        int r = apply_log(d, config, err);

        if (r < 0) {
                hf_config_clear(config);
                (void)apply_log(d, &d->config, NULL);
        } else {
                limit_clients(d, config);
                hf_config_clear(&d->config);
                d->config = *config;
        }
        log_to_system(d);
        return r;
}

/* SIGHUP: the configuration is read again; what is wrong with it changes nothing. */
static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
        struct daemon *d = data;
        struct hf_config config;
        struct hf_error error;

        (void)source;
        (void)info;
        if (load_config(d, &config, &error) < 0 || adopt_config(d, &config, &error) < 0)
                hf_log(HF_LOG_ERROR, MODULE, "keeping the old configuration: %s", error.text);
        else
                hf_log(HF_LOG_INFO, MODULE, "configuration read again");
        return 0;
}

/* virtlockd would replace itself; we do not stop for a signal that we cannot serve. */
static int on_upgrade(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
        (void)source;
        (void)info;
        (void)data;
        hf_log(HF_LOG_WARNING, MODULE,
               "SIGUSR1: this version cannot replace itself while running; nothing was done");
        return 0;
}

static int handle_signals(struct daemon *d, struct hf_error *err)
{
        static const struct {
                int number;
                sd_event_signal_handler_t handler;
        } handlers[] = {
                {SIGINT, on_stop},   {SIGQUIT, on_stop},    {SIGTERM, on_stop},
                {SIGHUP, on_reload}, {SIGUSR1, on_upgrade},
        };
        sigset_t all;

        (void)sigemptyset(&all);
        for (size_t i = 0; i < HF_ARRAY_LEN(handlers); i++)
                (void)sigaddset(&all, handlers[i].number);
        if (sigprocmask(SIG_BLOCK, &all, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return hf_error_sys(err, errno, "cannot set up signals");
        for (size_t i = 0; i < HF_ARRAY_LEN(handlers); i++) {
                int r = sd_event_add_signal(d->event, NULL, handlers[i].number, handlers[i].handler,
                                            d);

                if (r < 0)
                        return hf_error_sys(err, -r, "cannot set up signals");
        }
        return 0;
}

/* One descriptor per lock, two per VM: as many as we may have. */
static void raise_descriptor_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int make_server(struct daemon *d, struct hf_error *err)
{
        struct hf_table *table;
        int r = sd_event_default(&d->event);

        if (r < 0)
                return hf_error_sys(err, -r, "cannot make an event loop");
        r = hf_recover_table(d->paths.state_file, &table);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot make the lock table");
        r = hf_server_new(d->event, &d->config, table, &d->server, err);
        if (r < 0)
                return r;
        d->max_clients_at_start = d->config.max_clients;
        d->admin_max_clients_at_start = d->config.admin_max_clients;
        d->server->idle_timeout = (uint64_t)d->arguments.timeout * 1000000;
        return 0;
}

static enum exit_code serve(struct daemon *d)
{
        int r;

        hf_recover(d->server, d->paths.state_file);
        hf_server_check_idle(d->server);
        (void)sd_notify(0, "READY=1");
        hf_daemonize_report(hf_steal_fd(&d->report_fd), EXIT_OK);
        hf_log(HF_LOG_INFO, MODULE, "serving");
        r = sd_event_loop(d->event);
        (void)sd_notify(0, "STOPPING=1");
        hf_recover_leave(d->server, d->paths.state_file);
        return r < 0 ? EXIT_OTHER : EXIT_OK;
}

static enum exit_code start_and_serve(struct daemon *d)
{
        struct hf_error error = {0};
        int with_virtlockd;

        (void)umask(0022);
        /* A limit of file sizes ("ulimit -f") is an error like any other. */
        (void)signal(SIGXFSZ, SIG_IGN);
        raise_descriptor_limit();
        if (make_run_dirs(d, &error) < 0)
                return fail(EXIT_RUN_DIR, &error);
        if (hf_pidfile_take(d->paths.pid_file, &d->pid_fd, &error) < 0)
                return fail(EXIT_OTHER, &error);
        with_virtlockd = claim_virtlockd(d, &error);
        if (with_virtlockd < 0)
                return fail(EXIT_OTHER, &error);
        if (make_server(d, &error) < 0)
                return fail(EXIT_INIT, &error);
        if (handle_signals(d, &error) < 0)
                return fail(EXIT_SIGNALS, &error);
        if (open_sockets(d, with_virtlockd, &error) < 0)
                return fail(EXIT_NETWORK, &error);
        return serve(d);
}

static void clear(struct daemon *d)
{
        d->server = hf_server_free(d->server);
        d->event = sd_event_unref(d->event);
        hf_pidfile_drop(stock_pid_file(d), d->virtlockd_pid_fd);
        hf_pidfile_drop(d->paths.pid_file, d->pid_fd);
        hf_config_clear(&d->config);
        hf_paths_clear(&d->paths);
        hf_log_close();
}

static enum exit_code run(struct daemon *d)
{
        struct hf_error error = {0};
        enum exit_code code;

        if (hf_paths_init(&d->paths, &error) < 0 || load_config(d, &d->config, &error) < 0 ||
            apply_log(d, &d->config, &error) < 0)
                return fail(EXIT_OTHER, &error);
        if (d->arguments.daemon) {
                d->report_fd = hf_daemonize();
                if (d->report_fd < 0) {
                        (void)hf_error_sys(&error, -d->report_fd, "cannot go into the background");
                        return fail(EXIT_OTHER, &error);
                }
                log_to_system(d);
        }
        code = start_and_serve(d);
        hf_daemonize_report(d->report_fd, code);
        return code;
}

/*
 * What is opened while the standard input, output or error is closed takes its
 * place, and a message for people is written into it: in the worst case a disk.
 */
static int fill_standard_descriptors(void)
{
        int fd;

        do
                fd = open("/dev/null", O_RDWR);
        while (fd >= 0 && fd <= STDERR_FILENO);
        if (fd < 0)
                return -errno;
        (void)close(fd);
        return 0;
}

int main(int argc, char **argv)
{
        struct daemon d = {.report_fd = -1, .pid_fd = -1, .virtlockd_pid_fd = -1};
        struct hf_error error = {0};
        enum exit_code code;
        int first;

        if (fill_standard_descriptors() < 0)
                return EXIT_INIT;
        hf_log_init("holdfastd");
        if (hf_options_parse(&options, argc, argv, &d.arguments, &first, &error) < 0 ||
            (first < argc &&
             hf_error_set(&error, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                          "unexpected argument \"%s\"; see holdfastd --help", argv[first]) < 0)) {
                (void)fprintf(stderr, "holdfastd: %s\n", error.text);
                return EXIT_OTHER;
        }
        if (hf_options_answer(&options, &d.arguments.standard, "holdfastd (holdfast) " HF_VERSION))
                return EXIT_OK;
        code = run(&d);
        clear(&d);
        return code;
}
