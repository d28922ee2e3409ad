/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/console-domain.h"

#include "vm/resources.h"

#include "base/cleanup.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdbool.h>
#include <string.h>

/* Of the text that lists a domain's devices. */
#define NAMES_MAX 512

static void free_doc(xmlDocPtr *doc)
{
        if (*doc)
                xmlFreeDoc(*doc);
}

/* A copy of libxml's text as one of ours. */
static char *own(xmlChar *text)
{
        char *copy = text ? strdup((const char *)text) : NULL;

        xmlFree(text);
        return copy;
}

static bool is_called(const xmlNode *node, const char *name)
{
        return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

static xmlNode *child_of(const xmlNode *parent, const char *name)
{
        for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next)
                if (is_called(node, name))
                        return node;
        return NULL;
}

/* NULL: there is no such attribute, or no memory. */
static char *attribute(const xmlNode *node, const char *name)
{
        return node ? own(xmlGetProp((xmlNode *)(uintptr_t)node, (const xmlChar *)name)) : NULL;
}

static bool attribute_is(const xmlNode *node, const char *name, const char *value)
{
        hf_cleanup_free char *there = attribute(node, name);

        return there && !strcmp(there, value);
}

static bool is_line(const xmlNode *node)
{
        return is_called(node, "console") || is_called(node, "serial");
}

static bool is_named(const xmlNode *node, const char *device)
{
        if (!*device)
                return is_line(node);
        return attribute_is(child_of(node, "alias"), "name", device) ||
               attribute_is(child_of(node, "target"), "name", device);
}

/* "serial0, channel0 (org.qemu.guest_agent.0)": what there is to choose from. */
static void list_devices(const xmlNode *devices, char *ret, size_t size)
{
        size_t used = 0;

        (void)snprintf(ret, size, "none");
        for (const xmlNode *node = devices->children; node; node = node->next) {
                hf_cleanup_free char *alias = attribute(child_of(node, "alias"), "name");
                hf_cleanup_free char *target = attribute(child_of(node, "target"), "name");

                if (!alias || (!is_line(node) && !is_called(node, "channel")))
                        continue;
                /* The first serial line is listed once more as a console. */
                if (is_called(node, "console") &&
                    attribute_is(child_of(node, "target"), "type", "serial"))
                        continue;
                used += (size_t)snprintf(ret + used, size - used, "%s%s%s%s%s", used ? ", " : "",
                                         alias, target ? " (" : "", target ? target : "",
                                         target ? ")" : "");
                if (used >= size)
                        return;
        }
}

static int refuse_kind(const xmlNode *node, const char *vm, struct hf_error *err)
{
        hf_cleanup_free char *type = attribute(node, "type");

        return hf_error_set(err, EOPNOTSUPP, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                            "the %s of domain %s is of type \"%s\": only a pty, or a UNIX socket "
                            "that QEMU listens at, can be attached to",
                            (const char *)node->name, vm, type ? type : "");
}

/* NULL: it is nothing that can be attached to. */
static char *path_of(const xmlNode *node)
{
        const xmlNode *source = child_of(node, "source");
        bool pty = attribute_is(node, "type", "pty");
        bool bound = attribute_is(node, "type", "unix") && attribute_is(source, "mode", "bind");
        char *path = pty || bound ? attribute(source, "path") : NULL;

        if (path && path[0] != '/') {
                free(path);
                path = NULL;
        }
        return path;
}

static int read_device(const xmlNode *domain, const char *device, struct hf_domain_console *found,
                       struct hf_error *err)
{
        const xmlNode *devices = child_of(domain, "devices");
        char names[NAMES_MAX] = "none";

        for (const xmlNode *node = devices ? devices->children : NULL; node; node = node->next) {
                if ((!is_line(node) && !is_called(node, "channel")) || !is_named(node, device))
                        continue;
                found->path = path_of(node);
                if (!found->path)
                        return refuse_kind(node, found->vm, err);
                found->device = attribute(child_of(node, "alias"), "name");
                if (!found->device)
                        found->device = strdup(*device ? device : (const char *)node->name);
                return found->device ? 0 : -ENOMEM;
        }
        if (devices)
                list_devices(devices, names, sizeof(names));
        return hf_error_set(err, ENOENT, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                            "domain %s has no %s%s; its devices are: %s", found->vm,
                            *device ? "device " : "console", device, names);
}

static int read_domain(const xmlNode *domain, const char *device, struct hf_domain_console *found,
                       struct hf_error *err)
{
        const xmlNode *name = child_of(domain, "name"), *uuid = child_of(domain, "uuid");
        hf_cleanup_free char *text = uuid ? own(xmlNodeGetContent(uuid)) : NULL;

        found->vm = name ? own(xmlNodeGetContent(name)) : NULL;
        if (!found->vm || !text || hf_vm_uuid_parse(text, found->uuid, err) < 0)
                return hf_error_set(err, EBADMSG, HF_ERR_INTERNAL, HF_FROM_NONE,
                                    "libvirt's description of a domain has no name or uuid");
        if (!xmlHasProp((xmlNode *)(uintptr_t)domain, (const xmlChar *)"id"))
                return hf_error_set(err, ENOENT, HF_ERR_OPERATION_INVALID, HF_FROM_NONE,
                                    "domain %s does not run", found->vm);
        return read_device(domain, device, found, err);
}

int hf_domain_console_parse(const char *text, size_t len, const char *device,
                            struct hf_domain_console *ret, struct hf_error *err)
{
        hf_cleanup_domain_console struct hf_domain_console found = {0};
        hf_cleanup(free_doc) xmlDocPtr doc = NULL;
        const xmlNode *domain;
        int r;

        if (len <= INT32_MAX)
                doc = xmlReadMemory(text, (int)len, "domain.xml", NULL,
                                    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
        domain = doc ? xmlDocGetRootElement(doc) : NULL;
        if (!domain || !is_called(domain, "domain"))
                return hf_error_set(err, EBADMSG, HF_ERR_INTERNAL, HF_FROM_NONE,
                                    "libvirt's description of a domain is no domain");
        r = read_domain(domain, device, &found, err);
        if (r < 0)
                return r;
        *ret = found;
        found = (struct hf_domain_console){0};
        return 0;
}

void hf_domain_console_clear(struct hf_domain_console *console)
{
        free(console->vm);
        free(console->device);
        free(console->path);
        *console = (struct hf_domain_console){0};
}
