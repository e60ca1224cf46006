/* v16_avx512.h — sixteen floats in one AVX-512 register: the operations that kern_body.h, attention_body.h are written in.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_V16_AVX512_H
#define ILAB_V16_AVX512_H

#include <immintrin.h>

typedef __m512 v16;
static inline __mmask16 first_lanes(int n) { return (__mmask16)((1u << n) - 1); }
static inline v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v16_store(float *p, v16 v) { _mm512_storeu_ps(p, v); }
static inline v16 v16_load_n(const float *p, int n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
static inline void v16_store_n(float *p, v16 v, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
static inline v16 v16_first(v16 v, int n) { return _mm512_maskz_mov_ps(first_lanes(n), v); }
static inline v16 v16_set1(float f) { return _mm512_set1_ps(f); }
static inline v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
static inline v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
static inline v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
static inline v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
static inline v16 v16_sqrt(v16 a) { return _mm512_sqrt_ps(a); }
static inline v16 v16_neg(v16 a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
static inline v16 v16_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
static inline v16 v16_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }
static inline v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
static inline v16 v16_fnma(v16 a, v16 b, v16 c) { return _mm512_fnmadd_ps(a, b, c); }
static inline v16 v16_times_pow2(v16 p, v16 n) { return _mm512_scalef_ps(p, n); }
/* Complex products of pairs: (x0, x1)·(c ± is). */
static inline v16 v16_rotate(v16 x, v16 cs, int inverse)
{
    v16 t = _mm512_mul_ps(_mm512_permute_ps(x, 0xB1), _mm512_movehdup_ps(cs)), c = _mm512_moveldup_ps(cs);
    return inverse ? _mm512_fmsubadd_ps(x, c, t) : _mm512_fmaddsub_ps(x, c, t);
}
static inline float v16_sum(v16 v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_shuffle_ps(b, b, 1)));
}

#endif
