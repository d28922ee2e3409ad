/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "label/label.h"
#include "label/way.h"

#include "base/cleanup.h"
#include "base/process.h"

#include <string.h>
#include <sys/stat.h>

/* Users that a refusal names. */
#define NAMED_MAX 4

struct step {
        size_t image, want;
};

struct work {
        const struct hf_label_scene *scene;
        const struct hf_label_use *use;
        struct hf_label_user self;
        struct hf_label_locked locked;
        struct step *done; /* in order */
        size_t n_done;
};

static int who_am_i(const struct hf_label_scene *scene, const struct hf_label_use *use,
                    struct hf_label_user *ret, struct hf_error *err)
{
        struct hf_label_user user = {.pid = getpid()};
        int r = hf_process_start(user.pid, &user.start);

        if (r < 0)
                return hf_error_sys(err, -r, "cannot tell when this process was started");
        memcpy(user.machine, scene->host.machine, sizeof(user.machine));
        memcpy(user.boot, scene->host.boot, sizeof(user.boot));
        memcpy(user.uuid, use->vm_uuid, sizeof(user.uuid));
        hf_label_set_text(user.host, sizeof(user.host), scene->host.name);
        hf_label_set_text(user.name, sizeof(user.name), use->vm_name);
        *ret = user;
        return 0;
}

static int refuse(const struct hf_label_image *image, const struct hf_label_kind *kind,
                  const struct hf_label_record *record, const char *label, struct hf_error *err)
{
        char names[NAMED_MAX * (HF_LABEL_NAME_MAX + HF_LABEL_HOST_MAX + 32)] = "";
        size_t used = 0, n = record->n_users < NAMED_MAX ? record->n_users : NAMED_MAX;

        for (size_t i = 0; i < n; i++) {
                const struct hf_label_user *user = &record->users[i];

                used += (size_t)snprintf(names + used, sizeof(names) - used,
                                         "%s%s (pid %d, host %s)", i ? ", " : "", user->name,
                                         (int)user->pid, user->host);
        }
        return hf_error_set(err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKING,
                            "%s is in use with %s %s, by %s%s: it cannot become %s before they "
                            "have ended",
                            image->path, kind->noun, record->wanted, names,
                            record->n_users > n ? " and others" : "", label);
}

/* What stands there, without the dead. Returns 1 with *ret if others use it so. */
static int look(const struct work *work, const struct hf_label_image *image,
                const struct hf_label_want *want, struct hf_label_record *ret, struct hf_error *err)
{
        hf_cleanup_label_record struct hf_label_record record = {0};
        enum hf_label_end end;
        int r = hf_label_load(&work->scene->store, image, want->kind, &record, err);

        if (r <= 0)
                return r;
        (void)hf_label_strike_dead(work->scene, &record);
        if (!record.n_users)
                /* From here it is as if they had never been. */
                return hf_label_give_back(work->scene, image, want->kind, &record, &end, err);
        if (strcmp(record.wanted, want->label) != 0)
                return refuse(image, want->kind, &record, want->label, err);
        *ret = record;
        record = (struct hf_label_record){0};
        return 1;
}

static int begin_record(const struct hf_label_image *image, const struct hf_label_want *want,
                        struct hf_label_record *record, struct hf_error *err)
{
        int r = hf_label_check_way(image, err);

        if (r < 0)
                return r;
        r = want->kind->read(image->fd, record->original);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot read the %s of %s", want->kind->noun,
                                    image->path);
        (void)snprintf(record->kind, sizeof(record->kind), "%s", want->kind->name);
        (void)snprintf(record->wanted, sizeof(record->wanted), "%s", want->label);
        return 0;
}

/* Takes this VM out again. */
static int leave(const struct work *work, const struct hf_label_image *image,
                 const struct hf_label_kind *kind, struct hf_error *err)
{
        hf_cleanup_label_record struct hf_label_record record = {0};
        enum hf_label_end end;
        int r = hf_label_load(&work->scene->store, image, kind, &record, err);

        /* What was written may have been no more than the index. */
        if (r <= 0)
                return r < 0 ? r : hf_table_remove(&work->scene->store, image, kind, err);
        for (size_t i = record.n_users; i-- > 0;)
                if (hf_label_user_same(&record.users[i], &work->self))
                        hf_label_record_strike(&record, i);
        if (record.n_users)
                return hf_label_save(&work->scene->store, image, &record, err);
        return hf_label_give_back(work->scene, image, kind, &record, &end, err);
}

static void warn(const struct work *work, const char *text)
{
        if (work->use->warn)
                work->use->warn(work->use->ctx, text);
}

static void undo(const struct work *work, const struct step *step)
{
        struct hf_error error = {0};
        char text[HF_ERROR_TEXT_MAX + 64];

        if (leave(work, &work->locked.images[step->image], work->use->wants[step->want].kind,
                  &error) >= 0)
                return;
        (void)snprintf(text, sizeof(text), "%s; try 'holdfast label repair' later", error.text);
        warn(work, text);
}

/* Puts the label on, unless it is there. Returns 1 where that may be left undone. */
static int put_on(const struct work *work, const struct hf_label_image *image,
                  const struct hf_label_want *want, bool readonly, struct hf_error *err)
{
        char now[HF_LABEL_TEXT_MAX], text[HF_ERROR_TEXT_MAX];
        int r = want->kind->read(image->fd, now);

        if (r >= 0 && !strcmp(now, want->label))
                return 0;
        if (r >= 0)
                r = want->kind->write(image->fd, want->label);
        if (r == -EROFS && readonly) {
                (void)snprintf(text, sizeof(text),
                               "%s is on a read-only filesystem: its %s stays as it is",
                               image->path, want->kind->noun);
                warn(work, text);
                return 1;
        }
        return r < 0 ? hf_error_sys(err, -r, "cannot make %s the %s of %s", want->label,
                                    want->kind->noun, image->path)
                     : 0;
}

/* Record first, then label; where the label cannot be put on, the record goes again. */
static int enter(struct work *work, const struct step *step, struct hf_error *err)
{
        hf_cleanup_label_record struct hf_label_record record = {0};
        const struct hf_label_want *want = &work->use->wants[step->want];
        const struct hf_label_image *image = &work->locked.images[step->image];
        bool readonly = true;
        int r = look(work, image, want, &record, err);

        if (r == 0)
                r = begin_record(image, want, &record, err);
        if (r < 0)
                return r;
        r = hf_label_record_join(&record, &work->self);
        if (r < 0)
                return hf_error_sys(err, -r, "%s has too many users", image->path);
        r = hf_label_save(&work->scene->store, image, &record, err);
        if (r < 0) {
                /* Something may be there that counts for nothing. */
                undo(work, step);
                return r;
        }
        for (size_t i = 0; i < work->use->n_images; i++)
                if (work->use->images[i].path == image->path)
                        readonly = work->use->images[i].readonly;
        r = put_on(work, image, want, readonly, err);
        if (r != 0)
                undo(work, step);
        else
                work->done[work->n_done++] = *step;
        return r < 0 ? r : 0;
}

static int enter_all(struct work *work, struct hf_error *err)
{
        const size_t n_wants = work->use->n_wants;
        int r = 0;

        work->done = calloc(work->locked.n * n_wants, sizeof(*work->done));
        if (!work->done)
                return hf_error_sys(err, ENOMEM, "cannot list the images");
        for (size_t i = 0; i < work->locked.n * n_wants && r >= 0; i++)
                r = enter(work, &(struct step){i / n_wants, i % n_wants}, err);
        for (size_t i = work->n_done; r < 0 && i-- > 0;)
                undo(work, &work->done[i]);
        return r;
}

/* Between the look at the path by which it was locked for the VM, and now, it can be led away. */
static int check_things(const struct work *work, struct hf_error *err)
{
        const struct hf_label_use *use = work->use;

        for (size_t i = 0; i < use->n_images; i++) {
                const struct hf_label_wanted_image *image = &use->images[i];
                struct hf_thing thing;
                struct stat st;

                if (image->thing.kind == HF_THING_NONE)
                        continue;
                if (fstat(holdfast_metadata_fd(work->locked.held, i), &st) < 0)
                        return hf_error_sys(err, errno, "cannot look at %s", image->path);
                if (hf_thing_of(&st, &thing) < 0 || !hf_thing_same(&thing, &image->thing))
                        return hf_error_set(err, ESTALE, HF_ERR_INTERNAL, HF_FROM_NONE,
                                            "%s leads elsewhere now than when the VM was to be "
                                            "started",
                                            image->path);
        }
        return 0;
}

static int lock_images(struct work *work, struct hf_error *err)
{
        const struct hf_label_use *use = work->use;
        hf_cleanup_free struct holdfast_metadata_target *targets = calloc(use->n_images,
                                                                          sizeof(*targets));
        int r;

        if (!targets)
                return hf_error_sys(err, ENOMEM, "cannot list the images");
        for (size_t i = 0; i < use->n_images; i++)
                targets[i] = (struct holdfast_metadata_target){use->images[i].path, -1};
        r = hf_label_lock(work->scene, targets, use->n_images, &work->locked, err);
        return r < 0 ? r : check_things(work, err);
}

int hf_label_use(const struct hf_label_scene *scene, const struct hf_label_use *use, int *ret_life,
                 struct hf_error *err)
{
        struct work work = {.scene = scene, .use = use};
        hf_cleanup_fd int life = -1;
        int r = who_am_i(scene, use, &work.self, err);

        if (r >= 0)
                r = hf_life_begin(scene->life_dir, &work.self, &life, err);
        if (r >= 0 && use->n_images && use->n_wants) {
                r = lock_images(&work, err);
                if (r >= 0)
                        r = enter_all(&work, err);
                hf_label_unlock(&work.locked);
                free(work.done);
        }
        if (r < 0)
                return r;
        *ret_life = hf_steal_fd(&life);
        return 0;
}
