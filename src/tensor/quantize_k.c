/* quantize_k.c — F32 to super-blocks of 256, whose sub-blocks have scales of a few bits that share a factor in F16.
 *
 * First each sub-block gets the scale that suits it best (quantize_fit.h). The shared factors cover the largest of them.
 * Then alternate: every sub-block takes the best of the storable scales around its own; least squares over all 256
 * elements gives better factors. The best round is written.  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/quantize_fit.h"

enum { MAX_SUB = 16, ROUNDS = 2 };

/* The fields of a super-block before packing: x ≈ d·scale·q - dmin·min, or d·scale·level without min. */
struct super { float d, dmin; int scale[MAX_SUB], min[MAX_SUB]; };

INLINE int clamp_int(float v, int lo, int hi) {
    return (int)level(v, (float)lo, (float)hi);
}

/* Where candidates map the extreme element of a sub-block: the plain choice first. */
static const float AT_6[8] = { -32, -30.8f, -31.3f, -31.7f, -32.4f, -32.8f, -33.3f, -34 };
static const float AT_3[16] = { -4, -3.4f, -3.6f, -3.8f, -4.2f, -4.4f, -4.6f, -4.8f, -5, -5.3f, -5.6f, 2.8f, 3, 3.3f, 3.6f, 4 };
static const float AT_IQ4[16] = { -127, -116, -120, -123, -131, -135, -139, -143, -148, -153, -158, 105, 109, 113, 117, 122 };

/* ---- x ≈ d·scale·q - dmin·min ---- */

/* Of the storable pairs around (scale, min): the best for one sub-block. Returns the squared error. */
INLINE float affine_pick(const float *x, int n, float hi, float d, float dmin, int max, int *scale, int *min) {
    static const int8_t STEP[LANES][2] = { { 0, 0 }, { 0, -1 }, { 0, 1 }, { -1, 0 }, { 1, 0 }, { 1, 1 }, { -1, -1 }, { -1, 1 } };
    float ds[LANES], ms[LANES], err[LANES];
    int s[LANES], m[LANES];
    for (int l = 0; l < LANES; l++) {
        s[l] = *scale + STEP[l][0];
        m[l] = *min + STEP[l][1];
        s[l] = s[l] < 0 ? 0 : s[l] > max ? max : s[l];
        m[l] = m[l] < 0 ? 0 : m[l] > max ? max : m[l];
        ds[l] = d * (float)s[l];
        ms[l] = -(dmin * (float)m[l]);
    }
    affine_errors(x, n, ds, ms, hi, err);
    int best = least(err);
    *scale = s[best];
    *min = m[best];
    return err[best];
}

/* Least-squares (d, dmin) over all sub-blocks, with the levels that the old ones choose. */
INLINE void affine_refit(const float *x, int n_sub, int n, float hi, struct super *b) {
    float aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    for (int j = 0; j < n_sub; j++, x += n) {
        vec4 sq = { 0 }, qq = { 0 }, xq = { 0 }, sx = { 0 };
        float id = inverse(b->d * (float)b->scale[j]), m = -(b->dmin * (float)b->min[j]);
        for (int i = 0; i < n; i += 4) {
            vec4 v = load4(x + i), q = nearest4((v - splat(m)) * splat(id), NULL, 0, hi);
            sq += q;
            qq += q * q;
            xq += v * q;
            sx += v;
        }
        float s = (float)b->scale[j], t = -(float)b->min[j];
        aa += s * s * ((qq[0] + qq[1]) + (qq[2] + qq[3]));
        ab += s * t * ((sq[0] + sq[1]) + (sq[2] + sq[3]));
        bb += t * t * (float)n;
        xa += s * ((xq[0] + xq[1]) + (xq[2] + xq[3]));
        xb += t * ((sx[0] + sx[1]) + (sx[2] + sx[3]));
    }
    float det = aa * bb - ab * ab;
    if (det > 0) {
        b->d = as_f16((xa * bb - xb * ab) / det);
        b->dmin = as_f16((xb * aa - xa * ab) / det);
    } else if (aa > 0) {
        b->d = as_f16(xa / aa);
    }
}

INLINE void affine_super(const float *x, int n_sub, int n, float hi, int max, struct super *out) {
    float s[MAX_SUB] = { 0 }, m[MAX_SUB] = { 0 }, s_max = 0, m_max = 0, best_err = INFINITY;
    for (int j = 0; j < n_sub; j++) {
        affine_fit(x + j * n, n, hi, 0, 2, &s[j], &m[j]);
        s_max = s[j] > s_max ? s[j] : s_max;
        m_max = -m[j] > m_max ? -m[j] : m_max;
    }
    struct super b = { .d = as_f16(s_max / (float)max), .dmin = as_f16(m_max / (float)max) };
    *out = (struct super){ 0 };
    for (int round = 0; round < ROUNDS; round++) {
        float err = 0, id = inverse(b.d), idmin = inverse(b.dmin);
        for (int j = 0; j < n_sub; j++) {
            b.scale[j] = clamp_int(s[j] * id, 0, max);
            b.min[j] = clamp_int(-m[j] * idmin, 0, max);
            err += affine_pick(x + j * n, n, hi, b.d, b.dmin, max, &b.scale[j], &b.min[j]);
        }
        if (err < best_err) {
            best_err = err;
            *out = b;
        }
        if (round + 1 < ROUNDS)
            affine_refit(x, n_sub, n, hi, &b);
        if (!(b.d > 0) || !(b.dmin >= 0))
            break;
    }
}

INLINE void affine_levels(const struct super *b, const float *x, int j, int n, float hi, uint8_t *q) {
    float id = inverse(b->d * (float)b->scale[j]), m = -(b->dmin * (float)b->min[j]);
    for (int i = 0; i < n; i++)
        q[i] = (uint8_t)level((x[j * n + i] - m) * id, 0, hi);
}

/* The inverse of q4_k_scale. */
static void pack_q4_k_scales(uint8_t s[12], const struct super *b) {
    memset(s, 0, 12);
    for (int j = 0; j < 8; j++)
        if (j < 4) {
            s[j] |= (uint8_t)b->scale[j];
            s[j + 4] |= (uint8_t)b->min[j];
        } else {
            s[j + 4] = (uint8_t)((b->scale[j] & 15) | (b->min[j] & 15) << 4);
            s[j - 4] |= (uint8_t)(b->scale[j] >> 4 << 6);
            s[j] |= (uint8_t)(b->min[j] >> 4 << 6);
        }
}

void quantize_q4_k(void *y, const float *x, int64_t n) {
    struct block_q4_k *b = y;
    for (int64_t i = 0; i < n / QK_K; i++, b++, x += QK_K) {
        struct super s;
        uint8_t q[2][32];
        affine_super(x, 8, 32, 15, 63, &s);
        b->d = scale_bits(s.d);
        b->dmin = scale_bits(s.dmin);
        pack_q4_k_scales(b->scales, &s);
        for (int run = 0; run < 4; run++) {
            for (int h = 0; h < 2; h++)
                affine_levels(&s, x, run * 2 + h, 32, 15, q[h]);
            for (int k = 0; k < 32; k++)
                b->q[run * 32 + k] = (uint8_t)(q[0][k] | q[1][k] << 4);
        }
    }
}

void quantize_q5_k(void *y, const float *x, int64_t n) {
    struct block_q5_k *b = y;
    for (int64_t i = 0; i < n / QK_K; i++, b++, x += QK_K) {
        struct super s;
        uint8_t q[2][32];
        affine_super(x, 8, 32, 31, 63, &s);
        b->d = scale_bits(s.d);
        b->dmin = scale_bits(s.dmin);
        pack_q4_k_scales(b->scales, &s);
        memset(b->high, 0, sizeof b->high);
        for (int run = 0; run < 4; run++) {
            for (int h = 0; h < 2; h++)
                affine_levels(&s, x, run * 2 + h, 32, 31, q[h]);
            for (int k = 0; k < 32; k++) {
                b->low[run * 32 + k] = (uint8_t)((q[0][k] & 15) | q[1][k] << 4);
                b->high[k] |= (uint8_t)((q[0][k] >> 4) << (run * 2) | (q[1][k] >> 4) << (run * 2 + 1));
            }
        }
    }
}

void quantize_q2_k(void *y, const float *x, int64_t n) {
    struct block_q2_k *b = y;
    for (int64_t i = 0; i < n / QK_K; i++, b++, x += QK_K) {
        struct super s;
        uint8_t q[16];
        affine_super(x, 16, 16, 3, 15, &s);
        b->d = scale_bits(s.d);
        b->dmin = scale_bits(s.dmin);
        memset(b->q, 0, sizeof b->q);
        for (int j = 0; j < 16; j++) {
            b->scales[j] = (uint8_t)(s.scale[j] | s.min[j] << 4);
            affine_levels(&s, x, j, 16, 3, q);
            for (int k = 0; k < 16; k++)
                b->q[j / 8 * 32 + j % 2 * 16 + k] |= (uint8_t)(q[k] << (j % 8 / 2 * 2));
        }
    }
}

/* ---- x ≈ d·scale·level ---- */

/* at: see scale_fit. Scales lie in lo_scale..-lo_scale-1. */
INLINE void scale_super(const float *x, int n_sub, int n, const struct levels *steps, float lo, float hi, const float *at, int n_at,
                        int lo_scale, struct super *out) {
    float s[MAX_SUB], extreme = 0, best_err = INFINITY;
    for (int j = 0; j < n_sub; j++) {
        s[j] = scale_fit(x + j * n, n, steps, lo, hi, at, n_at);
        if (fabsf(s[j]) > fabsf(extreme))
            extreme = s[j];
    }
    struct super b = { .d = as_f16(extreme / (float)lo_scale) };
    *out = (struct super){ 0 };
    for (int round = 0; round < ROUNDS; round++) {
        float err = 0, id = inverse(b.d), aa = 0, xa = 0;
        for (int j = 0; j < n_sub; j++) {
            float ds[LANES], e[LANES];
            int c[LANES], first = clamp_int(s[j] * id, lo_scale, -lo_scale - 1);
            for (int l = 0; l < LANES; l++) {
                c[l] = first + (l + 1) / 2 * (l % 2 ? 1 : -1); /* 0 1 -1 2 -2 … */
                c[l] = c[l] < lo_scale ? lo_scale : c[l] > -lo_scale - 1 ? -lo_scale - 1 : c[l];
                ds[l] = b.d * (float)c[l];
            }
            scale_errors(x + j * n, n, ds, steps, lo, hi, e);
            int best = least(e);
            b.scale[j] = c[best];
            err += e[best];
        }
        if (err < best_err) {
            best_err = err;
            *out = b;
        }
        if (round + 1 == ROUNDS)
            break;
        for (int j = 0; j < n_sub; j++) { /* least squares for d */
            vec4 qq = { 0 }, xq = { 0 }, inv = splat(inverse(b.d * (float)b.scale[j]));
            for (int i = 0; i < n; i += 4) {
                vec4 v = load4(x + j * n + i), q = nearest4(v * inv, steps, lo, hi);
                qq += q * q;
                xq += v * q;
            }
            aa += (float)b.scale[j] * (float)b.scale[j] * ((qq[0] + qq[1]) + (qq[2] + qq[3]));
            xa += (float)b.scale[j] * ((xq[0] + xq[1]) + (xq[2] + xq[3]));
        }
        if (!(aa > 0))
            break;
        b.d = as_f16(xa / aa);
    }
}

void quantize_q6_k(void *y, const float *x, int64_t n) {
    struct block_q6_k *b = y;
    for (int64_t i = 0; i < n / QK_K; i++, b++, x += QK_K) {
        struct super s;
        scale_super(x, 16, 16, NULL, -32, 31, AT_6, 8, -128, &s);
        b->d = scale_bits(s.d);
        memset(b->low, 0, sizeof b->low);
        memset(b->high, 0, sizeof b->high);
        for (int j = 0; j < 16; j++) {
            int half = j / 8, quarter = j % 8 / 2, first = j % 2 * 16; /* as in dequantize_q6_k */
            uint8_t *low = b->low + half * 64 + quarter % 2 * 32 + first, *high = b->high + half * 32 + first;
            float id = inverse(s.d * (float)s.scale[j]);
            b->scales[j] = (int8_t)s.scale[j];
            for (int k = 0; k < 16; k++) {
                int q = 32 + (int)level(x[j * 16 + k] * id, -32, 31);
                low[k] |= (uint8_t)((q & 15) << (quarter / 2 * 4));
                high[k] |= (uint8_t)(q >> 4 << (quarter * 2));
            }
        }
    }
}

void quantize_q3_k(void *y, const float *x, int64_t n) {
    struct block_q3_k *b = y;
    for (int64_t i = 0; i < n / QK_K; i++, b++, x += QK_K) {
        struct super s;
        scale_super(x, 16, 16, NULL, -4, 3, AT_3, 16, -32, &s);
        memset(b, 0, sizeof *b);
        b->d = scale_bits(s.d);
        for (int j = 0; j < 16; j++) {
            uint8_t *low = b->low + j / 8 * 32 + j % 2 * 16, *high = b->high + j % 2 * 16;
            float id = inverse(s.d * (float)s.scale[j]);
            int stored = s.scale[j] + 32; /* the inverse of q3_k_scale */
            b->scales[j % 8] |= (uint8_t)((stored & 15) << (j / 8 * 4));
            b->scales[8 + j % 4] |= (uint8_t)(stored >> 4 << (j / 4 * 2));
            for (int k = 0; k < 16; k++) {
                int q = 4 + (int)level(x[j * 16 + k] * id, -4, 3);
                low[k] |= (uint8_t)((q & 3) << (j % 8 / 2 * 2));
                high[k] |= (uint8_t)(q >> 2 << (j / 2));
            }
        }
    }
}

void quantize_iq4_xs(void *y, const float *x, int64_t n) {
    struct block_iq4_xs *b = y;
    for (int64_t i = 0; i < n / QK_K; i++, b++, x += QK_K) {
        struct super s;
        scale_super(x, 8, 32, &IQ4_STEPS, 0, 0, AT_IQ4, 16, -32, &s);
        memset(b, 0, sizeof *b);
        b->d = scale_bits(s.d);
        for (int j = 0; j < 8; j++) {
            const float *xs = x + j * 32;
            float id = inverse(s.d * (float)s.scale[j]);
            int stored = s.scale[j] + 32; /* the inverse of iq4_xs_scale */
            b->scales_low[j / 2] |= (uint8_t)((stored & 15) << (j % 2 * 4));
            b->scales_high |= (uint16_t)(stored >> 4 << (j * 2));
            for (int k = 0; k < 16; k++)
                b->q[j * 16 + k] = (uint8_t)(step_index(xs[k] * id, &IQ4_STEPS) | step_index(xs[k + 16] * id, &IQ4_STEPS) << 4);
        }
    }
}
