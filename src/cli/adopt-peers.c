/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The connections to a virtlockd, and who is at their other ends.
 *
 * A virtlockd with one connection that has not registered an owner cannot write down what it has:
 * told to execute itself, it ends, and every lock is gone. Whether one has registered cannot be
 * seen; who has it open can. A VM's connection was registered before its VMM was executed.
 */
#include "cli/adopt.h"

#include "base/cleanup.h"
#include "base/socket.h"
#include "storage/resource.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>

/* What is started with a registered connection, and nothing else is started with one. */
static const char *const vmms[] = {"*qemu*", "kvm*", "cloud-hypervisor*", "firecracker*",
                                   "crosvm*"};

/* Those of libvirt, their children between fork and exec, and our own command just the same. */
static const char *const managers[] = {"libvirt*", "lt-libvirt*", "virt*", "holdfast"};

static bool is_one_of(const char *name, const char *const *patterns, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (fnmatch(patterns[i], name, 0) == 0)
                        return true;
        return false;
}

static void read_program(pid_t pid, char ret[static NAME_MAX + 1])
{
        char link[64], exe[PATH_MAX];
        const char *slash;
        ssize_t len;

        (void)snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
        len = readlink(link, exe, sizeof(exe) - 1);
        exe[len > 0 ? len : 0] = '\0';
        slash = strrchr(exe, '/');
        (void)snprintf(ret, NAME_MAX + 1, "%.255s", slash ? slash + 1 : exe);
}

/* Whether a process has one of the daemon's files open. */
static bool uses_a_file(const struct hf_adopt_daemon *daemon, pid_t pid)
{
        hf_cleanup_dir DIR *dir = NULL;
        struct dirent *entry;
        struct hf_thing thing;
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
        dir = opendir(path);
        while (dir && (entry = readdir(dir))) {
                if (entry->d_name[0] == '.' ||
                    hf_resource_of_entry(dirfd(dir), entry->d_name, &thing) < 0)
                        continue;
                for (size_t i = 0; i < daemon->n_files; i++)
                        if (hf_thing_same(&daemon->files[i].thing, &thing))
                                return true;
        }
        return false;
}

static enum hf_adopt_peer judge_process(const struct hf_adopt_daemon *daemon, pid_t pid,
                                        const char *program)
{
        /* First: virtqemud is no QEMU. */
        if (is_one_of(program, managers, HF_ARRAY_LEN(managers)))
                return HF_ADOPT_PEER_LIBVIRT;
        if (is_one_of(program, vmms, HF_ARRAY_LEN(vmms)))
                return HF_ADOPT_PEER_VM;
        return uses_a_file(daemon, pid) ? HF_ADOPT_PEER_VM : HF_ADOPT_PEER_UNKNOWN;
}

/* Of several processes that have it, the one that tells most. */
static void note_carrier(void *data, pid_t pid, uint64_t inode)
{
        struct hf_adopt_daemon *daemon = data;

        for (size_t i = 0; i < daemon->n_connections; i++) {
                struct hf_adopt_connection *connection = &daemon->connections[i];
                char program[NAME_MAX + 1];
                enum hf_adopt_peer peer;

                if (connection->inode != inode)
                        continue;
                read_program(pid, program);
                peer = judge_process(daemon, pid, program);
                if (connection->pid && connection->peer <= peer)
                        continue;
                connection->pid = pid;
                connection->peer = peer;
                memcpy(connection->program, program, sizeof(program));
        }
}

/* ---- connections from other network namespaces ------------------------------------------ */

/*
 * The kernel's list has the sockets of one network namespace, and the accepted end of a connection
 * is in that of who connected: a container's is not there. So each socket of the daemon that is not
 * in the list is asked itself. Returns 1 if it is such a connection.
 */
static int ask_socket(const struct hf_adopt_daemon *daemon, const struct hf_paths *paths,
                      int number, struct hf_adopt_connection *ret)
{
        hf_cleanup_fd int fd = pidfd_getfd(daemon->pidfd, number, 0);
        struct sockaddr_un name = {0};
        socklen_t len = sizeof(name) - 1;
        const char *wanted = strrchr(paths->virtlockd_socket, '/'), *base;
        struct hf_peer peer;

        *ret = (struct hf_adopt_connection){.peer = HF_ADOPT_PEER_UNKNOWN};
        if (fd < 0)
                return errno == EBADF || errno == ESRCH ? 0 : -errno;
        if (getsockname(fd, (struct sockaddr *)&name, &len) < 0 || name.sun_family != AF_UNIX)
                return 0;
        /* By which path it was bound may be another one to the same folder. */
        base = strrchr(name.sun_path, '/');
        if (!base || strcmp(base, wanted) != 0)
                return 0;
        if (hf_socket_peer(fd, &peer, NULL) < 0 || peer.pid <= 0)
                return 1;
        ret->pid = peer.pid;
        read_program(peer.pid, ret->program);
        ret->peer = judge_process(daemon, peer.pid, ret->program);
        return 1;
}

static bool is_listed(const struct hf_adopt_socket *sockets, size_t n, unsigned long long inode)
{
        for (size_t i = 0; i < n; i++)
                if (sockets[i].inode == inode)
                        return true;
        return false;
}

static int add_connection(struct hf_adopt_daemon *daemon,
                          const struct hf_adopt_connection *connection)
{
        struct hf_adopt_connection *more = reallocarray(daemon->connections,
                                                        daemon->n_connections + 1, sizeof(*more));

        if (!more)
                return -ENOMEM;
        daemon->connections = more;
        more[daemon->n_connections++] = *connection;
        return 0;
}

static int read_unlisted(const struct hf_paths *paths, struct hf_adopt_daemon *daemon,
                         const struct hf_adopt_socket *sockets, size_t n)
{
        int fd = openat(daemon->proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        hf_cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (!dir)
                return -errno;
        while (r >= 0 && (entry = readdir(dir))) {
                struct hf_adopt_connection connection;
                unsigned long long inode;
                char target[64];
                ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

                target[len > 0 ? len : 0] = '\0';
                if (sscanf(target, "socket:[%llu]", &inode) != 1 || is_listed(sockets, n, inode))
                        continue;
                r = ask_socket(daemon, paths, atoi(entry->d_name), &connection);
                if (r > 0)
                        r = add_connection(daemon, &connection);
        }
        return r;
}

/* ---- all of them ------------------------------------------------------------------------ */

int hf_adopt_read_waiting(const struct hf_paths *paths, struct hf_adopt_daemon *daemon,
                          struct hf_error *err)
{
        hf_cleanup_free struct hf_adopt_socket *sockets = NULL;
        char aside[PATH_MAX];
        size_t n = 0;
        int r;

        hf_adopt_name_aside(paths, aside);
        r = hf_adopt_sockets(aside, &sockets, &n, err);
        if (r < 0)
                return r;
        daemon->waiting = 0;
        for (size_t i = 0; i < n; i++)
                daemon->waiting += sockets[i].listens ? sockets[i].waiting : 0;
        return 0;
}

int hf_adopt_read_peers(const struct hf_paths *paths, struct hf_adopt_daemon *daemon,
                        struct hf_error *err)
{
        hf_cleanup_free struct hf_adopt_socket *sockets = NULL;
        hf_cleanup_free uint64_t *wanted = NULL;
        size_t n = 0;
        int r = hf_adopt_sockets(paths->virtlockd_socket, &sockets, &n, err);

        if (r < 0)
                return r;
        free(daemon->connections);
        daemon->n_connections = daemon->waiting = 0;
        daemon->connections = calloc(n + 1, sizeof(*daemon->connections));
        wanted = calloc(n + 1, sizeof(*wanted));
        if (!daemon->connections || !wanted)
                return hf_error_sys(err, ENOMEM, "cannot list connections");
        for (size_t i = 0; i < n; i++) {
                if (sockets[i].listens) {
                        daemon->waiting += sockets[i].waiting;
                        continue;
                }
                wanted[daemon->n_connections] = sockets[i].peer;
                daemon->connections[daemon->n_connections++] = (struct hf_adopt_connection){
                        .inode = sockets[i].peer, .peer = HF_ADOPT_PEER_NOBODY};
        }
        r = hf_adopt_each_socket(wanted, daemon->n_connections, note_carrier, daemon);
        if (r < 0)
                return hf_error_sys(err, -r, "cannot look at processes");
        r = read_unlisted(paths, daemon, sockets, n);
        return r < 0 ? hf_error_sys(err, -r, "cannot look at the connections of process %d",
                                    (int)daemon->process.pid)
                     : 0;
}

bool hf_adopt_is_busy(const struct hf_adopt_daemon *daemon)
{
        bool busy = daemon->waiting > 0;

        for (size_t i = 0; i < daemon->n_connections; i++)
                busy |= daemon->connections[i].peer == HF_ADOPT_PEER_LIBVIRT ||
                        daemon->connections[i].peer == HF_ADOPT_PEER_NOBODY;
        return busy;
}

void hf_adopt_judge_peers(const struct hf_adopt_daemon *daemon, struct json_object *findings)
{
        for (size_t i = 0; i < daemon->n_connections; i++) {
                const struct hf_adopt_connection *peer = &daemon->connections[i];

                if (peer->peer == HF_ADOPT_PEER_UNKNOWN)
                        hf_adopt_finding(findings, true, "connection",
                                         "process %d (%s) has a connection to virtlockd, and it "
                                         "cannot be told whether it has registered an owner; with "
                                         "one that has not, virtlockd would end and lose every "
                                         "lock. End that process first",
                                         (int)peer->pid, peer->program);
                else if (peer->peer == HF_ADOPT_PEER_LIBVIRT)
                        hf_adopt_finding(findings, false, "busy",
                                         "process %d (%s) is talking to virtlockd just now; its "
                                         "end is waited for",
                                         (int)peer->pid, peer->program);
        }
}
