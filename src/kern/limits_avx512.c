/* limits_avx512.c — the loops of limits.c with AVX-512 (and VNNI).  SPDX-License-Identifier: Apache-2.0 */
#include "limits_impl.h"

#ifdef __x86_64__
#include <immintrin.h>

enum { CHAINS = 16 };

static uint64_t read_avx512(const uint8_t *p, size_t n)
{
    __m512i s[4] = { _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512() };
    for (size_t i = 0; i + 256 <= n; i += 256)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            __builtin_prefetch(p + i + 64 * j + LIMITS_AHEAD);
            s[j] = _mm512_xor_si512(s[j], _mm512_loadu_si512(p + i + 64 * j));
        }
    return (uint64_t)_mm512_reduce_add_epi64(_mm512_xor_si512(_mm512_xor_si512(s[0], s[1]), _mm512_xor_si512(s[2], s[3])));
}

static uint64_t fp32_avx512(void)
{
    __m512 a[CHAINS], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
    for (int j = 0; j < CHAINS; j++)
        a[j] = _mm512_set1_ps((float)j);
    for (int i = 0; i < LIMITS_STEPS; i++)
#pragma GCC unroll 16
        for (int j = 0; j < CHAINS; j++)
            a[j] = _mm512_fmadd_ps(a[j], x, y);
    for (int j = 1; j < CHAINS; j++)
        a[0] = _mm512_add_ps(a[0], a[j]);
    return (uint64_t)_mm512_reduce_add_ps(a[0]);
}

/* maddubs, madd, add: without VNNI four bytes' products take three instructions. */
static uint64_t int8_avx512(void)
{
    __m512i a[CHAINS], x = _mm512_set1_epi32(0x01020304), y = _mm512_set1_epi16(1);
    for (int j = 0; j < CHAINS; j++)
        a[j] = _mm512_set1_epi32(j);
    for (int i = 0; i < LIMITS_STEPS; i++)
#pragma GCC unroll 16
        for (int j = 0; j < CHAINS; j++)
            a[j] = _mm512_add_epi32(x, _mm512_madd_epi16(_mm512_maddubs_epi16(a[j], x), y));
    for (int j = 1; j < CHAINS; j++)
        a[0] = _mm512_add_epi32(a[0], a[j]);
    return (uint64_t)_mm512_reduce_add_epi32(a[0]);
}

__attribute__((target("avx512vnni"))) static uint64_t int8_vnni(void)
{
    __m512i a[CHAINS], x = _mm512_set1_epi32(0x01020304), y = _mm512_set1_epi32(0x7f018055);
    for (int j = 0; j < CHAINS; j++)
        a[j] = _mm512_set1_epi32(j);
    for (int i = 0; i < LIMITS_STEPS; i++)
#pragma GCC unroll 16
        for (int j = 0; j < CHAINS; j++)
            a[j] = _mm512_dpbusd_epi32(a[j], x, y);
    for (int j = 1; j < CHAINS; j++)
        a[0] = _mm512_add_epi32(a[0], a[j]);
    return (uint64_t)_mm512_reduce_add_epi32(a[0]);
}

#define FP32_OP (2.0 * 16 * CHAINS * LIMITS_STEPS)
#define INT8_OP (2.0 * 64 * CHAINS * LIMITS_STEPS)
const struct limits_ops limits_avx512 = { read_avx512, fp32_avx512, int8_avx512, FP32_OP, INT8_OP };
const struct limits_ops limits_avx512_vnni = { read_avx512, fp32_avx512, int8_vnni, FP32_OP, INT8_OP };
#endif
