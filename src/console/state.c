/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "console/state.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "console/program.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>

#define MODULE "console.state"

static void json_freep(json_object **object)
{
        (void)json_object_put(*object);
        *object = NULL;
}

#define cleanup_json hf_cleanup(json_freep)

static void add_text(json_object *to, const char *key, const char *text)
{
        json_object_object_add(to, key, json_object_new_string(text));
}

static void put_uuid(const uint8_t uuid[16], char ret[33])
{
        for (int i = 0; i < 16; i++)
                (void)snprintf(ret + 2 * i, 3, "%02x", uuid[i]);
}

static json_object *entry_of(const struct hf_console *console)
{
        json_object *entry = json_object_new_object();
        char uuid[33];

        if (!entry)
                return NULL;
        put_uuid(console->uuid, uuid);
        add_text(entry, "vm", console->vm);
        add_text(entry, "uuid", uuid);
        add_text(entry, "device", console->device);
        add_text(entry, "path", console->path);
        add_text(entry, "monitor", console->monitor);
        add_text(entry, "chardev", console->chardev);
        json_object_object_add(entry, "pid", json_object_new_int64(console->pid));
        json_object_object_add(entry, "start", json_object_new_uint64(console->pid_start));
        return entry;
}

static json_object *all_of(struct hf_con_server *server)
{
        json_object *all = json_object_new_array();
        struct hf_console *console;
        uint32_t i = 0;

        while (all && (console = hf_con_server_next(server, &i))) {
                json_object *entry = NULL;

                if (console->registered && console->state != HF_CONSOLE_ENDED)
                        entry = entry_of(console);
                if (entry)
                        (void)json_object_array_add(all, entry);
        }
        return all;
}

/* As a whole or not at all. */
static int replace_file(const char *path, const char *text)
{
        char other[PATH_MAX];
        hf_cleanup_fd int fd = -1;
        size_t len = strlen(text);

        if (snprintf(other, sizeof(other), "%s.new", path) >= (int)sizeof(other))
                return -ENAMETOOLONG;
        (void)unlink(other);
        fd = open(other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        if (write(fd, text, len) != (ssize_t)len || rename(other, path) < 0) {
                int r = errno ? -errno : -EIO;

                (void)unlink(other);
                return r;
        }
        return 0;
}

void hf_con_state_save(struct hf_con_server *server)
{
        cleanup_json json_object *state = json_object_new_object();
        int r = -ENOMEM;

        if (state) {
                json_object_object_add(state, "version", json_object_new_int(1));
                json_object_object_add(state, "consoles", all_of(server));
                r = replace_file(server->state_file,
                                 json_object_to_json_string_ext(state, JSON_C_TO_STRING_PRETTY));
        }
        if (r < 0)
                hf_log(HF_LOG_ERROR, MODULE, "cannot write %s: %s", server->state_file,
                       strerrordesc_np(-r));
}

static const char *text_of(json_object *entry, const char *key)
{
        json_object *value;

        if (!json_object_object_get_ex(entry, key, &value) ||
            !json_object_is_type(value, json_type_string))
                return "";
        return json_object_get_string(value);
}

static uint64_t number_of(json_object *entry, const char *key)
{
        json_object *value;

        if (!json_object_object_get_ex(entry, key, &value) ||
            !json_object_is_type(value, json_type_int))
                return 0;
        return json_object_get_uint64(value);
}

static bool get_uuid(const char *text, uint8_t ret[16])
{
        for (int i = 0; i < 16; i++) {
                unsigned int byte;

                if (sscanf(text + 2 * i, "%2x", &byte) != 1)
                        return false;
                ret[i] = (uint8_t)byte;
        }
        return true;
}

/* One whose VM is dead, or has its pid from another process by now, is forgotten. */
static void load_entry(struct hf_con_server *server, json_object *entry)
{
        uint8_t uuid[16] = {0};
        struct hf_con_name name = {.vm = text_of(entry, "vm"),
                                   .device = text_of(entry, "device"),
                                   .path = text_of(entry, "path"),
                                   .monitor = text_of(entry, "monitor"),
                                   .chardev = text_of(entry, "chardev"),
                                   .uuid = uuid,
                                   .pid = (pid_t)number_of(entry, "pid")};
        struct hf_console *console;
        uint64_t start;

        if (strlen(text_of(entry, "uuid")) != 32 || !get_uuid(text_of(entry, "uuid"), uuid) ||
            !*name.vm || *name.path != '/' || name.pid <= 0)
                return;
        if (hf_process_start(name.pid, &start) < 0 || start != number_of(entry, "start"))
                return;
        if (hf_console_by_path(server, name.path) || hf_console_new(server, &name, &console) < 0)
                return;
        if (hf_console_register(console, &name, NULL) < 0)
                hf_console_end(console, "its VM has ended");
}

/* More than all consoles there may be need. */
#define STATE_MAX (16 * 1024 * 1024)

static int read_file(const char *path, char **ret)
{
        hf_cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        hf_cleanup_free char *text = NULL;
        off_t size;

        if (fd < 0)
                return -errno;
        size = lseek(fd, 0, SEEK_END);
        if (size < 0 || size > STATE_MAX)
                return -EFBIG;
        text = calloc(1, (size_t)size + 1);
        if (!text)
                return -ENOMEM;
        if (pread(fd, text, (size_t)size, 0) != (ssize_t)size)
                return -EIO;
        *ret = hf_steal_ptr(text);
        return 0;
}

void hf_con_state_load(struct hf_con_server *server)
{
        hf_cleanup_free char *text = NULL;
        cleanup_json json_object *state = NULL;
        json_object *all;
        int r = read_file(server->state_file, &text);

        if (r >= 0)
                state = json_tokener_parse(text);
        if (r == -ENOENT)
                return;
        if (!state || !json_object_object_get_ex(state, "consoles", &all) ||
            !json_object_is_type(all, json_type_array)) {
                hf_log(HF_LOG_WARNING, MODULE, "%s does not tell which consoles there were",
                       server->state_file);
                return;
        }
        for (size_t i = 0; i < json_object_array_length(all); i++)
                load_entry(server, json_object_array_get_idx(all, i));
}
