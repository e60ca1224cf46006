/* lint_indent.c — the style rule `indentation`: is every line as deep as its siblings, and one step deeper than its parent?
 *
 * A stack of parents says how deep the next token of a new line must stand. The step is a number or found out from the first
 * line that is deeper (`consistent`); whether sequences below a key are indented, likewise. Where a document is broken so
 * that the stack means nothing, the rule says so and goes on, as yamllint does.
 * Options: spaces, indent-sequences, check-multi-line-strings.  SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/lint.h"

#include <string.h>

enum { UNKNOWN = -2 /* spaces: not found out yet */, WHATEVER = 2, CONSISTENT = 3 /* sequences, beside 0 and 1 */ };

#define IS(t, name) ((t) && (t)->kind == YAML_##name)
static struct parent *top(struct lint *l) { return &l->stack[l->n_stack - 1]; }
static void pop(struct lint *l) { if (l->n_stack > 1) l->n_stack--; }

static void push(struct lint *l, enum parent_kind kind, int indent, int line_indent)
{
    if (mem_grow((void **)&l->stack, &l->cap_stack, l->n_stack + 1, sizeof *l->stack)) l->failed = 1;
    else l->stack[l->n_stack++] = (struct parent){ .kind = kind, .indent = indent, .line_indent = line_indent };
}

static int deeper(struct lint *l, int base, int found)
{
    if (l->spaces == UNKNOWN) l->spaces = found - base;
    return base + l->spaces;
}

static int is_explicit(const struct lint *l, const struct yaml_token *t) { return t->start.at < t->end.at && l->text.p[t->start.at] == '?'; }

/* The line on which the token's text really ends: a scalar's mark may stand behind blank lines. */
static int last_line(const struct lint *l, const struct yaml_token *t)
{
    int line = t->end.line + 1;
    if (t->kind != YAML_SCALAR) return line;
    for (size_t at = t->end.at; at > 0 && at >= t->start.at && l->text.p[at - 1] && strchr(" \t\n\r\v\f", l->text.p[at - 1]); at--) line -= l->text.p[at - 1] == '\n';
    return line;
}

/* How deep the lines of a scalar must stand; -1: the stack means nothing. */
static int scalar_indent(struct lint *l, const struct yaml_token *t, int found)
{
    const struct parent *p = top(l);
    if (!t->style) return t->start.col;
    if (t->style == '"' || t->style == '\'') return t->start.col + 1;
    if (p->kind == P_ENTRY || p->kind == P_KEY) return deeper(l, t->start.col, found);
    if (p->kind != P_VALUE || t->start.line + 1 > l->cur_line) return deeper(l, p->indent, found);
    if (l->n_stack < 2) return -1;
    return deeper(l, p[-1].explicit_key ? t->start.col : p[-1].indent, found);
}

static void check_scalar(struct lint *l, const struct yaml_token *t)
{
    int expected = -1, line = t->start.line + 1;
    if (t->start.line == t->end.line) return;
    for (size_t at = t->start.at; t->end.at;) {
        const char *nl = at < t->end.at - 1 ? memchr(l->text.p + at, '\n', t->end.at - 1 - at) : NULL;
        if (!nl) return;
        at = (size_t)(nl - l->text.p) + 1;
        line++;
        int indent = 0;
        while (l->text.p[at + (size_t)indent] == ' ') indent++;
        if (l->text.p[at + (size_t)indent] == '\n') continue;
        if (expected < 0) expected = scalar_indent(l, t, indent);
        if (indent != expected) lint_report(l, line, indent + 1, "wrong indentation: expected %d but found %d", expected, indent);
    }
}

/* The first token of a line against the stack. */
static void check_line(struct lint *l, const struct yaml_token *t)
{
    const int found = t->start.col;
    int expected = top(l)->indent;
    if (IS(t, FLOW_MAPPING_END) || IS(t, FLOW_SEQUENCE_END)) expected = top(l)->line_indent;
    else if (top(l)->kind == P_KEY && top(l)->explicit_key && !IS(t, VALUE)) expected = deeper(l, expected, found);
    if (found == expected) return;
    if (expected < 0) lint_report(l, t->start.line + 1, found + 1, "wrong indentation: expected at least %d", found + 1);
    else lint_report(l, t->start.line + 1, found + 1, "wrong indentation: expected %d but found %d", expected, found);
}

static void open_flow(struct lint *l, enum parent_kind kind, const struct lint_view *v)
{
    const int same = v->next && v->next->start.line == v->token->start.line, col = v->next ? v->next->start.col : 0;
    push(l, kind, same ? col : deeper(l, l->cur_line_indent, col), l->cur_line_indent);
}

static void open_entry(struct lint *l, const struct lint_view *v)
{
    const struct yaml_token *t = v->token, *next = v->next;
    if (top(l)->kind != P_BLOCK_SEQ) { /* a sequence at its key's own depth has no start of its own */
        push(l, P_BLOCK_SEQ, t->start.col, 0);
        top(l)->implicit = 1;
    }
    const int close = next->start.line == t->end.line || next->start.col == t->start.col;
    push(l, P_ENTRY, close ? next->start.col : deeper(l, t->start.col, next->start.col), 0);
}

static int sequence_indent(struct lint *l, const struct yaml_token *next)
{
    const int base = top(l)->indent;
    if (l->sequences == 0) return base;
    if (l->sequences == 1) /* unknown (-1) while the step is unknown and the sequence is not indented */
        return l->spaces == UNKNOWN && next->start.col == base ? -1 : deeper(l, base, next->start.col);
    const int indented = next->start.col != base;
    if (l->sequences == CONSISTENT) l->sequences = indented;
    return indented ? deeper(l, base, next->start.col) : base;
}

static void open_value(struct lint *l, const struct lint_view *v)
{
    const struct yaml_token *next = v->next;
    const int key_line = v->prev ? v->prev->start.line : -1;
    if ((IS(next, ANCHOR) || IS(next, TAG)) && next->start.line == key_line && v->next2 && next->start.line < v->next2->start.line) next = v->next2;
    if (!next || IS(next, BLOCK_END) || IS(next, FLOW_MAPPING_END) || IS(next, FLOW_SEQUENCE_END) || IS(next, KEY)) return;
    int indent;
    if (top(l)->explicit_key) indent = deeper(l, top(l)->indent, next->start.col);
    else if (next->start.line == key_line) indent = next->start.col;
    else if (IS(next, BLOCK_SEQUENCE_START) || IS(next, BLOCK_ENTRY)) indent = sequence_indent(l, next);
    else indent = deeper(l, top(l)->indent, next->start.col);
    push(l, P_VALUE, indent, 0);
}

/* What this token opens; 0: it cannot stand here. */
static int open_parent(struct lint *l, const struct lint_view *v)
{
    const struct yaml_token *t = v->token, *next = v->next;
    if (IS(t, BLOCK_MAPPING_START)) {
        if (!IS(next, KEY) || next->start.line != t->start.line) return 0;
        push(l, P_BLOCK_MAP, t->start.col, 0);
    } else if (IS(t, FLOW_MAPPING_START)) {
        open_flow(l, P_FLOW_MAP, v);
    } else if (IS(t, BLOCK_SEQUENCE_START)) {
        if (!IS(next, BLOCK_ENTRY) || next->start.line != t->start.line) return 0;
        push(l, P_BLOCK_SEQ, t->start.col, 0);
    } else if (IS(t, BLOCK_ENTRY) && next && !IS(next, BLOCK_ENTRY) && !IS(next, BLOCK_END)) {
        open_entry(l, v);
    } else if (IS(t, FLOW_SEQUENCE_START)) {
        open_flow(l, P_FLOW_SEQ, v);
    } else if (IS(t, KEY)) {
        push(l, P_KEY, top(l)->indent, 0);
        top(l)->explicit_key = is_explicit(l, t);
    } else if (IS(t, VALUE)) {
        if (top(l)->kind != P_KEY) return 0;
        open_value(l, v);
    }
    return 1;
}

/* What ends with this token; 0: the stack means nothing. */
static int close_parents(struct lint *l, const struct lint_view *v)
{
    const struct yaml_token *t = v->token, *next = v->next;
    const int property = IS(t, ANCHOR) || IS(t, TAG);
    for (int used = 0; l->n_stack > 1;) {
        const struct parent *p = top(l);
        const int ends = (p->kind == P_FLOW_SEQ && IS(t, FLOW_SEQUENCE_END)) || (p->kind == P_FLOW_MAP && IS(t, FLOW_MAPPING_END)) ||
                         ((p->kind == P_BLOCK_MAP || p->kind == P_BLOCK_SEQ) && IS(t, BLOCK_END) && !p->implicit);
        if (ends && !used) {
            pop(l);
            used = 1;
        } else if (p->kind == P_ENTRY && !IS(t, BLOCK_ENTRY) && p[-1].implicit && !property && !IS(next, BLOCK_ENTRY)) {
            pop(l);
            pop(l);
        } else if (p->kind == P_ENTRY && (IS(next, BLOCK_ENTRY) || IS(next, BLOCK_END))) {
            pop(l);
        } else if (p->kind == P_VALUE && !IS(t, VALUE) && !property) {
            if (p[-1].kind != P_KEY) return 0;
            pop(l);
            pop(l);
        } else if (p->kind == P_KEY && (IS(next, BLOCK_END) || IS(next, FLOW_MAPPING_END) || IS(next, FLOW_SEQUENCE_END) || IS(next, KEY))) {
            pop(l); /* a key without a value: part of a set */
        } else {
            return 1;
        }
    }
    return 1;
}

void lint_indentation(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    const struct yaml_token *t = v->token;
    if (!l->n_stack) {
        push(l, P_ROOT, 0, 0);
        if (l->failed) return;
        l->cur_line = -1;
        l->spaces = c->opt[0] < 0 ? UNKNOWN : c->opt[0];
        l->sequences = c->opt[1] == WORD_BASE ? WHATEVER : c->opt[1] == WORD_BASE + 1 ? CONSISTENT : c->opt[1];
    }
    const int visible = !IS(t, STREAM_START) && !IS(t, STREAM_END) && !IS(t, BLOCK_END) && !(IS(t, SCALAR) && !t->value.n);
    const int first = visible && t->start.line + 1 > l->cur_line;
    if (first) check_line(l, t);
    if (IS(t, SCALAR) && c->opt[2]) check_scalar(l, t);
    if (visible) l->cur_line = last_line(l, t);
    if (first) l->cur_line_indent = t->start.col;
    if (!open_parent(l, v) || !close_parents(l, v)) lint_report(l, t->start.line + 1, t->start.col + 1, "cannot infer indentation: unexpected token");
}
