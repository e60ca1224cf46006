/* unigram.c — SentencePiece unigram: the segmentation with the highest sum of scores (Kudo 2018), by Viterbi.
 *
 * Pieces are looked up by narrowing a range of the sorted vocabulary byte by byte. A character that is no piece
 * costs the worst score less ten and is written as byte tokens, or as one unknown token for a run of them.
 * User-defined pieces score 0. Of equal sums the first found (the piece that begins first) stays.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

static const double UNKNOWN_PENALTY = 10.0;

struct best { double score; int32_t id; uint32_t from; };      /* id -1: unknown character */

static int compare_texts(const void *a, const void *b)
{
    const struct sv *const *x = a, *const *y = b;
    size_t n = (*x)->n < (*y)->n ? (*x)->n : (*y)->n;
    int order = n ? memcmp((*x)->p, (*y)->p, n) : 0;

    return order ? order : ((*x)->n > (*y)->n) - ((*x)->n < (*y)->n);
}

int unigram_index(struct tokenizer *t, ilab_err *e)
{
    const struct sv **order = mem_alloc((size_t)t->n * sizeof *order);
    float least = FLT_MAX;

    t->sorted = mem_alloc((size_t)t->n * sizeof *t->sorted);
    if (!order || !t->sorted) {
        mem_free(order);
        return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %d tokens", t->n);
    }
    for (int i = 0; i < t->n; i++) {
        if (t->kind[i] == TOKEN_NORMAL && t->score[i] < least)
            least = t->score[i];
        if (t->text[i].n && (t->kind[i] == TOKEN_NORMAL || t->kind[i] == TOKEN_USER || t->kind[i] == TOKEN_UNUSED))
            order[t->n_sorted++] = &t->text[i];
    }
    t->unknown_score = (double)(least == FLT_MAX ? 0 : least) - UNKNOWN_PENALTY;
    qsort(order, (size_t)t->n_sorted, sizeof *order, compare_texts);
    for (int i = 0; i < t->n_sorted; i++)
        t->sorted[i] = (int32_t)(order[i] - t->text);
    mem_free(order);
    return 0;
}

static int byte_at(const struct tokenizer *t, int k, size_t depth)
{
    const struct sv *s = &t->text[t->sorted[k]];

    return depth < s->n ? (uint8_t)s->p[depth] : -1;
}

/* First of sorted[lo..hi), which agree on `depth` bytes, whose next byte is at least c. */
static int lower_bound(const struct tokenizer *t, int lo, int hi, size_t depth, int c)
{
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (byte_at(t, mid, depth) < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Every piece that begins at s.p[i] improves the sums behind it. */
static void try_pieces(const struct tokenizer *t, struct sv s, size_t i, size_t n_char, struct best *best)
{
    int lo = 0, hi = t->n_sorted, single = 0;
    size_t limit = s.n - i < TOKEN_MAX_PIECE_BYTES ? s.n : i + TOKEN_MAX_PIECE_BYTES;

    for (size_t k = i; k < limit && lo < hi; k++) {
        int c = (uint8_t)s.p[k];
        lo = lower_bound(t, lo, hi, k - i, c);
        hi = lower_bound(t, lo, hi, k - i, c + 1);
        if (lo == hi || t->text[t->sorted[lo]].n != k - i + 1)
            continue;
        int32_t id = t->sorted[lo];
        double sum = best[i].score + (t->kind[id] == TOKEN_USER ? 0.0 : (double)t->score[id]);
        single |= k - i + 1 == n_char;
        if (sum > best[k + 1].score)
            best[k + 1] = (struct best){ sum, id, (uint32_t)i };
    }
    double sum = best[i].score + t->unknown_score;
    if (!single && sum > best[i + n_char].score)
        best[i + n_char] = (struct best){ sum, -1, (uint32_t)i };
}

static int put_unknown(const struct tokenizer *t, struct sv s, int *was_unknown, struct ids *out)
{
    int rc = 0;

    for (size_t i = 0; i < s.n && !rc; i++) {
        int32_t id = t->byte_id[(uint8_t)s.p[i]];
        if (id >= 0 || (t->unknown >= 0 && !*was_unknown))
            rc = ids_push(out, id >= 0 ? id : t->unknown);
        *was_unknown = id < 0;
    }
    return rc;
}

int unigram_encode_escaped(const struct tokenizer *t, struct encode_work *w, struct sv text, int *was_unknown, struct ids *out)
{
    size_t n = text.n, n_step = 0;
    int rc = 0;

    if (mem_grow(&w->node, &w->node_cap, (n + 1) * sizeof(struct best), 1) ||
        mem_grow(&w->heap, &w->heap_cap, (n + 1) * sizeof(uint32_t), 1))
        return ILAB_E_NOMEM;
    struct best *best = w->node;
    uint32_t *step = w->heap;
    for (size_t k = 0; k <= n; k++)
        best[k] = (struct best){ k ? -DBL_MAX : 0.0, -1, 0 };
    for (size_t i = 0, next; i < n; i = next) {
        next = i;
        utf8_next(text, &next);
        try_pieces(t, text, i, next - i, best);
    }
    for (size_t k = n; k; k = best[k].from)
        step[n_step++] = (uint32_t)k;
    while (n_step && !rc) {
        const struct best *b = &best[step[--n_step]];
        if (b->id >= 0) {
            rc = ids_push(out, b->id);
            *was_unknown = 0;
        } else
            rc = put_unknown(t, (struct sv){ text.p + b->from, step[n_step] - b->from }, was_unknown, out);
    }
    return rc;
}
