/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/log-private.h"

#include "base/cleanup.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/*
 * From a message to the outputs that want it.
 *
 * The settings in force are whole at any time: a new set is built and opened
 * first and then takes the place of the old one.
 */

static struct {
        const char *program;
        int level;
        struct hf_log_filter *filters;
        size_t n_filters;
        char *filters_text;
        struct hf_log_output *outputs; /* NULL before the first message or setting */
        size_t n_outputs;
        char *outputs_text;
} state = {.level = HF_LOG_WARNING};

/* systemd gives "DEVICE:INODE" of the stream to the journal that it made our stderr. */
bool hf_log_stderr_is_journal(void)
{
        const char *stream = secure_getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static int open_outputs(struct hf_log_output *outputs, size_t n, struct hf_error *err)
{
        for (size_t i = 0; i < n; i++) {
                int r = outputs[i].ops->open(&outputs[i], err);

                if (r < 0)
                        return r;
        }
        return 0;
}

static bool is_blank(const char *text)
{
        return !text || text[strspn(text, " \t\n")] == '\0';
}

static int keep_text(const char *text, char **ret, struct hf_error *err)
{
        *ret = strdup(text);
        return *ret ? 0 : hf_error_sys(err, ENOMEM, "cannot change the log");
}

int hf_log_set_outputs(const char *text, struct hf_error *err)
{
        hf_cleanup_free char *kept = NULL;
        struct hf_log_output *outputs;
        size_t n;
        int r;

        if (is_blank(text))
                text = hf_log_stderr_is_journal() ? "1:journald" : "1:stderr";
        r = keep_text(text, &kept, err);
        if (r < 0)
                return r;
        r = hf_log_parse_outputs(text, &outputs, &n, err);
        if (r < 0)
                return r;
        r = open_outputs(outputs, n, err);
        if (r < 0) {
                hf_log_free_outputs(outputs, n);
                return r;
        }
        hf_log_free_outputs(state.outputs, state.n_outputs);
        free(state.outputs_text);
        state.outputs = outputs;
        state.n_outputs = n;
        state.outputs_text = hf_steal_ptr(kept);
        return 0;
}

int hf_log_set_filters(const char *text, struct hf_error *err)
{
        hf_cleanup_free char *kept = NULL;
        struct hf_log_filter *filters;
        size_t n;
        int r;

        r = keep_text(text ? text : "", &kept, err);
        if (r < 0)
                return r;
        r = hf_log_parse_filters(kept, &filters, &n, err);
        if (r < 0)
                return r;
        hf_log_free_filters(state.filters, state.n_filters);
        free(state.filters_text);
        state.filters = filters;
        state.n_filters = n;
        state.filters_text = hf_steal_ptr(kept);
        return 0;
}

int hf_log_set_level(int level, struct hf_error *err)
{
        if (level < HF_LOG_DEBUG || level > HF_LOG_ERROR)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "log level %d: must be from 1 (debug) to 4 (error)", level);
        state.level = level;
        return 0;
}

int hf_log_level(void)
{
        return state.level;
}

const char *hf_log_filters(void)
{
        return state.filters_text ? state.filters_text : "";
}

const char *hf_log_outputs(void)
{
        return state.outputs_text ? state.outputs_text : "";
}

void hf_log_close_outputs(void)
{
        hf_log_free_outputs(state.outputs, state.n_outputs);
        state.outputs = NULL;
        state.n_outputs = 0;
}

void hf_log_close(void)
{
        hf_log_free_outputs(state.outputs, state.n_outputs);
        hf_log_free_filters(state.filters, state.n_filters);
        free(state.outputs_text);
        free(state.filters_text);
        memset(&state, 0, sizeof(state));
        state.level = HF_LOG_WARNING;
}

void hf_log_init(const char *program)
{
        hf_log_close();
        state.program = program;
        /* It fails only without memory; the first message tries again. */
        (void)hf_log_set_outputs(NULL, NULL);
}

bool hf_log_wants(enum hf_log_level level, const char *module)
{
        for (size_t i = 0; i < state.n_filters; i++)
                if (fnmatch(state.filters[i].pattern, module, 0) == 0)
                        return level >= state.filters[i].level;
        return (int)level >= state.level;
}

/* What a guest's or file's name holds must not end our line or reach a terminal as a command. */
static void blunt_controls(char *text)
{
        for (char *at = text; *at; at++)
                if ((unsigned char)*at < ' ' || *at == 0x7f)
                        *at = *at == '\n' || *at == '\t' ? ' ' : '?';
}

static void tell_lost(struct hf_log_output *output, const struct hf_log_message *after)
{
        struct hf_log_message message = *after;
        char text[64];

        (void)snprintf(text, sizeof(text), "%lu messages before this one are lost", output->lost);
        message.level = HF_LOG_WARNING;
        message.module = "log";
        message.text = text;
        message.id = NULL;
        message.n_fields = 0;
        if (output->ops->write(output, &message) == 0)
                output->lost = 0;
}

static void put(struct hf_log_output *output, const struct hf_log_message *message)
{
        if (message->level < output->level)
                return;
        if (output->lost)
                tell_lost(output, message);
        if (output->ops->write(output, message) < 0)
                output->lost++;
}

/* Puts a message, whose text, at *text, may be changed. */
static void put_all(struct hf_log_message *message, char *text)
{
        (void)clock_gettime(CLOCK_REALTIME, &message->time);
        blunt_controls(text);
        message->text = text;
        message->program = state.program ? state.program : program_invocation_short_name;
        message->pid = getpid();
        if (!state.outputs)
                (void)hf_log_set_outputs(NULL, NULL);
        for (size_t i = 0; i < state.n_outputs; i++)
                put(&state.outputs[i], message);
}

static void __attribute__((format(printf, 3, 0)))
log_text(enum hf_log_level level, const char *module, const char *format, va_list args)
{
        char text[HF_LOG_TEXT_MAX];
        struct hf_log_message message = {.level = level, .module = module};

        (void)vsnprintf(text, sizeof(text), format, args);
        put_all(&message, text);
}

void hf_log_fields(enum hf_log_level level, const char *module, const char *id,
                   const struct hf_log_field *fields, size_t n, const char *text)
{
        int saved = errno;
        char own[HF_LOG_TEXT_MAX];
        struct hf_log_message message = {
                .level = level,
                .module = module,
                .id = id,
                .fields = fields,
                .n_fields = n < HF_LOG_FIELDS_MAX ? n : HF_LOG_FIELDS_MAX,
        };

        if (hf_log_wants(level, module)) {
                (void)snprintf(own, sizeof(own), "%s", text);
                put_all(&message, own);
        }
        errno = saved;
}

void hf_log(enum hf_log_level level, const char *module, const char *format, ...)
{
        int saved = errno;
        va_list args;

        va_start(args, format);
        if (hf_log_wants(level, module)) {
                errno = saved; /* for a format with %m */
                log_text(level, module, format, args);
        }
        va_end(args);
        errno = saved;
}
