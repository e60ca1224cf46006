/* recompute.c — activations of a pass: which are kept, which are made again before the backward pass of their layer.
 *
 * Three grades, chosen layer by layer (struct tape_opts): all is kept; norms and the activation function's result are made again
 * (no product); only the layer's input is kept and its forward pass runs a second time, without its last product (gradient
 * checkpointing, Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016). What is made again has the same bits, because
 * a row's operations have one order. Layers below the lowest trained one run in place. Weights that come from the disk are announced
 * to the pager here.  SPDX-License-Identifier: Apache-2.0 */
#include "train/states.h"
#include "train/tape.h"

#include <string.h>

static float *floats(struct arena *a, size_t rows, size_t cols) { return arena_alloc(a, rows * cols * sizeof(float), 64); }

void carve_activations(struct tape *t, struct arena *a)
{
    const struct hparams *hp = &t->m->hp;
    const int n = t->max_row, redo = t->o.lean && layer_can_redo(hp), recompute = t->o.recompute < t->n_slot ? t->o.recompute : t->n_slot;
    t->slot = arena_alloc(a, (size_t)t->n_slot * sizeof *t->slot, 64);
    if (redo || recompute > 0) layer_acts_plan(&t->work, hp, n, t->rank, a);
    for (int i = 0; i < t->n_slot; i++) {
        struct layer_acts own = t->work;
        if (i < recompute) own.x = floats(a, (size_t)n, (size_t)hp->n_embd);
        else if (redo) layer_acts_plan_lean(&own, hp, n, t->rank, a, &t->work);
        else layer_acts_plan(&own, hp, n, t->rank, a);
        if (t->slot) t->slot[i] = own;
    }
    if (t->lowest > 0) layer_acts_plan_forward(&t->below, hp, n, 0, a);
    if (t->o.keep_states) {
        t->miss_id = arena_alloc(a, (size_t)n * sizeof *t->miss_id, 64);
        t->miss_seg = arena_alloc(a, (size_t)n * sizeof *t->miss_seg, 64);
        t->miss = arena_alloc(a, (size_t)n * sizeof *t->miss, 64);
    }
    t->x_out = floats(a, (size_t)n, (size_t)hp->n_embd);
}

/* ---- forward ---- */

struct embed_job { const struct tape *t; const struct batch *b; float *x; };
static void embed_block(void *ud, int r0, int r1)
{
    const struct embed_job *j = ud;
    embed_rows(gemm_kern(j->t->g), j->t->m, j->b, r0, r1, j->x);
}

/* Embedding and the layers that are not trained; the result goes to `out`, which may be t->below.x. */
static void below_forward(struct tape *t, const struct batch *b, enum pager_walk walk, float *out)
{
    float *x = t->lowest > 0 ? t->below.x : out;
    struct embed_job j = { t, b, x };
    rows_run(gemm_pool(t->g), embed_block, &j, b->n_row);
    for (int l = 0; l < t->lowest; l++) {
        pager_enter(t->o.pager, l, b->n_row, walk);
        layer_forward(t->g, t->m, NULL, l, 0, b, &t->below, l + 1 < t->lowest ? x : out);
        pager_leave(t->o.pager, l, b->n_row, walk);
    }
}

void tape_set_states(struct tape *t, struct states *s, const uint32_t *sample, uint32_t sample0)
{
    t->states = t->o.keep_states && t->lowest > 0 ? s : NULL;
    t->sample = t->states ? sample : NULL;
    t->sample0 = sample0;
}

int64_t tape_rows_kept(const struct tape *t) { return t->rows_kept; }
double tape_below_seconds(const struct tape *t) { return t->below_seconds; }

/* States of segments first … end (a sequence, or a tree) to out; 0: some are not kept. below.x is free for a sample's block. */
static int states_known(struct tape *t, const struct batch *b, int first, int end, float *out)
{
    const size_t c = (size_t)t->m->hp.n_embd;
    const struct segment *root = &b->seg[first];
    if (end == first + 1) return states_get(t->states, t->sample0 + t->part_sample[first], out + (size_t)root->row0 * c);
    for (int i = first + 1; i < end; i++) {
        const struct segment *s = &b->seg[i];
        const float *block = t->below.x;
        if (!states_get(t->states, t->sample0 + t->part_sample[i], t->below.x)) return 0;
        memcpy(out + (size_t)root->row0 * c, block, (size_t)root->n_row * c * sizeof *out);
        memcpy(out + (size_t)s->row0 * c, block + (size_t)root->n_row * c, (size_t)s->n_row * c * sizeof *out);
    }
    return 1;
}

/* The sample of a segment whose states stand in out: a shared beginning is in each one's block, put together in dnorm, which is free. */
static void states_keep(struct tape *t, const struct batch *b, int i, int root, const float *out)
{
    const size_t c = (size_t)t->m->hp.n_embd, shared = (size_t)b->seg[i].pos0 * c, own = (size_t)b->seg[i].n_row * c;
    const float *block = out + (size_t)b->seg[i].row0 * c;
    if (segment_is_shared(b, i)) return;
    if (shared) {
        memcpy(t->dnorm, out + (size_t)b->seg[root].row0 * c, shared * sizeof *out);
        memcpy(t->dnorm + shared, block, own * sizeof *out);
        block = t->dnorm;
    }
    states_put(t->states, t->sample0 + t->part_sample[i], block);
}

/* The same for samples whose states may be kept: what is there is copied, the others are computed together and kept. */
static void below_kept(struct tape *t, const struct batch *b, enum pager_walk walk, float *out)
{
    const size_t c = (size_t)t->m->hp.n_embd;
    struct batch miss = { .id = t->miss_id, .seg = t->miss_seg };
    for (int i = 0, end; i < b->n_seg; i = end) {
        for (end = i + 1; end < b->n_seg && b->seg[end].pos0 > 0; end++) {}
        const int known = states_known(t, b, i, end, out);
        for (int k = i; k < end; k++) {
            const struct segment *s = &b->seg[k];
            if (known) {
                t->rows_kept += s->n_row;
                continue;
            }
            memcpy(t->miss_id + miss.n_row, b->id + s->row0, (size_t)s->n_row * sizeof *t->miss_id);
            t->miss[miss.n_seg] = k;
            t->miss_seg[miss.n_seg++] = (struct segment){ miss.n_row, s->n_row, s->pos0, s->page };
            miss.n_row += s->n_row;
        }
    }
    if (!miss.n_seg) return;
    below_forward(t, &miss, walk, t->below.x);
    for (int i = 0, root = 0; i < miss.n_seg; i++) {
        const struct segment *s = &b->seg[t->miss[i]];
        memcpy(out + (size_t)s->row0 * c, t->below.x + (size_t)t->miss_seg[i].row0 * c, (size_t)s->n_row * c * sizeof *out);
        if (s->pos0 == 0) root = t->miss[i];
        states_keep(t, b, t->miss[i], root, out);
    }
}

void layers_forward(struct tape *t, const struct batch *b, int backward)
{
    const int n_layer = t->m->hp.n_layer;
    const enum pager_walk walk = backward ? PAGER_UP : PAGER_CIRCLE;
    const int64_t kept = t->rows_kept;
    const double begin = now_seconds();
    if (t->part_sample) below_kept(t, b, walk, tape_acts(t, t->lowest)->x);
    else below_forward(t, b, walk, tape_acts(t, t->lowest)->x);
    if (t->lowest > 0) t->below_seconds += now_seconds() - begin;
    /* Where nothing was computed below, nothing will be the next time. */
    pager_way(t->o.pager, t->rows_kept - kept == b->n_row ? t->lowest : 0, t->lowest);
    for (int l = t->lowest; l < n_layer; l++) {
        pager_enter(t->o.pager, l, b->n_row, walk);
        layer_forward(t->g, t->m, t->ad, l, 0, b, tape_acts(t, l), l + 1 < n_layer ? tape_acts(t, l + 1)->x : t->x_out);
        pager_leave(t->o.pager, l, b->n_row, walk);
    }
    t->work_layer = t->lowest + t->o.recompute - 1;
    t->redo_layer = n_layer - 1;
}

/* ---- again ---- */

void layer_restore(struct tape *t, const struct batch *b, int layer)
{
    struct layer_acts *a = tape_acts(t, layer);
    const int i = layer - t->lowest, redo = t->o.lean && layer_can_redo(&t->m->hp);
    if (i < t->o.recompute && t->work_layer != layer) {
        /* dnorm is free between two layers; what cannot be left out goes there. */
        layer_forward(t->g, t->m, t->ad, layer, 0, b, a, layer_can_redo(&t->m->hp) ? NULL : t->dnorm);
        t->work_layer = layer;
    } else if (redo && t->redo_layer != layer) {
        layer_redo(t->g, t->m, layer, b->n_row, a);
    }
    t->redo_layer = layer;
}
