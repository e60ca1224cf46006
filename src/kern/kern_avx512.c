/* kern_avx512.c — the kernels for AVX-512 (F BW DQ VL): tiles of up to 12 rows × 2 registers, tails by masks.
 *
 * Twelve rows × two registers are 24 running sums, three times what hides the latency of the multiply-add; two
 * registers of B and one broadcast of A make 27 of 32. Every element is one chain over ascending k, as in kern_ref.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern_impl.h"
#include "limits_impl.h"
#include "qgemm_impl.h"

#ifdef __x86_64__
#include "v16_avx512.h"
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
    /* strips of equal height: sixteen rows are 8 and 8, for 12 and 4 would leave the second one waiting for its chains */
    const int strips = (n_row + 11) / 12, most = strips ? (n_row + strips - 1) / strips : 0;
    for (int m = 0; m < n_row; m += most) {
        int rows = n_row - m < most ? n_row - m : most;
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

enum pack_from { FROM_F32, FROM_F16, FROM_BF16 };
static inline __m512 load_from(const uint8_t *p, __mmask16 lanes, const enum pack_from from)
{
    if (from == FROM_F32)
        return _mm512_maskz_loadu_ps(lanes, p);
    __m256i h = _mm256_maskz_loadu_epi16(lanes, p);
    return from == FROM_F16 ? _mm512_cvtph_ps(h) : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

static inline __attribute__((always_inline)) void pack(float *dst, const uint8_t *src, int64_t row_bytes, int n_col, int64_t n_k,
                                                       const enum pack_from from, const int whole)
{
    for (int64_t k = 0; k < n_k; k += 16, src += from == FROM_F32 ? 64 : 32, dst += 16 * KERN_PANEL) {
        int n = n_k - k < 16 ? (int)(n_k - k) : 16;
        __mmask16 lanes = first_lanes(n);
        __m512 r[16];
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++)
            r[j] = whole || j < n_col ? load_from(src + j * row_bytes, lanes, from) : _mm512_setzero_ps();
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
#define PACK(src, row_bytes, from) \
    do { \
        if (n_col == KERN_PANEL) \
            pack(dst, (const uint8_t *)(src), row_bytes, KERN_PANEL, n_k, from, 1); \
        else \
            pack(dst, (const uint8_t *)(src), row_bytes, n_col, n_k, from, 0); \
    } while (0)

static void pack_nt_avx512(float *dst, const float *src, int64_t src_row, int n_col, int64_t n_k)
{
    PACK((const void *)src, src_row * 4, FROM_F32);
}

/* 32 halves (a cache line) of each of sixteen rows → dst[32][16] floats. Halves are transposed inside lanes of eight, which is
 * cheaper than whole floats: afterwards lane b of x[i] and y[i] is element 8b + i of rows 0..7 and 8..15. */
static inline void transpose_words(__m512i t[8])
{
    __m512i u[8];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        u[j] = _mm512_unpacklo_epi16(t[2 * j], t[2 * j + 1]);
        u[4 + j] = _mm512_unpackhi_epi16(t[2 * j], t[2 * j + 1]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        t[2 * j] = _mm512_unpacklo_epi32(u[2 * j], u[2 * j + 1]);
        t[2 * j + 1] = _mm512_unpackhi_epi32(u[2 * j], u[2 * j + 1]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        u[2 * j] = _mm512_unpacklo_epi64(t[j / 2 * 4 + j % 2], t[j / 2 * 4 + 2 + j % 2]);
        u[2 * j + 1] = _mm512_unpackhi_epi64(t[j / 2 * 4 + j % 2], t[j / 2 * 4 + 2 + j % 2]);
    }
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        t[j] = u[j];
}
static inline __m512 widen(__m256i h, const enum pack_from from)
{
    return from == FROM_F16 ? _mm512_cvtph_ps(h) : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
/* Files align rows to 32 bytes: two loads that do not cross a line are cheaper than one that does. The empty asm keeps the
 * compiler from loading again at every use. */
static inline __m512i load_line(const uint8_t *p)
{
    __m512i v = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)p)),
                                   _mm256_loadu_si256((const __m256i *)(const void *)(p + 32)), 1);
    __asm__("" : "+v"(v));
    return v;
}
static inline __attribute__((always_inline)) void halves_32(float *dst, const uint8_t *src, int64_t row_bytes, const enum pack_from from)
{
    __m512i x[8], y[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        x[j] = load_line(src + j * row_bytes);
        y[j] = load_line(src + (j + 8) * row_bytes);
    }
    transpose_words(x);
    transpose_words(y);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m512i even = _mm512_shuffle_i64x2(x[i], y[i], 0x88), odd = _mm512_shuffle_i64x2(x[i], y[i], 0xDD);
        even = _mm512_shuffle_i64x2(even, even, 0xD8); /* lanes 0 of x and y, lanes 2 */
        odd = _mm512_shuffle_i64x2(odd, odd, 0xD8);
        _mm512_storeu_ps(dst + i * KERN_PANEL, widen(_mm512_castsi512_si256(even), from));
        _mm512_storeu_ps(dst + (8 + i) * KERN_PANEL, widen(_mm512_castsi512_si256(odd), from));
        _mm512_storeu_ps(dst + (16 + i) * KERN_PANEL, widen(_mm512_extracti64x4_epi64(even, 1), from));
        _mm512_storeu_ps(dst + (24 + i) * KERN_PANEL, widen(_mm512_extracti64x4_epi64(odd, 1), from));
    }
}

static inline __attribute__((always_inline)) void pack_halves(float *dst, const uint8_t *src, int64_t row_bytes, int n_col, int64_t n_k,
                                                              const enum pack_from from)
{
    int64_t whole = n_col == KERN_PANEL ? n_k / 32 * 32 : 0;
    for (int64_t k = 0; k < whole; k += 32)
        halves_32(dst + k * KERN_PANEL, src + 2 * k, row_bytes, from);
    pack(dst + whole * KERN_PANEL, src + 2 * whole, row_bytes, n_col, n_k - whole, from, 0);
}

/* F32, a pair of panels: a few columns of k of both are unpacked to the stack at a time, then go through two chains of sixteen columns:
 * the latency of the chains hides behind the unpacking of the next ones. */
static inline void gemv_f32(float *c, int load_c, const float *a, const uint8_t *src, int64_t row_bytes, int64_t n_k, const uint8_t *ahead,
                            int64_t n_ahead)
{
    enum { STEP = 32, ROW_AHEAD = 256 };
    const int64_t burst = (n_ahead * STEP / 2 + n_k - 1) / n_k;
    float b[2][STEP * KERN_PANEL] __attribute__((aligned(64)));
    __m512 acc[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    if (load_c) {
        acc[0] = _mm512_loadu_ps(c);
        acc[1] = _mm512_loadu_ps(c + 16);
    }
    for (int64_t k = 0; k < n_k; k += STEP, src += 4 * STEP) {
        for (int p = 0; p < 2; p++) {
            for (int64_t i = 0; i < burst && n_ahead > 0; i++, n_ahead--, ahead += 64)
                __builtin_prefetch(ahead);
            for (int j = 0; !burst && j < KERN_PANEL; j++)
                __builtin_prefetch(src + (16 * p + j) * row_bytes + ROW_AHEAD, 0, 2);
            pack(b[p], src + 16 * p * row_bytes, row_bytes, KERN_PANEL, STEP, FROM_F32, 1);
        }
#pragma GCC unroll 32
        for (int i = 0; i < STEP; i++) {
            __m512 x = _mm512_set1_ps(a[k + i]);
            acc[0] = _mm512_fmadd_ps(x, _mm512_load_ps(b[0] + i * KERN_PANEL), acc[0]);
            acc[1] = _mm512_fmadd_ps(x, _mm512_load_ps(b[1] + i * KERN_PANEL), acc[1]);
        }
    }
    _mm512_storeu_ps(c, acc[0]);
    _mm512_storeu_ps(c + 16, acc[1]);
}

/* Halves: sixteen columns of k of a panel are turned and go through the chain without leaving the registers. Eight lines, `step` bytes apart,
 * are fetched meanwhile, one at a time: bursts hold the core up. */
enum { HALVES_STEP = 16, HALVES_LINES = 8 };
static inline __attribute__((always_inline)) __m512 halves_16(__m512 acc, const float *a, const uint8_t *src, int64_t row_bytes,
                                                              const uint8_t *ahead, int64_t step, const enum pack_from from)
{
    const __m512i first = _mm512_setr_epi64(0, 1, 4, 5, 0, 1, 4, 5), second = _mm512_setr_epi64(2, 3, 6, 7, 2, 3, 6, 7);
    __m512i t[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        t[j] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)(src + j * row_bytes))),
                                  _mm256_loadu_si256((const __m256i *)(const void *)(src + (j + 8) * row_bytes)), 1);
    transpose_words(t); /* lanes of t[i]: rows 0 to 7 of columns i and 8 + i, then rows 8 to 15 */
#pragma GCC unroll 16
    for (int i = 0; i < HALVES_STEP; i++) {
        const __m512i w = _mm512_permutexvar_epi64(i < 8 ? first : second, t[i % 8]);
        acc = _mm512_fmadd_ps(_mm512_set1_ps(a[i]), widen(_mm512_castsi512_si256(w), from), acc);
        if (i % 2) {
            __builtin_prefetch(ahead);
            ahead += step;
        }
    }
    return acc;
}

/* Rows of a pair lie one after the other, so n_k / 2 lines a panel are as much as the pair has itself. */
static inline __attribute__((always_inline)) void gemv_halves(float *c, int load_c, const float *a, const uint8_t *src, int64_t row_bytes, int64_t n_k,
                                                              const uint8_t *ahead, int64_t n_ahead, const enum pack_from from)
{
    enum { ROW_AHEAD = 256 };
    const int64_t second = 16 * row_bytes;
    __m512 acc[2] = { _mm512_setzero_ps(), _mm512_setzero_ps() };
    if (load_c) {
        acc[0] = _mm512_loadu_ps(c);
        acc[1] = _mm512_loadu_ps(c + 16);
    }
    for (int64_t k = 0; k < n_k; k += HALVES_STEP, src += 2 * HALVES_STEP) {
        const uint8_t *p[2];
        int64_t step = 64;
        if (n_ahead > 0) {
            p[0] = ahead;
            p[1] = ahead + HALVES_LINES * 64;
            ahead += 2 * HALVES_LINES * 64;
            n_ahead -= 2 * HALVES_LINES;
        } else { /* the rows themselves; half of them each time, as a line is two steps */
            p[0] = src + k % (2 * HALVES_STEP) / HALVES_STEP * HALVES_LINES * row_bytes + ROW_AHEAD;
            p[1] = p[0] + second;
            step = row_bytes;
        }
        acc[0] = halves_16(acc[0], a + k, src, row_bytes, p[0], step, from);
        acc[1] = halves_16(acc[1], a + k, src + second, row_bytes, p[1], step, from);
    }
    _mm512_storeu_ps(c, acc[0]);
    _mm512_storeu_ps(c + 16, acc[1]);
}

static inline __attribute__((always_inline)) void gemv(float *c, int load_c, const float *a, const uint8_t *src, int64_t row_bytes, int64_t n_k,
                                                       const uint8_t *ahead, int64_t n_ahead, const enum pack_from from)
{
    if (from == FROM_F32)
        gemv_f32(c, load_c, a, src, row_bytes, n_k, ahead, n_ahead);
    else
        gemv_halves(c, load_c, a, src, row_bytes, n_k, ahead, n_ahead, from);
}

#include "kern_halves_body.h"

#define SLOTS \
    .isa = "avx512", .gemm_tile = gemm_tile_avx512, .pack_nt = pack_nt_avx512, .pack_half = pack_half_level, .gemv_tile = gemv_tile_level, .sum_squares = sum_squares_avx512, \
    KERN_BODY_SLOTS
const struct kern kern_avx512 = { .q = &qgemm_avx2, .limits = &limits_avx512, SLOTS };
const struct kern kern_avx512_vnni = { .q = &qgemm_avx512, .limits = &limits_avx512_vnni, SLOTS };
#endif
