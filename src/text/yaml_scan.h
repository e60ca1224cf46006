/* yaml_scan.h — internal to the scanner: its state, and looking at characters (yaml_scan.c, yaml_scan_scalar.c).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_YAML_SCAN_H
#define ILAB_YAML_SCAN_H

#include "text/internal.h"

#include <string.h>

enum { MAX_KEY_LENGTH = 1024, MAX_TOKENS = 1 << 20, MAX_FLOW = 256, MAX_INDENTS = 1024, PADDING = 8 };

struct possible_key { int is, required; size_t token; struct yaml_mark at; };

struct yaml_scanner {
    const char *text, *p;        /* NUL-ended; p: where we are */
    int index, line, col;        /* of p */
    struct yaml_token *token;
    size_t n, cap, taken;
    int done, flow, indent, n_indent, may_be_key;
    int indents[MAX_INDENTS];
    struct possible_key key[2 * MAX_FLOW + 1]; /* one a flow level; a surplus ']' makes the level negative */
    struct arena *a;
    struct sb value, space;      /* of a scalar that needs putting together */
    struct yaml_problem *problem;
};

#define HERE(s) ((struct yaml_mark){ (size_t)((s)->p - (s)->text), (s)->index, (s)->line, (s)->col })

/* ---- characters ---- */

/* Bytes of the line break at p: LF, CR, CR LF, NEL, LS, PS; 0: none. */
static inline int break_at(const char *p)
{
    switch ((unsigned char)*p) {
    case '\n': return 1;
    case '\r': return p[1] == '\n' ? 2 : 1;
    case 0xC2: return (unsigned char)p[1] == 0x85 ? 2 : 0;
    case 0xE2: return (unsigned char)p[1] == 0x80 && ((unsigned char)p[2] == 0xA8 || (unsigned char)p[2] == 0xA9) ? 3 : 0;
    default: return 0;
    }
}
static inline int ends_line(const char *p) { return !*p || break_at(p); }
static inline int ends_word(const char *p) { return *p == ' ' || *p == '\t' || ends_line(p); }
static inline int is_among(char c, const char *set) { return c && strchr(set, c) != NULL; }
static inline int is_name(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_'; }
static inline int is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f'); }
static inline int hex_of(const char *p, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++) v = v * 16 + (p[i] <= '9' ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
    return v;
}
static inline int is_separator(const char *p) { return (!strncmp(p, "---", 3) || !strncmp(p, "...", 3)) && ends_word(p + 3); }

/* Goes on to a later place of the same line. */
static inline void go_to(struct yaml_scanner *s, const char *to)
{
    for (; s->p < to; s->p++) {
        const unsigned char c = (unsigned char)*s->p;
        if ((c & 0xC0) == 0x80) continue;
        s->index++;
        if (!(c == 0xEF && (unsigned char)s->p[1] == 0xBB && (unsigned char)s->p[2] == 0xBF)) s->col++; /* a BOM has no width */
    }
}
static inline void go(struct yaml_scanner *s, int n) { go_to(s, s->p + n); }
static inline void skip_spaces(struct yaml_scanner *s) { while (*s->p == ' ') go(s, 1); }
static inline void skip_to_line_end(struct yaml_scanner *s)
{
    const char *q = s->p;
    while (!ends_line(q)) q++;
    go_to(s, q);
}

/* Over a line break, if there is one; it is added to `out` (may be NULL) as it counts in a scalar. */
static inline int over_break(struct yaml_scanner *s, struct sb *out)
{
    const int n = break_at(s->p);
    if (!n) return 0;
    if (out && n == 3) sb_add(out, (struct sv){ s->p, 3 });
    else if (out) sb_addch(out, '\n');
    s->index += n == 2 && *s->p == '\r' ? 2 : 1;
    s->p += n;
    s->line++;
    s->col = 0;
    return 1;
}

/* yaml_scan.c */
int yaml_scan_problem(struct yaml_scanner *s, const char *context, const struct yaml_mark *from, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
const char *yaml_scan_shown(const char *p, char out[16]);            /* a character as Python's repr shows it */
int yaml_scan_rest_of_line(struct yaml_scanner *s, const char *context, struct yaml_mark start); /* blanks, a comment, the break */
int yaml_scan_add(struct yaml_scanner *s, enum yaml_token_kind kind, char style, struct yaml_mark start, struct yaml_mark end, struct sv value);
int yaml_scan_settle(struct yaml_scanner *s, struct sv *out);        /* the text that was put together, into the arena */
/* yaml_scan_scalar.c: each takes one scalar and adds its token */
int yaml_scan_block(struct yaml_scanner *s, char style);
int yaml_scan_quoted(struct yaml_scanner *s, char quote);
int yaml_scan_plain(struct yaml_scanner *s);

#endif
