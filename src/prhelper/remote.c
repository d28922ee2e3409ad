/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/remote.h"

#include "prhelper/emulated/model.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* A unit's name: settings.c has it shorter. */
#define UNIT_MAX 256

/* Both are sent as they are in memory, by two processes of one program. */
struct question {
        uint8_t cdb[HF_PR_CDB_SIZE];
        char unit[UNIT_MAX]; /* "": none */
        char nexus[HF_PR_NEXUS_MAX];
        uint8_t data[HF_PR_DATA_MAX]; /* cut behind the list */
};

struct answer {
        int verdict;
        uint8_t status;
        size_t size;
        uint8_t sense[HF_SENSE_SIZE];
        char note[HF_ERROR_TEXT_MAX];
        uint8_t data[HF_PR_DATA_MAX]; /* cut behind the data */
};

#define QUESTION_HEAD offsetof(struct question, data)
#define ANSWER_HEAD   offsetof(struct answer, data)

static size_t list_size(const uint8_t *cdb)
{
        size_t n = cdb[0] == HF_PR_OUT ? hf_pr_length(cdb) : 0;

        return n < HF_PR_DATA_MAX ? n : HF_PR_DATA_MAX;
}

static int failed(struct hf_error *note, const char *what)
{
        return hf_error_set(note, EIO, HF_ERR_INTERNAL, HF_FROM_NONE, "%s", what);
}

/* ---- in the connection's process --------------------------------------------------------- */

static int ask(int socket, const struct hf_pr_request *request)
{
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = {0};
        struct question question = {0};
        size_t n = list_size(request->cdb);
        struct iovec piece = {.iov_base = &question, .iov_len = QUESTION_HEAD + n};
        struct msghdr message = {.msg_iov = &piece,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof(control.bytes)};
        struct cmsghdr *cargo = CMSG_FIRSTHDR(&message);
        ssize_t sent;

        memcpy(question.cdb, request->cdb, HF_PR_CDB_SIZE);
        memcpy(question.data, request->data, n);
        (void)snprintf(question.unit, sizeof(question.unit), "%s",
                       request->unit ? request->unit : "");
        (void)snprintf(question.nexus, sizeof(question.nexus), "%s", request->nexus);
        cargo->cmsg_level = SOL_SOCKET;
        cargo->cmsg_type = SCM_RIGHTS;
        cargo->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cargo), &request->fd, sizeof(int));
        do
                sent = sendmsg(socket, &message, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        return sent < 0 ? -errno : 0;
}

int hf_pr_remote_execute(int socket, const struct hf_pr_request *request,
                         struct hf_scsi_result *result, struct hf_error *note)
{
        struct answer answer;
        ssize_t n;

        if (ask(socket, request) < 0)
                return failed(note, "the backend's process is gone");
        do
                n = recv(socket, &answer, sizeof(answer), 0);
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return failed(note, "the backend's process ended over this command");
        if ((size_t)n < ANSWER_HEAD || answer.size != (size_t)n - ANSWER_HEAD ||
            answer.verdict < 0 || answer.verdict > 1)
                return failed(note, "the backend's process answers nonsense");
        answer.note[sizeof(answer.note) - 1] = '\0';
        if (*answer.note)
                (void)hf_error_set(note, EIO, HF_ERR_INTERNAL, HF_FROM_NONE, "%s", answer.note);
        if (!answer.verdict)
                return 0;
        result->status = answer.status;
        result->size = answer.size;
        memcpy(result->sense, answer.sense, HF_SENSE_SIZE);
        memcpy(request->data, answer.data, answer.size);
        return 1;
}

/* ---- in the backend's ------------------------------------------------------------------- */

/* Returns 1, 0 at the end, or -errno. */
static int hear(int socket, struct question *question, int *ret_fd)
{
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control;
        struct iovec piece = {.iov_base = question, .iov_len = sizeof(*question)};
        struct msghdr message = {.msg_iov = &piece,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof(control.bytes)};
        struct cmsghdr *cargo;
        ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);

        if (n <= 0)
                return n == 0 ? 0 : -errno;
        cargo = CMSG_FIRSTHDR(&message);
        if (cargo && cargo->cmsg_type == SCM_RIGHTS && cargo->cmsg_len == CMSG_LEN(sizeof(int)))
                memcpy(ret_fd, CMSG_DATA(cargo), sizeof(int));
        if ((size_t)n < QUESTION_HEAD || (size_t)n != QUESTION_HEAD + list_size(question->cdb))
                return -EBADMSG;
        question->unit[sizeof(question->unit) - 1] = '\0';
        question->nexus[sizeof(question->nexus) - 1] = '\0';
        return *ret_fd < 0 ? -EBADMSG : 1;
}

static void execute(const struct hf_pr_backend *backend, void *state, struct question *question,
                    int fd, struct answer *answer)
{
        struct hf_pr_request request = {.cdb = question->cdb,
                                        .data = question->data,
                                        .fd = fd,
                                        .unit = *question->unit ? question->unit : NULL,
                                        .nexus = question->nexus};
        struct hf_scsi_result result = {0};
        struct hf_error note = {0};

        if (fstat(fd, &request.st) < 0) {
                hf_scsi_refuse(&result, HF_SENSE_ABORTED_COMMAND, HF_ASC_IO_PROCESS_TERMINATED);
                answer->verdict = 1;
        } else {
                answer->verdict = backend->execute(state, &request, &result, &note);
        }
        answer->status = result.status;
        answer->size = result.size < HF_PR_DATA_MAX ? result.size : HF_PR_DATA_MAX;
        memcpy(answer->sense, result.sense, HF_SENSE_SIZE);
        memcpy(answer->note, note.text, sizeof(answer->note));
        memcpy(answer->data, question->data, answer->size);
}

static void refuse(const struct hf_error *why, struct answer *answer)
{
        struct hf_scsi_result result;

        hf_scsi_refuse(&result, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_OPCODE);
        answer->verdict = 1;
        answer->status = result.status;
        memcpy(answer->sense, result.sense, HF_SENSE_SIZE);
        (void)snprintf(answer->note, sizeof(answer->note), "%s", why->text);
}

void hf_pr_remote_serve(int socket, const struct hf_pr_backend *backend, void *state,
                        const struct hf_error *start_error)
{
        for (;;) {
                /* Whole, for each command: nothing of one connection's past goes into an answer. */
                struct question question = {0};
                struct answer answer = {0};
                hf_cleanup_fd int fd = -1;
                int r = hear(socket, &question, &fd);

                if (r == -EINTR)
                        continue;
                if (r <= 0)
                        return;
                if (start_error)
                        refuse(start_error, &answer);
                else
                        execute(backend, state, &question, fd, &answer);
                hf_close_fd(&fd);
                if (send(socket, &answer, ANSWER_HEAD + answer.size, MSG_NOSIGNAL) < 0)
                        return;
        }
}
