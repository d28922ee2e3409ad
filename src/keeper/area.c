/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/keeper-private.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

/*
 * The shared memory: a memfd, which lives as long as the descriptor table does,
 * in which its descriptor is.
 *
 * A program that is executed in our place finds it by a number in the
 * environment. Anybody who starts us can write anything there, so the number is
 * believed only if what it leads to could not have been made but by us, for this
 * very process: a memfd of our user that cannot shrink, with our mark, that names
 * this process as the supervisor and this number as its own, and says that an
 * execution was under way.
 */

static const char magic[sizeof(((struct hf_keeper_header *)0)->magic)] = "holdfast keeper";

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

/*
 * A limit of file sizes ("ulimit -f") is meant for files, and holds for a memfd as
 * well: it is put aside where we may.
 */
static int set_size(int fd, size_t size)
{
        struct rlimit limit, none = {RLIM_INFINITY, RLIM_INFINITY};
        bool put_aside = getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
                         (setrlimit(RLIMIT_FSIZE, &none) == 0 ||
                          setrlimit(RLIMIT_FSIZE,
                                    &(struct rlimit){limit.rlim_max, limit.rlim_max}) == 0);
        int r = ftruncate(fd, (off_t)size) < 0 ? -errno : 0;

        if (put_aside)
                (void)setrlimit(RLIMIT_FSIZE, &limit);
        return r;
}

static int open_memory(size_t size)
{
        hf_cleanup_fd int fd = -1;
        int r;

        fd = memfd_create("holdfast-keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        if (fd < 0 && errno == EINVAL)
                fd = memfd_create("holdfast-keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        r = set_size(fd, size);
        if (r < 0)
                return r;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
                return -errno;
        return hf_steal_fd(&fd);
}

static int map(struct hf_keeper *keeper, int fd, size_t size)
{
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (memory == MAP_FAILED)
                return -errno;
        keeper->header = memory;
        keeper->mapped_size = size;
        return 0;
}

void hf_keeper_area_unmap(struct hf_keeper *keeper)
{
        if (keeper->header)
                (void)munmap(keeper->header, keeper->mapped_size);
        keeper->header = NULL;
        keeper->mapped_size = 0;
}

/* The path of the program that we are, for upgrades. */
static void note_path(struct hf_keeper_header *header, const char *path)
{
        ssize_t length;

        if (path && strlen(path) < sizeof(header->path)) {
                memcpy(header->path, path, strlen(path) + 1);
                return;
        }
        length = readlink("/proc/self/exe", header->path, sizeof(header->path));
        /* What filled the room may have been longer. */
        if (length < 0 || (size_t)length >= sizeof(header->path))
                length = 0;
        header->path[length] = '\0';
}

/* Of a program that nobody replaces, the area needs no descriptor. */
static int make_private(struct hf_keeper *keeper, size_t size)
{
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (memory == MAP_FAILED)
                return -errno;
        keeper->header = memory;
        keeper->mapped_size = size;
        return 0;
}

static int make_shared(struct hf_keeper *keeper, size_t size, int number)
{
        int fd = open_memory(size), r;

        if (fd < 0)
                return fd;
        r = hf_keeper_numbers_place(fd, number);
        return r < 0 ? r : map(keeper, number, size);
}

int hf_keeper_area_make(struct hf_keeper *keeper, int first_fd, struct hf_error *err)
{
        size_t size = HF_KEEPER_HEADER_SIZE + keeper->program->area_size;
        int r = keeper->supervised ? make_shared(keeper, size, first_fd + HF_KEEPER_FD_AREA)
                                   : make_private(keeper, size);

        if (r < 0)
                return hf_error_sys(err, -r, "cannot make %zu bytes of shared memory", size);
        keeper->header->version = keeper->program->version;
        keeper->header->pid = getpid();
        keeper->header->area_size = keeper->program->area_size;
        keeper->header->first_fd = first_fd;
        note_path(keeper->header, keeper->program->path);
        memcpy(keeper->header->magic, magic, sizeof(magic));
        return 0;
}

/* The number that the variable holds, or -1. */
static int read_number(void)
{
        const char *text = getenv(HF_KEEPER_ENV);
        char *end;
        long value;

        if (!text)
                return -1;
        value = *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;
        if (value < 0 || value > INT_MAX - HF_KEEPER_FD_COUNT || *end)
                return -1;
        return (int)value;
}

/* Whether the descriptor is a memfd that could be ours; then its size as well. */
static bool is_memory(int fd, size_t *ret_size)
{
        int seals = fcntl(fd, F_GET_SEALS);
        struct stat st;

        if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 || st.st_uid != geteuid() ||
            st.st_size <= (off_t)HF_KEEPER_HEADER_SIZE)
                return false;
        *ret_size = (size_t)st.st_size;
        return true;
}

static bool is_ours(const struct hf_keeper_header *header, int fd, size_t size)
{
        return !memcmp(header->magic, magic, sizeof(magic)) && header->pid == getpid() &&
               header->first_fd == fd - HF_KEEPER_FD_AREA &&
               header->area_size == size - HF_KEEPER_HEADER_SIZE && header->ready &&
               (header->command == HF_KEEPER_DO_UPGRADE ||
                header->command == HF_KEEPER_DO_INHERIT) &&
               memchr(header->path, '\0', sizeof(header->path));
}

bool hf_keeper_takes_over(void)
{
        int fd = read_number();
        size_t size;
        void *header;
        bool ours;

        if (fd < 0 || !is_memory(fd, &size))
                return false;
        header = mmap(NULL, HF_KEEPER_HEADER_SIZE, PROT_READ, MAP_SHARED, fd, 0);
        if (header == MAP_FAILED)
                return false;
        ours = is_ours(header, fd, size);
        (void)munmap(header, HF_KEEPER_HEADER_SIZE);
        return ours;
}

/*
 * Makes the area as large as this program wants it. Where that cannot be it stays as it
 * is: there is no way back to the program before this one. It is mapped before the
 * file grows, so that the header is right about the size of the file at any time.
 */
static void grow(struct hf_keeper *keeper, int fd)
{
        size_t size = HF_KEEPER_HEADER_SIZE + keeper->program->area_size;
        void *memory;

        if (size <= keeper->mapped_size)
                return;
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
                return;
        if (set_size(fd, size) < 0) {
                (void)munmap(memory, size);
                return;
        }
        hf_keeper_area_unmap(keeper);
        keeper->header = memory;
        keeper->mapped_size = size;
        keeper->header->area_size = keeper->program->area_size;
}

int hf_keeper_area_find(struct hf_keeper *keeper, struct hf_error *err)
{
        int fd = read_number(), r;
        size_t size;

        (void)unsetenv(HF_KEEPER_ENV);
        if (fd < 0 || !keeper->supervised || !is_memory(fd, &size))
                return 0;
        r = map(keeper, fd, size);
        if (r < 0 || !is_ours(keeper->header, fd, size)) {
                hf_keeper_area_unmap(keeper);
                return 0;
        }
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (keeper->header->version != keeper->program->version)
                return hf_error_set(err, EPROTONOSUPPORT, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_NONE,
                                    "this program knows state version %u, what is to be taken "
                                    "over has %u",
                                    keeper->program->version, keeper->header->version);
        grow(keeper, fd);
        return 1;
}

void hf_keeper_area_wipe(struct hf_keeper *keeper)
{
        void *area = hf_keeper_area(keeper);
        size_t size = keeper->mapped_size - HF_KEEPER_HEADER_SIZE;

        if (madvise(area, size, MADV_REMOVE) < 0)
                memset(area, 0, size);
}
