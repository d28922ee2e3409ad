/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Configuration files: `key = value`, the format of libvirt's own files.
 *
 *   line     = [ key "=" value ] [ "#" comment ]      ";" may end a line too
 *   key      = letter { letter | digit | "_" }
 *   value    = integer | string | "[" [ item { "," item } [ "," ] ] "]"
 *   item     = integer | string
 *   integer  = [ "+" | "-" ] decimal digits, within 64 bits
 *   string   = "..." or '...' on one line, or """...""" over several
 *
 * A string is taken byte for byte: there is no escape character. Lists may
 * spread over lines. A line ends with LF, CR LF or CR.
 *
 * What libvirt's parser does was measured against version 9.0.0. Like it, we
 * let the FIRST of two entries with one key win, so that a file means the same
 * to both. Where we differ we accept more (a file with nothing but an empty
 * line, comments inside a list, white space at the end of a file) or refuse
 * what can only be a mistake (an integer that does not fit, a NUL byte, a list
 * in a list, which no key uses).
 *
 * Reading is in three layers: hf_conf_parse knows bytes, hf_conf_get_* know
 * types and give errors with file and line, hf_conf_apply fills a struct from
 * a table of keys. A key that is not in the table is no error, for one file
 * serves programs of several versions; the caller is told and can warn.
 */

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Ten times the longest configuration file that libvirt ships (qemu.conf). */
#define HF_CONF_SIZE_MAX (1024 * 1024)

/* Keys are looked up one by one; no program knows even a tenth of this. */
#define HF_CONF_KEYS_MAX 1024

struct hf_conf;

/*
 * Parses len bytes at text, which needs no NUL at the end. filename is copied
 * and used in messages only. Returns 0 and the entries in *ret, to be freed
 * with hf_conf_free; -EINVAL with "file:line: ..." in *err; -E2BIG beyond a
 * limit; -ENOMEM.
 */
int hf_conf_parse(const char *text, size_t len, const char *filename, struct hf_conf **ret,
                  struct hf_error *err);

/*
 * Reads and parses the regular file at path. Returns 1 when it was read, and 0
 * with an empty *ret when there is no such file and it is not required.
 * Otherwise a negative errno: as hf_conf_parse, -EINVAL too for anything that
 * is no regular file, and what open and read fail with.
 */
int hf_conf_load(const char *path, bool required, struct hf_conf **ret, struct hf_error *err);

void hf_conf_free(struct hf_conf *conf);

static inline void hf_conf_freep(struct hf_conf **conf)
{
        hf_conf_free(*conf);
        *conf = NULL;
}

#define hf_cleanup_conf hf_cleanup(hf_conf_freep)

/*
 * Getters. Each returns 1 and sets *ret when the key is there, 0 when it is
 * not, and -EINVAL with "file:line: key "k" must be ..." when its value has
 * another type or is out of range.
 */
int hf_conf_get_int(const struct hf_conf *conf, const char *key, int64_t min, int64_t max,
                    int64_t *ret, struct hf_error *err);

/* A switch is written as the integer 0 or 1, as in libvirt's files. */
int hf_conf_get_bool(const struct hf_conf *conf, const char *key, bool *ret, struct hf_error *err);

/* *ret belongs to conf. */
int hf_conf_get_string(const struct hf_conf *conf, const char *key, const char **ret,
                       struct hf_error *err);

/*
 * A list of strings, or one string, which counts as a list of one. *ret is a
 * copy to be freed with hf_strv_free, NULL for the empty list. Also -ENOMEM.
 */
int hf_conf_get_strings(const struct hf_conf *conf, const char *key, char ***ret,
                        struct hf_error *err);

enum hf_conf_kind {
        HF_CONF_KIND_INT,     /* field: int; min and max apply */
        HF_CONF_KIND_UINT,    /* field: unsigned int; min and max apply */
        HF_CONF_KIND_BOOL,    /* field: bool */
        HF_CONF_KIND_STRING,  /* field: char *, owned by the struct, NULL if unset */
        HF_CONF_KIND_STRINGS, /* field: char **, see strv.h, NULL if unset or empty */
        HF_CONF_KIND_CHOICE,  /* field: int, the index of the word in choices */
        HF_CONF_KIND_PATH,    /* as STRING, but an absolute path */
        HF_CONF_KIND_OTHERS,  /* no field: a key of another reader of the file, who checks it */
};

struct hf_conf_key {
        const char *name;
        enum hf_conf_kind kind;
        size_t offset; /* of the field in the caller's struct */
        int64_t min, max;
        int64_t def;                /* of an integer, switch or choice */
        const char *def_text;       /* of a string; NULL: unset */
        const char *const *choices; /* words of a choice, closed by NULL */
        const char *help;           /* one line for the file's documentation */
};

/* Refuses a key that is there twice: -EINVAL with file and line, where it is better to ask. */
int hf_conf_refuse_repeats(const struct hf_conf *conf, struct hf_error *err);

/*
 * Puts file, line and key in front of the text of *err (may be NULL), for a check of its value
 * that only the caller can make. Nothing where the key is not there.
 */
void hf_conf_blame(const struct hf_conf *conf, const char *key, struct hf_error *err);

/*
 * The permissions that a text such as "0770" means. Returns 0, or -EINVAL with what is wrong, for
 * hf_conf_blame to say where.
 */
int hf_conf_parse_mode(const char *text, unsigned int *ret, struct hf_error *err);

/* Told of an entry that has no effect, and why: one line with file and line number. */
typedef void (*hf_conf_notice_fn)(void *ctx, const char *text);

/*
 * Fills every field that the table names in the struct at out: from conf, or
 * with its default. Fields are overwritten, not freed. notice (may be NULL) is
 * called for each key that is not in the table and each repeated key. All
 * values are checked before the first field is set: on -EINVAL *out is as it
 * was; on -ENOMEM its string fields are NULL.
 */
int hf_conf_apply(const struct hf_conf *conf, const struct hf_conf_key *table, size_t n, void *out,
                  hf_conf_notice_fn notice, void *ctx, struct hf_error *err);

/* Frees the strings in the struct at out that the table names and sets them to NULL. */
void hf_conf_clear(const struct hf_conf_key *table, size_t n, void *out);
