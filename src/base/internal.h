/* internal.h — what the files of base share and nobody else sees.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_BASE_INTERNAL_H
#define ILAB_BASE_INTERNAL_H

/* Progress draws an unfinished line on the terminal; the log clears it before it writes its own. */
void log_line_open(int open);

#endif
