/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * One sqlite database, one row a unit. sqlite's own locks exclude processes, and hosts where the
 * filesystem carries POSIX locks between them (NFS 4 does); for that it has to be a rollback
 * journal: the shared memory of WAL ends at the host's border.
 */

#include "prhelper/emulated/state-text.h"
#include "prhelper/emulated/store.h"

#include "base/cleanup.h"

#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

/* "HfPR": what `file` and a human can tell the database by. */
#define APPLICATION_ID "1214664786"

/* Of the table below. A database with another was made by a later Holdfast. */
#define VERSION 1

struct hf_pr_store {
        sqlite3 *db;
        char *place;
        struct stat opened; /* what was there when it was opened */
};

/* sqlite says why by its own numbers; few of them lead to different deeds. */
static int failed(const struct hf_pr_store *store, const char *what, struct hf_error *err)
{
        int code = sqlite3_errcode(store->db) & 0xff;
        int number = EIO;

        if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
                number = EBUSY;
        else if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
                number = EBADMSG;
        else if (code == SQLITE_READONLY || code == SQLITE_PERM || code == SQLITE_AUTH)
                number = EACCES;
        else if (code == SQLITE_FULL)
                number = ENOSPC;
        else if (code == SQLITE_NOMEM)
                number = ENOMEM;
        return hf_error_set(err, number, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                            "the database %s cannot be %s: %s", store->place, what,
                            sqlite3_errmsg(store->db));
}

static int run(const struct hf_pr_store *store, const char *sql, const char *what,
               struct hf_error *err)
{
        if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
                return failed(store, what, err);
        return 0;
}

static void finish(sqlite3_stmt **statement)
{
        (void)sqlite3_finalize(*statement);
}

/* The text or number that a statement answers with in its first row, handed to see. */
static int ask(const struct hf_pr_store *store, const char *sql, char *ret, size_t size,
               struct hf_error *err)
{
        hf_cleanup(finish) sqlite3_stmt *statement = NULL;
        const unsigned char *text;

        if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_ROW)
                return failed(store, "set up", err);
        text = sqlite3_column_text(statement, 0);
        (void)snprintf(ret, size, "%s", text ? (const char *)text : "");
        return 0;
}

static void sqlite_close(struct hf_pr_store *store)
{
        if (!store)
                return;
        /* An open transaction is rolled back. */
        (void)sqlite3_close(store->db);
        free(store->place);
        free(store);
}

static void close_store(struct hf_pr_store **store)
{
        sqlite_close(*store);
}

/*
 * EXTRA is FULL, and the folder is synced when the journal has gone: else a journal that comes back
 * after a power failure would undo what was answered.
 */
static int set_up(const struct hf_pr_store *store, struct hf_error *err)
{
        char answer[32];
        int result;

        (void)sqlite3_busy_timeout(store->db, HF_PR_STORE_PATIENCE * 1000);
        (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        result = run(store,
                     "PRAGMA synchronous = EXTRA; PRAGMA temp_store = MEMORY;"
                     "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON",
                     "set up", err);
        if (result == 0)
                result = ask(store, "PRAGMA journal_mode = DELETE", answer, sizeof(answer), err);
        if (result < 0)
                return result;
        if (strcmp(answer, "delete") != 0)
                return hf_error_set(err, ENOTSUP, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                    "the database %s has journal mode %s, which does not do",
                                    store->place, answer);
        return 0;
}

static int check_version(const struct hf_pr_store *store, bool *ret_new, struct hf_error *err)
{
        char version[16], tables[16];
        int result = ask(store, "PRAGMA user_version", version, sizeof(version), err);

        if (result == 0)
                result = ask(store, "SELECT count(*) FROM sqlite_schema", tables, sizeof(tables),
                             err);
        if (result < 0)
                return result;
        *ret_new = atoi(version) == 0 && atoi(tables) == 0;
        if (atoi(version) != VERSION && !*ret_new)
                return hf_error_set(err, EBADMSG, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                    "the database %s is none of reservations that this version of "
                                    "Holdfast knows",
                                    store->place);
        return 0;
}

/* Two that come first at once: the second sees what the first made. */
static int make_table(const struct hf_pr_store *store, struct hf_error *err)
{
        bool new;
        int result = run(store, "BEGIN IMMEDIATE", "locked", err);

        if (result < 0)
                return result;
        result = check_version(store, &new, err);
        if (result == 0 && new)
                result = run(store,
                             "PRAGMA application_id = " APPLICATION_ID "; PRAGMA user_version = 1;"
                             "CREATE TABLE unit (name TEXT PRIMARY KEY, state TEXT NOT NULL)"
                             " WITHOUT ROWID",
                             "written", err);
        if (result == 0)
                return run(store, "COMMIT", "written", err);
        (void)run(store, "ROLLBACK", "written", NULL);
        return result;
}

static int sqlite_open(const char *place, bool make, struct hf_pr_store **ret, struct hf_error *err)
{
        hf_cleanup(close_store) struct hf_pr_store *store = calloc(1, sizeof(*store));
        bool new;
        int result;

        if (store)
                store->place = strdup(place);
        if (!store || !store->place)
                return hf_error_sys(err, ENOMEM, "%s", place);
        /* Read-only will do for who only looks: sqlite then opens it so by itself. */
        if (sqlite3_open_v2(place, &store->db,
                            SQLITE_OPEN_READWRITE | (make ? SQLITE_OPEN_CREATE : 0),
                            NULL) != SQLITE_OK)
                return failed(store, "opened", err);
        if (stat(place, &store->opened) < 0)
                return hf_error_sys(err, errno, "the database %s", place);
        result = set_up(store, err);
        if (result == 0)
                result = check_version(store, &new, err);
        if (result == 0 && new && !make)
                result = hf_error_set(err, ESTALE, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                      "the database %s is empty and was not before", place);
        else if (result == 0 && new)
                result = make_table(store, err);
        if (result < 0)
                return result;
        *ret = hf_steal_ptr(store);
        return 0;
}

/*
 * A file that was moved or replaced would be written to, and nobody else would see it. sqlite knows
 * its own file; whether the place still leads to that, over links and mounts, it does not.
 */
static int check_place(const struct hf_pr_store *store, struct hf_error *err)
{
        struct stat now;
        int moved = 0;

        if (sqlite3_file_control(store->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK)
                return failed(store, "looked at", err);
        if (moved || stat(store->place, &now) < 0 || now.st_dev != store->opened.st_dev ||
            now.st_ino != store->opened.st_ino)
                return hf_error_set(err, ESTALE, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                    "the database %s has been moved or replaced", store->place);
        return 0;
}

static int read_state(const struct hf_pr_store *store, const char *unit, struct hf_pr_state *ret,
                      struct hf_error *err)
{
        hf_cleanup(finish) sqlite3_stmt *statement = NULL;
        const char *text;
        int result;

        if (sqlite3_prepare_v2(store->db, "SELECT state FROM unit WHERE name = ?", -1, &statement,
                               NULL) != SQLITE_OK ||
            sqlite3_bind_text(statement, 1, unit, -1, SQLITE_STATIC) != SQLITE_OK)
                return failed(store, "read", err);
        switch (sqlite3_step(statement)) {
        case SQLITE_DONE:
                *ret = (struct hf_pr_state){0};
                return 0;
        case SQLITE_ROW:
                break;
        default:
                return failed(store, "read", err);
        }
        text = (const char *)sqlite3_column_text(statement, 0);
        if (!text)
                return hf_error_set(err, EBADMSG, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                    "%s has no state for %s", store->place, unit);
        result = hf_pr_state_decode(text, (size_t)sqlite3_column_bytes(statement, 0), ret, err);
        if (result < 0)
                hf_error_prefix(err, "%s: %s", store->place, unit);
        return result;
}

static void sqlite_end(struct hf_pr_store *store)
{
        if (!sqlite3_get_autocommit(store->db))
                (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

static int sqlite_begin(struct hf_pr_store *store, const char *unit, bool write,
                        struct hf_pr_state *ret, struct hf_error *err)
{
        int result = run(store, write ? "BEGIN IMMEDIATE" : "BEGIN", "locked", err);

        if (result == 0)
                result = check_place(store, err);
        if (result == 0)
                result = read_state(store, unit, ret, err);
        if (result < 0)
                sqlite_end(store);
        return result;
}

static int sqlite_commit(struct hf_pr_store *store, const char *unit,
                         const struct hf_pr_state *state, struct hf_error *err)
{
        hf_cleanup(finish) sqlite3_stmt *statement = NULL;
        hf_cleanup_free char *text = NULL;
        size_t n;

        if (hf_pr_state_encode(state, &text, &n) < 0)
                return hf_error_sys(err, ENOMEM, "%s", store->place);
        if (sqlite3_prepare_v2(store->db, "INSERT OR REPLACE INTO unit VALUES (?, ?)", -1,
                               &statement, NULL) != SQLITE_OK ||
            sqlite3_bind_text(statement, 1, unit, -1, SQLITE_STATIC) != SQLITE_OK ||
            sqlite3_bind_text(statement, 2, text, (int)n, SQLITE_STATIC) != SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_DONE)
                return failed(store, "written", err);
        return run(store, "COMMIT", "written", err);
}

const struct hf_pr_store_ops hf_pr_store_sqlite = {
        .open = sqlite_open,
        .begin = sqlite_begin,
        .commit = sqlite_commit,
        .end = sqlite_end,
        .close = sqlite_close,
};
