/* test_qgemm.c — products of quantised weights with activations in 8 bits: the scalar level against double precision, every
 * level against the scalar one bit for bit, for all types, odd sizes, any rows, threads, groups and gathered rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern/kern.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct rng R;
static const struct kern *LEVEL[4];
static int N_LEVEL;

/* Types with a quantised product, where their F16 scales stand in a block, and whether A is rounded per 256. */
static const struct { int type, half[2], super_block; } TYPES[] = {
    { QT_Q4_K, { 0, 2 }, 1 }, { QT_Q6_K, { 208, -1 }, 1 }, { QT_Q8_0, { 0, -1 }, 0 }, { QT_Q5_K, { 0, 2 }, 1 }, { QT_Q4_0, { 0, -1 }, 0 },
    { QT_Q4_1, { 0, 2 }, 0 }, { QT_Q5_0, { 0, -1 }, 0 }, { QT_Q5_1, { 0, 2 }, 0 }, { QT_Q2_K, { 80, 82 }, 1 }, { QT_Q3_K, { 108, -1 }, 1 },
    { QT_IQ4_NL, { 0, -1 }, 0 }, { QT_IQ4_XS, { 0, -1 }, 1 }, { QT_MXFP4, { -1, -1 }, 0 }, { QT_TQ1_0, { 52, -1 }, 1 }, { QT_TQ2_0, { 64, -1 }, 1 },
};

static float *randoms(size_t n)
{
    float *p = mem_alloc((n ? n : 1) * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)rng_normal(&R);
    return p;
}

/* Any bytes are valid weights once their scales are finite: that reaches the ends of every range. */
static struct tensor weights(size_t i_type, int64_t n_col, int64_t n_k)
{
    const struct qtype_info *q = qtype_info(TYPES[i_type].type);
    size_t row = (size_t)(n_k / q->elems) * (size_t)q->bytes, n = row * (size_t)n_col;
    uint8_t *p = mem_alloc(n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)rng_u64(&R);
    for (size_t b = 0; b < n; b += (size_t)q->bytes) {
        for (int h = 0; h < 2; h++)
            if (TYPES[i_type].half[h] >= 0) {
                uint16_t v = f32_to_f16((float)rng_normal(&R) * 0.01f);
                memcpy(p + b + TYPES[i_type].half[h], &v, sizeof v);
            }
        if (TYPES[i_type].type == QT_MXFP4)
            p[b] = (uint8_t)(110 + p[b] % 16);
    }
    return (struct tensor){ .data = p, .type = TYPES[i_type].type, .n_dim = 2,
                            .dim = { n_k, n_col, 1, 1 }, .row_bytes = row, .n_bytes = n };
}

static struct gemm product(const struct tensor *t, int64_t n_row, const float *a, int64_t a_row, float *c, int64_t c_row)
{
    return (struct gemm){ .n_row = n_row, .n_col = t->dim[1], .n_k = t->dim[0], .c = c, .c_row = c_row, .a = a, .a_row = a_row, .a_col = 1,
                          .form = GEMM_B_TENSOR, .t = t, .act = GEMM_ACT_Q8 };
}

static float *run(const struct kern *k, int threads, const struct tensor *t, int64_t n_row, const float *a, int load_c)
{
    struct pool *pool = threads > 1 ? pool_new(threads) : NULL;
    struct gemm_ctx *g = gemm_ctx_new(k, pool);
    assert_non_null(g);
    size_t n = (size_t)(n_row * (t->dim[1] + 3));
    float *c = mem_alloc(n * sizeof *c);
    assert_non_null(c);
    for (size_t i = 0; i < n; i++)
        c[i] = (float)(i % 7) - 3;
    struct gemm p = product(t, n_row, a, t->dim[0], c, t->dim[1] + 3);
    p.load_c = load_c;
    gemm_run(g, &p);
    assert_false(gemm_failed(g));
    gemm_ctx_free(g);
    pool_free(pool);
    return c;
}

static void test_ref_is_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        int64_t n_k = TYPES[i].super_block ? 768 : 416, n_col = 19, n_row = 3, unit = TYPES[i].super_block ? 256 : 32;
        struct tensor t = weights(i, n_col, n_k);
        float *a = randoms((size_t)(n_row * n_k)), *w = randoms((size_t)n_k), *c = run(LEVEL[0], 1, &t, n_row, a, 1);
        for (int64_t r = 0; r < n_row; r++)
            for (int64_t j = 0; j < n_col + 3; j++) {
                double start = (double)((r * (n_col + 3) + j) % 7) - 3, want = start, most = 0, all = 0;
                if (j >= n_col) { /* not ours */
                    assert_true(c[r * (n_col + 3) + j] == (float)start);
                    continue;
                }
                tensor_row_f32(&t, j, w);
                for (int64_t b = 0; b < n_k; b += unit) {
                    double amax = 0, sum = 0;
                    for (int64_t k = b; k < b + unit; k++) {
                        double x = a[r * n_k + k];
                        want += x * w[k];
                        sum += fabs(w[k]);
                        all += fabs(x * w[k]);
                        amax = fabs(x) > amax ? fabs(x) : amax;
                    }
                    most += sum * amax / 254;
                }
                double got = c[r * (n_col + 3) + j];
                if (!(fabs(got - want) <= most * 1.001 + 1e-5 * all))
                    fail_msg("%s: row %d column %d: %g, want %g within %g", qtype_info(t.type)->name, (int)r, (int)j, got, want, most);
            }
        mem_free(a);
        mem_free(w);
        mem_free(c);
        mem_free((void *)(uintptr_t)t.data);
    }
}

static void same(const float *got, const float *want, size_t n, const char *what, const struct tensor *t, int64_t n_row)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&got[i], &want[i], sizeof *got))
            fail_msg("%s, %s %d rows × %d × %d: element %d is %.9g, want %.9g", what, qtype_info(t->type)->name, (int)n_row, (int)t->dim[1],
                     (int)t->dim[0], (int)i, (double)got[i], (double)want[i]);
}

static void test_levels_agree(void **state)
{
    (void)state;
    static const int COLS[] = { 1, 15, 16, 17, 31, 33, 64, 100 };
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
        for (int64_t n_row = 1; n_row <= 19; n_row++) {
            int64_t n_k = TYPES[i].super_block ? 256 * (1 + n_row % 3) : 32 * (1 + n_row * 5 % 23), n_col = COLS[n_row % 8];
            struct tensor t = weights(i, n_col, n_k);
            float *a = randoms((size_t)(n_row * n_k));
            for (int64_t k = 0; k < n_k && n_row == 4; k++)
                a[k] = k % 3 ? 1e-35f : 0; /* a row too small to have a scale */
            float *want = run(LEVEL[0], 1, &t, n_row, a, n_row & 1);
            for (int l = 0; l < N_LEVEL; l++)
                for (int threads = 1; threads <= 3; threads++) {
                    float *got = run(LEVEL[l], threads, &t, n_row, a, n_row & 1);
                    same(got, want, (size_t)(n_row * (n_col + 3)), LEVEL[l]->isa, &t, n_row);
                    mem_free(got);
                }
            mem_free(want);
            mem_free(a);
            mem_free((void *)(uintptr_t)t.data);
        }
}

/* One row, which has kernels of its own: more and fewer columns than their blocks, odd numbers of blocks of 32, whole and cut pairs. */
static void test_one_row(void **state)
{
    (void)state;
    static const int CHUNKS[] = { 1, 3, 4, 5, 8, 9, 16, 17, 22 };
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
        for (size_t c = 0; c < ARRAY_LEN(CHUNKS); c++)
            for (int part = 0; part < (TYPES[i].super_block ? 1 : 3); part++) {
                int64_t n_k = 256 * CHUNKS[c] - 32 * part * 3, n_col = c % 2 ? 83 : 128;
                struct tensor t = weights(i, n_col, n_k);
                float *a = randoms((size_t)n_k), *want = run(LEVEL[0], 1, &t, 1, a, (int)c & 1);
                for (int l = 0; l < N_LEVEL; l++)
                    for (int threads = 1; threads <= 2; threads++) {
                        float *got = run(LEVEL[l], threads, &t, 1, a, (int)c & 1);
                        same(got, want, (size_t)n_col + 3, LEVEL[l]->isa, &t, 1);
                        mem_free(got);
                    }
                mem_free(want);
                mem_free(a);
                mem_free((void *)(uintptr_t)t.data);
            }
}

/* Weights that are floats: the exact chain, whichever way is taken for the number of rows. */
static void test_floats(void **state)
{
    (void)state;
    static const int FLOATS[] = { QT_F32, QT_F16, QT_BF16 };
    for (size_t i = 0; i < ARRAY_LEN(FLOATS); i++)
        for (int64_t n_row = 1; n_row <= 19; n_row += 2) {
            const struct qtype_info *q = qtype_info(FLOATS[i]);
            int64_t n_k = n_row == 1 ? 320 : 1 + n_row * 37 % 300, n_col = 37 + n_row * 11, c_row = n_col + 3;
            float *a = randoms((size_t)(n_row * n_k)), *w = randoms((size_t)(n_col * n_k)), *want = mem_calloc((size_t)(n_row * c_row), sizeof *want);
            uint8_t *stored = mem_alloc((size_t)(n_col * n_k * q->bytes));
            q->quantize(stored, w, n_col * n_k);
            q->dequantize(w, stored, n_col * n_k);
            struct tensor t = { .data = stored, .type = FLOATS[i], .n_dim = 2, .dim = { n_k, n_col, 1, 1 }, .row_bytes = (size_t)(n_k * q->bytes) };
            for (int64_t r = 0; r < n_row * c_row; r++)
                want[r] = (float)(r % 7) - 3;
            for (int64_t r = 0; r < n_row; r++)
                for (int64_t j = 0; j < n_col; j++)
                    for (int64_t k = 0; k < n_k; k++)
                        want[r * c_row + j] = fmaf(a[r * n_k + k], w[j * n_k + k], want[r * c_row + j]);
            for (int l = 0; l < N_LEVEL; l++) {
                float *got = run(LEVEL[l], 1 + l % 3, &t, n_row, a, 1);
                same(got, want, (size_t)(n_row * c_row), LEVEL[l]->isa, &t, n_row);
                mem_free(got);
            }
            mem_free(a);
            mem_free(w);
            mem_free(want);
            mem_free(stored);
        }
}

/* Long prompts: a row's result does not know its company. */
static void test_many_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        int64_t n_k = 512, n_col = 200, n_row = i < 3 ? 600 : 130;
        struct tensor t = weights(i, n_col, n_k);
        float *a = randoms((size_t)(n_row * n_k));
        for (int l = 0; l < N_LEVEL; l++) {
            float *all = run(LEVEL[l], 2, &t, n_row, a, 0);
            for (int64_t r = 0; r < n_row; r += 29) {
                float *one = run(LEVEL[l ? l : N_LEVEL - 1], 1, &t, 1, a + r * n_k, 0);
                same(one, all + r * (n_col + 3), (size_t)n_col, LEVEL[l]->isa, &t, n_row);
                mem_free(one);
            }
            mem_free(all);
            if (l == 0)
                n_row = n_row < 40 ? n_row : 40; /* the scalar level is slow; its first rows are enough */
        }
        mem_free(a);
        mem_free((void *)(uintptr_t)t.data);
    }
}

/* Types with both roundings, an exact one, gathered rows, an expert without rows: all in one group. */
static void test_groups(void **state)
{
    (void)state;
    enum { N_A = 9, N_K = 512, N = 6 };
    static const int32_t PICK[] = { 8, 0, 3, 3, 7 };
    for (int l = 0; l < N_LEVEL; l++)
        for (int threads = 1; threads <= 3; threads++) {
            struct pool *pool = threads > 1 ? pool_new(threads) : NULL;
            struct gemm_ctx *g = gemm_ctx_new(LEVEL[l], pool);
            float *a = randoms(N_A * N_K), *c[N], *exact = randoms(N_K * 5);
            struct tensor t[N];
            struct gemm p[N];
            for (int i = 0; i < N; i++) {
                int64_t cols = 40 + 30 * i, rows = i == 3 ? 0 : i == 1 || i == 4 ? 5 : N_A;
                t[i] = weights((size_t)i, cols, N_K);
                if (i == 5) {
                    mem_free((void *)(uintptr_t)t[i].data);
                    t[i] = (struct tensor){ .data = exact, .type = QT_F32, .n_dim = 2, .dim = { N_K, 5, 1, 1 }, .row_bytes = N_K * 4 };
                    cols = 5;
                }
                c[i] = mem_calloc((size_t)(N_A * cols), sizeof **c);
                p[i] = product(&t[i], rows, a, N_K, c[i], cols);
                p[i].row_index = rows == 5 ? PICK : NULL;
            }
            gemm_run_group(g, p, N);
            assert_false(gemm_failed(g));
            for (int i = 0; i < N; i++)
                for (int64_t r = 0; r < p[i].n_row; r++) {
                    float *want = mem_calloc((size_t)p[i].n_col, sizeof *want);
                    struct gemm one = product(&t[i], 1, a + (p[i].row_index ? PICK[r] : r) * N_K, N_K, want, p[i].n_col);
                    gemm_run(g, &one);
                    same(c[i] + r * p[i].n_col, want, (size_t)p[i].n_col, "group", &t[i], p[i].n_row);
                    mem_free(want);
                }
            for (int i = 0; i < N; i++) {
                mem_free(c[i]);
                mem_free((void *)(uintptr_t)t[i].data);
            }
            mem_free(a);
            gemm_ctx_free(g);
            pool_free(pool);
        }
}

/* ---- weights used as they lie: gradients go back through them ---- */
static struct tensor any_weights(size_t i, int64_t n_row, int64_t n_col)
{
    static const int FLOATS[] = { QT_F32, QT_F16, QT_BF16 };
    if (i < ARRAY_LEN(TYPES))
        return weights(i, n_row, n_col);
    const struct qtype_info *q = qtype_info(FLOATS[i - ARRAY_LEN(TYPES)]);
    float *w = randoms((size_t)(n_row * n_col));
    void *stored = mem_alloc((size_t)(n_row * n_col * q->bytes));
    q->quantize(stored, w, n_row * n_col);
    mem_free(w);
    return (struct tensor){ .data = stored, .type = FLOATS[i - ARRAY_LEN(TYPES)], .n_dim = 2, .dim = { n_col, n_row, 1, 1 },
                            .row_bytes = (size_t)(n_col * q->bytes), .n_bytes = (size_t)(n_row * n_col * q->bytes) };
}

static float *run_form(const struct kern *k, int threads, const struct tensor *t, enum gemm_b form, enum gemm_act act, int64_t n_row, const float *a)
{
    struct pool *pool = threads > 1 ? pool_new(threads) : NULL;
    struct gemm_ctx *g = gemm_ctx_new(k, pool);
    const int back = form == GEMM_B_TENSOR_ROWS;
    const int64_t n_col = t->dim[back ? 0 : 1], n_k = t->dim[back ? 1 : 0];
    float *c = mem_alloc((size_t)(n_row * n_col) * sizeof *c);
    for (int64_t i = 0; i < n_row * n_col; i++)
        c[i] = (float)(i % 5) - 2;
    gemm_run(g, &(struct gemm){ .n_row = n_row, .n_col = n_col, .n_k = n_k, .c = c, .c_row = n_col, .load_c = (int)(n_row & 1), .a = a, .a_row = n_k,
                                .a_col = 1, .form = form, .t = t, .act = act });
    assert_false(gemm_failed(g));
    gemm_ctx_free(g);
    pool_free(pool);
    return c;
}

/* One rounding of each side per 32 rows of W: the difference to the exact sum is at most half a step of each. */
static void check_near(const float *got, const float *w, const float *a, int64_t n_row, int64_t n_out, int64_t n_in, const struct tensor *t)
{
    for (int64_t r = 0; r < n_row; r++)
        for (int64_t j = 0; j < n_in; j++) {
            double want = n_row & 1 ? (double)((r * n_in + j) % 5) - 2 : 0, most = 0, all = fabs(want);
            for (int64_t b = 0; b < n_out; b += 32) {
                double wmax = 0, amax = 0, wsum = 0, asum = 0;
                for (int64_t k = b; k < n_out && k < b + 32; k++) {
                    double x = (double)a[r * n_out + k], y = (double)w[k * n_in + j];
                    want += x * y;
                    all += fabs(x * y);
                    wsum += fabs(y);
                    asum += fabs(x);
                    wmax = fmax(wmax, fabs(y));
                    amax = fmax(amax, fabs(x));
                }
                most += (wmax * asum + amax * wsum) / 254 + 32 * wmax * amax / (254.0 * 254.0);
            }
            double d = fabs((double)got[r * n_in + j] - want);
            if (!(d <= most * 1.001 + 1e-5 * all))
                fail_msg("%s: row %d column %d is off by %g, allowed %g", qtype_info(t->type)->name, (int)r, (int)j, d, most);
        }
}

static void test_weights_as_they_lie(void **state)
{
    (void)state;
    static const int64_t OUT[] = { 1, 31, 100, 288, 530 }, ROWS[] = { 1, 5, 30, 130 };
    for (size_t i = 0; i < ARRAY_LEN(TYPES) + 3; i++)
        for (size_t o = 0; o < ARRAY_LEN(OUT); o++) {
            const int floats = i >= ARRAY_LEN(TYPES), wide = !floats && TYPES[i].super_block;
            const int64_t n_out = OUT[o], n_in = wide ? 256 * (1 + (int64_t)o % 3) : floats ? 19 + 60 * (int64_t)o : 32 * (1 + 3 * (int64_t)o), n_row = ROWS[(o + i) % 4];
            struct tensor t = any_weights(i, n_out, n_in);
            float *w = mem_alloc((size_t)(n_out * n_in) * sizeof *w), *a = randoms((size_t)(n_row * (n_out > n_in ? n_out : n_in)));
            float *exact = mem_alloc((size_t)(n_row * n_in) * sizeof *exact), *forward = mem_alloc((size_t)(n_row * n_out) * sizeof *forward);
            for (int64_t r = 0; r < n_out; r++)
                tensor_row_f32(&t, r, w + r * n_in);
            for (int64_t k = 0; k < n_out && o == 3; k++)
                for (int64_t j = 0; j < 7; j++)
                    assert_true(isfinite(w[k * n_in + j]));
            for (int64_t x = 0; x < n_row * n_in; x++) {
                exact[x] = n_row & 1 ? (float)(x % 5) - 2 : 0;
                for (int64_t k = 0; k < n_out; k++)
                    exact[x] = fmaf(a[x / n_in * n_out + k], w[k * n_in + x % n_in], exact[x]);
            }
            for (int64_t x = 0; x < n_row * n_out; x++) {
                forward[x] = n_row & 1 ? (float)(x % 5) - 2 : 0;
                for (int64_t k = 0; k < n_in; k++)
                    forward[x] = fmaf(a[x / n_out * n_in + k], w[x % n_out * n_in + k], forward[x]);
            }
            float *ref = run_form(LEVEL[0], 1, &t, GEMM_B_TENSOR_ROWS, GEMM_ACT_Q8, n_row, a);
            check_near(ref, w, a, n_row, n_out, n_in, &t);
            for (int l = 0; l < N_LEVEL; l++) {
                float *q8 = run_form(LEVEL[l], 1 + (l + (int)o) % 3, &t, GEMM_B_TENSOR_ROWS, GEMM_ACT_Q8, n_row, a);
                float *f32 = run_form(LEVEL[l], 1 + (l + (int)o) % 3, &t, GEMM_B_TENSOR_ROWS, GEMM_ACT_F32, n_row, a);
                float *ahead = run_form(LEVEL[l], 1 + (l + (int)o) % 3, &t, GEMM_B_TENSOR, GEMM_ACT_F32, n_row, a);
                same(q8, ref, (size_t)(n_row * n_in), "8 bits", &t, n_row);
                same(f32, exact, (size_t)(n_row * n_in), "exact", &t, n_row);
                same(ahead, forward, (size_t)(n_row * n_out), "forward", &t, n_row);
                mem_free(q8);
                mem_free(f32);
                mem_free(ahead);
            }
            mem_free(ref);
            mem_free(exact);
            mem_free(forward);
            mem_free(w);
            mem_free(a);
            mem_free((void *)(uintptr_t)t.data);
        }
}

/* Infinite activations give NaN, not undefined integers; no memory gives zeros and the flag. */
static void test_bad_input(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (int l = 0; l < N_LEVEL; l++) {
            struct tensor t = weights(i, 20, 512);
            float *a = randoms(2 * 512);
            a[512 + 7] = l & 1 ? INFINITY : NAN;
            float *c = run(LEVEL[l], 1, &t, 2, a, 0);
            for (int j = 0; j < 20; j++) {
                assert_true(isfinite(c[j]));
                assert_true(isnan(c[23 + j]));
            }
            struct gemm_ctx *g = gemm_ctx_new(LEVEL[l], NULL);
            struct gemm p = product(&t, 2, a, 512, c, 23);
            mem_fail_at = 1;
            gemm_run(g, &p);
            mem_fail_at = -1;
            assert_true(gemm_failed(g));
            assert_true(c[0] == 0.0f);
            gemm_run(g, &p);
            assert_false(gemm_failed(g));
            assert_true(c[0] != 0.0f);
            gemm_ctx_free(g);
            mem_free(a);
            mem_free(c);
            mem_free((void *)(uintptr_t)t.data);
        }
}

int main(void)
{
    unsigned cpu = cpu_detect();
    static const unsigned WANT[] = { 0, CPU_AVX2, CPU_AVX2 | CPU_AVX_VNNI, CPU_AVX2 | CPU_AVX512 | CPU_AVX512_VNNI, CPU_NEON };
    for (size_t i = 0; i < ARRAY_LEN(WANT); i++)
        if ((cpu & WANT[i]) == WANT[i]) {
            LEVEL[N_LEVEL++] = kern_get(WANT[i]);
            printf("level %s\n", LEVEL[N_LEVEL - 1]->isa);
        }
    rng_seed(&R, 5);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ref_is_right), cmocka_unit_test(test_levels_agree), cmocka_unit_test(test_one_row), cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_floats),         cmocka_unit_test(test_groups), cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_weights_as_they_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
