/* kern.h — front header of layer 2 `kern`: the hot loops.
 *
 * `struct kern` is a table of slots; there is one constant table a level (ref, avx2, avx512, neon). kern_ref.c is the
 * specification, the scalar twin of every slot. ORDER OF ACCUMULATION: every element of a matrix product is one
 * chain of fused multiply-adds over ascending k that starts from the element's initial value. So a result
 * depends neither on how many rows are computed together, nor on threads, nor on how a long sum over k is cut
 * into calls; and the matrix products of all levels agree bit for bit. Sums over a row use sixteen strided partial sums and
 * one fixed tree, exp is our own polynomial: the other slots agree bit for bit between levels, too.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_KERN_H
#define ILAB_KERN_H

#include "base/base.h"
#include "tensor/tensor.h"

enum { KERN_PANEL = 16 }; /* columns of a packed panel of B; also positions of a KV page */

struct qgemm_ops;
struct limits_ops;
struct kern {
    const char *isa; /* "ref", "avx2", "avx512", "neon" */
    const struct qgemm_ops *q; /* products with quantised weights and activations in 8 bits (qgemm_impl.h) */
    const struct limits_ops *limits; /* loops that limits.c times */
    /* One tile: C[m, j] = init[m, j] + Σ_k A[m, k]·B[k, j] for m < n_row, j < n_col ≤ KERN_PANEL·2 when b2 ≠ NULL.
     * A(m,k) = a[m·a_row + k·a_col]; B(k,j) = b[k·b_row + j] for j < 16 and b2[k·b_row + j-16] beyond (b2 may be NULL:
     * then n_col ≤ 16); readable to full 16 columns only when n_col says so (tails are masked).
     * C row stride c_row, columns contiguous; load_c: start from C's content, else from 0. */
    void (*gemm_tile)(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row, int64_t a_col,
                      const float *b, const float *b2, int64_t b_row, int n_row, int n_col, int64_t n_k);
    /* dst[k·16 + j] = src[j·src_row + k] for j < n_col, k < n_k; columns n_col..15 are zero. */
    void (*pack_nt)(float *dst, const float *src, int64_t src_row, int n_col, int64_t n_k);
    /* NULL: none. One row of A with 32 whole rows of B (element type F32, F16 or BF16, row_bytes apart), n_k a multiple of 32:
     * C[j] = init[j] + Σ_k a[k]·B(k,j), the same chain as gemm_tile. Meanwhile n_ahead cache lines are fetched;
     * 0: what follows in the rows themselves. */
    void (*gemv_tile)(float *c, int load_c, const float *a, const void *src, int64_t row_bytes, int64_t n_k, int type, const uint8_t *ahead,
                      int64_t n_ahead);
    /* pack_nt from rows of F16 or BF16 (bf16 ≠ 0) that stand row_bytes apart. */
    void (*pack_half)(float *dst, const void *src, int64_t row_bytes, int n_col, int64_t n_k, int bf16);
    void (*rmsnorm)(float *y, float *inv_rms, const float *x, const float *w, int n, float eps);        /* one row */
    /* dx += …; dw (NULL: frozen) += … one row; x the input of the forward, inv_rms from there */
    void (*rmsnorm_back)(float *dx, float *dw, const float *dy, const float *x, const float *w, float inv_rms, int n);
    void (*rope)(float *x, int n_head, int head_dim, int rope_dim, const float *cos_sin /* [rope_dim/2][2] */, int inverse);
    /* The pairs are (i, i + rope_dim/2): "neox"; cos_sin: rope_dim/2 cosines, then as many sines. */
    void (*rope_halves)(float *x, int n_head, int head_dim, int rope_dim, const float *cos_sin, int inverse);
    void (*layernorm)(float *y, const float *x, const float *w, const float *b /* NULL: none */, int n, float eps); /* one row; y may be x */
    /* y = gelu(gate)·up, up NULL: 1; the tanh form (Hendrycks, Gimpel 2016): x·sigmoid(2·sqrt(2/π)·(x + 0.044715·x³)) */
    void (*gelu_mul)(float *y, const float *gate, const float *up, int64_t n);
    void (*gelu_mul_back)(float *dgate, float *dup /* untouched without up */, const float *dy, const float *gate, const float *up, int64_t n); /* overwrites */
    void (*layernorm_back)(float *dx, const float *dy, const float *x, const float *w, int n, float eps); /* dx += …; one row; x the input of the forward */
    void (*sigmoid)(float *y, const float *x, int64_t n);
    void (*softcap)(float *x, float cap, int64_t n);                    /* x = cap·tanh(x/cap) */
    void (*softcap_back)(float *d, const float *y, float cap, int64_t n); /* d *= 1 − (y/cap)²; y what softcap gave */
    void (*softmax)(float *x, int n);                                   /* in place; −INF entries give 0 */
    float (*log_sum_exp)(const float *x, int n);
    void (*silu_mul)(float *y, const float *gate, const float *up, int64_t n);                  /* y = silu(gate)·up */
    void (*silu_mul_back)(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n); /* overwrites */
    void (*add)(float *y, const float *x, int64_t n);                                           /* y += x */
    void (*axpy)(float *y, float a, const float *x, int64_t n);                                 /* y += a·x */
    void (*scale)(float *y, float a, int64_t n);
    float (*dot)(const float *a, const float *b, int64_t n);            /* 16 strided partial sums, then a fixed tree */
    double (*sum_squares)(const float *x, int64_t n);
    int (*argmax)(const float *x, int n);                               /* first of equals */
    /* AdamW (Loshchilov, Hutter 2019), bias corrections folded into lr_t and eps_t by the caller:
     * m = b1·m + (1-b1)·g; v = b2·v + (1-b2)·g²; w -= lr_t·m/(sqrt(v)+eps_t) + lr·decay·w, with g scaled by g_scale first. */
    void (*adamw)(float *w, float *m, float *v, const float *g, int64_t n, float g_scale, float lr_t, float b1, float b2,
                  float eps_t, float lr_decay);
};
/* Table for the CPU features given (cpu_detect()); static storage, never freed. */
const struct kern *kern_get(unsigned cpu);

/* ---- matrix products over a thread pool (gemm.c) ---- */
/* How the rows of A enter a product with a quantised B (form GEMM_B_TENSOR). */
enum gemm_act {
    GEMM_ACT_F32, /* as they are: B is dequantised; the exact chain of fused multiply-adds (training, tests) */
    GEMM_ACT_Q8   /* rounded to 8 bits in blocks of 32, integer products (qgemm.c has the order); inference. B of type F32,
                   * F16, BF16 falls back to GEMM_ACT_F32 (not in GEMM_B_TENSOR_ROWS), but for rows of n_wide */
};
/* B comes in one of three forms. */
enum gemm_b {
    GEMM_B_PACKED, /* panels: B(k, 16p+j) = b[(p·n_k + k)·16 + j]; written by gemm_pack */
    GEMM_B_ROWS,   /* b[k·b_row + j]: row-major [n_k, n_col]; F32 */
    GEMM_B_TENSOR, /* t is [n_col rows, n_k] of any element type, used transposed: B(k,j) = t[j][k] */
    GEMM_B_TENSOR_ROWS /* t is [n_k rows, n_col] of any element type: B(k,j) = t[k][j] (gradients go back through weights so). With
                    * GEMM_ACT_Q8 both sides are rounded along k per 32: A as for blocks of 32, W column by column after it was dequantised
                    * (qvalues.c); no gathered rows. */
};
struct gemm {
    int64_t n_row, n_col, n_k;
    float *c; int64_t c_row;
    int load_c;                        /* add to C instead of overwriting */
    const float *a; int64_t a_row, a_col;
    enum gemm_b form;
    const float *b; int64_t b_row;
    const struct tensor *t;
    enum gemm_act act;
    int64_t n_wide;                    /* With GEMM_ACT_Q8 and B of type F16 or BF16 (n_k a multiple of 32): the last n_wide rows of C are products
                                        * of 14-bit integers, about twice as fast for many rows (qgemm_wide.c) */
    const int32_t *row_index;          /* NULL, or [n_row]: row i of the product is row row_index[i] of A; C stays compact */
};
/* Runs on all threads of the pool (NULL: here). Scratch memory is the context's. */
struct gemm_ctx;
struct gemm_ctx *gemm_ctx_new(const struct kern *k, struct pool *pool); /* NULL: no memory */
void gemm_ctx_free(struct gemm_ctx *g);
const struct kern *gemm_kern(const struct gemm_ctx *g);
struct pool *gemm_pool(const struct gemm_ctx *g);
void gemm_run(struct gemm_ctx *g, const struct gemm *p);
/* n products that share A (same a, a_row, a_col = 1, n_k) but not n_row, row_index, B and C: A is rounded once, and all run in
 * one pass of the pool (q, k, v; gate, up; the experts of a mixture). */
void gemm_run_group(struct gemm_ctx *g, const struct gemm *p, int n);
size_t gemm_packed_floats(int64_t n_col, int64_t n_k);                   /* floats that gemm_pack writes */
void gemm_pack(struct gemm_ctx *g, float *dst, const struct tensor *t);  /* tensor [n_col, n_k] of any type → panels */

/* ---- what the machine can do (limits.c): the figures that speeds are measured against ---- */
/* All threads of the pool together, best of short runs (half a second in all): memory read, multiply-adds in registers at this
 * level (a multiply-add counts two), and the same of 8-bit integers. */
struct machine_limits { double read_gb_per_s, fp32_gflops, int8_gops; };
int limits_measure(const struct kern *k, struct pool *pool, struct machine_limits *out); /* 0 or ILAB_E_NOMEM */

/* ---- attention (attention.c) ---- */
/* A page holds KERN_PANEL positions. The part of layer l and KV head h starts (l·n_kv_head + h)·step bytes into it: keys after
 * RoPE as [D][16], then values as [16][D], in the element type of the shape (attention_page.c has the layouts). */
struct attn_seq {
    void *const *page;
    size_t layer;                      /* index used in the formula; 0 when pages hold one layer */
    size_t step;                       /* 0: one part follows the other (attn_page_bytes / n_kv_head) */
};
struct attn_shape {
    int n_head, n_kv_head, head_dim;
    int kv_type;                       /* element type of pages: QT_F32 (0), QT_F16, QT_Q8_0, QT_Q4_0 */
    float scale;                       /* of the scores; 0: 1/sqrt(D) */
    float softcap;                     /* scores become softcap·tanh(score/softcap); 0: none */
    int window;                        /* a position sees itself and the window-1 before it; 0: all before it */
    int bidirectional;                 /* every row of an item sees all of the item's positions (encoders) */
};
size_t attn_page_bytes(const struct attn_shape *s);                      /* of one layer in a page: n_kv_head parts, each of whole cache lines */
int attn_type_known(int kv_type);                                        /* 1: pages may hold this type */
/* Scratch memory: reserve it where a failure can be reported (0 or ILAB_E_NOMEM); backward's grows with the longest sequence.
 * Calls that would need more and get none write zeros and set a flag that gemm_failed returns and clears. */
int attn_reserve(struct gemm_ctx *g, const struct attn_shape *s, int max_pos, int backward);
int gemm_q8_has(int type);                                               /* 1: weights of this type have a product with GEMM_ACT_Q8 */
size_t gemm_q8_bytes(const struct gemm_ctx *g, int64_t n_row, int64_t widest); /* scratch of products with GEMM_ACT_Q8, n_k and n_col ≤ widest; about */
size_t gemm_exact_bytes(int64_t widest, int64_t n_row);                  /* the same of exact products with F32 sides, at most */
size_t attn_backward_floats(const struct attn_shape *s, int64_t n);      /* of one thread, for sequences of n positions */
int gemm_failed(struct gemm_ctx *g);
void attn_store(const struct attn_shape *s, const struct attn_seq *q, int pos, const float *k /* [Hkv,D] */, const float *v);
/* out[r] = softmax(scale·q[r]·K)·V over the positions that pos0+r sees, for n_row consecutive positions. Rows [T, H·D], strides q_row,
 * o_row. ORDER: positions are taken in blocks that begin at multiples of ATTN_BLOCK; each gives its maximum, its sum (sixteen strided
 * partial sums, one tree) and Σ exp(score - maximum)·V (one chain over ascending positions); they are merged in ascending order.
 * So a row's bits depend neither on the rows it is computed with nor on threads. */
enum { ATTN_BLOCK = 256 };
void attn_forward(struct gemm_ctx *g, const struct attn_shape *s, const struct attn_seq *seq, int n_row, int pos0,
                  const float *q, int64_t q_row, float *out, int64_t o_row);
/* Many independent (seq, n_row, pos0, row0) items in one pool_run: item i works on rows row0..row0+n_row of q and out. */
struct attn_item { struct attn_seq seq; int row0, n_row, pos0; };
void attn_forward_batch(struct gemm_ctx *g, const struct attn_shape *s, const struct attn_item *it, int n_item,
                        const float *q, int64_t q_row, float *out, int64_t o_row);
/* Backward for whole causal sequences (training; not for bidirectional shapes): rows row0..row0+n_row of q, k (after RoPE), v,
 * out, dout; writes (not adds) the same rows of dq, dk, dv. All [T, heads·D] with the given row strides. An item with pos0 > 0, a multiple of
 * KERN_PANEL, goes on from the nearest item before it that begins at 0, which has exactly pos0 rows: these are its first positions, several
 * items may share them, and their dk and dv are the sums. */
void attn_backward_batch(struct gemm_ctx *g, const struct attn_shape *s, const struct attn_item *it, int n_item,
                         const float *q, const float *k, const float *v, int64_t q_row, int64_t kv_row,
                         const float *out, const float *dout, int64_t o_row, float *dq, float *dk, float *dv);

#endif
