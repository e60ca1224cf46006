/* dequantize.c — blocks to F32, one function a type: the specification of what stored weights mean.
 *
 * Bit-exact with llama.cpp: products are formed in the order written here and never fused (-ffp-contract=off).
 * SPDX-License-Identifier: Apache-2.0 */
#include "tensor/qtype_impl.h"

#include <string.h>

void dequantize_f32(float *y, const void *x, int64_t n) {
    memcpy(y, x, (size_t)n * sizeof *y);
}

void dequantize_f16(float *y, const void *x, int64_t n) {
    const struct block_f16 *b = x;
    for (int64_t i = 0; i < n; i++)
        y[i] = f16_to_f32(b[i].v);
}

void dequantize_bf16(float *y, const void *x, int64_t n) {
    const struct block_bf16 *b = x;
    for (int64_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)b[i].v << 16;
        memcpy(&y[i], &u, sizeof u);
    }
}

void dequantize_q8_0(float *y, const void *x, int64_t n) {
    const struct block_q8_0 *b = x;
    for (int64_t i = 0; i < n / QK; i++, b++, y += QK) {
        float d = f16_to_f32(b->d);
        for (int j = 0; j < QK; j++)
            y[j] = (float)b->q[j] * d;
    }
}

void dequantize_q4_0(float *y, const void *x, int64_t n) {
    const struct block_q4_0 *b = x;
    for (int64_t i = 0; i < n / QK; i++, b++, y += QK) {
        float d = f16_to_f32(b->d);
        for (int j = 0; j < QK / 2; j++) {
            y[j] = (float)((b->q[j] & 15) - 8) * d;
            y[j + QK / 2] = (float)((b->q[j] >> 4) - 8) * d;
        }
    }
}

void dequantize_q4_1(float *y, const void *x, int64_t n) {
    const struct block_q4_1 *b = x;
    for (int64_t i = 0; i < n / QK; i++, b++, y += QK) {
        float d = f16_to_f32(b->d), m = f16_to_f32(b->m);
        for (int j = 0; j < QK / 2; j++) {
            y[j] = (float)(b->q[j] & 15) * d + m;
            y[j + QK / 2] = (float)(b->q[j] >> 4) * d + m;
        }
    }
}

void dequantize_q5_0(float *y, const void *x, int64_t n) {
    const struct block_q5_0 *b = x;
    for (int64_t i = 0; i < n / QK; i++, b++, y += QK) {
        float d = f16_to_f32(b->d);
        uint32_t high;
        memcpy(&high, b->high, sizeof high);
        for (int j = 0; j < QK / 2; j++) {
            int lo = (b->q[j] & 15) | (int)(high >> j & 1) << 4;
            int hi = b->q[j] >> 4 | (int)(high >> (j + 16) & 1) << 4;
            y[j] = (float)(lo - 16) * d;
            y[j + QK / 2] = (float)(hi - 16) * d;
        }
    }
}

void dequantize_q5_1(float *y, const void *x, int64_t n) {
    const struct block_q5_1 *b = x;
    for (int64_t i = 0; i < n / QK; i++, b++, y += QK) {
        float d = f16_to_f32(b->d), m = f16_to_f32(b->m);
        uint32_t high;
        memcpy(&high, b->high, sizeof high);
        for (int j = 0; j < QK / 2; j++) {
            int lo = (b->q[j] & 15) | (int)(high >> j & 1) << 4;
            int hi = b->q[j] >> 4 | (int)(high >> (j + 16) & 1) << 4;
            y[j] = (float)lo * d + m;
            y[j + QK / 2] = (float)hi * d + m;
        }
    }
}

const int8_t IQ4_LEVEL[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
const int8_t MXFP4_LEVEL[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

/* 32 elements of four bits that number levels: x = d·level[q] */
static void dequantize_levels(float *y, const uint8_t q[QK / 2], float d, const int8_t level[16]) {
    for (int j = 0; j < QK / 2; j++) {
        y[j] = d * (float)level[q[j] & 15];
        y[j + QK / 2] = d * (float)level[q[j] >> 4];
    }
}

void dequantize_iq4_nl(float *y, const void *x, int64_t n) {
    const struct block_iq4_nl *b = x;
    for (int64_t i = 0; i < n / QK; i++, b++, y += QK)
        dequantize_levels(y, b->q, f16_to_f32(b->d), IQ4_LEVEL);
}

void dequantize_mxfp4(float *y, const void *x, int64_t n) {
    const struct block_mxfp4 *b = x;
    for (int64_t i = 0; i < n / QK; i++, b++, y += QK)
        dequantize_levels(y, b->q, mxfp4_scale(b->e), MXFP4_LEVEL);
}

void dequantize_iq4_xs(float *y, const void *x, int64_t n) {
    const struct block_iq4_xs *b = x;
    for (int64_t i = 0; i < n / QK_K; i++, b++, y += QK_K) {
        float d = f16_to_f32(b->d);
        for (int j = 0; j < 8; j++)
            dequantize_levels(y + j * QK, b->q + j * (QK / 2), d * (float)iq4_xs_scale(b, j), IQ4_LEVEL);
    }
}

/* Sub-block j of 16 lies in half j/8 (32 bytes), two bits at 2·(j%8/2), bytes 16·(j%2)…; Q3_K the same. */
void dequantize_q2_k(float *y, const void *x, int64_t n) {
    const struct block_q2_k *b = x;
    for (int64_t i = 0; i < n / QK_K; i++, b++, y += QK_K) {
        float d = f16_to_f32(b->d), dmin = f16_to_f32(b->dmin);
        for (int j = 0; j < 16; j++) {
            const uint8_t *q = b->q + j / 8 * 32 + j % 2 * 16;
            int shift = j % 8 / 2 * 2;
            float ds = d * (float)(b->scales[j] & 15), dm = dmin * (float)(b->scales[j] >> 4);
            for (int k = 0; k < 16; k++)
                y[j * 16 + k] = ds * (float)(q[k] >> shift & 3) - dm;
        }
    }
}

void dequantize_q3_k(float *y, const void *x, int64_t n) {
    const struct block_q3_k *b = x;
    for (int64_t i = 0; i < n / QK_K; i++, b++, y += QK_K) {
        float d = f16_to_f32(b->d);
        for (int j = 0; j < 16; j++) {
            const uint8_t *low = b->low + j / 8 * 32 + j % 2 * 16, *high = b->high + j % 2 * 16;
            int shift = j % 8 / 2 * 2, bit = j / 2;
            float ds = d * (float)q3_k_scale(b->scales, j);
            for (int k = 0; k < 16; k++)
                y[j * 16 + k] = ds * (float)((low[k] >> shift & 3) + (high[k] >> bit & 1) * 4 - 4);
        }
    }
}

void dequantize_q4_k(float *y, const void *x, int64_t n) {
    const struct block_q4_k *b = x;
    for (int64_t i = 0; i < n / QK_K; i++, b++, y += QK_K) {
        float d = f16_to_f32(b->d), dmin = f16_to_f32(b->dmin);
        for (int j = 0; j < 8; j++) {
            const uint8_t *q = b->q + j / 2 * 32;
            int scale, min, shift = j % 2 * 4;
            q4_k_scale(b->scales, j, &scale, &min);
            float ds = d * (float)scale, dm = dmin * (float)min;
            for (int k = 0; k < 32; k++)
                y[j * 32 + k] = ds * (float)(q[k] >> shift & 15) - dm;
        }
    }
}

void dequantize_q5_k(float *y, const void *x, int64_t n) {
    const struct block_q5_k *b = x;
    for (int64_t i = 0; i < n / QK_K; i++, b++, y += QK_K) {
        float d = f16_to_f32(b->d), dmin = f16_to_f32(b->dmin);
        for (int j = 0; j < 8; j++) {
            const uint8_t *low = b->low + j / 2 * 32;
            int scale, min, shift = j % 2 * 4;
            q4_k_scale(b->scales, j, &scale, &min);
            float ds = d * (float)scale, dm = dmin * (float)min;
            for (int k = 0; k < 32; k++)
                y[j * 32 + k] = ds * (float)((low[k] >> shift & 15) | (b->high[k] >> j & 1) << 4) - dm;
        }
    }
}

void dequantize_q6_k(float *y, const void *x, int64_t n) {
    const struct block_q6_k *b = x;
    for (int64_t i = 0; i < n / QK_K; i++, b++, y += QK_K) {
        float d = f16_to_f32(b->d);
        for (int j = 0; j < 16; j++) {
            /* Sub-block j covers elements 16j.. of the super-block: half j/8, quarter j%8/2 of that half. */
            int half = j / 8, quarter = j % 8 / 2, first = j % 2 * 16;
            const uint8_t *low = b->low + half * 64 + quarter % 2 * 32 + first;
            const uint8_t *high = b->high + half * 32 + first;
            int low_shift = quarter / 2 * 4, high_shift = quarter * 2;
            float ds = d * (float)b->scales[j];
            for (int k = 0; k < 16; k++) {
                int q = (low[k] >> low_shift & 15) | (high[k] >> high_shift & 3) << 4;
                y[j * 16 + k] = ds * (float)(q - 32);
            }
        }
    }
}

void dequantize_tq2_0(float *y, const void *x, int64_t n) {
    const struct block_tq2_0 *b = x;
    for (int64_t i = 0; i < n / QK_K; i++, b++, y += QK_K) {
        float d = f16_to_f32(b->d);
        for (int k = 0; k < QK_K; k++)
            y[k] = (float)((b->q[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3) - 1) * d;
    }
}

/* A byte is ⌈256·(t0/3 + t1/9 + t2/27 + t3/81 + t4/243)⌉; times 3^k, modulo 256, has digit k in front. Three runs of bytes,
 * each with the digits of one position for all its bytes together: 32 bytes, 16 bytes, and the 4 of `high` with four digits. */
void dequantize_tq1_0(float *y, const void *x, int64_t n) {
    static const uint8_t pow3[] = { 1, 3, 9, 27, 81 };
    static const struct { int first, n_byte, n_digit; } RUN[] = { { 0, 32, 5 }, { 32, 16, 5 }, { 48, 4, 4 } };
    const struct block_tq1_0 *b = x;
    for (int64_t i = 0; i < n / QK_K; i++, b++) {
        float d = f16_to_f32(b->d);
        for (size_t r = 0; r < ARRAY_LEN(RUN); r++)
            for (int digit = 0; digit < RUN[r].n_digit; digit++)
                for (int k = 0; k < RUN[r].n_byte; k++) {
                    int at = RUN[r].first + k;
                    uint8_t q = (uint8_t)((at < 48 ? b->q[at] : b->high[at - 48]) * pow3[digit]);
                    *y++ = (float)((q * 3 >> 8) - 1) * d;
                }
    }
}

/* ---- plain numbers: memcpy, since a file may align them less than their type wants ---- */

#define PLAIN(suffix, type)                                             \
    void dequantize_##suffix(float *y, const void *x, int64_t n) {      \
        for (int64_t i = 0; i < n; i++) {                               \
            type v;                                                     \
            memcpy(&v, (const type *)x + i, sizeof v);                  \
            y[i] = (float)v;                                            \
        }                                                               \
    }
PLAIN(i8, int8_t)
PLAIN(i16, int16_t)
PLAIN(i32, int32_t)
PLAIN(i64, int64_t)
PLAIN(f64, double)
