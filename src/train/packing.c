/* packing.c — samples to global batches to micro-batches, without padding.
 *
 * Invariants:
 *  (1) An epoch's order is a shuffle that follows from (seed, epoch) alone; global batches cut it greedily at ≤ batch_tokens rows,
 *      micro-batches cut a global batch greedily at ≤ micro_tokens rows. So the order of tokens never depends on micro_tokens.
 *  (2) A sample is one segment at positions 0…; it is never cut. Its rows end with the last one that has a target.
 *  (3) Samples without any target are left out.
 *  (4) Spans of a batch, and so the parts of several processes, have about equal work (balance.c); they lie one after the other.
 *  (5) With packing_share, samples of a global batch that begin alike form trees (share.c): a segment for the beginning, one for each
 *      sample's end. A tree is never cut. A batch is cut by the samples' own lengths: it holds the same samples as without sharing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/balance.h"
#include "train/share.h"

#include <string.h>

struct packing {
    const struct dataset *d;
    int batch_tokens, micro_tokens;
    uint64_t seed;
    uint32_t *sample; uint32_t n_sample;     /* those with targets */
    uint32_t *order;                         /* of the epoch at hand */
    uint32_t *batch; int n_batch;            /* batch i: order[batch[i] … batch[i+1]) */
    packing_rest_fn *rests; void *rests_ud;
    int epoch;                               /* -1: none yet */
    uint32_t *in, n_in;                      /* the samples of the batch at hand in their order: trees together */
    uint32_t *micro; int n_micro, i_batch;   /* micro-batch k: in[micro[k] … micro[k+1]); i_batch -1: none yet */
    enum share_mode share; int tree_rows; struct share find;
    int32_t *prefix; uint32_t *first;        /* of in[i]: rows it shares (0: none), where its tree begins; NULL: nothing is shared */
    int part, n_part, n_span;                /* of each global batch: packing_split; n_span a multiple of n_part */
    struct packing_cost cost;
    struct unit *unit; int64_t *load;        /* [samples of a batch], [n_span] */
    uint32_t *span_at; int64_t *span_row;    /* [n_span + 1] where span i begins: in `in`, in rows */
    uint32_t *spare, *spare_first; int32_t *spare_prefix;
    int64_t n_rows;
    int32_t *id, *row, *label; float *weight; const struct soft_label **soft; struct segment *seg; uint32_t *seg_sample; /* views of one micro-batch */
};

enum { GROUP_BATCHES = 64 };
static const struct soft_label NO_SOFT;

int sample_n_row(const struct sample *s) {
    for (int i = s->n - 1; i > 0; i--)
        if (s->mask[i])
            return i;
    return 0;
}

int packing_new(struct packing **out, const struct dataset *d, int batch_tokens, int micro_tokens, uint64_t seed, ilab_err *e) {
    *out = NULL;
    if (batch_tokens < 1 || micro_tokens < 1)
        return err_set(e, ILAB_E_INVALID, "a batch of %d tokens in parts of %d makes no sense", batch_tokens, micro_tokens);
    if (d->n >= UINT32_MAX)
        return err_set(e, ILAB_E_LIMIT, "%zu samples are more than %u", d->n, UINT32_MAX - 1);
    struct packing *p = mem_calloc(1, sizeof *p);
    if (!p)
        return err_set(e, ILAB_E_NOMEM, "no memory for packing");
    *p = (struct packing){ .d = d, .batch_tokens = batch_tokens, .seed = seed, .epoch = -1, .i_batch = -1 };
    p->micro_tokens = micro_tokens < batch_tokens ? micro_tokens : batch_tokens;
    size_t n = d->n + 1, rows = (size_t)p->micro_tokens, in_batch = (n < (size_t)batch_tokens ? n : (size_t)batch_tokens) + 1;
    p->sample = mem_alloc(n * sizeof *p->sample);
    p->order = mem_alloc(n * sizeof *p->order);
    p->batch = mem_alloc(n * sizeof *p->batch);
    p->micro = mem_alloc(in_batch * sizeof *p->micro);
    p->id = mem_alloc(rows * sizeof *p->id);
    p->row = mem_alloc(rows * sizeof *p->row);
    p->label = mem_alloc(rows * sizeof *p->label);
    p->weight = mem_alloc(rows * sizeof *p->weight);
    p->soft = mem_alloc(rows * sizeof *p->soft);
    p->seg = mem_alloc(rows * sizeof *p->seg);
    p->seg_sample = mem_alloc(rows * sizeof *p->seg_sample);
    p->in = mem_alloc(in_batch * sizeof *p->in);
    if (!p->sample || !p->order || !p->batch || !p->micro || !p->id || !p->row || !p->label || !p->weight || !p->soft || !p->seg || !p->seg_sample || !p->in) {
        packing_free(p);
        return err_set(e, ILAB_E_NOMEM, "no memory to pack %zu samples", d->n);
    }
    for (size_t i = 0; i < d->n; i++) {
        int n_row = sample_n_row(&d->v[i]);
        if (n_row > p->micro_tokens) {
            packing_free(p);
            return err_set(e, ILAB_E_LIMIT, "sample %zu has %d tokens, more than a micro-batch of %d", i + 1, n_row, micro_tokens);
        }
        p->n_rows += n_row;
        if (n_row)
            p->sample[p->n_sample++] = (uint32_t)i;
    }
    if (!p->n_sample) {
        packing_free(p);
        return err_set(e, ILAB_E_INVALID, "the data has no sample to learn from");
    }
    const int rc = packing_split(p, 0, 1, 1, (struct packing_cost){ .row = 1 }, e);
    if (rc)
        packing_free(p);
    else
        *out = p;
    return rc;
}

void packing_free(struct packing *p) {
    if (!p)
        return;
    mem_free(p->sample);
    mem_free(p->order);
    mem_free(p->batch);
    mem_free(p->micro);
    mem_free(p->id);
    mem_free(p->row);
    mem_free(p->label);
    mem_free(p->weight);
    mem_free(p->soft);
    mem_free(p->seg);
    mem_free(p->seg_sample);
    mem_free(p->in);
    mem_free(p->prefix);
    mem_free(p->first);
    mem_free(p->unit);
    mem_free(p->load);
    mem_free(p->span_at);
    mem_free(p->span_row);
    mem_free(p->spare);
    mem_free(p->spare_first);
    mem_free(p->spare_prefix);
    share_release(&p->find);
    mem_free(p);
}

int packing_share(struct packing *p, enum share_mode mode, int max_row, ilab_err *e) {
    if (!mode)
        return 0;
    if (max_row > p->micro_tokens)
        return err_set(e, ILAB_E_LIMIT, "samples that begin alike make up to %d tokens together, a micro-batch has %d", max_row, p->micro_tokens);
    const size_t n = p->n_sample < (uint32_t)p->batch_tokens ? p->n_sample : (size_t)p->batch_tokens;
    p->prefix = mem_alloc((n + 1) * sizeof *p->prefix);
    p->first = mem_alloc((n + 1) * sizeof *p->first);
    if (!p->prefix || !p->first || share_reserve(&p->find, mode == SHARE_MODE_GROUPS ? p->n_sample : n))
        return err_set(e, ILAB_E_NOMEM, "no memory for shared beginnings; --share-prefix off does without");
    p->share = mode;
    p->tree_rows = max_row;
    p->epoch = p->i_batch = -1;
    return 0;
}

int64_t packing_n_rows(const struct packing *p) { return p->n_rows; }
int packing_max_row(const struct packing *p) { return p->n_rows < p->micro_tokens ? (int)p->n_rows : p->micro_tokens; }

/* Cuts sample[from, to) greedily into runs of ≤ max_rows; the starts, then `to`, go to cut. Returns the number of runs. With prefix
 * and first: trees stay whole, their beginnings count once. */
static int cut_runs(const struct packing *p, const uint32_t *sample, uint32_t from, uint32_t to, int max_rows, const int32_t *prefix, const uint32_t *first, uint32_t *cut) {
    int n = 0, rows = 0;
    for (uint32_t i = from, end; i < to; i = end) {
        int n_row = prefix ? prefix[i] : 0;
        for (end = i; end == i || (end < to && first && first[end] == first[i]); end++)
            n_row += sample_n_row(&p->d->v[sample[end]]) - (prefix ? prefix[end] : 0);
        if (i == from || rows + n_row > max_rows) {
            cut[n++] = i;
            rows = 0;
        }
        rows += n_row;
    }
    cut[n] = to;
    return n;
}

/* Brings samples that begin alike together, within windows of GROUP_BATCHES batches, so that an epoch stays a shuffle. */
static void group_order(struct packing *p, uint32_t n) {
    for (uint32_t from = 0, to; from < n; from = to) {
        int64_t rows = 0;
        for (to = from; to < n && rows < (int64_t)GROUP_BATCHES * p->batch_tokens; to++)
            rows += sample_n_row(&p->d->v[p->order[to]]);
        share_arrange(&p->find, p->d, p->order + from, to - from, p->tree_rows, p->batch_tokens, NULL, NULL);
    }
}

static void enter_epoch(struct packing *p, int epoch) {
    if (p->epoch == epoch)
        return;
    memcpy(p->order, p->sample, p->n_sample * sizeof *p->order);
    struct rng r;
    rng_seed(&r, p->seed + 0x9E3779B97F4A7C15u * ((uint64_t)epoch + 1));
    for (uint32_t i = p->n_sample; i > 1; i--) {
        uint32_t j = rng_below(&r, i), t = p->order[j];
        p->order[j] = p->order[i - 1];
        p->order[i - 1] = t;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n_sample; i++)
        if (!p->rests || !p->rests(p->rests_ud, p->order[i], epoch))
            p->order[n++] = p->order[i];
    p->epoch = epoch;
    p->i_batch = -1;
    if (p->share == SHARE_MODE_GROUPS)
        group_order(p, n);
    p->n_batch = cut_runs(p, p->order, 0, n, p->batch_tokens, NULL, NULL, p->batch);
}

void packing_leave_out(struct packing *p, packing_rest_fn *rests, void *ud) {
    p->rests = rests;
    p->rests_ud = ud;
    p->epoch = p->i_batch = -1;
}

/* Rows of the sample or tree that begins at in[i]; *end: the one behind it. */
static int unit_rows(const struct packing *p, uint32_t i, uint32_t n, uint32_t *end) {
    int rows = 0;
    for (*end = i; *end == i || (p->first && *end < n && p->first[*end] == i); ++*end)
        rows += sample_n_row(&p->d->v[p->in[*end]]) - (p->prefix ? p->prefix[*end] : 0);
    return rows + (p->prefix ? p->prefix[i] : 0);
}

/* The unit's work, as p->cost weighs it. */
static int64_t unit_cost(const struct packing *p, const struct unit *u) {
    const int64_t shared = p->prefix ? p->prefix[u->from] : 0;
    int64_t squares = shared * shared, targets = 0;
    for (uint32_t i = u->from; i < u->to; i++) {
        const struct sample *s = &p->d->v[p->in[i]];
        const int64_t own = sample_n_row(s) - shared;
        squares += own * (own + 2 * shared);
        for (int k = 1; k < s->n && p->cost.target; k++)
            targets += s->mask[k] != 0;
    }
    return p->cost.row * u->rows + p->cost.square * squares + p->cost.target * targets;
}

/* Brings the samples of each span together; trees stay whole, and in a span the order stays. */
static void lay_spans(struct packing *p) {
    uint32_t n_unit = 0, at = 0;
    for (uint32_t i = 0, next; i < p->n_in; i = next) {
        struct unit *u = &p->unit[n_unit++];
        *u = (struct unit){ .from = i, .rows = unit_rows(p, i, p->n_in, &next) };
        u->to = next;
        u->cost = p->n_span > 1 ? unit_cost(p, u) : 0;
    }
    if (p->n_span > 1)
        balance(p->unit, n_unit, p->n_span, p->load);
    int64_t row = 0;
    int span = 0;
    for (uint32_t i = 0; i < n_unit; i++) {
        const struct unit *u = &p->unit[i];
        for (; span <= u->bin; span++)
            p->span_at[span] = at, p->span_row[span] = row;
        for (uint32_t k = u->from, head = at; k < u->to; k++, at++) {
            p->spare[at] = p->in[k];
            if (p->prefix)
                p->spare_prefix[at] = p->prefix[k], p->spare_first[at] = head;
        }
        row += u->rows;
    }
    for (; span <= p->n_span; span++)
        p->span_at[span] = at, p->span_row[span] = row;
    memcpy(p->in, p->spare, at * sizeof *p->in);
    if (p->prefix) {
        memcpy(p->prefix, p->spare_prefix, at * sizeof *p->prefix);
        memcpy(p->first, p->spare_first, at * sizeof *p->first);
    }
}

static int spans_of_part(const struct packing *p) { return p->n_span / p->n_part; }

/* Trees and spans are made of the whole batch, so they do not depend on its parts. */
static void enter_batch(struct packing *p, int epoch, int i_batch) {
    enter_epoch(p, epoch);
    if (p->i_batch == i_batch)
        return;
    const uint32_t n = p->n_in = p->batch[i_batch + 1] - p->batch[i_batch];
    memcpy(p->in, p->order + p->batch[i_batch], n * sizeof *p->in);
    if (p->share)
        share_arrange(&p->find, p->d, p->in, n, p->tree_rows, INT32_MAX, p->prefix, p->first);
    lay_spans(p);
    const uint32_t from = p->span_at[p->part * spans_of_part(p)], to = p->span_at[(p->part + 1) * spans_of_part(p)];
    p->n_micro = from < to ? cut_runs(p, p->in, from, to, p->micro_tokens, p->prefix, p->first, p->micro) : 0;
    p->i_batch = i_batch;
}

int packing_split(struct packing *p, int part, int n_part, int n_span, struct packing_cost cost, ilab_err *e) {
    const size_t n = (p->n_sample < (uint32_t)p->batch_tokens ? p->n_sample : (size_t)p->batch_tokens) + 1;
    p->part = part;
    p->n_part = n_part;
    p->n_span = n_span % n_part ? n_part : n_span;
    p->cost = cost;
    p->i_batch = -1;
    const size_t spans = (size_t)p->n_span + 1;
    if ((p->unit || (p->unit = mem_alloc(n * sizeof *p->unit))) && (p->spare || (p->spare = mem_alloc(n * sizeof *p->spare))) &&
        (p->spare_first || (p->spare_first = mem_alloc(n * sizeof *p->spare_first))) &&
        (p->spare_prefix || (p->spare_prefix = mem_alloc(n * sizeof *p->spare_prefix)))) {
        mem_free(p->load);
        mem_free(p->span_at);
        mem_free(p->span_row);
        p->load = mem_alloc(spans * sizeof *p->load);
        p->span_at = mem_alloc(spans * sizeof *p->span_at);
        p->span_row = mem_alloc(spans * sizeof *p->span_row);
        if (p->load && p->span_at && p->span_row)
            return 0;
    }
    return err_set(e, ILAB_E_NOMEM, "no memory to split batches");
}

int packing_spans(struct packing *p, int epoch, int i_batch, int64_t *end, int64_t *first_row) {
    enter_batch(p, epoch, i_batch);
    const int own = spans_of_part(p);
    const int64_t *row = p->span_row + p->part * own;
    *first_row = row[0];
    for (int i = 0; i < own; i++)
        end[i] = row[i + 1] - row[0];
    return own;
}

int packing_n_batches(struct packing *p, int epoch) {
    enter_epoch(p, epoch);
    return p->n_batch;
}

int packing_n_micro(struct packing *p, int epoch, int i_batch) {
    enter_batch(p, epoch, i_batch);
    return p->n_micro;
}

/* Segments of samples in[from … to): their rows, and the samples they are of. */
static int lay_segments(struct packing *p, const uint32_t *sample, const int32_t *prefix, const uint32_t *first, uint32_t from, uint32_t to) {
    int n = 0, n_seg = 0;
    for (uint32_t i = from; i < to; i++) {
        const int shared = prefix ? prefix[i] : 0, own = sample_n_row(&p->d->v[sample[i]]) - shared;
        if (shared && first[i] == i) {
            p->seg_sample[n_seg] = sample[i];
            p->seg[n_seg++] = (struct segment){ .row0 = n, .n_row = shared };
            n += shared;
        }
        p->seg_sample[n_seg] = sample[i];
        p->seg[n_seg++] = (struct segment){ .row0 = n, .n_row = own, .pos0 = shared };
        n += own;
    }
    return n_seg;
}

/* The segments as a micro-batch. */
static void fill_views(struct packing *p, int n_seg, struct batch *b, struct targets *y) {
    int n = 0, n_target = 0, weighted = 0, has_soft = 0;
    *b = (struct batch){ .id = p->id, .n_seg = n_seg, .seg = p->seg };
    for (int i = 0; i < n_seg; i++) {
        const struct sample *s = &p->d->v[p->seg_sample[i]];
        const struct segment *g = &p->seg[i];
        memcpy(p->id + n, s->id + g->pos0, (size_t)g->n_row * sizeof *p->id);
        for (int k = 0; k < g->n_row && !segment_is_shared(b, i); k++) {
            const int at = g->pos0 + k + 1;
            if (!s->mask[at])
                continue;
            p->row[n_target] = n + k;
            p->label[n_target] = s->id[at];
            p->weight[n_target] = s->weight;
            p->soft[n_target] = s->soft ? &s->soft[at] : &NO_SOFT;
            has_soft |= p->soft[n_target]->n != 0;
            n_target++;
        }
        weighted |= s->weight != 1.0f;
        n += g->n_row;
    }
    b->n_row = n;
    *y = (struct targets){ .n = n_target, .row = p->row, .label = p->label, .soft = has_soft ? (const struct soft_label *const *)p->soft : NULL,
                           .weight = weighted ? p->weight : NULL };
}

static int lay_micro(struct packing *p, int epoch, int i_batch, int i_micro) {
    enter_batch(p, epoch, i_batch);
    return lay_segments(p, p->in, p->prefix, p->first, p->micro[i_micro], p->micro[i_micro + 1]);
}

void packing_micro(struct packing *p, int epoch, int i_batch, int i_micro, struct batch *b, struct targets *y) {
    fill_views(p, lay_micro(p, epoch, i_batch, i_micro), b, y);
}

const uint32_t *packing_micro_samples(struct packing *p, int epoch, int i_batch, int i_micro) {
    lay_micro(p, epoch, i_batch, i_micro);
    return p->seg_sample;
}

struct epoch_rows packing_epoch_rows(struct packing *p, int epoch) {
    struct epoch_rows sum = { 0 };
    for (int i = 0, n = packing_n_batches(p, epoch); i < n; i++) {
        int rows = 0;
        sum.micros += packing_n_micro(p, epoch, i);
        for (int k = 0; k < packing_n_micro(p, epoch, i); k++)
            for (int s = 0, n_seg = lay_micro(p, epoch, i, k); s < n_seg; s++) {
                rows += p->seg[s].n_row;
                sum.squares += segment_squares(&p->seg[s]);
            }
        sum.rows += rows;
        sum.most = rows > sum.most ? rows : sum.most;
    }
    return sum;
}

int packing_batch_samples(struct packing *p, int epoch, int i_batch, const uint32_t **sample) {
    enter_epoch(p, epoch);
    *sample = p->order + p->batch[i_batch];
    return (int)(p->batch[i_batch + 1] - p->batch[i_batch]);
}

int packing_part_samples(struct packing *p, int epoch, int i_batch, const uint32_t **sample) {
    enter_batch(p, epoch, i_batch);
    const uint32_t from = p->span_at[p->part * spans_of_part(p)], to = p->span_at[(p->part + 1) * spans_of_part(p)];
    *sample = p->in + from;
    return (int)(to - from);
}

void packing_one_sample(struct packing *p, uint32_t sample, struct batch *b, struct targets *y) {
    fill_views(p, lay_segments(p, &sample, NULL, NULL, 0, 1), b, y);
}

double packing_weight(struct packing *p, int epoch, int i_batch) {
    enter_epoch(p, epoch);
    double sum = 0;
    for (uint32_t i = p->batch[i_batch]; i < p->batch[i_batch + 1]; i++) {
        const struct sample *s = &p->d->v[p->order[i]];
        int n_target = 0;
        for (int k = 1; k < s->n; k++)
            n_target += s->mask[k] != 0;
        sum += (double)s->weight * n_target;
    }
    return sum;
}
