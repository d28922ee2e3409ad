/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/path.h"

#include "base/cleanup.h"

#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Large enough for any passwd entry that glibc itself can make from a line of the file. */
#define PASSWD_BUFFER_SIZE 16384

/* Joins dir and name in an allocated string. */
static int join(const char *dir, const char *name, char **ret, struct hf_error *err)
{
        if (asprintf(ret, "%s/%s", dir, name) < 0) {
                *ret = NULL;
                return hf_error_sys(err, ENOMEM, "cannot build a path in %s", dir);
        }
        return 0;
}

static int copy(const char *text, char **ret, struct hf_error *err)
{
        *ret = strdup(text);
        return *ret ? 0 : hf_error_sys(err, ENOMEM, "cannot build a path");
}

/* Returns 1 and a copy of the variable without trailing slashes, or 0 if it is unset or empty. */
static int get_variable(const char *name, char **ret, struct hf_error *err)
{
        const char *value = secure_getenv(name);
        size_t len = value ? strlen(value) : 0;
        int r;

        if (!len)
                return 0;
        if (value[0] != '/')
                return hf_error_set(err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "%s must be an absolute path, not \"%s\"", name, value);
        r = copy(value, ret, err);
        if (r < 0)
                return r;
        while (len > 1 && (*ret)[len - 1] == '/')
                (*ret)[--len] = '\0';
        return 1;
}

/* The user's home: $HOME, else what the user database says. */
static int find_home(char **ret, struct hf_error *err)
{
        hf_cleanup_free char *buffer = NULL;
        struct passwd entry, *found = NULL;
        int r;

        r = get_variable("HOME", ret, err);
        if (r != 0)
                return r < 0 ? r : 0;
        buffer = malloc(PASSWD_BUFFER_SIZE);
        if (!buffer)
                return hf_error_sys(err, ENOMEM, "cannot look up the home directory");
        r = getpwuid_r(geteuid(), &entry, buffer, PASSWD_BUFFER_SIZE, &found);
        if (r != 0)
                return hf_error_sys(err, r, "cannot look up the home directory of user %u",
                                    geteuid());
        if (!found || found->pw_dir[0] != '/')
                return hf_error_set(err, ENOENT, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "user %u has no home directory; set HOME", geteuid());
        return copy(found->pw_dir, ret, err);
}

/* The first that is set of: variable, HOME/below. */
static int find_user_dir(const char *variable, const char *below, char **ret, struct hf_error *err)
{
        hf_cleanup_free char *home = NULL;
        int r;

        r = get_variable(variable, ret, err);
        if (r != 0)
                return r < 0 ? r : 0;
        r = find_home(&home, err);
        return r < 0 ? r : join(home, below, ret, err);
}

static int find_run_root(bool privileged, char **ret, struct hf_error *err)
{
        int r;

        r = get_variable("HOLDFAST_RUN_DIR", ret, err);
        if (r != 0)
                return r < 0 ? r : 0;
        if (privileged)
                return copy(HF_RUNSTATEDIR, ret, err);
        r = get_variable("XDG_RUNTIME_DIR", ret, err);
        if (r != 0)
                return r < 0 ? r : 0;
        return find_user_dir("XDG_CACHE_HOME", ".cache", ret, err);
}

/* What has to outlive the next boot, but for a world of its own. */
static int find_state_root(const struct hf_paths *paths, char **ret, struct hf_error *err)
{
        hf_cleanup_free char *moved = NULL;
        int r = get_variable("HOLDFAST_RUN_DIR", &moved, err);

        if (r < 0)
                return r;
        return copy(paths->privileged && !moved ? HF_LOCALSTATEDIR "/lib" : paths->run_root, ret,
                    err);
}

/* Where what guests print is kept: DIR/holdfast/consoles is below it. */
static int find_log_root(const struct hf_paths *paths, char **ret, struct hf_error *err)
{
        hf_cleanup_free char *moved = NULL;
        int r = get_variable("HOLDFAST_RUN_DIR", &moved, err);

        if (r < 0)
                return r;
        if (moved)
                return copy(paths->run_root, ret, err);
        if (paths->privileged)
                return copy(HF_LOCALSTATEDIR "/log", ret, err);
        return find_user_dir("XDG_STATE_HOME", ".local/state", ret, err);
}

static int find_config_root(bool privileged, char **ret, struct hf_error *err)
{
        if (privileged)
                return copy(HF_SYSCONFDIR, ret, err);
        return find_user_dir("XDG_CONFIG_HOME", ".config", ret, err);
}

struct place {
        char *const *dir;
        const char *name;
        char **ret;
};

static int join_all(const struct place *places, size_t n, struct hf_error *err)
{
        for (size_t i = 0; i < n; i++) {
                int r = join(*places[i].dir, places[i].name, places[i].ret, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_socket(const char *path, struct hf_error *err)
{
        const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);

        if (strlen(path) < room)
                return 0;
        return hf_error_set(err, ENAMETOOLONG, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                            "socket path \"%s\" has %zu bytes, at most %zu are possible; "
                            "set HOLDFAST_RUN_DIR to a shorter directory",
                            path, strlen(path), room - 1);
}

static int check_sockets(const struct hf_paths *paths, struct hf_error *err)
{
        const char *const sockets[] = {paths->virtlockd_socket, paths->virtlockd_admin_socket,
                                       paths->socket,           paths->socket_ro,
                                       paths->console_socket,   paths->console_socket_ro};

        for (size_t i = 0; i < HF_ARRAY_LEN(sockets); i++) {
                int r = check_socket(sockets[i], err);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Roots that only some places are below. */
struct roots {
        char *config, *state, *log;
};

static void clear_roots(struct roots *roots)
{
        free(roots->config);
        free(roots->state);
        free(roots->log);
}

static int fill(struct hf_paths *p, const struct roots *roots, struct hf_error *err)
{
        char **const pid_dir = p->privileged ? &p->run_root : &p->libvirt_run_dir;
        const struct place places[] = {
                {&p->run_root, "libvirt", &p->libvirt_run_dir},
                {&p->run_root, "holdfast", &p->run_dir},
                {&p->libvirt_run_dir, "virtlockd-sock", &p->virtlockd_socket},
                {&p->libvirt_run_dir, "virtlockd-admin-sock", &p->virtlockd_admin_socket},
                {&p->run_dir, "holdfast-sock", &p->socket},
                {&p->run_dir, "holdfast-sock-ro", &p->socket_ro},
                {pid_dir, "virtlockd.pid", &p->virtlockd_pid_file},
                {pid_dir, "virtlockd-restart-exec.json", &p->virtlockd_handover},
                {&p->run_dir, "holdfastd.pid", &p->pid_file},
                {&p->run_dir, "holdfastd.state", &p->state_file},
                {&roots->state, "holdfast/labels", &p->label_dir},
                {&roots->config, "libvirt", &p->libvirt_config_dir},
                {&roots->config, "holdfast", &p->config_dir},
                {&p->libvirt_config_dir, "virtlockd.conf", &p->virtlockd_config},
                {&p->libvirt_config_dir, "qemu-lockd.conf", &p->lockd_config},
                {&p->libvirt_config_dir, "qemu-sanlock.conf", &p->sanlock_config},
                {&p->config_dir, "holdfastd.conf", &p->daemon_config},
                {&p->config_dir, "holdfast.conf", &p->client_config},
                {&p->run_dir, "console-sock", &p->console_socket},
                {&p->run_dir, "console-sock-ro", &p->console_socket_ro},
                {&p->run_dir, "holdfast-consoled.pid", &p->console_pid_file},
                {&p->run_dir, "holdfast-consoled.state", &p->console_state_file},
                {&roots->log, "holdfast/consoles", &p->console_log_dir},
                {&p->config_dir, "console.conf", &p->console_config},
        };
        int r;

        r = join_all(places, HF_ARRAY_LEN(places), err);
        return r < 0 ? r : check_sockets(p, err);
}

int hf_paths_init(struct hf_paths *ret, struct hf_error *err)
{
        hf_cleanup_paths struct hf_paths paths = {.privileged = geteuid() == 0};
        hf_cleanup(clear_roots) struct roots roots = {0};
        int r;

        r = find_run_root(paths.privileged, &paths.run_root, err);
        if (r >= 0)
                r = find_config_root(paths.privileged, &roots.config, err);
        if (r >= 0)
                r = find_state_root(&paths, &roots.state, err);
        if (r >= 0)
                r = find_log_root(&paths, &roots.log, err);
        if (r >= 0)
                r = fill(&paths, &roots, err);
        if (r < 0)
                return r;
        *ret = paths;
        paths = (struct hf_paths){0};
        return 0;
}

void hf_paths_clear(struct hf_paths *paths)
{
        free(paths->run_root);
        free(paths->libvirt_run_dir);
        free(paths->run_dir);
        free(paths->virtlockd_socket);
        free(paths->virtlockd_admin_socket);
        free(paths->socket);
        free(paths->socket_ro);
        free(paths->virtlockd_pid_file);
        free(paths->virtlockd_handover);
        free(paths->pid_file);
        free(paths->state_file);
        free(paths->label_dir);
        free(paths->libvirt_config_dir);
        free(paths->config_dir);
        free(paths->virtlockd_config);
        free(paths->lockd_config);
        free(paths->sanlock_config);
        free(paths->daemon_config);
        free(paths->client_config);
        free(paths->console_socket);
        free(paths->console_socket_ro);
        free(paths->console_pid_file);
        free(paths->console_state_file);
        free(paths->console_log_dir);
        free(paths->console_config);
        *paths = (struct hf_paths){0};
}

static int make_dir(const char *path, mode_t mode, struct hf_error *err)
{
        struct stat st;
        int saved;

        if (mkdir(path, mode) == 0)
                return 0;
        saved = errno;
        /* Whatever mkdir says (EEXIST, EROFS, EACCES): a directory that is there will do. */
        if (stat(path, &st) == 0) {
                if (S_ISDIR(st.st_mode))
                        return 0;
                saved = ENOTDIR;
        }
        return hf_error_sys(err, saved, "cannot make the directory %s", path);
}

int hf_path_make_dirs(const char *path, mode_t mode, struct hf_error *err)
{
        hf_cleanup_free char *part = strdup(path);
        int r;

        if (!part)
                return hf_error_sys(err, ENOMEM, "cannot make the directory %s", path);
        for (char *slash = strchr(part + 1, '/'); part[0] && slash;
             slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                r = make_dir(part, mode, err);
                if (r < 0)
                        return r;
                *slash = '/';
        }
        return make_dir(part, mode, err);
}
