/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/describe.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static void format_since(uint64_t since, uint64_t now, char *buf, size_t size)
{
        time_t then = (time_t)(since / 1000000), today = (time_t)(now / 1000000);
        struct tm a, b;

        if (!localtime_r(&then, &a) || !localtime_r(&today, &b)) {
                (void)snprintf(buf, size, "an unknown time");
                return;
        }
        if (a.tm_year == b.tm_year && a.tm_yday == b.tm_yday)
                (void)strftime(buf, size, "%H:%M", &a);
        else
                (void)strftime(buf, size, "%Y-%m-%d %H:%M", &a);
}

/* What is told of a holder's state and of its lease, at their longest. */
#define MORE_MAX 128

static const char *state_words(uint32_t state)
{
        switch (state) {
        case HF_OWNER_CARRIED:
                return ", its first process has ended but another one carries its connection";
        case HF_OWNER_ENDING:
                return ", being ended";
        case HF_OWNER_STUBBORN:
                return ", killed but not yet gone";
        default:
                return "";
        }
}

void hf_describe(const struct hf_description *who, uint64_t now,
                 char buf[static HF_DESCRIPTION_MAX])
{
        char since[32];

        format_since(who->since, now, since, sizeof(since));
        (void)snprintf(buf, HF_DESCRIPTION_MAX, "%s (pid %d, host %s, since %s%s%s%s)",
                       *who->name ? who->name : "a VM without a name", (int)who->pid, who->host,
                       since, *who->via ? ", " : "", who->via, who->more);
}

/* Of the lock, which may be nobody's any more. */
static const char *lease_words(const struct hf_lock *lock)
{
        if (lock->flags & HF_LOCK_LOST)
                return ", whose lease of it was lost";
        return lock->flags & HF_LOCK_DOUBTED ? ", whose lease of it is in doubt" : "";
}

void hf_describe_holder(struct hf_table *table, uint32_t hold, const char *host, uint64_t now,
                        char buf[static HF_DESCRIPTION_MAX])
{
        const struct hf_hold *h = hf_table_hold(table, hold);
        const struct hf_owner *owner = hf_table_owner(table, h->owner);
        char more[MORE_MAX];
        struct hf_description who = {
                .name = hf_table_string(table, owner->name),
                .host = host,
                .via = h->via,
                .pid = owner->pid,
                .since = h->since,
                .more = more,
        };

        (void)snprintf(more, sizeof(more), "%s%s", state_words(owner->state),
                       lease_words(hf_table_lock(table, h->lock)));
        hf_describe(&who, now, buf);
}
