/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A server's life: from nothing, or from where an earlier one was, to its end. */
#include "base/cleanup.h"
#include "base/daemonize.h"
#include "base/log.h"
#include "base/pidfile.h"
#include "base/socket.h"
#include "daemon/adopt.h"
#include "daemon/daemon.h"
#include "daemon/event.h"
#include "daemon/holder.h"
#include "daemon/listener.h"
#include "daemon/posix.h"
#include "daemon/recover.h"
#include "daemon/takeover.h"
#include "keeper/place.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define MODULE "daemon.life"

/* In place of an exit code: another process of this service serves, and nothing is to be done. */
#define HANDED_OVER (-1)

static const char *stock_pid_file(const struct daemon *d)
{
        return d->arguments.pid_file ? d->arguments.pid_file : d->paths.virtlockd_pid_file;
}

static int fail(enum exit_code code, const struct hf_error *err)
{
        hf_log(HF_LOG_ERROR, MODULE, "%s", err->text);
        return code;
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
        int n = hf_keeper_listen_fds(d->keeper), r;
        bool passed = hf_listeners_are_passed(&d->paths, n, true);
        struct hf_peer peer;

        /* A stock virtlockd may be started for those that were not passed to us, at any time. */
        if (!passed && hf_listeners_are_passed(&d->paths, n, false))
                return 0;
        r = hf_pidfile_take(stock_pid_file(d), hf_keeper_pid(d->keeper), &d->area->stock_pid_fd,
                            err);
        if (r == -EBUSY && !d->arguments.pid_file) {
                hf_log(HF_LOG_WARNING, MODULE,
                       "%s; serving on %s only, stock clients stay with that daemon", err->text,
                       d->paths.socket);
                return 0;
        }
        if (r < 0)
                return r;
        /* Behind a socket that systemd has opened there is nobody but us. */
        if (passed)
                return 1;
        r = hf_socket_probe(d->paths.virtlockd_socket, &peer, err);
        if (r <= 0)
                return r < 0 ? r : 1;
        hf_log(HF_LOG_WARNING, MODULE,
               "a live daemon (pid %d) serves %s; serving on %s only, stock clients stay with that "
               "daemon",
               (int)peer.pid, d->paths.virtlockd_socket, d->paths.socket);
        hf_pidfile_drop(stock_pid_file(d), d->area->stock_pid_fd);
        d->area->stock_pid_fd = -1;
        return 0;
}

static int open_sockets(struct daemon *d, bool with_virtlockd, struct hf_error *err)
{
        int passed = hf_listeners_activated(d->server, &d->paths, hf_keeper_listen_fds(d->keeper),
                                            err);

        if (passed < 0)
                return passed;
        return hf_listeners_open(d->server, &d->paths, with_virtlockd && passed == 0, err);
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

/* The table is the server's, on success. */
static int make_server(struct daemon *d, struct hf_table *table, struct hf_error *err)
{
        int r = sd_event_default(&d->event);

        if (r < 0)
                return hf_error_sys(err, -r, "cannot make an event loop");
        /* Where nobody could go on for this process, none is made for it either. */
        r = hf_server_new(d->event, &d->config, d->arguments.unsupervised ? NULL : d->keeper, table,
                          d->area, &d->server, err);
        if (r < 0)
                return r;
        d->leaving_place = (struct hf_leaving_place){.handover_file = d->paths.virtlockd_handover,
                                                     .state_file = d->paths.state_file,
                                                     .config = d->arguments.config,
                                                     .pid_file = d->arguments.pid_file,
                                                     .verbose = d->arguments.verbose,
                                                     .timeout = d->arguments.timeout};
        d->server->leaving_place = &d->leaving_place;
        d->server->idle_timeout = (uint64_t)d->arguments.timeout * 1000000;
        d->server->pids[0] = hf_keeper_pid(d->keeper);
        d->server->pids[1] = getpid();
        hf_holder_know_self(d->server);
        return 0;
}

/*
 * The kernel stores receipts into this memory, and a page that has to be brought
 * back first is one that may not be there when the server is killed.
 */
static void lock_memory(struct daemon *d)
{
        int r = mlock2(d->area, hf_keeper_area_size(d->keeper), MLOCK_ONFAULT) < 0 ? -errno : 0;

        if (r >= 0)
                r = hf_table_lock_memory(d->server->table);
        if (r < 0)
                hf_log(d->paths.privileged ? HF_LOG_WARNING : HF_LOG_INFO, MODULE,
                       "cannot lock the state in memory: %s (RLIMIT_MEMLOCK?); while this machine "
                       "swaps, a kill of the server may cost a client its answer",
                       strerrordesc_np(-r));
}

/* The same beside a daemon of ours that lives, whose state file stays as it is. */
static int make_kept_nowhere(struct daemon *d, struct hf_error *err)
{
        hf_cleanup_table struct hf_table *table = NULL;
        int r = hf_table_new(&table);

        if (r < 0)
                return hf_error_sys(err, -r, "cannot make the lock table");
        r = make_server(d, table, err);
        if (r >= 0)
                (void)hf_steal_ptr(table);
        return r;
}

static int make_empty_server(struct daemon *d, struct hf_error *err)
{
        hf_cleanup_table struct hf_table *table = NULL;
        int r = hf_recover_table(d->paths.state_file, &table);

        if (r < 0)
                return hf_error_sys(err, -r, "cannot make the lock table");
        r = make_server(d, table, err);
        if (r >= 0)
                (void)hf_steal_ptr(table);
        return r;
}

/* From here on a successor goes on where this server is. */
static void complete(struct daemon *d)
{
        d->area->table_fd = hf_table_fd(d->server->table);
        d->area->table_is_kept = hf_table_is_kept(d->server->table);
        hf_area_complete(d->area);
        hf_keeper_ready(d->keeper);
}

static int on_reload(void *data, struct hf_error *err)
{
        return daemon_reload(data, err);
}

static int on_part(void *data)
{
        struct hf_server *server = ((struct daemon *)data)->server;

        hf_work_end_askers(server);
        return hf_posix_get_alone(server);
}

static void on_leave(void *data, bool stays)
{
        const struct daemon *d = data;

        hf_adoption_leave(d->keeper, d->area, d->server->table, stays);
}

/* Makes the loop act on signals, and on the end of the supervisor. */
static int handle_signals(struct daemon *d, struct hf_error *err)
{
        static const struct hf_keeper_signal_ops ops = {on_reload, on_part, on_leave};

        d->signals = (struct hf_keeper_signals){
                .keeper = d->keeper, .event = d->event, .ops = &ops, .data = d};
        return hf_keeper_handle_signals(&d->signals, err);
}

/*
 * A first server that was killed may have moved locks into a parking lot that is known
 * to the service manager alone: that passes it to a program that it starts.
 */
static bool has_to_be_started_anew(const struct daemon *d)
{
        return getenv("NOTIFY_SOCKET") && hf_keeper_last_status(d->keeper);
}

/*
 * The places of our own. A daemon that takes over goes on without what it cannot have: there is no
 * way back from here that is better.
 */
static bool claim_own_place(struct daemon *d)
{
        struct hf_error error;

        if (make_run_dirs(d, &error) >= 0 &&
            hf_pidfile_take(d->paths.pid_file, hf_keeper_pid(d->keeper), &d->area->pid_fd,
                            &error) >= 0)
                return true;
        hf_log(HF_LOG_ERROR, MODULE,
               "%s: serving the clients of virtlockd alone, and taking no lock again after an end "
               "of this daemon",
               error.text);
        return false;
}

static int take_over(struct daemon *d, struct hf_error *err)
{
        bool own = claim_own_place(d);
        struct hf_takeover done;
        char text[256];
        int r;

        r = own ? make_empty_server(d, err) : make_kept_nowhere(d, err);
        if (r >= 0)
                r = handle_signals(d, err);
        if (r >= 0)
                r = hf_takeover_apply(d->server, &d->stock, &done, err);
        if (r < 0)
                return r;
        if (hf_pidfile_take(stock_pid_file(d), hf_keeper_pid(d->keeper), &d->area->stock_pid_fd,
                            err) < 0)
                hf_log(HF_LOG_ERROR, MODULE, "%s", err->text);
        lock_memory(d);
        if (own) {
                hf_leaving_forget(&d->leaving_place);
                hf_listeners_add_own(d->server, &d->paths);
                hf_recover(d->server, d->paths.state_file);
        }
        complete(d);
        (void)unlink(d->paths.virtlockd_handover);
        (void)snprintf(text, sizeof(text),
                       "took over from virtlockd, with %u locks of %u VMs and %u clients",
                       done.locks, done.vms, done.clients);
        hf_event_of_start(d->server, HF_LOG_INFO, text);
        return 0;
}

/* Closes nothing, and ends the program's whole try: see give_back in main.c. */
static int begin_taking_over(struct daemon *d)
{
        struct hf_error error = {0};

        hf_area_init(d->area, hf_keeper_area_size(d->keeper));
        if (daemon_apply_log(d, &error) < 0)
                hf_log(HF_LOG_ERROR, MODULE, "%s", error.text);
        if (take_over(d, &error) >= 0)
                return EXIT_OK;
        hf_log(HF_LOG_ERROR, MODULE, "cannot take over from virtlockd: %s", error.text);
        _exit(EXIT_HANDOVER);
}

static int begin_anew(struct daemon *d)
{
        struct hf_error error = {0};
        int r, with_virtlockd;

        hf_area_init(d->area, hf_keeper_area_size(d->keeper));
        d->area->report_fd = d->report_fd;
        if (daemon_apply_log(d, &error) < 0)
                return fail(EXIT_OTHER, &error);
        if (has_to_be_started_anew(d)) {
                (void)hf_error_set(&error, EINTR, HF_ERR_INTERNAL, HF_FROM_NONE,
                                   "a server was killed before it had all locks again; ending, to "
                                   "be started anew by the service manager");
                return fail(EXIT_INIT, &error);
        }
        if (make_run_dirs(d, &error) < 0)
                return fail(EXIT_RUN_DIR, &error);
        r = hf_keeper_take_place(d->paths.pid_file, hf_keeper_pid(d->keeper), &d->area->pid_fd,
                                 &error);
        if (r != 0)
                return r < 0 ? fail(EXIT_OTHER, &error) : HANDED_OVER;
        with_virtlockd = claim_virtlockd(d, &error);
        if (with_virtlockd < 0)
                return fail(EXIT_OTHER, &error);
        if (make_empty_server(d, &error) < 0)
                return fail(EXIT_INIT, &error);
        if (handle_signals(d, &error) < 0)
                return fail(EXIT_SIGNALS, &error);
        if (open_sockets(d, with_virtlockd, &error) < 0)
                return fail(EXIT_NETWORK, &error);
        lock_memory(d);
        (void)hf_leaving_restore(&d->leaving_place);
        hf_recover(d->server, d->paths.state_file);
        complete(d);
        hf_event_of_start(d->server, HF_LOG_INFO, "the daemon was started");
        return EXIT_OK;
}

static void say_why(const struct daemon *d)
{
        int status = hf_keeper_last_status(d->keeper);
        int error = hf_keeper_upgrade_error(d->keeper);
        char why[256];

        switch (hf_keeper_start(d->keeper)) {
        case HF_KEEPER_UPGRADED:
                hf_event_of_start(d->server, HF_LOG_INFO, "upgraded to " HF_VERSION);
                break;
        case HF_KEEPER_HEIR:
                hf_event_of_start(d->server, HF_LOG_INFO, "replaced the supervisor");
                break;
        default:
                if (error)
                        (void)snprintf(why, sizeof(why),
                                       "serving on as before: cannot execute the program that is "
                                       "installed now: %s",
                                       strerrordesc_np(error));
                else if (hf_keeper_last_hung(d->keeper))
                        (void)snprintf(why, sizeof(why), "replaced a server that did not move");
                else
                        (void)snprintf(why, sizeof(why),
                                       "replaced a server that was ended by signal %d",
                                       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
                hf_event_of_start(d->server, HF_LOG_ERROR, why);
        }
}

/* The supervisor may be another one now. */
static void rewrite_pid_file(const struct daemon *d, const char *path, int fd)
{
        int r = hf_pidfile_rewrite(path, fd, hf_keeper_pid(d->keeper));

        if (r < 0)
                hf_log(HF_LOG_ERROR, MODULE, "cannot write the pid %d into %s: %s",
                       (int)hf_keeper_pid(d->keeper), path, strerrordesc_np(-r));
}

static int adopt(struct daemon *d, struct hf_adoption *adoption, struct hf_error *err)
{
        int r = make_server(d, hf_adoption_table(adoption), err);

        if (r >= 0)
                r = handle_signals(d, err);
        if (r >= 0)
                hf_posix_find(d->server);
        if (r >= 0)
                r = hf_adoption_apply(adoption, d->server, err);
        if (r < 0)
                return r;
        lock_memory(d);
        hf_adoption_leave(d->keeper, d->area, d->server->table, false);
        rewrite_pid_file(d, d->paths.pid_file, d->area->pid_fd);
        rewrite_pid_file(d, stock_pid_file(d), d->area->stock_pid_fd);
        hf_posix_look(d->server);
        hf_leaving_undo(d->server);
        hf_keeper_ready(d->keeper);
        say_why(d);
        hf_adoption_resume(d->server);
        return 0;
}

/* The settings may have changed since the supervisor began; if they are wrong now, its own stand.
 */
static void read_settings(struct daemon *d)
{
        struct hf_error error = {0};

        if (daemon_reload(d, &error) >= 0)
                return;
        (void)daemon_apply_log(d, NULL);
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

static void go_on(struct daemon *d)
{
        struct hf_adoption *adoption;
        struct hf_error error = {0};
        int r = hf_adoption_new(d->keeper, d->area, hf_keeper_area_size(d->keeper), &adoption);

        read_settings(d);
        if (r < 0)
                (void)hf_error_sys(&error, -r, "cannot go on with what the last server had");
        else
                r = adopt(d, adoption, &error);
        if (r < 0)
                die(&error);
        hf_adoption_free(adoption);
}

/*
 * Who waits is told once. The number is free afterwards, for all servers to come: it
 * is the area that knows of it, as what the supervisor remembers goes stale.
 */
static void report(struct daemon *d, int status)
{
        int fd = d->area->report_fd;

        hf_daemonize_report(fd, status);
        d->area->report_fd = -1;
        atomic_signal_fence(memory_order_seq_cst);
        if (fd >= 0)
                (void)close(fd);
}

static int serve(struct daemon *d)
{
        int r;

        hf_server_reserve(d->server);
        hf_server_check_idle(d->server);
        (void)sd_notifyf(0, "READY=1\nMAINPID=%d", (int)hf_keeper_pid(d->keeper));
        report(d, EXIT_OK);
        hf_log(HF_LOG_INFO, MODULE, "serving");
        r = sd_event_loop(d->event);
        hf_keeper_end(d->keeper);
        (void)sd_notify(0, "STOPPING=1");
        hf_posix_park_all(d->server);
        hf_recover_leave(d->server, d->paths.state_file);
        return r < 0 ? EXIT_OTHER : EXIT_OK;
}

static void clear(struct daemon *d)
{
        if (d->server)
                hf_listeners_close(d->server);
        d->server = hf_server_free(d->server);
        d->event = sd_event_unref(d->event);
        hf_pidfile_drop(stock_pid_file(d), d->area->stock_pid_fd);
        hf_pidfile_drop(d->paths.pid_file, d->area->pid_fd);
        hf_config_clear(&d->config);
        hf_paths_clear(&d->paths);
        hf_log_close();
}

int daemon_live(struct hf_keeper *keeper, void *data)
{
        struct daemon *d = data;
        int status = EXIT_OK;

        d->keeper = keeper;
        d->area = hf_keeper_area(keeper);
        (void)umask(0022);
        raise_descriptor_limit();
        if (hf_area_is_complete(d->area))
                go_on(d);
        else
                status = d->takes_over ? begin_taking_over(d) : begin_anew(d);
        if (status == EXIT_OK)
                status = serve(d);
        else if (status == HANDED_OVER)
                status = EXIT_OK;
        report(d, status);
        clear(d);
        return status;
}
