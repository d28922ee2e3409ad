/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A parser as terminals have it (ECMA-48), which lets only a few of its actions happen. It follows
 * a sequence to its end as a terminal would, for otherwise the rest of it would be shown as text;
 * but newline ends any of them.
 */

#include "cli/escape-filter.h"

#include <string.h>

enum state {
        TEXT,
        CHARACTER, /* within one of several bytes */
        ESCAPE,
        ESCAPE_MORE, /* with intermediate bytes */
        CSI,
        CSI_DROPPED, /* one that is not let through, whatever comes */
        STRING,
        STRING_ESCAPE,
};

/* No title or hyperlink of use is longer; a picture may be, and is shown as what it consists of. */
#define STRING_MAX 4096

#define ESC        0x1b

void hf_escape_filter_init(struct hf_escape_filter *filter, bool colours, bool utf8)
{
        *filter = (struct hf_escape_filter){.colours = colours, .utf8 = utf8};
}

struct sink {
        char *out;
        size_t n;
};

static void put(struct sink *sink, const char *bytes, size_t len)
{
        memcpy(sink->out + sink->n, bytes, len);
        sink->n += len;
}

static void put_unknown(const struct hf_escape_filter *filter, struct sink *sink)
{
        if (filter->utf8)
                put(sink, "\xef\xbf\xbd", 3);
        else
                put(sink, "?", 1);
}

static bool is_layout(unsigned char c)
{
        return c == '\n' || c == '\r' || c == '\b' || c == '\t';
}

/* Characters that turn around what is written, so that it reads as something else. */
static bool turns_text(uint32_t c)
{
        return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
               (c >= 0x2066 && c <= 0x2069);
}

static void begin_sequence(struct hf_escape_filter *filter, enum state state)
{
        filter->state = state;
        filter->held = 0;
        filter->string = 0;
}

/* The control character ESC c, or its single one. */
static void begin_control(struct hf_escape_filter *filter, unsigned char c)
{
        if (c == '[')
                begin_sequence(filter, CSI);
        else if (c && strchr("]P^_X", c))
                begin_sequence(filter, STRING);
        else
                begin_sequence(filter, TEXT);
}

static uint32_t decode(const struct hf_escape_filter *filter)
{
        static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
        uint32_t c = (unsigned char)filter->bytes[0] & first_bits[filter->wanted];

        for (int i = 1; i < filter->wanted; i++)
                c = c << 6 | ((unsigned char)filter->bytes[i] & 0x3f);
        return c;
}

static void end_character(struct hf_escape_filter *filter, struct sink *sink)
{
        static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
        uint32_t c = decode(filter);

        filter->state = TEXT;
        if (c >= 0x80 && c < 0xa0 && filter->wanted == 2)
                begin_control(filter, (unsigned char)(c - 0x40));
        else if (c < smallest[filter->wanted] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ||
                 turns_text(c) || !filter->utf8)
                put_unknown(filter, sink);
        else
                put(sink, filter->bytes, filter->wanted);
}

static void take_text(struct hf_escape_filter *filter, unsigned char c, struct sink *sink)
{
        if (c == ESC) {
                begin_sequence(filter, ESCAPE);
        } else if ((c >= ' ' && c < 0x7f) || is_layout(c)) {
                put(sink, (const char *)&c, 1);
        } else if (c >= 0xc2 && c < 0xf5) {
                filter->state = CHARACTER;
                filter->wanted = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
                filter->held = 1;
                filter->bytes[0] = (char)c;
        } else if (c >= 0x80) {
                put_unknown(filter, sink);
        }
}

/* False: the byte is none of the character's, and is yet to be taken. */
static bool take_character(struct hf_escape_filter *filter, unsigned char c, struct sink *sink)
{
        if ((c & 0xc0) != 0x80) {
                put_unknown(filter, sink);
                filter->state = TEXT;
                return false;
        }
        filter->bytes[filter->held++] = (char)c;
        if (filter->held == filter->wanted)
                end_character(filter, sink);
        return true;
}

static void take_escape(struct hf_escape_filter *filter, unsigned char c)
{
        if (c == ESC)
                begin_sequence(filter, ESCAPE);
        else if (c >= ' ' && c < '0')
                filter->state = ESCAPE_MORE;
        else if (filter->state == ESCAPE_MORE)
                filter->state = TEXT;
        else
                begin_control(filter, c);
}

/* The next of the numbers at *at, -1 at their end; what stands behind a colon belongs to it. */
static int next_number(const char **at, const char *end)
{
        int number = 0;
        bool inner = false;

        if (*at > end)
                return -1;
        for (; *at < end && **at != ';'; ++*at) {
                inner |= **at == ':';
                if (!inner && number < 1000)
                        number = 10 * number + (**at - '0');
        }
        ++*at;
        return inner ? 1000 : number;
}

/* Whether that SGR changes how text looks and nothing else; *ret_plain: it ends all colours. */
static bool is_colour(const struct hf_escape_filter *filter, bool *ret_plain)
{
        const char *at = filter->bytes, *end = filter->bytes + filter->held;
        int number;

        *ret_plain = true;
        while ((number = next_number(&at, end)) >= 0) {
                if (number == 8)
                        return false;
                *ret_plain = number == 0;
                if (number != 38 && number != 48 && number != 58)
                        continue;
                number = next_number(&at, end);
                /* Of what is no kind of colour, terminals take the number behind it for itself. */
                if (number != 5 && number != 2)
                        return false;
                for (int more = number == 5 ? 1 : 3; more > 0; more--)
                        (void)next_number(&at, end);
        }
        return true;
}

static void end_csi(struct hf_escape_filter *filter, unsigned char c, struct sink *sink)
{
        bool plain;

        if (filter->state == CSI && c == 'm' && filter->colours && is_colour(filter, &plain)) {
                put(sink, "\x1b[", 2);
                put(sink, filter->bytes, filter->held);
                put(sink, "m", 1);
                filter->coloured = !plain;
        }
        filter->state = TEXT;
}

static void take_csi(struct hf_escape_filter *filter, unsigned char c, struct sink *sink)
{
        if (c == ESC)
                begin_sequence(filter, ESCAPE);
        else if (c >= 0x40 && c < 0x7f)
                end_csi(filter, c, sink);
        else if (((c >= '0' && c <= '9') || c == ';' || c == ':') &&
                 filter->held < HF_ESCAPE_SGR_MAX - 3)
                filter->bytes[filter->held++] = (char)c;
        else if (c >= 0x20 && c < 0x7f)
                filter->state = CSI_DROPPED;
        if (filter->state == CSI_DROPPED && ++filter->string > STRING_MAX)
                filter->state = TEXT;
}

static void take_string(struct hf_escape_filter *filter, unsigned char c)
{
        if (filter->state == STRING_ESCAPE && c == '\\')
                filter->state = TEXT;
        else if (filter->state == STRING_ESCAPE)
                /* Any other sequence ends it, too. */
                take_escape(filter, c);
        else if (c == ESC)
                filter->state = STRING_ESCAPE;
        else if (c == '\a' || (c == 0x9c && filter->bytes[0] == '\xc2') ||
                 ++filter->string > STRING_MAX)
                filter->state = TEXT;
        else
                filter->bytes[0] = (char)c;
}

static void take(struct hf_escape_filter *filter, unsigned char c, struct sink *sink)
{
        if (filter->state == CHARACTER && take_character(filter, c, sink))
                return;
        /* Cancel, substitute and newline end whatever it is. */
        if (filter->state != TEXT && (c == '\n' || c == 0x18 || c == 0x1a))
                filter->state = TEXT;
        /* Terminals obey these within a sequence. */
        if (filter->state >= ESCAPE && filter->state <= CSI_DROPPED && is_layout(c)) {
                put(sink, (const char *)&c, 1);
                return;
        }
        switch (filter->state) {
        case ESCAPE:
        case ESCAPE_MORE:
                take_escape(filter, c);
                break;
        case CSI:
        case CSI_DROPPED:
                take_csi(filter, c, sink);
                break;
        case STRING:
        case STRING_ESCAPE:
                take_string(filter, c);
                break;
        default:
                take_text(filter, c, sink);
                break;
        }
}

size_t hf_escape_filter(struct hf_escape_filter *filter, const char *in, size_t len, char *out)
{
        struct sink sink = {.out = out};

        for (size_t i = 0; i < len; i++)
                take(filter, (unsigned char)in[i], &sink);
        return sink.n;
}

size_t hf_escape_filter_end(struct hf_escape_filter *filter, char *out)
{
        struct sink sink = {.out = out};

        if (filter->state == CHARACTER)
                put_unknown(filter, &sink);
        if (filter->coloured)
                put(&sink, "\x1b[0m", 4);
        hf_escape_filter_init(filter, filter->colours, filter->utf8);
        return sink.n;
}
