/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lockspace/claims.h"

#include "base/cleanup.h"
#include "lockspace/map.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const uint8_t uuid[16] = "0123456789abcde";
static const uint8_t boot[16] = "this boot";
static const struct hf_thing none = {HF_THING_NONE, 0, 0};

/* On a tmpfs, as the run directory is. */
static char folder[] = "/dev/shm/hf-claims-XXXXXX";
static char path[64];
static struct hf_table *table;

static int begin(void **state)
{
        (void)state;
        (void)strcpy(folder + strlen(folder) - 6, "XXXXXX");
        if (!mkdtemp(folder))
                return -1;
        (void)snprintf(path, sizeof(path), "%s/state", folder);
        return hf_table_create(path, boot, &table);
}

static int end(void **state)
{
        (void)state;
        table = hf_table_free(table);
        (void)unlink(path);
        return rmdir(folder);
}

static struct hf_thing thing(uint64_t ino)
{
        return (struct hf_thing){HF_THING_FILE, 7, ino};
}

/* A VM with one lock: its pid, the file's inode number and the names go together. */
struct vm {
        pid_t pid;
        const char *vm, *name;
        uint32_t owner, lock, hold;
};

static int add(struct vm *vm)
{
        struct hf_owner_info owner = {.pid = vm->pid,
                                      .start = (uint64_t)vm->pid * 10,
                                      .since = 5,
                                      .uuid = uuid,
                                      .name = vm->vm,
                                      .via = "test"};
        struct hf_hold_info hold = {
                .lockspace = HF_LOCKSPACE_DEFAULT, .name = vm->name, .via = "test", .since = 6};
        struct hf_thing file = thing((uint64_t)vm->pid);
        int r = hf_table_add_owner(table, &owner, &vm->owner);

        if (r >= 0)
                r = hf_table_add_lock(table, &file, &none, 3, 0, &vm->lock);
        if (r < 0)
                return r;
        hold.owner = vm->owner;
        hold.lock = vm->lock;
        r = hf_table_add_hold(table, &hold, &vm->hold);
        if (r >= 0)
                hf_table_claim_hold(table, vm->hold);
        return r;
}

static void remove_all(const struct vm *vm)
{
        hf_table_remove_hold(table, vm->hold);
        hf_table_remove_lock(table, vm->lock);
        hf_table_remove_owner(table, vm->owner);
}

static void check_claim(const struct hf_claim *claim, const struct vm *vm)
{
        assert_int_equal(claim->pid, vm->pid);
        assert_int_equal(claim->start, vm->pid * 10);
        assert_memory_equal(claim->uuid, uuid, sizeof(uuid));
        assert_string_equal(claim->vm, vm->vm);
        assert_int_equal(claim->vm_since, 5);
        assert_string_equal(claim->lockspace, "");
        assert_string_equal(claim->name, vm->name);
        assert_string_equal(claim->via, "test");
        assert_int_equal(claim->since, 6);
        assert_int_equal(claim->file.ino, vm->pid);
}

static void another_daemon_reads_what_the_table_says(void **state)
{
        struct vm one = {.pid = 1, .vm = "one", .name = "/aaaa"};
        struct hf_thing behind = thing(99);
        struct hf_table *other;
        struct hf_claim claim;

        (void)state;
        assert_int_equal(add(&one), 0);
        hf_table_set_thing(table, one.lock, &behind);
        assert_int_equal(hf_table_load(path, boot, &other), 0);
        assert_int_equal(hf_claims_end(other), one.hold);
        assert_int_equal(hf_claims_get(other, one.hold, &claim), 1);
        check_claim(&claim, &one);
        assert_true(hf_thing_same(&claim.thing, &behind));
        (void)hf_table_free(other);
        remove_all(&one);
        assert_int_equal(hf_table_load(path, boot, &other), 0);
        assert_int_equal(hf_claims_get(other, one.hold, &claim), 0);
        (void)hf_table_free(other);
}

static void what_is_overwritten_is_damaged(void **state)
{
        struct vm one = {.pid = 1, .vm = "one", .name = "/aaaa"};
        struct hf_claim claim;

        (void)state;
        assert_int_equal(add(&one), 0);
        hf_table_owner(table, one.owner)->start++;
        assert_int_equal(hf_claims_get(table, one.hold, &claim), -EBADMSG);
        hf_table_owner(table, one.owner)->start--;
        hf_table_lock(table, one.lock)->flags ^= HF_LOCK_SHARED;
        assert_int_equal(hf_claims_get(table, one.hold, &claim), -EBADMSG);
        hf_table_lock(table, one.lock)->flags ^= HF_LOCK_SHARED;
        /* A thing that is damaged is not known; that costs no lock. */
        hf_table_lock(table, one.lock)->thing = thing(5);
        assert_int_equal(hf_claims_get(table, one.hold, &claim), 1);
        assert_int_equal(claim.thing.kind, HF_THING_NONE);
}

static void files_that_are_not_a_table_of_this_boot_are_refused(void **state)
{
        static const uint8_t other_boot[16] = "another boot";
        struct hf_table *other;
        struct stat st;

        (void)state;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(hf_table_load(path, other_boot, &other), -ESTALE);
        assert_int_equal(chmod(path, 0620), 0);
        assert_int_equal(hf_table_load(path, boot, &other), -EBADMSG);
        assert_int_equal(chmod(path, 0600), 0);
        table->map->head.version++;
        assert_int_equal(hf_table_load(path, boot, &other), -EBADMSG);
        table->map->head.version--;
        assert_int_equal(hf_table_load(folder, boot, &other), -EBADMSG);
        assert_int_equal(truncate(path, st.st_size + 1), 0);
        assert_int_equal(hf_table_load(path, boot, &other), -EBADMSG);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(hf_table_load(path, boot, &other), -ENOENT);
}

static void a_file_that_is_cut_short_while_it_is_read_does_no_harm(void **state)
{
        struct vm one = {.pid = 1, .vm = "one", .name = "/aaaa"};
        struct hf_table *other;
        struct hf_claim claim;

        (void)state;
        assert_int_equal(add(&one), 0);
        assert_int_equal(hf_table_load(path, boot, &other), 0);
        assert_int_equal(truncate(path, 0), 0);
        assert_int_equal(hf_claims_get(other, one.hold, &claim), 1);
        check_claim(&claim, &one);
        (void)hf_table_free(other);
}

static void reading_a_table_takes_no_room_on_its_file_system(void **state)
{
        struct vm one = {.pid = 1, .vm = "one", .name = "/aaaa"};
        struct hf_table *other;
        struct hf_claim claim;
        struct stat before, after;

        (void)state;
        assert_int_equal(add(&one), 0);
        assert_int_equal(stat(path, &before), 0);
        table->map->hold_pool.used = UINT32_MAX;
        assert_int_equal(hf_table_load(path, boot, &other), 0);
        for (uint32_t i = one.hold + 1; i <= hf_claims_end(other); i++)
                assert_int_equal(hf_claims_get(other, i, &claim), 0);
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(after.st_blocks, before.st_blocks);
        (void)hf_table_free(other);
}

/* ---- a daemon that may be killed after any instruction ---- */

#define ROUNDS 3

static struct vm stays = {.pid = 1, .vm = "one", .name = "/aaaa"};
static struct vm come_and_go[] = {
        {.pid = 2, .vm = "two", .name = "/bbbb"},
        {.pid = 3, .vm = "six", .name = "/cccc"},
};

/* They follow one another in the same records and strings. */
static void live(void)
{
        struct hf_thing behind = thing(99);

        for (size_t i = 0; i < ROUNDS; i++) {
                struct vm *vm = &come_and_go[i % HF_ARRAY_LEN(come_and_go)];

                if (add(vm) < 0)
                        _exit(1);
                hf_table_set_thing(table, vm->lock, &behind);
                remove_all(vm);
        }
        _exit(0);
}

/* What would be found if the daemon was killed now. */
static void look(unsigned int seen[static HF_ARRAY_LEN(come_and_go)])
{
        for (uint32_t i = 1; i <= hf_claims_end(table); i++) {
                struct hf_claim claim;
                int r = hf_claims_get(table, i, &claim);

                assert_in_range(r, 0, 1);
                if (i == stays.hold) {
                        assert_int_equal(r, 1);
                        check_claim(&claim, &stays);
                } else if (r == 1) {
                        assert_in_range(claim.pid, 2, 3);
                        check_claim(&claim, &come_and_go[claim.pid - 2]);
                        assert_true(claim.thing.kind == HF_THING_NONE || claim.thing.ino == 99);
                        seen[claim.pid - 2]++;
                }
        }
}

static void no_instruction_after_which_a_kill_leaves_a_wrong_claim(void **state)
{
        unsigned int seen[HF_ARRAY_LEN(come_and_go)] = {0};
        int status;
        pid_t pid;

        (void)state;
        assert_int_equal(add(&stays), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0)
                        _exit(2);
                live();
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        while (WIFSTOPPED(status)) {
                look(seen);
                assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
        }
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_true(seen[0] && seen[1]);
}

#define CLAIMS_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                CLAIMS_TEST(another_daemon_reads_what_the_table_says),
                CLAIMS_TEST(what_is_overwritten_is_damaged),
                CLAIMS_TEST(a_file_that_is_cut_short_while_it_is_read_does_no_harm),
                CLAIMS_TEST(reading_a_table_takes_no_room_on_its_file_system),
                CLAIMS_TEST(no_instruction_after_which_a_kill_leaves_a_wrong_claim),
                CLAIMS_TEST(files_that_are_not_a_table_of_this_boot_are_refused),
        };

        return cmocka_run_group_tests_name("claims", tests, NULL, NULL);
}
