/* mean_loss.c — the loss of a model on some samples, without training: what merging into small types costs.
 *
 * A model without an adapter gets one that changes nothing, so that there is one path.  SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

/* Nothing is kept for a backward pass that does not come. */
struct tape_opts mean_loss_opts(const struct model *m) { return (struct tape_opts){ .recompute = m->hp.n_layer, .lean = 1 }; }

static int page_weights(struct tape_opts *o, const struct model *m, const struct adapter *ad, int max_row, size_t memory, ilab_err *e) {
    struct plan_row row[16];
    size_t sum = mem_rss(m->gguf ? m->path : NULL, &(size_t){ 0 });
    if (!memory || !m->gguf || m->params)
        return 0;
    for (int n = tape_plan_with(m, ad, max_row, max_row, o, row, ARRAY_LEN(row)); n--;)
        sum += row[n].bytes;
    const size_t file = (size_t)gguf_file_bytes(m->gguf), room = memory > sum ? memory - sum : 0, least = (size_t)pager_least(m->gguf, m->hp.n_layer);
    return file <= room ? 0 : pager_new(&o->pager, m->gguf, m->hp.n_layer, (double)(room > least ? room : least), e);
}

int train_mean_loss(struct gemm_ctx *g, struct model *m, struct adapter *ad, const struct dataset *d, int max_tokens, size_t memory, double *loss, ilab_err *e) {
    struct dataset part = *d;
    struct data_shape shape;
    struct adapter *none = NULL;
    struct packing *p = NULL;
    struct tape *t = NULL;
    struct tape_opts how = mean_loss_opts(m);
    int64_t n_tokens = 0;
    part.n = 0;
    while (part.n < d->n && n_tokens < max_tokens)
        n_tokens += d->v[part.n++].n;
    int rc = data_shape(&part, m->hp.n_vocab, &shape, e);
    if (!rc && !ad)
        rc = adapter_new(&none, m, 1, 1, 1u << LIN_Q, m->hp.n_layer - 1, 1, e);
    if (!rc)
        rc = packing_new(&p, &part, shape.max_row > MEAN_LOSS_ROWS ? shape.max_row : MEAN_LOSS_ROWS, shape.max_row > MEAN_LOSS_ROWS ? shape.max_row : MEAN_LOSS_ROWS, 1, e);
    if (!rc)
        rc = model_rope_reserve(m, shape.max_row, e);
    int max_row = p ? packing_max_row(p) : 1;
    if (!rc)
        rc = page_weights(&how, m, ad ? ad : none, max_row, memory, e);
    if (!rc)
        rc = tape_new_with(&t, g, m, ad ? ad : none, max_row, max_row, &how, e);
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
    pager_free(how.pager);
    packing_free(p);
    adapter_free(none);
    return rc;
}
