/* qtype.c — the table of element types, half-precision conversion, and tensors as descriptions of bytes.
 *
 * All facts about a type come from its row of QTYPES (qblocks.h).  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/qtype_impl.h"

#include <string.h>
#include <strings.h>

static const struct qtype_info QTYPE[QT_COUNT] = {
#define X(NAME, suffix, n_elems, n_bytes) \
    [QT_##NAME] = { #NAME, n_elems, n_bytes, dequantize_##suffix, quantize_##suffix },
    QTYPES(X)
#undef X
#define X(NAME, suffix, n_elems, n_bytes) [QT_##NAME] = { #NAME, n_elems, n_bytes, dequantize_##suffix, NULL },
    PLAIN_TYPES(X)
#undef X
};

/* Numbers of ggml's enum that have no row above: known only so that a message can say the name. */
static const char *const OTHER_NAME[] = {
    [4] = "Q4_2", [5] = "Q4_3", [9] = "Q8_1", [15] = "Q8_K", [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S",
    [21] = "IQ3_S", [22] = "IQ2_S", [29] = "IQ1_M", [31] = "Q4_0_4_4", [32] = "Q4_0_4_8", [33] = "Q4_0_8_8",
    [36] = "IQ4_NL_4_4", [37] = "IQ4_NL_4_8", [38] = "IQ4_NL_8_8",
};

const struct qtype_info *qtype_known(int type) {
    return type < 0 || type >= QT_COUNT || !QTYPE[type].name ? NULL : &QTYPE[type];
}

const struct qtype_info *qtype_info(int type) {
    const struct qtype_info *q = qtype_known(type);
    return q && q->quantize ? q : NULL;
}

int qtype_by_name(const char *name) {
    for (int i = 0; i < QT_COUNT; i++)
        if (QTYPE[i].quantize && strcasecmp(QTYPE[i].name, name) == 0)
            return i;
    return -1;
}

const char *qtype_name(uint32_t type) {
    if (type < QT_COUNT && QTYPE[type].name)
        return QTYPE[type].name;
    return type < ARRAY_LEN(OTHER_NAME) && OTHER_NAME[type] ? OTHER_NAME[type] : "?";
}

static inline float f32_of_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint32_t bits_of_f32(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* IEEE 754 binary16. With exponent and mantissa moved into place the value is too small by 2^112 (the difference of
 * the exponents' biases); the product with that power is exact, subnormals included. Only Inf and NaN need more. */
float f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = (uint32_t)(h & 0x7fff) << 13;
    uint32_t u = (h & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000u : bits_of_f32(f32_of_bits(magnitude) * 0x1p112f);
    return f32_of_bits(sign | u);
}

uint16_t f32_to_f16(float f) {
    uint32_t u = bits_of_f32(f), sign = u >> 16 & 0x8000;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00 | (u >> 13 & 0x1ff)); /* quiet NaN, upper payload kept */
    if (u >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00);                     /* 65520 and above round to infinity */
    if (u < 0x38800000u)                                      /* below 2^-14: in [0.5, 1) a unit of F32 is one of subnormal F16 */
        return (uint16_t)(sign | (bits_of_f32(f32_of_bits(u) + 0.5f) - bits_of_f32(0.5f)));
    u += 0xfff + (u >> 13 & 1);                               /* nearest, ties to even; a carry moves the exponent */
    return (uint16_t)(sign | (u - (112u << 23)) >> 13);
}

int64_t tensor_elems(const struct tensor *t) {
    return t->dim[0] * tensor_rows(t);
}

int64_t tensor_rows(const struct tensor *t) {
    int64_t n = 1;
    for (int i = 1; i < t->n_dim; i++)
        n *= t->dim[i];
    return n;
}

void tensor_row_f32(const struct tensor *t, int64_t r, float *y) {
    QTYPE[t->type].dequantize(y, (const uint8_t *)t->data + (size_t)r * t->row_bytes, t->dim[0]);
}
