/* attention_impl.h — what the attention files share: the layout of a page's part of one layer and KV head, and the table of
 * slots a level fills (attention_ref.c is the specification, attention_body.h the vector form).
 *
 * Layout of a part, D dimensions, Dp = D rounded up to 16, nb = blocks of 32 dimensions (the last may be shorter):
 *   type    keys                                             values
 *   F32     float [D][16]                                    float [16][Dp]
 *   F16     f16 [D][16]                                      f16 [16][Dp]
 *   Q8_0    f16 scale[nb][16], int8 q[D][16],                f16 scale[16][nb], int8 q[16][Dp],
 *           u8 low[(D+7)/8][16]: bit t of low[i]: dim. 8i+t  u8 low[16][Dp/8]: bit t of low[j][i]: dimension 8i+t
 *   Q4_0    f16 scale[nb][16], u8 q[(D+1)/2][16]: dimension  f16 scale[16][nb], u8 q[16][nb][16]: element i of a block
 *           2t in the low nibble of q[t], 2t+1 in the high   in the low nibble of byte i, element i+16 in the high
 * x = scale·(2q + low) (Q8_0) or scale·(q-8) (Q4_0), which is exact in F32; so computing from a page and computing from its
 * expansion gives the same bits. Q8_0 has a ninth bit that a file's Q8_0 has not: it quarters the error, and without it the logits of a
 * 1.1B model at 2,048 tokens were 2.7e-4 (NMSE) from F16's. Keys and values each fill whole cache lines; no two positions write to the
 * same byte, so that threads may store rows of one page at once.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_ATTENTION_IMPL_H
#define ILAB_ATTENTION_IMPL_H

#include "kern_impl.h"

enum {
    ATTN_P_ROW = ATTN_BLOCK + KERN_PANEL,  /* floats from one row of scores to the next: lines of a column in different sets */
    ATTN_STRIP = KERN_PANEL                /* q is packed as strips [D][16] of attn_kern.tile rows each */
};
enum attn_type { ATTN_F32, ATTN_F16, ATTN_Q8_0, ATTN_Q4_0, ATTN_N_TYPE };

/* Pages as one (layer, head) sees them. */
struct attn_view { void *const *page; size_t key_at, value_at; enum attn_type type; int d; };
/* A row's running result: of all blocks so far, or of one. */
struct attn_sum { float max, sum; };

static inline int attn_padded(int d) { return (d + KERN_PANEL - 1) / KERN_PANEL * KERN_PANEL; }
static inline int attn_blocks(int d) { return (d + QK - 1) / QK; }
/* Bytes of the scales in front of the quantised elements, of keys or of values alike. */
static inline size_t attn_scale_bytes(enum attn_type t, int d)
{
    return t < ATTN_Q8_0 ? 0 : (size_t)attn_blocks(d) * KERN_PANEL * sizeof(uint16_t);
}
/* Q8_0: bytes in front of the ninth bits, of keys and of values; and bytes of these bits. */
static inline size_t attn_low_at(enum attn_type t, int d, int width) { return attn_scale_bytes(t, d) + (size_t)width * KERN_PANEL; }
static inline size_t attn_low_bytes(enum attn_type t, int d) { return t == ATTN_Q8_0 ? (size_t)((d + 7) / 8) * KERN_PANEL : 0; }
static inline int attn_block_width(int d, int b) { return d - b < QK ? d - b : QK; }

struct attn_kern {
    int tile;           /* rows of a strip */
    int direct;         /* with more rows than this, pages are expanded first */
    /* c[m·ATTN_P_ROW + 16·i + j] = Σ_d strip(m, d)·K(page0 + i)[d][j], one chain over ascending d; n_row rows in strips. */
    void (*scores)(float *c, const float *strip, int n_row, const struct attn_view *v, int page0, int n_page);
    /* c[m·Dp + i] += Σ_{pos0 ≤ pos < pos1} p[m·ATTN_P_ROW + pos - pos0]·V[pos][i], one chain over ascending positions. */
    void (*values)(float *c, const float *p, int n_row, const struct attn_view *v, int pos0, int pos1);
    /* One page's keys as float [D][16], values as float [16][Dp]. */
    void (*expand_keys)(float *dst, const struct attn_view *v, int page);
    void (*expand_values)(float *dst, const struct attn_view *v, int page);
    /* x = exp(x - max) after x = softcap·tanh(x/softcap) where softcap > 0; NaN counts as no maximum. */
    struct attn_sum (*softmax)(float *x, int n, float softcap);
    /* (acc, s) := (acc, s) merged with (part, p): both sums relative to the larger maximum. A sum of 0 has nothing to give. */
    void (*merge)(float *acc, struct attn_sum *s, const float *part, struct attn_sum p, int n);
};
const struct attn_kern *attn_kern_of(const struct kern *k);
extern const struct attn_kern attn_kern_ref;
#ifdef __x86_64__
extern const struct attn_kern attn_kern_avx2, attn_kern_avx512;
#endif
#ifdef __aarch64__
extern const struct attn_kern attn_kern_neon;
#endif

enum attn_type attn_type_of(const struct attn_shape *s);
size_t attn_key_bytes(const struct attn_shape *s);    /* whole cache lines */
size_t attn_part_bytes(const struct attn_shape *s);   /* keys and values */
struct attn_view attn_view_of(const struct attn_shape *s, const struct attn_seq *q, int head);
static inline float attn_scale(const struct attn_shape *s) { return s->scale != 0 ? s->scale : 1.0f / sqrtf((float)s->head_dim); }
/* First position that `pos` sees, and the first that it does not see any more, in an item that ends before `end`. */
static inline int attn_from(const struct attn_shape *s, int pos) { return s->window > 0 && pos >= s->window ? pos - s->window + 1 : 0; }
static inline int attn_to(const struct attn_shape *s, int pos, int end)
{
    if (!s->bidirectional)
        return pos + 1;
    return s->window > 0 && s->window < end - pos ? pos + s->window : end;
}

#endif
