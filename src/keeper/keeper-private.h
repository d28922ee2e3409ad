/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of this room share. */

#include "keeper/keeper.h"

#include <limits.h>
#include <stdatomic.h>

/*
 * Descriptors of our own, consecutive numbers from header->first_fd on. All
 * below the program's, so that a probe's table is cut off behind them.
 */
enum hf_keeper_number {
        HF_KEEPER_FD_AREA,        /* the memfd */
        HF_KEEPER_FD_PROGRAM,     /* what an upgrade executes; else /dev/null, to have the number */
        HF_KEEPER_FD_SUPERVISOR,  /* pidfd of the supervisor, opened by itself */
        HF_KEEPER_FD_RESULTS_IN,  /* of a pair of sockets: where workers send what they opened */
        HF_KEEPER_FD_RESULTS_OUT, /* and where a server fetches it */
        HF_KEEPER_FD_NOTIFY,      /* what the watchdog is fed through; else /dev/null */
        HF_KEEPER_FD_COUNT,
};

/* What is to become of the program, one store each. */
enum hf_keeper_command {
        HF_KEEPER_GO_ON,
        HF_KEEPER_DO_UPGRADE, /* the supervisor ends the server and executes the program */
        HF_KEEPER_DO_INHERIT, /* the server has executed itself */
        HF_KEEPER_DO_END,     /* the supervisor ends when the server has, whatever ended that */
        HF_KEEPER_DO_BECOME,  /* as DO_UPGRADE, but for the program: it is another one altogether */
};

/*
 * The first piece of the memfd. A program may meet the header of an older or
 * newer one: members are only ever added at the end, and zero there means what
 * it was before there was such a member.
 */
struct hf_keeper_header {
        char magic[16];
        uint32_t version; /* the program's */
        int32_t pid;      /* the supervisor */
        uint64_t area_size;
        int32_t first_fd;
        _Atomic uint32_t command;  /* enum hf_keeper_command */
        _Atomic uint32_t ready;    /* a server was, once */
        uint32_t signals;          /* bit (1 << number): to be sent to the next server */
        _Atomic uint64_t ready_at; /* when this server was; nanoseconds, CLOCK_MONOTONIC; or 0 */
        int32_t probe;             /* its pid, until it is reaped; or 0 */
        int32_t probe_error;       /* errno with which the probe could not be executed; or 0 */
        char path[PATH_MAX];       /* of the program; "" if it could not be found out */
        uint32_t tables;           /* how often the descriptor table became another one */
        int32_t end_fd;            /* behind our numbers, see numbers.c */
        _Atomic uint32_t beats;    /* of the server's loop */
        uint64_t watchdog_usec; /* how often systemd wants to hear that we move; 0: it does not */
        char words[HF_KEEPER_WORDS_MAX]; /* of DO_BECOME: one behind the other, "" at the end */
};

/*
 * Where the program's area begins: room for the header to grow, and aligned
 * with the largest pages there are (arm64, ppc64).
 */
#define HF_KEEPER_HEADER_SIZE ((size_t)64 * 1024)

struct hf_keeper {
        const struct hf_keeper_program *program;
        char **argv;
        char **env; /* env[0] leads a successor to the area; from env[1] on: what we were given */
        bool supervised;
        struct hf_keeper_header *header; /* with the area behind it, mapped_size bytes */
        size_t mapped_size;
        int *given;     /* numbers that were open when the program was first started, n_given; */
        size_t n_given; /* of use to first servers only */
        int listen_fds;

        /* Of the server that is made next, or that this is. */
        enum hf_keeper_start start;
        int last_status;
        int upgrade_error;
        unsigned int generation; /* counts the servers of this supervisor, from 1 */
        bool last_hung;
};

static inline int hf_keeper_fd(const struct hf_keeper *keeper, enum hf_keeper_number which)
{
        return keeper->header->first_fd + (int)which;
}

/* area.c */

/* The variable of the environment that holds the number of the memfd. */
#define HF_KEEPER_ENV "HOLDFAST_KEEPER"

/* Makes the area of a program that is started, with its descriptor at first_fd. */
int hf_keeper_area_make(struct hf_keeper *keeper, int first_fd, struct hf_error *err);

/*
 * Looks for the area that a process before this one left. Returns 1 if there is
 * one, mapped and, where that could be, as large as this program wants it; 0 if not;
 * -errno if there is one that this program cannot go on with.
 */
int hf_keeper_area_find(struct hf_keeper *keeper, struct hf_error *err);

/* Zeros again. */
void hf_keeper_area_wipe(struct hf_keeper *keeper);

void hf_keeper_area_unmap(struct hf_keeper *keeper);

/* numbers.c */

/* Opens 0, 1 and 2 where they are closed. */
int hf_keeper_numbers_standard(struct hf_error *err);

/* How many descriptors systemd passed to this process; sets their FD_CLOEXEC. */
int hf_keeper_numbers_listen(void);

/* The first of HF_KEEPER_FD_COUNT free numbers in a row, behind n_listen passed ones. */
int hf_keeper_numbers_free(int n_listen);

/* Gives the file of fd the number, with FD_CLOEXEC, in place of what has it; closes fd. */
int hf_keeper_numbers_place(int fd, int number);

/* Fills our own numbers but the area's. */
int hf_keeper_numbers_fill(const struct hf_keeper *keeper, struct hf_error *err);

/* Puts /dev/null where the program to be executed was. */
void hf_keeper_numbers_forget_program(const struct hf_keeper *keeper);

/* Notes in *keeper which numbers are open. */
int hf_keeper_numbers_note(struct hf_keeper *keeper, struct hf_error *err);

/* reconcile.c: as hf_keeper_reconcile; own is the first of our numbers, or -1, end behind them. */
void hf_keeper_scan(int own, int end, const int *kept, size_t n, void (*found)(void *data, int fd),
                    void *data);

/* clone.c */

/*
 * A child with a copy of our memory and with our descriptor table. Returns 0 in
 * it, as fork does. The signal mask is the caller's to set.
 */
pid_t hf_keeper_clone(void);

/*
 * The same, as a child of our parent; the kernel stores its pidfd, close-on-exec, in
 * *ret_pidfd before it runs.
 */
pid_t hf_keeper_clone_beside(int32_t *ret_pidfd);

/* supervisor.c */

/* Blocks exactly the signals that a server has blocked. */
void hf_keeper_mask_server(void);
int hf_keeper_supervise(struct hf_keeper *keeper, struct hf_error *err);

/* watchdog.c */

/* What a supervisor knows of how its server moves. Zeros at first. */
struct hf_keeper_watch {
        uint32_t beats;
        uint64_t looked_at, moved_at; /* nanoseconds, CLOCK_MONOTONIC */
};

/* Whether and how often systemd wants to be told. Before the numbers are filled. */
void hf_keeper_watchdog_begin(struct hf_keeper *keeper);

/* A socket to tell it, or -errno. */
int hf_keeper_watchdog_socket(const struct hf_keeper *keeper);

/* Nanoseconds between two looks; 0 is never. */
uint64_t hf_keeper_watchdog_interval(const struct hf_keeper *keeper);

/* Looks, when it is time: tells systemd that the server moves, or returns true: it hangs. */
bool hf_keeper_watchdog_look(const struct hf_keeper *keeper, struct hf_keeper_watch *watch);

/* keeper.c: what a server does, to its end. */
_Noreturn void hf_keeper_serve(struct hf_keeper *keeper);

/* upgrade.c: becomes the program whose descriptor we have; -errno. */
int hf_keeper_execute(struct hf_keeper *keeper);

/* upgrade.c: becomes what the header's words say; -errno. */
int hf_keeper_execute_other(struct hf_keeper *keeper);

/* Whether the supervisor is to execute something when the server has ended. */
static inline bool hf_keeper_goes(const struct hf_keeper_header *header)
{
        return header->command == HF_KEEPER_DO_UPGRADE || header->command == HF_KEEPER_DO_BECOME;
}

/* probe.c: ends a probe that the process had before it executed this program. */
void hf_keeper_probe_leftover(struct hf_keeper *keeper);
