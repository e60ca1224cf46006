/* attention_page.c — keys and values into pages: the layouts of attention_impl.h, written a position at a time.
 *
 * Quantisation is in blocks of 32 dimensions of one position and head: Q4_0 as in a file (tensor's quantize), Q8_0 to nine bits.
 * F16 saturates instead of overflowing: an infinity in a page would turn scores of 0 into NaN.
 * SPDX-License-Identifier: Apache-2.0 */
#include "attention_impl.h"

#define F16_MAX 65504.0f

static const struct { int qtype; int bits; } TYPES[ATTN_N_TYPE] = {
    [ATTN_F32] = { QT_F32, 32 }, [ATTN_F16] = { QT_F16, 16 }, [ATTN_Q8_0] = { QT_Q8_0, 8 }, [ATTN_Q4_0] = { QT_Q4_0, 4 },
};

static int find_type(int qtype)
{
    for (int i = 0; i < ATTN_N_TYPE; i++)
        if (TYPES[i].qtype == qtype)
            return i;
    return -1;
}

int attn_type_known(int kv_type) { return find_type(kv_type) >= 0; }

enum attn_type attn_type_of(const struct attn_shape *s)
{
    int t = find_type(s->kv_type);
    return t < 0 ? ATTN_F32 : (enum attn_type)t;
}

static size_t lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t attn_key_bytes(const struct attn_shape *s)
{
    enum attn_type t = attn_type_of(s);
    size_t d = (size_t)s->head_dim, even = t == ATTN_Q4_0 ? (d + 1) / 2 * 2 : d;
    return lines(attn_scale_bytes(t, s->head_dim) + even * KERN_PANEL * (size_t)TYPES[t].bits / 8 + attn_low_bytes(t, s->head_dim));
}

size_t attn_part_bytes(const struct attn_shape *s)
{
    enum attn_type t = attn_type_of(s);
    size_t width = t == ATTN_Q4_0 ? (size_t)attn_blocks(s->head_dim) * QK : (size_t)attn_padded(s->head_dim);
    return attn_key_bytes(s) + lines(attn_scale_bytes(t, s->head_dim) + width * KERN_PANEL * (size_t)TYPES[t].bits / 8 + attn_low_bytes(t, attn_padded(s->head_dim)));
}

size_t attn_page_bytes(const struct attn_shape *s) { return (size_t)s->n_kv_head * attn_part_bytes(s); }

struct attn_view attn_view_of(const struct attn_shape *s, const struct attn_seq *q, int head)
{
    size_t at = (q->layer * (size_t)s->n_kv_head + (size_t)head) * (q->step ? q->step : attn_part_bytes(s));
    return (struct attn_view){ q->page, at, at + attn_key_bytes(s), attn_type_of(s), s->head_dim };
}

static uint16_t to_f16(float x)
{
    return f32_to_f16(x > F16_MAX ? F16_MAX : x < -F16_MAX ? -F16_MAX : x);
}

static void store_f32(char *keys, char *values, int d, int slot, const float *k, const float *v)
{
    float *to = (float *)(void *)keys + slot;
    for (int i = 0; i < d; i++)
        to[i * KERN_PANEL] = k[i];
    memcpy((float *)(void *)values + slot * attn_padded(d), v, (size_t)d * sizeof *v);
}

/* n times to_f16 without a branch, so that compilers make vectors of it. */
static void to_f16s(uint16_t *y, const float *x, int n)
{
    enum { NORMAL = 0x38800000 /* 2^-14 */, MOST = 0x477fe000 /* F16_MAX */, INF = 0x7f800000, BIAS = 112 << 23 };
    for (int i = 0; i < n; i++) {
        int32_t u, sign, bits;
        float f;
        memcpy(&u, &x[i], sizeof u);
        sign = u >> 16 & 0x8000;
        u &= 0x7fffffff;
        const int32_t v = u < MOST ? u : MOST;
        memcpy(&f, &v, sizeof f);
        f += 0.5f; /* now a unit of the last place is one of subnormal F16 */
        memcpy(&bits, &f, sizeof bits);
        const int32_t normal = (v + 0xfff + (v >> 13 & 1) - BIAS) >> 13, small = bits - 0x3f000000, number = v < NORMAL ? small : normal;
        y[i] = (uint16_t)(sign | (u > INF ? 0x7e00 | (u >> 13 & 0x1ff) : number));
    }
}

static void store_f16(char *keys, char *values, int d, int slot, const float *k, const float *v)
{
    uint16_t *to = (uint16_t *)(void *)keys + slot, part[QK];
    for (int at = 0; at < d; at += QK) {
        const int n = attn_block_width(d, at);
        to_f16s(part, k + at, n);
        for (int i = 0; i < n; i++)
            to[(at + i) * KERN_PANEL] = part[i];
    }
    to_f16s((uint16_t *)(void *)values + slot * attn_padded(d), v, d);
}

/* Block b of x as 32 elements, zeros behind the end. */
static const float *block_at(float pad[QK], const float *x, int d, int b)
{
    int n = attn_block_width(d, b * QK);
    if (n == QK)
        return x + b * QK;
    memset(pad, 0, QK * sizeof *pad);
    memcpy(pad, x + b * QK, (size_t)n * sizeof *pad);
    return pad;
}

/* n ≤ 32 numbers to whole multiples -256 … 255 of a scale, which is rounded up to F16 so that the largest one fits. */
static uint16_t quantize_9(int q[QK], const float *x, int n)
{
    float most = 0;
    for (int i = 0; i < n; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    float want = most / 255.0f;
    uint16_t scale = to_f16(want);
    if (f16_to_f32(scale) < want && scale < to_f16(F16_MAX))
        scale++;
    float by = scale ? 1.0f / f16_to_f32(scale) : 0.0f;
    for (int i = 0; i < n; i++) {
        float y = x[i] * by;
        q[i] = y > -256.0f ? (int)lrintf(y < 255.0f ? y : 255.0f) : y <= -256.0f ? -256 : 0; /* NaN: 0 */
    }
    return scale;
}

static void store_q8_0(char *keys, char *values, int d, int slot, const float *k, const float *v)
{
    int nb = attn_blocks(d), dp = attn_padded(d), q[QK];
    uint16_t *k_scale = (uint16_t *)(void *)keys, *v_scale = (uint16_t *)(void *)values + slot * nb;
    int8_t *kq = (int8_t *)keys + attn_scale_bytes(ATTN_Q8_0, d) + slot, *vq = (int8_t *)values + attn_scale_bytes(ATTN_Q8_0, d) + slot * dp;
    uint8_t *k_low = (uint8_t *)keys + attn_low_at(ATTN_Q8_0, d, d) + slot, *v_low = (uint8_t *)values + attn_low_at(ATTN_Q8_0, d, dp) + slot * (dp / 8);
    for (int i = 0; i < d; i += 8)
        k_low[i / 8 * KERN_PANEL] = v_low[i / 8] = 0;
    for (int b = 0; b < nb; b++) {
        int n = attn_block_width(d, b * QK);
        k_scale[b * KERN_PANEL + slot] = quantize_9(q, k + b * QK, n);
        for (int i = 0, at = b * QK; i < n; i++, at++) {
            kq[at * KERN_PANEL] = (int8_t)(q[i] >> 1);
            k_low[at / 8 * KERN_PANEL] |= (uint8_t)((q[i] & 1) << at % 8);
        }
        v_scale[b] = quantize_9(q, v + b * QK, n);
        for (int i = 0, at = b * QK; i < n; i++, at++) {
            vq[at] = (int8_t)(q[i] >> 1);
            v_low[at / 8] |= (uint8_t)((q[i] & 1) << at % 8);
        }
    }
}

static void store_q4_0(char *keys, char *values, int d, int slot, const float *k, const float *v)
{
    const struct qtype_info *type = qtype_info(QT_Q4_0);
    int nb = attn_blocks(d);
    uint16_t *k_scale = (uint16_t *)(void *)keys, *v_scale = (uint16_t *)(void *)values + slot * nb;
    uint8_t *kq = (uint8_t *)keys + attn_scale_bytes(ATTN_Q4_0, d) + slot;
    uint8_t *vq = (uint8_t *)values + attn_scale_bytes(ATTN_Q4_0, d) + slot * nb * (QK / 2);
    float pad[QK];
    struct block_q4_0 q;
    for (int b = 0; b < nb; b++) {
        int n = attn_block_width(d, b * QK);
        type->quantize(&q, block_at(pad, k, d, b), QK);
        k_scale[b * KERN_PANEL + slot] = q.d;
        for (int i = 0; i < n; i += 2) { /* the block's nibbles are 16 apart, ours side by side */
            int even = q.q[i % 16] >> (i / 16 * 4) & 15, odd = q.q[(i + 1) % 16] >> ((i + 1) / 16 * 4) & 15;
            kq[(b * QK + i) / 2 * KERN_PANEL] = (uint8_t)(even | odd << 4);
        }
        type->quantize(&q, block_at(pad, v, d, b), QK);
        v_scale[b] = q.d;
        memcpy(vq + b * (QK / 2), q.q, QK / 2);
    }
}

typedef void store_fn(char *keys, char *values, int d, int slot, const float *k, const float *v);
static store_fn *const STORE[ATTN_N_TYPE] = { store_f32, store_f16, store_q8_0, store_q4_0 };

void attn_store(const struct attn_shape *s, const struct attn_seq *q, int pos, const float *k, const float *v)
{
    int d = s->head_dim;
    for (int h = 0; h < s->n_kv_head; h++, k += d, v += d) {
        struct attn_view w = attn_view_of(s, q, h);
        char *page = q->page[pos / KERN_PANEL];
        STORE[w.type](page + w.key_at, page + w.value_at, d, pos % KERN_PANEL, k, v);
    }
}
