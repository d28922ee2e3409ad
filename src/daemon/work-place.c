/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which filesystem a piece of work is about, what waits there, and what is known of it. */
#include "daemon/work-private.h"

#include "base/cleanup.h"
#include "storage/resource.h"

#include <string.h>

static const struct hf_mount *mount_of_path(struct hf_works *works, const char *path)
{
        return works->mounts ? hf_mounts_of_path(works->mounts, path) : NULL;
}

static const struct hf_mount *mount_of_dev(struct hf_works *works, uint64_t dev)
{
        return works->mounts ? hf_mounts_of_dev(works->mounts, dev) : NULL;
}

static struct hf_place_key key_of_thing(const struct hf_thing *thing)
{
        return (struct hf_place_key){
                thing->kind == HF_THING_BLOCK ? HF_PLACE_DISK : HF_PLACE_FILESYSTEM, thing->dev};
}

static struct hf_place_key key_of_text(const char *path)
{
        uint64_t hash = 14695981039346656037U;

        for (; *path; path++)
                hash = (hash ^ (unsigned char)*path) * 1099511628211U;
        return (struct hf_place_key){HF_PLACE_PATH, hash};
}

/* What lies on a filesystem that may hang is there; else what is in memory tells. */
static struct hf_place_key key_of_path(struct hf_works *works, const char *path, bool *ret_guessed)
{
        const struct hf_mount *mount = mount_of_path(works, path);
        struct hf_place_key key = {HF_PLACE_FILESYSTEM, 0};
        bool is_dev = mount && !strcmp(mount->point, "/dev");
        struct hf_thing thing;

        if (ret_guessed && mount && !mount->local && !is_dev) {
                key.number = mount->dev;
                *ret_guessed = true;
                return key;
        }
        if (hf_resource_identify_cached(path, &thing) == 0)
                return key_of_thing(&thing);
        if (ret_guessed && !is_dev && hf_resource_parent_cached(path, &key.number) == 0) {
                *ret_guessed = true;
                return key;
        }
        return key_of_text(path);
}

struct hf_place_key hf_place_of(struct hf_works *works, const struct hf_order *order,
                                bool *ret_guessed)
{
        if (order->kind == HF_WORK_GIVE)
                return key_of_thing(&order->thing);
        /* A path that only a VM sees may be anywhere. */
        return *order->path ? key_of_path(works, order->path, ret_guessed)
                            : key_of_text(order->hash);
}

/* For people: "nfs4 on /srv". */
static char *describe(struct hf_works *works, struct hf_place_key key, const char *path)
{
        const struct hf_mount *mount = key.kind == HF_PLACE_FILESYSTEM
                                               ? mount_of_dev(works, key.number)
                                               : NULL;
        char *text;
        int r;

        if (mount)
                r = asprintf(&text, "%s on %s", mount->type, mount->point);
        else
                r = asprintf(&text, "that of %s", path);
        return r < 0 ? NULL : text;
}

const struct hf_mount *hf_work_mount(struct hf_server *server, uint64_t dev)
{
        return mount_of_dev(server->works, dev);
}

struct hf_place *hf_place_get(struct hf_works *works, struct hf_place_key key, const char *path)
{
        struct hf_place *place = works->places;

        while (place && (place->key.kind != key.kind || place->key.number != key.number))
                place = place->next;
        if (place)
                return place;
        place = calloc(1, sizeof(*place));
        if (!place)
                return NULL;
        place->key = key;
        place->what = describe(works, key, *path ? path : "a lock");
        place->worker = -1;
        place->end = place->gives_end = &place->first;
        place->next = works->places;
        works->places = place;
        return place;
}

void hf_place_drop_unused(struct hf_works *works, struct hf_place *place)
{
        struct hf_place **at = &works->places;

        if (place->first || place->worker >= 0)
                return;
        while (*at != place)
                at = &(*at)->next;
        *at = place->next;
        free(place->what);
        free(place);
}

/*
 * What is to be given back comes first: it may be what a request behind it is to have,
 * which would find it locked, by nobody.
 */
void hf_place_enqueue(struct hf_job *job)
{
        struct hf_place *place = job->place;
        bool gives = job->order.kind == HF_WORK_GIVE;
        struct hf_job **at = gives ? place->gives_end : place->end;

        job->next = *at;
        *at = job;
        if (place->end == at)
                place->end = &job->next;
        if (gives)
                place->gives_end = &job->next;
        place->waiting += !gives;
}

void hf_place_dequeue(struct hf_job *job)
{
        struct hf_place *place = job->place;
        struct hf_job **at = &place->first;

        while (*at != job)
                at = &(*at)->next;
        *at = job->next;
        if (place->end == &job->next)
                place->end = at;
        if (place->gives_end == &job->next)
                place->gives_end = at;
        place->waiting -= job->order.kind != HF_WORK_GIVE;
}

bool hf_work_closes(struct hf_server *server, const struct hf_thing *thing)
{
        const struct hf_mount *mount = thing->kind == HF_THING_FILE
                                               ? mount_of_dev(server->works, thing->dev)
                                               : NULL;

        return mount && mount->closes;
}

bool hf_work_is_local(struct hf_server *server, const char *path, bool and_closes)
{
        const struct hf_mount *mount = mount_of_path(server->works, path);

        return mount && mount->local && (mount->closes || !and_closes);
}

void hf_work_guarantee(struct hf_server *server, const struct hf_thing *thing,
                       struct hf_guarantee_of *ret)
{
        hf_guarantee_of_thing(server->works->mounts, thing, ret);
}

bool hf_work_is_on(struct hf_server *server, const char *path, uint64_t dev)
{
        const struct hf_mount *mount = mount_of_path(server->works, path);

        return mount && mount->dev == dev;
}
