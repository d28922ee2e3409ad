/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A server as a transcript has it: a ring, its link, and a writer in a process of its own. */

#include "console/transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/types.h>

#include <cmocka.h>

#define RING_SIZE 4096
#define NAME      "web1/serial0"
#define LOG       "web1/serial0.log"
#define SECONDS   UINT64_C(1000000)

struct scene {
        char dir[64];
        struct hf_transcript_settings settings;
        struct hf_ring ring;
        uint8_t bytes[RING_SIZE];
        struct hf_transcript_link link;
        uint64_t now;
        pid_t writer;
        int fd;
};

extern struct scene scene;

/* For each test: a folder, a new ring of run 77; no writer. */
int setup(void **state);
int teardown(void **state);

/* first: called in it, or NULL. */
void start_writer_with(void (*first)(void));
void start_writer(void);
void kill_writer(void);

/* Ends the writer in peace: what the ring has it has written. */
void finish_writer(void);

void new_ring(uint64_t run);
void print(const char *text);

/* One turn of the server's; what hf_transcript_offer says. */
int turn(void);

/* Until the writer has been told all. */
void run_until_offered(void);

/* Of a file below the folder, in memory that the next call reuses; NULL: there is none. */
const char *content(const char *name);

/* Adds to a file below the folder. */
void put(const char *name, const char *text);
