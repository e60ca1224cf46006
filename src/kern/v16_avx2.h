/* v16_avx2.h — sixteen floats in two AVX2 registers: the operations that kern_body.h, attention_body.h are written in.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_V16_AVX2_H
#define ILAB_V16_AVX2_H

#include <immintrin.h>

typedef struct { __m256 lo, hi; } v16;
static const int32_t LANES[32] = { -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 };
static inline __m256i lanes_lo(int n) { return _mm256_loadu_si256((const __m256i *)(const void *)(LANES + 16 - n)); }
static inline __m256i lanes_hi(int n) { return _mm256_loadu_si256((const __m256i *)(const void *)(LANES + 24 - n)); }
static inline v16 v16_load(const float *p) { return (v16){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) }; }
static inline void v16_store(float *p, v16 v) { _mm256_storeu_ps(p, v.lo); _mm256_storeu_ps(p + 8, v.hi); }
static inline v16 v16_load_n(const float *p, int n)
{
    return (v16){ _mm256_maskload_ps(p, lanes_lo(n)), _mm256_maskload_ps(p + 8, lanes_hi(n)) };
}
static inline void v16_store_n(float *p, v16 v, int n)
{
    _mm256_maskstore_ps(p, lanes_lo(n), v.lo);
    _mm256_maskstore_ps(p + 8, lanes_hi(n), v.hi);
}
static inline v16 v16_first(v16 v, int n)
{
    return (v16){ _mm256_and_ps(v.lo, _mm256_castsi256_ps(lanes_lo(n))), _mm256_and_ps(v.hi, _mm256_castsi256_ps(lanes_hi(n))) };
}
static inline v16 v16_set1(float f) { return (v16){ _mm256_set1_ps(f), _mm256_set1_ps(f) }; }
#define BINARY(name, op) \
    static inline v16 name(v16 a, v16 b) { return (v16){ op(a.lo, b.lo), op(a.hi, b.hi) }; }
BINARY(v16_add, _mm256_add_ps)
BINARY(v16_sub, _mm256_sub_ps)
BINARY(v16_mul, _mm256_mul_ps)
BINARY(v16_div, _mm256_div_ps)
BINARY(v16_max, _mm256_max_ps)
BINARY(v16_min, _mm256_min_ps)
static inline v16 v16_sqrt(v16 a) { return (v16){ _mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi) }; }
static inline v16 v16_neg(v16 a)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){ _mm256_xor_ps(a.lo, sign), _mm256_xor_ps(a.hi, sign) };
}
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    return (v16){ _mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi) };
}
static inline v16 v16_fnma(v16 a, v16 b, v16 c)
{
    return (v16){ _mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi) };
}
static inline __m256 times_pow2(__m256 p, __m256 n)
{
    __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1), bias = _mm256_set1_epi32(127);
    __m256i u1 = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i u2 = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(u1)), _mm256_castsi256_ps(u2));
}
static inline v16 v16_times_pow2(v16 p, v16 n) { return (v16){ times_pow2(p.lo, n.lo), times_pow2(p.hi, n.hi) }; }
/* Complex products of pairs: (x0, x1)·(c ± is). */
static inline __m256 rotate(__m256 x, __m256 cs, int inverse)
{
    __m256 t = _mm256_mul_ps(_mm256_permute_ps(x, 0xB1), _mm256_movehdup_ps(cs)), c = _mm256_moveldup_ps(cs);
    return inverse ? _mm256_fmsubadd_ps(x, c, t) : _mm256_fmaddsub_ps(x, c, t);
}
static inline v16 v16_rotate(v16 x, v16 cs, int inverse)
{
    return (v16){ rotate(x.lo, cs.lo, inverse), rotate(x.hi, cs.hi, inverse) };
}
static inline float v16_sum(v16 v)
{
    __m256 a = _mm256_add_ps(v.lo, v.hi);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_shuffle_ps(b, b, 1)));
}

#endif
