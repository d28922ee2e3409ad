/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The verbs of `holdfast sanlock`: a file each, and a row in the table of main.c. */

int hf_sanlock_verb_resume(int argc, char **argv);
