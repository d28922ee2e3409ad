/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/leaving.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/program.h"
#include "daemon/area.h"
#include "daemon/dispatch.h"
#include "daemon/parking.h"
#include "daemon/takeover.h"
#include "daemon/work-private.h"
#include "keeper/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MODULE "daemon.leaving"

/* Requests are answered by then, or something is the matter with one. */
#define QUIET_USEC (5 * 1000000ULL)

/* How soon it is looked again whether they are. */
#define LOOK_USEC 10000

/* A program that says its version at all has said it by then, also on a machine that is busy. */
#define VERSION_NSEC (8 * 1000000000ULL)

struct leaving {
        struct hf_session *session; /* who asks */
        char *program;
        uint64_t until;
        sd_event_source *timer;
};

static struct leaving *leaving_free(struct leaving *leaving)
{
        if (!leaving)
                return NULL;
        (void)sd_event_source_disable_unref(leaving->timer);
        free(leaving->program);
        free(leaving);
        return NULL;
}

static void leaving_freep(struct leaving **leaving)
{
        *leaving = leaving_free(*leaving);
}

#define cleanup_leaving hf_cleanup(leaving_freep)

static char *left_file(const struct hf_leaving_place *place)
{
        char *path;

        return asprintf(&path, "%s.left", place->state_file) < 0 ? NULL : path;
}

/* ---- before ---- */

/* It begins, finds its libraries, and says that it is libvirt's. */
static int check_program(const char *program, struct hf_error *err)
{
        const char *const argv[] = {program, "--version", NULL};
        uint64_t deadline = hf_clock_nsec(CLOCK_MONOTONIC) + VERSION_NSEC;
        struct hf_program_result result;
        int r;

        if (program[0] != '/')
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "\"%s\" is no absolute path", program);
        r = hf_program_run(program, argv, deadline, &result, err);
        if (r < 0)
                return r;
        if (result.status == 0 && strstr(result.text, "virtlockd") &&
            strstr(result.text, "libvirt"))
                return 0;
        return hf_error_set(err, ENOEXEC, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                            "%s does not say that it is libvirt's virtlockd (--version)", program);
}

static int refuse(const struct hf_leaving_reasons *reasons, struct hf_error *err)
{
        return hf_error_set(err, EBUSY, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                            "cannot go back: %s", reasons->text);
}

/* ---- the file ---- */

static int write_whole(const char *path, const char *text, size_t len)
{
        hf_cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                                    0600);
        size_t done = 0;

        if (fd < 0)
                return -errno;
        while (done < len) {
                ssize_t n = write(fd, text + done, len - done);

                if (n < 0 && errno != EINTR)
                        return -errno;
                done += n > 0 ? (size_t)n : 0;
        }
        return 0;
}

static int write_file(struct hf_server *server, const struct hf_stock_state *state,
                      struct hf_error *err)
{
        const char *path = server->leaving_place->handover_file;
        hf_cleanup_free char *text = NULL;
        size_t len;
        int r = hf_stock_encode(state, &text, &len, err);

        if (r < 0)
                return r;
        if (len > HF_STOCK_TEXT_STOCK_MAX)
                return hf_error_set(err, E2BIG, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                    "cannot go back: virtlockd reads no more than %zu bytes of "
                                    "state, and with so many locks there are %zu",
                                    HF_STOCK_TEXT_STOCK_MAX, len);
        (void)unlink(path);
        r = write_whole(path, text, len);
        if (r >= 0)
                return 0;
        (void)unlink(path);
        return hf_error_sys(err, -r, "cannot go back: cannot write %s", path);
}

void hf_leaving_undo(struct hf_server *server)
{
        const struct hf_leaving_place *place = server->leaving_place;

        if (!hf_leaving_restore(place))
                return;
        hf_log(HF_LOG_ERROR, MODULE, "could not go back to virtlockd; serving on as before");
        hf_keeper_watchdog_off(server->works->keeper, false);
        /* They were taken from the service manager. */
        hf_parking_begin(server);
        hf_parking_adopt(server);
}

void hf_leaving_forget(const struct hf_leaving_place *place)
{
        hf_cleanup_free char *left = left_file(place);

        if (left)
                (void)unlink(left);
}

bool hf_leaving_restore(const struct hf_leaving_place *place)
{
        hf_cleanup_free char *left = left_file(place);
        struct stat st;

        if (!left || lstat(left, &st) < 0)
                return false;
        /* virtlockd has read it, and has all since then. */
        if (lstat(place->handover_file, &st) < 0) {
                (void)unlink(left);
                return false;
        }
        (void)rename(left, place->state_file);
        (void)unlink(place->handover_file);
        return true;
}

/* ---- leaving ---- */

/* What virtlockd's own re-exec would execute: its options, as ours. */
static int become(struct hf_server *server, const char *program)
{
        const struct hf_leaving_place *place = server->leaving_place;
        const char *argv[16] = {program};
        char timeout[16];
        size_t n = 1;

        if (place->verbose)
                argv[n++] = "--verbose";
        if (place->timeout > 0) {
                (void)snprintf(timeout, sizeof(timeout), "%d", place->timeout);
                argv[n++] = "--timeout";
                argv[n++] = timeout;
        }
        if (place->config) {
                argv[n++] = "--config";
                argv[n++] = place->config;
        }
        if (place->pid_file) {
                argv[n++] = "--pid-file";
                argv[n++] = place->pid_file;
        }
        return hf_keeper_become(server->works->keeper, argv);
}

/*
 * Nothing is freed: a lock that the service manager keeps is virtlockd's alone then. Returns only
 * where the supervisor is killed meanwhile, with all as it was: then its place is to be taken.
 */
static void go(struct hf_server *server, const struct hf_stock_state *state, const char *program)
{
        hf_cleanup_free char *left = left_file(server->leaving_place);

        if (left)
                (void)rename(server->leaving_place->state_file, left);
        hf_parking_leave(server);
        hf_keeper_watchdog_off(server->works->keeper, true);
        hf_takeover_keep_open(state, true);
        (void)become(server, program);
        hf_takeover_keep_open(state, false);
        hf_leaving_undo(server);
}

static int prepare(struct leaving *leaving, struct hf_stock_state *state, struct hf_error *err)
{
        struct hf_session *session = leaving->session;
        int r = hf_leaving_fill(session->server, session, state);

        if (r < 0)
                return hf_error_sys(err, -r, "cannot go back");
        if (hf_work_get_alone(session->server) < 0)
                return hf_error_set(err, EBUSY, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                    "cannot go back: a process waits for a filesystem with "
                                    "descriptors of ours");
        return write_file(session->server, state, err);
}

/* Who asked is told before; what follows is not its affair. */
static void end(struct leaving *leaving_arg)
{
        hf_cleanup_stock struct hf_stock_state state = {0};
        cleanup_leaving struct leaving *leaving = leaving_arg;
        struct hf_session *session = leaving->session;
        struct hf_server *server = session->server;
        struct hf_error error;
        int r = prepare(leaving, &state, &error);

        session->cancel = NULL;
        session->job = NULL;
        if (r < 0)
                hf_session_answer_error(session, &error);
        else
                hf_session_answer(session, NULL, NULL);
        hf_session_resume(session);
        if (r < 0)
                return;
        hf_log(HF_LOG_INFO, MODULE, "going back to %s, with %zu locks and %zu clients",
               leaving->program, state.n_locks, state.n_clients);
        go(server, &state, leaving->program);
}

static int on_look(sd_event_source *source, uint64_t usec, void *data)
{
        struct leaving *leaving = data;
        struct hf_leaving_reasons reasons;
        struct hf_session *session = leaving->session;
        struct hf_error error;

        (void)usec;
        hf_leaving_look(session->server, session, &reasons);
        if (!reasons.n) {
                end(leaving);
                return 0;
        }
        if (reasons.n == reasons.busy && hf_work_now_usec() < leaving->until) {
                (void)sd_event_source_set_time_relative(source, LOOK_USEC);
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        (void)refuse(&reasons, &error);
        session->cancel = NULL;
        session->job = NULL;
        (void)leaving_free(leaving);
        hf_session_answer_error(session, &error);
        hf_session_resume(session);
        return 0;
}

/* Who asked has left: nobody goes. */
static void cancel(void *job)
{
        (void)leaving_free(job);
}

static int start(struct hf_session *session, const char *program, struct hf_error *err)
{
        cleanup_leaving struct leaving *leaving = calloc(1, sizeof(*leaving));
        int r = leaving ? 0 : -ENOMEM;

        if (r >= 0) {
                leaving->session = session;
                leaving->until = hf_work_now_usec() + QUIET_USEC;
                leaving->program = strdup(program);
                r = leaving->program ? 0 : -ENOMEM;
        }
        /* Behind what is being served in this turn. */
        if (r >= 0)
                r = sd_event_add_time_relative(session->server->event, &leaving->timer,
                                               CLOCK_MONOTONIC, 0, 0, on_look, leaving);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot go back");
        session->cancel = cancel;
        session->job = hf_steal_ptr(leaving);
        return HF_PENDING;
}

int hf_leaving_begin(struct hf_session *session, const char *program, bool dry_run,
                     struct hf_error *err)
{
        struct hf_leaving_reasons reasons;
        int r;

        hf_leaving_look(session->server, session, &reasons);
        if (reasons.n > reasons.busy)
                return refuse(&reasons, err);
        r = check_program(program, err);
        if (r < 0) {
                hf_error_prefix(err, "cannot go back");
                return r;
        }
        return dry_run ? HF_DONE : start(session, program, err);
}
