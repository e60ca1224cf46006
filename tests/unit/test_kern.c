/* test_kern.c — every level that this CPU has against the scalar twin (bit for bit), the twin against double
 * precision, and the drivers: any threads, any number of rows, the same bits.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern/kern.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kern_levels.h"

static struct rng R;

static float *floats(size_t n)
{
    float *p = mem_alloc((n ? n : 1) * sizeof *p);
    assert_non_null(p);
    return p;
}
static float *randoms(size_t n)
{
    float *p = floats(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)rng_normal(&R);
    return p;
}
static float *copy_of(const float *x, size_t n)
{
    float *p = floats(n);
    memcpy(p, x, n * sizeof *p);
    return p;
}
/* First difference, or -1. */
static long differs(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a))
            return (long)i;
    return -1;
}
#define SAME(a, b, n) assert_int_equal(differs((a), (b), (size_t)(n)), -1)
static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("got %.9g, want %.9g", got, want);
}

/* ---- slots ---- */
static void test_gemm_tile(void **state)
{
    (void)state;
    static const int rows[] = { 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 25 }, cols[] = { 1, 7, 8, 15, 16, 17, 24, 31, 32 }, ks[] = { 0, 1, 5, 34 };
    for (size_t ir = 0; ir < ARRAY_LEN(rows); ir++)
        for (size_t ic = 0; ic < ARRAY_LEN(cols); ic++)
            for (size_t ik = 0; ik < ARRAY_LEN(ks); ik++)
                for (int form = 0; form < 4; form++) {
                    int m = rows[ir], n = cols[ic], k = ks[ik], load_c = form & 1, transposed = form >> 1;
                    int first = n < 16 ? n : 16, c_row = n + 3;
                    size_t nc = (size_t)(m * c_row);
                    float *a = randoms((size_t)(m * k)), *b = randoms((size_t)(k * first)), *b2 = randoms((size_t)(k * 16)), *c0 = randoms(nc);
                    float *b2_in = n > 16 ? b2 : NULL;
                    /* both panels share b_row: a short first panel is alone, read exactly to its end */
                    for (int l = 1; l < N_LEVEL; l++) {
                        float *want = copy_of(c0, nc), *got = copy_of(c0, nc);
                        for (int w = 0; w < 2; w++)
                            LEVEL[w ? l : 0]->gemm_tile(w ? got : want, c_row, load_c, a, transposed ? 1 : k, transposed ? m : 1, b, b2_in,
                                                        first, m, n, k);
                        SAME(got, want, nc);
                        mem_free(want);
                        mem_free(got);
                    }
                    mem_free(a);
                    mem_free(b);
                    mem_free(b2);
                    mem_free(c0);
                }
}

static void test_pack_nt(void **state)
{
    (void)state;
    for (int n = 1; n <= 16; n++)
        for (int k = 0; k <= 40; k += k < 34 ? 1 : 3)
            for (int l = 0; l < N_LEVEL; l++) {
                int row = k + 2;
                float *src = randoms((size_t)((n - 1) * row + k)), *dst = floats((size_t)(k * 16 + 1));
                dst[k * 16] = 7;
                LEVEL[l]->pack_nt(dst, src, row, n, k);
                for (int i = 0; i < k * 16; i++)
                    assert_true(dst[i] == (i % 16 < n ? src[(i % 16) * row + i / 16] : 0.0f));
                assert_true(dst[k * 16] == 7);
                mem_free(src);
                mem_free(dst);
            }
}

enum { N_OUT = 40 };
/* Every other slot on the same inputs of n elements; the results one after the other. */
static float *run_slots(const struct kern *k, const float *x, const float *y, const float *z, int n)
{
    size_t len = (size_t)n;
    float *out = mem_calloc(N_OUT * (len + 2), sizeof *out), *o = out;
    assert_non_null(out);
#define NEXT (o += len + 2)
    k->rmsnorm(o, o + n, x, y, n, 1e-5f), NEXT;
    memcpy(o, z, len * sizeof *o), memcpy(o + len + 2, x, len * sizeof *o);
    k->rmsnorm_back(o, o + len + 2, y, x, z, 0.7f, n), NEXT, NEXT;
    memcpy(o, z, len * sizeof *o);
    k->rmsnorm_back(o, NULL, y, x, z, 0.7f, n), NEXT;
    for (int inverse = 0; inverse < 2; inverse++) {
        memcpy(o, x, len * sizeof *o);
        k->rope(o, 1, n, n / 2 * 2, y, inverse), NEXT;
    }
    memcpy(o, x, len * sizeof *o);
    k->softmax(o, n), NEXT;
    o[0] = k->log_sum_exp(x, n), NEXT;
    k->silu_mul(o, x, y, n), NEXT;
    k->silu_mul_back(o, o + len + 2, x, y, z, n), NEXT, NEXT;
    k->gelu_mul_back(o, o + len + 2, x, y, z, n), NEXT, NEXT;
    k->gelu_mul_back(o, NULL, x, y, NULL, n), NEXT;
    memcpy(o, x, len * sizeof *o);
    k->layernorm_back(o, y, z, y, n, 1e-5f), NEXT;
    memcpy(o, y, len * sizeof *o);
    k->softcap_back(o, z, 3.0f, n), NEXT;
    memcpy(o, x, len * sizeof *o);
    k->add(o, y, n), NEXT;
    memcpy(o, x, len * sizeof *o);
    k->axpy(o, 0.3f, y, n), NEXT;
    memcpy(o, x, len * sizeof *o);
    k->scale(o, -1.7f, n), NEXT;
    o[0] = k->dot(x, y, n);
    double s = k->sum_squares(x, n);
    if (n)
        memcpy(o + 1, &s, sizeof s);
    NEXT;
    o[0] = (float)k->argmax(x, n), NEXT;
    memcpy(o, x, len * sizeof *o), memcpy(o + len + 2, y, len * sizeof *o);
    for (int i = 0; i < n; i++)
        o[2 * (len + 2) + (size_t)i] = z[i] * z[i];
    k->adamw(o, o + len + 2, o + 2 * (len + 2), z, n, 0.5f, 1e-2f, 0.9f, 0.99f, 1e-6f, 1e-3f);
    return out;
}

static void test_slots_agree(void **state)
{
    (void)state;
    for (int n = 0; n < 300; n += n < 70 ? 1 : 57) {
        float *x = randoms((size_t)n), *y = randoms((size_t)n), *z = randoms((size_t)n);
        for (int i = 0; i < n; i++)
            x[i] *= n % 3 == 0 ? 50 : 1;            /* far into the tails of exp */
        if (n > 5)
            x[4] = -INFINITY, x[5] = -3e38f;
        float *want = run_slots(LEVEL[0], x, y, z, n);
        for (int l = 1; l < N_LEVEL; l++) {
            float *got = run_slots(LEVEL[l], x, y, z, n);
            for (int i = 0; i < N_OUT * (n + 2); i++)
                if (memcmp(&got[i], &want[i], sizeof *got) && !(isnan(got[i]) && isnan(want[i])))
                    fail_msg("%s, n = %d, result %d, element %d: %g, not %g", LEVEL[l]->isa, n, i / (n + 2), i % (n + 2), (double)got[i], (double)want[i]);
            mem_free(got);
        }
        mem_free(want);
        mem_free(x);
        mem_free(y);
        mem_free(z);
    }
}

static void test_slots_truth(void **state)
{
    (void)state;
    const struct kern *k = LEVEL[N_LEVEL - 1];
    enum { N = 333 };
    float *x = randoms(N), *y = randoms(N), *p = copy_of(x, N), *g = floats(N), *u = floats(N);
    double sum = 0, dot = 0, sq = 0, total = 0;
    for (int i = 0; i < N; i++)
        sum += exp((double)x[i]), dot += (double)x[i] * y[i], sq += (double)x[i] * x[i];
    k->softmax(p, N);
    for (int i = 0; i < N; i++)
        near(p[i] * 100, exp((double)x[i]) / sum * 100, 3e-7), total += p[i];
    near(total, 1, 1e-6);
    near(k->log_sum_exp(x, N), log(sum), 3e-7);
    near(k->dot(x, y, N), dot, 1e-5);
    near(k->sum_squares(x, N), sq, 1e-14);
    for (int i = 0; i < N; i++)
        x[i] = (float)(i - N / 2) * 0.7f;           /* from -116 to 116: 1/(1+exp) far into both tails */
    for (int i = 0; i < N; i++)
        u[i] = 1;
    k->silu_mul(p, x, u, N);
    for (int i = 0; i < N; i++) {
        double want = x[i] / (1 + exp(-(double)x[i]));
        assert_true(fabs(p[i] - want) <= 4e-7 * fabs(want) + 1e-36);
    }
    k->silu_mul_back(g, u, y, x, y, N);
    for (int i = 0; i < N; i++) {
        double s = 1 / (1 + exp(-(double)x[i]));
        near(u[i], y[i] * x[i] * s, 1e-6);
        near(g[i], (double)y[i] * y[i] * s * (1 + x[i] * (1 - s)), 1e-6);
    }
    float none[20], one[3] = { -INFINITY, 4, -INFINITY }, big[2] = { 3e38f, 3e38f };
    for (int i = 0; i < 20; i++)
        none[i] = -INFINITY;
    assert_true(k->log_sum_exp(none, 20) == -INFINITY && k->argmax(none, 20) == 0);
    k->softmax(none, 20);
    k->softmax(one, 3);
    k->softmax(big, 2);
    assert_true(none[3] == 0 && one[0] == 0 && one[1] == 1 && one[2] == 0 && big[0] == 0.5f);
    float ties[40] = { 0 };
    ties[7] = ties[20] = ties[39] = 3;
    assert_int_equal(k->argmax(ties, 40), 7);
    mem_free(x);
    mem_free(y);
    mem_free(p);
    mem_free(g);
    mem_free(u);
}

/* Gradient of Σ dy·rmsnorm(x)·w by central differences; rope turned forth and back is the identity. */
static void test_rmsnorm_rope(void **state)
{
    (void)state;
    const struct kern *k = LEVEL[N_LEVEL - 1];
    enum { N = 37 };
    float *x = randoms(N), *w = randoms(N), *dy = randoms(N), y[N], inv, dx[N] = { 0 }, dw[N] = { 0 };
    k->rmsnorm(y, &inv, x, w, N, 1e-5f);
    k->rmsnorm_back(dx, dw, dy, x, w, inv, N);
    for (int i = 0; i < N; i++) {
        double loss[2];
        for (int side = 0; side < 2; side++) {
            double ms = 0, l = 0, h = side ? 1e-4 : -1e-4;
            for (int j = 0; j < N; j++)
                ms += (x[j] + (j == i ? h : 0)) * (x[j] + (j == i ? h : 0));
            for (int j = 0; j < N; j++)
                l += dy[j] * w[j] * (x[j] + (j == i ? h : 0)) / sqrt(ms / N + 1e-5);
            loss[side] = l;
        }
        near(dx[i], (loss[1] - loss[0]) / 2e-4, 1e-4);
        near(dw[i], (double)dy[i] * x[i] * inv, 1e-6);
    }
    float heads[2 * 12], before[2 * 12], cs[8];
    for (int i = 0; i < 24; i++)
        heads[i] = before[i] = (float)rng_normal(&R);
    for (int i = 0; i < 4; i++)
        cs[2 * i] = cosf((float)i + 0.3f), cs[2 * i + 1] = sinf((float)i + 0.3f);
    k->rope(heads, 2, 12, 8, cs, 0);
    near(heads[12 + 2], before[14] * cs[2] - before[15] * cs[3], 1e-6);
    near(heads[12 + 3], before[14] * cs[3] + before[15] * cs[2], 1e-6);
    assert_true(heads[8] == before[8] && heads[23] == before[23]); /* beyond rope_dim */
    k->rope(heads, 2, 12, 8, cs, 1);
    for (int i = 0; i < 24; i++)
        near(heads[i], before[i], 1e-6);
    mem_free(x);
    mem_free(w);
    mem_free(dy);
}

/* The comparison itself must be able to fail. */
static void bad_add(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i] * (i == 17 ? 1.0000001f : 1);
}
static void test_comparison_can_fail(void **state)
{
    (void)state;
    struct kern broken = *LEVEL[0];
    broken.add = bad_add;
    float *x = floats(33), *y = floats(33);
    for (int i = 0; i < 33; i++)
        x[i] = y[i] = 1.5f;
    float *want = run_slots(LEVEL[0], x, y, y, 33), *got = run_slots(&broken, x, y, y, 33);
    assert_int_not_equal(differs(got, want, N_OUT * 35), -1);
    mem_free(want);
    mem_free(got);
    mem_free(x);
    mem_free(y);
}

/* ---- gemm_run ---- */
struct shape { int m, n, k; };
static const struct shape SHAPES[] = { { 1, 1, 1 }, { 1, 50, 256 }, { 3, 100, 768 }, { 13, 17, 256 }, { 40, 8, 512 }, { 100, 300, 256 },
                                       { 61, 40, 1024 }, { 200, 33, 512 }, { 5, 700, 8 }, { 64, 70, 0 },
                                       { 16, 610, 72 }, { 310, 16, 77 }, { 20, 270, 40 }, { 130, 37, 64 } /* few rows or columns */ };

/* One chain of fused multiply-adds an element, over B(k,j) = bt[j·k_n + k]. */
static void oracle(float *c, const float *a, int64_t a_row, int64_t a_col, const float *bt, struct shape s, int load_c)
{
    for (int i = 0; i < s.m; i++)
        for (int j = 0; j < s.n; j++) {
            float t = load_c ? c[i * s.n + j] : 0;
            for (int k = 0; k < s.k; k++)
                t = fmaf(a[i * a_row + k * a_col], bt[(int64_t)j * s.k + k], t);
            c[i * s.n + j] = t;
        }
}

static void check_product(struct gemm_ctx *g, struct shape s, int type, int transposed, int load_c)
{
    const struct qtype_info *q = qtype_info(type);
    if (s.k % q->elems || (type != QT_F32 && s.k == 0))
        return;
    size_t mk = (size_t)(s.m * s.k), nk = (size_t)(s.n * s.k), mn = (size_t)(s.m * s.n);
    float *a = randoms(mk), *bt = randoms(nk), *b = floats(nk), *c0 = randoms(mn), *want = copy_of(c0, mn), *got = floats(mn);
    struct tensor t = { .type = type, .n_dim = 2, .dim = { s.k, s.n, 1, 1 } };
    t.row_bytes = (size_t)(s.k / q->elems * q->bytes);
    t.n_bytes = t.row_bytes * (size_t)s.n;
    void *data = mem_alloc(t.n_bytes + 1);
    q->quantize(data, bt, (int64_t)nk);
    q->dequantize(bt, data, (int64_t)nk);
    t.data = data;
    for (int j = 0; j < s.n; j++)
        for (int k = 0; k < s.k; k++)
            b[k * s.n + j] = bt[j * s.k + k];
    struct gemm p = { .n_row = s.m, .n_col = s.n, .n_k = s.k, .c = got, .c_row = s.n, .load_c = load_c, .a = a,
                      .a_row = transposed ? 1 : s.k, .a_col = transposed ? s.m : 1 };
    float *packed = floats(gemm_packed_floats(s.n, s.k));
    gemm_pack(g, packed, &t);
    oracle(want, a, p.a_row, p.a_col, bt, s, load_c);
    for (int form = 0; form < 3; form++) {
        memcpy(got, c0, mn * sizeof *got);
        p.form = (enum gemm_b)form;
        p.b = form == GEMM_B_PACKED ? packed : b;
        p.b_row = s.n;
        p.t = &t;
        gemm_run(g, &p);
        if (differs(got, want, mn) >= 0)
            fail_msg("%s %d×%d×%d type %s form %d transposed %d: element %ld", gemm_kern(g)->isa, s.m, s.n, s.k, q->name, form, transposed, differs(got, want, mn));
    }
    mem_free(packed);
    mem_free(data);
    mem_free(a);
    mem_free(bt);
    mem_free(b);
    mem_free(c0);
    mem_free(want);
    mem_free(got);
}

static void test_gemm(void **state)
{
    (void)state;
    static const int types[] = { QT_F32, QT_F16, QT_Q8_0, QT_Q4_K, QT_Q6_K };
    for (int threads = 1; threads <= 3; threads++) {
        struct pool *pool = pool_new(threads);
        for (int l = 0; l < N_LEVEL; l++) {
            struct gemm_ctx *g = gemm_ctx_new(LEVEL[l], pool);
            assert_non_null(g);
            for (size_t i = 0; i < ARRAY_LEN(SHAPES); i++)
                for (size_t t = 0; t < ARRAY_LEN(types); t++)
                    if (l > 0 || (threads == 2 && t < 2))
                        check_product(g, SHAPES[i], types[t], (int)(i + t + (size_t)threads) & 1, (int)(i / 2 + t) & 1);
            gemm_ctx_free(g);
        }
        pool_free(pool);
    }
}

/* What threads pack together for all, in more than one piece, against one thread that packs for itself. */
static void test_packed_together(void **state)
{
    (void)state;
    static const struct shape s = { 131, 2100, 800 };
    static const int types[] = { QT_F32, QT_Q8_0 };
    const size_t mk = (size_t)(s.m * s.k), nk = (size_t)(s.n * s.k), mn = (size_t)(s.m * s.n);
    float *a = randoms(mk), *b = randoms(nk), *c0 = randoms(mn), *want = floats(mn), *got = floats(mn);
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        for (int form = GEMM_B_ROWS; form <= GEMM_B_TENSOR_ROWS; form++) {
            const struct qtype_info *q = qtype_info(types[i]);
            const int64_t cols = form == GEMM_B_TENSOR ? s.k : 2080, rows = form == GEMM_B_TENSOR ? 2080 : s.k; /* whole blocks */
            struct tensor t = { .type = types[i], .n_dim = 2, .dim = { cols, rows, 1, 1 }, .row_bytes = (size_t)(cols / q->elems * q->bytes) };
            t.n_bytes = t.row_bytes * (size_t)rows;
            void *data = mem_alloc(t.n_bytes);
            q->quantize(data, b, cols * rows);
            t.data = data;
            const int64_t n_col = form == GEMM_B_ROWS ? s.n : 2080;
            struct gemm p = { .n_row = s.m, .n_col = n_col, .n_k = s.k, .c_row = n_col, .load_c = 1, .a = a, .a_row = i ? 1 : s.k, .a_col = i ? s.m : 1,
                              .form = (enum gemm_b)form, .b = b, .b_row = n_col, .t = &t };
            for (int threads = 1; threads <= 3; threads++) {
                struct pool *pool = pool_new(threads);
                struct gemm_ctx *g = gemm_ctx_new(LEVEL[N_LEVEL - 1], pool);
                p.c = threads == 1 ? want : got;
                memcpy(p.c, c0, mn * sizeof *c0);
                gemm_run(g, &p);
                if (threads > 1 && differs(got, want, mn) >= 0)
                    fail_msg("%s form %d, %d threads: element %ld", q->name, form, threads, differs(got, want, mn));
                gemm_ctx_free(g);
                pool_free(pool);
            }
            mem_free(data);
        }
    mem_free(a);
    mem_free(b);
    mem_free(c0);
    mem_free(want);
    mem_free(got);
}

/* No memory: no context. */
static void test_no_memory(void **state)
{
    (void)state;
    for (long i = 1; i <= 3; i++) {
        mem_fail_at = i;
        struct gemm_ctx *none = gemm_ctx_new(LEVEL[0], NULL);
        mem_fail_at = -1;
        assert_null(none);
    }
}

int main(void)
{
    levels_find();
    rng_seed(&R, 20240607);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm_tile), cmocka_unit_test(test_pack_nt), cmocka_unit_test(test_slots_agree),
        cmocka_unit_test(test_slots_truth), cmocka_unit_test(test_rmsnorm_rope), cmocka_unit_test(test_comparison_can_fail),
        cmocka_unit_test(test_gemm), cmocka_unit_test(test_packed_together), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
