/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prhelper/peer.h"

#include "base/cleanup.h"
#include "base/process.h"
#include "base/socket.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

/* Newer than the C library's headers may be. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* More than any cgroup's path may have. */
#define CGROUP_MAX 8192

/* libvirt cuts the name in a folder's to as many characters: one as long may have gone on. */
#define SHORT_NAME 20

/* It cuts a machine's to 64, and then a dash or dot at the end. */
#define MACHINE_NAME 63

static int take_name(const char *name, size_t len, char ret[static HF_PR_VM_MAX])
{
        if (len == 0 || len >= HF_PR_VM_MAX)
                return -ENOENT;
        memcpy(ret, name, len);
        ret[len] = '\0';
        return 0;
}

/* Behind "PREFIX" and a number and a dash; NULL if text does not begin so. */
static const char *skip_number(const char *text, const char *prefix, const char *dash)
{
        size_t n = strlen(prefix), digits;

        if (strncmp(text, prefix, n) != 0)
                return NULL;
        digits = strspn(text + n, "0123456789");
        text += n + digits;
        if (digits == 0 || strncmp(text, dash, strlen(dash)) != 0)
                return NULL;
        return text + strlen(dash);
}

int hf_pr_peer_vm_of_socket(const char *socket, char ret[static HF_PR_VM_MAX])
{
        /* .../domain-ID-NAME/pr-helper0.sock */
        const char *end = strrchr(socket, '/'), *folder = end, *name;

        while (folder && folder > socket && folder[-1] != '/')
                folder--;
        name = folder ? skip_number(folder, "domain-", "-") : NULL;
        return name && name < end ? take_name(name, (size_t)(end - name), ret) : -ENOENT;
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The name in "qemu-ID-NAME", which together are short enough that nothing was cut. */
static int take_machine(size_t digits, const char *name, char ret[static HF_PR_VM_MAX])
{
        size_t len = strlen(name);

        if (strlen("qemu-") + digits + 1 + len >= MACHINE_NAME)
                return -ENOENT;
        return take_name(name, len, ret);
}

/* systemd writes a byte that a unit's name cannot have as \xHH. */
static int unescape(const char *name, size_t len, char ret[static HF_PR_VM_MAX])
{
        char plain[HF_PR_VM_MAX];
        size_t n = 0;

        for (size_t i = 0; i < len; i++) {
                char c = name[i];

                if (n >= sizeof(plain) - 1)
                        return -ENOENT;
                if (c == '\\' && i + 3 < len && name[i + 1] == 'x' && hex_digit(name[i + 2]) >= 0 &&
                    hex_digit(name[i + 3]) >= 0) {
                        c = (char)(hex_digit(name[i + 2]) << 4 | hex_digit(name[i + 3]));
                        i += 3;
                }
                if (!c)
                        return -ENOENT;
                plain[n++] = c;
        }
        return take_name(plain, n, ret);
}

static bool ends_with(const char *text, size_t len, const char *suffix)
{
        size_t n = strlen(suffix);

        return len > n && !strncmp(text + len - n, suffix, n);
}

/* Of one line, where it is of a hierarchy that systemd keeps; NULL otherwise. */
static const char *path_of(const char *line)
{
        const char *path = skip_number(line, "", "::");

        return path ? path : skip_number(line, "", ":name=systemd:");
}

/*
 * The first folder below slices. These are systemd's alone; a service or a scope may be given to
 * a user, who then makes folders in it and calls them what he likes.
 */
static const char *skip_slices(const char *path, size_t *ret_len)
{
        size_t len = 0;

        do {
                path += len;
                if (*path != '/')
                        return NULL;
                len = strcspn(++path, "/\n");
        } while (ends_with(path, len, ".slice"));
        *ret_len = len;
        return path;
}

static int vm_of_line(const char *line, char ret[static HF_PR_VM_MAX])
{
        /* /machine.slice/machine-qemu\x2d12\x2dNAME.scope, with folders of libvirt's below. */
        static const char prefix[] = "machine-qemu\\x2d", suffix[] = ".scope";
        const char *path = path_of(line), *name;
        char plain[HF_PR_VM_MAX];
        size_t len;

        path = path ? skip_slices(path, &len) : NULL;
        if (!path || !ends_with(path, len, suffix))
                return -ENOENT;
        name = skip_number(path, prefix, "\\x2d");
        if (!name || name > path + len - strlen(suffix))
                return -ENOENT;
        if (unescape(name, (size_t)(path + len - name) - strlen(suffix), plain) < 0)
                return -ENOENT;
        return take_machine(strspn(path + strlen(prefix), "0123456789"), plain, ret);
}

int hf_pr_peer_vm_of_cgroup(const char *cgroup, char ret[static HF_PR_VM_MAX])
{
        for (const char *line = cgroup; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (vm_of_line(line, ret) == 0)
                        return 0;
        }
        return -ENOENT;
}

int hf_pr_peer_vm_of(const char *socket, const char *cgroup, char ret[static HF_PR_VM_MAX])
{
        char begin[HF_PR_VM_MAX], name[HF_PR_VM_MAX];

        if (!socket || hf_pr_peer_vm_of_socket(socket, begin) < 0)
                return hf_pr_peer_vm_of_cgroup(cgroup, ret);
        if (strlen(begin) < SHORT_NAME)
                return take_name(begin, strlen(begin), ret);
        if (hf_pr_peer_vm_of_cgroup(cgroup, name) < 0 || strncmp(name, begin, strlen(begin)) != 0)
                return -ENOENT;
        return take_name(name, strlen(name), ret);
}

/* "" where there is none, or none that we may read. */
static void read_cgroup(pid_t pid, char ret[static CGROUP_MAX])
{
        char path[64];
        hf_cleanup_file FILE *file = NULL;

        (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
        file = fopen(path, "re");
        ret[file ? fread(ret, 1, CGROUP_MAX - 1, file) : 0] = '\0';
}

/*
 * Whether the process that connected is gone. Then another may have its number: what /proc says of
 * that is not about the peer. Kernels before 6.5 do not tell.
 */
static bool has_ended(int connection)
{
        hf_cleanup_fd int pidfd = -1;
        int fd;
        socklen_t len = sizeof(fd);

        if (getsockopt(connection, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) < 0)
                return errno != ENOPROTOOPT;
        pidfd = fd;
        return hf_process_pidfd_is_dead(pidfd) != 0;
}

/*
 * What the process says of itself, or others of it, where it is still the one that connected:
 * *peer, and its cgroup at ret.
 */
static void look_at_process(int connection, char ret[static CGROUP_MAX], struct hf_pr_peer *peer)
{
        struct hf_pr_peer seen = *peer;

        (void)hf_process_start(peer->pid, &seen.start);
        (void)hf_process_comm(peer->pid, seen.comm, sizeof(seen.comm));
        read_cgroup(peer->pid, ret);
        if (has_ended(connection))
                *ret = '\0';
        else
                *peer = seen;
}

int hf_pr_peer_of(int connection, const char *vm, const char *socket, struct hf_pr_peer *ret,
                  struct hf_error *err)
{
        char cgroup[CGROUP_MAX] = "";
        struct hf_peer peer;
        int r = hf_socket_peer(connection, &peer, err);

        if (r < 0)
                return r;
        *ret = (struct hf_pr_peer){.pid = peer.pid, .uid = peer.uid, .gid = peer.gid};
        if (vm)
                (void)snprintf(ret->vm, sizeof(ret->vm), "%s", vm);
        if (peer.pid > 0)
                look_at_process(connection, cgroup, ret);
        if (!vm)
                (void)hf_pr_peer_vm_of(socket, cgroup, ret->vm);
        return 0;
}
