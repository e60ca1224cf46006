/* qgemv_avx512.c — one row of A with sixteen rows of W, for the types that generation meets most: no tile is made.
 *
 * A tile pays off when several rows of A use it. Here each row of W is multiplied as it lies: its bytes with the same bytes of A,
 * four neighbours a sum; the sums of sixteen rows are then added across by a tree of shuffles that leaves one row an element.
 * Sums of integers are exact in any order, and from there on it is the chain of floats of qgemm_impl.h: the bits are those of the
 * tiles. Scales multiply while the products still stand in 16 bits (two of them at most 2·63·127).
 *
 * Memory is the limit here, so the walk is as memory likes it: four rows at a time, a block of columns long, while the same
 * columns of the four rows that come next are fetched into the first-level cache. What the integers of four rows come to waits in
 * a small scratch until all sixteen are through; then the floats follow, in ascending order of columns.
 * Layouts: qblocks.h in src/tensor.  SPDX-License-Identifier: Apache-2.0 */
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
typedef __m512i vi;

INLINE __m128i ld128(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE __m256i ld256(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE vi ld512(const void *p) { return _mm512_loadu_si512(p); }
INLINE vi two256(const void *a, const void *b) { return _mm512_inserti64x4(_mm512_castsi256_si512(ld256(a)), ld256(b), 1); }
/* 16 bytes of four rows */
INLINE vi four128(const uint8_t *p, int64_t row)
{
    vi v = _mm512_inserti32x4(_mm512_castsi128_si512(ld128(p)), ld128(p + row), 1);
    return _mm512_inserti32x4(_mm512_inserti32x4(v, ld128(p + 2 * row), 2), ld128(p + 3 * row), 3);
}

/* ---- sums of rows ---- */
INLINE vi add_halves32(vi a, vi b) { return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b)); }
INLINE vi add_halves64(vi a, vi b) { return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)); }
/* Lane l of the result: the sums of lane l of four rows. */
INLINE vi lanes_of_4(const vi d[4]) { return add_halves64(add_halves32(d[0], d[1]), add_halves32(d[2], d[3])); }
/* b[i]: lanes of rows 4i … 4i+3. → the two lower lanes added, the two upper lanes added; one row an element */
INLINE void add_lane_pairs(vi out[2], const vi b[4])
{
    vi c = _mm512_add_epi32(_mm512_shuffle_i32x4(b[0], b[1], 0x88), _mm512_shuffle_i32x4(b[0], b[1], 0xdd));
    vi d = _mm512_add_epi32(_mm512_shuffle_i32x4(b[2], b[3], 0x88), _mm512_shuffle_i32x4(b[2], b[3], 0xdd));
    out[0] = _mm512_shuffle_i32x4(c, d, 0x88);
    out[1] = _mm512_shuffle_i32x4(c, d, 0xdd);
}
INLINE vi add_lanes(const vi b[4])
{
    vi half[2];
    add_lane_pairs(half, b);
    return _mm512_add_epi32(half[0], half[1]);
}

/* The first (or last) dword of 16 bytes of sixteen rows, one row an element. */
INLINE void sixteen128(vi t[4], const uint8_t *src, int64_t row)
{
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) t[j] = four128(src + j * row, 4 * row);
}
INLINE vi first_dwords(const uint8_t *src, int64_t row)
{
    vi t[4];
    sixteen128(t, src, row);
    return _mm512_unpacklo_epi64(_mm512_unpacklo_epi32(t[0], t[1]), _mm512_unpacklo_epi32(t[2], t[3]));
}
INLINE vi last_dwords(const uint8_t *src, int64_t row)
{
    vi t[4];
    sixteen128(t, src, row);
    return _mm512_unpackhi_epi64(_mm512_unpackhi_epi32(t[0], t[1]), _mm512_unpackhi_epi32(t[2], t[3]));
}
INLINE __m512 low_halves(vi v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)); }
INLINE __m512 high_halves(vi v) { return low_halves(_mm512_srli_epi32(v, 16)); }
INLINE __m512 start(const float *c, int load) { return load ? _mm512_loadu_ps(c) : _mm512_setzero_ps(); }

/* ---- the walk ---- */
enum { GROUP = 4, GROUPS = KERN_PANEL / GROUP, LINE = 64, MOST_CHUNKS = 16 };
/* Integers of four rows, one chunk: lanes_of_4 of each pair of blocks (or of the super-block, and of the minima). */
struct partial { vi lanes[4]; };
typedef void group_fn(struct partial *out, const struct qact *a, const uint8_t *p, int64_t row, int n_sub);
typedef __m512 finish_fn(__m512 acc, const struct partial *part /* [GROUPS] */, const struct qact *a, const uint8_t *src, int64_t row, int n_sub);

INLINE void walk(float *c, int load, const struct qact *act, int64_t act_step, const uint8_t *src, int64_t row, int64_t n_k, const uint8_t *next,
                 group_fn *group, finish_fn *finish, const int chunk_bytes, const int block)
{
    struct partial part[MOST_CHUNKS][GROUPS];
    const int n_chunk = (int)((n_k + QG_CHUNK - 1) / QG_CHUNK), n_last = (int)(n_k - (int64_t)(n_chunk - 1) * QG_CHUNK) / QG_SUB;
    __m512 acc = start(c, load);
    for (int b0 = 0; b0 < n_chunk; b0 += block) {
        const int n = n_chunk - b0 < block ? n_chunk - b0 : block;
        const uint8_t *here = src + (int64_t)b0 * chunk_bytes, *after = b0 + block < n_chunk ? here + (int64_t)block * chunk_bytes : next;
        for (int i = 0; i < GROUPS; i++) {
            const uint8_t *p = here + GROUP * i * row, *ahead = i + 1 < GROUPS ? p + GROUP * row : after;
            int64_t line = 0;
            for (int k = 0; k < n; k++) {
                for (; ahead && line < (int64_t)(k + 1) * chunk_bytes; line += LINE)
#pragma GCC unroll 4
                    for (int j = 0; j < GROUP; j++) __builtin_prefetch(ahead + j * row + line, 0, 3);
                group(&part[k][i], act + (b0 + k) * act_step, p + (int64_t)k * chunk_bytes, row, b0 + k + 1 < n_chunk ? QG_CHUNK / QG_SUB : n_last);
            }
        }
        for (int k = 0; k < n; k++)
            acc = finish(acc, part[k], act + (b0 + k) * act_step, here + (int64_t)k * chunk_bytes, row,
                         b0 + k + 1 < n_chunk ? QG_CHUNK / QG_SUB : n_last);
    }
    _mm512_storeu_ps(c, acc);
}
/* block: chunks of sixteen rows that the first-level cache holds, beside what is fetched. */
#define ENTRY(type, chunk_bytes, block) \
    void qgemv_##type##_avx512(float *c, int load, const struct qact *act, int64_t act_step, const uint8_t *src, int64_t row, int64_t n_k, const uint8_t *next) \
    { walk(c, load, act, act_step, src, row, n_k, next, type##_group, type##_finish, chunk_bytes, block); }
#define GATHER(out, part, which) const vi out[4] = { part[0].lanes[which], part[1].lanes[which], part[2].lanes[which], part[3].lanes[which] }

/* ---- Q8_0: half d, 32 signed bytes ---- */
enum { Q8_0_BYTES = 34 };
INLINE void q8_0_group(struct partial *out, const struct qact *a, const uint8_t *p, int64_t row, int n_sub)
{
    const vi flip = _mm512_set1_epi8((char)0x80);
    p += 2;
    for (int s = 0; s < n_sub; s += 2, p += 2 * Q8_0_BYTES) {
        const vi x = ld512(a->q + 32 * s);
        vi d[GROUP];
#pragma GCC unroll 4
        for (int j = 0; j < GROUP; j++) {
            const uint8_t *q = p + j * row;
            vi w = s + 1 < n_sub ? two256(q, q + Q8_0_BYTES) : _mm512_zextsi256_si512(ld256(q));
            d[j] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_xor_si512(w, flip), x);
        }
        out->lanes[s / 2] = lanes_of_4(d);
    }
}
INLINE __m512 q8_0_finish(__m512 acc, const struct partial *part, const struct qact *a, const uint8_t *src, int64_t row, int n_sub)
{
    for (int s = 0; s < n_sub; s += 2) {
        GATHER(lanes, part, s / 2);
        vi sum[2];
        add_lane_pairs(sum, lanes);
        for (int k = 0; k < 2 && s + k < n_sub; k++) {
            const __m512 scale = low_halves(first_dwords(src + Q8_0_BYTES * (s + k), row));
            const vi dot = _mm512_add_epi32(sum[k], _mm512_set1_epi32(a->neg32[s + k] * 16)); /* -128·Σa */
            acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(scale, _mm512_set1_ps(a->u.b.scale[s + k])), acc);
        }
    }
    return acc;
}
ENTRY(q8_0, 8 * Q8_0_BYTES, 4)

/* ---- Q4_K: halves d, dmin; 8 scales and 8 minima of 6 bits in 12 bytes; 128 bytes of nibbles, 32 low ones before 32 high ones ---- */

/* Four rows: in every lane 8 scales, 8 minima as bytes. */
INLINE vi six_bits(vi v)
{
    const vi low = _mm512_broadcast_i32x4(_mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
    const vi high = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x30303030, 0, 0x30303030));
    const vi down = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 0, 4));
    vi body = _mm512_srlv_epi32(_mm512_shuffle_epi32(v, 0x98), down);            /* words 0, 2, 1, 2 */
    vi top = _mm512_srli_epi32(_mm512_shuffle_epi32(v, 0x50), 2);                /* words 0, 0, 1, 1 */
    return _mm512_or_si512(_mm512_and_si512(body, low), _mm512_and_si512(top, high));
}
/* For shuffles: bytes i, i+1 of a lane over one half of the register, bytes j, j+1 over the other. */
INLINE vi spread_words(int i, int j) { return _mm512_inserti64x4(_mm512_set1_epi16((short)(i | (i + 1) << 8)), _mm256_set1_epi16((short)(j | (j + 1) << 8)), 1); }
INLINE vi one_lane(vi v, const int lane)
{
    return lane == 0 ? _mm512_shuffle_i32x4(v, v, 0) : lane == 1 ? _mm512_shuffle_i32x4(v, v, 0x55)
         : lane == 2 ? _mm512_shuffle_i32x4(v, v, 0xaa) : _mm512_shuffle_i32x4(v, v, 0xff);
}
INLINE void q4_k_group(struct partial *out, const struct qact *a, const uint8_t *p, int64_t row, int n_sub)
{
    (void)n_sub;
    const vi nibble = _mm512_set1_epi8(15), zero = _mm512_setzero_si512();
    const vi x[4] = { two256(a->q, a->q + 64), two256(a->q + 32, a->q + 96), two256(a->q + 128, a->q + 192), two256(a->q + 160, a->q + 224) };
    const vi at[4] = { spread_words(0, 4), spread_words(2, 6), spread_words(8, 12), spread_words(10, 14) };
    const vi bits = six_bits(four128(p + 4, row)), scale = _mm512_unpacklo_epi8(bits, zero);
    vi d[GROUP];
#pragma GCC unroll 4
    for (int j = 0; j < GROUP; j++) {
        const vi q0 = ld512(p + j * row + 16), q1 = ld512(p + j * row + 80), mine = one_lane(scale, j);
        const vi w[4] = { _mm512_and_si512(q0, nibble), _mm512_and_si512(_mm512_srli_epi16(q0, 4), nibble), _mm512_and_si512(q1, nibble),
                          _mm512_and_si512(_mm512_srli_epi16(q1, 4), nibble) };
        d[j] = zero;
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) d[j] = _mm512_dpwssd_epi32(d[j], _mm512_maddubs_epi16(w[k], x[k]), _mm512_shuffle_epi8(mine, at[k]));
    }
    out->lanes[0] = lanes_of_4(d);
    out->lanes[1] = _mm512_madd_epi16(_mm512_unpackhi_epi8(bits, zero), _mm512_broadcast_i32x4(ld128(a->sum32))); /* lane l: row l */
}
INLINE __m512 q4_k_finish(__m512 acc, const struct partial *part, const struct qact *a, const uint8_t *src, int64_t row, int n_sub)
{
    (void)n_sub;
    GATHER(lanes, part, 0);
    GATHER(low, part, 1);
    /* lane l of their sum: rows l, 4+l, 8+l, 12+l */
    const vi order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const vi minima = _mm512_permutexvar_epi32(order, lanes_of_4(low)), halves = first_dwords(src, row);
    const __m512 by = _mm512_set1_ps(a->scale);
    acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(add_lanes(lanes)), _mm512_mul_ps(low_halves(halves), by), acc);
    return _mm512_fnmadd_ps(_mm512_cvtepi32_ps(minima), _mm512_mul_ps(high_halves(halves), by), acc);
}
ENTRY(q4_k, 144, 16)

/* ---- Q6_K: 128 bytes of low nibbles, 64 bytes of high pairs of bits, 16 signed scales, half d ---- */
INLINE void q6_k_group(struct partial *out, const struct qact *a, const uint8_t *p, int64_t row, int n_sub)
{
    (void)n_sub;
    const vi nibble = _mm512_set1_epi8(15), pair = _mm512_set1_epi8(0x30), zero = _mm512_setzero_si512();
    const vi up = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1);
    const vi down = _mm512_inserti64x4(zero, _mm256_set1_epi16(2), 1);
    /* scale i over the i-th lane */
    const vi lane = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_inserti128_si256(_mm256_setzero_si256(), _mm_set1_epi16(1), 1)),
                                       _mm256_inserti128_si256(_mm256_set1_epi16(2), _mm_set1_epi16(3), 1), 1);
    vi d[GROUP];
#pragma GCC unroll 4
    for (int j = 0; j < GROUP; j++, p += row) {
        const __m256i scale = _mm256_cvtepi8_epi16(ld128(p + 192));
        const vi scales = _mm512_zextsi256_si512(scale);
        /* what the offset 32 adds is taken off first */
        d[j] = _mm512_sub_epi32(zero, _mm512_zextsi256_si512(_mm256_slli_epi32(_mm256_madd_epi16(scale, ld256(a->sum16)), 5)));
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            const vi low = ld512(p + 64 * h), bits = _mm512_broadcast_i64x4(ld256(p + 128 + 32 * h));
            /* ternary 0xf8: first | (second & third) */
            const vi w0 = _mm512_ternarylogic_epi32(_mm512_and_si512(low, nibble), _mm512_sllv_epi16(bits, up), pair, 0xf8);
            const vi w1 = _mm512_ternarylogic_epi32(_mm512_and_si512(_mm512_srli_epi16(low, 4), nibble), _mm512_srlv_epi16(bits, down), pair, 0xf8);
            d[j] = _mm512_dpwssd_epi32(d[j], _mm512_maddubs_epi16(w0, ld512(a->q + 128 * h)),
                                       _mm512_permutexvar_epi16(_mm512_add_epi16(lane, _mm512_set1_epi16((short)(8 * h))), scales));
            d[j] = _mm512_dpwssd_epi32(d[j], _mm512_maddubs_epi16(w1, ld512(a->q + 128 * h + 64)),
                                       _mm512_permutexvar_epi16(_mm512_add_epi16(lane, _mm512_set1_epi16((short)(8 * h + 4))), scales));
        }
    }
    out->lanes[0] = lanes_of_4(d);
}
INLINE __m512 q6_k_finish(__m512 acc, const struct partial *part, const struct qact *a, const uint8_t *src, int64_t row, int n_sub)
{
    (void)n_sub;
    GATHER(lanes, part, 0);
    /* the last dword of a block of 210 bytes: two scales, d */
    const __m512 scale = _mm512_mul_ps(high_halves(last_dwords(src + 194, row)), _mm512_set1_ps(a->scale));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(add_lanes(lanes)), scale, acc);
}
ENTRY(q6_k, 210, 8)
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
