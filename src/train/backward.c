/* backward.c — gradients of one layer after the other, mirrored from layer_forward (docs/MODEL.md has the formulas).
 *
 * Invariants: a gradient of a weight is one chain of additions over tokens in ascending order that continues what is
 * there already (an adapter's: one a span, tape_spans); a gradient of an activation belongs to its row alone. So threads and cuts do not change a bit.
 * Nothing is computed that no trained weight needs: not below the lowest adapted layer, not the weights of a frozen base.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/tape.h"

#include <string.h>

void pool_tasks(struct pool *p, pool_task_fn *fn, void *ud, int n)
{
    if (p && n > 1) pool_run(p, fn, ud, n);
    else for (int i = 0; i < n; i++) fn(ud, i, 0);
}

/* ---- linear ---- */

/* dx (+)= dy W, as the path says. */
static void input_backward(struct tape *t, const struct tensor *w, const float *dy, int n_row, float *dx, int load)
{
    const int64_t in = w->dim[0], out = w->dim[1];
    gemm_run(t->g, &(struct gemm){ .n_row = n_row, .n_col = in, .n_k = out, .c = dx, .c_row = in, .load_c = load, .a = dy, .a_row = out, .a_col = 1,
                                   .form = GEMM_B_TENSOR_ROWS, .t = w, .act = t->path->backward });
}

/* dw[out,in] += dyᵀ x over n rows. */
static void weight_backward(struct tape *t, float *dw, const float *dy, int64_t out, const float *x, int64_t in, int n_row)
{
    gemm_run(t->g, &(struct gemm){ .n_row = out, .n_col = in, .n_k = n_row, .c = dw, .c_row = in, .load_c = 1,
                                   .a = dy, .a_row = 1, .a_col = out, .form = GEMM_B_ROWS, .b = x, .b_row = in });
}

/* The same for an adapter: each row adds to the gradient of its span. row (NULL: 0, 1 …): the rows' places in the batch, ascending. */
static void adapter_backward(struct tape *t, const float *w, const float *dy, int64_t out, const float *x, int64_t in, const int32_t *row, int n_row)
{
    for (int span = 0, from = 0, to; from < n_row && span < t->n_span; span++, from = to) {
        const int64_t end = t->span_end[span] - t->row0;
        if (row) for (to = from; to < n_row && row[to] < end; to++) {}
        else to = end < n_row ? (int)(end > from ? end : from) : n_row;
        if (to > from) weight_backward(t, t->span_grad[span] + (w - t->params), dy + from * out, out, x + from * in, in, to - from);
    }
}

/* h = s·x Aᵀ: dB += dyᵀ h; dh = s·dy B; dA += dhᵀ x; dx += dh A. Parts that share A add to one dh. Dropout: x is what it left, and
 * dh A falls out alike. what.kind: whose A it is. */
static void lora_backward(struct tape *t, const struct lora *lo, struct lora_dropped what, int more, int shares, const float *x, const float *h,
                          const float *dy, int n_row, float *dx)
{
    const int matrix = what.matrix;
    const struct lora_drop *d = &t->ad->drop;
    const int64_t in = lo->n_in, out = lo->n_out, rank = lo->rank;
    float *a = lo->a + matrix * rank * in, *b = lo->b + matrix * out * rank;
    adapter_backward(t, b, dy, out, h, rank, what.row, n_row);
    gemm_run(t->g, &(struct gemm){ .n_row = n_row, .n_col = rank, .n_k = out, .c = t->dh, .c_row = rank, .load_c = shares, .a = dy, .a_row = out,
                                   .a_col = 1, .form = GEMM_B_ROWS, .b = b, .b_row = rank });
    if (more) return;
    gemm_kern(t->g)->scale(t->dh, lo->scale, n_row * rank);
    if (d->x) lora_drop(t->g, d, what, x, NULL, d->x, n_row, in);
    adapter_backward(t, a, t->dh, rank, d->x ? d->x : x, in, what.row, n_row);
    if (!dx) return;
    gemm_run(t->g, &(struct gemm){ .n_row = n_row, .n_col = in, .n_k = rank, .c = d->x ? t->drop_dx : dx, .c_row = in, .load_c = !d->x, .a = t->dh,
                                   .a_row = rank, .a_col = 1, .form = GEMM_B_ROWS, .b = a, .b_row = in });
    if (!d->x) return;
    lora_drop(t->g, d, what, t->drop_dx, NULL, t->drop_dx, n_row, in);
    gemm_kern(t->g)->add(dx, t->drop_dx, n_row * in);
}

/* Does a later part share this one's A? */
static int more_parts(const struct lora *lo, int kind)
{
    for (int k = kind + 1; k < LIN_COUNT; k++)
        if (lo[k].on && lo[k].a_of == lo[kind].a_of) return 1;
    return 0;
}

void linear_backward(struct tape *t, const struct tensor *w, const struct lora *lo, int kind, const float *x, const float *h,
                     const float *dy, int n_row, float *dx, int load)
{
    if (tape_full(t)) weight_backward(t, tape_grad(t, w->data), dy, w->dim[1], x, w->dim[0], n_row);
    if (dx) input_backward(t, w, dy, n_row, dx, load);
    if (lo && lo[kind].on)
        lora_backward(t, &lo[kind], (struct lora_dropped){ t->layer, lo[kind].a_of, 0, NULL }, more_parts(lo, kind), lo[kind].a_of != kind, x, h, dy, n_row, dx);
}

void expert_backward(struct tape *t, const struct tensor *w, const struct lora *lo, int expert, const int32_t *row, const float *x, const float *h,
                     const float *dy, int n_row, float *dx, int load)
{
    if (dx) input_backward(t, w, dy, n_row, dx, load);
    if (lo && lo->on) lora_backward(t, lo, (struct lora_dropped){ t->layer, lo->a_of, expert, row }, 0, 0, x, h, dy, n_row, dx);
}

void kind_backward(const struct layer_back *l, int kind, const float *x, const float *dy, float *dx, int load)
{
    linear_backward(l->t, &l->w->lin[kind].w, l->lo, kind, x, l->lo ? l->a->lora_h[l->lo[kind].a_of] : NULL, dy, l->n_row, dx, load);
}

int kinds_trained(const struct layer_back *l, int first, int last)
{
    for (int k = first; k <= last && l->lo; k++)
        if (l->lo[k].on) return 1;
    return !l->lo;
}

/* ---- embedding ---- */

enum { EMBED_OWNERS = 16 };
struct embed_job { const struct tape *t; const struct batch *b; float *grad; };
/* Rows of the table are dealt to EMBED_OWNERS tasks; each walks all tokens in order and adds to its own rows. */
static void embed_task(void *ud, int i_task, int i_thread)
{
    (void)i_thread;
    const struct embed_job *j = ud;
    const int64_t c = j->t->m->hp.n_embd;
    const float scale = j->t->m->hp.embedding_scale == 0 ? 1.0f : j->t->m->hp.embedding_scale;
    for (int r = 0; r < j->b->n_row; r++)
        if (j->b->id[r] % EMBED_OWNERS == i_task) gemm_kern(j->t->g)->axpy(j->grad + j->b->id[r] * c, scale, j->t->dx + r * c, c);
}

struct finish_job { const struct tape *t; float *grad; };
static void finish_rows(void *ud, int r0, int r1)
{
    const struct finish_job *j = ud;
    const int64_t c = j->t->m->hp.n_embd;
    gemm_kern(j->t->g)->add(j->grad + r0 * c, j->t->lookup_grad + r0 * c, (r1 - r0) * c);
}

enum { SUM_BLOCK = 1 << 14 /* floats of a task */ };
static void sum_spans(void *ud, int i_task, int i_thread)
{
    (void)i_thread;
    const struct tape *t = ud;
    const size_t at = (size_t)i_task * SUM_BLOCK, n = t->n_params - at < SUM_BLOCK ? t->n_params - at : SUM_BLOCK;
    for (int step = 1; step < t->n_span; step *= 2)
        for (int i = 0; i + step < t->n_span; i += 2 * step) gemm_kern(t->g)->add(t->span_grad[i] + at, t->span_grad[i + step] + at, (int64_t)n);
}

void tape_finish_grad(struct tape *t)
{
    if (t->n_span > 1) pool_tasks(gemm_pool(t->g), sum_spans, t, (int)((t->n_params + SUM_BLOCK - 1) / SUM_BLOCK));
    if (!t->lookup_grad) return;
    struct finish_job j = { t, tape_grad(t, t->m->embedding.w.data) };
    rows_run(gemm_pool(t->g), finish_rows, &j, t->m->hp.n_vocab);
    memset(t->lookup_grad, 0, (size_t)t->m->hp.n_vocab * (size_t)t->m->hp.n_embd * sizeof(float));
}

/* ---- a layer ---- */

void layer_backward(struct tape *t, const struct batch *b, int layer)
{
    t->layer = layer;
    const struct layer *w = &t->m->layer[layer];
    const struct layer_acts *a = tape_acts(t, layer);
    const struct layer_back l = { t, b, w, a, t->ad ? t->ad->lora + (size_t)layer * ADAPT_COUNT : NULL, layer, b->n_row };
    /* What must be known, from the layer's input upwards. */
    const int want_input = tape_full(t) || layer > t->lowest, want_qkv = want_input || kinds_trained(&l, LIN_Q, LIN_V),
              want_mid = want_qkv || kinds_trained(&l, LIN_O, LIN_O);
    feed_forward_backward(&l, branch_gradient(&l, w->ffn_post_norm, a->ffn_branch, a->inv_post2), want_mid);
    if (!want_mid) return;
    input_norm_backward(&l, w->ffn_norm, a->x_mid, a->inv_rms2);
    attention_backward(&l, branch_gradient(&l, w->attn_post_norm, a->attn_branch, a->inv_post1), want_qkv, want_input);
    if (want_input) input_norm_backward(&l, w->attn_norm, a->x, a->inv_rms1);
}

void layers_backward(struct tape *t, const struct batch *b)
{
    for (int l = t->m->hp.n_layer - 1; l >= t->lowest; l--) {
        pager_enter(t->o.pager, l, b->n_row, PAGER_DOWN);
        layer_restore(t, b, l);
        layer_backward(t, b, l);
        pager_leave(t->o.pager, l, b->n_row, PAGER_DOWN);
    }
    if (!tape_full(t)) return;
    struct embed_job j = { t, b, t->lookup_grad ? t->lookup_grad : tape_grad(t, t->m->embedding.w.data) };
    pool_tasks(gemm_pool(t->g), embed_task, &j, EMBED_OWNERS);
}
