/* attention_avx512.c — attention_body.h for AVX-512 (F BW DQ VL): tiles of up to 12 rows × 2 registers, 1 or 2 rows × 4.
 * SPDX-License-Identifier: Apache-2.0 */
#include "attention_impl.h"

#ifdef __x86_64__
#include "v16_avx512.h"
#include "v16_exp.h"

typedef __m512 vec;
#define VEC 16
#define TILE 12
#define DIRECT 12
#define VECS_FOR(rows) ((rows) <= 6 ? 4 : 2)
static inline int vecs_for(int rows) { return VECS_FOR(rows); }
static inline vec vec_zero(void) { return _mm512_setzero_ps(); }
static inline vec vec_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vec_store(float *p, vec v) { _mm512_storeu_ps(p, v); }
static inline vec vec_set1(float f) { return _mm512_set1_ps(f); }
static inline vec vec_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
static inline vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline vec vec_from_f16(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p)); }
static inline vec vec_set1_f16(uint16_t h) { return _mm512_cvtph_ps(_mm256_set1_epi16((short)h)); }
static inline vec vec_from_bytes(__m128i b) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(b)); }
typedef __m128i bits;
static inline bits bits_zero(void) { return _mm_setzero_si128(); }
static inline bits bits_load(const char *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
static inline bits bits_down(bits b, int n) { return _mm_srl_epi16(b, _mm_cvtsi32_si128(n)); }
static inline vec twice_plus(const char *p, __mmask16 low)
{
    __m512i q = _mm512_slli_epi32(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)), 1);
    return _mm512_cvtepi32_ps(_mm512_mask_or_epi32(q, low, q, _mm512_set1_epi32(1)));
}
static inline vec vec_from_9(const char *p, bits low) { return twice_plus(p, _mm_test_epi8_mask(low, _mm_set1_epi8(1))); }
static inline vec vec_from_9_row(const char *p, const uint8_t *low) { return twice_plus(p, (__mmask16)(low[0] | low[1] << 8)); }
static inline vec vec_from_nibbles(const char *p, int high)
{
    __m128i b = _mm_loadu_si128((const __m128i *)(const void *)p);
    b = _mm_and_si128(high ? _mm_srli_epi16(b, 4) : b, _mm_set1_epi8(15));
    return vec_from_bytes(_mm_sub_epi8(b, _mm_set1_epi8(8)));
}

#include "attention_body.h"

const struct attn_kern attn_kern_avx512 = { ATTN_BODY_SLOTS };
#endif
