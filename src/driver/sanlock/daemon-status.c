/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/daemon-status.h"

#include "base/cleanup.h"
#include "base/program.h"

#include <limits.h>
#include <sanlock.h>
#include <sanlock_admin.h>
#include <string.h>

/* What 1024 connections (the daemon has no more) with a dozen leases each fill. */
#define STATUS_SIZE_MAX (16 * 1024 * 1024)

/* The usual time after which a watchdog resets a host; daemons that do not say have no other. */
#define WATCHDOG_FIRE_S 60

/* How long a line of ours may be: the longest form of a resource, and what is behind it. */
#define LINE_SIZE_MAX (SANLK_MAX_RES_STR + 256)

enum block { BLOCK_OTHER, BLOCK_DAEMON, BLOCK_PROCESS, BLOCK_SPACE, BLOCK_HELD };

/* ---- parts of lines ---------------------------------------------------------------------- */

static uint64_t number_of(const char *text)
{
        char *end;
        unsigned long long value;

        if (*text < '0' || *text > '9')
                return 0;
        errno = 0;
        value = strtoull(text, &end, 10);
        return errno == 0 ? value : 0;
}

static unsigned int small_number_of(const char *text)
{
        uint64_t value = number_of(text);

        return value > UINT_MAX ? UINT_MAX : (unsigned int)value;
}

static void copy_name(char to[static 49], const char *from)
{
        (void)snprintf(to, 49, "%.48s", from);
}

/*
 * Cuts the part before the next colon off, in place; a backslash takes away the meaning of
 * what is behind it. Returns the part, and moves *at behind it; NULL when there was no more.
 */
static char *next_part(char **at)
{
        char *begin = *at, *to = *at, *from = *at;

        if (!begin)
                return NULL;
        for (; *from && *from != ':'; from++) {
                if (*from == '\\' && from[1])
                        from++;
                *to++ = *from;
        }
        *at = *from ? from + 1 : NULL;
        *to = '\0';
        return begin;
}

/* Room for one more, all zero, behind n of that size; NULL if there is no memory. */
static void *one_more(void **array, size_t n, size_t size)
{
        void *grown;

        /* Doubled each time that it is full. */
        if ((n & (n - 1)) == 0) {
                grown = reallocarray(*array, n ? n * 2 : 1, size);
                if (!grown)
                        return NULL;
                *array = grown;
        }
        return memset((char *)*array + n * size, 0, size);
}

/* ---- status ------------------------------------------------------------------------------ */

/* "PID NAME" */
static int add_process(struct hf_sanlock_daemon *status, char *line)
{
        pid_t pid = (pid_t)small_number_of(line);
        struct hf_sanlock_process *process;
        const char *name = strchr(line, ' ');

        /* Those without one are the daemon's own: its helper, its listener, and who asks. */
        if (pid <= 0)
                return 0;
        process = one_more((void **)&status->processes, status->n_processes, sizeof(*process));
        if (!process)
                return -ENOMEM;
        process->pid = pid;
        copy_name(process->name, name ? name + 1 : "");
        status->n_processes++;
        return 1;
}

/* "NAME:ID:PATH:OFFSET [ADD|REM]" */
static int add_space(struct hf_sanlock_daemon *status, char *line)
{
        char *name = next_part(&line), *id = next_part(&line), *path = next_part(&line);
        const char *offset = next_part(&line);
        struct hf_sanlock_space *space;

        if (!offset)
                return 0;
        space = one_more((void **)&status->spaces, status->n_spaces, sizeof(*space));
        if (!space)
                return -ENOMEM;
        space->path = strdup(path);
        if (!space->path)
                return -ENOMEM;
        copy_name(space->name, name);
        space->host_id = number_of(id);
        space->offset = number_of(offset);
        space->adding = strstr(offset, " ADD") != NULL;
        space->removing = strstr(offset, " REM") != NULL;
        status->n_spaces++;
        return 1;
}

/* "LOCKSPACE:KEY:PATH:OFFSET[:PATH:OFFSET]...:VERSION p PID", or SH for the version */
static int add_held(struct hf_sanlock_daemon *status, char *line)
{
        char *owner = NULL, *parts[2 + 2 * SANLK_MAX_DISKS + 1] = {NULL};
        struct hf_sanlock_held *held;
        size_t n = 0;

        for (char *found = line; (found = strstr(found, " p ")); found++)
                owner = found;
        if (owner) {
                *owner = '\0';
                owner += strlen(" p ");
        }
        while (line && n < HF_ARRAY_LEN(parts))
                parts[n++] = next_part(&line);
        /* Names, a place or more, the version. */
        if (line || n < 5 || n % 2 == 0)
                return 0;
        held = one_more((void **)&status->held, status->n_held, sizeof(*held));
        if (!held)
                return -ENOMEM;
        held->path = strdup(parts[2]);
        if (!held->path)
                return -ENOMEM;
        copy_name(held->lockspace, parts[0]);
        copy_name(held->key, parts[1]);
        held->offset = number_of(parts[3]);
        held->shared = !strcmp(parts[n - 1], "SH");
        held->version = number_of(parts[n - 1]);
        held->pid = owner ? (pid_t)small_number_of(owner) : 0;
        status->n_held++;
        return 1;
}

static void set_of_daemon(struct hf_sanlock_daemon *status, const char *key, const char *value)
{
        if (!strcmp(key, "our_host_name"))
                copy_name(status->host_name, value);
        else if (!strcmp(key, "version_str"))
                (void)snprintf(status->version, sizeof(status->version), "%s", value);
        else if (!strcmp(key, "use_watchdog"))
                status->watchdog = number_of(value) != 0;
        else if (!strcmp(key, "kill_grace_seconds"))
                status->grace = small_number_of(value);
        else if (!strcmp(key, "watchdog_fire_timeout"))
                status->watchdog_fire = small_number_of(value);
}

static void set_of_space(struct hf_sanlock_space *space, const char *key, const char *value)
{
        if (!strcmp(key, "io_timeout"))
                space->io_timeout = small_number_of(value);
        else if (!strcmp(key, "renew_fail"))
                space->renew_fail = small_number_of(value);
        else if (!strcmp(key, "killing_pids"))
                space->killing = number_of(value) != 0;
        else if (!strcmp(key, "renewal_last_success"))
                space->last_success = number_of(value);
        else if (!strcmp(key, "list")) {
                space->adding |= !strcmp(value, "add");
                space->removing |= !strcmp(value, "rem");
        }
}

/* "KEY=VALUE" of the last thing that was begun. */
static void set(struct hf_sanlock_daemon *status, enum block block, char *line)
{
        char *value = strchr(line, '=');

        if (!value)
                return;
        *value++ = '\0';
        if (block == BLOCK_DAEMON)
                set_of_daemon(status, line, value);
        else if (block == BLOCK_PROCESS && !strcmp(line, "restricted"))
                status->processes[status->n_processes - 1].restricted = number_of(value) != 0;
        else if (block == BLOCK_SPACE)
                set_of_space(&status->spaces[status->n_spaces - 1], line, value);
        else if (block == BLOCK_HELD && !strcmp(line, "list"))
                status->held[status->n_held - 1].orphan = !strncmp(value, "orphan", 6);
}

/* A line that begins something. Returns the kind, or a negative errno. */
static int begin(struct hf_sanlock_daemon *status, char *line)
{
        static const struct {
                const char *word;
                enum block block;
                int (*add)(struct hf_sanlock_daemon *status, char *line);
        } kinds[] = {
                {"p ", BLOCK_PROCESS, add_process},
                {"s ", BLOCK_SPACE, add_space},
                {"r ", BLOCK_HELD, add_held},
        };

        if (!strncmp(line, "daemon ", 7)) {
                copy_name(status->host_name, line + 7);
                return BLOCK_DAEMON;
        }
        for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++)
                if (!strncmp(line, kinds[i].word, 2)) {
                        int r = kinds[i].add(status, line + 2);

                        return r > 0 ? (int)kinds[i].block : r < 0 ? r : (int)BLOCK_OTHER;
                }
        return BLOCK_OTHER;
}

/* Copies the next line without its end, moves *at behind it; NULL at the end. Cut if too long. */
static char *next_line(const char **at, char line[static LINE_SIZE_MAX])
{
        const char *end = strchrnul(*at, '\n');
        size_t len = (size_t)(end - *at);

        if (!**at)
                return NULL;
        if (len >= LINE_SIZE_MAX)
                len = LINE_SIZE_MAX - 1;
        memcpy(line, *at, len);
        line[len] = '\0';
        *at = *end ? end + 1 : end;
        return line;
}

static int read_lines(const char *text, struct hf_sanlock_daemon *status)
{
        char line[LINE_SIZE_MAX];
        int block = BLOCK_OTHER;
        bool found = false;

        while (next_line(&text, line)) {
                if (line[0] == ' ' || line[0] == '\t') {
                        set(status, (enum block)block, line + strspn(line, " \t"));
                        continue;
                }
                block = begin(status, line);
                if (block < 0)
                        return block;
                found |= block == BLOCK_DAEMON;
        }
        return found ? 0 : -EPROTO;
}

int hf_sanlock_status_parse(const char *text, struct hf_sanlock_daemon *ret, struct hf_error *err)
{
        struct hf_sanlock_daemon status = {.watchdog_fire = WATCHDOG_FIRE_S};
        int r = read_lines(text, &status);

        if (r < 0) {
                hf_sanlock_status_clear(&status);
                if (r == -ENOMEM)
                        return hf_error_sys(err, ENOMEM, "cannot read what sanlock says");
                return hf_error_set(err, -r, HF_ERR_RPC, HF_FROM_LOCKING,
                                    "what 'sanlock client status' says is not understood");
        }
        *ret = status;
        return 0;
}

void hf_sanlock_status_clear(struct hf_sanlock_daemon *status)
{
        for (size_t i = 0; i < status->n_spaces; i++)
                free(status->spaces[i].path);
        for (size_t i = 0; i < status->n_held; i++)
                free(status->held[i].path);
        free(status->processes);
        free(status->spaces);
        free(status->held);
        *status = (struct hf_sanlock_daemon){0};
}

/* ---- hosts ------------------------------------------------------------------------------- */

static void set_of_host(struct hf_sanlock_host *host, char *line)
{
        char *value = strchr(line, '=');

        if (!value)
                return;
        *value++ = '\0';
        if (!strcmp(line, "owner_generation"))
                host->generation = number_of(value);
        else if (!strcmp(line, "timestamp"))
                host->timestamp = number_of(value);
        else if (!strcmp(line, "io_timeout"))
                host->io_timeout = small_number_of(value);
        else if (!strcmp(line, "last_live"))
                host->last_live = number_of(value);
        else if (!strcmp(line, "owner_name"))
                copy_name(host->name, value);
}

int hf_sanlock_hosts_parse(const char *text, struct hf_sanlock_host **ret, size_t *ret_n,
                           struct hf_error *err)
{
        hf_cleanup_free struct hf_sanlock_host *hosts = NULL;
        struct hf_sanlock_host *host = NULL;
        char line[LINE_SIZE_MAX];
        size_t n = 0;

        while (next_line(&text, line)) {
                if (line[0] == ' ' || line[0] == '\t') {
                        if (host)
                                set_of_host(host, line + strspn(line, " \t"));
                        continue;
                }
                host = NULL;
                if (number_of(line) == 0)
                        continue;
                host = one_more((void **)&hosts, n, sizeof(*host));
                if (!host)
                        return hf_error_sys(err, ENOMEM, "cannot read what sanlock says");
                host->id = number_of(line);
                host->state = HF_SANLOCK_HOST_UNKNOWN;
                n++;
        }
        *ret = hf_steal_ptr(hosts);
        *ret_n = n;
        return 0;
}

/* ---- asking ------------------------------------------------------------------------------ */

/* Runs `sanlock client` with those words. */
static int ask(const char *const *argv, uint64_t deadline, char **ret, struct hf_error *err)
{
        hf_cleanup_free char *text = NULL;
        char path[PATH_MAX];
        int status, r;

        if (hf_program_find("sanlock", path) < 0)
                return hf_error_set(err, ENOENT, HF_ERR_NO_SERVER, HF_FROM_LOCKING,
                                    "the command sanlock is not installed here");
        r = hf_program_read(path, argv, deadline, STATUS_SIZE_MAX, &text, &status, err);
        if (r < 0)
                return r;
        if (status != 0)
                return hf_error_set(err, ECONNREFUSED, HF_ERR_NO_SERVER, HF_FROM_LOCKING,
                                    "the sanlock daemon does not answer; is it running, and may "
                                    "this user ask it?");
        *ret = hf_steal_ptr(text);
        return 0;
}

int hf_sanlock_status_read(uint64_t deadline, struct hf_sanlock_daemon *ret, struct hf_error *err)
{
        static const char *const argv[] = {"sanlock", "client", "status", "-D", NULL};
        hf_cleanup_free char *text = NULL;
        int r = ask(argv, deadline, &text, err);

        return r < 0 ? r : hf_sanlock_status_parse(text, ret, err);
}

/* The states, which the command does not tell. */
static int read_states(const char *lockspace, struct hf_sanlock_host **ret, size_t *ret_n,
                       struct hf_error *err)
{
        struct sanlk_host *found = NULL;
        struct hf_sanlock_host *hosts;
        int n = 0, rv = sanlock_get_hosts(lockspace, 0, &found, &n, 0);

        if (rv == -EAGAIN)
                return hf_error_set(err, EAGAIN, HF_ERR_OPERATION_INVALID, HF_FROM_LOCKING,
                                    "the hosts of %s are not known yet", lockspace);
        if (rv < 0)
                return hf_error_set(err,
                                    rv == -ENOSPC ? ENOENT
                                    : rv > -200   ? -rv
                                                  : EIO,
                                    HF_ERR_OPERATION_INVALID, HF_FROM_LOCKING,
                                    "cannot ask for the hosts of %s (sanlock: %d)", lockspace, rv);
        hosts = calloc(n > 0 ? (size_t)n : 1, sizeof(*hosts));
        for (int i = 0; hosts && i < n; i++)
                hosts[i] = (struct hf_sanlock_host){
                        .id = found[i].host_id,
                        .generation = found[i].generation,
                        .timestamp = found[i].timestamp,
                        .io_timeout = found[i].io_timeout,
                        .state = (enum hf_sanlock_host_state)(found[i].flags & SANLK_HOST_MASK),
                };
        free(found);
        if (!hosts)
                return hf_error_sys(err, ENOMEM, "cannot ask for the hosts of %s", lockspace);
        *ret = hosts;
        *ret_n = (size_t)n;
        return 0;
}

int hf_sanlock_hosts_read(const char *lockspace, uint64_t deadline, struct hf_sanlock_host **ret,
                          size_t *ret_n, struct hf_error *err)
{
        const char *const argv[] = {"sanlock", "client", "host_status", "-s",
                                    lockspace, "-D",     NULL};
        hf_cleanup_free struct hf_sanlock_host *hosts = NULL, *named = NULL;
        hf_cleanup_free char *text = NULL;
        size_t n = 0, n_named = 0;
        int r = read_states(lockspace, &hosts, &n, err);

        if (r < 0)
                return r;
        /* Without names and ages, the states are still worth telling. */
        if (ask(argv, deadline, &text, NULL) >= 0)
                (void)hf_sanlock_hosts_parse(text, &named, &n_named, NULL);
        for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < n_named; j++)
                        if (named[j].id == hosts[i].id) {
                                hosts[i].last_live = named[j].last_live;
                                copy_name(hosts[i].name, named[j].name);
                        }
        *ret = hf_steal_ptr(hosts);
        *ret_n = n;
        return 0;
}
