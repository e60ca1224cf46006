/* gemm_thin.c — products whose result is a few rows or a few columns and whose sum is long: gradients of an adapter's two matrices.
 *
 * C[few, wide] (+)= Σ_k A(m, k)·B(k, j) where both sides lie with k outermost, so that rows of B (an activation's or its gradient's, as wide
 * as the model) are read once from memory. A task takes some columns and goes down B in blocks of rows; while one block is
 * multiplied, the next one is fetched, a few whole rows at a time: column by column every line would lie in another page, where no hardware looks.
 * A result with few columns is computed the other way round, and turned when it is read and written: an element's chain over ascending k
 * is the same (kern.h), for a product of two numbers does not depend on their order.  SPDX-License-Identifier: Apache-2.0 */
#include "kern_impl.h"

enum {
    FEW = 64,                     /* rows or columns of C */
    LEAST_K = 32,
    BLOCK = 16,                   /* rows of B */
    WIDE_MOST = 256, WIDE_LEAST = 64, /* columns of a task: a block stays in the first-level cache */
    STEP = 2 * KERN_PANEL,
    LINE = 16,                    /* floats */
    SERIAL_WORK = 50000           /* multiply-adds */
};

struct thin {
    struct gemm_ctx *g;
    const float *a, *b; int64_t a_step, b_step; /* from one k to the next */
    float *c; int64_t c_row, c_col;
    int64_t n_few, n_wide, n_k, wide; /* wide: columns of a task */
    int load_c;
};

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

/* Rows from … to of B, columns j0 … j1. */
static void fetch(const struct thin *t, int64_t from, int64_t to, int64_t j0, int64_t j1)
{
    for (int64_t k = from; k < min64(to, t->n_k); k++)
        for (int64_t j = j0; j < j1; j += LINE)
            __builtin_prefetch(t->b + k * t->b_step + j);
}

static void thin_task(void *ud, int i_task, int i_thread)
{
    const struct thin *t = ud;
    const struct kern *kern = t->g->k;
    const int64_t j0 = i_task * t->wide, j1 = min64(j0 + t->wide, t->n_wide), n = j1 - j0, n_step = (n + STEP - 1) / STEP;
    const int turned = t->c_col != 1;
    float *own = t->g->thread[i_thread].b, *c = turned ? own : t->c + j0;
    const int64_t c_row = turned ? WIDE_MOST + LINE : t->c_row;
    for (int64_t j = 0; turned && t->load_c && j < n; j++)
        for (int64_t m = 0; m < t->n_few; m++)
            own[m * c_row + j] = t->c[m * t->c_row + (j0 + j) * t->c_col];
    fetch(t, 0, BLOCK, j0, j1);
    for (int64_t k0 = 0; k0 < t->n_k; k0 += BLOCK) {
        const int64_t n_k = min64(BLOCK, t->n_k - k0), next = k0 + BLOCK;
        for (int64_t s = 0; s < n_step; s++) {
            const int64_t j = s * STEP;
            const float *b = t->b + k0 * t->b_step + j0 + j;
            const int cols = (int)min64(STEP, n - j);
            fetch(t, next + s * BLOCK / n_step, next + (s + 1) * BLOCK / n_step, j0, j1);
            kern->gemm_tile(c + j, c_row, t->load_c || k0 > 0, t->a + k0 * t->a_step, 1, t->a_step, b, cols > KERN_PANEL ? b + KERN_PANEL : NULL, t->b_step,
                            (int)t->n_few, cols, n_k);
        }
    }
    for (int64_t j = 0; turned && j < n; j++)
        for (int64_t m = 0; m < t->n_few; m++)
            t->c[m * t->c_row + (j0 + j) * t->c_col] = own[m * c_row + j];
}

int gemm_thin_takes(const struct gemm *p)
{
    const int64_t few = p->n_row < p->n_col ? p->n_row : p->n_col, wide = p->n_row < p->n_col ? p->n_col : p->n_row;
    return p->form == GEMM_B_ROWS && p->a_row == 1 && p->a_col != 1 && few > 1 && few <= FEW && wide >= 2 * STEP && p->n_k >= LEAST_K;
}

void gemm_thin_run(struct gemm_ctx *g, const struct gemm *p)
{
    struct thin t = { .g = g, .n_k = p->n_k, .load_c = p->load_c, .c = p->c };
    if (p->n_row < p->n_col) {
        t.a = p->a, t.a_step = p->a_col, t.n_few = p->n_row;
        t.b = p->b, t.b_step = p->b_row, t.n_wide = p->n_col;
        t.c_row = p->c_row, t.c_col = 1;
    } else {
        t.a = p->b, t.a_step = p->b_row, t.n_few = p->n_col;
        t.b = p->a, t.b_step = p->a_col, t.n_wide = p->n_row;
        t.c_row = 1, t.c_col = p->c_row;
    }
    const int64_t share = t.n_wide / (4 * g->n_thread) / STEP * STEP;
    t.wide = share > WIDE_MOST ? WIDE_MOST : share < WIDE_LEAST ? WIDE_LEAST : share;
    gemm_tasks(g, thin_task, &t, (int)((t.n_wide + t.wide - 1) / t.wide), (double)t.n_few * (double)t.n_wide * (double)t.n_k < SERIAL_WORK);
}
