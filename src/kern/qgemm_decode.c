/* qgemm_decode.c — the table of quantised types: family, constants, and a scalar decoder of one row of a chunk.
 *
 * A decoder says what the integers of a type are (dequantize.c says what numbers they mean): bytes with the type's offset
 * added, integer scales and minima of sub-blocks, float scales. Every level can build its tile from that; the common types
 * have faster ways.  SPDX-License-Identifier: Apache-2.0 */
#include "qgemm_impl.h"

#include <string.h>

enum { HALF = QK / 2 };

/* ---- blocks of 32 ---- */
static void decode_q8_0(struct qrow *r, const void *blocks, int n_sub)
{
    const struct block_q8_0 *b = blocks;
    for (int s = 0; s < n_sub; s++, b++) {
        r->bd[s] = f16_to_f32(b->d);
        for (int i = 0; i < QK; i++)
            r->q[s * QK + i] = (uint8_t)b->q[i] ^ 0x80;
    }
}

/* Two elements a byte: i in the low nibble, i+16 in the high one. */
static inline void nibbles(uint8_t *dst, const uint8_t *q, int add)
{
    for (int i = 0; i < HALF; i++) {
        dst[i] = (uint8_t)((q[i] & 15) + add);
        dst[i + HALF] = (uint8_t)((q[i] >> 4) + add);
    }
}
static inline void levels(uint8_t *dst, const uint8_t *q, const int8_t level[16], int add)
{
    for (int i = 0; i < HALF; i++) {
        dst[i] = (uint8_t)(level[q[i] & 15] + add);
        dst[i + HALF] = (uint8_t)(level[q[i] >> 4] + add);
    }
}
static inline void fifth_bits(uint8_t *dst, const uint8_t high[4])
{
    for (int i = 0; i < QK; i++)
        dst[i] |= (uint8_t)((high[i / 8] >> (i % 8) & 1) << 4);
}

#define DECODE_BLOCKS(suffix, fill, with_m) \
    static void decode_##suffix(struct qrow *r, const void *blocks, int n_sub) \
    { \
        const struct block_##suffix *b = blocks; \
        for (int s = 0; s < n_sub; s++, b++) { \
            uint8_t *dst = r->q + s * QK; \
            r->bd[s] = f16_to_f32(b->d); \
            with_m; \
            fill; \
        } \
    }
DECODE_BLOCKS(q4_0, nibbles(dst, b->q, 0), )
DECODE_BLOCKS(q4_1, nibbles(dst, b->q, 0), r->bm[s] = f16_to_f32(b->m))
DECODE_BLOCKS(q5_0, (nibbles(dst, b->q, 0), fifth_bits(dst, b->high)), )
DECODE_BLOCKS(q5_1, (nibbles(dst, b->q, 0), fifth_bits(dst, b->high)), r->bm[s] = f16_to_f32(b->m))
DECODE_BLOCKS(iq4_nl, levels(dst, b->q, IQ4_LEVEL, 128), )

static void decode_mxfp4(struct qrow *r, const void *blocks, int n_sub)
{
    const struct block_mxfp4 *b = blocks;
    for (int s = 0; s < n_sub; s++, b++) {
        r->bd[s] = mxfp4_scale(b->e);
        levels(r->q + s * QK, b->q, MXFP4_LEVEL, 16);
    }
}

/* ---- super-blocks ---- */
static void decode_q4_k(struct qrow *r, const void *blocks, int n_sub)
{
    const struct block_q4_k *b = blocks;
    (void)n_sub;
    r->d = f16_to_f32(b->d);
    r->dmin = f16_to_f32(b->dmin);
    for (int j = 0; j < 8; j++) {
        int scale, min;
        q4_k_scale(b->scales, j, &scale, &min);
        r->scale[j] = (int16_t)scale;
        r->min[j] = (int16_t)min;
        for (int k = 0; k < 32; k++)
            r->q[j * 32 + k] = b->q[j / 2 * 32 + k] >> (j % 2 * 4) & 15;
    }
}

static void decode_q5_k(struct qrow *r, const void *blocks, int n_sub)
{
    const struct block_q5_k *b = blocks;
    (void)n_sub;
    r->d = f16_to_f32(b->d);
    r->dmin = f16_to_f32(b->dmin);
    for (int j = 0; j < 8; j++) {
        int scale, min;
        q4_k_scale(b->scales, j, &scale, &min);
        r->scale[j] = (int16_t)scale;
        r->min[j] = (int16_t)min;
        for (int k = 0; k < 32; k++)
            r->q[j * 32 + k] = (uint8_t)((b->low[j / 2 * 32 + k] >> (j % 2 * 4) & 15) | (b->high[k] >> j & 1) << 4);
    }
}

static void decode_q6_k(struct qrow *r, const void *blocks, int n_sub)
{
    const struct block_q6_k *b = blocks;
    (void)n_sub;
    r->d = f16_to_f32(b->d);
    for (int j = 0; j < 16; j++)
        r->scale[j] = b->scales[j];
    for (int half = 0; half < 2; half++)
        for (int quarter = 0; quarter < 4; quarter++)
            for (int k = 0; k < 32; k++)
                r->q[half * 128 + quarter * 32 + k] = (uint8_t)((b->low[half * 64 + quarter % 2 * 32 + k] >> (quarter / 2 * 4) & 15) |
                                                                (b->high[half * 32 + k] >> (quarter * 2) & 3) << 4);
}

static void decode_q2_k(struct qrow *r, const void *blocks, int n_sub)
{
    const struct block_q2_k *b = blocks;
    (void)n_sub;
    r->d = f16_to_f32(b->d);
    r->dmin = f16_to_f32(b->dmin);
    for (int j = 0; j < 16; j++) {
        r->scale[j] = b->scales[j] & 15;
        r->min[j] = b->scales[j] >> 4;
    }
    for (int part = 0; part < 8; part++)
        for (int k = 0; k < 32; k++)
            r->q[part * 32 + k] = b->q[part / 4 * 32 + k] >> (part % 4 * 2) & 3;
}

static void decode_q3_k(struct qrow *r, const void *blocks, int n_sub)
{
    const struct block_q3_k *b = blocks;
    (void)n_sub;
    r->d = f16_to_f32(b->d);
    for (int j = 0; j < 16; j++)
        r->scale[j] = (int16_t)q3_k_scale(b->scales, j);
    for (int part = 0; part < 8; part++)
        for (int k = 0; k < 32; k++)
            r->q[part * 32 + k] = (uint8_t)((b->low[part / 4 * 32 + k] >> (part % 4 * 2) & 3) + (b->high[k] >> part & 1) * 4 + 4);
}

static void decode_iq4_xs(struct qrow *r, const void *blocks, int n_sub)
{
    const struct block_iq4_xs *b = blocks;
    (void)n_sub;
    r->d = f16_to_f32(b->d);
    for (int j = 0; j < 8; j++) {
        r->scale[j] = (int16_t)iq4_xs_scale(b, j);
        levels(r->q + j * QK, b->q + j * HALF, IQ4_LEVEL, 128);
    }
}

/* Values t-1 of {-1, 0, 1}, one scale: 7 + t as bytes. */
static void decode_tq2_0(struct qrow *r, const void *blocks, int n_sub)
{
    const struct block_tq2_0 *b = blocks;
    (void)n_sub;
    r->d = f16_to_f32(b->d);
    for (int j = 0; j < 8; j++)
        r->scale[j] = 1;
    for (int part = 0; part < 8; part++)
        for (int k = 0; k < 32; k++)
            r->q[part * 32 + k] = (uint8_t)((b->q[part / 4 * 32 + k] >> (part % 4 * 2) & 3) + 7);
}

/* Digits of base 3 as dequantize_tq1_0 explains them. */
static void decode_tq1_0(struct qrow *r, const void *blocks, int n_sub)
{
    static const uint8_t POW3[] = { 1, 3, 9, 27, 81 };
    static const struct { int first, n_byte, n_digit; } RUN[] = { { 0, 32, 5 }, { 32, 16, 5 }, { 48, 4, 4 } };
    const struct block_tq1_0 *b = blocks;
    uint8_t *dst = r->q;
    (void)n_sub;
    r->d = f16_to_f32(b->d);
    for (int j = 0; j < 8; j++)
        r->scale[j] = 1;
    for (size_t i = 0; i < ARRAY_LEN(RUN); i++)
        for (int digit = 0; digit < RUN[i].n_digit; digit++)
            for (int k = 0; k < RUN[i].n_byte; k++) {
                const uint8_t *from = RUN[i].first < 48 ? b->q + RUN[i].first : b->high;
                *dst++ = (uint8_t)(((uint8_t)(from[k] * POW3[digit]) * 3 >> 8) + 7);
            }
}

#define BLOCKS(suffix) (int)sizeof(struct block_##suffix) * (QG_CHUNK / QK), .decode = decode_##suffix
#define SUPER(suffix) (int)sizeof(struct block_##suffix), .decode = decode_##suffix
const struct qkind QKIND[QT_COUNT] = {
    [QT_Q8_0] = { QF_BLOCK, BLOCKS(q8_0), .shift = 4, .steps = 0 },
    [QT_Q4_0] = { QF_BLOCK, BLOCKS(q4_0), .shift = 0, .steps = 8 },
    [QT_Q5_0] = { QF_BLOCK, BLOCKS(q5_0), .shift = 1, .steps = 4 },
    [QT_IQ4_NL] = { QF_BLOCK, BLOCKS(iq4_nl), .shift = 4, .steps = 0 },
    [QT_MXFP4] = { QF_BLOCK, BLOCKS(mxfp4), .shift = 1, .steps = 4 },
    [QT_Q4_1] = { QF_BLOCK_MIN, BLOCKS(q4_1), .steps = 8 },
    [QT_Q5_1] = { QF_BLOCK_MIN, BLOCKS(q5_1), .steps = 4 },
    [QT_Q4_K] = { QF_SUPER32_MIN, SUPER(q4_k), .steps = 8 },
    [QT_Q5_K] = { QF_SUPER32_MIN, SUPER(q5_k), .steps = 4 },
    [QT_IQ4_XS] = { QF_SUPER32, SUPER(iq4_xs), .shift = 4, .steps = 0 },
    [QT_TQ1_0] = { QF_SUPER32, SUPER(tq1_0), .shift = 0, .steps = 8 },
    [QT_TQ2_0] = { QF_SUPER32, SUPER(tq2_0), .shift = 0, .steps = 8 },
    [QT_Q2_K] = { QF_SUPER16_MIN, SUPER(q2_k), .steps = 4 },
    [QT_Q3_K] = { QF_SUPER16, SUPER(q3_k), .shift = 0, .steps = 4 },
    [QT_Q6_K] = { QF_SUPER16, SUPER(q6_k), .shift = 2, .steps = 2 },
};
