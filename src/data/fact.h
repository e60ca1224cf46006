/* fact.h — internal to src/data: looking at words.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_DATA_FACT_H
#define ILAB_DATA_FACT_H
#include "data/data.h"

int word_is_connector(struct sv w);                         /* "of", "van", "der": inside a name */
int name_runs(struct sv s, struct arena *a, struct sv **out, size_t *n, ilab_err *e);
int text_has(struct sv hay, struct sv needle);
/* A number, or a name that is not its first word, which none of the two known texts has. */
int text_has_foreign(struct sv text, struct sv known1, struct sv known2, struct arena *a);
/* A word of the text is the same, or alike in its first five letters ("academics", "academic"). */
int text_word_alike(struct sv text, struct sv word);
/* text with the words most alike to `name` replaced by it; text itself when it has the name, or nothing like it. */
struct sv name_repair(struct arena *a, struct sv text, struct sv name);
struct sv text_replace(struct arena *a, struct sv s, struct sv from, struct sv to);
#endif
