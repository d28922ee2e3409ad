/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A file name for something that has any name at all. */

/* Shorter than NAME_MAX, so that a suffix fits behind it. */
#define HF_FILE_NAME_MAX 200

/*
 * The name in one that is a single component of a path, not hidden, and the same each time:
 * letters, digits and . _ - + : @ are themselves, a dot at its begin and all else is %XX. What is
 * too long is cut, with a hash of the whole at its end. "" is "%".
 */
void hf_file_name(const char *name, char ret[HF_FILE_NAME_MAX + 1]);
