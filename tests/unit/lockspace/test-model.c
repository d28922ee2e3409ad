/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The lock table under the rules, against a model so plain that it is plainly
 * right: a list of claims, searched from end to end.
 *
 * Random owners come, acquire, release and die; names are given to other files
 * meanwhile. After each step the table must know exactly what the list knows,
 * and the list must never hold two who cannot both be there.
 *
 * Usage: test-lockspace-model [STEPS [SEED]]. The seed is printed, so that what
 * failed once can be run again.
 */
#include "lockspace/rules.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Few of each, so that they meet often. */
#define OWNERS    6
#define FILES     5
#define PATHS     8
#define STAND_INS 5
/* By each name an owner may have a claim to each file or thing that it ever led to. */
#define CLAIMS_MAX (OWNERS * (PATHS + STAND_INS) * (FILES + STAND_INS + 1))

/* A name, and what it leads to now: a path in the default lockspace, or a stand-in's name. */
struct name {
        uint32_t lockspace;
        char text[16];
        struct hf_thing file;
        struct hf_thing thing;
};

struct claim {
        int owner;
        const struct name *name;
        bool shared;
        struct hf_thing file; /* as they were when it was granted */
        struct hf_thing thing;
};

static unsigned long steps = 20000;
static unsigned long seed;
static uint64_t random_state;

static struct hf_table *table;
static struct name names[PATHS + STAND_INS];
static uint32_t owners[OWNERS]; /* in the table; 0: not there */
static uint64_t starts[OWNERS];
static struct claim claims[CLAIMS_MAX];
static size_t n_claims;

/* SplitMix64. */
static uint32_t below(uint32_t limit)
{
        uint64_t z = random_state += 0x9e3779b97f4a7c15ULL;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return (uint32_t)((z ^ (z >> 31)) % limit);
}

/* A disk; now and then somebody uses a stand-in for one. */
static struct hf_thing random_file(void)
{
        if (below(10) == 0)
                return (struct hf_thing){HF_THING_FILE, 7, 100 + PATHS + below(STAND_INS)};
        return (struct hf_thing){HF_THING_FILE, 7, 1 + below(FILES)};
}

/* What a name leads to may change at any time; what was granted stays as it is. */
static void point(struct name *name)
{
        if (name->lockspace == HF_LOCKSPACE_DEFAULT)
                name->file = name->thing = random_file();
        else
                name->thing = below(4) ? random_file() : (struct hf_thing){HF_THING_NONE, 0, 0};
}

static void make_names(uint32_t space)
{
        for (unsigned int i = 0; i < PATHS + STAND_INS; i++) {
                struct name *name = &names[i];

                name->lockspace = i < PATHS ? HF_LOCKSPACE_DEFAULT : space;
                (void)snprintf(name->text, sizeof(name->text), "%s%u", i < PATHS ? "/" : "h", i);
                /* Each stand-in is a file of its own. */
                name->file = (struct hf_thing){HF_THING_FILE, 7, 100 + i};
                point(name);
        }
}

/* ---- the model ---- */

static bool same_name(const struct name *a, const struct name *b)
{
        return a == b;
}

/* Whether a file or thing of one is a file or thing of the other. */
static bool meet(const struct hf_thing *file, const struct hf_thing *thing,
                 const struct hf_thing *file2, const struct hf_thing *thing2)
{
        return hf_thing_same(file, file2) || hf_thing_same(file, thing2) ||
               hf_thing_same(thing, file2) || hf_thing_same(thing, thing2);
}

static bool stands_against(const struct claim *c, int owner, bool shared)
{
        return c->owner == owner ? c->shared != shared : !(c->shared && shared);
}

enum answer { REFUSED, HAD, GRANTED };

static enum answer model_add(int owner, const struct name *name, bool shared,
                             const struct hf_thing *thing)
{
        claims[n_claims++] = (struct claim){owner, name, shared, name->file, *thing};
        return GRANTED;
}

/* The owner's claim by that name to what the name leads to now. */
static struct claim *model_claim(int owner, const struct name *name)
{
        for (size_t i = 0; i < n_claims; i++)
                if (claims[i].owner == owner && same_name(claims[i].name, name) &&
                    hf_thing_same(&claims[i].file, &name->file) &&
                    (hf_thing_same(&claims[i].thing, &name->thing) || !claims[i].thing.kind ||
                     !name->thing.kind))
                        return &claims[i];
        return NULL;
}

/* Claims to a file of whose thing nothing is known learn it together. */
static void model_learn(const struct hf_thing *file, const struct hf_thing *thing)
{
        for (size_t i = 0; i < n_claims; i++)
                if (hf_thing_same(&claims[i].file, file) && !claims[i].thing.kind)
                        claims[i].thing = *thing;
}

static enum answer model_share(int owner, const struct name *name)
{
        struct claim *claim = model_claim(owner, name);

        if (!claim)
                return model_add(owner, name, true, &name->thing);
        if (!claim->thing.kind)
                model_learn(&name->file, &name->thing);
        return HAD;
}

/* All claims to a file that one has alone are for one thing, as soon as any of them knows it. */
static enum answer model_alone(int owner, const struct name *name)
{
        struct hf_thing thing = name->thing;

        for (size_t i = 0; i < n_claims; i++) {
                if (!hf_thing_same(&claims[i].file, &name->file) || !claims[i].thing.kind)
                        continue;
                if (!thing.kind)
                        thing = claims[i].thing;
                if (!hf_thing_same(&thing, &claims[i].thing))
                        return REFUSED;
        }
        model_learn(&name->file, &thing);
        return model_claim(owner, name) ? HAD : model_add(owner, name, false, &thing);
}

static enum answer model_acquire(int owner, const struct name *name, bool shared)
{
        for (size_t i = 0; i < n_claims; i++)
                if ((same_name(claims[i].name, name) ||
                     meet(&claims[i].file, &claims[i].thing, &name->file, &name->thing)) &&
                    stands_against(&claims[i], owner, shared))
                        return REFUSED;
        return shared ? model_share(owner, name) : model_alone(owner, name);
}

/* NULL means every name. Returns whether there was one. */
static bool model_release(int owner, const struct name *name)
{
        size_t kept = 0, before = n_claims;

        for (size_t i = 0; i < n_claims; i++)
                if (claims[i].owner != owner || (name && !same_name(claims[i].name, name)))
                        claims[kept++] = claims[i];
        n_claims = kept;
        return kept < before;
}

/* ---- the table, used as the daemon uses it ---- */

static void add_hold(int owner, const struct name *name, uint32_t lock)
{
        struct hf_hold_info info = {.lock = lock,
                                    .owner = owners[owner],
                                    .lockspace = name->lockspace,
                                    .name = name->text,
                                    .via = "test"};
        uint32_t hold;

        assert_int_equal(hf_table_add_hold(table, &info, &hold), 0);
}

static enum answer table_acquire(int owner, const struct name *name, bool shared)
{
        struct hf_request request = {
                .owner = owners[owner],
                .lockspace = name->lockspace,
                .name = name->text,
                .shared = shared,
        };
        struct hf_verdict verdict = hf_rules_by_name(table, &request);
        uint32_t lock;

        if (verdict.kind == HF_VERDICT_FREE) {
                request.file = name->file;
                if (name->lockspace != HF_LOCKSPACE_DEFAULT)
                        request.thing = name->thing;
                verdict = hf_rules_by_thing(table, &request);
        }
        if (verdict.kind == HF_VERDICT_CONFLICT)
                return REFUSED;
        lock = verdict.lock;
        if (verdict.kind == HF_VERDICT_FREE)
                assert_int_equal(hf_table_add_lock(table, &name->file, hf_rules_thing(&request), 3,
                                                   shared ? HF_LOCK_SHARED : 0, &lock),
                                 0);
        else if (!hf_table_lock(table, lock)->thing.kind)
                hf_table_set_thing(table, lock, hf_rules_thing(&request));
        if (verdict.kind == HF_VERDICT_HAVE)
                return HAD;
        add_hold(owner, name, lock);
        return GRANTED;
}

static void drop(uint32_t hold)
{
        uint32_t lock = hf_table_hold(table, hold)->lock;

        hf_table_remove_hold(table, hold);
        if (!hf_table_lock(table, lock)->holds)
                hf_table_remove_lock(table, lock);
}

static bool table_release(int owner, const struct name *name)
{
        bool any = false;
        uint32_t hold;

        while ((hold = hf_rules_hold_of(table, owners[owner], name->lockspace, name->text))) {
                drop(hold);
                any = true;
        }
        return any;
}

/* ---- steps ---- */

static void come(int owner)
{
        static const uint8_t uuid[16];
        struct hf_owner_info info = {.pid = 100 + owner / 2,
                                     .start = ++starts[owner],
                                     .uuid = uuid,
                                     .name = "vm",
                                     .via = ""};

        /* Two owners to each pid: one number, two processes. */
        info.start = info.start * 2 + (uint64_t)(owner % 2);
        assert_int_equal(hf_table_add_owner(table, &info, &owners[owner]), 0);
        assert_int_equal(hf_table_find_owner(table, info.pid, info.start), owners[owner]);
}

static void die(int owner)
{
        (void)model_release(owner, NULL);
        while (hf_table_owner(table, owners[owner])->first_hold)
                drop(hf_table_owner(table, owners[owner])->first_hold);
        hf_table_remove_owner(table, owners[owner]);
        owners[owner] = 0;
}

static void step(void)
{
        int owner = (int)below(OWNERS);
        struct name *name = &names[below(PATHS + STAND_INS)];
        uint32_t what = below(100);
        bool shared = below(2);

        if (what < 10)
                point(name);
        else if (!owners[owner])
                come(owner);
        else if (what < 12)
                die(owner);
        else if (what < 40)
                assert_int_equal(table_release(owner, name), model_release(owner, name));
        else
                assert_int_equal(table_acquire(owner, name, shared),
                                 model_acquire(owner, name, shared));
}

/* ---- what must be so after each step ---- */

static void check_pair(const struct claim *a, const struct claim *b)
{
        if (!same_name(a->name, b->name) && !meet(&a->file, &a->thing, &b->file, &b->thing))
                return;
        /* The one holder: others are there only where all share. */
        assert_true(a->owner == b->owner ? a->shared == b->shared : a->shared && b->shared);
}

/* Whether a hold is this claim: by that owner, on a lock on the very file and for the thing. */
static bool is_claim(uint32_t index, const struct claim *claim)
{
        const struct hf_hold *hold = hf_table_hold(table, index);
        const struct hf_lock *lock = hf_table_lock(table, hold->lock);

        return hold->owner == owners[claim->owner] && hf_thing_same(&lock->file, &claim->file) &&
               (hf_thing_same(&lock->thing, &claim->thing) ||
                (!lock->thing.kind && !claim->thing.kind)) &&
               claim->shared == !!(lock->flags & HF_LOCK_SHARED);
}

static void check_claim(const struct claim *claim)
{
        uint32_t i = hf_table_find_name(table, claim->name->lockspace, claim->name->text);

        while (i && !is_claim(i, claim))
                i = hf_table_next_name(table, i);
        assert_int_not_equal(i, 0);
}

static void check(void)
{
        struct hf_table_counts counts = hf_table_count(table);
        uint32_t alive = 0, files = 0;

        for (size_t i = 0; i < n_claims; i++) {
                bool first = true;

                for (size_t j = 0; j < i; j++) {
                        check_pair(&claims[i], &claims[j]);
                        first &= !hf_thing_same(&claims[i].file, &claims[j].file);
                }
                check_claim(&claims[i]);
                files += first;
        }
        for (int i = 0; i < OWNERS; i++)
                alive += owners[i] != 0;
        assert_int_equal(counts.owners, alive);
        assert_int_equal(counts.holds, n_claims);
        /* A lock for each file as long as anybody has it by any name; more where things differ. */
        assert_in_range(counts.locks, files, n_claims);
}

static void the_table_knows_what_the_model_knows(void **state)
{
        unsigned long granted = 0, most = 0;
        uint32_t space;

        (void)state;
        print_message("%lu steps, seed %lu\n", steps, seed);
        random_state = seed;
        assert_int_equal(hf_table_new(&table), 0);
        assert_int_equal(hf_table_add_lockspace(table, "/space", &space), 0);
        make_names(space);
        for (unsigned long i = 0; i < steps; i++) {
                size_t before = n_claims;

                step();
                check();
                granted += n_claims > before;
                most = n_claims > most ? n_claims : most;
        }
        for (int i = 0; i < OWNERS; i++)
                if (owners[i])
                        die(i);
        check();
        assert_int_equal(hf_table_count(table).locks, 0);
        assert_int_equal(hf_table_count(table).owners, 0);
        assert_int_equal(hf_table_next_hold(table, 0), 0);
        /* A run in which little happens proves little. */
        assert_true(granted > steps / 20 && (steps < 1000 || most > 8));
        table = hf_table_free(table);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_table_knows_what_the_model_knows),
        };
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        seed = (unsigned long)now.tv_sec * 1000000 + (unsigned long)now.tv_nsec / 1000;
        if (argc > 1)
                steps = strtoul(argv[1], NULL, 10);
        if (argc > 2)
                seed = strtoul(argv[2], NULL, 10);
        return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
