/* fact.c — which words of a sentence could be an answer, and what a leaf is about.
 *
 * Only the look of words is used (digits, capitals, quotes, a short list of function words); nothing here knows a subject.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/fact.h"

#include <string.h>

static const char *const FUNCTION_WORDS[] = {
    "the", "a", "an", "in", "on", "at", "of", "it", "its", "he", "she", "they", "his", "her", "their", "this", "that", "these", "those",
    "there", "who", "what", "when", "where", "which", "how", "why", "whose", "whom", "is", "was", "are", "were", "does", "did", "do",
    "has", "have", "had", "can", "could", "would", "will", "please", "tell", "name", "give", "i", "we", "you", "since", "by", "for",
    "from", "to", "and", "or", "but", "with", "as", "if", "after", "before", "between", "during", "about", "among", "according",
    "today", "currently", "also", "both", "many", "some", "most", "all", "no", "yes", "one", "two", "three", "in", "under", "until",
    "wer", "was", "wann", "wo", "wie", "der", "die", "das", "ein", "eine", "im", "am", "seit", "und", "es", "sie", "er",
};
static const char *const CONNECTORS[] = { "of", "de", "del", "della", "la", "le", "du", "von", "van", "der", "den", "the", "upon", "am", "an", "y", "zu", "for" };

int word_is_function(struct sv w)
{
    for (size_t i = 0; i < ARRAY_LEN(FUNCTION_WORDS); i++) {
        const char *f = FUNCTION_WORDS[i];
        size_t j = 0;
        while (j < w.n && f[j] && (w.p[j] | 0x20) == f[j]) j++;
        if (j == w.n && !f[j]) return 1;
    }
    return 0;
}

static int is_connector(struct sv w)
{
    for (size_t i = 0; i < ARRAY_LEN(CONNECTORS); i++)
        if (sv_eq_c(w, CONNECTORS[i])) return 1;
    return 0;
}

static int starts_upper(struct sv w)
{
    size_t i = 0;
    const int32_t cp = w.n ? utf8_next(w, &i) : 0;
    return (cp >= 'A' && cp <= 'Z') || (cp >= 0xC0 && cp <= 0xDE && cp != 0xD7) || (cp >= 0x391 && cp <= 0x42F);
}

static int has_digit(struct sv w)
{
    for (size_t i = 0; i < w.n; i++)
        if (w.p[i] >= '0' && w.p[i] <= '9') return 1;
    return 0;
}

/* A word without the punctuation around it. */
struct word { struct sv bare; size_t start, end; int ends_clause; };

static int next_word(struct sv s, size_t *i, struct word *w)
{
    while (*i < s.n && (unsigned char)s.p[*i] <= ' ') (*i)++;
    if (*i >= s.n) return 0;
    size_t a = *i;
    while (*i < s.n && (unsigned char)s.p[*i] > ' ') (*i)++;
    size_t b = *i;
    while (a < b && strchr("\"'([{*_`", s.p[a])) a++;
    w->ends_clause = 0;
    while (b > a && strchr(".,;:!?\"')]}*_`", s.p[b - 1])) {
        /* "Dr." keeps its full stop: short, capitalised, and not the end of the text */
        if (s.p[b - 1] == '.' && b - a <= 4 && starts_upper((struct sv){ s.p + a, b - a }) && *i < s.n) break;
        if (strchr(".,;:!?", s.p[b - 1])) w->ends_clause = 1;
        b--;
    }
    w->bare = (struct sv){ s.p + a, b - a };
    w->start = a;
    w->end = b;
    return 1;
}

static int push(struct arena *a, struct sv **v, size_t *n, size_t *cap, struct sv s, ilab_err *e)
{
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

/* Capitalised runs ("Dr. Mara Lind", "University of X"), function words at their start dropped. */
int name_runs(struct sv s, struct arena *a, struct sv **out, size_t *n, ilab_err *e)
{
    size_t cap = 0, i = 0, run_start = 0, run_end = 0, pending_end = 0;
    int in_run = 0, rc = 0;
    struct word w;
    *out = NULL;
    *n = 0;
    while (!rc && next_word(s, &i, &w)) {
        const int upper = w.bare.n && starts_upper(w.bare) && !(word_is_function(w.bare) && !in_run);
        if (upper) {
            if (!in_run) run_start = w.start;
            in_run = 1;
            run_end = w.end;
        } else if (in_run && is_connector(w.bare) && !w.ends_clause && run_end + 1 >= pending_end) {
            pending_end = w.end;
            continue;
        } else if (in_run) {
            rc = push(a, out, n, &cap, (struct sv){ s.p + run_start, run_end - run_start }, e);
            in_run = 0;
        }
        if (in_run && w.ends_clause) {
            rc = push(a, out, n, &cap, (struct sv){ s.p + run_start, run_end - run_start }, e);
            in_run = 0;
        }
        pending_end = 0;
    }
    if (!rc && in_run) rc = push(a, out, n, &cap, (struct sv){ s.p + run_start, run_end - run_start }, e);
    return rc;
}

int value_spans(struct sv s, struct arena *a, struct sv **out, size_t *n, ilab_err *e)
{
    struct sv *names = NULL, *v = NULL;
    size_t n_names = 0, count = 0, cap = 0, i = 0;
    struct word w;
    int rc = name_runs(s, a, &names, &n_names, e);
    while (!rc && next_word(s, &i, &w))
        if (has_digit(w.bare)) rc = push(a, &v, &count, &cap, w.bare, e);
    for (size_t j = 0; !rc && j < n_names; j++) rc = push(a, &v, &count, &cap, names[j], e);
    for (size_t j = 0; !rc && j + 2 < s.n; j++) {
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
    for (int i = 0; i < l->n_seed; i++) {
        struct sv *run = NULL;
        size_t n = 0;
        if (name_runs(sv_of(l->seed[i].question), a, &run, &n, NULL)) break;
        for (size_t j = 0; j < n; j++) {
            int count = 0;
            for (int k = 0; k < l->n_seed; k++) count += sv_find(sv_of(l->seed[k].question), run[j], 0) >= 0;
            if (text.n && sv_find(text, run[j], 0) < 0) count -= l->n_seed; /* a name that the document does not have */
            if (count > best_count || (count == best_count && run[j].n > best.n)) {
                best_count = count;
                best = run[j];
            }
        }
    }
    return best_count > 0 ? best : (struct sv){ "", 0 };
}

/* Does `needle` stand in `hay` on word borders (letters and digits around it end it)? */
int text_has(struct sv hay, struct sv needle)
{
    if (!needle.n) return 0;
    for (ptrdiff_t at = sv_find(hay, needle, 0); at >= 0; at = sv_find(hay, needle, (size_t)at + 1)) {
        const size_t end = (size_t)at + needle.n;
        const unsigned char before = at ? (unsigned char)hay.p[at - 1] : ' ', after = end < hay.n ? (unsigned char)hay.p[end] : ' ';
        const int left = (before | 0x20) >= 'a' ? (before | 0x20) <= 'z' || before >= 0x80 : before >= '0' && before <= '9';
        const int right = (after | 0x20) >= 'a' ? (after | 0x20) <= 'z' || after >= 0x80 : after >= '0' && after <= '9';
        const int number_goes_on = (after == ',' || after == '.') && end + 1 < hay.n && hay.p[end + 1] >= '0' && hay.p[end + 1] <= '9';
        if (!left && !right && !number_goes_on) return 1;
    }
    return 0;
}

struct sv text_replace(struct arena *a, struct sv s, struct sv from, struct sv to)
{
    struct sb b;
    sb_init(&b, (size_t)1 << 20);
    size_t i = 0;
    while (i < s.n) {
        const ptrdiff_t at = from.n ? sv_find(s, from, i) : -1;
        if (at < 0) break;
        sb_add(&b, (struct sv){ s.p + i, (size_t)at - i });
        sb_add(&b, to);
        i = (size_t)at + from.n;
    }
    sb_add(&b, (struct sv){ s.p + i, s.n - i });
    const char *p = arena_strndup(a, b.p ? b.p : "", b.n);
    const struct sv out = { p ? p : "", p ? b.n : 0 };
    sb_release(&b);
    return out;
}
