/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/loader.h"

#include "base/cleanup.h"
#include "driver/nop/nop.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

/* Many times what a table of functions can be; a symbol of another kind starts with anything. */
#define TABLE_SIZE_MAX 65536

/* The table as of ABI 1: every module has all of it. */
#define TABLE_SIZE_MIN (offsetof(struct hf_lock_driver, inquire) + sizeof(void *))

static int check_name(const char *name, struct holdfast_error *err)
{
        if (name[0] && name[0] != '.' && !strchr(name, '/'))
                return 0;
        return hf_fail(err, EINVAL, HOLDFAST_E_CONFIG,
                       "\"%s\" cannot be the name of a lock driver: it is a file's name without "
                       "\"/\" and \".so\"",
                       name);
}

static int find_path(const char *name, char **ret, struct holdfast_error *err)
{
        const char *dir = secure_getenv("HOLDFAST_DRIVER_DIR");
        hf_cleanup_free char *path = NULL;

        if (!dir || !dir[0])
                dir = HF_DRIVERDIR;
        if (dir[0] != '/')
                return hf_fail(err, EINVAL, HOLDFAST_E_CONFIG,
                               "HOLDFAST_DRIVER_DIR must be an absolute path, not \"%s\"", dir);
        if (asprintf(&path, "%s/%s.so", dir, name) < 0) {
                path = NULL;
                return hf_fail_no_memory(err);
        }
        if (access(path, F_OK) < 0)
                return hf_fail(err, errno, HOLDFAST_E_CONFIG,
                               "there is no lock driver \"%s\": cannot find %s", name, path);
        *ret = hf_steal_ptr(path);
        return 0;
}

static bool is_complete(const struct hf_lock_driver *ops)
{
        return ops->name && ops->init && ops->deinit && ops->vm_new && ops->vm_free &&
               ops->add_resource && ops->acquire && ops->release && ops->inquire;
}

/* Looks at no more of the table than what was checked before. */
static int check_table(const struct hf_lock_driver *ops, const char *path,
                       struct holdfast_error *err)
{
        /* A function, or data of another kind, can lie anywhere. */
        if ((uintptr_t)ops % _Alignof(struct hf_lock_driver) != 0 || !HF_HAS(ops, abi) ||
            ops->size > TABLE_SIZE_MAX)
                return hf_fail(err, ENOEXEC, HOLDFAST_E_CONFIG,
                               "%s is no lock driver: its symbol %s is no driver's table", path,
                               HF_LOCK_DRIVER_SYMBOL);
        if (ops->abi != HF_LOCK_DRIVER_ABI)
                return hf_fail(err, ENOEXEC, HOLDFAST_E_CONFIG,
                               "the lock driver %s is for version %u of the driver interface, this "
                               "library has version %u",
                               path, ops->abi, HF_LOCK_DRIVER_ABI);
        if (ops->size < TABLE_SIZE_MIN)
                return hf_fail(err, ENOEXEC, HOLDFAST_E_CONFIG,
                               "the lock driver %s has a table of %zu bytes, at least %zu are "
                               "needed",
                               path, ops->size, TABLE_SIZE_MIN);
        if (!is_complete(ops))
                return hf_fail(
                        err, ENOEXEC, HOLDFAST_E_CONFIG,
                        "the lock driver %s lacks its name or a function that every driver has",
                        path);
        return 0;
}

static void close_module(void **module)
{
        if (*module)
                (void)dlclose(*module);
        *module = NULL;
}

static int open_module(const char *name, struct hf_driver *driver, struct holdfast_error *err)
{
        hf_cleanup(close_module) void *module = NULL;
        hf_cleanup_free char *path = NULL;
        const struct hf_lock_driver *ops;
        int r;

        r = check_name(name, err);
        if (r >= 0)
                r = find_path(name, &path, err);
        if (r < 0)
                return r;
        module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!module)
                return hf_fail(err, ENOEXEC, HOLDFAST_E_CONFIG, "cannot load the lock driver: %s",
                               dlerror());
        ops = dlsym(module, HF_LOCK_DRIVER_SYMBOL);
        if (!ops)
                return hf_fail(err, ENOEXEC, HOLDFAST_E_CONFIG,
                               "%s is no lock driver: it has no symbol %s", path,
                               HF_LOCK_DRIVER_SYMBOL);
        r = check_table(ops, path, err);
        if (r < 0)
                return r;
        driver->ops = ops;
        driver->module = hf_steal_ptr(module);
        return 0;
}

int hf_driver_load(const char *name, const struct hf_lock_init *init, struct hf_driver *ret,
                   struct holdfast_error *err)
{
        struct hf_lock_error error = {.size = sizeof(error)};
        struct hf_driver driver = {0};
        int r;

        if (!strcmp(name, hf_nop_driver.name)) {
                driver.ops = &hf_nop_driver;
        } else {
                r = open_module(name, &driver, err);
                if (r < 0)
                        return r;
        }
        r = driver.ops->init(init, &driver.data, &error);
        if (r < 0) {
                r = hf_fail_from_driver(err, r, &error);
                close_module(&driver.module);
                return r;
        }
        *ret = driver;
        return 0;
}

void hf_driver_unload(struct hf_driver *driver)
{
        if (driver->ops)
                driver->ops->deinit(driver->data);
        close_module(&driver->module);
        *driver = (struct hf_driver){0};
}
