/* quantize_fit.h — the search for scales that all quantisers share. Private to this folder.
 *
 * For a scale as it will be stored, the nearest level for every element is optimal, so only scales are searched. Eight
 * candidates are tried at a time, one a lane: each element is read once and meets all eight. Two kinds of pass exist.
 *   sums:  Σq, Σq², Σxq of the levels that a candidate chooses. Least squares over them gives a better scale and, without
 *          another pass, the squared error that it leaves: Σx² - gain. The best lane is the one with the largest gain.
 *   error: the squared error itself, for scales that storing has rounded already.
 * GCC's vector types of four lanes are plain arithmetic (SSE2, NEON, or scalar code); every lane is one chain of IEEE
 * operations in the order written, so all machines make the same blocks.
 *
 * NaN and infinities give some finite level and lose every comparison.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_QUANTIZE_FIT_H
#define ILAB_QUANTIZE_FIT_H

#include "tensor/qtype_impl.h"

#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8 }; /* candidates of one pass */
typedef float vec4 __attribute__((vector_size(16)));
typedef int32_t mask4 __attribute__((vector_size(16)));

/* Levels that are no whole numbers in a row: ascending, as the first one and the steps up, each taken above a midpoint. */
struct levels { int n_step; float first, mid[15], step[15]; };
extern const struct levels IQ4_STEPS, FP4_STEPS;

struct sums { float q[LANES], qq[LANES], xq[LANES]; };

INLINE vec4 splat(float v) {
    return (vec4){ v, v, v, v };
}

INLINE vec4 load4(const float *p) {
    vec4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE vec4 select4(mask4 m, vec4 a, vec4 b) {
    return (vec4)(((mask4)a & m) | ((mask4)b & ~m));
}

/* Nearest whole number, ties to even: adding 1.5·2^23 leaves no fraction bits. */
INLINE vec4 round4(vec4 v) {
    const vec4 magic = splat(0x1.8p23f);
    return (v + magic) - magic;
}

/* Nearest level of v: a whole number in [lo, hi], or one of `steps` when that is not NULL. NaN gives hi, or the first. */
INLINE vec4 nearest4(vec4 v, const struct levels *steps, float lo, float hi) {
    if (!steps) {
        v = select4(v < splat(hi), v, splat(hi));
        return round4(select4(v > splat(lo), v, splat(lo)));
    }
    vec4 y = splat(steps->first);
    for (int k = 0; k < steps->n_step; k++)
        y += (vec4)((mask4)splat(steps->step[k]) & (v > splat(steps->mid[k])));
    return y;
}

/* The same for one element. */
INLINE float level(float v, float lo, float hi) {
    v = v < hi ? v : hi;
    v = v > lo ? v : lo;
    return (v + 0x1.8p23f) - 0x1.8p23f;
}

/* Number of the nearest level. */
INLINE int step_index(float v, const struct levels *steps) {
    int n = 0;
    for (int k = 0; k < steps->n_step; k++)
        n += v > steps->mid[k];
    return n;
}

INLINE float inverse(float d) {
    return d != 0.0f ? 1.0f / d : 0.0f;
}

/* What a scale becomes by being stored as F16; finite whatever comes in. */
INLINE uint16_t scale_bits(float d) {
    d = d < 65504.0f ? d : 65504.0f;
    return f32_to_f16(d > -65504.0f ? d : -65504.0f);
}

INLINE float as_f16(float d) {
    return f16_to_f32(scale_bits(d));
}

/* ---- passes ---- */

/* x ≈ d·q */
INLINE void scale_sums(const float *x, int n, const float d[LANES], const struct levels *steps, float lo, float hi, struct sums *s) {
    float id[LANES];
    for (int l = 0; l < LANES; l++)
        id[l] = inverse(d[l]);
    vec4 id0 = load4(id), id1 = load4(id + 4), qq0 = { 0 }, qq1 = { 0 }, xq0 = { 0 }, xq1 = { 0 };
    for (int i = 0; i < n; i++) {
        vec4 v = splat(x[i]), q0 = nearest4(v * id0, steps, lo, hi), q1 = nearest4(v * id1, steps, lo, hi);
        qq0 += q0 * q0;
        qq1 += q1 * q1;
        xq0 += v * q0;
        xq1 += v * q1;
    }
    memcpy(s->qq, &qq0, sizeof qq0), memcpy(s->qq + 4, &qq1, sizeof qq1);
    memcpy(s->xq, &xq0, sizeof xq0), memcpy(s->xq + 4, &xq1, sizeof xq1);
}

INLINE void scale_errors(const float *x, int n, const float d[LANES], const struct levels *steps, float lo, float hi, float err[LANES]) {
    float id[LANES];
    for (int l = 0; l < LANES; l++)
        id[l] = inverse(d[l]);
    vec4 d0 = load4(d), d1 = load4(d + 4), id0 = load4(id), id1 = load4(id + 4), e0 = { 0 }, e1 = { 0 };
    for (int i = 0; i < n; i++) {
        vec4 v = splat(x[i]), r0 = v - d0 * nearest4(v * id0, steps, lo, hi), r1 = v - d1 * nearest4(v * id1, steps, lo, hi);
        e0 += r0 * r0;
        e1 += r1 * r1;
    }
    memcpy(err, &e0, sizeof e0), memcpy(err + 4, &e1, sizeof e1);
}

/* x ≈ d·q + m, q in 0..hi; sums are of x - shift, which keeps them accurate when all x lie far from 0. */
INLINE void affine_sums(const float *x, int n, const float d[LANES], const float m[LANES], float shift, float hi, struct sums *s) {
    float id[LANES], m_rel[LANES];
    for (int l = 0; l < LANES; l++) {
        id[l] = inverse(d[l]);
        m_rel[l] = m[l] - shift;
    }
    vec4 id0 = load4(id), id1 = load4(id + 4), m0 = load4(m_rel), m1 = load4(m_rel + 4);
    vec4 s0 = { 0 }, s1 = { 0 }, qq0 = { 0 }, qq1 = { 0 }, xq0 = { 0 }, xq1 = { 0 };
    for (int i = 0; i < n; i++) {
        vec4 v = splat(x[i] - shift), q0 = nearest4((v - m0) * id0, NULL, 0, hi), q1 = nearest4((v - m1) * id1, NULL, 0, hi);
        s0 += q0;
        s1 += q1;
        qq0 += q0 * q0;
        qq1 += q1 * q1;
        xq0 += v * q0;
        xq1 += v * q1;
    }
    memcpy(s->q, &s0, sizeof s0), memcpy(s->q + 4, &s1, sizeof s1);
    memcpy(s->qq, &qq0, sizeof qq0), memcpy(s->qq + 4, &qq1, sizeof qq1);
    memcpy(s->xq, &xq0, sizeof xq0), memcpy(s->xq + 4, &xq1, sizeof xq1);
}

INLINE void affine_errors(const float *x, int n, const float d[LANES], const float m[LANES], float hi, float err[LANES]) {
    float id[LANES];
    for (int l = 0; l < LANES; l++)
        id[l] = inverse(d[l]);
    vec4 d0 = load4(d), d1 = load4(d + 4), id0 = load4(id), id1 = load4(id + 4), m0 = load4(m), m1 = load4(m + 4);
    vec4 e0 = { 0 }, e1 = { 0 };
    for (int i = 0; i < n; i++) {
        vec4 v = splat(x[i]);
        vec4 r0 = v - (d0 * nearest4((v - m0) * id0, NULL, 0, hi) + m0), r1 = v - (d1 * nearest4((v - m1) * id1, NULL, 0, hi) + m1);
        e0 += r0 * r0;
        e1 += r1 * r1;
    }
    memcpy(err, &e0, sizeof e0), memcpy(err + 4, &e1, sizeof e1);
}

/* Index of the smallest number; NaN never wins. */
INLINE int least(const float v[LANES]) {
    int best = 0;
    for (int l = 1; l < LANES; l++)
        if (v[l] < v[best] || v[best] != v[best])
            best = l;
    return best;
}

/* ---- fits of one block ---- */

INLINE float extreme_of(const float *x, int n) {
    float extreme = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(extreme))
            extreme = x[i];
    return extreme;
}

/* Scale for x ≈ d·q. The candidates map the extreme element to at[0..n_at), n_at a multiple of LANES; at[0] is the plain
 * choice. */
INLINE float scale_fit(const float *x, int n, const struct levels *steps, float lo, float hi, const float *at, int n_at) {
    float extreme = extreme_of(x, n), best = extreme / at[0], best_gain = 0;
    if (!(fabsf(extreme) < INFINITY))
        return best;
    for (int k = 0; k < n_at; k += LANES) {
        float d[LANES];
        struct sums s;
        for (int l = 0; l < LANES; l++)
            d[l] = extreme / at[k + l];
        scale_sums(x, n, d, steps, lo, hi, &s);
        for (int l = 0; l < LANES; l++) {
            float gain = s.xq[l] * s.xq[l] / s.qq[l];
            if (gain > best_gain) {
                best_gain = gain;
                best = s.xq[l] / s.qq[l];
            }
        }
    }
    return best;
}

/* The same, as stored in F16: of the values around the fit and the plain choice, the one with the least error. */
INLINE float scale_fit_f16(const float *x, int n, const struct levels *steps, float lo, float hi, const float *at, int n_at) {
    static const float around[LANES] = { 1, 0.96f, 0.98f, 0.99f, 1.01f, 1.02f, 1.04f, 0 };
    float fit = scale_fit(x, n, steps, lo, hi, at, n_at), d[LANES], err[LANES];
    for (int l = 0; l < LANES; l++)
        d[l] = as_f16(fit * around[l]);
    d[LANES - 1] = as_f16(extreme_of(x, n) / at[0]);
    scale_errors(x, n, d, steps, lo, hi, err);
    return d[least(err)];
}

/* Least squares of x ≈ d·q + m from lane l of the sums (relative to shift), m at most max_m. Returns the gain. */
INLINE float affine_solve(const struct sums *s, int l, int n, float sum, float shift, float max_m, float *d, float *m) {
    float det = (float)n * s->qq[l] - s->q[l] * s->q[l];
    float dd = ((float)n * s->xq[l] - sum * s->q[l]) / det, mm = (s->qq[l] * sum - s->q[l] * s->xq[l]) / det;
    if (!(det > 0))
        return -1;
    if (mm + shift > max_m) {
        mm = max_m - shift;
        dd = (s->xq[l] - mm * s->q[l]) / s->qq[l];
    }
    *d = dd;
    *m = mm + shift;
    return 2 * (dd * s->xq[l] + mm * sum) - (dd * dd * s->qq[l] + 2 * dd * mm * s->q[l] + (float)n * mm * mm);
}

/* Scale and offset for x ≈ d·q + m, q in 0..hi; max_m bounds the offset from above (0 for types that store -m).
 * rounds: how often the candidates close in. */
INLINE void affine_fit(const float *x, int n, float hi, float max_m, int rounds, float *d_out, float *m_out) {
    float min = INFINITY, max = -INFINITY, sum = 0, best_gain = -1;
    for (int i = 0; i < n; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    min = min < max_m ? min : max_m;
    float range = max - min;
    *d_out = range > 0 ? range / hi : 0;
    *m_out = min;
    if (!(range > 0) || !(range < INFINITY))
        return;
    for (int i = 0; i < n; i++)
        sum += x[i] - min;
    float step = 0.28f, d_at = *d_out, m_at = min;
    for (int r = 0; r < rounds; r++, step *= 0.35f) {
        float d[LANES], m[LANES];
        struct sums s;
        for (int l = 0; l < LANES; l++) {
            d[l] = d_at * hi / (hi + step * ((float)l - 2));
            m[l] = m_at;
        }
        affine_sums(x, n, d, m, min, hi, &s);
        for (int l = 0; l < LANES; l++) {
            float dl = 0, ml = 0, gain = affine_solve(&s, l, n, sum, min, max_m, &dl, &ml);
            if (gain > best_gain) {
                best_gain = gain;
                *d_out = dl;
                *m_out = ml;
            }
        }
        d_at = *d_out;
        m_at = *m_out;
    }
}

#endif
