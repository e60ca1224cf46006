/* learnt.h — samples that are learnt rest for some epochs and are looked at again: learnt.c. Private to `train`.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TRAIN_LEARNT_H
#define ILAB_TRAIN_LEARNT_H

#include "train/run.h"

struct learnt;
/* limit: the most that any target of a learnt sample may lose (nats). max_target: of one micro-batch. */
int learnt_new(struct learnt **out, size_t n_sample, int max_target, float limit, ilab_err *e);
void learnt_free(struct learnt *l);
void learnt_before(struct learnt *l, struct tape *t);                       /* before tape_step: it shall tell each target's loss */
/* After it, with the same batch. What was seen counts from learnt_apply on; learnt_drop forgets it (a step that did not happen). */
void learnt_after(struct learnt *l, const struct batch *b, const struct targets *y, const uint32_t *sample, int epoch);
/* What each process has seen since then, all know afterwards. reserve: before the step, for a global batch of so many samples; it can fail alone,
 * learnt_share cannot. */
int learnt_reserve(struct learnt *l, const struct communicator *c, size_t n_sample, ilab_err *e);
int learnt_share(struct learnt *l, struct communicator *c, ilab_err *e);
void learnt_apply(struct learnt *l);
void learnt_drop(struct learnt *l);
int learnt_rests(void *learnt, uint32_t sample, int epoch);                 /* a packing_rest_fn */
size_t learnt_resting(const struct learnt *l, int epoch);                   /* samples */
struct param learnt_param(struct learnt *l);                                /* its state, for the checkpoint */

#endif
