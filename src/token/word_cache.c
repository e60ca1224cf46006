/* word_cache.c — ids of words seen before: words repeat (Zipf), so most of a text is looked up, not merged.
 *
 * Direct-mapped; an entry is one cache line and holds its whole key, so a hit is exact. Also the growing
 * list of ids.  SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

#include <string.h>

struct word_entry *word_cache_slot(struct word_entry *cache, struct sv word)
{
    if (!cache || word.n > sizeof cache->word)
        return NULL;
    return &cache[hash64(word.p, word.n, 0) & (WORD_CACHE_SLOTS - 1)];
}

int word_cache_hit(const struct word_entry *w, struct sv word)
{
    return w->n_byte == word.n && !memcmp(w->word, word.p, word.n);
}

void word_cache_store(struct word_entry *w, struct sv word, const struct ids *l, size_t from)
{
    size_t n = l->n - from;

    if (n > ARRAY_LEN(w->id))
        return;
    w->n_byte = (uint8_t)word.n;
    w->n_id = (uint8_t)n;
    memcpy(w->word, word.p, word.n);
    if (n)
        memcpy(w->id, l->v + from, n * sizeof *w->id);
}

int ids_append(struct ids *l, const int32_t *v, size_t n)
{
    if (l->n + n > l->cap && mem_grow((void **)&l->v, &l->cap, l->n + n, sizeof *l->v))
        return ILAB_E_NOMEM;
    if (n)
        memcpy(l->v + l->n, v, n * sizeof *v);
    l->n += n;
    return 0;
}

int ids_push(struct ids *l, int32_t id) { return ids_append(l, &id, 1); }

void ids_release(struct ids *l)
{
    mem_free(l->v);
    *l = (struct ids){ 0 };
}
