/* backward_moe.c — the way back through a mixture of experts (its forward twin: src/model/moe.c).
 *
 * y = Σ_j w_j·down_j(act_j) over the chosen experts j. With dact_j, the gradient of act_j that carries the weight w_j already,
 * s_j = Σ dact_j·act_j = w_j·∂L/∂w_j: so no down_j is kept, and nothing is divided by a weight. The router's logits z get
 *   weights that add up to 1:  ∂L/∂z_j = s_j − w_j/c·S for the chosen, 0 for the others (c: expert_scale, S = Σ s_j),
 *   weights as they are:       ∂L/∂z_e = s_e (chosen) − p_e·S for all.
 * Rows of an expert stand together, tokens ascending, and lie in one call: the gradient of an expert's A or B is one chain over
 * tokens that continues what is there. A row of x adds its experts in the order of their weights.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/tape.h"

#include <string.h>

#define WEIGHT_SUM_MIN 6.103515625e-5f /* as in moe.c: a smaller sum divides nothing */

void moe_carve(struct tape *t, struct arena *a)
{
    const struct hparams *hp = &t->m->hp;
    const size_t n = (size_t)t->max_row, c = (size_t)hp->n_embd, u = (size_t)hp->n_expert_used;
    if (!hp->n_expert) return;
    const size_t rows = (size_t)experts_max_row(hp, t->max_row);
    const struct { float **p; size_t n; } buffer[] = {
        { &t->moe.x, rows * c }, { &t->moe.dy, rows * c }, { &t->moe.act, rows * (size_t)hp->n_ff_expert }, { &t->moe.dx, n * u * c },
        { &t->moe.share, n * u }, { &t->moe.dprob, n * (size_t)hp->n_expert }, { &t->moe.dopen, n },
    };
    for (size_t i = 0; i < ARRAY_LEN(buffer); i++) *buffer[i].p = arena_alloc(a, buffer[i].n * sizeof(float), 64);
}

/* Some experts, whose rows together fit experts_max_row. */
struct some { const struct layer_back *l; const float *x, *dy; int begin, n_row; };

/* The weight of the choice at a sorted place. */
static float weight_at(const struct moe_acts *m, int place, int u)
{
    const int row = m->row[place];
    int i = 0;
    while (i < u - 1 && m->slot[row * u + i] != place) i++;
    return m->weight[row * u + i];
}

/* x and w·dy of the rows; act again. */
static void gather_rows(void *ud, int r0, int r1)
{
    const struct some *s = ud;
    const struct tape *t = s->l->t;
    const struct hparams *hp = &t->m->hp;
    const struct kern *k = gemm_kern(t->g);
    const struct moe_acts *m = &s->l->a->moe;
    const int64_t c = hp->n_embd, f = hp->n_ff_expert;
    for (int64_t r = r0; r < r1; r++) {
        const int64_t place = s->begin + r, row = m->row[place];
        const float *gate = m->gate + place * f, *up = m->up + place * f;
        memcpy(t->moe.x + r * c, s->x + row * c, (size_t)c * sizeof(float));
        memcpy(t->moe.dy + r * c, s->dy + row * c, (size_t)c * sizeof(float));
        k->scale(t->moe.dy + r * c, weight_at(m, (int)place, hp->n_expert_used), c);
        if (hp->activation == ACT_GELU) k->gelu_mul(t->moe.act + r * f, gate, up, f);
        else k->silu_mul(t->moe.act + r * f, gate, up, f);
    }
}

static void act_rows(void *ud, int r0, int r1)
{
    const struct some *s = ud;
    const struct tape *t = s->l->t;
    const struct moe_acts *m = &s->l->a->moe;
    const int64_t f = t->m->hp.n_ff_expert, from = (s->begin + r0) * f, at = r0 * f;
    for (int64_t r = r0; r < r1; r++) t->moe.share[s->begin + r] = gemm_kern(t->g)->dot(t->dact + r * f, t->moe.act + r * f, f);
    activation_backward(t, t->dgate + at, t->dup + at, t->dact + at, m->gate + from, m->up + from, (r1 - r0) * f);
}

struct part_io { const float *x, *dy; float *dx; int load; };
/* One of the three matrices of each of the experts e0 … e1. */
static void part_backward(const struct some *s, int part, int e0, int e1, const struct part_io *io)
{
    const struct layer_back *l = s->l;
    const struct moe_acts *m = &l->a->moe;
    const struct lora *lo = l->lo ? &l->lo[ADAPT_EXPERTS + part] : NULL;
    for (int e = e0; e < e1; e++) {
        const int64_t at = m->first[e] - s->begin;
        const int rows = m->first[e + 1] - m->first[e];
        const struct tensor *w = &l->w->expert[part][e];
        const float *h = lo && lo->on ? l->a->lora_h[ADAPT_EXPERTS + part] + (int64_t)m->first[e] * lo->rank : NULL;
        if (rows) expert_backward(l->t, w, lo, e, m->row + m->first[e], io->x + at * w->dim[0], h, io->dy + at * w->dim[1], rows, io->dx ? io->dx + at * w->dim[0] : NULL, io->load);
    }
}

static void choose_rows_backward(void *ud, int r0, int r1)
{
    const struct some *s = ud;
    const struct tape *t = s->l->t;
    const struct hparams *hp = &t->m->hp;
    const struct moe_acts *m = &s->l->a->moe;
    const int n = hp->n_expert, u = hp->n_expert_used;
    for (int r = r0; r < r1; r++) {
        const float *p = m->prob + (size_t)r * (size_t)n;
        const int32_t *x = m->expert + (size_t)r * (size_t)u;
        float *d = t->moe.dprob + (size_t)r * (size_t)n, all = 0, sum = 0;
        for (int i = 0; i < u; i++) all += t->moe.share[m->slot[r * u + i]], sum += p[x[i]];
        const int normed = hp->expert_norm && sum > WEIGHT_SUM_MIN;
        for (int e = 0; e < n; e++) d[e] = normed ? 0 : -p[e] * all;
        for (int i = 0; i < u; i++) d[x[i]] += t->moe.share[m->slot[r * u + i]] - (normed ? p[x[i]] / sum * all : 0);
    }
}

void experts_backward(const struct layer_back *l, const float *x, const float *dy, int want_input)
{
    struct tape *t = l->t;
    const struct hparams *hp = &t->m->hp;
    const struct moe_acts *m = &l->a->moe;
    struct pool *pool = gemm_pool(t->g);
    const int n_expert = hp->n_expert, want_router = want_input || kinds_trained(l, ADAPT_ROUTER, ADAPT_ROUTER),
              want_act = want_router || kinds_trained(l, ADAPT_EXPERTS + EXPERT_GATE, ADAPT_EXPERTS + EXPERT_UP);
    if (!want_act && !kinds_trained(l, ADAPT_EXPERTS + EXPERT_DOWN, ADAPT_EXPERTS + EXPERT_DOWN)) return;
    struct some s = { l, x, dy, 0, l->n_row };
    for (int e0 = 0, e1; e0 < n_expert; e0 = e1) {
        for (e1 = e0 + 1; e1 < n_expert && m->first[e1 + 1] - m->first[e0] <= m->max_row; e1++) continue;
        s.begin = m->first[e0];
        s.n_row = m->first[e1] - s.begin;
        if (!s.n_row) continue;
        float *dx = want_input ? t->moe.dx + (int64_t)s.begin * hp->n_embd : NULL;
        rows_run(pool, gather_rows, &s, s.n_row);
        part_backward(&s, EXPERT_DOWN, e0, e1, &(struct part_io){ t->moe.act, t->moe.dy, want_act ? t->dact : NULL, 0 });
        if (!want_act) continue;
        rows_run(pool, act_rows, &s, s.n_row);
        part_backward(&s, EXPERT_GATE, e0, e1, &(struct part_io){ t->moe.x, t->dgate, dx, 0 });
        part_backward(&s, EXPERT_UP, e0, e1, &(struct part_io){ t->moe.x, t->dup, dx, 1 });
    }
    if (!want_router) return;
    rows_run(pool, choose_rows_backward, &s, l->n_row);
    if (!want_input) linear_backward(t, &l->w->router.w, l->lo, ADAPT_ROUTER, x, l->a->lora_h[ADAPT_ROUTER], t->moe.dprob, l->n_row, NULL, 0);
}

static void sum_rows(void *ud, int r0, int r1)
{
    const struct layer_back *l = ud;
    const struct tape *t = l->t;
    const struct moe_acts *m = &l->a->moe;
    const int64_t c = t->m->hp.n_embd, u = t->m->hp.n_expert_used;
    for (int64_t r = r0; r < r1; r++) {
        float *to = t->dnorm + r * c;
        memcpy(to, t->moe.dx + m->slot[r * u] * c, (size_t)c * sizeof *to);
        for (int64_t i = 1; i < u; i++) gemm_kern(t->g)->add(to, t->moe.dx + m->slot[r * u + i] * c, c);
    }
}

void experts_input(const struct layer_back *l)
{
    struct tape *t = l->t;
    const float *x = l->w->ffn_norm ? l->a->norm2 : l->a->x_mid;
    rows_run(gemm_pool(t->g), sum_rows, (void *)l, l->n_row);
    linear_backward(t, &l->w->router.w, l->lo, ADAPT_ROUTER, x, l->a->lora_h[ADAPT_ROUTER], t->moe.dprob, l->n_row, t->dnorm, 1);
}
