/* learnt.c — samples that the model has learnt rest for some epochs.
 *
 * A sample is learnt when, in the forward pass of its step, every target was the likeliest token and lost at most `limit` nats (its
 * probability is then at least e^-limit). It rests for 1 epoch; when it comes back and is still learnt, for 2, then 4, the longest rest. A
 * sample that was lost in between begins anew. That pass is the one that training does anyway, so looking costs nothing.
 *
 * What rests in an epoch was decided before that epoch began, so its batches do not change while it runs. The state is three floats
 * a sample (first and last epoch of the rest, its length); it is in the checkpoint, so a resumed run rests the same samples.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/learnt.h"
#include "train/tape.h"

#include <string.h>

enum { FROM, TO, LENGTH, PER_SAMPLE, LONGEST = 4 };
struct seen { uint32_t sample; int epoch, learnt; };
struct learnt {
    size_t n;
    float *state;                      /* [n][PER_SAMPLE] rests in epochs FROM ≤ e < TO */
    float limit, *loss;                /* [max_target] of one micro-batch; −1: another token was likelier */
    struct seen *seen; size_t n_seen, cap;
    struct seen *told; size_t told_cap, block; /* several processes: own entries, then a block of each */
};

int learnt_new(struct learnt **out, size_t n_sample, int max_target, float limit, ilab_err *e) {
    struct learnt *l = *out = mem_calloc(1, sizeof *l);
    if (l) {
        l->n = n_sample;
        l->limit = limit;
        l->state = mem_calloc(n_sample * PER_SAMPLE + 1, sizeof *l->state);
        l->loss = mem_calloc((size_t)max_target + 1, sizeof *l->loss);
    }
    if (l && l->state && l->loss)
        return 0;
    learnt_free(l);
    *out = NULL;
    return err_set(e, ILAB_E_NOMEM, "no memory to remember what is learnt");
}

void learnt_free(struct learnt *l) {
    if (!l)
        return;
    mem_free(l->state);
    mem_free(l->loss);
    mem_free(l->seen);
    mem_free(l->told);
    mem_free(l);
}

void learnt_before(struct learnt *l, struct tape *t) {
    if (l)
        tape_tell_losses(t, l->loss);
}

void learnt_after(struct learnt *l, const struct batch *b, const struct targets *y, const uint32_t *sample, int epoch) {
    int i = 0;
    for (int s = 0; l && s < b->n_seg; s++) {
        int known = 1;
        if (segment_is_shared(b, s))
            continue;
        for (; i < y->n && y->row[i] < b->seg[s].row0 + b->seg[s].n_row; i++)
            known &= l->loss[i] >= 0 && l->loss[i] <= l->limit;
        if (mem_grow((void **)&l->seen, &l->cap, l->n_seen + 1, sizeof *l->seen))
            return; /* not remembered: it does not rest */
        l->seen[l->n_seen++] = (struct seen){ sample[s], epoch, known };
    }
}

int learnt_reserve(struct learnt *l, const struct communicator *c, size_t n_sample, ilab_err *e) {
    const size_t n = n_sample + 1, all = n * (size_t)c->size;
    if (!l || c->size < 2)
        return 0;
    if (mem_grow((void **)&l->seen, &l->cap, all, sizeof *l->seen) || mem_grow((void **)&l->told, &l->told_cap, n + all, sizeof *l->told))
        return err_set(e, ILAB_E_NOMEM, "no memory to share what is learnt");
    l->block = n;
    return 0;
}

/* A block a process: one entry that says how many follow, and those. */
int learnt_share(struct learnt *l, struct communicator *c, ilab_err *e) {
    if (!l || c->size < 2)
        return 0;
    struct seen *own = l->told, *all = l->told + l->block;
    memset(own, 0, l->block * sizeof *own);
    own[0].sample = (uint32_t)l->n_seen;
    memcpy(own + 1, l->seen, l->n_seen * sizeof *own);
    const int rc = communicator_gather(c, own, l->block * sizeof *own, all, e);
    l->n_seen = 0;
    for (size_t i = 0; !rc && i < (size_t)c->size; i++) {
        const struct seen *block = all + i * l->block;
        memcpy(l->seen + l->n_seen, block + 1, block->sample * sizeof *block);
        l->n_seen += block->sample;
    }
    return rc;
}

void learnt_apply(struct learnt *l) {
    for (size_t i = 0; l && i < l->n_seen; i++) {
        float *s = l->state + (size_t)l->seen[i].sample * PER_SAMPLE, length = s[LENGTH] > 0 ? 2 * s[LENGTH] : 1;
        s[LENGTH] = !l->seen[i].learnt ? 0 : length > LONGEST ? LONGEST : length;
        s[FROM] = (float)(l->seen[i].epoch + 1);
        s[TO] = s[FROM] + s[LENGTH];
    }
    learnt_drop(l);
}

void learnt_drop(struct learnt *l) {
    if (l)
        l->n_seen = 0;
}

int learnt_rests(void *learnt, uint32_t sample, int epoch) {
    const struct learnt *l = learnt;
    const float *s = l->state + (size_t)sample * PER_SAMPLE;
    return s[FROM] <= (float)epoch && (float)epoch < s[TO];
}

size_t learnt_resting(const struct learnt *l, int epoch) {
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        n += learnt_rests((void *)l, (uint32_t)i, epoch) != 0;
    return n;
}

struct param learnt_param(struct learnt *l) {
    return (struct param){ .name = "learnt", .w = l->state, .n = l->n * PER_SAMPLE };
}
