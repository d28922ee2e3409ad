/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/names-private.h"

#include "base/cleanup.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-device.h>

/*
 * udev's database is read by libsystemd. That takes most of a millisecond to load,
 * and only who has a directory for SCSI disks needs it: so it is not linked.
 */
#define LIBRARY "libsystemd.so.0"

struct hf_name_udev {
        void *library;
        __typeof__(&sd_device_new_from_devnum) from_devnum;
        __typeof__(&sd_device_get_property_value) property;
        __typeof__(&sd_device_unref) unref;
};

struct hf_name_udev *hf_name_udev_new(void)
{
        struct hf_name_udev *udev = calloc(1, sizeof(*udev));

        if (!udev)
                return NULL;
        /* Stays loaded when it is closed: it may have left something behind in the process. */
        udev->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (udev->library) {
                *(void **)&udev->from_devnum = dlsym(udev->library, "sd_device_new_from_devnum");
                *(void **)&udev->property = dlsym(udev->library, "sd_device_get_property_value");
                *(void **)&udev->unref = dlsym(udev->library, "sd_device_unref");
        }
        if (udev->from_devnum && udev->property && udev->unref)
                return udev;
        hf_name_udev_free(udev);
        return NULL;
}

void hf_name_udev_free(struct hf_name_udev *udev)
{
        if (!udev)
                return;
        if (udev->library)
                (void)dlclose(udev->library);
        free(udev);
}

bool hf_name_scsi_is_certain(const char *serial)
{
        size_t digits = strspn(serial, "0123456789abcdef");

        /* "3" says that a NAA name follows, and its first digit of which kind it is. */
        return !serial[digits] && serial[0] == '3' &&
               ((digits == 33 && serial[1] == '6') || (digits == 17 && serial[1] == '5'));
}

static bool is(const struct hf_name_udev *udev, sd_device *device, const char *key,
               const char *expected)
{
        const char *value;

        return udev->property(device, key, &value) >= 0 && !strcmp(value, expected);
}

static char *serial_of(const struct hf_name_udev *udev, sd_device *device)
{
        const char *serial;

        if (!is(udev, device, "DEVTYPE", "disk") || !is(udev, device, "ID_BUS", "scsi") ||
            !is(udev, device, "ID_SCSI", "1") || udev->property(device, "ID_SERIAL", &serial) < 0 ||
            !hf_name_scsi_is_certain(serial))
                return NULL;
        return strdup(serial);
}

char *hf_name_scsi_udev(const struct hf_name_udev *udev, const char *path)
{
        sd_device *device;
        struct stat st;
        char *serial;

        /* Elsewhere than in /dev, to look could wait for a filesystem. */
        if (!udev || strncmp(path, "/dev/", strlen("/dev/")) != 0 || stat(path, &st) < 0 ||
            !S_ISBLK(st.st_mode) || udev->from_devnum(&device, 'b', st.st_rdev) < 0)
                return NULL;
        serial = serial_of(udev, device);
        (void)udev->unref(device);
        return serial;
}
