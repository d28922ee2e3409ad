/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/device/nvme.h"

#include "prhelper/device/blockpr.h"
#include "prhelper/device/nvme-translate.h"

#include "base/cleanup.h"

#include <linux/nvme_ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* Admin commands. */
#define IDENTIFY           0x06
#define IDENTIFY_NAMESPACE 0
#define IDENTIFY_SIZE      4096
#define IDENTIFY_RESCAP    31
#define GET_FEATURES       0x0a
#define FEATURE_HOST       0x81
#define EXTENDED           0x01 /* in dword 11, of that feature and of Report */

/* The first part of a Report: most have no more registrants, and any device takes it at once. */
#define FIRST_REPORT 4096

/* One namespace, for one command. */
struct namespace
{
        const struct hf_ioctls *kernel;
        int fd;
        uint32_t id;
};

/* All return the status of the command, or -errno when the kernel did not send it. */
static int send(const struct namespace *ns, unsigned long request,
                struct nvme_passthru_cmd *command)
{
        command->nsid = ns->id;
        return ns->kernel->call(ns->kernel->context, ns->fd, request, command);
}

static int send_plan(const struct namespace *ns, const struct hf_nvme_command *planned)
{
        struct hf_nvme_command copy = *planned;
        struct nvme_passthru_cmd command = {
                .opcode = copy.opcode,
                .cdw10 = copy.cdw10,
                .addr = (uintptr_t)copy.keys,
                .data_len = copy.size,
        };

        return send(ns, NVME_IOCTL_IO_CMD, &command);
}

static int send_report(const struct namespace *ns, bool extended, uint8_t *data, size_t size)
{
        struct nvme_passthru_cmd command = {
                .opcode = HF_NVME_REPORT,
                .cdw10 = (uint32_t)(size / sizeof(uint32_t) - 1),
                .cdw11 = extended ? EXTENDED : 0,
                .addr = (uintptr_t)data,
                .data_len = (uint32_t)size,
        };

        return send(ns, NVME_IOCTL_IO_CMD, &command);
}

/* -EBADMSG: the controller's answer is none. */
static int read_report(const struct namespace *ns, struct hf_nvme_report *ret)
{
        hf_cleanup_free uint8_t *data = calloc(1, HF_NVME_REPORT_SIZE);
        size_t size = FIRST_REPORT;
        bool extended = true;
        int rc;

        if (!data)
                return -ENOMEM;
        rc = send_report(ns, extended, data, size);
        if (rc > 0 && (rc & HF_NVME_STATUS_MASK) == HF_NVME_HOST_INCONSISTENT) {
                extended = false;
                rc = send_report(ns, extended, data, size);
        }
        if (rc != 0)
                return rc;
        rc = hf_nvme_report_size(data, extended);
        if (rc < 0)
                return -EBADMSG;
        if ((size_t)rc > size) {
                size = (size_t)rc;
                rc = send_report(ns, extended, data, size);
                if (rc != 0)
                        return rc;
        }
        return hf_nvme_report_decode(data, size, extended, ret);
}

static int read_rescap(const struct namespace *ns, uint8_t *ret)
{
        uint8_t data[IDENTIFY_SIZE] = {};
        struct nvme_passthru_cmd command = {
                .opcode = IDENTIFY,
                .cdw10 = IDENTIFY_NAMESPACE,
                .addr = (uintptr_t)data,
                .data_len = sizeof(data),
        };
        int rc = send(ns, NVME_IOCTL_ADMIN_CMD, &command);

        if (rc == 0)
                *ret = data[IDENTIFY_RESCAP];
        return rc;
}

static int read_host(const struct namespace *ns, bool extended,
                     uint8_t ret[static HF_NVME_HOST_MAX])
{
        struct nvme_passthru_cmd command = {
                .opcode = GET_FEATURES,
                .cdw10 = FEATURE_HOST,
                .cdw11 = extended ? EXTENDED : 0,
                .addr = (uintptr_t)ret,
                .data_len = extended ? HF_NVME_HOST_MAX : sizeof(uint64_t),
        };

        return send(ns, NVME_IOCTL_ADMIN_CMD, &command);
}

/* Good, or a conflict, by whether this host is registered. */
static int probe(const struct namespace *ns)
{
        hf_cleanup_free struct hf_nvme_report *report = malloc(sizeof(*report));
        uint8_t host[HF_NVME_HOST_MAX] = {};
        int rc;

        if (!report)
                return -ENOMEM;
        rc = read_report(ns, report);
        if (rc == 0)
                rc = read_host(ns, report->extended, host);
        if (rc == 0)
                rc = hf_nvme_report_has(report, host) ? HF_NVME_CONFLICT : 0;
        return rc;
}

static int carry_out(const struct namespace *ns, const struct hf_nvme_plan *plan)
{
        int rc = plan->probe ? probe(ns) : send_plan(ns, &plan->first);

        if (rc <= 0 || (rc & HF_NVME_STATUS_MASK) != HF_NVME_CONFLICT)
                return rc;
        if (plan->absent_is_good)
                return 0;
        return plan->again ? send_plan(ns, &plan->second) : rc;
}

/* Whether pass-through is not for us here, so that nothing has reached the device. */
static bool is_closed(int rc)
{
        return rc == -EPERM || rc == -EACCES || rc == -ENOTTY || rc == -EOPNOTSUPP;
}

static void conclude(int rc, int action, struct hf_scsi_result *result, struct hf_error *note)
{
        if (rc >= 0) {
                hf_nvme_result((unsigned int)rc, action, result);
                return;
        }
        if (rc == -ENOMEM) {
                hf_scsi_status(result, HF_SCSI_BUSY);
                return;
        }
        (void)hf_error_sys(note, -rc, "NVMe reservation command");
        hf_scsi_refuse(result, HF_SENSE_ABORTED_COMMAND, HF_ASC_LUN_COMMUNICATION_FAILURE);
}

static void run_out(const struct namespace *ns, const struct hf_pr_request *request,
                    struct hf_scsi_result *result, struct hf_error *note)
{
        size_t n = hf_pr_length(request->cdb);
        struct hf_nvme_plan plan;
        struct hf_pr_out out;
        enum hf_pr_fault fault;
        int rc;

        fault = hf_pr_out_decode(request->cdb, request->data, n, &out);
        if (fault == HF_PR_FAULT_NONE)
                fault = hf_nvme_plan(&out, n, &plan);
        if (fault != HF_PR_FAULT_NONE) {
                hf_scsi_refuse(result, HF_SENSE_ILLEGAL_REQUEST, (uint16_t)fault);
                return;
        }
        rc = carry_out(ns, &plan);
        if (is_closed(rc))
                hf_blockpr_out(ns->kernel, ns->fd, &out, n, result);
        else
                conclude(rc, out.action, result, note);
}

static void run_in(const struct namespace *ns, const struct hf_pr_request *request,
                   struct hf_scsi_result *result, struct hf_error *note)
{
        hf_cleanup_free struct hf_nvme_report *report = malloc(sizeof(*report));
        unsigned int action = hf_pr_in_action(request->cdb);
        uint8_t rescap = 0;
        int rc;

        rc = report ? read_report(ns, report) : -ENOMEM;
        if (rc == 0 && action == HF_PR_REPORT_CAPABILITIES)
                rc = read_rescap(ns, &rescap);
        if (is_closed(rc)) {
                hf_blockpr_in(ns->kernel, ns->fd, request->cdb, request->data, result);
                return;
        }
        conclude(rc, -1, result, note);
        if (rc != 0)
                return;
        rc = hf_nvme_in(action, report, rescap, request->data, hf_pr_length(request->cdb));
        if (rc >= 0)
                result->size = (size_t)rc;
        else if (rc == -EOPNOTSUPP)
                hf_scsi_refuse(result, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_FIELD_IN_CDB);
        else
                hf_scsi_status(result, HF_SCSI_BUSY);
}

int hf_nvme_execute(const struct hf_ioctls *kernel, const struct hf_pr_request *request,
                    struct hf_scsi_result *result, struct hf_error *note)
{
        struct namespace ns = {.kernel = kernel, .fd = request->fd};
        int id = kernel->call(kernel->context, request->fd, NVME_IOCTL_ID, NULL);

        if (id <= 0)
                return 0;
        ns.id = (uint32_t)id;
        if (request->cdb[0] == HF_PR_IN)
                run_in(&ns, request, result, note);
        else
                run_out(&ns, request, result, note);
        return 1;
}

static int call(void *context, int fd, unsigned long request, void *argument)
{
        int rc = ioctl(fd, request, argument);

        (void)context;
        return rc < 0 ? -errno : rc;
}

static int execute(void *state, const struct hf_pr_request *request, struct hf_scsi_result *result,
                   struct hf_error *note)
{
        const struct hf_ioctls kernel = {.call = call};

        (void)state;
        return hf_nvme_execute(&kernel, request, result, note);
}

const struct hf_pr_backend hf_pr_nvme = {
        .name = "nvme",
        .stage = HF_PR_STAGE_NVME,
        .execute = execute,
};
