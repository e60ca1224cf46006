/* optim_adafactor.h — Adafactor's state and step; only optim.c includes it.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TRAIN_OPTIM_ADAFACTOR_H
#define ILAB_TRAIN_OPTIM_ADAFACTOR_H

#include "train/train.h"

struct adafactor;
int adafactor_new(struct adafactor **out, struct gemm_ctx *g, const struct param *p, int n_param, ilab_err *e);
size_t adafactor_bytes(const struct param *p, int n_param);
void adafactor_free(struct adafactor *a);
float *adafactor_state(struct adafactor *a, size_t *n);
/* One update: g_scale multiplies the gradients, step counts from 1, decay is lr · weight_decay for params that decay. */
void adafactor_step(struct adafactor *a, float g_scale, float lr, float decay, int64_t step);

#endif
