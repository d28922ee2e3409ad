/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The verbs of `holdfast sanlock`: a file each, and a row in the table of main.c. */

int hf_sanlock_verb_cleanup(int argc, char **argv);
int hf_sanlock_verb_init(int argc, char **argv);
int hf_sanlock_verb_join(int argc, char **argv);
int hf_sanlock_verb_leave(int argc, char **argv);
int hf_sanlock_verb_status(int argc, char **argv);
int hf_sanlock_verb_resume(int argc, char **argv);
