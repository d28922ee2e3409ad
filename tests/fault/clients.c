/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * clients SOCKET FOLDER TABLE MANAGED OWN SECONDS: load with known right answers.
 *
 * MANAGED owners are processes that only live; one process acts for them all, as
 * libvirtd does, and may reconnect. OWN owners are processes with their own lock
 * connection, as a VM has it: the daemon ends such a process when its connection closes.
 * Plays for so many seconds (0: until SIGTERM), then prints one line of JSON.
 */
#include "player.h"

#include "base/cleanup.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct tally *tally;

static void on_end(int number)
{
        (void)number;
        tally->stop = true;
}

static struct fault_table *map_table(const char *path)
{
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct fault_table *table;

        if (fd < 0 || ftruncate(fd, sizeof(*table)) < 0)
                err(1, "%s", path);
        table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (table == MAP_FAILED)
                err(1, "%s", path);
        (void)close(fd);
        return table;
}

static void make_files(const struct stage *stage)
{
        uint32_t n = stage->owners * RESOURCES_EACH;

        for (uint32_t i = 0; i < n; i++) {
                char path[FAULT_PATH_MAX];
                int fd;

                fault_path(path, stage->folder, i);
                fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
                if (fd < 0)
                        err(1, "%s", path);
                (void)close(fd);
        }
        stage->table->n = n;
}

/* A child that ends with us, whatever happens to us. */
static pid_t spawn(void)
{
        pid_t parent = getpid(), pid = fork();

        if (pid < 0)
                err(1, "fork");
        if (pid > 0)
                return pid;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
        (void)signal(SIGTERM, SIG_DFL);
        return 0;
}

static pid_t spawn_owner(void)
{
        pid_t pid = spawn();

        while (pid == 0)
                (void)pause();
        return pid;
}

/* What others may still ask about is held until nobody does. */
static void play_to_the_end(const struct stage *stage, const struct part *parts, uint32_t n)
{
        const struct timespec pause_ = {.tv_nsec = 1000000};

        play(stage, parts, n);
        stage->tally->playing--;
        while (stage->tally->playing)
                (void)nanosleep(&pause_, NULL);
}

static pid_t spawn_vm(const struct stage *stage, uint32_t owner)
{
        struct part part = {.owner = owner};
        pid_t pid = spawn();

        if (pid > 0)
                return pid;
        part.pid = getpid();
        srandom((unsigned int)part.pid);
        play_to_the_end(stage, &part, 1);
        /* Its end is the end of its connection: the daemon may be quicker with its signal. */
        _exit(0);
}

/* Ends an owner. Returns whether somebody else had done so. */
static bool end_owner(pid_t pid, bool plays)
{
        int status;

        if (waitpid(pid, &status, plays ? 0 : WNOHANG) == 0) {
                (void)kill(pid, SIGKILL);
                (void)waitpid(pid, &status, 0);
                return false;
        }
        return !plays || WIFSIGNALED(status);
}

static void print(uint64_t ended, double seconds)
{
        struct json_object *out = json_object_new_object();
        const struct {
                const char *name;
                uint64_t value;
        } counts[] = {
                {"requests", tally->requests},
                {"answers", tally->answers},
                {"wrong", tally->wrong},
                {"missing", tally->missing},
                {"closed", tally->closed},
                {"ended", ended},
                {"reconnects", tally->reconnects},
                {"refused", tally->refused},
                {"slowest_usec", tally->slowest_usec},
        };

        for (size_t i = 0; i < HF_ARRAY_LEN(counts); i++)
                json_object_object_add(out, counts[i].name,
                                       json_object_new_int64((int64_t)counts[i].value));
        json_object_object_add(out, "seconds", json_object_new_double(seconds));
        json_object_object_add(out, "first_wrong", json_object_new_string(tally->first_wrong));
        (void)puts(json_object_to_json_string_ext(out, JSON_C_TO_STRING_PLAIN));
        (void)json_object_put(out);
}

static uint32_t number(const char *text)
{
        char *end;
        unsigned long value = strtoul(text, &end, 10);

        if (*end || !*text || value > FAULT_RESOURCES / RESOURCES_EACH)
                errx(2, "\"%s\" is no number of use here", text);
        return (uint32_t)value;
}

/* In a process of its own, so that what is asked for every owner goes on while we watch. */
static pid_t spawn_manager(const struct stage *stage, const pid_t *owners, uint32_t n)
{
        hf_cleanup_free struct part *parts = calloc(n + 1, sizeof(*parts));
        pid_t pid = spawn();

        if (pid != 0)
                return pid;
        if (!parts)
                errx(1, "out of memory");
        for (uint32_t i = 0; i < n; i++)
                parts[i] = (struct part){.owner = i, .pid = owners[i]};
        srandom((unsigned int)getpid());
        play_to_the_end(stage, parts, n);
        _exit(0);
}

/* Lets them play; the manager first, whose owners must outlive it. Returns how many were ended. */
static uint64_t perform(const struct stage *stage, uint32_t managed, uint32_t seconds)
{
        hf_cleanup_free pid_t *owners = calloc(stage->owners, sizeof(*owners));
        struct timespec end, left = {.tv_nsec = 10000000};
        uint64_t ended = 0;
        pid_t manager;

        if (!owners)
                errx(1, "out of memory");
        for (uint32_t i = 0; i < managed; i++)
                owners[i] = spawn_owner();
        tally->playing = 1 + stage->owners - managed;
        manager = spawn_manager(stage, owners, managed);
        for (uint32_t i = managed; i < stage->owners; i++)
                owners[i] = spawn_vm(stage, i);
        (void)clock_gettime(CLOCK_MONOTONIC, &end);
        end.tv_sec += seconds;
        while (!tally->stop) {
                struct timespec now;

                (void)nanosleep(&left, NULL);
                (void)clock_gettime(CLOCK_MONOTONIC, &now);
                if (seconds && (now.tv_sec > end.tv_sec ||
                                (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec)))
                        tally->stop = true;
        }
        ended += end_owner(manager, true);
        for (uint32_t i = 0; i < stage->owners; i++)
                ended += end_owner(owners[i], i >= managed);
        return ended;
}

int main(int argc, char **argv)
{
        struct stage stage = {0};
        struct timespec begin, end;
        uint32_t managed, own;
        uint64_t ended;

        if (argc != 7)
                errx(2, "usage: clients SOCKET FOLDER TABLE MANAGED OWN SECONDS");
        tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                     0);
        if (tally == MAP_FAILED)
                err(1, "mmap");
        managed = number(argv[4]);
        own = number(argv[5]);
        if (managed + own == 0 || managed + own > FAULT_RESOURCES / RESOURCES_EACH)
                errx(2, "between 1 and %d owners", FAULT_RESOURCES / RESOURCES_EACH);
        stage = (struct stage){.socket = argv[1],
                               .folder = argv[2],
                               .table = map_table(argv[3]),
                               .tally = tally,
                               .owners = managed + own};
        (void)signal(SIGTERM, on_end);
        (void)signal(SIGINT, on_end);
        make_files(&stage);
        (void)clock_gettime(CLOCK_MONOTONIC, &begin);
        ended = perform(&stage, managed, number(argv[6]));
        (void)clock_gettime(CLOCK_MONOTONIC, &end);
        print(ended,
              (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
        return 0;
}
