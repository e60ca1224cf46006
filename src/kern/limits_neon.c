/* limits_neon.c — the loops of limits.c with NEON.  SPDX-License-Identifier: Apache-2.0 */
#include "limits_impl.h"

#ifdef __aarch64__
#include <arm_neon.h>

enum { CHAINS = 16 };

static uint64_t read_neon(const uint8_t *p, size_t n)
{
    uint8x16_t s[8];
    for (int j = 0; j < 8; j++)
        s[j] = vdupq_n_u8(0);
    for (size_t i = 0; i + 256 <= n; i += 256)
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++) {
            if (j % 4 == 0)
                __builtin_prefetch(p + i + 16 * j + LIMITS_AHEAD);
            s[j % 8] = veorq_u8(s[j % 8], vld1q_u8(p + i + 16 * j));
        }
    for (int j = 1; j < 8; j++)
        s[0] = veorq_u8(s[0], s[j]);
    return vaddvq_u64(vreinterpretq_u64_u8(s[0]));
}

static uint64_t fp32_neon(void)
{
    float32x4_t a[CHAINS], x = vdupq_n_f32(0.999f), y = vdupq_n_f32(0.001f);
    for (int j = 0; j < CHAINS; j++)
        a[j] = vdupq_n_f32((float)j);
    for (int i = 0; i < LIMITS_STEPS; i++) {
        __asm__ volatile("" : "+w"(x), "+w"(y));
#pragma GCC unroll 16
        for (int j = 0; j < CHAINS; j++)
            a[j] = vfmaq_f32(a[j], x, y);
    }
    for (int j = 1; j < CHAINS; j++)
        a[0] = vaddq_f32(a[0], a[j]);
    return (uint64_t)vaddvq_f32(a[0]);
}

static uint64_t int8_neon(void)
{
    int32x4_t a[CHAINS];
    int8x16_t x = vdupq_n_s8(3), y = vdupq_n_s8(5);
    for (int j = 0; j < CHAINS; j++)
        a[j] = vdupq_n_s32(j);
    for (int i = 0; i < LIMITS_STEPS; i++) {
        __asm__ volatile("" : "+w"(x), "+w"(y));
#pragma GCC unroll 16
        for (int j = 0; j < CHAINS; j++)
            a[j] = vdotq_s32(a[j], x, y);
    }
    for (int j = 1; j < CHAINS; j++)
        a[0] = vaddq_s32(a[0], a[j]);
    return (uint64_t)(uint32_t)vaddvq_s32(a[0]);
}

const struct limits_ops limits_neon = { read_neon, fp32_neon, int8_neon, 2.0 * 4 * CHAINS * LIMITS_STEPS, 2.0 * 16 * CHAINS * LIMITS_STEPS };
#endif
