/* kern_impl.h — what the files of this folder share: the tables of all levels, the constants of exp, the scratch
 * memory of a gemm_ctx.
 *
 * exp (all levels and the scalar twin run the very same steps, so they agree bit for bit):
 *   n = round(x / ln 2), r = x - n·ln 2 (ln 2 in two parts), exp(x) = 2^n · Taylor polynomial of degree 7 in r.
 *   |r| ≤ ln2/2 makes the truncation error r^8/8! < 6e-9, a tenth of an ulp; 2^n is applied in two exact halves so
 *   that results down to the denormals and up to +INF come out right.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_KERN_IMPL_H
#define ILAB_KERN_IMPL_H

#include "kern/kern.h"

#include <math.h>
#include <string.h>

extern const struct kern kern_ref;
#ifdef __x86_64__
extern const struct kern kern_avx2, kern_avx2_vnni, kern_avx512, kern_avx512_vnni;
#endif
#ifdef __aarch64__
extern const struct kern kern_neon;
#endif

#define EXP_LO -104.0f        /* below: 0 */
#define EXP_HI 89.0f          /* above: +INF */
#define EXP_LOG2E 0x1.715476p+0f
#define EXP_LN2_HI 0x1.62e430p-1f
#define EXP_LN2_LO -0x1.05c610p-29f
#define EXP_ROUND 0x1.8p+23f  /* adding it rounds to an integer that stands in the low bits */
#define EXP_C2 (1.0f / 2)
#define EXP_C3 (1.0f / 6)
#define EXP_C4 (1.0f / 24)
#define EXP_C5 (1.0f / 120)
#define EXP_C6 (1.0f / 720)
#define EXP_C7 (1.0f / 5040)
#define GELU_C1 1.5957691216057308f /* 2·sqrt(2/π) */
#define GELU_C3 0.0713548162726f    /* … · 0.044715 */

enum {
    GEMM_MR = 12,                 /* rows of a tile and of a packed strip of A, whose columns stand 16 apart */
    GEMM_KC = 384,                /* longest block of k that is packed at once */
    GEMM_KC_SHORT = 128,          /* the same when A is transposed: the lines of a column of A must not evict each other */
    GEMM_NC = 256,                /* columns of B that one task packs: KC·NC floats stay in the second-level cache */
    GEMM_MAX_NC = 768,            /* … and with short blocks of k */
    GEMM_A_ROWS = 16 * GEMM_MR    /* rows of A that are worked on (and, if transposed, packed) at once: whole cache lines */
};

/* The scalar steps of exp, and the tree over sixteen partial sums. */
float exp_ref(float x);
float lanes_sum(float s[16]);

struct gemm_scratch {
    float *b, *a, *rows, *values; /* [NC/16][KC][16], [A_ROWS/MR][KC][16], [16][KC], [KC][16] */
    struct qtile *tile;           /* weights on their way to floats */
    float *attn;                  /* grown by gemm_scratch_grow */
    size_t n_attn;                /* floats */
};
struct gemm_ctx {
    const struct kern *k;
    struct pool *pool;
    int n_thread, failed;
    struct gemm_scratch *thread;  /* [n_thread] */
    struct qgemm_scratch *q;      /* of quantised products; made when first needed */
    struct qvalues_work *qv;      /* the same of qvalues.c */
    float *rows;                  /* rows of A brought together for a product with row_index */
    size_t n_rows;                /* floats */
    float *packed;                /* B of a product, packed by all threads for all (gemm.c) */
    size_t n_packed;              /* floats */
    float *partial;               /* results of blocks of positions that several threads work on (attention.c) */
    size_t n_partial;             /* floats */
    float *base;
};
/* Runs the tasks on the pool, or here when that is not worth the trouble. */
void gemm_tasks(struct gemm_ctx *g, pool_task_fn *fn, void *ud, int n_task, int here);
/* Room for [n_row, n_k] floats; NULL: no memory. */
float *gemm_rows_reserve(struct gemm_ctx *g, size_t n_row, size_t n_k);
/* No memory: C becomes zeros and gemm_failed says so. */
void gemm_zero(struct gemm_ctx *g, const struct gemm *p);
/* ---- gemm_thin.c: A transposed, B row-major, C of few rows or few columns ---- */
int gemm_thin_takes(const struct gemm *p);
void gemm_thin_run(struct gemm_ctx *g, const struct gemm *p);
/* At least n floats of attention scratch for every thread; 0 or ILAB_E_NOMEM. */
int gemm_scratch_grow(struct gemm_ctx *g, size_t n);

#endif
