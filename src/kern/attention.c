/* attention.c — causal attention over pages of keys and values, and its backward pass for training.
 *
 * A task takes one KV head and a block of consecutive positions; its rows are (position, query head of the group).
 * Scores are tiles Q·Kᵀ (a page of keys already has the form of a panel of B), every row is soft-maxed over exactly
 * its own pos+1 entries, and P·V is one chain over ascending positions 0..pos: pages that all rows see are taken
 * together, the last ones row by row. So a row's bits do not depend on the rows it is computed with.
 *
 * Backward (P = softmax(QKᵀ/√D), O = PV):  dV = Pᵀ dO,  dP = dO Vᵀ,  dS = P∘(dP − rowsum(dO∘O)),
 * dQ = dS K/√D,  dK = dSᵀ Q/√D  (Dao et al., "FlashAttention", 2022, appendix B). One task is one KV head of one
 * item; its query heads and row blocks follow each other in ascending order, so nothing is summed across threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern_impl.h"

enum {
    BLOCK_ROWS = 24,              /* rows of one forward task, about */
    BLOCK_MAX_POS = 16,           /* positions of one forward task, at most */
    BACK_ROWS = 48,               /* positions of one block of the backward pass */
    SERIAL_WORK = 50000
};

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
static int min_int(int a, int b) { return a < b ? a : b; }
static float inv_sqrt_dim(int head_dim) { return 1.0f / sqrtf((float)head_dim); }

static const float *keys_at(const struct attn_shape *s, const struct attn_seq *q, int head, int page)
{
    return q->page[page] + (q->layer * (size_t)s->n_kv_head + (size_t)head) * 2 * KERN_PANEL * (size_t)s->head_dim;
}

void attn_store(const struct attn_shape *s, const struct attn_seq *q, int pos, const float *k, const float *v)
{
    int d = s->head_dim, slot = pos % KERN_PANEL;
    for (int h = 0; h < s->n_kv_head; h++, k += d, v += d) {
        float *keys = q->page[pos / KERN_PANEL] + (q->layer * (size_t)s->n_kv_head + (size_t)h) * 2 * KERN_PANEL * (size_t)d;
        for (int i = 0; i < d; i++)
            keys[i * KERN_PANEL + slot] = k[i];
        memcpy(keys + (KERN_PANEL + slot) * d, v, (size_t)d * sizeof *v);
    }
}

/* C[n_row, n_col] (+)= A·B with B row-major or one panel every panel_step floats; on this thread. */
static void product(const struct kern *k, float *c, int64_t c_row, int load_c, const float *a, int64_t a_row, int64_t a_col,
                    const float *b, int64_t b_row, int64_t panel_step, int n_row, int n_col, int64_t n_k)
{
    for (int j = 0; j < n_col; j += 2 * KERN_PANEL) {
        const float *bj = b + j / KERN_PANEL * panel_step;
        int cols = min_int(n_col - j, 2 * KERN_PANEL);
        k->gemm_tile(c + j, c_row, load_c, a, a_row, a_col, bj, cols > KERN_PANEL ? bj + panel_step : NULL, b_row, n_row, cols, n_k);
    }
}

/* ---- forward ---- */
struct forward_job {
    struct gemm_ctx *g;
    const struct attn_shape *s;
    const struct attn_item *item;
    int n_item, block_pos;        /* positions of one task */
    const float *q; int64_t q_row;
    float *out; int64_t o_row;
};

/* Scores of rows [n_pos·G] against positions 0..last, scaled through q. */
static void scores(const struct forward_job *f, const struct attn_item *it, int head, const float *q, float *p, int64_t p_row,
                   int n_row, int n_seen)
{
    int d = f->s->head_dim;
    for (int j = 0; j < n_seen; j += 2 * KERN_PANEL) {
        int cols = min_int(n_seen - j, 2 * KERN_PANEL);
        const float *b = keys_at(f->s, &it->seq, head, j / KERN_PANEL);
        const float *b2 = cols > KERN_PANEL ? keys_at(f->s, &it->seq, head, j / KERN_PANEL + 1) : NULL;
        f->g->k->gemm_tile(p + j, p_row, 0, q, d, 1, b, b2, KERN_PANEL, n_row, cols, d);
    }
}

static void forward_block(const struct forward_job *f, const struct attn_item *it, int head, int first, int i_thread)
{
    const struct attn_shape *s = f->s;
    const struct kern *k = f->g->k;
    int d = s->head_dim, group = s->n_head / s->n_kv_head, n_pos = min_int(it->n_row - first, f->block_pos);
    int n_row = n_pos * group, pos = it->pos0 + first, n_seen = pos + n_pos; /* positions the last row sees */
    int64_t p_row = round_up(n_seen, KERN_PANEL);
    float *q = f->g->thread[i_thread].attn, *o = q + n_row * d, *p = o + n_row * d;
    for (int r = 0; r < n_pos; r++)
        memcpy(q + r * group * d, f->q + (it->row0 + first + r) * f->q_row + head * group * d, (size_t)(group * d) * sizeof *q);
    k->scale(q, inv_sqrt_dim(d), (int64_t)n_row * d);
    scores(f, it, head, q, p, p_row, n_row, n_seen);
    for (int r = 0; r < n_row; r++)
        k->softmax(p + r * p_row, pos + r / group + 1);
    for (int j = 0; j < n_seen; j += KERN_PANEL) {
        const float *v = keys_at(s, &it->seq, head, j / KERN_PANEL) + KERN_PANEL * d;
        if (j + KERN_PANEL <= pos + 1) { /* every row sees the whole page */
            product(k, o, d, j > 0, p + j, p_row, 1, v, d, KERN_PANEL, n_row, d, KERN_PANEL);
            continue;
        }
        for (int r = 0; r < n_pos; r++) {
            int n = min_int(pos + r + 1 - j, KERN_PANEL);
            if (n > 0)
                product(k, o + r * group * d, d, j > 0, p + r * group * p_row + j, p_row, 1, v, d, KERN_PANEL, group, d, n);
        }
    }
    for (int r = 0; r < n_pos; r++)
        memcpy(f->out + (it->row0 + first + r) * f->o_row + head * group * d, o + r * group * d, (size_t)(group * d) * sizeof *o);
}

static int item_blocks(const struct forward_job *f, const struct attn_item *it)
{
    return (it->n_row + f->block_pos - 1) / f->block_pos * f->s->n_kv_head;
}

static void forward_task(void *ud, int i_task, int i_thread)
{
    const struct forward_job *f = ud;
    const struct attn_item *it = f->item;
    while (i_task >= item_blocks(f, it))
        i_task -= item_blocks(f, it++);
    forward_block(f, it, i_task % f->s->n_kv_head, i_task / f->s->n_kv_head * f->block_pos, i_thread);
}

static int block_positions(const struct attn_shape *s)
{
    int n = BLOCK_ROWS / (s->n_head / s->n_kv_head);
    return n < 1 ? 1 : min_int(n, BLOCK_MAX_POS);
}

static size_t forward_floats(const struct attn_shape *s, int64_t n_seen)
{
    size_t rows = (size_t)(block_positions(s) * (s->n_head / s->n_kv_head));
    return rows * (2 * (size_t)s->head_dim + (size_t)round_up(n_seen, KERN_PANEL));
}

/* Positions and rows are padded so that every panel of a block is whole. */
static size_t backward_floats(const struct attn_shape *s, int64_t n)
{
    size_t d = (size_t)s->head_dim, len = (size_t)round_up(n, KERN_PANEL);
    return 2 * len * d + BACK_ROWS * (2 * len + d);
}

int attn_reserve(struct gemm_ctx *g, const struct attn_shape *s, int max_pos, int backward)
{
    size_t n = forward_floats(s, max_pos), b = backward ? backward_floats(s, max_pos) : 0;
    return gemm_scratch_grow(g, n > b ? n : b);
}

int gemm_failed(struct gemm_ctx *g)
{
    int failed = g->failed;
    g->failed = 0;
    return failed;
}

void attn_forward_batch(struct gemm_ctx *g, const struct attn_shape *s, const struct attn_item *it, int n_item,
                        const float *q, int64_t q_row, float *out, int64_t o_row)
{
    struct forward_job f = { g, s, it, n_item, block_positions(s), q, q_row, out, o_row };
    int n_task = 0, longest = 0;
    double work = 0;
    for (int i = 0; i < n_item; i++) {
        int n_seen = it[i].pos0 + it[i].n_row;
        n_task += item_blocks(&f, &it[i]);
        longest = n_seen > longest ? n_seen : longest;
        work += (double)it[i].n_row * n_seen * s->n_head * s->head_dim;
    }
    if (gemm_scratch_grow(g, forward_floats(s, longest))) {
        g->failed = 1;
        for (int i = 0; i < n_item; i++)
            for (int r = it[i].row0; r < it[i].row0 + it[i].n_row; r++)
                memset(out + r * o_row, 0, (size_t)(s->n_head * s->head_dim) * sizeof *out);
        return;
    }
    gemm_tasks(g, forward_task, &f, n_task, work < SERIAL_WORK);
}

void attn_forward(struct gemm_ctx *g, const struct attn_shape *s, const struct attn_seq *seq, int n_row, int pos0,
                  const float *q, int64_t q_row, float *out, int64_t o_row)
{
    struct attn_item it = { *seq, 0, n_row, pos0 };
    attn_forward_batch(g, s, &it, 1, q, q_row, out, o_row);
}

/* ---- backward ---- */
struct backward_job {
    struct gemm_ctx *g;
    const struct attn_shape *s;
    const struct attn_item *item;
    const float *q, *k, *v; int64_t q_row, kv_row;
    const float *out, *dout; int64_t o_row;
    float *dq, *dk, *dv;
};

/* Rows first … first+n_row of one query head; kt, vt: keys and values transposed into panels [len/16][D][16]. */
static void backward_block(const struct backward_job *b, const struct attn_item *it, int head, int first, int n_row,
                           const float *kt, const float *vt, float *scratch)
{
    const struct kern *kern = b->g->k;
    int d = b->s->head_dim, kv_head = head / (b->s->n_head / b->s->n_kv_head), n_seen = first + n_row;
    int64_t p_row = round_up(it->n_row, KERN_PANEL), step = (int64_t)KERN_PANEL * d, row = it->row0;
    float *p = scratch, *ds = p + BACK_ROWS * p_row, *qs = ds + BACK_ROWS * p_row, by = inv_sqrt_dim(d);
    const float *q = b->q + (row + first) * b->q_row + head * d, *k = b->k + row * b->kv_row + kv_head * d;
    const float *o = b->out + (row + first) * b->o_row + head * d, *go = b->dout + (row + first) * b->o_row + head * d;
    float *dk = b->dk + row * b->kv_row + kv_head * d, *dv = b->dv + row * b->kv_row + kv_head * d;
    for (int r = 0; r < n_row; r++)
        memcpy(qs + r * d, q + r * b->q_row, (size_t)d * sizeof *q);
    kern->scale(qs, by, (int64_t)n_row * d);
    product(kern, p, p_row, 0, qs, d, 1, kt, KERN_PANEL, step, n_row, n_seen, d);                /* S = Q·Kᵀ/√D */
    product(kern, ds, p_row, 0, go, b->o_row, 1, vt, KERN_PANEL, step, n_row, n_seen, d);        /* dP = dO·Vᵀ */
    for (int r = 0; r < n_row; r++) {
        int n = first + r + 1;
        float *pr = p + r * p_row, *dr = ds + r * p_row, delta = kern->dot(go + r * b->o_row, o + r * b->o_row, d);
        kern->softmax(pr, n);
        for (int j = 0; j < n; j++)
            dr[j] = pr[j] * (dr[j] - delta) * by;
        for (int j = n; j < n_seen; j++)
            pr[j] = dr[j] = 0.0f;
    }
    product(kern, b->dq + (row + first) * b->q_row + head * d, b->q_row, 0, ds, p_row, 1, k, b->kv_row, KERN_PANEL, n_row, d, n_seen);
    product(kern, dv, b->kv_row, 1, p, 1, p_row, go, b->o_row, KERN_PANEL, n_seen, d, n_row);    /* dV += Pᵀ·dO */
    product(kern, dk, b->kv_row, 1, ds, 1, p_row, q, b->q_row, KERN_PANEL, n_seen, d, n_row);    /* dK += dSᵀ·Q */
}

static void backward_task(void *ud, int i_task, int i_thread)
{
    const struct backward_job *b = ud;
    const struct attn_item *it = &b->item[i_task / b->s->n_kv_head];
    int kv_head = i_task % b->s->n_kv_head, group = b->s->n_head / b->s->n_kv_head, d = b->s->head_dim, n = it->n_row;
    const float *k = b->k + it->row0 * b->kv_row + kv_head * d, *v = b->v + it->row0 * b->kv_row + kv_head * d;
    size_t len = (size_t)round_up(n, KERN_PANEL);
    float *kt = b->g->thread[i_thread].attn, *vt = kt + len * (size_t)d, *scratch = vt + len * (size_t)d;
    for (int j = 0; j < n; j += KERN_PANEL) {
        b->g->k->pack_nt(kt + j * d, k + j * b->kv_row, b->kv_row, min_int(n - j, KERN_PANEL), d);
        b->g->k->pack_nt(vt + j * d, v + j * b->kv_row, b->kv_row, min_int(n - j, KERN_PANEL), d);
    }
    for (int j = 0; j < n; j++) {
        memset(b->dk + (it->row0 + j) * b->kv_row + kv_head * d, 0, (size_t)d * sizeof *b->dk);
        memset(b->dv + (it->row0 + j) * b->kv_row + kv_head * d, 0, (size_t)d * sizeof *b->dv);
    }
    for (int h = kv_head * group; h < (kv_head + 1) * group; h++)
        for (int first = 0; first < n; first += BACK_ROWS)
            backward_block(b, it, h, first, min_int(n - first, BACK_ROWS), kt, vt, scratch);
}

void attn_backward_batch(struct gemm_ctx *g, const struct attn_shape *s, const struct attn_item *it, int n_item,
                         const float *q, const float *k, const float *v, int64_t q_row, int64_t kv_row,
                         const float *out, const float *dout, int64_t o_row, float *dq, float *dk, float *dv)
{
    struct backward_job b = { g, s, it, q, k, v, q_row, kv_row, out, dout, o_row, dq, dk, dv };
    int longest = 0;
    for (int i = 0; i < n_item; i++)
        longest = it[i].n_row > longest ? it[i].n_row : longest;
    if (gemm_scratch_grow(g, backward_floats(s, longest))) {
        g->failed = 1;
        for (int i = 0; i < n_item; i++)
            for (int r = it[i].row0; r < it[i].row0 + it[i].n_row; r++) {
                memset(dq + r * q_row, 0, (size_t)(s->n_head * s->head_dim) * sizeof *dq);
                memset(dk + r * kv_row, 0, (size_t)(s->n_kv_head * s->head_dim) * sizeof *dk);
                memset(dv + r * kv_row, 0, (size_t)(s->n_kv_head * s->head_dim) * sizeof *dv);
            }
        return;
    }
    gemm_tasks(g, backward_task, &b, n_item * s->n_kv_head, 0);
}
