/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/qemu-cmdline.h"

#include "base/cleanup.h"
#include "vm/image-chain.h"
#include "vm/qemu-args.h"
#include "vm/qemu-drive.h"
#include "vm/qemu-nodes.h"

#include <string.h>

/* What is done when all options have been seen, in this order: -set and -snapshot change
 * others wherever they stand, and a device may stand before its drive. */
enum phase {
        PHASE_NONE,
        PHASE_SET,
        PHASE_NODE,
        PHASE_DEVICE,
        PHASES,
};

/* An option that waits for its phase. */
struct item {
        struct item *next;
        const struct handler *handler;
        const char *text;           /* the option's value, in argv */
        struct json_object *object; /* -drive, -device: flat; -blockdev: a tree */
};

struct reader {
        struct hf_vm_spec spec;
        struct hf_qemu_graph *graph;
        struct item *first, **end;
        bool snapshot;
        bool program;
};

struct handler {
        const char *option;
        const char *shown; /* to people */
        int (*read)(struct reader *reader, const struct handler *handler, const char *text,
                    struct hf_error *err);
        enum phase phase;
        int (*finish)(struct reader *reader, struct item *item, struct hf_error *err);
        const char *media; /* of the short options */
};

static int no_memory(struct hf_error *err)
{
        return hf_error_sys(err, ENOMEM, "cannot read the command line");
}

static void reader_done(struct reader *reader)
{
        struct item *item;

        while ((item = reader->first)) {
                reader->first = item->next;
                (void)json_object_put(item->object);
                free(item);
        }
        hf_qemu_graph_free(reader->graph);
        hf_vm_spec_free(&reader->spec);
}

/* Takes over `object`, also on an error. */
static int add_item(struct reader *reader, const struct handler *handler, const char *text,
                    struct json_object *object, struct hf_error *err)
{
        struct item *item = calloc(1, sizeof(*item));

        if (!item) {
                (void)json_object_put(object);
                return no_memory(err);
        }
        *item = (struct item){.handler = handler, .text = text, .object = object};
        *reader->end = item;
        reader->end = &item->next;
        return 0;
}

static int read_drive(struct reader *reader, const struct handler *handler, const char *text,
                      struct hf_error *err)
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
static int read_image(struct reader *reader, const struct handler *handler, const char *text,
                      struct hf_error *err)
{
        hf_cleanup_json struct json_object *flat = json_object_new_object();

        if (!flat || set_text(flat, "file", text) < 0 ||
            set_text(flat, "media", handler->media) < 0)
                return no_memory(err);
        return add_item(reader, handler, text, hf_steal_ptr(flat), err);
}

static int finish_drive(struct reader *reader, struct item *item, struct hf_error *err)
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

static int read_blockdev(struct reader *reader, const struct handler *handler, const char *text,
                         struct hf_error *err)
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

static int finish_blockdev(struct reader *reader, struct item *item, struct hf_error *err)
{
        return hf_qemu_graph_add(reader->graph, item->handler->shown, item->text, item->object, 0,
                                 err);
}

static int read_device(struct reader *reader, const struct handler *handler, const char *text,
                       struct hf_error *err)
{
        struct json_object *object;
        int r;

        r = parse_either(text, HF_QEMU_OPTS, &object, err);
        if (r < 0)
                return r;
        return add_item(reader, handler, text, object, err);
}

static int finish_device(struct reader *reader, struct item *item, struct hf_error *err)
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

static int read_name(struct reader *reader, const struct handler *handler, const char *text,
                     struct hf_error *err)
{
        hf_cleanup_json struct json_object *flat = NULL;
        const char *guest;
        int r;

        (void)handler;
        r = hf_qemu_opts_parse(text, HF_QEMU_OPTS, "guest", &flat, err);
        if (r < 0)
                return r;
        r = hf_qemu_tree_text(flat, "guest", &guest, err);
        if (r < 0 || !guest || !*guest)
                return r;
        return hf_vm_spec_set_name(&reader->spec, guest, err);
}

static int read_uuid(struct reader *reader, const struct handler *handler, const char *text,
                     struct hf_error *err)
{
        int r;

        (void)handler;
        r = hf_vm_uuid_parse(text, reader->spec.uuid, err);
        if (r < 0)
                return r;
        reader->spec.has_uuid = true;
        return 0;
}

static int read_snapshot(struct reader *reader, const struct handler *handler, const char *text,
                         struct hf_error *err)
{
        (void)handler;
        (void)text;
        (void)err;
        reader->snapshot = true;
        return 0;
}

static int read_set(struct reader *reader, const struct handler *handler, const char *text,
                    struct hf_error *err)
{
        return add_item(reader, handler, text, NULL, err);
}

/* "GROUP.ID.KEY=VALUE" changes a key of the -drive or -device with that id. */
static int finish_set(struct reader *reader, struct item *set, struct hf_error *err)
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
        for (struct item *item = reader->first; item; item = item->next) {
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

static const struct handler handlers[] = {
        {"drive", "-drive", read_drive, PHASE_NODE, finish_drive},
        {"blockdev", "-blockdev", read_blockdev, PHASE_NODE, finish_blockdev},
        {"hda", "-hda", read_image, PHASE_NODE, finish_drive, "disk"},
        {"hdb", "-hdb", read_image, PHASE_NODE, finish_drive, "disk"},
        {"hdc", "-hdc", read_image, PHASE_NODE, finish_drive, "disk"},
        {"hdd", "-hdd", read_image, PHASE_NODE, finish_drive, "disk"},
        {"cdrom", "-cdrom", read_image, PHASE_NODE, finish_drive, "cdrom"},
        {"fda", "-fda", read_image, PHASE_NODE, finish_drive, "disk"},
        {"fdb", "-fdb", read_image, PHASE_NODE, finish_drive, "disk"},
        {"mtdblock", "-mtdblock", read_image, PHASE_NODE, finish_drive, "disk"},
        {"pflash", "-pflash", read_image, PHASE_NODE, finish_drive, "disk"},
        {"sd", "-sd", read_image, PHASE_NODE, finish_drive, "disk"},
        {"device", "-device", read_device, PHASE_DEVICE, finish_device},
        {"set", "-set", read_set, PHASE_SET, finish_set},
        {"snapshot", "-snapshot", read_snapshot, PHASE_NONE, NULL},
        {"name", "-name", read_name, PHASE_NONE, NULL},
        {"uuid", "-uuid", read_uuid, PHASE_NONE, NULL},
};

/* A word alone. */
static const struct handler bare_image = {"",         "image argument", read_image,
                                          PHASE_NODE, finish_drive,     "disk"};

static const struct handler *find_handler(const char *option)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(handlers); i++)
                if (strcmp(option, handlers[i].option) == 0)
                        return &handlers[i];
        return NULL;
}

/* Where QEMU's name was not seen, "-name" or "-device" may well be somebody else's, and what
 * is wrong with it is none of our business. */
static bool is_lenient(const struct reader *reader, const struct handler *handler)
{
        return !reader->program && handler->phase != PHASE_NODE;
}

static int read_arg(struct reader *reader, const struct hf_qemu_arg *arg, struct hf_error *err)
{
        const struct handler *handler = arg->option ? find_handler(arg->option) : &bare_image;
        int r;

        if (!handler || (!reader->program && (!arg->option || arg->missing)))
                return 0;
        if (arg->missing)
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "%s: its value is missing", handler->shown);
        if (is_lenient(reader, handler)) {
                r = handler->read(reader, handler, arg->value, NULL);
                return r == -ENOMEM ? no_memory(err) : 0;
        }
        r = handler->read(reader, handler, arg->value, err);
        if (r < 0)
                hf_error_prefix(err, "%s %.200s", handler->shown, arg->value);
        return r;
}

static int finish_item(struct reader *reader, struct item *item, struct hf_error *err)
{
        int r;

        if (is_lenient(reader, item->handler)) {
                r = item->handler->finish(reader, item, NULL);
                return r == -ENOMEM ? no_memory(err) : 0;
        }
        r = item->handler->finish(reader, item, err);
        if (r < 0)
                hf_error_prefix(err, "%s %.200s", item->handler->shown, item->text);
        return r;
}

static int finish_phase(struct reader *reader, enum phase phase, struct hf_error *err)
{
        int r;

        for (struct item *item = reader->first; item; item = item->next) {
                if (item->handler->phase != phase)
                        continue;
                r = finish_item(reader, item, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_all(struct reader *reader, const char *const *argv, struct hf_error *err)
{
        struct hf_qemu_args args;
        struct hf_qemu_arg arg;
        int r;

        hf_qemu_args_init(&args, argv);
        reader->program = args.program;
        while (hf_qemu_args_next(&args, &arg)) {
                r = read_arg(reader, &arg, err);
                if (r < 0)
                        return r;
        }
        for (enum phase phase = PHASE_SET; phase < PHASES; phase++) {
                r = finish_phase(reader, phase, err);
                if (r < 0)
                        return r;
        }
        return hf_qemu_graph_images(reader->graph, &reader->spec, err);
}

static int read_line(const char *const *argv, bool chain, struct hf_vm_spec *spec,
                     struct hf_error *err)
{
        hf_cleanup(reader_done) struct reader reader = {.graph = hf_qemu_graph_new()};
        int r;

        reader.end = &reader.first;
        if (!reader.graph)
                return no_memory(err);
        r = read_all(&reader, argv, err);
        if (r < 0)
                return r;
        if (chain) {
                r = hf_image_chain_add(&reader.spec, err);
                if (r < 0)
                        return r;
        }
        return hf_vm_spec_merge(spec, &reader.spec, err);
}

int hf_qemu_parse(const char *const *argv, struct hf_vm_spec *spec, struct hf_error *err)
{
        return read_line(argv, false, spec, err);
}

int hf_qemu_read(const char *const *argv, const struct hf_qemu_options *options,
                 struct hf_vm_spec *spec, struct hf_error *err)
{
        return read_line(argv, !options || !options->no_backing, spec, err);
}
