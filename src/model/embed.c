/* embed.c — vectors of texts by encoder models (BERT: Devlin et al. 2019; pooling: Reimers, Gurevych 2019).
 *
 * Keys and values of one layer live in pages that all layers use in turn. Texts are worked on together up to EMBED_ROWS rows;
 * rows do not depend on their company.  SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"
#include "model/forward.h"

#include <math.h>
#include <string.h>

enum { EMBED_ROWS = 512, EMBED_MAX_IDS = 1 << 20 };

struct embedder {
    struct gemm_ctx *g;
    struct model *m;
    struct arena mem;
    struct layer_acts acts;
    struct segment *seg;
    void **page;
    int max_row, max_seg;
};

/* Lays out the buffers; on a counting arena only their size. */
static void plan(struct embedder *s)
{
    const struct hparams *hp = &s->m->hp;
    const struct attn_shape shape = layer_attn_shape(s->m, 0, QT_F32);
    const size_t page = attn_page_bytes(&shape) / sizeof(float);
    const size_t n_page = (size_t)s->max_row / KERN_PANEL + (size_t)s->max_seg + 1;
    layer_acts_plan_forward(&s->acts, hp, s->max_row, 0, &s->mem);
    s->seg = arena_alloc(&s->mem, (size_t)s->max_seg * sizeof *s->seg, 64);
    s->page = arena_alloc(&s->mem, n_page * sizeof *s->page, 64);
    float *all = arena_alloc(&s->mem, n_page * page * sizeof *all, 64);
    for (size_t i = 0; all && i < n_page; i++) s->page[i] = all + i * page;
}

static int embedder_init(struct embedder *s, ilab_err *e)
{
    arena_init_counting(&s->mem);
    plan(s);
    const size_t need = s->mem.used;
    arena_release(&s->mem);
    arena_init(&s->mem, need + (1 << 12));
    if (!arena_alloc(&s->mem, need + (1 << 12), 1)) return err_set(e, ILAB_E_NOMEM, "no memory for the buffers of %d tokens", s->max_row);
    arena_reset(&s->mem); /* one block: the plan cannot fail half-way */
    plan(s);
    return 0;
}

/* n_seq texts, at most max_seg with at most max_row ids in all → acts.x. */
static int run(struct embedder *s, const int32_t *id, const int *n_id, int n_seq, ilab_err *e)
{
    struct batch b = { .id = id, .seg = s->seg };
    void **page = s->page;
    for (int i = 0; i < n_seq; i++) {
        s->seg[b.n_seg++] = (struct segment){ b.n_row, n_id[i], 0, page };
        b.n_row += n_id[i];
        page += (n_id[i] + KERN_PANEL - 1) / KERN_PANEL;
    }
    embed_rows(gemm_kern(s->g), s->m, &b, 0, b.n_row, s->acts.x);
    for (int l = 0; l < s->m->hp.n_layer; l++) layer_forward(s->g, s->m, NULL, l, 0, &b, &s->acts, s->acts.x);
    return gemm_failed(s->g) ? err_set(e, ILAB_E_NOMEM, "no memory for attention over %d tokens", b.n_row) : 0;
}

static int check_ids(const struct model *m, const int32_t *id, const int *n_id, int n_seq, int *longest, int *total, ilab_err *e)
{
    *longest = *total = 0;
    if (!m->hp.encoder) return err_set(e, ILAB_E_INVALID, "'%s' (%s) is no embedding model", m->name, m->arch->name);
    for (int i = 0; i < n_seq; i++) {
        if (n_id[i] < 1 || n_id[i] > EMBED_MAX_IDS) return err_set(e, ILAB_E_LIMIT, "text %d has %d tokens, must be 1 to %d", i, n_id[i], EMBED_MAX_IDS);
        if (n_id[i] > *longest) *longest = n_id[i];
        for (int k = 0; k < n_id[i]; k++, id++)
            if (*id < 0 || *id >= m->hp.n_vocab) return err_set(e, ILAB_E_INVALID, "token id %d, the vocabulary has %d", (int)*id, m->hp.n_vocab);
        *total = *total > EMBED_ROWS ? *total : *total + n_id[i];
    }
    return 0;
}

/* Mean, first or last row, made a vector of length 1. */
static void pool_rows(const struct kern *k, const struct hparams *hp, const float *x, int n, float *out)
{
    const int c = hp->n_embd, at = hp->pooling == POOLING_LAST ? n - 1 : 0;
    memset(out, 0, (size_t)c * sizeof *out);
    if (hp->pooling == POOLING_CLS || hp->pooling == POOLING_LAST) memcpy(out, x + (size_t)at * (size_t)c, (size_t)c * sizeof *out);
    else
        for (int i = 0; i < n; i++) k->axpy(out, 1.0f / (float)n, x + (size_t)i * (size_t)c, c);
    const double size = sqrt(k->sum_squares(out, c));
    if (size > 0) k->scale(out, (float)(1 / size), c);
}

int model_embed(struct gemm_ctx *g, struct model *m, const int32_t *id, const int *n_id, int n_seq, float *out, ilab_err *e)
{
    struct embedder s = { .g = g, .m = m };
    const size_t c = (size_t)m->hp.n_embd;
    int longest, total, rc = check_ids(m, id, n_id, n_seq, &longest, &total, e);
    if (rc || n_seq < 1) return rc;
    s.max_row = longest > EMBED_ROWS ? longest : total < EMBED_ROWS ? total : EMBED_ROWS;
    s.max_seg = n_seq < s.max_row ? n_seq : s.max_row;
    if ((rc = model_rope_reserve(m, longest, e))) return rc;
    rc = embedder_init(&s, e);
    for (int i = 0, n; i < n_seq && !rc; i += n) {
        int rows = 0;
        for (n = 0; i + n < n_seq && n < s.max_seg && rows + n_id[i + n] <= s.max_row; n++) rows += n_id[i + n];
        if ((rc = run(&s, id, n_id + i, n, e))) break;
        const float *x = s.acts.x;
        for (int k = 0; k < n; k++) {
            pool_rows(gemm_kern(g), &m->hp, x, n_id[i + k], out + (size_t)(i + k) * c);
            x += (size_t)n_id[i + k] * c;
        }
        id += rows;
    }
    arena_release(&s.mem);
    return rc;
}

int model_embed_tokens(struct gemm_ctx *g, struct model *m, const int32_t *id, int n_id, float *out, ilab_err *e)
{
    struct embedder s = { .g = g, .m = m, .max_row = n_id, .max_seg = 1 };
    int longest, total, rc = check_ids(m, id, &n_id, 1, &longest, &total, e);
    if (rc || (rc = model_rope_reserve(m, n_id, e))) return rc;
    if (!(rc = embedder_init(&s, e)) && !(rc = run(&s, id, &n_id, 1, e)))
        memcpy(out, s.acts.x, (size_t)n_id * (size_t)m->hp.n_embd * sizeof *out);
    arena_release(&s.mem);
    return rc;
}
