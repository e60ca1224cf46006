/* yaml_scan_scalar.c — the three ways to write a text in YAML: in a block (| >), in quotes, plain.
 *
 * A scalar that stands on one line without escapes is a view into the text; others are put together (folded, unescaped).
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/yaml_scan.h"

/* Header of a block scalar: chomp 0 clip, '-' strip, '+' keep; increment 0: to be found out. */
static int block_header(struct yaml_scanner *s, struct yaml_mark start, char *chomp, int *increment)
{
    static const char BLOCK[] = "while scanning a block scalar";
    for (int i = 0; i < 2; i++) {
        if (!*chomp && is_among(*s->p, "+-")) {
            *chomp = *s->p;
            go(s, 1);
        } else if (!*increment && *s->p >= '0' && *s->p <= '9') {
            *increment = *s->p - '0';
            if (!*increment) return yaml_scan_problem(s, BLOCK, &start, "expected indentation indicator in the range 1-9, but found 0");
            go(s, 1);
        }
    }
    if (*s->p != ' ' && !ends_line(s->p)) {
        char c[16];
        return yaml_scan_problem(s, BLOCK, &start, "expected chomping or indentation indicators, but found %s", yaml_scan_shown(s->p, c));
    }
    return yaml_scan_rest_of_line(s, BLOCK, start);
}

/* Empty lines up to `indent`; their breaks into `out`; the mark behind the last one. */
static struct yaml_mark block_breaks(struct yaml_scanner *s, int indent, struct sb *out)
{
    struct yaml_mark end = HERE(s);
    while (s->col < indent && *s->p == ' ') go(s, 1);
    while (over_break(s, out)) {
        end = HERE(s);
        while (s->col < indent && *s->p == ' ') go(s, 1);
    }
    return end;
}

int yaml_scan_block(struct yaml_scanner *s, char style)
{
    const struct yaml_mark start = HERE(s);
    char chomp = 0;
    int increment = 0, indent = s->indent + 1 < 1 ? 1 : s->indent + 1, widest = 0;
    struct yaml_mark end;
    struct sb last;
    struct sv value;
    go(s, 1);
    int rc = block_header(s, start, &chomp, &increment);
    if (rc) return rc;
    sb_reset(&s->value);
    sb_reset(&s->space);
    sb_init(&last, 16);
    if (increment) {
        indent += increment - 1;
        end = block_breaks(s, indent, &s->space);
    } else {
        end = HERE(s);
        while (*s->p == ' ' || break_at(s->p)) {
            if (over_break(s, &s->space)) end = HERE(s);
            else go(s, 1), widest = s->col > widest ? s->col : widest;
        }
        indent = widest > indent ? widest : indent;
    }
    while (s->col == indent && *s->p) {
        const int text_line = *s->p != ' ' && *s->p != '\t';
        sb_add(&s->value, (struct sv){ s->space.p ? s->space.p : "", s->space.n });
        const char *from = s->p;
        skip_to_line_end(s);
        sb_add(&s->value, (struct sv){ from, (size_t)(s->p - from) });
        sb_reset(&last);
        sb_reset(&s->space);
        over_break(s, &last);
        end = block_breaks(s, indent, &s->space);
        if (s->col != indent || !*s->p) break;
        const int plain_break = last.n == 1;
        if (style == '>' && plain_break && text_line && *s->p != ' ' && *s->p != '\t') {
            if (!s->space.n) sb_addch(&s->value, ' ');
        } else {
            sb_add(&s->value, (struct sv){ last.p ? last.p : "", last.n });
        }
    }
    if (chomp != '-') sb_add(&s->value, (struct sv){ last.p ? last.p : "", last.n });
    if (chomp == '+') sb_add(&s->value, (struct sv){ s->space.p ? s->space.p : "", s->space.n });
    sb_release(&last);
    rc = yaml_scan_settle(s, &value);
    return rc ? rc : yaml_scan_add(s, YAML_SCALAR, style, start, end, value);
}

static const struct { char letter; const char *text; int n; } ESCAPE[] = {
    { '0', "\0", 1 }, { 'a', "\x07", 1 }, { 'b', "\x08", 1 }, { 't', "\t", 1 }, { '\t', "\t", 1 }, { 'n', "\n", 1 }, { 'v', "\x0B", 1 }, { 'f', "\x0C", 1 }, { 'r', "\r", 1 },
    { 'e', "\x1B", 1 }, { ' ', " ", 1 }, { '"', "\"", 1 }, { '\\', "\\", 1 }, { '/', "/", 1 }, { 'N', "\xC2\x85", 2 }, { '_', "\xC2\xA0", 2 }, { 'L', "\xE2\x80\xA8", 3 }, { 'P', "\xE2\x80\xA9", 3 },
};

static int quoted_breaks(struct yaml_scanner *s, struct yaml_mark start, struct sb *out)
{
    do {
        if (is_separator(s->p)) return yaml_scan_problem(s, "while scanning a quoted scalar", &start, "found unexpected document separator");
        while (*s->p == ' ' || *s->p == '\t') go(s, 1);
    } while (over_break(s, out));
    return 0;
}

static int escape(struct yaml_scanner *s, struct yaml_mark start)
{
    static const char DOUBLE[] = "while scanning a double-quoted scalar";
    char c[16], utf8[4];
    go(s, 1);
    for (size_t i = 0; *s->p && i < ARRAY_LEN(ESCAPE); i++) {
        if (ESCAPE[i].letter != *s->p) continue;
        sb_add(&s->value, (struct sv){ ESCAPE[i].text, (size_t)ESCAPE[i].n });
        go(s, 1);
        return 0;
    }
    const int n = *s->p == 'x' ? 2 : *s->p == 'u' ? 4 : *s->p == 'U' ? 8 : 0;
    if (n) {
        go(s, 1);
        for (int k = 0; k < n; k++)
            if (!is_hex(s->p[k])) return yaml_scan_problem(s, DOUBLE, &start, "expected escape sequence of %d hexadecimal numbers, but found %s", n, yaml_scan_shown(s->p + k, c));
        if (n == 8 && (hex_of(s->p, 2) || hex_of(s->p + 2, 2) > 0x10)) return yaml_scan_problem(s, DOUBLE, &start, "the escape sequence is no character");
        const int32_t cp = hex_of(s->p, n);
        if (cp >= 0xD800 && cp < 0xE000) return yaml_scan_problem(s, DOUBLE, &start, "the escape sequence is half a character (a surrogate)");
        sb_add(&s->value, (struct sv){ utf8, (size_t)utf8_put(utf8, cp) });
        go(s, n);
        return 0;
    }
    if (over_break(s, NULL)) return quoted_breaks(s, start, &s->value);
    return yaml_scan_problem(s, DOUBLE, &start, "found unknown escape character %s", yaml_scan_shown(s->p, c));
}

/* Blanks inside of quotes: kept, or folded when a line break is among them. */
static int quoted_space(struct yaml_scanner *s, struct yaml_mark start)
{
    const char *from = s->p;
    while (*s->p == ' ' || *s->p == '\t') go(s, 1);
    if (!*s->p) return yaml_scan_problem(s, "while scanning a quoted scalar", &start, "found unexpected end of stream");
    if (!break_at(s->p)) {
        sb_add(&s->value, (struct sv){ from, (size_t)(s->p - from) });
        return 0;
    }
    sb_reset(&s->space);
    const int plain_break = break_at(s->p) < 3;
    if (plain_break) over_break(s, NULL);
    else over_break(s, &s->value);
    const int rc = quoted_breaks(s, start, &s->space);
    if (plain_break && !s->space.n) sb_addch(&s->value, ' ');
    sb_add(&s->value, (struct sv){ s->space.p ? s->space.p : "", s->space.n });
    return rc;
}

int yaml_scan_quoted(struct yaml_scanner *s, char quote)
{
    const struct yaml_mark start = HERE(s);
    struct sv value;
    int rc = 0;
    const char *q = s->p + 1;
    while (*q != quote && *q != '\\' && !ends_line(q)) q++;
    if (*q == quote && q[1] != quote) { /* the common case needs no putting together */
        value = (struct sv){ s->p + 1, (size_t)(q - s->p - 1) };
        go_to(s, q + 1);
        return yaml_scan_add(s, YAML_SCALAR, quote, start, HERE(s), value);
    }
    go(s, 1);
    sb_reset(&s->value);
    for (int open = 1; open;) {
        q = s->p;
        while (*q != '\'' && *q != '"' && *q != '\\' && !ends_word(q)) q++;
        sb_add(&s->value, (struct sv){ s->p, (size_t)(q - s->p) });
        go_to(s, q);
        if (quote == '\'' && s->p[0] == '\'' && s->p[1] == '\'') {
            sb_addch(&s->value, '\'');
            go(s, 2);
        } else if (*s->p == quote) {
            go(s, 1);
            open = 0;
        } else if (quote == '"' && *s->p == '\\') {
            if ((rc = escape(s, start))) return rc;
        } else if (*s->p == '\'' || *s->p == '"' || *s->p == '\\') {
            sb_addch(&s->value, *s->p);
            go(s, 1);
        } else if ((rc = quoted_space(s, start))) {
            return rc;
        }
    }
    rc = yaml_scan_settle(s, &value);
    return rc ? rc : yaml_scan_add(s, YAML_SCALAR, quote, start, HERE(s), value);
}

/* What separates two words of a plain scalar, into s->space; s->space.n 0: it ends here. *broken: a line break was in it. */
static void plain_space(struct yaml_scanner *s, int *broken)
{
    const char *from = s->p;
    sb_reset(&s->space);
    while (*s->p == ' ') go(s, 1);
    const int n = break_at(s->p);
    if (!n) {
        sb_add(&s->space, (struct sv){ from, (size_t)(s->p - from) });
        return;
    }
    *broken = 1;
    if (n == 3) over_break(s, &s->space);
    else over_break(s, NULL);
    s->may_be_key = 1;
    const size_t first = s->space.n;
    for (int separator = is_separator(s->p);; separator = s->col == 0 && is_separator(s->p)) {
        if (separator) {
            sb_reset(&s->space);
            return;
        }
        if (*s->p == ' ') go(s, 1);
        else if (!over_break(s, &s->space)) break;
    }
    if (n < 3 && s->space.n == first) sb_addch(&s->space, ' ');
}

int yaml_scan_plain(struct yaml_scanner *s)
{
    const struct yaml_mark start = HERE(s);
    struct yaml_mark end = start;
    const int indent = s->indent + 1;
    int broken = 0, built = 0;
    struct sv value;
    sb_reset(&s->space);
    while (*s->p != '#') {
        const char *q = s->p;
        for (; !ends_word(q); q++) {
            if (*q == ':' && (ends_word(q + 1) || (s->flow && is_among(q[1], ",[]{}")))) break;
            if (s->flow && is_among(*q, ",?[]{}")) break;
        }
        if (q == s->p) break;
        s->may_be_key = 0;
        if (broken && !built) {
            sb_reset(&s->value);
            sb_add(&s->value, (struct sv){ s->text + start.at, end.at - start.at });
            built = 1;
        }
        if (built) {
            sb_add(&s->value, (struct sv){ s->space.p ? s->space.p : "", s->space.n });
            sb_add(&s->value, (struct sv){ s->p, (size_t)(q - s->p) });
        }
        go_to(s, q);
        end = HERE(s);
        plain_space(s, &broken);
        if (s->space.failed) return yaml_scan_settle(s, &value);
        if (!s->space.n || (!s->flow && s->col < indent)) break;
    }
    value = (struct sv){ s->text + start.at, end.at - start.at };
    const int rc = built ? yaml_scan_settle(s, &value) : 0;
    return rc ? rc : yaml_scan_add(s, YAML_SCALAR, 0, start, end, value);
}
