/* excerpt.c — the passages of a document that make good contexts of a new leaf.
 *
 * A document is cut under its headings into candidates of whole passages (long ones: whole sentences). A candidate is worth more
 * the more names, numbers and sentences it has and the nearer it comes to a good length. The document is divided into as many
 * stretches as contexts are wanted, and the best candidate of each is taken: contexts from all over the document.
 *
 * Also here: what the document says about itself (front matter, title, headings).  SPDX-License-Identifier: Apache-2.0 */
#include "data/fact.h"

#include <string.h>

enum { MIN_WORDS = 35, GOOD_WORDS = 90, MAX_WORDS = 170, MAX_SPANS = 14, MAX_TITLE = 200, MAX_HEADINGS = 8, FRONT_MAX = 16 << 10 };

struct candidate { struct sv *sentence; size_t n, cap; size_t words; double score; };
struct candidates { struct candidate *v; size_t n, cap; };

static size_t count_words(struct sv s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += (unsigned char)s.p[i] > ' ' && (i + 1 == s.n || (unsigned char)s.p[i + 1] <= ' ');
    return n;
}

static int add_sentence(struct candidate *c, struct sv s, ilab_err *e)
{
    if (mem_grow((void **)&c->sentence, &c->cap, c->n + 1, sizeof *c->sentence)) return err_set(e, ILAB_E_NOMEM, "no memory for the passages");
    c->sentence[c->n++] = s;
    c->words += count_words(s);
    return 0;
}

/* Moves what was collected into the list; too little joins the candidate before it. */
static int finish(struct candidates *l, struct candidate *c, int same_section, ilab_err *e)
{
    int rc = 0;
    if (c->n && c->words < MIN_WORDS && same_section && l->n && l->v[l->n - 1].words + c->words <= MAX_WORDS) {
        for (size_t i = 0; !rc && i < c->n; i++) rc = add_sentence(&l->v[l->n - 1], c->sentence[i], e);
    } else if (c->n) {
        if (mem_grow((void **)&l->v, &l->cap, l->n + 1, sizeof *l->v)) return err_set(e, ILAB_E_NOMEM, "no memory for the passages");
        l->v[l->n++] = *c;
        *c = (struct candidate){ 0 };
    }
    c->n = c->words = 0;
    return rc;
}

static int cut_document(struct candidates *l, const struct extract *x, struct arena *a, ilab_err *e)
{
    struct candidate c = { 0 };
    size_t before = l->n; /* candidates of earlier sections */
    int rc = 0;
    for (size_t i = 0; !rc && i < x->n; i++) {
        struct sv *s = NULL;
        size_t n = 0, words = 0;
        if (x->v[i].kind == PASSAGE_HEADING) {
            rc = finish(l, &c, l->n > before, e);
            before = l->n;
        }
        if (x->v[i].kind == PASSAGE_HEADING || x->v[i].kind == PASSAGE_CODE || rc) continue;
        rc = passage_sentences(x->v[i].text, x->v[i].kind != PASSAGE_PARAGRAPH, a, &s, &n, e);
        for (size_t k = 0; !rc && k < n; k++) words += count_words(s[k]);
        if (!rc && c.n && (c.words + words > MAX_WORDS || c.words >= GOOD_WORDS)) rc = finish(l, &c, l->n > before, e);
        for (size_t k = 0; !rc && k < n; k++) {
            if (c.words >= GOOD_WORDS && c.words + count_words(s[k]) > MAX_WORDS) rc = finish(l, &c, l->n > before, e);
            if (!rc) rc = add_sentence(&c, s[k], e);
        }
    }
    if (!rc) rc = finish(l, &c, l->n > before, e);
    mem_free(c.sentence);
    return rc;
}

static int weigh(struct candidate *c, struct arena *a, ilab_err *e)
{
    size_t spans = 0;
    for (size_t i = 0; i < c->n; i++) {
        struct sv *v = NULL;
        size_t n = 0;
        const int rc = value_spans(c->sentence[i], a, &v, &n, e);
        if (rc) return rc;
        spans += n;
    }
    const double off = c->words > GOOD_WORDS ? (double)(c->words - GOOD_WORDS) / GOOD_WORDS : (double)(GOOD_WORDS - c->words) / GOOD_WORDS;
    const double terse = c->n && c->words < 9 * c->n ? 8 : 0; /* a bare list of names says little */
    c->score = (double)(spans < MAX_SPANS ? spans : MAX_SPANS) + (double)(c->n < 6 ? c->n : 6) - 8 * off - terse;
    return 0;
}

/* The longest candidate becomes two; 0: none has two sentences. */
static int split_longest(struct candidates *l, ilab_err *e)
{
    size_t best = l->n;
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i].n > 1 && (best == l->n || l->v[i].words > l->v[best].words)) best = i;
    if (best == l->n) return 0;
    if (mem_grow((void **)&l->v, &l->cap, l->n + 1, sizeof *l->v)) return err_set(e, ILAB_E_NOMEM, "no memory for the passages");
    struct candidate *c = &l->v[best], second = { 0 };
    const size_t half = (c->n + 1) / 2;
    for (size_t i = half; i < c->n; i++)
        if (add_sentence(&second, c->sentence[i], e)) return mem_free(second.sentence), ILAB_E_NOMEM;
    c->n = half;
    c->words -= second.words;
    memmove(c + 2, c + 1, (l->n - best - 1) * sizeof *c);
    c[1] = second;
    l->n++;
    return 1;
}

static int take(const struct candidate *c, struct arena *a, struct excerpt *out, ilab_err *e)
{
    struct sb b;
    sb_init(&b, (size_t)1 << 20);
    for (size_t i = 0; i < c->n; i++) {
        if (i) sb_addch(&b, ' ');
        sb_add(&b, c->sentence[i]);
    }
    const char *p = b.failed || !b.p ? NULL : arena_strndup(a, b.p, b.n);
    *out = (struct excerpt){ .text = { p, p ? b.n : 0 }, .n_words = (int)c->words };
    sb_release(&b);
    return p ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for the passages");
}

int excerpts_choose(const struct documents *d, int want, struct arena *a, struct excerpt *out, int *n_out, ilab_err *e)
{
    struct candidates l = { 0 };
    int rc = 0, more = 1;
    *n_out = 0;
    for (size_t i = 0; !rc && i < d->n; i++) rc = cut_document(&l, d->v[i].extract, a, e);
    while (!rc && l.n && (int)l.n < want && more) {
        more = split_longest(&l, e);
        if (more < 0) rc = more;
    }
    for (size_t i = 0; !rc && i < l.n; i++) rc = weigh(&l.v[i], a, e);
    const size_t n = (size_t)want < l.n ? (size_t)want : l.n;
    for (size_t k = 0; !rc && k < n; k++) {
        size_t best = k * l.n / n;
        for (size_t i = best; i < (k + 1) * l.n / n; i++)
            if (l.v[i].score > l.v[best].score) best = i;
        rc = take(&l.v[best], a, &out[*n_out], e);
        for (int i = 0; !rc && i < *n_out; i++)
            if (sv_eq(out[i].text, out[*n_out].text)) goto repeated; /* contexts must differ */
        *n_out += !rc;
    repeated:;
    }
    for (size_t i = 0; i < l.n; i++) mem_free(l.v[i].sentence);
    mem_free(l.v);
    return rc;
}

/* ---- what a document says about itself ---- */

/* Names that people give these in front matter. */
static const struct { const char *key; size_t off; } FRONT[] = {
#define F(field) offsetof(struct document_about, field)
    { "title", F(title) }, { "author", F(creators) }, { "authors", F(creators) }, { "creator", F(creators) }, { "creators", F(creators) },
    { "license", F(license) }, { "licence", F(license) }, { "rights", F(license) }, { "source", F(link) }, { "url", F(link) }, { "link", F(link) },
    { "permalink", F(link) }, { "revision", F(revision) }, { "version", F(revision) }, { "date", F(revision) }, { "description", F(summary) }, { "summary", F(summary) },
#undef F
};

static struct sv one_line(struct arena *a, struct sv s)
{
    char *o = arena_alloc(a, s.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; o && i < s.n && n < MAX_TITLE; i++) {
        const char c = (unsigned char)s.p[i] < ' ' ? ' ' : s.p[i];
        if (c != ' ' || (n && o[n - 1] != ' ')) o[n++] = c;
    }
    while (n && (((unsigned char)o[n] & 0xC0) == 0x80 || o[n - 1] == ' ')) n--;
    return (struct sv){ o ? o : "", o ? n : 0 };
}

static struct sv value_text(struct arena *a, const struct yaml_node *v)
{
    struct sb b;
    if (v->kind == YAML_MAP || v->kind == YAML_NULL) return (struct sv){ "", 0 };
    if (v->kind != YAML_SEQ) return one_line(a, v->text);
    sb_init(&b, 4096);
    for (int i = 0; i < v->n; i++) {
        if (v->item[i]->kind == YAML_MAP || v->item[i]->kind == YAML_SEQ) continue;
        if (b.n) sb_addc(&b, ", ");
        sb_add(&b, v->item[i]->text);
    }
    const struct sv out = one_line(a, (struct sv){ b.p ? b.p : "", b.n });
    sb_release(&b);
    return out;
}

static int same_key(struct sv key, const char *name)
{
    if (key.n != strlen(name)) return 0;
    for (size_t i = 0; i < key.n; i++)
        if ((key.p[i] | 0x20) != name[i]) return 0;
    return 1;
}

/* "---\nkey: value\n---\n" before the text. */
static void front_matter(struct document_about *d, struct sv text, struct arena *a)
{
    if (!sv_starts(text, "---\n") && !sv_starts(text, "---\r\n")) return;
    const ptrdiff_t end = sv_find(text, SV("\n---"), 3);
    if (end < 0 || end > FRONT_MAX) return;
    struct yaml_node *root = NULL;
    const size_t from = 4 + (text.p[3] == '\r');
    if ((size_t)end < from || yaml_parse((struct sv){ text.p + from, (size_t)end + 1 - from }, "front matter", a, &root, NULL) || root->kind != YAML_MAP) return;
    for (int i = 0; i < root->n; i++)
        for (size_t k = 0; k < ARRAY_LEN(FRONT); k++) {
            struct sv *field = (struct sv *)(void *)((char *)d + FRONT[k].off);
            if (same_key(root->key[i]->text, FRONT[k].key) && !field->n) *field = value_text(a, root->item[i]);
        }
    size_t at = (size_t)end + 4;
    while (at < text.n && text.p[at] != '\n') at++;
    d->body = (struct sv){ text.p + at, text.n - at };
}

static int is_heading(struct sv line) { return line.n > 1 && line.p[0] == '#' && (line.p[1] == '#' || line.p[1] == ' '); }

static struct sv heading_text(struct arena *a, struct sv line)
{
    while (line.n && (line.p[0] == '#' || line.p[0] == ' ')) line.p++, line.n--;
    line = sv_trim(line);
    while (line.n && line.p[line.n - 1] == '#') line.n--;
    const ptrdiff_t braces = sv_find(line, SV(" {#"), 0); /* "Heading {#anchor}" */
    if (braces > 0) line.n = (size_t)braces;
    char *o = arena_alloc(a, line.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; o && i < line.n; i++) /* [text](target) and *emphasis* become text */
        if (line.p[i] == ']' && i + 1 < line.n && line.p[i + 1] == '(') {
            while (i < line.n && line.p[i] != ')') i++;
        } else if (!strchr("*`[]", line.p[i])) {
            o[n++] = line.p[i];
        }
    return one_line(a, (struct sv){ o ? o : "", o ? n : 0 });
}

int document_about(const struct sv *text, const char *name, struct arena *a, struct document_about *d, ilab_err *e)
{
    *d = (struct document_about){ .body = *text };
    front_matter(d, *text, a);
    struct sv rest = d->body, line, before = { "", 0 };
    struct sb b;
    int n = 0, in_code = 0, n_before = 0;
    sb_init(&b, 4096);
    while (sv_split(&rest, '\n', &line)) {
        line = sv_trim(line);
        if (sv_starts(line, "```") || sv_starts(line, "~~~")) in_code = !in_code;
        const int underlined = !in_code && line.n > 2 && line.p[0] == '=' && strspn(line.p, "=") >= line.n && before.n;
        if ((!in_code && is_heading(line)) || underlined) {
            const struct sv h = heading_text(a, underlined ? before : line);
            const int top = underlined || line.p[1] != '#' || !n_before; /* a deeper one is the title only where it opens the text */
            if (!d->title.n && top) d->title = h;
            else if (h.n && !sv_eq(h, d->title) && n < MAX_HEADINGS) {
                if (n++) sb_addc(&b, ", ");
                sb_add(&b, h);
            }
        }
        before = line;
        n_before += line.n > 0;
    }
    if (!d->title.n) { /* the file's name, made readable */
        const char *base = path_base(name), *dot = strrchr(base, '.');
        char *t = arena_strndup(a, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
        for (char *c = t; c && *c; c++)
            if (*c == '_' || *c == '-') *c = ' ';
        d->title = sv_of(t ? t : "");
    }
    const char *h = b.n ? arena_strndup(a, b.p, b.n) : "";
    d->headings = (struct sv){ h ? h : "", h ? b.n : 0 };
    sb_release(&b);
    return h ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for the title of a document");
}
