/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/names-private.h"

#include "base/cleanup.h"
#include "base/program.h"

#include <ctype.h>
#include <sha2.h>
#include <string.h>

/* Where udev has its own programs; the second one where /lib is not /usr/lib. */
static const char *const scsi_id_places[] = {"/lib/udev/scsi_id", "/usr/lib/udev/scsi_id"};

char *hf_name_hash(const char *path)
{
        char digits[SHA256_DIGEST_STRING_LENGTH];

        /* For any byte string it has an answer. */
        (void)SHA256Data((const uint8_t *)path, strlen(path), digits);
        return strdup(digits);
}

const char *hf_name_way(enum hf_name_way way)
{
        static const char *const ways[] = {
                [HF_NAME_PATH] = "path",
                [HF_NAME_HASH] = "sha256",
                [HF_NAME_LVM_KERNEL] = "lvm (kernel)",
                [HF_NAME_LVM_PROGRAM] = "lvm (lvs)",
                [HF_NAME_SCSI_UDEV] = "scsi (udev)",
                [HF_NAME_SCSI_PROGRAM] = "scsi (scsi_id)",
        };

        return ways[way];
}

char *hf_name_trim(char *text, bool strip)
{
        while (strip && isspace((unsigned char)*text))
                text++;
        text[strcspn(text, "\n")] = '\0';
        return text;
}

/* What a program says of the disk. 1: *ret is its name; 0: it has none. */
static int ask(const char *program, const char *const *argv, uint64_t deadline, bool strip,
               char **ret, struct hf_error *err)
{
        struct hf_program_result result;
        const char *name;
        int r;

        r = hf_program_run(program, argv, deadline, &result, err);
        if (r < 0)
                return r;
        name = hf_name_trim(result.text, strip);
        if (result.status != 0 || !*name)
                return 0;
        *ret = strdup(name);
        return *ret ? 1 : hf_error_sys(err, ENOMEM, "cannot keep a name");
}

static int ask_lvs(const char *path, uint64_t deadline, char **ret, struct hf_error *err)
{
        const char *const argv[] = {"lvs",       "--noheadings", "--unbuffered", "--nosuffix",
                                    "--options", "uuid",         path,           NULL};
        char program[PATH_MAX];

        if (hf_program_find(argv[0], program) < 0)
                return hf_error_sys(err, ENOENT, "cannot run lvs");
        return ask(program, argv, deadline, true, ret, err);
}

static int ask_scsi_id(const char *path, uint64_t deadline, char **ret, struct hf_error *err)
{
        const char *const argv[] = {
                "scsi_id", "--replace-whitespace", "--whitelisted", "--device", path, NULL};
        bool first = access(scsi_id_places[0], F_OK) == 0;

        return ask(scsi_id_places[first ? 0 : 1], argv, deadline, false, ret, err);
}

/* 1: *ret has its name; 0: it is no logical volume. */
static int name_volume(const char *path, uint64_t deadline, struct hf_name *ret,
                       struct hf_error *err)
{
        char id[HF_LVM_ID_SIZE];

        ret->way = HF_NAME_LVM_PROGRAM;
        if (!hf_name_lvm_kernel("/sys", path, id))
                return ask_lvs(path, deadline, &ret->text, err);
        ret->way = HF_NAME_LVM_KERNEL;
        ret->text = strdup(id);
        return ret->text ? 1 : hf_error_sys(err, ENOMEM, "cannot keep a name");
}

/* 1: *ret has its name; 0: it is no SCSI disk. */
static int name_scsi(const struct hf_name_udev *udev, const char *path, uint64_t deadline,
                     struct hf_name *ret, struct hf_error *err)
{
        ret->way = HF_NAME_SCSI_UDEV;
        ret->text = hf_name_scsi_udev(udev, path);
        if (ret->text)
                return 1;
        ret->way = HF_NAME_SCSI_PROGRAM;
        return ask_scsi_id(path, deadline, &ret->text, err);
}

int hf_name_of_disk(const struct hf_name_dirs *dirs, const char *path, uint64_t deadline,
                    struct hf_name *ret, struct hf_error *err)
{
        /* Of the text, not of the path: as libvirt. */
        bool device = !strncmp(path, "/dev", strlen("/dev"));
        struct hf_name name = {0};
        int r = 0;

        if (device && dirs->lvm) {
                name.lockspace = dirs->lvm;
                r = name_volume(path, deadline, &name, err);
        }
        if (r == 0 && device && dirs->scsi) {
                name.lockspace = dirs->scsi;
                r = name_scsi(dirs->udev, path, deadline, &name, err);
        }
        if (r < 0)
                return r;
        if (r == 0) {
                name.way = dirs->file ? HF_NAME_HASH : HF_NAME_PATH;
                name.lockspace = dirs->file ? dirs->file : "";
                name.text = dirs->file ? hf_name_hash(path) : strdup(path);
                if (!name.text)
                        return hf_error_sys(err, ENOMEM, "cannot keep a name");
        }
        *ret = name;
        return 0;
}
