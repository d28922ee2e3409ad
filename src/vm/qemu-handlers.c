/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What each option of QEMU says of the VM. Read bottom-up: the table is at the end.
 */

#include "base/cleanup.h"
#include "vm/qemu-config.h"
#include "vm/qemu-drive.h"
#include "vm/qemu-reader.h"

#include <limits.h>
#include <string.h>

static int no_memory(struct hf_error *err)
{
        return hf_error_sys(err, ENOMEM, "cannot read the command line");
}

/* Takes over `object`, also on an error. */
static int add_item(struct hf_qemu_reader *reader, const struct hf_qemu_handler *handler,
                    const char *text, struct json_object *object, struct hf_error *err)
{
        struct hf_qemu_item *item = calloc(1, sizeof(*item));

        if (!item) {
                (void)json_object_put(object);
                return no_memory(err);
        }
        *item = (struct hf_qemu_item){.handler = handler, .text = text, .object = object};
        *reader->end = item;
        reader->end = &item->next;
        return 0;
}

static int read_drive(struct hf_qemu_reader *reader, const struct hf_qemu_handler *handler,
                      const char *text, struct hf_error *err)
{
        struct json_object *flat;
        int r;

        r = hf_qemu_opts_parse(text, HF_QEMU_OPTS, NULL, &flat, err);
        if (r < 0)
                return r;
        return add_item(reader, handler, text, flat, err);
}

static int set_text(struct json_object *object, const char *key, const char *text)
{
        return hf_qemu_tree_put(object, key, json_object_new_string(text));
}

/* -hda FILE and so on: FILE is a name as in file=, but its commas are commas. */
static int read_image(struct hf_qemu_reader *reader, const struct hf_qemu_handler *handler,
                      const char *text, struct hf_error *err)
{
        hf_cleanup_json struct json_object *flat = json_object_new_object();

        if (!flat || set_text(flat, "file", text) < 0 ||
            set_text(flat, "media", handler->media) < 0)
                return no_memory(err);
        return add_item(reader, handler, text, hf_steal_ptr(flat), err);
}

static int finish_drive(struct hf_qemu_reader *reader, struct hf_qemu_item *item,
                        struct hf_error *err)
{
        hf_cleanup_json struct json_object *tree = NULL;
        unsigned mode;
        int r;

        r = hf_qemu_drive_tree(item->object, reader->snapshot, &tree, &mode, err);
        if (r < 0)
                return r;
        return hf_qemu_graph_add(reader->graph, item->handler->shown, item->text, tree, mode, err);
}

/* Key by key or JSON, told apart by the first character as QEMU does. */
static int parse_either(const char *text, enum hf_qemu_dialect dialect,
                        struct json_object **ret_object, struct hf_error *err)
{
        if (*text == '{')
                return hf_qemu_json_parse(text, ret_object, err);
        return hf_qemu_opts_parse(text, dialect, "driver", ret_object, err);
}

static int read_blockdev(struct hf_qemu_reader *reader, const struct hf_qemu_handler *handler,
                         const char *text, struct hf_error *err)
{
        hf_cleanup_json struct json_object *flat = NULL;
        struct json_object *tree;
        int r;

        r = parse_either(text, HF_QEMU_KEYVAL, &flat, err);
        if (r < 0)
                return r;
        r = hf_qemu_tree_expand(flat, &tree, err);
        if (r < 0)
                return r;
        return add_item(reader, handler, text, tree, err);
}

static int finish_blockdev(struct hf_qemu_reader *reader, struct hf_qemu_item *item,
                           struct hf_error *err)
{
        return hf_qemu_graph_add(reader->graph, item->handler->shown, item->text, item->object, 0,
                                 err);
}

static int read_device(struct hf_qemu_reader *reader, const struct hf_qemu_handler *handler,
                       const char *text, struct hf_error *err)
{
        struct json_object *object;
        int r;

        r = parse_either(text, HF_QEMU_OPTS, &object, err);
        if (r < 0)
                return r;
        return add_item(reader, handler, text, object, err);
}

static int finish_device(struct hf_qemu_reader *reader, struct hf_qemu_item *item,
                         struct hf_error *err)
{
        bool share_rw = false;
        const char *drive;
        int r;

        r = hf_qemu_tree_text(item->object, "drive", &drive, err);
        if (r < 0 || !drive)
                return r;
        r = hf_qemu_tree_switch(item->object, "share-rw", &share_rw, err);
        if (r < 0)
                return r;
        hf_qemu_graph_show(reader->graph, drive, share_rw);
        return 0;
}

static int take_name(struct hf_qemu_reader *reader, struct json_object *flat, struct hf_error *err)
{
        const char *guest;
        int r;

        r = hf_qemu_tree_text(flat, "guest", &guest, err);
        if (r < 0 || !guest || !*guest)
                return r;
        return hf_vm_spec_set_name(&reader->spec, guest, err);
}

static int read_name(struct hf_qemu_reader *reader, const struct hf_qemu_handler *handler,
                     const char *text, struct hf_error *err)
{
        hf_cleanup_json struct json_object *flat = NULL;
        int r;

        (void)handler;
        r = hf_qemu_opts_parse(text, HF_QEMU_OPTS, "guest", &flat, err);
        if (r < 0)
                return r;
        return take_name(reader, flat, err);
}

static int read_uuid(struct hf_qemu_reader *reader, const struct hf_qemu_handler *handler,
                     const char *text, struct hf_error *err)
{
        int r;

        (void)handler;
        r = hf_vm_uuid_parse(text, reader->spec.uuid, err);
        if (r < 0)
                return r;
        reader->spec.has_uuid = true;
        return 0;
}

static int read_snapshot(struct hf_qemu_reader *reader, const struct hf_qemu_handler *handler,
                         const char *text, struct hf_error *err)
{
        (void)handler;
        (void)text;
        (void)err;
        reader->snapshot = true;
        return 0;
}

static int read_set(struct hf_qemu_reader *reader, const struct hf_qemu_handler *handler,
                    const char *text, struct hf_error *err)
{
        return add_item(reader, handler, text, NULL, err);
}

/* "GROUP.ID.KEY=VALUE" changes a key of the -drive or -device with that id. */
static int finish_set(struct hf_qemu_reader *reader, struct hf_qemu_item *set, struct hf_error *err)
{
        hf_cleanup_free char *copy = strdup(set->text);
        char *id, *key, *value;

        if (!copy)
                return no_memory(err);
        id = strchr(copy, '.');
        key = id ? strchr(id + 1, '.') : NULL;
        value = key ? strchr(key + 1, '=') : NULL;
        if (!value)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "not of the form GROUP.ID.KEY=VALUE");
        *id++ = *key++ = *value++ = '\0';
        for (struct hf_qemu_item *item = reader->first; item; item = item->next) {
                const char *other;

                if (!item->object || strcmp(item->handler->option, copy) != 0)
                        continue;
                if (hf_qemu_tree_text(item->object, "id", &other, NULL) < 0 || !other ||
                    strcmp(other, id) != 0)
                        continue;
                if (set_text(item->object, key, value) < 0)
                        return no_memory(err);
        }
        return 0;
}

/* A section of a file for -readconfig. */
static const struct hf_qemu_handler section_handlers[] = {
        {"drive", "-readconfig", NULL, HF_QEMU_PHASE_NODE, finish_drive, NULL},
        {"device", "-readconfig", NULL, HF_QEMU_PHASE_DEVICE, finish_device, NULL},
};

struct section_reader {
        struct hf_qemu_reader *reader;
        const char *path;
};

static int read_section(void *context, const char *group, struct json_object *flat,
                        struct hf_error *err)
{
        const struct section_reader *sections = context;

        if (strcmp(group, "name") == 0)
                return take_name(sections->reader, flat, err);
        for (size_t i = 0; i < HF_ARRAY_LEN(section_handlers); i++)
                if (strcmp(group, section_handlers[i].option) == 0)
                        return add_item(sections->reader, &section_handlers[i], sections->path,
                                        json_object_get(flat), err);
        return 0;
}

static int read_config(struct hf_qemu_reader *reader, const struct hf_qemu_handler *handler,
                       const char *text, struct hf_error *err)
{
        struct section_reader sections = {reader, text};
        hf_cleanup_free char *config = NULL;
        int r;

        (void)handler;
        if (!reader->host)
                return 0;
        r = reader->host->read_config(text, &config, err);
        if (r < 0)
                return r;
        return hf_qemu_config_parse(config, read_section, &sections, err);
}

static int read_number(struct json_object *flat, const char *key, int *ret_number,
                       struct hf_error *err)
{
        const char *text;
        char *end;
        long number;
        int r;

        r = hf_qemu_tree_text(flat, key, &text, err);
        if (r < 0)
                return r;
        errno = 0;
        number = text ? strtol(text, &end, 10) : -1;
        if (number < 0 || number > INT_MAX || errno != 0 || end == text || *end)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "'%s' is missing or not a number", key);
        *ret_number = (int)number;
        return 0;
}

/* -add-fd set=S,fd=F makes "/dev/fdset/S" a name of what descriptor F is open at. All of one
 * set are open at one file, for reading and for writing. */
static int read_add_fd(struct hf_qemu_reader *reader, const struct hf_qemu_handler *handler,
                       const char *text, struct hf_error *err)
{
        hf_cleanup_json struct json_object *flat = NULL;
        hf_cleanup_free char *path = NULL;
        char name[32];
        int set, fd, r;

        (void)handler;
        r = hf_qemu_opts_parse(text, HF_QEMU_OPTS, NULL, &flat, err);
        if (r >= 0)
                r = read_number(flat, "set", &set, err);
        if (r >= 0)
                r = read_number(flat, "fd", &fd, err);
        if (r < 0 || !reader->host)
                return r;
        r = reader->host->fd_path(fd, &path, err);
        if (r <= 0)
                return r;
        (void)snprintf(name, sizeof(name), "/dev/fdset/%d", set);
        return set_text(reader->fdsets, name, path) < 0 ? no_memory(err) : 0;
}

static const struct hf_qemu_handler handlers[] = {
        {"drive", "-drive", read_drive, HF_QEMU_PHASE_NODE, finish_drive},
        {"blockdev", "-blockdev", read_blockdev, HF_QEMU_PHASE_NODE, finish_blockdev},
        {"hda", "-hda", read_image, HF_QEMU_PHASE_NODE, finish_drive, "disk"},
        {"hdb", "-hdb", read_image, HF_QEMU_PHASE_NODE, finish_drive, "disk"},
        {"hdc", "-hdc", read_image, HF_QEMU_PHASE_NODE, finish_drive, "disk"},
        {"hdd", "-hdd", read_image, HF_QEMU_PHASE_NODE, finish_drive, "disk"},
        {"cdrom", "-cdrom", read_image, HF_QEMU_PHASE_NODE, finish_drive, "cdrom"},
        {"fda", "-fda", read_image, HF_QEMU_PHASE_NODE, finish_drive, "disk"},
        {"fdb", "-fdb", read_image, HF_QEMU_PHASE_NODE, finish_drive, "disk"},
        {"mtdblock", "-mtdblock", read_image, HF_QEMU_PHASE_NODE, finish_drive, "disk"},
        {"pflash", "-pflash", read_image, HF_QEMU_PHASE_NODE, finish_drive, "disk"},
        {"sd", "-sd", read_image, HF_QEMU_PHASE_NODE, finish_drive, "disk"},
        {"device", "-device", read_device, HF_QEMU_PHASE_DEVICE, finish_device},
        {"add-fd", "-add-fd", read_add_fd, HF_QEMU_PHASE_NONE, NULL},
        {"readconfig", "-readconfig", read_config, HF_QEMU_PHASE_NONE, NULL},
        {"set", "-set", read_set, HF_QEMU_PHASE_SET, finish_set},
        {"snapshot", "-snapshot", read_snapshot, HF_QEMU_PHASE_NONE, NULL},
        {"name", "-name", read_name, HF_QEMU_PHASE_NONE, NULL},
        {"uuid", "-uuid", read_uuid, HF_QEMU_PHASE_NONE, NULL},
};

static const struct hf_qemu_handler word_alone = {
        "", "image argument", read_image, HF_QEMU_PHASE_NODE, finish_drive, "disk",
};

const struct hf_qemu_handler *hf_qemu_find_handler(const char *option)
{
        if (!option)
                return &word_alone;
        for (size_t i = 0; i < HF_ARRAY_LEN(handlers); i++)
                if (strcmp(option, handlers[i].option) == 0)
                        return &handlers[i];
        return NULL;
}
