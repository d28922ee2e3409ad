/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/keeper-private.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * fork with one descriptor table for both.
 *
 * The C library has no call for it, so its part of a fork has to be done here.
 * It keeps the thread's id in memory and tells the kernel where; a child made
 * behind its back would take itself for its parent wherever the id counts
 * (robust and error-checking mutexes, pthread calls on oneself). The kernel says
 * where that word is, and writes the new id there. The list of robust mutexes is
 * not inherited either. Where the kernel does not say (it can be built without),
 * the child does without both.
 *
 * Functions given to pthread_atfork do not run.
 */

/* What the C library told the kernel of this thread. */
struct thread_words {
        pid_t *tid; /* NULL: not known */
        void *robust;
        size_t robust_size;
};

static void read_thread_words(struct thread_words *ret)
{
        *ret = (struct thread_words){0};
        if (prctl(PR_GET_TID_ADDRESS, &ret->tid) < 0 || !ret->tid || *ret->tid != gettid())
                ret->tid = NULL;
        if (syscall(SYS_get_robust_list, 0, &ret->robust, &ret->robust_size) < 0)
                ret->robust = NULL;
}

/*
 * Sandboxes that cannot look into the arguments of clone3 pretend that there is
 * none. The older call knows two orders of its last arguments, by machine; one of
 * the two is not used here, so both are the same. It has one place for the pidfd
 * and for what is not asked for here.
 */
static long clone_as_before(uint64_t flags, int32_t *pidfd, pid_t *tid)
{
#ifdef __s390__
        return syscall(SYS_clone, 0, flags | SIGCHLD, pidfd, tid, tid);
#else
        return syscall(SYS_clone, flags | SIGCHLD, 0, pidfd, tid, tid);
#endif
}

static pid_t clone_with(uint64_t flags, int32_t *pidfd)
{
        struct clone_args args = {.flags = CLONE_FILES | CLONE_CLEAR_SIGHAND | flags,
                                  .pidfd = (uint64_t)(uintptr_t)pidfd};
        struct thread_words words;
        long pid;

        read_thread_words(&words);
        if (words.tid)
                args.flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
        args.child_tid = (uint64_t)(uintptr_t)words.tid;
        /* A sibling has the signal that we have. */
        args.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD;
        pid = syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0 && errno == ENOSYS)
                pid = clone_as_before(args.flags & ~CLONE_CLEAR_SIGHAND, pidfd, words.tid);
        if (pid < 0)
                return -errno;
        if (pid == 0 && words.robust)
                (void)syscall(SYS_set_robust_list, words.robust, words.robust_size);
        return (pid_t)pid;
}

pid_t hf_keeper_clone(void)
{
        return clone_with(0, NULL);
}

pid_t hf_keeper_clone_beside(int32_t *ret_pidfd)
{
        return clone_with(CLONE_PIDFD | CLONE_PARENT, ret_pidfd);
}
