/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/log-private.h"

#include "base/cleanup.h"

#include <string.h>

/*
 * log_filters and log_outputs: words that are separated by spaces, each of
 * which begins with a level and a colon. A word is parsed in place, with its
 * length; nothing is kept unless all words are good.
 */

/* Filters or outputs in one setting; each message walks through all of them. */
#define WORDS_MAX 64

struct word {
        const char *text;
        size_t len;
        enum hf_log_level level;
        const char *rest; /* after "LEVEL:", not closed by NUL */
        size_t rest_len;
};

static int bad_word(struct hf_error *err, const char *what, const struct word *word,
                    const char *problem)
{
        return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE, "%s \"%.*s\": %s", what,
                            (int)word->len, word->text, problem);
}

/* Moves *at past the next word. Returns 1 with *ret, 0 at the end, or -EINVAL. */
static int next_word(const char **at, const char *what, struct word *ret, struct hf_error *err)
{
        const char *text = *at + strspn(*at, " \t\n");
        struct word word = {.text = text, .len = strcspn(text, " \t\n")};

        *at = text + word.len;
        if (!word.len)
                return 0;
        if (word.len < 2 || word.text[1] != ':' || word.text[0] < '1' || word.text[0] > '4')
                return bad_word(err, what, &word,
                                "must begin with a level from 1 (debug) to 4 (error) and a colon");
        word.level = (enum hf_log_level)(word.text[0] - '0');
        word.rest = word.text + 2;
        word.rest_len = word.len - 2;
        *ret = word;
        return 1;
}

static int count_words(const char *text, const char *what, size_t *ret, struct hf_error *err)
{
        const char *at = text;
        struct word word;
        size_t n = 0;
        int r;

        while ((r = next_word(&at, what, &word, err)) > 0)
                n++;
        if (r < 0)
                return r;
        if (n > WORDS_MAX)
                return hf_error_set(err, E2BIG, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "more than %d words where each is a %s", WORDS_MAX, what);
        *ret = n;
        return 0;
}

static int no_memory(struct hf_error *err)
{
        return hf_error_sys(err, ENOMEM, "cannot change the log");
}

static int parse_filter(const struct word *word, struct hf_log_filter *ret, struct hf_error *err)
{
        const char *match = word->rest;
        size_t len = word->rest_len;

        if (len && match[0] == '+') {
                match++;
                len--;
        }
        if (!len)
                return bad_word(err, "log filter", word, "a module's name must follow the colon");
        if (asprintf(&ret->pattern, "*%.*s*", (int)len, match) < 0) {
                ret->pattern = NULL;
                return no_memory(err);
        }
        ret->level = word->level;
        return 0;
}

int hf_log_parse_filters(const char *text, struct hf_log_filter **ret, size_t *ret_n,
                         struct hf_error *err)
{
        struct hf_log_filter *filters = NULL;
        const char *at = text;
        struct word word;
        size_t n = 0;
        int r;

        r = count_words(text, "log filter", &n, err);
        if (r < 0)
                return r;
        if (n) {
                filters = calloc(n, sizeof(*filters));
                if (!filters)
                        return no_memory(err);
        }
        for (size_t i = 0; i < n && next_word(&at, "log filter", &word, NULL) > 0; i++) {
                r = parse_filter(&word, &filters[i], err);
                if (r < 0) {
                        hf_log_free_filters(filters, n);
                        return r;
                }
        }
        *ret = filters;
        *ret_n = n;
        return 0;
}

static int check_argument(const struct word *word, const struct hf_log_output_ops *ops,
                          const char *argument, size_t len, struct hf_error *err)
{
        char problem[128];

        if (!ops->argument && !argument)
                return 0;
        if (!ops->argument) {
                (void)snprintf(problem, sizeof(problem), "nothing can follow \"%s\"", ops->name);
                return bad_word(err, "log output", word, problem);
        }
        if (!len) {
                (void)snprintf(problem, sizeof(problem), "%s must follow \"%s:\"", ops->argument,
                               ops->name);
                return bad_word(err, "log output", word, problem);
        }
        return 0;
}

static int parse_output(const struct word *word, struct hf_log_output *ret, struct hf_error *err)
{
        const char *colon = memchr(word->rest, ':', word->rest_len);
        const char *argument = colon ? colon + 1 : NULL;
        size_t name_len = colon ? (size_t)(colon - word->rest) : word->rest_len;
        size_t len = colon ? word->rest_len - name_len - 1 : 0;
        int r;

        ret->ops = hf_log_find_output(word->rest, name_len);
        if (!ret->ops)
                return bad_word(err, "log output", word,
                                "must go to stderr, syslog:NAME, file:PATH or journald");
        r = check_argument(word, ret->ops, argument, len, err);
        if (r < 0)
                return r;
        if (argument) {
                ret->argument = strndup(argument, len);
                if (!ret->argument)
                        return no_memory(err);
        }
        ret->level = word->level;
        return 0;
}

int hf_log_parse_outputs(const char *text, struct hf_log_output **ret, size_t *ret_n,
                         struct hf_error *err)
{
        struct hf_log_output *outputs = NULL;
        const char *at = text;
        struct word word;
        size_t n = 0;
        int r;

        r = count_words(text, "log output", &n, err);
        if (r < 0)
                return r;
        if (n) {
                outputs = calloc(n, sizeof(*outputs));
                if (!outputs)
                        return no_memory(err);
        }
        for (size_t i = 0; i < n; i++)
                outputs[i].fd = -1;
        for (size_t i = 0; i < n && next_word(&at, "log output", &word, NULL) > 0; i++) {
                r = parse_output(&word, &outputs[i], err);
                if (r < 0) {
                        hf_log_free_outputs(outputs, n);
                        return r;
                }
        }
        *ret = outputs;
        *ret_n = n;
        return 0;
}

void hf_log_free_filters(struct hf_log_filter *filters, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(filters[i].pattern);
        free(filters);
}

void hf_log_free_outputs(struct hf_log_output *outputs, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                free(outputs[i].argument);
                if (!outputs[i].borrowed)
                        hf_close_fd(&outputs[i].fd);
        }
        free(outputs);
}

int hf_log_check_filters(const char *text, struct hf_error *err)
{
        struct hf_log_filter *filters;
        size_t n;
        int r = text ? hf_log_parse_filters(text, &filters, &n, err) : -ENODATA;

        if (r >= 0)
                hf_log_free_filters(filters, n);
        return text ? r : 0;
}

int hf_log_check_outputs(const char *text, struct hf_error *err)
{
        struct hf_log_output *outputs;
        size_t n;
        int r = text ? hf_log_parse_outputs(text, &outputs, &n, err) : -ENODATA;

        if (r >= 0)
                hf_log_free_outputs(outputs, n);
        return text ? r : 0;
}
