/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/vm.h"

#include "base/sized.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int hf_driver_check_init(const char *driver, const struct hf_lock_init *init,
                         struct hf_lock_error *err)
{
        if (!init || !HF_HAS(init, flags) || !init->flags)
                return 0;
        return hf_driver_refuse(err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                                "driver %s does not know the flags 0x%x of init", driver,
                                init->flags);
}

/* What came later than the rest. */
static int fill_newer(struct hf_driver_vm *vm, const char *driver,
                      const struct hf_lock_vm_params *params, struct hf_lock_error *err)
{
        const uint32_t known = HF_LOCK_VM_HAS_LEASES | HF_LOCK_VM_LOCKS_IMAGES | HF_LOCK_VM_CLIENT;

        if (HF_HAS(params, flags)) {
                if (params->flags & ~known)
                        return hf_driver_refuse(err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                                                "driver %s does not know the flags 0x%x of a VM",
                                                driver, params->flags & ~known);
                vm->flags = params->flags;
        }
        if (HF_HAS(params, monitor) && params->monitor) {
                vm->monitor = strdup(params->monitor);
                if (!vm->monitor)
                        return hf_driver_no_memory(err);
        }
        return 0;
}

int hf_driver_vm_fill(struct hf_driver_vm *ret, const char *driver,
                      const struct hf_lock_vm_params *params, struct hf_lock_error *err)
{
        if (!params->name || !params->name[0] || params->id == 0)
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                        "a VM needs a name and a number other than 0");
        ret->name = strdup(params->name);
        ret->via = strdup(params->via ? params->via : "libholdfast");
        memcpy(ret->uuid, params->uuid, sizeof(ret->uuid));
        ret->id = params->id;
        ret->pid = params->pid;
        return ret->name && ret->via ? fill_newer(ret, driver, params, err)
                                     : hf_driver_no_memory(err);
}

void hf_driver_vm_clear(struct hf_driver_vm *vm)
{
        free(vm->name);
        free(vm->via);
        free(vm->monitor);
}

int hf_driver_check_caller(const struct hf_driver_vm *vm, bool start, struct hf_lock_error *err)
{
        if (vm->pid <= 0)
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                        "VM %s: the pid of its VMM is needed", vm->name);
        if (start && vm->pid != getpid())
                return hf_driver_refuse(err, EINVAL, HF_LOCK_E_INVALID,
                                        "VM %s: its own connection has to be made by its process "
                                        "(pid %d), not by pid %d",
                                        vm->name, vm->pid, getpid());
        if (!start && vm->pid == getpid())
                return hf_driver_refuse(err, EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED,
                                        "VM %s: only its start can be asked for by its own process "
                                        "(pid %d)",
                                        vm->name, vm->pid);
        return 0;
}
