/* step.c — embed, all layers, logits of chosen rows.
 *
 * Invariant: rows are independent (kern.h, order of accumulation), so neither the composition of a batch
 * nor the grouping of logit rows changes a value.  SPDX-License-Identifier: Apache-2.0 */
#include "infer/step.h"

#include <string.h>

static void plan(struct stepper *s, const struct hparams *hp, int rank) {
    struct arena *a = &s->mem;
    layer_acts_plan(&s->acts, hp, s->max_row, rank, a);
    s->x_next = arena_alloc(a, (size_t)s->max_row * (size_t)hp->n_embd * sizeof(float), 64);
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

void stepper_forward(struct stepper *s, const struct batch *b) {
    struct engine *en = s->en;
    embed_rows(en->model, b->id, b->n_row, s->acts.x);
    for (int l = 0; l < en->model->hp.n_layer; l++) {
        layer_forward(en->gemm, en->model, en->adapter, l, l, b, &s->acts, s->x_next);
        float *x = s->acts.x;
        s->acts.x = s->x_next;
        s->x_next = x;
    }
}

float *stepper_logits(struct stepper *s, const int32_t *row, int n) {
    output_logits(s->en->gemm, s->en->model, s->acts.x, row, n, s->norm, s->inv_rms, s->logits);
    return s->logits;
}
