/* test_qgemm_wide.c — products of 16-bit weights in integers of 14 bits: the scalar level against double precision, every level against the
 * scalar one bit for bit, any rows, threads, groups; exact rows beside them; the ends of the types' ranges.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern/kern.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rng R;
static const struct kern *LEVEL[5];
static int N_LEVEL;

static float *randoms(int64_t n)
{
    float *p = mem_alloc((size_t)n * sizeof *p);
    assert_non_null(p);
    for (int64_t i = 0; i < n; i++)
        p[i] = (float)rng_normal(&R);
    return p;
}

enum fill { NORMAL, ANY_BITS /* every finite number, subnormals too */ };
static struct tensor weights(int type, int64_t n_col, int64_t n_k, enum fill fill)
{
    uint16_t *w = mem_alloc((size_t)(n_col * n_k) * sizeof *w);
    assert_non_null(w);
    for (int64_t i = 0; i < n_col * n_k; i++) {
        float x = (float)rng_normal(&R) * 0.03f;
        qtype_info(type)->quantize(w + i, &x, 1);
        const uint16_t inf = type == QT_F16 ? 0x7c00 : 0x7f80;
        while (fill == ANY_BITS && ((w[i] = (uint16_t)rng_u64(&R)) & inf) == inf) continue;
        if (fill == ANY_BITS && type == QT_BF16) /* around 2^-60 … 2^60; a column with more is NaN */
            w[i] = (uint16_t)((w[i] & 0x807f) | (50 + rng_below(&R, i % 997 ? 137 : 140)) << 7);
        if (fill == ANY_BITS && i / 32 % 5 == 0)
            w[i] &= i / 32 % 2 ? 0x8000 : 0x87ff; /* zeros of both signs, small ones */
    }
    return (struct tensor){ .data = w, .type = type, .n_dim = 2, .dim = { n_k, n_col, 1, 1 }, .row_bytes = (size_t)n_k * 2, .n_bytes = (size_t)(n_col * n_k) * 2 };
}
static void drop(struct tensor *t) { mem_free((void *)(uintptr_t)t->data); }

static struct gemm product(const struct tensor *t, int64_t n_row, int64_t n_wide, const float *a, float *c)
{
    return (struct gemm){ .n_row = n_row, .n_col = t->dim[1], .n_k = t->dim[0], .c = c, .c_row = t->dim[1], .a = a, .a_row = t->dim[0], .a_col = 1,
                          .form = GEMM_B_TENSOR, .t = t, .act = GEMM_ACT_Q8, .n_wide = n_wide };
}
static float start_of(int64_t i, int load) { return load ? (float)(i % 7) - 3 : 0; }
static float *run(const struct kern *k, int threads, const struct tensor *t, int64_t n_row, int64_t n_wide, const float *a, int load)
{
    struct pool *pool = threads > 1 ? pool_new(threads) : NULL;
    struct gemm_ctx *g = gemm_ctx_new(k, pool);
    const int64_t n = n_row * t->dim[1];
    float *c = mem_alloc((size_t)n * sizeof *c);
    assert_true(g && c);
    for (int64_t i = 0; i < n; i++)
        c[i] = start_of(i, 1);
    struct gemm p = product(t, n_row, n_wide, a, c);
    p.load_c = load;
    gemm_run(g, &p);
    assert_false(gemm_failed(g));
    gemm_ctx_free(g);
    pool_free(pool);
    return c;
}

static void same(const float *got, const float *want, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&got[i], &want[i], sizeof *got))
            fail_msg("%s: element %d is %.9g, want %.9g", what, (int)i, (double)got[i], (double)want[i]);
}

/* Half a unit of each side: a weight's is 2^-13 of the power of two at or below the block's largest, an activation's 1/16382 of it. */
static void test_ref_is_right(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const int64_t n_k = 416, n_col = 35, n_row = 5;
        struct tensor t = weights(i % 2 ? QT_BF16 : QT_F16, n_col, n_k, NORMAL);
        float *a = randoms(n_row * n_k), *w = mem_alloc((size_t)n_k * sizeof *w);
        for (int64_t k = 0; k < n_row * n_k && i > 1; k += 37)
            a[k] *= 1000; /* some stand out */
        float *c = run(LEVEL[0], 1, &t, n_row, n_row, a, i > 1);
        double error = 0, size = 0;
        for (int64_t r = 0; r < n_row; r++)
            for (int64_t j = 0; j < n_col; j++) {
                double want = start_of(r * n_col + j, i > 1), most = 0, all = 0;
                tensor_row_f32(&t, j, w);
                for (int64_t b = 0; b < n_k; b += 32) {
                    double amax = 0, wmax = 0, asum = 0, wsum = 0;
                    for (int64_t k = b; k < b + 32; k++) {
                        const double x = (double)a[r * n_k + k], y = (double)w[k];
                        want += x * y;
                        all += fabs(x * y);
                        asum += fabs(x);
                        wsum += fabs(y);
                        amax = fmax(amax, fabs(x));
                        wmax = fmax(wmax, fabs(y));
                    }
                    const double half_w = exp2(floor(log2(wmax)) - 13), half_a = amax / 16382;
                    most += half_w * asum + half_a * wsum + 32 * half_w * half_a;
                }
                const double d = fabs((double)c[r * n_col + j] - want);
                if (!(d <= most * 1.001 + 1e-6 * all))
                    fail_msg("%s: row %d column %d is off by %g, allowed %g", qtype_info(t.type)->name, (int)r, (int)j, d, most);
                error += d * d;
                size += want * want;
            }
        print_message("%s: error %.2g of the result\n", qtype_info(t.type)->name, sqrt(error / size));
        mem_free(a);
        mem_free(w);
        mem_free(c);
        drop(&t);
    }
}

static void test_levels_and_threads_agree(void **state)
{
    (void)state;
    static const int COLS[] = { 1, 15, 16, 17, 33, 64, 100 }, ROWS[] = { 1, 2, 3, 4, 5, 6, 7, 12, 17, 130 };
    for (int i = 0; i < 2 * (int)ARRAY_LEN(ROWS); i++) {
        const int64_t n_row = ROWS[i / 2], n_k = 32 * (1 + i * 5 % 23), n_col = COLS[i % 7];
        struct tensor t = weights(i % 2 ? QT_BF16 : QT_F16, n_col, n_k, i / 2 % 3 ? ANY_BITS : NORMAL);
        float *a = randoms(n_row * n_k);
        for (int64_t k = 0; k < n_k && n_row == 4; k++)
            a[k] = k % 3 ? 1e-35f : 0; /* too small for a scale */
        float *want = run(LEVEL[0], 1, &t, n_row, n_row, a, i & 1);
        for (int l = 0; l < N_LEVEL; l++)
            for (int threads = 1; threads <= 3; threads++) {
                float *got = run(LEVEL[l], threads, &t, n_row, n_row, a, i & 1);
                same(got, want, n_row * n_col, LEVEL[l]->isa);
                mem_free(got);
            }
        float *one = run(LEVEL[N_LEVEL - 1], 1, &t, 1, 1, a + (n_row - 1) * n_k, 0), *many = run(LEVEL[0], 1, &t, n_row, n_row, a, 0);
        same(one, many + (n_row - 1) * n_col, n_col, "alone");
        mem_free(one);
        mem_free(many);
        mem_free(a);
        mem_free(want);
        drop(&t);
    }
}

/* Rows in front of the wide ones are the exact chain; with gathered rows, and in a group with products of other types. */
static void test_exact_rows_and_groups(void **state)
{
    (void)state;
    enum { ROWS = 40, COLS = 50, K = 96 };
    struct tensor t[2] = { weights(QT_F16, COLS, K, NORMAL), weights(QT_BF16, COLS, K, NORMAL) };
    float *w = randoms(COLS * K), *a = randoms(ROWS * K), c[4][ROWS * COLS];
    uint8_t q8[COLS * K / 32 * 34];
    qtype_info(QT_Q8_0)->quantize(q8, w, COLS * K);
    const struct tensor q = { .data = q8, .type = QT_Q8_0, .n_dim = 2, .dim = { K, COLS, 1, 1 }, .row_bytes = K / 32 * 34, .n_bytes = sizeof q8 };
    int32_t index[ROWS];
    for (int i = 0; i < ROWS; i++)
        index[i] = (i * 7 + 3) % ROWS;
    float *wide = run(LEVEL[0], 1, &t[0], ROWS, ROWS, a, 0), *exact = run(LEVEL[0], 1, &t[0], ROWS, 0, a, 0), *other = run(LEVEL[0], 1, &q, ROWS, 0, a, 0);
    float *bf16 = run(LEVEL[0], 1, &t[1], ROWS, ROWS, a, 0);
    assert_true(memcmp(wide, exact, sizeof c[0]) != 0);
    for (int l = 0; l < N_LEVEL; l++)
        for (int n_wide = 0; n_wide <= ROWS + 1; n_wide += n_wide % 2 ? 14 : 9) {
            const int n_exact = n_wide < ROWS ? ROWS - n_wide : 0;
            struct pool *pool = pool_new(1 + n_wide % 3);
            struct gemm_ctx *g = gemm_ctx_new(LEVEL[l], pool);
            struct gemm p[4] = { product(&t[0], ROWS, n_wide, a, c[0]), product(&q, ROWS, n_wide, a, c[1]), product(&t[0], ROWS, n_wide, a, c[2]),
                                 product(&t[1], ROWS, ROWS, a, c[3]) };
            p[2].row_index = index;
            gemm_run_group(g, p, 4);
            assert_false(gemm_failed(g));
            same(c[0], exact, n_exact * COLS, "exact rows");
            same(c[0] + n_exact * COLS, wide + n_exact * COLS, (ROWS - n_exact) * COLS, "wide rows");
            same(c[1], other, ROWS * COLS, "Q8_0 beside them");
            same(c[3], bf16, ROWS * COLS, "BF16 beside them");
            for (int i = 0; i < ROWS; i++)
                same(c[2] + i * COLS, (i < n_exact ? exact : wide) + index[i] * COLS, COLS, "gathered rows");
            gemm_ctx_free(g);
            pool_free(pool);
        }
    float *const all[] = { w, a, wide, exact, other, bf16 };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        mem_free(all[i]);
    drop(&t[0]);
    drop(&t[1]);
}

/* Block by block of one row: subnormals, the largest, zeros, an infinity, NaN. Activations of ±1 make the sums exact. */
static void test_ends_of_the_range(void **state)
{
    (void)state;
    static const struct { int type; uint16_t least, largest, bad[2]; double least_value, largest_value; } TYPE[] = {
        { QT_F16, 1, 0x7bff, { 0x7c00, 0x7e01 }, 0x1p-24, 65504 }, { QT_BF16, 0x2180, 0x5d7f, { 0xff80, 0x7fc1 }, 0x1p-60, 0x1.fep+59 },
    };
    for (size_t i = 0; i < ARRAY_LEN(TYPE); i++)
        for (int l = 0; l < N_LEVEL; l++) {
            enum { COLS = 20, K = 64 };
            uint16_t w[COLS][K] = { { 0 } };
            float a[3 * K], *c;
            for (int k = 0; k < K; k++) {
                a[k] = 1;
                a[K + k] = k % 2 ? -1 : 1;
                a[2 * K + k] = k == 40 ? (l & 1 ? INFINITY : NAN) : 1;
                w[1][k] = TYPE[i].least;
                w[2][k] = TYPE[i].largest;
                w[3][k] = k == 5 ? TYPE[i].bad[0] : TYPE[i].least;
                w[4][k] = k == 63 ? TYPE[i].bad[1] : 0;
                w[5][k] = 0x8000;
                w[6][k] = k == 7 ? TYPE[i].largest : TYPE[i].least; /* far below the largest: nothing */
            }
            struct tensor t = { .data = w, .type = TYPE[i].type, .n_dim = 2, .dim = { K, COLS, 1, 1 }, .row_bytes = K * 2, .n_bytes = sizeof w };
            c = run(LEVEL[l], 1, &t, 3, 3, a, 0);
            const double near = 1e-6;
            for (int j = 0; j < COLS; j++) {
                if (j != 3 && j != 4)
                    assert_true(isfinite(c[j]) && isfinite(c[COLS + j]));
                else
                    assert_true(isnan(c[j]) && isnan(c[COLS + j]));
                assert_true(isnan(c[2 * COLS + j]));
            }
            assert_true(c[0] == 0 && c[5] == 0 && c[COLS + 1] == 0);
            assert_true(fabs((double)c[1] / (K * TYPE[i].least_value) - 1) < near);
            assert_true(fabs((double)c[2] / (K * TYPE[i].largest_value) - 1) < near);
            assert_true(fabs((double)c[COLS + 6] / -TYPE[i].largest_value - 1) < near);
            struct gemm_ctx *g = gemm_ctx_new(LEVEL[l], NULL);
            struct gemm p = product(&t, 2, 2, a, c);
            mem_fail_at = 1;
            gemm_run(g, &p);
            mem_fail_at = -1;
            assert_true(gemm_failed(g) && c[2] == 0);
            gemm_run(g, &p);
            assert_true(!gemm_failed(g) && c[2] != 0);
            gemm_ctx_free(g);
            mem_free(c);
        }
}

int main(void)
{
    static const unsigned WANT[] = { 0, CPU_AVX2, CPU_AVX2 | CPU_AVX_VNNI, CPU_AVX2 | CPU_AVX512 | CPU_AVX512_VNNI, CPU_NEON };
    const unsigned cpu = cpu_detect();
    for (size_t i = 0; i < ARRAY_LEN(WANT); i++)
        if ((cpu & WANT[i]) == WANT[i])
            printf("level %s\n", (LEVEL[N_LEVEL++] = kern_get(WANT[i]))->isa);
    rng_seed(&R, 7);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ref_is_right), cmocka_unit_test(test_levels_and_threads_agree), cmocka_unit_test(test_exact_rows_and_groups),
        cmocka_unit_test(test_ends_of_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
