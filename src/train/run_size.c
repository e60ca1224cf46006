/* run_size.c — how much a run has to do, and whether the disk has room for it (memory: plan.c).
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
        out->n_rows += (size_t)n_row;
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

int64_t run_steps_for_tokens(struct packing *p, int64_t tokens) {
    double mean = (double)packing_n_rows(p) / packing_n_batches(p, 0);
    return tokens > 0 ? (int64_t)ceil((double)tokens / mean) : 0;
}

int run_check_disk(const struct run *r, size_t more, ilab_err *e) {
    char need[32], have[32];
    const size_t n_param = r->ad ? r->ad->n_params : r->m->n_params;
    uint64_t disk = disk_free(r->o->out_dir), files = 10 * sizeof(float) * (uint64_t)n_param + more; /* three checkpoints for a moment, and the result */
    format_bytes(need, sizeof need, (double)files);
    format_bytes(have, sizeof have, (double)disk);
    if (files > disk)
        return err_set(e, ILAB_E_LIMIT, "'%s' needs %s of disk space, %s are free", r->o->out_dir, need, have);
    return 0;
}
