/* reword.c — when the model cannot say the word that a fact is asked by.
 *
 * A small model that meets "weather balloons" for the first time writes fluent questions about something that it knows instead.
 * Their frames are good. The words that the seed's question shares with the document are put where the model, as a writer of
 * questions for this fact, finds them likeliest. Strings and scores only; what comes out is weighed like every other candidate.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/pipeline.h"

#include <float.h>
#include <string.h>

enum { MAX_WORDS = 48, MAX_VARIANTS = 24, LONGEST = 2 /* words that make room */ };
struct place { size_t from, to; int fixed; };

/* Words without the punctuation around them; fixed: function words and what belongs to the subject. */
static int places(struct sv s, struct sv subject, struct place out[MAX_WORDS])
{
    const ptrdiff_t at = subject.n ? sv_find(s, subject, 0) : -1;
    int n = 0;
    for (size_t i = 0; i < s.n && n < MAX_WORDS;) {
        while (i < s.n && (unsigned char)s.p[i] <= ' ') i++;
        size_t from = i, to;
        while (i < s.n && (unsigned char)s.p[i] > ' ') i++;
        for (to = i; to > from && strchr(".,;:!?\"')", s.p[to - 1]);) to--;
        while (from < to && strchr("\"'(", s.p[from])) from++;
        if (from == to) continue;
        const struct sv w = { s.p + from, to - from };
        out[n++] = (struct place){ from, to, word_is_function(w) || w.n < 3 || (at >= 0 && from < (size_t)at + subject.n && to > (size_t)at) };
    }
    return n;
}

/* The word of s that is alike to `word` in its first five letters, without punctuation; empty when there is none. */
static struct sv alike_in(struct sv s, struct sv word)
{
    struct place p[MAX_WORDS];
    const int n = places(s, (struct sv){ "", 0 }, p);
    for (int i = 0; i < n; i++) {
        const struct sv w = { s.p + p[i].from, p[i].to - p[i].from };
        if (text_word_alike(w, word)) return w;
    }
    return (struct sv){ "", 0 };
}

void reword_keys(const struct work *w, struct reword_keys *out)
{
    const struct sv q = w->question[0];
    struct place p[MAX_WORDS];
    struct sv best = { "", 0 };
    const int n = places(q, w->f.subject, p);
    int words = 0;
    for (int i = 0; i < n; i++) {
        int k = i;
        while (k < n && !p[k].fixed && text_word_alike(w->f.sentence, (struct sv){ q.p + p[k].from, p[k].to - p[k].from })) k++;
        const size_t from = p[i].from, to = k > i ? p[k - 1].to : from;
        if (to - from > best.n) best = (struct sv){ q.p + from, to - from }, words = k - i;
        if (k > i) i = k;
    }
    *out = (struct reword_keys){ .form = { best }, .n = best.n > 0 };
    const struct sv other = words == 1 ? alike_in(w->f.sentence, best) : (struct sv){ "", 0 };
    if (other.n && !sv_eq(other, best)) out->form[out->n++] = other;
}

double reword_share(struct sv text, const struct reword_keys *keys)
{
    struct sv rest = keys->form[0], word;
    int all = 0, with = 0;
    while (sv_split(&rest, ' ', &word)) all++, with += text_word_alike(text, word);
    return all ? (double)with / all : 1;
}

int reword_has(struct sv text, const struct reword_keys *keys)
{
    for (int i = 0; i < keys->n; i++)
        if (text_has(text, keys->form[i])) return 1;
    return 0;
}

int reword(struct gen *g, size_t fact, const struct reword_keys *keys, struct sv *text, ilab_err *e)
{
    const struct work *w = &g->work[fact];
    struct place p[MAX_WORDS];
    struct wording_score s[MAX_VARIANTS];
    const struct sv t = *text;
    const int n = places(t, w->f.subject, p);
    int m = 0;
    for (int i = 0; i < n; i++)
        for (int k = i; k < n && k < i + LONGEST && !p[k].fixed; k++)
            for (int f = 0; f < keys->n && m < MAX_VARIANTS; f++) {
                const struct sv head = { t.p, p[i].from }, tail = { t.p + p[k].to, t.n - p[k].to };
                s[m++] = (struct wording_score){ .kind = W_FORWARD, .text = prompt_fill(g, "%1%2", prompt_fill(g, "%1%2", head, keys->form[f]), tail) };
            }
    const int rc = channel_own(g, fact, s, (size_t)m, e);
    double best = -DBL_MAX;
    for (int i = 0; !rc && i < m; i++)
        if (s[i].own > best) best = s[i].own, *text = s[i].text;
    return rc;
}
