/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/qmp.h"

#include "base/cleanup.h"
#include "vm/qemu-opts.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Answers are flat, or nearly so. */
#define DEPTH_MAX 8

/* What is waited for, in this order. */
enum step { GREETING, CAPABILITIES, STATUS, COMMAND, STATUS_AGAIN, JOBS, EXPORTS };

/* Ids, by which an answer is known to be that of this step. */
static const char *const ids[] = {
        [CAPABILITIES] = "holdfast-1", [STATUS] = "holdfast-2", [COMMAND] = "holdfast-3",
        [STATUS_AGAIN] = "holdfast-4", [JOBS] = "holdfast-5",   [EXPORTS] = "holdfast-6",
};

#define SEND(name, id) "{\"execute\": \"" name "\", \"id\": \"" id "\"}\n"

static const char *const goals[] = {
        [HF_QMP_STOP] = SEND("stop", "holdfast-3"),
        [HF_QMP_CONT] = SEND("cont", "holdfast-3"),
        [HF_QMP_QUIT] = SEND("quit", "holdfast-3"),
        [HF_QMP_SETTLE] = SEND("stop", "holdfast-3"),
        [HF_QMP_RESUME] = SEND("cont", "holdfast-3"),
        [HF_QMP_CHARDEVS] = SEND("query-chardev", "holdfast-3"),
};

/* A goal that is one command, whatever the VM's state. */
static bool is_simple(const struct hf_qmp *qmp)
{
        return qmp->goal == HF_QMP_QUIT || qmp->goal == HF_QMP_CHARDEVS ||
               qmp->goal == HF_QMP_BREAK;
}

static const char *command_of(const struct hf_qmp *qmp)
{
        switch (qmp->step) {
        case CAPABILITIES:
                return SEND("qmp_capabilities", "holdfast-1");
        case STATUS:
                return SEND("query-status", "holdfast-2");
        case COMMAND:
                return qmp->goal == HF_QMP_BREAK ? qmp->command : goals[qmp->goal];
        case STATUS_AGAIN:
                return SEND("query-status", "holdfast-4");
        case JOBS:
                return SEND("query-jobs", "holdfast-5");
        default:
                return SEND("query-block-exports", "holdfast-6");
        }
}

void hf_qmp_begin(struct hf_qmp *qmp, enum hf_qmp_goal goal)
{
        qmp->goal = goal;
        qmp->state = HF_QMP_TALKING;
        qmp->commanded = false;
        qmp->step = GREETING;
        qmp->used = 0;
        qmp->skipping = false;
        qmp->chardevs = NULL;
        qmp->command[0] = '\0';
}

void hf_qmp_begin_chardevs(struct hf_qmp *qmp, struct hf_qmp_chardevs *ret)
{
        hf_qmp_begin(qmp, HF_QMP_CHARDEVS);
        qmp->chardevs = ret;
}

/* What QEMU takes as an id, and makes up itself; nothing in it means anything in JSON. */
static bool is_label(const char *text)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789-._#/";
        size_t len = strlen(text);

        return len > 0 && len <= HF_QMP_NAME_MAX && strspn(text, allowed) == len;
}

void hf_qmp_begin_break(struct hf_qmp *qmp, const char *label)
{
        hf_qmp_begin(qmp, HF_QMP_BREAK);
        if (!is_label(label)) {
                qmp->state = HF_QMP_FAILED;
                return;
        }
        (void)snprintf(qmp->command, sizeof(qmp->command),
                       "{\"execute\": \"chardev-send-break\", \"arguments\": {\"id\": \"%s\"}, "
                       "\"id\": \"holdfast-3\"}\n",
                       label);
}

const char *hf_qmp_chardev_pty(const struct hf_qmp_chardev *chardev)
{
        static const char prefix[] = "pty:/";

        return strncmp(chardev->filename, prefix, strlen(prefix)) ? NULL
                                                                  : strchr(chardev->filename, '/');
}

/* ---- one line ---- */

/* NULL: no object. */
static struct json_object *parse(const char *line, size_t len)
{
        struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
        struct json_object *object;

        if (!tokener)
                return NULL;
        object = json_tokener_parse_ex(tokener, line, (int)len);
        json_tokener_free(tokener);
        if (object && !json_object_is_type(object, json_type_object)) {
                (void)json_object_put(object);
                return NULL;
        }
        return object;
}

static struct json_object *member(struct json_object *object, const char *key)
{
        struct json_object *value = NULL;

        return json_object_object_get_ex(object, key, &value) ? value : NULL;
}

static bool has_id(struct json_object *object, const char *id)
{
        struct json_object *value = member(object, "id");

        return value && json_object_is_type(value, json_type_string) &&
               !strcmp(json_object_get_string(value), id);
}

/*
 * States of a VM whose processors run, or will without anybody saying so: at the end of
 * a migration to here, when its guest wakes up, after a snapshot.
 */
static bool is_active(const char *status)
{
        static const char *const active[] = {"running", "inmigrate",  "suspended", "finish-migrate",
                                             "save-vm", "restore-vm", "colo"};

        for (size_t i = 0; i < HF_ARRAY_LEN(active); i++)
                if (!strcmp(status, active[i]))
                        return true;
        return false;
}

/* NULL: it says no status. */
static const char *status_of(struct json_object *answer)
{
        struct json_object *status = member(answer, "status");

        return status && json_object_is_type(status, json_type_string)
                       ? json_object_get_string(status)
                       : NULL;
}

static bool is_to_stop(const struct hf_qmp *qmp)
{
        return qmp->goal == HF_QMP_STOP || qmp->goal == HF_QMP_SETTLE;
}

static enum hf_qmp_state judge_before(const struct hf_qmp *qmp, const char *status)
{
        bool active = is_active(status);

        if (is_to_stop(qmp))
                return active ? HF_QMP_TALKING : HF_QMP_ALREADY;
        /* A migration to here waits for "cont" where it was stopped. */
        if (!strcmp(status, "paused") || !strcmp(status, "inmigrate"))
                return HF_QMP_TALKING;
        if (qmp->goal == HF_QMP_RESUME && !strcmp(status, "io-error"))
                return HF_QMP_TALKING;
        return active ? HF_QMP_ALREADY : HF_QMP_OTHER;
}

/* A migration to here has the same status whether it starts its VM then or not. */
static enum hf_qmp_state judge_after(const struct hf_qmp *qmp, const char *status)
{
        bool active = is_active(status), comes = !strcmp(status, "inmigrate");

        if (is_to_stop(qmp))
                return active && !comes ? HF_QMP_FAILED : HF_QMP_DONE;
        return active ? HF_QMP_DONE : HF_QMP_OTHER;
}

static void take_status(struct hf_qmp *qmp, struct json_object *answer)
{
        const char *status = status_of(answer);

        if (!status)
                qmp->state = HF_QMP_FAILED;
        else if (qmp->step == STATUS)
                qmp->state = judge_before(qmp, status);
        else
                qmp->state = judge_after(qmp, status);
        /* Of one that is stopped it is still to be asked what else writes. */
        if (qmp->goal == HF_QMP_SETTLE &&
            (qmp->state == HF_QMP_DONE || qmp->state == HF_QMP_ALREADY)) {
                qmp->state = HF_QMP_TALKING;
                qmp->step = STATUS_AGAIN;
        }
}

/* One that has ended stays in the list until somebody takes note of it. */
static bool is_ended(struct json_object *job)
{
        const char *status = json_object_is_type(job, json_type_object) ? status_of(job) : NULL;

        return status && !strcmp(status, "concluded");
}

/* Of jobs and exports: there shall be none. */
static void take_writers(struct hf_qmp *qmp, struct json_object *answer)
{
        if (!json_object_is_type(answer, json_type_array)) {
                qmp->state = HF_QMP_FAILED;
                return;
        }
        for (size_t i = 0; i < json_object_array_length(answer); i++)
                if (qmp->step != JOBS || !is_ended(json_object_array_get_idx(answer, i)))
                        qmp->state = HF_QMP_OTHER;
        if (qmp->state == HF_QMP_TALKING && qmp->step == EXPORTS)
                qmp->state = qmp->commanded ? HF_QMP_DONE : HF_QMP_ALREADY;
}

/* False: it is no text, or too long to be one of ours. */
static bool copy_member(struct json_object *object, const char *key, char *ret)
{
        struct json_object *value = json_object_is_type(object, json_type_object)
                                            ? member(object, key)
                                            : NULL;
        const char *text;

        if (!value || !json_object_is_type(value, json_type_string))
                return false;
        text = json_object_get_string(value);
        if (strlen(text) > HF_QMP_NAME_MAX)
                return false;
        (void)snprintf(ret, HF_QMP_NAME_MAX + 1, "%s", text);
        return true;
}

static void take_chardevs(struct hf_qmp *qmp, struct json_object *answer)
{
        struct hf_qmp_chardevs *found = qmp->chardevs;

        if (!json_object_is_type(answer, json_type_array)) {
                qmp->state = HF_QMP_FAILED;
                return;
        }
        found->n = 0;
        for (size_t i = 0; i < json_object_array_length(answer) && found->n < HF_QMP_CHARDEVS_MAX;
             i++) {
                struct json_object *one = json_object_array_get_idx(answer, i);
                struct hf_qmp_chardev *chardev = &found->list[found->n];

                if (copy_member(one, "label", chardev->label) &&
                    copy_member(one, "filename", chardev->filename))
                        found->n++;
        }
        qmp->state = HF_QMP_DONE;
}

static void take_answer(struct hf_qmp *qmp, struct json_object *answer)
{
        switch (qmp->step) {
        case STATUS:
        case STATUS_AGAIN:
                take_status(qmp, answer);
                return;
        case COMMAND:
                if (qmp->goal == HF_QMP_CHARDEVS)
                        take_chardevs(qmp, answer);
                else if (is_simple(qmp))
                        qmp->state = HF_QMP_DONE;
                return;
        case JOBS:
        case EXPORTS:
                take_writers(qmp, answer);
                return;
        default:
                return;
        }
}

static void advance(struct hf_qmp *qmp)
{
        qmp->step++;
        /* Whatever state a VM is in, it can be ended, or asked for its devices. */
        if (is_simple(qmp) && qmp->step == STATUS)
                qmp->step = COMMAND;
        qmp->commanded |= qmp->step == COMMAND;
}

/* Whether the object is what is waited for. What is not (events, answers to others) is nothing. */
static bool is_awaited(struct hf_qmp *qmp, struct json_object *object)
{
        if (qmp->step == GREETING)
                return member(object, "QMP");
        return has_id(object, ids[qmp->step]) &&
               (member(object, "return") || member(object, "error"));
}

/* Returns whether there is something to be sent. */
static bool take_line(struct hf_qmp *qmp)
{
        hf_cleanup_json struct json_object *object = parse(qmp->line, qmp->used);

        if (!object) {
                qmp->state = HF_QMP_FAILED;
                return false;
        }
        if (!is_awaited(qmp, object))
                return false;
        if (qmp->step != GREETING && !member(object, "return"))
                qmp->state = HF_QMP_FAILED;
        else
                take_answer(qmp, member(object, "return"));
        if (qmp->state != HF_QMP_TALKING)
                return false;
        advance(qmp);
        return true;
}

static bool is_blank(const char *line, size_t len)
{
        return strspn(line, " \t\r") >= len;
}

size_t hf_qmp_feed(struct hf_qmp *qmp, const char *bytes, size_t len, const char **ret_command)
{
        *ret_command = NULL;
        for (size_t i = 0; i < len && qmp->state == HF_QMP_TALKING; i++) {
                bool ends = bytes[i] == '\n', skipped = qmp->skipping;

                if (!ends && qmp->used == sizeof(qmp->line) - 1)
                        qmp->skipping = true;
                else if (!ends)
                        qmp->line[qmp->used++] = bytes[i];
                if (!ends)
                        continue;
                qmp->line[qmp->used] = '\0';
                if (!skipped && !is_blank(qmp->line, qmp->used) && take_line(qmp))
                        *ret_command = command_of(qmp);
                qmp->used = 0;
                qmp->skipping = false;
                if (*ret_command)
                        return i + 1;
        }
        return len;
}

/* ---- the connection ---- */

/* A conversation has begun. */
static void connect_to(struct hf_qmp_link *link, const char *path)
{
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        bool begun = link->talk.state == HF_QMP_TALKING;

        link->talk.state = HF_QMP_FAILED;
        link->fd = -1;
        if (!begun)
                return;
        if (!*path || strlen(path) >= sizeof(name.sun_path))
                return;
        (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
        link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (link->fd < 0)
                return;
        if (connect(link->fd, (const struct sockaddr *)&name, sizeof(name)) < 0)
                hf_qmp_close(link);
        else
                link->talk.state = HF_QMP_TALKING;
}

void hf_qmp_connect(struct hf_qmp_link *link, const char *path, enum hf_qmp_goal goal)
{
        hf_qmp_begin(&link->talk, goal);
        connect_to(link, path);
}

void hf_qmp_connect_chardevs(struct hf_qmp_link *link, const char *path,
                             struct hf_qmp_chardevs *ret)
{
        hf_qmp_begin_chardevs(&link->talk, ret);
        connect_to(link, path);
}

void hf_qmp_connect_break(struct hf_qmp_link *link, const char *path, const char *label)
{
        hf_qmp_begin_break(&link->talk, label);
        connect_to(link, path);
}

static void fail(struct hf_qmp_link *link)
{
        if (link->talk.state == HF_QMP_TALKING)
                link->talk.state = HF_QMP_FAILED;
}

/* A few dozen bytes: what the socket does not take at once no monitor reads. */
static void send_command(struct hf_qmp_link *link, const char *command)
{
        size_t len = strlen(command);

        if (send(link->fd, command, len, MSG_NOSIGNAL) != (ssize_t)len)
                fail(link);
}

/* Reads in one turn: a peer that never stops shall not keep others waiting. */
#define READS_PER_TURN 16

void hf_qmp_serve(struct hf_qmp_link *link)
{
        char bytes[4096];

        for (int i = 0; i < READS_PER_TURN && link->talk.state == HF_QMP_TALKING; i++) {
                ssize_t got = recv(link->fd, bytes, sizeof(bytes), 0);
                const char *command;

                if (got < 0 && (errno == EAGAIN || errno == EINTR))
                        return;
                if (got <= 0) {
                        fail(link);
                        return;
                }
                for (size_t at = 0; at < (size_t)got;) {
                        at += hf_qmp_feed(&link->talk, bytes + at, (size_t)got - at, &command);
                        if (command)
                                send_command(link, command);
                }
        }
}

void hf_qmp_close(struct hf_qmp_link *link)
{
        hf_close_fd(&link->fd);
}
