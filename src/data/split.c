/* split.c — cuts a passage into sentences.
 *
 * Marks of footnotes go. A sentence is of at most SENTENCE_MAX bytes, so that nothing that works on one sentence meets a whole
 * book. Only the look of words is used.  SPDX-License-Identifier: Apache-2.0 */
#include "data/fact.h"

#include <string.h>

enum { SENTENCE_MAX = 2000 };

struct list { struct arena *a; struct sv *v; size_t n, cap; };

static int push(struct list *l, struct sv s, ilab_err *e)
{
    if (l->n == l->cap) {
        const size_t more = l->cap ? l->cap * 2 : 64;
        struct sv *p = arena_alloc(l->a, more * sizeof *p, sizeof(void *));
        if (!p) return err_set(e, ILAB_E_NOMEM, "no memory to split a document");
        if (l->n) memcpy(p, l->v, l->n * sizeof *p);
        l->v = p;
        l->cap = more;
    }
    l->v[l->n++] = s;
    return 0;
}

static int is_space(char c) { return (unsigned char)c <= ' '; }

static size_t words_of(struct sv s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += !is_space(s.p[i]) && (i + 1 == s.n || is_space(s.p[i + 1]));
    return n;
}

/* Index behind the mark of a footnote at s[i] ("[12]", "[^a]"); i when there is none. */
static size_t behind_mark(struct sv s, size_t i)
{
    size_t j = i + 1;
    const int note = j < s.n && s.p[j] == '^';
    while (j < s.n && (note ? s.p[j] != ']' : s.p[j] >= '0' && s.p[j] <= '9')) j++;
    return j < s.n && j > i + 1 && s.p[j] == ']' ? j + 1 : i;
}

/* One sentence, in pieces when it is longer than any sentence should be. */
static int push_sentence(struct list *l, struct sv s, ilab_err *e)
{
    int rc = 0;
    while (!rc && s.n > SENTENCE_MAX) {
        size_t cut = SENTENCE_MAX;
        while (cut > SENTENCE_MAX / 2 && s.p[cut] != ' ') cut--;
        while (cut && ((unsigned char)s.p[cut] & 0xC0) == 0x80) cut--;
        rc = push(l, sv_trim((struct sv){ s.p, cut }), e);
        s = sv_trim((struct sv){ s.p + cut, s.n - cut });
    }
    return !rc && s.n ? push(l, s, e) : rc;
}

/* `alone`: an item or a row, which is a sentence even when it is short, and gets its full stop. */
static int add_plain(struct list *l, struct sv s, int alone, ilab_err *e)
{
    size_t from = 0;
    int rc = s.p ? 0 : err_set(e, ILAB_E_NOMEM, "no memory to split a document");
    for (size_t i = 0; !rc && i < s.n; i++) {
        if (!strchr(".!?", s.p[i]) || !text_ends_sentence(s, i)) continue;
        size_t end = i + 1;
        while (end < s.n && strchr("\"')", s.p[end])) end++;
        const struct sv one = sv_trim((struct sv){ s.p + from, end - from });
        if (words_of(one) >= 2) rc = push_sentence(l, one, e);
        from = end;
        i = end - 1;
    }
    struct sv rest = sv_trim((struct sv){ s.p + from, s.n - from });
    if (rc || words_of(rest) < (alone ? 2 : 4)) return rc;
    const unsigned char last = (unsigned char)rest.p[rest.n - 1];
    if (alone && rest.n < SENTENCE_MAX && (last >= 0x80 || last == ')' || last == '%' || (last >= '0' && last <= '9') || ((last | 0x20) >= 'a' && (last | 0x20) <= 'z')))
        ((char *)(uintptr_t)rest.p)[rest.n++] = '.'; /* in our own copy, which has room */
    return push_sentence(l, rest, e);
}

int passage_sentences(struct sv text, int alone, struct arena *a, struct sv **out, size_t *n, ilab_err *e)
{
    struct list l = { .a = a };
    char *o = arena_alloc(a, text.n + 2, 1); /* room for a full stop */
    size_t len = 0;
    for (size_t i = 0; o && i < text.n; i++) {
        const size_t behind = text.p[i] == '[' ? behind_mark(text, i) : i;
        const char c = is_space(text.p[i]) ? ' ' : text.p[i];
        if (behind > i) i = behind - 1;
        else if (c != ' ' || (len && o[len - 1] != ' ')) o[len++] = c;
    }
    while (len && o[len - 1] == ' ') len--;
    const int rc = add_plain(&l, (struct sv){ o, len }, alone, e);
    *out = l.v;
    *n = l.n;
    return rc;
}
