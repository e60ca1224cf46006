/* watch.h — the progress line of a long prompt, a long text or a benchmark: only where the owner of the engine asked for it
 * (engine.watch), and only from the second second on. Private to `infer`.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_WATCH_H
#define ILAB_WATCH_H

#include "infer/infer.h"

struct watch { struct progress line; const char *label; double since; int64_t total; int on, shown; };
void watch_begin(struct watch *w, const struct engine *en, const char *label, int64_t total);
void watch_at(struct watch *w, int64_t done, const char *unit);
void watch_end(struct watch *w); /* the line disappears from a terminal: what it announced follows */

#endif
