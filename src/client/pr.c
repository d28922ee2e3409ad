/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/pr.h"

#include "base/cleanup.h"
#include "scsi/sg.h"

#include <fcntl.h>
#include <string.h>

/* A multipath device retries on each of its paths; a minute is more than that takes. */
#define COMMAND_TIMEOUT_MS 60000

#define SOCKET_NAME        "qemu-pr-helper.sock"

_Static_assert(HOLDFAST_PR_DATA_MAX == HF_PR_DATA_MAX && HOLDFAST_PR_CDB_MAX == HF_PR_CDB_SIZE &&
                       HOLDFAST_PR_SENSE_MAX == HF_SENSE_SIZE,
               "public sizes are those inside");
_Static_assert((int)HOLDFAST_PR_WRITE_EXCLUSIVE == (int)HF_PR_WRITE_EXCLUSIVE &&
                       (int)HOLDFAST_PR_EXCLUSIVE_ACCESS == (int)HF_PR_EXCLUSIVE_ACCESS &&
                       (int)HOLDFAST_PR_EXCLUSIVE_ACCESS_ALL == (int)HF_PR_EXCLUSIVE_ACCESS_ALL,
               "public types are SCSI's");

/* The helper has one place for all; HOLDFAST_RUN_DIR moves that as it moves everything. */
static char *default_socket(void)
{
        const char *dir = secure_getenv("HOLDFAST_RUN_DIR");
        char *path;

        return asprintf(&path, "%s/" SOCKET_NAME, dir && *dir == '/' ? dir : HF_RUNSTATEDIR) < 0
                       ? NULL
                       : path;
}

static void pr_closep(struct holdfast_pr **pr)
{
        holdfast_pr_close(*pr);
}

HF_PUBLIC int holdfast_pr_open(const char *socket, unsigned int flags, struct holdfast_pr **ret,
                               struct holdfast_error *err)
{
        hf_cleanup(pr_closep) struct holdfast_pr *pr = NULL;
        int r;

        if (flags & ~HOLDFAST_PR_DIRECT)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "unknown flags %#x", flags);
        if (socket && *socket != '/')
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "\"%s\" is no absolute path of a socket", socket);
        pr = calloc(1, sizeof(*pr));
        if (!pr)
                return hf_fail_no_memory(err);
        pr->fd = -1;
        pr->timeout_ms = COMMAND_TIMEOUT_MS;
        pr->direct = flags & HOLDFAST_PR_DIRECT;
        if (!pr->direct) {
                pr->socket = socket ? strdup(socket) : default_socket();
                if (!pr->socket)
                        return hf_fail_no_memory(err);
                r = hf_pr_helper_connect(pr, err);
                if (r < 0)
                        return r;
        }
        *ret = hf_steal_ptr(pr);
        return 0;
}

HF_PUBLIC void holdfast_pr_close(struct holdfast_pr *pr)
{
        if (!pr)
                return;
        hf_close_fd(&pr->fd);
        free(pr->socket);
        free(pr);
}

HF_PUBLIC void holdfast_pr_set_timeout(struct holdfast_pr *pr, int timeout_ms)
{
        pr->timeout_ms = timeout_ms;
}

/* The kernel asks for no writable descriptor where it trusts the process; a helper does. */
static void run_direct(int fd, const uint8_t cdb[static HF_PR_CDB_SIZE], void *data,
                       struct hf_scsi_result *ret)
{
        int flags = fcntl(fd, F_GETFL);

        if (cdb[0] == HF_PR_OUT && flags >= 0 && (flags & O_ACCMODE) == O_RDONLY)
                hf_scsi_refuse(ret, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_OPCODE);
        else
                hf_sg_pr(fd, cdb, data, ret);
}

int hf_pr_run(struct holdfast_pr *pr, int fd, const uint8_t cdb[static HF_PR_CDB_SIZE], void *data,
              struct hf_scsi_result *ret, struct holdfast_error *err)
{
        int r;

        if (fcntl(fd, F_GETFD) < 0)
                return hf_fail(err, EBADF, HOLDFAST_E_INVALID, "%d is no open descriptor", fd);
        if (pr->direct) {
                run_direct(fd, cdb, data, ret);
                return 0;
        }
        r = hf_pr_helper_connect(pr, err);
        return r < 0 ? r : hf_pr_helper_command(pr, fd, cdb, data, ret, err);
}

static int check_command(const uint8_t *cdb, size_t cdb_size, size_t size,
                         const struct holdfast_pr_result *ret, struct holdfast_error *err)
{
        uint8_t whole[HF_PR_CDB_SIZE] = {0};

        if (!HF_HAS(ret, sense))
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID, "the result has no size");
        if (cdb_size < 10 || cdb_size > HF_PR_CDB_SIZE)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "a command has 10 to %d bytes, not %zu", HF_PR_CDB_SIZE, cdb_size);
        memcpy(whole, cdb, cdb_size);
        if (whole[0] != HF_PR_IN && whole[0] != HF_PR_OUT)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "%#x is no command of persistent reservations", whole[0]);
        if (hf_pr_length(whole) > HF_PR_DATA_MAX || hf_pr_length(whole) > size)
                return hf_fail(err, EINVAL, HOLDFAST_E_INVALID,
                               "the command is for %zu bytes; there are %zu, and %d at most",
                               hf_pr_length(whole), size, HF_PR_DATA_MAX);
        return 0;
}

HF_PUBLIC int holdfast_pr_command(struct holdfast_pr *pr, int fd, const void *cdb, size_t cdb_size,
                                  void *data, size_t size, struct holdfast_pr_result *ret,
                                  struct holdfast_error *err)
{
        uint8_t whole[HF_PR_CDB_SIZE] = {0}, room[HF_PR_DATA_MAX];
        struct hf_scsi_result result = {0};
        size_t length;
        int r = check_command(cdb, cdb_size, size, ret, err);

        if (r < 0)
                return r;
        memcpy(whole, cdb, cdb_size);
        length = hf_pr_length(whole);
        if (whole[0] == HF_PR_OUT && length)
                memcpy(room, data, length);
        r = hf_pr_run(pr, fd, whole, room, &result, err);
        if (r < 0)
                return r;
        ret->status = result.status;
        ret->data_size = whole[0] == HF_PR_IN ? result.size : 0;
        memcpy(ret->sense, result.sense, sizeof(ret->sense));
        if (ret->data_size)
                memcpy(data, room, ret->data_size);
        return 0;
}
