/* qgemm_neon.c — quantised products for AArch64 with dot products of bytes (sdot): a register holds four bytes of four rows of W.
 *
 * The instruction multiplies signed by signed bytes. Types with the full range of a byte therefore keep their sign in the tile and
 * have no offset (NO_OFFSET makes the start of their sums 0); all others are below 128, so that it does not matter. Sixteen bytes of
 * activations serve four steps: the instruction takes its four bytes from a lane. A panel is worked on in halves: six rows × two
 * registers.  SPDX-License-Identifier: Apache-2.0 */
#include "qgemm_impl.h"

#ifdef __aarch64__
#include <arm_neon.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
typedef uint32x4_t vi;
typedef float32x4_t vf;
enum { VROWS = 4, DW = 4 };

/* ---- rounding of activations ---- */
INLINE uint32x4_t size_of(float32x4_t v) { return vandq_u32((uint32x4_t)v, vdupq_n_u32(0x7fffffff)); }
INLINE int8x16_t round16(const float *x, float32x4_t by)
{
    int32x4_t i[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        i[j] = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x + 4 * j), by));
    int16x8_t lo = vcombine_s16(vmovn_s32(i[0]), vmovn_s32(i[1])), hi = vcombine_s16(vmovn_s32(i[2]), vmovn_s32(i[3]));
    return vcombine_s8(vmovn_s16(lo), vmovn_s16(hi));
}
INLINE float round_block(int8_t *q, const float *x, const int n)
{
    uint32x4_t m = vdupq_n_u32(0);
    for (int i = 0; i < n; i += 4)
        m = vmaxq_u32(m, size_of(vld1q_f32(x + i)));
    uint32_t most = vmaxvq_u32(m);
    float amax;
    memcpy(&amax, &most, sizeof amax);
    int bad = most > 0x7f7fffff, zero = bad || amax < QG_TINY;
    float32x4_t inverse = vdupq_n_f32(zero ? 0.0f : 127.0f / amax);
    for (int i = 0; i < n; i += 16)
        vst1q_s8(q + i, zero ? vdupq_n_s8(0) : round16(x + i, inverse));
    return bad ? NAN : zero ? 0.0f : amax / 127.0f;
}

static void quantize_neon(struct qact *d, const float *x, int n, int super_block)
{
    if (n < QG_CHUNK)
        memset(d, 0, sizeof *d);
    if (super_block)
        d->scale = round_block(d->q, x, QG_CHUNK);
    for (int s = 0; s * QG_SUB < n; s++) {
        int8_t *q = d->q + s * QG_SUB;
        if (!super_block)
            d->u.b.scale[s] = round_block(q, x + s * QG_SUB, QG_SUB);
        int s0 = vaddlvq_s8(vld1q_s8(q)), s1 = vaddlvq_s8(vld1q_s8(q + 16));
        d->neg32[s] = -8 * (s0 + s1);
        if (!super_block) {
            d->u.b.sum[s] = d->u.b.scale[s] * (float)(s0 + s1);
            continue;
        }
        d->sum32[s] = (int16_t)(s0 + s1);
        d->sum16[2 * s] = (int16_t)s0;
        d->sum16[2 * s + 1] = (int16_t)s1;
        d->u.neg16[2 * s] = -8 * s0;
        d->u.neg16[2 * s + 1] = -8 * s1;
    }
}

/* ---- unpacking ---- */
INLINE void put(void *p, vi v) { vst1q_u8(p, (uint8x16_t)v); }
INLINE vi u_load(const void *p) { return (vi)vld1q_u8(p); }
INLINE vi u_set8(char v) { return (vi)vdupq_n_u8((uint8_t)v); }
INLINE vi u_set32(int32_t v) { return vdupq_n_u32((uint32_t)v); }
INLINE vi u_table(const int8_t *p) { return u_load(p); }
INLINE vi u_and(vi a, vi b) { return vandq_u32(a, b); }
INLINE vi u_or(vi a, vi b) { return vorrq_u32(a, b); }
INLINE vi u_xor(vi a, vi b) { return veorq_u32(a, b); }
INLINE vi u_add8(vi a, vi b) { return (vi)vaddq_u8((uint8x16_t)a, (uint8x16_t)b); }
INLINE vi u_sub8(vi a, vi b) { return (vi)vsubq_u8((uint8x16_t)a, (uint8x16_t)b); }
INLINE vi u_min8(vi a, vi b) { return (vi)vminq_u8((uint8x16_t)a, (uint8x16_t)b); }
INLINE vi u_sub32(vi a, vi b) { return vsubq_u32(a, b); }
INLINE vi u_add32(vi a, vi b) { return vaddq_u32(a, b); }
INLINE vi u_max32(vi a, vi b) { return (vi)vmaxq_s32((int32x4_t)a, (int32x4_t)b); }
INLINE vi u_min32(vi a, vi b) { return (vi)vminq_s32((int32x4_t)a, (int32x4_t)b); }
INLINE vi u_shl16(vi a, int n) { return (vi)((uint16x8_t)a << n); }
INLINE vi u_shr16(vi a, int n) { return (vi)((uint16x8_t)a >> n); }
INLINE vi u_shl32(vi a, int n) { return a << n; }
INLINE vi u_shr32(vi a, int n) { return a >> n; }
INLINE vi u_sar32(vi a, int n) { return (vi)((int32x4_t)a >> n); }
INLINE vi u_lookup(vi table, vi index) { return (vi)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)index); }
/* Byte k of every dword in all its bytes. */
INLINE vi u_spread_byte(vi a, int k)
{
    const vi first = { 0, 0x04040404, 0x08080808, 0x0c0c0c0c };
    return u_lookup(a, vaddq_u32(first, vdupq_n_u32((uint32_t)k * 0x01010101)));
}
/* 16 bytes of each of four rows → r[k] = dword k of the rows */
INLINE void load4(vi r[4], const uint8_t *src, int64_t row)
{
    vi a = u_load(src), b = u_load(src + row), c = u_load(src + 2 * row), d = u_load(src + 3 * row);
    uint64x2_t t0 = (uint64x2_t)vtrn1q_u32(a, b), t1 = (uint64x2_t)vtrn2q_u32(a, b);
    uint64x2_t t2 = (uint64x2_t)vtrn1q_u32(c, d), t3 = (uint64x2_t)vtrn2q_u32(c, d);
    r[0] = (vi)vtrn1q_u64(t0, t2);
    r[1] = (vi)vtrn1q_u64(t1, t3);
    r[2] = (vi)vtrn2q_u64(t0, t2);
    r[3] = (vi)vtrn2q_u64(t1, t3);
}
INLINE void load_dw(vi r[DW], const uint8_t *src, int64_t row) { load4(r, src, row); }
/* Only dword 0. */
INLINE vi load1(const uint8_t *src, int64_t row)
{
    uint32_t v[4];
    for (int j = 0; j < 4; j++)
        memcpy(&v[j], src + j * row, sizeof *v);
    return vld1q_u32(v);
}
/* The low half of every dword as a float. */
INLINE void put_low_halves(float *dst, vi v) { vst1q_f32(dst, vcvt_f32_f16((float16x4_t)vmovn_u32(v))); }
#include "qgemm_unpack_body.h"
UNPACK_FULL(, 0)

/* ---- 16-bit floats as integers ---- */
INLINE vi u_max16(vi a, vi b) { return (vi)vmaxq_s16((int16x8_t)a, (int16x8_t)b); }
INLINE vi u_min16(vi a, vi b) { return (vi)vminq_s16((int16x8_t)a, (int16x8_t)b); }
INLINE vi u_sub16(vi a, vi b) { return (vi)vsubq_s16((int16x8_t)a, (int16x8_t)b); }
INLINE vi u_sar16(vi a, int n) { return (vi)((int16x8_t)a >> n); }
INLINE vi u_mulhrs(vi a, vi b) { return (vi)vqrdmulhq_s16((int16x8_t)a, (int16x8_t)b); }
INLINE vi w_power(vi d) { return (vi)vshlq_u16(vdupq_n_u16(0x2000), vnegq_s16(vminq_s16((int16x8_t)d, vdupq_n_s16(16)))); }
#include "qgemm_wide_body.h"

static void interleave_neon(struct qtile *t, const struct qrow *rows, const struct qkind *k)
{
    const vi flip = u_set8(k->steps == 0 ? (char)0x80 : 0);
    for (int at = 0; at < KERN_PANEL; at += VROWS)
        for (int b = 0; b < QG_CHUNK / 16; b++) {
            vi r[4];
            load4(r, rows[at].q + 16 * b, sizeof *rows);
            UNROLL4(i) put(t->q[4 * b + i][at], u_xor(r[i], flip));
        }
    qtile_scales(t, rows, k);
}

/* ---- tiles and floats ---- */
INLINE vf f_load(const float *p) { return vld1q_f32(p); }
INLINE void f_store(float *p, vf v) { vst1q_f32(p, v); }
INLINE vf f_set1(float v) { return vdupq_n_f32(v); }
INLINE vf f_of(vi v) { return vcvtq_f32_s32((int32x4_t)v); }
INLINE vf f_mul(vf a, vf b) { return vmulq_f32(a, b); }
INLINE vf f_div(vf a, vf b) { return vdivq_f32(a, b); }
INLINE vf f_add(vf a, vf b) { return vaddq_f32(a, b); }
INLINE vf f_sub(vf a, vf b) { return vsubq_f32(a, b); }
/* Sizes compare as integers, NaN above all. */
INLINE void columns_most(float most[KERN_PANEL], const float *v0, const float *v1)
{
    for (int c = 0; c < KERN_PANEL; c++, v0 += KERN_PANEL, v1 += KERN_PANEL) {
        uint32x4_t m = vdupq_n_u32(0);
        UNROLL4(j) m = vmaxq_u32(m, vmaxq_u32(size_of(vld1q_f32(v0 + 4 * j)), size_of(vld1q_f32(v1 + 4 * j))));
        uint32_t bits = vmaxvq_u32(m);
        memcpy(&most[c], &bits, sizeof bits);
    }
}
INLINE void round_row(uint8_t q[QG_SUB], const float *v0, const float *v1, float inverse)
{
    const vf by = f_set1(inverse);
    vst1q_u8(q, (uint8x16_t)round16(v0, by));
    vst1q_u8(q + 16, (uint8x16_t)round16(v1, by));
}
#include "qvalues_body.h"
static void values_neon(float *v, const struct qtile *t, const struct qkind *k, int n_sub) { tile_values(v, t, k, n_sub, 1); }
static void round_neon(struct qtile *t, int n_panel, int s, const float *const v[2]) { round_columns(t, n_panel, s, v, 1); }

/* ---- products ---- */
enum { LANES = 4, LANE_ROWS = QG_ROWS, PART_STEP = 16, HALF_PANEL = 32 /* bytes in every array of a tile */, NO_OFFSET = -64 };
INLINE vi v_load(const void *p) { return u_load(p); }
INLINE vi v_zero(void) { return vdupq_n_u32(0); }
INLINE vi v_set1(int32_t v) { return u_set32(v); }
INLINE vi v_add(vi a, vi b) { return vaddq_u32(a, b); }
INLINE vi v_mul(vi a, vi b) { return vmulq_u32(a, b); }
INLINE vi v_shift(vi a, int n) { return vshlq_u32(a, vdupq_n_s32(n)); } /* NO_OFFSET: 0 */
INLINE vi v_dpwssd(vi s, vi a, vi b)
{
    int32x4_t lo = vmull_s16(vget_low_s16((int16x8_t)a), vget_low_s16((int16x8_t)b)), hi = vmull_high_s16((int16x8_t)a, (int16x8_t)b);
    return vaddq_u32(s, (vi)vpaddq_s32(lo, hi));
}
INLINE vf vf_load(const float *p) { return vld1q_f32(p); }
INLINE void vf_store(float *p, vf v) { vst1q_f32(p, v); }
INLINE vf vf_zero(void) { return vdupq_n_f32(0); }
INLINE vf vf_set1(float v) { return vdupq_n_f32(v); }
INLINE vf vf_of(vi v) { return f_of(v); }
INLINE vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
INLINE vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
INLINE vf vf_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }

#define DOT_STEP(step) { \
        int8x16_t w0 = (int8x16_t)v_load(t->q[k / 4 + i + step][0]), w1 = (int8x16_t)v_load(t->q[k / 4 + i + step][LANES]); \
        _Pragma("GCC unroll 6") for (int m = 0; m < n; m++) { \
            dot[m][0] = (vi)vdotq_laneq_s32((int32x4_t)dot[m][0], w0, b[m], step); \
            dot[m][1] = (vi)vdotq_laneq_s32((int32x4_t)dot[m][1], w1, b[m], step); \
        } \
    }
/* dot[m][p] += one sub-block of `steps` · 4 columns from byte k on */
INLINE void dots(vi dot[LANE_ROWS][2], const struct qact *const *a, const struct qtile *t, int k, const int steps, const int n)
{
#pragma GCC unroll 2
    for (int i = 0; i < steps; i += 4) {
        int8x16_t b[LANE_ROWS];
#pragma GCC unroll 6
        for (int m = 0; m < n; m++)
            b[m] = vld1q_s8(a[m]->q + k + 4 * i);
        DOT_STEP(0) DOT_STEP(1) DOT_STEP(2) DOT_STEP(3)
    }
}
#define OWN_DOTS
#include "qgemm_vnni_body.h"

FAMILIES(1) FAMILIES(2) FAMILIES(3) FAMILIES(4) FAMILIES(5) FAMILIES(6)
#define ENTRY(family) tile_##family##_1, tile_##family##_2, tile_##family##_3, tile_##family##_4, tile_##family##_5, tile_##family##_6
static tile_fn *const TILES[QF_COUNT][LANE_ROWS + 1] = TABLE_OF_TILES(ENTRY);

static void tile_neon(float *const *c, int load, const struct qact *const *a, int n_row, const struct qtile *t, int n_sub, const struct qkind *k)
{
    const int shift = k->steps == 0 ? NO_OFFSET : k->shift;
    for (int at = 0; at < QG_PAIR * KERN_PANEL; at += 2 * LANES) {
        /* the arrays of a tile have rows of 64 bytes: its second half is the same structure 32 bytes further on */
        const char *half = (const char *)(t + at / KERN_PANEL) + at % KERN_PANEL / (2 * LANES) * HALF_PANEL;
        float *part[QG_ROWS];
        for (int m = 0; m < n_row; m++)
            part[m] = c[m] + at;
        TILES[k->family][n_row](part, load, a, (const struct qtile *)(const void *)half, shift, n_sub);
    }
}

/* Even and odd columns of k are summed apart, two rows of W in a register, and brought together at the end of a block. */
enum { WIDE_LANES = LANES, WIDE_ROWS = 4, WIDE_STEP = PART_STEP };
typedef struct { int32x4_t lo, hi; } wsum;
INLINE wsum wsum_zero(void) { return (wsum){ vdupq_n_s32(0), vdupq_n_s32(0) }; }
INLINE vf wsum_float(wsum s) { return vcvtq_f32_s32(vpaddq_s32(s.lo, s.hi)); }
INLINE wsum v_pairs(wsum s, vi w, vi a)
{
    return (wsum){ vmlal_s16(s.lo, vget_low_s16((int16x8_t)w), vget_low_s16((int16x8_t)a)), vmlal_high_s16(s.hi, (int16x8_t)w, (int16x8_t)a) };
}
#define OWN_WIDE_SUM
#define WIDE_NAME(n) wide_##n
#include "qgemm_wide_tile_body.h"
WIDE_FN(1) WIDE_FN(2) WIDE_FN(3) WIDE_FN(4)
static void tile_wide_neon(float *const *c, int load, const struct wact *const *a, int n_row, const struct wtile *t, int n_sub)
{
    static wide_fn *const fn[WIDE_ROWS + 1] = { NULL, wide_1, wide_2, wide_3, wide_4 };
    for (int at = 0; at < QG_PAIR * KERN_PANEL; at += 2 * LANES) {
        const char *half = (const char *)(t + at / KERN_PANEL) + at % KERN_PANEL / (2 * LANES) * HALF_PANEL;
        for (int i = 0; i < n_row; i += WIDE_ROWS) {
            const int n = n_row - i < WIDE_ROWS ? n_row - i : WIDE_ROWS;
            float *part[WIDE_ROWS];
            for (int m = 0; m < n; m++)
                part[m] = c[i + m] + at;
            fn[n](part, load, a + i, (const struct wtile *)(const void *)half, n_sub);
        }
    }
}

const struct qgemm_ops qgemm_neon = {
    .quantize = quantize_neon, .interleave = interleave_neon, .tile = tile_neon, .values = values_neon, .round = round_neon,
    .unpack = UNPACK_TABLE(),
    .round_wide = qgemm_round_wide_ref, .unpack_wide = unpack_wide_level, .tile_wide = tile_wide_neon,
};
#endif
