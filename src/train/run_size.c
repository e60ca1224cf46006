/* run_size.c — how much a run has to do, and whether memory and disk have room for it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

#include <math.h>

int data_shape(const struct dataset *d, int n_vocab, struct data_shape *out, ilab_err *e) {
    *out = (struct data_shape){ 0 };
    for (size_t i = 0; i < d->n; i++) {
        const struct sample *s = &d->v[i];
        int n_row = sample_n_row(s);
        out->max_row = n_row > out->max_row ? n_row : out->max_row;
        for (int k = 0; k < s->n; k++) {
            if (s->id[k] < 0 || s->id[k] >= n_vocab)
                return err_set(e, ILAB_E_INVALID, "sample %zu has token %d, the model knows %d: it was made with another tokenizer", i + 1, s->id[k], n_vocab);
            out->n_target += s->mask[k] != 0;
        }
    }
    if (!out->max_row)
        return err_set(e, ILAB_E_INVALID, "the data has no sample to learn from");
    return 0;
}

int64_t run_total_steps(struct packing *p, const struct train_opts *o) {
    int64_t total = 0;
    for (int i = 0; i < o->epochs && (!o->max_steps || total < o->max_steps); i++)
        total += packing_n_batches(p, i);
    return o->max_steps && (o->epochs < 1 || total > o->max_steps) ? o->max_steps : total;
}

double run_flops(const struct model *m, const struct adapter *ad, double rows, double rows_squared, double n_target) {
    const struct hparams *h = &m->hp;
    double c = h->n_embd, q = (double)h->n_head * h->head_dim, kv = (double)h->n_kv_head * h->head_dim, f = h->n_ff;
    double linear = c * (q + 2 * kv) + q * c + 3 * c * f, sum = 0;
    int backward = !ad;                         /* gradients reach down to the lowest adapted layer */
    for (int l = 0; l < h->n_layer; l++) {
        for (int k = 0; ad && k < LIN_COUNT; k++) {
            const struct lora *lo = &ad->lora[l * LIN_COUNT + k];
            if (!lo->on)
                continue;
            backward = 1;
            sum += 6 * rows * ad->rank * ((double)lo->n_in + lo->n_out);
        }
        sum += rows * linear * (!backward ? 2 : ad ? 4 : 6) + rows_squared * q * (backward ? 6 : 2);
    }
    return sum + n_target * c * h->n_vocab * (ad ? 4 : 6);
}

int64_t run_steps_for_tokens(struct packing *p, int64_t tokens) {
    double mean = (double)packing_n_rows(p) / packing_n_batches(p, 0);
    return tokens > 0 ? (int64_t)ceil((double)tokens / mean) : 0;
}

int run_check_room(const struct run *r, int max_row, int max_target, ilab_err *e) {
    struct plan_row row[32];
    char need[32], have[32];
    size_t n_param = r->ad ? r->ad->n_params : r->m->n_params, bytes = 2 * sizeof(float) * n_param, free_bytes = mem_available();
    int n = tape_plan(r->m, r->ad, max_row, max_target, row, ARRAY_LEN(row));
    for (int i = 0; i < n && i < (int)ARRAY_LEN(row); i++)
        bytes += row[i].bytes;
    format_bytes(need, sizeof need, (double)bytes);
    format_bytes(have, sizeof have, (double)free_bytes);
    if (free_bytes && bytes > free_bytes)
        return err_set(e, ILAB_E_LIMIT, "training needs %s of memory, %s are free; choose a smaller micro-batch", need, have);
    uint64_t disk = disk_free(r->o->out_dir), files = 10 * sizeof(float) * (uint64_t)n_param; /* three checkpoints for a moment, and the result */
    format_bytes(need, sizeof need, (double)files);
    format_bytes(have, sizeof have, (double)disk);
    if (files > disk)
        return err_set(e, ILAB_E_LIMIT, "'%s' needs %s of disk space, %s are free", r->o->out_dir, need, have);
    return 0;
}
