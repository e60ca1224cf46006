/* kern_avx2.c — the kernels for AVX2 with FMA: tiles of 6 rows × 16 columns, few rows × 32 columns.
 *
 * Six rows × two registers are twelve running sums; two registers of B and a broadcast of A make 15 of 16. With one
 * to three rows two panels are taken at once, or the chains would be too few to hide the latency of the multiply-add.
 * Every element is one chain over ascending k, as in kern_ref.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern_impl.h"
#include "limits_impl.h"
#include "qgemm_impl.h"

#ifdef __x86_64__
#include "v16_avx2.h"
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

enum { TILE_REGISTERS = 2, WIDE_ROWS = 3 };
#include "gemm_tile_body.h"

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

enum pack_from { FROM_F32, FROM_F16, FROM_BF16 };
static inline __m256 load_from(const uint8_t *p, int n, __m256i mask, const enum pack_from from)
{
    if (from == FROM_F32)
        return n == 8 ? _mm256_loadu_ps((const float *)(const void *)p) : _mm256_maskload_ps((const float *)(const void *)p, mask);
    uint16_t part[8] = { 0 };
    if (n < 8)
        memcpy(part, p, (size_t)n * sizeof *part);
    __m128i h = _mm_loadu_si128((const __m128i *)(n < 8 ? (const void *)part : (const void *)p));
    return from == FROM_F16 ? _mm256_cvtph_ps(h) : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

static inline __attribute__((always_inline)) void pack(float *dst, const uint8_t *src, int64_t row_bytes, int n_col, int64_t n_k,
                                                       const enum pack_from from)
{
    for (int64_t k = 0; k < n_k; k += 8, src += from == FROM_F32 ? 32 : 16) {
        int n = n_k - k < 8 ? (int)(n_k - k) : 8;
        __m256i mask = lanes_lo(n);
        for (int half = 0; half < 16; half += 8) {
            __m256 r[8];
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++)
                r[j] = half + j < n_col ? load_from(src + (half + j) * row_bytes, n, mask, from) : _mm256_setzero_ps();
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

static void pack_nt_avx2(float *dst, const float *src, int64_t src_row, int n_col, int64_t n_k)
{
    pack(dst, (const uint8_t *)(const void *)src, src_row * 4, n_col, n_k, FROM_F32);
}

/* Sixteen halves of each of eight rows → dst[16][0..7] floats. Halves are transposed inside lanes of eight. */
static inline __m256 widen(__m128i h, const enum pack_from from)
{
    return from == FROM_F16 ? _mm256_cvtph_ps(h) : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
static inline __attribute__((always_inline)) void halves_16(float *dst, const uint8_t *src, int64_t row_bytes, const enum pack_from from)
{
    __m256i t[8], u[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        t[j] = _mm256_loadu_si256((const __m256i *)(const void *)(src + j * row_bytes));
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        u[j] = _mm256_unpacklo_epi16(t[2 * j], t[2 * j + 1]);
        u[4 + j] = _mm256_unpackhi_epi16(t[2 * j], t[2 * j + 1]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        t[2 * j] = _mm256_unpacklo_epi32(u[2 * j], u[2 * j + 1]);
        t[2 * j + 1] = _mm256_unpackhi_epi32(u[2 * j], u[2 * j + 1]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        u[2 * j] = _mm256_unpacklo_epi64(t[j / 2 * 4 + j % 2], t[j / 2 * 4 + 2 + j % 2]);
        u[2 * j + 1] = _mm256_unpackhi_epi64(t[j / 2 * 4 + j % 2], t[j / 2 * 4 + 2 + j % 2]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        _mm256_storeu_ps(dst + i * KERN_PANEL, widen(_mm256_castsi256_si128(u[i]), from));
        _mm256_storeu_ps(dst + (8 + i) * KERN_PANEL, widen(_mm256_extracti128_si256(u[i], 1), from));
    }
}

/* Eight rows after the other, 32 elements of each: rows that stand multiples of 4096 bytes apart share the sets of the cache. */
static inline __attribute__((always_inline)) void pack_halves(float *dst, const uint8_t *src, int64_t row_bytes, int n_col, int64_t n_k,
                                                              const enum pack_from from)
{
    int64_t whole = n_col == KERN_PANEL ? n_k / 32 * 32 : 0;
    for (int64_t k = 0; k < whole; k += 32)
        for (int half = 0; half < KERN_PANEL; half += 8)
#pragma GCC unroll 2
            for (int part = 0; part < 32; part += 16)
                halves_16(dst + (k + part) * KERN_PANEL + half, src + 2 * (k + part) + half * row_bytes, row_bytes, from);
    pack(dst + whole * KERN_PANEL, src + 2 * whole, row_bytes, n_col, n_k - whole, from);
}

/* A few columns of k of both panels are unpacked to the stack at a time, then go through four chains of eight columns: the
 * latency of the chains hides behind the unpacking of the next ones. */
static inline __attribute__((always_inline)) void gemv(float *c, int load_c, const float *a, const uint8_t *src, int64_t row_bytes, int64_t n_k,
                                                       const uint8_t *ahead, int64_t n_ahead, const enum pack_from from)
{
    enum { STEP = 32, ROW_AHEAD = 256 };
    const int64_t burst = (n_ahead * STEP / 2 + n_k - 1) / n_k;
    float b[2][STEP * KERN_PANEL] __attribute__((aligned(64)));
    __m256 acc[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        acc[v] = load_c ? _mm256_loadu_ps(c + 8 * v) : _mm256_setzero_ps();
    for (int64_t k = 0; k < n_k; k += STEP, src += from == FROM_F32 ? 4 * STEP : 2 * STEP) {
        for (int p = 0; p < 2; p++) {
            for (int64_t i = 0; i < burst && n_ahead > 0; i++, n_ahead--, ahead += 64)
                __builtin_prefetch(ahead);
            for (int j = 0; !burst && j < KERN_PANEL; j++)
                __builtin_prefetch(src + (16 * p + j) * row_bytes + ROW_AHEAD, 0, 2);
            if (from == FROM_F32)
                pack(b[p], src + 16 * p * row_bytes, row_bytes, KERN_PANEL, STEP, from);
            else
                pack_halves(b[p], src + 16 * p * row_bytes, row_bytes, KERN_PANEL, STEP, from);
        }
#pragma GCC unroll 8
        for (int i = 0; i < STEP; i++) {
            __m256 x = _mm256_broadcast_ss(a + k + i);
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++)
                acc[v] = _mm256_fmadd_ps(x, _mm256_load_ps(b[v / 2] + i * KERN_PANEL + v % 2 * 8), acc[v]);
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        _mm256_storeu_ps(c + 8 * v, acc[v]);
}

#include "kern_halves_body.h"

#define SLOTS \
    .isa = "avx2", .limits = &limits_avx2, .gemm_tile = gemm_tile_level, .pack_nt = pack_nt_avx2, .pack_half = pack_half_level, .gemv_tile = gemv_tile_level, .sum_squares = sum_squares_avx2, \
    KERN_BODY_SLOTS
const struct kern kern_avx2 = { .q = &qgemm_avx2, SLOTS };
const struct kern kern_avx2_vnni = { .q = &qgemm_avx2_vnni, SLOTS };
#endif
