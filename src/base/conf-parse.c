/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/conf-private.h"

#include <string.h>

/*
 * The bytes of a configuration file.
 *
 * A cursor that never passes `end`: peek returns -1 there, so that no rule
 * needs a test of its own. Lines are counted in one place, skip_line_end.
 * Values do not nest, hence no recursion.
 */

struct parser {
        const char *at, *end;
        unsigned line;
        const char *filename;
        struct hf_error *err;
};

static int peek(const struct parser *p)
{
        return p->at < p->end ? (unsigned char)*p->at : -1;
}

/* For letters and digits the ASCII ones count, whatever the locale. */
static bool is_letter(int c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(int c)
{
        return c >= '0' && c <= '9';
}

static bool is_line_end(int c)
{
        return c == '\n' || c == '\r';
}

static int fail(struct parser *p, const char *what)
{
        return hf_error_set(p->err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE, "%s:%u: %s",
                            p->filename, p->line, what);
}

static int fail_memory(struct parser *p)
{
        return hf_error_sys(p->err, ENOMEM, "cannot read %s", p->filename);
}

static void skip_blanks(struct parser *p)
{
        while (peek(p) == ' ' || peek(p) == '\t')
                p->at++;
}

/* Passes one end of line (LF, CR LF, CR), if it is one. */
static bool skip_line_end(struct parser *p)
{
        int c = peek(p);

        if (!is_line_end(c))
                return false;
        p->at++;
        if (c == '\r' && peek(p) == '\n')
                p->at++;
        p->line++;
        return true;
}

static void skip_comment(struct parser *p)
{
        if (peek(p) == '#')
                while (peek(p) >= 0 && !is_line_end(peek(p)))
                        p->at++;
}

/* Passes everything that has no meaning between entries and inside lists. */
static void skip_space(struct parser *p)
{
        do {
                skip_blanks(p);
                skip_comment(p);
        } while (skip_line_end(p));
}

static int parse_integer(struct parser *p, int64_t *ret)
{
        bool negative = peek(p) == '-';
        int64_t value = 0;

        if (negative || peek(p) == '+')
                p->at++;
        if (!is_digit(peek(p)))
                return fail(p, "digits expected after the sign");
        /* Built on the side of its sign, so that the smallest integer needs no special case. */
        for (; is_digit(peek(p)); p->at++) {
                int digit = peek(p) - '0';

                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, negative ? -digit : digit, &value))
                        return fail(p, "integer does not fit in 64 bits");
        }
        *ret = value;
        return 0;
}

/* Not strndup: sanitizers that check strings strictly want an end of its own in what it reads. */
static int copy_string(struct parser *p, const char *from, char **ret)
{
        size_t len = (size_t)(p->at - from);

        *ret = calloc(1, len + 1);
        if (!*ret)
                return fail_memory(p);
        memcpy(*ret, from, len);
        return 0;
}

static bool at_triple_quote(const struct parser *p)
{
        return p->end - p->at >= 3 && memcmp(p->at, "\"\"\"", 3) == 0;
}

static int parse_long_string(struct parser *p, char **ret)
{
        unsigned opened = p->line;
        const char *from;

        p->at += 3;
        from = p->at;
        while (!at_triple_quote(p)) {
                if (peek(p) < 0) {
                        p->line = opened;
                        return fail(p, "string opened by \"\"\" is not closed");
                }
                if (!skip_line_end(p))
                        p->at++;
        }
        if (copy_string(p, from, ret) < 0)
                return -ENOMEM;
        p->at += 3;
        return 0;
}

static int parse_string(struct parser *p, char **ret)
{
        int quote = peek(p);
        const char *from;

        if (at_triple_quote(p))
                return parse_long_string(p, ret);
        from = ++p->at;
        while (peek(p) != quote) {
                if (peek(p) < 0 || is_line_end(peek(p)))
                        return fail(p, "string is not closed on its line");
                p->at++;
        }
        if (copy_string(p, from, ret) < 0)
                return -ENOMEM;
        p->at++;
        return 0;
}

/* An integer or a string. */
static int parse_item(struct parser *p, struct hf_conf_value *ret)
{
        int c = peek(p);

        if (c == '"' || c == '\'') {
                ret->type = HF_CONF_STRING;
                return parse_string(p, &ret->string);
        }
        if (is_digit(c) || c == '-' || c == '+') {
                ret->type = HF_CONF_INT;
                return parse_integer(p, &ret->number);
        }
        return fail(p, "value expected: an integer, a string in quotes, or a list in [ ]");
}

/* Makes room for one more element of `size` in an array that grows by doubling. */
static void *grow(void *array, size_t n, size_t size)
{
        if ((n & (n - 1)) != 0)
                return array;
        return reallocarray(array, n ? 2 * n : 1, size);
}

static int append_item(struct parser *p, struct hf_conf_value *list)
{
        struct hf_conf_value *larger = grow(list->items, list->n_items, sizeof(*larger));

        if (!larger)
                return fail_memory(p);
        list->items = larger;
        larger[list->n_items] = (struct hf_conf_value){0};
        return parse_item(p, &larger[list->n_items++]);
}

static int parse_list(struct parser *p, struct hf_conf_value *ret)
{
        int r;

        ret->type = HF_CONF_LIST;
        p->at++;
        for (;;) {
                skip_space(p);
                if (peek(p) == ']')
                        break;
                if (peek(p) < 0)
                        return fail(p, "list is not closed by ]");
                if (peek(p) == '[')
                        return fail(p, "a list cannot hold a list");
                r = append_item(p, ret);
                if (r < 0)
                        return r;
                skip_space(p);
                if (peek(p) == ',')
                        p->at++;
                else if (peek(p) >= 0 && peek(p) != ']')
                        return fail(p, "expected , or ] after a value in a list");
        }
        p->at++;
        return 0;
}

static int parse_name(struct parser *p, char **ret)
{
        const char *from = p->at;

        if (!is_letter(peek(p)))
                return fail(p, "key expected: a letter, then letters, digits and _");
        while (is_letter(peek(p)) || is_digit(peek(p)) || peek(p) == '_')
                p->at++;
        return copy_string(p, from, ret);
}

/* What follows the key, up to and with the end of the entry. */
static int parse_rest(struct parser *p, struct hf_conf_value *ret)
{
        int r;

        skip_blanks(p);
        if (peek(p) != '=')
                return fail(p, "expected = after the key");
        p->at++;
        skip_blanks(p);
        r = peek(p) == '[' ? parse_list(p, ret) : parse_item(p, ret);
        if (r < 0)
                return r;
        skip_blanks(p);
        skip_comment(p);
        if (peek(p) == ';')
                p->at++;
        else if (peek(p) >= 0 && !is_line_end(peek(p)))
                return fail(p, "expected the end of the line after the value");
        return 0;
}

static int parse_entry(struct parser *p, struct hf_conf *conf)
{
        struct hf_conf_entry *larger, *entry;
        int r;

        if (conf->n_entries >= HF_CONF_KEYS_MAX)
                return hf_error_set(p->err, E2BIG, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "%s:%u: more than %d keys", p->filename, p->line,
                                    HF_CONF_KEYS_MAX);
        larger = grow(conf->entries, conf->n_entries, sizeof(*larger));
        if (!larger)
                return fail_memory(p);
        conf->entries = larger;
        entry = &larger[conf->n_entries++];
        *entry = (struct hf_conf_entry){.line = p->line};
        r = parse_name(p, &entry->name);
        if (r < 0)
                return r;
        return parse_rest(p, &entry->value);
}

/* A NUL would end a string early for whoever reads it later: refused before anything else. */
static int refuse_nul(struct parser *p)
{
        struct parser look = *p;

        while (peek(&look) > 0)
                if (!skip_line_end(&look))
                        look.at++;
        return peek(&look) < 0 ? 0 : fail(&look, "NUL byte: this is no text file");
}

int hf_conf_parse(const char *text, size_t len, const char *filename, struct hf_conf **ret,
                  struct hf_error *err)
{
        struct parser p = {.at = text, .line = 1, .filename = filename, .err = err};
        hf_cleanup_conf struct hf_conf *conf = NULL;
        int r;

        if (len > HF_CONF_SIZE_MAX)
                return hf_error_set(err, E2BIG, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "%s: longer than %d bytes", filename, HF_CONF_SIZE_MAX);
        p.end = len ? text + len : text;
        r = refuse_nul(&p);
        if (r < 0)
                return r;
        conf = calloc(1, sizeof(*conf));
        if (!conf)
                return fail_memory(&p);
        conf->filename = strdup(filename);
        if (!conf->filename)
                return fail_memory(&p);
        for (skip_space(&p); peek(&p) >= 0; skip_space(&p)) {
                r = parse_entry(&p, conf);
                if (r < 0)
                        return r;
        }
        *ret = hf_steal_ptr(conf);
        return 0;
}
