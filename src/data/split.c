/* split.c — cuts a text into sentences.
 *
 * Markdown is looked at line by line: headings, rules, code fences and link targets go; an item of a list and a row of a table
 * are sentences of their own. Sentences are copies without decoration, of at most SENTENCE_MAX bytes, so that nothing that
 * works on one sentence meets a whole book. Only the look of words is used.  SPDX-License-Identifier: Apache-2.0 */
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

/* Index behind the bracket that closes the one at s[i]; i when there is none nearby. */
static size_t behind_bracket(struct sv s, size_t i, char open, char close)
{
    enum { FAR = 2000 };
    int depth = 0;
    for (size_t j = i; j < s.n && j < i + FAR; j++) {
        if (s.p[j] == open) depth++;
        else if (s.p[j] == close && --depth == 0) return j + 1;
    }
    return i;
}

/* Index behind what stands at s[i] and is no text at all: an image, the mark of a footnote ("[12]", "[^a]"), a tag; else i. */
static size_t behind_decoration(struct sv s, size_t i)
{
    if (s.p[i] == '!' && i + 1 < s.n && s.p[i + 1] == '[') {
        const size_t j = behind_bracket(s, i + 1, '[', ']'), k = j > i + 1 && j < s.n && s.p[j] == '(' ? behind_bracket(s, j, '(', ')') : j;
        return k > i + 1 ? k : i;
    }
    if (s.p[i] == '[') {
        size_t j = i + 1;
        const int note = j < s.n && s.p[j] == '^';
        while (j < s.n && (note ? s.p[j] != ']' : s.p[j] >= '0' && s.p[j] <= '9')) j++;
        return j < s.n && j > i + 1 && s.p[j] == ']' && !(j + 1 < s.n && s.p[j + 1] == '(') ? j + 1 : i;
    }
    if (s.p[i] == '<' && i + 1 < s.n && (s.p[i + 1] == '/' || s.p[i + 1] == '!' || ((s.p[i + 1] | 0x20) >= 'a' && (s.p[i + 1] | 0x20) <= 'z')))
        return behind_bracket(s, i, '<', '>');
    return i;
}

/* Is the mark at s[i] (one of * _ `) decoration? Between spaces it is a text's own sign, and _ inside a word is, too. */
static int is_emphasis(struct sv s, size_t i)
{
    const int space_before = i == 0 || is_space(s.p[i - 1]), space_behind = i + 1 == s.n || is_space(s.p[i + 1]);
    if (s.p[i] == '`') return 1;
    if (s.p[i] == '_') {
        const int punctuation = i + 1 < s.n && strchr(".,;:!?)", s.p[i + 1]) != NULL;
        return (space_before != space_behind) || (!space_before && punctuation);
    }
    return !(space_before && space_behind);
}

/* Text without Markdown decoration, white space folded. p is NULL without memory. One byte of room is left behind it. */
static struct sv plain_text(struct arena *a, struct sv s)
{
    char *o = arena_alloc(a, s.n + 2, 1);
    size_t n = 0;
    for (size_t i = 0; o && i < s.n; i++) {
        const size_t behind = behind_decoration(s, i);
        char c = s.p[i];
        if (behind > i) {
            i = behind - 1;
            continue;
        }
        if (strchr("*_`", c) && c && is_emphasis(s, i)) continue;
        if (c == '[') continue;
        if (c == ']') {
            const char next = i + 1 < s.n ? s.p[i + 1] : 0;
            if (next == '(' || next == '[') i = behind_bracket(s, i + 1, next, next == '(' ? ')' : ']') - 1;
            continue;
        }
        if (c == '\\' && i + 1 < s.n && strchr("*_`[]()#+-.!|<>\\", s.p[i + 1]) && s.p[i + 1]) c = s.p[++i];
        else if (c == '\xC2' && i + 1 < s.n && s.p[i + 1] == '\xA0') i++, c = ' '; /* no-break space */
        if (is_space(c)) c = ' ';
        if (c == ' ' && (!n || o[n - 1] == ' ')) continue;
        o[n++] = c;
    }
    while (n && o[n - 1] == ' ') n--;
    return (struct sv){ o, n };
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

/* "| Founded | 1969 |" becomes "Founded: 1969." */
static int add_row(struct list *l, struct sv row, ilab_err *e)
{
    struct sv rest = row, cell;
    struct sb b;
    int n = 0;
    sb_init(&b, row.n * 2 + 16);
    while (sv_split(&rest, '|', &cell)) {
        cell = sv_trim(cell);
        if (!cell.n) continue;
        if (n) sb_addc(&b, n == 1 ? ": " : ", ");
        sb_add(&b, cell);
        n++;
    }
    const int rc = b.failed ? err_set(e, ILAB_E_NOMEM, "no memory to split a document")
                   : n > 1  ? add_plain(l, plain_text(l->a, (struct sv){ b.p, b.n }), 1, e) : 0;
    sb_release(&b);
    return rc;
}

static int only(struct sv s, const char *set)
{
    for (size_t i = 0; i < s.n; i++)
        if (!s.p[i] || !strchr(set, s.p[i])) return 0;
    return s.n > 0;
}

/* Length of the mark that begins an item of a list or a quotation ("- ", "12. ", "> "); 0: no item. */
static size_t item_mark(struct sv l)
{
    if (l.n > 1 && strchr("-*+>", l.p[0]) && l.p[0] && l.p[1] == ' ') return 2;
    size_t d = 0;
    while (d < l.n && d < 9 && l.p[d] >= '0' && l.p[d] <= '9') d++;
    return d && d <= 3 && d + 1 < l.n && strchr(".)", l.p[d]) && l.p[d + 1] == ' ' ? d + 2 : 0;
}

int sentence_split(struct sv text, struct arena *a, struct sv **out, size_t *n, ilab_err *e)
{
    struct list l = { .a = a };
    struct sv rest = text, line, para = { NULL, 0 };
    int rc = 0, n_lines = 0, is_item = 0, in_code = 0;
    while (!rc && sv_split(&rest, '\n', &line)) {
        struct sv s = sv_trim(line);
        const int fence = sv_starts(s, "```") || sv_starts(s, "~~~"), row = s.n && s.p[0] == '|', rule = only(s, "-=*_ ");
        const int target = s.n && s.p[0] == '[' && sv_find(s, SV("]: "), 0) > 0; /* "[name]: https://…", where a link goes */
        const int heading = target || (s.n && s.p[0] == '#' && (s.n == 1 || s.p[1] == '#' || s.p[1] == ' '));
        const size_t mark = rule || in_code ? 0 : item_mark(s);
        if (para.p && (!s.n || fence || row || rule || heading || mark)) {
            const int underlined = rule && n_lines == 1 && !is_item && only(s, s.p[0] == '=' ? "=" : "-"); /* a heading by its underline */
            if (!underlined) rc = add_plain(&l, plain_text(a, para), is_item, e);
            para = (struct sv){ NULL, 0 };
        }
        if (fence) in_code = !in_code;
        if (rc || !s.n || fence || in_code || rule || heading) continue;
        if (row) {
            struct sv ahead = rest, below = { "", 0 };
            sv_split(&ahead, '\n', &below);
            const int is_head = only(sv_trim(below), "|-: ") || only(s, "|-: ");
            if (!is_head) rc = add_row(&l, s, e);
            continue;
        }
        s.p += mark, s.n -= mark;
        if (!para.p) para = s, n_lines = 0, is_item = mark > 0;
        para.n = (size_t)(s.p + s.n - para.p);
        n_lines++;
    }
    if (!rc && para.p) rc = add_plain(&l, plain_text(a, para), is_item, e);
    *out = l.v;
    *n = l.n;
    return rc;
}

int passage_sentences(struct sv text, int alone, struct arena *a, struct sv **out, size_t *n, ilab_err *e)
{
    struct list l = { .a = a };
    char *o = arena_alloc(a, text.n + 2, 1); /* room for a full stop */
    size_t len = 0;
    for (size_t i = 0; o && i < text.n; i++) {
        const size_t behind = text.p[i] == '[' ? behind_decoration(text, i) : i; /* the mark of a footnote */
        if (behind > i) i = behind - 1;
        else o[len++] = text.p[i];
    }
    const int rc = add_plain(&l, (struct sv){ o, len }, alone, e);
    *out = l.v;
    *n = l.n;
    return rc;
}
