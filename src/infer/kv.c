/* kv.c — pages of keys and values with reference counts.
 *
 * A page holds KERN_PANEL positions of all layers and heads (layout: kern.h). In front of its floats lies
 * one cache line with the count.
 *
 * Invariants:
 *  (1) A page with more than one reference is never written: kv_reserve replaces it by a copy first.
 *  (2) Only the page of position n_pos can be shared *and* about to be written; full pages never change again.
 *  (3) Pages are made when first needed and kept for reuse until the pool is freed.
 *
 * Does not know about models, prompts or sampling.  SPDX-License-Identifier: Apache-2.0 */
#include "infer/infer.h"

#include <string.h>

enum { HEAD_FLOATS = 16, KV_MAX_POSITIONS = 1 << 26 };
struct page_head { int n_ref; };
_Static_assert(sizeof(struct page_head) <= HEAD_FLOATS * sizeof(float), "the head fits its line");

struct kv_pool {
    size_t page_floats;
    float **made;        /* [max_page] every page of this pool, for the end */
    float **unused;      /* [max_page] stack of made pages nobody holds */
    int n_made, n_unused, max_page;
};

static struct page_head *head_of(float *page) { return (struct page_head *)(page - HEAD_FLOATS); }
static int pages_for(int n_pos) { return (n_pos + KERN_PANEL - 1) / KERN_PANEL; }

size_t kv_position_bytes(const struct hparams *hp) {
    return (size_t)hp->n_layer * (size_t)hp->n_kv_head * (size_t)hp->head_dim * 2 * sizeof(float);
}

struct kv_pool *kv_pool_new(const struct hparams *hp, int max_positions, ilab_err *e) {
    if (max_positions < 1 || max_positions > KV_MAX_POSITIONS) {
        err_set(e, ILAB_E_LIMIT, "a cache of %d positions is out of range (1 to %d)", max_positions, KV_MAX_POSITIONS);
        return NULL;
    }
    struct kv_pool *p = mem_calloc(1, sizeof *p);
    if (p) {
        p->page_floats = kv_position_bytes(hp) / sizeof(float) * KERN_PANEL;
        p->max_page = pages_for(max_positions);
        p->made = mem_calloc((size_t)p->max_page, sizeof *p->made);
        p->unused = mem_calloc((size_t)p->max_page, sizeof *p->unused);
    }
    if (p && p->made && p->unused) return p;
    kv_pool_free(p);
    err_set(e, ILAB_E_NOMEM, "not enough memory for the key-value cache");
    return NULL;
}

void kv_pool_free(struct kv_pool *p) {
    if (!p) return;
    for (int i = 0; i < p->n_made; i++) mem_free(p->made[i]);
    mem_free(p->made);
    mem_free(p->unused);
    mem_free(p);
}

int kv_pool_unused(const struct kv_pool *p) { return p->max_page - p->n_made + p->n_unused; }

static float *page_take(struct kv_pool *p, ilab_err *e) {
    float *page = NULL;
    if (p->n_unused) {
        page = p->unused[--p->n_unused];
    } else if (p->n_made < p->max_page) {
        float *block = mem_aligned((HEAD_FLOATS + p->page_floats) * sizeof(float));
        if (!block) {
            err_set(e, ILAB_E_NOMEM, "not enough memory for another page of the key-value cache");
            return NULL;
        }
        p->made[p->n_made++] = block;
        page = block + HEAD_FLOATS;
    } else {
        err_set(e, ILAB_E_LIMIT, "the key-value cache is full (%d positions)", p->max_page * KERN_PANEL);
        return NULL;
    }
    head_of(page)->n_ref = 1;
    return page;
}

static void page_drop(struct kv_pool *p, float *page) {
    if (--head_of(page)->n_ref == 0) p->unused[p->n_unused++] = page;
}

static int grow_list(struct kv_seq *s, int n_page, ilab_err *e) {
    size_t cap = (size_t)s->cap_page;
    if (mem_grow((void **)&s->page, &cap, (size_t)n_page, sizeof *s->page))
        return err_set(e, ILAB_E_NOMEM, "not enough memory for a sequence of %d pages", n_page);
    s->cap_page = (int)cap;
    return 0;
}

int kv_reserve(struct kv_pool *p, struct kv_seq *s, int n_pos, ilab_err *e) {
    int need = pages_for(n_pos), at = s->n_pos / KERN_PANEL;
    if (n_pos <= s->n_pos) return 0;
    if (grow_list(s, need, e)) return ILAB_E_NOMEM;
    if (at < s->n_page && head_of(s->page[at])->n_ref > 1) {
        float *copy = page_take(p, e);
        if (!copy) return e ? e->code : ILAB_E_LIMIT;
        memcpy(copy, s->page[at], p->page_floats * sizeof(float));
        page_drop(p, s->page[at]);
        s->page[at] = copy;
    }
    while (s->n_page < need) {
        float *page = page_take(p, e);
        if (!page) return e ? e->code : ILAB_E_LIMIT;
        s->page[s->n_page++] = page;
    }
    return 0;
}

int kv_fork(struct kv_pool *p, struct kv_seq *dst, const struct kv_seq *src, ilab_err *e) {
    (void)p;
    int n = pages_for(src->n_pos);
    memset(dst, 0, sizeof *dst);
    if (n && grow_list(dst, n, e)) return ILAB_E_NOMEM;
    for (int i = 0; i < n; i++) {
        dst->page[i] = src->page[i];
        head_of(src->page[i])->n_ref++;
    }
    dst->n_page = n;
    dst->n_pos = src->n_pos;
    return 0;
}

void kv_truncate(struct kv_pool *p, struct kv_seq *s, int n_pos) {
    if (n_pos < s->n_pos) s->n_pos = n_pos;
    while (s->n_page > pages_for(s->n_pos)) page_drop(p, s->page[--s->n_page]);
}

void kv_release(struct kv_pool *p, struct kv_seq *s) {
    s->n_pos = 0;
    kv_truncate(p, s, 0);
    mem_free(s->page);
    memset(s, 0, sizeof *s);
}
