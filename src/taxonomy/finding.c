/* finding.c — what is wrong with a file: collected, put in order, and written in the formats that people and programs read.
 *
 * The findings own their texts. Beyond MAX_FINDINGS errors are only counted.  SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/internal.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FINDINGS = 1000, SOURCE_BYTES = 4096, SHOWN_COLUMNS = 100 };

int findings_add(struct findings *f, struct finding x)
{
    f->n_errors += x.error != 0;
    f->n_warnings += x.error == 0;
    if (f->n >= MAX_FINDINGS) return 0;
    if (mem_grow((void **)&f->v, &f->cap, f->n + 1, sizeof *f->v)) return ILAB_E_NOMEM;
    x.where = arena_strndup(&f->mem, x.where ? x.where : ".", strlen(x.where ? x.where : "."));
    x.text = arena_strndup(&f->mem, x.text, strlen(x.text));
    if (x.remedy) x.remedy = arena_strndup(&f->mem, x.remedy, strlen(x.remedy));
    f->v[f->n++] = x;
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct finding *x = a, *y = b;
    if (x->line != y->line) return x->line < y->line ? -1 : 1;
    if (x->col != y->col) return x->col < y->col ? -1 : 1;
    const int order = strcmp(x->rule ? x->rule : "", y->rule ? y->rule : "");
    return order ? order : strcmp(x->text ? x->text : "", y->text ? y->text : "");
}

/* Sorts, and gives each finding its line. */
void findings_finish(struct findings *f, struct sv text)
{
    int line = 1;
    size_t at = 0;
    if (f->n > 1) qsort(f->v, f->n, sizeof *f->v, by_place);
    for (size_t i = 0; i < f->n; i++) {
        for (; line < f->v[i].line && at < text.n; line++) {
            const char *nl = memchr(text.p + at, '\n', text.n - at);
            at = nl ? (size_t)(nl - text.p) + 1 : text.n;
        }
        if (line < f->v[i].line) continue;
        const char *nl = at < text.n ? memchr(text.p + at, '\n', text.n - at) : NULL;
        size_t n = nl ? (size_t)(nl - text.p) - at : text.n - at, bad = 0;
        if (n > SOURCE_BYTES) n = SOURCE_BYTES;
        if (!utf8_valid((struct sv){ text.p + at, n }, &bad)) n = bad;
        f->v[i].source = arena_strndup(&f->mem, text.p + at, n);
    }
}

void findings_release(struct findings *f)
{
    mem_free(f->v);
    arena_release(&f->mem);
    *f = (struct findings){ 0 };
}

void findings_reword(struct findings *f, finding_words_fn *words)
{
    for (size_t i = 0; i < f->n; i++) {
        f->v[i].text = words(&f->mem, f->v[i].text);
        if (f->v[i].remedy) f->v[i].remedy = words(&f->mem, f->v[i].remedy);
    }
}

/* The offending line, cut around the column, and a caret below it. */
static void add_source(struct sb *b, const struct finding *x)
{
    const struct sv s = sv_of(x->source ? x->source : "");
    size_t i = 0, from = 0;
    int col = 1, width = 0, shown = 0;
    char number[16];
    if (!sv_trim(s).n || !*x->where) return; /* where "": about the file or its folder */
    const int first = x->col > SHOWN_COLUMNS * 3 / 4 ? x->col - SHOWN_COLUMNS / 2 : 1;
    while (i < s.n && col < first) utf8_next(s, &i), col++;
    from = i;
    snprintf(number, sizeof number, "%5d | ", x->line);
    sb_addf(b, "%s%s", number, first > 1 ? "…" : "");
    width = first > 1;
    for (; i < s.n && shown < SHOWN_COLUMNS; shown++) {
        const size_t at = i;
        const int32_t cp = utf8_next(s, &i);
        if (cp == '\t') sb_addc(b, "→"); /* a tab is often what is wrong */
        else if (cp < 0x20 || (cp >= 0x7F && cp < 0xA0)) sb_addc(b, cp == '\r' && i == s.n ? "" : "?");
        else sb_add(b, (struct sv){ s.p + at, i - at });
    }
    sb_addf(b, "%s\n", i < s.n ? "…" : "");
    for (i = from, col = first; i < s.n && col < x->col; col++) {
        const size_t at = i;
        const int32_t cp = utf8_next(s, &i);
        width += cp < 0x20 || (cp >= 0x7F && cp < 0xA0) ? 1 : utf8_width((struct sv){ s.p + at, i - at });
    }
    sb_addf(b, "%5s | %*s^\n", "", width + (x->col - col > 0), "");
}

/* GitHub's annotations: a value must not hold line breaks, nor a property `:` or `,`. */
static void add_escaped(struct sb *b, const char *s, int property)
{
    for (; *s; s++) {
        const char c = *s;
        if (c == '%' || c == '\r' || c == '\n' || (property && (c == ':' || c == ','))) sb_addf(b, "%%%02X", (unsigned)c);
        else sb_addch(b, c);
    }
}

static void add_message(struct sb *b, const struct finding *x)
{
    if (strcmp(x->where, ".") && strcmp(x->where, "")) sb_addf(b, "[%s] ", x->where);
    sb_addf(b, "%s (%s)", x->text, x->rule);
}

void findings_write(struct sb *b, const char *file, const struct findings *f, enum finding_format format)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct finding *x = &f->v[i];
        const char *level = x->error ? "error" : "warning";
        if (format == FINDINGS_GITHUB) {
            sb_addf(b, "::%s file=", level);
            add_escaped(b, file, 1);
            sb_addf(b, ",line=%d,col=%d,title=%s::%d:%d ", x->line, x->col, x->rule, x->line, x->col);
            struct sb m;
            sb_init(&m, 1 << 14);
            add_message(&m, x);
            if (x->remedy) sb_addf(&m, ": %s", x->remedy);
            add_escaped(b, m.p ? m.p : "", 0);
            sb_release(&m);
            sb_addch(b, '\n');
            continue;
        }
        sb_addf(b, "%s:%d:%d: %s: ", file, x->line, x->col, level);
        add_message(b, x);
        sb_addch(b, '\n');
        if (format != FINDINGS_TEXT) continue;
        add_source(b, x);
        if (x->remedy) sb_addf(b, "      → %s\n", x->remedy);
    }
    const int more = f->n_errors + f->n_warnings - (int)f->n;
    if (more > 0 && format == FINDINGS_TEXT) sb_addf(b, "%s: and %d more findings\n", file, more);
}

/* A file name need not be UTF-8. */
static json_t *text_json(const char *s)
{
    json_t *v = json_string(s ? s : "");
    return v ? v : json_string("?");
}

json_t *finding_json(const char *file, const struct finding *x)
{
    return json_pack("{s:o,s:i,s:i,s:b,s:s,s:o,s:o,s:o,s:o,s:o}", "file", text_json(file), "line", x->line, "col", x->col, "error", x->error, "level", x->error ? "error" : "warning",
                     "rule", text_json(x->rule), "where", text_json(x->where ? x->where : "."), "message", text_json(x->text), "remedy", text_json(x->remedy),
                     "source", text_json(x->source));
}
