/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/advice.h"

#include "cli/foreign.h"
#include "cli/message.h"
#include "cli/reach.h"

#include "base/cleanup.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void say(char text[static HF_ADVICE_TEXT_MAX], const char *format, ...)
        __attribute__((format(printf, 2, 3)));

static void say(char text[static HF_ADVICE_TEXT_MAX], const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, HF_ADVICE_TEXT_MAX, format, args);
        va_end(args);
        hf_message_clean(text);
}

static bool is_held_by(const struct hf_standing *standing, unsigned int state)
{
        return standing->hold && standing->hold->vm->state == state;
}

static bool is_stubborn(const struct hf_standing *standing)
{
        return is_held_by(standing, HOLDFAST_VM_STUBBORN);
}

static void say_stubborn(const struct hf_standing *standing, struct hf_advice *ret)
{
        char holder[HF_HOLDER_TEXT_MAX];

        say(ret->verdict, "It is held by %s: the process was killed, and has not ended.",
            hf_lock_holder_text(standing->hold, NULL, holder));
        say(ret->next,
            "Find out what it waits for (cat /proc/%d/stack), most often storage that does not "
            "answer, and mend that. Until it has ended it may still write: leave the lock alone.",
            (int)standing->hold->vm->pid);
}

static bool is_ending(const struct hf_standing *standing)
{
        return is_held_by(standing, HOLDFAST_VM_ENDING);
}

static void say_ending(const struct hf_standing *standing, struct hf_advice *ret)
{
        char holder[HF_HOLDER_TEXT_MAX];

        say(ret->verdict, "It is held by %s, which was told to end.",
            hf_lock_holder_text(standing->hold, NULL, holder));
        say(ret->next, "Wait a few seconds and look again.");
}

static bool is_carried(const struct hf_standing *standing)
{
        return is_held_by(standing, HOLDFAST_VM_CARRIED);
}

static void say_carried(const struct hf_standing *standing, struct hf_advice *ret)
{
        char holder[HF_HOLDER_TEXT_MAX];

        say(ret->verdict, "It is held by %s.", hf_lock_holder_text(standing->hold, NULL, holder));
        if (standing->carrier)
                say(ret->next, "To free it, end the process that goes on in its name: pid %d.",
                    (int)standing->carrier);
        else
                say(ret->next, "As root, \"holdfast ps\" names the process that goes on in its "
                               "name: that has to end.");
}

static bool is_lost(const struct hf_standing *standing)
{
        return standing->hold && standing->hold->lease == HOLDFAST_LEASE_LOST;
}

static void say_lost(const struct hf_standing *standing, struct hf_advice *ret)
{
        char holder[HF_HOLDER_TEXT_MAX];

        say(ret->verdict,
            "It was held by %s, which has lost its lock: the file server gave it up, and another "
            "host may have written since.",
            hf_lock_holder_text(standing->hold, NULL, holder));
        say(ret->next,
            "End this VM without letting it write (kill -KILL %d): what it has in memory is of "
            "before. Then its lock is given back, and whoever needs the disk may start.",
            (int)standing->hold->vm->pid);
}

static bool is_doubted(const struct hf_standing *standing)
{
        return standing->hold && standing->hold->lease == HOLDFAST_LEASE_DOUBTED;
}

static void say_doubted(const struct hf_standing *standing, struct hf_advice *ret)
{
        char holder[HF_HOLDER_TEXT_MAX];

        say(ret->verdict,
            "It is held by %s, as far as is known: its file server is silent, and may give the "
            "lock to another host.",
            hf_lock_holder_text(standing->hold, NULL, holder));
        say(ret->next, "Mend the way to the file server. When it answers, it is found out whether "
                       "the lock still stands, and the VM goes on if it does.");
}

static bool is_held(const struct hf_standing *standing)
{
        return standing->hold != NULL;
}

static void say_held(const struct hf_standing *standing, struct hf_advice *ret)
{
        char holder[HF_HOLDER_TEXT_MAX];

        say(ret->verdict, "It is held by %s.", hf_lock_holder_text(standing->hold, NULL, holder));
        say(ret->next,
            "To free it, shut this VM down in the way it is managed%s; or leave it running and do "
            "without its disk.",
            strstr(standing->hold->vm->via, "libvirt") ? " (virsh shutdown)" : "");
}

static bool is_another_daemons(const struct hf_standing *standing)
{
        return standing->process && standing->process->our_byte;
}

static void say_another_daemons(const struct hf_standing *standing, struct hf_advice *ret)
{
        say(ret->verdict,
            "It is locked by another lock daemon of this host: %s (pid %d), which does not say for "
            "whom.",
            standing->process->comm, (int)standing->process->pid);
        say(ret->next, "Look for the VM among those that daemon serves (virsh list), and shut that "
                       "down. To end the daemon would end its VMs.");
}

static bool is_a_process(const struct hf_standing *standing)
{
        return standing->process != NULL;
}

static void say_a_process(const struct hf_standing *standing, struct hf_advice *ret)
{
        say(ret->verdict, "It is in use by %s (pid %d), which never asked Holdfast: %s.",
            standing->process->comm, (int)standing->process->pid,
            hf_foreign_means(standing->process));
        say(ret->next,
            "To free it, end that process in its own way; next time start it by \"holdfast run\".");
}

static bool is_elsewhere(const struct hf_standing *standing)
{
        return standing->locked && standing->record && !standing->is_ours;
}

static void say_elsewhere(const struct hf_standing *standing, struct hf_advice *ret)
{
        const char *host = standing->record->host;
        char holder[HF_HOLDER_TEXT_MAX];

        say(ret->verdict, "It is held on another host, by %s.",
            hf_reach_holder_text(standing->record, holder));
        if (standing->lease_s)
                say(ret->next,
                    "On host %s, \"holdfast explain\" tells more. If that host is dead, wait: the "
                    "file server gives its locks up %u seconds after it last heard of it, to who "
                    "asks then.",
                    host, standing->lease_s);
        else
                say(ret->next,
                    "On host %s, \"holdfast explain\" tells more. If that host is dead, its "
                    "cluster has to fence it; the filesystem gives its locks up then.",
                    host);
}

static bool is_unknown(const struct hf_standing *standing)
{
        return standing->locked;
}

static void say_unknown(const struct hf_standing *standing, struct hf_advice *ret)
{
        say(ret->verdict, "It is locked by somebody who cannot be seen from here: %s.",
            standing->all_seen ? "on another host, without a holder record (a virtlockd has none)"
                               : "another user's process, or one on another host");
        say(ret->next, "%s",
            standing->all_seen
                    ? "Ask \"holdfast who\" on the other hosts that use this disk, or look "
                      "there for VMs that use it."
                    : "Ask again as root.");
}

static bool is_used(const struct hf_standing *standing)
{
        return standing->used;
}

static void say_used(const struct hf_standing *standing, struct hf_advice *ret)
{
        say(ret->verdict, "A QEMU that cannot be seen from here uses it, without asking Holdfast.");
        say(ret->next, "%s",
            standing->all_seen
                    ? "Look for it on the other hosts that use this disk."
                    : "Ask again as root, or look on the other hosts that use this disk.");
}

static bool is_hidden(const struct hf_standing *standing)
{
        return standing->hidden;
}

static void say_hidden(const struct hf_standing *standing, struct hf_advice *ret)
{
        (void)standing;
        say(ret->verdict, "Whether anybody has it cannot be told: you may not look at it.");
        say(ret->next, "Ask again as root.");
}

static bool is_unasked(const struct hf_standing *standing)
{
        return standing->unasked;
}

static void say_unasked(const struct hf_standing *standing, struct hf_advice *ret)
{
        (void)standing;
        say(ret->verdict,
            "Whether anybody has it cannot be told: the lock driver could not find out.");
        say(ret->next, "Put right what the message says, and ask again.");
}

static bool is_leased_here(const struct hf_standing *standing)
{
        return standing->leased && standing->leased->pid;
}

static void say_leased_here(const struct hf_standing *standing, struct hf_advice *ret)
{
        char holder[HF_HOLDER_TEXT_MAX];

        say(ret->verdict, "It is held by %s.", hf_holder_text(standing->leased, holder));
        say(ret->next, "Stop that VM first.");
}

static bool is_leased(const struct hf_standing *standing)
{
        return standing->leased;
}

static void say_leased(const struct hf_standing *standing, struct hf_advice *ret)
{
        char holder[HF_HOLDER_TEXT_MAX];

        say(ret->verdict, "It is held by %s.", hf_holder_text(standing->leased, holder));
        say(ret->next, "Stop the VM on that host. If the host is lost, wait: its leases can be had "
                       "as soon as it has certainly been reset. Leave the lease file alone.");
}

static bool is_unclear(const struct hf_standing *standing)
{
        return standing->unclear;
}

static void say_unclear(const struct hf_standing *standing, struct hf_advice *ret)
{
        (void)standing;
        say(ret->verdict, "Whether anybody has it cannot be told: it is not known where it is "
                          "locked.");
        say(ret->next, "Mend what is said of its lock file above, and ask again.");
}

static bool is_free(const struct hf_standing *standing)
{
        (void)standing;
        return true;
}

static void say_free(const struct hf_standing *standing, struct hf_advice *ret)
{
        char holder[HF_HOLDER_TEXT_MAX];

        ret->free = true;
        if (standing->record)
                say(ret->verdict, "Nobody has it. It was last held by %s.",
                    hf_reach_holder_text(standing->record, holder));
        else
                say(ret->verdict, "Nobody has it%s.",
                    standing->daemon ? "" : ", as far as can be told without the lock daemon");
        say(ret->next,
            "Start your VM: \"holdfast run\" takes the lock first, and tells if somebody "
            "was quicker.");
}

/* The first that applies is what matters most. */
static const struct {
        const char *situation;
        bool (*applies)(const struct hf_standing *standing);
        void (*say)(const struct hf_standing *standing, struct hf_advice *ret);
} situations[] = {
        {"lost", is_lost, say_lost},
        {"stubborn", is_stubborn, say_stubborn},
        {"ending", is_ending, say_ending},
        {"in-danger", is_doubted, say_doubted},
        {"carried", is_carried, say_carried},
        {"held", is_held, say_held},
        {"held", is_leased_here, say_leased_here},
        {"elsewhere", is_leased, say_leased},
        {"lock-daemon", is_another_daemons, say_another_daemons},
        {"process", is_a_process, say_a_process},
        {"elsewhere", is_elsewhere, say_elsewhere},
        {"unknown", is_unknown, say_unknown},
        {"used", is_used, say_used},
        {"hidden", is_unasked, say_unasked},
        {"hidden", is_hidden, say_hidden},
        {"unclear", is_unclear, say_unclear},
        {"free", is_free, say_free},
};

void hf_advise(const struct hf_standing *standing, struct hf_advice *ret)
{
        size_t i = 0;

        *ret = (struct hf_advice){0};
        while (!situations[i].applies(standing))
                i++;
        ret->situation = situations[i].situation;
        situations[i].say(standing, ret);
}
