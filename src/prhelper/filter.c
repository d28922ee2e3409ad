/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/filter.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <scsi/sg.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Programs, others' memory, mounts, modules, keys, clocks, other ways to ask for input and output.
 */
static const int never[] = {
        SCMP_SYS(execve),
        SCMP_SYS(execveat),
#ifndef __SANITIZE_ADDRESS__ /* which looks for leaks by it at the end */
        SCMP_SYS(ptrace),
#endif
        SCMP_SYS(process_vm_readv),
        SCMP_SYS(process_vm_writev),
        SCMP_SYS(pidfd_getfd),
        SCMP_SYS(kcmp),
        SCMP_SYS(mount),
        SCMP_SYS(umount2),
        SCMP_SYS(move_mount),
        SCMP_SYS(open_tree),
        SCMP_SYS(fsopen),
        SCMP_SYS(fsmount),
        SCMP_SYS(fsconfig),
        SCMP_SYS(pivot_root),
        SCMP_SYS(chroot),
        SCMP_SYS(setns),
        SCMP_SYS(unshare),
        SCMP_SYS(init_module),
        SCMP_SYS(finit_module),
        SCMP_SYS(delete_module),
        SCMP_SYS(kexec_load),
        SCMP_SYS(kexec_file_load),
        SCMP_SYS(bpf),
        SCMP_SYS(perf_event_open),
        SCMP_SYS(keyctl),
        SCMP_SYS(add_key),
        SCMP_SYS(request_key),
        SCMP_SYS(swapon),
        SCMP_SYS(swapoff),
        SCMP_SYS(reboot),
        SCMP_SYS(acct),
        SCMP_SYS(quotactl),
        SCMP_SYS(sethostname),
        SCMP_SYS(setdomainname),
        SCMP_SYS(settimeofday),
        SCMP_SYS(clock_settime),
        SCMP_SYS(adjtimex),
        SCMP_SYS(clock_adjtime),
        SCMP_SYS(iopl),
        SCMP_SYS(ioperm),
        SCMP_SYS(userfaultfd),
        SCMP_SYS(open_by_handle_at),
        SCMP_SYS(io_uring_setup),
        SCMP_SYS(io_uring_enter),
        SCMP_SYS(io_uring_register),
        SCMP_SYS(personality),
};

/* What any of our loops does, its log, and the C library below it. */
static const int common[] = {
        SCMP_SYS(read),
        SCMP_SYS(readv),
        SCMP_SYS(write),
        SCMP_SYS(writev),
        SCMP_SYS(recvfrom),
        SCMP_SYS(recvmsg),
        SCMP_SYS(sendto),
        SCMP_SYS(sendmsg),
        SCMP_SYS(connect),
        SCMP_SYS(shutdown),
        SCMP_SYS(getsockopt),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        SCMP_SYS(close),
        SCMP_SYS(fcntl),
        SCMP_SYS(fstat),
        SCMP_SYS(stat),
        SCMP_SYS(lstat),
        SCMP_SYS(newfstatat),
        SCMP_SYS(statx),
        SCMP_SYS(statfs),
        SCMP_SYS(fstatfs),
        SCMP_SYS(readlink),
        SCMP_SYS(readlinkat),
        SCMP_SYS(access),
        SCMP_SYS(faccessat),
        SCMP_SYS(faccessat2),
        SCMP_SYS(getdents64),
        SCMP_SYS(getcwd),
        SCMP_SYS(lseek),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_getres),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(nanosleep),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(getpid),
        SCMP_SYS(getppid),
        SCMP_SYS(gettid),
        SCMP_SYS(getuid),
        SCMP_SYS(geteuid),
        SCMP_SYS(getgid),
        SCMP_SYS(getegid),
        SCMP_SYS(uname),
        SCMP_SYS(getrandom),
        SCMP_SYS(brk),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(madvise),
        SCMP_SYS(futex),
        SCMP_SYS(sched_yield),
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(sigaltstack),
        SCMP_SYS(tgkill),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
};

/* A database is written, and its folder. */
static const int files[] = {
        SCMP_SYS(open),      SCMP_SYS(openat),    SCMP_SYS(pread64),   SCMP_SYS(pwrite64),
        SCMP_SYS(fsync),     SCMP_SYS(fdatasync), SCMP_SYS(ftruncate), SCMP_SYS(fallocate),
        SCMP_SYS(unlink),    SCMP_SYS(unlinkat),  SCMP_SYS(rename),    SCMP_SYS(renameat),
        SCMP_SYS(renameat2), SCMP_SYS(link),      SCMP_SYS(linkat),    SCMP_SYS(mkdir),
        SCMP_SYS(mkdirat),   SCMP_SYS(fchmod),    SCMP_SYS(fchown),    SCMP_SYS(flock),
        SCMP_SYS(utimensat), SCMP_SYS(umask),
};

/* The device's own protocol, whatever its numbers are. */
static const int nvme[] = {SCMP_SYS(ioctl), SCMP_SYS(pread64)};

static int add(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t n)
{
        int r = 0;

        /* What an architecture does not have needs no rule: -EDOM. */
        for (size_t i = 0; (r >= 0 || r == -EDOM) && i < n; i++)
                r = seccomp_rule_add(filter, action, calls[i], 0);
        return r == -EDOM ? 0 : r;
}

#define ADD(filter, action, calls) add(filter, action, calls, HF_ARRAY_LEN(calls))

static int allow_masked(scmp_filter_ctx filter, int call, unsigned int argument, uint64_t mask,
                        uint64_t value)
{
        struct scmp_arg_cmp compare = SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, mask, value);
        int r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &compare);

        return r == -EDOM ? 0 : r;
}

/* Memory, but not to run what was written into it; sockets of this machine. */
static int allow_plain(scmp_filter_ctx filter)
{
        int r = ADD(filter, SCMP_ACT_ALLOW, common);

        if (r >= 0)
                r = allow_masked(filter, SCMP_SYS(mmap), 2, PROT_EXEC, 0);
        if (r >= 0)
                r = allow_masked(filter, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
        if (r >= 0)
                r = allow_masked(filter, SCMP_SYS(socket), 0, UINT32_MAX, AF_UNIX);
        return r;
}

static int allow_reading(scmp_filter_ctx filter)
{
        const uint64_t mask = O_ACCMODE | O_CREAT | O_TRUNC;
        int r = allow_masked(filter, SCMP_SYS(openat), 2, mask, O_RDONLY);

        return r < 0 ? r : allow_masked(filter, SCMP_SYS(open), 1, mask, O_RDONLY);
}

/* The command to a disk, and whether it is one. */
static int allow_commands(scmp_filter_ctx filter)
{
        int r = allow_masked(filter, SCMP_SYS(ioctl), 1, UINT32_MAX, SG_IO);

        return r < 0 ? r : allow_masked(filter, SCMP_SYS(ioctl), 1, UINT32_MAX, NVME_IOCTL_ID);
}

static int fill(scmp_filter_ctx filter, enum hf_pr_stage stage)
{
        int r;

        if (stage == HF_PR_STAGE_SERVE || stage == HF_PR_STAGE_MAPPER)
                return ADD(filter, SCMP_ACT_ERRNO(EPERM), never);
        r = allow_plain(filter);
        if (r < 0)
                return r;
        if (stage == HF_PR_STAGE_EMULATED)
                return ADD(filter, SCMP_ACT_ALLOW, files);
        r = allow_reading(filter);
        if (r < 0)
                return r;
        return stage == HF_PR_STAGE_NVME ? ADD(filter, SCMP_ACT_ALLOW, nvme)
                                         : allow_commands(filter);
}

int hf_pr_filter_install(enum hf_pr_stage stage)
{
        bool open_ended = stage == HF_PR_STAGE_SERVE || stage == HF_PR_STAGE_MAPPER;
        scmp_filter_ctx filter = seccomp_init(open_ended ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
        int r;

        if (!filter)
                return -ENOMEM;
        r = fill(filter, stage);
        if (r >= 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r;
}
