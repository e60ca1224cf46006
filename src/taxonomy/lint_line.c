/* lint_line.c — the style rules that look at whole lines.  SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/lint.h"

#include <string.h>

static int characters(struct sv s)
{
    int n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}
static struct sv line_text(const struct lint *l, const struct line *at) { return (struct sv){ l->text.p + at->start, at->end - at->start }; }

/* Blank lines are reported at the last one of a series. Options: max, max-start, max-end. */
void lint_empty_lines(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    const struct line *at = v->line;
    const char *p = l->text.p + at->end;
    const size_t left = l->text.n - at->end;
    if (at->start != at->end || !left) return;
    if ((left >= 2 && !memcmp(p, "\n\n", 2)) || (left >= 4 && !memcmp(p, "\r\n\r\n", 4))) return;
    int n = 0, max = c->opt[0];
    size_t start = at->start;
    for (; start >= 2 && !memcmp(l->text.p + start - 2, "\r\n", 2); start -= 2) n++;
    for (; start >= 1 && l->text.p[start - 1] == '\n'; start--) n++;
    if (!start) n++, max = c->opt[1];
    if ((left == 1 && *p == '\n') || (left == 2 && !memcmp(p, "\r\n", 2))) {
        if (!at->end) return; /* a file of one line break may be */
        max = c->opt[2];
    }
    if (n > max) lint_report(l, at->number, 1, "too many blank lines (%d > %d)", n, max);
}

/* `key: word`: a line that cannot be broken behind the colon? */
static int is_unbreakable_mapping(struct sv s)
{
    struct arena a;
    struct yaml_doc d;
    int found = 0, in_map = 0;
    if (!memchr(s.p, ':', s.n)) return 0;
    arena_init(&a, (s.n + 4096) * 16);
    if (!yaml_doc_open(&d, s, &a, YAML_TOKENS)) {
        for (size_t i = 0; i + 1 < d.n_token; i++) {
            in_map |= d.token[i].kind == YAML_BLOCK_MAPPING_START;
            if (!in_map || d.token[i].kind != YAML_VALUE) continue;
            if (d.token[++i].kind != YAML_SCALAR) continue;
            const size_t from = d.token[i].start.at;
            found = !memchr(s.p + from, ' ', s.n - from);
            break;
        }
        yaml_doc_close(&d);
    }
    arena_release(&a);
    return found;
}

/* Options: max, allow-non-breakable-words, allow-non-breakable-inline-mappings (which implies the former). */
void lint_line_length(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    const struct sv s = line_text(l, v->line);
    if (s.n <= (size_t)(c->opt[0] < 0 ? 0 : c->opt[0])) return;
    const int n = characters(s);
    if (n <= c->opt[0]) return;
    size_t i = 0;
    while (i < s.n && s.p[i] == ' ') i++;
    if ((c->opt[1] || c->opt[2]) && i < s.n) {
        if (s.p[i] == '#') {
            while (i < s.n && s.p[i] == '#') i++;
            i++;
        } else if (s.p[i] == '-') {
            i += 2;
        }
        if (i >= s.n || !memchr(s.p + i, ' ', s.n - i)) return;
        if (c->opt[2] && is_unbreakable_mapping(s)) return;
    }
    lint_report(l, v->line->number, c->opt[0] + 1, "line too long (%d > %d characters)", n, c->opt[0]);
}

void lint_new_line_at_end_of_file(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    (void)c;
    if (v->line->end == l->text.n && v->line->end > v->line->start)
        lint_report(l, v->line->number, characters(line_text(l, v->line)) + 1, "no new line character at the end of file");
}

/* Option: type unix, dos, platform (which is unix here). */
void lint_new_lines(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    const int dos = c->opt[0] == WORD_BASE + 1;
    if (v->line->start || l->text.n <= v->line->end) return;
    if (!strncmp(l->text.p + v->line->end, dos ? "\r\n" : "\n", dos ? 2 : 1)) return;
    lint_report(l, 1, characters(line_text(l, v->line)) + 1, "wrong new line character: expected %s", dos ? "\\r\\n" : "\\n");
}

void lint_trailing_spaces(struct lint *l, const struct lint_conf *c, const struct lint_view *v)
{
    (void)c;
    const struct sv s = line_text(l, v->line);
    size_t n = s.n;
    while (n && strchr(" \t\n\r\v\f", s.p[n - 1])) n--;
    if (n != s.n && (s.p[n] == ' ' || s.p[n] == '\t')) lint_report(l, v->line->number, characters((struct sv){ s.p, n }) + 1, "trailing spaces");
}
