/* clock.c — how long what remains of a run will take: known work times a pace that was measured in the steps so far.
 *
 * Work is counted in operations (work.c), in two kinds that have paces of their own: layers below the lowest adapted one, which run forward
 * alone and, where hidden states are kept, once; and all else. A pace is the mean of the middle of the last bins of steps: without the
 * slowest quarter (a machine that did something else) and the fastest. When all bins are full, neighbours join, so the last half of them
 * covers the last half of the run or more, up to about CLOCK_BINS times BIN_SECONDS. The first step brings weights and buffers into memory: it is forgotten unless the
 * second was slower. Knows no wall clock: it is told seconds.  SPDX-License-Identifier: Apache-2.0 */
#include "train/plan.h"

#include <math.h>
#include <string.h>

static const double BIN_SECONDS = 30, SAVE_SHARE = 20 /* saving takes at most one part in so many */;

double clock_saves_every(double wanted, double takes) { return takes * SAVE_SHARE > wanted ? takes * SAVE_SHARE : wanted; }

void clock_plan(struct clock *c, const struct model *m, const struct adapter *ad, const struct dataset *d, const struct dataset *val, struct epoch_rows rows,
                struct epoch_rows val_rows, const struct train_opts *o, double bytes_per_s) {
    const double n_param = (double)(ad ? ad->n_params : m->n_params), written = sizeof(float) / bytes_per_s * n_param;
    *c = (struct clock)CLOCK_INIT;
    c->micro = work_micro(m, ad);
    c->epoch_work = run_flops(m, ad, rows.rows, rows.squares, work_of(d).targets) + rows.micros * c->micro;
    c->epoch_below = work_below(m, ad, rows.rows, rows.squares);
    c->row_below = rows.rows > 0 ? c->epoch_below / rows.rows : 0;
    c->val_work = (run_flops(m, ad, val_rows.rows, val_rows.squares, work_of(val).targets) + val_rows.micros * c->micro) / (ad ? 2 : 3); /* forward only */
    c->val_below = work_below(m, ad, val_rows.rows, val_rows.squares);
    if (c->val_below > c->val_work)
        c->val_work = c->val_below;
    c->save_every = o->checkpoint_seconds;
    c->save_steps = o->checkpoint_steps;
    c->save_seconds = 3 * written; /* until one was saved */
    c->after_seconds = o->after.seconds + o->after.bytes / bytes_per_s + (ad ? 2 * written : 0);
}

static void add(struct pace *p, struct pace x) {
    p->work += x.work;
    p->seconds += x.seconds;
}

static void join_bins(struct clock *c) {
    for (int i = 0; i < CLOCK_BINS / 2; i++) {
        c->bin[i] = c->bin[2 * i];
        add(&c->bin[i].below, c->bin[2 * i + 1].below);
        add(&c->bin[i].rest, c->bin[2 * i + 1].rest);
    }
    c->n_bin = CLOCK_BINS / 2;
    c->per_bin *= 2;
}

void clock_step(struct clock *c, struct pace all, struct pace below) {
    const struct pace rest = { all.work - below.work, all.seconds - below.seconds };
    if (rest.work <= 0)
        return;
    if (below.work > 0)
        c->below_seen = below;
    if (c->n_step++ == 1 && pace_seconds(&c->bin[0].rest, rest.work) > rest.seconds)
        c->n_bin = 0;
    if (c->in_bin == c->per_bin || !c->n_bin) {
        if (c->n_bin == CLOCK_BINS && c->bin[CLOCK_BINS - 1].rest.seconds + c->bin[CLOCK_BINS - 1].below.seconds < BIN_SECONDS) {
            join_bins(c);
        } else if (c->n_bin == CLOCK_BINS) {
            memmove(c->bin, c->bin + 1, (CLOCK_BINS - 1) * sizeof *c->bin);
            c->n_bin--;
        }
        c->bin[c->n_bin++] = (struct clock_bin){ 0 };
        c->in_bin = 0;
    }
    add(&c->bin[c->n_bin - 1].rest, rest);
    add(&c->bin[c->n_bin - 1].below, below);
    c->in_bin++;
}

void clock_validated(struct clock *c, double seconds) {
    c->val_seconds = seconds;
    c->val_step = c->n_step;
}

/* The middle of the last bins. A bin that is being filled counts while there are few. */
static struct pace middle(const struct clock *c, int below) {
    struct pace p[CLOCK_BINS], sum = { 0 };
    int n = 0;
    for (int i = c->n_bin > CLOCK_BINS / 2 + 1 ? c->n_bin - CLOCK_BINS / 2 - 1 : 0; i < c->n_bin; i++) {
        const struct pace x = below ? c->bin[i].below : c->bin[i].rest;
        if (x.work <= 0 || (i == c->n_bin - 1 && c->in_bin < c->per_bin && n >= 4))
            continue;
        int k = n++;
        for (; k > 0 && p[k - 1].seconds * x.work > x.seconds * p[k - 1].work; k--)
            p[k] = p[k - 1];
        p[k] = x;
    }
    for (int i = n / 4; i < (n < 2 ? n : n - (n + 3) / 4); i++)
        add(&sum, p[i]);
    return sum;
}

double clock_seconds(const struct clock *c, double work, double below) {
    const struct pace rest = middle(c, 0), own = middle(c, 1), *b = own.work > 0 ? &own : c->below_seen.work > 0 ? &c->below_seen : &rest;
    return pace_seconds(&rest, work) + pace_seconds(b, below);
}

static double validation_seconds(const struct clock *c) {
    const double below = c->keeps_states ? 0 : c->val_below, computed = clock_seconds(c, c->val_work - c->val_below, below);
    if (c->val_seconds <= 0 || c->val_step > 0)
        return c->val_seconds > 0 ? c->val_seconds : computed;
    /* The one before the first step brought weights into memory, and computed what may be kept. */
    const double again = c->val_seconds * (1 - (c->val_below - below) / (c->val_work > 0 ? c->val_work : 1));
    return again < computed ? again : computed;
}

double clock_left(const struct clock *c, double epochs, double computed, double steps, int n_val) {
    const struct pace rest = middle(c, 0);
    if (rest.work <= 0 || rest.seconds <= 0)
        return 0;
    double seconds = clock_seconds(c, epochs * (c->epoch_work - c->epoch_below), computed * c->epoch_below);
    const double step = steps > 0 ? seconds / steps : 0, every = clock_saves_every(c->save_every, c->save_seconds);
    seconds += n_val * validation_seconds(c);
    double saves = c->save_every > 0 ? floor(seconds / (step > 0 ? ceil(every / step) * step : every)) : 0;
    if (c->save_steps > 0 && steps / (double)c->save_steps > saves)
        saves = floor(steps / (double)c->save_steps);
    return seconds + (saves + 1) * c->save_seconds + c->after_seconds;
}
