/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The measurements. Each runs for a time or a number of rounds against one
 * socket and prints one line of JSON; comparing two daemons is bench/run's part.
 */

#include <stddef.h>
#include <sys/types.h>

struct options {
        const char *socket; /* the daemon's */
        const char *folder; /* where the files are */
        const char *state;  /* folder on tmpfs where the daemon keeps its state; NULL if unknown */
        const char *hung;   /* hang: a file where nothing answers */
        double seconds;     /* how long */
        size_t count;       /* files, connections or rounds; 0: the mode's own default */
        pid_t daemon;       /* whose memory and processor time are read; 0: nobody's */
        char **command;     /* spawn: two commands, each ended by NULL */
        char **other;
};

void mode_seq(const struct options *options);
void mode_conc(const struct options *options);
void mode_connect(const struct options *options);
void mode_hold(const struct options *options);
void mode_hang(const struct options *options);
void mode_recover(const struct options *options);
void mode_stubborn(const struct options *options);
void mode_handover(const struct options *options);
void mode_spawn(const struct options *options);
