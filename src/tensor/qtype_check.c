/* qtype_check.c — are the numbers of a tensor finite?
 *
 * A block can only give NaN or an infinity through its scales in F16 (or E8M0), so those are looked at: a few percent of the
 * bytes. Of plain numbers every one is. What it does not find: weights that are finite and wrong.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tensor/qtype_impl.h"

#include <stdatomic.h>
#include <string.h>

/* A field of each block whose bits under `mask` are all set when it is not finite. width 2, 4 or 8 bytes (1: E8M0). */
struct field { size_t at; int width; uint64_t mask; };
#define F16_AT(suffix, member) { offsetof(struct block_##suffix, member), 2, 0x7c00 }

static const struct field FIELDS[QT_COUNT][2] = { /* width 0: no field */
    [QT_F32] = { { 0, 4, 0x7f800000 } }, [QT_F16] = { { 0, 2, 0x7c00 } }, [QT_BF16] = { { 0, 2, 0x7f80 } },
    [QT_F64] = { { 0, 8, 0x7ff0000000000000 } },
    [QT_Q8_0] = { F16_AT(q8_0, d) }, [QT_Q4_0] = { F16_AT(q4_0, d) }, [QT_Q4_1] = { F16_AT(q4_1, d), F16_AT(q4_1, m) },
    [QT_Q5_0] = { F16_AT(q5_0, d) }, [QT_Q5_1] = { F16_AT(q5_1, d), F16_AT(q5_1, m) }, [QT_IQ4_NL] = { F16_AT(iq4_nl, d) },
    [QT_MXFP4] = { { offsetof(struct block_mxfp4, e), 1, 0xff } },
    [QT_Q2_K] = { F16_AT(q2_k, d), F16_AT(q2_k, dmin) }, [QT_Q3_K] = { F16_AT(q3_k, d) },
    [QT_Q4_K] = { F16_AT(q4_k, d), F16_AT(q4_k, dmin) }, [QT_Q5_K] = { F16_AT(q5_k, d), F16_AT(q5_k, dmin) },
    [QT_Q6_K] = { F16_AT(q6_k, d) }, [QT_IQ4_XS] = { F16_AT(iq4_xs, d) }, [QT_TQ1_0] = { F16_AT(tq1_0, d) },
    [QT_TQ2_0] = { F16_AT(tq2_0, d) },
};

/* First of n fields that are `stride` apart; -1: none. Specialised by width, so that the loops are tight. */
static inline __attribute__((always_inline)) int64_t first_set(const uint8_t *p, int64_t n, size_t stride, int width, uint64_t mask) {
    enum { RUN = 256 };
    for (int64_t i = 0; i < n; i += RUN) {
        int64_t m = n - i < RUN ? n - i : RUN;
        uint64_t any = 0;
        for (int64_t k = 0; k < m; k++) {
            uint64_t v = 0;
            memcpy(&v, p + (size_t)(i + k) * stride, (size_t)width);
            any |= (uint64_t)((v & mask) == mask);
        }
        for (int64_t k = 0; any && k < m; k++) {
            uint64_t v = 0;
            memcpy(&v, p + (size_t)(i + k) * stride, (size_t)width);
            if ((v & mask) == mask)
                return i + k;
        }
    }
    return -1;
}

int64_t qtype_check_rows(int type, const void *x, int64_t n) {
    const struct qtype_info *q = qtype_known(type);
    int64_t first = -1;
    for (int i = 0; q && i < 2; i++) {
        const struct field *f = &FIELDS[type][i];
        const uint8_t *p = (const uint8_t *)x + f->at;
        int64_t n_block = n / q->elems, at = -1;
        size_t stride = (size_t)q->bytes;
        switch (f->width) {
        case 1: at = first_set(p, n_block, stride, 1, f->mask); break;
        case 2: at = stride == 2 ? first_set(p, n_block, 2, 2, f->mask) : first_set(p, n_block, stride, 2, f->mask); break;
        case 4: at = first_set(p, n_block, 4, 4, f->mask); break;
        case 8: at = first_set(p, n_block, 8, 8, f->mask); break;
        default: break;
        }
        if (at >= 0 && (first < 0 || at * q->elems < first))
            first = at * q->elems;
    }
    return first;
}

enum { CHECK_ELEMS = 1 << 18 }; /* a multiple of all block lengths */

struct check { const struct tensor *t; const struct qtype_info *q; int64_t n; _Atomic int64_t first; };

static void check_task(void *ud, int i_task, int i_thread) {
    struct check *c = ud;
    int64_t from = (int64_t)i_task * CHECK_ELEMS, n = c->n - from < CHECK_ELEMS ? c->n - from : CHECK_ELEMS;
    const uint8_t *p = (const uint8_t *)c->t->data + (size_t)(from / c->q->elems) * (size_t)c->q->bytes;
    int64_t at = qtype_check_rows(c->t->type, p, n), seen = atomic_load(&c->first);
    (void)i_thread;
    if (at < 0)
        return;
    while (from + at < seen && !atomic_compare_exchange_weak(&c->first, &seen, from + at)) {}
}

int tensor_check_values(const struct tensor *t, struct pool *pool, ilab_err *e) {
    struct check c = { .t = t, .q = qtype_known(t->type), .n = tensor_elems(t) };
    if (!c.q)
        return err_set(e, ILAB_E_INVALID, "tensor '%s' has the unknown element type %d", t->name, t->type);
    atomic_store(&c.first, INT64_MAX);
    pool_run(pool, check_task, &c, (int)((c.n + CHECK_ELEMS - 1) / CHECK_ELEMS));
    int64_t at = atomic_load(&c.first);
    if (at == INT64_MAX)
        return 0;
    return err_set(e, ILAB_E_FORMAT, "tensor '%s' (%s) holds NaN or infinity: row %lld, from element %lld; the file is damaged", t->name,
                   c.q->name, (long long)(at / t->dim[0]), (long long)(at % t->dim[0]));
}
