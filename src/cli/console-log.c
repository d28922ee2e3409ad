/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast console --log: what a console has printed, read from its files.
 *
 * On a terminal the guest's sequences are filtered, but for colours: what a guest has printed once
 * may be anything, and a log is looked at when something is wrong with it. Into a file or a pipe
 * goes what is in the log, byte for byte, unless --plain is given.
 */

#include "cli/console-log-file.h"
#include "cli/console-output.h"
#include "cli/console.h"
#include "cli/message.h"

#include "base/cleanup.h"
#include "base/conf.h"
#include "base/file-name.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#define BLOCK 16384

/* As wide as a time, where none is known. */
#define NO_STAMP "                        "

struct printer {
        bool timestamps, filtered;
        bool fresh; /* the next byte begins a line */
        struct hf_escape_filter filter;
        char text[HF_ESCAPE_FILTER_ROOM(BLOCK)];
};

static int status_of(int r)
{
        if (r == -ENOENT || r == -ENOTDIR)
                return HF_EXIT_NO_IMAGE;
        return r == -EACCES || r == -EPERM ? HF_EXIT_DENIED : HF_EXIT_SYSTEM;
}

/* ---- which log --------------------------------------------------------------------------- */

/* Where logs are, as the daemon's configuration says. HF_EXIT_OK, or it was reported. */
static int find_dir(char ret[PATH_MAX])
{
        hf_cleanup_paths struct hf_paths paths = {0};
        hf_cleanup_conf struct hf_conf *conf = NULL;
        const char *configured = "";
        struct hf_error error;
        int r = hf_paths_init(&paths, &error);

        if (r >= 0)
                r = hf_conf_load(paths.console_config, false, &conf, &error);
        if (r >= 0)
                r = hf_conf_get_string(conf, "log_directory", &configured, &error);
        if (r < 0) {
                hf_message("%s", error.text);
                return HF_EXIT_CONFIG;
        }
        /* Of a time before it was switched off there may be logs. */
        (void)snprintf(ret, PATH_MAX, "%s",
                       *configured == '/' ? configured : paths.console_log_dir);
        return HF_EXIT_OK;
}

static bool is_log(const char *name, size_t *ret_base)
{
        size_t len = strlen(name);

        if (len <= 4 || strcmp(name + len - 4, ".log") != 0)
                return false;
        *ret_base = len - 4;
        return true;
}

/* The better one of two that nobody has chosen from: a serial line, the first. */
static bool is_before(const char *name, const char *than)
{
        bool serial = !strncmp(name, "serial", 6), other = !strncmp(than, "serial", 6);

        if (serial != other)
                return serial;
        return strcmp(name, than) < 0;
}

/* The device that is meant where none is named. -ENOENT: there is no log at all. */
static int choose(int dir_fd, char ret[NAME_MAX + 1])
{
        hf_cleanup_fd int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        hf_cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;
        size_t base;

        if (!dir)
                return -errno;
        (void)hf_steal_fd(&fd);
        *ret = '\0';
        while ((entry = readdir(dir))) {
                char name[NAME_MAX + 1];

                if (!is_log(entry->d_name, &base))
                        continue;
                (void)snprintf(name, sizeof(name), "%.*s", (int)base, entry->d_name);
                if (!*ret || is_before(name, ret))
                        (void)snprintf(ret, NAME_MAX + 1, "%s", name);
        }
        return *ret ? 0 : -ENOENT;
}

static int open_log(const struct hf_console_target *target, const char *dir,
                    struct hf_log_files *ret)
{
        char vm[HF_FILE_NAME_MAX + 1], device[NAME_MAX + 1] = "";
        char path[PATH_MAX];
        hf_cleanup_fd int dir_fd = -1;
        int r = 0;

        hf_file_name(target->path ? "by-path" : target->vm, vm);
        if (target->path)
                hf_file_name(target->path, device);
        else if (*target->device)
                hf_file_name(target->device, device);
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, vm) >= sizeof(path))
                return -ENAMETOOLONG;
        dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        if (!*device)
                r = choose(dir_fd, device);
        return r < 0 ? r : hf_log_files_open(dir_fd, device, ret);
}

/* ---- printing ---------------------------------------------------------------------------- */

static void print_stamp(struct hf_log_file *file, uint64_t offset)
{
        char text[HF_CONSOLE_STAMP_MAX] = "";
        uint64_t usec = hf_log_file_time(file, offset);

        if (usec)
                hf_console_stamp(usec, text);
        (void)fputs(*text ? text : NO_STAMP, stdout);
}

static void print_text(struct printer *printer, const char *data, size_t len)
{
        if (!printer->filtered)
                (void)fwrite(data, 1, len, stdout);
        else
                (void)fwrite(printer->text, 1,
                             hf_escape_filter(&printer->filter, data, len, printer->text), stdout);
}

static void print_block(struct printer *printer, struct hf_log_file *file, uint64_t offset,
                        const char *data, size_t n)
{
        while (n > 0) {
                const char *end = printer->timestamps ? memchr(data, '\n', n) : NULL;
                size_t len = end ? (size_t)(end - data) + 1 : n;

                if (printer->fresh && printer->timestamps)
                        print_stamp(file, offset);
                print_text(printer, data, len);
                printer->fresh = data[len - 1] == '\n';
                data += len;
                offset += len;
                n -= len;
        }
}

static int print_file(struct printer *printer, struct hf_log_file *file, uint64_t offset)
{
        char block[BLOCK];

        while (offset < file->size && !ferror(stdout)) {
                uint64_t left = file->size - offset;
                ssize_t n = pread(file->fd, block, left < BLOCK ? left : BLOCK, (off_t)offset);

                if (n < 0)
                        return -errno;
                /* It was cut meanwhile. */
                if (n == 0)
                        break;
                print_block(printer, file, offset, block, (size_t)n);
                offset += (uint64_t)n;
        }
        return 0;
}

static int print_all(const struct hf_console_given *given, struct hf_log_files *files)
{
        static struct printer printer;
        bool terminal = isatty(STDOUT_FILENO);
        uint64_t offset = 0;
        size_t first = files->n - 1;
        int r = 0;

        if (given->replay >= 0)
                r = hf_log_files_lines(files, (uint64_t)given->replay, &first, &offset);
        printer = (struct printer){.timestamps = given->timestamps,
                                   .filtered = given->plain || terminal,
                                   .fresh = true};
        hf_escape_filter_init(&printer.filter, terminal, hf_console_speaks_utf8(STDOUT_FILENO));
        for (size_t i = first + 1; r >= 0 && i > 0; i--) {
                r = print_file(&printer, &files->files[i - 1], offset);
                offset = 0;
        }
        if (printer.filtered)
                (void)fwrite(printer.text, 1, hf_escape_filter_end(&printer.filter, printer.text),
                             stdout);
        if (terminal && !printer.fresh)
                (void)putchar('\n');
        return r;
}

int hf_console_show_log(const struct hf_console_given *given,
                        const struct hf_console_target *target)
{
        struct hf_log_files files = {0};
        char dir[PATH_MAX];
        int r = find_dir(dir);

        if (r != HF_EXIT_OK)
                return r;
        r = open_log(target, dir, &files);
        if (r < 0) {
                if (r == -ENOENT)
                        hf_message("there is no log of %s in %s", target->name, dir);
                else
                        hf_message("cannot open the log of %s in %s: %s", target->name, dir,
                                   strerror(-r));
                return status_of(r);
        }
        (void)signal(SIGPIPE, SIG_IGN);
        r = print_all(given, &files);
        hf_log_files_clear(&files);
        if (r < 0) {
                hf_message("cannot read the log of %s: %s", target->name, strerror(-r));
                return HF_EXIT_SYSTEM;
        }
        if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE) {
                hf_message("cannot print the log of %s: %s", target->name, strerror(errno));
                return HF_EXIT_SYSTEM;
        }
        return HF_EXIT_OK;
}
