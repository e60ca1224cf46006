/* forward_attn.c — the first half of a layer: norm, q k v, rotation, attention, residual sum.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/forward.h"

#include <string.h>

struct attn_shape layer_attn_shape(const struct model *m, int layer, int kv_type)
{
    const struct hparams *hp = &m->hp;
    return (struct attn_shape){ .n_head = hp->n_head, .n_kv_head = hp->n_kv_head, .head_dim = hp->head_dim, .kv_type = kv_type, .scale = hp->attn_scale,
                                .softcap = hp->attn_softcap, .window = m->layer[layer].window, .bidirectional = hp->encoder };
}

/* norm1 = norm(x); x_mid = x (+ bias): where attention adds itself. */
static void begin_rows(void *ud, int r0, int r1)
{
    const struct layer_job *j = ud;
    const struct hparams *hp = &j->m->hp;
    const struct layer_acts *a = j->a;
    const int c = hp->n_embd;
    const float *bias = j->w->lin[LIN_O].bias;
    for (int r = r0; r < r1; r++) {
        const size_t at = (size_t)r * (size_t)c;
        if (normed_before(hp)) norm_row(j->k, hp, a->norm1 + at, a->inv_rms1 + r, a->x + at, j->w->attn_norm, j->w->attn_norm_bias, c);
        if (!adds_directly(hp)) continue;
        if (a->x_mid != a->x) memcpy(a->x_mid + at, a->x + at, (size_t)c * sizeof(float));
        if (bias) j->k->add(a->x_mid + at, bias, c);
    }
}

/* raw, inv: where the row before the norm is kept, [n_head]; or NULL. */
static void head_norm(const struct layer_job *j, float *x, const float *w, int n_head, float *raw, float *inv)
{
    const struct hparams *hp = &j->m->hp;
    const int wide = hp->qk_norm == QK_NORM_WIDE, n = wide ? n_head * hp->head_dim : hp->head_dim;
    if (raw) memcpy(raw, x, (size_t)(n_head * hp->head_dim) * sizeof *raw);
    for (int h = 0; h < (wide ? 1 : n_head); h++, x += n) norm_row(j->k, hp, x, inv ? inv + h : NULL, x, w, NULL, n);
}

/* q and k of each row: bias, norm, rotation by position; k and v into the pages. */
static void qkv_rows(void *ud, int r0, int r1)
{
    const struct layer_job *j = ud;
    const struct hparams *hp = &j->m->hp;
    const struct kern *kn = j->k;
    const int nq = hp->n_head * hp->head_dim, nkv = hp->n_kv_head * hp->head_dim;
    const float *bias_q = j->w->lin[LIN_Q].bias, *bias_k = j->w->lin[LIN_K].bias, *bias_v = j->w->lin[LIN_V].bias;
    const struct attn_shape shape = layer_attn_shape(j->m, j->layer, j->b->kv_type);
    int s = 0;
    for (int r = r0; r < r1; r++) {
        while (s < j->b->n_seg - 1 && r >= j->b->seg[s].row0 + j->b->seg[s].n_row) s++;
        const struct segment *seg = &j->b->seg[s];
        const int pos = seg->pos0 + r - seg->row0;
        const float *cs = layer_rope_row(j->m, j->layer, pos);
        float *q = j->a->q + (size_t)r * (size_t)nq, *k = j->a->k + (size_t)r * (size_t)nkv, *v = j->a->v + (size_t)r * (size_t)nkv;
        if (bias_q) kn->add(q, bias_q, nq);
        if (bias_k) kn->add(k, bias_k, nkv);
        if (bias_v) kn->add(v, bias_v, nkv);
        const struct layer_acts *a = j->a;
        if (j->w->q_norm) head_norm(j, q, j->w->q_norm, hp->n_head, a->q_raw ? a->q_raw + (size_t)r * (size_t)nq : NULL, a->q_inv ? a->q_inv + r * hp->n_head : NULL);
        if (j->w->k_norm) head_norm(j, k, j->w->k_norm, hp->n_kv_head, a->k_raw ? a->k_raw + (size_t)r * (size_t)nkv : NULL, a->k_inv ? a->k_inv + r * hp->n_kv_head : NULL);
        if (cs) {
            void (*rotate)(float *, int, int, int, const float *, int) = hp->rope == ROPE_HALVES ? kn->rope_halves : kn->rope;
            rotate(q, hp->n_head, hp->head_dim, hp->rope_dim, cs, 0);
            rotate(k, hp->n_kv_head, hp->head_dim, hp->rope_dim, cs, 0);
        }
        struct attn_seq seq = { seg->page, (size_t)j->kv_layer, j->b->kv_step };
        attn_store(&shape, &seq, pos, k, v);
    }
}

void attention_block(const struct layer_job *j)
{
    const struct hparams *hp = &j->m->hp;
    const struct layer_acts *a = j->a;
    const struct batch *b = j->b;
    const struct attn_shape shape = layer_attn_shape(j->m, j->layer, b->kv_type);
    const int64_t nq = (int64_t)hp->n_head * hp->head_dim;
    struct pool *pool = gemm_pool(j->g);
    const struct product qkv[3] = { layer_product(j, LIN_Q, a->q, 0), layer_product(j, LIN_K, a->k, 0), layer_product(j, LIN_V, a->v, 0) };
    rows_run(pool, begin_rows, (void *)j, b->n_row);
    products_run(j, qkv, 3, normed_before(hp) ? a->norm1 : a->x);
    rows_run(pool, qkv_rows, (void *)j, b->n_row);
    for (int s = 0; s < b->n_seg; s++)
        a->item[s] = (struct attn_item){ { b->seg[s].page, (size_t)j->kv_layer, b->kv_step }, b->seg[s].row0, b->seg[s].n_row, b->seg[s].pos0 };
    attn_forward_batch(j->g, &shape, a->item, b->n_seg, a->q, nq, a->att, nq);
    const int direct = adds_directly(hp);
    const struct product out = layer_product(j, LIN_O, direct ? a->x_mid : a->attn_branch, direct);
    products_run(j, &out, 1, a->att);
    block_end(j, &(struct block_end){ a->x, a->x_mid, a->attn_branch, j->w->lin[LIN_O].bias, j->w->attn_post_norm, j->w->attn_post_norm_bias, a->inv_post1 });
}
