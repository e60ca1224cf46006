/* step.c — embed, all layers, logits of chosen rows.
 *
 * Invariant: rows are independent (kern.h, order of accumulation), so neither the composition of a batch
 * nor the grouping of logit rows changes a value.  SPDX-License-Identifier: Apache-2.0 */
#include "infer/step.h"

#include <string.h>

enum { BATCH_MIN_ROWS = 128 };
#define BATCH_BYTES 64e6 /* of a layer's buffers: a 7B gets about 256 rows */

#define WATCH_AFTER 1.0 /* seconds: what ends sooner needs no line */

void watch_begin(struct progress *p, const struct engine *en, const char *label, int64_t total) {
    progress_start(p, label, total, 0);
    p->after = WATCH_AFTER;
    p->quiet = !en->watch;
}

static void plan(struct stepper *s, const struct hparams *hp, int rank) {
    struct arena *a = &s->mem;
    layer_acts_plan_forward(&s->acts, hp, s->max_row, rank, a);
    s->norm = arena_alloc(a, (size_t)STEP_LOGIT_ROWS * (size_t)hp->n_embd * sizeof(float), 64);
    s->inv_rms = arena_alloc(a, STEP_LOGIT_ROWS * sizeof(float), 64);
    s->logits = arena_alloc(a, (size_t)STEP_LOGIT_ROWS * (size_t)hp->n_vocab * sizeof(float), 64);
}

int stepper_init(struct stepper *s, struct engine *en, int max_row, ilab_err *e) {
    memset(s, 0, sizeof *s);
    s->en = en;
    s->max_row = max_row;
    const struct hparams *hp = &en->model->hp;
    int rank = en->adapter ? en->adapter->rank : 0;
    arena_init_counting(&s->mem);
    plan(s, hp, rank);
    size_t bytes = s->mem.used;
    arena_release(&s->mem);
    bytes += 1 << 12; /* alignment of the block's first byte */
    arena_init(&s->mem, bytes);
    if (arena_alloc(&s->mem, bytes, 1)) { /* one block for all, so that the plan cannot fail half-way */
        arena_reset(&s->mem);
        plan(s, hp, rank);
        return 0;
    }
    stepper_release(s);
    char human[32];
    format_bytes(human, sizeof human, (double)bytes);
    return err_set(e, ILAB_E_NOMEM, "not enough memory for the buffers of %d rows (%s)", max_row, human);
}

void stepper_release(struct stepper *s) {
    arena_release(&s->mem);
    memset(s, 0, sizeof *s);
}

int stepper_rows(const struct hparams *hp, int least) {
    struct arena a;
    struct layer_acts acts;
    arena_init_counting(&a);
    layer_acts_plan_forward(&acts, hp, BATCH_MIN_ROWS, 0, &a);
    double rows = BATCH_BYTES / (double)a.used * BATCH_MIN_ROWS;
    arena_release(&a);
    int n = rows < BATCH_MAX_ROWS ? (int)rows / KERN_PANEL * KERN_PANEL : BATCH_MAX_ROWS;
    n = n < BATCH_MIN_ROWS ? BATCH_MIN_ROWS : n;
    return n < least ? least : n;
}

int stepper_forward(struct stepper *s, const struct kv_pool *kv, const struct batch *rows, ilab_err *e) {
    struct engine *en = s->en;
    struct batch bound = *rows;
    const struct batch *b = &bound;
    kv_pool_bind(kv, &bound);
    embed_rows(gemm_kern(en->gemm), en->model, b, 0, b->n_row, s->acts.x);
    for (int l = 0; l < en->model->hp.n_layer; l++) {
        pager_enter(en->pager, l, b->n_row, PAGER_CIRCLE);
        layer_forward(en->gemm, en->model, en->adapter, l, l, b, &s->acts, s->acts.x);
        pager_leave(en->pager, l, b->n_row, PAGER_CIRCLE);
    }
    if (gemm_failed(en->gemm)) return err_set(e, ILAB_E_NOMEM, "not enough memory for a step of %d rows", b->n_row);
    return en->model->gguf ? gguf_check(en->model->gguf, e) : 0;
}

float *stepper_logits(struct stepper *s, const int32_t *row, int n) {
    output_logits(s->en->gemm, s->en->model, s->acts.x, row, n, s->norm, s->inv_rms, s->logits);
    return s->logits;
}

int not_finite(const struct engine *en, ilab_err *e) {
    const char *path = en->path ? en->path : "the model";
    return err_set(e, ILAB_E_FORMAT, "%s: what the model computes is not finite (NaN or infinity): the file is damaged%s; 'ilab model info FILE --check' looks at all weights",
                   path, en->adapter ? ", or the adapter" : "");
}
