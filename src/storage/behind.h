/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The thing behind a hashed name.
 *
 * With a lockspace directory libvirt sends the SHA-256 of an image's path, so
 * two paths to one image arrive as two names. The image is found again from the
 * VM itself: a path on its command line, or among its open files, that has this
 * hash. A VM that has not opened the image yet (hot-plug) tells nothing; then
 * only the name counts.
 */

#include "base/thing.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

/* Whether a resource name has the form of a hash: 64 lower-case hexadecimal digits. */
bool hf_behind_is_hash(const char *name);

/*
 * Looks for the path with that hash in the process. Returns 0 and the thing it
 * leads to as that process sees it, -ENOENT when it has no such path.
 */
int hf_behind_find(pid_t pid, const char *hash, struct hf_thing *ret);

/*
 * The same as far as the kernel knows it without asking a filesystem. -EAGAIN: there
 * is such a path, and hf_behind_find may have to wait for what it leads to; path
 * is it then, or "" where it is seen by the process alone.
 */
int hf_behind_find_cached(pid_t pid, const char *hash, struct hf_thing *ret,
                          char path[static PATH_MAX]);

/*
 * The parsing part, for tests and fuzzing: calls found() with every part of one
 * argument that may be an absolute path, until that returns non-zero. Undoes
 * the ",," of QEMU's options and the escapes of JSON. Returns what found() did.
 */
int hf_behind_scan(const char *argument, int (*found)(const char *path, void *data), void *data);
