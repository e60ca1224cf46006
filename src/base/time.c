/* time.c — the monotonic clock for durations, local time for names of files.  SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <time.h>

double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

size_t time_local_after(char *out, size_t cap, const char *fmt, double seconds) {
    time_t then = time(NULL) + (time_t)(seconds < 1e15 ? seconds : 1e15);
    struct tm tm;
    if (cap == 0) return 0;
    size_t n = localtime_r(&then, &tm) ? strftime(out, cap, fmt, &tm) : 0;
    if (n == 0) out[0] = 0; /* strftime leaves the buffer undefined when the text does not fit */
    return n;
}

size_t time_local(char *out, size_t cap, const char *fmt) { return time_local_after(out, cap, fmt, 0); }
