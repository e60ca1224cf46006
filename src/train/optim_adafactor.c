/* optim_adafactor.c — Adafactor (Shazeer, Stern 2018): the second moment of a matrix as one number a row and one a column.
 *
 * Algorithm 5 without relative steps, parameter scale and momentum (the reference's settings): beta2 = 1 − t^−0.8, mean squares of
 * rows R and columns C, V = R Cᵀ / mean(R), U = G / √V, and U is made smaller where its root mean square is above 1. Vectors keep
 * a number an element. Sums run in one order: a row's by its columns, a column's by rows, blocks of rows by their number; so the
 * bits do not depend on threads. State: for each param R then C, or V.  SPDX-License-Identifier: Apache-2.0 */
#include "train/optim_adafactor.h"

#include <math.h>

enum { BLOCK = 1 << 15, COLUMNS = 256 };
static const double EPS = 1e-30, DECAY = -0.8, CLIP = 1.0;

struct matrix { const struct param *p; size_t rows, cols; float *r, *c /* state; c NULL: a vector, r an element each */, *rf, *cf /* 1/√ of them */; double shrink; };
struct task { int i; size_t at, n; double squares; };        /* rows (or elements of a vector), or columns, of matrix i */
struct adafactor {
    struct gemm_ctx *g;
    struct matrix *m; int n_m;
    struct task *row, *col; int n_row, n_col;
    float *state, *factor; size_t n;
    float g_scale, lr, decay;
    double beta;
};

static size_t rows_a_block(size_t cols) { return cols >= BLOCK ? 1 : BLOCK / cols; }

struct sizes { size_t n /* of the state */, n_row, n_col /* tasks */; };
static struct matrix shape_of(const struct param *p, struct sizes *s) {
    const int is_matrix = p->cols > 1 && p->n / p->cols > 1;
    const struct matrix m = { .p = p, .rows = is_matrix ? p->n / p->cols : p->n, .cols = is_matrix ? p->cols : 1 };
    s->n += is_matrix ? m.rows + m.cols : m.rows;
    s->n_row += (m.rows + rows_a_block(m.cols) - 1) / rows_a_block(m.cols);
    s->n_col += is_matrix ? (m.cols + COLUMNS - 1) / COLUMNS : 0;
    return m;
}

size_t adafactor_bytes(const struct param *p, int n_param) {
    struct sizes s = { 0 };
    for (int i = 0; i < n_param; i++)
        (void)shape_of(&p[i], &s);
    return 2 * s.n * sizeof(float) + (s.n_row + s.n_col) * sizeof(struct task) + (size_t)n_param * sizeof(struct matrix);
}

int adafactor_new(struct adafactor **out, struct gemm_ctx *g, const struct param *p, int n_param, ilab_err *e) {
    struct adafactor *a = *out = mem_calloc(1, sizeof *a);
    struct sizes s = { 0 };
    if (!a || !(a->m = mem_calloc((size_t)n_param + 1, sizeof *a->m)))
        goto no_memory;
    a->g = g;
    for (int i = 0; i < n_param; i++)
        a->m[a->n_m++] = shape_of(&p[i], &s);
    a->n = s.n;
    const size_t n_row = s.n_row, n_col = s.n_col;
    if (n_row > INT32_MAX || n_col > INT32_MAX)
        goto no_memory;
    a->state = mem_aligned((a->n + 1) * sizeof(float));
    a->factor = mem_aligned((a->n + 1) * sizeof(float));
    a->row = mem_calloc(n_row + 1, sizeof *a->row);
    a->col = mem_calloc(n_col + 1, sizeof *a->col);
    if (!a->state || !a->factor || !a->row || !a->col)
        goto no_memory;
    size_t at = 0;
    for (int i = 0; i < n_param; i++) {
        struct matrix *m = &a->m[i];
        m->r = a->state + at;
        m->rf = a->factor + at;
        at += m->rows;
        if (m->cols > 1) {
            m->c = a->state + at;
            m->cf = a->factor + at;
            at += m->cols;
        }
        for (size_t r = 0, k = rows_a_block(m->cols); r < m->rows; r += k)
            a->row[a->n_row++] = (struct task){ .i = i, .at = r, .n = m->rows - r < k ? m->rows - r : k };
        for (size_t c = 0; m->c && c < m->cols; c += COLUMNS)
            a->col[a->n_col++] = (struct task){ .i = i, .at = c, .n = m->cols - c < COLUMNS ? m->cols - c : COLUMNS };
    }
    return 0;
no_memory:
    adafactor_free(a);
    *out = NULL;
    return err_set(e, ILAB_E_NOMEM, "no memory for the optimiser");
}

void adafactor_free(struct adafactor *a) {
    if (!a)
        return;
    mem_free(a->m);
    mem_free(a->state);
    mem_free(a->factor);
    mem_free(a->row);
    mem_free(a->col);
    mem_free(a);
}

float *adafactor_state(struct adafactor *a, size_t *n) {
    *n = a->n;
    return a->state;
}

/* R of some rows, or V of a vector's elements and its 1/√. */
static void row_task(void *ud, int i, int i_thread) {
    (void)i_thread;
    struct adafactor *a = ud;
    const struct task *t = &a->row[i];
    struct matrix *m = &a->m[t->i];
    for (size_t r = t->at; r < t->at + t->n; r++) {
        const float *g = m->p->g + r * m->cols;
        double sum = 0;
        for (size_t k = 0; k < m->cols; k++) {
            double x = (double)g[k] * (double)a->g_scale;
            sum += x * x + EPS;
        }
        m->r[r] = (float)(a->beta * (double)m->r[r] + (1 - a->beta) * sum / (double)m->cols);
        if (!m->c)
            m->rf[r] = (float)(1 / sqrt((double)m->r[r]));
    }
}

static void col_task(void *ud, int i, int i_thread) {
    (void)i_thread;
    struct adafactor *a = ud;
    const struct task *t = &a->col[i];
    struct matrix *m = &a->m[t->i];
    double sum[COLUMNS] = { 0 };
    for (size_t r = 0; r < m->rows; r++) {
        const float *g = m->p->g + r * m->cols + t->at;
        for (size_t k = 0; k < t->n; k++) {
            double x = (double)g[k] * (double)a->g_scale;
            sum[k] += x * x + EPS;
        }
    }
    for (size_t k = 0; k < t->n; k++) {
        float *c = &m->c[t->at + k];
        *c = (float)(a->beta * (double)*c + (1 - a->beta) * sum[k] / (double)m->rows);
        m->cf[t->at + k] = (float)(1 / sqrt((double)*c));
    }
}

static float update_of(const struct adafactor *a, const struct matrix *m, size_t r, size_t k) {
    float u = m->p->g[r * m->cols + k] * a->g_scale * m->rf[r];
    return m->c ? u * m->cf[k] : u;
}

static void squares_task(void *ud, int i, int i_thread) {
    (void)i_thread;
    struct adafactor *a = ud;
    struct task *t = &a->row[i];
    const struct matrix *m = &a->m[t->i];
    t->squares = 0;
    for (size_t r = t->at; r < t->at + t->n; r++)
        for (size_t k = 0; k < m->cols; k++) {
            double u = (double)update_of(a, m, r, k);
            t->squares += u * u;
        }
}

static void update_task(void *ud, int i, int i_thread) {
    (void)i_thread;
    struct adafactor *a = ud;
    const struct task *t = &a->row[i];
    const struct matrix *m = &a->m[t->i];
    const float rate = a->lr * (float)m->shrink, decay = m->p->decay ? a->decay : 0;
    for (size_t r = t->at; r < t->at + t->n; r++)
        for (size_t k = 0; k < m->cols; k++) {
            float *w = &m->p->w[r * m->cols + k];
            *w -= decay * *w + rate * update_of(a, m, r, k);
        }
}

void adafactor_step(struct adafactor *a, float g_scale, float lr, float decay, int64_t step) {
    struct pool *pool = gemm_pool(a->g);
    a->g_scale = g_scale;
    a->lr = lr;
    a->decay = decay;
    a->beta = 1 - pow((double)step, DECAY);
    pool_run(pool, row_task, a, a->n_row);
    pool_run(pool, col_task, a, a->n_col);
    for (int i = 0; i < a->n_m; i++) {
        struct matrix *m = &a->m[i];
        double mean = 0;
        for (size_t r = 0; m->c && r < m->rows; r++)
            mean += (double)m->r[r];
        mean /= (double)m->rows;
        for (size_t r = 0; m->c && r < m->rows; r++)
            m->rf[r] = (float)sqrt(mean / (double)m->r[r]);
    }
    pool_run(pool, squares_task, a, a->n_row);
    for (int i = 0, at = 0; i < a->n_m; i++) {
        double sum = 0;
        for (; at < a->n_row && a->row[at].i == i; at++)
            sum += a->row[at].squares;
        double rms = sqrt(sum / (double)a->m[i].p->n);
        a->m[i].shrink = rms > CLIP ? CLIP / rms : 1;
    }
    pool_run(pool, update_task, a, a->n_row);
}
