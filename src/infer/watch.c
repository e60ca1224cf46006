/* watch.c — see watch.h.  SPDX-License-Identifier: Apache-2.0 */
#include "infer/watch.h"

#define WATCH_AFTER 1.0 /* seconds: what ends sooner needs no line */

void watch_begin(struct watch *w, const struct engine *en, const char *label, int64_t total) {
    *w = (struct watch){ .label = label, .since = now_seconds(), .total = total, .on = en->watch };
}

void watch_at(struct watch *w, int64_t done, const char *unit) {
    if (!w->on) return;
    if (!w->shown) {
        if (now_seconds() - w->since < WATCH_AFTER) return;
        progress_start(&w->line, w->label, w->total, 0);
        w->line.start = w->since;
        w->shown = 1;
    }
    progress_at(&w->line, done, "%s", unit);
}

void watch_end(struct watch *w) {
    if (w->shown) progress_clear(&w->line);
    w->on = w->shown = 0;
}
