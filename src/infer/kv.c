/* kv.c — pages of keys and values with reference counts.
 *
 * A page holds KERN_PANEL positions of all layers and heads (layout: kern.h). Pages are made in slabs of ATTN_BLOCK positions; in
 * a slab the parts of one layer and head stand next to each other (attn_seq.step apart from those of the next), because that is
 * how they are read: a layer's pass over a sequence whose pages were taken one after the other walks through memory in order.
 * A slab becomes resident as its pages are written, in huge pages where the system has them.
 *
 * Invariants:
 *  (1) A page with more than one reference is never written: kv_reserve replaces it by a copy first.
 *  (2) Only the page of position n_pos can be shared *and* about to be written; full pages never change again.
 *  (3) Slabs are made when first needed and kept for reuse until the pool is freed.
 *
 * Does not know about models, prompts or sampling.  SPDX-License-Identifier: Apache-2.0 */
#include "infer/infer.h"

#include <string.h>
#include <sys/mman.h>

enum { KV_MAX_POSITIONS = 1 << 26, SLAB_PAGES = ATTN_BLOCK / KERN_PANEL };
enum { HUGE_PAGE = 1 << 21 };
/* KV in F32 of a whole context up to here stays F32: exact, and reading it costs nothing beside the rest. */
#define KV_F32_MAX_BYTES 64e6
#define KV_UNASKED_BYTES 16e6 /* so little is there; to ask the system takes a tenth of a millisecond, and small models get thousands of requests */

static const struct { const char *name; int qtype; } KV_TYPES[KV_TYPE_COUNT] = {
    [KV_DEFAULT] = { "auto", QT_F32 }, [KV_F32] = { "f32", QT_F32 }, [KV_F16] = { "f16", QT_F16 },
    [KV_Q8_0] = { "q8_0", QT_Q8_0 }, [KV_Q4_0] = { "q4_0", QT_Q4_0 },
};

int kv_type_by_name(const char *name) {
    for (int i = 0; i < KV_TYPE_COUNT; i++)
        if (!strcmp(KV_TYPES[i].name, name)) return i;
    return -1;
}

const char *kv_type_name(int kv_type) { return kv_type >= 0 && kv_type < KV_TYPE_COUNT ? KV_TYPES[kv_type].name : "?"; }

/* It follows from the model alone, so that a model's answers do not depend on the context that was asked for. */
int kv_type_of(const struct hparams *hp, int kv_type) {
    if (kv_type > KV_DEFAULT && kv_type < KV_TYPE_COUNT) return kv_type;
    return (double)kv_position_bytes(hp, KV_F32) * hp->n_ctx > KV_F32_MAX_BYTES ? KV_F16 : KV_F32;
}

static struct attn_shape shape_of(const struct hparams *hp, int kv_type) {
    return (struct attn_shape){ .n_head = hp->n_head, .n_kv_head = hp->n_kv_head, .head_dim = hp->head_dim,
                                .kv_type = KV_TYPES[kv_type].qtype };
}

size_t kv_position_bytes(const struct hparams *hp, int kv_type) {
    const struct attn_shape shape = shape_of(hp, kv_type_of(hp, kv_type));
    return (size_t)hp->n_layer * attn_page_bytes(&shape) / KERN_PANEL;
}

struct kv_pool {
    int type;            /* enum kv_type, not KV_DEFAULT */
    size_t part;         /* bytes of one layer and head in a page */
    size_t n_part;       /* layers × heads */
    size_t step;         /* bytes from one layer and head to the next in a slab */
    int slab_pages, max_page;
    void **slab;         /* [n_slab] as allocated */
    char **first;        /* [n_slab] its first page */
    int *n_ref;          /* [max_page] */
    int *unused;         /* [max_page] stack of made pages nobody holds, so that pages come out in order */
    int n_slab, n_made, n_unused;
};

int kv_room(const struct hparams *hp, int kv_type, int64_t n_pos, size_t have, ilab_err *e) {
    const int type = kv_type_of(hp, kv_type);
    const double each = (double)kv_position_bytes(hp, type), need = each * (double)n_pos;
    if (need <= KV_UNASKED_BYTES || hp->encoder) return 0;
    const size_t left_now = mem_available(); /* 0: the system does not tell */
    const double room = (double)left_now + (double)have;
    if (need <= room || !left_now) return 0;
    char bytes[32], left[32], other[96] = "";
    format_bytes(bytes, sizeof bytes, need);
    format_bytes(left, sizeof left, room);
    for (int t = type + 1; t < KV_TYPE_COUNT; t++) { /* each is narrower than the one before */
        const double narrow = (double)kv_position_bytes(hp, t) * (double)n_pos;
        if (narrow > room) continue;
        char human[32];
        format_bytes(human, sizeof human, narrow);
        snprintf(other, sizeof other, ", or all of them in %s (%s: --kv-type %s)", qtype_name((uint32_t)KV_TYPES[t].qtype), human, KV_TYPES[t].name);
        break;
    }
    return err_set(e, ILAB_E_NOMEM, "not enough memory for %lld tokens: their keys and values take %s in %s, %s are free. %lld tokens would fit%s",
                   (long long)n_pos, bytes, qtype_name((uint32_t)KV_TYPES[type].qtype), left, (long long)(room / each), other);
}

static int pages_for(int n_pos) { return (n_pos + KERN_PANEL - 1) / KERN_PANEL; }

struct kv_pool *kv_pool_new(const struct hparams *hp, int kv_type, int max_positions, ilab_err *e) {
    if (max_positions < 1 || max_positions > KV_MAX_POSITIONS) {
        err_set(e, ILAB_E_LIMIT, "a cache of %d positions is out of range (1 to %d)", max_positions, KV_MAX_POSITIONS);
        return NULL;
    }
    struct kv_pool *p = mem_calloc(1, sizeof *p);
    if (p) {
        p->type = kv_type_of(hp, kv_type);
        const struct attn_shape shape = shape_of(hp, p->type);
        p->part = attn_page_bytes(&shape) / (size_t)hp->n_kv_head;
        p->n_part = (size_t)hp->n_layer * (size_t)hp->n_kv_head;
        p->max_page = pages_for(max_positions);
        p->slab_pages = p->max_page < SLAB_PAGES ? p->max_page : SLAB_PAGES;
        p->step = p->part * (size_t)p->slab_pages;
        size_t n_slab = (size_t)(p->max_page / p->slab_pages + 1);
        p->slab = mem_calloc(n_slab, sizeof *p->slab);
        p->first = mem_calloc(n_slab, sizeof *p->first);
        p->n_ref = mem_calloc((size_t)p->max_page, sizeof *p->n_ref);
        p->unused = mem_calloc((size_t)p->max_page, sizeof *p->unused);
    }
    if (p && p->slab && p->first && p->n_ref && p->unused) return p;
    kv_pool_free(p);
    err_set(e, ILAB_E_NOMEM, "not enough memory for the key-value cache");
    return NULL;
}

void kv_pool_free(struct kv_pool *p) {
    if (!p) return;
    for (int i = 0; i < p->n_slab; i++) mem_free(p->slab[i]);
    mem_free(p->slab);
    mem_free(p->first);
    mem_free(p->n_ref);
    mem_free(p->unused);
    mem_free(p);
}

size_t kv_pool_bytes(const struct kv_pool *p) { return (size_t)p->n_slab * p->step * p->n_part; }

int kv_pool_unused(const struct kv_pool *p) { return p->max_page - p->n_made + p->n_unused; }

void kv_pool_bind(const struct kv_pool *p, struct batch *b) {
    b->kv_type = KV_TYPES[p->type].qtype;
    b->kv_step = p->step;
}

static char *page_at(const struct kv_pool *p, int id) {
    return p->first[id / p->slab_pages] + (size_t)(id % p->slab_pages) * p->part;
}

/* Fresh zero pages of the system, not touched here: mem_aligned would write them all. */
static int slab_make(struct kv_pool *p, ilab_err *e) {
    const size_t bytes = p->step * p->n_part, align = bytes >= HUGE_PAGE ? HUGE_PAGE : 64;
    size_t padded;
    const size_t left = bytes > KV_UNASKED_BYTES ? mem_available() : 0; /* the system promises more than it has, and ends the program later */
    char *block = ADD_OVERFLOWS(bytes, align, &padded) || (left && bytes > left) ? NULL : mem_calloc(padded, 1);
    if (!block) {
        char human[32];
        format_bytes(human, sizeof human, (double)bytes);
        return err_set(e, ILAB_E_NOMEM, "not enough memory for %d more positions of the key-value cache (%s): use a smaller context or a narrower type of it",
                       p->slab_pages * KERN_PANEL, human);
    }
    char *first = block + (align - (uintptr_t)block % align) % align;
    if (align == HUGE_PAGE) (void)madvise(first, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* advice only */
    p->slab[p->n_slab] = block;
    p->first[p->n_slab++] = first;
    const int made = p->max_page - p->n_made < p->slab_pages ? p->max_page - p->n_made : p->slab_pages;
    for (int i = made - 1; i >= 0; i--) p->unused[p->n_unused++] = p->n_made + i;
    p->n_made += made;
    return 0;
}

/* A page's id, or a negative code. */
static int page_take(struct kv_pool *p, ilab_err *e) {
    if (!p->n_unused) {
        if (p->n_made == p->max_page) return err_set(e, ILAB_E_LIMIT, "the key-value cache is full (%d positions)", p->max_page * KERN_PANEL);
        int rc = slab_make(p, e);
        if (rc) return rc;
    }
    int id = p->unused[--p->n_unused];
    p->n_ref[id] = 1;
    return id;
}

static void page_drop(struct kv_pool *p, int id) {
    if (--p->n_ref[id] == 0) p->unused[p->n_unused++] = id;
}

static void page_copy(const struct kv_pool *p, int to, int from) {
    char *dst = page_at(p, to);
    const char *src = page_at(p, from);
    for (size_t i = 0; i < p->n_part; i++) memcpy(dst + i * p->step, src + i * p->step, p->part);
}

static int grow_list(struct kv_seq *s, int n_page, ilab_err *e) {
    size_t cap = (size_t)s->cap_page, cap_id = cap;
    if (mem_grow((void **)&s->id, &cap_id, (size_t)n_page, sizeof *s->id) || mem_grow((void **)&s->page, &cap, (size_t)n_page, sizeof *s->page))
        return err_set(e, ILAB_E_NOMEM, "not enough memory for a sequence of %d pages", n_page);
    s->cap_page = (int)cap;
    return 0;
}

int kv_reserve(struct kv_pool *p, struct kv_seq *s, int n_pos, ilab_err *e) {
    int need = pages_for(n_pos), at = s->n_pos / KERN_PANEL;
    if (n_pos <= s->n_pos) return 0;
    if (grow_list(s, need, e)) return ILAB_E_NOMEM;
    if (at < s->n_page && p->n_ref[s->id[at]] > 1) {
        int copy = page_take(p, e);
        if (copy < 0) return copy;
        page_copy(p, copy, s->id[at]);
        page_drop(p, s->id[at]);
        s->id[at] = copy;
        s->page[at] = page_at(p, copy);
    }
    while (s->n_page < need) {
        int id = page_take(p, e);
        if (id < 0) return id;
        s->id[s->n_page] = id;
        s->page[s->n_page++] = page_at(p, id);
    }
    return 0;
}

int kv_fork(struct kv_pool *p, struct kv_seq *dst, const struct kv_seq *src, ilab_err *e) {
    int n = pages_for(src->n_pos);
    memset(dst, 0, sizeof *dst);
    if (n && grow_list(dst, n, e)) {
        kv_release(p, dst);
        return ILAB_E_NOMEM;
    }
    for (int i = 0; i < n; i++) {
        dst->id[i] = src->id[i];
        dst->page[i] = src->page[i];
        p->n_ref[src->id[i]]++;
    }
    dst->n_page = n;
    dst->n_pos = src->n_pos;
    return 0;
}

void kv_truncate(struct kv_pool *p, struct kv_seq *s, int n_pos) {
    if (n_pos < s->n_pos) s->n_pos = n_pos;
    while (s->n_page > pages_for(s->n_pos)) page_drop(p, s->id[--s->n_page]);
}

void kv_release(struct kv_pool *p, struct kv_seq *s) {
    s->n_pos = 0;
    kv_truncate(p, s, 0);
    mem_free(s->page);
    mem_free(s->id);
    memset(s, 0, sizeof *s);
}
