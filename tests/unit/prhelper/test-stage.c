/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each stage in a child of its own: what it may do, and what it may not, by trying. */
#include "prhelper/stage.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <scsi/sg.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

/* What a child ends with: 0, or the number of the line that was wrong. */
#define EXPECT(condition)                                                                          \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        _exit(__LINE__ & 0xff ?: 255);                                             \
        } while (0)

#define EXPECT_EPERM(call) EXPECT((call) < 0 && errno == EPERM)

static void in_stage(enum hf_pr_stage stage, void (*act)(int null))
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC), status;
        pid_t pid = fork();

        assert_true(null >= 0 && pid >= 0);
        if (pid == 0) {
                struct hf_error error = {0};

                EXPECT(hf_pr_stage_enter(HF_PR_STAGE_SERVE, (uid_t)-1, (gid_t)-1, true, &error) >=
                       0);
                if (stage != HF_PR_STAGE_SERVE)
                        EXPECT(hf_pr_stage_enter(stage, (uid_t)-1, (gid_t)-1, false, &error) >= 0);
                act(null);
                _exit(0);
        }
        (void)close(null);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void expect_no_programs(void)
{
        char *const argv[] = {(char *)(uintptr_t) "true", NULL};

        EXPECT_EPERM(execve("/bin/true", argv, argv + 1));
#ifndef __SANITIZE_ADDRESS__
        EXPECT_EPERM(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
#endif
        EXPECT_EPERM(syscall(SYS_unshare, 0));
        EXPECT_EPERM(syscall(SYS_bpf, 0, NULL, 0));
        EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0);
}

static void be_server(int null)
{
        pid_t pid;

        (void)null;
        expect_no_programs();
        EXPECT(prctl(PR_CAPBSET_READ, 0) <= (geteuid() == 0 ? 0 : 1));
        pid = fork();
        EXPECT(pid >= 0);
        if (pid == 0)
                _exit(0);
        EXPECT(waitpid(pid, NULL, 0) == pid);
}

static void expect_tight(int null)
{
        EXPECT_EPERM(syscall(SYS_execve, NULL, NULL, NULL));
        EXPECT_EPERM(syscall(SYS_ptrace, PTRACE_TRACEME, 0, NULL, NULL));
        EXPECT_EPERM(fork());
        EXPECT_EPERM(kill(getppid(), 0));
        EXPECT_EPERM(socket(AF_INET, SOCK_STREAM, 0));
        EXPECT_EPERM(socket(AF_NETLINK, SOCK_RAW, 0));
        EXPECT(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                       MAP_FAILED &&
               errno == EPERM);
        EXPECT(write(null, "x", 1) == 1);
}

static void be_connection(int null)
{
        struct sg_io_hdr io = {.interface_id = 'S'};
        int fd;

        expect_tight(null);
        EXPECT_EPERM(open("/tmp", O_WRONLY | O_TMPFILE, 0600));
        EXPECT_EPERM(open("/dev/null", O_WRONLY));
        EXPECT_EPERM(unlink("/nowhere/at/all"));
        EXPECT_EPERM(ioctl(null, SG_SET_TIMEOUT, &io));
        EXPECT_EPERM(ioctl(null, FIONREAD, &fd));
        EXPECT(ioctl(null, SG_IO, &io) < 0 && errno == ENOTTY);
        fd = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        EXPECT(fd >= 0);
        EXPECT(socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
}

static void be_nvme(int null)
{
        int n;

        expect_tight(null);
        EXPECT_EPERM(open("/dev/null", O_WRONLY));
        EXPECT(ioctl(null, FIONREAD, &n) < 0 && errno == ENOTTY);
}

static void be_emulated(int null)
{
        struct sg_io_hdr io = {.interface_id = 'S'};
        char path[] = "/tmp/hf-stage-XXXXXX";
        int fd;

        expect_tight(null);
        EXPECT_EPERM(ioctl(null, SG_IO, &io));
        fd = mkstemp(path);
        EXPECT(fd >= 0 && unlink(path) == 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0);
}

static void test_the_server_starts_processes_but_no_programs(void **state)
{
        (void)state;
        in_stage(HF_PR_STAGE_SERVE, be_server);
}

static void test_a_connection_sends_commands_and_reads_and_no_more(void **state)
{
        (void)state;
        in_stage(HF_PR_STAGE_CONNECTION, be_connection);
}

static void be_mapper(int null)
{
        (void)null;
        expect_no_programs();
}

static void test_the_mapper_starts_no_programs(void **state)
{
        (void)state;
        in_stage(HF_PR_STAGE_MAPPER, be_mapper);
}

static void test_nvme_sends_any_request_and_writes_no_file(void **state)
{
        (void)state;
        in_stage(HF_PR_STAGE_NVME, be_nvme);
}

static void test_the_emulated_writes_files_and_sends_no_command(void **state)
{
        (void)state;
        in_stage(HF_PR_STAGE_EMULATED, be_emulated);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_server_starts_processes_but_no_programs),
                cmocka_unit_test(test_a_connection_sends_commands_and_reads_and_no_more),
                cmocka_unit_test(test_the_mapper_starts_no_programs),
                cmocka_unit_test(test_nvme_sends_any_request_and_writes_no_file),
                cmocka_unit_test(test_the_emulated_writes_files_and_sends_no_command),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
