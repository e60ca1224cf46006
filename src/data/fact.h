/* fact.h — internal to src/data: looking at words.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_DATA_FACT_H
#define ILAB_DATA_FACT_H
#include "data/data.h"

int word_is_function(struct sv w);
int name_runs(struct sv s, struct arena *a, struct sv **out, size_t *n, ilab_err *e);
int text_has(struct sv hay, struct sv needle);
struct sv text_replace(struct arena *a, struct sv s, struct sv from, struct sv to);
#endif
