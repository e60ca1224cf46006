/* balance.h — samples in bins of about equal work: balance.c. Private to `train`.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TRAIN_BALANCE_H
#define ILAB_TRAIN_BALANCE_H

#include "train/train.h"

struct unit { uint32_t from, to /* places in the batch */; int64_t rows, cost; int bin; };
/* Sets the bins, and sorts by them; in a bin the order of places stays. load: room for n_bin numbers, scratch. */
void balance(struct unit *u, uint32_t n, int n_bin, int64_t *load);

#endif
