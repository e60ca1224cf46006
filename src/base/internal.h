/* internal.h — what the files of base share and nobody else sees.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_BASE_INTERNAL_H
#define ILAB_BASE_INTERNAL_H

#include <stddef.h>

/* Progress draws an unfinished line on the terminal; the log clears it before it writes its own. */
void log_line_open(int open);

/* map_guard.c: a guarded map survives a file that becomes shorter. Slots count from 1; 0 is no guard. */
int map_guard_add(const void *p, size_t n);
void map_guard_remove(int slot);
int map_guard_damaged(int slot);

#endif
