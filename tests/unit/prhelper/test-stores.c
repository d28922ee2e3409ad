/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each test is run on both stores, in a folder of its own. */

#include "unit.h"

#include "prhelper/emulated/store.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <ftw.h>
#include <sqlite3.h>
#include <sys/stat.h>

struct place {
        const struct hf_pr_store_ops *ops;
        char dir[32];
        char path[64];
        struct hf_pr_store *store;
};

static int set_up(void **state, const struct hf_pr_store_ops *ops)
{
        struct place *place = calloc(1, sizeof(*place));

        if (!place)
                return -1;
        place->ops = ops;
        (void)strcpy(place->dir, "/tmp/hf-stores-XXXXXX");
        if (!mkdtemp(place->dir))
                return -1;
        (void)snprintf(place->path, sizeof(place->path), "%s/store", place->dir);
        *state = place;
        return ops->open(place->path, true, &place->store, NULL);
}

static int set_up_sqlite(void **state)
{
        return set_up(state, &hf_pr_store_sqlite);
}

static int set_up_files(void **state)
{
        return set_up(state, &hf_pr_store_files);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
        (void)st;
        (void)type;
        (void)at;
        return remove(path);
}

static int tear_down(void **state)
{
        struct place *place = *state;

        place->ops->close(place->store);
        (void)nftw(place->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        free(place);
        return 0;
}

/* Registers a key with a unit, all the way to the disk. */
static int keep(struct place *place, const char *name, const char *nexus, uint64_t key,
                struct hf_error *err)
{
        UNIT;
        int result = place->ops->begin(place->store, name, true, &unit.state, err);

        if (result < 0)
                return result;
        assert_int_equal(ask(&unit, nexus, HF_PR_REGISTER_AND_IGNORE, 0, key), 0);
        result = place->ops->commit(place->store, name, &unit.state, err);
        place->ops->end(place->store);
        return result;
}

static void assert_kept(const struct place *place, struct hf_pr_store *store, const char *name,
                        size_t n, uint64_t key)
{
        UNIT;

        assert_int_equal(place->ops->begin(store, name, false, &unit.state, NULL), 0);
        place->ops->end(store);
        assert_int_equal(unit.state.n, n);
        if (n)
                assert_int_equal(unit.state.nexuses[0].key, key);
}

static void sql(const char *path, const char *statement)
{
        sqlite3 *db;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, statement, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void what_was_committed_is_there_for_the_next(void **state)
{
        struct place *place = *state;
        struct hf_pr_store *other;

        assert_kept(place, place->store, "one", 0, 0);
        assert_int_equal(keep(place, "one", "a", 0x11, NULL), 0);
        assert_int_equal(keep(place, "one", "b", 0x22, NULL), 0);
        assert_int_equal(keep(place, "../two", "a", 0x33, NULL), 0);
        assert_int_equal(place->ops->open(place->path, true, &other, NULL), 0);
        assert_kept(place, other, "one", 2, 0x11);
        assert_kept(place, other, "../two", 1, 0x33);
        place->ops->close(other);
}

static void what_was_not_committed_is_not(void **state)
{
        struct place *place = *state;
        UNIT;

        assert_int_equal(keep(place, "one", "a", 0x11, NULL), 0);
        assert_int_equal(place->ops->begin(place->store, "one", true, &unit.state, NULL), 0);
        assert_int_equal(ask(&unit, "a", HF_PR_CLEAR, 0x11, 0), 0);
        place->ops->end(place->store);
        assert_kept(place, place->store, "one", 1, 0x11);
}

static void two_readers_read_at_once(void **state)
{
        struct place *place = *state;
        struct hf_pr_store *other;
        UNIT;

        assert_int_equal(keep(place, "one", "a", 0x11, NULL), 0);
        assert_int_equal(place->ops->open(place->path, true, &other, NULL), 0);
        assert_int_equal(place->ops->begin(other, "one", false, &unit.state, NULL), 0);
        assert_kept(place, place->store, "one", 1, 0x11);
        place->ops->close(other);
}

static void overwrite(const char *path, const char *text)
{
        hf_cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
}

static void a_damaged_file_is_an_error_and_is_left_alone(void **state)
{
        struct place *place = *state;
        char path[128];
        struct hf_error err;
        struct stat before, after;

        assert_int_equal(keep(place, "one", "a", 0x11, NULL), 0);
        (void)snprintf(path, sizeof(path), "%s%s", place->path,
                       place->ops == &hf_pr_store_files ? "/one.state" : "");
        overwrite(path, "not what it was");
        place->ops->close(place->store);
        place->store = NULL;
        assert_int_equal(stat(path, &before), 0);
        if (place->ops->open(place->path, true, &place->store, &err) == 0)
                assert_int_equal(keep(place, "one", "a", 0x12, &err), -EBADMSG);
        assert_non_null(strstr(err.text, place->path));
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void a_place_that_is_gone_is_noticed(void **state)
{
        struct place *place = *state;
        char aside[128];

        assert_int_equal(keep(place, "one", "a", 0x11, NULL), 0);
        (void)snprintf(aside, sizeof(aside), "%s.aside", place->path);
        assert_int_equal(rename(place->path, aside), 0);
        assert_true(keep(place, "one", "a", 0x12, NULL) < 0);
}

/* The lock keeps out nobody any more who comes now. */
static void a_change_whose_lock_was_taken_away_is_not_kept(void **state)
{
        struct place *place = *state;
        char from[80], to[96];
        UNIT;

        assert_int_equal(keep(place, "one", "a", 0x11, NULL), 0);
        (void)snprintf(from, sizeof(from), "%s%s", place->path,
                       place->ops == &hf_pr_store_files ? "/one.lock" : "");
        (void)snprintf(to, sizeof(to), "%s.aside", from);
        assert_int_equal(place->ops->begin(place->store, "one", true, &unit.state, NULL), 0);
        assert_int_equal(ask(&unit, "a", HF_PR_REGISTER_AND_IGNORE, 0, 0x12), 0);
        assert_int_equal(rename(from, to), 0);
        assert_true(place->ops->commit(place->store, "one", &unit.state, NULL) < 0);
        place->ops->end(place->store);
        assert_int_equal(rename(to, from), 0);
        assert_kept(place, place->store, "one", 1, 0x11);
}

/* Who comes now follows the link to another place: with us, each would have one for itself. */
static void a_link_that_leads_elsewhere_now_is_noticed(void **state)
{
        struct place *place = *state;
        char link[80], elsewhere[80];

        (void)snprintf(link, sizeof(link), "%s.link", place->path);
        (void)snprintf(elsewhere, sizeof(elsewhere), "%s.elsewhere", place->path);
        assert_int_equal(symlink(place->path, link), 0);
        place->ops->close(place->store);
        place->store = NULL;
        assert_int_equal(place->ops->open(link, true, &place->store, NULL), 0);
        assert_int_equal(keep(place, "one", "a", 0x11, NULL), 0);
        sql(elsewhere, "PRAGMA user_version = 1;"
                       "CREATE TABLE unit (name TEXT PRIMARY KEY, state TEXT NOT NULL)");
        assert_int_equal(unlink(link), 0);
        assert_int_equal(symlink(elsewhere, link), 0);
        assert_int_equal(keep(place, "one", "a", 0x12, NULL), -ESTALE);
}

static void a_folder_that_cannot_be_is_an_error_with_its_name(void **state)
{
        struct place *place = *state;
        struct hf_pr_store *other;
        struct hf_error err;

        assert_true(place->ops->open("/proc/nowhere/store", true, &other, &err) < 0);
        assert_non_null(strstr(err.text, "/proc/nowhere/store"));
}

static void a_database_of_something_else_is_not_touched(void **state)
{
        struct place *place = *state;
        struct hf_pr_store *other;
        struct hf_error err;
        char path[64];

        (void)snprintf(path, sizeof(path), "%s/foreign", place->dir);
        sql(path, "CREATE TABLE t (x)");
        assert_int_equal(place->ops->open(path, true, &other, &err), -EBADMSG);
        (void)snprintf(path, sizeof(path), "%s/newer", place->dir);
        sql(path, "PRAGMA user_version = 2");
        assert_int_equal(place->ops->open(path, true, &other, &err), -EBADMSG);
}

static void a_database_in_wal_mode_is_brought_back(void **state)
{
        struct place *place = *state;
        uint8_t header[20];
        hf_cleanup_fd int fd = -1;

        place->ops->close(place->store);
        place->store = NULL;
        sql(place->path, "PRAGMA journal_mode = WAL");
        assert_int_equal(place->ops->open(place->path, true, &place->store, NULL), 0);
        assert_int_equal(keep(place, "one", "a", 0x11, NULL), 0);
        fd = open(place->path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(read(fd, header, sizeof(header)), sizeof(header));
        assert_int_equal(header[18], 1);
        assert_int_equal(header[19], 1);
}

#define BOTH(test)                                                                                 \
        {#test " (sqlite)", test, set_up_sqlite, tear_down, NULL},                                 \
        {                                                                                          \
#test " (files)", test, set_up_files, tear_down, NULL                              \
        }

int main(void)
{
        const struct CMUnitTest tests[] = {
                BOTH(what_was_committed_is_there_for_the_next),
                BOTH(what_was_not_committed_is_not),
                BOTH(two_readers_read_at_once),
                BOTH(a_damaged_file_is_an_error_and_is_left_alone),
                BOTH(a_place_that_is_gone_is_noticed),
                BOTH(a_change_whose_lock_was_taken_away_is_not_kept),
                BOTH(a_folder_that_cannot_be_is_an_error_with_its_name),
                cmocka_unit_test_setup_teardown(a_link_that_leads_elsewhere_now_is_noticed,
                                                set_up_sqlite, tear_down),
                cmocka_unit_test_setup_teardown(a_database_of_something_else_is_not_touched,
                                                set_up_sqlite, tear_down),
                cmocka_unit_test_setup_teardown(a_database_in_wal_mode_is_brought_back,
                                                set_up_sqlite, tear_down),
        };

        return cmocka_run_group_tests_name("stores", tests, NULL, NULL);
}
