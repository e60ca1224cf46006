/* spm.c — SentencePiece BPE: the neighbouring pieces whose joint piece has the best score are merged first.
 *
 * Kudo and Richardson 2018 (SentencePiece, model type BPE), as GGUF's "llama" tokenizers use it: spaces become ▁,
 * the text starts as characters, equal scores go leftmost first. What is no piece at the end is written in
 * byte tokens; without byte tokens a run of such characters is one unknown token.
 * How text becomes the stretches that come here: sentence.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/heap.h"
#include "token/token_internal.h"

#include <string.h>

struct symbol { int32_t at, n, prev, next; };                /* n 0: merged away */

/* Ascends as the score falls: the bits of a float in the order of its numbers, upside down. */
static int32_t key_of(float score)
{
    const float s = 0.0f - score; /* never -0 */
    int32_t bits;

    memcpy(&bits, &s, sizeof bits);
    return bits < 0 ? (int32_t)(0x80000000u - (uint32_t)bits) : bits;
}

/* Control tokens are never spelled by text: only ordinary and user-defined pieces count. */
static int32_t find_piece(const struct tokenizer *t, struct sv s)
{
    int32_t id = vocab_find(t, s);

    return id >= 0 && (t->kind[id] == TOKEN_NORMAL || t->kind[id] == TOKEN_USER) ? id : -1;
}

static void add_candidate(const struct tokenizer *t, struct sv text, const struct symbol *v, int32_t left, struct candidate *heap,
                          size_t *n)
{
    if (left < 0 || v[left].next < 0)
        return;
    int32_t right = v[left].next, len = v[left].n + v[right].n;
    int32_t id = find_piece(t, (struct sv){ text.p + v[left].at, (size_t)len });
    if (id >= 0)
        heap_push(heap, n, (struct candidate){ key_of(t->score[id]), left, { right, len } });
}

static int put_symbol(const struct tokenizer *t, struct sv s, int *was_unknown, struct ids *out)
{
    int32_t id = find_piece(t, s);
    int rc = 0;

    if (id >= 0) {
        *was_unknown = 0;
        return ids_push(out, id);
    }
    for (size_t i = 0; i < s.n && !rc; i++) {
        id = t->byte_id[(uint8_t)s.p[i]];
        if (id >= 0 || (t->unknown >= 0 && !*was_unknown))
            rc = ids_push(out, id >= 0 ? id : t->unknown);
        *was_unknown = id < 0;
    }
    return rc;
}

int spm_encode_escaped(const struct tokenizer *t, struct encode_work *w, struct sv text, int *was_unknown, struct ids *out)
{
    size_t n_heap = 0, i = 0;
    int32_t n = 0;
    int rc = 0;

    if (mem_grow(&w->node, &w->node_cap, text.n * sizeof(struct symbol), 1) ||
        mem_grow(&w->heap, &w->heap_cap, 3 * text.n * sizeof(struct candidate), 1))
        return ILAB_E_NOMEM;
    struct symbol *v = w->node;
    struct candidate *heap = w->heap;
    for (; i < text.n; n++) {
        size_t at = i;
        utf8_next(text, &i);
        v[n] = (struct symbol){ (int32_t)at, (int32_t)(i - at), n - 1, i < text.n ? n + 1 : -1 };
    }
    for (int32_t k = 0; k < n; k++)
        add_candidate(t, text, v, k, heap, &n_heap);
    while (n_heap) {
        struct candidate c = heap_pop(heap, &n_heap);
        struct symbol *left = &v[c.pos], *right = &v[c.tag[0]];
        if (!left->n || !right->n || left->n + right->n != c.tag[1])
            continue;
        left->n = c.tag[1];
        right->n = 0;
        left->next = right->next;
        if (left->next >= 0)
            v[left->next].prev = c.pos;
        add_candidate(t, text, v, left->prev, heap, &n_heap);
        add_candidate(t, text, v, c.pos, heap, &n_heap);
    }
    for (int32_t k = 0; k >= 0 && k < n && !rc; k = v[k].next)
        rc = put_symbol(t, (struct sv){ text.p + v[k].at, (size_t)v[k].n }, was_unknown, out);
    return rc;
}
