/* attention_back.c — backward pass of causal attention, for training on whole sequences, and on trees: a prefix and several ends of it.
 *
 * P = softmax(S), S = scale·QKᵀ, capped where the shape says so; O = PV.  dV = Pᵀ dO,  dP = dO Vᵀ,  dS = P∘(dP − rowsum(dO∘O)),
 * times 1 − (S/cap)² where capped,  dQ = scale·dS K,  dK = scale·dSᵀ Q  (Dao et al., "FlashAttention", 2022, appendix B).
 * One task is one KV head of one sequence, or of a prefix and all that go on from it; items, query heads and row blocks follow each
 * other in ascending order, so nothing is summed across threads, and the prefix's dK and dV are the sum over all that attend to it.
 * Positions before a window are neither read nor written. A position's row of K is found in two parts: prefix, own rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "attention_impl.h"

enum { BACK_ROWS = 48 /* positions of one block of rows */, STRIP = 12 /* rows that share how far they see */ };

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
static int min_int(int a, int b) { return a < b ? a : b; }

struct backward_job {
    struct gemm_ctx *g;
    const struct attn_shape *s;
    const struct attn_item *item; int n_item;
    const float *q, *k, *v; int64_t q_row, kv_row;
    const float *out, *dout; int64_t o_row;
    float *dq, *dk, *dv;
};

/* Positions and rows are padded so that every panel of a block is whole. */
size_t attn_backward_floats(const struct attn_shape *s, int64_t n)
{
    size_t d = (size_t)s->head_dim, len = (size_t)round_up(n, KERN_PANEL);
    return 2 * len * d + BACK_ROWS * ((s->softcap > 0 ? 3 : 2) * len + d);
}

/* Rows of one head on their way: they stand a model's width apart, in other pages, where the hardware does not look ahead. */
static void fetch_rows(const float *p, int64_t row, int n_row, int d)
{
    for (int r = 0; r < n_row; r++)
        for (int i = 0; i < d; i += 16)
            __builtin_prefetch(p + r * row + i);
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

/* x = cap·tanh(x/cap); slope = its derivative 1 - (x/cap)². tanh(y) = 1 - 2/(exp(2y) + 1). */
static void cap_scores(float *x, float *slope, int n, float cap)
{
    for (int i = 0; i < n; i++) {
        float t = 1.0f - 2.0f / (exp_ref(x[i] * (2.0f / cap)) + 1.0f);
        x[i] = cap * t;
        slope[i] = 1.0f - t * t;
    }
}

/* How many of n columns the strip at row r sees, whose block begins at column `first`: what lies behind is zero and adds nothing. */
static int strip_sees(int first, int r, int n) { return min_int(n, (int)round_up(first + r + STRIP, KERN_PANEL)); }

/* Rows that hold positions from … to: position i is row row0 + i. */
struct stretch { int from, to; int64_t row0; };

/* Rows first … first+n_row of one query head of an item whose positions begin behind a prefix at rows base …; kt, vt: keys and values of
 * all positions, transposed into panels [len/16][D][16]. Scores stand in columns from the first panel on that a row of the block sees. */
static void backward_block(const struct backward_job *b, const struct attn_item *it, int64_t base, int head, int first, int n_row,
                           const float *kt, const float *vt, float *scratch)
{
    const struct kern *kern = b->g->k;
    const struct attn_shape *s = b->s;
    int d = s->head_dim, kv_head = head / (s->n_head / s->n_kv_head), prefix = it->pos0, pos = prefix + first;
    int lo = attn_from(s, pos) / KERN_PANEL * KERN_PANEL, n_seen = pos + n_row - lo;
    int64_t p_row = round_up(prefix + it->n_row, KERN_PANEL), step = (int64_t)KERN_PANEL * d, row = it->row0;
    float *p = scratch, *ds = p + BACK_ROWS * p_row, *qs = ds + BACK_ROWS * p_row, *slope = qs + BACK_ROWS * d, by = attn_scale(s);
    const float *q = b->q + (row + first) * b->q_row + head * d;
    const float *o = b->out + (row + first) * b->o_row + head * d, *go = b->dout + (row + first) * b->o_row + head * d;
    const struct stretch part[2] = { { lo, min_int(prefix, pos + n_row), base }, { lo > prefix ? lo : prefix, pos + n_row, row - prefix } };
    for (int r = 0; r < n_row; r++)
        memcpy(qs + r * d, q + r * b->q_row, (size_t)d * sizeof *q);
    kern->scale(qs, by, (int64_t)n_row * d);
    fetch_rows(o, b->o_row, n_row, d);
    for (int r = 0; r < n_row; r += STRIP)                                                            /* S = scale·Q·Kᵀ */
        product(kern, p + r * p_row, p_row, 0, qs + r * d, d, 1, kt + lo * d, KERN_PANEL, step, min_int(n_row - r, STRIP), strip_sees(pos - lo, r, n_seen), d);
    const int next = min_int(it->n_row - first - n_row, BACK_ROWS);
    fetch_rows(q + n_row * b->q_row, b->q_row, next, d);
    for (int r = 0; r < n_row; r += STRIP)                                                            /* dP = dO·Vᵀ */
        product(kern, ds + r * p_row, p_row, 0, go + r * b->o_row, b->o_row, 1, vt + lo * d, KERN_PANEL, step, min_int(n_row - r, STRIP),
                strip_sees(pos - lo, r, n_seen), d);
    fetch_rows(go + n_row * b->o_row, b->o_row, next, d);
    for (int r = 0; r < n_row; r++) {
        int from = attn_from(s, pos + r) - lo, n = pos + r + 1 - lo;
        float *pr = p + r * p_row, *dr = ds + r * p_row, delta = kern->dot(go + r * b->o_row, o + r * b->o_row, d);
        if (s->softcap > 0)
            cap_scores(pr + from, slope + r * p_row + from, n - from, s->softcap);
        kern->softmax(pr + from, n - from);
        for (int j = from; j < n; j++)
            dr[j] = pr[j] * (dr[j] - delta) * by;
        for (int j = from; s->softcap > 0 && j < n; j++)
            dr[j] *= slope[r * p_row + j];
        for (int j = 0; j < from; j++)
            pr[j] = dr[j] = 0.0f;
        for (int j = n; j < n_seen; j++)
            pr[j] = dr[j] = 0.0f;
    }
    for (int i = 0, load = 0; i < 2; i++) {
        const struct stretch *t = &part[i];
        const int n = t->to - t->from, col = t->from - lo;
        const int64_t at = (t->row0 + t->from) * b->kv_row + kv_head * d;
        if (n <= 0)
            continue;
        float *dq = b->dq + (row + first) * b->q_row + head * d;
        for (int r = 0; r < n_row; r += STRIP)
            product(kern, dq + r * b->q_row, b->q_row, load, ds + r * p_row + col, p_row, 1, b->k + at, b->kv_row, KERN_PANEL, min_int(n_row - r, STRIP), d,
                    strip_sees(pos - t->from, r, n));
        /* dV += Pᵀ·dO, dK += dSᵀ·Q: positions before the block's are seen by all its rows, the others by their own row and those below */
        const int before = min_int(pos - t->from, n);
        for (int j = 0, wide = before > 0 ? before : STRIP; j < n; j += wide, wide = STRIP) {
            const int r = j > before ? j - before : 0, m = min_int(n - j, wide);
            const int64_t to = at + j * b->kv_row, c = r * p_row + col + j;
            product(kern, b->dv + to, b->kv_row, 1, p + c, 1, p_row, go + r * b->o_row, b->o_row, KERN_PANEL, m, d, n_row - r);
            product(kern, b->dk + to, b->kv_row, 1, ds + c, 1, p_row, q + r * b->q_row, b->q_row, KERN_PANEL, m, d, n_row - r);
        }
        load = 1;
    }
}

/* Items of one sequence: itself, and those behind it that go on from it. */
static int tree_items(const struct backward_job *b, const struct attn_item *it)
{
    int n = 1;
    while (it + n < b->item + b->n_item && it[n].pos0 > 0)
        n++;
    return n;
}

static void backward_task(void *ud, int i_task, int i_thread)
{
    const struct backward_job *b = ud;
    const struct attn_item *root = b->item;
    for (int i = i_task / b->s->n_kv_head; i > 0; i--)
        root += tree_items(b, root);
    const int kv_head = i_task % b->s->n_kv_head, group = b->s->n_head / b->s->n_kv_head, d = b->s->head_dim, n_item = tree_items(b, root);
    size_t len = 0;
    for (const struct attn_item *it = root; it < root + n_item; it++) {
        const size_t n = (size_t)round_up(it->pos0 + it->n_row, KERN_PANEL);
        len = n > len ? n : len;
        for (int r = it->row0; r < it->row0 + it->n_row; r++) {
            memset(b->dk + r * b->kv_row + kv_head * d, 0, (size_t)d * sizeof *b->dk);
            memset(b->dv + r * b->kv_row + kv_head * d, 0, (size_t)d * sizeof *b->dv);
        }
    }
    float *kt = b->g->thread[i_thread].attn, *vt = kt + len * (size_t)d, *scratch = vt + len * (size_t)d;
    for (const struct attn_item *it = root; it < root + n_item; it++) { /* the prefix's panels stay where they are */
        const float *k = b->k + it->row0 * b->kv_row + kv_head * d, *v = b->v + it->row0 * b->kv_row + kv_head * d;
        for (int j = 0; j < it->n_row; j += KERN_PANEL) {
            const int next = j + KERN_PANEL, n = min_int(it->n_row - next, KERN_PANEL);
            fetch_rows(k + next * b->kv_row, b->kv_row, n, d);
            fetch_rows(v + next * b->kv_row, b->kv_row, n, d);
            b->g->k->pack_nt(kt + (it->pos0 + j) * d, k + j * b->kv_row, b->kv_row, min_int(it->n_row - j, KERN_PANEL), d);
            b->g->k->pack_nt(vt + (it->pos0 + j) * d, v + j * b->kv_row, b->kv_row, min_int(it->n_row - j, KERN_PANEL), d);
        }
        for (int h = kv_head * group; h < (kv_head + 1) * group; h++)
            for (int first = 0; first < it->n_row; first += BACK_ROWS)
                backward_block(b, it, root->row0, h, first, min_int(it->n_row - first, BACK_ROWS), kt, vt, scratch);
    }
}

void attn_backward_batch(struct gemm_ctx *g, const struct attn_shape *s, const struct attn_item *it, int n_item,
                         const float *q, const float *k, const float *v, int64_t q_row, int64_t kv_row,
                         const float *out, const float *dout, int64_t o_row, float *dq, float *dk, float *dv)
{
    struct backward_job b = { g, s, it, n_item, q, k, v, q_row, kv_row, out, dout, o_row, dq, dk, dv };
    int longest = 0, n_tree = 0;
    for (int i = 0; i < n_item; i++) {
        longest = it[i].pos0 + it[i].n_row > longest ? it[i].pos0 + it[i].n_row : longest;
        n_tree += it[i].pos0 == 0 || i == 0;
    }
    if (gemm_scratch_grow(g, attn_backward_floats(s, longest))) {
        g->failed = 1;
        for (int i = 0; i < n_item; i++)
            for (int r = it[i].row0; r < it[i].row0 + it[i].n_row; r++) {
                memset(dq + r * q_row, 0, (size_t)(s->n_head * s->head_dim) * sizeof *dq);
                memset(dk + r * kv_row, 0, (size_t)(s->n_kv_head * s->head_dim) * sizeof *dk);
                memset(dv + r * kv_row, 0, (size_t)(s->n_kv_head * s->head_dim) * sizeof *dv);
            }
        return;
    }
    gemm_tasks(g, backward_task, &b, n_tree * s->n_kv_head, 0);
}
