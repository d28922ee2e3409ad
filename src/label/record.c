/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "label/record.h"

#include "base/cleanup.h"

#include <sha2.h>
#include <string.h>

#define HEAD "holdfast-label 1"

/* Bytes of a sum, and of all ids. */
#define ID_SIZE 16

static const char *const places[] = {
        [HF_LABEL_ATTRIBUTE] = "attribute",
        [HF_LABEL_TABLE] = "table",
};

void hf_label_record_clear(struct hf_label_record *record)
{
        free(record->users);
        memset(record, 0, sizeof(*record));
}

int hf_label_record_join(struct hf_label_record *record, const struct hf_label_user *user)
{
        struct hf_label_user *grown;

        if (record->n_users >= HF_LABEL_USERS_MAX)
                return -E2BIG;
        grown = reallocarray(record->users, record->n_users + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        record->users = grown;
        record->users[record->n_users++] = *user;
        return 0;
}

void hf_label_record_strike(struct hf_label_record *record, size_t place)
{
        record->n_users--;
        memmove(record->users + place, record->users + place + 1,
                (record->n_users - place) * sizeof(*record->users));
}

bool hf_label_user_same(const struct hf_label_user *a, const struct hf_label_user *b)
{
        return !memcmp(a->machine, b->machine, ID_SIZE) && !memcmp(a->boot, b->boot, ID_SIZE) &&
               !memcmp(a->uuid, b->uuid, ID_SIZE) && a->pid == b->pid && a->start == b->start;
}

void hf_label_set_text(char *field, size_t size, const char *text)
{
        size_t len = strnlen(text, size);

        if (len == size) {
                len--;
                /* Never between the bytes of one character. */
                while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
                        len--;
        }
        memcpy(field, text, len);
        field[len] = '\0';
        if (!len)
                (void)snprintf(field, size, "?");
}

/* ---- writing ---- */

static void put_text(FILE *out, const char *text)
{
        for (const unsigned char *at = (const unsigned char *)text; *at; at++)
                if (*at <= ' ' || *at == 0x7f || *at == '%')
                        (void)fprintf(out, "%%%02x", *at);
                else
                        (void)fputc(*at, out);
}

static void put_bytes(FILE *out, const uint8_t *data, size_t len)
{
        for (size_t i = 0; i < len; i++)
                (void)fprintf(out, "%02x", data[i]);
        if (!len)
                (void)fputc('-', out);
}

static void put_line(FILE *out, const char *key, const char *text)
{
        (void)fprintf(out, "%s ", key);
        put_text(out, text);
        (void)fputc('\n', out);
}

static void put_user(FILE *out, const struct hf_label_user *user)
{
        (void)fputs("user ", out);
        put_bytes(out, user->machine, ID_SIZE);
        (void)fputc(' ', out);
        put_bytes(out, user->boot, ID_SIZE);
        (void)fputc(' ', out);
        put_bytes(out, user->uuid, ID_SIZE);
        (void)fprintf(out, " %d %llu ", (int)user->pid, (unsigned long long)user->start);
        put_text(out, user->host);
        (void)fputc(' ', out);
        put_text(out, user->name);
        (void)fputc('\n', out);
}

static void put_record(FILE *out, const struct hf_label_record *record)
{
        const struct hf_label_file *file = &record->file;

        put_line(out, HEAD, record->kind);
        put_line(out, "place", places[record->place]);
        (void)fputs("boot ", out);
        put_bytes(out, record->boot, ID_SIZE);
        (void)fprintf(out, "\nfile %llu %llu ", (unsigned long long)file->ino,
                      (unsigned long long)file->birth);
        put_bytes(out, file->handle, file->n_handle);
        (void)fprintf(out, " %llu\n", (unsigned long long)file->dev);
        put_line(out, "path", record->path);
        put_line(out, "original", record->original);
        put_line(out, "wanted", record->wanted);
        for (size_t i = 0; i < record->n_users; i++)
                put_user(out, &record->users[i]);
}

static void sum_of(const char *text, size_t len, uint8_t ret[static ID_SIZE])
{
        uint8_t digest[SHA256_DIGEST_LENGTH];
        SHA2_CTX context;

        SHA256Init(&context);
        SHA256Update(&context, (const uint8_t *)text, len);
        SHA256Final(digest, &context);
        memcpy(ret, digest, ID_SIZE);
}

int hf_label_record_encode(const struct hf_label_record *record, char **ret, size_t *ret_len)
{
        uint8_t sum[ID_SIZE];
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);

        if (!out)
                return -ENOMEM;
        put_record(out, record);
        if (fflush(out) == 0) {
                sum_of(text, len, sum);
                (void)fputs("sum ", out);
                put_bytes(out, sum, ID_SIZE);
                (void)fputc('\n', out);
        }
        if (fclose(out) != 0) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        *ret_len = len;
        return 0;
}

/* ---- reading ---- */

/* Words are taken off the front; at is NULL once something was amiss. */
struct reader {
        const char *at, *end;
};

static void spoil(struct reader *in)
{
        in->at = NULL;
}

static void want(struct reader *in, const char *text)
{
        size_t len = strlen(text);

        if (in->at && (size_t)(in->end - in->at) >= len && !memcmp(in->at, text, len))
                in->at += len;
        else
                spoil(in);
}

static bool follows(const struct reader *in, const char *text)
{
        struct reader look = *in;

        want(&look, text);
        return look.at != NULL;
}

static int digit(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Two digits; -1: there are none. */
static int take_byte(struct reader *in)
{
        int high, low;

        if (!in->at || in->end - in->at < 2)
                return -1;
        high = digit(in->at[0]);
        low = digit(in->at[1]);
        if (high < 0 || low < 0)
                return -1;
        in->at += 2;
        return high << 4 | low;
}

/* A word of at most size - 1 bytes, and at least one, up to `stop`, which is taken too. */
static void take_text(struct reader *in, char stop, char *ret, size_t size)
{
        size_t n = 0;

        while (in->at && in->at < in->end && *in->at != stop) {
                int c = (unsigned char)*in->at++;

                if (c <= ' ' || c == 0x7f)
                        c = 0;
                else if (c == '%')
                        c = take_byte(in);
                if (c <= 0 || n + 1 >= size) {
                        spoil(in);
                        return;
                }
                ret[n++] = (char)c;
        }
        ret[n] = '\0';
        if (!n || !in->at || in->at == in->end)
                spoil(in);
        else
                in->at++;
}

static uint64_t take_number(struct reader *in, char stop, uint64_t max)
{
        uint64_t value = 0;
        const char *begin = in->at;

        while (in->at && in->at < in->end && *in->at >= '0' && *in->at <= '9') {
                uint64_t next = value * 10 + (uint64_t)(*in->at - '0');

                /* One way to write a number, and none that is too large. */
                if (value > max / 10 || next > max || next < value || (in->at > begin && !value)) {
                        spoil(in);
                        return 0;
                }
                value = next;
                in->at++;
        }
        if (!in->at || in->at == begin || in->at == in->end || *in->at != stop)
                spoil(in);
        else
                in->at++;
        return value;
}

/* Exactly n bytes, or with `exact` false up to n of them, or "-" for none. Returns how many. */
static size_t take_bytes(struct reader *in, char stop, bool exact, uint8_t *ret, size_t n)
{
        size_t got = 0;

        if (!exact && follows(in, "-"))
                want(in, "-");
        else
                for (int c; got < n && (c = take_byte(in)) >= 0; got++)
                        ret[got] = (uint8_t)c;
        if (!in->at || (exact && got != n) || in->at == in->end || *in->at != stop)
                spoil(in);
        else
                in->at++;
        return got;
}

static void take_user(struct reader *in, struct hf_label_user *user)
{
        want(in, "user ");
        (void)take_bytes(in, ' ', true, user->machine, ID_SIZE);
        (void)take_bytes(in, ' ', true, user->boot, ID_SIZE);
        (void)take_bytes(in, ' ', true, user->uuid, ID_SIZE);
        user->pid = (pid_t)take_number(in, ' ', INT_MAX);
        user->start = take_number(in, ' ', UINT64_MAX);
        take_text(in, ' ', user->host, sizeof(user->host));
        take_text(in, '\n', user->name, sizeof(user->name));
}

static void take_place(struct reader *in, struct hf_label_record *record)
{
        char word[16] = "";

        want(in, "place ");
        take_text(in, '\n', word, sizeof(word));
        record->place = !strcmp(word, places[HF_LABEL_TABLE]) ? HF_LABEL_TABLE : HF_LABEL_ATTRIBUTE;
        if (strcmp(word, places[record->place]) != 0)
                spoil(in);
}

static void take_head(struct reader *in, struct hf_label_record *record)
{
        struct hf_label_file *file = &record->file;

        want(in, HEAD " ");
        take_text(in, '\n', record->kind, sizeof(record->kind));
        take_place(in, record);
        want(in, "boot ");
        (void)take_bytes(in, '\n', true, record->boot, ID_SIZE);
        want(in, "file ");
        file->ino = take_number(in, ' ', UINT64_MAX);
        file->birth = take_number(in, ' ', UINT64_MAX);
        file->n_handle = take_bytes(in, ' ', false, file->handle, sizeof(file->handle));
        file->dev = take_number(in, '\n', UINT64_MAX);
        want(in, "path ");
        take_text(in, '\n', record->path, sizeof(record->path));
        want(in, "original ");
        take_text(in, '\n', record->original, sizeof(record->original));
        want(in, "wanted ");
        take_text(in, '\n', record->wanted, sizeof(record->wanted));
}

int hf_label_record_decode(const char *text, size_t len, struct hf_label_record *ret)
{
        hf_cleanup_label_record struct hf_label_record record = {0};
        struct reader in = {text, text + len};
        uint8_t said[ID_SIZE], sum[ID_SIZE];

        if (len > HF_LABEL_RECORD_MAX)
                return -EBADMSG;
        take_head(&in, &record);
        while (in.at && follows(&in, "user ")) {
                struct hf_label_user user = {0};
                int r;

                take_user(&in, &user);
                r = in.at ? hf_label_record_join(&record, &user) : 0;
                if (r < 0)
                        return r == -E2BIG ? -EBADMSG : r;
        }
        if (!in.at)
                return -EBADMSG;
        sum_of(text, (size_t)(in.at - text), sum);
        want(&in, "sum ");
        (void)take_bytes(&in, '\n', true, said, ID_SIZE);
        if (!in.at || in.at != in.end || memcmp(said, sum, ID_SIZE) != 0)
                return -EBADMSG;
        *ret = record;
        record = (struct hf_label_record){0};
        return 0;
}
