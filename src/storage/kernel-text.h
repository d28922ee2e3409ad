/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Texts in which the kernel tells of mounts: reading one, and what it has escaped in it. */

/*
 * The whole file from where fd stands, with a NUL behind it, to be freed. NULL with errno; EFBIG
 * for more than all mounts of a host are told in.
 */
char *hf_kernel_text(int fd);

/* Undoes the octal escapes of blanks and backslashes, in place. */
void hf_kernel_text_unescape(char *text);
