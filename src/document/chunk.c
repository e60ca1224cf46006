/* chunk.c — chunks of an extract under a budget of tokens, and the reference's chunks of characters.
 *
 * The tokens of a joined text are counted as a whole, as they are what a model gets: no sum of parts is trusted.
 * SPDX-License-Identifier: Apache-2.0 */
#include "document/document.h"

#include <string.h>

struct chunker { const struct extract *x; int max; count_tokens_fn *count; void *ud; struct chunk_list *out; struct sb heading, text, trial; size_t first, last; int has; ilab_err *e; };

void chunks_release(struct chunk_list *l)
{
    mem_free(l->v);
    arena_release(&l->mem);
    *l = (struct chunk_list){ 0 };
}

static int no_memory(struct chunker *c) { return err_set(c->e, ILAB_E_NOMEM, "no memory for the chunks"); }

/* Tokens of the heading path, the open text and one more line. */
static int tokens_with(struct chunker *c, struct sv more)
{
    sb_reset(&c->trial);
    sb_add(&c->trial, (struct sv){ c->heading.p ? c->heading.p : "", c->heading.n });
    if (c->heading.n) sb_addch(&c->trial, '\n');
    sb_add(&c->trial, (struct sv){ c->text.p ? c->text.p : "", c->text.n });
    if (c->text.n && more.n) sb_addch(&c->trial, '\n');
    sb_add(&c->trial, more);
    return c->count(c->ud, (struct sv){ c->trial.p ? c->trial.p : "", c->trial.n });
}

static int flush(struct chunker *c)
{
    struct chunk_list *l = c->out;
    if (!c->has || !c->text.n) { /* what was added was blank */
        c->has = 0;
        return 0;
    }
    if (mem_grow((void **)&l->v, &l->cap, l->n + 1, sizeof *l->v)) return no_memory(c);
    const char *h = arena_strndup(&l->mem, c->heading.p ? c->heading.p : "", c->heading.n), *t = arena_strndup(&l->mem, c->text.p, c->text.n);
    if (!h || !t || c->text.failed || c->heading.failed) return no_memory(c);
    l->v[l->n++] = (struct chunk){ { h, c->heading.n }, { t, c->text.n }, tokens_with(c, (struct sv){ "", 0 }), c->first, c->last };
    sb_reset(&c->text);
    c->has = 0;
    return 0;
}

static void add_line(struct chunker *c, struct sv s)
{
    if (c->text.n) sb_addch(&c->text, '\n');
    sb_add(&c->text, s);
}

/* How much of s fits behind the open text: the whole, or up to an end of a sentence, else of a line or word; at least one word. */
static size_t fitting(struct chunker *c, struct sv s)
{
    if (tokens_with(c, s) <= c->max) return s.n;
    size_t lo = 0, hi = s.n < (size_t)c->max * 32 + 64 ? s.n : (size_t)c->max * 32 + 64;
    while (lo + 1 < hi) { /* the longest prefix that fits; it grows with its length but for a token or so */
        const size_t mid = lo + (hi - lo) / 2;
        if (tokens_with(c, (struct sv){ s.p, mid }) <= c->max) lo = mid;
        else hi = mid;
    }
    size_t word = lo, sentence = 0;
    for (;; word--) {
        while (word && s.p[word] != ' ' && s.p[word] != '\n') word--;
        if (!word || tokens_with(c, (struct sv){ s.p, word }) <= c->max) break;
    }
    for (size_t i = word; i-- > word / 4 && !sentence;)
        if (s.p[i] == '\n' || (strchr(".!?", s.p[i]) && s.p[i] && text_ends_sentence(s, i))) sentence = i + 1;
    if (sentence && tokens_with(c, (struct sv){ s.p, sentence }) <= c->max) return sentence;
    if (word) return word;
    if (c->text.n) return 0; /* nothing fits here, but it may in a chunk of its own */
    size_t end = 1;
    while (end < s.n && s.p[end] != ' ' && s.p[end] != '\n') end++;
    return end;
}

static int add_passage(struct chunker *c, size_t i)
{
    struct sv rest = c->x->v[i].text;
    int rc = 0;
    while (rest.n && !rc) {
        const size_t n = c->has && tokens_with(c, rest) > c->max ? 0 : fitting(c, rest); /* what must be cut begins a chunk */
        if (!n) {
            rc = flush(c);
            continue;
        }
        add_line(c, sv_trim((struct sv){ rest.p, n }));
        if (!c->has) c->first = i;
        c->has = 1;
        c->last = i;
        rest = sv_trim((struct sv){ rest.p + n, rest.n - n });
        if (rest.n) rc = flush(c);
    }
    return rc;
}

static int is_above(const struct extract *x, size_t heading, size_t i)
{
    for (int h = x->v[i].heading; h >= 0; h = x->v[h].heading)
        if ((size_t)h == heading) return 1;
    return 0;
}

int chunks_of(const struct extract *x, int max_tokens, count_tokens_fn *count, void *ud, struct chunk_list *out, ilab_err *e)
{
    struct chunker c = { .x = x, .max = max_tokens, .count = count, .ud = ud, .out = out, .e = e };
    size_t from = 0; /* headings [from, i) stand before the passage */
    int rc = 0;
    *out = (struct chunk_list){ 0 };
    arena_init(&out->mem, (size_t)512 << 20);
    sb_init(&c.heading, 1 << 20);
    sb_init(&c.text, (size_t)128 << 20);
    sb_init(&c.trial, (size_t)256 << 20);
    for (size_t i = 0; i < x->n && !rc; i++) {
        const int last = i + 1 == x->n;
        if (x->v[i].kind == PASSAGE_HEADING && !last) continue;
        const size_t to = x->v[i].kind == PASSAGE_HEADING ? i + 1 : i;
        int n_above = 0;
        for (size_t k = from; k < to; k++) n_above++;
        if (c.has && n_above && 4 * tokens_with(&c, (struct sv){ "", 0 }) >= c.max) rc = flush(&c);
        if (!rc && c.has && to == i) { /* headings and passage go on here, or begin anew together */
            struct sb more;
            sb_init(&more, (size_t)128 << 20);
            for (size_t k = from; k <= i; k++) {
                if (more.n) sb_addch(&more, '\n');
                sb_add(&more, x->v[k].text);
            }
            if (tokens_with(&c, (struct sv){ more.p ? more.p : "", more.n }) > c.max) rc = flush(&c);
            sb_release(&more);
        }
        const int begins = !c.has;
        if (begins) {
            sb_reset(&c.heading);
            passage_add_path(x, to == i ? i : to - 1, &c.heading);
            if (4 * c.count(ud, (struct sv){ c.heading.p ? c.heading.p : "", c.heading.n }) > 3 * c.max) sb_reset(&c.heading); /* a path that leaves no room */
        }
        for (size_t k = from; k < to && !rc; k++)
            if (!begins || to != i || !is_above(x, k, i)) rc = add_passage(&c, k);
        if (!rc && to == i) rc = add_passage(&c, i);
        from = i + 1;
    }
    if (!rc) rc = flush(&c);
    sb_release(&c.heading);
    sb_release(&c.text);
    sb_release(&c.trial);
    if (rc) chunks_release(out);
    return rc;
}

int chunk_budget(int n_ctx, int word_count)
{
    int n = n_ctx / 7;
    if (word_count > 0 && n > word_count * 1.3) n = (int)(word_count * 1.3);
    return n > CHUNK_TOKENS ? CHUNK_TOKENS : n < CHUNK_MIN_TOKENS ? CHUNK_MIN_TOKENS : n;
}

/* ---- the reference's chunks ---- */

enum { OVERLAP = 100, CHARACTERS_A_TOKEN = 4 };
struct piece { size_t at, n, characters; };
struct cutter { struct sv text; size_t size; const char *const *separator; struct arena *a; struct sv *out; size_t n, cap; ilab_err *e; int rc; };

static size_t characters(struct sv s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

static void put(struct cutter *c, struct sv s)
{
    if (c->n == c->cap && !c->rc) {
        const size_t more = c->cap ? 2 * c->cap : 64;
        struct sv *v = arena_alloc(c->a, more * sizeof *v, sizeof(void *));
        if (!v) {
            c->rc = err_set(c->e, ILAB_E_NOMEM, "no memory for the chunks");
            return;
        }
        if (c->n) memcpy(v, c->out, c->n * sizeof *v);
        c->out = v;
        c->cap = more;
    }
    if (!c->rc) c->out[c->n++] = s;
}

/* Pieces follow each other in the text, so joined ones are a part of it. */
static void put_joined(struct cutter *c, const struct piece *p, size_t from, size_t to)
{
    if (from == to) return;
    const struct sv s = sv_trim((struct sv){ c->text.p + p[from].at, p[to - 1].at + p[to - 1].n - p[from].at });
    if (s.n) put(c, s);
}

/* Joins pieces up to the size; the next chunk begins with those of the last OVERLAP characters. */
static void merge(struct cutter *c, const struct piece *p, size_t n)
{
    size_t from = 0, total = 0;
    for (size_t i = 0; i < n; i++) {
        if (total + p[i].characters > c->size && from < i) {
            put_joined(c, p, from, i);
            while (total > OVERLAP || (total + p[i].characters > c->size && total > 0)) total -= p[from++].characters;
        }
        total += p[i].characters;
    }
    put_joined(c, p, from, n);
}

static void cut(struct cutter *c, size_t at, size_t n, int level)
{
    const struct sv s = { c->text.p + at, n };
    while (c->separator[level + 1] && sv_find(s, sv_of(c->separator[level]), 0) < 0) level++;
    const struct sv sep = sv_of(c->separator[level]);
    struct piece *p = NULL;
    size_t n_piece = 0, cap = 0, good = 0;
    for (size_t from = 0; from < n && !c->rc;) {
        const ptrdiff_t next = sv_find(s, sep, from + (from || sv_starts(s, c->separator[level]) ? sep.n : 0));
        const size_t end = next < 0 ? n : (size_t)next;
        if (mem_grow((void **)&p, &cap, n_piece + 1, sizeof *p)) c->rc = err_set(c->e, ILAB_E_NOMEM, "no memory for the chunks");
        else p[n_piece++] = (struct piece){ at + from, end - from, characters((struct sv){ s.p + from, end - from }) };
        from = end;
    }
    for (size_t i = 0; i < n_piece && !c->rc; i++) {
        if (p[i].characters < c->size) continue;
        merge(c, p + good, i - good);
        good = i + 1;
        if (c->separator[level + 1]) cut(c, p[i].at, p[i].n, level + 1);
        else put(c, (struct sv){ c->text.p + p[i].at, p[i].n });
    }
    if (!c->rc) merge(c, p + good, n_piece - good);
    mem_free(p);
}

int chunks_of_characters(struct sv text, int word_count, int n_ctx, int by_space, struct arena *a, struct sv **out, size_t *n, ilab_err *e)
{
    static const char *const E14[] = { "\n\n", "\n", NULL }, *const E15[] = { "\n\n", "\n", " ", NULL };
    const int tokens = (int)(word_count * 1.3);
    *out = NULL;
    *n = 0;
    if (tokens > n_ctx - 1024)
        return err_set(e, ILAB_E_INVALID, "Error: Given word count (%d) per doc will exceed the server context window size (%d)", word_count, n_ctx);
    if (tokens * CHARACTERS_A_TOKEN < OVERLAP)
        return err_set(e, ILAB_E_INVALID, "Got a larger chunk overlap (%d) than chunk size (%d), should be smaller", (int)OVERLAP, tokens * CHARACTERS_A_TOKEN);
    struct cutter c = { .text = text, .size = (size_t)tokens * CHARACTERS_A_TOKEN, .separator = by_space ? E15 : E14, .a = a, .e = e };
    if (text.n) cut(&c, 0, text.n, 0);
    *out = c.out;
    *n = c.n;
    return c.rc;
}

int chunks_as_reference(const struct extract *x, int word_count, int n_ctx, int by_space, count_tokens_fn *count, void *ud, struct chunk_list *out, ilab_err *e)
{
    struct sb b;
    struct sv *v = NULL;
    size_t n = 0, *end = mem_alloc((x->n + 1) * sizeof *end); /* of each passage in the text */
    *out = (struct chunk_list){ 0 };
    arena_init(&out->mem, (size_t)512 << 20);
    sb_init(&b, (size_t)128 << 20);
    for (size_t i = 0; end && i < x->n; i++) {
        passage_add_text(x, i, &b);
        end[i] = b.n;
    }
    const char *text = b.failed || !end ? NULL : arena_strndup(&out->mem, b.p ? b.p : "", b.n);
    int rc = text ? chunks_of_characters((struct sv){ text, b.n }, word_count, n_ctx, by_space, &out->mem, &v, &n, e) : err_set(e, ILAB_E_NOMEM, "no memory for the chunks");
    if (!rc && n && mem_grow((void **)&out->v, &out->cap, n, sizeof *out->v)) rc = err_set(e, ILAB_E_NOMEM, "no memory for the chunks");
    for (size_t i = 0, first = 0; !rc && i < n; i++) { /* chunks begin in the order of the text */
        const size_t from = (size_t)(v[i].p - text), to = from + v[i].n;
        while (first + 1 < x->n && end[first] <= from) first++;
        size_t last = first;
        while (last + 1 < x->n && end[last] < to) last++;
        out->v[out->n++] = (struct chunk){ { "", 0 }, v[i], count(ud, v[i]), first, last };
    }
    sb_release(&b);
    mem_free(end);
    if (rc) chunks_release(out);
    return rc;
}
