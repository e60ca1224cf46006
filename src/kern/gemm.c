/* gemm.c — matrix products of any shape from tiles, over a thread pool.
 *
 * C is cut into a grid of tasks (rows × columns). A task walks over blocks of k; for each it packs its columns of B
 * into panels that stay in its second-level cache (unless B already is in panels or is used too little), then takes
 * blocks of rows of A (packed first if A is stored transposed): two panels of B after the other stay in the first-level
 * cache while the block's strips of twelve rows pass by. Where several blocks of rows use a B that is to be packed, the
 * threads pack it together first, as many blocks of k as PACKED_MOST holds; else a task packs what it needs, and what packing twice
 * costs is weighed against idle threads when the grid is chosen (make_plan). Because each element is one chain over ascending k (kern.h), no choice made here changes a bit of the result.
 * After K. Goto, R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008, with the roles of A and B
 * as in their panel-panel form.  SPDX-License-Identifier: Apache-2.0 */
#include "kern_impl.h"
#include "qgemm_impl.h"

enum {
    SERIAL_WORK = 50000,          /* multiply-adds below which waking the pool costs more than it gives */
    PACK_B_MIN_ROWS = 24,         /* row-major B is packed when at least so many rows use it */
    PACK_A_MIN_COLS = 96,         /* transposed A is packed when at least so many columns use it */
    PACKED_MOST = 1 << 20,        /* floats of B that are packed for all tasks at once: they stay in the third-level cache */
    PACKED_MIN_ROWS = 96,         /* from so many rows of A on */
    PACKED_COLS = 256,            /* columns that one task packs of them */
    PACK_AHEAD = 6                /* rows that packing fetches ahead: they lie in other pages, where the hardware does not look */
};

/* Floats from one packed panel or strip of kc to the next: a cache line more than it holds, so that writing a row of
 * many panels does not hit one set of the cache again and again. */
static inline int64_t panel_step(int64_t kc) { return (kc + 1) * KERN_PANEL; }

/* ---- context ---- */
struct gemm_ctx *gemm_ctx_new(const struct kern *k, struct pool *pool)
{
    struct gemm_ctx *g = mem_calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->k = k;
    g->pool = pool;
    g->n_thread = pool ? pool_threads(pool) : 1;
    size_t n_b = (size_t)GEMM_NC * GEMM_KC + GEMM_MAX_NC, n_rows = (size_t)KERN_PANEL * GEMM_KC;
    size_t n_a = (size_t)panel_step(GEMM_KC) * (GEMM_A_ROWS / GEMM_MR), n_tile = (sizeof(struct qtile) + 63) / 64 * 16;
    size_t one = n_b + n_a + 2 * n_rows + n_tile;
    g->thread = mem_calloc((size_t)g->n_thread, sizeof *g->thread);
    g->base = mem_aligned((size_t)g->n_thread * one * sizeof *g->base);
    if (!g->thread || !g->base) {
        gemm_ctx_free(g);
        return NULL;
    }
    for (int i = 0; i < g->n_thread; i++) {
        float *p = g->base + (size_t)i * one;
        g->thread[i].b = p;
        g->thread[i].a = p + n_b;
        g->thread[i].rows = p + n_b + n_a;
        g->thread[i].values = p + n_b + n_a + n_rows;
        g->thread[i].tile = (struct qtile *)(void *)(p + n_b + n_a + 2 * n_rows);
    }
    return g;
}

void gemm_ctx_free(struct gemm_ctx *g)
{
    if (!g)
        return;
    for (int i = 0; g->thread && i < g->n_thread; i++)
        mem_free(g->thread[i].attn);
    qgemm_scratch_free(g->q);
    qvalues_free(g->qv);
    mem_free(g->rows);
    mem_free(g->packed);
    mem_free(g->partial);
    mem_free(g->thread);
    mem_free(g->base);
    mem_free(g);
}

const struct kern *gemm_kern(const struct gemm_ctx *g) { return g->k; }
struct pool *gemm_pool(const struct gemm_ctx *g) { return g->pool; }

void gemm_tasks(struct gemm_ctx *g, pool_task_fn *fn, void *ud, int n_task, int here)
{
    if (!here && g->pool) {
        pool_run(g->pool, fn, ud, n_task);
        return;
    }
    for (int i = 0; i < n_task; i++)
        fn(ud, i, 0);
}

int gemm_scratch_grow(struct gemm_ctx *g, size_t n)
{
    size_t bytes;
    if (MUL_OVERFLOWS(n, sizeof(float), &bytes))
        return ILAB_E_NOMEM;
    for (int i = 0; i < g->n_thread; i++) {
        struct gemm_scratch *s = &g->thread[i];
        if (s->n_attn >= n)
            continue;
        float *p = mem_aligned(bytes);
        if (!p)
            return ILAB_E_NOMEM;
        mem_free(s->attn);
        s->attn = p;
        s->n_attn = n;
    }
    return ILAB_OK;
}

float *gemm_rows_reserve(struct gemm_ctx *g, size_t n_row, size_t n_k)
{
    size_t n, bytes;
    if (MUL_OVERFLOWS(n_row, n_k, &n) || MUL_OVERFLOWS(n, sizeof(float), &bytes))
        return NULL;
    if (g->n_rows < n) {
        mem_free(g->rows);
        g->rows = mem_aligned(bytes);
        g->n_rows = g->rows ? n : 0;
    }
    return g->rows;
}

size_t gemm_exact_bytes(int64_t widest, int64_t n_row)
{
    const int64_t n = (n_row > widest ? n_row : widest) * (widest + KERN_PANEL);
    return (size_t)(n < PACKED_MOST ? n : PACKED_MOST) * sizeof(float);
}

static float *packed_reserve(struct gemm_ctx *g, size_t n)
{
    if (g->n_packed < n) {
        mem_free(g->packed);
        g->packed = mem_aligned(n * sizeof *g->packed);
        g->n_packed = g->packed ? n : 0;
    }
    return g->packed;
}

void gemm_zero(struct gemm_ctx *g, const struct gemm *p)
{
    g->failed = 1;
    for (int64_t i = 0; i < p->n_row; i++)
        memset(p->c + i * p->c_row, 0, (size_t)p->n_col * sizeof *p->c);
}

/* ---- packing ---- */
/* Columns j0 … j0+n_j of Bᵀ = t, rows k0 … k0+kc, into panels dst[n_j/16][panel_step]. */
static void pack_tensor(const struct kern *k, const struct gemm_scratch *s, float *dst, int64_t panel_step, const struct tensor *t,
                        int64_t n_col, int64_t j0, int64_t n_j, int64_t k0, int64_t kc)
{
    for (int64_t j = j0; j < j0 + n_j; j += KERN_PANEL, dst += panel_step)
        weight_values(k, s->tile, s->rows, dst, t, j, n_col - j < KERN_PANEL ? (int)(n_col - j) : KERN_PANEL, k0, kc);
}

/* Rows k0 … k0+kc, columns j0 … j0+n_j of a tensor that is used as it lies: sixteen rows at a time become floats the other way round
 * and are turned back panel by panel. */
static void pack_tensor_rows(const struct kern *k, const struct gemm_scratch *s, float *dst, int64_t panel_step, const struct tensor *t,
                             int64_t n_col, int64_t j0, int64_t n_j, int64_t k0, int64_t kc)
{
    const int64_t end = n_col - j0 < n_j ? n_col : j0 + n_j;
    for (int64_t r = 0; r < kc; r += KERN_PANEL) {
        int n = kc - r < KERN_PANEL ? (int)(kc - r) : KERN_PANEL;
        for (int64_t j = j0; j < end; j += QG_CHUNK) {
            int64_t wide = end - j < QG_CHUNK ? end - j : QG_CHUNK;
            weight_values(k, s->tile, s->rows, s->values, t, k0 + r, n, j, wide);
            for (int64_t c = 0; c < wide; c += KERN_PANEL)
                k->pack_nt(dst + (j - j0 + c) / KERN_PANEL * panel_step + r * KERN_PANEL, s->values + c * KERN_PANEL, KERN_PANEL,
                           wide - c < KERN_PANEL ? (int)(wide - c) : KERN_PANEL, n);
        }
    }
}

/* The same for row-major B; along the rows, as memory likes it. */
static void pack_rows(float *dst, int64_t panel_step, const float *b, int64_t b_row, int64_t n_col, int64_t j0, int64_t n_j,
                      int64_t k0, int64_t kc)
{
    int64_t n_whole = (n_col - j0 < n_j ? n_col - j0 : n_j) / KERN_PANEL, left = (n_col - j0 < n_j ? n_col - j0 : n_j) % KERN_PANEL;
    for (int64_t k = 0; k < kc; k++, dst += KERN_PANEL) {
        const float *src = b + (k0 + k) * b_row + j0;
        float *d = dst;
        for (int64_t i = 0; i < n_whole; i++)
            __builtin_prefetch(src + PACK_AHEAD * b_row + i * KERN_PANEL);
        for (int64_t i = 0; i < n_whole; i++, d += panel_step, src += KERN_PANEL)
            memcpy(d, src, KERN_PANEL * sizeof *d);
        for (int64_t j = 0; left > 0 && j < KERN_PANEL; j++)
            d[j] = j < left ? src[j] : 0.0f;
    }
}

/* Up to GEMM_A_ROWS rows of A whose columns are not contiguous (A stored transposed), as strips dst[.][kc][16]. */
static void pack_strips(float *dst, const struct gemm *p, int64_t i, int64_t rows, int64_t k0, int64_t kc)
{
    for (int64_t k = 0; k < kc; k++, dst += KERN_PANEL) {
        const float *a = p->a + i * p->a_row + (k0 + k) * p->a_col;
        float *d = dst;
        int64_t m = 0;
        for (int64_t r = 0; p->a_row == 1 && r < rows; r += KERN_PANEL)
            __builtin_prefetch(a + PACK_AHEAD * p->a_col + r);
        for (; p->a_row == 1 && m + GEMM_MR <= rows; m += GEMM_MR, d += panel_step(kc))
            memcpy(d, a + m, GEMM_MR * sizeof *d);
        for (int64_t r = m; r < rows; r++)
            d[(r - m) / GEMM_MR * panel_step(kc) + (r - m) % GEMM_MR] = a[r * p->a_row];
    }
}

size_t gemm_packed_floats(int64_t n_col, int64_t n_k)
{
    size_t n, cols = ((size_t)n_col + KERN_PANEL - 1) / KERN_PANEL * KERN_PANEL;
    return MUL_OVERFLOWS(cols, (size_t)n_k, &n) ? SIZE_MAX : n;
}

/* Longest blocks of k that fit the scratch, of even size, cut only between blocks of the element type. */
static int64_t k_block(int64_t n_k, int64_t elems, int64_t longest)
{
    int64_t unit = elems > 8 ? elems : 8, most = longest / unit * unit, n = (n_k + most - 1) / most;
    if (n == 0)
        return most;
    int64_t kc = ((n_k + n - 1) / n + unit - 1) / unit * unit;
    return kc < most ? kc : most;
}

struct pack_job { struct gemm_ctx *g; float *dst; const struct tensor *t; int64_t n_col, n_k, cols; };

static void pack_task(void *ud, int i_task, int i_thread)
{
    struct pack_job *b = ud;
    struct gemm_scratch *s = &b->g->thread[i_thread];
    int64_t j0 = i_task * b->cols, n_j = b->n_col - j0 < b->cols ? b->n_col - j0 : b->cols;
    int64_t kc = k_block(b->n_k, qtype_info(b->t->type)->elems, GEMM_KC);
    for (int64_t k0 = 0; k0 < b->n_k; k0 += kc) {
        int64_t n = b->n_k - k0 < kc ? b->n_k - k0 : kc;
        pack_tensor(b->g->k, s, b->dst + (j0 / KERN_PANEL * b->n_k + k0) * KERN_PANEL, b->n_k * KERN_PANEL, b->t, b->n_col,
                    j0, n_j, k0, n);
    }
}

void gemm_pack(struct gemm_ctx *g, float *dst, const struct tensor *t)
{
    struct pack_job b = { g, dst, t, tensor_rows(t), t->dim[0], 4 * KERN_PANEL };
    gemm_tasks(g, pack_task, &b, (int)((b.n_col + b.cols - 1) / b.cols), b.n_col * b.n_k < SERIAL_WORK);
}

/* ---- the product ---- */
struct plan {
    struct gemm_ctx *g;
    const struct gemm *p;
    int64_t rows, cols, kc;       /* of one task; of one block of k */
    int n_row_task, n_task, pack_a, pack_b;
    float *packed;                /* NULL, or B of the rows k_from … k_to for all tasks: [block of k][panel][panel_step] */
    int64_t k_from, k_to, n_block; /* n_block: blocks of k that packed holds at most; 0: each task packs for itself */
};

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t packed_block(const struct plan *pl) { return ceil_div(pl->p->n_col, KERN_PANEL) * panel_step(pl->kc); }

/* Columns j0 … j0+n_j of B at k0 into panels. */
static void pack_columns(const struct plan *pl, const struct gemm_scratch *s, float *dst, int64_t j0, int64_t n_j, int64_t k0, int64_t kc)
{
    const struct gemm *p = pl->p;
    if (p->form == GEMM_B_TENSOR)
        pack_tensor(pl->g->k, s, dst, panel_step(kc), p->t, p->n_col, j0, n_j, k0, kc);
    else if (p->form == GEMM_B_TENSOR_ROWS)
        pack_tensor_rows(pl->g->k, s, dst, panel_step(kc), p->t, p->n_col, j0, n_j, k0, kc);
    else
        pack_rows(dst, panel_step(kc), p->b, p->b_row, p->n_col, j0, n_j, k0, kc);
}

/* A task of packing B for all: some columns of one block of k. */
static void pack_all_task(void *ud, int i_task, int i_thread)
{
    const struct plan *pl = ud;
    const int64_t n_part = ceil_div(pl->p->n_col, PACKED_COLS), block = i_task / n_part, j0 = i_task % n_part * PACKED_COLS;
    const int64_t k0 = pl->k_from + block * pl->kc, kc = min64(pl->kc, pl->k_to - k0);
    pack_columns(pl, &pl->g->thread[i_thread], pl->packed + block * packed_block(pl) + j0 / KERN_PANEL * panel_step(kc), j0,
                 min64(PACKED_COLS, pl->p->n_col - j0), k0, kc);
}

/* B of the columns from j on at k0, either in place or where it was packed (from column j0 on). */
static void b_at(const struct plan *pl, const float *packed, int64_t j0, int64_t j, int64_t k0, int64_t kc,
                 const float **b, const float **b2, int64_t *b_row)
{
    const struct gemm *p = pl->p;
    if (pl->pack_b) {
        *b = packed + (j - j0) / KERN_PANEL * panel_step(kc);
        *b2 = *b + panel_step(kc);
        *b_row = KERN_PANEL;
    } else if (p->form == GEMM_B_PACKED) {
        *b = p->b + (j / KERN_PANEL * p->n_k + k0) * KERN_PANEL;
        *b2 = *b + KERN_PANEL * p->n_k;
        *b_row = KERN_PANEL;
    } else {
        *b = p->b + k0 * p->b_row + j;
        *b2 = *b + KERN_PANEL;
        *b_row = p->b_row;
    }
}

/* The next tile of C on its way while this one is computed: its sums start from what stands there. */
static inline void prefetch_tile(const struct gemm *p, int64_t i, int64_t i1, int64_t j)
{
    const float *c = p->c + i * p->c_row + j;
    for (int m = 0; m < GEMM_MR && m < i1 - i; m++, c += p->c_row) {
        __builtin_prefetch(c, 1);
        __builtin_prefetch(c + KERN_PANEL, 1);
    }
}

/* Rows i … i1 (at most GEMM_A_ROWS) of C, columns j0 … j1, two panels of B after the other: the panels stay in the first-level
 * cache while the strips of A pass by. */
static void block_run(const struct plan *pl, const struct gemm_scratch *s, int64_t i, int64_t i1, int64_t j0, int64_t j1, int64_t k0,
                      int64_t kc)
{
    const struct gemm *p = pl->p;
    const int load_c = p->load_c || k0 > 0;
    const int64_t wide = 2 * KERN_PANEL;
    for (int64_t j = j0; j < j1; j += wide) {
        const float *b, *b2;
        int64_t b_row;
        if (pl->packed)
            b_at(pl, pl->packed + (k0 - pl->k_from) / pl->kc * packed_block(pl), 0, j, k0, kc, &b, &b2, &b_row);
        else
            b_at(pl, s->b, j0, j, k0, kc, &b, &b2, &b_row);
        int cols = (int)(j1 - j < wide ? j1 - j : wide);
        for (int64_t m = i; m < i1; m += GEMM_MR) {
            int rows = (int)(i1 - m < GEMM_MR ? i1 - m : GEMM_MR);
            const float *a = pl->pack_a ? s->a + (m - i) / GEMM_MR * panel_step(kc) : p->a + m * p->a_row + k0 * p->a_col;
            if (m + GEMM_MR < i1)
                prefetch_tile(p, m + GEMM_MR, i1, j);
            else if (j + wide < j1)
                prefetch_tile(p, i, i1, j + wide);
            pl->g->k->gemm_tile(p->c + m * p->c_row + j, p->c_row, load_c, a, pl->pack_a ? 1 : p->a_row, pl->pack_a ? KERN_PANEL : p->a_col,
                                b, cols > KERN_PANEL ? b2 : NULL, b_row, rows, cols, kc);
        }
    }
}

static void gemm_task(void *ud, int i_task, int i_thread)
{
    const struct plan *pl = ud;
    const struct gemm *p = pl->p;
    struct gemm_scratch *s = &pl->g->thread[i_thread];
    int64_t i0 = i_task % pl->n_row_task * pl->rows, i1 = i0 + pl->rows < p->n_row ? i0 + pl->rows : p->n_row;
    int64_t j0 = i_task / pl->n_row_task * pl->cols, j1 = j0 + pl->cols < p->n_col ? j0 + pl->cols : p->n_col;
    int64_t k0 = pl->k_from;
    do { /* at least once: with n_k = 0 C still has to be cleared */
        int64_t kc = min64(pl->kc, pl->k_to - k0);
        if (pl->pack_b && !pl->packed)
            pack_columns(pl, s, s->b, j0, j1 - j0, k0, kc);
        for (int64_t i = i0; i < i1; i += GEMM_A_ROWS) {
            int64_t end = i + GEMM_A_ROWS < i1 ? i + GEMM_A_ROWS : i1;
            if (pl->pack_a)
                pack_strips(s->a, p, i, end - i, k0, kc);
            block_run(pl, s, i, end, j0, j1, k0, kc);
        }
        k0 += pl->kc;
    } while (k0 < pl->k_to);
}

/* Numbers of cuts that are tried along rows and along columns. */
static const int CUTS[] = { 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024 };

/* Chooses the grid: least (time of the busiest thread + half a task), in units of one multiply-add. */
static void make_plan(struct plan *pl, int serial)
{
    const struct gemm *p = pl->p;
    const int tensor_rows = p->form == GEMM_B_TENSOR_ROWS, block = p->t && p->form >= GEMM_B_TENSOR ? qtype_info(p->t->type)->elems : 1;
    const int n_thread = pl->g->n_thread, elems = tensor_rows ? KERN_PANEL : block;
    const int64_t col_unit = tensor_rows && block > 32 ? block : 32; /* columns of a task begin with a block of the tensor */
    pl->pack_b = p->form == GEMM_B_TENSOR || tensor_rows || (p->form == GEMM_B_ROWS && p->n_row >= PACK_B_MIN_ROWS);
    pl->pack_a = p->a_col != 1 && p->n_col >= PACK_A_MIN_COLS && p->n_row >= 2;
    int stream = !pl->pack_b && p->n_row <= GEMM_MR && p->a_col == 1; /* B is read once: no use in blocks of k */
    pl->kc = stream ? (p->n_k > 0 ? p->n_k : 1) : k_block(p->n_k, elems, pl->pack_a && elems <= GEMM_KC_SHORT ? GEMM_KC_SHORT : GEMM_KC);
    pl->n_block = pl->pack_b && !serial && p->n_row >= PACKED_MIN_ROWS ? min64(PACKED_MOST / packed_block(pl), ceil_div(p->n_k, pl->kc)) : 0;
    double a_cost = pl->pack_a ? 10 : 0, b_cost = !pl->pack_b ? 0 : pl->n_block ? 2 : p->form >= GEMM_B_TENSOR && p->t->type != QT_F32 ? 20 : 10;
    double best = INFINITY, k = (double)(p->n_k > 0 ? p->n_k : 1);
    int64_t most_c = (int64_t)GEMM_NC * GEMM_KC / pl->kc / col_unit * col_unit;
    most_c = most_c < GEMM_MAX_NC ? most_c : GEMM_MAX_NC;
    int64_t min_c = stream ? 1 : ceil_div(p->n_col, most_c);
    for (size_t i_c = 0; i_c < ARRAY_LEN(CUTS); i_c++) {
        int64_t n_c = CUTS[i_c] > min_c ? CUTS[i_c] : min_c, cols = ceil_div(ceil_div(p->n_col, n_c), col_unit) * col_unit;
        for (size_t i_r = 0; i_r < ARRAY_LEN(CUTS); i_r++) {
            int64_t rows = ceil_div(ceil_div(p->n_row, CUTS[i_r]), GEMM_MR) * GEMM_MR;
            int64_t n = ceil_div(p->n_col, cols) * ceil_div(p->n_row, rows);
            if (best < INFINITY && n > 32 * n_thread)
                break;
            double r = (double)rows, c = (double)cols, one = k * (r * c + a_cost * r + b_cost * c) + 2e4;
            double t = (double)ceil_div(n, n_thread) * one + (n_thread > 1 ? one / 2 : 0);
            if (t < best && n < INT32_MAX) {
                best = t;
                pl->rows = rows;
                pl->cols = cols;
                pl->n_task = (int)n;
                pl->n_row_task = (int)ceil_div(p->n_row, rows);
            }
            if (rows <= GEMM_MR || serial)
                break;
        }
        if (cols <= col_unit || serial)
            break;
    }
}

/* The exact product (GEMM_ACT_F32). Rows picked by an index are brought together first. */
static void run_exact(struct gemm_ctx *g, const struct gemm *p)
{
    if (p->n_row <= 0 || p->n_col <= 0)
        return;
    struct gemm q = *p;
    if (p->row_index) {
        float *rows = gemm_rows_reserve(g, (size_t)p->n_row, (size_t)p->n_k);
        if (!rows) {
            gemm_zero(g, p);
            return;
        }
        for (int64_t i = 0; i < p->n_row; i++) {
            const float *a = p->a + p->row_index[i] * p->a_row;
            for (int64_t k = 0; k < p->n_k; k++)
                rows[i * p->n_k + k] = a[k * p->a_col];
        }
        q.a = rows;
        q.a_row = p->n_k;
        q.a_col = 1;
        q.row_index = NULL;
    }
    if (gemm_thin_takes(&q)) {
        gemm_thin_run(g, &q);
        return;
    }
    struct plan pl = { .g = g, .p = &q };
    int serial = (double)q.n_row * (double)q.n_col * (double)q.n_k < SERIAL_WORK;
    make_plan(&pl, serial);
    pl.k_to = q.n_k;
    if (pl.n_block > 0 && pl.n_row_task > 1)
        pl.packed = packed_reserve(g, (size_t)(pl.n_block * packed_block(&pl)));
    if (!pl.packed) {
        gemm_tasks(g, gemm_task, &pl, pl.n_task, serial);
        return;
    }
    for (int64_t k0 = 0; k0 < q.n_k; k0 += pl.n_block * pl.kc) {
        pl.k_from = k0;
        pl.k_to = min64(k0 + pl.n_block * pl.kc, q.n_k);
        gemm_tasks(g, pack_all_task, &pl, (int)(ceil_div(pl.k_to - k0, pl.kc) * ceil_div(q.n_col, PACKED_COLS)), 0);
        gemm_tasks(g, gemm_task, &pl, pl.n_task, 0);
    }
}

void gemm_run(struct gemm_ctx *g, const struct gemm *p) { gemm_run_group(g, p, 1); }

/* F32 rows are used where they lie. */
static void run_tensor_rows(struct gemm_ctx *g, const struct gemm *p)
{
    struct gemm q = *p;
    if (p->act == GEMM_ACT_Q8 && p->n_k > 0) {
        qvalues_run(g, p);
        return;
    }
    if (p->t->type == QT_F32 && (uintptr_t)p->t->data % sizeof(float) == 0 && p->t->row_bytes % sizeof(float) == 0) {
        q.form = GEMM_B_ROWS;
        q.b = p->t->data;
        q.b_row = (int64_t)(p->t->row_bytes / sizeof(float));
    }
    run_exact(g, &q);
}

/* Exact rows of C, then the others. */
static void run_parts(struct gemm_ctx *g, const struct gemm *p, int64_t n_exact)
{
    struct gemm part = *p;
    part.n_row = n_exact;
    part.n_wide = 0;
    gemm_run(g, &part);
    part = *p;
    part.n_row -= n_exact;
    part.c += n_exact * p->c_row;
    if (p->row_index)
        part.row_index += n_exact;
    else
        part.a += n_exact * p->a_row;
    gemm_run(g, &part);
}

void gemm_run_group(struct gemm_ctx *g, const struct gemm *p, int n)
{
    int n_taken = 0;
    for (int i = 0; i < n; i++)
        if (qgemm_takes(&p[i]))
            n_taken++;
        else if (qgemm_exact_rows(&p[i]) > 0)
            run_parts(g, &p[i], qgemm_exact_rows(&p[i]));
        else if (p[i].form == GEMM_B_TENSOR_ROWS)
            run_tensor_rows(g, &p[i]);
        else
            run_exact(g, &p[i]);
    if (n_taken > 0)
        qgemm_run(g, p, n);
}
