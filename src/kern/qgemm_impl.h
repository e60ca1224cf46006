/* qgemm_impl.h — products of activations in 8 bits with quantised weights: data and contracts of the levels.
 *
 * The weights are read as the file stores them. Sixteen consecutive rows of W (a panel: one contiguous piece of memory)
 * times a chunk of 256 columns are unpacked into a `qtile`, bytes interleaved so that one register holds four
 * consecutive k of each row; then one kernel a family of types multiplies the tile with any number of rows of A.
 *
 * ORDER. A is rounded per row to int8: for super-block types per 256 elements, else per 32 (scale = amax/127, F32,
 * nearest, ties to even). Everything inside an integer sum is exact. An output is one float chain over ascending k,
 * starting from 0 or C:
 *   super-block types, per 256:  acc = fma((float)Σ_sub scale[sub]·Σ q·a, d·a_scale, acc), then for types with minima
 *                                acc = fma(-(float)Σ_sub min[sub]·Σ a, dmin·a_scale, acc)
 *   block types, per 32:         acc = fma((float)Σ q·a, d·a_scale, acc), then for types with an offset m
 *                                acc = fma(m, a_scale·Σ a, acc)
 * q is signed where the type has no minima. Tiles hold unsigned bytes q + offset; what the offset adds is taken off
 * again in integers. So all levels agree bit for bit, for any number of rows and threads.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_QGEMM_IMPL_H
#define ILAB_QGEMM_IMPL_H

#include "kern/kern.h"

enum {
    QG_CHUNK = 256,               /* columns of k in a tile */
    QG_SUB = 32,                  /* … in a block of activations */
    QG_ROWS = 6,                  /* rows of A that a level's kernel takes at most at once */
    QG_PAIR = 2,                  /* panels that a kernel takes at once: 32 columns of C */
    QG_ROW_AHEAD = 6144           /* bytes: how far ahead a product with one row of A fetches */
};

/* Rounded activations: one row, one chunk. Elements beyond n_k are zero. */
struct qact {
    int8_t q[QG_CHUNK];
    union {
        struct { float scale[8], sum[8]; } b;   /* block types: per 32; sum = scale·Σq */
        int32_t neg16[16];                      /* super-block types: -8·Σq per 16 */
    } u;
    int32_t neg32[8];                           /* -8·Σq per 32 */
    int16_t sum16[16], sum32[8];                /* Σq; super-block types */
    float scale;                                /* super-block types */
    int32_t unused[11];                         /* seven cache lines */
};
_Static_assert(sizeof(struct qact) == 448, "rows of a chunk stand whole cache lines apart");

/* Unpacked weights: sixteen rows of W, one chunk. For all rows: [k/4][row][4]. */
struct qtile {
    uint8_t q[QG_CHUNK / 4][KERN_PANEL][4];
    union {
        int32_t i[16][KERN_PANEL];              /* super-block types: scale per sub-block */
        struct { float d[8][KERN_PANEL], m[8][KERN_PANEL]; } f; /* block types */
    } scale;
    int16_t pair[8][KERN_PANEL][2];             /* minima of two sub-blocks each; without minima: the scales (AVX2 needs them) */
    float d[KERN_PANEL], dmin[KERN_PANEL];      /* super-block types */
};

/* Weights of 16-bit floats (F16, BF16) and activations as 16-bit integers; qgemm_wide.c has the maths. */
enum {
    WIDE_MOST = 8191,             /* of an activation; 32 products with weights (at most 8188) stay below 2^31 */
    WIDE_F16 = -15 - 12,          /* exponent of a block as the file has it → that of its scale */
    WIDE_BF16 = -127 - 12,
    WIDE_LEAST_BF16 = 127 - 60,   /* smaller exponents count as this one: scales and their products stay normal numbers */
    WIDE_MOST_F16 = 30, WIDE_MOST_BF16 = 127 + 60 /* a block beyond is bad */
};
#define WIDE_TINY 0x1p-60f         /* the same of the largest of a block of activations */
#define WIDE_HUGE 0x1p+60f
struct wact {                     /* one row, one chunk; elements beyond n_k are zero */
    int16_t q[QG_CHUNK];
    float scale[QG_CHUNK / QG_SUB];
    int32_t bad;                  /* an infinity or NaN: the row of C is NaN */
    int32_t unused[7];            /* nine cache lines */
};
struct wtile {                    /* sixteen rows of W, one chunk */
    int16_t q[QG_CHUNK / 2][KERN_PANEL][2];
    int32_t shift[QG_CHUNK / QG_SUB][KERN_PANEL]; /* exponents of the scales, where an F32 has its own */
    int32_t bad[KERN_PANEL];      /* not 0: the column of C is NaN */
};

/* Families of types: one kernel each. */
enum qfamily {
    QF_SUPER32_MIN,               /* sub-blocks of 32, minima: Q4_K Q5_K */
    QF_SUPER32,                   /* sub-blocks of 32: IQ4_XS, TQ1_0, TQ2_0 (scale 1) */
    QF_SUPER16_MIN,               /* sub-blocks of 16, minima: Q2_K */
    QF_SUPER16,                   /* Q3_K Q6_K */
    QF_BLOCK_MIN,                 /* blocks of 32 with an offset: Q4_1 Q5_1 */
    QF_BLOCK,                     /* Q8_0 Q4_0 Q5_0 IQ4_NL MXFP4 */
    QF_COUNT
};
/* Scalar form of one row of a chunk, as the type's decoder leaves it. */
struct qrow {
    uint8_t q[QG_CHUNK];          /* q + offset */
    int16_t scale[16], min[16];   /* super-block types */
    float d, dmin;
    float bd[8], bm[8];           /* block types */
};
struct qkind {
    enum qfamily family;
    int chunk_bytes;              /* of one row */
    int shift;                    /* offset of the bytes = 8 << shift (families without minima) */
    int steps;                    /* how many products of pairs of bytes fit 16 bits when added up (AVX2); 0: not even one */
    void (*decode)(struct qrow *r, const void *blocks, int n_sub /* blocks of 32 in the chunk */);
};
extern const struct qkind QKIND[QT_COUNT]; /* decode NULL: the type has no quantised product */
static inline int qkind_super(const struct qkind *k) { return k->family < QF_BLOCK_MIN; }

struct qgemm_ops {
    /* One chunk of one row: x[n], n ≤ 256; super_block: one scale. */
    void (*quantize)(struct qact *dst, const float *x, int n, int super_block);
    /* Sixteen rows, row_bytes apart; NULL: with the type's decoder. Sub-blocks s0 … n_sub of the chunk (of super-blocks:
     * 0 … 4 before 4 … 8, or 0 … 8). */
    void (*unpack[QT_COUNT])(struct qtile *t, const uint8_t *src, int64_t row_bytes, int s0, int n_sub);
    /* The same two for few rows of A, with a tile's bytes as these two agree on. NULL: the others. */
    void (*unpack_few[QT_COUNT])(struct qtile *t, const uint8_t *src, int64_t row_bytes, int s0, int n_sub);
    void (*tile_few[QT_COUNT])(float *const *c, int load, const struct qact *const *a, int n_row, const struct qtile *t, int n_sub, const struct qkind *k);
    /* One row of A (chunks act_step apart), sixteen whole rows of W: C[0..16) goes on from its content (load) or from 0. What lies
     * up to QG_ROW_AHEAD bytes on is fetched meanwhile. A slot that is NULL: by a tile. */
    void (*row[QT_COUNT])(float *c, int load, const struct qact *act, int64_t act_step, const uint8_t *src, int64_t row_bytes, int64_t n_k);
    /* rows[16] of decoded rows → tile */
    void (*interleave)(struct qtile *t, const struct qrow *rows, const struct qkind *k);
    /* v[k][16] of the first n_sub sub-blocks of a tile: the numbers that dequantize.c makes, bit for bit. NULL: qvalues.c dequantises. */
    void (*values)(float *v, const struct qtile *t, const struct qkind *k, int n_sub);
    /* Sub-block s of n_panel tiles of the kind QT_Q8_0 from floats: element 16·h + r of column c of panel p is v[h][(16·p + c)·16 + r].
     * A column is rounded as `quantize` rounds 32 activations. */
    void (*round)(struct qtile *t, int n_panel, int s, const float *const v[2]);
    /* C[i][0..32) of n_row ≤ QG_ROWS rows c[i] goes on from its content (load) or from 0; t[2] */
    void (*tile)(float *const *c, int load, const struct qact *const *a, int n_row, const struct qtile *t, int n_sub, const struct qkind *k);
    /* The same three of 16-bit integers: round, unpack, multiply. */
    void (*round_wide)(struct wact *dst, const float *x, int n);
    void (*unpack_wide)(struct wtile *t, const uint8_t *src, int64_t row_bytes, int n_sub, int bf16);
    void (*tile_wide)(float *const *c, int load, const struct wact *const *a, int n_row, const struct wtile *t, int n_sub);
};
/* Levels whose kernels take one panel: both panels, at most `most` rows at a time. */
#define QG_EACH_PANEL(most, call) \
    for (int p = 0; p < QG_PAIR; p++) \
        for (int i = 0; i < n_row; i += (most)) { \
            float *part[most]; \
            int n = n_row - i < (most) ? n_row - i : (most); \
            for (int m = 0; m < n; m++) \
                part[m] = c[i + m] + p * KERN_PANEL; \
            call; \
        }

extern const struct qgemm_ops qgemm_ref;
#ifdef __x86_64__
extern const struct qgemm_ops qgemm_avx2, qgemm_avx2_vnni, qgemm_avx512; /* the latter two want VNNI */
#define QGEMV(type) \
    void qgemv_##type##_avx512(float *c, int load, const struct qact *act, int64_t act_step, const uint8_t *src, int64_t row_bytes, int64_t n_k);
QGEMV(q8_0) QGEMV(q4_k) QGEMV(q6_k)
void qgemm_quantize_avx2(struct qact *dst, const float *x, int n, int super_block); /* wider registers gain nothing here */
void qgemm_round_wide_avx2(struct wact *dst, const float *x, int n);
void qgemm_tile_wide_avx2(float *const *c, int load, const struct wact *const *a, int n_row, const struct wtile *t, int n_sub);
#endif

#ifdef __aarch64__
extern const struct qgemm_ops qgemm_neon;
#endif

/* Scalar twins of the wide products (qgemm_wide.c). */
void qgemm_round_wide_ref(struct wact *dst, const float *x, int n);
void qgemm_unpack_wide_ref(struct wtile *t, const uint8_t *src, int64_t row_bytes, int n_sub, int bf16);
/* C after a chunk: NaN where a row of A or of W is bad. */
void qgemm_spread_bad(float *const *c, const struct wact *const *a, int n_row, const struct wtile *t);
void qgemm_tile_wide_ref(float *const *c, int load, const struct wact *const *a, int n_row, const struct wtile *t, int n_sub);

/* Scalar placing of decoded rows (qgemm_ref.c). */
void qtile_interleave_ref(struct qtile *t, const struct qrow *rows, const struct qkind *k);
/* Everything of a tile but q. */
void qtile_scales(struct qtile *t, const struct qrow *rows, const struct qkind *k);

/* One panel of `round`. keep_signed: bytes as they are, else with 0x80 added. */
#define QG_TINY 1e-30f         /* below: the block is zero (127/amax must stay finite) */
#define QG_LARGEST 0x1.fffffep+127f
void qtile_round_ref(struct qtile *t, int s, const float *v0, const float *v1, int keep_signed);

/* 1: a product that qgemm_run takes: B quantised and A to be rounded, or few rows of A and B of floats. The rest is for gemm.c. */
int qgemm_takes(const struct gemm *p);
/* Rows of C that are exact although the others are products of 14-bit integers: such a product is two. 0: it is one. */
int64_t qgemm_exact_rows(const struct gemm *p);
struct qgemm_scratch;
struct qvalues_work;
void qgemm_run(struct gemm_ctx *g, const struct gemm *p, int n);
void qgemm_scratch_free(struct qgemm_scratch *s);
/* Room for n rows of `chunks` chunks of A rounded per 32 (form 0) or 256 (1); NULL: no memory. */
struct qact *qgemm_act_reserve(struct gemm_ctx *g, int form, int64_t n_chunk, int64_t n_row);

/* ---- qvalues.c ---- */
/* v[n_k][16]: columns k0 … k0+n_k (whole blocks) of rows row0 … row0+n_row (≤ 16; the rest is 0) of a matrix of any element type,
 * as dequantize.c has them. n_k ≤ GEMM_KC; rows: [16][GEMM_KC] floats of scratch. */
void weight_values(const struct kern *k, struct qtile *tile, float *rows, float *v, const struct tensor *t, int64_t row0, int n_row, int64_t k0,
                   int64_t n_k);
/* C (+)= A·W with act GEMM_ACT_Q8 (form GEMM_B_TENSOR_ROWS). */
void qvalues_run(struct gemm_ctx *g, const struct gemm *p);
void qvalues_free(struct qvalues_work *w);

#endif
