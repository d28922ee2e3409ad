/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/audit.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <holdfast/messages.h>
#include <string.h>
#include <sys/sysmacros.h>

/* A longer path is cut: the text has to have room for the result, and the number says what it is.
 */
#define PATH_ROOM 512

/* Texts of one message, as long as it is made. */
struct audit {
        char pid[16], uid[16], device[PATH_ROOM + 64], action[32], type[40], key[24], new_key[24];
        char rule[16], result[HF_SCSI_TEXT_MAX];
};

/* The path is for people; what it is, is the number. */
static void name_device(const struct hf_pr_request *request, char *ret, size_t size)
{
        bool device = S_ISBLK(request->st.st_mode) || S_ISCHR(request->st.st_mode);
        char link[64], path[PATH_ROOM];
        ssize_t len;

        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", request->fd);
        len = request->fd < 0 ? -1 : readlink(link, path, sizeof(path) - 1);
        path[len < 0 ? 0 : len] = '\0';
        if (device)
                (void)snprintf(ret, size, "%s%s%u:%u", path, *path ? " " : "",
                               major(request->st.st_rdev), minor(request->st.st_rdev));
        else
                (void)snprintf(ret, size, "%s%sinode %llu of %u:%u", path, *path ? " " : "",
                               (unsigned long long)request->st.st_ino, major(request->st.st_dev),
                               minor(request->st.st_dev));
}

static void name_key(uint64_t key, char *ret, size_t size)
{
        (void)snprintf(ret, size, "0x%llx", (unsigned long long)key);
}

static bool has_type(unsigned int action)
{
        return action == HF_PR_RESERVE || action == HF_PR_RELEASE || action == HF_PR_PREEMPT ||
               action == HF_PR_PREEMPT_AND_ABORT;
}

static void name_action(const struct hf_pr_request *request, struct audit *audit)
{
        unsigned int action = request->cdb[1] & 0x1f, type = request->cdb[2] & 0x0f;
        const char *name = hf_pr_out_name(action), *type_name = hf_pr_type_name(type);

        if (name)
                (void)snprintf(audit->action, sizeof(audit->action), "%s", name);
        else
                (void)snprintf(audit->action, sizeof(audit->action), "action %u", action);
        if (!has_type(action))
                return;
        if (type_name)
                (void)snprintf(audit->type, sizeof(audit->type), "%s", type_name);
        else
                (void)snprintf(audit->type, sizeof(audit->type), "type %u", type);
}

static void make_texts(const struct hf_pr_peer *peer, const struct hf_pr_request *request,
                       const struct hf_pr_out *out, int rule, const struct hf_scsi_result *result,
                       struct audit *ret)
{
        (void)snprintf(ret->pid, sizeof(ret->pid), "%d", peer->pid);
        (void)snprintf(ret->uid, sizeof(ret->uid), "%u", peer->uid);
        name_device(request, ret->device, sizeof(ret->device));
        name_action(request, ret);
        if (out) {
                name_key(out->key, ret->key, sizeof(ret->key));
                name_key(out->new_key, ret->new_key, sizeof(ret->new_key));
        }
        if (rule)
                (void)snprintf(ret->rule, sizeof(ret->rule), "%d", rule);
        hf_scsi_text(result, ret->result);
}

static const char *or_none(const char *text)
{
        return text ? text : "";
}

static void write_text(const struct hf_pr_peer *peer, const struct hf_pr_request *request,
                       const struct hf_pr_out *out, const struct audit *audit, char *ret,
                       size_t size)
{
        char keys[96] = "a list that is none", vm[HF_PR_VM_MAX + 16] = "";

        if (out)
                (void)snprintf(keys, sizeof(keys), "key %s, %s %s%s", audit->key,
                               out->action == HF_PR_PREEMPT ||
                                               out->action == HF_PR_PREEMPT_AND_ABORT
                                       ? "of the victim"
                                       : "new key",
                               audit->new_key, out->aptpl ? ", aptpl" : "");
        if (*peer->vm)
                (void)snprintf(vm, sizeof(vm), ", VM \"%s\"", peer->vm);
        (void)snprintf(ret, size, "%s (pid %s, uid %s%s): %s%s%s on %s%s%s, %s: %s%s%s", peer->comm,
                       audit->pid, audit->uid, vm, audit->action, *audit->type ? " " : "",
                       audit->type, audit->device, request->unit ? " as " : "",
                       or_none(request->unit), keys,
                       *audit->rule ? "denied by rule " : audit->result, audit->rule,
                       *audit->rule ? " of the policy" : "");
}

void hf_pr_audit(const struct hf_pr_peer *peer, const struct hf_pr_request *request,
                 const char *backend, const struct hf_pr_out *out, int rule,
                 const struct hf_scsi_result *result)
{
        enum hf_log_level level = rule ? HF_LOG_WARNING : HF_LOG_INFO;
        struct audit audit = {0};
        char text[HF_LOG_TEXT_MAX];

        if (!hf_log_wants(level, HF_PR_AUDIT_MODULE))
                return;
        make_texts(peer, request, out, rule, result, &audit);
        write_text(peer, request, out, &audit, text, sizeof(text));

        const struct hf_log_field fields[] = {
                {"HOLDFAST_PR_PID", audit.pid},
                {"HOLDFAST_PR_UID", audit.uid},
                {"HOLDFAST_PR_COMM", peer->comm},
                {"HOLDFAST_PR_VM", peer->vm},
                {"HOLDFAST_PR_DEVICE", audit.device},
                {"HOLDFAST_PR_UNIT", or_none(request->unit)},
                {"HOLDFAST_PR_NEXUS", or_none(request->nexus)},
                {"HOLDFAST_PR_BACKEND", or_none(backend)},
                {"HOLDFAST_PR_ACTION", audit.action},
                {"HOLDFAST_PR_TYPE", audit.type},
                {"HOLDFAST_PR_KEY", audit.key},
                {"HOLDFAST_PR_NEW_KEY", audit.new_key},
                {"HOLDFAST_PR_APTPL", out && out->aptpl ? "1" : ""},
                {"HOLDFAST_PR_RULE", audit.rule},
                {"HOLDFAST_PR_RESULT", audit.result},
        };

        hf_log_fields(level, HF_PR_AUDIT_MODULE, HOLDFAST_MESSAGE_PR_OUT, fields,
                      HF_ARRAY_LEN(fields), text);
}
