/* heap.h — the heap of neighbouring pairs that BPE merges: the smallest key first, of equal keys the leftmost.
 *
 * A pair whose sides have changed since stays in the heap; its owner knows it by the tag.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TOKEN_HEAP_H
#define ILAB_TOKEN_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct candidate { int32_t key, pos, tag[2]; };

static inline int candidate_before(struct candidate a, struct candidate b) { return a.key < b.key || (a.key == b.key && a.pos < b.pos); }

static inline void heap_push(struct candidate *h, size_t *n, struct candidate c)
{
    size_t i = (*n)++;

    for (; i && candidate_before(c, h[(i - 1) / 2]); i = (i - 1) / 2)
        h[i] = h[(i - 1) / 2];
    h[i] = c;
}

static inline struct candidate heap_pop(struct candidate *h, size_t *n)
{
    struct candidate top = h[0], last = h[--*n];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < *n) {
        child += child + 1 < *n && candidate_before(h[child + 1], h[child]);
        if (!candidate_before(h[child], last))
            break;
        h[i] = h[child];
        i = child;
    }
    h[i] = last;
    return top;
}

#endif
