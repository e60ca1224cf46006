/* work.c — how many operations a step is.
 *
 * Counted are products and attention; all else is small. A mixture counts the experts that a token uses.  SPDX-License-Identifier: Apache-2.0 */
#include "train/plan.h"

/* Weights that a token of one layer is multiplied with. down: the last product of the feed-forward alone. */
static double layer_weights(const struct hparams *h, double *down) {
    const double c = h->n_embd, q = (double)h->n_head * h->head_dim, kv = (double)h->n_kv_head * h->head_dim;
    const int in = h->plain_ffn ? 1 : 2;
    double f = h->n_expert ? (double)h->n_expert_used * h->n_ff_expert + h->n_ff_shared : h->n_ff;
    *down = c * f;
    return c * (q + 2 * kv) + q * c + (in + 1) * c * f + (h->n_expert ? c * h->n_expert : 0);
}

double run_flops(const struct model *m, const struct adapter *ad, double rows, double rows_squared, double n_target) {
    const struct hparams *h = &m->hp;
    double c = h->n_embd, q = (double)h->n_head * h->head_dim, down, linear = layer_weights(h, &down), sum = 0;
    int backward = !ad;                         /* gradients reach down to the lowest adapted layer */
    for (int l = 0; l < h->n_layer; l++) {
        for (int k = 0; ad && k < ADAPT_COUNT; k++) {
            const struct lora *lo = &ad->lora[l * ADAPT_COUNT + k];
            if (!lo->on)
                continue;
            backward = 1;
            sum += 6 * rows * (lo->n_matrix > 1 ? h->n_expert_used : 1) * lo->rank * ((double)lo->n_in + lo->n_out);
        }
        sum += rows * linear * (!backward ? 2 : ad ? 4 : 6) + rows_squared * q * (backward ? 6 : 2);
    }
    return sum + n_target * c * h->n_vocab * (ad ? 4 : 6);
}

struct packing_cost run_cost(const struct model *m, const struct adapter *ad) {
    enum { ROW = 1000000 };
    const double row = run_flops(m, ad, 1, 0, 0);
    return (struct packing_cost){ ROW, (int64_t)(ROW * run_flops(m, ad, 0, 1, 0) / row), (int64_t)(ROW * run_flops(m, ad, 0, 0, 1) / row) };
}

double work_below(const struct model *m, const struct adapter *ad, double rows, double squares) {
    double down;
    return adapter_lowest_layer(ad) * (rows * 2 * layer_weights(&m->hp, &down) + squares * 2 * m->hp.n_head * m->hp.head_dim);
}

double work_micro(const struct model *m, const struct adapter *ad) {
    const struct hparams *h = &m->hp;
    return UNPACK_ROWS * (run_flops(m, ad, 1, 0, 0) - work_below(m, ad, 1, 0)) * (h->n_expert_used > 0 ? (double)h->n_expert / h->n_expert_used : 1);
}

double work_layer_again(const struct model *m) {
    double down, all = layer_weights(&m->hp, &down);
    return 2 * (layer_can_redo(&m->hp) ? all - down : all);
}

struct data_work work_of(const struct dataset *d) {
    struct data_work w = { 0 };
    for (size_t i = 0; d && i < d->n; i++) {
        const struct sample *s = &d->v[i];
        double n = sample_n_row(s);
        w.rows += n;
        w.squares += n * n;
        for (int k = 1; k < s->n; k++)
            w.targets += s->mask[k] != 0;
    }
    return w;
}

double train_forward_work(const struct model *m, const struct dataset *d, int64_t max_tokens) {
    struct dataset part = *d;
    int64_t n_tokens = 0;
    for (part.n = 0; part.n < d->n && n_tokens < max_tokens; part.n++)
        n_tokens += d->v[part.n].n;
    const struct data_work w = work_of(&part);
    return run_flops(m, NULL, w.rows, w.squares, w.targets) / 3; /* of all, the backward pass is two thirds */
}

double pace_seconds(const struct pace *p, double work) { return p->work > 0 ? work / p->work * p->seconds : 0; }
