/* qgemm_avx2.c — quantised products with AVX2: a register holds four bytes of eight rows of W.
 *
 * Bytes are multiplied in pairs to 16 bits (maddubs). Where a type's bytes are small, several steps are added up in 16 bits
 * before they are widened with the sub-block's scale as factor (qkind.steps says how many always fit). Types with the
 * full range of a byte keep them signed and move the sign of the weight to the activation, which always fits.
 * Three rows of A × two registers of W leave no register unused. The second half of the file is for CPUs with AVX-VNNI.
 * SPDX-License-Identifier: Apache-2.0 */
#include "qgemm_impl.h"

#ifdef __x86_64__
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
INLINE __m256i ld(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE __m128i ld128(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE void put(void *p, __m256i v) { _mm256_store_si256((__m256i *)p, v); }

/* ---- rounding of activations ---- */
/* The bits of the largest size: as integers they order as the numbers do, NaN above all. */
INLINE int32_t block_most(const float *x, const int n)
{
    const __m256i abs_mask = _mm256_set1_epi32(0x7fffffff);
    __m256i m = _mm256_setzero_si256();
    for (int i = 0; i < n; i += 8)
        m = _mm256_max_epi32(m, _mm256_and_si256(ld(x + i), abs_mask));
    __m128i h = _mm_max_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
    h = _mm_max_epi32(h, _mm_shuffle_epi32(h, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(h, _mm_shuffle_epi32(h, 0xb1)));
}
INLINE float round_block(int8_t *q, const float *x, const int n)
{
    const int32_t most = block_most(x, n);
    float amax;
    memcpy(&amax, &most, sizeof amax);
    int bad = most > 0x7f7fffff, zero = bad || amax < 1e-30f;
    __m256 inverse = _mm256_set1_ps(zero ? 0.0f : 127.0f / amax);
    for (int i = 0; i < n; i += 32) {
        __m256i v[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            v[j] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8 * j), inverse));
        __m256i b = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
        b = _mm256_permutevar8x32_epi32(b, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256((__m256i *)(void *)(q + i), zero ? _mm256_setzero_si256() : b);
    }
    return bad ? NAN : zero ? 0.0f : amax / 127.0f;
}

void qgemm_quantize_avx2(struct qact *d, const float *x, int n, int super_block)
{
    if (n < QG_CHUNK)
        memset(d, 0, sizeof *d);
    if (super_block)
        d->scale = round_block(d->q, x, QG_CHUNK);
    for (int s = 0; s * QG_SUB < n; s++) {
        int8_t *q = d->q + s * QG_SUB;
        if (!super_block)
            d->u.b.scale[s] = round_block(q, x + s * QG_SUB, QG_SUB);
        /* four sums of 4 for each half of 16 bytes, then their sums */
        __m256i v = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), ld(q)), _mm256_set1_epi16(1));
        __m128i h = _mm_hadd_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
        h = _mm_hadd_epi32(h, h);
        int s0 = _mm_cvtsi128_si32(h), s1 = _mm_extract_epi32(h, 1);
        d->neg32[s] = -8 * (s0 + s1);
        if (!super_block) {
            d->u.b.sum[s] = d->u.b.scale[s] * (float)(s0 + s1);
            continue;
        }
        d->sum32[s] = (int16_t)(s0 + s1);
        d->sum16[2 * s] = (int16_t)s0;
        d->sum16[2 * s + 1] = (int16_t)s1;
        d->u.neg16[2 * s] = -8 * s0;
        d->u.neg16[2 * s + 1] = -8 * s1;
    }
}

void qgemm_round_wide_avx2(struct wact *d, const float *x, int n)
{
    int any = 0;
    if (n < QG_CHUNK)
        memset(d, 0, sizeof *d);
    for (int s = 0; s * QG_SUB < n; s++, x += QG_SUB) {
        const int32_t most = block_most(x, QG_SUB);
        float amax;
        memcpy(&amax, &most, sizeof amax);
        const int bad = !(amax <= WIDE_HUGE);
        amax = bad ? WIDE_HUGE : amax < WIDE_TINY ? WIDE_TINY : amax;
        const __m256 inverse = _mm256_set1_ps(WIDE_MOST / amax);
        for (int h = 0; h < QG_SUB; h += 16) {
            const __m256i lo = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + h), inverse));
            const __m256i v = _mm256_packs_epi32(lo, _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + h + 8), inverse)));
            put(d->q + s * QG_SUB + h, bad ? _mm256_setzero_si256() : _mm256_permute4x64_epi64(v, 0xd8));
        }
        d->scale[s] = amax / WIDE_MOST;
        any |= bad;
    }
    d->bad = any;
}

/* ---- unpacking ---- */
typedef __m256i vi;
enum { VROWS = 8, DW = 4 };
INLINE vi u_set8(char v) { return _mm256_set1_epi8(v); }
INLINE vi u_set32(int32_t v) { return _mm256_set1_epi32(v); }
INLINE vi u_table(const int8_t *p) { return _mm256_broadcastsi128_si256(ld128(p)); }
INLINE vi u_and(vi a, vi b) { return _mm256_and_si256(a, b); }
INLINE vi u_or(vi a, vi b) { return _mm256_or_si256(a, b); }
INLINE vi u_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
INLINE vi u_add8(vi a, vi b) { return _mm256_add_epi8(a, b); }
INLINE vi u_sub8(vi a, vi b) { return _mm256_sub_epi8(a, b); }
INLINE vi u_min8(vi a, vi b) { return _mm256_min_epu8(a, b); }
INLINE vi u_sub32(vi a, vi b) { return _mm256_sub_epi32(a, b); }
INLINE vi u_add32(vi a, vi b) { return _mm256_add_epi32(a, b); }
INLINE vi u_max32(vi a, vi b) { return _mm256_max_epi32(a, b); }
INLINE vi u_min32(vi a, vi b) { return _mm256_min_epi32(a, b); }
INLINE vi u_shl16(vi a, int n) { return _mm256_slli_epi16(a, n); }
INLINE vi u_shr16(vi a, int n) { return _mm256_srli_epi16(a, n); }
INLINE vi u_shl32(vi a, int n) { return _mm256_slli_epi32(a, n); }
INLINE vi u_shr32(vi a, int n) { return _mm256_srli_epi32(a, n); }
INLINE vi u_sar32(vi a, int n) { return _mm256_srai_epi32(a, n); }
INLINE vi u_lookup(vi table, vi index) { return _mm256_shuffle_epi8(table, index); }
/* Byte k of every dword in all its bytes. */
INLINE vi u_spread_byte(vi a, int k)
{
    const __m128i first = _mm_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c);
    return _mm256_shuffle_epi8(a, _mm256_add_epi32(_mm256_broadcastsi128_si256(first), _mm256_set1_epi32(k * 0x01010101)));
}
/* 16 bytes of each row: lane L of t[j] is row 4L + j. */
INLINE void load_pieces(vi t[4], const uint8_t *src, int64_t row)
{
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        t[j] = _mm256_inserti128_si256(_mm256_castsi128_si256(ld128(src + j * row)), ld128(src + (j + 4) * row), 1);
}
/* 16 bytes of each of eight rows → r[k] = dword k of the rows */
INLINE void load4(vi r[4], const uint8_t *src, int64_t row)
{
    vi t[4];
    load_pieces(t, src, row);
    vi a = _mm256_unpacklo_epi32(t[0], t[1]), b = _mm256_unpackhi_epi32(t[0], t[1]);
    vi c = _mm256_unpacklo_epi32(t[2], t[3]), d = _mm256_unpackhi_epi32(t[2], t[3]);
    r[0] = _mm256_unpacklo_epi64(a, c);
    r[1] = _mm256_unpackhi_epi64(a, c);
    r[2] = _mm256_unpacklo_epi64(b, d);
    r[3] = _mm256_unpackhi_epi64(b, d);
}
INLINE void load_dw(vi r[DW], const uint8_t *src, int64_t row) { load4(r, src, row); }
/* Only dword 0. */
INLINE vi load1(const uint8_t *src, int64_t row)
{
    vi t[4];
    load_pieces(t, src, row);
    return _mm256_unpacklo_epi64(_mm256_unpacklo_epi32(t[0], t[1]), _mm256_unpacklo_epi32(t[2], t[3]));
}
/* The low half of every dword as a float. */
INLINE void put_low_halves(float *dst, vi v)
{
    v = _mm256_and_si256(v, _mm256_set1_epi32(0xffff));
    _mm256_store_ps(dst, _mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1))));
}
#include "qgemm_unpack_body.h"
UNPACK_FULL(, 0)

/* ---- 16-bit floats as integers ---- */
INLINE vi u_max16(vi a, vi b) { return _mm256_max_epi16(a, b); }
INLINE vi u_min16(vi a, vi b) { return _mm256_min_epi16(a, b); }
INLINE vi u_sub16(vi a, vi b) { return _mm256_sub_epi16(a, b); }
INLINE vi u_sar16(vi a, int n) { return _mm256_srai_epi16(a, n); }
INLINE vi u_mulhrs(vi a, vi b) { return _mm256_mulhrs_epi16(a, b); }
/* No shift by lane at this level: each byte is looked up. Those of a table of 0x80 >> i, and 0 beyond, where saturation has set bit 7. */
INLINE vi w_power(vi d)
{
    const __m128i table = _mm_setr_epi8((char)0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    const vi at = _mm256_adds_epu8(u_or(d, u_shl16(d, 8)), _mm256_set1_epi16(0x726a));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), at);
}
INLINE vi u_load(const void *p) { return _mm256_load_si256((const __m256i *)p); }
#include "qgemm_wide_body.h"

/* ---- tiles and floats ---- */
typedef __m256 vf;
INLINE vf f_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void f_store(float *p, vf v) { _mm256_storeu_ps(p, v); }
INLINE vf f_set1(float v) { return _mm256_set1_ps(v); }
INLINE vf f_of(vi v) { return _mm256_cvtepi32_ps(v); }
INLINE vf f_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
INLINE vf f_div(vf a, vf b) { return _mm256_div_ps(a, b); }
INLINE vf f_add(vf a, vf b) { return _mm256_add_ps(a, b); }
INLINE vf f_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
/* Sizes compare as integers, NaN above all. Eight columns are reduced together: each step halves the registers. */
INLINE void columns_most(float most[KERN_PANEL], const float *v0, const float *v1)
{
    const vi size = _mm256_set1_epi32(0x7fffffff);
    for (int half = 0; half < 2; half++, v0 += 128, v1 += 128) {
        vi m[8], a[4], b[2];
#pragma GCC unroll 8
        for (int c = 0; c < 8; c++) {
            vi lo = u_max32(u_and(ld(v0 + 16 * c), size), u_and(ld(v0 + 16 * c + 8), size));
            m[c] = u_max32(lo, u_max32(u_and(ld(v1 + 16 * c), size), u_and(ld(v1 + 16 * c + 8), size)));
        }
        UNROLL4(c) a[c] = u_max32(_mm256_unpacklo_epi32(m[2 * c], m[2 * c + 1]), _mm256_unpackhi_epi32(m[2 * c], m[2 * c + 1]));
        for (int c = 0; c < 2; c++)
            b[c] = u_max32(_mm256_unpacklo_epi64(a[2 * c], a[2 * c + 1]), _mm256_unpackhi_epi64(a[2 * c], a[2 * c + 1]));
        put(most + 8 * half, u_max32(_mm256_permute2x128_si256(b[0], b[1], 0x20), _mm256_permute2x128_si256(b[0], b[1], 0x31)));
    }
}
INLINE void round_row(uint8_t q[QG_SUB], const float *v0, const float *v1, float inverse)
{
    const vf by = f_set1(inverse);
    vi i[4] = { _mm256_cvtps_epi32(f_mul(f_load(v0), by)), _mm256_cvtps_epi32(f_mul(f_load(v0 + 8), by)),
                _mm256_cvtps_epi32(f_mul(f_load(v1), by)), _mm256_cvtps_epi32(f_mul(f_load(v1 + 8), by)) };
    vi b = _mm256_packs_epi16(_mm256_packs_epi32(i[0], i[1]), _mm256_packs_epi32(i[2], i[3]));
    put(q, _mm256_permutevar8x32_epi32(b, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}
#include "qvalues_body.h"
static void values_avx2(float *v, const struct qtile *t, const struct qkind *k, int n_sub) { tile_values(v, t, k, n_sub, 1); }
static void round_avx2(struct qtile *t, int n_panel, int s, const float *const v[2]) { round_columns(t, n_panel, s, v, 1); }

INLINE void interleave(struct qtile *t, const struct qrow *rows, const struct qkind *k, const int keep_signed)
{
    const __m256i flip = _mm256_set1_epi8(keep_signed && k->steps == 0 ? (char)0x80 : 0);
    for (int half = 0; half < 2; half++)
        for (int b = 0; b < 16; b++) {
            __m256i r[4];
            load4(r, rows[8 * half].q + 16 * b, sizeof *rows);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                put(t->q[4 * b + i][8 * half], _mm256_xor_si256(r[i], flip));
        }
    qtile_scales(t, rows, k);
}
static void interleave_avx2(struct qtile *t, const struct qrow *rows, const struct qkind *k) { interleave(t, rows, k, 1); }

/* ---- the product by pairs ---- */
enum { MR = 3 };
#define ROWS _Pragma("GCC unroll 3") for (int m = 0; m < n; m++)
#define HALVES _Pragma("GCC unroll 2") for (int h = 0; h < 2; h++)

INLINE __m256i spread(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}
/* Keeps the compiler from adding up in another order, which would cost more registers than there are. */
#define KEEP(v) __asm__("" : "+x"(v))
INLINE __m256i tile_ld(const void *array, int half) { return _mm256_load_si256((const __m256i *)array + half); }

/* sum[m][h] += factor[h] · (one sub-block of `steps` · 4 columns from byte k on); the factors are pairs of 16 bits */
INLINE void pair_dots(__m256i sum[MR][2], const __m256i factor[2], const struct qact *const *a, const struct qtile *t, int k, const int steps,
                      const int group, const int n)
{
    if (group == 0) { /* signed weights */
#pragma GCC unroll 8
        for (int i = 0; i < steps; i++)
            HALVES {
                __m256i w = tile_ld(t->q[k / 4 + i], h), size = _mm256_abs_epi8(w);
                ROWS {
                    __m256i b = _mm256_sign_epi8(spread(a[m]->q + k + 4 * i), w);
                    sum[m][h] = _mm256_add_epi32(sum[m][h], _mm256_madd_epi16(_mm256_maddubs_epi16(size, b), factor[h]));
                    KEEP(sum[m][h]);
                }
            }
        return;
    }
#pragma GCC unroll 4
    for (int g = 0; g < steps; g += group) {
        __m256i acc[MR][2];
#pragma GCC unroll 8
        for (int i = g; i < g + group; i++) {
            __m256i w[2] = { tile_ld(t->q[k / 4 + i], 0), tile_ld(t->q[k / 4 + i], 1) };
            ROWS {
                __m256i b = spread(a[m]->q + k + 4 * i);
                HALVES {
                    __m256i v = _mm256_maddubs_epi16(w[h], b);
                    acc[m][h] = i == g ? v : _mm256_add_epi16(acc[m][h], v);
                    KEEP(acc[m][h]);
                }
            }
        }
        ROWS HALVES {
            sum[m][h] = _mm256_add_epi32(sum[m][h], _mm256_madd_epi16(acc[m][h], factor[h]));
            KEEP(sum[m][h]);
        }
    }
}

INLINE void pair_super(float *const *c, int load, const struct qact *const *a, const struct qtile *t, int shift, const int n, const int sub,
                       const int with_min, const int group)
{
    __m256i sum[MR][2], low[MR][2], factor[2];
    const __m128i count = _mm_cvtsi32_si128(shift + 3);
    ROWS HALVES sum[m][h] = low[m][h] = _mm256_setzero_si256();
    for (int s = 0; s < QG_CHUNK / sub; s++) {
        HALVES {
            __m256i v = tile_ld(t->scale.i[s], h);
            factor[h] = _mm256_blend_epi16(v, _mm256_slli_epi32(v, 16), 0xaa);
        }
        pair_dots(sum, factor, a, t, s * sub, sub / 4, group, n);
    }
    if (with_min || group > 0) { /* minima, or the scales, which make what the offset has added */
        for (int s = 0; s < QG_CHUNK / sub / 2; s++)
            HALVES {
                __m256i v = tile_ld(t->pair[s], h);
                ROWS low[m][h] = _mm256_add_epi32(low[m][h], _mm256_madd_epi16(v, spread(sub == 16 ? &a[m]->sum16[2 * s] : &a[m]->sum32[2 * s])));
            }
        if (!with_min)
            ROWS HALVES sum[m][h] = _mm256_sub_epi32(sum[m][h], _mm256_sll_epi32(low[m][h], count));
    }
    ROWS HALVES {
        __m256 scale = _mm256_set1_ps(a[m]->scale), acc = load ? _mm256_loadu_ps(c[m] + 8 * h) : _mm256_setzero_ps();
        acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[m][h]), _mm256_mul_ps(_mm256_load_ps(t->d + 8 * h), scale), acc);
        if (with_min)
            acc = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(low[m][h]), _mm256_mul_ps(_mm256_load_ps(t->dmin + 8 * h), scale), acc);
        _mm256_storeu_ps(c[m] + 8 * h, acc);
    }
}

INLINE void pair_block(float *const *c, int load, const struct qact *const *a, const struct qtile *t, int shift, int n_sub, const int n,
                       const int with_min, const int group)
{
    __m256 acc[MR][2];
    const __m256i ones[2] = { _mm256_set1_epi16(1), _mm256_set1_epi16(1) };
    const __m128i count = _mm_cvtsi32_si128(shift);
    ROWS HALVES acc[m][h] = load ? _mm256_loadu_ps(c[m] + 8 * h) : _mm256_setzero_ps();
    for (int s = 0; s < n_sub; s++) {
        __m256i sum[MR][2];
        ROWS HALVES sum[m][h] = with_min || group == 0 ? _mm256_setzero_si256() : _mm256_sll_epi32(spread(&a[m]->neg32[s]), count);
        pair_dots(sum, ones, a, t, s * QG_SUB, QG_SUB / 4, group, n);
        ROWS HALVES {
            __m256 d = _mm256_mul_ps(_mm256_load_ps(t->scale.f.d[s] + 8 * h), _mm256_set1_ps(a[m]->u.b.scale[s]));
            acc[m][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[m][h]), d, acc[m][h]);
            if (with_min)
                acc[m][h] = _mm256_fmadd_ps(_mm256_load_ps(t->scale.f.m[s] + 8 * h), _mm256_set1_ps(a[m]->u.b.sum[s]), acc[m][h]);
        }
    }
    ROWS HALVES _mm256_storeu_ps(c[m] + 8 * h, acc[m][h]);
}

typedef void pair_fn(float *const *c, int load, const struct qact *const *a, const struct qtile *t, int shift, int n_sub);
#define PAIR_FN(name, n, call) \
    static void name##_##n(float *const *c, int load, const struct qact *const *a, const struct qtile *t, int shift, int n_sub) \
    { (void)n_sub; call; }
#define PAIR_FNS(name, body) PAIR_FN(name, 1, body(1)) PAIR_FN(name, 2, body(2)) PAIR_FN(name, 3, body(3))
#define SUPER32_MIN_8(n) pair_super(c, load, a, t, shift, n, 32, 1, 8)
#define SUPER32_MIN_4(n) pair_super(c, load, a, t, shift, n, 32, 1, 4)
#define SUPER32_8(n) pair_super(c, load, a, t, shift, n, 32, 0, 8)
#define SUPER32_0(n) pair_super(c, load, a, t, shift, n, 32, 0, 0)
#define SUPER16_MIN_4(n) pair_super(c, load, a, t, shift, n, 16, 1, 4)
#define SUPER16_4(n) pair_super(c, load, a, t, shift, n, 16, 0, 4)
#define SUPER16_2(n) pair_super(c, load, a, t, shift, n, 16, 0, 2)
#define BLOCK_MIN_8(n) pair_block(c, load, a, t, shift, n_sub, n, 1, 8)
#define BLOCK_MIN_4(n) pair_block(c, load, a, t, shift, n_sub, n, 1, 4)
#define BLOCK_8(n) pair_block(c, load, a, t, shift, n_sub, n, 0, 8)
#define BLOCK_4(n) pair_block(c, load, a, t, shift, n_sub, n, 0, 4)
#define BLOCK_0(n) pair_block(c, load, a, t, shift, n_sub, n, 0, 0)
PAIR_FNS(super32_min_8, SUPER32_MIN_8) PAIR_FNS(super32_min_4, SUPER32_MIN_4) PAIR_FNS(super32_8, SUPER32_8) PAIR_FNS(super32_0, SUPER32_0)
PAIR_FNS(super16_min_4, SUPER16_MIN_4) PAIR_FNS(super16_4, SUPER16_4) PAIR_FNS(super16_2, SUPER16_2)
PAIR_FNS(block_min_8, BLOCK_MIN_8) PAIR_FNS(block_min_4, BLOCK_MIN_4) PAIR_FNS(block_8, BLOCK_8) PAIR_FNS(block_4, BLOCK_4) PAIR_FNS(block_0, BLOCK_0)
#define PAIR_ENTRY(name) { NULL, name##_1, name##_2, name##_3 }
static pair_fn *const PAIRS[QF_COUNT][9][MR + 1] = { /* by family and qkind.steps */
    [QF_SUPER32_MIN] = { [8] = PAIR_ENTRY(super32_min_8), [4] = PAIR_ENTRY(super32_min_4) },
    [QF_SUPER32] = { [8] = PAIR_ENTRY(super32_8), [0] = PAIR_ENTRY(super32_0) },
    [QF_SUPER16_MIN] = { [4] = PAIR_ENTRY(super16_min_4) },
    [QF_SUPER16] = { [4] = PAIR_ENTRY(super16_4), [2] = PAIR_ENTRY(super16_2) },
    [QF_BLOCK_MIN] = { [8] = PAIR_ENTRY(block_min_8), [4] = PAIR_ENTRY(block_min_4) },
    [QF_BLOCK] = { [8] = PAIR_ENTRY(block_8), [4] = PAIR_ENTRY(block_4), [0] = PAIR_ENTRY(block_0) },
};

static void tile_avx2(float *const *c, int load, const struct qact *const *a, int n_row, const struct qtile *t, int n_sub, const struct qkind *k)
{
    pair_fn *const *fn = PAIRS[k->family][k->steps];
    QG_EACH_PANEL(MR, fn[n](part, load, a + i, t + p, k->shift, n_sub))
}

const struct qgemm_ops qgemm_avx2 = {
    .quantize = qgemm_quantize_avx2, .interleave = interleave_avx2, .tile = tile_avx2,
    .values = values_avx2, .round = round_avx2, .unpack = UNPACK_TABLE(),
    .round_wide = qgemm_round_wide_avx2, .unpack_wide = unpack_wide_level, .tile_wide = qgemm_tile_wide_avx2,
};

/* ---- with AVX-VNNI ---- */
#undef ROWS
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avxvnni"))), apply_to = function)
#else
#pragma GCC target("avxvnni")
#endif
enum { LANES = 8, LANE_ROWS = MR, PART_STEP = 32 };
INLINE vi v_load(const void *p) { return _mm256_load_si256((const __m256i *)p); }
INLINE vi v_zero(void) { return _mm256_setzero_si256(); }
INLINE vi v_set1(int32_t v) { return _mm256_set1_epi32(v); }
INLINE vi v_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
INLINE vi v_mul(vi a, vi b) { return _mm256_mullo_epi32(a, b); }
INLINE vi v_shift(vi a, int n) { return _mm256_sll_epi32(a, _mm_cvtsi32_si128(n)); }
INLINE vi v_dpbusd(vi s, vi a, vi b) { return _mm256_dpbusd_avx_epi32(s, a, b); }
INLINE vi v_dpwssd(vi s, vi a, vi b) { return _mm256_dpwssd_avx_epi32(s, a, b); }
INLINE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void vf_store(float *p, vf v) { _mm256_storeu_ps(p, v); }
INLINE vf vf_zero(void) { return _mm256_setzero_ps(); }
INLINE vf vf_set1(float v) { return _mm256_set1_ps(v); }
INLINE vf vf_of(vi v) { return _mm256_cvtepi32_ps(v); }
INLINE vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
INLINE vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf vf_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
#define spread vnni_spread
#include "qgemm_vnni_body.h"

FAMILIES(1) FAMILIES(2) FAMILIES(3)
#define ENTRY(family) tile_##family##_1, tile_##family##_2, tile_##family##_3
static tile_fn *const TILES[QF_COUNT][LANE_ROWS + 1] = TABLE_OF_TILES(ENTRY);

static void tile_vnni(float *const *c, int load, const struct qact *const *a, int n_row, const struct qtile *t, int n_sub, const struct qkind *k)
{
    QG_EACH_PANEL(LANE_ROWS, TILES[k->family][n](part, load, a + i, t + p, k->shift, n_sub))
}
UNPACK_FULL(_offset, 1)
static void interleave_offset(struct qtile *t, const struct qrow *rows, const struct qkind *k) { interleave(t, rows, k, 0); }

static void values_offset(float *v, const struct qtile *t, const struct qkind *k, int n_sub) { tile_values(v, t, k, n_sub, 0); }
static void round_offset(struct qtile *t, int n_panel, int s, const float *const v[2]) { round_columns(t, n_panel, s, v, 0); }

enum { WIDE_LANES = LANES, WIDE_ROWS = MR, WIDE_STEP = PART_STEP };
INLINE vi v_pairs(vi s, vi w, vi a) { return _mm256_dpwssd_avx_epi32(s, w, a); }
#define WIDE_NAME(n) wide_##n
#include "qgemm_wide_tile_body.h"
WIDE_FN(1) WIDE_FN(2) WIDE_FN(3)
static void tile_wide_vnni(float *const *c, int load, const struct wact *const *a, int n_row, const struct wtile *t, int n_sub)
{
    static wide_fn *const fn[WIDE_ROWS + 1] = { NULL, wide_1, wide_2, wide_3 };
    QG_EACH_PANEL(WIDE_ROWS, fn[n](part, load, a + i, t + p, n_sub))
}

const struct qgemm_ops qgemm_avx2_vnni = {
    .quantize = qgemm_quantize_avx2, .interleave = interleave_offset, .tile = tile_vnni, .values = values_offset, .round = round_offset,
    .unpack = UNPACK_TABLE(_offset),
    .round_wide = qgemm_round_wide_avx2, .unpack_wide = unpack_wide_level, .tile_wide = tile_wide_vnni,
};
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
