/* test_qtype.c — element types: half precision, bit-exact dequantisation, error of quantisation.
 *
 * Oracles: arithmetic in double for half precision; llama.cpp's own blocks of 4,096 real weights and their dequantised
 * values in ../shared/data/quant (skipped when absent).  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define QUANT_DIR "../shared/data/quant/"

#define X(NAME, suffix, elems, bytes) QT_##NAME,
static const int TYPES[] = { QTYPES(X) };
#undef X

static uint16_t bf16_of(float f) {
    uint16_t h;
    qtype_info(QT_BF16)->quantize(&h, &f, 1);
    return h;
}

static void test_qtype_table_knows_names_and_rejects_others(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        const struct qtype_info *q = qtype_info(TYPES[i]);
        assert_non_null(q);
        assert_int_equal(qtype_by_name(q->name), TYPES[i]);
    }
    assert_int_equal(qtype_by_name("q4_k"), QT_Q4_K);
    assert_int_equal(qtype_by_name("Q4_K_M"), -1);
    assert_int_equal(qtype_by_name(""), -1);
    static const int none[] = { -1, 4, 5, 9, 16, 31, 40, QT_COUNT, 1 << 30 };
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_true(!qtype_info(none[i]) && !qtype_known(none[i]));
    assert_true(!qtype_info(QT_F64) && qtype_known(QT_F64) && qtype_by_name("F64") == -1);
    assert_string_equal(qtype_name(QT_I8), "I8");
    assert_string_equal(qtype_name(22), "IQ2_S");
    assert_string_equal(qtype_name(0xffffffff), "?");
}

/* Value of a half by its definition. */
static double half_value(uint16_t h) {
    int exponent = h >> 10 & 31, mantissa = h & 1023;
    double v = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return h & 0x8000 ? -v : v;
}

static void test_f16_every_half_survives(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = f16_to_f32((uint16_t)h);
        if ((h & 0x7c00) == 0x7c00) {
            assert_true(h & 1023 ? isnan(f) : isinf(f));
            assert_int_equal(f32_to_f16(f) & 0xfc00, h & 0xfc00);
            assert_int_equal((f32_to_f16(f) & 1023) != 0, (h & 1023) != 0);
        } else {
            assert_true((double)f == half_value((uint16_t)h));
            assert_int_equal(f32_to_f16(f), h);
        }
    }
}

static void test_f16_rounds_to_nearest_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        double a = half_value((uint16_t)h), b = h == 0x7bff ? 65536.0 : half_value((uint16_t)(h + 1));
        float mid = (float)((a + b) / 2); /* exact: one more bit than a half */
        uint32_t even = h & 1 ? h + 1 : h;
        assert_int_equal(f32_to_f16(mid), even);
        assert_int_equal(f32_to_f16(-mid), even | 0x8000);
        assert_int_equal(f32_to_f16(nextafterf(mid, 0)), h);
        assert_int_equal(f32_to_f16(nextafterf(mid, INFINITY)), h + 1);
    }
    assert_int_equal(f32_to_f16(1e30f), 0x7c00);
    assert_int_equal(f32_to_f16(1e-30f), 0);
    assert_int_equal(bf16_of(1.00390625f), 0x3f80);          /* tie → even */
    assert_int_equal(bf16_of(1.01171875f), 0x3f82);
    assert_int_equal(bf16_of(-INFINITY), 0xff80);
    assert_int_equal(bf16_of(3.4e38f), 0x7f80);
    assert_int_equal(bf16_of(NAN) & 0x7fc0, 0x7fc0);
}

/* A file of the quant folder, which the caller frees. */
static void *quant_file(const char *name, const char *ext, size_t *n) {
    char path[256], *p;
    ilab_err e = { 0 };
    snprintf(path, sizeof path, QUANT_DIR "%s%s", name, ext);
    if (file_read(path, 1 << 20, &p, n, &e))
        fail_msg("%s", e.msg);
    return p;
}

static double rmse(const float *a, const float *b, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(s / (double)n);
}

static const struct { int type; const char *file; } QUANT[] = {
    { QT_Q8_0, "q8_0" }, { QT_Q4_0, "q4_0" }, { QT_Q4_1, "q4_1" }, { QT_Q5_0, "q5_0" }, { QT_Q5_1, "q5_1" }, { QT_IQ4_NL, "iq4_nl" },
    { QT_MXFP4, "mxfp4" }, { QT_Q2_K, "q2_K" }, { QT_Q3_K, "q3_K" }, { QT_Q4_K, "q4_K" }, { QT_Q5_K, "q5_K" }, { QT_Q6_K, "q6_K" },
    { QT_IQ4_XS, "iq4_xs" }, { QT_TQ1_0, "tq1_0" }, { QT_TQ2_0, "tq2_0" },
};

static void test_qtype_dequantizes_bit_exactly(void **state) {
    (void)state;
    if (!file_exists(QUANT_DIR "input.f32")) {
        print_message("skipped: " QUANT_DIR " is missing\n");
        skip();
    }
    for (size_t i = 0; i < ARRAY_LEN(QUANT); i++) {
        const struct qtype_info *q = qtype_info(QUANT[i].type);
        size_t n_bin, n_f32;
        void *bin = quant_file(QUANT[i].file, ".bin", &n_bin), *f32 = quant_file(QUANT[i].file, ".f32", &n_f32);
        size_t n = n_f32 / sizeof(float);
        assert_int_equal(n_bin, n / (size_t)q->elems * (size_t)q->bytes);
        float *y = mem_alloc(n_f32);
        q->dequantize(y, bin, (int64_t)n);
        for (size_t k = 0; k < n; k++)
            if (memcmp(&y[k], (float *)f32 + k, sizeof *y))
                fail_msg("%s: element %zu is %.9g, not %.9g", q->name, k, y[k], ((float *)f32)[k]);
        mem_free(y);
        mem_free(bin);
        mem_free(f32);
    }
}

static void test_qtype_quantizes_no_worse_than_llama_cpp(void **state) {
    (void)state;
    if (!file_exists(QUANT_DIR "input.f32")) {
        print_message("skipped: " QUANT_DIR " is missing\n");
        skip();
    }
    size_t n_in, n_f32;
    float *x = quant_file("input", ".f32", &n_in);
    size_t n = n_in / sizeof(float);
    float *y = mem_alloc(n_in);
    uint8_t *blocks = mem_alloc(n_in);
    print_message("RMSE over %zu weights   ours        llama.cpp   ratio   ns/element\n", n);
    for (size_t i = 0; i < ARRAY_LEN(QUANT); i++) {
        const struct qtype_info *q = qtype_info(QUANT[i].type);
        float *theirs = quant_file(QUANT[i].file, ".f32", &n_f32);
        double t = now_seconds();
        q->quantize(blocks, x, (int64_t)n);
        t = now_seconds() - t;
        q->dequantize(y, blocks, (int64_t)n);
        double a = rmse(x, y, n), b = rmse(x, theirs, n);
        print_message("  %-20s %.5e %.5e %.4f  %.0f\n", q->name, a, b, a / b, t / (double)n * 1e9);
        assert_true(a <= b);
        mem_free(theirs);
    }
    mem_free(blocks);
    mem_free(y);
    mem_free(x);
}

/* Largest error of a type on numbers in [-1, 1]: half of its widest step, with room for scales of few bits. */
static float worst_error(int type) {
    switch (type) {
    case QT_TQ1_0: case QT_TQ2_0: return 0.75f;
    case QT_Q2_K: case QT_Q3_K: return 0.5f;
    case QT_MXFP4: return 0.34f;
    default: return 0.2f;
    }
}

/* Zero stays zero, tiny and huge values keep their size, NaN and infinities give finite blocks. */
static void test_qtype_quantizes_awkward_rows(void **state) {
    (void)state;
    enum { N = 512 };
    static float x[N], y[N];
    static uint8_t blocks[N * 4];
    static const float magnitude[] = { 0.0f, 1e-30f, 1e-6f, 1.0f, 6e4f, 1e6f, 3e38f };
    struct rng r;
    rng_seed(&r, 5);
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        const struct qtype_info *q = qtype_info(TYPES[i]);
        for (size_t m = 0; m < ARRAY_LEN(magnitude); m++)
            for (int bad = 0; bad < 4; bad++) {
                for (int k = 0; k < N; k++)
                    x[k] = magnitude[m] * (float)(rng_unit(&r) * 2 - 1);
                if (bad)
                    x[3] = bad == 1 ? NAN : bad == 2 ? INFINITY : -INFINITY;
                q->quantize(blocks, x, N);
                q->dequantize(y, blocks, N);
                if (q->elems > 1)
                    assert_int_equal(qtype_check_rows(TYPES[i], blocks, N), -1);
                for (int k = 0; k < N; k++) {
                    if (q->elems > 1)
                        assert_true(isfinite(y[k]));
                    if (!bad && magnitude[m] <= 1.0f && !(fabsf(x[k] - y[k]) <= worst_error(TYPES[i]) * magnitude[m] + 1e-6f))
                        fail_msg("%s: %.9g became %.9g", q->name, (double)x[k], (double)y[k]);
                }
            }
    }
    for (int k = 0; k < N; k++) /* a constant, and a row with one large value, sit on levels */
        x[k] = k < 256 ? -0.75f : k % 32 ? 0.0f : 2.0f;
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        const struct qtype_info *q = qtype_info(TYPES[i]);
        q->quantize(blocks, x, N);
        q->dequantize(y, blocks, N);
        for (int k = 0; k < N; k++)
            if (!(fabsf(x[k] - y[k]) <= (TYPES[i] == QT_IQ4_NL || TYPES[i] == QT_IQ4_XS ? 0.03f : 2e-3f))) /* they have no 0 */
                fail_msg("%s: %.9g became %.9g", q->name, (double)x[k], (double)y[k]);
    }
}

/* What lies on a grid survives: every type gives back its own dequantised blocks, up to the rounding of F16 scales. */
static void test_qtype_requantizes_its_own_blocks(void **state) {
    (void)state;
    enum { N = 1024 };
    static float x[N], y[N], z[N];
    static uint8_t blocks[N * 4];
    struct rng r;
    rng_seed(&r, 6);
    for (int k = 0; k < N; k++)
        x[k] = (float)rng_normal(&r) * 0.02f;
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        const struct qtype_info *q = qtype_info(TYPES[i]);
        q->quantize(blocks, x, N);
        q->dequantize(y, blocks, N);
        q->quantize(blocks, y, N);
        q->dequantize(z, blocks, N);
        double lost = rmse(x, y, N), more = rmse(y, z, N);
        if (more > 0.25 * lost + 1e-9)
            fail_msg("%s: error %g once, %g more the second time", q->name, lost, more);
    }
}

/* One number that is not finite is found wherever it lies. */
static void test_qtype_check_finds_bad_scales(void **state) {
    (void)state;
    enum { N = 4096 };
    static float x[N], y[N];
    static uint8_t blocks[N * 4];
    struct rng r;
    struct pool *pool = pool_new(2);
    ilab_err e = { 0 };
    rng_seed(&r, 7);
    for (int k = 0; k < N; k++)
        x[k] = (float)rng_normal(&r);
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        const struct qtype_info *q = qtype_info(TYPES[i]);
        const size_t n_bytes = (size_t)(N / q->elems * q->bytes);
        int n_found = 0;
        q->quantize(blocks, x, N);
        struct tensor t = { .data = blocks, .type = TYPES[i], .n_dim = 2, .dim = { 1024, 4, 1, 1 }, .row_bytes = n_bytes / 4,
            .n_bytes = n_bytes, .name = "w" };
        assert_int_equal(tensor_check_values(&t, pool, &e), 0);
        for (size_t at = 0; at + 2 <= n_bytes; at++) { /* ones at every place: found exactly when a value is not finite */
            if (at > 700 && at % 97)
                continue;
            uint8_t keep[4];
            const size_t width = TYPES[i] == QT_F32 ? 4 : TYPES[i] == QT_MXFP4 ? 1 : 2;
            if (at + width > n_bytes)
                break;
            memcpy(keep, blocks + at, width);
            memset(blocks + at, 0xff, width);
            int64_t first = -1, said = qtype_check_rows(TYPES[i], blocks, N);
            q->dequantize(y, blocks, N);
            for (int k = 0; first < 0 && k < N; k++)
                if (!isfinite(y[k]))
                    first = k / q->elems * q->elems;
            if (TYPES[i] == QT_MXFP4) /* NaN by the standard, finite here */
                first = at % 17 ? -1 : (int64_t)at / 17 * 32;
            if (said != first)
                fail_msg("%s: byte %zu: found %lld, not %lld", q->name, at, (long long)said, (long long)first);
            assert_int_equal(tensor_check_values(&t, pool, &e), first < 0 ? 0 : ILAB_E_FORMAT);
            n_found += first >= 0;
            memcpy(blocks + at, keep, width);
        }
        assert_true(n_found > 0);
    }
    assert_non_null(strstr(e.msg, "tensor 'w' ("));
    assert_non_null(strstr(e.msg, "holds NaN or infinity: row "));
    pool_free(pool);
}

static void test_tensor_rows_are_found_by_stride(void **state) {
    (void)state;
    float x[2 * 3 * 32], y[32];
    uint8_t blocks[2 * 3 * 34];
    for (int i = 0; i < 2 * 3 * 32; i++)
        x[i] = (float)(i / 32 * 127 - 200) * (i % 2 ? 1.0f : -1.0f);
    qtype_info(QT_Q8_0)->quantize(blocks, x, 2 * 3 * 32);
    struct tensor t = { .data = blocks, .type = QT_Q8_0, .n_dim = 3, .dim = { 32, 3, 2, 1 }, .row_bytes = 34,
        .n_bytes = sizeof blocks };
    assert_int_equal(tensor_rows(&t), 6);
    assert_int_equal(tensor_elems(&t), 192);
    for (int r = 0; r < 6; r++) {
        tensor_row_f32(&t, r, y);
        for (int k = 0; k < 32; k++)
            assert_true(fabsf(y[k] - x[r * 32 + k]) < 1.0f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qtype_table_knows_names_and_rejects_others),
        cmocka_unit_test(test_f16_every_half_survives),
        cmocka_unit_test(test_f16_rounds_to_nearest_even),
        cmocka_unit_test(test_qtype_dequantizes_bit_exactly),
        cmocka_unit_test(test_qtype_quantizes_no_worse_than_llama_cpp),
        cmocka_unit_test(test_qtype_quantizes_awkward_rows),
        cmocka_unit_test(test_qtype_requantizes_its_own_blocks),
        cmocka_unit_test(test_qtype_check_finds_bad_scales),
        cmocka_unit_test(test_tensor_rows_are_found_by_stride),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
