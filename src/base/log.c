/* log.c — levels, the sink, and the default sink on stderr.
 *
 * The default line is the reference's: `LEVEL YYYY-MM-DD HH:MM:SS,mmm file.c:LINE message`, written
 * with one call so that lines of different threads do not mix.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "base/internal.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

static const char *const LEVEL_NAMES[] = { "DEBUG", "INFO", "WARNING", "ERROR" };

struct sink { log_sink_fn *fn; void *ud; };
static struct sink the_sink; /* set before threads start */
static _Atomic int min_level = LOG_INFO;
static _Atomic int line_open;

void log_to(log_sink_fn *sink, void *ud) { the_sink = (struct sink){ sink, ud }; }
void log_set_level(enum log_level level) { atomic_store(&min_level, (int)level); }
void log_line_open(int open) { atomic_store(&line_open, open); }

static void to_stderr(enum log_level level, const char *file, int line, const char *msg) {
    struct timespec now;
    struct tm tm;
    char when[32];
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
    const char *clear = atomic_exchange(&line_open, 0) ? "\r\033[K" : "";
    fprintf(stderr, "%s%s %s,%03d %s:%d %s\n", clear, LEVEL_NAMES[level], when, (int)(now.tv_nsec / 1000000),
            path_base(file), line, msg);
}

void log_at(enum log_level level, const char *file, int line, const char *fmt, ...) {
    if ((int)level < atomic_load_explicit(&min_level, memory_order_relaxed)) return;
    char small[1024], *msg = small;
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    if (n >= (int)sizeof small && (msg = mem_alloc((size_t)n + 1)) != NULL) vsnprintf(msg, (size_t)n + 1, fmt, again);
    if (!msg) msg = small;
    va_end(again);
    va_end(ap);
    if (the_sink.fn) the_sink.fn(the_sink.ud, level, file, line, msg);
    else to_stderr(level, file, line, msg);
    if (msg != small) mem_free(msg);
}
