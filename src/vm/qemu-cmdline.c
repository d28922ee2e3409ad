/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/qemu-cmdline.h"

#include "base/cleanup.h"
#include "vm/qemu-args.h"
#include "vm/qemu-reader.h"

#include <string.h>

static int no_memory(struct hf_error *err)
{
        return hf_error_sys(err, ENOMEM, "cannot read the command line");
}

static void reader_done(struct hf_qemu_reader *reader)
{
        struct hf_qemu_item *item;

        while ((item = reader->first)) {
                reader->first = item->next;
                (void)json_object_put(item->object);
                free(item);
        }
        (void)json_object_put(reader->fdsets);
        hf_qemu_graph_free(reader->graph);
        hf_vm_spec_free(&reader->spec);
}

/* Where QEMU's name was not seen, "-name" or "-device" may well be somebody else's, and what
 * is wrong with it is none of our business. */
static bool is_lenient(const struct hf_qemu_reader *reader, const struct hf_qemu_handler *handler)
{
        return !reader->program && handler->phase != HF_QEMU_PHASE_NODE;
}

static int read_arg(struct hf_qemu_reader *reader, const struct hf_qemu_arg *arg,
                    struct hf_error *err)
{
        const struct hf_qemu_handler *handler = hf_qemu_find_handler(arg->option);
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

static int finish_item(struct hf_qemu_reader *reader, struct hf_qemu_item *item,
                       struct hf_error *err)
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

static int finish_phase(struct hf_qemu_reader *reader, enum hf_qemu_phase phase,
                        struct hf_error *err)
{
        int r;

        for (struct hf_qemu_item *item = reader->first; item; item = item->next) {
                if (item->handler->phase != phase)
                        continue;
                r = finish_item(reader, item, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Puts the paths of descriptors in the place of the sets' names. */
static int resolve_fdsets(struct hf_qemu_reader *reader, struct hf_error *err)
{
        hf_cleanup(hf_vm_spec_free) struct hf_vm_spec resolved = {0};
        struct hf_vm_spec *spec = &reader->spec, old = *spec;
        const char *path;
        int r;

        if (json_object_object_length(reader->fdsets) == 0)
                return 0;
        for (size_t i = 0; i < spec->n_disks; i++) {
                const struct hf_vm_disk *disk = &spec->disks[i];

                r = hf_qemu_tree_text(reader->fdsets, disk->path, &path, err);
                if (r < 0)
                        return r;
                r = hf_vm_spec_add_disk(&resolved, path ? path : disk->path, disk->flags,
                                        disk->format, disk->from, err);
                if (r < 0)
                        return r;
        }
        spec->disks = resolved.disks;
        spec->n_disks = resolved.n_disks;
        resolved.disks = old.disks;
        resolved.n_disks = old.n_disks;
        return 0;
}

static int read_all(struct hf_qemu_reader *reader, const char *const *argv, struct hf_error *err)
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
        for (enum hf_qemu_phase phase = HF_QEMU_PHASE_SET; phase < HF_QEMU_PHASES; phase++) {
                r = finish_phase(reader, phase, err);
                if (r < 0)
                        return r;
        }
        r = hf_qemu_graph_images(reader->graph, &reader->spec, err);
        if (r < 0)
                return r;
        return resolve_fdsets(reader, err);
}

int hf_qemu_parse(const char *const *argv, const struct hf_qemu_host *host, struct hf_vm_spec *spec,
                  struct hf_error *err)
{
        hf_cleanup(reader_done) struct hf_qemu_reader reader = {
                .graph = hf_qemu_graph_new(),
                .fdsets = json_object_new_object(),
                .host = host,
        };
        int r;

        reader.end = &reader.first;
        if (!reader.graph || !reader.fdsets)
                return no_memory(err);
        r = read_all(&reader, argv, err);
        if (r < 0)
                return r;
        return hf_vm_spec_merge(spec, &reader.spec, err);
}
