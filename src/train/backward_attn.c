/* backward_attn.c — attention's way back: output matrix, softmax, rotation, norms of q and k, the three projections.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/tape.h"

#include <string.h>

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
        const float *cs = layer_rope_row(j->t->m, j->layer, j->b->seg[s].pos0 + r - j->b->seg[s].row0);
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

void attention_backward(const struct layer_back *l, const float *dy, int want_qkv, int want_input)
{
    struct tape *t = l->t;
    const struct hparams *hp = &t->m->hp;
    const struct layer_acts *a = l->a;
    struct pool *pool = gemm_pool(t->g);
    kind_backward(l, LIN_O, a->att, dy, want_qkv ? t->datt : NULL, 0);
    if (!want_qkv) return;
    const struct attn_shape shape = layer_attn_shape(t->m, l->layer, QT_F32);
    const int64_t nq = (int64_t)hp->n_head * hp->head_dim, nkv = (int64_t)hp->n_kv_head * hp->head_dim;
    attn_backward_batch(t->g, &shape, a->item, l->b->n_seg, a->q, a->k, a->v, nq, nkv, a->att, t->datt, nq, t->dq, t->dk, t->dv);
    struct rope_job rj = { t, l->b, l->layer };
    rows_run(pool, rope_rows, &rj, l->n_row);
    struct qk_norm_job nj = { t, l->w, a };
    if (t->dq_raw) rows_run(pool, qk_norm_rows, &nj, l->n_row);
    const float *x = l->w->attn_norm ? a->norm1 : a->x;
    float *dx = want_input ? t->dnorm : NULL;
    kind_backward(l, LIN_Q, x, t->dq_raw ? t->dq_raw : t->dq, dx, 0);
    kind_backward(l, LIN_K, x, t->dk_raw ? t->dk_raw : t->dk, dx, 1);
    kind_backward(l, LIN_V, x, t->dv, dx, 1);
}
