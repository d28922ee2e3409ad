/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sanlock/killpath.h"

#include "base/clock.h"
#include "base/process.h"
#include "sanlock/talk.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/pidfd.h>

static void did(struct hf_killpath *vm, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

static void did(struct hf_killpath *vm, const char *format, ...)
{
        size_t len = strlen(vm->done);
        va_list args;

        va_start(args, format);
        len += (size_t)snprintf(vm->done + len, sizeof(vm->done) - len, "%s", len ? ", " : "");
        if (len < sizeof(vm->done))
                (void)vsnprintf(vm->done + len, sizeof(vm->done) - len, format, args);
        va_end(args);
}

static bool is_dead(const struct hf_killpath *vm)
{
        return hf_process_pidfd_is_dead(vm->pidfd) != 0;
}

static bool has_ended_within(const struct hf_killpath *vm, int ms)
{
        int64_t end = hf_clock_msec(CLOCK_MONOTONIC) + ms;

        while (!is_dead(vm) && hf_sanlock_talk_wait(vm->pidfd, -1, end))
                ;
        return is_dead(vm);
}

static int64_t since(int64_t begin_ms)
{
        return hf_clock_msec(CLOCK_MONOTONIC) - begin_ms;
}

/* One that is told to quit may hang up before it answers. */
static enum hf_qmp_state talk(struct hf_killpath *vm, enum hf_qmp_goal goal, int ms)
{
        static struct hf_qmp_link link;
        const char *why = hf_sanlock_talk_begin(&vm->note, goal, &link);
        enum hf_qmp_state state;

        if (why) {
                did(vm, "%s", why);
                return HF_QMP_FAILED;
        }
        state = hf_sanlock_talk(&link, vm->pidfd, ms);
        hf_qmp_close(&link);
        if (goal == HF_QMP_QUIT && link.talk.commanded && state == HF_QMP_FAILED)
                return HF_QMP_DONE;
        if (state == HF_QMP_FAILED)
                did(vm, "its monitor did not answer as one");
        return state;
}

/* ---- poweroff ---- */

static bool quits(struct hf_killpath *vm)
{
        int64_t begin = hf_clock_msec(CLOCK_MONOTONIC);
        enum hf_qmp_state state = talk(vm, HF_QMP_QUIT, HF_KILLPATH_END_MS);

        if (is_dead(vm) || state == HF_QMP_DONE) {
                did(vm, "its monitor was told to quit");
                return has_ended_within(vm, HF_KILLPATH_END_MS - (int)since(begin));
        }
        if (state == HF_QMP_TALKING)
                did(vm, "its monitor did not answer");
        return false;
}

static bool ends_by(struct hf_killpath *vm, int number, const char *name)
{
        if (pidfd_send_signal(vm->pidfd, number, NULL, 0) < 0 && errno != ESRCH) {
                did(vm, "%s was refused (%s)", name, strerror(errno));
                return false;
        }
        did(vm, "%s was sent", name);
        return has_ended_within(vm, HF_KILLPATH_END_MS);
}

int hf_killpath_poweroff(struct hf_killpath *vm, struct hf_error *err)
{
        if (quits(vm) || ends_by(vm, SIGTERM, "SIGTERM") || ends_by(vm, SIGKILL, "SIGKILL"))
                return 0;
        return hf_error_set(err, ETIMEDOUT, HF_ERR_SYSTEM, HF_FROM_LOCKING,
                            "it has not ended: perhaps it waits for its storage");
}

/* ---- pause ---- */

/* Whether the guest is stopped, and nothing of it is on its way to a disk. */
static bool settles(struct hf_killpath *vm)
{
        switch (talk(vm, HF_QMP_SETTLE, HF_KILLPATH_SETTLE_MS)) {
        case HF_QMP_DONE:
                did(vm, "its monitor was told to stop it");
                return true;
        case HF_QMP_ALREADY:
                did(vm, "it was stopped already");
                return true;
        case HF_QMP_OTHER:
                did(vm, "a job or an export of it writes its disks");
                return false;
        case HF_QMP_TALKING:
                did(vm, "it did not stop writing within %d s", HF_KILLPATH_SETTLE_MS / 1000);
                return false;
        default:
                return false;
        }
}

int hf_killpath_pause(struct hf_killpath *vm, struct hf_error *err)
{
        if (settles(vm) && !is_dead(vm))
                return hf_killpath_give_back(vm, err);
        if (is_dead(vm))
                return 0;
        if (pidfd_send_signal(vm->pidfd, SIGSTOP, NULL, 0) < 0 && errno != ESRCH)
                return hf_error_sys(err, errno, "it cannot be stopped");
        did(vm, "SIGSTOP was sent");
        return hf_error_set(err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKING,
                            "nobody knows whether it has writes under way: it keeps its leases, "
                            "and sanlock will end it");
}
