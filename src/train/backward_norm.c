/* backward_norm.c — norms before and behind a block, and their gains. LayerNorm finds its statistics again; RMSNorm keeps 1/rms.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/tape.h"

#include <string.h>

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

void norm_row_backward(const struct tape *t, float *dx, const float *dy, const float *x, const float *w, float inv_rms)
{
    const struct kern *k = gemm_kern(t->g);
    const struct hparams *hp = &t->m->hp;
    if (hp->norm == NORM_LAYER) k->layernorm_back(dx, dy, x, w, hp->n_embd, hp->norm_eps);
    else k->rmsnorm_back(dx, NULL, dy, x, w, inv_rms, hp->n_embd);
}

struct norm_job { const struct tape *t; const float *x, *w, *inv_rms; };
static void input_rows(void *ud, int r0, int r1)
{
    const struct norm_job *j = ud;
    const struct tape *t = j->t;
    const int64_t c = t->m->hp.n_embd;
    if (!j->w) { /* nothing before the block */
        gemm_kern(t->g)->add(t->dx + r0 * c, t->dnorm + r0 * c, (r1 - r0) * c);
        return;
    }
    for (int64_t r = r0; r < r1; r++) norm_row_backward(t, t->dx + r * c, t->dnorm + r * c, j->x + r * c, j->w, j->inv_rms[r]);
}

void input_norm_backward(const struct layer_back *l, const float *w, const float *x, const float *inv_rms)
{
    struct norm_job j = { l->t, x, w, inv_rms };
    if (tape_full(l->t)) gain_backward(l->t, tape_grad(l->t, w), l->t->dnorm, x, NULL, inv_rms, l->n_row);
    rows_run(gemm_pool(l->t->g), input_rows, &j, l->n_row);
}

static void branch_rows(void *ud, int r0, int r1)
{
    const struct norm_job *j = ud;
    const struct tape *t = j->t;
    const struct kern *k = gemm_kern(t->g);
    const int64_t c = t->m->hp.n_embd, at = r0 * c, n = (r1 - r0) * c;
    const float scale = t->m->hp.residual_scale == 0 ? 1.0f : t->m->hp.residual_scale;
    if (j->w) {
        memset(t->dnorm + at, 0, (size_t)n * sizeof(float));
        for (int64_t r = r0; r < r1; r++) norm_row_backward(t, t->dnorm + r * c, t->dx + r * c, j->x + r * c, j->w, j->inv_rms[r]);
    } else {
        memcpy(t->dnorm + at, t->dx + at, (size_t)n * sizeof(float));
    }
    if (scale != 1) k->scale(t->dnorm + at, scale, n);
}

const float *branch_gradient(const struct layer_back *l, const float *w, const float *branch, const float *inv_rms)
{
    const float scale = l->t->m->hp.residual_scale;
    if (!w && (scale == 0 || scale == 1)) return l->t->dx;
    struct norm_job j = { l->t, branch, w, inv_rms };
    rows_run(gemm_pool(l->t->g), branch_rows, &j, l->n_row);
    return l->t->dnorm;
}
