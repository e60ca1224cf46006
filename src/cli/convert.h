/* convert.h — shared by `ilab model convert` and `ilab model quantize`.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_CLI_CONVERT_H
#define ILAB_CLI_CONVERT_H

#include "base/base.h"

/* A progress line that starts with the first tensor; the callback stops at an interrupt. */
struct convert_progress { const char *label; int started; struct progress line; };
int convert_progress(void *ud, const char *tensor, int64_t done, int64_t total);
void convert_progress_end(struct convert_progress *p);
int convert_room(const char *out, uint64_t bytes, ilab_err *e);   /* ILAB_E_IO when the disk has less */
int unknown_type(const char *type);                               /* prints the list; EXIT_USAGE */

#endif
