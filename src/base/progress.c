/* progress.c — one line that tells how far a long job is and how long it will still take.
 *
 * The remaining time extrapolates from what this run did itself (a resumed job starts at `first`).
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "base/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_SECONDS 0.1

int format_duration(char *out, size_t cap, double seconds) {
    if (!(seconds >= 0)) return snprintf(out, cap, "?");
    if (seconds < 9.95) return snprintf(out, cap, "%.1f s", seconds);
    if (seconds < 59.5) return snprintf(out, cap, "%.0f s", seconds);
    if (seconds >= 1e9) return snprintf(out, cap, "for ever");
    int64_t s = (int64_t)(seconds + 0.5);
    if (s < 3600) return snprintf(out, cap, "%d min %02d s", (int)(s / 60), (int)(s % 60));
    int64_t m = (s + 30) / 60;
    return snprintf(out, cap, "%" PRId64 " h %02d min", m / 60, (int)(m % 60));
}

int format_bytes(char *out, size_t cap, double bytes) {
    static const char *const UNITS[] = { "B", "kB", "MB", "GB", "TB", "PB" };
    size_t u = 0;
    while (bytes >= (u ? 999.95 : 999.5) && u + 1 < ARRAY_LEN(UNITS)) bytes /= 1000, u++;
    return snprintf(out, cap, u ? "%.1f %s" : "%.0f %s", bytes, UNITS[u]);
}

static int terminal_width(void) {
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
}

static const char *as_it_is(const char *english) { return english; }
static const char *(*say)(const char *english) = as_it_is;

void progress_words(const char *(*words)(const char *english)) { say = words ? words : as_it_is; }

void progress_start(struct progress *p, const char *label, int64_t total, int64_t already_done) {
    *p = (struct progress){ .label = say(label), .start = now_seconds(), .last = -1e9, .total = total, .first = already_done,
                            .done = already_done, .shown = -1, .plain_seconds = 10, .tty = isatty(STDERR_FILENO) };
    const char *term = p->tty ? getenv("TERM") : NULL;
    if (term && strcmp(term, "dumb") == 0) p->tty = 0;
    p->width = p->tty ? terminal_width() : 0;
}

/* Cuts s to `columns` code points. */
static void cut(char *s, int columns) {
    for (; *s; s++)
        if (((unsigned char)*s & 0xC0) != 0x80 && columns-- == 0) {
            *s = 0;
            return;
        }
}

static void draw(struct progress *p, double now) {
    struct sb b;
    sb_init(&b, 512);
    char time_text[32];
    double spent = now - p->start;
    sb_addf(&b, "%s ", p->label);
    if (p->total > 0)
        sb_addf(&b, "%" PRId64 "/%" PRId64 " (%d %%)", p->done, p->total, (int)(100 * (double)p->done / (double)p->total));
    else sb_addf(&b, "%" PRId64, p->done);
    if (p->text[0]) sb_addf(&b, "  %s", say(p->text));
    format_duration(time_text, sizeof time_text, spent);
    sb_addf(&b, "  %s", time_text);
    if (p->done < p->total && p->done > p->first) {
        double left = p->left > 0 ? p->left : spent * (double)(p->total - p->done) / (double)(p->done - p->first);
        format_duration(time_text, sizeof time_text, left);
        sb_addf(&b, ", %s %s", time_text, say("left"));
    }
    if (p->tty) {
        cut(b.cap ? b.p : time_text, p->width - 1);
        log_line_open(1);
        fprintf(stderr, "\r\033[K%s", b.p);
        fflush(stderr);
    } else fprintf(stderr, "%s\n", b.p);
    sb_release(&b);
    p->last = now;
    p->shown = p->done;
}

void progress_at(struct progress *p, int64_t done, const char *fmt, ...) {
    p->done = done;
    if (p->quiet) return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->text, sizeof p->text, fmt, ap);
    va_end(ap);
    double now = now_seconds();
    if (p->shown < 0 && now - p->start < p->after) return;
    int finished = p->total > 0 && done >= p->total && p->shown != done;
    if (finished || now - p->last >= (p->tty ? REDRAW_SECONDS : p->plain_seconds)) draw(p, now);
}

void progress_end(struct progress *p) {
    if (p->quiet) return;
    if (p->shown >= 0 && p->shown != p->done) draw(p, now_seconds());
    if (p->tty && p->shown >= 0) {
        fputc('\n', stderr);
        log_line_open(0);
    }
}

void progress_clear(struct progress *p) {
    if (p->quiet || !p->tty || p->shown < 0) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    log_line_open(0);
}
