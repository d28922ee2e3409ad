/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/connection.h"

#include "prhelper/audit.h"
#include "prhelper/broker.h"
#include "prhelper/choose.h"
#include "prhelper/disk.h"
#include "prhelper/remote.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "scsi/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MODULE "prhelper.connection"

int hf_pr_connection_init(struct hf_pr_connection *connection, int fd, int control,
                          const struct hf_pr_settings *settings, const char *vm, const char *socket,
                          const char *host, struct hf_error *err)
{
        struct hf_pr_peer *peer = &connection->peer;
        int r;

        *connection = (struct hf_pr_connection){
                .wire = {.fd = fd, .control = control, .timeout = settings->request_timeout},
                .settings = settings,
        };
        for (int i = 0; i < HF_PR_BACKENDS; i++)
                connection->backends[i] = -1;
        r = hf_pr_peer_of(fd, vm, socket, peer, err);
        if (r < 0)
                return r;
        if (settings->nexus != HF_PR_NEXUS_VM)
                (void)snprintf(connection->nexus, sizeof(connection->nexus), "%s", host);
        else if (*peer->vm)
                (void)snprintf(connection->nexus, sizeof(connection->nexus), "%s/%s", host,
                               peer->vm);
        else if (peer->pid > 0 && peer->start)
                (void)snprintf(connection->nexus, sizeof(connection->nexus),
                               "%s/uid %u pid %d.%llu", host, (unsigned int)peer->uid,
                               (int)peer->pid, (unsigned long long)peer->start);
        return 0;
}

static const char *name_peer(const struct hf_pr_connection *connection, char *text, size_t size)
{
        const struct hf_pr_peer *peer = &connection->peer;

        (void)snprintf(text, size, "%s (pid %d, uid %u%s%s)", *peer->comm ? peer->comm : "?",
                       (int)peer->pid, (unsigned int)peer->uid, *peer->vm ? ", VM " : "", peer->vm);
        return text;
}

static void complain(const struct hf_pr_connection *connection, enum hf_log_level level,
                     const char *what)
{
        char peer[512];

        hf_log(level, MODULE, "%s: %s", name_peer(connection, peer, sizeof(peer)), what);
}

/* ---- carrying out ----------------------------------------------------------------------- */

/* The socket of a backend's process, which is made for the first command that needs it. */
static int open_backend(struct hf_pr_connection *connection, enum hf_pr_backend_id id)
{
        int *socket = &connection->backends[id];
        int r = 0;

        if (*socket < 0)
                r = hf_pr_broker_ask(connection->wire.control, id, socket);
        return r;
}

/* What a device says that has no such command. */
static int refuse(struct hf_scsi_result *result)
{
        hf_scsi_refuse(result, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_OPCODE);
        return 1;
}

static int refuse_backend(struct hf_pr_connection *connection, enum hf_pr_backend_id id,
                          const char *name, struct hf_scsi_result *result)
{
        char text[256];

        (void)snprintf(text, sizeof(text),
                       "refused: the device is for the backend %s, which may not be used here",
                       name);
        if (!connection->refused[id])
                complain(connection, HF_LOG_WARNING, text);
        connection->refused[id] = true;
        return refuse(result);
}

/* Of a process that could not be had now: not what a device says that has no such command. */
static int abort_command(struct hf_scsi_result *result)
{
        hf_scsi_refuse(result, HF_SENSE_ABORTED_COMMAND, HF_ASC_LUN_COMMUNICATION_FAILURE);
        return 1;
}

/* As execute() of a backend. */
static int run(struct hf_pr_connection *connection, enum hf_pr_backend_id id,
               const struct hf_pr_request *request, struct hf_scsi_result *result)
{
        const struct hf_pr_backend *backend = hf_pr_backend_of(id);
        struct hf_error note = {0};
        int r;

        if (!hf_pr_backend_runs(backend, connection->settings))
                return refuse_backend(connection, id, backend->name, result);
        if (backend->stage == HF_PR_STAGE_CONNECTION)
                return backend->execute(NULL, request, result, NULL);
        r = open_backend(connection, id);
        if (r < 0) {
                complain(connection, HF_LOG_WARNING, "a backend's process cannot be had");
                return abort_command(result);
        }
        r = hf_pr_remote_execute(connection->backends[id], request, result, &note);
        if (*note.text)
                complain(connection, HF_LOG_WARNING, note.text);
        if (r < 0) {
                hf_close_fd(&connection->backends[id]);
                return abort_command(result);
        }
        return r;
}

/* The number of the rule that denies, or 0. out: NULL for an IN command. */
static int judge(const struct hf_pr_connection *connection, const struct hf_pr_request *request,
                 const struct hf_pr_out *out)
{
        const struct hf_pr_question question = {.peer = &connection->peer,
                                                .device = &request->st,
                                                .out = out,
                                                .in = hf_pr_in_action(request->cdb)};

        return hf_pr_policy_judge(connection->settings->policy, &question);
}

/* As much as there is of it. Returns whether its keys are there, for the audit. */
static bool read_out(const struct hf_pr_request *request, struct hf_pr_out *ret)
{
        size_t n = hf_pr_length(request->cdb);

        if (hf_pr_out_decode(request->cdb, request->data, n, ret) != HF_PR_FAULT_NONE)
                hf_pr_policy_read(request->cdb, request->data, n, ret);
        return n >= HF_PR_LIST_SIZE;
}

static bool is_read_only(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        return flags < 0 || (flags & O_ACCMODE) == O_RDONLY;
}

/* Returns the backend's name, for the audit. */
static const char *carry_out(struct hf_pr_connection *connection, struct hf_pr_request *request,
                             struct hf_scsi_result *result)
{
        struct hf_pr_choice choice;

        hf_pr_choose(connection->settings, HF_PR_SYSFS, request->fd, &request->st, &choice);
        request->unit = choice.unit;
        if (run(connection, choice.backend, request, result) == 0) {
                choice.backend = HF_PR_BACKEND_SGIO;
                (void)run(connection, HF_PR_BACKEND_SGIO, request, result);
        }
        return hf_pr_backend_of(choice.backend)->name;
}

/*
 * A VMM may end itself over a frame that promises what it did not ask for, so whatever a backend
 * says: data with a good IN alone, and not more than was asked for; sense with its status alone.
 */
static void tidy(const uint8_t *cdb, struct hf_scsi_result *result)
{
        size_t room = cdb[0] == HF_PR_IN ? hf_pr_length(cdb) : 0;

        if (result->status != HF_SCSI_GOOD)
                room = 0;
        if (result->size > room)
                result->size = room;
        if (result->status != HF_SCSI_CHECK_CONDITION)
                memset(result->sense, 0, sizeof(result->sense));
}

static void execute(struct hf_pr_connection *connection, struct hf_pr_request *request,
                    struct hf_scsi_result *result)
{
        bool is_out = request->cdb[0] == HF_PR_OUT, has_keys = false;
        const char *backend = "none";
        struct hf_pr_out out = {0};
        int rule = 0;

        hf_scsi_status(result, HF_SCSI_GOOD);
        if (is_out)
                has_keys = read_out(request, &out);
        if (fstat(request->fd, &request->st) < 0) {
                hf_scsi_refuse(result, HF_SENSE_ABORTED_COMMAND, HF_ASC_IO_PROCESS_TERMINATED);
        } else if (is_out && is_read_only(request->fd)) {
                (void)refuse(result);
        } else {
                rule = judge(connection, request, is_out ? &out : NULL);
                if (rule)
                        (void)refuse(result);
                else
                        backend = carry_out(connection, request, result);
        }
        tidy(request->cdb, result);
        if (is_out)
                hf_pr_audit(&connection->peer, request, backend, has_keys ? &out : NULL, rule,
                            result);
}

/* ---- the dialogue ----------------------------------------------------------------------- */

/* Returns as the calls of wire.h. */
static int negotiate(struct hf_pr_connection *connection)
{
        uint8_t features[HF_HELPER_FEATURES_SIZE] = {0};
        static const uint8_t none[HF_HELPER_FEATURES_SIZE] = {0};
        int r;

        connection->wire.started = (uint64_t)hf_clock_msec(CLOCK_MONOTONIC);
        r = hf_pr_wire_write(&connection->wire, none, sizeof(none), NULL, 0);
        if (r > 0)
                r = hf_pr_wire_read(&connection->wire, features, sizeof(features));
        if (r > 0 && memcmp(features, none, sizeof(none)) != 0)
                r = -EPROTO;
        return r;
}

static int serve_one(struct hf_pr_connection *connection)
{
        uint8_t cdb[HF_PR_CDB_SIZE], data[HF_PR_DATA_MAX], frame[HF_HELPER_ANSWER_SIZE];
        hf_cleanup_fd int fd = -1;
        struct hf_pr_request request = {.cdb = cdb, .data = data, .nexus = connection->nexus};
        struct hf_scsi_result result;
        int r;

        r = hf_pr_wire_read_cdb(&connection->wire, cdb, &fd);
        if (r <= 0)
                return r;
        if (cdb[0] != HF_PR_IN && cdb[0] != HF_PR_OUT)
                return -ENOTSUP;
        if (hf_pr_length(cdb) > sizeof(data))
                return -EMSGSIZE;
        if (cdb[0] == HF_PR_OUT)
                r = hf_pr_wire_read(&connection->wire, data, hf_pr_length(cdb));
        if (r <= 0)
                return r;
        request.fd = fd;
        execute(connection, &request, &result);
        /* Before the answer: then the peer may expect that nobody has its device open. */
        hf_close_fd(&fd);
        hf_helper_answer_encode(&result, frame);
        return hf_pr_wire_write(&connection->wire, frame, sizeof(frame), data, result.size);
}

static const char *explain(int r)
{
        switch (r) {
        case -EPROTO:
                return "asks for features that there are not; closed";
        case -EBADMSG:
                return "sent a command without a descriptor, or with several; closed";
        case -ENOTSUP:
                return "sent another command than PERSISTENT RESERVE; closed";
        case -EMSGSIZE:
                return "sent a command with more than 8192 bytes of data; closed";
        case -ETIMEDOUT:
                return "did not send the rest of a request, or take an answer, in time; closed";
        default:
                return strerrordesc_np(-r);
        }
}

void hf_pr_connection_serve(struct hf_pr_connection *connection)
{
        int r = negotiate(connection);

        while (r > 0)
                r = serve_one(connection);
        if (r < 0)
                complain(connection, r == -ENOTSUP ? HF_LOG_WARNING : HF_LOG_INFO, explain(r));
        for (int i = 0; i < HF_PR_BACKENDS; i++)
                hf_close_fd(&connection->backends[i]);
}
