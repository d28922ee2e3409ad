/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * leaseload: what our lock driver adds to libsanlock, as one line of JSON.
 *
 * A process takes a lease and gives it back for another one, by turns through libsanlock alone and
 * through the driver, which makes what an operation needs each time, as the library does. The
 * pairs' differences are what counts. A lease that a second process of this host already shares is
 * granted without the disk: there the difference is the driver's own time. With the disk it is
 * 4 ms and more, of which it can hardly be told apart; both are reported.
 */

#include "samples.h"

#include "holdfast/lock-driver.h"

#include <dlfcn.h>
#include <err.h>
#include <sanlock.h>
#include <sanlock_resource.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define WARM_UP 5

/* From libvirt's plugin, and so from our driver. */
#define LOCKSPACE "__LIBVIRT__DISKS__"

struct place {
        const struct hf_lock_driver *ops;
        void *driver;
        const char *disk, *key, *file;
        pid_t vm;
        bool shared;
};

struct times {
        struct samples raw, ours;
        double *extra; /* ours less raw of each pair, microseconds */
};

/* A process that is registered, and has nothing else to do. */
static pid_t make_vm(void)
{
        int ready[2];
        char byte = 0;
        pid_t pid;

        if (pipe(ready) < 0)
                err(1, "pipe");
        pid = fork();
        if (pid < 0)
                err(1, "fork");
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (sanlock_register() < 0 || write(ready[1], &byte, 1) != 1)
                        _exit(1);
                for (;;)
                        (void)pause();
        }
        (void)close(ready[1]);
        if (read(ready[0], &byte, 1) != 1)
                errx(1, "cannot register with sanlock");
        (void)close(ready[0]);
        return pid;
}

static void end_vm(pid_t pid)
{
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
}

/* ---- one turn of each; each returns nanoseconds */

static void raw_turn(const struct place *place, uint64_t *acquire, uint64_t *release)
{
        struct {
                struct sanlk_resource res;
                struct sanlk_disk disk;
        } lease = {.res = {.num_disks = 1}};
        struct sanlk_resource *list = &lease.res;
        uint64_t begin = now_ns();
        int rv;

        memcpy(lease.res.lockspace_name, LOCKSPACE, sizeof(LOCKSPACE));
        (void)snprintf(lease.res.name, sizeof(lease.res.name), "%s", place->key);
        (void)snprintf(lease.disk.path, sizeof(lease.disk.path), "%s", place->file);
        lease.res.flags = place->shared ? SANLK_RES_SHARED : 0;
        rv = sanlock_acquire(-1, place->vm, SANLK_ACQUIRE_OWNER_NOWAIT, 1, &list, NULL);
        *acquire = now_ns() - begin;
        if (rv < 0)
                errx(1, "sanlock_acquire: %d", rv);
        begin = now_ns();
        rv = sanlock_release(-1, place->vm, 0, 1, &list);
        *release = now_ns() - begin;
        if (rv < 0)
                errx(1, "sanlock_release: %d", rv);
}

/* What libholdfast does for one operation, up to the call that it is about. */
static void *begin_operation(const struct place *place)
{
        const struct hf_lock_vm_params params = {
                .size = sizeof(params),
                .name = "bench",
                .uuid = {1},
                .id = 1,
                .pid = place->vm,
                .via = "leaseload",
        };
        const struct hf_lock_resource disk = {
                .size = sizeof(disk),
                .type = HF_LOCK_DISK,
                .flags = place->shared ? HF_LOCK_RESOURCE_SHARED : 0,
                .name = place->disk,
        };
        struct hf_lock_error error = {.size = sizeof(error)};
        void *vm = NULL;

        if (place->ops->vm_new(place->driver, &params, &vm, &error) < 0 ||
            place->ops->add_resource(vm, &disk, &error) < 0)
                errx(1, "%s", error.text);
        return vm;
}

static void our_acquire(const struct place *place)
{
        const struct hf_lock_acquire acquire = {.size = sizeof(acquire),
                                                .deadline = now_ns() + 30000000000ULL};
        struct hf_lock_holder holder = {.size = sizeof(holder)};
        struct hf_lock_result result = {
                .size = sizeof(result), .fd = -1, .lost_fd = -1, .holder = &holder};
        struct hf_lock_error error = {.size = sizeof(error)};
        void *vm = begin_operation(place);

        if (place->ops->acquire(vm, &acquire, &result, &error) < 0)
                errx(1, "%s", error.text);
        place->ops->vm_free(vm);
}

static void our_release(const struct place *place)
{
        struct hf_lock_error error = {.size = sizeof(error)};
        void *vm = begin_operation(place);
        char *state = NULL;

        if (place->ops->release(vm, &state, &error) < 0)
                errx(1, "%s", error.text);
        free(state);
        place->ops->vm_free(vm);
}

static void our_turn(const struct place *place, uint64_t *acquire, uint64_t *release)
{
        uint64_t begin = now_ns();

        our_acquire(place);
        *acquire = now_ns() - begin;
        begin = now_ns();
        our_release(place);
        *release = now_ns() - begin;
}

/* ---- many turns */

static int compare(const void *left, const void *right)
{
        double a = *(const double *)left, b = *(const double *)right;

        return a < b ? -1 : a > b;
}

static void add(struct times *times, size_t i, uint64_t raw, uint64_t ours)
{
        samples_add(&times->raw, raw);
        samples_add(&times->ours, ours);
        times->extra[i] = ((double)ours - (double)raw) / 1e3;
}

static void say(struct times *times, const char *name, size_t rounds)
{
        char text[64];

        samples_sort(&times->raw);
        samples_sort(&times->ours);
        qsort(times->extra, rounds, sizeof(*times->extra), compare);
        (void)snprintf(text, sizeof(text), "%s_raw", name);
        samples_print(&times->raw, text);
        (void)snprintf(text, sizeof(text), "%s_ours", name);
        samples_print(&times->ours, text);
        printf("\"%s_extra_p50_us\": %.3f, ", name, times->extra[rounds / 2]);
        samples_clear(&times->raw);
        samples_clear(&times->ours);
        free(times->extra);
}

/* Who comes first changes with each pair. */
static void measure(const struct place *place, const char *name, size_t rounds)
{
        struct times acquire = {.extra = calloc(rounds, sizeof(double))};
        struct times release = {.extra = calloc(rounds, sizeof(double))};
        char text[64];

        if (!acquire.extra || !release.extra)
                err(1, "out of memory");
        for (size_t i = 0; i < rounds + WARM_UP; i++) {
                uint64_t raw[2], ours[2];

                if (i % 2)
                        raw_turn(place, &raw[0], &raw[1]);
                our_turn(place, &ours[0], &ours[1]);
                if (i % 2 == 0)
                        raw_turn(place, &raw[0], &raw[1]);
                if (i < WARM_UP)
                        continue;
                add(&acquire, i - WARM_UP, raw[0], ours[0]);
                add(&release, i - WARM_UP, raw[1], ours[1]);
        }
        (void)snprintf(text, sizeof(text), "%s_acquire", name);
        say(&acquire, text, rounds);
        (void)snprintf(text, sizeof(text), "%s_release", name);
        say(&release, text, rounds);
}

static void load(struct place *place, const char *module, const char *config)
{
        const struct hf_lock_init init = {.size = sizeof(init), .config = config};
        struct hf_lock_error error = {.size = sizeof(error)};
        void *handle = dlopen(module, RTLD_NOW | RTLD_LOCAL);

        if (!handle)
                errx(1, "%s", dlerror());
        place->ops = dlsym(handle, "hf_lock_driver");
        if (!place->ops)
                errx(1, "%s", dlerror());
        if (place->ops->init(&init, &place->driver, &error) < 0)
                errx(1, "%s", error.text);
}

int main(int argc, char **argv)
{
        struct place place = {.shared = true};
        size_t rounds;
        pid_t keeper;

        if (argc != 7)
                errx(2, "usage: leaseload MODULE CONFIG DISK KEY LEASE-FILE COUNT");
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        place.disk = argv[3];
        place.key = argv[4];
        place.file = argv[5];
        rounds = (size_t)strtoul(argv[6], NULL, 10);
        if (rounds == 0)
                errx(2, "COUNT wants a number above zero");
        load(&place, argv[1], argv[2]);
        place.vm = keeper = make_vm();
        our_acquire(&place);
        place.vm = make_vm();
        printf("{\"mode\": \"lease\", ");
        measure(&place, "memory", rounds * 10);
        end_vm(place.vm);
        /* Back at once; with the end of the process it would be some time later. */
        place.vm = keeper;
        our_release(&place);
        place.shared = false;
        measure(&place, "disk", rounds);
        end_vm(place.vm);
        printf("\"rounds\": %zu}\n", rounds);
        return fflush(stdout) == 0 ? 0 : 1;
}
