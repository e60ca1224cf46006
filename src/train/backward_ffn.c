/* backward_ffn.c — the feed-forward's way back: dense, and the shared expert of a mixture.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/tape.h"

#include <string.h>

void activation_backward(const struct tape *t, float *dgate, float *dup, const float *dact, const float *gate, const float *up, int64_t n)
{
    const struct hparams *hp = &t->m->hp;
    const struct kern *k = gemm_kern(t->g);
    if (hp->plain_ffn) k->gelu_mul_back(dup, NULL, dact, up, NULL, n);
    else if (hp->activation == ACT_GELU) k->gelu_mul_back(dgate, dup, dact, gate, up, n);
    else k->silu_mul_back(dgate, dup, dact, gate, up, n);
}

struct act_job { const struct layer_back *l; int64_t width; const float *x; };
static void act_rows(void *ud, int r0, int r1)
{
    const struct act_job *j = ud;
    const struct tape *t = j->l->t;
    const struct layer_acts *a = j->l->a;
    const int64_t at = r0 * j->width, n = (r1 - r0) * j->width;
    activation_backward(t, t->dgate + at, t->dup + at, t->dact + at, a->gate ? a->gate + at : NULL, a->up + at, n);
}

/* act = σ(x·w)·silu(gate)·up: the gradient of x·w is (1 − σ)·Σ dact·act, that of silu(gate)·up is σ·dact. */
static void open_rows(void *ud, int r0, int r1)
{
    const struct act_job *j = ud;
    const struct tape *t = j->l->t;
    const struct kern *k = gemm_kern(t->g);
    const float *w = j->l->w->shared_gate;
    const int c = t->m->hp.n_embd;
    for (int64_t r = r0; r < r1 && w; r++) {
        float *d = t->dact + r * j->width, open = k->dot(j->x + r * c, w, c);
        k->sigmoid(&open, &open, 1);
        t->moe.dopen[r] = (1.0f - open) * k->dot(d, j->l->a->act + r * j->width, j->width);
        k->scale(d, open, j->width);
    }
    act_rows(ud, r0, r1);
}

static void open_input_rows(void *ud, int r0, int r1)
{
    const struct act_job *j = ud;
    const struct tape *t = j->l->t;
    const int64_t c = t->m->hp.n_embd;
    for (int64_t r = r0; r < r1; r++) gemm_kern(t->g)->axpy(t->dnorm + r * c, t->moe.dopen[r], j->l->w->shared_gate, c);
}

static void dense_backward(const struct layer_back *l, const float *x, const float *dy, int want_input)
{
    struct tape *t = l->t;
    struct act_job j = { l, t->m->hp.n_ff, x };
    const int want_act = want_input || kinds_trained(l, LIN_GATE, LIN_UP), gated = !t->m->hp.plain_ffn;
    float *dx = want_input ? t->dnorm : NULL;
    kind_backward(l, LIN_DOWN, l->a->act, dy, want_act ? t->dact : NULL, 0);
    if (!want_act) return;
    rows_run(gemm_pool(t->g), act_rows, &j, l->n_row);
    if (gated) kind_backward(l, LIN_GATE, x, t->dgate, dx, 0);
    kind_backward(l, LIN_UP, x, t->dup, dx, gated);
}

static void shared_part(const struct layer_back *l, int part, const float *x, const float *dy, float *dx, int load)
{
    const int kind = ADAPT_SHARED + part;
    linear_backward(l->t, &l->w->shared[part].w, l->lo, kind, x, l->a->lora_h[kind], dy, l->n_row, dx, load);
}

/* dy lies in t->dnorm perhaps, which the experts' gradient of x overwrites: so it comes between what reads dy and what adds. */
static void mixture_backward(const struct layer_back *l, const float *x, const float *dy, int want_input)
{
    struct tape *t = l->t;
    const int shared = t->m->hp.n_ff_shared > 0, want_act = want_input || kinds_trained(l, ADAPT_SHARED + EXPERT_GATE, ADAPT_SHARED + EXPERT_UP);
    struct act_job j = { l, t->m->hp.n_ff_shared, x };
    experts_backward(l, x, dy, want_input);
    if (shared) shared_part(l, EXPERT_DOWN, l->a->act, dy, want_act ? t->dact : NULL, 0);
    if (want_input) experts_input(l);
    if (!shared || !want_act) return;
    rows_run(gemm_pool(t->g), open_rows, &j, l->n_row);
    float *dx = want_input ? t->dnorm : NULL;
    shared_part(l, EXPERT_GATE, x, t->dgate, dx, 1);
    shared_part(l, EXPERT_UP, x, t->dup, dx, 1);
    if (want_input && l->w->shared_gate) rows_run(gemm_pool(t->g), open_input_rows, &j, l->n_row);
}

void feed_forward_backward(const struct layer_back *l, const float *dy, int want_input)
{
    const float *x = l->w->ffn_norm ? l->a->norm2 : l->a->x_mid;
    if (l->t->m->hp.n_expert) mixture_backward(l, x, dy, want_input);
    else dense_backward(l, x, dy, want_input);
}
