/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A server's life: from nothing, or from where an earlier one was, to its end. */
#include "base/cleanup.h"
#include "base/daemonize.h"
#include "base/pidfile.h"
#include "console/adopt.h"
#include "console/consoled.h"
#include "console/listener.h"
#include "console/state.h"
#include "keeper/place.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>

#define MODULE "console.life"

/* In place of an exit code: another process of this service serves, and nothing is to be done. */
#define HANDED_OVER (-1)

static int fail(enum exit_code code, const struct hf_error *err)
{
        hf_log(HF_LOG_ERROR, MODULE, "%s", err->text);
        return code;
}

static int apply_log(const struct consoled *d, const struct hf_con_config *config,
                     struct hf_error *err)
{
        struct hf_log_settings settings = consoled_log(d, config);

        return hf_log_apply(&settings, err);
}

/* The writer of logs has its files open there, and the server looks at this very text. */
static void keep_log_directory(struct consoled *d, struct hf_con_config *config)
{
        char *now = config->log_directory, *before = d->config.log_directory;

        if (now && before ? strcmp(now, before) != 0 : now != before)
                hf_log(HF_LOG_WARNING, MODULE,
                       "another log_directory counts from the next start on");
        config->log_directory = before;
        d->config.log_directory = now;
}

/* Slots are there from the start of the supervisor: larger limits need an upgrade. */
static int reload(struct consoled *d, struct hf_error *err)
{
        struct hf_con_config config;
        int r = consoled_load_config(d, &config, err);

        if (r < 0)
                return r;
        r = apply_log(d, &config, err);
        if (r < 0) {
                hf_con_config_clear(&config);
                (void)apply_log(d, &d->config, NULL);
                return r;
        }
        if (hf_con_area_size(&config) > hf_keeper_area_size(d->keeper) ||
            config.scrollback != d->config.scrollback ||
            config.max_consoles != d->config.max_consoles)
                hf_log(HF_LOG_WARNING, MODULE,
                       "other limits of consoles, clients and scrollback count from the next start "
                       "on");
        if (config.max_clients > d->config.max_clients)
                config.max_clients = d->config.max_clients;
        config.max_consoles = d->config.max_consoles;
        config.scrollback = d->config.scrollback;
        keep_log_directory(d, &config);
        hf_con_config_clear(&d->config);
        d->config = config;
        return 0;
}

static int on_reload(void *data, struct hf_error *err)
{
        return reload(data, err);
}

static void on_leave(void *data, bool stays)
{
        hf_con_adoption_leave(((struct consoled *)data)->area, stays);
}

static int handle_signals(struct consoled *d, struct hf_error *err)
{
        static const struct hf_keeper_signal_ops ops = {.reload = on_reload, .leave = on_leave};

        d->signals = (struct hf_keeper_signals){
                .keeper = d->keeper, .event = d->event, .ops = &ops, .data = d};
        return hf_keeper_handle_signals(&d->signals, err);
}

/* Six descriptors for a console, two for a client: as many as we may have. */
static void raise_descriptor_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* The kernel stores receipts into sessions: their pages have to be there then. */
static void lock_memory(const struct consoled *d)
{
        size_t size = sizeof(*d->area) + d->area->n_slots * sizeof(d->area->slots[0]);

        if (mlock2(d->area, size, MLOCK_ONFAULT) < 0)
                hf_log(d->paths.privileged ? HF_LOG_WARNING : HF_LOG_INFO, MODULE,
                       "cannot lock the state in memory (RLIMIT_MEMLOCK?); while this machine "
                       "swaps, a kill of the server may cost a client some output");
}

static const char *log_dir(const struct consoled *d)
{
        const char *dir = d->config.log_directory;

        if (!dir)
                return d->paths.console_log_dir;
        return strcmp(dir, "off") ? dir : "";
}

static int make_server(struct consoled *d, struct hf_error *err)
{
        int r = sd_event_default(&d->event);

        if (r < 0)
                return hf_error_sys(err, -r, "cannot make an event loop");
        r = hf_con_server_new(d->event, d->arguments.unsupervised ? NULL : d->keeper, d->area,
                              &d->config, &d->server, err);
        if (r < 0)
                return r;
        d->server->idle_timeout = (uint64_t)d->arguments.timeout * 1000000;
        d->server->state_file = d->paths.console_state_file;
        d->server->log_dir = log_dir(d);
        return 0;
}

static int open_sockets(struct consoled *d, struct hf_error *err)
{
        int r = hf_con_listeners_activated(d->server, &d->paths, hf_keeper_listen_fds(d->keeper),
                                           err);

        return r < 0 ? r : hf_con_listeners_open(d->server, &d->paths, err);
}

static int begin_anew(struct consoled *d)
{
        struct hf_error error = {0};
        int r;

        hf_con_area_init(d->area, &d->config);
        d->area->report_fd = d->report_fd;
        if (apply_log(d, &d->config, &error) < 0)
                return fail(EXIT_OTHER, &error);
        if (hf_path_make_dirs(d->paths.run_dir, d->paths.privileged ? 0755 : 0700, &error) < 0)
                return fail(EXIT_RUN_DIR, &error);
        r = hf_keeper_take_place(d->paths.console_pid_file, hf_keeper_pid(d->keeper),
                                 &d->area->pid_fd, &error);
        if (r != 0)
                return r < 0 ? fail(EXIT_OTHER, &error) : HANDED_OVER;
        if (make_server(d, &error) < 0)
                return fail(EXIT_INIT, &error);
        if (handle_signals(d, &error) < 0)
                return fail(EXIT_SIGNALS, &error);
        r = hf_con_links_begin(d->server);
        if (r < 0) {
                (void)hf_error_sys(&error, -r, "cannot begin");
                return fail(EXIT_INIT, &error);
        }
        hf_con_state_load(d->server);
        if (open_sockets(d, &error) < 0)
                return fail(EXIT_NETWORK, &error);
        lock_memory(d);
        hf_con_area_complete(d->area);
        hf_keeper_ready(d->keeper);
        return EXIT_OK;
}

static void say_why(const struct consoled *d)
{
        int status = hf_keeper_last_status(d->keeper);
        int error = hf_keeper_upgrade_error(d->keeper);

        switch (hf_keeper_start(d->keeper)) {
        case HF_KEEPER_UPGRADED:
                hf_log(HF_LOG_INFO, MODULE, "upgraded to " HF_VERSION);
                break;
        case HF_KEEPER_HEIR:
                hf_log(HF_LOG_INFO, MODULE, "replaced the supervisor");
                break;
        default:
                if (error)
                        hf_log(HF_LOG_ERROR, MODULE,
                               "serving on as before: cannot execute the program that is "
                               "installed now: %s",
                               strerrordesc_np(error));
                else if (hf_keeper_last_hung(d->keeper))
                        hf_log(HF_LOG_ERROR, MODULE, "replaced a server that did not move");
                else
                        hf_log(HF_LOG_ERROR, MODULE,
                               "replaced a server that was ended by signal %d",
                               WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        }
}

static int adopt(struct consoled *d, struct hf_con_adoption *adoption, struct hf_error *err)
{
        int r = make_server(d, err);

        if (r >= 0)
                r = handle_signals(d, err);
        if (r >= 0)
                r = hf_con_adoption_apply(adoption, d->server, err);
        if (r < 0)
                return r;
        lock_memory(d);
        hf_con_adoption_leave(d->area, false);
        (void)hf_pidfile_rewrite(d->paths.console_pid_file, d->area->pid_fd,
                                 hf_keeper_pid(d->keeper));
        hf_keeper_ready(d->keeper);
        say_why(d);
        hf_con_adoption_resume(d->server);
        return 0;
}

/* The settings may have changed since the supervisor began; if they are wrong now, its own stand.
 */
static void read_settings(struct consoled *d)
{
        struct hf_error error = {0};

        if (reload(d, &error) >= 0)
                return;
        (void)apply_log(d, &d->config, NULL);
        hf_log(HF_LOG_ERROR, MODULE, "keeping the old configuration: %s", error.text);
}

/*
 * A server that cannot go on ends by a signal, so that another one tries, after a
 * while: it closes and removes nothing on its way out.
 */
static _Noreturn void die(const struct hf_error *err)
{
        hf_log(HF_LOG_ERROR, MODULE, "%s; trying again", err->text);
        abort();
}

static void go_on(struct consoled *d)
{
        struct hf_con_adoption *adoption;
        struct hf_error error = {0};
        int r = hf_con_adoption_new(d->keeper, d->area, &adoption);

        read_settings(d);
        if (r < 0)
                (void)hf_error_sys(&error, -r, "cannot go on with what the last server had");
        else
                r = adopt(d, adoption, &error);
        if (r < 0)
                die(&error);
        hf_con_adoption_free(adoption);
}

/* Who waits is told once. The number is free afterwards, for all servers to come. */
static void report(struct consoled *d, int status)
{
        int fd = d->area->report_fd;

        hf_daemonize_report(fd, status);
        d->area->report_fd = -1;
        atomic_signal_fence(memory_order_seq_cst);
        hf_close_fd(&fd);
}

static int serve(struct consoled *d)
{
        int r;

        hf_con_server_check_idle(d->server);
        (void)sd_notifyf(0, "READY=1\nMAINPID=%d", (int)hf_keeper_pid(d->keeper));
        report(d, EXIT_OK);
        hf_log(HF_LOG_INFO, MODULE, "serving");
        r = sd_event_loop(d->event);
        hf_keeper_end(d->keeper);
        (void)sd_notify(0, "STOPPING=1");
        return r < 0 ? EXIT_OTHER : EXIT_OK;
}

static void clear(struct consoled *d)
{
        if (d->server)
                hf_con_listeners_close(d->server);
        d->server = hf_con_server_free(d->server);
        d->event = sd_event_unref(d->event);
        hf_pidfile_drop(d->paths.console_pid_file, d->area->pid_fd);
        hf_con_config_clear(&d->config);
        hf_paths_clear(&d->paths);
        hf_log_close();
}

int consoled_live(struct hf_keeper *keeper, void *data)
{
        struct consoled *d = data;
        int status = EXIT_OK;

        d->keeper = keeper;
        d->area = hf_keeper_area(keeper);
        (void)umask(0022);
        raise_descriptor_limit();
        if (hf_con_area_is_complete(d->area))
                go_on(d);
        else
                status = begin_anew(d);
        if (status == EXIT_OK)
                status = serve(d);
        else if (status == HANDED_OVER)
                status = EXIT_OK;
        report(d, status);
        clear(d);
        return status;
}
