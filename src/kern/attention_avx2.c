/* attention_avx2.c — attention_body.h for AVX2 with FMA and F16C: tiles of up to 6 rows × 2 registers, 1 to 3 rows × 4.
 * SPDX-License-Identifier: Apache-2.0 */
#include "attention_impl.h"

#ifdef __x86_64__
#include "v16_avx2.h"
#include "v16_exp.h"

typedef __m256 vec;
#define VEC 8
#define TILE 6
#define DIRECT 12
#define VECS_FOR(rows) ((rows) <= 3 ? 4 : 2)
static inline int vecs_for(int rows) { return VECS_FOR(rows); }
static inline vec vec_zero(void) { return _mm256_setzero_ps(); }
static inline vec vec_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void vec_store(float *p, vec v) { _mm256_storeu_ps(p, v); }
static inline vec vec_set1(float f) { return _mm256_set1_ps(f); }
static inline vec vec_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
static inline vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec vec_from_f16(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p)); }
static inline vec vec_set1_f16(uint16_t h) { return _mm256_cvtph_ps(_mm_set1_epi16((short)h)); }
static inline vec vec_from_bytes(__m128i b) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(b)); }
typedef __m256i bits;
static inline bits bits_zero(void) { return _mm256_setzero_si256(); }
static inline bits bits_load(const char *p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)); }
static inline bits bits_down(bits b, int n) { return _mm256_srl_epi32(b, _mm_cvtsi32_si128(n)); }
static inline vec vec_from_9(const char *p, bits low)
{
    __m256i q = _mm256_slli_epi32(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)), 1);
    return _mm256_cvtepi32_ps(_mm256_or_si256(q, _mm256_and_si256(low, _mm256_set1_epi32(1))));
}
static inline vec vec_from_9_row(const char *p, const uint8_t *low)
{
    return vec_from_9(p, _mm256_srlv_epi32(_mm256_set1_epi32(*low), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
}
static inline vec vec_from_nibbles(const char *p, int high)
{
    __m128i b = _mm_loadl_epi64((const __m128i *)(const void *)p);
    b = _mm_and_si128(high ? _mm_srli_epi16(b, 4) : b, _mm_set1_epi8(15));
    return vec_from_bytes(_mm_sub_epi8(b, _mm_set1_epi8(8)));
}

#include "attention_body.h"

const struct attn_kern attn_kern_avx2 = { ATTN_BODY_SLOTS };
#endif
