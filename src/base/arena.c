/* arena.c — memory of one lifetime, in a chain of blocks.
 *
 * head is the oldest block, cur the one that is being filled; blocks behind cur are empty ones kept by
 * a reset.  `used` is computed from the requests alone (not from where blocks end), so that a counting
 * arena and a real one arrive at the same figure.  Bytes below a block's `dirty` mark were handed out
 * once and are cleared again; the rest is still zero from calloc.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <assert.h>
#include <string.h>

#define FIRST_BLOCK_BYTES ((size_t)16 << 10)
#define MAX_BLOCK_BYTES ((size_t)4 << 20) /* larger only for one larger request */

struct arena_block {
    struct arena_block *next;
    size_t cap, used, dirty;
    uint8_t p[];
};

void arena_init(struct arena *a, size_t max_bytes) { *a = (struct arena){ .max_bytes = max_bytes }; }
void arena_init_counting(struct arena *a) { *a = (struct arena){ .max_bytes = SIZE_MAX, .counting = 1 }; }

static void *take(struct arena_block *b, size_t n, size_t align) {
    size_t at = b->used + (-((uintptr_t)b->p + b->used) & (align - 1));
    if (at > b->cap || n > b->cap - at) return NULL;
    if (at < b->dirty) memset(b->p + at, 0, (at + n < b->dirty ? at + n : b->dirty) - at);
    b->used = at + n;
    if (b->dirty < b->used) b->dirty = b->used;
    return b->p + at;
}

static struct arena_block *add_block(struct arena *a, size_t need) {
    size_t cap = a->cur ? a->cur->cap * 2 : FIRST_BLOCK_BYTES, bytes;
    if (cap > MAX_BLOCK_BYTES) cap = MAX_BLOCK_BYTES;
    if (cap < need) cap = need;
    if (ADD_OVERFLOWS(cap, sizeof(struct arena_block), &bytes)) return NULL;
    struct arena_block *b = mem_calloc(1, bytes);
    if (!b) return NULL;
    b->cap = cap;
    struct arena_block **link = a->cur ? &a->cur->next : &a->head;
    b->next = *link;
    *link = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t n, size_t align) {
    assert(align && !(align & (align - 1)));
    size_t start, used, need;
    if (ADD_OVERFLOWS(a->used, align - 1, &start)) return NULL;
    start &= ~(align - 1);
    if (ADD_OVERFLOWS(start, n, &used) || used > a->max_bytes || ADD_OVERFLOWS(n, align, &need)) return NULL;
    void *p = NULL;
    if (!a->counting) {
        struct arena_block *b = a->cur;
        while (b && !(p = take(b, n, align))) b = b->next;
        if (!p) {
            if (!(b = add_block(a, need))) return NULL;
            p = take(b, n, align);
        }
        a->cur = b;
    }
    a->used = used;
    if (a->peak < used) a->peak = used;
    return p;
}

char *arena_strndup(struct arena *a, const char *p, size_t n) {
    size_t bytes;
    if (ADD_OVERFLOWS(n, (size_t)1, &bytes)) return NULL;
    char *s = arena_alloc(a, bytes, 1);
    if (s && n) memcpy(s, p, n);
    return s;
}

void arena_reset(struct arena *a) {
    for (struct arena_block *b = a->head; b; b = b->next) b->used = 0;
    a->cur = a->head;
    a->used = 0;
}

void arena_release(struct arena *a) {
    for (struct arena_block *b = a->head, *next; b; b = next) {
        next = b->next;
        mem_free(b);
    }
    a->head = a->cur = NULL;
    a->used = 0;
}
