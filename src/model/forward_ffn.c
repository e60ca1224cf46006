/* forward_ffn.c — the second half of a layer: norm, feed-forward (one, or a mixture of experts), residual sum.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/forward.h"

#include <string.h>

/* norm2 = norm(x_mid); y = x_mid (+ bias): where the feed-forward adds itself. */
static void begin_rows(void *ud, int r0, int r1)
{
    const struct layer_job *j = ud;
    const struct hparams *hp = &j->m->hp;
    const struct layer_acts *a = j->a;
    const int c = hp->n_embd;
    const float *bias = j->w->lin[LIN_DOWN].bias;
    for (int r = r0; r < r1; r++) {
        const size_t at = (size_t)r * (size_t)c;
        if (normed_before(hp)) norm_row(j->k, hp, a->norm2 + at, a->inv_rms2 + r, a->x_mid + at, j->w->ffn_norm, j->w->ffn_norm_bias, c);
        if (!adds_directly(hp) || !j->y) continue;
        if (j->y != a->x_mid) memcpy(j->y + at, a->x_mid + at, (size_t)c * sizeof(float));
        if (bias) j->k->add(j->y + at, bias, c);
    }
}

void activate(const struct kern *k, const struct hparams *hp, float *act, float *gate, float *up, const float *gate_bias, const float *up_bias,
              int n_row, int width)
{
    for (int r = 0; r < n_row && (gate_bias || up_bias); r++) {
        if (gate_bias) k->add(gate + (size_t)r * (size_t)width, gate_bias, width);
        if (up_bias) k->add(up + (size_t)r * (size_t)width, up_bias, width);
    }
    const int64_t n = (int64_t)n_row * width;
    if (hp->plain_ffn) k->gelu_mul(act, up, NULL, n);
    else if (hp->activation == ACT_GELU) k->gelu_mul(act, gate, up, n);
    else k->silu_mul(act, gate, up, n);
}

static void dense_rows(void *ud, int r0, int r1)
{
    const struct layer_job *j = ud;
    const struct layer_acts *a = j->a;
    const int f = j->m->hp.n_ff;
    const size_t at = (size_t)r0 * (size_t)f;
    activate(j->k, &j->m->hp, a->act + at, a->gate ? a->gate + at : NULL, a->up + at, j->w->lin[LIN_GATE].bias, j->w->lin[LIN_UP].bias, r1 - r0, f);
}

static void dense_forward(const struct layer_job *j, const float *x, float *out, int load)
{
    const struct layer_acts *a = j->a;
    const struct product in[2] = { layer_product(j, LIN_GATE, a->gate, 0), layer_product(j, LIN_UP, a->up, 0) };
    const int n = j->m->hp.plain_ffn ? 1 : 2;
    products_run(j, in + 2 - n, n, x);
    rows_run(gemm_pool(j->g), dense_rows, (void *)j, j->b->n_row);
    const struct product down = layer_product(j, LIN_DOWN, out, load);
    if (j->y) products_run(j, &down, 1, a->act);
    else lora_inner(j, LIN_DOWN, a->act);
}

struct shared_job { const struct layer_job *j; const float *x; };
/* act = silu(gate)·up, times sigmoid(x·w) where the shared expert has a gate of its own (Qwen1.5-MoE). */
static void shared_rows(void *ud, int r0, int r1)
{
    const struct shared_job *s = ud;
    const struct layer_job *j = s->j;
    const struct layer_acts *a = j->a;
    const int f = j->m->hp.n_ff_shared, c = j->m->hp.n_embd;
    for (int r = r0; r < r1; r++) {
        const size_t at = (size_t)r * (size_t)f;
        activate(j->k, &j->m->hp, a->act + at, a->gate + at, a->up + at, NULL, NULL, 1, f);
        if (!j->w->shared_gate) continue;
        float open = j->k->dot(s->x + (size_t)r * (size_t)c, j->w->shared_gate, c);
        j->k->sigmoid(&open, &open, 1);
        j->k->scale(a->act + at, open, f);
    }
}

static void shared_forward(const struct layer_job *j, const float *x, float *out)
{
    const struct layer_acts *a = j->a;
    const struct linear *w = j->w->shared;
    const struct product in[2] = { { &w[EXPERT_GATE], a->gate, 0, ADAPT_SHARED + EXPERT_GATE }, { &w[EXPERT_UP], a->up, 0, ADAPT_SHARED + EXPERT_UP } };
    struct shared_job s = { j, x };
    products_run(j, in, 2, x);
    rows_run(gemm_pool(j->g), shared_rows, &s, j->b->n_row);
    const struct product down = { &w[EXPERT_DOWN], out, 1, ADAPT_SHARED + EXPERT_DOWN };
    products_run(j, &down, 1, a->act);
}

void feed_forward_block(const struct layer_job *j)
{
    const struct hparams *hp = &j->m->hp;
    const struct layer_acts *a = j->a;
    const int direct = adds_directly(hp);
    const float *x = normed_before(hp) ? a->norm2 : a->x_mid;
    float *out = direct ? j->y : a->ffn_branch;
    rows_run(gemm_pool(j->g), begin_rows, (void *)j, j->b->n_row);
    if (!hp->n_expert) dense_forward(j, x, out, direct);
    else experts_forward(j, x, out, direct);
    if (hp->n_ff_shared) shared_forward(j, x, out);
    if (j->y) block_end(j, &(struct block_end){ a->x_mid, j->y, a->ffn_branch, j->w->lin[LIN_DOWN].bias, j->w->ffn_post_norm, j->w->ffn_post_norm_bias, a->inv_post2 });
}
