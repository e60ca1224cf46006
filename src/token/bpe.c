/* bpe.c — byte-level BPE: words of bytes, merged by rank (Sennrich et al. 2016; Radford et al. 2019).
 *
 * A word starts as one token a byte; the neighbouring pair with the lowest rank, leftmost first, is merged
 * until no pair has a rank. Short words scan for the minimum, long ones keep a heap of candidate pairs, in
 * which stale entries are recognised by the ids that they name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/heap.h"
#include "token/token_internal.h"

#include <string.h>

enum { SCAN_MAX = 48 }; /* up to here the quadratic scan is the faster one */

struct node { int32_t id, prev, next; };                     /* id -2: merged away */

static int put_tokens(const struct tokenizer *t, const int32_t *id, size_t n, struct ids *out)
{
    int rc = 0;

    for (size_t i = 0; i < n && !rc; i++)
        if (id[i] >= 0)
            rc = ids_push(out, id[i]);
        else if (t->unknown >= 0)
            rc = ids_push(out, t->unknown);
    return rc;
}

static size_t merge_by_scan(const struct tokenizer *t, int32_t *id, size_t n)
{
    struct { int32_t rank, id; } pair[SCAN_MAX];
    const struct merge_slot *m;
#define SET_PAIR(k) (m = merge_find(t, id[k], id[(k) + 1]), pair[k].rank = m ? m->rank : INT32_MAX, pair[k].id = m ? m->id : -1)

    for (size_t k = 0; k + 1 < n; k++)
        SET_PAIR(k);
    while (n > 1) {
        size_t best = 0;
        for (size_t k = 1; k + 1 < n; k++)
            if (pair[k].rank < pair[best].rank)
                best = k;
        if (pair[best].rank == INT32_MAX)
            break;
        id[best] = pair[best].id;
        n--;
        memmove(id + best + 1, id + best + 2, (n - best - 1) * sizeof *id);
        memmove(pair + best, pair + best + 1, (n - best - 1) * sizeof *pair);
        if (best > 0)
            SET_PAIR(best - 1);
        if (best + 1 < n)
            SET_PAIR(best);
    }
#undef SET_PAIR
    return n;
}

static void add_candidate(const struct tokenizer *t, const struct node *v, int32_t pos, struct candidate *heap, size_t *n)
{
    if (pos < 0 || v[pos].next < 0)
        return;
    int32_t left = v[pos].id, right = v[v[pos].next].id;
    const struct merge_slot *m = merge_find(t, left, right);
    if (m)
        heap_push(heap, n, (struct candidate){ m->rank, pos, { left, right } });
}

int bpe_encode_long(const struct tokenizer *t, struct encode_work *w, struct sv word, struct ids *out)
{
    size_t n_heap = 0;
    int rc = 0;

    /* n - 1 pairs at first, and each of at most n - 1 merges makes two more */
    if (mem_grow(&w->node, &w->node_cap, word.n * sizeof(struct node), 1) ||
        mem_grow(&w->heap, &w->heap_cap, 3 * word.n * sizeof(struct candidate), 1))
        return ILAB_E_NOMEM;
    struct node *v = w->node;
    struct candidate *heap = w->heap;
    int32_t n = (int32_t)word.n;
    for (int32_t i = 0; i < n; i++)
        v[i] = (struct node){ t->byte_id[(uint8_t)word.p[i]], i - 1, i + 1 < n ? i + 1 : -1 };
    for (int32_t i = 0; i < n; i++)
        add_candidate(t, v, i, heap, &n_heap);
    while (n_heap) {
        struct candidate c = heap_pop(heap, &n_heap);
        struct node *left = &v[c.pos];
        if (left->id != c.tag[0] || left->next < 0 || v[left->next].id != c.tag[1])
            continue;
        struct node *right = &v[left->next];
        left->id = merge_find(t, c.tag[0], c.tag[1])->id;
        right->id = -2;
        left->next = right->next;
        if (left->next >= 0)
            v[left->next].prev = c.pos;
        add_candidate(t, v, left->prev, heap, &n_heap);
        add_candidate(t, v, c.pos, heap, &n_heap);
    }
    for (int32_t i = 0; i >= 0 && !rc; i = v[i].next)
        rc = put_tokens(t, &v[i].id, 1, out);
    return rc;
}

/* The token that is this whole word, or -1. */
static int32_t whole_word(const struct tokenizer *t, struct sv word)
{
    char mapped[512];
    size_t n = 0;

    if (word.n > sizeof mapped / 2)
        return -1;
    for (size_t i = 0; i < word.n; i++)
        n += (size_t)utf8_put(mapped + n, (int32_t)byte_map_char((uint8_t)word.p[i]));
    return vocab_find(t, (struct sv){ mapped, n });
}

static int encode_word(const struct tokenizer *t, struct encode_work *w, struct sv word, struct ids *out)
{
    int32_t id[SCAN_MAX];

    if (t->ignores_merges && (id[0] = whole_word(t, word)) >= 0)
        return ids_push(out, id[0]);
    if (word.n > SCAN_MAX)
        return bpe_encode_long(t, w, word, out);
    for (size_t i = 0; i < word.n; i++)
        id[i] = t->byte_id[(uint8_t)word.p[i]];
    return put_tokens(t, id, merge_by_scan(t, id, word.n), out);
}

int bpe_encode_text(const struct tokenizer *t, struct encode_work *w, struct sv text, int prefix, struct ids *out)
{
    struct pretok_at at = { 0 };

    (void)prefix;
    for (size_t i = 0, end; i < text.n; i = end) {
        end = pretok_next(t->pre, &at, text, i);
        struct sv word = { text.p + i, end - i };
        struct word_entry *slot = word_cache_slot(w->cache, word);
        if (slot && word_cache_hit(slot, word)) {
            if (ids_append(out, slot->id, slot->n_id))
                return ILAB_E_NOMEM;
            continue;
        }
        size_t from = out->n;
        if (encode_word(t, w, word, out))
            return ILAB_E_NOMEM;
        if (slot)
            word_cache_store(slot, word, out, from);
    }
    return 0;
}
