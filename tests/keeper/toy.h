/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A program that lives on the keeper: a counter, connections and locked files.
 *
 *   keeper-toy [--unsupervised] FOLDER
 *   keeper-toy FOLDER --probe-state VERSION
 *
 * Listens on FOLDER/socket (SOCK_SEQPACKET) and locks FOLDER/lock-0, lock-1 ...
 * A request is a line "NUMBER WORD [ARGUMENT]", its answer "NUMBER TEXT". It is
 * taken from the socket only once it was answered, so a server that is killed may
 * answer twice, but never not at all; the client knows answers by their number.
 * The toy ends when the reading end of the pipe with number TOY_LEASH in its
 * environment has lost its other side.
 */

#include "keeper/keeper.h"

#ifndef TOY_VERSION
#define TOY_VERSION 7
#endif
#ifndef TOY_ROOM
#define TOY_ROOM 1000
#endif
#define TOY_CONNECTIONS 16
#define TOY_LOCKS       8
#define TOY_LINE        512

/* 0 is "none" in each number: the area begins as zeros. */
struct toy_area {
        uint64_t counter;
        uint32_t generations; /* servers so far, of all supervisors */
        uint32_t hups;
        int listener;
        int leash;
        int locks[TOY_LOCKS];
        int connections[TOY_CONNECTIONS];
        unsigned char room[TOY_ROOM]; /* only the last byte is used */
};

struct toy {
        struct hf_keeper *keeper;
        struct toy_area *area;
        const char *folder;
        int signals;     /* a signalfd */
        int exit_status; /* -1: go on */
};

/* Answers the request that waits on connection i, or forgets the connection. */
void toy_request(struct toy *toy, size_t i);

/* Sets FD_CLOEXEC on all that stays, or clears it. */
void toy_close_on_exec(const struct toy_area *area, bool set);
