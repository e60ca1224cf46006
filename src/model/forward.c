/* forward.c — the maths of one layer, the embedding and the output (docs/MODEL.md has it with shapes).
 *
 * Every row's result depends on that row (and, in attention, on earlier rows of its segment) alone, in one fixed order
 * of operations: batching, threads and cutting into calls do not change a bit. Residual sums are the starting values
 * of the matrix products that add to them (load_c).
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <string.h>

/* ---- rows over the pool ---- */

enum { ROWS_BLOCK = 16 };
struct rows_job { rows_fn *fn; void *ud; int n_row; };
static void rows_task(void *ud, int i_task, int i_thread)
{
    (void)i_thread;
    const struct rows_job *j = ud;
    int r0 = i_task * ROWS_BLOCK, r1 = r0 + ROWS_BLOCK;
    j->fn(j->ud, r0, r1 < j->n_row ? r1 : j->n_row);
}

void rows_run(struct pool *pool, rows_fn *fn, void *ud, int n_row)
{
    struct rows_job j = { fn, ud, n_row };
    if (n_row <= ROWS_BLOCK || !pool) {
        if (n_row > 0) fn(ud, 0, n_row);
        return;
    }
    pool_run(pool, rows_task, &j, (n_row + ROWS_BLOCK - 1) / ROWS_BLOCK);
}

/* ---- linear layers ---- */

static struct tensor f32_matrix(const float *data, int64_t rows, int64_t cols)
{
    return (struct tensor){ .data = data, .type = QT_F32, .n_dim = 2, .dim = { cols, rows, 1, 1 },
                            .row_bytes = (size_t)cols * sizeof(float), .n_bytes = (size_t)(rows * cols) * sizeof(float) };
}

/* y = x Wᵀ (+ y when load) + (scale · x Aᵀ) Bᵀ; h keeps the bracket. */
static void linear_into(struct gemm_ctx *g, const struct linear *l, const struct lora *lo, int rank, float scale,
                        const float *x, int n_row, float *y, int load, float *h)
{
    int64_t in = l->w.dim[0], out = l->w.dim[1];
    struct gemm p = { .n_row = n_row, .n_col = out, .n_k = in, .c = y, .c_row = out, .load_c = load, .a = x, .a_row = in, .a_col = 1 };
    if (n_row <= 0) return;
    if (l->packed) {
        p.form = GEMM_B_PACKED;
        p.b = l->packed;
    } else {
        p.form = GEMM_B_TENSOR;
        p.t = &l->w;
    }
    gemm_run(g, &p);
    if (!lo || !lo->on || !h) return;
    struct tensor a = f32_matrix(lo->a, rank, in), b = f32_matrix(lo->b, out, rank);
    gemm_run(g, &(struct gemm){ .n_row = n_row, .n_col = rank, .n_k = in, .c = h, .c_row = rank, .a = x, .a_row = in, .a_col = 1,
                                .form = GEMM_B_TENSOR, .t = &a });
    gemm_kern(g)->scale(h, scale, (int64_t)n_row * rank);
    gemm_run(g, &(struct gemm){ .n_row = n_row, .n_col = out, .n_k = rank, .c = y, .c_row = out, .load_c = 1, .a = h, .a_row = rank,
                                .a_col = 1, .form = GEMM_B_TENSOR, .t = &b });
}

void linear_forward(struct gemm_ctx *g, const struct linear *l, const struct lora *lo, int rank, float scale,
                    const float *x, int n_row, float *y, float *h)
{
    linear_into(g, l, lo, rank, scale, x, n_row, y, 0, h);
}

/* ---- one layer ---- */

void layer_acts_plan(struct layer_acts *a, const struct hparams *hp, int n_row, int rank, struct arena *mem)
{
    const size_t t = (size_t)n_row, c = (size_t)hp->n_embd, q = (size_t)hp->n_head * (size_t)hp->head_dim,
                 kv = (size_t)hp->n_kv_head * (size_t)hp->head_dim, f = (size_t)hp->n_ff;
    const struct { float **p; size_t width; } row[] = {
        { &a->x, c }, { &a->norm1, c }, { &a->inv_rms1, 1 }, { &a->q, q }, { &a->k, kv }, { &a->v, kv }, { &a->att, q },
        { &a->x_mid, c }, { &a->norm2, c }, { &a->inv_rms2, 1 }, { &a->gate, f }, { &a->up, f }, { &a->act, f },
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) *row[i].p = arena_alloc(mem, t * row[i].width * sizeof(float), 64);
    for (int k = 0; k < LIN_COUNT; k++)
        a->lora_h[k] = rank > 0 ? arena_alloc(mem, t * (size_t)rank * sizeof(float), 64) : NULL;
    a->item = arena_alloc(mem, t * sizeof *a->item, 64);
}

struct layer_job {
    const struct kern *k;
    const struct model *m;
    const struct layer *w;
    const struct batch *b;
    const struct layer_acts *a;
    float *y;
    int kv_layer;
};

static void norm1_rows(void *ud, int r0, int r1)
{
    const struct layer_job *j = ud;
    int c = j->m->hp.n_embd;
    size_t at = (size_t)r0 * (size_t)c;
    for (int r = r0; r < r1; r++, at += (size_t)c)
        j->k->rmsnorm(j->a->norm1 + at, j->a->inv_rms1 + r, j->a->x + at, j->w->attn_norm, c, j->m->hp.norm_eps);
    at = (size_t)r0 * (size_t)c;
    memcpy(j->a->x_mid + at, j->a->x + at, (size_t)(r1 - r0) * (size_t)c * sizeof(float));
}

static void norm2_rows(void *ud, int r0, int r1)
{
    const struct layer_job *j = ud;
    int c = j->m->hp.n_embd;
    size_t at = (size_t)r0 * (size_t)c;
    for (int r = r0; r < r1; r++, at += (size_t)c)
        j->k->rmsnorm(j->a->norm2 + at, j->a->inv_rms2 + r, j->a->x_mid + at, j->w->ffn_norm, c, j->m->hp.norm_eps);
    at = (size_t)r0 * (size_t)c;
    memcpy(j->y + at, j->a->x_mid + at, (size_t)(r1 - r0) * (size_t)c * sizeof(float));
}

/* Rotates q and k by their positions (pairs 2i, 2i+1: the order that GGUF's q and k rows have) and stores k, v. */
static void rope_store_rows(void *ud, int r0, int r1)
{
    const struct layer_job *j = ud;
    const struct hparams *hp = &j->m->hp;
    const size_t nq = (size_t)hp->n_head * (size_t)hp->head_dim, nkv = (size_t)hp->n_kv_head * (size_t)hp->head_dim;
    const struct attn_shape shape = { hp->n_head, hp->n_kv_head, hp->head_dim };
    int s = 0;
    for (int r = r0; r < r1; r++) {
        while (s < j->b->n_seg - 1 && r >= j->b->seg[s].row0 + j->b->seg[s].n_row) s++;
        const struct segment *seg = &j->b->seg[s];
        int pos = seg->pos0 + r - seg->row0;
        const float *cs = j->m->rope_cos_sin + (size_t)pos * (size_t)hp->rope_dim;
        float *q = j->a->q + (size_t)r * nq, *k = j->a->k + (size_t)r * nkv;
        j->k->rope(q, hp->n_head, hp->head_dim, hp->rope_dim, cs, 0);
        j->k->rope(k, hp->n_kv_head, hp->head_dim, hp->rope_dim, cs, 0);
        struct attn_seq seq = { seg->page, (size_t)j->kv_layer };
        attn_store(&shape, &seq, pos, k, j->a->v + (size_t)r * nkv);
    }
}

static void act_rows(void *ud, int r0, int r1)
{
    const struct layer_job *j = ud;
    const int64_t f = j->m->hp.n_ff, at = r0 * f;
    j->k->silu_mul(j->a->act + at, j->a->gate + at, j->a->up + at, (r1 - r0) * f);
}

void layer_forward(struct gemm_ctx *g, const struct model *m, const struct adapter *ad, int layer, int kv_layer,
                   const struct batch *b, struct layer_acts *a, float *y)
{
    const struct hparams *hp = &m->hp;
    const struct layer *w = &m->layer[layer];
    const struct lora *lo = ad ? ad->lora + (size_t)layer * LIN_COUNT : NULL;
    const int t = b->n_row, rank = ad ? ad->rank : 0;
    const float scale = ad ? ad->scale : 0.0f;
    const struct attn_shape shape = { hp->n_head, hp->n_kv_head, hp->head_dim };
    const int64_t nq = (int64_t)hp->n_head * hp->head_dim;
    struct pool *pool = gemm_pool(g);
    struct layer_job j = { gemm_kern(g), m, w, b, a, y, kv_layer };
#define LIN(kind, in, out, load) linear_into(g, &w->lin[kind], lo ? lo + (kind) : NULL, rank, scale, in, t, out, load, a->lora_h[kind])
    rows_run(pool, norm1_rows, &j, t);
    LIN(LIN_Q, a->norm1, a->q, 0);
    LIN(LIN_K, a->norm1, a->k, 0);
    LIN(LIN_V, a->norm1, a->v, 0);
    rows_run(pool, rope_store_rows, &j, t);
    for (int s = 0; s < b->n_seg; s++)
        a->item[s] = (struct attn_item){ { b->seg[s].page, (size_t)kv_layer }, b->seg[s].row0, b->seg[s].n_row, b->seg[s].pos0 };
    attn_forward_batch(g, &shape, a->item, b->n_seg, a->q, nq, a->att, nq);
    LIN(LIN_O, a->att, a->x_mid, 1);
    rows_run(pool, norm2_rows, &j, t);
    LIN(LIN_GATE, a->norm2, a->gate, 0);
    LIN(LIN_UP, a->norm2, a->up, 0);
    rows_run(pool, act_rows, &j, t);
    LIN(LIN_DOWN, a->act, y, 1);
#undef LIN
}

/* ---- both ends ---- */

void embed_rows(const struct model *m, const int32_t *id, int n_row, float *x)
{
    for (int r = 0; r < n_row; r++) tensor_row_f32(&m->embedding.w, id[r], x + (size_t)r * (size_t)m->hp.n_embd);
}

struct output_job { const struct kern *k; const struct model *m; const float *x; const int32_t *row; float *norm, *inv_rms; };
static void output_norm_rows(void *ud, int i0, int i1)
{
    const struct output_job *j = ud;
    const size_t c = (size_t)j->m->hp.n_embd;
    for (int i = i0; i < i1; i++)
        j->k->rmsnorm(j->norm + (size_t)i * c, j->inv_rms + i, j->x + (size_t)j->row[i] * c, j->m->output_norm, (int)c, j->m->hp.norm_eps);
}

void output_logits(struct gemm_ctx *g, const struct model *m, const float *x, const int32_t *row, int n,
                   float *norm, float *inv_rms, float *logits)
{
    struct output_job j = { gemm_kern(g), m, x, row, norm, inv_rms };
    rows_run(gemm_pool(g), output_norm_rows, &j, n);
    linear_into(g, &m->output, NULL, 0, 0, norm, n, logits, 0, NULL);
}
