/* cuts.c — where text may be cut for SentencePiece BPE when pieces hold spaces inside.
 *
 * Every symbol that merging makes is a piece of the vocabulary, so nothing merges across a place that no piece in this text
 * spans, and both sides can be encoded alone. An automaton of all pieces of several bytes (Aho and Corasick 1975) tells at each byte the longest piece that
 * ends there, which rules out the places inside of it, and how far back a piece may have begun that has not ended yet.
 * ▁ and the space are one byte here: the text must have no ▁. Not built for vocabularies whose table would be large.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

#include <string.h>

typedef unsigned __int128 places;     /* bit b: b bytes back from here */
enum { MAX_PIECE = 127, MAX_CELLS = 1 << 22 };

struct cuts {
    uint8_t column[256];              /* of a byte; 0: in no piece */
    int n_column;
    uint32_t *to;                     /* [node][column] */
    uint8_t *depth, *ends;            /* [node]: bytes since the root; bytes of the longest piece that ends here */
};

void cuts_free(struct cuts *c)
{
    if (!c) return;
    mem_free(c->to);
    mem_free(c->depth);
    mem_free(c->ends);
    mem_free(c);
}

/* A piece with spaces for ▁; its bytes, 0: it is none that is merged. */
static size_t piece_bytes(const struct tokenizer *t, int id, uint8_t out[MAX_PIECE], int *too_long)
{
    const struct sv s = t->text[id];
    size_t n = 0;
    if (t->kind[id] != TOKEN_NORMAL && t->kind[id] != TOKEN_USER) return 0;
    for (size_t i = 0; i < s.n; n++) {
        const int space = s.n - i >= SPACE_BYTES && !memcmp(s.p + i, SPACE, SPACE_BYTES);
        if (n == MAX_PIECE) {
            *too_long = 1;
            return 0;
        }
        out[n] = space ? ' ' : (uint8_t)s.p[i];
        i += space ? SPACE_BYTES : 1;
    }
    return n;
}

/* The tree of all pieces; n_node counts what it would have where c->to is NULL. */
static int grow(struct cuts *c, const struct tokenizer *t, size_t *n_node)
{
    uint8_t s[MAX_PIECE];
    int too_long = 0;
    size_t n, total = 1;
    for (int id = 0; id < t->n && !too_long; id++) {
        if ((n = piece_bytes(t, id, s, &too_long)) < 2) continue;
        uint32_t at = 0;
        total += n;
        for (size_t i = 0; i < n; i++) {
            if (!c->column[s[i]]) c->column[s[i]] = (uint8_t)++c->n_column;
            if (!c->to) continue;
            uint32_t *next = &c->to[at * (size_t)(c->n_column + 1) + c->column[s[i]]];
            if (!*next) {
                c->depth[*n_node] = (uint8_t)(i + 1);
                *next = (uint32_t)(*n_node)++;
            }
            at = *next;
        }
        if (c->to) c->ends[at] = (uint8_t)n;
    }
    if (!c->to) *n_node = total;
    return !too_long;
}

/* Missing edges lead where the longest known end of the text would; breadth first. */
static void close_edges(struct cuts *c, uint32_t *queue, uint32_t *fail)
{
    const size_t w = (size_t)c->n_column + 1;
    size_t head = 0, tail = 0;
    for (size_t k = 1; k < w; k++)
        if (c->to[k]) queue[tail++] = c->to[k]; /* their fail is the root */
    while (head < tail) {
        const uint32_t at = queue[head++], back = fail[at];
        if (!c->ends[at]) c->ends[at] = c->ends[back];
        for (size_t k = 1; k < w; k++) {
            uint32_t *next = &c->to[at * w + k];
            if (*next) {
                fail[*next] = c->to[back * w + k];
                queue[tail++] = *next;
            } else {
                *next = c->to[back * w + k];
            }
        }
    }
}

int cuts_new(struct cuts **out, const struct tokenizer *t)
{
    size_t n_node;
    *out = NULL;
    struct cuts *c = mem_calloc(1, sizeof *c);
    if (!c) return ILAB_E_NOMEM;
    if (!grow(c, t, &n_node) || c->n_column > 255 || n_node > (size_t)MAX_CELLS / (size_t)(c->n_column + 1)) {
        cuts_free(c);
        return 0;
    }
    c->to = mem_calloc(n_node * (size_t)(c->n_column + 1), sizeof *c->to);
    c->depth = mem_calloc(n_node, 1);
    c->ends = mem_calloc(n_node, 1);
    uint32_t *queue = mem_calloc(n_node, sizeof *queue), *fail = mem_calloc(n_node, sizeof *fail);
    const int ok = c->to && c->depth && c->ends && queue && fail;
    if (ok) {
        n_node = 1;
        grow(c, t, &n_node);
        close_edges(c, queue, fail);
        *out = c;
    } else {
        cuts_free(c);
    }
    mem_free(queue);
    mem_free(fail);
    return ok ? 0 : ILAB_E_NOMEM;
}

size_t cuts_next(const struct cuts *c, struct sv s, size_t i)
{
    const size_t w = (size_t)c->n_column + 1, n = s.n - i > TOKEN_MAX_WORD_BYTES ? i + TOKEN_MAX_WORD_BYTES : s.n;
    places open = 0; /* where the text may still be cut, back from k */
    uint32_t at = 0;
    for (size_t k = i + 1; k < n; k++) {
        at = c->to[at * w + c->column[(uint8_t)s.p[k - 1]]];
        const uint8_t before = (uint8_t)s.p[k - 1], behind = (uint8_t)s.p[k];
        open = open << 1 | (behind < 0x80 || (before < 0x80 && behind >= 0xc0)); /* never inside a character */
        const int inside = c->ends[at], back = c->depth[at];
        if (inside > 1) open &= ~((((places)1 << (inside - 1)) - 1) << 1);
        const places settled = open >> back;
        if (!settled) continue;
        const uint64_t high = (uint64_t)(settled >> 64);
        return k - (size_t)back - (size_t)(high ? 127 - __builtin_clzll(high) : 63 - __builtin_clzll((uint64_t)settled));
    }
    return n;
}
