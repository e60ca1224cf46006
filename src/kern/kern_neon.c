/* kern_neon.c — the kernels for AArch64 with NEON (and dot products of bytes): tiles of 6 rows × 16 columns, few rows × 32 columns.
 *
 * Six rows × four registers are twenty-four running sums; four registers of B and a broadcast of A make 29 of 32. With one or
 * two rows two panels are taken at once, or the chains would be too few to hide the latency of the multiply-add.
 * Every element is one chain over ascending k, as in kern_ref.c. There is no gemv_tile: gemm.c packs few rows, too.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern_impl.h"
#include "limits_impl.h"
#include "qgemm_impl.h"

#ifdef __aarch64__
#include "v16_neon.h"
#include "kern_body.h"

static inline void add_squares(float64x2_t s[2], float32x4_t x)
{
    float64x2_t lo = vcvt_f64_f32(vget_low_f32(x)), hi = vcvt_high_f64_f32(x);
    s[0] = vfmaq_f64(s[0], lo, lo);
    s[1] = vfmaq_f64(s[1], hi, hi);
}
static double sum_squares_neon(const float *x, int64_t n)
{
    float64x2_t s[8];
    for (int j = 0; j < 8; j++)
        s[j] = vdupq_n_f64(0);
    FOR16(i, n,
        v16 v = LD(x + i);
        add_squares(s, v.a);
        add_squares(s + 2, v.b);
        add_squares(s + 4, v.c);
        add_squares(s + 6, v.d);
    );
    for (int w = 4; w >= 1; w /= 2)
        for (int j = 0; j < w; j++)
            s[j] = vaddq_f64(s[j], s[j + w]);
    return vgetq_lane_f64(s[0], 0) + vgetq_lane_f64(s[0], 1);
}

/* ---- matrix tile ---- */
/* The first n of four floats (n may be 0 or less, or more than four); the others are 0. */
static inline float32x4_t load_part(const float *p, int n)
{
    float t[4] = { 0 };
    if (n >= 4)
        return vld1q_f32(p);
    if (n > 0)
        memcpy(t, p, (size_t)n * sizeof *t);
    return vld1q_f32(t);
}
static inline void store_part(float *p, float32x4_t v, int n)
{
    float t[4];
    vst1q_f32(t, v);
    if (n > 0)
        memcpy(p, t, (size_t)(n < 4 ? n : 4) * sizeof *t);
}

/* rows, vecs (registers across: 4 or 8) and masked are constants at every place of use: the loops over them unroll. */
static inline __attribute__((always_inline)) void tile(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row,
    int64_t a_col, const float *b, const float *b2, int64_t b_row, int n_col, int64_t n_k,
    const int rows, const int vecs, const int masked)
{
    float32x4_t acc[6][8], bv[8];
#pragma GCC unroll 6
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 8
        for (int v = 0; v < vecs; v++) {
            const float *p = c + m * c_row + 4 * v;
            acc[m][v] = !load_c ? vdupq_n_f32(0) : masked ? load_part(p, n_col - 4 * v) : vld1q_f32(p);
        }
    for (int64_t k = 0; k < n_k; k++, a += a_col, b += b_row) {
#pragma GCC unroll 8
        for (int v = 0; v < vecs; v++) {
            const float *p = v < 4 ? b + 4 * v : b2 + 4 * (v - 4);
            bv[v] = masked ? load_part(p, n_col - 4 * v) : vld1q_f32(p);
        }
        b2 += vecs > 4 ? b_row : 0;
#pragma GCC unroll 6
        for (int m = 0; m < rows; m++) {
            float32x4_t am = vld1q_dup_f32(a + m * a_row);
#pragma GCC unroll 8
            for (int v = 0; v < vecs; v++)
                acc[m][v] = vfmaq_f32(acc[m][v], am, bv[v]);
        }
    }
#pragma GCC unroll 6
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 8
        for (int v = 0; v < vecs; v++) {
            float *p = c + m * c_row + 4 * v;
            if (masked)
                store_part(p, acc[m][v], n_col - 4 * v);
            else
                vst1q_f32(p, acc[m][v]);
        }
}

enum { TILE_REGISTERS = 4, WIDE_ROWS = 2 };
#include "gemm_tile_body.h"

/* ---- packing: transpose 4 × 4 ---- */
static inline void transpose4(float32x4_t r[4])
{
    float64x2_t t0 = vreinterpretq_f64_f32(vtrn1q_f32(r[0], r[1])), t1 = vreinterpretq_f64_f32(vtrn2q_f32(r[0], r[1]));
    float64x2_t t2 = vreinterpretq_f64_f32(vtrn1q_f32(r[2], r[3])), t3 = vreinterpretq_f64_f32(vtrn2q_f32(r[2], r[3]));
    r[0] = vreinterpretq_f32_f64(vtrn1q_f64(t0, t2));
    r[1] = vreinterpretq_f32_f64(vtrn1q_f64(t1, t3));
    r[2] = vreinterpretq_f32_f64(vtrn2q_f64(t0, t2));
    r[3] = vreinterpretq_f32_f64(vtrn2q_f64(t1, t3));
}

enum pack_from { FROM_F32, FROM_F16, FROM_BF16 };
static inline float32x4_t load_from(const uint8_t *p, int n, const enum pack_from from)
{
    uint8_t part[16] = { 0 };
    if (n < 4) {
        memcpy(part, p, (size_t)n * (from == FROM_F32 ? 4 : 2));
        p = part;
    }
    if (from == FROM_F32)
        return vreinterpretq_f32_u8(vld1q_u8(p));
    uint16x4_t h = vreinterpret_u16_u8(vld1_u8(p));
    return from == FROM_F16 ? vcvt_f32_f16(vreinterpret_f16_u16(h)) : vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

static inline __attribute__((always_inline)) void pack(float *dst, const uint8_t *src, int64_t row_bytes, int n_col, int64_t n_k,
                                                       const enum pack_from from)
{
    for (int64_t k = 0; k < n_k; k += 4, src += from == FROM_F32 ? 16 : 8) {
        int n = n_k - k < 4 ? (int)(n_k - k) : 4;
        for (int at = 0; at < KERN_PANEL; at += 4) {
            float32x4_t r[4];
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                r[j] = at + j < n_col ? load_from(src + (at + j) * row_bytes, n, from) : vdupq_n_f32(0);
            transpose4(r);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                if (i < n)
                    vst1q_f32(dst + (k + i) * KERN_PANEL + at, r[i]);
        }
    }
}

static void pack_nt_neon(float *dst, const float *src, int64_t src_row, int n_col, int64_t n_k)
{
    pack(dst, (const uint8_t *)(const void *)src, src_row * 4, n_col, n_k, FROM_F32);
}

static void pack_half_neon(float *dst, const void *src, int64_t row_bytes, int n_col, int64_t n_k, int bf16)
{
    if (bf16)
        pack(dst, src, row_bytes, n_col, n_k, FROM_BF16);
    else
        pack(dst, src, row_bytes, n_col, n_k, FROM_F16);
}

const struct kern kern_neon = {
    .isa = "neon", .q = &qgemm_neon, .limits = &limits_neon, .gemm_tile = gemm_tile_level, .pack_nt = pack_nt_neon, .pack_half = pack_half_neon,
    .sum_squares = sum_squares_neon, KERN_BODY_SLOTS
};
#endif
