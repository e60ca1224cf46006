/* step.h — one forward pass over a batch: buffers of one layer, reused for all; private to `infer`.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_STEP_H
#define ILAB_STEP_H

#include "infer/infer.h"

enum { STEP_LOGIT_ROWS = 32 }; /* rows of logits computed together: bounds memory at large vocabularies */

struct stepper {
    struct engine *en;
    struct arena mem;
    struct layer_acts acts;
    float *norm, *inv_rms;     /* [STEP_LOGIT_ROWS,C], [STEP_LOGIT_ROWS] */
    float *logits;             /* [STEP_LOGIT_ROWS,V] */
    int max_row;
};
/* A progress line for who waits (engine.watch), from the second second on; progress_clear ends it. */
void watch_begin(struct progress *p, const struct engine *en, const char *label, int64_t total);
int stepper_init(struct stepper *s, struct engine *en, int max_row, ilab_err *e);
void stepper_release(struct stepper *s);
/* Rows through all layers; their keys and values are in the pages (of the pool) afterwards. */
int stepper_forward(struct stepper *s, const struct kv_pool *kv, const struct batch *b, ilab_err *e);
/* Rows of a step for which its buffers stay small: many enough that weights are used well; at least `least`, else at most
 * BATCH_MAX_ROWS. */
int stepper_rows(const struct hparams *hp, int least);
/* Logits [n,V] of n ≤ STEP_LOGIT_ROWS rows of the last forward; valid until the next call. */
float *stepper_logits(struct stepper *s, const int32_t *row, int n);
/* Logits that are no numbers: ILAB_E_FORMAT, with the file and what to do. */
int not_finite(const struct engine *en, ilab_err *e);

#endif
