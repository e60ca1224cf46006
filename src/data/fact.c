/* fact.c — which words of a sentence could be an answer, and what a leaf is about.
 *
 * Only the look of words is used (digits, capitals, quotes, short lists of function words and connectors); nothing here knows a subject.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/fact.h"

#include <string.h>

enum { MAX_SPANS = 256 /* of one sentence or answer */, MAX_SUBJECT_SEEDS = 64 /* that are looked at for the subject */ };
static const char *const CONNECTORS[] = { "of", "de", "del", "della", "la", "le", "du", "von", "van", "der", "den", "the", "upon", "am", "an", "y", "zu", "for" };

int word_is_connector(struct sv w)
{
    for (size_t i = 0; i < ARRAY_LEN(CONNECTORS); i++)
        if (sv_eq_c(w, CONNECTORS[i])) return 1;
    return 0;
}

static int starts_upper(struct sv w)
{
    size_t i = 0;
    const int32_t cp = w.n ? utf8_next(w, &i) : -1;
    return cp >= 0 && utf8_category(cp)[0] == 'L' && (utf8_category(cp)[1] == 'u' || utf8_category(cp)[1] == 't');
}

static int has_digit(struct sv w)
{
    for (size_t i = 0; i < w.n; i++)
        if (w.p[i] >= '0' && w.p[i] <= '9') return 1;
    return 0;
}

/* A word without the punctuation around it. */
struct word { struct sv bare; size_t start, end; int opens /* a quote or bracket stands before it */, ends_clause; };

/* Bytes of the typographic quote or bracket (not ASCII) that begins at s.p[i], else 0. */
static size_t wide_mark(struct sv s, size_t i)
{
    size_t j = i;
    if (i >= s.n || !((unsigned char)s.p[i] & 0x80)) return 0;
    const int32_t cp = utf8_next(s, &j);
    return cp >= 0 && utf8_category(cp)[0] == 'P' ? j - i : 0;
}

static int next_word(struct sv s, size_t *i, struct word *w)
{
    while (*i < s.n && (unsigned char)s.p[*i] <= ' ') (*i)++;
    if (*i >= s.n) return 0;
    size_t a = *i;
    while (*i < s.n && (unsigned char)s.p[*i] > ' ') (*i)++;
    size_t b = *i;
    w->opens = 0;
    for (size_t wide = 0; a < b && (strchr("\"'([{*_`", s.p[a]) || (wide = wide_mark(s, a)) != 0); wide = 0) {
        w->opens |= wide || !strchr("'*_`", s.p[a]);
        a += wide ? wide : 1;
    }
    w->ends_clause = 0;
    while (b > a) {
        if (strchr(".,;:!?\"')]}*_`", s.p[b - 1])) {
            /* "Dr." keeps its full stop: short, capitalised, and not the end of the text */
            if (s.p[b - 1] == '.' && b - a <= 5 && starts_upper((struct sv){ s.p + a, b - a }) && *i < s.n) break;
            if (!strchr("'*_`", s.p[b - 1])) w->ends_clause = 1;
            b--;
            continue;
        }
        size_t last = b - 1;
        while (last > a && ((unsigned char)s.p[last] & 0xC0) == 0x80) last--;
        if (!wide_mark(s, last)) break;
        w->ends_clause |= !sv_starts((struct sv){ s.p + last, b - last }, "\xE2\x80\x99"); /* the apostrophe */
        b = last;
    }
    const struct sv bare = { s.p + a, b - a };
    const size_t owner = sv_ends(bare, "'s") ? 2 : sv_ends(bare, "\xE2\x80\x99s") ? 4 : 0; /* "the University's": a name ends here */
    if (owner && owner < bare.n) b -= owner, w->ends_clause = 1;
    w->bare = (struct sv){ s.p + a, b - a };
    w->start = a;
    w->end = b;
    return 1;
}

static int push(struct arena *a, struct sv **v, size_t *n, size_t *cap, struct sv s, ilab_err *e)
{
    if (*n >= MAX_SPANS) return 0;
    for (size_t i = 0; i < *n; i++)
        if (sv_eq((*v)[i], s)) return 0;
    if (*n == *cap) {
        const size_t more = *cap ? *cap * 2 : 16;
        struct sv *p = arena_alloc(a, more * sizeof *p, sizeof(void *));
        if (!p) return err_set(e, ILAB_E_NOMEM, "no memory for the spans of a sentence");
        if (*n) memcpy(p, *v, *n * sizeof *p);
        *v = p;
        *cap = more;
    }
    (*v)[(*n)++] = s;
    return 0;
}

/* Capitalised runs ("Dr. Mara Lind", "University of the North", "Jan van der Berg"), function words at their start dropped. */
int name_runs(struct sv s, struct arena *a, struct sv **out, size_t *n, ilab_err *e)
{
    enum { MAX_CONNECTORS = 2 };
    size_t cap = 0, i = 0, run_start = 0, run_end = 0;
    int in_run = 0, connectors = 0, rc = 0;
    struct word w;
    *out = NULL;
    *n = 0;
    while (!rc && next_word(s, &i, &w)) {
        if (in_run && w.opens) {
            rc = push(a, out, n, &cap, (struct sv){ s.p + run_start, run_end - run_start }, e);
            in_run = connectors = 0;
        }
        const int upper = w.bare.n && starts_upper(w.bare) && !(word_is_function(w.bare) && !in_run);
        if (upper) {
            if (!in_run) run_start = w.start;
            in_run = 1;
            run_end = w.end;
            connectors = 0;
        } else if (in_run && word_is_connector(w.bare) && !w.ends_clause && connectors < MAX_CONNECTORS) {
            connectors++;
            continue;
        }
        if (!rc && in_run && (!upper || w.ends_clause)) {
            rc = push(a, out, n, &cap, (struct sv){ s.p + run_start, run_end - run_start }, e);
            in_run = connectors = 0;
        }
    }
    if (!rc && in_run) rc = push(a, out, n, &cap, (struct sv){ s.p + run_start, run_end - run_start }, e);
    return rc;
}

static int number_of(struct sv w, size_t min, size_t max) /* digits, perhaps with two letters behind: 5, 5th, 1969 */
{
    size_t d = 0;
    while (d < w.n && w.p[d] >= '0' && w.p[d] <= '9') d++;
    return d >= min && d <= max && (d == w.n || (d <= 2 && w.n == d + 2 && (w.p[d] | 0x20) >= 'a'));
}

/* Dates by their look: "5 September 1969", "5. September 1969", "September 5, 1969", "September 1969", "5 September". */
static int date_spans(struct sv s, struct arena *a, struct sv **v, size_t *n, size_t *cap, ilab_err *e)
{
    struct word w[3] = { 0 }; /* the last three; a zero one is none */
    size_t i = 0;
    int rc = 0;
    for (int more = 1; !rc && more;) {
        w[0] = w[1], w[1] = w[2];
        w[2] = (struct word){ 0 };
        more = next_word(s, &i, &w[2]);
        /* the middle one is looked at, so that a longer date is found before a part of it */
        const int before = number_of(w[0].bare, 1, 2) && !(w[0].ends_clause && s.p[w[0].end] != '.'), after = number_of(w[2].bare, 4, 4) && !w[1].ends_clause;
        const int month = w[1].bare.n >= 3 && starts_upper(w[1].bare) && !word_is_function(w[1].bare) && !has_digit(w[1].bare);
        if (month && (before || after)) {
            const size_t from = before ? w[0].start : w[1].start, to = after ? w[2].end : w[1].end;
            rc = push(a, v, n, cap, (struct sv){ s.p + from, to - from }, e);
        }
        size_t peek = i;
        struct word year;
        if (!rc && more && w[1].bare.n >= 3 && starts_upper(w[1].bare) && !word_is_function(w[1].bare) && !w[1].ends_clause && number_of(w[2].bare, 1, 2) &&
            next_word(s, &peek, &year) && number_of(year.bare, 4, 4))
            rc = push(a, v, n, cap, (struct sv){ s.p + w[1].start, year.end - w[1].start }, e);
    }
    return rc;
}

int value_spans(struct sv s, struct arena *a, struct sv **out, size_t *n, ilab_err *e)
{
    struct sv *names = NULL, *v = NULL;
    size_t n_names = 0, count = 0, cap = 0, i = 0;
    struct word w;
    int rc = name_runs(s, a, &names, &n_names, e);
    if (!rc) rc = date_spans(s, a, &v, &count, &cap, e);
    while (!rc && next_word(s, &i, &w))
        if (has_digit(w.bare)) rc = push(a, &v, &count, &cap, w.bare, e);
    for (size_t j = 0; !rc && j < n_names; j++) rc = push(a, &v, &count, &cap, names[j], e);
    for (size_t j = 0; !rc && j + 2 < s.n; j++) { /* quoted text */
        if (s.p[j] != '"') continue;
        size_t k = j + 1;
        while (k < s.n && s.p[k] != '"') k++;
        if (k < s.n && k > j + 1) rc = push(a, &v, &count, &cap, (struct sv){ s.p + j + 1, k - j - 1 }, e);
        j = k;
    }
    *out = v;
    *n = count;
    return rc;
}

struct sv subject_find(const struct leaf *l, struct sv text, struct arena *a)
{
    struct sv best = { "", 0 };
    int best_count = 0;
    const int n_seed = l->n_seed < MAX_SUBJECT_SEEDS ? l->n_seed : MAX_SUBJECT_SEEDS;
    for (int i = 0; i < n_seed; i++) {
        struct sv *run = NULL;
        size_t n = 0;
        if (name_runs(sv_of(l->seed[i].question), a, &run, &n, NULL)) break;
        for (size_t j = 0; j < n; j++) {
            int count = 0;
            for (int k = 0; k < n_seed; k++) count += text_has(sv_of(l->seed[k].question), run[j]);
            if (text.n && !text_has(text, run[j])) count -= n_seed; /* a name that the document does not have */
            if (count > best_count || (count == best_count && run[j].n > best.n)) {
                best_count = count;
                best = run[j];
            }
        }
    }
    return best_count > 0 ? best : (struct sv){ "", 0 };
}

/* Is the character before / from s.p[at] part of a word: a letter, a mark or a digit? */
static int word_char_before(struct sv s, size_t at)
{
    size_t i = at;
    if (!at) return 0;
    do i--;
    while (i && ((unsigned char)s.p[i] & 0xC0) == 0x80);
    const int32_t cp = utf8_next(s, &i);
    return cp >= 0 && strchr("LMN", utf8_category(cp)[0]) != NULL;
}

static int word_char_at(struct sv s, size_t at)
{
    if (at >= s.n) return 0;
    const int32_t cp = utf8_next(s, &at);
    return cp >= 0 && strchr("LMN", utf8_category(cp)[0]) != NULL;
}

static int digit_at(struct sv s, size_t at) { return at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; }

/* Next place at or behind `from` where `needle` stands on word borders, and not inside a longer number ("255" in "24,255"); -1. */
static ptrdiff_t find_words(struct sv hay, struct sv needle, size_t from)
{
    for (ptrdiff_t at = needle.n ? sv_find(hay, needle, from) : -1; at >= 0; at = sv_find(hay, needle, (size_t)at + 1)) {
        const size_t start = (size_t)at, end = start + needle.n;
        const int goes_on = digit_at(needle, needle.n - 1) && end < hay.n && strchr(".,", hay.p[end]) && hay.p[end] && digit_at(hay, end + 1);
        const int went_before = digit_at(needle, 0) && start > 1 && strchr(".,", hay.p[start - 1]) && hay.p[start - 1] && digit_at(hay, start - 2);
        if (!goes_on && !went_before && !word_char_before(hay, start) && !word_char_at(hay, end)) return at;
    }
    return -1;
}

/* Does `needle` stand in `hay` on word borders (letters and digits around it end it)? */
int text_has(struct sv hay, struct sv needle) { return find_words(hay, needle, 0) >= 0; }

/* Replaces `from` where text_has would see it. */
int text_has_foreign(struct sv text, struct sv known1, struct sv known2, struct arena *a)
{
    struct sv *span = NULL;
    size_t n = 0;
    if (value_spans(text, a, &span, &n, NULL)) return 1;
    for (size_t i = 0; i < n; i++) {
        const int at_start = span[i].p == text.p && !has_digit(span[i]) && !memchr(span[i].p, ' ', span[i].n);
        if (!at_start && !text_has(known1, span[i]) && !text_has(known2, span[i])) return 1;
    }
    return 0;
}

int text_word_alike(struct sv text, struct sv word)
{
    struct sv rest = text, w;
    while (sv_split(&rest, ' ', &w)) {
        size_t n = 0;
        while (n < w.n && n < word.n && (w.p[n] | 0x20) == (word.p[n] | 0x20)) n++;
        if (n >= 5 || (n == word.n && n >= 4)) return 1;
    }
    return 0;
}

struct sv text_replace(struct arena *a, struct sv s, struct sv from, struct sv to)
{
    struct sb b;
    sb_init(&b, (size_t)1 << 20);
    size_t i = 0;
    for (ptrdiff_t at = find_words(s, from, 0); at >= 0; at = find_words(s, from, i)) {
        sb_add(&b, (struct sv){ s.p + i, (size_t)at - i });
        sb_add(&b, to);
        i = (size_t)at + from.n;
    }
    sb_add(&b, (struct sv){ s.p + i, s.n - i });
    const char *p = b.failed ? NULL : arena_strndup(a, b.p, b.n);
    const struct sv out = p ? (struct sv){ p, b.n } : s;
    sb_release(&b);
    return out;
}
