/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/socket.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/*
 * Others hold the lock of a folder for as long as a socket takes to make; but any user who can read
 * a folder can keep it, and is not waited for longer than this.
 */
#define LOCK_TRIES 50
#define LOCK_MS    10

static int make_address(const char *path, struct sockaddr_un *ret, struct hf_error *err)
{
        *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
        if (strlen(path) >= sizeof(ret->sun_path))
                return hf_error_set(err, ENAMETOOLONG, HF_ERR_INVALID_ARG, HF_FROM_NONE,
                                    "socket path \"%s\" has %zu bytes, at most %zu are possible",
                                    path, strlen(path), sizeof(ret->sun_path) - 1);
        memcpy(ret->sun_path, path, strlen(path));
        return 0;
}

static int open_stream(bool nonblock)
{
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0);
}

/* Limits how long connect waits for a place in the listener's queue; 0 and less: not at all. */
static int limit_wait(int fd, int wait_ms)
{
        const struct timeval limit = {.tv_sec = wait_ms / 1000,
                                      .tv_usec = (suseconds_t)(wait_ms % 1000) * 1000};

        if (wait_ms <= 0)
                return 0;
        return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

int hf_socket_connect(const char *path, int wait_ms, int *ret_fd, struct hf_error *err)
{
        hf_cleanup_fd int fd = -1;
        struct sockaddr_un address;
        int r;

        r = make_address(path, &address, err);
        if (r < 0)
                return r;
        fd = open_stream(wait_ms == 0);
        if (fd < 0 || limit_wait(fd, wait_ms) < 0)
                return hf_error_sys(err, errno, "cannot make a socket");
        /* Tried again after a signal: a UNIX socket is then still unconnected. */
        do
                r = connect(fd, (const struct sockaddr *)&address, sizeof(address));
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return hf_error_sys(err, errno == EAGAIN && wait_ms > 0 ? ETIMEDOUT : errno,
                                    "cannot connect to %s", path);
        *ret_fd = hf_steal_fd(&fd);
        return 0;
}

int hf_socket_peer(int fd, struct hf_peer *ret, struct hf_error *err)
{
        struct ucred cred;
        socklen_t len = sizeof(cred);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
                return hf_error_sys(err, errno, "cannot tell who is at the other end of a socket");
        *ret = (struct hf_peer){.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
        return 0;
}

int hf_socket_probe(const char *path, struct hf_peer *ret_peer, struct hf_error *err)
{
        hf_cleanup_fd int fd = -1;
        struct hf_peer peer = {0};
        int r;

        r = hf_socket_connect(path, 0, &fd, err);
        if (r == -ENOENT || r == -ECONNREFUSED)
                return 0;
        /* A full queue has an owner too. */
        if (r < 0 && r != -EAGAIN)
                return r;
        if (r == 0) {
                r = hf_socket_peer(fd, &peer, err);
                if (r < 0)
                        return r;
        }
        if (ret_peer)
                *ret_peer = peer;
        return 1;
}

/* Clears path of a dead socket; anything else there is an error. */
static int remove_dead(const char *path, struct hf_error *err)
{
        struct hf_peer peer;
        struct stat st;
        int r;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : hf_error_sys(err, errno, "cannot stat %s", path);
        if (!S_ISSOCK(st.st_mode))
                return hf_error_sys(err, EADDRINUSE, "%s is there and is no socket", path);
        r = hf_socket_probe(path, &peer, err);
        if (r < 0)
                return r;
        if (r > 0 && peer.pid > 0)
                return hf_error_sys(err, EADDRINUSE, "process %d serves %s", peer.pid, path);
        if (r > 0)
                return hf_error_sys(err, EADDRINUSE, "another process serves %s", path);
        if (unlink(path) < 0 && errno != ENOENT)
                return hf_error_sys(err, errno, "cannot remove the dead socket %s", path);
        return 0;
}

/* Of the socket alone: who may write its folder may have put a link to another file there. */
static int add_to_mode(const char *path, mode_t mode)
{
        struct stat st;

        if (lstat(path, &st) < 0)
                return -1;
        if (S_ISSOCK(st.st_mode) && (st.st_mode & 07777) == mode)
                return 0;
        return fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW);
}

/*
 * bind gives the file the mode of the socket less the umask, so setting it
 * before leaves no moment with more; chmod afterwards adds what umask took.
 */
static int bind_with_mode(int fd, const struct sockaddr_un *address, mode_t mode)
{
        if (fchmod(fd, mode) < 0)
                return -errno;
        if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
                return -errno;
        if (add_to_mode(address->sun_path, mode) < 0) {
                int saved = errno;

                (void)unlink(address->sun_path);
                return -saved;
        }
        return 0;
}

/*
 * Between the look at a dead socket and the new one that listens, another process may do the same,
 * and take a live socket for the dead one: so they go one after the other, by a lock of the folder.
 * Without one, where somebody keeps it or there is none to be had, it is as if nobody else started.
 * The lock goes with the descriptor.
 */
static int lock_folder(const char *path)
{
        const char *slash = strrchr(path, '/');
        hf_cleanup_free char *folder = slash ? strndup(path, (size_t)(slash - path) + 1)
                                             : strdup(".");
        hf_cleanup_fd int fd = -1;

        fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        for (int i = 0; i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
                if (errno != EWOULDBLOCK)
                        break;
                (void)poll(NULL, 0, LOCK_MS);
        }
        return hf_steal_fd(&fd);
}

int hf_socket_listen(const char *path, mode_t mode, int backlog, int *ret_fd, struct hf_error *err)
{
        hf_cleanup_fd int fd = -1, lock = -1;
        struct sockaddr_un address;
        int r;

        r = make_address(path, &address, err);
        if (r < 0)
                return r;
        fd = open_stream(true);
        if (fd < 0)
                return hf_error_sys(err, errno, "cannot make a socket");
        lock = lock_folder(path);
        r = bind_with_mode(fd, &address, mode);
        if (r == -EADDRINUSE) {
                r = remove_dead(path, err);
                if (r < 0)
                        return r;
                r = bind_with_mode(fd, &address, mode);
        }
        if (r < 0)
                return hf_error_sys(err, -r, "cannot bind a socket to %s", path);
        if (listen(fd, backlog) < 0) {
                int saved = errno;

                (void)unlink(path);
                return hf_error_sys(err, saved, "cannot listen on %s", path);
        }
        *ret_fd = hf_steal_fd(&fd);
        return 0;
}

int hf_socket_send_fd(int fd, const void *data, size_t len, int passed, int flags)
{
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS}};
        struct iovec part = {(void *)(uintptr_t)data, len};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control)};

        memcpy(CMSG_DATA(&control.header), &passed, sizeof(passed));
        while (sendmsg(fd, &message, flags) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}
