/* lint_token.c — the style rules that look at tokens and comments. What each demands is documented by yamllint
 * (yamllint.readthedocs.io, "Rules"); places and wording are yamllint's, so that its users recognise them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/lint.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#define IS(t, name) ((t) && (t)->kind == YAML_##name)
static char byte_before(const struct lint *l, size_t at) { return at ? l->text.p[at - 1] : 0; }

/* ---- blanks between two tokens of one line ---- */

static void spaces_after(struct lint *l, const struct lint_view *v, int min, int max, const char *too_few, const char *too_many)
{
    if (!v->next || v->token->end.line != v->next->start.line) return;
    const int n = v->next->start.index - v->token->end.index;
    if (max != -1 && n > max) lint_report(l, v->token->start.line + 1, v->next->start.col, "%s", too_many);
    else if (min != -1 && n < min) lint_report(l, v->token->start.line + 1, v->next->start.col + 1, "%s", too_few);
}

static void spaces_before(struct lint *l, const struct lint_view *v, int min, int max, const char *too_few, const char *too_many)
{
    if (!v->prev || v->prev->end.line != v->token->start.line || byte_before(l, v->prev->end.at) == '\n') return;
    const int n = v->token->start.index - v->prev->end.index;
    if (max != -1 && n > max) lint_report(l, v->token->start.line + 1, v->token->start.col, "%s", too_many);
    else if (min != -1 && n < min) lint_report(l, v->token->start.line + 1, v->token->start.col + 1, "%s", too_few);
}

static int is_explicit_key(const struct lint *l, const struct yaml_token *t) { return t->start.at < t->end.at && l->text.p[t->start.at] == '?'; }

/* braces and brackets; options: forbid, min and max inside, the same for empty ones */
static void inside(struct lint *l, const struct lint_conf *c, const struct lint_view *v, enum yaml_token_kind open, enum yaml_token_kind close, const char *const say[5])
{
    const int starts = v->token->kind == open, empty = starts && v->next && v->next->kind == close;
    if (starts && (c->opt[0] == 1 || (c->opt[0] < 0 && !empty))) {
        lint_report(l, v->token->start.line + 1, v->token->end.col + 1, "%s", say[0]);
    } else if (empty) {
        spaces_after(l, v, c->opt[3] != -1 ? c->opt[3] : c->opt[1], c->opt[4] != -1 ? c->opt[4] : c->opt[2], say[3], say[4]);
    } else if (starts) {
        spaces_after(l, v, c->opt[1], c->opt[2], say[1], say[2]);
    } else if (v->token->kind == close && (!v->prev || v->prev->kind != open)) {
        spaces_before(l, v, c->opt[1], c->opt[2], say[1], say[2]);
    }
}

void lint_braces(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    static const char *const SAY[] = { "forbidden flow mapping", "too few spaces inside braces", "too many spaces inside braces",
                                       "too few spaces inside empty braces", "too many spaces inside empty braces" };
    inside(l, c, v, YAML_FLOW_MAPPING_START, YAML_FLOW_MAPPING_END, SAY);
}

void lint_brackets(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    static const char *const SAY[] = { "forbidden flow sequence", "too few spaces inside brackets", "too many spaces inside brackets",
                                       "too few spaces inside empty brackets", "too many spaces inside empty brackets" };
    inside(l, c, v, YAML_FLOW_SEQUENCE_START, YAML_FLOW_SEQUENCE_END, SAY);
}

void lint_colons(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    if (IS(v->token, VALUE)) {
        spaces_before(l, v, -1, c->opt[0], "", "too many spaces before colon");
        spaces_after(l, v, -1, c->opt[1], "", "too many spaces after colon");
    }
    if (IS(v->token, KEY) && is_explicit_key(l, v->token)) spaces_after(l, v, -1, c->opt[1], "", "too many spaces after question mark");
}

void lint_commas(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    static const char BEFORE[] = "too many spaces before comma";
    if (!IS(v->token, FLOW_ENTRY)) return;
    if (v->prev && c->opt[0] != -1 && v->prev->end.line < v->token->start.line)
        lint_report(l, v->token->start.line + 1, v->token->start.col > 1 ? v->token->start.col : 1, "%s", BEFORE);
    else spaces_before(l, v, -1, c->opt[0], "", BEFORE);
    spaces_after(l, v, c->opt[1], c->opt[2], "too few spaces after comma", "too many spaces after comma");
}

void lint_hyphens(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    if (IS(v->token, BLOCK_ENTRY)) spaces_after(l, v, -1, c->opt[0], "", "too many spaces after hyphen");
}

/* ---- documents ---- */

void lint_document_end(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    const struct yaml_token *t = v->token;
    const int closed = IS(v->prev, DOCUMENT_END) || IS(v->prev, STREAM_START);
    if (!c->opt[0]) {
        if (IS(t, DOCUMENT_END)) lint_report(l, t->start.line + 1, t->start.col + 1, "found forbidden document end \"...\"");
    } else if (IS(t, STREAM_END) && !closed) {
        lint_report(l, t->start.line, 1, "missing document end \"...\"");
    } else if (IS(t, DOCUMENT_START) && !closed) {
        lint_report(l, t->start.line + 1, 1, "missing document end \"...\"");
    }
}

void lint_document_start(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    const struct yaml_token *t = v->token;
    if (!c->opt[0]) {
        if (IS(t, DOCUMENT_START)) lint_report(l, t->start.line + 1, t->start.col + 1, "found forbidden document start \"---\"");
    } else if ((IS(v->prev, STREAM_START) || IS(v->prev, DOCUMENT_END) || IS(v->prev, DIRECTIVE)) && !IS(t, DOCUMENT_START) && !IS(t, DIRECTIVE) && !IS(t, STREAM_END)) {
        lint_report(l, t->start.line + 1, 1, "missing document start \"---\"");
    }
}

/* ---- values ---- */

void lint_empty_values(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    if (!IS(v->token, VALUE)) return;
    if (c->opt[0] && (IS(v->next, KEY) || IS(v->next, BLOCK_END))) lint_report(l, v->token->start.line + 1, v->token->end.col + 1, "empty value in block mapping");
    if (c->opt[1] && (IS(v->next, FLOW_ENTRY) || IS(v->next, FLOW_MAPPING_END)))
        lint_report(l, v->token->start.line + 1, v->token->end.col + 1, "empty value in flow mapping");
}

/* Is the token a plain scalar without a tag? */
static int plain_value(const struct lint_view *v) { return IS(v->token, SCALAR) && !v->token->style && !IS(v->prev, TAG); }
#define VALUE_ARG(v) (int)(v)->token->value.n, (v)->token->value.p

static size_t digits_at(struct sv s, size_t i)
{
    size_t n = 0;
    while (i + n < s.n && s.p[i + n] >= '0' && s.p[i + n] <= '9') n++;
    return n;
}

/* Parts of a decimal number: digits before and behind the point, those of the exponent; 0: it is none. */
static int number_parts(struct sv s, size_t *whole, int *point, size_t *fraction, size_t *exponent)
{
    size_t i = s.n && (s.p[0] == '+' || s.p[0] == '-');
    *whole = digits_at(s, i);
    i += *whole;
    *point = i < s.n && s.p[i] == '.';
    i += (size_t)*point;
    *fraction = *point ? digits_at(s, i) : 0;
    i += *fraction;
    *exponent = 0;
    if (i < s.n && (s.p[i] | 32) == 'e') {
        i++;
        i += i < s.n && (s.p[i] == '+' || s.p[i] == '-');
        *exponent = digits_at(s, i);
        i += *exponent;
        if (!*exponent) return 0;
    }
    return i == s.n && (*whole || *fraction);
}

void lint_float_values(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    if (!plain_value(v)) return;
    const struct sv s = v->token->value;
    const struct sv bare = { s.p + (s.n && (*s.p == '+' || *s.p == '-')), s.n - (s.n && (*s.p == '+' || *s.p == '-')) };
    const int line = v->token->start.line + 1, col = v->token->start.col + 1;
    size_t whole, fraction, exponent;
    int point;
    const int is_number = number_parts(s, &whole, &point, &fraction, &exponent);
    if (c->opt[2] && (sv_eq_c(s, ".nan") || sv_eq_c(s, ".NaN") || sv_eq_c(s, ".NAN"))) lint_report(l, line, col, "forbidden not a number value \"%.*s\"", VALUE_ARG(v));
    if (c->opt[3] && (sv_eq_c(bare, ".inf") || sv_eq_c(bare, ".Inf") || sv_eq_c(bare, ".INF"))) lint_report(l, line, col, "forbidden infinite value \"%.*s\"", VALUE_ARG(v));
    if (c->opt[1] && is_number && exponent) lint_report(l, line, col, "forbidden scientific notation \"%.*s\"", VALUE_ARG(v));
    if (c->opt[0] && is_number && point && !whole) lint_report(l, line, col, "forbidden decimal missing 0 prefix \"%.*s\"", VALUE_ARG(v));
}

void lint_octal_values(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    if (!plain_value(v)) return;
    const struct sv s = v->token->value;
    size_t implicit = 0, other = 0;
    for (size_t i = 0; i < s.n; i++) implicit += s.p[i] >= '0' && s.p[i] <= '7';
    for (size_t i = 2; i < s.n; i++) other += s.p[i] >= '0' && s.p[i] <= '7';
    if (c->opt[0] && s.n > 1 && s.p[0] == '0' && implicit == s.n)
        lint_report(l, v->token->start.line + 1, v->token->end.col + 1, "forbidden implicit octal value \"%.*s\"", VALUE_ARG(v));
    if (c->opt[1] && s.n > 2 && sv_starts(s, "0o") && other == s.n - 2)
        lint_report(l, v->token->start.line + 1, v->token->end.col + 1, "forbidden explicit octal value \"%.*s\"", VALUE_ARG(v));
}

static int among(struct sv s, const char *const *v, int n)
{
    for (int i = 0; i < n; i++)
        if (sv_eq_c(s, v[i])) return 1;
    return 0;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

void lint_truthy(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    static const char *const TRUTHY[] = { "YES", "Yes", "yes", "NO", "No", "no", "TRUE", "True", "true", "FALSE", "False", "false", "ON", "On", "on", "OFF", "Off", "off" };
    if (!plain_value(v) || (!c->opt[1] && IS(v->prev, KEY))) return;
    if (!among(v->token->value, TRUTHY, ARRAY_LEN(TRUTHY)) || among(v->token->value, c->texts[0].v, c->texts[0].n)) return;
    const char *sorted[LINT_MAX_TEXTS];
    char list[512] = "";
    size_t n = 0;
    memcpy(sorted, c->texts[0].v, sizeof sorted);
    qsort(sorted, (size_t)c->texts[0].n, sizeof *sorted, by_text);
    for (int i = 0; i < c->texts[0].n && n < sizeof list - 1; i++) n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", sorted[i]);
    lint_report(l, v->token->start.line + 1, v->token->start.col + 1, "truthy value should be one of [%s]", list);
}

/* ---- quoted strings; options: quote-type, required, extra-required, extra-allowed, allow-quoted-quotes ---- */

/* Would the text be another one without its quotes? */
static int quotes_are_needed(struct sv value)
{
    struct arena a;
    struct yaml_doc d;
    struct sb b;
    int needed = 1;
    sb_init(&b, value.n + 16);
    sb_addc(&b, "key: ");
    sb_add(&b, value);
    arena_init(&a, (value.n + 4096) * 8);
    if (!b.failed && !yaml_doc_open(&d, (struct sv){ b.p, b.n }, &a, YAML_TOKENS)) {
        if (d.n_token > 6 && d.token[5].kind == YAML_SCALAR && !d.token[5].style && d.token[6].kind == YAML_BLOCK_END) needed = !sv_eq(d.token[5].value, value);
        yaml_doc_close(&d);
    }
    arena_release(&a);
    sb_release(&b);
    return needed;
}

/* Does one of the expressions occur in the text? */
static int finds(const struct lint_texts *t, struct sv value)
{
    struct sb b;
    int found = 0;
    if (!t->n) return 0;
    sb_init(&b, value.n + 1);
    sb_add(&b, value);
    for (int i = 0; !found && i < t->n; i++) {
        regex_t re;
        if (regcomp(&re, t->v[i], REG_EXTENDED | REG_NOSUB)) continue; /* refused when the rules were read */
        found = !regexec(&re, b.p ? b.p : "", 0, NULL, 0);
        regfree(&re);
    }
    sb_release(&b);
    return found;
}

void lint_quoted_strings(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    static const char *const QUOTES[] = { "any", "single", "double" };
    const struct yaml_token *t = v->token;
    if (!IS(t, SCALAR) || !(IS(v->prev, BLOCK_ENTRY) || IS(v->prev, FLOW_ENTRY) || IS(v->prev, FLOW_SEQUENCE_START) || IS(v->prev, TAG) || IS(v->prev, VALUE))) return;
    if (IS(v->prev, TAG) && sv_eq_c(v->prev->handle, "!!")) return;
    const struct sv s = t->value;
    const int octal = s.n > 2 && strspn(s.p + (*s.p == '+' || *s.p == '-'), "0o12345678_") >= s.n - (*s.p == '+' || *s.p == '-') && memchr(s.p, 'o', 3 < s.n ? 3 : s.n);
    const int is_text = yaml_resolve(s) == YAML_STR && !sv_eq_c(s, "=") && !sv_eq_c(s, "<<") && !sv_eq_c(s, "!") && !sv_eq_c(s, "&") && !sv_eq_c(s, "*") && !octal;
    if ((!t->style && !is_text) || t->style == '|' || t->style == '>') return;
    const int type = c->opt[0] - WORD_BASE, required = c->opt[1];
    const int matches = type == 0 || (type == 1 && t->style == '\'') || (type == 2 && t->style == '"');
    const int has_other = t->style && memchr(s.p, t->style == '\'' ? '"' : '\'', s.n) != NULL;
    const int fits = matches || (c->opt[4] && has_other);
    const int line = t->start.line + 1, col = t->start.col + 1;
    if (required == 1) {
        if (!t->style || !fits) lint_report(l, line, col, "string value is not quoted with %s quotes", QUOTES[type]);
    } else if (required == 0) {
        if (t->style && !fits) lint_report(l, line, col, "string value is not quoted with %s quotes", QUOTES[type]);
        else if (!t->style && finds(&c->texts[0], s)) lint_report(l, line, col, "string value is not quoted");
    } else if (t->style && is_text && s.n && !quotes_are_needed(s)) {
        if (!finds(&c->texts[0], s) && !finds(&c->texts[1], s)) lint_report(l, line, col, "string value is redundantly quoted with %s quotes", QUOTES[type]);
    } else if (t->style && !fits) {
        lint_report(l, line, col, "string value is not quoted with %s quotes", QUOTES[type]);
    } else if (!t->style && finds(&c->texts[0], s)) {
        lint_report(l, line, col, "string value is not quoted");
    }
}

/* ---- keys ---- */

/* Follows the collections; returns the one that a key belongs to when it is a mapping, else NULL. */
static struct collection *track(struct lint *l, int which, const struct lint_view *v)
{
    const struct yaml_token *t = v->token;
    const int map = IS(t, BLOCK_MAPPING_START) || IS(t, FLOW_MAPPING_START), seq = IS(t, BLOCK_SEQUENCE_START) || IS(t, FLOW_SEQUENCE_START);
    if (map || seq) {
        if (mem_grow((void **)&l->open[which], &l->cap_open[which], l->n_open[which] + 1, sizeof *l->open[which])) l->failed = 1;
        else l->open[which][l->n_open[which]++] = (struct collection){ .is_map = map, .id = ++l->next_id };
    } else if (IS(t, BLOCK_END) || IS(t, FLOW_MAPPING_END) || IS(t, FLOW_SEQUENCE_END)) {
        if (l->n_open[which]) l->n_open[which]--;
    } else if (IS(t, KEY) && IS(v->next, SCALAR) && l->n_open[which] && l->open[which][l->n_open[which] - 1].is_map) {
        return &l->open[which][l->n_open[which] - 1];
    }
    return NULL;
}

static int put_key(struct lint *l, int id, struct sv text); /* 1: it was there */

static int grow_slots(struct lint *l)
{
    struct key_slot *old = l->slot;
    const size_t n_old = l->cap_slot;
    l->cap_slot = n_old ? 2 * n_old : 64;
    if (!(l->slot = mem_calloc(l->cap_slot, sizeof *l->slot))) {
        l->slot = old;
        l->cap_slot = n_old;
        return l->failed = 1;
    }
    l->n_slot = 0;
    for (size_t i = 0; i < n_old; i++)
        if (old[i].id) put_key(l, old[i].id, old[i].text);
    mem_free(old);
    return 0;
}

static int put_key(struct lint *l, int id, struct sv text)
{
    if (2 * l->n_slot >= l->cap_slot && grow_slots(l)) return 0;
    const uint64_t hash = hash64(text.p, text.n, (uint64_t)id);
    size_t at = hash & (l->cap_slot - 1);
    for (; l->slot[at].id; at = (at + 1) & (l->cap_slot - 1))
        if (l->slot[at].hash == hash && l->slot[at].id == id && sv_eq(l->slot[at].text, text)) return 1;
    l->slot[at] = (struct key_slot){ hash, id, text };
    l->n_slot++;
    return 0;
}

void lint_key_duplicates(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    (void)c;
    const struct collection *m = track(l, 0, v);
    if (!m) return;
    const struct sv key = v->next->value;
    if (put_key(l, m->id, key) && !sv_eq_c(key, "<<"))
        lint_report(l, v->next->start.line + 1, v->next->start.col + 1, "duplication of key \"%.*s\" in mapping", (int)key.n, key.p);
}

void lint_key_ordering(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    (void)c;
    struct collection *m = track(l, 1, v);
    if (!m) return;
    const struct sv key = v->next->value, last = m->last;
    const size_t n = key.n < last.n ? key.n : last.n;
    const int order = last.p ? memcmp(key.p, last.p, n) : 1;
    if (last.p && (order < 0 || (!order && key.n < last.n)))
        lint_report(l, v->next->start.line + 1, v->next->start.col + 1, "wrong ordering of key \"%.*s\" in mapping", (int)key.n, key.p);
    else m->last = key;
}

/* ---- anchors (yamllint 1.30 and later); options: forbid undeclared aliases, duplicated anchors, unused anchors (the last is left to the reader) ---- */

void lint_anchors(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    enum { ANCHORS = -1 };
    const struct yaml_token *t = v->token;
    if (IS(t, ANCHOR) && put_key(l, ANCHORS, t->value) && c->opt[1]) lint_report(l, t->start.line + 1, t->start.col + 1, "found duplicated anchor \"%.*s\"", (int)t->value.n, t->value.p);
    if (!IS(t, ALIAS) || !c->opt[0]) return;
    const size_t before = l->n_slot;
    if (!put_key(l, ANCHORS, t->value) && l->n_slot > before) lint_report(l, t->start.line + 1, t->start.col + 1, "found undeclared alias \"%.*s\"", (int)t->value.n, t->value.p);
}

/* ---- comments ---- */

void lint_comments(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    const struct comment *m = v->comment;
    const struct yaml_token *b = m->before;
    const int is_inline = b->kind != YAML_STREAM_START && m->line == b->end.line + 1 && byte_before(l, b->end.at) != '\n';
    if (c->opt[2] != -1 && is_inline && m->col - 1 - b->end.col < c->opt[2]) lint_report(l, m->line, m->col, "too few spaces before comment");
    if (!c->opt[0]) return;
    size_t at = m->at + 1;
    while (l->text.p[at] == '#') at++;
    if (at > l->text.n || (c->opt[1] && m->line == 1 && m->col == 1 && l->text.p[at] == '!')) return;
    if (l->text.p[at] && !strchr(" \n\r", l->text.p[at])) lint_report(l, m->line, m->col + (int)(at - m->at), "missing starting space in comment");
}

void lint_comments_indentation(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    (void)c;
    const struct comment *m = v->comment;
    const int first = m->before->kind == YAML_STREAM_START;
    if (!first && m->before->end.line + 1 == m->line) return;
    const int next = !m->after || m->after->kind == YAML_STREAM_END ? 0 : m->after->start.col;
    int prev = 0;
    if (!first) {
        size_t start = m->before->start.at;
        while (start && l->text.p[start - 1] != '\n') start--;
        while (l->text.p[start + (size_t)prev] == ' ') prev++;
    }
    if (prev < next) prev = next;
    if (m->has_before && !m->before_inline) prev = m->before_col - 1;
    if (m->col - 1 != prev && m->col - 1 != next) lint_report(l, m->line, m->col, "comment not indented like content");
}
