/* v16_neon.h — sixteen floats in four NEON registers: the operations that kern_body.h, attention_body.h are written in.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_V16_NEON_H
#define ILAB_V16_NEON_H

#include <arm_neon.h>

typedef struct { float32x4_t a, b, c, d; } v16;
static const uint32_t LANES_OF[32] = { ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u };
static inline v16 v16_load(const float *p) { return (v16){ vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12) }; }
static inline void v16_store(float *p, v16 v)
{
    vst1q_f32(p, v.a);
    vst1q_f32(p + 4, v.b);
    vst1q_f32(p + 8, v.c);
    vst1q_f32(p + 12, v.d);
}
static inline v16 v16_load_n(const float *p, int n)
{
    float t[16] = { 0 };
    memcpy(t, p, (size_t)n * sizeof *t);
    return v16_load(t);
}
static inline void v16_store_n(float *p, v16 v, int n)
{
    float t[16];
    v16_store(t, v);
    memcpy(p, t, (size_t)n * sizeof *t);
}
static inline float32x4_t keep_lanes(float32x4_t v, const uint32_t *mask)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), vld1q_u32(mask)));
}
static inline v16 v16_first(v16 v, int n)
{
    const uint32_t *m = LANES_OF + 16 - n;
    return (v16){ keep_lanes(v.a, m), keep_lanes(v.b, m + 4), keep_lanes(v.c, m + 8), keep_lanes(v.d, m + 12) };
}
static inline v16 v16_set1(float f)
{
    float32x4_t v = vdupq_n_f32(f);
    return (v16){ v, v, v, v };
}
/* Where one is NaN, and of zeros of two signs, the second operand wins. */
static inline float32x4_t larger(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline float32x4_t smaller(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
#define UNARY(name, op) \
    static inline v16 name(v16 x) { return (v16){ op(x.a), op(x.b), op(x.c), op(x.d) }; }
#define BINARY(name, op) \
    static inline v16 name(v16 x, v16 y) { return (v16){ op(x.a, y.a), op(x.b, y.b), op(x.c, y.c), op(x.d, y.d) }; }
#define TERNARY(name, op) /* z ± x·y */ \
    static inline v16 name(v16 x, v16 y, v16 z) { return (v16){ op(z.a, x.a, y.a), op(z.b, x.b, y.b), op(z.c, x.c, y.c), op(z.d, x.d, y.d) }; }
UNARY(v16_sqrt, vsqrtq_f32)
UNARY(v16_neg, vnegq_f32)
BINARY(v16_add, vaddq_f32)
BINARY(v16_sub, vsubq_f32)
BINARY(v16_mul, vmulq_f32)
BINARY(v16_div, vdivq_f32)
BINARY(v16_max, larger)
BINARY(v16_min, smaller)
TERNARY(v16_fma, vfmaq_f32)
TERNARY(v16_fnma, vfmsq_f32)
static inline float32x4_t times_pow2(float32x4_t p, float32x4_t n)
{
    int32x4_t i = vcvtq_s32_f32(n), half = vshrq_n_s32(i, 1), bias = vdupq_n_s32(127);
    int32x4_t u1 = vshlq_n_s32(vaddq_s32(half, bias), 23), u2 = vshlq_n_s32(vaddq_s32(vsubq_s32(i, half), bias), 23);
    return vmulq_f32(vmulq_f32(p, vreinterpretq_f32_s32(u1)), vreinterpretq_f32_s32(u2));
}
BINARY(v16_times_pow2, times_pow2)
/* Complex products of pairs: (x0, x1)·(c ± is). */
static inline float32x4_t rotate(float32x4_t x, float32x4_t cs, int inverse)
{
    const uint32x4_t sign = vreinterpretq_u32_u64(vdupq_n_u64(inverse ? (uint64_t)1 << 63 : (uint64_t)1 << 31));
    float32x4_t t = vmulq_f32(vrev64q_f32(x), vtrn2q_f32(cs, cs));
    return vfmaq_f32(vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(t), sign)), x, vtrn1q_f32(cs, cs));
}
static inline v16 v16_rotate(v16 x, v16 cs, int inverse)
{
    return (v16){ rotate(x.a, cs.a, inverse), rotate(x.b, cs.b, inverse), rotate(x.c, cs.c, inverse), rotate(x.d, cs.d, inverse) };
}
static inline float v16_sum(v16 v)
{
    float32x4_t s = vaddq_f32(vaddq_f32(v.a, v.c), vaddq_f32(v.b, v.d));
    float32x2_t t = vadd_f32(vget_low_f32(s), vget_high_f32(s));
    return vget_lane_f32(t, 0) + vget_lane_f32(t, 1);
}

#endif
