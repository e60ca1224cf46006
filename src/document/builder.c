/* builder.c — puts passages together: cleans text, keeps the stack of headings, turns tables into rows that carry their header,
 * and moves footnotes behind the block that refers to them.
 *
 * Text is made one line of NFC: soft hyphens, zero-width spaces and control characters go, ligatures become letters, every
 * kind of space becomes one space. Places are those of the beginning of a block.  SPDX-License-Identifier: Apache-2.0 */
#include "document/builder.h"

#include <string.h>

const char *const PASSAGE_NAME[PASSAGE_KINDS] = { "heading", "paragraph", "list item", "table row", "footnote", "code" };
const char *const LOST_NAME[LOST_KINDS] = { "images", "formulas", "embedded objects", "hidden or deleted texts", "page headers and footers", "tables of contents",
                                            "elements nested too deep", "undecodable characters" };

/* ---- text ---- */

/* What a code point becomes in clean text: itself (NULL), other letters, or nothing. */
static const char *replacement(int32_t cp)
{
    static const struct { int32_t cp; const char *text; } ROWS[] = {
        { 0x00AD, "" },   { 0x200B, "" },   { 0x200E, "" },   { 0x200F, "" },    { 0x2028, " " },   { 0x2029, " " },  { 0x2060, "" },    { 0xFEFF, "" },
        { 0xFB00, "ff" }, { 0xFB01, "fi" }, { 0xFB02, "fl" }, { 0xFB03, "ffi" }, { 0xFB04, "ffl" }, { 0xFB05, "st" }, { 0xFB06, "st" }, { 0xFFFC, "" },
        { 0x0085, " " },  { 0x00A0, " " },  { 0x2011, "-" },  { 0x202F, " " },   { 0x205F, " " },   { 0x3000, " " },  { 0x1680, " " },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
        if (ROWS[i].cp == cp) return ROWS[i].text;
    if (cp >= 0x2000 && cp <= 0x200A) return " ";
    if ((cp < 0x20 && cp != '\t' && cp != '\n' && cp != '\r') || (cp >= 0x7F && cp < 0xA0) || (cp >= 0x202A && cp <= 0x202E)) return "";
    return NULL;
}

/* Empty text: p is not NULL. Without memory: p NULL. */
struct sv text_clean(struct arena *a, struct sv s, int keep_lines)
{
    char *o = arena_alloc(a, s.n + 4, 1);
    size_t n = 0;
    int plain = 1;
    if (!o) return (struct sv){ NULL, 0 };
    for (size_t i = 0; i < s.n;) {
        const size_t at = i;
        const int32_t cp = utf8_next(s, &i);
        const char *with = cp < 0 ? "" : replacement(cp);
        plain &= cp < 0x300;
        if (!with && cp != ' ' && cp != '\t' && cp != '\n' && cp != '\r') {
            memcpy(o + n, s.p + at, i - at); /* no replacement is longer than what it replaces */
            n += i - at;
        } else if (with && *with && *with != ' ') {
            const size_t len = strlen(with);
            memcpy(o + n, with, len);
            n += len;
        } else if (keep_lines && cp == '\n') {
            while (n && o[n - 1] == ' ') n--;
            o[n++] = '\n';
        } else if (!with || *with) {
            if (keep_lines ? cp != '\r' : n && o[n - 1] != ' ') o[n++] = ' ';
        }
    }
    while (n && (o[n - 1] == ' ' || o[n - 1] == '\n')) n--;
    size_t from = 0;
    while (keep_lines && from < n && o[from] == '\n') from++;
    const struct sv out = { o + from, n - from };
    return plain ? out : utf8_compose(a, out);
}

int build_fail(struct builder *b, int code, const char *fmt, ...)
{
    char msg[400];
    va_list ap;
    if (b->rc) return b->rc;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return b->rc = err_set(b->e, code, "%s: %s", b->name, msg);
}

static int no_memory(struct builder *b) { return build_fail(b, ILAB_E_NOMEM, "no memory for the text of this document"); }

struct sv build_copy(struct builder *b, struct sv s)
{
    const char *p = arena_strndup(&b->x->mem, s.n ? s.p : "", s.n);
    if (!p) no_memory(b);
    return (struct sv){ p ? p : "", p ? s.n : 0 };
}

/* ---- blocks ---- */

void build_init(struct builder *b, struct extract *x, const char *name, ilab_err *e)
{
    *b = (struct builder){ .x = x, .name = name, .e = e };
    sb_init(&b->text, DOCUMENT_MAX_TEXT);
    sb_init(&b->cell, DOCUMENT_MAX_TEXT);
    sb_init(&b->note_text, DOCUMENT_MAX_TEXT);
    for (int i = 0; i < 6; i++) b->above[i] = -1;
}

void build_lost(struct builder *b, enum lost what, int n) { b->x->lost[what] += n; }

static struct passage *push(struct builder *b, enum passage_kind kind, int level, struct sv text)
{
    struct extract *x = b->x;
    if (b->rc) return NULL;
    if (x->n >= MAX_PASSAGES) return build_fail(b, ILAB_E_LIMIT, "more than %d passages", (int)MAX_PASSAGES), NULL;
    if (mem_grow((void **)&x->v, &x->cap, x->n + 1, sizeof *x->v)) return no_memory(b), NULL;
    struct passage *p = &x->v[x->n];
    *p = (struct passage){ .kind = kind, .level = level, .heading = -1, .line = b->at_line, .page = b->at_page, .part = b->at_part, .text = text };
    if (kind == PASSAGE_HEADING) {
        p->level = level < 1 ? 1 : level > 6 ? 6 : level;
        for (int i = p->level - 1; i < 6; i++) b->above[i] = -1;
    }
    for (int i = 5; i >= 0 && p->heading < 0; i--) p->heading = b->above[i];
    if (kind == PASSAGE_HEADING) b->above[p->level - 1] = (int)x->n;
    x->n++;
    return p;
}

static void put_waiting(struct builder *b)
{
    for (int i = 0; i < b->n_waiting; i++) push(b, PASSAGE_FOOTNOTE, 1 + b->waiting[i], (struct sv){ NULL, 0 });
    b->n_waiting = 0;
}

void build_end(struct builder *b)
{
    if (b->rc || b->in_note || b->depth) return;
    if (b->open) {
        const struct sv text = text_clean(&b->x->mem, (struct sv){ b->text.p ? b->text.p : "", b->text.n }, b->kind == PASSAGE_CODE);
        if (b->text.failed || !text.p) no_memory(b);
        else if (text.n) push(b, b->kind, b->level, text);
    }
    b->open = 0;
    sb_reset(&b->text);
    put_waiting(b);
}

static void here(struct builder *b)
{
    b->at_line = b->line;
    b->at_page = b->page;
    b->at_part = b->part;
}

void build_block(struct builder *b, enum passage_kind kind, int level)
{
    if (b->in_note || b->depth) {
        struct sb *s = b->in_note ? &b->note_text : &b->cell;
        if (s->n) sb_addc(s, kind == PASSAGE_ITEM && s->p[s->n - 1] != ' ' ? ", " : " ");
        return;
    }
    build_end(b);
    b->open = 1;
    b->kind = kind;
    b->level = level;
    here(b);
}

void build_text(struct builder *b, struct sv text)
{
    if (b->rc || !text.n) return;
    struct sb *s = b->in_note ? &b->note_text : b->depth ? &b->cell : &b->text;
    if (b->depth && !b->in_note && !b->in_cell) return; /* white space between cells */
    if (s == &b->text && !b->open) build_block(b, PASSAGE_PARAGRAPH, 0);
    if (s == &b->text && !s->n) here(b);
    sb_add(s, text);
    if (s->failed) build_fail(b, ILAB_E_LIMIT, "more than %d MB of text", (int)(DOCUMENT_MAX_TEXT >> 20));
}

/* ---- footnotes ---- */

/* Index of the note with this id, made when there is none; -1 without memory. */
static int note_index(struct builder *b, struct sv id)
{
    for (size_t i = b->n_note; i-- > 0;)
        if (sv_eq(b->note[i].id, id)) return (int)i;
    if (b->n_note >= MAX_NOTES) return build_fail(b, ILAB_E_LIMIT, "more than %d footnotes", (int)MAX_NOTES), -1;
    if (mem_grow((void **)&b->note, &b->cap_note, b->n_note + 1, sizeof *b->note)) return no_memory(b), -1;
    b->note[b->n_note] = (struct note){ .id = build_copy(b, id), .text = { NULL, 0 } };
    return (int)b->n_note++;
}

void build_note_ref(struct builder *b, struct sv id)
{
    const int i = b->rc || b->in_note ? -1 : note_index(b, id);
    if (i < 0) return;
    b->note[i].referred = 1;
    if (b->n_waiting < (int)ARRAY_LEN(b->waiting)) b->waiting[b->n_waiting++] = i;
    if (!b->open && !b->depth) put_waiting(b);
}

int build_note_known(struct builder *b, struct sv id)
{
    for (size_t i = 0; i < b->n_note; i++)
        if (b->note[i].referred && sv_eq(b->note[i].id, id)) return 1;
    return 0;
}

void build_note(struct builder *b, struct sv id)
{
    const int i = b->rc || b->in_note ? -1 : note_index(b, id);
    if (i < 0) return;
    if (!b->depth && !b->note[i].referred) { /* it may stay where it is defined */
        build_end(b);
        here(b);
        push(b, PASSAGE_FOOTNOTE, 1 + i, (struct sv){ NULL, 0 });
    }
    sb_reset(&b->note_text);
    b->in_note = i + 1;
}

void build_note_end(struct builder *b)
{
    if (!b->in_note) return;
    struct note *n = &b->note[b->in_note - 1];
    if (!n->text.p) n->text = text_clean(&b->x->mem, (struct sv){ b->note_text.p ? b->note_text.p : "", b->note_text.n }, 0);
    if (!n->text.p) no_memory(b);
    sb_reset(&b->note_text);
    b->in_note = 0;
}

/* Fills the first place of each note: where a block refers to it, or where it was defined. The others go. */
static void place_notes(struct builder *b)
{
    struct extract *x = b->x;
    int *new_index = mem_alloc((x->n + 1) * sizeof *new_index);
    size_t n = 0;
    if (!new_index) {
        no_memory(b);
        return;
    }
    for (size_t i = x->n; i-- > 0;)
        if (!x->v[i].text.p) b->note[x->v[i].level - 1].used = (int)i + 1; /* ends as the first place */
    for (size_t i = 0; i < x->n; i++) {
        struct passage p = x->v[i];
        new_index[i] = (int)n;
        if (!p.text.p) {
            const struct note *note = &b->note[p.level - 1];
            if (note->used != (int)i + 1 || !note->text.n) continue;
            p.text = note->text;
            p.level = 0;
        }
        if (p.heading >= 0) p.heading = new_index[p.heading];
        x->v[n++] = p;
    }
    x->n = n;
    mem_free(new_index);
}

/* ---- tables ---- */

void build_table(struct builder *b)
{
    if (b->rc || b->in_note) return;
    if (b->depth++) {
        sb_addch(&b->cell, ' ');
        return;
    }
    b->depth = 0;
    build_end(b);
    b->depth = 1;
    b->n_row = 0;
    b->in_cell = 0;
    memset(b->span, 0, sizeof b->span);
}

static struct row *last_row(struct builder *b) { return b->n_row ? &b->row[b->n_row - 1] : NULL; }

/* Columns beyond the last one that is allowed are left out. */
static void add_to_row(struct builder *b, struct row *r, struct cell c)
{
    if (r->n >= MAX_COLUMNS) return;
    if (mem_grow((void **)&r->cell, &r->cap, (size_t)r->n + 1, sizeof *r->cell)) no_memory(b);
    else r->cell[r->n++] = c;
}

/* Cells that reach down from the rows above stand before column r->n. */
static void fill_spans(struct builder *b, struct row *r)
{
    while (!b->rc && r->n < MAX_COLUMNS && b->span[r->n].left > 0) {
        b->span[r->n].left--;
        add_to_row(b, r, (struct cell){ .text = b->span[r->n].text });
    }
}

static void end_cell(struct builder *b)
{
    struct row *r = last_row(b);
    if (!b->in_cell || !r || b->rc) return;
    const struct sv text = text_clean(&b->x->mem, (struct sv){ b->cell.p ? b->cell.p : "", b->cell.n }, 0);
    if (!text.p) no_memory(b);
    fill_spans(b, r);
    for (int i = 0; i < b->columns && r->n < MAX_COLUMNS && !b->rc; i++) {
        if (b->rows_down > 1) {
            b->span[r->n].left = b->rows_down - 1;
            b->span[r->n].text = i ? (struct sv){ "", 0 } : text;
        }
        add_to_row(b, r, (struct cell){ .text = text, .head = (unsigned char)b->cell_head, .copied = i > 0 });
    }
    b->in_cell = 0;
    sb_reset(&b->cell);
}

static void end_row(struct builder *b)
{
    struct row *r = last_row(b);
    end_cell(b);
    if (r && !b->rc) fill_spans(b, r);
}

void build_row(struct builder *b, int head)
{
    if (b->rc || b->in_note || b->depth != 1) return;
    end_row(b);
    if (b->n_row >= MAX_ROWS) build_fail(b, ILAB_E_LIMIT, "a table with more than %d rows", (int)MAX_ROWS);
    else if (mem_grow((void **)&b->row, &b->cap_row, b->n_row + 1, sizeof *b->row)) no_memory(b);
    else {
        struct row *r = &b->row[b->n_row];
        *r = (struct row){ .head = head, .line = b->line, .page = b->page };
        b->n_row++;
    }
}

void build_cell(struct builder *b, int columns, int rows, int head)
{
    if (b->rc || b->in_note) return;
    if (b->depth > 1) {
        sb_addch(&b->cell, ' ');
        return;
    }
    if (!b->depth) return;
    end_cell(b);
    struct row *r = last_row(b);
    if (!r) {
        build_row(b, 0);
        r = last_row(b);
    }
    b->in_cell = r != NULL;
    b->columns = columns < 1 ? 1 : columns > MAX_COLUMNS ? MAX_COLUMNS : columns;
    b->rows_down = rows < 1 ? 1 : rows > MAX_ROWS ? MAX_ROWS : rows;
    b->cell_head = head;
}

static int has_digit(struct sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] >= '0' && s.p[i] <= '9') return 1;
    return 0;
}

/* Without marks: does the first row look like a header? Full, no numbers in it where the rows below have some. */
static int looks_like_header(const struct row *row, size_t n, int width)
{
    int numbers_below = 0;
    if (n < 2 || row[0].n < width || width < 2) return 0;
    for (int c = 0; c < width; c++)
        if (!row[0].cell[c].text.n || row[0].cell[c].copied || row[0].cell[c].text.n > 80) return 0;
    for (size_t r = 1; r < n; r++)
        for (int c = 1; c < row[r].n; c++) numbers_below += has_digit(row[r].cell[c].text);
    for (int c = 0; c < width; c++)
        if (has_digit(row[0].cell[c].text) && (c == 0 || width == 2)) return 0;
    return width > 2 || numbers_below > 0;
}

static size_t n_header_rows(const struct row *row, size_t n, int width)
{
    size_t heads = 0;
    for (; heads < n; heads++) {
        int all = row[heads].n > 0, any = 0;
        for (int c = 0; c < row[heads].n; c++) {
            all &= row[heads].cell[c].head || !row[heads].cell[c].text.n;
            any |= row[heads].cell[c].head;
        }
        if (!row[heads].head && !(all && any)) break;
    }
    if (heads && heads < n) return heads;
    return heads ? 0 : (size_t)looks_like_header(row, n, width);
}

/* The header of a column: its header cells from top to bottom, each text once. */
static struct sv header_of(struct builder *b, size_t heads, int c)
{
    struct sb s;
    struct sv last = { "", 0 };
    sb_init(&s, DOCUMENT_MAX_TEXT);
    for (size_t r = 0; r < heads; r++) {
        if (c >= b->row[r].n || sv_eq(b->row[r].cell[c].text, last) || !b->row[r].cell[c].text.n) continue;
        last = b->row[r].cell[c].text;
        if (s.n) sb_addch(&s, ' ');
        sb_add(&s, last);
    }
    while (s.n && s.p[s.n - 1] == ':') s.n--;
    const struct sv out = build_copy(b, (struct sv){ s.p ? s.p : "", s.n });
    sb_release(&s);
    return out;
}

static void put_row(struct builder *b, const struct row *r, const struct sv *header, int width)
{
    struct sb s;
    int n = 0;
    sb_init(&s, DOCUMENT_MAX_TEXT);
    for (int c = 0; c < r->n; c++) {
        struct sv v = r->cell[c].text;
        if (!v.n || r->cell[c].copied) continue;
        const int key = !header && c == 0 && (width == 2 || r->cell[c].head);
        if (key && v.p[v.n - 1] == ':') v.n--;
        if (header && c < width && header[c].n) {
            sb_add(&s, header[c]);
            sb_addc(&s, ": ");
        }
        sb_add(&s, v);
        sb_addc(&s, key ? ": " : "; ");
        n++;
    }
    const struct sv text = build_copy(b, (struct sv){ s.p ? s.p : "", s.n > 2 ? s.n - 2 : 0 });
    b->at_line = r->line;
    b->at_page = r->page;
    b->at_part = b->part;
    if (n && text.n) push(b, width < 2 ? PASSAGE_PARAGRAPH : PASSAGE_ROW, 0, text);
    sb_release(&s);
}

void build_table_end(struct builder *b)
{
    if (b->rc || b->in_note || !b->depth || --b->depth) return;
    b->depth = 1;
    end_row(b);
    b->depth = 0;
    int width = 0;
    for (size_t r = 0; r < b->n_row; r++) width = b->row[r].n > width ? b->row[r].n : width;
    const size_t heads = n_header_rows(b->row, b->n_row, width);
    struct sv *header = heads && width > 1 ? mem_calloc((size_t)width, sizeof *header) : NULL;
    if (heads && width > 1 && !header) no_memory(b);
    for (int c = 0; header && c < width; c++) header[c] = header_of(b, heads, c);
    for (size_t r = header ? heads : 0; r < b->n_row && !b->rc; r++) put_row(b, &b->row[r], header, width);
    mem_free(header);
    for (size_t r = 0; r < b->n_row; r++) mem_free(b->row[r].cell);
    b->n_row = 0;
    put_waiting(b);
}

int build_finish(struct builder *b)
{
    build_note_end(b);
    while (b->depth && !b->rc) build_table_end(b);
    build_end(b);
    if (!b->rc) place_notes(b);
    for (size_t r = 0; r < b->n_row; r++) mem_free(b->row[r].cell);
    mem_free(b->row);
    mem_free(b->note);
    sb_release(&b->text);
    sb_release(&b->cell);
    sb_release(&b->note_text);
    return b->rc;
}
