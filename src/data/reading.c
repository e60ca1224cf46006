/* reading.c — a leaf's documents as a generation sees them: sentences, the chunk that each stands in, and the place to cite.
 *
 * Chunks follow headings and passages under a budget of the model's own tokens (document/chunk.c); under --compat they are the
 * reference's chunks of characters. What a model reads to answer a question is one chunk, and so is what the files quote.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/pipeline.h"

#include <string.h>

enum { LARGE_BYTES = 1 << 20 /* more takes a second */, CODE_LINE_MAX = 2000 };

/* Cutting a large document counts tokens for a while: the counts are its progress. */
struct counter { struct lm *lm; struct progress bar; int64_t n_bytes; };
static int count_tokens(void *ud, struct sv text)
{
    struct counter *c = ud;
    const int n = lm_count_tokens(c->lm, text);
    progress_at(&c->bar, c->n_bytes += (int64_t)text.n, "bytes measured");
    return n < 0 ? (int)(text.n / 4 + 1) : n; /* an endpoint that does not tell */
}

static struct sv copy(struct gen *g, struct sv s)
{
    const char *p = s.n ? arena_strndup(&g->mem, s.p, s.n) : "";
    g->no_memory |= !p;
    return (struct sv){ p ? p : "", p ? s.n : 0 };
}

/* The sentence of a passage, without the full stop that an item was given, is a part of its chunk. */
static int chunk_has(const struct chunk *c, size_t passage, struct sv sentence)
{
    if (passage < c->first || passage > c->last) return 0;
    if (sv_find(c->text, sentence, 0) >= 0) return 1;
    return sentence.n && sv_find(c->text, (struct sv){ sentence.p, sentence.n - 1 }, 0) >= 0;
}

/* The chunk that has the sentence; where none has it whole, the first with a part of its passage. */
static size_t chunk_of(const struct chunk_list *l, size_t passage, struct sv sentence, size_t from)
{
    size_t part = l->n;
    for (size_t i = from; i < l->n && l->v[i].first <= passage; i++) {
        if (chunk_has(&l->v[i], passage, sentence)) return i;
        if (part == l->n && passage >= l->v[i].first && passage <= l->v[i].last) part = i;
    }
    return part;
}

static int add_chunks(struct gen *g, const struct chunk_list *l, struct reading *s, ilab_err *e)
{
    if (mem_grow((void **)&s->chunk, &s->cap_chunk, s->n_chunk + l->n, sizeof *s->chunk)) return err_set(e, ILAB_E_NOMEM, "no memory for the chunks");
    for (size_t i = 0; i < l->n; i++) s->chunk[s->n_chunk++] = (struct reading_chunk){ copy(g, l->v[i].heading), copy(g, l->v[i].text), l->v[i].n_tokens };
    return 0;
}

/* The lines of a piece of code, as they stand. */
static int code_lines(struct gen *g, struct sv text, struct sv **out, size_t *n, ilab_err *e)
{
    struct sv rest = text, line;
    size_t most = 1;
    for (size_t i = 0; i < text.n; i++) most += text.p[i] == '\n';
    struct sv *v = *out = arena_alloc(&g->mem, most * sizeof *v, sizeof(void *));
    *n = 0;
    if (!v) return err_set(e, ILAB_E_NOMEM, "no memory for the sentences");
    while (sv_split(&rest, '\n', &line)) {
        const struct sv s = sv_trim(line);
        if (s.n && s.n <= CODE_LINE_MAX) v[(*n)++] = copy(g, s);
    }
    return 0;
}

static int add_sentences(struct gen *g, size_t document, const struct extract *x, const struct chunk_list *l, struct reading *s, ilab_err *e)
{
    const size_t before = s->n_chunk;
    size_t from = 0;
    int rc = add_chunks(g, l, s, e);
    for (size_t i = 0; !rc && i < x->n; i++) {
        const enum passage_kind kind = x->v[i].kind;
        struct sv *v = NULL;
        size_t n = 0;
        if (kind == PASSAGE_HEADING) continue;
        rc = kind == PASSAGE_CODE ? code_lines(g, x->v[i].text, &v, &n, e) : passage_sentences(x->v[i].text, kind != PASSAGE_PARAGRAPH, &g->mem, &v, &n, e);
        while (from < l->n && l->v[from].last < i) from++;
        for (size_t k = 0; !rc && k < n; k++) {
            const size_t at = chunk_of(l, i, v[k], from);
            if (mem_grow((void **)&s->v, &s->cap, s->n + 1, sizeof *s->v)) rc = err_set(e, ILAB_E_NOMEM, "no memory for the sentences");
            else s->v[s->n++] = (struct sentence){ v[k], document, i, at < l->n ? before + at : SIZE_MAX, kind == PASSAGE_CODE };
        }
    }
    return rc;
}

/* The reference's chunks may be longer than this model reads: then they are as long as ours would be. */
static int reference_words(struct gen *g, const struct documents *d, struct counter *c, int *words, ilab_err *e)
{
    const int n_ctx = lm_n_ctx(g->lm);
    int rc = 0, most = 0;
    for (size_t i = 0; !rc && i < d->n; i++) {
        struct chunk_list l;
        rc = chunks_as_reference(d->v[i].extract, *words, g->o->server_ctx, g->o->reference_chunks != 14, count_tokens, c, &l, e);
        for (size_t k = 0; !rc && k < l.n; k++) most = l.v[k].n_tokens > most ? l.v[k].n_tokens : most;
        if (!rc) chunks_release(&l);
    }
    if (rc || most <= n_ctx / 2) return rc;
    const int fit = (int)(chunk_budget(n_ctx, 0) / 1.3);
    log_warn("chunks of %d words (up to %d tokens) leave no room in this model's context of %d tokens: they are cut at %d words", *words, most, n_ctx, fit);
    *words = fit;
    return 0;
}

int reading_make(struct gen *g, const struct documents *d, struct reading *s, ilab_err *e)
{
    const struct generate_opts *o = g->o;
    const int budget = o->chunk_tokens ? o->chunk_tokens : chunk_budget(lm_n_ctx(g->lm), o->chunk_words);
    int words = o->chunk_words, rc = 0;
    struct counter c = { .lm = g->lm };
    size_t n_bytes = 0;
    *s = (struct reading){ .d = d };
    for (size_t i = 0; i < d->n; i++) n_bytes += d->v[i].n;
    progress_start(&c.bar, "cutting documents", 0, 0);
    c.bar.quiet |= n_bytes < LARGE_BYTES;
    if (o->reference_chunks) rc = reference_words(g, d, &c, &words, e);
    for (size_t i = 0; !rc && i < d->n; i++) {
        const struct extract *x = d->v[i].extract;
        struct chunk_list l;
        rc = o->reference_chunks ? chunks_as_reference(x, words, o->server_ctx, o->reference_chunks != 14, count_tokens, &c, &l, e)
                                 : chunks_of(x, budget, count_tokens, &c, &l, e);
        if (rc) break;
        rc = add_sentences(g, i, x, &l, s, e);
        chunks_release(&l);
    }
    progress_end(&c.bar);
    if (!rc && g->no_memory) rc = err_set(e, ILAB_E_NOMEM, "no memory for the documents");
    return rc;
}

void reading_free(struct reading *s)
{
    mem_free(s->v);
    mem_free(s->chunk);
    *s = (struct reading){ 0 };
}

static struct sv two_lines(struct gen *g, struct sv first, struct sv second) { return prompt_fill(g, "%1\n%2", first, second); }

struct sv reading_window(struct gen *g, const struct reading *s, size_t at, struct sv subject)
{
    const struct sentence *x = &s->v[at];
    const struct reading_chunk *c = x->chunk < s->n_chunk ? &s->chunk[x->chunk] : NULL;
    if (!c || c->n_tokens > lm_n_ctx(g->lm) / 2) return x->text; /* one endless word */
    if (!subject.n || sv_find(c->text, subject, 0) >= 0) return c->text;
    if (sv_find(c->heading, subject, 0) >= 0) return two_lines(g, c->heading, c->text);
    size_t named = at;
    while (named > 0 && s->v[named - 1].document == x->document && sv_find(s->v[named].text, subject, 0) < 0) named--; /* another one may speak of another thing */
    return sv_find(s->v[named].text, subject, 0) < 0 ? c->text : two_lines(g, s->v[named].text, c->text);
}

struct cite reading_cite(struct gen *g, const struct reading *s, size_t at)
{
    const struct sentence *x = &s->v[at];
    const struct document *d = &s->d->v[x->document];
    const struct passage *p = &d->extract->v[x->passage];
    struct sb b;
    sb_init(&b, 1 << 20);
    passage_add_path(d->extract, x->passage, &b);
    const struct cite c = { .document = copy(g, sv_of(d->name)), .part = copy(g, p->part), .heading = copy(g, (struct sv){ b.p ? b.p : "", b.n }), .page = p->page,
                            .line = d->extract->line_is_paragraph ? 0 : p->line, .paragraph = d->extract->line_is_paragraph ? p->line : 0 };
    sb_release(&b);
    return c;
}
