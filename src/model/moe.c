/* moe.c — a sparse mixture of experts (Shazeer et al. 2017; Jiang et al. 2024, "Mixtral of Experts", §2.1).
 *
 * Each token chooses U of E experts. Choices are sorted by expert (counting sort, tokens ascending), so an expert's rows stand
 * together, its matrices are read once for all of them, and experts that nobody chose are not touched. A token's sum over its
 * experts runs in the order of their weights: company in the batch does not change a bit.
 * Some experts at a time, so that gate and up need no more room than max_row rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/forward.h"

#include <math.h>
#include <string.h>

enum { FEW_ROWS = 256 };              /* choices up to here are worked on all at once */
#define WEIGHT_SUM_MIN 6.103515625e-5f /* the least sum that weights are divided by: F16's smallest normal number, as in llama.cpp */

int experts_max_row(const struct hparams *hp, int n_row)
{
    const int64_t all = (int64_t)n_row * hp->n_expert_used;
    return all <= FEW_ROWS ? (int)all : n_row > FEW_ROWS ? n_row : FEW_ROWS;
}

void experts_plan(struct moe_acts *a, const struct hparams *hp, int n_row, int rank, int keep, struct arena *mem)
{
    const size_t t = (size_t)n_row, n_expert = (size_t)hp->n_expert, u = (size_t)hp->n_expert_used, f = (size_t)hp->n_ff_expert;
    memset(a, 0, sizeof *a);
    if (!hp->n_expert) return;
    a->max_row = experts_max_row(hp, n_row);
    a->kept = keep;
    const size_t rows = (size_t)a->max_row, kept = keep ? t * u : rows;
    a->prob = arena_alloc(mem, t * n_expert * sizeof *a->prob, 64);
    a->expert = arena_alloc(mem, t * u * sizeof *a->expert, 64);
    a->weight = arena_alloc(mem, t * u * sizeof *a->weight, 64);
    a->row = arena_alloc(mem, t * u * sizeof *a->row, 64);
    a->slot = arena_alloc(mem, t * u * sizeof *a->slot, 64);
    a->first = arena_alloc(mem, (n_expert + 1) * sizeof *a->first, 64);
    a->count = arena_alloc(mem, n_expert * sizeof *a->count, 64);
    a->iota = arena_alloc(mem, rows * sizeof *a->iota, 64);
    a->gate = arena_alloc(mem, kept * f * sizeof *a->gate, 64);
    a->up = arena_alloc(mem, kept * f * sizeof *a->up, 64);
    a->act = keep ? arena_alloc(mem, rows * f * sizeof *a->act, 64) : a->gate;
    a->down = arena_alloc(mem, t * u * (size_t)hp->n_embd * sizeof *a->down, 64);
    a->job = arena_alloc(mem, 2 * n_expert * sizeof *a->job, 64);
    a->lora = rank > 0 ? arena_alloc(mem, n_expert * sizeof *a->lora, 64) : NULL;
    for (int i = 0; a->iota && i < a->max_row; i++) a->iota[i] = i;
}

/* ---- who goes where ---- */

/* The U most probable experts of each row, the lower number first among equals; their weights. */
static void choose_rows(void *ud, int r0, int r1)
{
    const struct layer_job *j = ud;
    const struct hparams *hp = &j->m->hp;
    const struct moe_acts *a = &j->a->moe;
    const int n = hp->n_expert, u = hp->n_expert_used;
    for (int r = r0; r < r1; r++) {
        float *p = a->prob + (size_t)r * (size_t)n, *w = a->weight + (size_t)r * (size_t)u, sum = 0;
        int32_t *x = a->expert + (size_t)r * (size_t)u;
        j->k->softmax(p, n);
        for (int i = 0; i < u; i++) {
            int best = -1;
            for (int e = 0; e < n; e++) {
                int taken = best >= 0 && !(p[e] > p[best]);
                for (int b = 0; b < i && !taken; b++) taken = x[b] == e;
                if (!taken) best = e;
            }
            x[i] = best;
            w[i] = p[best];
            sum += w[i];
        }
        float by = hp->expert_norm ? 1.0f / (sum > WEIGHT_SUM_MIN ? sum : WEIGHT_SUM_MIN) : 1.0f;
        if (hp->expert_scale != 0) by *= hp->expert_scale;
        for (int i = 0; i < u && by != 1.0f; i++) w[i] *= by;
    }
}

static void sort_choices(const struct moe_acts *a, int n_row, int n_expert, int u)
{
    memset(a->count, 0, (size_t)n_expert * sizeof *a->count);
    for (int i = 0; i < n_row * u; i++) a->count[a->expert[i]]++;
    a->first[0] = 0;
    for (int e = 0; e < n_expert; e++) {
        a->first[e + 1] = a->first[e] + a->count[e];
        a->count[e] = 0;
    }
    for (int i = 0; i < n_row * u; i++) {
        const int e = a->expert[i], at = a->first[e] + a->count[e]++;
        a->row[at] = i / u;
        a->slot[i] = at;
    }
}

/* ---- products ---- */

/* Some experts, whose rows together fit max_row; gate and up hold the rows from `base` on. */
struct some { const struct layer_job *j; int e0, e1, begin, n_row, base; };

static void act_rows(void *ud, int r0, int r1)
{
    const struct some *s = ud;
    const struct moe_acts *a = &s->j->a->moe;
    const int64_t f = s->j->m->hp.n_ff_expert, at = r0 * f, from = (s->begin - s->base) * f + at;
    activate(s->j->k, &s->j->m->hp, a->act + at, a->gate + from, a->up + from, NULL, NULL, r1 - r0, (int)f);
}

/* y += (scale · x Aᵀ) Bᵀ of each expert: x's rows as row[] says, y's from the first expert's on. */
static void experts_lora(const struct some *s, int part, const float *x, const int32_t *row, float *y)
{
    const struct layer_job *j = s->j;
    const struct moe_acts *a = &j->a->moe;
    const int kind = ADAPT_EXPERTS + part;
    const struct lora *lo = j->lo ? j->lo + kind : NULL;
    if (!lo || !lo->on) return;
    const int64_t in = lo->n_in, out = lo->n_out, rank = lo->rank;
    float *h = j->a->lora_h[kind] + s->begin * rank;
    const struct lora_drop *d = &j->ad->drop;
    for (int e = s->e0; e < s->e1 && d->x; e++) {
        const int at = a->first[e] - s->begin, rows = a->first[e + 1] - a->first[e];
        lora_drop(j->g, d, (struct lora_dropped){ j->layer, kind, e, a->row + a->first[e] }, x, row + at, d->x + at * in, rows, in);
    }
    if (d->x) x = d->x, row = a->iota;
    for (int half = 0, n = 0; half < 2; half++, n = 0) {
        for (int e = s->e0; e < s->e1; e++) {
            const int at = a->first[e] - s->begin, rows = a->first[e + 1] - a->first[e];
            if (!rows) continue;
            a->lora[n] = half ? f32_matrix(lo->b + e * out * rank, out, rank) : f32_matrix(lo->a + e * rank * in, rank, in);
            a->job[n] = half ? (struct gemm){ .n_row = rows, .n_col = out, .n_k = rank, .c = y + at * out, .c_row = out, .load_c = 1, .a = h,
                                              .a_row = rank, .a_col = 1, .form = GEMM_B_TENSOR, .t = &a->lora[n], .row_index = a->iota + at }
                             : (struct gemm){ .n_row = rows, .n_col = rank, .n_k = in, .c = h + at * rank, .c_row = rank, .a = x, .a_row = in,
                                              .a_col = 1, .form = GEMM_B_TENSOR, .t = &a->lora[n], .row_index = row + at };
            n++;
        }
        if (n) gemm_run_group(j->g, a->job, n);
        if (!half) j->k->scale(h, lo->scale, s->n_row * rank);
    }
}

/* How many of n sorted places of one expert are rows of prompts: the last ones, as rows ascend. */
static int prompt_rows(const struct batch *b, const int32_t *row, int n)
{
    int n_wide = 0;
    while (n_wide < n && row[n - 1 - n_wide] >= b->n_row - b->n_prompt) n_wide++;
    return n_wide;
}

static void some_experts(const struct layer_job *j, const float *x, int e0, int e1)
{
    const struct hparams *hp = &j->m->hp;
    const struct moe_acts *a = &j->a->moe;
    const int64_t c = hp->n_embd, f = hp->n_ff_expert;
    const int begin = a->first[e0], n_row = a->first[e1] - begin;
    struct some s = { j, e0, e1, begin, n_row, a->kept ? 0 : begin };
    int n = 0;
    for (int e = e0; e < e1; e++) {
        const int at = a->first[e], rows = a->first[e + 1] - at;
        for (int part = EXPERT_GATE; part <= EXPERT_UP && rows; part++)
            a->job[n++] = (struct gemm){ .n_row = rows, .n_col = f, .n_k = c, .c = (part == EXPERT_GATE ? a->gate : a->up) + (at - s.base) * f,
                                         .c_row = f, .a = x, .a_row = c, .a_col = 1, .form = GEMM_B_TENSOR, .t = &j->w->expert[part][e],
                                         .act = j->m->act, .n_wide = prompt_rows(j->b, a->row + at, rows), .row_index = a->row + at };
    }
    if (!n) return;
    gemm_run_group(j->g, a->job, n);
    experts_lora(&s, EXPERT_GATE, x, a->row + begin, a->gate + (begin - s.base) * f);
    experts_lora(&s, EXPERT_UP, x, a->row + begin, a->up + (begin - s.base) * f);
    rows_run(gemm_pool(j->g), act_rows, &s, n_row);
    n = 0;
    for (int e = e0; e < e1; e++) {
        const int at = a->first[e], rows = a->first[e + 1] - at;
        if (rows)
            a->job[n++] = (struct gemm){ .n_row = rows, .n_col = c, .n_k = f, .c = a->down + at * c, .c_row = c, .a = a->act, .a_row = f,
                                         .a_col = 1, .form = GEMM_B_TENSOR, .t = &j->w->expert[EXPERT_DOWN][e], .act = j->m->act,
                                         .n_wide = prompt_rows(j->b, a->row + at, rows), .row_index = a->iota + (at - begin) };
    }
    gemm_run_group(j->g, a->job, n);
    experts_lora(&s, EXPERT_DOWN, a->act, a->iota, a->down + begin * c);
}

struct sum_job { const struct layer_job *j; float *out; int load; };
static void sum_rows(void *ud, int r0, int r1)
{
    const struct sum_job *s = ud;
    const struct moe_acts *a = &s->j->a->moe;
    const int c = s->j->m->hp.n_embd, u = s->j->m->hp.n_expert_used;
    for (int r = r0; r < r1; r++) {
        float *out = s->out + (size_t)r * (size_t)c;
        if (!s->load) memset(out, 0, (size_t)c * sizeof *out);
        for (int i = 0; i < u; i++)
            s->j->k->axpy(out, a->weight[r * u + i], a->down + (size_t)a->slot[r * u + i] * (size_t)c, c);
    }
}

void experts_forward(const struct layer_job *j, const float *x, float *out, int load)
{
    const struct hparams *hp = &j->m->hp;
    const struct moe_acts *a = &j->a->moe;
    const int n_row = j->b->n_row, n_expert = hp->n_expert;
    struct pool *pool = gemm_pool(j->g);
    gemm_run(j->g, &(struct gemm){ .n_row = n_row, .n_col = n_expert, .n_k = hp->n_embd, .c = a->prob, .c_row = n_expert, .a = x, .a_row = hp->n_embd,
                                   .a_col = 1, .form = GEMM_B_TENSOR, .t = &j->w->router.w });
    lora_add(j, ADAPT_ROUTER, x, a->prob);
    rows_run(pool, choose_rows, (void *)j, n_row);
    sort_choices(a, n_row, n_expert, hp->n_expert_used);
    for (int e0 = 0, e1; e0 < n_expert; e0 = e1) {
        for (e1 = e0 + 1; e1 < n_expert && a->first[e1 + 1] - a->first[e0] <= a->max_row; e1++) continue;
        some_experts(j, x, e0, e1);
    }
    struct sum_job s = { j, out, load };
    rows_run(pool, sum_rows, &s, n_row);
}
