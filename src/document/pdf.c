/* pdf.c — PDF: from what `pdftotext -bbox-layout` says about words and their places to passages.
 *
 * Headings are told by the height of their letters, items by their marks, tables by gaps that stand in one line, footnotes by
 * small letters at the foot of a page behind a mark that is raised in the text. Rows that repeat on the pages' heads and feet
 * are left out; words cut at the end of a line are joined.  SPDX-License-Identifier: Apache-2.0 */
#include "document/pdf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PAGES = 20000, MAX_TABLE_COLUMNS = 32 };

static double number(const struct xml *n, const char *name)
{
    const char *s = xml_get(n, name);
    double v;
    return s && !parse_f64(s, -1e6, 1e6, &v) ? v : 0;
}

static void take_words(struct layout *l, struct page *p, const struct xml *n)
{
    for (const struct xml *c = n->child; c && !l->b->rc; c = c->next) {
        if (!xml_is(c, "h:word")) {
            if (c->name) take_words(l, p, c);
            continue;
        }
        const struct sv text = xml_text(l->b, c);
        const double x0 = number(c, "xMin"), y0 = number(c, "yMin"), x1 = number(c, "xMax"), y1 = number(c, "yMax");
        if (!text.n || x1 < x0 || y1 <= y0) continue;
        if (mem_grow((void **)&p->word, &p->cap, p->n + 1, sizeof *p->word)) {
            build_fail(l->b, ILAB_E_NOMEM, "no memory for the words of a page");
            return;
        }
        p->word[p->n++] = (struct word){ x0, y0, x1, y1, text };
    }
}

static void take_pages(struct layout *l, const struct xml *doc)
{
    for (const struct xml *c = doc ? doc->child : NULL; c && !l->b->rc; c = c->next) {
        if (!xml_is(c, "h:page")) continue;
        if (l->n_page >= MAX_PAGES) build_fail(l->b, ILAB_E_LIMIT, "more than %d pages", (int)MAX_PAGES);
        else if (mem_grow((void **)&l->page, &l->cap_page, l->n_page + 1, sizeof *l->page)) build_fail(l->b, ILAB_E_NOMEM, "no memory for the pages");
        else {
            l->page[l->n_page] = (struct page){ .width = number(c, "width"), .height = number(c, "height") };
            take_words(l, &l->page[l->n_page++], c);
        }
    }
}

/* ---- heads and feet of pages ---- */

static uint64_t shape_of(const struct text_row *r)
{
    uint64_t h = 1;
    for (int i = 0; i < r->n; i++)
        for (size_t k = 0; k < r->word[i]->text.n; k++) {
            char c = r->word[i]->text.p[k];
            if (c >= '0' && c <= '9') c = '#';
            if (c == '#' && k && r->word[i]->text.p[k - 1] >= '0' && r->word[i]->text.p[k - 1] <= '9') continue; /* 9 and 10 are alike */
            h = hash64(&c, 1, h);
        }
    return h;
}

/* "7", "- 7 -", "Page 7 of 12", "Seite 7", "vii" */
static int is_page_number(const struct text_row *r)
{
    static const char *const WORD[] = { "page", "Page", "Seite", "S.", "of", "von", "/", "-", "\xE2\x80\x93", "|" };
    int digits = 0;
    if (r->n > 5) return 0;
    for (int i = 0; i < r->n; i++) {
        const struct sv w = r->word[i]->text;
        int known = 0;
        size_t d = 0, roman = 0;
        for (size_t k = 0; k < ARRAY_LEN(WORD); k++) known |= sv_eq_c(w, WORD[k]);
        for (size_t k = 0; k < w.n; k++) d += (w.p[k] >= '0' && w.p[k] <= '9') || w.p[k] == '/', roman += w.p[k] && strchr("ivxlc", w.p[k]) != NULL;
        if ((d == w.n && w.n <= 9) || (roman == w.n && r->n == 1 && w.n <= 6)) digits = 1;
        else if (!known) return 0;
    }
    return digits;
}

static int by_shape(const void *a, const void *b) { return *(const uint64_t *)a < *(const uint64_t *)b ? -1 : *(const uint64_t *)a > *(const uint64_t *)b; }

/* The first and last two rows of a page, by place, when the same shape stands on several pages; bare page numbers always. */
static void drop_heads_and_feet(struct layout *l)
{
    uint64_t *shape = mem_alloc((l->n_row + 1) * sizeof *shape);
    size_t *edge = mem_alloc((l->n_row + 1) * sizeof *edge), n = 0;
    if (!shape || !edge) build_fail(l->b, ILAB_E_NOMEM, "no memory for the rows");
    for (size_t i = 0; i < l->n_row && !l->b->rc;) {
        size_t end = i;
        while (end < l->n_row && l->row[end].page == l->row[i].page) end++;
        for (size_t k = i; k < end; k++) {
            int above = 0, below = 0;
            for (size_t m = i; m < end && above + below < 1000; m++) above += l->row[m].y1 < l->row[k].y0 + 1, below += l->row[m].y0 > l->row[k].y1 - 1;
            const double height = l->page[l->row[k].page - 1].height;
            const int at_edge = (above < 2 && l->row[k].y0 < 0.2 * height) || (below < 2 && l->row[k].y1 > 0.8 * height);
            if (!at_edge) continue;
            if ((above == 0 || below == 0) && is_page_number(&l->row[k])) {
                l->row[k].kind = ROW_DROPPED;
                build_lost(l->b, LOST_PAGE_HEADERS, 1);
            } else edge[n++] = k;
        }
        i = end;
    }
    for (size_t i = 0; i < n && !l->b->rc; i++) shape[i] = shape_of(&l->row[edge[i]]);
    if (!l->b->rc) qsort(shape, n, sizeof *shape, by_shape);
    const size_t need = l->n_page / 3 > 2 ? l->n_page / 3 : 2;
    for (size_t i = 0; i < n && !l->b->rc; i++) {
        const uint64_t s = shape_of(&l->row[edge[i]]);
        size_t lo = 0, hi = n, count = 0;
        while (lo < hi) {
            const size_t mid = (lo + hi) / 2;
            if (shape[mid] < s) lo = mid + 1;
            else hi = mid;
        }
        while (lo + count < n && shape[lo + count] == s) count++;
        if (l->n_page < 2 || count < need || l->row[edge[i]].height > 1.4 * l->body) continue;
        l->row[edge[i]].kind = ROW_DROPPED;
        build_lost(l->b, LOST_PAGE_HEADERS, 1);
    }
    mem_free(shape);
    mem_free(edge);
}

/* ---- footnotes ---- */

static int is_mark(struct sv w)
{
    if (sv_eq_c(w, "*") || sv_eq_c(w, "**") || sv_eq_c(w, "\xE2\x80\xA0") || sv_eq_c(w, "\xE2\x80\xA1")) return 1;
    for (size_t i = 0; i < w.n; i++)
        if (w.p[i] < '0' || w.p[i] > '9') return 0;
    return w.n > 0 && w.n <= 3;
}

static struct sv note_id(struct builder *b, int page, struct sv mark)
{
    char id[64];
    const int n = snprintf(id, sizeof id, "%d:%.*s", page, (int)(mark.n < 12 ? mark.n : 12), mark.p);
    return build_copy(b, (struct sv){ id, (size_t)n });
}

static int is_small(const struct layout *l, const struct text_row *r) { return r->height < 0.92 * l->body; }

/* Small rows at the foot of a page, from the one that begins with a mark on. */
static void find_notes(struct layout *l)
{
    for (size_t i = 0; i < l->n_row;) {
        size_t end = i, first = SIZE_MAX;
        const double half = l->page[l->row[i].page - 1].height / 2;
        while (end < l->n_row && l->row[end].page == l->row[i].page) end++;
        for (size_t k = end; k-- > i;) {
            const struct text_row *r = &l->row[k];
            if (r->kind == ROW_DROPPED) continue;
            if (!is_small(l, r) || r->y0 < half) break;
            if (r->n > 1 && is_mark(r->word[0]->text)) first = k;
        }
        for (size_t k = first; k < end; k++)
            if (l->row[k].kind == ROW_TEXT) l->row[k].kind = ROW_NOTE;
        i = end;
    }
}

/* Is word k of the row raised and small (a mark of a footnote, an exponent)? */
static int is_raised(const struct text_row *r, int k)
{
    const struct word *w = r->word[k];
    return k > 0 && w->y1 - w->y0 < 0.8 * r->height && w->y1 < r->y1 - 0.15 * r->height && is_mark(w->text);
}

static int page_has_note(const struct layout *l, int page, struct sv mark)
{
    size_t lo = 0, hi = l->n_row;
    while (lo < hi) { /* rows are sorted by page */
        const size_t mid = (lo + hi) / 2;
        if (l->row[mid].page < page) lo = mid + 1;
        else hi = mid;
    }
    for (; lo < l->n_row && l->row[lo].page == page; lo++)
        if (l->row[lo].kind == ROW_NOTE && sv_eq(l->row[lo].word[0]->text, mark)) return 1;
    return 0;
}

/* ---- text ---- */

static int is_lower(struct sv s)
{
    size_t i = 0;
    const int32_t cp = s.n ? utf8_next(s, &i) : -1;
    return cp > 0 && !strcmp(utf8_category(cp), "Ll");
}

/* Joins words of a row to the open block. A word that was cut at the end of the line before is put together again. */
static void add_words(struct layout *l, const struct text_row *r, int from, int to)
{
    static const char *const KEEP[] = { "und", "oder", "bzw.", "and", "or", "bis", "to" };
    struct builder *b = l->b;
    struct sb *s = b->in_note ? &b->note_text : b->depth ? &b->cell : &b->text;
    for (int k = from; k < to && !b->rc; k++) {
        const struct sv w = r->word[k]->text;
        if (is_raised(r, k)) {
            if (!b->in_note && page_has_note(l, r->page, w)) {
                build_note_ref(b, note_id(b, r->page, w));
                continue;
            }
            if (w.n == 1 && (w.p[0] == '2' || w.p[0] == '3') && s->n) { /* an exponent */
                build_text(b, w.p[0] == '2' ? SV("\xC2\xB2") : SV("\xC2\xB3"));
                continue;
            }
        }
        int keep = 0;
        for (size_t i = 0; i < ARRAY_LEN(KEEP); i++) keep |= sv_eq_c(w, KEEP[i]);
        const int cut = k == from && s->n > 1 && s->p[s->n - 1] == '-' && s->p[s->n - 2] != ' ' && s->p[s->n - 2] != '-' && !keep;
        const int soft = k == from && s->n > 2 && !memcmp(s->p + s->n - 2, "\xC2\xAD", 2);
        if (cut && is_lower(w)) s->p[--s->n] = 0;
        else if (!cut && !soft && s->n) build_text(b, SV(" "));
        build_text(b, w);
    }
}

/* Number of words that make the mark of an item ("•", "12.", "a)"); 0: none. */
static int item_words(const struct text_row *r)
{
    static const char *const BULLET[] = { "\xE2\x80\xA2", "\xE2\x97\xA6", "\xE2\x96\xAA", "\xE2\x80\x93", "-", "*", "\xC2\xB7", "\xE2\x80\xA3", "\xE2\x97\x8F", "\xE2\x97\x8B", "\xEF\x82\xB7", "\xE2\x96\xA0", "o" };
    if (r->n < 2) return 0;
    const struct sv w = r->word[0]->text;
    for (size_t i = 0; i < ARRAY_LEN(BULLET); i++)
        if (sv_eq_c(w, BULLET[i]) && (w.n > 1 || w.p[0] != 'o' || layout_is_gap(r, 0))) return 1;
    size_t d = 0;
    while (d < w.n && w.p[d] >= '0' && w.p[d] <= '9') d++;
    if (!d && w.n == 2 && (w.p[0] | 0x20) >= 'a' && (w.p[0] | 0x20) <= 'z') d = 1;
    return d && d <= 3 && d + 1 == w.n && (w.p[d] == ')' || (w.p[d] == '.' && (w.p[0] >= '0' && w.p[0] <= '9'))) ? 1 : 0;
}

static struct sv first_word(const struct text_row *r) { return r->word[0]->text; }

/* "2.1 Title": a numbered heading in letters of the usual size. Its level, or 0. */
static int numbered_heading(const struct text_row *r)
{
    const struct sv w = first_word(r);
    int dots = 0;
    if (r->n < 2 || r->n > 12 || w.p[0] < '1' || w.p[0] > '9') return 0;
    for (size_t i = 0; i < w.n; i++) {
        if (w.p[i] == '.') dots += i + 1 < w.n;
        else if (w.p[i] < '0' || w.p[i] > '9') return 0;
    }
    const struct sv last = r->word[r->n - 1]->text;
    return dots && dots <= 4 && !is_lower(r->word[1]->text) && !strchr(".,;:!?", last.p[last.n - 1]) ? dots + 1 : 0;
}

/* ---- tables ---- */

struct columns { int n; double lo[MAX_TABLE_COLUMNS], hi[MAX_TABLE_COLUMNS]; };

/* Parts of a row between wide gaps. */
static int parts_of(const struct text_row *r, double lo[MAX_TABLE_COLUMNS], double hi[MAX_TABLE_COLUMNS])
{
    int n = 0;
    for (int k = 0; k < r->n && n < MAX_TABLE_COLUMNS; k++) {
        if (!k || layout_is_gap(r, k - 1)) lo[n] = r->word[k]->x0, hi[n++] = r->word[k]->x1;
        else if (r->word[k]->x1 > hi[n - 1]) hi[n - 1] = r->word[k]->x1;
    }
    return n;
}

static int has_parts(const struct text_row *r)
{
    double lo[MAX_TABLE_COLUMNS], hi[MAX_TABLE_COLUMNS];
    const int n = parts_of(r, lo, hi);
    return n > 1 && !(n == 2 && item_words(r)) ? n : 0;
}

/* Ranges that overlap are one column. */
static void add_range(struct columns *c, double lo, double hi)
{
    for (int i = 0; i < c->n; i++) {
        if (hi < c->lo[i] || lo > c->hi[i]) continue;
        lo = fmin(lo, c->lo[i]), hi = fmax(hi, c->hi[i]);
        for (int k = i; k + 1 < c->n; k++) c->lo[k] = c->lo[k + 1], c->hi[k] = c->hi[k + 1];
        c->n--;
        i = -1;
    }
    if (c->n == MAX_TABLE_COLUMNS) return;
    int at = c->n++;
    for (; at > 0 && c->lo[at - 1] > lo; at--) c->lo[at] = c->lo[at - 1], c->hi[at] = c->hi[at - 1];
    c->lo[at] = lo, c->hi[at] = hi;
}

/* Do two rows share an edge or the middle of a part behind the first? */
static int in_line(const struct text_row *a, const struct text_row *b)
{
    double alo[MAX_TABLE_COLUMNS], ahi[MAX_TABLE_COLUMNS], blo[MAX_TABLE_COLUMNS], bhi[MAX_TABLE_COLUMNS];
    const int n = parts_of(a, alo, ahi), m = parts_of(b, blo, bhi);
    for (int i = 1; i < n; i++)
        for (int k = 1; k < m; k++)
            if (fabs(alo[i] - blo[k]) < 3 || fabs(ahi[i] - bhi[k]) < 3 || fabs(alo[i] + ahi[i] - blo[k] - bhi[k]) < 6) return 1;
    return 0;
}

/* Rows [i, end) that make a table; end == i: none begins here. */
static size_t table_end(const struct layout *l, size_t i, struct columns *c)
{
    const struct text_row *r = l->row;
    size_t end = i, last = i;
    int full = 0;
    *c = (struct columns){ 0 };
    for (; end < l->n_row && r[end].page == r[i].page && (end == i || !r[end].starts_column); end++) {
        struct columns next = *c;
        double lo[MAX_TABLE_COLUMNS], hi[MAX_TABLE_COLUMNS];
        const int n = parts_of(&r[end], lo, hi), is_full = has_parts(&r[end]) > 0;
        if (r[end].kind != ROW_TEXT || (end > i && r[end].y0 - r[end - 1].y1 > 2.2 * l->body)) break;
        if (!full && !is_full) break;
        if (full && is_full && !in_line(&r[last], &r[end]) && !in_line(&r[i], &r[end])) break;
        for (int k = 0; k < n; k++) add_range(&next, lo[k], hi[k]);
        if (full && next.n < c->n) break;              /* a line of prose below the table crosses its columns */
        if (!is_full && next.n > c->n) break;
        if (!is_full && r[end].x0 < c->hi[0] && r[end].y0 - r[end - 1].y1 > 0.6 * l->body) break; /* the next paragraph */
        *c = next;
        full += is_full;
        if (is_full) last = end;
    }
    /* single parts at the end are no rows of it, unless they go on in a cell behind the first */
    while (end > last + 1 && r[end - 1].x0 <= c->hi[0]) end--;
    return full >= 2 && c->n >= 2 ? end : i;
}

static void put_table(struct layout *l, size_t from, size_t to, const struct columns *c)
{
    struct builder *b = l->b;
    struct sb cell[MAX_TABLE_COLUMNS];
    int filled = 0;
    build_end(b);
    build_table(b);
    for (int k = 0; k < c->n; k++) sb_init(&cell[k], DOCUMENT_MAX_TEXT);
    for (size_t i = from; i <= to && !b->rc; i++) {
        const struct text_row *r = &l->row[i];
        /* a row with nothing in its first cell goes on with the one above */
        const int begins = i == to || r->x0 <= c->hi[0];
        if (begins && filled) {
            build_row(b, 0);
            for (int k = 0; k < c->n; k++) {
                build_cell(b, 1, 1, 0);
                build_text(b, (struct sv){ cell[k].p ? cell[k].p : "", cell[k].n });
                sb_reset(&cell[k]);
            }
            filled = 0;
        }
        if (i == to) break;
        if (begins) b->page = r->page;
        for (int w = 0; w < r->n; w++) {
            const double middle = (r->word[w]->x0 + r->word[w]->x1) / 2;
            int best = 0;
            for (int k = 1; k < c->n; k++)
                if (middle >= c->lo[k] - 0.1 * l->body) best = k;
            if (is_raised(r, w) && page_has_note(l, r->page, r->word[w]->text)) {
                build_note_ref(b, note_id(b, r->page, r->word[w]->text));
                continue;
            }
            if (cell[best].n && !is_raised(r, w)) sb_addch(&cell[best], ' ');
            sb_add(&cell[best], r->word[w]->text);
            filled = 1;
        }
    }
    for (int k = 0; k < c->n; k++) sb_release(&cell[k]);
    build_table_end(b);
}

/* ---- passages ---- */

static int heading_level(const struct layout *l, const struct text_row *r, const double *size, int n_size)
{
    if (r->height < 1.12 * l->body) return numbered_heading(r);
    int level = 1;
    for (int i = 0; i < n_size; i++) level += size[i] > r->height + 0.4;
    return level > 6 ? 6 : level;
}

/* The distinct heights above that of the body, at most 16. */
static int heading_sizes(const struct layout *l, double size[16])
{
    int n = 0;
    for (size_t i = 0; i < l->n_row; i++) {
        int known = l->row[i].height < 1.12 * l->body || l->row[i].kind != ROW_TEXT;
        for (int k = 0; k < n; k++) known |= fabs(size[k] - l->row[i].height) <= 0.4;
        if (!known && n < 16) size[n++] = l->row[i].height;
    }
    return n;
}

static int ends_sentence(const struct builder *b)
{
    return b->text.n && strchr(".!?:;\")", b->text.p[b->text.n - 1]) != NULL;
}

/* Does the row go on with the paragraph above it? */
static int goes_on(const struct layout *l, const struct text_row *p, const struct text_row *r, double left, double right)
{
    const struct builder *b = l->b;
    if (!b->open || !p || item_words(r)) return 0;
    if (r->starts_column || p->page != r->page || r->y0 < p->y0)
        return !ends_sentence(b) && (is_lower(first_word(r)) || (b->text.n && b->text.p[b->text.n - 1] == '-'));
    if (r->y1 - p->y1 > 1.3 * l->pitch * l->body || fabs(r->height - p->height) > 0.12 * l->body) return 0;
    if (b->kind == PASSAGE_ITEM) return r->x0 > left + 1;
    if (r->x0 > left + 0.7 * l->body && ends_sentence(b)) return 0;                          /* indented first line */
    return !(ends_sentence(b) && p->x1 < right - 0.25 * (right - left));                   /* the line above was the last */
}

static void put_note_row(struct layout *l, const struct text_row *r)
{
    struct builder *b = l->b;
    if (is_mark(first_word(r)) && r->n > 1) {
        build_note_end(b);
        build_note(b, note_id(b, r->page, first_word(r)));
        add_words(l, r, 1, r->n);
    } else add_words(l, r, 0, r->n);
}

static void put_rows(struct layout *l)
{
    struct builder *b = l->b;
    double size[16], left = 0, right = 0;
    const int n_size = heading_sizes(l, size);
    const struct text_row *above = NULL;
    int in_heading = 0;
    for (size_t i = 0; i < l->n_row && !b->rc;) {
        struct text_row *r = &l->row[i];
        struct columns c;
        if (r->kind == ROW_DROPPED) {
            i++;
            continue;
        }
        b->page = r->page;
        if (r->kind == ROW_NOTE) {
            put_note_row(l, r);
            i++;
            if (i == l->n_row || l->row[i].kind != ROW_NOTE) build_note_end(b);
            continue;
        }
        const size_t end = table_end(l, i, &c);
        if (end > i) {
            put_table(l, i, end, &c);
            above = NULL;
            i = end;
            continue;
        }
        const int level = heading_level(l, r, size, n_size), item = item_words(r);
        if (level) {
            const int same = in_heading == level && above && above->page == r->page && r->y0 - above->y1 < 0.6 * r->height && fabs(above->height - r->height) < 0.5 && b->open;
            if (!same) build_block(b, PASSAGE_HEADING, level);
            add_words(l, r, 0, r->n);
        } else if (in_heading || !goes_on(l, above, r, left, right)) {
            build_block(b, item ? PASSAGE_ITEM : PASSAGE_PARAGRAPH, item);
            left = r->x0, right = r->x1;
            add_words(l, r, item, r->n);
        } else {
            left = r->starts_column ? r->x0 : fmin(left, r->x0), right = fmax(right, r->x1);
            add_words(l, r, 0, r->n);
        }
        in_heading = level;
        above = r;
        i++;
    }
    build_end(b);
}

/* pdftotext passes control characters on, which XML does not know. */
static struct sv without_controls(struct builder *b, struct sv s)
{
    char *o = arena_alloc(&b->x->mem, s.n + 1, 1);
    if (!o) build_fail(b, ILAB_E_NOMEM, "no memory for the words of this document");
    size_t n = 0;
    for (size_t i = 0; o && i < s.n;) {
        const size_t at = i;
        const int32_t cp = utf8_next(s, &i);
        if (cp < 0) build_lost(b, LOST_BYTES, 1);
        if (cp < 0 || (cp < 0x20 && cp != '\t' && cp != '\n' && cp != '\r') || cp == 0xFFFE || cp == 0xFFFF || (cp >= 0xD800 && cp < 0xE000)) {
            o[n++] = ' ';
            continue;
        }
        memcpy(o + n, s.p + at, i - at);
        n += i - at;
    }
    return (struct sv){ o ? o : "", n };
}

void read_pdf_layout(struct builder *b, struct sv bytes)
{
    struct arena mem;
    struct layout l = { .b = b, .a = &mem };
    arena_init(&mem, DOCUMENT_ARENA_MAX);
    const struct sv clean = without_controls(b, bytes);
    const struct xml *root = xml_parse(b, &mem, clean, "words of the pages"), *head = xml_child(root, "h:head");
    b->x->title = xml_text(b, xml_child(head, "h:title"));
    for (const struct xml *m = head ? head->child : NULL; m; m = m->next) {
        const char *name = xml_get(m, "name"), *content = xml_get(m, "content");
        if (name && content && !strcmp(name, "Author")) b->x->creator = build_copy(b, sv_of(content));
    }
    take_pages(&l, xml_below(root, "h:doc"));
    b->x->n_pages = (int)l.n_page;
    layout_rows(&l);
    if (!b->rc && !l.n_row)
        build_fail(b, ILAB_E_FORMAT, "it has %zu page%s and no text, as scanned pages have none: it needs OCR first, for example with ocrmypdf", l.n_page, l.n_page == 1 ? "" : "s");
    if (!b->rc) drop_heads_and_feet(&l);
    if (!b->rc) find_notes(&l);
    if (!b->rc) put_rows(&l);
    for (size_t i = 0; i < l.n_page; i++) mem_free(l.page[i].word);
    mem_free(l.page);
    mem_free(l.row);
    arena_release(&mem);
}
