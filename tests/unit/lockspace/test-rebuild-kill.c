/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A process that changes a table, or rebuilds one, is stopped after each of its
 * instructions; what it has left there is given to a successor.
 *
 * Usage: test-lockspace-rebuild-kill [EVERY]. Only after every so many
 * instructions (a prime number by default) the successor comes; 1 is for all.
 */
#include "lockspace/claims.h"
#include "lockspace/map.h"

#include "base/cleanup.h"
#include "whole.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"

/* Rebuilding takes many more instructions than a change. */
#define REBUILD_FACTOR 13

static unsigned long every = 37;

/* ---- the changes ---- */

enum { STAYS, FIRST, SECOND, JOINS, CLIENT, ONE, OTHER, N_CLAIMS };

/* Pid, inode number of the file and descriptor go together. */
static const struct {
        pid_t pid;
        const char *vm, *name;
} claims[N_CLAIMS] = {
        [STAYS] = {1, "one", "/aaaa"},
        [FIRST] = {2, "two", "/bbbb-and-a-name-of-more-than-one-grain"},
        [SECOND] = {3, "three-has-a-longer-name-than-others", "/cccc"},
        [JOINS] = {4, "four", "dddd"},
        [CLIENT] = {5, "five", "/aaaa"},
        [ONE] = {6, "six", "/eeee"},
        [OTHER] = {7, "seven", "/ffff"},
};

/* Which claims must be there, and which can be, whatever instruction is the last one. */
static struct {
        volatile unsigned int must, may;
        volatile bool space_must, space_may;
        volatile bool together; /* ONE and OTHER are there both, or neither */
} * model;

struct records {
        uint32_t owner, lock, hold;
};

static void need(bool ok)
{
        if (!ok)
                _exit(1);
}

static void add_owner(int which, struct records *r)
{
        struct hf_owner_info info = {.pid = claims[which].pid,
                                     .start = (uint64_t)claims[which].pid * 10,
                                     .client = which == CLIENT ? 55 : 0,
                                     .since = 5,
                                     .uuid = uuid,
                                     .name = claims[which].vm,
                                     .via = "test"};

        need(hf_table_add_owner(table, &info, &r->owner) == 0);
}

static void add_hold(int which, uint32_t lockspace, struct records *r)
{
        struct hf_hold_info info = {.owner = r->owner,
                                    .lock = r->lock,
                                    .lockspace = lockspace,
                                    .name = claims[which].name,
                                    .via = "test",
                                    .since = 6};

        need(hf_table_add_hold(table, &info, &r->hold) == 0);
        model->may |= 1U << which;
        hf_table_claim_hold(table, r->hold);
        model->must |= 1U << which;
}

static void prepare_hold(int which, struct records *r)
{
        struct hf_hold_info info = {.owner = r->owner,
                                    .lock = r->lock,
                                    .lockspace = HF_LOCKSPACE_DEFAULT,
                                    .name = claims[which].name,
                                    .via = "test",
                                    .since = 6,
                                    .set = 88};

        need(hf_table_add_hold(table, &info, &r->hold) == 0);
}

static void add_lock(int which, uint32_t flags, struct records *r)
{
        struct hf_thing file = thing((uint64_t)claims[which].pid);

        need(hf_table_add_lock(table, &file, &none, (int)claims[which].pid, flags, &r->lock) == 0);
}

/* A client that has the metadata of what another one has the content of, by the same name. */
static void add_client(struct records *r)
{
        struct hf_thing file = {HF_THING_METADATA, 7, 1};

        add_owner(CLIENT, r);
        need(hf_table_add_lock(table, &file, &none, -1, HF_LOCK_METADATA, &r->lock) == 0);
        add_hold(CLIENT, HF_LOCKSPACE_DEFAULT, r);
}

static void add(int which, uint32_t lockspace, uint32_t flags, struct records *r)
{
        add_owner(which, r);
        add_lock(which, flags, r);
        add_hold(which, lockspace, r);
}

static void remove_hold(int which, const struct records *r)
{
        model->must &= ~(1U << which);
        hf_table_remove_hold(table, r->hold);
        model->may &= ~(1U << which);
}

static void remove_all(int which, const struct records *r)
{
        hf_table_set_releasing(table, r->lock);
        remove_hold(which, r);
        hf_table_remove_lock(table, r->lock);
        hf_table_remove_owner(table, r->owner);
}

/* Prepared one after the other, and claimed together. */
static void add_set(struct records *one, struct records *other)
{
        const unsigned int both = 1U << ONE | 1U << OTHER;

        add_owner(ONE, one);
        add_lock(ONE, 0, one);
        prepare_hold(ONE, one);
        add_owner(OTHER, other);
        add_lock(OTHER, 0, other);
        prepare_hold(OTHER, other);
        hf_table_hold(table, one->hold)->next_in_set = other->hold;
        model->together = true;
        model->may |= both;
        hf_table_claim_set(table, one->hold);
        /* A successor does it again, before anybody is told. */
        hf_table_claim_set(table, one->hold);
        model->must |= both;
        model->together = false;
}

/* They follow one another in the same records and strings. */
static void change(void)
{
        struct hf_thing behind = thing(99);
        struct records one, two, joins, client, other;
        uint32_t space;

        need(hf_table_add_lockspace(table, "/space", &space) == 0);
        model->space_may = true;
        hf_table_claim_lockspace(table, space);
        model->space_must = true;
        add(FIRST, HF_LOCKSPACE_DEFAULT, HF_LOCK_SHARED | HF_LOCK_SEARCHED, &one);
        joins.lock = one.lock;
        add_owner(JOINS, &joins);
        add_hold(JOINS, space, &joins);
        hf_table_set_thing(table, one.lock, &behind);
        remove_hold(JOINS, &joins);
        hf_table_remove_owner(table, joins.owner);
        remove_all(FIRST, &one);
        add(SECOND, space, 0, &two);
        hf_table_set_thing(table, two.lock, &behind);
        add_client(&client);
        remove_all(SECOND, &two);
        remove_all(CLIENT, &client);
        add_set(&one, &other);
        remove_all(ONE, &one);
        remove_all(OTHER, &other);
        add(FIRST, HF_LOCKSPACE_DEFAULT, 0, &one);
        remove_all(FIRST, &one);
}

/* ---- who looks ---- */

static void assert_whole(const char *fault)
{
        if (fault)
                fail_msg("not so: %s", fault);
}

static bool all_used(void *data, uint32_t owner)
{
        (void)owner;
        return *(bool *)data;
}

static unsigned int claim_at(struct hf_table *after, uint32_t hold)
{
        struct hf_claim claim;
        size_t which = 0;

        assert_int_equal(hf_claims_get(after, hold, &claim), 1);
        while (which < N_CLAIMS && claims[which].pid != claim.pid)
                which++;
        assert_in_range(which, 0, N_CLAIMS - 1);
        assert_string_equal(claim.name, claims[which].name);
        assert_string_equal(claim.vm, claims[which].vm);
        assert_int_equal(claim.start, claim.pid * 10);
        if (which == CLIENT)
                assert_int_equal(claim.fd, -1);
        else
                assert_int_equal(claim.fd, claims[which == JOINS ? FIRST : which].pid);
        assert_int_equal(claim.client, which == CLIENT ? 55 : 0);
        assert_true(claim.thing.kind == HF_THING_NONE || claim.thing.ino == 99);
        return 1U << which;
}

static void check_content(struct hf_table *after, bool used)
{
        unsigned int there = 0;
        bool space = hf_table_find_lockspace(after, "/space");
        uint32_t owners = 0;

        for (uint32_t i = 0; (i = hf_table_next_hold(after, i));)
                there |= claim_at(after, i);
        assert_int_equal(there & model->must, model->must);
        assert_int_equal(there & ~model->may, 0);
        if (model->together)
                assert_int_equal(!(there & 1U << ONE), !(there & 1U << OTHER));
        assert_true(space || !model->space_must);
        assert_true(!space || model->space_may);
        for (uint32_t i = 0; (i = hf_table_next_owner(after, i)); owners++) {
                const struct hf_owner *owner = hf_table_owner(after, i);

                assert_in_range(owner->pid, 1, N_CLAIMS);
                assert_string_equal(hf_table_string(after, owner->name), claims[owner->pid - 1].vm);
                assert_string_equal(owner->via, "test");
                assert_true(used || owner->holds);
        }
        assert_true(owners >= (unsigned int)__builtin_popcount(there));
}

/* The successor of a process that was killed now. */
static void succeed(unsigned long n)
{
        struct hf_table *after = whole_copy(table);
        bool used = n % 2;
        struct hf_rebuilt rebuilt;

        assert_non_null(after);
        hf_table_rebuild(after, all_used, &used, &rebuilt);
        if (rebuilt.damaged)
                fail_msg("stop %lu: %u damaged", n, rebuilt.damaged);
        assert_whole(whole_fault(after));
        check_content(after, used);
        assert_whole(whole_use(after));
        (void)hf_table_free(after);
}

/* Calls what in another process, and look each time that it has been stopped. Returns how often. */
static unsigned long single_step(void (*what)(void), void (*look)(unsigned long n),
                                 unsigned long stride)
{
        unsigned long n = 0;
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                need(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 && raise(SIGSTOP) == 0);
                what();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL), 0);
        for (; WIFSTOPPED(status); n++) {
                if (n % stride == 0)
                        look(n / stride);
                assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
        }
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        return n;
}

static void share_model(void)
{
        model = mmap(NULL, sizeof(*model), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                     0);
        assert_true(model != MAP_FAILED);
}

static void no_instruction_after_which_a_successor_has_not_all_that_was_claimed(void **state)
{
        struct records stays;
        unsigned long n;

        (void)state;
        share_model();
        add(STAYS, HF_LOCKSPACE_DEFAULT, 0, &stays);
        n = single_step(change, succeed, every);
        print_message("%lu instructions, a successor after every %lu\n", n, every);
        assert_int_equal(model->must, 1U << STAYS);
        (void)munmap(model, sizeof(*model));
}

/* ---- a successor that is killed itself ---- */

static struct hf_table *killed, *expected;

static void rebuild(void)
{
        struct hf_rebuilt rebuilt;

        hf_table_rebuild(killed, NULL, NULL, &rebuilt);
}

static void succeed_again(unsigned long n)
{
        struct hf_table *after = whole_copy(killed);
        struct hf_rebuilt rebuilt;

        (void)n;
        assert_non_null(after);
        hf_table_rebuild(after, NULL, NULL, &rebuilt);
        assert_int_equal(hf_table_count(after).holds, hf_table_count(expected).holds);
        assert_int_equal(whole_size(after), whole_size(expected));
        assert_memory_equal(after->map, expected->map, offsetof(struct hf_map, owners));
        assert_memory_equal(after->map->holds, expected->map->holds, 64 * sizeof(struct hf_hold));
        assert_memory_equal(after->map->locks, expected->map->locks, 64 * sizeof(struct hf_lock));
        assert_memory_equal(after->map->owners, expected->map->owners,
                            64 * sizeof(struct hf_owner));
        assert_memory_equal(after->map->strings, expected->map->strings, expected->map->arena.used);
        (void)hf_table_free(after);
}

/* Of everything something: whole, unfinished, damaged and lost. */
static void make_a_mess(void)
{
        struct records r[8] = {0}, stays;
        uint32_t space;

        assert_int_equal(hf_table_add_lockspace(table, "/space", &space), 0);
        add(STAYS, space, 0, &stays);
        for (size_t i = 0; i < HF_ARRAY_LEN(r); i++) {
                int which = i == 3 ? JOINS : i % 2 ? FIRST : SECOND;

                r[i].owner = i < 2 || i == 3 ? 0 : r[i % 2].owner;
                if (!r[i].owner)
                        add_owner(which, &r[i]);
                add_lock(which, HF_LOCK_SEARCHED, &r[i]);
                add_hold(which, HF_LOCKSPACE_DEFAULT, &r[i]);
                hf_table_lock(table, r[i].lock)->fd = (int)(100 + i);
                hf_table_claim_hold(table, r[i].hold);
        }
        remove_hold(SECOND, &r[2]);
        hf_table_remove_lock(table, r[2].lock);
        hf_table_owner(table, r[3].owner)->start++;
        hf_table_hold(table, r[4].hold)->check = 0;
        hf_table_lock(table, r[5].lock)->thing = thing(5);
        hf_table_lock(table, r[6].lock)->fd = 107;
        hf_table_claim_hold(table, r[6].hold);
        hf_table_set_releasing(table, r[6].lock);
        /* The class of a block whose string is in use, and of one whose string is not. */
        memset(table->map->strings + table->map->holds[r[7].hold].name - 4, 0xee, 4);
        memset(table->map->strings + table->map->holds[r[4].hold].name - 4, 0xee, 4);
        table->map->hold_pool.used = 3;
}

static void a_successor_that_is_killed_leaves_the_same_to_the_next_one(void **state)
{
        unsigned long n, stride = every == 1 ? 1 : every * REBUILD_FACTOR;
        struct hf_rebuilt rebuilt;

        (void)state;
        share_model();
        make_a_mess();
        killed = whole_copy(table);
        expected = whole_copy(table);
        assert_true(killed && expected);
        hf_table_rebuild(expected, NULL, NULL, &rebuilt);
        assert_whole(whole_fault(expected));
        /* Of nine holds one was removed; one has no check, one is damaged, one has no descriptor.
         */
        assert_int_equal(rebuilt.kept, 5);
        assert_true(rebuilt.damaged > 0 && rebuilt.unfinished > 0);
        n = single_step(rebuild, succeed_again, stride);
        print_message("%lu instructions, a successor after every %lu\n", n, stride);
        killed = hf_table_free(killed);
        expected = hf_table_free(expected);
        (void)munmap(model, sizeof(*model));
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        no_instruction_after_which_a_successor_has_not_all_that_was_claimed, begin,
                        end),
                cmocka_unit_test_setup_teardown(
                        a_successor_that_is_killed_leaves_the_same_to_the_next_one, begin, end),
        };

        if (argc > 1)
                every = strtoul(argv[1], NULL, 10);
        return cmocka_run_group_tests_name("rebuild-kill", tests, NULL, NULL);
}
