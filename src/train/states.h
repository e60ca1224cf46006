/* states.h — hidden states at the lowest adapted layer, kept from one epoch to the next: states.c. Private to `train`.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TRAIN_STATES_H
#define ILAB_TRAIN_STATES_H

#include "train/run.h"

struct states;
/* Room for the samples of d and, behind them, of val (NULL allowed). path NULL: in memory; else a file, whose content of an earlier run
 * is used when `key` (base, data, layer, way of computing) is the same. Both datasets must outlive it. */
int states_new(struct states **out, const struct dataset *d, const struct dataset *val, int n_embd, const char *path, const char *key, ilab_err *e);
void states_free(struct states *s);
/* to [n_row, C]; 0: it was not kept (or is damaged on the disk, which is the same). */
int states_get(struct states *s, uint32_t sample, float *to);
double states_missing(const struct states *s, size_t n);                /* share of the first n samples' rows that is not kept */
void states_put(struct states *s, uint32_t sample, const float *from);  /* a disk that is full ends the keeping, not the run */

#endif
