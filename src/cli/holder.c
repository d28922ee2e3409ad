/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/holder.h"

#include "cli/message.h"

#include "base/cleanup.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

char *hf_since_text(uint64_t since, char text[static HF_SINCE_TEXT_MAX])
{
        time_t then = (time_t)(since / 1000000), now = time(NULL);
        struct tm a, b;
        bool today;
        size_t len;

        text[0] = '\0';
        if (since == 0 || !localtime_r(&then, &a) || !localtime_r(&now, &b))
                return text;
        today = a.tm_year == b.tm_year && a.tm_yday == b.tm_yday;
        len = today ? strftime(text, HF_SINCE_TEXT_MAX, "%H:%M", &a)
                    : strftime(text, HF_SINCE_TEXT_MAX, "%Y-%m-%d %H:%M", &a);
        text[len] = '\0';
        return text;
}

struct description {
        const char *name, *host, *via, *state;
        pid_t pid;
        uint64_t since;
};

static char *describe(const struct description *who, char text[static HF_HOLDER_TEXT_MAX])
{
        char since[HF_SINCE_TEXT_MAX], details[HF_HOLDER_TEXT_MAX / 2] = "";
        size_t len = 0;
        FILE *out = fmemopen(details, sizeof(details), "w");

        if (out) {
                if (who->pid)
                        (void)fprintf(out, ", pid %d", (int)who->pid);
                if (who->host && *who->host)
                        (void)fprintf(out, ", host %s", who->host);
                if (who->since)
                        (void)fprintf(out, ", since %s", hf_since_text(who->since, since));
                if (who->via && *who->via)
                        (void)fprintf(out, ", %s", who->via);
                if (who->state)
                        (void)fprintf(out, ", %s", who->state);
                (void)fclose(out);
                details[sizeof(details) - 1] = '\0';
                len = strlen(details);
        }
        (void)snprintf(text, HF_HOLDER_TEXT_MAX, "%.255s%s%s%s",
                       who->name && *who->name ? who->name : "a VM without a name", len ? " (" : "",
                       len ? details + 2 : "", len ? ")" : "");
        return hf_message_clean(text);
}

char *hf_holder_text(const struct holdfast_holder *holder, char text[static HF_HOLDER_TEXT_MAX])
{
        struct description who = {
                .name = holder->name,
                .host = holder->host,
                .via = holder->via,
                .state = *holder->state ? holder->state : NULL,
                .pid = holder->pid,
                .since = holder->since,
        };

        /* Of one that is elsewhere all that is known may be what its host does. */
        if (*holder->name || holder->pid || !*holder->state)
                return describe(&who, text);
        (void)snprintf(text, HF_HOLDER_TEXT_MAX, "a VM elsewhere: %s", holder->state);
        return hf_message_clean(text);
}

static const char *state_words(unsigned int state)
{
        switch (state) {
        case HOLDFAST_VM_ENDING:
                return "being ended";
        case HOLDFAST_VM_STUBBORN:
                return "killed but not yet gone";
        case HOLDFAST_VM_CARRIED:
                return "its first process has ended but another one carries its connection";
        default:
                return NULL;
        }
}

char *hf_lock_holder_text(const struct holdfast_lock_info *lock, const char *host,
                          char text[static HF_HOLDER_TEXT_MAX])
{
        struct description who = {
                .name = lock->vm->name,
                .host = host,
                .via = lock->vm->via,
                .state = lock->lease == HOLDFAST_LEASE_LOST ? "its lock is lost"
                                                            : state_words(lock->vm->state),
                .pid = lock->vm->pid,
                .since = lock->since,
        };

        return describe(&who, text);
}

const char *hf_lease_name(unsigned int lease)
{
        static const char *const names[] = {
                [HOLDFAST_LEASE_NONE] = "none",
                [HOLDFAST_LEASE_SOUND] = "sound",
                [HOLDFAST_LEASE_DOUBTED] = "in danger",
                [HOLDFAST_LEASE_LOST] = "lost",
        };

        return lease < HF_ARRAY_LEN(names) ? names[lease] : "unknown";
}

const char *hf_state_name(unsigned int state)
{
        switch (state) {
        case HOLDFAST_VM_ALIVE:
                return "running";
        case HOLDFAST_VM_ENDING:
                return "ending";
        case HOLDFAST_VM_STUBBORN:
                return "stubborn";
        case HOLDFAST_VM_CARRIED:
                return "carried";
        default:
                return "unknown";
        }
}
