/* pdf_layout.c — from words with places to rows in reading order.
 *
 * Words whose middles lie at the same height make a row across the page. Where a gap runs down through many rows with several
 * words on both sides, these are columns of prose: the left one is read first. A table has such gaps, too, but few words
 * between them, and stays whole.  SPDX-License-Identifier: Apache-2.0 */
#include "document/pdf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_COLUMN_ROWS = 5, MAX_SPLITS = 4, MAX_GAPS = 32 };
#define MIN_WORDS_PER_SIDE 3.5

static int by_height(const void *a, const void *b)
{
    const struct word *const *x = a, *const *y = b;
    const double p = (*x)->y0 + (*x)->y1, q = (*y)->y0 + (*y)->y1;
    return p < q ? -1 : p > q ? 1 : (*x)->x0 < (*y)->x0 ? -1 : (*x)->x0 > (*y)->x0;
}

static int from_left(const void *a, const void *b)
{
    const struct word *const *x = a, *const *y = b;
    return (*x)->x0 < (*y)->x0 ? -1 : (*x)->x0 > (*y)->x0;
}

int layout_is_gap(const struct text_row *r, int i) { return r->word[i + 1]->x0 - r->word[i]->x1 > 0.8 * r->height; }

/* Bounds and the height that most letters have. */
static void measure(struct text_row *r)
{
    double best = 0;
    size_t most = 0;
    r->x0 = r->y0 = 1e9;
    r->x1 = r->y1 = -1e9;
    for (int i = 0; i < r->n; i++) {
        const struct word *w = r->word[i];
        size_t same = 0;
        for (int k = 0; k < r->n && k < 64; k++)
            if (fabs((r->word[k]->y1 - r->word[k]->y0) - (w->y1 - w->y0)) < 0.3) same += r->word[k]->text.n;
        if (same > most) most = same, best = w->y1 - w->y0;
        r->x0 = fmin(r->x0, w->x0);
        r->x1 = fmax(r->x1, w->x1);
        r->y0 = fmin(r->y0, w->y0);
        r->y1 = fmax(r->y1, w->y1);
    }
    r->height = best;
}

static struct text_row *add_row(struct layout *l, struct text_row r)
{
    if (l->b->rc || !r.n) return NULL;
    if (mem_grow((void **)&l->row, &l->cap_row, l->n_row + 1, sizeof *l->row)) return build_fail(l->b, ILAB_E_NOMEM, "no memory for the rows"), NULL;
    measure(&r);
    l->row[l->n_row] = r;
    return &l->row[l->n_row++];
}

/* Rows of a page before columns are looked for. */
static struct text_row *page_rows(struct layout *l, int page, size_t *n)
{
    struct page *p = &l->page[page];
    struct word **w = arena_alloc(l->a, (p->n + 1) * sizeof *w, sizeof(void *));
    struct text_row *row = arena_alloc(l->a, (p->n + 1) * sizeof *row, sizeof(void *));
    *n = 0;
    if (!w || !row) return build_fail(l->b, ILAB_E_NOMEM, "no memory for a page"), NULL;
    for (size_t i = 0; i < p->n; i++) w[i] = &p->word[i];
    qsort(w, p->n, sizeof *w, by_height);
    for (size_t i = 0; i < p->n;) {
        /* the tallest of the next few words sets the row: a raised figure before it must not */
        size_t end = i + 1;
        double middle = (w[i]->y0 + w[i]->y1) / 2, height = w[i]->y1 - w[i]->y0;
        for (; end < p->n; end++) {
            const double m = (w[end]->y0 + w[end]->y1) / 2, h = w[end]->y1 - w[end]->y0;
            if (m - middle > 0.5 * fmax(h, height)) break;
            if (h > height * 1.2) middle = m, height = h;
        }
        qsort(w + i, end - i, sizeof *w, from_left);
        row[*n] = (struct text_row){ .page = page + 1, .word = w + i, .n = (int)(end - i) };
        measure(&row[(*n)++]);
        i = end;
    }
    return row;
}

/* The free ranges of a row, with the margins on both sides. */
static int gaps_of(const struct text_row *r, double gap[MAX_GAPS][2])
{
    int n = 0;
    if (!r->n) return 0;
    gap[n][0] = -1e9, gap[n++][1] = r->x0;
    double end = r->word[0]->x1;
    for (int i = 0; i + 1 < r->n && n < MAX_GAPS - 1; i++) {
        if (r->word[i + 1]->x0 - end > 0.6 * r->height) gap[n][0] = end, gap[n++][1] = r->word[i + 1]->x0;
        end = fmax(end, r->word[i + 1]->x1);
    }
    gap[n][0] = end, gap[n++][1] = 1e9;
    return n;
}

struct gutter { double x; size_t rows; };

/* The gap of row[0] that runs down furthest with prose on both sides; rows 0: none. */
static struct gutter find_gutter(const struct text_row *row, size_t n)
{
    double first[MAX_GAPS][2], other[MAX_GAPS][2];
    struct gutter best = { 0, 0 };
    const int n_first = gaps_of(&row[0], first);
    for (int g = 1; g + 1 < n_first; g++) {
        double lo = first[g][0], hi = first[g][1];
        size_t i = 0, both = 0, words = 0;
        for (; i < n; i++) {
            const int m = gaps_of(&row[i], other);
            double a = 0, b = 0;
            for (int k = 0; k < m; k++) {
                const double p = fmax(lo, other[k][0]), q = fmin(hi, other[k][1]);
                if (q - p > b - a) a = p, b = q;
            }
            if (b - a < 0.5 * row[i].height) break;
            lo = a, hi = b;
            size_t left = 0;
            for (int k = 0; k < row[i].n; k++) left += row[i].word[k]->x1 <= (lo + hi) / 2;
            if (left && left < (size_t)row[i].n) both++, words += (size_t)row[i].n;
        }
        if (both >= MIN_COLUMN_ROWS && (double)words >= 2 * MIN_WORDS_PER_SIDE * (double)both && i > best.rows) best = (struct gutter){ (lo + hi) / 2, i };
    }
    return best;
}

static void emit(struct layout *l, struct text_row *row, size_t n, int depth);

/* One side of the gutter. Words of a row are sorted, so a side is a part of the array. */
static void emit_side(struct layout *l, const struct text_row *row, size_t n, double x, int right, int depth)
{
    struct text_row *side = mem_calloc(n, sizeof *side);
    size_t m = 0;
    if (!side) {
        build_fail(l->b, ILAB_E_NOMEM, "no memory for a column");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        int cut = 0;
        while (cut < row[i].n && row[i].word[cut]->x1 <= x) cut++;
        side[m] = row[i];
        side[m].word = right ? row[i].word + cut : row[i].word;
        side[m].n = right ? row[i].n - cut : cut;
        if (side[m].n) measure(&side[m++]);
    }
    const size_t from = l->n_row;
    emit(l, side, m, depth + 1);
    if (l->n_row > from) l->row[from].starts_column = 1;
    mem_free(side);
}

static void emit(struct layout *l, struct text_row *row, size_t n, int depth)
{
    for (size_t i = 0; i < n && !l->b->rc;) {
        const struct gutter g = depth < MAX_SPLITS ? find_gutter(row + i, n - i) : (struct gutter){ 0, 0 };
        if (!g.rows) {
            add_row(l, row[i++]);
            continue;
        }
        const size_t from = l->n_row;
        emit_side(l, row + i, g.rows, g.x, 0, depth);
        emit_side(l, row + i, g.rows, g.x, 1, depth);
        i += g.rows;
        if (from == l->n_row) return;
    }
}

/* The height that most letters have is that of the body; pitch: the usual distance of its rows, in heights. */
static void measure_body(struct layout *l)
{
    enum { BINS = 400 };
    size_t letters[BINS] = { 0 }, pitches[BINS] = { 0 };
    int best = 0, best_pitch = 0;
    for (size_t i = 0; i < l->n_row; i++) {
        const int bin = (int)(l->row[i].height * 4);
        for (int k = 0; k < l->row[i].n && bin >= 0 && bin < BINS; k++) letters[bin] += l->row[i].word[k]->text.n;
    }
    for (int i = 1; i < BINS; i++)
        if (letters[i] > letters[best]) best = i;
    l->body = best ? (best + 0.5) / 4 : 10;
    for (size_t i = 1; i < l->n_row; i++) {
        const struct text_row *p = &l->row[i - 1], *r = &l->row[i];
        const int bin = (int)((r->y1 - p->y1) / l->body * 50);
        if (p->page == r->page && bin >= 30 && bin < 150 && fabs(r->height - l->body) < 0.5) pitches[bin]++;
    }
    for (int i = 0; i < BINS; i++)
        if (pitches[i] > pitches[best_pitch]) best_pitch = i;
    l->pitch = best_pitch ? (best_pitch + 0.5) / 50 : 1.0;
}

void layout_rows(struct layout *l)
{
    for (size_t i = 0; i < l->n_page && !l->b->rc; i++) {
        size_t n;
        struct text_row *row = page_rows(l, (int)i, &n);
        const size_t from = l->n_row;
        if (row) emit(l, row, n, 0);
        if (l->n_row > from) l->row[from].starts_column = 1;
    }
    measure_body(l);
}
