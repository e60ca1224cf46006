/* kern_avx512.c — the kernels for AVX-512 (F BW DQ VL): tiles of up to 12 rows × 2 registers, tails by masks.
 *
 * Twelve rows × two registers are 24 running sums, three times what hides the latency of the multiply-add; two
 * registers of B and one broadcast of A make 27 of 32. Every element is one chain over ascending k, as in kern_ref.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern_impl.h"

#ifdef __x86_64__
#include <immintrin.h>

/* ---- sixteen lanes ---- */
typedef __m512 v16;
static inline __mmask16 first_lanes(int n) { return (__mmask16)((1u << n) - 1); }
static inline v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v16_store(float *p, v16 v) { _mm512_storeu_ps(p, v); }
static inline v16 v16_load_n(const float *p, int n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
static inline void v16_store_n(float *p, v16 v, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
static inline v16 v16_first(v16 v, int n) { return _mm512_maskz_mov_ps(first_lanes(n), v); }
static inline v16 v16_set1(float f) { return _mm512_set1_ps(f); }
static inline v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
static inline v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
static inline v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
static inline v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
static inline v16 v16_sqrt(v16 a) { return _mm512_sqrt_ps(a); }
static inline v16 v16_neg(v16 a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
static inline v16 v16_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
static inline v16 v16_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }
static inline v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
static inline v16 v16_fnma(v16 a, v16 b, v16 c) { return _mm512_fnmadd_ps(a, b, c); }
static inline v16 v16_times_pow2(v16 p, v16 n) { return _mm512_scalef_ps(p, n); }
/* Complex products of pairs: (x0, x1)·(c ± is). */
static inline v16 v16_rotate(v16 x, v16 cs, int inverse)
{
    v16 t = _mm512_mul_ps(_mm512_permute_ps(x, 0xB1), _mm512_movehdup_ps(cs)), c = _mm512_moveldup_ps(cs);
    return inverse ? _mm512_fmsubadd_ps(x, c, t) : _mm512_fmaddsub_ps(x, c, t);
}
static inline float v16_sum(v16 v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_shuffle_ps(b, b, 1)));
}

#include "kern_body.h"

static double sum_squares_avx512(const float *x, int64_t n)
{
    __m512d lo = _mm512_setzero_pd(), hi = _mm512_setzero_pd();
    FOR16(i, n,
        v16 v = LD(x + i);
        __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
        __m512d b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
        lo = _mm512_fmadd_pd(a, a, lo);
        hi = _mm512_fmadd_pd(b, b, hi);
    );
    lo = _mm512_add_pd(lo, hi);
    __m256d s = _mm256_add_pd(_mm512_castpd512_pd256(lo), _mm512_extractf64x4_pd(lo, 1));
    __m128d t = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
    return _mm_cvtsd_f64(_mm_add_sd(t, _mm_unpackhi_pd(t, t)));
}

/* ---- matrix tile ---- */
typedef void tile_fn(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row, int64_t a_col, const float *b,
                     const float *b2, int64_t b_row, __mmask16 m0, __mmask16 m1, int64_t n_k);

/* rows and vecs are constants at every place of use: the loops over them unroll and acc lives in registers. */
static inline __attribute__((always_inline)) void tile(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row,
    int64_t a_col, const float *b, const float *b2, int64_t b_row, __mmask16 m0, __mmask16 m1, int64_t n_k,
    const int rows, const int vecs)
{
    __m512 acc[12][2];
#pragma GCC unroll 12
    for (int m = 0; m < rows; m++) {
        acc[m][0] = load_c ? _mm512_maskz_loadu_ps(m0, c + m * c_row) : _mm512_setzero_ps();
        if (vecs > 1)
            acc[m][1] = load_c ? _mm512_maskz_loadu_ps(m1, c + m * c_row + 16) : _mm512_setzero_ps();
    }
    /* three bases that are four rows apart and the multiples 0..3 of the stride address twelve rows */
    const float *a4[3] = { a, a + 4 * a_row, a + 8 * a_row };
    const int64_t off[4] = { 0, a_row, 2 * a_row, 3 * a_row };
    for (int64_t k = 0; k < n_k; k++) {
        __m512 b0 = _mm512_maskz_loadu_ps(m0, b), b1 = vecs > 1 ? _mm512_maskz_loadu_ps(m1, b2) : _mm512_setzero_ps();
        b += b_row;
        b2 += vecs > 1 ? b_row : 0;
#pragma GCC unroll 12
        for (int m = 0; m < rows; m++) {
            __m512 am = _mm512_set1_ps(a4[m / 4][off[m % 4]]);
            acc[m][0] = _mm512_fmadd_ps(am, b0, acc[m][0]);
            if (vecs > 1)
                acc[m][1] = _mm512_fmadd_ps(am, b1, acc[m][1]);
        }
#pragma GCC unroll 3
        for (int q = 0; q < (rows + 3) / 4; q++)
            a4[q] += a_col;
    }
#pragma GCC unroll 12
    for (int m = 0; m < rows; m++) {
        _mm512_mask_storeu_ps(c + m * c_row, m0, acc[m][0]);
        if (vecs > 1)
            _mm512_mask_storeu_ps(c + m * c_row + 16, m1, acc[m][1]);
    }
}

#define TILE(rows, vecs) \
    static void tile_##rows##_##vecs(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row, int64_t a_col, \
        const float *b, const float *b2, int64_t b_row, __mmask16 m0, __mmask16 m1, int64_t n_k) \
    { tile(c, c_row, load_c, a, a_row, a_col, b, b2, b_row, m0, m1, n_k, rows, vecs); }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6) TILES(7) TILES(8) TILES(9) TILES(10) TILES(11) TILES(12)
#define ENTRY(rows) { tile_##rows##_1, tile_##rows##_2 }
static tile_fn *const TILE_TABLE[13][2] = { { NULL, NULL }, ENTRY(1), ENTRY(2), ENTRY(3), ENTRY(4), ENTRY(5), ENTRY(6),
    ENTRY(7), ENTRY(8), ENTRY(9), ENTRY(10), ENTRY(11), ENTRY(12) };

static void gemm_tile_avx512(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row, int64_t a_col,
                             const float *b, const float *b2, int64_t b_row, int n_row, int n_col, int64_t n_k)
{
    int two = n_col > 16;
    __mmask16 m0 = two ? 0xFFFF : first_lanes(n_col), m1 = two ? first_lanes(n_col - 16) : 0;
    for (int m = 0; m < n_row; m += 12) {
        int rows = n_row - m < 12 ? n_row - m : 12;
        TILE_TABLE[rows][two](c + m * c_row, c_row, load_c, a + m * a_row, a_row, a_col, b, b2, b_row, m0, m1, n_k);
    }
}

/* ---- packing: transpose 16 × 16 ---- */
static inline void transpose16(__m512 r[16])
{
    __m512 t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    /* after this r[4g + q] holds, in its block L of four lanes, column 4L + q of rows 4g..4g+3 */
    for (int g = 0; g < 16; g += 4)
        for (int q = 0; q < 2; q++) {
            __m512d x = _mm512_castps_pd(t[g + q]), y = _mm512_castps_pd(t[g + q + 2]);
            r[g + 2 * q] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
            r[g + 2 * q + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
        }
    for (int q = 0; q < 4; q++) {
        __m512 ab0 = _mm512_shuffle_f32x4(r[q], r[4 + q], 0x44), ab1 = _mm512_shuffle_f32x4(r[q], r[4 + q], 0xEE);
        __m512 cd0 = _mm512_shuffle_f32x4(r[8 + q], r[12 + q], 0x44), cd1 = _mm512_shuffle_f32x4(r[8 + q], r[12 + q], 0xEE);
        t[q] = _mm512_shuffle_f32x4(ab0, cd0, 0x88);
        t[4 + q] = _mm512_shuffle_f32x4(ab0, cd0, 0xDD);
        t[8 + q] = _mm512_shuffle_f32x4(ab1, cd1, 0x88);
        t[12 + q] = _mm512_shuffle_f32x4(ab1, cd1, 0xDD);
    }
    for (int i = 0; i < 16; i++)
        r[i] = t[i];
}

static void pack_nt_avx512(float *dst, const float *src, int64_t src_row, int n_col, int64_t n_k)
{
    for (int64_t k = 0; k < n_k; k += 16, src += 16, dst += 16 * KERN_PANEL) {
        int n = n_k - k < 16 ? (int)(n_k - k) : 16;
        __mmask16 lanes = first_lanes(n);
        __m512 r[16];
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++)
            r[j] = j < n_col ? _mm512_maskz_loadu_ps(lanes, src + j * src_row) : _mm512_setzero_ps();
        transpose16(r);
        if (n == 16) {
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++)
                _mm512_storeu_ps(dst + i * KERN_PANEL, r[i]);
        } else {
            for (int i = 0; i < n; i++)
                _mm512_storeu_ps(dst + i * KERN_PANEL, r[i]);
        }
    }
}

const struct kern kern_avx512 = {
    .isa = "avx512", .gemm_tile = gemm_tile_avx512, .pack_nt = pack_nt_avx512, .sum_squares = sum_squares_avx512,
    KERN_BODY_SLOTS,
};
#endif
