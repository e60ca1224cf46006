/* mean_loss.c — the loss of a model on some samples, without training: what merging into small types costs.
 *
 * A model without an adapter gets one that changes nothing, so that there is one path.  SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

int train_mean_loss(struct gemm_ctx *g, struct model *m, struct adapter *ad, const struct dataset *d, int max_tokens, double *loss, ilab_err *e) {
    struct dataset part = *d;
    struct data_shape shape;
    struct adapter *none = NULL;
    struct packing *p = NULL;
    struct tape *t = NULL;
    int64_t n_tokens = 0;
    part.n = 0;
    while (part.n < d->n && n_tokens < max_tokens)
        n_tokens += d->v[part.n++].n;
    int rc = data_shape(&part, m->hp.n_vocab, &shape, e);
    if (!rc && !ad)
        rc = adapter_new(&none, m, 1, 1, 1u << LIN_Q, m->hp.n_layer - 1, 1, e);
    if (!rc)
        rc = packing_new(&p, &part, shape.max_row > 512 ? shape.max_row : 512, shape.max_row > 512 ? shape.max_row : 512, 1, e);
    if (!rc)
        rc = model_rope_reserve(m, shape.max_row, e);
    int max_row = p ? packing_max_row(p) : 1;
    if (!rc)
        rc = tape_new(&t, g, m, ad ? ad : none, max_row, max_row, e);
    double sum = 0, weight = 0;
    for (int i = 0; !rc && i < packing_n_batches(p, 0); i++)
        for (int k = 0; !rc && k < packing_n_micro(p, 0, i); k++) {
            struct batch b;
            struct targets y;
            packing_micro(p, 0, i, k, &b, &y);
            rc = signal_pending() ? err_set(e, ILAB_E_CANCEL, "stopped") : tape_step(t, &b, &y, &(struct loss_opts){ 0 }, 1, 0, &sum, &weight, e);
        }
    *loss = weight > 0 ? sum / weight : 0;
    tape_free(t);
    packing_free(p);
    adapter_free(none);
    return rc;
}
