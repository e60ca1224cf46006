/* attention_neon.c — attention_body.h for NEON. A `vec` is two registers, so that a byte of Q8_0's ninth bits belongs to one: tiles of
 * up to 6 rows × 2 (24 sums of 32 registers), 1 or 2 rows × 4.  SPDX-License-Identifier: Apache-2.0 */
#include "attention_impl.h"

#ifdef __aarch64__
#include "v16_neon.h"
#include "v16_exp.h"

typedef struct { float32x4_t lo, hi; } vec;
#define VEC 8
#define TILE 6
#define DIRECT 12
#define VECS_FOR(rows) ((rows) <= 2 ? 4 : 2)
static inline int vecs_for(int rows) { return VECS_FOR(rows); }
static inline vec vec_set1(float f) { return (vec){ vdupq_n_f32(f), vdupq_n_f32(f) }; }
static inline vec vec_zero(void) { return vec_set1(0); }
static inline vec vec_load(const float *p) { return (vec){ vld1q_f32(p), vld1q_f32(p + 4) }; }
static inline void vec_store(float *p, vec v)
{
    vst1q_f32(p, v.lo);
    vst1q_f32(p + 4, v.hi);
}
static inline vec vec_mul(vec a, vec b) { return (vec){ vmulq_f32(a.lo, b.lo), vmulq_f32(a.hi, b.hi) }; }
static inline vec vec_fma(vec a, vec b, vec c) { return (vec){ vfmaq_f32(c.lo, a.lo, b.lo), vfmaq_f32(c.hi, a.hi, b.hi) }; }
static inline vec vec_from_f16(const uint16_t *p)
{
    float16x8_t h = vreinterpretq_f16_u16(vld1q_u16(p));
    return (vec){ vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h) };
}
static inline vec vec_set1_f16(uint16_t h)
{
    float32x4_t f = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h)));
    return (vec){ f, f };
}
static inline vec vec_of(int16x8_t i)
{
    return (vec){ vcvtq_f32_s32(vmovl_s16(vget_low_s16(i))), vcvtq_f32_s32(vmovl_high_s16(i)) };
}
typedef uint8x8_t bits;
static inline bits bits_zero(void) { return vdup_n_u8(0); }
static inline bits bits_load(const char *p) { return vld1_u8((const uint8_t *)p); }
static inline bits bits_down(bits b, int n) { return vshl_u8(b, vdup_n_s8((int8_t)-n)); }
static inline vec vec_from_9(const char *p, bits low)
{
    int16x8_t q = vshll_n_s8(vld1_s8((const int8_t *)p), 1);
    return vec_of(vorrq_s16(q, vreinterpretq_s16_u16(vmovl_u8(vand_u8(low, vdup_n_u8(1))))));
}
static inline vec vec_from_9_row(const char *p, const uint8_t *low)
{
    static const int8_t DOWN[8] = { 0, -1, -2, -3, -4, -5, -6, -7 };
    return vec_from_9(p, vshl_u8(vld1_dup_u8(low), vld1_s8(DOWN)));
}
static inline vec vec_from_nibbles(const char *p, int high)
{
    uint8x8_t b = vld1_u8((const uint8_t *)p);
    b = high ? vshr_n_u8(b, 4) : vand_u8(b, vdup_n_u8(15));
    return vec_of(vmovl_s8(vsub_s8(vreinterpret_s8_u8(b), vdup_n_s8(8))));
}

#include "attention_body.h"

const struct attn_kern attn_kern_neon = { ATTN_BODY_SLOTS };
#endif
