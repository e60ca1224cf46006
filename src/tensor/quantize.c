/* quantize.c — F32 to blocks: plain numbers, blocks of 32, ternary blocks; super-blocks are in quantize_k.c.
 *
 * How scales are found stands in quantize_fit.h. The plain choice (the scale that just covers the range) is among the
 * candidates, so a block is never worse than the usual rounding. NaN and infinities in the input give some finite
 * block, never undefined behaviour. Unweighted error only: importance matrices are not used.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tensor/quantize_fit.h"

/* Midpoints and differences of IQ4_LEVEL and of MXFP4_LEVEL in ascending order. */
const struct levels IQ4_STEPS = {
    15, -127,
    { -115.5f, -93.5f, -74, -57, -42, -28.5f, -16, -4.5f, 7, 19, 31.5f, 45.5f, 61, 79, 101 },
    { 23, 21, 18, 16, 14, 13, 12, 11, 12, 12, 13, 15, 16, 20, 24 },
};
const struct levels FP4_STEPS = {
    14, -12,
    { -10, -7, -5, -3.5f, -2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f, 3.5f, 5, 7, 10 },
    { 4, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 4 },
};

/* Where candidates map the extreme element: the plain choice first. */
static const float AT_4[16] = { -8, -7.2f, -7.5f, -7.75f, -8.25f, -8.5f, -8.75f, -9, -9.25f, -9.5f, -9.75f, -10, -10.4f, 7, 7.5f, 8 };
static const float AT_5[16] = { -16, -15.3f, -15.6f, -16.3f, -16.6f, -17, -17.4f, -17.8f, -18.2f, -18.6f, -19, -19.5f, -20, 15, 15.5f, 16 };
static const float AT_IQ4[16] = { -127, -116, -120, -123, -131, -135, -139, -143, -148, -153, -158, 105, 109, 113, 117, 122 };
static const float AT_3[16] = { 1, 1.1f, 1.2f, 1.3f, 1.4f, 1.5f, 1.6f, 1.7f, 1.8f, 1.9f, 2, 2.2f, 2.4f, 2.7f, 3, 3.5f };

/* ---- plain numbers ---- */

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

/* ---- blocks of 32 ---- */

/* Levels ±127: products of kernels that multiply signed bytes stay symmetric. */
void quantize_q8_0(void *y, const float *x, int64_t n) {
    struct block_q8_0 *b = y;
    for (int64_t i = 0; i < n / QK; i++, b++, x += QK) {
        float max = fabsf(extreme_of(x, QK));
        b->d = scale_bits(max / 127.0f);
        float id = inverse(f16_to_f32(b->d));
        for (int j = 0; j < QK; j++)
            b->q[j] = (int8_t)level(x[j] * id, -127, 127);
    }
}

/* Packs 32 numbers below 16, element i with i + 16; bit 4 of them, where there is one, goes to *high. */
static void pack_nibbles(uint8_t q[QK / 2], uint8_t high[4], const uint8_t v[QK]) {
    uint32_t bits = 0;
    for (int j = 0; j < QK / 2; j++) {
        q[j] = (uint8_t)((v[j] & 15) | v[j + QK / 2] << 4);
        bits |= (uint32_t)(v[j] >> 4) << j | (uint32_t)(v[j + QK / 2] >> 4) << (j + QK / 2);
    }
    if (high)
        memcpy(high, &bits, sizeof bits);
}

void quantize_q4_0(void *y, const float *x, int64_t n) {
    struct block_q4_0 *b = y;
    for (int64_t i = 0; i < n / QK; i++, b++, x += QK) {
        float d = scale_fit_f16(x, QK, NULL, -8, 7, AT_4, 16), id = inverse(d);
        uint8_t v[QK];
        for (int j = 0; j < QK; j++)
            v[j] = (uint8_t)(8 + (int)level(x[j] * id, -8, 7));
        b->d = scale_bits(d);
        pack_nibbles(b->q, NULL, v);
    }
}

void quantize_q5_0(void *y, const float *x, int64_t n) {
    struct block_q5_0 *b = y;
    for (int64_t i = 0; i < n / QK; i++, b++, x += QK) {
        float d = scale_fit_f16(x, QK, NULL, -16, 15, AT_5, 16), id = inverse(d);
        uint8_t v[QK];
        for (int j = 0; j < QK; j++)
            v[j] = (uint8_t)(16 + (int)level(x[j] * id, -16, 15));
        b->d = scale_bits(d);
        pack_nibbles(b->q, b->high, v);
    }
}

/* Scale, offset (both as stored) and levels of x ≈ d·q + m. */
INLINE void affine_block(const float *x, float hi, float *d, float *m, uint8_t v[QK]) {
    float fit_d = 0, fit_m = 0, min = INFINITY, max = -INFINITY, ds[LANES], ms[LANES], err[LANES];
    affine_fit(x, QK, hi, INFINITY, 2, &fit_d, &fit_m);
    for (int i = 0; i < QK; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    for (int l = 0; l < LANES; l++) { /* the middle of the levels stays where it is */
        float f = 1 + 0.006f * (float)(l - 3);
        ds[l] = as_f16(l < LANES - 1 ? fit_d * f : (max - min) / hi);
        ms[l] = as_f16(l < LANES - 1 ? fit_m + fit_d * (1 - f) * hi / 2 : min);
    }
    affine_errors(x, QK, ds, ms, hi, err);
    int best = least(err);
    *d = ds[best];
    *m = ms[best];
    float id = inverse(*d);
    for (int j = 0; j < QK; j++)
        v[j] = (uint8_t)level((x[j] - *m) * id, 0, hi);
}

void quantize_q4_1(void *y, const float *x, int64_t n) {
    struct block_q4_1 *b = y;
    for (int64_t i = 0; i < n / QK; i++, b++, x += QK) {
        float d, m;
        uint8_t v[QK];
        affine_block(x, 15, &d, &m, v);
        b->d = scale_bits(d);
        b->m = scale_bits(m);
        pack_nibbles(b->q, NULL, v);
    }
}

void quantize_q5_1(void *y, const float *x, int64_t n) {
    struct block_q5_1 *b = y;
    for (int64_t i = 0; i < n / QK; i++, b++, x += QK) {
        float d, m;
        uint8_t v[QK];
        affine_block(x, 31, &d, &m, v);
        b->d = scale_bits(d);
        b->m = scale_bits(m);
        pack_nibbles(b->q, b->high, v);
    }
}

void quantize_iq4_nl(void *y, const float *x, int64_t n) {
    struct block_iq4_nl *b = y;
    for (int64_t i = 0; i < n / QK; i++, b++, x += QK) {
        float d = scale_fit_f16(x, QK, &IQ4_STEPS, 0, 0, AT_IQ4, 16), id = inverse(d);
        uint8_t v[QK];
        for (int j = 0; j < QK; j++)
            v[j] = (uint8_t)step_index(x[j] * id, &IQ4_STEPS);
        b->d = scale_bits(d);
        pack_nibbles(b->q, NULL, v);
    }
}

/* Powers of two: the one that keeps the extreme within the levels, and its neighbours. */
void quantize_mxfp4(void *y, const float *x, int64_t n) {
    struct block_mxfp4 *b = y;
    for (int64_t i = 0; i < n / QK; i++, b++, x += QK) {
        float max = fabsf(extreme_of(x, QK)), d[LANES], err[LANES];
        int power = 0;
        uint8_t v[QK];
        if (!(max > 0)) {
            memset(b, 0, sizeof *b);
            continue;
        }
        max = max < 0x1.fffffep127f ? max : 0x1.fffffep127f;
        frexpf(max, &power);                      /* max < 2^power ≤ 12·2^(power-3) */
        int e = power - 3 + 128;
        e = e < 4 ? 4 : e > 249 ? 249 : e; /* 12·2^(252-128) is finite */
        for (int l = 0; l < LANES; l++)
            d[l] = mxfp4_scale((uint8_t)(e + l - 4));
        scale_errors(x, QK, d, &FP4_STEPS, 0, 0, err);
        b->e = (uint8_t)(e + least(err) - 4);
        float id = inverse(mxfp4_scale(b->e));
        for (int j = 0; j < QK; j++) {
            int k = step_index(x[j] * id, &FP4_STEPS);
            v[j] = (uint8_t)(k < 7 ? 15 - k : k - 7);
        }
        pack_nibbles(b->q, NULL, v);
    }
}

/* ---- ternary ---- */

static float ternary_fit(const float *x, uint8_t t[QK_K]) {
    float d = fabsf(scale_fit_f16(x, QK_K, NULL, -1, 1, AT_3, 16)), id = inverse(d);
    for (int k = 0; k < QK_K; k++)
        t[k] = (uint8_t)(1 + (int)level(x[k] * id, -1, 1));
    return d;
}

void quantize_tq2_0(void *y, const float *x, int64_t n) {
    struct block_tq2_0 *b = y;
    for (int64_t i = 0; i < n / QK_K; i++, b++, x += QK_K) {
        uint8_t t[QK_K];
        b->d = scale_bits(ternary_fit(x, t));
        memset(b->q, 0, sizeof b->q);
        for (int k = 0; k < QK_K; k++)
            b->q[k / 128 * 32 + k % 32] |= (uint8_t)(t[k] << (k % 128 / 32 * 2));
    }
}

/* See dequantize_tq1_0. */
void quantize_tq1_0(void *y, const float *x, int64_t n) {
    struct block_tq1_0 *b = y;
    for (int64_t i = 0; i < n / QK_K; i++, b++, x += QK_K) {
        uint8_t t[QK_K];
        b->d = scale_bits(ternary_fit(x, t));
        for (int at = 0; at < 52; at++) {
            int first = at < 32 ? at : at < 48 ? 160 + at - 32 : 240 + at - 48;
            int stride = at < 32 ? 32 : at < 48 ? 16 : 4, v = 0;
            for (int digit = 0; digit < 5; digit++)
                v = v * 3 + (at >= 48 && digit == 4 ? 0 : t[first + digit * stride]);
            *(at < 48 ? &b->q[at] : &b->high[at - 48]) = (uint8_t)((v * 256 + 242) / 243);
        }
    }
}
