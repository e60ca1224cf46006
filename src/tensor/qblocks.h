/* qblocks.h — on-disk layouts of the element types, and the one list from which the type table is made.
 *
 * Layouts: ggml's block structs as the GGUF specification refers to them; little-endian, no padding.
 * A new type is a struct, a row of QTYPES and two functions. Private to this folder.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_QBLOCKS_H
#define ILAB_QBLOCKS_H

#include "tensor/tensor.h"

enum { QK = 32, QK_K = 256 }; /* elements of a plain block and of a super-block */

struct block_f32 { float v; };
struct block_f16 { uint16_t v; };
struct block_bf16 { uint16_t v; };
struct block_q8_0 { uint16_t d; int8_t q[QK]; };                    /* x = d·q */
struct block_q4_0 { uint16_t d; uint8_t q[QK / 2]; };               /* x = d·(q-8); q[i]: element i low, i+16 high nibble */
struct block_q4_1 { uint16_t d, m; uint8_t q[QK / 2]; };            /* x = d·q + m */
struct block_q5_0 { uint16_t d; uint8_t high[4]; uint8_t q[QK / 2]; }; /* x = d·(q-16); bit i of `high` is bit 4 of element i */
/* 8 sub-blocks of 32: x = d·scale·q - dmin·min; scale and min have 6 bits each, packed as q4_k_scale shows.
 * q: four runs of 32 bytes; run r holds sub-block 2r in the low nibbles and 2r+1 in the high ones. */
struct block_q4_k { uint16_t d, dmin; uint8_t scales[12]; uint8_t q[QK_K / 2]; };
/* 16 sub-blocks of 16: x = d·scale·(q-32); q has 4 low bits in `low` and 2 high bits in `high`, per half of 128. */
struct block_q6_k { uint8_t low[QK_K / 2]; uint8_t high[QK_K / 4]; int8_t scales[QK_K / 16]; uint16_t d; };

/*     name  suffix elements bytes */
#define QTYPES(X)               \
    X(F32,  f32,    1,    4)    \
    X(F16,  f16,    1,    2)    \
    X(BF16, bf16,   1,    2)    \
    X(Q8_0, q8_0,  QK,   34)    \
    X(Q4_0, q4_0,  QK,   18)    \
    X(Q4_1, q4_1,  QK,   20)    \
    X(Q5_0, q5_0,  QK,   22)    \
    X(Q4_K, q4_k, QK_K, 144)    \
    X(Q6_K, q6_k, QK_K, 210)

#define X(NAME, suffix, elems, bytes)                                                               \
    _Static_assert(sizeof(struct block_##suffix) == (bytes), #NAME " is an on-disk layout");        \
    void dequantize_##suffix(float *y, const void *x, int64_t n);                                   \
    void quantize_##suffix(void *y, const float *x, int64_t n);
QTYPES(X)
#undef X

/* Scale and minimum (0..63) of sub-block j of a Q4_K block. */
static inline void q4_k_scale(const uint8_t s[12], int j, int *scale, int *min) {
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
        *min = s[j + 4] >> 4 | (s[j] >> 6) << 4;
    }
}

/* ggml's name of a type number, also of types that this program does not read; "?" when nobody knows it. */
const char *qtype_ggml_name(uint32_t type);

#endif
