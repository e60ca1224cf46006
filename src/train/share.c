/* share.c — samples that begin with the same tokens form a tree: the beginning once, then each sample's own end.
 *
 * Rows of the beginning are computed once, and all ends attend to them; their gradients are the sum over the ends, so loss and gradient
 * are those of whole samples (up to the order of additions in the gradient; a row's forward pass has the same bits). Shared are whole
 * pages of KERN_PANEL positions in front of the first token that pays loss. Samples are sorted by what they may share; of all cuts of
 * the sorted row into trees and single samples the one that saves most is taken (dynamic programming). Which samples form a
 * tree depends on the global batch alone, never on micro-batches, memory or other processes.  SPDX-License-Identifier: Apache-2.0 */
#include "train/share.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t INSIDE = UINT32_MAX;
static const double LEAST_SAVED = 1.0 / 30, WORTH_TELLING = 0.1, COUNT_MOST = 1e6 /* samples times epochs whose batches are counted */;

int share_reserve(struct share *s, size_t cap) {
    s->entry = mem_alloc((cap + 1) * sizeof *s->entry);
    s->saved = mem_alloc((cap + 1) * sizeof *s->saved);
    s->from = mem_alloc((cap + 1) * sizeof *s->from);
    s->place = mem_alloc((cap + 1) * sizeof *s->place);
    s->cap = cap;
    if (s->entry && s->saved && s->from && s->place)
        return 0;
    share_release(s);
    return ILAB_E_NOMEM;
}

void share_release(struct share *s) {
    mem_free(s->entry);
    mem_free(s->saved);
    mem_free(s->from);
    mem_free(s->place);
    *s = (struct share){ 0 };
}

/* Pages in front of the row that predicts the first token with loss: that row belongs to the sample's own end. */
static int pages_of(const struct sample *s) {
    int i = 1;
    while (i < s->n && !s->mask[i])
        i++;
    return (i - 1) / KERN_PANEL;
}

static int common_pages(const struct share_entry *a, const struct share_entry *b) {
    int n = 0;
    while (n < a->n_page && n < b->n_page && !memcmp(a->id + n * KERN_PANEL, b->id + n * KERN_PANEL, KERN_PANEL * sizeof *a->id))
        n++;
    return n;
}

static int by_beginning(const void *x, const void *y) {
    const struct share_entry *a = x, *b = y;
    const int n = a->n_page < b->n_page ? a->n_page : b->n_page, order = n ? memcmp(a->id, b->id, (size_t)n * KERN_PANEL * sizeof *a->id) : 0;
    if (order)
        return order;
    return a->n_page != b->n_page ? (a->n_page < b->n_page ? -1 : 1) : a->at < b->at ? -1 : a->at > b->at;
}

static void sort_samples(struct share *s, const struct dataset *d, const uint32_t *sample, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        const struct sample *v = &d->v[sample[i]];
        s->entry[i] = (struct share_entry){ .id = v->id, .n_page = pages_of(v), .n_row = sample_n_row(v), .at = i, .sample = sample[i] };
    }
    qsort(s->entry, n, sizeof *s->entry, by_beginning);
    for (uint32_t i = 0; i < n; i++)
        s->entry[i].common = i ? common_pages(&s->entry[i - 1], &s->entry[i]) : 0;
}

int share_longest(struct share *s, const struct dataset *d, const uint32_t *sample, uint32_t n) {
    int most = 0;
    sort_samples(s, d, sample, n);
    for (uint32_t i = 1; i < n; i++)
        most = s->entry[i].common > most ? s->entry[i].common : most;
    return most * KERN_PANEL;
}

/* from[j]: where the last tree (or single sample) of the best cut of entry[0 … j) begins. */
static void best_cut(struct share *s, uint32_t n, int max_row, int max_tokens) {
    s->saved[0] = 0;
    for (uint32_t j = 1; j <= n; j++) {
        int pages = s->entry[j - 1].n_page;
        int64_t tokens = s->entry[j - 1].n_row;
        s->saved[j] = s->saved[j - 1];
        s->from[j] = j - 1;
        for (uint32_t i = j - 1; i > 0 && j - i < TREE_MOST; i--) {
            pages = s->entry[i].common < pages ? s->entry[i].common : pages;
            tokens += s->entry[i - 1].n_row;
            const int64_t saves = (int64_t)(j - i) * pages * KERN_PANEL;
            if (!pages || tokens > max_tokens || tokens - saves > max_row)
                break;
            if (s->saved[i - 1] + saves > s->saved[j]) {
                s->saved[j] = s->saved[i - 1] + saves;
                s->from[j] = i - 1;
            }
        }
    }
}

static int by_place(const void *x, const void *y) {
    const struct share_entry *a = x, *b = y;
    return a->at < b->at ? -1 : a->at > b->at;
}

void share_arrange(struct share *s, const struct dataset *d, uint32_t *order, uint32_t n, int max_row, int max_tokens, int32_t *prefix, uint32_t *first) {
    sort_samples(s, d, order, n);
    best_cut(s, n, max_row, max_tokens);
    /* place[at]: 1 + the entry where the tree that stands there begins; INSIDE: a sample of a tree that stands elsewhere. from: its end. */
    for (uint32_t to = n, from; to > 0; to = from) {
        from = s->from[to];
        struct share_entry *e = s->entry + from;
        int pages = e->n_page;
        uint32_t lowest = from;
        for (uint32_t i = from + 1; i < to; i++)
            pages = s->entry[i].common < pages ? s->entry[i].common : pages;
        for (uint32_t i = from; i < to; i++) {
            s->entry[i].n_page = to - from > 1 ? pages : 0;
            lowest = s->entry[i].sample < s->entry[lowest].sample ? i : lowest;
            s->place[s->entry[i].at] = INSIDE;
        }
        s->place[s->entry[lowest].at] = from + 1;
        s->saved[from] = to;                   /* no longer needed for the cut */
        if (to - from > 1)
            qsort(e, to - from, sizeof *e, by_place);
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (s->place[i] == INSIDE)
            continue;
        const uint32_t from = s->place[i] - 1, head = at;
        for (uint32_t k = from; k < (uint32_t)s->saved[from]; k++, at++) {
            order[at] = s->entry[k].sample;
            if (prefix)
                prefix[at] = s->entry[k].n_page * KERN_PANEL, first[at] = head;
        }
    }
}

/* ---- what a run shares ---- */

static int count(struct share_choice *c, const struct dataset *d, const struct train_opts *o, int batch, int mode, double *computed, ilab_err *e) {
    struct packing *p = NULL;
    int rc = packing_new(&p, d, batch, batch, o->seed, e);
    if (!rc)
        rc = packing_share(p, mode, c->unit, e);
    const int epochs = o->epochs > 0 && o->learnt <= 0 && (double)o->epochs * (double)d->n < COUNT_MOST ? o->epochs : 1;
    c->most = 0;
    for (int i = 0; !rc && i < epochs; i++) {
        const struct epoch_rows r = packing_epoch_rows(p, i);
        c->most = r.most > c->most ? r.most : c->most;
        if (i == 0)
            *computed = r.rows;
    }
    if (epochs != o->epochs)
        c->most = 0;
    packing_free(p);
    return rc;
}

int share_choose(struct share_choice *c, const struct dataset *d, const struct train_opts *o, int batch, int longest, ilab_err *e) {
    *c = (struct share_choice){ .unit = longest, .asked = o->share == SHARE_ON };
    if (o->share == SHARE_OFF || (o->share == SHARE_AUTO && !o->full && o->lora_dropout > 0) || d->n < 2 || d->n >= UINT32_MAX)
        return 0;
    struct share s = { 0 };
    uint32_t *all = mem_alloc(d->n * sizeof *all), n = 0;
    int rc = all ? share_reserve(&s, d->n) : ILAB_E_NOMEM, common = 0;
    if (rc)
        err_set(e, rc, "no memory to look for shared beginnings; --share-prefix off does without");
    for (size_t i = 0; i < d->n; i++) {
        const int n_row = sample_n_row(&d->v[i]);
        c->tokens += n_row;
        if (!rc && n_row)
            all[n++] = (uint32_t)i;
    }
    if (!rc)
        common = share_longest(&s, d, all, n);
    share_release(&s);
    mem_free(all);
    c->common = common > 0;
    if (rc || !common)
        return rc;
    int unit = SHARE_PREFIXES * common > SHARE_ROWS ? SHARE_PREFIXES * common : SHARE_ROWS;
    unit = unit < batch ? unit : batch;
    c->unit = unit > longest ? unit : longest;
    rc = count(c, d, o, batch, SHARE_MODE_GROUPS, &c->grouped, e);
    if (!rc && o->share == SHARE_ON)
        c->computed = c->grouped;
    else if (!rc)
        rc = count(c, d, o, batch, SHARE_MODE_BATCH, &c->computed, e);
    if (rc)
        return rc;
    c->mode = o->share == SHARE_ON ? SHARE_MODE_GROUPS : SHARE_MODE_BATCH;
    if (c->tokens - c->computed < c->tokens * LEAST_SAVED)
        *c = (struct share_choice){ .unit = longest, .asked = c->asked, .common = 1, .tokens = c->tokens, .computed = c->tokens, .grouped = c->grouped };
    return 0;
}

static void add_count(struct sb *b, double x) {
    char digits[32];
    const int n = snprintf(digits, sizeof digits, "%.0f", x);
    for (int i = 0; i < n; i++)
        sb_addf(b, "%s%c", i && (n - i) % 3 == 0 ? "," : "", digits[i]);
}

void share_describe(const struct share_choice *c, struct sb *b) {
    if (c->mode) {
        sb_addc(b, "prefix sharing: ");
        add_count(b, c->tokens);
        sb_addc(b, " tokens computed as ");
        add_count(b, c->computed);
    }
    if (c->asked && !c->mode)
        sb_addf(b, c->common ? "prefix sharing: none, samples that begin alike would save less than one token in %d" : "prefix sharing: none, no two samples begin with the same %d tokens",
                c->common ? 30 : KERN_PANEL);
    if (c->asked || c->mode == SHARE_MODE_GROUPS || c->tokens <= 0 || c->computed - c->grouped < WORTH_TELLING * c->tokens)
        return;
    sb_addc(b, c->mode ? "; " : "prefix sharing: none; ");
    sb_addc(b, "--share-prefix on would bring samples that begin alike into the same steps: ");
    add_count(b, c->grouped);
}
