/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/qemu-nodes.h"

#include "base/cleanup.h"
#include "vm/qemu-walk.h"

#include <string.h>

/* Out of memory is an error to return, not the end of the process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* How devices show a node to the guest. */
struct shown {
        bool any;
        bool exclusive; /* by one that does not say share-rw=on */
};

/* One option. */
struct entry {
        struct entry *next;
        const char *option;
        char *text;
        struct json_object *tree;
        unsigned mode;
        bool used;    /* another node has it as a child */
        bool visited; /* a walk has met it */
        struct shown shown;
};

/* A node that has a name: the top of an entry, or one inside. */
struct name {
        UT_hash_handle hh;
        struct json_object *node; /* in the entry's tree */
        struct entry *entry;
        struct shown inside; /* of a node that is not the top */
        char text[];
};

struct hf_qemu_graph {
        struct entry *first, **end;
        struct name *names;
};

static int no_memory(struct hf_error *err)
{
        return hf_error_sys(err, ENOMEM, "cannot note a block device");
}

struct hf_qemu_graph *hf_qemu_graph_new(void)
{
        struct hf_qemu_graph *graph = calloc(1, sizeof(*graph));

        if (graph)
                graph->end = &graph->first;
        return graph;
}

void hf_qemu_graph_free(struct hf_qemu_graph *graph)
{
        struct name *name, *next_name;
        struct entry *entry;

        if (!graph)
                return;
        HASH_ITER(hh, graph->names, name, next_name)
        {
                HASH_DEL(graph->names, name);
                free(name);
        }
        while ((entry = graph->first)) {
                graph->first = entry->next;
                (void)json_object_put(entry->tree);
                free(entry->text);
                free(entry);
        }
        free(graph);
}

static struct name *look_up(const struct hf_qemu_graph *graph, const char *text)
{
        struct name *name;

        HASH_FIND_STR(graph->names, text, name);
        return name;
}

struct adding {
        struct hf_qemu_graph *graph;
        struct entry *entry;
        struct hf_error *err;
};

static int add_name(struct adding *a, struct json_object *node, const char *key)
{
        const char *text;
        struct name *name;
        int r;

        r = hf_qemu_tree_text(node, key, &text, a->err);
        if (r < 0)
                return r;
        if (!text || !*text)
                return 0;
        name = look_up(a->graph, text);
        if (name && name->node == node)
                return 0;
        if (name)
                return hf_error_set(a->err, EEXIST, HF_ERR_INVALID_ARG, HF_FROM_LOCKING,
                                    "there is another node '%.64s'", text);
        name = calloc(1, sizeof(*name) + strlen(text) + 1);
        if (!name)
                return no_memory(a->err);
        name->node = node;
        name->entry = a->entry;
        strcpy(name->text, text);
        HASH_ADD_STR(a->graph->names, text, name);
        if (!name->hh.tbl) {
                free(name);
                return no_memory(a->err);
        }
        return 0;
}

static int add_names_inside(void *context, enum hf_qemu_role role, struct json_object *child)
{
        struct adding *a = context;
        int r;

        (void)role;
        if (!json_object_is_type(child, json_type_object))
                return 0;
        r = add_name(a, child, "node-name");
        if (r < 0)
                return r;
        return hf_qemu_each_child(child, add_names_inside, a);
}

static int add_names(struct hf_qemu_graph *graph, struct entry *entry, struct hf_error *err)
{
        struct adding a = {graph, entry, err};
        int r;

        r = add_name(&a, entry->tree, "node-name");
        if (r < 0)
                return r;
        r = add_name(&a, entry->tree, "id");
        if (r < 0)
                return r;
        return hf_qemu_each_child(entry->tree, add_names_inside, &a);
}

int hf_qemu_graph_add(struct hf_qemu_graph *graph, const char *option, const char *text,
                      struct json_object *tree, unsigned mode, struct hf_error *err)
{
        struct entry *entry = calloc(1, sizeof(*entry));

        if (!entry)
                return no_memory(err);
        *graph->end = entry;
        graph->end = &entry->next;
        entry->tree = json_object_get(tree);
        entry->option = option;
        entry->mode = mode;
        entry->text = strdup(text);
        if (!entry->text)
                return no_memory(err);
        return add_names(graph, entry, err);
}

void hf_qemu_graph_show(struct hf_qemu_graph *graph, const char *text, bool share_rw)
{
        struct name *name = look_up(graph, text);
        struct shown *shown;

        if (!name)
                return;
        shown = name->node == name->entry->tree ? &name->entry->shown : &name->inside;
        shown->any = true;
        shown->exclusive = shown->exclusive || !share_rw;
}

static int mark_used(void *context, enum hf_qemu_role role, struct json_object *child)
{
        struct hf_qemu_graph *graph = context;
        struct name *name;

        (void)role;
        if (json_object_is_type(child, json_type_object))
                return hf_qemu_each_child(child, mark_used, graph);
        name = look_up(graph, json_object_get_string(child));
        if (name && name->node == name->entry->tree)
                name->entry->used = true;
        return 0;
}

static int resolve(void *context, const char *text, struct json_object **ret_node,
                   const char **ret_origin)
{
        const struct name *name = look_up(context, text);

        if (!name)
                return -ENOENT;
        name->entry->visited = true;
        *ret_node = name->node;
        *ret_origin = name->entry->option;
        return 0;
}

static int walk_root(struct hf_qemu_walk *walk, struct entry *entry, struct json_object *node,
                     const struct shown *shown)
{
        unsigned flags = entry->mode;
        int r;

        if (shown->any && !shown->exclusive)
                flags |= HF_VM_DISK_SHARED;
        entry->visited = true;
        r = hf_qemu_walk_root(walk, node, flags, entry->option);
        if (r < 0)
                hf_error_prefix(walk->err, "%s %.200s", entry->option, entry->text);
        return r;
}

int hf_qemu_graph_images(struct hf_qemu_graph *graph, struct hf_vm_spec *spec, struct hf_error *err)
{
        struct hf_qemu_walk walk = {.spec = spec, .resolve = resolve, .context = graph, .err = err};
        struct name *name, *next_name;
        struct entry *entry;
        int r;

        for (entry = graph->first; entry; entry = entry->next)
                (void)hf_qemu_each_child(entry->tree, mark_used, graph);
        for (entry = graph->first; entry; entry = entry->next) {
                if (entry->used && !entry->shown.any)
                        continue;
                r = walk_root(&walk, entry, entry->tree, &entry->shown);
                if (r < 0)
                        return r;
        }
        HASH_ITER(hh, graph->names, name, next_name)
        {
                if (!name->inside.any)
                        continue;
                r = walk_root(&walk, name->entry, name->node, &name->inside);
                if (r < 0)
                        return r;
        }
        /* Nodes that only use each other have no root; walking one tells so. */
        for (entry = graph->first; entry; entry = entry->next) {
                if (entry->visited)
                        continue;
                r = walk_root(&walk, entry, entry->tree, &entry->shown);
                if (r < 0)
                        return r;
        }
        return 0;
}
