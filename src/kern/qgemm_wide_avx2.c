/* qgemm_wide_avx2.c — products of 16-bit integers with AVX2: pairs of columns are multiplied and added in one instruction, the sums
 * in another. Three rows of A × the two halves of a panel leave no register unused.  SPDX-License-Identifier: Apache-2.0 */
#include "qgemm_impl.h"

#ifdef __x86_64__
#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
typedef __m256i vi;
typedef __m256 vf;
enum { WIDE_LANES = 8, WIDE_ROWS = 3, WIDE_STEP = 32 };
INLINE vi v_load(const void *p) { return _mm256_load_si256((const __m256i *)p); }
INLINE vi v_zero(void) { return _mm256_setzero_si256(); }
INLINE vi v_set1(int32_t v) { return _mm256_set1_epi32(v); }
INLINE vi v_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
INLINE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void vf_store(float *p, vf v) { _mm256_storeu_ps(p, v); }
INLINE vf vf_zero(void) { return _mm256_setzero_ps(); }
INLINE vf vf_set1(float v) { return _mm256_set1_ps(v); }
INLINE vf vf_of(vi v) { return _mm256_cvtepi32_ps(v); }
INLINE vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vi v_pairs(vi s, vi w, vi a)
{
    s = _mm256_add_epi32(s, _mm256_madd_epi16(w, a));
    __asm__("" : "+x"(s)); /* in the written order: trees of adds have no registers */
    return s;
}
#define WIDE_NAME(n) wide_##n
#include "qgemm_wide_tile_body.h"
WIDE_FN(1) WIDE_FN(2) WIDE_FN(3)

void qgemm_tile_wide_avx2(float *const *c, int load, const struct wact *const *a, int n_row, const struct wtile *t, int n_sub)
{
    static wide_fn *const fn[WIDE_ROWS + 1] = { NULL, wide_1, wide_2, wide_3 };
    QG_EACH_PANEL(WIDE_ROWS, fn[n](part, load, a + i, t + p, n_sub))
}
#endif
