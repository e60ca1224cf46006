/* lint.c — the table of style rules, and the walk that shows each rule the tokens, comments and lines of a file.
 *
 * Tokens, comments and lines are seen in the order of their lines; what was found in a line is handed on when the line ends,
 * unless a comment `# yamllint disable…` says otherwise. Tokens come from the scanner alone, so that a file that does not
 * parse is linted as far as its tokens go.
 * What it does not do: say whether a file is valid.  SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/lint.h"

#include <stdlib.h>
#include <string.h>

static const char *const NON_EMPTY[] = { "non-empty", NULL }, *const QUOTE[] = { "any", "single", "double", NULL }, *const NEEDED[] = { "only-when-needed", NULL },
                  *const NEW_LINE[] = { "unix", "dos", "platform", NULL }, *const STEP[] = { "consistent", NULL }, *const SEQUENCES[] = { "whatever", "consistent", NULL };
#define INSIDE { "forbid", TAKES_BOOL | TAKES_WORD, 0, NON_EMPTY }, { "min-spaces-inside", TAKES_INT, 0, NULL }, { "max-spaces-inside", TAKES_INT, 0, NULL }, \
               { "min-spaces-inside-empty", TAKES_INT, -1, NULL }, { "max-spaces-inside-empty", TAKES_INT, -1, NULL }
#define INT(name, n) { name, TAKES_INT, n, NULL }
#define BOOL(name, n) { name, TAKES_BOOL, n, NULL }

const struct lint_rule LINT_RULE[LINT_RULES] = {
    { "anchors", LINT_TOKEN, lint_anchors, { BOOL("forbid-undeclared-aliases", 1), BOOL("forbid-duplicated-anchors", 0), BOOL("forbid-unused-anchors", 0) },
      "a text that begins with * or & belongs in quotes" },
    { "braces", LINT_TOKEN, lint_braces, { INSIDE }, "write {a: 1} with as many blanks inside the braces as the rule allows" },
    { "brackets", LINT_TOKEN, lint_brackets, { INSIDE }, "write [a, b] with as many blanks inside the brackets as the rule allows" },
    { "colons", LINT_TOKEN, lint_colons, { INT("max-spaces-before", 0), INT("max-spaces-after", 1) }, "write `key: value`: nothing before the colon, one blank behind it" },
    { "commas", LINT_TOKEN, lint_commas, { INT("max-spaces-before", 0), INT("min-spaces-after", 1), INT("max-spaces-after", 1) },
      "write `a, b`: nothing before the comma, one blank behind it" },
    { "comments", LINT_COMMENT, lint_comments, { BOOL("require-starting-space", 1), BOOL("ignore-shebangs", 1), INT("min-spaces-from-content", 2) },
      "write `# comment`, two blanks behind the text of the line" },
    { "comments-indentation", LINT_COMMENT, lint_comments_indentation, { { 0 } }, "indent the comment like the line below it" },
    { "document-end", LINT_TOKEN, lint_document_end, { BOOL("present", 1) }, "end the document with a line `...`, or remove that line where the rule forbids it" },
    { "document-start", LINT_TOKEN, lint_document_start, { BOOL("present", 1) }, "begin the file with a line `---`, or remove that line where the rule forbids it" },
    { "empty-lines", LINT_LINE, lint_empty_lines, { INT("max", 2), INT("max-start", 0), INT("max-end", 0) }, "remove blank lines" },
    { "empty-values", LINT_TOKEN, lint_empty_values, { BOOL("forbid-in-block-mappings", 1), BOOL("forbid-in-flow-mappings", 1) }, "write a value behind the colon" },
    { "hyphens", LINT_TOKEN, lint_hyphens, { INT("max-spaces-after", 1) }, "write one blank behind the hyphen, and indent what belongs to it alike" },
    { "indentation", LINT_TOKEN, lint_indentation,
      { { "spaces", TAKES_INT | TAKES_WORD, WORD_BASE, STEP }, { "indent-sequences", TAKES_BOOL | TAKES_WORD, 1, SEQUENCES }, BOOL("check-multi-line-strings", 0) },
      "move the line to the column that is expected: lines of one level begin at the same column" },
    { "key-duplicates", LINT_TOKEN, lint_key_duplicates, { { 0 } }, "remove one of the two, or merge them: only the last one counts" },
    { "key-ordering", LINT_TOKEN, lint_key_ordering, { { 0 } }, "write the keys in the order of the alphabet" },
    { "line-length", LINT_LINE, lint_line_length,
      { INT("max", 80), BOOL("allow-non-breakable-words", 1), BOOL("allow-non-breakable-inline-mappings", 0) },
      "break the line: a block scalar (`key: |` or `key: >`) may have many lines" },
    { "new-line-at-end-of-file", LINT_LINE, lint_new_line_at_end_of_file, { { 0 } }, "end the last line with a newline" },
    { "new-lines", LINT_LINE, lint_new_lines, { { "type", TAKES_WORD, WORD_BASE, NEW_LINE } }, "save the file with Unix line ends" },
    { "octal-values", LINT_TOKEN, lint_octal_values, { BOOL("forbid-implicit-octal", 1), BOOL("forbid-explicit-octal", 1) }, "put the number in quotes: a 0 in front makes it octal" },
    { "float-values", LINT_TOKEN, lint_float_values,
      { BOOL("require-numeral-before-decimal", 0), BOOL("forbid-scientific-notation", 0), BOOL("forbid-nan", 0), BOOL("forbid-inf", 0) }, "write the number out, or put it in quotes" },
    { "quoted-strings", LINT_TOKEN, lint_quoted_strings,
      { { "quote-type", TAKES_WORD, WORD_BASE, QUOTE }, { "required", TAKES_BOOL | TAKES_WORD, 1, NEEDED }, { "extra-required", TAKES_TEXTS, 0, NULL },
        { "extra-allowed", TAKES_TEXTS, 0, NULL }, BOOL("allow-quoted-quotes", 0) }, "change the quotes as the rule demands" },
    { "trailing-spaces", LINT_LINE, lint_trailing_spaces, { { 0 } }, "remove the white space at the end of the line" },
    { "truthy", LINT_TOKEN, lint_truthy, { { "allowed-values", TAKES_TEXTS, 0, NULL }, BOOL("check-keys", 1) }, "put the word in quotes, or write true or false" },
};

int lint_is_word(const struct lint_option *o, int value, const char *word)
{
    for (int i = 0; o->words && o->words[i]; i++)
        if (!strcmp(o->words[i], word)) return value == WORD_BASE + i;
    return 0;
}

void lint_report(struct lint *l, int line, int col, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t n = strlen(text), bad;
    if (!utf8_valid((struct sv){ text, n }, &bad)) n = bad; /* cut inside of a character */
    const char *copy = arena_strndup(&l->mem, text, n);
    if (!copy || mem_grow((void **)&l->cache, &l->cap_cache, l->n_cache + 1, sizeof *l->cache)) l->failed = 1;
    else l->cache[l->n_cache++] = (struct problem){ line, col < 1 ? 1 : col, l->rule, copy };
}

/* ---- comments that switch rules off ---- */

struct directives { uint32_t always, line, next_line; };

static int rule_by_id(struct sv id)
{
    for (int i = 0; i < LINT_RULES; i++)
        if (sv_eq_c(id, LINT_RULE[i].id)) return i;
    return -1;
}

/* `# yamllint WHAT( rule:ID)*` : the rules as bits, all of `enabled` when none is named; 0 and no match otherwise. */
static int directive(struct sv comment, const char *what, uint32_t enabled, uint32_t *rules)
{
    if (!sv_starts(comment, what)) return 0;
    struct sv rest = { comment.p + strlen(what), comment.n - strlen(what) };
    int named = 0;
    *rules = 0;
    while (rest.n > 6 && !memcmp(rest.p, " rule:", 6)) {
        size_t n = 6;
        while (n < rest.n && !strchr(" \t\r\n\v\f", rest.p[n])) n++;
        if (n == 6) return 0;
        const int rule = rule_by_id((struct sv){ rest.p + 6, n - 6 });
        if (rule >= 0) *rules |= 1u << rule;
        named = 1;
        rest.p += n, rest.n -= n;
    }
    if (!named) *rules = enabled;
    else *rules &= enabled;
    return !sv_trim(rest).n;
}

static void obey(struct directives *d, struct sv comment, int is_inline, uint32_t enabled)
{
    uint32_t rules;
    if (directive(comment, "# yamllint disable", enabled, &rules)) d->always |= rules;
    else if (directive(comment, "# yamllint enable", enabled, &rules)) d->always &= ~rules;
    else if (directive(comment, "# yamllint disable-line", enabled, &rules)) *(is_inline ? &d->line : &d->next_line) |= rules;
}

static int file_is_disabled(struct sv text)
{
    struct sv rest = text, line = { "", 0 };
    sv_split(&rest, '\n', &line);
    if (!sv_starts(line, "#")) return 0;
    return sv_eq_c(sv_trim((struct sv){ line.p + 1, line.n - 1 }), "yamllint disable-file");
}

/* ---- the walk ---- */

struct walk {
    struct lint l;
    const struct lint_config *c;
    const struct yaml_doc *d;
    struct findings *f;
    struct directives directives;
    uint32_t enabled;
    struct line line;
    int more_lines;
};

static void check(struct walk *w, enum lint_kind kind, const struct lint_view *v)
{
    for (int i = 0; i < LINT_RULES; i++) {
        if (LINT_RULE[i].kind != kind || !(w->enabled >> i & 1)) continue;
        w->l.rule = i;
        LINT_RULE[i].check(&w->l, &w->c->rule[i], v);
    }
}

static void next_line(struct walk *w, size_t start)
{
    const struct sv t = w->l.text;
    const char *nl = start < t.n ? memchr(t.p + start, '\n', t.n - start) : NULL;
    w->line.number++;
    w->line.start = start;
    w->line.end = nl ? (size_t)(nl - t.p) : t.n;
    if (nl && nl > t.p && nl[-1] == '\r') w->line.end--;
    w->more_lines = 1;
}

static void end_line(struct walk *w)
{
    struct lint *l = &w->l;
    check(w, LINT_LINE, &(struct lint_view){ .line = &w->line });
    const uint32_t off = w->directives.line | w->directives.always;
    for (size_t i = 0; i < l->n_cache; i++) {
        const struct problem *p = &l->cache[i];
        if (off >> p->rule & 1) continue;
        findings_add(w->f, (struct finding){ .line = p->line, .col = p->col, .error = w->c->rule[p->rule].level == 2, .where = ".", .style = w->c->rule[p->rule].level, .rule = LINT_RULE[p->rule].id,
                                             .text = p->text, .remedy = LINT_RULE[p->rule].remedy });
    }
    l->n_cache = 0;
    w->directives.line = w->directives.next_line;
    w->directives.next_line = 0;
    const size_t at = w->line.end + (w->line.end < l->text.n && l->text.p[w->line.end] == '\r');
    if (at < l->text.n) next_line(w, at + 1);
    else w->more_lines = 0;
}

/* Lines that end before the one with this number. */
static void lines_before(struct walk *w, int number)
{
    while (w->more_lines && number > w->line.number) end_line(w);
}

static void comments_between(struct walk *w, const struct yaml_token *a, const struct yaml_token *b)
{
    const struct sv t = w->l.text;
    if (b && a->end.line == b->start.line && a->kind != YAML_STREAM_START && b->kind != YAML_STREAM_END) return;
    const size_t end = b ? b->start.at : t.n;
    size_t at = a->end.at;
    int line = a->end.line + 1, col = a->end.col + 1, has_before = 0, before_inline = 0, before_col = 0;
    while (at < end) {
        const char *nl = memchr(t.p + at, '\n', end - at);
        const size_t stop = nl ? (size_t)(nl - t.p) : end;
        const char *hash = memchr(t.p + at, '#', stop - at);
        if (hash) {
            struct comment m = { line, col, has_before, before_inline, before_col, (size_t)(hash - t.p), a, b };
            for (size_t i = at; i < m.at; i++) m.col += ((unsigned char)t.p[i] & 0xC0) != 0x80;
            lines_before(w, line);
            check(w, LINT_COMMENT, &(struct lint_view){ .comment = &m });
            const char *eol = memchr(hash, '\n', t.n - m.at);
            has_before = 1;
            before_inline = a->kind != YAML_STREAM_START && line == a->end.line + 1 && !(a->end.at && t.p[a->end.at - 1] == '\n');
            before_col = m.col;
            obey(&w->directives, (struct sv){ hash, eol ? (size_t)(eol - hash) : t.n - m.at }, before_inline, w->enabled);
        }
        if (!nl) break;
        at = stop + 1;
        line++;
        col = 1;
    }
}

int lint_run(const struct yaml_doc *d, const struct lint_config *c, const char *rel, struct findings *f)
{
    struct walk w = { .l = { .text = d->text }, .c = c, .d = d, .f = f };
    if (lint_ignored(&c->ignore, rel) || file_is_disabled(d->text)) return 0;
    for (int i = 0; i < LINT_RULES; i++)
        if (c->rule[i].on && !lint_ignored(&c->rule[i].ignore, rel)) w.enabled |= 1u << i;
    arena_init(&w.l.mem, (size_t)64 << 20);
    next_line(&w, 0);
    /* Behind a place that the scanner could not read, a rule would need two tokens more than there are. */
    const size_t n = !d->scan.code ? d->n_token : d->n_token > 2 ? d->n_token - 2 : 0;
    for (size_t i = 0; i < n && !w.l.failed; i++) {
        const struct yaml_token *t = d->token + i;
        const struct lint_view v = { .prev = i ? t - 1 : NULL, .token = t, .next = i + 1 < d->n_token ? t + 1 : NULL, .next2 = i + 2 < d->n_token ? t + 2 : NULL };
        lines_before(&w, t->start.line + 1);
        check(&w, LINT_TOKEN, &v);
        comments_between(&w, t, v.next);
    }
    while (w.more_lines && !w.l.failed) end_line(&w);
    mem_free(w.l.cache);
    mem_free(w.l.stack);
    mem_free(w.l.open[0]);
    mem_free(w.l.open[1]);
    mem_free(w.l.slot);
    arena_release(&w.l.mem);
    return w.l.failed ? ILAB_E_NOMEM : 0;
}
