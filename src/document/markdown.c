/* markdown.c — Markdown (CommonMark with tables and footnotes of the usual dialects), line by line.
 *
 * What remains of inline marks is text: link texts without their targets, code without its quotes. Pictures are counted. HTML
 * inside is text without its tags. Entities are decoded by the HTML parser.  SPDX-License-Identifier: Apache-2.0 */
#include "document/builder.h"

#include <string.h>

static int is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Index behind the bracket that closes the one at s[i]; i when there is none nearby. */
static size_t behind_bracket(struct sv s, size_t i, char open, char close)
{
    enum { FAR = 2000 };
    int depth = 0;
    for (size_t j = i; j < s.n && j < i + FAR; j++) {
        if (s.p[j] == '\\') j++;
        else if (s.p[j] == open) depth++;
        else if (s.p[j] == close && --depth == 0) return j + 1;
    }
    return i;
}

static int is_word_byte(char c) { return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80; }

/* Is the mark at s[i] (one of * _ ~) decoration? Between spaces it is a sign of the text, and _ inside a word is, too. */
static int is_emphasis(struct sv s, size_t i)
{
    const char before = i ? s.p[i - 1] : ' ', behind = i + 1 < s.n ? s.p[i + 1] : ' ';
    if (s.p[i] == '~') return before == '~' || behind == '~';
    if (s.p[i] == '_') return !(is_word_byte(before) && is_word_byte(behind)) && !(is_space(before) && is_space(behind));
    return !(is_space(before) && is_space(behind));
}

static int all_digits(struct sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return 0;
    return s.n > 0;
}

/* Index behind the target of a link whose text ends before s[i]: "(address)" or "[name]"; i when there is none. What follows "1969"
 * in "1969[1][2]" or "1969[1][^a]" are marks of notes. */
static size_t behind_target(struct sv s, size_t i)
{
    const char c = i < s.n ? s.p[i] : 0;
    if (c != '(' && c != '[') return i;
    const size_t end = behind_bracket(s, i, c, c == '(' ? ')' : ']');
    const struct sv inner = { s.p + i + 1, end > i + 1 ? end - i - 2 : 0 };
    return c == '[' && (sv_starts(inner, "^") || all_digits(inner)) ? i : end;
}

/* A bracket at s[i]: picture, footnote, link, or brackets of the text. Appends what stays, returns the index behind it. */
static size_t bracket(struct builder *b, struct sv s, size_t i, struct sb *out)
{
    const int picture = s.p[i] == '!';
    const size_t at = i + (size_t)picture, end = behind_bracket(s, at, '[', ']');
    if (end == at) {
        sb_addch(out, s.p[i]);
        return i + 1;
    }
    const struct sv inner = { s.p + at + 1, end - at - 2 };
    if (!picture && inner.n > 1 && inner.p[0] == '^' && !memchr(inner.p, ' ', inner.n)) {
        build_note_ref(b, (struct sv){ inner.p + 1, inner.n - 1 });
        return end;
    }
    const size_t target = behind_target(s, end);
    if (picture) {
        build_lost(b, LOST_IMAGES, 1);
        return target;
    }
    if (target > end + 1 && all_digits(inner) && s.p[end] == '(' && s.p[end + 1] == '#') return target; /* "[1](#cite_note-1)" */
    if (target == end && inner.n < 4) { /* "[12]" of a scientific text stays, so does "[x]" */
        sb_add(out, (struct sv){ s.p + at, end - at });
        return end;
    }
    return at + 1; /* the text of a link: its own closing bracket is met below */
}

/* Does ']' at s[i] close a link's text? Then index behind its target, else i + 1. */
static size_t behind_link(struct sv s, size_t i)
{
    return behind_target(s, i + 1);
}

/* A tag, comment or address in angle brackets at s[i]; index behind it, or i when it is none. */
static size_t angle(struct builder *b, struct sv s, size_t i, struct sb *out)
{
    if (i + 1 >= s.n || !(s.p[i + 1] == '/' || s.p[i + 1] == '!' || ((s.p[i + 1] | 0x20) >= 'a' && (s.p[i + 1] | 0x20) <= 'z'))) return i;
    if (sv_starts((struct sv){ s.p + i, s.n - i }, "<!--")) {
        const ptrdiff_t end = sv_find(s, SV("-->"), i);
        build_lost(b, LOST_HIDDEN, 1);
        return end < 0 ? s.n : (size_t)end + 3;
    }
    const char *close = memchr(s.p + i, '>', s.n - i);
    if (!close) return i;
    const size_t end = (size_t)(close - s.p) + 1;
    const struct sv tag = { s.p + i + 1, end - i - 2 };
    if (sv_find(tag, SV("://"), 0) > 0 || (memchr(tag.p, '@', tag.n) && !memchr(tag.p, ' ', tag.n))) sb_add(out, tag);
    else if (sv_starts(tag, "img")) build_lost(b, LOST_IMAGES, 1);
    else if (sv_starts(tag, "br") || sv_starts(tag, "/p") || sv_starts(tag, "/td") || sv_starts(tag, "/th") || sv_starts(tag, "/li")) sb_addch(out, ' ');
    return end;
}

/* Text of a paragraph without its inline marks. */
static void add_inline(struct builder *b, struct sv s)
{
    struct sb out;
    int decode = 0;
    sb_init(&out, DOCUMENT_MAX_TEXT);
    for (size_t i = 0; i < s.n && !b->rc;) {
        const char c = s.p[i];
        if (c == '\\' && i + 1 < s.n && strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", s.p[i + 1]) && s.p[i + 1]) {
            sb_addch(&out, s.p[i + 1]);
            i += 2;
        } else if (c == '`') {
            size_t run = 1;
            while (i + run < s.n && s.p[i + run] == '`') run++;
            const ptrdiff_t end = sv_find(s, (struct sv){ s.p + i, run }, i + run);
            const size_t behind = end > 0 ? (size_t)end + run : i + run;
            const char *raw = behind + 1 < s.n && s.p[behind] == '{' && s.p[behind + 1] == '=' ? memchr(s.p + behind, '}', s.n - behind) : NULL;
            if (end > 0 && raw) build_lost(b, LOST_HIDDEN, 1); /* code of another format, no text */
            else if (end > 0) sb_add(&out, (struct sv){ s.p + i + run, (size_t)end - i - run });
            i = end > 0 && raw ? (size_t)(raw - s.p) + 1 : behind;
        } else if (c == '[' || (c == '!' && i + 1 < s.n && s.p[i + 1] == '[')) {
            i = bracket(b, s, i, &out);
        } else if (c == ']') {
            i = behind_link(s, i);
        } else if (c == '<') {
            const size_t end = angle(b, s, i, &out);
            if (end == i) sb_addch(&out, c);
            i = end > i ? end : i + 1;
        } else if (c == '\n') { /* the marks of a quotation that goes on */
            while (i < s.n && (is_space(s.p[i]) || s.p[i] == '>')) i++;
            sb_addch(&out, ' ');
        } else if ((c == '*' || c == '_' || c == '~') && is_emphasis(s, i)) {
            i++;
        } else {
            decode |= c == '&';
            sb_addch(&out, c);
            i++;
        }
    }
    struct sv text = { out.p ? out.p : "", out.n };
    if (decode) text = html_entities(b, text);
    build_text(b, text);
    sb_release(&out);
}

static int only(struct sv s, const char *set)
{
    for (size_t i = 0; i < s.n; i++)
        if (!s.p[i] || !strchr(set, s.p[i])) return 0;
    return s.n > 0;
}

static size_t count_of(struct sv s, char c)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += s.p[i] == c;
    return n;
}

static size_t item_mark(struct sv l)
{
    if (l.n > 1 && strchr("-*+", l.p[0]) && l.p[0] && (l.p[1] == ' ' || l.p[1] == '\t')) return 2;
    size_t d = 0;
    while (d < l.n && d < 10 && l.p[d] >= '0' && l.p[d] <= '9') d++;
    return d && d <= 9 && d + 1 < l.n && (l.p[d] == '.' || l.p[d] == ')') && l.p[d + 1] == ' ' ? d + 2 : 0;
}

static void table_row(struct builder *b, struct sv s, int head)
{
    size_t from = s.n && s.p[0] == '|';
    int in_code = 0;
    build_row(b, head);
    for (size_t i = from; i <= s.n; i++) {
        if (i < s.n && s.p[i] == '\\') {
            i++;
            continue;
        }
        if (i < s.n && s.p[i] == '`') in_code = !in_code;
        if (i < s.n && (s.p[i] != '|' || in_code)) continue;
        const struct sv cell = sv_trim((struct sv){ s.p + from, (i < s.n ? i : s.n) - from });
        if (i >= s.n && !cell.n) break; /* behind the last bar */
        build_cell(b, 1, 1, 0);
        add_inline(b, cell);
        from = i + 1;
    }
}

/* "|---|:--:|": the line below the header of a table. */
static int is_table_rule(struct sv s) { return only(s, "|-: \t") && memchr(s.p, '-', s.n) && memchr(s.p, '|', s.n); }

/* `---` … `---` at the very beginning: the title is taken, the rest is no text. */
static void front_matter(struct builder *b, struct sv *rest)
{
    struct sv r = *rest, line;
    int n = 0;
    if (!sv_split(&r, '\n', &line) || !sv_eq_c(sv_trim(line), "---")) return;
    struct sv title = { "", 0 };
    for (n = 1; n < 200 && sv_split(&r, '\n', &line); n++) {
        const struct sv s = sv_trim(line);
        if (sv_eq_c(s, "---") || sv_eq_c(s, "...")) {
            b->x->title = build_copy(b, title);
            b->line += n + 1;
            *rest = r;
            return;
        }
        if (!memchr(s.p, ':', s.n) && !sv_starts(s, "-") && s.n) return; /* no keys: a rule and a text */
        if (sv_starts(s, "title:")) {
            title = sv_trim((struct sv){ s.p + 6, s.n - 6 });
            if (title.n > 1 && (title.p[0] == '"' || title.p[0] == '\'') && title.p[title.n - 1] == title.p[0]) title.p++, title.n -= 2;
        }
    }
}

/* A line's state while reading. */
struct reader { struct builder *b; struct sv rest, para; int para_line, is_item, depth, in_quote; char fence; size_t fence_n; int in_table, in_note, blank; };

/* Ends the paragraph that was gathered. */
static void flush(struct reader *r)
{
    struct builder *b = r->b;
    if (r->para.p) {
        const int line = b->line;
        b->line = r->para_line;
        build_block(b, r->is_item ? PASSAGE_ITEM : PASSAGE_PARAGRAPH, r->is_item ? r->depth : 0);
        add_inline(b, r->para);
        build_end(b);
        b->line = line;
    }
    r->para = (struct sv){ NULL, 0 };
    r->is_item = 0;
}

static void end_table(struct reader *r)
{
    if (r->in_table) build_table_end(r->b);
    r->in_table = 0;
}

static void heading(struct reader *r, int level, struct sv s)
{
    while (s.n && (s.p[s.n - 1] == '#' || s.p[s.n - 1] == ' ')) s.n--;
    const ptrdiff_t id = sv_find(s, SV(" {#"), 0);
    if (id > 0 && s.p[s.n - 1] == '}') s.n = (size_t)id;
    build_block(r->b, PASSAGE_HEADING, level);
    add_inline(r->b, s);
    build_end(r->b);
}

/* Inside a fence: 1 when the line belongs to it. */
static int code_line(struct reader *r, struct sv line, struct sv s)
{
    size_t run = 0;
    if (!r->fence) return 0;
    while (run < s.n && s.p[run] == r->fence) run++;
    if (run >= r->fence_n && run == s.n) {
        build_end(r->b);
        r->fence = 0;
        return 1;
    }
    build_text(r->b, line);
    build_text(r->b, SV("\n"));
    return 1;
}

static int opens_fence(struct reader *r, struct sv s)
{
    size_t run = 0;
    const char c = s.n ? s.p[0] : 0;
    if (c != '`' && c != '~') return 0;
    while (run < s.n && s.p[run] == c) run++;
    if (run < 3 || (c == '`' && memchr(s.p + run, '`', s.n - run))) return 0;
    flush(r);
    r->fence = c;
    r->fence_n = run;
    build_block(r->b, PASSAGE_CODE, 0);
    return 1;
}

/* Lines that are blocks by themselves. 1: done. */
static int special_line(struct reader *r, struct sv s, size_t indent)
{
    struct builder *b = r->b;
    struct sv ahead = r->rest, below = { "", 0 };
    size_t hashes = 0;
    sv_split(&ahead, '\n', &below);
    below = sv_trim(below);
    while (hashes < s.n && s.p[hashes] == '#') hashes++;
    if (hashes && hashes <= 6 && indent < 4 && (hashes == s.n || s.p[hashes] == ' ')) {
        flush(r);
        heading(r, (int)hashes, sv_trim((struct sv){ s.p + hashes, s.n - hashes }));
        return 1;
    }
    if (only(s, "=") || only(s, "-")) {
        if (r->para.p && !r->is_item && !r->blank) { /* an underlined heading */
            const struct sv text = r->para;
            r->para = (struct sv){ NULL, 0 };
            b->line = r->para_line;
            heading(r, s.p[0] == '=' ? 1 : 2, text);
            return 1;
        }
    }
    if (only(s, "-* _") && count_of(s, s.p[0]) + count_of(s, ' ') == s.n && count_of(s, s.p[0]) >= 3) {
        flush(r);
        return 1;
    }
    if (r->in_table || (memchr(s.p, '|', s.n) && is_table_rule(below) && !r->is_item)) {
        if (r->in_table && is_table_rule(s) && r->in_table == 1) return r->in_table = 2;
        if (!r->in_table) {
            flush(r);
            build_table(b);
            r->in_table = 1;
            table_row(b, s, 1);
            return 1;
        }
        if (memchr(s.p, '|', s.n)) {
            table_row(b, s, 0);
            return 1;
        }
        end_table(r);
    }
    return 0;
}

/* "[^1]: text" and "[name]: https://…". 1: the line is one of them. */
static int definition(struct reader *r, struct sv s)
{
    const ptrdiff_t colon = s.n && s.p[0] == '[' ? sv_find(s, SV("]:"), 1) : -1;
    if (colon < 0) return 0;
    flush(r);
    if (s.p[1] != '^') return 1;
    build_note(r->b, (struct sv){ s.p + 2, (size_t)colon - 2 });
    add_inline(r->b, sv_trim((struct sv){ s.p + colon + 2, s.n - (size_t)colon - 2 }));
    r->in_note = 1;
    return 1;
}

static void end_note(struct reader *r)
{
    if (r->in_note) build_note_end(r->b);
    r->in_note = 0;
}

static void one_line(struct reader *r, struct sv line)
{
    struct sv s = sv_trim(line);
    size_t indent = 0;
    while (indent < line.n && is_space(line.p[indent])) indent++;
    if (code_line(r, line, s)) return;
    if (!s.n) {
        flush(r);
        end_table(r);
        r->blank = 1;
        return;
    }
    if (r->in_note) { /* goes on while lines are indented or no blank one came */
        size_t mark = item_mark(s);
        if (indent >= 2 || (!r->blank && !mark && s.p[0] != '[' && s.p[0] != '#')) {
            build_text(r->b, SV(" "));
            add_inline(r->b, s);
            r->blank = 0;
            return;
        }
        end_note(r);
    }
    while (s.n > 1 && s.p[0] == '>') s = sv_trim((struct sv){ s.p + 1, s.n - 1 });
    if (!s.n || opens_fence(r, s) || special_line(r, s, indent) || (!r->para.p && definition(r, s))) {
        r->blank = 0;
        return;
    }
    const size_t mark = item_mark(s);
    if (!mark && !r->para.p && indent >= 4 && !r->depth) { /* code by indentation */
        if (!(r->b->open && r->b->kind == PASSAGE_CODE)) build_block(r->b, PASSAGE_CODE, 0);
        build_text(r->b, (struct sv){ line.p + 4 < line.p + line.n ? line.p + 4 : line.p, line.n >= 4 ? line.n - 4 : 0 });
        build_text(r->b, SV("\n"));
        r->blank = 0;
        return;
    }
    if (mark || (r->blank && indent < 2)) flush(r);
    if (mark) r->depth = 1 + (int)(indent < 40 ? indent : 40) / 2;
    else if (!r->para.p && indent < 2) r->depth = 0;
    s.p += mark, s.n -= mark;
    if (!r->para.p) {
        r->para = s;
        r->para_line = r->b->line;
        r->is_item = mark || r->depth;
    }
    r->para.n = (size_t)(s.p + s.n - r->para.p);
    r->blank = 0;
}

void read_markdown(struct builder *b, struct sv bytes)
{
    struct reader r = { .b = b, .rest = decode_to_utf8(b, bytes, (struct sv){ "", 0 }) };
    struct sv line;
    if (b->rc) return;
    front_matter(b, &r.rest);
    while (!b->rc && sv_split(&r.rest, '\n', &line)) {
        b->line++;
        one_line(&r, line);
    }
    flush(&r);
    end_note(&r);
    end_table(&r);
    build_end(b);
}
