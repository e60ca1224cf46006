/* qvalues.c — weights of any element type as floats, and the product C (+)= A·W that runs through W the other way (gradients of
 * activations: A is dy [T, out], W [out, in]) with both sides in 8 bits.
 *
 * The stored blocks of W lie along `in`, but the product sums over `out`. So a task takes a block of at most 256 columns, walks over `out` in
 * chunks of 256, and for each chunk dequantises those weights and rounds every column anew per 32 rows, as `quantize` rounds
 * activations: tiles of the kind Q8_0, which the kernels of inference multiply. They serve all rows of A of the task (up to
 * MOST_ROWS), so their making is a few per cent. ORDER (as qgemm_impl.h has it for types of blocks of 32): an element is one chain
 * over ascending blocks of 32 rows of W, acc = fma((float)Σ q·a, d·d_a, acc). So neither tasks nor threads nor levels change a bit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern_impl.h"
#include "qgemm_impl.h"

#include <stddef.h>

enum {
    PANELS = QG_CHUNK / KERN_PANEL,
    MOST_ROWS = 2048, LEAST_ROWS = 96,
    TILE_ROWS = 40,               /* making the tiles of a chunk costs as much as so many rows of A */
    SERIAL_WORK = 100000          /* multiply-adds below which a product is not work for others */
};

struct qvalues_work {             /* one thread's */
    struct qtile tile[PANELS];
    float v[2][QG_CHUNK * KERN_PANEL];
};
struct back_job {
    struct gemm_ctx *g;
    const struct gemm *p;
    struct qact *act;             /* [chunk][n_row] */
    int64_t n_chunk, rows, cols /* of a task, cols ≤ QG_CHUNK */, rows_a_task;
    int n_row_block;
};

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

void qvalues_free(struct qvalues_work *w) { mem_free(w); }

void weight_values(const struct kern *k, struct qtile *tile, float *rows, float *v, const struct tensor *t, int64_t row0, int n_row, int64_t k0,
                   int64_t n_k)
{
    const struct qtype_info *q = qtype_info(t->type);
    const uint8_t *src = (const uint8_t *)t->data + (size_t)row0 * t->row_bytes + (size_t)(k0 / q->elems) * (size_t)q->bytes;
    const int64_t row_bytes = (int64_t)t->row_bytes;
    if (t->type == QT_F32 && (uintptr_t)t->data % sizeof(float) == 0 && t->row_bytes % sizeof(float) == 0) {
        k->pack_nt(v, (const float *)(const void *)src, row_bytes / (int64_t)sizeof(float), n_row, n_k);
        return;
    }
    if (t->type == QT_F16 || t->type == QT_BF16) {
        k->pack_half(v, src, row_bytes, n_row, n_k, t->type == QT_BF16);
        return;
    }
    if (n_row == KERN_PANEL && k->q->values && k->q->unpack[t->type]) {
        for (int64_t i = 0; i < n_k; i += QG_CHUNK) {
            const int n_sub = (int)(min64(QG_CHUNK, n_k - i) / QG_SUB);
            k->q->unpack[t->type](tile, src + i / q->elems * q->bytes, row_bytes, 0, n_sub);
            k->q->values(v + i * KERN_PANEL, tile, &QKIND[t->type], n_sub);
        }
        return;
    }
    for (int i = 0; i < n_row; i++)
        q->dequantize(rows + i * n_k, src + i * row_bytes, n_k);
    k->pack_nt(v, rows, n_k, n_row, n_k);
}

/* Tiles of rows k0 … k0+n_k (≤ 256), columns col … col+n_col (≤ 256). What is missing of a pair of panels, or of 32 rows, is 0. */
static void make_tiles(const struct back_job *j, struct qvalues_work *w, const struct gemm_scratch *s, int64_t k0, int64_t n_k, int64_t col,
                       int64_t n_col)
{
    const struct kern *k = j->g->k;
    const int n_panel = (int)ceil_div(n_col, QG_PAIR * KERN_PANEL) * QG_PAIR;
    for (int64_t r = 0; r < n_k; r += QG_SUB) {
        for (int h = 0; h < 2; h++) {
            const int64_t n = min64(KERN_PANEL, n_k - r - h * KERN_PANEL), done = n > 0 ? n_col : 0;
            if (n > 0)
                weight_values(k, s->tile, s->rows, w->v[h], j->p->t, k0 + r + h * KERN_PANEL, (int)n, col, n_col);
            memset(w->v[h] + done * KERN_PANEL, 0, (size_t)(n_panel * KERN_PANEL - done) * KERN_PANEL * sizeof(float));
        }
        const float *const v[2] = { w->v[0], w->v[1] };
        k->q->round(w->tile, n_panel, (int)(r / QG_SUB), v);
    }
}

/* The next rows of A: from the second-level cache while these are multiplied. */
static void fetch_rows(const struct qact *act, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (size_t at = 0; at < offsetof(struct qact, sum16); at += 64)
            __builtin_prefetch((const char *)(const void *)(act + i) + at);
}

static void back_task(void *ud, int i_task, int i_thread)
{
    const struct back_job *j = ud;
    const struct gemm *p = j->p;
    struct qvalues_work *w = &j->g->qv[i_thread];
    const int64_t col0 = i_task / j->n_row_block * j->cols, n_col = min64(j->cols, p->n_col - col0);
    const int64_t r0 = i_task % j->n_row_block * j->rows, r1 = min64(r0 + j->rows, p->n_row);
    for (int64_t chunk = 0; chunk < j->n_chunk; chunk++) {
        const int64_t k0 = chunk * QG_CHUNK, n_k = min64(QG_CHUNK, p->n_k - k0);
        const struct qact *act = j->act + chunk * p->n_row;
        const int load = p->load_c || chunk > 0;
        make_tiles(j, w, &j->g->thread[i_thread], k0, n_k, col0, n_col);
        for (int64_t at = 0; at < n_col; at += QG_PAIR * KERN_PANEL) {
            const int64_t wide = min64(QG_PAIR * KERN_PANEL, n_col - at);
            for (int64_t r = r0; r < r1; r += QG_ROWS) {
                float *c[QG_ROWS], edge[QG_ROWS][QG_PAIR * KERN_PANEL];
                const struct qact *rows[QG_ROWS];
                const int n = (int)min64(QG_ROWS, r1 - r), whole = wide == QG_PAIR * KERN_PANEL;
                fetch_rows(act + r + QG_ROWS, min64(r1 - r - QG_ROWS, QG_ROWS));
                for (int i = 0; i < n; i++) {
                    float *to = p->c + (r + i) * p->c_row + col0 + at;
                    rows[i] = act + r + i;
                    c[i] = whole ? to : edge[i];
                    if (!whole && load)
                        memcpy(edge[i], to, (size_t)wide * sizeof(float));
                }
                j->g->k->q->tile(c, load, rows, n, w->tile + at / KERN_PANEL, (int)ceil_div(n_k, QG_SUB), &QKIND[QT_Q8_0]);
                for (int i = 0; i < n && !whole; i++)
                    memcpy(p->c + (r + i) * p->c_row + col0 + at, edge[i], (size_t)wide * sizeof(float));
            }
        }
    }
}

/* Rows of A per 32 along k; the last block of a row whose length 32 does not divide is filled up with zeros. */
static void round_task(void *ud, int i_task, int i_thread)
{
    const struct back_job *j = ud;
    const struct gemm *p = j->p;
    const int64_t r0 = i_task * j->rows_a_task, r1 = min64(r0 + j->rows_a_task, p->n_row);
    (void)i_thread;
    for (int64_t r = r0; r < r1; r++)
        for (int64_t c = 0; c < j->n_chunk; c++) {
            const int n = (int)min64(QG_CHUNK, p->n_k - c * QG_CHUNK);
            const float *x = p->a + r * p->a_row + c * QG_CHUNK * p->a_col;
            float copy[QG_CHUNK];
            if (n % QG_SUB || p->a_col != 1) {
                for (int i = 0; i < QG_CHUNK; i++)
                    copy[i] = i < n ? x[i * p->a_col] : 0.0f;
                x = copy;
            }
            j->g->k->q->quantize(&j->act[c * p->n_row + r], x, (n + QG_SUB - 1) / QG_SUB * QG_SUB, 0);
        }
}

/* Rows and columns of a task: the least time of the busiest thread. */
static void cut_tasks(struct back_job *j)
{
    const int64_t n_row = j->p->n_row, n_col = j->p->n_col, n_thread = j->g->n_thread, elems = qtype_info(j->p->t->type)->elems;
    const int64_t wide = elems > QG_PAIR * KERN_PANEL ? elems : QG_PAIR * KERN_PANEL; /* whole blocks of W */
    int64_t best = INT64_MAX;
    for (int64_t n_c = ceil_div(n_col, QG_CHUNK); n_c <= ceil_div(n_col, QG_CHUNK / 2); n_c++) {
        const int64_t cols = ceil_div(ceil_div(n_col, n_c), wide) * wide, col_blocks = ceil_div(n_col, cols);
        for (int64_t n = ceil_div(n_row, MOST_ROWS); n <= ceil_div(n_row, LEAST_ROWS); n++) {
            const int64_t rows = ceil_div(ceil_div(n_row, n), QG_ROWS) * QG_ROWS, blocks = ceil_div(n_row, rows);
            const int64_t time = ceil_div(col_blocks * blocks, n_thread) * (rows + TILE_ROWS) * cols;
            if (time >= best)
                continue;
            best = time;
            j->rows = rows;
            j->cols = cols;
            j->n_row_block = (int)blocks;
        }
    }
}

void qvalues_run(struct gemm_ctx *g, const struct gemm *p)
{
    struct back_job j = { .g = g, .p = p, .n_chunk = ceil_div(p->n_k, QG_CHUNK) };
    if (p->n_row <= 0 || p->n_col <= 0)
        return;
    if (!g->qv)
        g->qv = mem_aligned((size_t)g->n_thread * sizeof *g->qv);
    j.act = g->qv ? qgemm_act_reserve(g, 0, j.n_chunk, p->n_row) : NULL;
    if (!j.act) {
        gemm_zero(g, p);
        return;
    }
    const int here = (double)p->n_row * (double)p->n_col * (double)p->n_k < SERIAL_WORK || g->n_thread == 1;
    j.rows_a_task = here ? p->n_row : ceil_div(p->n_row, 4 * g->n_thread);
    gemm_tasks(g, round_task, &j, (int)ceil_div(p->n_row, j.rows_a_task), here);
    cut_tasks(&j);
    gemm_tasks(g, back_task, &j, (int)ceil_div(p->n_col, j.cols) * j.n_row_block, here);
}

size_t gemm_q8_bytes(const struct gemm_ctx *g, int64_t n_row, int64_t widest)
{
    return 2 * (size_t)ceil_div(widest, QG_CHUNK) * (size_t)n_row * sizeof(struct qact) + (size_t)g->n_thread * sizeof(struct qvalues_work);
}
