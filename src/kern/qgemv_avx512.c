/* qgemv_avx512.c — one row of A with sixteen rows of W, for the types that generation meets most: no tile is made.
 *
 * A tile pays off when several rows of A use it. Here each row of W is multiplied as it lies: its bytes with the same bytes of A,
 * four neighbours a sum, and sums of integers are exact in any order. From there on it is the chain of floats of qgemm_impl.h:
 * the bits are those of the tiles. Scales multiply while the products still stand in 16 bits (two of them at most 2·63·127).
 *
 * Memory is the limit here, and the walk is as memory likes it: row after row, each from its first byte to its last, so that a
 * thread reads one ascending stream, fetched a few KiB ahead; nothing is touched twice. What the integers of a row come to, and
 * its scales, waits in a small scratch until sixteen rows are through; then both are transposed, one row an element, and the
 * floats follow in ascending order of columns.
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
#define NOINLINE static __attribute__((noinline))
typedef __m512i vi;
enum { ROWS = KERN_PANEL, LINE = 64, FOUR = 4 };

INLINE __m128i ld128(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE __m256i ld256(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE vi ld512(const void *p) { return _mm512_loadu_si512(p); }
INLINE vi two256(const void *a, const void *b) { return _mm512_inserti64x4(_mm512_castsi256_si512(ld256(a)), ld256(b), 1); }
/* 16 bytes from each of four places */
INLINE vi four128(const uint8_t *const p[FOUR], int64_t at)
{
    vi v = _mm512_inserti32x4(_mm512_castsi128_si512(ld128(p[0] + at)), ld128(p[1] + at), 1);
    return _mm512_inserti32x4(_mm512_inserti32x4(v, ld128(p[2] + at), 2), ld128(p[3] + at), 3);
}
/* The same dword of each lane, together. */
INLINE __m128i a_dword_a_lane(vi v, const int i)
{
    return _mm512_castsi512_si128(_mm512_permutexvar_epi32(_mm512_castsi128_si512(_mm_setr_epi32(i, 4 + i, 8 + i, 12 + i)), v));
}

/* ---- sums across, and transpositions ---- */
INLINE vi add_halves32(vi a, vi b) { return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b)); }
INLINE vi add_halves64(vi a, vi b) { return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)); }
/* Lane l of the result: the sums of lane l of each of the four. */
INLINE vi lanes_of_4(const vi d[FOUR]) { return add_halves64(add_halves32(d[0], d[1]), add_halves32(d[2], d[3])); }
/* Lanes 0 and 1 added, 2 and 3 added: of a, then of b. */
INLINE vi add_lane_pairs(vi a, vi b) { return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd)); }
/* Dwords of every lane: t[c] has dword c of t[0] … t[3]. */
INLINE void transpose_in_lanes(vi t[FOUR])
{
    const vi a = _mm512_unpacklo_epi32(t[0], t[1]), b = _mm512_unpackhi_epi32(t[0], t[1]);
    const vi c = _mm512_unpacklo_epi32(t[2], t[3]), d = _mm512_unpackhi_epi32(t[2], t[3]);
    t[0] = _mm512_unpacklo_epi64(a, c);
    t[1] = _mm512_unpackhi_epi64(a, c);
    t[2] = _mm512_unpacklo_epi64(b, d);
    t[3] = _mm512_unpackhi_epi64(b, d);
}
/* Whole lanes: t[l] has lane l of t[0] … t[3]. */
INLINE void transpose_lanes(vi t[FOUR])
{
    const vi a = _mm512_shuffle_i32x4(t[0], t[1], 0x88), b = _mm512_shuffle_i32x4(t[0], t[1], 0xdd);
    const vi c = _mm512_shuffle_i32x4(t[2], t[3], 0x88), d = _mm512_shuffle_i32x4(t[2], t[3], 0xdd);
    t[0] = _mm512_shuffle_i32x4(a, c, 0x88);
    t[1] = _mm512_shuffle_i32x4(b, d, 0x88);
    t[2] = _mm512_shuffle_i32x4(a, c, 0xdd);
    t[3] = _mm512_shuffle_i32x4(b, d, 0xdd);
}
/* t[4c + i]: dword 4c + i of t[0] … t[15] */
INLINE void transpose(vi t[ROWS])
{
    vi x[FOUR];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) transpose_in_lanes(t + 4 * i);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        for (int c = 0; c < 4; c++) x[c] = t[4 * c + i];
        transpose_lanes(x);
        for (int c = 0; c < 4; c++) t[4 * c + i] = x[c];
    }
}
INLINE __m512 low_halves(vi v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)); }
INLINE __m512 high_halves(vi v) { return low_halves(_mm512_srli_epi32(v, 16)); }

/* ---- the walk ---- */
enum {
    MOST_GROUPS = 32, LONGEST = 840 /* bytes of a group, any type */,
    END_LINES = 8, END_GROUPS = 8 /* fetched during so many groups' ends, so that memory does not rest */
};
/* Sixteen rows, one group of blocks: integers and scales as the type's group_fn leaves them. */
struct partial { vi dot[ROWS], more[ROWS], half[FOUR]; };
/* Fetched QG_ROW_AHEAD bytes on, one line at a time between the steps of the work: a burst holds it up. Rows lie one after the other. */
INLINE void fetch(const uint8_t *p, const int line) { __builtin_prefetch(p + line * LINE + QG_ROW_AHEAD, 0, 3); }
INLINE void fetch_rest(const uint8_t *p, const int line, const int bytes)
{
#pragma GCC unroll 8
    for (int i = line; i * LINE < bytes; i++) fetch(p, i);
}
/* Row r at p; n of the group's blocks are there (of super-blocks: eight for each). act: the group's first chunk. */
typedef void group_fn(struct partial *out, int r, const struct qact *act, int64_t act_step, const uint8_t *p, int n);
typedef __m512 finish_fn(__m512 acc, const struct partial *part, const struct qact *act, int64_t act_step, int n);

/* blocks of 32 columns and bytes of a group. Rows longer than MOST_GROUPS groups are taken in pieces. */
INLINE void walk(float *c, int load, const struct qact *act, int64_t act_step, const uint8_t *src, int64_t row, int64_t n_k,
                 group_fn *group, group_fn *rest, finish_fn *finish, const int blocks, const int group_bytes)
{
    struct partial part[MOST_GROUPS];
    const int n_block = (int)(n_k / QG_SUB), n_group = (n_block + blocks - 1) / blocks, last = n_block - (n_group - 1) * blocks;
    const int64_t chunk_step = act_step * (blocks * QG_SUB / QG_CHUNK);
    __m512 acc = load ? _mm512_loadu_ps(c) : _mm512_setzero_ps();
    for (int g0 = 0; g0 < n_group; g0 += MOST_GROUPS) {
        const int n = n_group - g0 < MOST_GROUPS ? n_group - g0 : MOST_GROUPS, ends = g0 + n == n_group, whole = ends && last < blocks ? n - 1 : n;
        const uint8_t *here = src + (int64_t)g0 * group_bytes;
        for (int r = 0; r < ROWS; r++) {
            const uint8_t *p = here + r * row;
            const struct qact *a = act + g0 * chunk_step;
            for (int g = 0; g < whole; g++, a += chunk_step, p += group_bytes) group(&part[g], r, a, act_step, p, blocks);
            if (whole < n) rest(&part[whole], r, a, act_step, p, last);
        }
        const uint8_t *after = here + ROWS * row;
        for (int g = 0; g < n; g++, after += END_LINES * LINE) {
            if (g < END_GROUPS) fetch_rest(after, 0, END_LINES * LINE);
            acc = finish(acc, &part[g], act + (g0 + g) * chunk_step, act_step, g < whole ? blocks : last);
        }
    }
    _mm512_storeu_ps(c, acc);
}
#define ENTRY(type, blocks, group_bytes) \
    NOINLINE void type##_rest(struct partial *out, int r, const struct qact *act, int64_t act_step, const uint8_t *p, int n) \
    { type##_group(out, r, act, act_step, p, n); } \
    void qgemv_##type##_avx512(float *c, int load, const struct qact *act, int64_t act_step, const uint8_t *src, int64_t row, int64_t n_k) \
    { walk(c, load, act, act_step, src, row, n_k, type##_group, type##_rest, type##_finish, blocks, group_bytes); }

/* ---- Q8_0: half d, 32 signed bytes. Groups of sixteen: two chunks ---- */
enum { Q8_0_BYTES = 34, Q8_0_GROUP = 16 };
/* more: the scales. A register loaded 2b bytes before block b has its scale in word b and that of the next block in word b + 17:
 * loads 64 bytes apart meet all of them, the even blocks' in the low words of dwords 0 to 7, the odd ones' in the high words of the others. */
INLINE void q8_0_group(struct partial *out, int r, const struct qact *act, int64_t act_step, const uint8_t *p, int n)
{
    const vi flip = _mm512_set1_epi8((char)0x80);
    vi sum[2], scale = _mm512_setzero_si512();
#pragma GCC unroll 2
    for (int c = 0; c < 2; c++) {
        vi d[FOUR];
#pragma GCC unroll 4
        for (int j = 0; j < FOUR; j++) {
            const int b = 8 * c + 2 * j;
            const uint8_t *q = p + 2 + Q8_0_BYTES * b;
            d[j] = _mm512_setzero_si512();
            if (b >= n) continue;
            const vi w = b + 1 < n ? two256(q, q + Q8_0_BYTES) : _mm512_zextsi256_si512(ld256(q));
            d[j] = _mm512_dpbusd_epi32(d[j], _mm512_xor_si512(w, flip), ld512(act[c * act_step].q + 64 * j));
            scale = _mm512_mask_loadu_epi16(scale, (b + 1 < n ? 1u << (b + 17) : 0) | 1u << b, p + 32 * b);
            fetch(p, b / 2);
        }
        sum[c] = lanes_of_4(d);
    }
    fetch_rest(p, (n + 1) / 2, n * Q8_0_BYTES);
    out->dot[r] = add_lane_pairs(sum[0], sum[1]); /* lanes: even and odd blocks of the first chunk, of the second */
    out->more[r] = scale;
}
NOINLINE __m512 q8_0_finish(__m512 acc, const struct partial *part, const struct qact *act, int64_t act_step, int n)
{
    const vi down = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi32(16), 1);
    const vi first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    vi dot[ROWS], s[8], scale[2][FOUR];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r += 2) { /* two rows a dword: 0xaaaaaaaa takes the high words from the second */
        const vi low = _mm512_srlv_epi32(part->more[r], down), high = _mm512_srlv_epi32(part->more[r + 1], down);
        s[r / 2] = _mm512_mask_blend_epi16(0xaaaaaaaa, low, _mm512_slli_epi32(high, 16));
    }
    transpose_in_lanes(s);
    transpose_in_lanes(s + 4);
#pragma GCC unroll 4
    for (int i = 0; i < FOUR; i++) { /* block 2i of the first chunk below that of the second; odd blocks likewise */
        scale[0][i] = _mm512_permutex2var_epi64(s[i], first, s[4 + i]);
        scale[1][i] = _mm512_permutex2var_epi64(s[i], second, s[4 + i]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) dot[r] = part->dot[r];
    transpose(dot);
#pragma GCC unroll 16
    for (int b = 0; b < Q8_0_GROUP; b++) {
        if (b >= n) break;
        const int odd = b % 2, k = b % 8, c = b / 8;
        const struct qact *a = act + c * act_step;
        const vi whole = _mm512_add_epi32(dot[8 * c + 4 * odd + k / 2], _mm512_slli_epi32(_mm512_set1_epi32(a->neg32[k]), 4)); /* -128·Σa */
        const vi both = scale[odd][k / 2];
        const __m512 d = _mm512_cvtph_ps(c ? _mm512_extracti64x4_epi64(both, 1) : _mm512_castsi512_si256(both));
        acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), _mm512_mul_ps(d, _mm512_set1_ps(a->u.b.scale[k])), acc);
    }
    return acc;
}
ENTRY(q8_0, Q8_0_GROUP, Q8_0_GROUP * Q8_0_BYTES)

/* ---- super-blocks: groups of four, 1024 columns ---- */
enum { SUPER_GROUP = 4 * QG_CHUNK / QG_SUB };
/* Where the four are; those that are not there are read as zeros. */
INLINE void super_blocks(const uint8_t *block[FOUR], const struct qact *a[FOUR], const uint8_t *p, int bytes, const struct qact *act, int64_t act_step, int n)
{
    static const uint8_t nothing[LONGEST / FOUR];
#pragma GCC unroll 4
    for (int j = 0; j < FOUR; j++) {
        const int here = 8 * j < n;
        block[j] = here ? p + j * bytes : nothing;
        a[j] = here ? act + j * act_step : act;
    }
}
/* dot[r]: lane l, what lane l of each of the four comes to → t[c], one row an element */
INLINE void super_dots(vi t[FOUR], const vi dot[ROWS])
{
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) {
        const vi a = add_lane_pairs(dot[g], dot[4 + g]), b = add_lane_pairs(dot[8 + g], dot[12 + g]);
        t[g] = add_lane_pairs(a, b); /* lane i: row 4i + g */
    }
    transpose_in_lanes(t);
}
/* The same for what stands in part->half: four dwords a row, where transpose_in_lanes brings the rows in order. */
INLINE void keep_dwords(struct partial *out, int r, __m128i v) { _mm_storeu_si128((__m128i *)&out->half[r % 4] + r / 4, v); }
INLINE void super_dwords(vi t[FOUR], const vi half[FOUR])
{
    for (int g = 0; g < FOUR; g++) t[g] = half[g];
    transpose_in_lanes(t);
}

/* ---- Q4_K: halves d, dmin; 8 scales and 8 minima of 6 bits in 12 bytes; 128 bytes of nibbles, 32 low ones before 32 high ones ---- */
enum { Q4_K_BYTES = 144 };

/* Of the first 16 bytes of four blocks: in every lane 8 scales, 8 minima as bytes. */
INLINE vi six_bits(vi v)
{
    const vi low = _mm512_broadcast_i32x4(_mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
    const vi high = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x30303030, 0, 0x30303030));
    const vi down = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 0, 4));
    vi body = _mm512_srlv_epi32(_mm512_shuffle_epi32(v, 0xed), down);            /* dwords 1, 3, 2, 3 */
    vi top = _mm512_srli_epi32(_mm512_shuffle_epi32(v, 0xa5), 2);                /* dwords 1, 1, 2, 2 */
    return _mm512_or_si512(_mm512_and_si512(body, low), _mm512_and_si512(top, high));
}
/* For shuffles: bytes i, i+1 of a lane over one half of the register, bytes j, j+1 over the other. */
INLINE vi spread_words(int i, int j) { return _mm512_inserti64x4(_mm512_set1_epi16((short)(i | (i + 1) << 8)), _mm256_set1_epi16((short)(j | (j + 1) << 8)), 1); }
INLINE vi one_lane(vi v, const int lane)
{
    return lane == 0 ? _mm512_shuffle_i32x4(v, v, 0) : lane == 1 ? _mm512_shuffle_i32x4(v, v, 0x55)
         : lane == 2 ? _mm512_shuffle_i32x4(v, v, 0xaa) : _mm512_shuffle_i32x4(v, v, 0xff);
}
/* more: the minima's sums, lane l of block l. */
INLINE void q4_k_group(struct partial *out, int r, const struct qact *act, int64_t act_step, const uint8_t *p, int n)
{
    const vi nibble = _mm512_set1_epi8(15), zero = _mm512_setzero_si512();
    const vi at[4] = { spread_words(0, 2), spread_words(4, 6), spread_words(8, 10), spread_words(12, 14) };
    const vi down = _mm512_inserti64x4(zero, _mm256_set1_epi16(4), 1);
    const uint8_t *block[FOUR];
    const struct qact *a[FOUR];
    super_blocks(block, a, p, Q4_K_BYTES, act, act_step, n);
    const vi first = four128(block, 0), bits = six_bits(first), scale = _mm512_unpacklo_epi8(bits, zero);
    vi d[FOUR], sums = _mm512_castsi128_si512(ld128(a[0]->sum32));
    sums = _mm512_inserti32x4(sums, ld128(a[1]->sum32), 1);
    sums = _mm512_inserti32x4(_mm512_inserti32x4(sums, ld128(a[2]->sum32), 2), ld128(a[3]->sum32), 3);
#pragma GCC unroll 4
    for (int j = 0; j < FOUR; j++) {
        const vi mine = one_lane(scale, j);
        d[j] = zero;
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) { /* 32 bytes twice: their low nibbles, then their high ones */
            const vi w = _mm512_and_si512(_mm512_srlv_epi16(_mm512_broadcast_i64x4(ld256(block[j] + 16 + 32 * k)), down), nibble);
            d[j] = _mm512_dpwssd_epi32(d[j], _mm512_maddubs_epi16(w, ld512(a[j]->q + 64 * k)), _mm512_shuffle_epi8(mine, at[k]));
            if (k % 2) fetch(p, 2 * j + k / 2);
        }
    }
    fetch(p, 8);
    out->dot[r] = lanes_of_4(d);
    out->more[r] = _mm512_madd_epi16(_mm512_unpackhi_epi8(bits, zero), sums);
    keep_dwords(out, r, a_dword_a_lane(first, 0));
}
NOINLINE __m512 q4_k_finish(__m512 acc, const struct partial *part, const struct qact *act, int64_t act_step, int n)
{
    vi dot[FOUR], low[FOUR], half[FOUR];
    super_dots(dot, part->dot);
    super_dwords(half, part->half);
#pragma GCC unroll 4
    for (int i = 0; i < FOUR; i++) low[i] = lanes_of_4(part->more + 4 * i);
    transpose_lanes(low);
#pragma GCC unroll 4
    for (int j = 0; j < FOUR; j++) {
        if (8 * j >= n) break;
        const __m512 by = _mm512_set1_ps(act[j * act_step].scale);
        acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[j]), _mm512_mul_ps(low_halves(half[j]), by), acc);
        acc = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(low[j]), _mm512_mul_ps(high_halves(half[j]), by), acc);
    }
    return acc;
}
ENTRY(q4_k, SUPER_GROUP, FOUR * Q4_K_BYTES)

/* ---- Q6_K: 128 bytes of low nibbles, 64 bytes of high pairs of bits, 16 signed scales, half d ---- */
enum { Q6_K_BYTES = 210 };
INLINE void q6_k_group(struct partial *out, int r, const struct qact *act, int64_t act_step, const uint8_t *p, int n)
{
    const vi nibble = _mm512_set1_epi8(15), pair = _mm512_set1_epi8(0x30), zero = _mm512_setzero_si512();
    const vi up = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1);
    const vi down = _mm512_inserti64x4(zero, _mm256_set1_epi16(2), 1);
    /* scale i over the i-th lane */
    const vi lane = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_inserti128_si256(_mm256_setzero_si256(), _mm_set1_epi16(1), 1)),
                                       _mm256_inserti128_si256(_mm256_set1_epi16(2), _mm_set1_epi16(3), 1), 1);
    const uint8_t *block[FOUR];
    const struct qact *a[FOUR];
    super_blocks(block, a, p, Q6_K_BYTES, act, act_step, n);
    vi d[FOUR];
#pragma GCC unroll 4
    for (int j = 0; j < FOUR; j++) {
        const uint8_t *b = block[j];
        const __m256i scale = _mm256_cvtepi8_epi16(ld128(b + 192));
        const vi scales = _mm512_zextsi256_si512(scale);
        /* what the offset 32 adds is taken off first */
        d[j] = _mm512_sub_epi32(zero, _mm512_zextsi256_si512(_mm256_slli_epi32(_mm256_madd_epi16(scale, ld256(a[j]->sum16)), 5)));
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            const vi low = ld512(b + 64 * h), bits = _mm512_broadcast_i64x4(ld256(b + 128 + 32 * h));
            /* ternary 0xf8: first | (second & third) */
            const vi w0 = _mm512_ternarylogic_epi32(_mm512_and_si512(low, nibble), _mm512_sllv_epi16(bits, up), pair, 0xf8);
            const vi w1 = _mm512_ternarylogic_epi32(_mm512_and_si512(_mm512_srli_epi16(low, 4), nibble), _mm512_srlv_epi16(bits, down), pair, 0xf8);
            d[j] = _mm512_dpwssd_epi32(d[j], _mm512_maddubs_epi16(w0, ld512(a[j]->q + 128 * h)),
                                       _mm512_permutexvar_epi16(_mm512_add_epi16(lane, _mm512_set1_epi16((short)(8 * h))), scales));
            d[j] = _mm512_dpwssd_epi32(d[j], _mm512_maddubs_epi16(w1, ld512(a[j]->q + 128 * h + 64)),
                                       _mm512_permutexvar_epi16(_mm512_add_epi16(lane, _mm512_set1_epi16((short)(8 * h + 4))), scales));
            fetch(p, 3 * j + h);
        }
        fetch(p, 3 * j + 2);
    }
    fetch_rest(p, 12, FOUR * Q6_K_BYTES);
    out->dot[r] = lanes_of_4(d);
    keep_dwords(out, r, a_dword_a_lane(four128(block, 194), 3)); /* the last dword of a block: two scales, d */
}
NOINLINE __m512 q6_k_finish(__m512 acc, const struct partial *part, const struct qact *act, int64_t act_step, int n)
{
    vi dot[FOUR], half[FOUR];
    super_dots(dot, part->dot);
    super_dwords(half, part->half);
#pragma GCC unroll 4
    for (int j = 0; j < FOUR; j++) {
        if (8 * j >= n) break;
        acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[j]), _mm512_mul_ps(high_halves(half[j]), _mm512_set1_ps(act[j * act_step].scale)), acc);
    }
    return acc;
}
ENTRY(q6_k, SUPER_GROUP, FOUR * Q6_K_BYTES)
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
