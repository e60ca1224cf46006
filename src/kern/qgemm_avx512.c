/* qgemm_avx512.c — quantised products with AVX-512 and VNNI: one instruction multiplies four bytes of sixteen rows of W
 * with four bytes of one row of A.
 *
 * The kernel takes six rows of A × two panels: twelve integer sums, twelve sums over the super-block (or of floats), two
 * registers of weights and a broadcast. Unpacking transposes dwords of packed bits and expands them afterwards.
 * Not every CPU with AVX-512 has VNNI: kern_get looks.  SPDX-License-Identifier: Apache-2.0 */
#include "qgemm_impl.h"

#ifdef __x86_64__
#include <immintrin.h>
#include <string.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512vnni"))), apply_to = function)
#else
#pragma GCC target("avx512vnni")
#endif
#define INLINE static inline __attribute__((always_inline))

/* ---- unpacking ---- */
typedef __m512i vi;
enum { VROWS = 16, DW = 8 };
INLINE void put(void *p, vi v) { _mm512_store_si512(p, v); }
INLINE vi u_set8(char v) { return _mm512_set1_epi8(v); }
INLINE vi u_set32(int32_t v) { return _mm512_set1_epi32(v); }
INLINE vi u_table(const int8_t *p) { return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)p)); }
INLINE vi u_and(vi a, vi b) { return _mm512_and_si512(a, b); }
INLINE vi u_or(vi a, vi b) { return _mm512_or_si512(a, b); }
INLINE vi u_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
INLINE vi u_add8(vi a, vi b) { return _mm512_add_epi8(a, b); }
INLINE vi u_sub8(vi a, vi b) { return _mm512_sub_epi8(a, b); }
INLINE vi u_min8(vi a, vi b) { return _mm512_min_epu8(a, b); }
INLINE vi u_sub32(vi a, vi b) { return _mm512_sub_epi32(a, b); }
INLINE vi u_add32(vi a, vi b) { return _mm512_add_epi32(a, b); }
INLINE vi u_max32(vi a, vi b) { return _mm512_max_epi32(a, b); }
INLINE vi u_min32(vi a, vi b) { return _mm512_min_epi32(a, b); }
INLINE vi u_shl16(vi a, int n) { return _mm512_slli_epi16(a, (unsigned)n); }
INLINE vi u_shr16(vi a, int n) { return _mm512_srli_epi16(a, (unsigned)n); }
INLINE vi u_shl32(vi a, int n) { return _mm512_slli_epi32(a, (unsigned)n); }
INLINE vi u_shr32(vi a, int n) { return _mm512_srli_epi32(a, (unsigned)n); }
INLINE vi u_sar32(vi a, int n) { return _mm512_srai_epi32(a, (unsigned)n); }
INLINE vi u_lookup(vi table, vi index) { return _mm512_shuffle_epi8(table, index); }
/* Byte k of every dword in all its bytes. */
INLINE vi u_spread_byte(vi a, int k)
{
    return _mm512_shuffle_epi8(a, _mm512_add_epi32(_mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c)),
                                                   _mm512_set1_epi32(k * 0x01010101)));
}
INLINE __m128i ld128(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
/* Addresses of sixteen rows from four bases, the stride and three times the stride: the compiler, left alone, keeps sixteen
 * multiples and has no registers for them. */
struct rows { const uint8_t *base[4]; int64_t row, row3; };
INLINE struct rows rows_at(const uint8_t *src, int64_t row)
{
    struct rows p = { { src, src + 4 * row, src + 8 * row, src + 12 * row }, row, 3 * row };
    __asm__("" : "+r"(p.base[1]), "+r"(p.base[2]), "+r"(p.base[3]), "+r"(p.row3));
    return p;
}
INLINE const uint8_t *row_at(const struct rows *p, int j) { return p->base[j / 4] + (j % 4 == 3 ? p->row3 : j % 4 * p->row); }
/* 16 bytes of each row: lane L of t[j] is row 4L + j. */
INLINE void load_pieces(vi t[4], const uint8_t *src, int64_t row)
{
    struct rows p = rows_at(src, row);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        vi v = _mm512_inserti32x4(_mm512_castsi128_si512(ld128(row_at(&p, j))), ld128(row_at(&p, j + 4)), 1);
        t[j] = _mm512_inserti32x4(_mm512_inserti32x4(v, ld128(row_at(&p, j + 8)), 2), ld128(row_at(&p, j + 12)), 3);
    }
}
/* 16 bytes of each of sixteen rows → r[k] = dword k of the rows */
INLINE void transpose4(vi r[4], const vi t[4])
{
    vi a = _mm512_unpacklo_epi32(t[0], t[1]), b = _mm512_unpackhi_epi32(t[0], t[1]);
    vi c = _mm512_unpacklo_epi32(t[2], t[3]), d = _mm512_unpackhi_epi32(t[2], t[3]);
    r[0] = _mm512_unpacklo_epi64(a, c);
    r[1] = _mm512_unpackhi_epi64(a, c);
    r[2] = _mm512_unpacklo_epi64(b, d);
    r[3] = _mm512_unpackhi_epi64(b, d);
}
INLINE void load4(vi r[4], const uint8_t *src, int64_t row)
{
    vi t[4];
    load_pieces(t, src, row);
    transpose4(r, t);
}
/* The same from 32 bytes: half the loads. t[j] is rows j and j+8; transposed in lanes, a[c] has dwords c and c+4 of rows 0..3 and
 * 8..11, b[c] of the others. */
INLINE void load_dw(vi r[DW], const uint8_t *src, int64_t row)
{
    const vi even = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), odd = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    struct rows p = rows_at(src, row);
    vi t[8], a[4], b[4];
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        t[j] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)row_at(&p, j))),
                                  _mm256_loadu_si256((const __m256i *)(const void *)row_at(&p, j + 8)), 1);
    transpose4(a, t);
    transpose4(b, t + 4);
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        r[c] = _mm512_permutex2var_epi64(a[c], even, b[c]);
        r[4 + c] = _mm512_permutex2var_epi64(a[c], odd, b[c]);
    }
}
/* Only dword 0. */
INLINE vi load1(const uint8_t *src, int64_t row)
{
    vi t[4];
    load_pieces(t, src, row);
    return _mm512_unpacklo_epi64(_mm512_unpacklo_epi32(t[0], t[1]), _mm512_unpacklo_epi32(t[2], t[3]));
}
/* The low half of every dword as a float. */
INLINE void put_low_halves(float *dst, vi v) { _mm512_store_ps(dst, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v))); }
#include "qgemm_unpack_body.h"
UNPACK_FULL(, 1)

/* ---- 16-bit floats as integers ---- */
INLINE vi u_max16(vi a, vi b) { return _mm512_max_epi16(a, b); }
INLINE vi u_min16(vi a, vi b) { return _mm512_min_epi16(a, b); }
INLINE vi u_sub16(vi a, vi b) { return _mm512_sub_epi16(a, b); }
INLINE vi u_sar16(vi a, int n) { return _mm512_srai_epi16(a, (unsigned)n); }
INLINE vi u_mulhrs(vi a, vi b) { return _mm512_mulhrs_epi16(a, b); }
INLINE vi w_power(vi d) { return _mm512_srlv_epi16(_mm512_set1_epi16(0x2000), d); }
INLINE vi u_load(const void *p) { return _mm512_load_si512(p); }
#include "qgemm_wide_body.h"

/* ---- tiles and floats ---- */
typedef __m512 vf;
INLINE vf f_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void f_store(float *p, vf v) { _mm512_storeu_ps(p, v); }
INLINE vf f_set1(float v) { return _mm512_set1_ps(v); }
INLINE vf f_of(vi v) { return _mm512_cvtepi32_ps(v); }
INLINE vf f_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
INLINE vf f_div(vf a, vf b) { return _mm512_div_ps(a, b); }
INLINE vf f_add(vf a, vf b) { return _mm512_add_ps(a, b); }
INLINE vf f_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
/* Sizes compare as integers, NaN above all. Columns are reduced together: each step halves the registers. */
INLINE void columns_most(float most[KERN_PANEL], const float *v0, const float *v1)
{
    vi m[16], a[8], b[4];
    const vi size = _mm512_set1_epi32(0x7fffffff);
#pragma GCC unroll 16
    for (int c = 0; c < 16; c++)
        m[c] = u_max32(u_and(_mm512_loadu_si512(v0 + 16 * c), size), u_and(_mm512_loadu_si512(v1 + 16 * c), size));
#pragma GCC unroll 8
    for (int c = 0; c < 8; c++)
        a[c] = u_max32(_mm512_unpacklo_epi32(m[2 * c], m[2 * c + 1]), _mm512_unpackhi_epi32(m[2 * c], m[2 * c + 1]));
    UNROLL4(c) b[c] = u_max32(_mm512_unpacklo_epi64(a[2 * c], a[2 * c + 1]), _mm512_unpackhi_epi64(a[2 * c], a[2 * c + 1]));
    for (int c = 0; c < 2; c++)
        a[c] = u_max32(_mm512_shuffle_i32x4(b[2 * c], b[2 * c + 1], 0x88), _mm512_shuffle_i32x4(b[2 * c], b[2 * c + 1], 0xDD));
    put(most, u_max32(_mm512_shuffle_i32x4(a[0], a[1], 0x88), _mm512_shuffle_i32x4(a[0], a[1], 0xDD)));
}
INLINE void round_row(uint8_t q[QG_SUB], const float *v0, const float *v1, float inverse)
{
    const vf by = f_set1(inverse);
    _mm_store_si128((__m128i *)(void *)q, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(f_mul(f_load(v0), by))));
    _mm_store_si128((__m128i *)(void *)(q + 16), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(f_mul(f_load(v1), by))));
}
#include "qvalues_body.h"
static void values_avx512(float *v, const struct qtile *t, const struct qkind *k, int n_sub) { tile_values(v, t, k, n_sub, 0); }
static void round_avx512(struct qtile *t, int n_panel, int s, const float *const v[2]) { round_columns(t, n_panel, s, v, 0); }

static void interleave_avx512(struct qtile *t, const struct qrow *rows, const struct qkind *k)
{
    for (int b = 0; b < 16; b++) {
        vi r[4];
        load4(r, rows[0].q + 16 * b, sizeof *rows);
        UNROLL4(i) put(t->q[4 * b + i], r[i]);
    }
    qtile_scales(t, rows, k);
}

/* ---- the product ---- */
enum { LANES = 16, LANE_ROWS = QG_ROWS, PART_STEP = sizeof(struct qtile) };
INLINE vi v_load(const void *p) { return _mm512_load_si512(p); }
INLINE vi v_zero(void) { return _mm512_setzero_si512(); }
INLINE vi v_set1(int32_t v) { return _mm512_set1_epi32(v); }
INLINE vi v_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
INLINE vi v_and(vi a, vi b) { return _mm512_and_si512(a, b); }
INLINE vi v_shr4(vi a) { return _mm512_srli_epi16(a, 4); }
INLINE vi v_mul(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
INLINE vi v_shift(vi a, int n) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128(n)); }
INLINE vi v_dpbusd(vi s, vi a, vi b) { return _mm512_dpbusd_epi32(s, a, b); }
INLINE vi v_dpwssd(vi s, vi a, vi b) { return _mm512_dpwssd_epi32(s, a, b); }
INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vf_store(float *p, vf v) { _mm512_storeu_ps(p, v); }
INLINE vf vf_zero(void) { return _mm512_setzero_ps(); }
INLINE vf vf_set1(float v) { return _mm512_set1_ps(v); }
INLINE vf vf_of(vi v) { return _mm512_cvtepi32_ps(v); }
INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
#define PACKED_TILES
#include "qgemm_vnni_body.h"

FAMILIES(1) FAMILIES(2) FAMILIES(3) FAMILIES(4) FAMILIES(5) FAMILIES(6)
#define ENTRY(family) tile_##family##_1, tile_##family##_2, tile_##family##_3, tile_##family##_4, tile_##family##_5, tile_##family##_6
static tile_fn *const TILES[QF_COUNT][QG_ROWS + 1] = TABLE_OF_TILES(ENTRY);

static void tile_avx512(float *const *c, int load, const struct qact *const *a, int n_row, const struct qtile *t, int n_sub, const struct qkind *k)
{
    TILES[k->family][n_row](c, load, a, t, k->shift, n_sub);
}

/* ---- few rows of A: Q4_K's nibbles stay packed in the tile, half the stores; they are taken apart when they are multiplied ---- */
static void unpack_few_q4_k(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub)
{
    if (s0 == 0)
        super_header(t, src, row, 0);
    for (int run = s0 / 2; run < n_sub / 2; run++) {
        vi r[DW];
        load_dw(r, src + 16 + 32 * run, row);
        UNROLL_DW(i) put(t->q[DW * run + i], r[i]);
    }
}
#define FEW(n) TILE_FN(few_q4_k, n, super_tile(c, load, a, t, shift, n, 32, 1, 1))
FEW(1) FEW(2) FEW(3) FEW(4) FEW(5) FEW(6)
static void few_q4_k(float *const *c, int load, const struct qact *const *a, int n_row, const struct qtile *t, int n_sub, const struct qkind *k)
{
    static tile_fn *const fn[] = { NULL, ENTRY(few_q4_k) };
    fn[n_row](c, load, a, t, k->shift, n_sub);
}

enum { WIDE_LANES = LANES, WIDE_ROWS = QG_ROWS, WIDE_STEP = sizeof(struct wtile) };
INLINE vi v_pairs(vi s, vi a, vi b) { return _mm512_dpwssd_epi32(s, a, b); }
#define WIDE_NAME(n) wide_##n
#include "qgemm_wide_tile_body.h"
WIDE_FN(1) WIDE_FN(2) WIDE_FN(3) WIDE_FN(4) WIDE_FN(5) WIDE_FN(6)
static void tile_wide_avx512(float *const *c, int load, const struct wact *const *a, int n_row, const struct wtile *t, int n_sub)
{
    static wide_fn *const fn[QG_ROWS + 1] = { NULL, wide_1, wide_2, wide_3, wide_4, wide_5, wide_6 };
    fn[n_row](c, load, a, t, n_sub);
}

const struct qgemm_ops qgemm_avx512 = {
    .quantize = qgemm_quantize_avx2, .interleave = interleave_avx512, .tile = tile_avx512,
    .values = values_avx512, .round = round_avx512, .unpack = UNPACK_TABLE(),
    .unpack_few = { [QT_Q4_K] = unpack_few_q4_k }, .tile_few = { [QT_Q4_K] = few_q4_k },
    .row = { [QT_Q8_0] = qgemv_q8_0_avx512, [QT_Q4_K] = qgemv_q4_k_avx512, [QT_Q6_K] = qgemv_q6_k_avx512 },
    .round_wide = qgemm_round_wide_avx2, .unpack_wide = unpack_wide_level, .tile_wide = tile_wide_avx512,
};
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
