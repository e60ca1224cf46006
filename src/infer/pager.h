/* pager.h — weights of a model that is larger than the memory; private to `infer`.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_PAGER_H
#define ILAB_PAGER_H

#include "infer/infer.h"

struct pager;
/* *out is NULL when everything fits into `budget` bytes. The file stays the caller's. */
int pager_new(struct pager **out, const struct gguf *g, int n_layer, double budget, ilab_err *e);
void pager_free(struct pager *p);
/* Around layer `layer` of a forward pass over n_row rows; NULL is fine. */
void pager_enter(struct pager *p, int layer, int n_row);
void pager_leave(struct pager *p, int layer, int n_row);
/* Bytes that each pass reads from the disk, and the rate at which a first read went (bytes a second). */
void pager_expect(const struct pager *p, double *bytes_a_pass, double *rate);

#endif
