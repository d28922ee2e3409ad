/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/state.h"

#include "base/cleanup.h"
#include "driver/error.h"

#include <ctype.h>
#include <sanlock_admin.h>
#include <sanlock_resource.h>
#include <sanlock_rv.h>
#include <string.h>

/* More leases than the most disks that a VM may have; see HF_SANLOCK_LEASES_MAX. */
#define ITEMS_MAX 8192

/* LOCKSPACE:KEY:PATH:OFFSET, and the version. */
#define COLONS_MIN 3

static int not_a_state(struct hf_lock_error *err)
{
        return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                "the state that was given is none of sanlock's leases");
}

/* One item as the library's own reader can take it, which looks at less. Its length, or 0. */
static size_t check_item(const char *text)
{
        size_t len = 0, colons = 0;

        for (; text[len] && text[len] != ' '; len++) {
                if (!isprint((unsigned char)text[len]))
                        return 0;
                if (text[len] == '\\' && text[len + 1] && text[len + 1] != ' ')
                        len++;
                else if (text[len] == ':')
                        colons++;
        }
        return colons >= COLONS_MIN && len < SANLK_MAX_RES_STR ? len : 0;
}

static int parse_item(const char *text, size_t len, struct hf_sanlock_state *state)
{
        char item[SANLK_MAX_RES_STR + 1];
        struct sanlk_resource *res = NULL;

        memcpy(item, text, len);
        item[len] = '\0';
        if (sanlock_str_to_res(item, &res) < 0 || !res)
                return -EINVAL;
        state->items[state->n++] = res;
        return res->num_disks >= 1 && res->num_disks <= SANLK_MAX_DISKS ? 0 : -EINVAL;
}

int hf_sanlock_state_parse(const char *text, struct hf_sanlock_state *ret,
                           struct hf_lock_error *err)
{
        struct hf_sanlock_state state = {0};
        size_t room = 1;

        if (!text || !*text) {
                *ret = state;
                return 0;
        }
        for (const char *at = text; *at; at++)
                room += *at == ' ';
        if (room > ITEMS_MAX)
                return not_a_state(err);
        state.items = calloc(room, sizeof(*state.items));
        if (!state.items)
                return hf_driver_no_memory(err);
        while (*text) {
                size_t len = check_item(text);

                if (len == 0 || parse_item(text, len, &state) < 0) {
                        hf_sanlock_state_clear(&state);
                        return not_a_state(err);
                }
                text += len;
                text += *text == ' ';
        }
        *ret = state;
        return 0;
}

int hf_sanlock_state_of(pid_t pid, struct hf_sanlock_state *ret, struct hf_lock_error *err)
{
        hf_cleanup_free char *text = NULL;
        int n = 0, rv;

        rv = sanlock_inquire(-1, pid, 0, &n, &text);
        /* The end of the connection. */
        if (rv == -1)
                rv = -ECONNRESET;
        if (rv < 0)
                return hf_sanlock_fail(err, HF_SANLOCK_INQUIRE, rv, "process %d", pid);
        return hf_sanlock_state_parse(text, ret, err);
}

void hf_sanlock_state_clear(struct hf_sanlock_state *state)
{
        for (int i = 0; i < state->n; i++)
                free(state->items[i]);
        free(state->items);
        *state = (struct hf_sanlock_state){0};
}

const struct sanlk_resource *hf_sanlock_state_find(const struct hf_sanlock_state *state,
                                                   const char *lockspace, const char *key)
{
        for (int i = state->n; i-- > 0;) {
                const struct sanlk_resource *item = state->items[i];

                if (!strncmp(item->lockspace_name, lockspace, SANLK_NAME_LEN) &&
                    !strncmp(item->name, key, SANLK_NAME_LEN))
                        return item;
        }
        return NULL;
}

int hf_sanlock_state_release(pid_t pid, const struct hf_sanlock_state *state,
                             struct hf_lock_error *err)
{
        struct hf_lock_error ignored = {.size = sizeof(ignored)};
        int first = 0;

        /* One by one: in a call with several, one that fails would keep others. */
        for (int i = 0; i < state->n; i++) {
                int rv = sanlock_release(-1, pid, 0, 1, &state->items[i]);

                if (rv < 0 && rv != -1)
                        rv = hf_sanlock_fail(first ? &ignored : err, HF_SANLOCK_RELEASE, rv,
                                             "cannot release the lease %.48s of process %d",
                                             state->items[i]->name, pid);
                else
                        rv = 0;
                first = first ? first : rv;
        }
        return first;
}

/* Whether all are as they were, before one is touched: to take a lease changes its version. */
static int check_versions(pid_t pid, const struct hf_sanlock_state *state,
                          struct hf_lock_error *err)
{
        for (int i = 0; i < state->n; i++) {
                const struct sanlk_resource *item = state->items[i];
                hf_cleanup_free struct sanlk_resource *now = NULL;
                size_t size = sizeof(*now) + item->num_disks * sizeof(struct sanlk_disk);

                now = malloc(size);
                if (!now)
                        return hf_driver_no_memory(err);
                memcpy(now, item, size);
                now->flags = 0;
                if (!(item->flags & SANLK_RES_LVER) || sanlock_read_resource(now, 0) < 0 ||
                    now->lver == item->lver)
                        continue;
                return hf_sanlock_fail(err, HF_SANLOCK_ACQUIRE, SANLK_ACQUIRE_LVER,
                                       "the lease %.48s of process %d (version %llu then, %llu "
                                       "now)",
                                       item->name, pid, (unsigned long long)item->lver,
                                       (unsigned long long)now->lver);
        }
        return 0;
}

int hf_sanlock_state_retake(pid_t pid, const struct hf_sanlock_state *state,
                            struct hf_lock_error *err)
{
        int r = check_versions(pid, state, err), rv;

        for (int i = 0; i < state->n && r >= 0; i++) {
                const struct hf_sanlock_state taken = {.items = state->items, .n = i};
                struct hf_lock_error ignored = {.size = sizeof(ignored)};

                rv = sanlock_acquire(-1, pid, SANLK_ACQUIRE_OWNER_NOWAIT, 1, &state->items[i],
                                     NULL);
                if (rv >= 0)
                        continue;
                (void)hf_sanlock_state_release(pid, &taken, &ignored);
                r = hf_sanlock_fail(err, HF_SANLOCK_ACQUIRE, rv,
                                    "cannot take the lease %.48s of process %d back",
                                    state->items[i]->name, pid);
        }
        return r;
}

int hf_sanlock_state_text(const struct hf_sanlock_state *state, char **ret,
                          struct hf_lock_error *err)
{
        char *text = NULL;

        if (state->n > 0 && (sanlock_args_to_state(state->n, state->items, &text) < 0 || !text))
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INTERNAL,
                                        "cannot write down the versions of the leases");
        *ret = text;
        return 0;
}
