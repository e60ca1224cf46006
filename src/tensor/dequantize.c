/* dequantize.c — blocks to F32, one function a type: the specification of what stored weights mean.
 *
 * Bit-exact with llama.cpp: products are formed in the order written here and never fused (-ffp-contract=off).
 * SPDX-License-Identifier: Apache-2.0 */
#include "tensor/qblocks.h"

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
