/* qblocks.h — on-disk layouts of the element types, and the one list from which the type table is made.
 *
 * Layouts: ggml's block structs as the GGUF specification refers to them; little-endian, no padding.
 * A new type is a struct, a row of QTYPES and two functions (qtype_impl.h). Part of the front header tensor.h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_QBLOCKS_H
#define ILAB_QBLOCKS_H

#include <stdint.h>

enum { QK = 32, QK_K = 256 }; /* elements of a plain block and of a super-block */

struct block_f32 { float v; };
struct block_f16 { uint16_t v; };
struct block_bf16 { uint16_t v; };

/* Plain blocks of 32. In q[16], byte i holds element i in the low nibble and i+16 in the high one; bit i of `high`
 * (32 bits, little-endian) is bit 4 of element i. d and m are F16. */
struct block_q8_0 { uint16_t d; int8_t q[QK]; };                          /* x = d·q */
struct block_q4_0 { uint16_t d; uint8_t q[QK / 2]; };                     /* x = d·(q-8) */
struct block_q4_1 { uint16_t d, m; uint8_t q[QK / 2]; };                  /* x = d·q + m */
struct block_q5_0 { uint16_t d; uint8_t high[4]; uint8_t q[QK / 2]; };    /* x = d·(q-16) */
struct block_q5_1 { uint16_t d, m; uint8_t high[4]; uint8_t q[QK / 2]; }; /* x = d·q + m */
struct block_iq4_nl { uint16_t d; uint8_t q[QK / 2]; };                   /* x = d·IQ4_LEVEL[q] */
/* x = 2^(e-128)·MXFP4_LEVEL[q], the levels being twice those of FP4 E2M1 (OCP Microscaling Formats v1.0). */
struct block_mxfp4 { uint8_t e; uint8_t q[QK / 2]; };

/* Super-blocks of 256.
 * 8 sub-blocks of 32: x = d·scale·q - dmin·min; scale and min have 6 bits each, packed as q4_k_scale shows.
 * q: four runs of 32 bytes; run r holds sub-block 2r in the low nibbles and 2r+1 in the high ones. */
struct block_q4_k { uint16_t d, dmin; uint8_t scales[12]; uint8_t q[QK_K / 2]; };
/* As Q4_K with a fifth bit: bit j of high[i] belongs to element i of sub-block j. */
struct block_q5_k { uint16_t d, dmin; uint8_t scales[12]; uint8_t high[QK_K / 8]; uint8_t low[QK_K / 2]; };
/* 16 sub-blocks of 16: x = d·scale·(q-32); q has 4 low bits in `low` and 2 high bits in `high`, per half of 128. */
struct block_q6_k { uint8_t low[QK_K / 2]; uint8_t high[QK_K / 4]; int8_t scales[QK_K / 16]; uint16_t d; };
/* 16 sub-blocks of 16: x = d·scale·q - dmin·min; a byte of scales: scale in the low nibble, min in the high one.
 * q: two halves of 32 bytes; bits 2k, 2k+1 of byte i of half h are element 128h + 32k + i. */
struct block_q2_k { uint8_t scales[QK_K / 16]; uint8_t q[QK_K / 4]; uint16_t d, dmin; };
/* 16 sub-blocks of 16: x = d·(scale-32)·(q-4); low as in Q2_K; bit 4h+k of high[i] is bit 2 of element 128h + 32k + i;
 * scales of 6 bits, packed as q3_k_scale shows. */
struct block_q3_k { uint8_t high[QK_K / 8]; uint8_t low[QK_K / 4]; uint8_t scales[12]; uint16_t d; };
/* 8 sub-blocks of 32: x = d·(scale-32)·IQ4_LEVEL[q]; scale: 4 bits of scales_low (two a byte, low nibble first) and
 * 2 bits of scales_high. q: 16 bytes a sub-block, as in the plain blocks. */
struct block_iq4_xs { uint16_t d, scales_high; uint8_t scales_low[QK_K / 64]; uint8_t q[QK_K / 2]; };
/* x = d·(t-1), t in 0..2. TQ2_0: two bits a t, laid out as Q2_K's q. TQ1_0: five t a byte of q (four of high) as a
 * fraction of base 3, see dequantize_tq1_0. */
struct block_tq1_0 { uint8_t q[48]; uint8_t high[4]; uint16_t d; };
struct block_tq2_0 { uint8_t q[QK_K / 4]; uint16_t d; };

/* Plain numbers: known, so that a file that holds them opens; no kernel computes with them and none are written. */
struct block_i8 { int8_t v; };
struct block_i16 { int16_t v; };
struct block_i32 { int32_t v; };
struct block_i64 { int64_t v; };
struct block_f64 { double v; };

/*     name    suffix  elements bytes */
#define QTYPES(X)                   \
    X(F32,     f32,       1,    4)  \
    X(F16,     f16,       1,    2)  \
    X(BF16,    bf16,      1,    2)  \
    X(Q8_0,    q8_0,     QK,   34)  \
    X(Q4_0,    q4_0,     QK,   18)  \
    X(Q4_1,    q4_1,     QK,   20)  \
    X(Q5_0,    q5_0,     QK,   22)  \
    X(Q5_1,    q5_1,     QK,   24)  \
    X(IQ4_NL,  iq4_nl,   QK,   18)  \
    X(MXFP4,   mxfp4,    QK,   17)  \
    X(Q2_K,    q2_k,   QK_K,   84)  \
    X(Q3_K,    q3_k,   QK_K,  110)  \
    X(Q4_K,    q4_k,   QK_K,  144)  \
    X(Q5_K,    q5_k,   QK_K,  176)  \
    X(Q6_K,    q6_k,   QK_K,  210)  \
    X(IQ4_XS,  iq4_xs, QK_K,  136)  \
    X(TQ1_0,   tq1_0,  QK_K,   54)  \
    X(TQ2_0,   tq2_0,  QK_K,   66)
/* The same for the plain numbers. */
#define PLAIN_TYPES(X)              \
    X(I8,      i8,        1,    1)  \
    X(I16,     i16,       1,    2)  \
    X(I32,     i32,       1,    4)  \
    X(I64,     i64,       1,    8)  \
    X(F64,     f64,       1,    8)

#define X(NAME, suffix, elems, bytes) \
    _Static_assert(sizeof(struct block_##suffix) == (bytes), #NAME " is an on-disk layout");
QTYPES(X)
PLAIN_TYPES(X)
#undef X

/* Levels of IQ4_NL and IQ4_XS (ggml's kvalues_iq4nl) and of MXFP4 (doubled E2M1). */
extern const int8_t IQ4_LEVEL[16], MXFP4_LEVEL[16];

/* Scale and minimum (0..63) of sub-block j of a Q4_K or Q5_K block. */
static inline void q4_k_scale(const uint8_t s[12], int j, int *scale, int *min) {
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
        *min = s[j + 4] >> 4 | (s[j] >> 6) << 4;
    }
}

/* Scale (-32..31) of sub-block j of a Q3_K block: 4 low bits in bytes 0..7, 2 high bits in bytes 8..11. */
static inline int q3_k_scale(const uint8_t s[12], int j) {
    return ((s[j % 8] >> (j / 8 * 4) & 15) | (s[8 + j % 4] >> (j / 4 * 2) & 3) << 4) - 32;
}

/* Scale (-32..31) of sub-block j of an IQ4_XS block. */
static inline int iq4_xs_scale(const struct block_iq4_xs *b, int j) {
    return ((b->scales_low[j / 2] >> (j % 2 * 4) & 15) | (b->scales_high >> (2 * j) & 3) << 4) - 32;
}

/* 2^(e-128) as F32, subnormal for the two smallest: the factor of MXFP4's doubled levels. e 255 is NaN by the standard;
 * ggml takes 2^127. */
static inline float mxfp4_scale(uint8_t e) {
    union { uint32_t u; float f; } v = { .u = e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23 };
    return v.f;
}

#endif
