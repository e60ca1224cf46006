/* quantize.c — F32 to blocks, one function a type.
 *
 * The idea: for a scale as it will be stored (already rounded to F16 or to its few bits), taking the nearest level for
 * every element is optimal. So only scales are searched: start from the one that just covers the range, try some a
 * little narrower and wider, refit each by least squares to the levels it chose, and keep what has the smallest
 * squared error as the reader will see it. The plain covering scale is among the candidates, so a block is never
 * worse than the usual rounding. Super-blocks repeat this once more for scales that share a factor.
 *
 * NaN and infinities in the input give some finite block, never undefined behaviour. Unweighted error only: importance
 * matrices are not used.  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/qblocks.h"

#include <math.h>
#include <string.h>

enum { LANES = 8 }; /* partial sums: block lengths are multiples of it */

/* Nearest whole number within [lo, hi], ties to even; NaN gives hi. Adding 1.5·2^23 leaves no fraction bits. */
static inline float level(float v, float lo, float hi) {
    v = v < hi ? v : hi;
    v = v > lo ? v : lo;
    return (v + 0x1.8p23f) - 0x1.8p23f;
}

static inline float inverse(float d) {
    return d != 0.0f ? 1.0f / d : 0.0f;
}

/* What a scale becomes by being stored as F16; finite whatever comes in. */
static uint16_t scale_bits(float d) {
    d = d < 65504.0f ? d : 65504.0f;
    return f32_to_f16(d > -65504.0f ? d : -65504.0f);
}

static float as_f16(float d) {
    return f16_to_f32(scale_bits(d));
}

static float as_f32(float d) {
    return d;
}

static float lane_sum(const float v[LANES]) {
    return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

/* Sums over one block for a given scale: squared error, and what least squares needs. */
struct fit { float err, q, qq, xq; };

/* x ≈ d·q, q in lo..hi */
static struct fit symmetric_try(const float *x, int n, float d, float lo, float hi) {
    float err[LANES] = { 0 }, qq[LANES] = { 0 }, xq[LANES] = { 0 }, id = inverse(d);
    for (int i = 0; i < n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            float v = x[i + l], q = level(v * id, lo, hi), r = v - d * q;
            err[l] += r * r;
            qq[l] += q * q;
            xq[l] += v * q;
        }
    return (struct fit){ .err = lane_sum(err), .qq = lane_sum(qq), .xq = lane_sum(xq) };
}

/* Scale for x ≈ d·q with q in lo..-lo-1; `store` is what storing does to it. */
static float symmetric_fit(const float *x, int n, float lo, float (*store)(float)) {
    float hi = -lo - 1, extreme = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(extreme))
            extreme = x[i];
    if (extreme == 0.0f)
        return 0.0f;
    float best = store(extreme / lo), best_err = symmetric_try(x, n, best, lo, hi).err;
    for (int k = -10; k <= 10; k++) {
        float d = store(extreme / (lo + 0.125f * (float)k));
        struct fit f = symmetric_try(x, n, d, lo, hi);
        for (int refit = 0; refit < 2; refit++) {
            if (f.err < best_err) {
                best = d;
                best_err = f.err;
            }
            if (refit || !(f.qq > 0))
                break;
            d = store(f.xq / f.qq);
            f = symmetric_try(x, n, d, lo, hi);
        }
    }
    return best;
}

/* x ≈ d·q + m, q in 0..hi */
static struct fit affine_try(const float *x, int n, float d, float m, float hi) {
    float err[LANES] = { 0 }, sq[LANES] = { 0 }, qq[LANES] = { 0 }, xq[LANES] = { 0 }, id = inverse(d);
    for (int i = 0; i < n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            float v = x[i + l], q = level((v - m) * id, 0, hi), r = v - (d * q + m);
            err[l] += r * r;
            sq[l] += q;
            qq[l] += q * q;
            xq[l] += v * q;
        }
    return (struct fit){ lane_sum(err), lane_sum(sq), lane_sum(qq), lane_sum(xq) };
}

/* Scale and offset for x ≈ d·q + m; max_m bounds the offset from above (0 for types that store -m). */
static void affine_fit(const float *x, int n, float hi, float max_m, float (*store)(float), float *d_out, float *m_out) {
    float min = INFINITY, max = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
        sum += x[i];
    }
    min = min < max_m ? min : max_m;
    float d0 = (max - min) / hi;
    *d_out = store(d0 > 0 ? d0 : 0);
    *m_out = store(min);
    if (!(d0 > 0) || !(d0 < INFINITY))
        return;
    float best_err = affine_try(x, n, *d_out, *m_out, hi).err;
    for (int k = -10; k <= 10; k++) {
        float d = (max - min) / (hi + 0.125f * (float)k), m = min;
        struct fit f = affine_try(x, n, d, m, hi);
        for (int refit = 0; refit < 2; refit++) {
            float det = (float)n * f.qq - f.q * f.q;
            if (!(det > 0))
                break;
            d = ((float)n * f.xq - sum * f.q) / det;
            m = (f.qq * sum - f.q * f.xq) / det;
            if (m > max_m) {
                m = max_m;
                d = (f.xq - m * f.q) / f.qq;
            }
            d = store(d);
            m = store(m);
            f = affine_try(x, n, d, m, hi);
            if (f.err < best_err) {
                best_err = f.err;
                *d_out = d;
                *m_out = m;
            }
        }
    }
}

/* ---- plain types ---- */

void quantize_f32(void *y, const float *x, int64_t n) {
    memcpy(y, x, (size_t)n * sizeof *x);
}

void quantize_f16(void *y, const float *x, int64_t n) {
    struct block_f16 *b = y;
    for (int64_t i = 0; i < n; i++)
        b[i].v = f32_to_f16(x[i]);
}

void quantize_bf16(void *y, const float *x, int64_t n) {
    struct block_bf16 *b = y;
    for (int64_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &x[i], sizeof u);
        int nan = (u & 0x7fffffffu) > 0x7f800000u;
        b[i].v = (uint16_t)(nan ? u >> 16 | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16);
    }
}

/* Levels ±127: products of kernels that multiply signed bytes stay symmetric. */
void quantize_q8_0(void *y, const float *x, int64_t n) {
    struct block_q8_0 *b = y;
    for (int64_t i = 0; i < n / QK; i++, b++, x += QK) {
        float max = 0;
        for (int j = 0; j < QK; j++)
            max = fabsf(x[j]) > max ? fabsf(x[j]) : max;
        b->d = scale_bits(max / 127.0f);
        float id = inverse(f16_to_f32(b->d));
        for (int j = 0; j < QK; j++)
            b->q[j] = (int8_t)level(x[j] * id, -127, 127);
    }
}

void quantize_q4_0(void *y, const float *x, int64_t n) {
    struct block_q4_0 *b = y;
    for (int64_t i = 0; i < n / QK; i++, b++, x += QK) {
        float d = symmetric_fit(x, QK, -8, as_f16), id = inverse(d);
        b->d = scale_bits(d);
        for (int j = 0; j < QK / 2; j++) {
            int lo = 8 + (int)level(x[j] * id, -8, 7), hi = 8 + (int)level(x[j + QK / 2] * id, -8, 7);
            b->q[j] = (uint8_t)(lo | hi << 4);
        }
    }
}

void quantize_q4_1(void *y, const float *x, int64_t n) {
    struct block_q4_1 *b = y;
    for (int64_t i = 0; i < n / QK; i++, b++, x += QK) {
        float d, m;
        affine_fit(x, QK, 15, INFINITY, as_f16, &d, &m);
        float id = inverse(d);
        b->d = scale_bits(d);
        b->m = scale_bits(m);
        for (int j = 0; j < QK / 2; j++) {
            int lo = (int)level((x[j] - m) * id, 0, 15), hi = (int)level((x[j + QK / 2] - m) * id, 0, 15);
            b->q[j] = (uint8_t)(lo | hi << 4);
        }
    }
}

void quantize_q5_0(void *y, const float *x, int64_t n) {
    struct block_q5_0 *b = y;
    for (int64_t i = 0; i < n / QK; i++, b++, x += QK) {
        float d = symmetric_fit(x, QK, -16, as_f16), id = inverse(d);
        uint32_t high = 0;
        b->d = scale_bits(d);
        for (int j = 0; j < QK / 2; j++) {
            uint32_t lo = (uint32_t)(16 + (int)level(x[j] * id, -16, 15));
            uint32_t hi = (uint32_t)(16 + (int)level(x[j + QK / 2] * id, -16, 15));
            b->q[j] = (uint8_t)((lo & 15) | (hi & 15) << 4);
            high |= lo >> 4 << j | hi >> 4 << (j + 16);
        }
        memcpy(b->high, &high, sizeof high);
    }
}

/* ---- super-blocks ---- */

enum { ROUNDS = 3 }; /* alternations between sub-block scales and the factor they share */

static int clamp_int(float v, int lo, int hi) {
    return (int)level(v, (float)lo, (float)hi);
}

/* Nearest pairs (scale, min) of 6 bits for one sub-block, given the shared factors. Returns the squared error. */
static float q4_k_sub(const float *x, float d, float dmin, int *scale, int *min) {
    int s0 = *scale, m0 = *min;
    float best = INFINITY;
    for (int s = s0 > 0 ? s0 - 1 : 0; s <= s0 + 1 && s < 64; s++)
        for (int m = m0 > 0 ? m0 - 1 : 0; m <= m0 + 1 && m < 64; m++) {
            float err = affine_try(x, 32, d * (float)s, -(dmin * (float)m), 15).err;
            if (err < best) {
                best = err;
                *scale = s;
                *min = m;
            }
        }
    return best;
}

/* Least-squares (d, dmin) for x ≈ d·(scale·q) - dmin·min over all sub-blocks, with the levels that the old ones chose. */
static void q4_k_refit(const float *x, const int scale[8], const int min[8], float *d, float *dmin) {
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    for (int j = 0; j < 8; j++) {
        float m = -(*dmin * (float)min[j]);
        struct fit f = affine_try(x + j * 32, 32, *d * (float)scale[j], m, 15);
        double s = scale[j], t = -min[j], sum = 0;
        for (int i = 0; i < 32; i++)
            sum += x[j * 32 + i];
        aa += s * s * f.qq;
        ab += s * t * f.q;
        bb += t * t * 32;
        xa += s * f.xq;
        xb += t * sum;
    }
    double det = aa * bb - ab * ab;
    if (det > 0) {
        *d = as_f16((float)((xa * bb - xb * ab) / det));
        *dmin = as_f16((float)((xb * aa - xa * ab) / det));
    } else if (aa > 0) {
        *d = as_f16((float)(xa / aa));
    }
}

static void q4_k_write(struct block_q4_k *b, const float *x, const int scale[8], const int min[8], float d, float dmin) {
    b->d = scale_bits(d);
    b->dmin = scale_bits(dmin);
    memset(b->scales, 0, sizeof b->scales);
    memset(b->q, 0, sizeof b->q);
    for (int j = 0; j < 8; j++) {
        if (j < 4) {
            b->scales[j] |= (uint8_t)scale[j];
            b->scales[j + 4] |= (uint8_t)min[j];
        } else {
            b->scales[j + 4] = (uint8_t)((scale[j] & 15) | (min[j] & 15) << 4);
            b->scales[j - 4] |= (uint8_t)(scale[j] >> 4 << 6);
            b->scales[j] |= (uint8_t)(min[j] >> 4 << 6);
        }
        float id = inverse(d * (float)scale[j]), m = -(dmin * (float)min[j]);
        for (int i = 0; i < 32; i++)
            b->q[j / 2 * 32 + i] |= (uint8_t)((int)level((x[j * 32 + i] - m) * id, 0, 15) << (j % 2 * 4));
    }
}

static void q4_k_block(struct block_q4_k *b, const float *x) {
    float s[8], m[8], s_max = 0, m_max = 0, best_err = INFINITY, best_d = 0, best_dmin = 0;
    int best_scale[8] = { 0 }, best_min[8] = { 0 };
    for (int j = 0; j < 8; j++) {
        affine_fit(x + j * 32, 32, 15, 0, as_f32, &s[j], &m[j]);
        s_max = s[j] > s_max ? s[j] : s_max;
        m_max = -m[j] > m_max ? -m[j] : m_max;
    }
    float d = as_f16(s_max / 63), dmin = as_f16(m_max / 63);
    for (int round = 0; round < ROUNDS; round++) {
        int scale[8], min[8];
        float err = 0;
        for (int j = 0; j < 8; j++) {
            scale[j] = clamp_int(s[j] * inverse(d), 0, 63);
            min[j] = clamp_int(-m[j] * inverse(dmin), 0, 63);
            err += q4_k_sub(x + j * 32, d, dmin, &scale[j], &min[j]);
        }
        if (err < best_err) {
            best_err = err;
            best_d = d;
            best_dmin = dmin;
            memcpy(best_scale, scale, sizeof scale);
            memcpy(best_min, min, sizeof min);
        }
        q4_k_refit(x, scale, min, &d, &dmin);
        if (!(d > 0) || !(dmin >= 0))
            break;
    }
    q4_k_write(b, x, best_scale, best_min, best_d, best_dmin);
}

void quantize_q4_k(void *y, const float *x, int64_t n) {
    struct block_q4_k *b = y;
    for (int64_t i = 0; i < n / QK_K; i++)
        q4_k_block(b + i, x + i * QK_K);
}

static void q6_k_write(struct block_q6_k *b, const float *x, const int scale[16], float d) {
    b->d = scale_bits(d);
    memset(b->low, 0, sizeof b->low);
    memset(b->high, 0, sizeof b->high);
    for (int j = 0; j < 16; j++) {
        int half = j / 8, quarter = j % 8 / 2, first = j % 2 * 16; /* as in dequantize_q6_k */
        float id = inverse(d * (float)scale[j]);
        b->scales[j] = (int8_t)scale[j];
        for (int k = 0; k < 16; k++) {
            int q = 32 + (int)level(x[j * 16 + k] * id, -32, 31);
            b->low[half * 64 + quarter % 2 * 32 + first + k] |= (uint8_t)((q & 15) << (quarter / 2 * 4));
            b->high[half * 32 + first + k] |= (uint8_t)(q >> 4 << (quarter * 2));
        }
    }
}

static void q6_k_block(struct block_q6_k *b, const float *x) {
    float s[16], extreme = 0, best_err = INFINITY, best_d = 0;
    int best_scale[16] = { 0 };
    for (int j = 0; j < 16; j++) {
        s[j] = symmetric_fit(x + j * 16, 16, -32, as_f32);
        if (fabsf(s[j]) > fabsf(extreme))
            extreme = s[j];
    }
    float d = as_f16(extreme / -128);
    for (int round = 0; round < ROUNDS; round++) {
        int scale[16];
        float err = 0;
        double aa = 0, xa = 0;
        for (int j = 0; j < 16; j++) {
            int s0 = clamp_int(s[j] * inverse(d), -128, 127);
            struct fit best = { .err = INFINITY };
            scale[j] = s0;
            for (int c = s0 > -128 ? s0 - 1 : s0; c <= s0 + 1 && c < 128; c++) {
                struct fit f = symmetric_try(x + j * 16, 16, d * (float)c, -32, 31);
                if (f.err < best.err) {
                    best = f;
                    scale[j] = c;
                }
            }
            err += best.err;
            aa += (double)scale[j] * scale[j] * best.qq;
            xa += (double)scale[j] * best.xq;
        }
        if (err < best_err) {
            best_err = err;
            best_d = d;
            memcpy(best_scale, scale, sizeof scale);
        }
        if (!(aa > 0))
            break;
        d = as_f16((float)(xa / aa));
    }
    q6_k_write(b, x, best_scale, best_d);
}

void quantize_q6_k(void *y, const float *x, int64_t n) {
    struct block_q6_k *b = y;
    for (int64_t i = 0; i < n / QK_K; i++)
        q6_k_block(b + i, x + i * QK_K);
}
