/* kern_avx2.c — the kernels for AVX2 with FMA: tiles of 6 rows × 16 columns, few rows × 32 columns.
 *
 * Six rows × two registers are twelve running sums; two registers of B and a broadcast of A make 15 of 16. With one
 * to three rows two panels are taken at once, or the chains would be too few to hide the latency of the multiply-add.
 * Every element is one chain over ascending k, as in kern_ref.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern_impl.h"

#ifdef __x86_64__
#include <immintrin.h>

/* ---- sixteen lanes ---- */
typedef struct { __m256 lo, hi; } v16;
static const int32_t LANES[32] = { -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 };
static inline __m256i lanes_lo(int n) { return _mm256_loadu_si256((const __m256i *)(const void *)(LANES + 16 - n)); }
static inline __m256i lanes_hi(int n) { return _mm256_loadu_si256((const __m256i *)(const void *)(LANES + 24 - n)); }
static inline v16 v16_load(const float *p) { return (v16){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) }; }
static inline void v16_store(float *p, v16 v) { _mm256_storeu_ps(p, v.lo); _mm256_storeu_ps(p + 8, v.hi); }
static inline v16 v16_load_n(const float *p, int n)
{
    return (v16){ _mm256_maskload_ps(p, lanes_lo(n)), _mm256_maskload_ps(p + 8, lanes_hi(n)) };
}
static inline void v16_store_n(float *p, v16 v, int n)
{
    _mm256_maskstore_ps(p, lanes_lo(n), v.lo);
    _mm256_maskstore_ps(p + 8, lanes_hi(n), v.hi);
}
static inline v16 v16_first(v16 v, int n)
{
    return (v16){ _mm256_and_ps(v.lo, _mm256_castsi256_ps(lanes_lo(n))), _mm256_and_ps(v.hi, _mm256_castsi256_ps(lanes_hi(n))) };
}
static inline v16 v16_set1(float f) { return (v16){ _mm256_set1_ps(f), _mm256_set1_ps(f) }; }
#define BINARY(name, op) \
    static inline v16 name(v16 a, v16 b) { return (v16){ op(a.lo, b.lo), op(a.hi, b.hi) }; }
BINARY(v16_add, _mm256_add_ps)
BINARY(v16_sub, _mm256_sub_ps)
BINARY(v16_mul, _mm256_mul_ps)
BINARY(v16_div, _mm256_div_ps)
BINARY(v16_max, _mm256_max_ps)
BINARY(v16_min, _mm256_min_ps)
static inline v16 v16_sqrt(v16 a) { return (v16){ _mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi) }; }
static inline v16 v16_neg(v16 a)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){ _mm256_xor_ps(a.lo, sign), _mm256_xor_ps(a.hi, sign) };
}
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    return (v16){ _mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi) };
}
static inline v16 v16_fnma(v16 a, v16 b, v16 c)
{
    return (v16){ _mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi) };
}
static inline __m256 times_pow2(__m256 p, __m256 n)
{
    __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1), bias = _mm256_set1_epi32(127);
    __m256i u1 = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i u2 = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(u1)), _mm256_castsi256_ps(u2));
}
static inline v16 v16_times_pow2(v16 p, v16 n) { return (v16){ times_pow2(p.lo, n.lo), times_pow2(p.hi, n.hi) }; }
/* Complex products of pairs: (x0, x1)·(c ± is). */
static inline __m256 rotate(__m256 x, __m256 cs, int inverse)
{
    __m256 t = _mm256_mul_ps(_mm256_permute_ps(x, 0xB1), _mm256_movehdup_ps(cs)), c = _mm256_moveldup_ps(cs);
    return inverse ? _mm256_fmsubadd_ps(x, c, t) : _mm256_fmaddsub_ps(x, c, t);
}
static inline v16 v16_rotate(v16 x, v16 cs, int inverse)
{
    return (v16){ rotate(x.lo, cs.lo, inverse), rotate(x.hi, cs.hi, inverse) };
}
static inline float v16_sum(v16 v)
{
    __m256 a = _mm256_add_ps(v.lo, v.hi);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_shuffle_ps(b, b, 1)));
}

#include "kern_body.h"

static double sum_squares_avx2(const float *x, int64_t n)
{
    __m256d s[4] = { _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd() };
    FOR16(i, n,
        v16 v = LD(x + i);
        __m256d q0 = _mm256_cvtps_pd(_mm256_castps256_ps128(v.lo));
        __m256d q1 = _mm256_cvtps_pd(_mm256_extractf128_ps(v.lo, 1));
        __m256d q2 = _mm256_cvtps_pd(_mm256_castps256_ps128(v.hi));
        __m256d q3 = _mm256_cvtps_pd(_mm256_extractf128_ps(v.hi, 1));
        s[0] = _mm256_fmadd_pd(q0, q0, s[0]);
        s[1] = _mm256_fmadd_pd(q1, q1, s[1]);
        s[2] = _mm256_fmadd_pd(q2, q2, s[2]);
        s[3] = _mm256_fmadd_pd(q3, q3, s[3]);
    );
    __m256d t = _mm256_add_pd(_mm256_add_pd(s[0], s[2]), _mm256_add_pd(s[1], s[3]));
    __m128d u = _mm_add_pd(_mm256_castpd256_pd128(t), _mm256_extractf128_pd(t, 1));
    return _mm_cvtsd_f64(_mm_add_sd(u, _mm_unpackhi_pd(u, u)));
}

/* ---- matrix tile ---- */
typedef void tile_fn(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row, int64_t a_col, const float *b,
                     const float *b2, int64_t b_row, int n_col, int64_t n_k);

/* rows, vecs (registers across: 2 or 4) and masked are constants at every place of use: the loops over them unroll. */
static inline __attribute__((always_inline)) void tile(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row,
    int64_t a_col, const float *b, const float *b2, int64_t b_row, int n_col, int64_t n_k,
    const int rows, const int vecs, const int masked)
{
    __m256 acc[6][4], bv[4];
    __m256i mask[2] = { lanes_lo(masked ? n_col : 16), lanes_hi(masked ? n_col : 16) };
#pragma GCC unroll 6
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            const float *p = c + m * c_row + 8 * v;
            acc[m][v] = !load_c ? _mm256_setzero_ps() : masked ? _mm256_maskload_ps(p, mask[v]) : _mm256_loadu_ps(p);
        }
    for (int64_t k = 0; k < n_k; k++, a += a_col, b += b_row) {
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            const float *p = v < 2 ? b + 8 * v : b2 + 8 * (v - 2);
            bv[v] = masked ? _mm256_maskload_ps(p, mask[v & 1]) : _mm256_loadu_ps(p);
        }
        b2 += vecs > 2 ? b_row : 0;
#pragma GCC unroll 6
        for (int m = 0; m < rows; m++) {
            __m256 am = _mm256_broadcast_ss(a + m * a_row);
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                acc[m][v] = _mm256_fmadd_ps(am, bv[v], acc[m][v]);
        }
    }
#pragma GCC unroll 6
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            float *p = c + m * c_row + 8 * v;
            if (masked)
                _mm256_maskstore_ps(p, mask[v & 1], acc[m][v]);
            else
                _mm256_storeu_ps(p, acc[m][v]);
        }
}

#define TILE(rows, vecs, masked) \
    static void tile_##rows##_##vecs##_##masked(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row, \
        int64_t a_col, const float *b, const float *b2, int64_t b_row, int n_col, int64_t n_k) \
    { tile(c, c_row, load_c, a, a_row, a_col, b, b2, b_row, n_col, n_k, rows, vecs, masked); }
#define TILES(rows) TILE(rows, 2, 0) TILE(rows, 2, 1)
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6) TILE(1, 4, 0) TILE(2, 4, 0) TILE(3, 4, 0)
#define ENTRY(rows) { tile_##rows##_2_0, tile_##rows##_2_1 }
static tile_fn *const TILE_TABLE[7][2] = { { NULL, NULL }, ENTRY(1), ENTRY(2), ENTRY(3), ENTRY(4), ENTRY(5), ENTRY(6) };
static tile_fn *const WIDE_TABLE[4] = { NULL, tile_1_4_0, tile_2_4_0, tile_3_4_0 };

static void gemm_tile_avx2(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row, int64_t a_col,
                           const float *b, const float *b2, int64_t b_row, int n_row, int n_col, int64_t n_k)
{
    if (n_row <= 3 && n_col == 32) {
        WIDE_TABLE[n_row](c, c_row, load_c, a, a_row, a_col, b, b2, b_row, n_col, n_k);
        return;
    }
    for (int j = 0; j < n_col; j += 16) {
        int cols = n_col - j < 16 ? n_col - j : 16;
        for (int m = 0; m < n_row; m += 6) {
            int rows = n_row - m < 6 ? n_row - m : 6;
            TILE_TABLE[rows][cols < 16](c + m * c_row + j, c_row, load_c, a + m * a_row, a_row, a_col, j ? b2 : b, NULL,
                                        b_row, cols, n_k);
        }
    }
}

/* ---- packing: transpose 8 × 8 ---- */
static inline void transpose8(__m256 r[8])
{
    __m256 t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int g = 0; g < 8; g += 4)
        for (int q = 0; q < 2; q++) {
            r[g + 2 * q] = _mm256_shuffle_ps(t[g + q], t[g + q + 2], 0x44);
            r[g + 2 * q + 1] = _mm256_shuffle_ps(t[g + q], t[g + q + 2], 0xEE);
        }
    for (int q = 0; q < 4; q++) {
        t[q] = _mm256_permute2f128_ps(r[q], r[4 + q], 0x20);
        t[4 + q] = _mm256_permute2f128_ps(r[q], r[4 + q], 0x31);
    }
    for (int i = 0; i < 8; i++)
        r[i] = t[i];
}

static void pack_nt_avx2(float *dst, const float *src, int64_t src_row, int n_col, int64_t n_k)
{
    for (int64_t k = 0; k < n_k; k += 8) {
        int n = n_k - k < 8 ? (int)(n_k - k) : 8;
        __m256i mask = lanes_lo(n);
        for (int half = 0; half < 16; half += 8) {
            __m256 r[8];
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++) {
                const float *p = src + (half + j) * src_row + k;
                r[j] = half + j >= n_col ? _mm256_setzero_ps() : n == 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, mask);
            }
            transpose8(r);
            float *d = dst + k * KERN_PANEL + half;
            if (n == 8) {
#pragma GCC unroll 8
                for (int i = 0; i < 8; i++)
                    _mm256_storeu_ps(d + i * KERN_PANEL, r[i]);
            } else {
                for (int i = 0; i < n; i++)
                    _mm256_storeu_ps(d + i * KERN_PANEL, r[i]);
            }
        }
    }
}

const struct kern kern_avx2 = {
    .isa = "avx2", .gemm_tile = gemm_tile_avx2, .pack_nt = pack_nt_avx2, .sum_squares = sum_squares_avx2,
    KERN_BODY_SLOTS,
};
#endif
