/* yaml_scan.c — cuts YAML 1.1 into tokens with marks.
 *
 * Reads the language as PyYAML does, because that is what the reference and yamllint judge files by: no tab outside of
 * quotes, block scalars and comments; a simple key is one line and at most 1024 characters long; what a token is may depend
 * on a ':' that comes later, so a token is handed out only when no possible key begins at it. Production names and their
 * numbers in brackets are those of the YAML 1.1 specification (yaml.org/spec/1.1).
 * Tokens are numbered from the start and stay where they are until the scanner is closed.
 * What it does not do: any other encoding than UTF-8.  SPDX-License-Identifier: Apache-2.0 */
#include "text/yaml_scan.h"

#include <string.h>

/* ---- problems ---- */

/* A character as Python's repr shows it. */
const char *yaml_scan_shown(const char *p, char out[16])
{
    size_t i = 0;
    const int32_t cp = *p ? utf8_next((struct sv){ p, strnlen(p, 4) }, &i) : 0;
    const char *cat = cp > 0x7F ? utf8_category(cp) : "L";
    if (cp == '\t' || cp == '\n' || cp == '\r' || cp == '\\') snprintf(out, 16, "'\\%c'", cp == '\t' ? 't' : cp == '\n' ? 'n' : cp == '\r' ? 'r' : '\\');
    else if (cp == '\'') snprintf(out, 16, "\"'\"");
    else if (cp < 0x20 || cp == 0x7F || (cp > 0x7F && cp <= 0xFF && (cat[0] == 'C' || cat[0] == 'Z'))) snprintf(out, 16, "'\\x%02x'", (unsigned)cp);
    else if (cat[0] == 'C' || cat[0] == 'Z') snprintf(out, 16, cp > 0xFFFF ? "'\\U%08x'" : "'\\u%04x'", (unsigned)cp);
    else snprintf(out, 16, "'%.*s'", (int)i, p);
    return out;
}

int yaml_scan_problem(struct yaml_scanner *s, const char *context, const struct yaml_mark *from, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->problem->text, sizeof s->problem->text, fmt, ap);
    va_end(ap);
    s->problem->code = ILAB_E_FORMAT;
    s->problem->by = YAML_BY_SCANNER;
    s->problem->at = HERE(s);
    s->problem->context = context;
    if (from) s->problem->from = *from, s->problem->has_from = 1;
    return ILAB_E_FORMAT;
}
static int unexpected(struct yaml_scanner *s, const char *context, const struct yaml_mark *from, const char *wanted)
{
    char c[16];
    return yaml_scan_problem(s, context, from, "expected %s, but found %s", wanted, yaml_scan_shown(s->p, c));
}
static int limit(struct yaml_scanner *s, const char *what, int max)
{
    yaml_scan_problem(s, NULL, NULL, "more than %d %s", max, what);
    return s->problem->code = ILAB_E_LIMIT;
}
static int no_memory(struct yaml_scanner *s)
{
    yaml_scan_problem(s, NULL, NULL, "no memory for the YAML");
    return s->problem->code = ILAB_E_NOMEM;
}

/* ---- tokens ---- */

static int put(struct yaml_scanner *s, size_t at, enum yaml_token_kind kind, struct yaml_mark start, struct yaml_mark end)
{
    if (s->n >= MAX_TOKENS) return limit(s, "YAML tokens", MAX_TOKENS);
    if (mem_grow((void **)&s->token, &s->cap, s->n + 1, sizeof *s->token)) return no_memory(s);
    memmove(s->token + at + 1, s->token + at, (s->n - at) * sizeof *s->token);
    s->token[at] = (struct yaml_token){ .kind = kind, .start = start, .end = end };
    s->n++;
    return 0;
}
static int add(struct yaml_scanner *s, enum yaml_token_kind kind, struct yaml_mark start) { return put(s, s->n, kind, start, HERE(s)); }
int yaml_scan_add(struct yaml_scanner *s, enum yaml_token_kind kind, char style, struct yaml_mark start, struct yaml_mark end, struct sv value)
{
    const int rc = put(s, s->n, kind, start, end);
    if (!rc) s->token[s->n - 1].style = style, s->token[s->n - 1].value = value;
    return rc;
}

/* The text that was put together, into the arena. */
int yaml_scan_settle(struct yaml_scanner *s, struct sv *out)
{
    const char *p = s->value.failed || s->space.failed ? NULL : arena_strndup(s->a, s->value.p ? s->value.p : "", s->value.n);
    *out = (struct sv){ p, s->value.n };
    return p ? 0 : no_memory(s);
}

/* An indicator of n characters. */
static int indicator(struct yaml_scanner *s, enum yaml_token_kind kind, int n)
{
    const struct yaml_mark start = HERE(s);
    go(s, n);
    return add(s, kind, start);
}

/* ---- keys and indentation ---- */

static struct possible_key *key_here(struct yaml_scanner *s) { return &s->key[s->flow + MAX_FLOW]; }

static int drop_key(struct yaml_scanner *s, struct possible_key *k)
{
    if (k->is && k->required) return yaml_scan_problem(s, "while scanning a simple key", &k->at, "could not find expected ':'");
    k->is = 0;
    return 0;
}

/* Keys that cannot be keys any more: of an earlier line, or too long. */
static int drop_stale(struct yaml_scanner *s)
{
    int rc = 0;
    const int lo = s->flow < 0 ? s->flow : 0, hi = s->flow < 0 ? 0 : s->flow;
    for (int i = lo; !rc && i <= hi; i++) {
        struct possible_key *k = &s->key[i + MAX_FLOW];
        if (k->is && (k->at.line != s->line || s->index - k->at.index > MAX_KEY_LENGTH)) rc = drop_key(s, k);
    }
    return rc;
}

static int remember_key(struct yaml_scanner *s)
{
    const int required = !s->flow && s->indent == s->col;
    if (!s->may_be_key) return 0;
    const int rc = drop_key(s, key_here(s));
    if (!rc) *key_here(s) = (struct possible_key){ 1, required, s->n, HERE(s) };
    return rc;
}

static int unwind(struct yaml_scanner *s, int col)
{
    int rc = 0;
    while (!s->flow && !rc && s->indent > col) {
        s->indent = s->indents[--s->n_indent];
        rc = add(s, YAML_BLOCK_END, HERE(s));
    }
    return rc;
}

/* Opens a block collection at this column, if it is deeper; its token goes to place `at`. */
static int indent_to(struct yaml_scanner *s, int col, enum yaml_token_kind kind, size_t at, struct yaml_mark m)
{
    if (s->indent >= col) return 0;
    if (s->n_indent >= MAX_INDENTS) return limit(s, "levels of indentation", MAX_INDENTS);
    s->indents[s->n_indent++] = s->indent;
    s->indent = col;
    return put(s, at, kind, m, m);
}

/* ---- directives, tags, anchors ---- */

int yaml_scan_rest_of_line(struct yaml_scanner *s, const char *context, struct yaml_mark start)
{
    skip_spaces(s);
    if (*s->p == '#') skip_to_line_end(s);
    if (!ends_line(s->p)) return unexpected(s, context, &start, "a comment or a line break");
    over_break(s, NULL);
    return 0;
}

static int tag_handle(struct yaml_scanner *s, const char *context, struct yaml_mark start, struct sv *out) /* [85] */
{
    const char *q = s->p;
    if (*q != '!') return unexpected(s, context, &start, "'!'");
    if (*++q != ' ') {
        while (is_name(*q)) q++;
        if (*q != '!') {
            go_to(s, q);
            return unexpected(s, context, &start, "'!'");
        }
        q++;
    }
    *out = (struct sv){ s->p, (size_t)(q - s->p) };
    go_to(s, q);
    return 0;
}

static int tag_uri(struct yaml_scanner *s, int of_directive, struct yaml_mark start, struct sv *out) /* [28] */
{
    sb_reset(&s->value);
    while (is_name(*s->p) || is_among(*s->p, ";/?:@&=+$,.!~*'()[]%")) {
        if (*s->p != '%') {
            sb_addch(&s->value, *s->p);
            go(s, 1);
            continue;
        }
        const size_t from = s->value.n;
        while (*s->p == '%') {
            go(s, 1);
            if (!is_hex(s->p[0]) || !is_hex(s->p[1])) return unexpected(s, "while scanning a tag", &start, "URI escape sequence of 2 hexadecimal numbers");
            sb_addch(&s->value, (char)hex_of(s->p, 2));
            go(s, 2);
        }
        if (!s->value.failed && !utf8_valid((struct sv){ s->value.p + from, s->value.n - from }, NULL))
            return yaml_scan_problem(s, "while scanning a tag", &start, "'utf-8' codec can't decode the URI's escapes");
    }
    if (!s->value.n) return unexpected(s, of_directive ? "while parsing a directive" : "while parsing a tag", &start, "URI");
    return yaml_scan_settle(s, out);
}

static int digit_run(struct yaml_scanner *s, struct yaml_mark start, struct sv *out)
{
    const char *q = s->p;
    while (*q >= '0' && *q <= '9') q++;
    if (q == s->p) return unexpected(s, "while scanning a directive", &start, "a digit");
    *out = (struct sv){ s->p, (size_t)(q - s->p) };
    go_to(s, q);
    return 0;
}

/* %YAML: value is the major version; %TAG: handle and value. */
static int directive(struct yaml_scanner *s)
{
    static const char DIRECTIVE[] = "while scanning a directive";
    const struct yaml_mark start = HERE(s);
    struct sv name, handle = { 0 }, value = { 0 }, minor;
    const char *q = s->p + 1;
    int rc = 0;
    go(s, 1);
    while (is_name(*q)) q++;
    name = (struct sv){ s->p, (size_t)(q - s->p) };
    if (name.n) go_to(s, q);
    if (!name.n || (*s->p != ' ' && !ends_line(s->p))) return unexpected(s, DIRECTIVE, &start, "alphabetic or numeric character");
    if (sv_eq_c(name, "YAML")) {
        skip_spaces(s);
        if ((rc = digit_run(s, start, &value))) return rc;
        if (*s->p != '.') return unexpected(s, DIRECTIVE, &start, "a digit or '.'");
        go(s, 1);
        if ((rc = digit_run(s, start, &minor))) return rc;
        if (*s->p != ' ' && !ends_line(s->p)) return unexpected(s, DIRECTIVE, &start, "a digit or ' '");
    } else if (sv_eq_c(name, "TAG")) {
        skip_spaces(s);
        if ((rc = tag_handle(s, DIRECTIVE, start, &handle))) return rc;
        if (*s->p != ' ') return unexpected(s, DIRECTIVE, &start, "' '");
        skip_spaces(s);
        if ((rc = tag_uri(s, 1, start, &value))) return rc;
        if (*s->p != ' ' && !ends_line(s->p)) return unexpected(s, DIRECTIVE, &start, "' '");
    }
    const struct yaml_mark end = HERE(s);
    if (!value.p) skip_to_line_end(s);
    if ((rc = yaml_scan_rest_of_line(s, DIRECTIVE, start)) || (rc = put(s, s->n, YAML_DIRECTIVE, start, end))) return rc;
    s->token[s->n - 1].handle = handle;
    s->token[s->n - 1].value = value;
    return 0;
}

static int anchor(struct yaml_scanner *s, enum yaml_token_kind kind)
{
    const char *context = kind == YAML_ALIAS ? "while scanning an alias" : "while scanning an anchor";
    const struct yaml_mark start = HERE(s);
    const char *q = s->p + 1;
    go(s, 1);
    while (is_name(*q)) q++;
    const struct sv name = { s->p, (size_t)(q - s->p) };
    if (name.n) go_to(s, q);
    if (!name.n || !(ends_word(s->p) || is_among(*s->p, "?:,]}%@`"))) return unexpected(s, context, &start, "alphabetic or numeric character");
    return yaml_scan_add(s, kind, 0, start, HERE(s), name);
}

static int tag(struct yaml_scanner *s)
{
    const struct yaml_mark start = HERE(s);
    struct sv handle = { 0 }, value = SV("!");
    int rc = 0;
    if (s->p[1] == '<') {
        go(s, 2);
        if ((rc = tag_uri(s, 0, start, &value))) return rc;
        if (*s->p != '>') return unexpected(s, "while parsing a tag", &start, "'>'");
        go(s, 1);
    } else if (ends_word(s->p + 1)) {
        go(s, 1);
    } else {
        const char *q = s->p + 1;
        while (*q != ' ' && *q != '!' && !ends_line(q)) q++;
        handle = SV("!");
        if (*q == '!') rc = tag_handle(s, "while scanning a tag", start, &handle);
        else go(s, 1);
        if (rc || (rc = tag_uri(s, 0, start, &value))) return rc;
    }
    if (*s->p != ' ' && !ends_line(s->p)) return unexpected(s, "while scanning a tag", &start, "' '");
    if ((rc = yaml_scan_add(s, YAML_TAG, 0, start, HERE(s), value))) return rc;
    s->token[s->n - 1].handle = handle;
    return 0;
}

/* ---- the next token ---- */

static int open_flow(struct yaml_scanner *s, enum yaml_token_kind kind)
{
    const int rc = remember_key(s);
    if (rc) return rc;
    if (s->flow >= MAX_FLOW - 1) return limit(s, "levels of [ and {", MAX_FLOW);
    s->flow++;
    key_here(s)->is = 0;
    s->may_be_key = 1;
    return indicator(s, kind, 1);
}

static int close_flow(struct yaml_scanner *s, enum yaml_token_kind kind)
{
    const int rc = drop_key(s, key_here(s));
    if (rc) return rc;
    if (s->flow <= -(MAX_FLOW - 1)) return limit(s, "surplus ] and }", MAX_FLOW);
    s->flow--;
    s->may_be_key = 0;
    return indicator(s, kind, 1);
}

/* `-`, `?`: an entry or a key that is announced. */
static int announced(struct yaml_scanner *s, enum yaml_token_kind kind)
{
    const int is_key = kind == YAML_KEY;
    int rc = 0;
    if (!s->flow) {
        if (!s->may_be_key) return yaml_scan_problem(s, NULL, NULL, "%s are not allowed here", is_key ? "mapping keys" : "sequence entries");
        rc = indent_to(s, s->col, is_key ? YAML_BLOCK_MAPPING_START : YAML_BLOCK_SEQUENCE_START, s->n, HERE(s));
    }
    if (rc) return rc;
    s->may_be_key = !is_key || !s->flow;
    rc = drop_key(s, key_here(s));
    return rc ? rc : indicator(s, kind, 1);
}

static int value(struct yaml_scanner *s)
{
    struct possible_key *k = key_here(s);
    int rc = 0;
    if (k->is) {
        const struct possible_key key = *k;
        k->is = 0;
        rc = put(s, key.token, YAML_KEY, key.at, key.at);
        if (!rc && !s->flow) rc = indent_to(s, key.at.col, YAML_BLOCK_MAPPING_START, key.token, key.at);
        s->may_be_key = 0;
    } else {
        if (!s->flow) {
            if (!s->may_be_key) return yaml_scan_problem(s, NULL, NULL, "mapping values are not allowed here");
            rc = indent_to(s, s->col, YAML_BLOCK_MAPPING_START, s->n, HERE(s));
        }
        s->may_be_key = !s->flow;
    }
    return rc ? rc : indicator(s, YAML_VALUE, 1);
}

static int document_mark(struct yaml_scanner *s, enum yaml_token_kind kind)
{
    int rc = unwind(s, -1);
    if (!rc) rc = drop_key(s, key_here(s));
    s->may_be_key = 0;
    if (rc) return rc;
    return kind == YAML_DIRECTIVE ? directive(s) : indicator(s, kind, 3);
}

static int stream_end(struct yaml_scanner *s)
{
    int rc = unwind(s, -1);
    if (!rc) rc = drop_key(s, key_here(s));
    if (rc) return rc;
    for (size_t i = 0; i < ARRAY_LEN(s->key); i++) s->key[i].is = 0;
    s->done = 1;
    return add(s, YAML_STREAM_END, HERE(s));
}

static int starts_plain(const struct yaml_scanner *s)
{
    if (!ends_word(s->p) && !is_among(*s->p, "-?:,[]{}#&*!|>'\"%@`")) return 1;
    return !ends_word(s->p + 1) && (*s->p == '-' || (!s->flow && (*s->p == '?' || *s->p == ':')));
}

static int text_token(struct yaml_scanner *s)
{
    const char c = *s->p;
    char text[16];
    int rc = 0;
    if ((c == '|' || c == '>') && !s->flow) {
        s->may_be_key = 1;
        rc = drop_key(s, key_here(s));
        return rc ? rc : yaml_scan_block(s, c);
    }
    if (!is_among(c, "*&!'\"") && !starts_plain(s)) return yaml_scan_problem(s, "while scanning for the next token", NULL, "found character %s that cannot start any token", yaml_scan_shown(s->p, text));
    if ((rc = remember_key(s))) return rc;
    s->may_be_key = 0;
    switch (c) {
    case '*': return anchor(s, YAML_ALIAS);
    case '&': return anchor(s, YAML_ANCHOR);
    case '!': return tag(s);
    case '\'': case '"': return yaml_scan_quoted(s, c);
    default: return yaml_scan_plain(s);
    }
}

static void to_next_token(struct yaml_scanner *s)
{
    if (!s->index && !strncmp(s->p, "\xEF\xBB\xBF", 3)) go(s, 3);
    for (;;) {
        skip_spaces(s);
        if (*s->p == '#') skip_to_line_end(s);
        if (!over_break(s, NULL)) return;
        if (!s->flow) s->may_be_key = 1;
    }
}

static int more(struct yaml_scanner *s)
{
    to_next_token(s);
    int rc = drop_stale(s);
    if (!rc) rc = unwind(s, s->col);
    if (rc) return rc;
    const char c = *s->p;
    const int word = ends_word(s->p + (c ? 1 : 0));
    if (!c) return stream_end(s);
    if (!s->col && c == '%') return document_mark(s, YAML_DIRECTIVE);
    if (!s->col && is_separator(s->p)) return document_mark(s, c == '-' ? YAML_DOCUMENT_START : YAML_DOCUMENT_END);
    switch (c) {
    case '[': return open_flow(s, YAML_FLOW_SEQUENCE_START);
    case '{': return open_flow(s, YAML_FLOW_MAPPING_START);
    case ']': return close_flow(s, YAML_FLOW_SEQUENCE_END);
    case '}': return close_flow(s, YAML_FLOW_MAPPING_END);
    case ',':
        s->may_be_key = 1;
        rc = drop_key(s, key_here(s));
        return rc ? rc : indicator(s, YAML_FLOW_ENTRY, 1);
    case '-': return word ? announced(s, YAML_BLOCK_ENTRY) : text_token(s);
    case '?': return word || s->flow ? announced(s, YAML_KEY) : text_token(s);
    case ':': return word || s->flow ? value(s) : text_token(s);
    default: return text_token(s);
    }
}

/* Must more be read before the token that is next can be handed out? */
static int needs_more(struct yaml_scanner *s, int *rc)
{
    *rc = 0;
    if (s->done) return 0;
    if (s->taken == s->n) return 1;
    if ((*rc = drop_stale(s))) return 0;
    const int lo = s->flow < 0 ? s->flow : 0, hi = s->flow < 0 ? 0 : s->flow;
    for (int i = lo; i <= hi; i++)
        if (s->key[i + MAX_FLOW].is && s->key[i + MAX_FLOW].token == s->taken) return 1;
    return 0;
}

const struct yaml_token *yaml_scanner_peek(struct yaml_scanner *s)
{
    int rc = 0;
    while (!s->problem->code && needs_more(s, &rc)) rc = more(s);
    return s->problem->code || s->taken >= s->n ? NULL : &s->token[s->taken];
}

void yaml_scanner_next(struct yaml_scanner *s) { s->taken++; }

size_t yaml_scanner_tokens(struct yaml_scanner *s, struct yaml_token **v)
{
    *v = s->token;
    return s->taken;
}

/* The first character that no YAML file may hold, or NULL. */
static const char *special_character(struct sv text)
{
    for (size_t i = 0; i < text.n; i++) {
        const unsigned char c = (unsigned char)text.p[i];
        if (c >= 0x20 && c < 0x7F) continue;
        if (c == '\t' || c == '\n' || c == '\r') continue;
        if (c < 0x20 || c == 0x7F) return text.p + i;
        if (c == 0xC2 && i + 1 < text.n && (unsigned char)text.p[i + 1] < 0xA0 && (unsigned char)text.p[i + 1] != 0x85) return text.p + i;
        if (c == 0xEF && i + 2 < text.n && (unsigned char)text.p[i + 1] == 0xBF && (unsigned char)text.p[i + 2] >= 0xBE) return text.p + i;
    }
    return NULL;
}

struct yaml_scanner *yaml_scanner_open(struct sv text, struct arena *a, struct yaml_problem *problem_out)
{
    *problem_out = (struct yaml_problem){ 0 };
    struct yaml_scanner *s = mem_calloc(1, sizeof *s);
    char *copy = arena_alloc(a, text.n + PADDING, 1);
    if (!s || !copy) {
        mem_free(s);
        snprintf(problem_out->text, sizeof problem_out->text, "no memory for the YAML");
        problem_out->code = ILAB_E_NOMEM;
        return NULL;
    }
    if (text.n) memcpy(copy, text.p, text.n);
    s->text = s->p = copy;
    s->a = a;
    s->indent = -1;
    s->may_be_key = 1;
    s->problem = problem_out;
    sb_init(&s->value, text.n * 3 + 16);
    sb_init(&s->space, text.n + 16);
    const char *bad = special_character(text);
    if (!bad) {
        add(s, YAML_STREAM_START, HERE(s));
        return s;
    }
    size_t i = 0;
    const char *at = copy + (bad - text.p);
    const int32_t cp = *at ? utf8_next((struct sv){ at, text.n - (size_t)(bad - text.p) }, &i) : 0;
    while (s->p < at) {
        if (break_at(s->p)) over_break(s, NULL);
        else go(s, 1);
    }
    yaml_scan_problem(s, NULL, NULL, "unacceptable character #x%04x: special characters are not allowed", (unsigned)cp);
    problem_out->by = YAML_BY_READER;
    return s;
}

struct sv yaml_scanner_text(const struct yaml_scanner *s, struct sv text) { return (struct sv){ s->text, text.n }; }

void yaml_scanner_close(struct yaml_scanner *s)
{
    if (!s) return;
    mem_free(s->token);
    sb_release(&s->value);
    sb_release(&s->space);
    mem_free(s);
}
