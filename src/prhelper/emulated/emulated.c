/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The emulated backend: reads the unit's state under the store's lock, lets the model judge, keeps
 * the new state, and answers only then. What cannot be read or kept is answered as a unit that
 * cannot be talked to (B/08/00), never as good: the guest tries again or gives up, and knows it.
 *
 * What it cannot do: reads and writes go from the VMM to the disk without us, so nobody is kept off
 * it. The reservations are an agreement among those who ask.
 */

#include "prhelper/backend.h"
#include "prhelper/emulated/power.h"
#include "prhelper/emulated/store.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <fcntl.h>
#include <string.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

struct emulated {
        const struct hf_pr_store_ops *ops;
        const char *place;         /* the settings' */
        struct hf_pr_store *store; /* NULL: to be opened with the next command */
        bool found;                /* it was there once, and is not to be begun anew */
        char boot[HF_PR_BOOT_MAX];
};

static int read_boot(char ret[static HF_PR_BOOT_MAX], struct hf_error *err)
{
        hf_cleanup_fd int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, ret, HF_PR_BOOT_MAX - 1);

        if (n < 0)
                return hf_error_sys(err, errno, "%s", BOOT_ID);
        ret[n] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
        return 0;
}

/*
 * The store itself is opened with the first command, and as often as that takes: it may be away.
 * One that goes away under a guest is not made again: what the guest was answered is not in it.
 */
static int emulated_start(const struct hf_pr_settings *settings, void **ret, struct hf_error *err)
{
        hf_cleanup_free struct emulated *emulated = calloc(1, sizeof(*emulated));
        int result;

        if (!emulated)
                return hf_error_sys(err, ENOMEM, "the emulated reservations");
        if (!settings->database == !settings->directory)
                return hf_error_set(err, EINVAL, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_LOCKSPACE,
                                    "emulated reservations need either emulation_database or "
                                    "emulation_dir");
        emulated->ops = settings->database ? &hf_pr_store_sqlite : &hf_pr_store_files;
        emulated->place = settings->database ? settings->database : settings->directory;
        result = read_boot(emulated->boot, err);
        if (result < 0)
                return result;
        *ret = hf_steal_ptr(emulated);
        return 0;
}

/* One try: as far as the state that shall be kept. 1: write is needed, and was not asked for. */
static int attempt(const struct emulated *emulated, const struct hf_pr_request *request, bool write,
                   struct hf_scsi_result *result, struct hf_error *note)
{
        hf_cleanup(hf_pr_state_clear) struct hf_pr_state state = {0};
        uint64_t now = hf_clock_nsec(CLOCK_REALTIME) / 1000000000;
        bool changed;
        int answer;

        answer = emulated->ops->begin(emulated->store, request->unit, write, &state, note);
        if (answer < 0)
                return answer;
        changed = hf_pr_power_before(&state, request->nexus, emulated->boot);
        answer = hf_pr_model(&state, request->nexus, now, request->cdb, request->data, result);
        if (answer < 0)
                (void)hf_error_sys(note, -answer, "%s", request->unit);
        changed = changed || answer > 0;
        hf_pr_power_after(&state, request->nexus, emulated->boot);
        if (answer >= 0 && changed && write)
                answer = emulated->ops->commit(emulated->store, request->unit, &state, note);
        else if (answer >= 0)
                answer = changed;
        emulated->ops->end(emulated->store);
        return answer;
}

static int execute(struct emulated *emulated, const struct hf_pr_request *request,
                   struct hf_scsi_result *result, struct hf_error *note)
{
        int answer = 0;

        if (!emulated->store)
                answer = emulated->ops->open(emulated->place, !emulated->found, &emulated->store,
                                             note);
        if (answer == 0)
                emulated->found = true;
        if (answer == 0)
                answer = attempt(emulated, request, request->cdb[0] == HF_PR_OUT, result, note);
        /* An IN command mostly only looks; one that fetches a message has to keep that. */
        if (answer > 0)
                answer = attempt(emulated, request, true, result, note);
        if (answer < 0 && answer != -EBUSY) {
                emulated->ops->close(emulated->store);
                emulated->store = NULL;
        }
        return answer;
}

static int emulated_execute(void *state, const struct hf_pr_request *request,
                            struct hf_scsi_result *result, struct hf_error *note)
{
        if (!request->unit || !request->nexus || !*request->nexus) {
                (void)hf_error_set(note, EPERM, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                   "it is not known which VM asks, and as one initiator several "
                                   "would get what one has reserved");
                hf_scsi_refuse(result, HF_SENSE_ILLEGAL_REQUEST, HF_ASC_INVALID_OPCODE);
        } else if (execute(state, request, result, note) < 0) {
                hf_scsi_refuse(result, HF_SENSE_ABORTED_COMMAND, HF_ASC_LUN_COMMUNICATION_FAILURE);
        }
        return 1;
}

const struct hf_pr_backend hf_pr_emulated = {
        .name = "emulated",
        .stage = HF_PR_STAGE_EMULATED,
        .start = emulated_start,
        .execute = emulated_execute,
};
