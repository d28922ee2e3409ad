/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 *   holdfast-pr 1
 *   generation 7
 *   aptpl 1
 *   type 5
 *   holder HOST/VM
 *   nexus 00000000000000aa 0 0000 0 BOOT-ID HOST/VM
 *   sum SHA-256 of all lines before
 *
 * Decoding is lenient with a line and strict with the whole: what does not come out the same when
 * it is encoded again was not written by us.
 */

#include "prhelper/emulated/state-text.h"

#include "prhelper/emulated/nexus.h"

#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <sha2.h>
#include <string.h>

#define MAGIC  "holdfast-pr 1\n"
#define EMPTY  "-"
#define SUM    "sum "
#define DIGITS (SHA256_DIGEST_LENGTH * 2)

/* "sum ", the digits and the end of line. */
#define SUM_SIZE (sizeof(SUM) - 1 + DIGITS + 1)

/* Every byte may be escaped. */
#define WORD_MAX (3 * HF_PR_NEXUS_MAX)

int hf_pr_word_encode(const char *name, bool keep_slash, char *ret, size_t size)
{
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    "_:-.";
        size_t at = 0;

        if (!strcmp(name, EMPTY))
                return snprintf(ret, size, "%%2D") < (int)size ? 3 : -ENAMETOOLONG;
        for (const char *in = *name ? name : EMPTY; *in; in++) {
                /* A file of this name shall not be hidden, nor be the folder itself. */
                bool dot = *in == '.' && at == 0;

                if (at + 4 > size)
                        return -ENAMETOOLONG;
                if ((strchr(plain, *in) && !dot) || (*in == '/' && keep_slash))
                        ret[at++] = *in;
                else
                        at += (size_t)sprintf(ret + at, "%%%02X", (unsigned char)*in);
        }
        ret[at] = '\0';
        return (int)at;
}

static int digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int decode_word(const char *word, char *ret, size_t size)
{
        size_t at = 0;

        memset(ret, 0, size);
        if (!strcmp(word, EMPTY))
                return 0;
        for (; *word; word++) {
                if (at + 1 >= size)
                        return -EBADMSG;
                if (*word != '%') {
                        ret[at++] = *word;
                        continue;
                }
                if (digit(word[1]) < 0 || digit(word[2]) < 0)
                        return -EBADMSG;
                ret[at++] = (char)(digit(word[1]) << 4 | digit(word[2]));
                word += 2;
        }
        return 0;
}

static void sum_of(const char *text, size_t n, char ret[static DIGITS + 1])
{
        (void)SHA256Data((const uint8_t *)text, n, ret);
}

static void print_nexus(FILE *file, const struct hf_pr_nexus_state *nexus)
{
        char name[WORD_MAX + 4], boot[3 * HF_PR_BOOT_MAX + 4];

        (void)hf_pr_word_encode(nexus->name, true, name, sizeof(name));
        (void)hf_pr_word_encode(nexus->boot, true, boot, sizeof(boot));
        (void)fprintf(file, "nexus %016" PRIx64 " %d %04x %" PRIu64 " %s %s\n", nexus->key,
                      nexus->all_tg_pt, nexus->attention, nexus->attention_since, boot, name);
}

int hf_pr_state_encode(const struct hf_pr_state *state, char **ret, size_t *ret_n)
{
        char holder[WORD_MAX + 4], sum[DIGITS + 1];
        hf_cleanup_free char *text = NULL;
        size_t n = 0;
        bool failed;
        FILE *file = open_memstream(&text, &n);

        if (!file)
                return -ENOMEM;
        (void)hf_pr_word_encode(state->holder, true, holder, sizeof(holder));
        (void)fprintf(file, MAGIC "generation %" PRIu32 "\naptpl %d\ntype %u\nholder %s\n",
                      state->generation, state->aptpl, state->type, holder);
        for (size_t i = 0; i < state->n; i++)
                print_nexus(file, &state->nexuses[i]);
        failed = fflush(file) != 0;
        if (!failed) {
                sum_of(text, n, sum);
                (void)fprintf(file, SUM "%s\n", sum);
        }
        failed = ferror(file) || failed;
        if (fclose(file) != 0 || failed)
                return -ENOMEM;
        *ret = hf_steal_ptr(text);
        *ret_n = n;
        return 0;
}

static int decode_nexus(char *line, struct hf_pr_state *state)
{
        char name[HF_PR_NEXUS_MAX];
        struct hf_pr_nexus_state *nexus;
        unsigned int all, attention;
        uint64_t key, since;
        int boot = 0, boot_end = 0, at = 0, result;

        if (sscanf(line, "nexus %" SCNx64 " %u %x %" SCNu64 " %n%*s%n %n", &key, &all, &attention,
                   &since, &boot, &boot_end, &at) != 4 ||
            at == 0 || all > 1 || attention > UINT16_MAX ||
            decode_word(line + at, name, sizeof(name)) < 0 ||
            state->n >= HF_PR_NEXUSES_MAX + HF_PR_ATTENTIONS_MAX || hf_pr_nexus_find(state, name))
                return -EBADMSG;
        result = hf_pr_nexus_need(state, name, &nexus);
        if (result < 0)
                return result;
        line[boot_end] = '\0';
        if (decode_word(line + boot, nexus->boot, sizeof(nexus->boot)) < 0)
                return -EBADMSG;
        nexus->key = key;
        nexus->all_tg_pt = all;
        nexus->attention = (uint16_t)attention;
        nexus->attention_since = since;
        return 0;
}

static int decode_lines(char *text, struct hf_pr_state *state)
{
        char *rest = text, *line;
        unsigned int aptpl, type;
        int holder = 0, at = 0;

        if (sscanf(text, MAGIC "generation %" SCNu32 " aptpl %u type %u holder %n%*s%n",
                   &state->generation, &aptpl, &type, &holder, &at) != 3 ||
            at == 0 || text[at] != '\n' || aptpl > 1 || type > UINT8_MAX)
                return -EBADMSG;
        state->aptpl = aptpl;
        state->type = (uint8_t)type;
        text[at] = '\0';
        if (decode_word(text + holder, state->holder, sizeof(state->holder)) < 0)
                return -EBADMSG;
        rest = text + at + 1;
        while ((line = strsep(&rest, "\n")) && rest) {
                int result = decode_nexus(line, state);

                if (result < 0)
                        return result;
        }
        return 0;
}

/* Whether those are the bytes that the state is written as. */
static int compare(const struct hf_pr_state *state, const char *text, size_t n)
{
        hf_cleanup_free char *again = NULL;
        size_t length;
        int result = hf_pr_state_encode(state, &again, &length);

        if (result < 0)
                return result;
        return length == n && !memcmp(again, text, n) && hf_pr_state_sound(state) ? 0 : -EBADMSG;
}

int hf_pr_state_decode(const char *text, size_t n, struct hf_pr_state *ret, struct hf_error *err)
{
        hf_cleanup(hf_pr_state_clear) struct hf_pr_state state = {0};
        hf_cleanup_free char *copy = NULL;
        char sum[DIGITS + 1];
        int result;

        if (n < SUM_SIZE || n > HF_PR_STATE_TEXT_MAX ||
            strncmp(text, MAGIC, sizeof(MAGIC) - 1) != 0)
                return hf_error_set(err, EBADMSG, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                    "it is not the state of a reservation, or a newer one's");
        sum_of(text, n - SUM_SIZE, sum);
        if (memcmp(text + n - DIGITS - 1, sum, DIGITS) != 0)
                return hf_error_set(
                        err, EBADMSG, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                        "the state of the reservation is damaged: its checksum differs");
        copy = strndup(text, n - SUM_SIZE);
        if (!copy)
                return hf_error_sys(err, ENOMEM, "the state of a reservation");
        result = decode_lines(copy, &state);
        if (result == 0)
                result = compare(&state, text, n);
        if (result < 0)
                return hf_error_set(err, -result, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE,
                                    "there can be no such state of a reservation");
        *ret = state;
        state = (struct hf_pr_state){0};
        return 0;
}
