/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static struct fault *fault;

/* A supervisor maps it before anything else, and what is executed in its place again. */
__attribute__((constructor)) static void map_fault(void)
{
        const char *path = getenv(FAULT_ENV);
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *map = MAP_FAILED;

        if (fd >= 0)
                map = mmap(NULL, sizeof(*fault), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED)
                fault = map;
        if (fd >= 0)
                (void)close(fd);
}

static bool counts(void)
{
        return fault && fault->armed && fault->supervisor != (uint64_t)getpid();
}

static _Noreturn void end(void)
{
        fault->points = 0;
        fault->kills++;
        (void)kill(getpid(), SIGKILL);
        for (;;)
                (void)pause();
}

#ifdef __x86_64__
/* The processor's trap flag: a SIGTRAP after each instruction. */
#define TRAP_FLAG 0x100

static void on_step(int number, siginfo_t *info, void *context)
{
        ucontext_t *where = context;

        (void)number;
        (void)info;
        if (fault->missed)
                where->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
        else if (--fault->steps == 0)
                end();
}

static bool step(void)
{
        struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO | SA_RESTART};

        if (sigaction(SIGTRAP, &action, NULL) < 0)
                abort();
        __asm__ volatile("pushfq; orq %0, (%%rsp); popfq" : : "i"(TRAP_FLAG) : "cc", "memory");
        return true;
}
#else
static bool step(void)
{
        return false;
}
#endif

/* Called at each branch of what is compiled for it. */
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
        uint64_t at;

        if (!counts())
                return;
        at = fault->kill_at[fault->kills % FAULT_KILLS];
        if (++fault->points == at + 1 && at && fault->steps)
                fault->missed = 1;
        if (fault->points != at || at == 0)
                return;
        if (!fault->steps || !step())
                end();
}

static bool fails(void)
{
        return counts() && ++fault->allocations == fault->fail_at;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
char *__real_strdup(const char *text);
int __wrap_asprintf(char **ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
        return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
        return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
        return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t n, size_t size)
{
        return fails() ? NULL : __real_reallocarray(old, n, size);
}

char *__wrap_strdup(const char *text)
{
        return fails() ? NULL : __real_strdup(text);
}

int __wrap_asprintf(char **ret, const char *format, ...)
{
        va_list args;
        int r;

        if (fails())
                return -1;
        va_start(args, format);
        r = vasprintf(ret, format, args);
        va_end(args);
        return r;
}

int __real_sd_event_now(void *event, clockid_t clock, uint64_t *ret);
int __wrap_sd_event_now(void *event, clockid_t clock, uint64_t *ret);

int __wrap_sd_event_now(void *event, clockid_t clock, uint64_t *ret)
{
        int r = __real_sd_event_now(event, clock, ret);

        if (r >= 0 && fault && clock == CLOCK_REALTIME)
                *ret += fault->ahead;
        return r;
}
