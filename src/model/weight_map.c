/* weight_map.c — one tensor made of others by reordering rows, and its rows in any element type.
 *
 * Every map but the transpose is a rule "row r of the result is row s of source k"; reversing a conversion is another such rule,
 * so that a way forth and back gives the same bits when the element type stays. Work is cut into fixed ranges of rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/hf.h"

#include <string.h>

enum { ROWS_A_TASK_BYTES = 1 << 18 };

size_t weight_map_bytes(const struct weight_map *m)
{
    const struct qtype_info *t = qtype_info(m->type);
    size_t n = t ? (size_t)(m->dim[0] / t->elems) * (size_t)t->bytes : 0;
    for (int i = 1; i < m->n_dim; i++) n *= (size_t)m->dim[i];
    return n;
}

int weight_map_is_view(const struct weight_map *m)
{
    return m->op == MAP_COPY && m->add == 0 && m->src[0]->type == m->type && (uintptr_t)m->src[0]->data % 8 == 0;
}

/* Vectors that are reordered count as matrices of width 1. */
static int is_flat(const struct weight_map *m) { return m->n_dim == 1 && (m->op == MAP_ROTARY || m->op == MAP_UNROTARY); }

static void place(const struct weight_map *m, int64_t r, int *k, int64_t *s)
{
    const int64_t d = m->head_dim, b = m->block;
    *k = 0;
    switch (m->op) {
    case MAP_COPY: case MAP_TRANSPOSE: *s = r; break;
    case MAP_ROTARY: *s = r / d * d + r % d % 2 * (d / 2) + r % d / 2; break;
    case MAP_UNROTARY: *s = r / d * d + r % d % (d / 2) * 2 + r % d / (d / 2); break;
    case MAP_STACK: *k = (int)(r / b), *s = r % b; break;
    case MAP_UNSTACK: *s = m->part * b + r; break;
    case MAP_HALF: *s = r / b * 2 * b + m->part * b + r % b; break;
    case MAP_CONCAT: *k = (int)(r / b % 2), *s = r / (2 * b) * b + r % b; break;
    }
}

static float element(const struct tensor *t, int64_t row, int64_t i)
{
    const uint8_t *p = (const uint8_t *)t->data + (size_t)row * t->row_bytes;
    float f;
    uint16_t h;
    if (t->type == QT_F32) {
        memcpy(&f, p + 4 * i, 4);
        return f;
    }
    memcpy(&h, p + 2 * i, 2);
    if (t->type == QT_F16) return f16_to_f32(h);
    const uint32_t u = (uint32_t)h << 16;
    memcpy(&f, &u, 4);
    return f;
}

/* Row r of the result as F32. */
static void row_f32(const struct weight_map *m, int64_t r, float *y)
{
    int k;
    int64_t s;
    if (m->op == MAP_TRANSPOSE) {
        for (int64_t i = 0; i < m->dim[0]; i++) y[i] = element(m->src[0], i, r);
    } else if (is_flat(m)) {
        for (int64_t i = 0; i < m->dim[0]; i++) {
            place(m, i, &k, &s);
            y[i] = element(m->src[0], 0, s);
        }
    } else {
        place(m, r, &k, &s);
        tensor_row_f32(m->src[k], s, y);
    }
    if (m->add != 0)
        for (int64_t i = 0; i < m->dim[0]; i++) y[i] += m->add;
}

struct rows_job { const struct weight_map *m; uint8_t *buf; int64_t row, n, a_task; size_t row_bytes; int failed; };

static void rows_task(void *ud, int i_task, int i_thread)
{
    (void)i_thread;
    struct rows_job *j = ud;
    const struct weight_map *m = j->m;
    const struct qtype_info *t = qtype_info(m->type);
    int64_t first = i_task * j->a_task, last = first + j->a_task < j->n ? first + j->a_task : j->n;
    const int may_copy = m->op != MAP_TRANSPOSE && m->add == 0 && !is_flat(m);
    float *y = mem_alloc((size_t)m->dim[0] * sizeof *y);
    if (!y) {
        __atomic_store_n(&j->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    for (int64_t r = first; r < last; r++) {
        uint8_t *out = j->buf + (size_t)r * j->row_bytes;
        int k;
        int64_t s;
        place(m, j->row + r, &k, &s);
        if (may_copy && m->src[k]->type == m->type) {
            memcpy(out, (const uint8_t *)m->src[k]->data + (size_t)s * j->row_bytes, j->row_bytes);
        } else {
            row_f32(m, j->row + r, y);
            t->quantize(out, y, m->dim[0]);
        }
    }
    mem_free(y);
}

int weight_map_rows(const struct weight_map *m, void *buf, int64_t row, int64_t n, struct pool *pool, ilab_err *e)
{
    const struct qtype_info *t = qtype_info(m->type);
    const size_t row_bytes = (size_t)(m->dim[0] / t->elems) * (size_t)t->bytes;
    struct rows_job j = { .m = m, .buf = buf, .row = row, .n = n, .row_bytes = row_bytes, .a_task = ROWS_A_TASK_BYTES / (int64_t)(row_bytes ? row_bytes : 1) };
    if (j.a_task < 1) j.a_task = 1;
    const int n_task = (int)((n + j.a_task - 1) / j.a_task);
    if (pool && n_task > 1) pool_run(pool, rows_task, &j, n_task);
    else for (int i = 0; i < n_task; i++) rows_task(&j, i, 0);
    return j.failed ? err_set(e, ILAB_E_NOMEM, "no memory for a row of %lld weights", (long long)m->dim[0]) : 0;
}
