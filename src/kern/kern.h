/* kern.h — front header of layer 2 `kern`: the hot loops.
 *
 * `struct kern` is a table of slots; there is one constant table a level (ref, avx2, avx512). kern_ref.c is the
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

struct kern {
    const char *isa; /* "ref", "avx2", "avx512" */
    /* One tile: C[m, j] = init[m, j] + Σ_k A[m, k]·B[k, j] for m < n_row, j < n_col ≤ KERN_PANEL·2 when b2 ≠ NULL.
     * A(m,k) = a[m·a_row + k·a_col]; B(k,j) = b[k·b_row + j] for j < 16 and b2[k·b_row + j-16] beyond (b2 may be NULL:
     * then n_col ≤ 16); readable to full 16 columns only when n_col says so (tails are masked).
     * C row stride c_row, columns contiguous; load_c: start from C's content, else from 0. */
    void (*gemm_tile)(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row, int64_t a_col,
                      const float *b, const float *b2, int64_t b_row, int n_row, int n_col, int64_t n_k);
    /* dst[k·16 + j] = src[j·src_row + k] for j < n_col, k < n_k; columns n_col..15 are zero. */
    void (*pack_nt)(float *dst, const float *src, int64_t src_row, int n_col, int64_t n_k);
    void (*rmsnorm)(float *y, float *inv_rms, const float *x, const float *w, int n, float eps);        /* one row */
    /* dx += …; dw (NULL: frozen) += … one row; x the input of the forward, inv_rms from there */
    void (*rmsnorm_back)(float *dx, float *dw, const float *dy, const float *x, const float *w, float inv_rms, int n);
    void (*rope)(float *x, int n_head, int head_dim, int rope_dim, const float *cos_sin /* [rope_dim/2][2] */, int inverse);
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
/* B comes in one of three forms. */
enum gemm_b {
    GEMM_B_PACKED, /* panels: B(k, 16p+j) = b[(p·n_k + k)·16 + j]; written by gemm_pack */
    GEMM_B_ROWS,   /* b[k·b_row + j]: row-major [n_k, n_col]; F32 */
    GEMM_B_TENSOR  /* t is [n_col rows, n_k] of any element type, used transposed: B(k,j) = t[j][k] */
};
struct gemm {
    int64_t n_row, n_col, n_k;
    float *c; int64_t c_row;
    int load_c;                        /* add to C instead of overwriting */
    const float *a; int64_t a_row, a_col;
    enum gemm_b form;
    const float *b; int64_t b_row;
    const struct tensor *t;
};
/* Runs on all threads of the pool (NULL: here). Scratch memory is the context's. */
struct gemm_ctx;
struct gemm_ctx *gemm_ctx_new(const struct kern *k, struct pool *pool); /* NULL: no memory */
void gemm_ctx_free(struct gemm_ctx *g);
const struct kern *gemm_kern(const struct gemm_ctx *g);
struct pool *gemm_pool(const struct gemm_ctx *g);
void gemm_run(struct gemm_ctx *g, const struct gemm *p);
size_t gemm_packed_floats(int64_t n_col, int64_t n_k);                   /* floats that gemm_pack writes */
void gemm_pack(struct gemm_ctx *g, float *dst, const struct tensor *t);  /* tensor [n_col, n_k] of any type → panels */

/* ---- attention (attention.c) ---- */
/* A page holds KERN_PANEL positions of one layer and KV head: keys after RoPE as [D][16], then values as [16][D].
 * page(i) of layer l, head h starts at page[i] + ((l·n_kv_head + h)·2)·16·D, its values 16·D floats further on. */
struct attn_seq { float *const *page; size_t layer; /* index used in the formula; 0 when pages hold one layer */ };
struct attn_shape { int n_head, n_kv_head, head_dim; };
/* Scratch memory grows with the longest sequence. Reserve it where a failure can be reported (0 or ILAB_E_NOMEM); calls
 * that would need more and get none write zeros and set a flag that gemm_failed returns and clears. */
int attn_reserve(struct gemm_ctx *g, const struct attn_shape *s, int max_pos, int backward);
int gemm_failed(struct gemm_ctx *g);
void attn_store(const struct attn_shape *s, const struct attn_seq *q, int pos, const float *k /* [Hkv,D] */, const float *v);
/* out[r] = softmax(q[r]·K[0..pos0+r] / sqrt(D))·V for n_row consecutive positions from pos0. Rows [T, H·D], strides q_row, o_row. */
void attn_forward(struct gemm_ctx *g, const struct attn_shape *s, const struct attn_seq *seq, int n_row, int pos0,
                  const float *q, int64_t q_row, float *out, int64_t o_row);
/* Many independent (seq, n_row, pos0, row0) items in one pool_run: item i works on rows row0..row0+n_row of q and out. */
struct attn_item { struct attn_seq seq; int row0, n_row, pos0; };
void attn_forward_batch(struct gemm_ctx *g, const struct attn_shape *s, const struct attn_item *it, int n_item,
                        const float *q, int64_t q_row, float *out, int64_t o_row);
/* Backward for whole causal sequences that start at position 0 (training): rows row0..row0+n_row of q, k (after RoPE), v,
 * out, dout; writes (not adds) the same rows of dq, dk, dv. All [T, heads·D] with the given row strides. */
void attn_backward_batch(struct gemm_ctx *g, const struct attn_shape *s, const struct attn_item *it, int n_item,
                         const float *q, const float *k, const float *v, int64_t q_row, int64_t kv_row,
                         const float *out, const float *dout, int64_t o_row, float *dq, float *dk, float *dv);

#endif
