/* backward.c — gradients of one layer after the other, mirrored from layer_forward (docs/MODEL.md has the formulas).
 *
 * Invariants: a gradient of a weight is one chain of additions over tokens in ascending order that continues what is
 * there already; a gradient of an activation belongs to its row alone. So threads and cuts do not change a bit.
 * Nothing is computed that no trained weight needs: not below the lowest adapted layer, not the weights of a frozen base.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/tape.h"

#include <string.h>

static void pool_tasks(struct pool *p, pool_task_fn *fn, void *ud, int n)
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

void linear_backward(struct tape *t, const struct linear *l, const struct lora *lo, const float *x, const float *h,
                     const float *dy, int n_row, float *dx, int load)
{
    const int64_t in = l->w.dim[0], out = l->w.dim[1], rank = t->rank;
    if (tape_full(t)) weight_backward(t, tape_grad(t, l->w.data), dy, out, x, in, n_row);
    if (dx) input_backward(t, &l->w, dy, n_row, dx, load);
    if (!lo || !lo->on) return;
    /* h = s·x Aᵀ: dB += dyᵀ h; dh = s·dy B; dA += dhᵀ x; dx += dh A */
    weight_backward(t, tape_grad(t, lo->b), dy, out, h, rank, n_row);
    gemm_run(t->g, &(struct gemm){ .n_row = n_row, .n_col = rank, .n_k = out, .c = t->dh, .c_row = rank, .a = dy, .a_row = out,
                                   .a_col = 1, .form = GEMM_B_ROWS, .b = lo->b, .b_row = rank });
    gemm_kern(t->g)->scale(t->dh, t->ad->scale, n_row * rank);
    weight_backward(t, tape_grad(t, lo->a), t->dh, rank, x, in, n_row);
    if (dx)
        gemm_run(t->g, &(struct gemm){ .n_row = n_row, .n_col = in, .n_k = rank, .c = dx, .c_row = in, .load_c = 1, .a = t->dh,
                                       .a_row = rank, .a_col = 1, .form = GEMM_B_ROWS, .b = lo->a, .b_row = in });
}

/* ---- norms ---- */

enum { GAIN_COLUMNS = 32 };
struct gain_job { float *dw; const float *dy, *x; const int32_t *row; const float *inv_rms; int n, c; };
static void gain_task(void *ud, int i_task, int i_thread)
{
    (void)i_thread;
    const struct gain_job *j = ud;
    const int c0 = i_task * GAIN_COLUMNS, n_col = j->c - c0 < GAIN_COLUMNS ? j->c - c0 : GAIN_COLUMNS;
    float sum[GAIN_COLUMNS] = { 0 };
    memcpy(sum, j->dw + c0, (size_t)n_col * sizeof(float));
    for (int i = 0; i < j->n; i++) {
        const float *dy = j->dy + (size_t)i * (size_t)j->c + c0, inv = j->inv_rms[i];
        const float *x = j->x + (size_t)(j->row ? j->row[i] : i) * (size_t)j->c + c0;
        if (n_col == GAIN_COLUMNS)
            for (int k = 0; k < GAIN_COLUMNS; k++) sum[k] += dy[k] * (x[k] * inv); /* constant length: vectorised */
        else
            for (int k = 0; k < n_col; k++) sum[k] += dy[k] * (x[k] * inv);
    }
    memcpy(j->dw + c0, sum, (size_t)n_col * sizeof(float));
}

void gain_backward(struct tape *t, float *dw, const float *dy, const float *x, const int32_t *row, const float *inv_rms, int n)
{
    struct gain_job j = { dw, dy, x, row, inv_rms, n, t->m->hp.n_embd };
    pool_tasks(gemm_pool(t->g), gain_task, &j, (j.c + GAIN_COLUMNS - 1) / GAIN_COLUMNS);
}

struct norm_job { const struct tape *t; const float *x, *w, *inv_rms; };
static void norm_rows(void *ud, int r0, int r1)
{
    const struct norm_job *j = ud;
    const int c = j->t->m->hp.n_embd;
    size_t at = (size_t)r0 * (size_t)c;
    for (int r = r0; r < r1; r++, at += (size_t)c)
        gemm_kern(j->t->g)->rmsnorm_back(j->t->dx + at, NULL, j->t->dnorm + at, j->x + at, j->w, j->inv_rms[r], c);
}

/* t->dx += through the norm, from t->dnorm. */
static void norm_backward(struct tape *t, const float *w, const float *x, const float *inv_rms, int n_row)
{
    struct norm_job j = { t, x, w, inv_rms };
    if (tape_full(t)) gain_backward(t, tape_grad(t, w), t->dnorm, x, NULL, inv_rms, n_row);
    rows_run(gemm_pool(t->g), norm_rows, &j, n_row);
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

void tape_finish_grad(struct tape *t)
{
    if (!t->lookup_grad) return;
    struct finish_job j = { t, tape_grad(t, t->m->embedding.w.data) };
    rows_run(gemm_pool(t->g), finish_rows, &j, t->m->hp.n_vocab);
    memset(t->lookup_grad, 0, (size_t)t->m->hp.n_vocab * (size_t)t->m->hp.n_embd * sizeof(float));
}

/* ---- a layer ---- */

struct act_job { const struct tape *t; const struct layer_acts *a; };
static void act_rows(void *ud, int r0, int r1)
{
    const struct act_job *j = ud;
    const int64_t f = j->t->m->hp.n_ff, at = r0 * f;
    gemm_kern(j->t->g)->silu_mul_back(j->t->dgate + at, j->t->dup + at, j->t->dact + at, j->a->gate + at, j->a->up + at, (r1 - r0) * f);
}

struct rope_job { const struct tape *t; const struct batch *b; int layer; };
static void rope_rows(void *ud, int r0, int r1)
{
    const struct rope_job *j = ud;
    const struct hparams *hp = &j->t->m->hp;
    const size_t nq = (size_t)hp->n_head * (size_t)hp->head_dim, nkv = (size_t)hp->n_kv_head * (size_t)hp->head_dim;
    const struct kern *k = gemm_kern(j->t->g);
    void (*rotate)(float *, int, int, int, const float *, int) = hp->rope == ROPE_HALVES ? k->rope_halves : k->rope;
    int s = 0;
    for (int r = r0; r < r1; r++) {
        while (s < j->b->n_seg - 1 && r >= j->b->seg[s].row0 + j->b->seg[s].n_row) s++;
        const float *cs = layer_rope_row(j->t->m, j->layer, r - j->b->seg[s].row0);
        if (!cs) return; /* this layer rotates nothing */
        rotate(j->t->dq + (size_t)r * nq, hp->n_head, hp->head_dim, hp->rope_dim, cs, 1);
        rotate(j->t->dk + (size_t)r * nkv, hp->n_kv_head, hp->head_dim, hp->rope_dim, cs, 1);
    }
}

struct qk_norm_job { const struct tape *t; const struct layer *w; const struct layer_acts *a; };
static void qk_norm_row(const struct qk_norm_job *j, int n_head, size_t row, float *dx, const float *dy, const float *x, const float *w, const float *inv)
{
    const struct hparams *hp = &j->t->m->hp;
    const int wide = hp->qk_norm == QK_NORM_WIDE, n = wide ? n_head * hp->head_dim : hp->head_dim;
    const size_t at = row * (size_t)(n_head * hp->head_dim);
    memset(dx + at, 0, (size_t)(n_head * hp->head_dim) * sizeof *dx);
    for (int h = 0; h < (wide ? 1 : n_head); h++)
        gemm_kern(j->t->g)->rmsnorm_back(dx + at + h * n, NULL, dy + at + h * n, x + at + h * n, w, inv[row * (size_t)n_head + (size_t)h], n);
}

static void qk_norm_rows(void *ud, int r0, int r1)
{
    const struct qk_norm_job *j = ud;
    const struct hparams *hp = &j->t->m->hp;
    const struct tape *t = j->t;
    for (int r = r0; r < r1; r++) {
        qk_norm_row(j, hp->n_head, (size_t)r, t->dq_raw, t->dq, j->a->q_raw, j->w->q_norm, j->a->q_inv);
        qk_norm_row(j, hp->n_kv_head, (size_t)r, t->dk_raw, t->dk, j->a->k_raw, j->w->k_norm, j->a->k_inv);
    }
}

/* The gradient of a block's output, which enters the residual sum scaled; in t->dnorm where that is not t->dx itself. */
static const float *branch_gradient(struct tape *t, int n_row)
{
    const struct hparams *hp = &t->m->hp;
    const int64_t n = (int64_t)n_row * hp->n_embd;
    if (hp->residual_scale == 0 || hp->residual_scale == 1) return t->dx;
    memcpy(t->dnorm, t->dx, (size_t)n * sizeof(float));
    gemm_kern(t->g)->scale(t->dnorm, hp->residual_scale, n);
    return t->dnorm;
}

/* t->dx: in, the gradient of the layer's output; out, of its input (when anything below is trained). */
static void layer_backward(struct tape *t, const struct batch *b, int layer)
{
    const struct hparams *hp = &t->m->hp;
    const struct layer *w = &t->m->layer[layer];
    const struct layer_acts *a = tape_acts(t, layer);
    const struct lora *lo = t->ad ? t->ad->lora + (size_t)layer * LIN_COUNT : NULL;
    const int n = b->n_row, full = tape_full(t);
    struct pool *pool = gemm_pool(t->g);
#define ON(kind) (full || lo[kind].on)
    /* What must be known, from the layer's input upwards. */
    const int below = full || layer > t->lowest;
    const int need_qkv = below || ON(LIN_Q) || ON(LIN_K) || ON(LIN_V);
    const int need_mid = need_qkv || ON(LIN_O);
    const int need_act = need_mid || ON(LIN_GATE) || ON(LIN_UP);
#undef ON
#define LIN(kind, x, dy, dx, load) linear_backward(t, &w->lin[kind], lo ? lo + (kind) : NULL, x, a->lora_h[kind], dy, n, dx, load)
    LIN(LIN_DOWN, a->act, branch_gradient(t, n), need_act ? t->dact : NULL, 0);
    if (!need_act) return;
    struct act_job aj = { t, a };
    rows_run(pool, act_rows, &aj, n);
    LIN(LIN_GATE, a->norm2, t->dgate, need_mid ? t->dnorm : NULL, 0);
    LIN(LIN_UP, a->norm2, t->dup, need_mid ? t->dnorm : NULL, 1);
    if (!need_mid) return;
    norm_backward(t, w->ffn_norm, a->x_mid, a->inv_rms2, n);
    LIN(LIN_O, a->att, branch_gradient(t, n), need_qkv ? t->datt : NULL, 0);
    if (!need_qkv) return;
    const struct attn_shape shape = layer_attn_shape(t->m, layer, QT_F32);
    const int64_t nq = (int64_t)hp->n_head * hp->head_dim, nkv = (int64_t)hp->n_kv_head * hp->head_dim;
    attn_backward_batch(t->g, &shape, a->item, b->n_seg, a->q, a->k, a->v, nq, nkv, a->att, t->datt, nq, t->dq, t->dk, t->dv);
    struct rope_job rj = { t, b, layer };
    rows_run(pool, rope_rows, &rj, n);
    struct qk_norm_job nj = { t, w, a };
    if (t->dq_raw) rows_run(pool, qk_norm_rows, &nj, n);
    float *dnorm = below ? t->dnorm : NULL;
    LIN(LIN_Q, a->norm1, t->dq_raw ? t->dq_raw : t->dq, dnorm, 0);
    LIN(LIN_K, a->norm1, t->dk_raw ? t->dk_raw : t->dk, dnorm, 1);
    LIN(LIN_V, a->norm1, t->dv, dnorm, 1);
#undef LIN
    if (below) norm_backward(t, w->attn_norm, a->x, a->inv_rms1, n);
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
