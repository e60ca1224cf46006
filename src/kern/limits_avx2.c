/* limits_avx2.c — the loops of limits.c with AVX2.  SPDX-License-Identifier: Apache-2.0 */
#include "limits_impl.h"

#ifdef __x86_64__
#include <immintrin.h>

enum { CHAINS = 12 };

static uint64_t sum(__m256i v)
{
    __m128i s = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return (uint64_t)_mm_cvtsi128_si64(s) + (uint64_t)_mm_extract_epi64(s, 1);
}

static uint64_t read_avx2(const uint8_t *p, size_t n)
{
    __m256i s[8];
    for (int j = 0; j < 8; j++)
        s[j] = _mm256_setzero_si256();
    for (size_t i = 0; i + 256 <= n; i += 256)
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            if (j % 2 == 0)
                __builtin_prefetch(p + i + 32 * j + LIMITS_AHEAD);
            s[j] = _mm256_xor_si256(s[j], _mm256_loadu_si256((const __m256i *)(const void *)(p + i + 32 * j)));
        }
    for (int j = 1; j < 8; j++)
        s[0] = _mm256_xor_si256(s[0], s[j]);
    return sum(s[0]);
}

static uint64_t fp32_avx2(void)
{
    __m256 a[CHAINS], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
    for (int j = 0; j < CHAINS; j++)
        a[j] = _mm256_set1_ps((float)j);
    for (int i = 0; i < LIMITS_STEPS; i++)
#pragma GCC unroll 12
        for (int j = 0; j < CHAINS; j++)
            a[j] = _mm256_fmadd_ps(a[j], x, y);
    for (int j = 1; j < CHAINS; j++)
        a[0] = _mm256_add_ps(a[0], a[j]);
    return sum(_mm256_castps_si256(a[0]));
}

/* The cheapest exact step: products of pairs added up in 16 bits. */
static uint64_t int8_avx2(void)
{
    __m256i a[CHAINS], x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(5);
    for (int j = 0; j < CHAINS; j++)
        a[j] = _mm256_set1_epi16((short)j);
    for (int i = 0; i < LIMITS_STEPS; i++) {
        __asm__ volatile("" : "+x"(x), "+x"(y));
#pragma GCC unroll 12
        for (int j = 0; j < CHAINS; j++) {
            __m256i v = _mm256_maddubs_epi16(x, y);
            __asm__ volatile("" : "+x"(v));
            a[j] = _mm256_add_epi16(a[j], v);
        }
    }
    for (int j = 1; j < CHAINS; j++)
        a[0] = _mm256_add_epi16(a[0], a[j]);
    return sum(a[0]);
}

const struct limits_ops limits_avx2 = { read_avx2, fp32_avx2, int8_avx2, 2.0 * 8 * CHAINS * LIMITS_STEPS, 2.0 * 32 * CHAINS * LIMITS_STEPS };
#endif
