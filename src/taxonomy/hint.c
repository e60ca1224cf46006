/* hint.c — what to do about a text that is no YAML, said to somebody who does not know YAML.
 *
 * Rows of words that occur in the problem and its context, and what the text around it looks like; the first row that fits
 * counts. A hint names the key and shows the lines as they should be, where the text allows it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/internal.h"

#include <string.h>

struct scene { struct sv text; const struct yaml_problem *p; struct sv line, from_line; /* of the problem and of its context */ char key[64], value[64], near[64] /* a key above */; int near_line, near_col, col /* from 1 */; };
enum { FAR = 200 }; /* lines that are looked through above */
typedef int look_fn(struct scene *s);

static struct sv line_at(struct sv text, size_t number) /* from 0 */
{
    struct sv line = { "", 0 };
    for (size_t i = 0; i <= number; i++)
        if (!sv_split(&text, '\n', &line)) return SV("");
    return line;
}

/* `  - key: value` → the key without dash, and the beginning of the value. */
static int split_key(struct scene *s, struct sv line)
{
    struct sv t = sv_trim(line);
    while (t.n > 1 && t.p[0] == '-' && t.p[1] == ' ') t.p++, t.n--, t = sv_trim(t);
    const ptrdiff_t colon = sv_find(t, SV(":"), 0);
    if (colon <= 0 || colon >= (ptrdiff_t)sizeof s->key) return 0;
    text_printable((struct sv){ t.p, (size_t)colon }, s->key, sizeof s->key);
    struct sv v = sv_trim((struct sv){ t.p + colon + 1, t.n - (size_t)colon - 1 });
    while (v.n && strchr("|>\"'+- ", *v.p)) v.p++, v.n--;
    size_t n = 0;
    for (int words = 0; n < v.n && n < 40; n++)
        if (v.p[n] == ' ' && ++words == 4) break;
    text_printable((struct sv){ v.p, n }, s->value, sizeof s->value);
    return 1;
}

static int text_behind_bar(struct scene *s) { return split_key(s, s->line); }

/* The line above the simple key ends in `|` or `>`: its text is not indented. */
static int block_not_indented(struct scene *s)
{
    const int from = s->p->has_from ? s->p->from.line : s->p->at.line;
    for (int i = from - 1; i >= 0 && i > from - FAR; i--) {
        const struct sv above = sv_trim(line_at(s->text, (size_t)i));
        if (!above.n) continue;
        const char last = above.p[above.n - 1];
        if (last != '|' && last != '>' && !sv_ends(above, "|-") && !sv_ends(above, ">-") && !sv_ends(above, "|+")) return 0;
        const int found = split_key(s, above);
        text_printable(sv_trim(s->p->has_from ? s->from_line : s->line), s->value, 40);
        return found;
    }
    return 0;
}

static int second_colon(struct scene *s)
{
    const ptrdiff_t colon = sv_find(s->line, SV(": "), 0);
    int col = 0;
    for (ptrdiff_t i = 0; i < colon; i++) col += ((unsigned char)s->line.p[i] & 0xC0) != 0x80;
    return colon >= 0 && col < s->p->at.col && split_key(s, s->line);
}

static int has_tab(struct scene *s) { return memchr(s->line.p, '\t', s->line.n) != NULL || strstr(s->p->text, "\\t"); }
static int has_key(struct scene *s) { return split_key(s, s->line); }
static int is_dash(struct scene *s) { return strstr(s->p->text, "'-'") != NULL; }
static int value_is_quoted(struct scene *s)
{
    const struct sv t = s->line;
    const ptrdiff_t quote = sv_find(t, SV(": \""), 0), single = sv_find(t, SV(": '"), 0);
    return (quote >= 0 || single >= 0) && split_key(s, t);
}

static int is_word(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }

/* A line `  - key: …` with a key such as a qna.yaml has; its length, *col where it begins, from 0. 0: it is none. */
static size_t key_of(struct sv line, size_t *col)
{
    size_t i = 0, n = 0;
    while (i < line.n && line.p[i] == ' ') i++;
    while (i + 1 < line.n && line.p[i] == '-' && line.p[i + 1] == ' ')
        for (i++; i < line.n && line.p[i] == ' '; i++) {}
    while (i + n < line.n && is_word(line.p[i + n])) n++;
    *col = i;
    return i + n < line.n && line.p[i + n] == ':' && n < 40 ? n : 0;
}

/* The key, which begins no entry, stands one or two columns beside the key above it. */
static int beside_key(struct scene *s)
{
    size_t here, there;
    const size_t n = key_of(s->line, &here);
    if (!n || memchr(s->line.p, '-', here)) return 0;
    for (int i = s->p->at.line - 1; i >= 0 && i > s->p->at.line - FAR; i--) {
        const struct sv above = line_at(s->text, (size_t)i);
        const size_t m = key_of(above, &there);
        if (!m) continue;
        if (here == there || here + 2 < there || there + 2 < here) return 0;
        text_printable((struct sv){ s->line.p + here, n }, s->key, sizeof s->key);
        text_printable((struct sv){ above.p + there, m }, s->near, sizeof s->near);
        s->near_line = i + 1, s->near_col = (int)there + 1, s->col = (int)here + 1;
        return 1;
    }
    return 0;
}

/* `-key: …` in this line or the one above: the blank behind the dash is missing. */
static int dash_without_blank(struct scene *s)
{
    for (int i = s->p->at.line; i >= 0 && i >= s->p->at.line - 1; i--) {
        const struct sv t = sv_trim(line_at(s->text, (size_t)i));
        size_t col;
        if (t.n < 3 || t.p[0] != '-' || !is_word(t.p[1])) continue;
        const size_t n = key_of((struct sv){ t.p + 1, t.n - 1 }, &col);
        if (!n) continue;
        text_printable((struct sv){ t.p + 1, n }, s->key, sizeof s->key);
        s->near_line = i + 1;
        return 1;
    }
    return 0;
}

/* `key:value` in the line, or where the context begins. */
static int colon_without_blank(struct scene *s)
{
    const struct sv lines[] = { s->from_line, s->line };
    for (size_t i = 0, col; i < ARRAY_LEN(lines); i++) {
        const size_t n = key_of(lines[i], &col), value = col + n + 1;
        if (n && value < lines[i].n && !strchr(" \t\r/", lines[i].p[value])) return s->near_line = (i ? s->p->at.line : s->p->from.line) + 1, split_key(s, lines[i]);
    }
    return 0;
}

/* What goes on begins behind an apostrophe in a word: it ended a text in single quotes. */
static int apostrophe(struct scene *s)
{
    size_t i = 0;
    for (int col = 0; col < s->p->at.col && i < s->line.n; col++) utf8_next(s->line, &i);
    if (i < 2 || i >= s->line.n || s->line.p[i - 1] != '\'' || s->line.p[i] == ' ' || strchr(" :=\"'-", s->line.p[i - 2])) return 0;
    size_t from = i - 1, to = i;
    while (from && s->line.p[from - 1] != ' ' && s->line.p[from - 1] != '\'') from--;
    while (to < s->line.n && s->line.p[to] != ' ' && s->line.p[to] != '\'') to++;
    text_printable((struct sv){ s->line.p + from, i - 1 - from }, s->key, sizeof s->key);
    text_printable((struct sv){ s->line.p + i, to - i }, s->value, sizeof s->value);
    return 1;
}

#define NOT_INDENTED \
    "the text below `%1$s: |` must begin deeper than `%1$s` itself: put two more blanks in front of each of its lines (line %3$d), like\n          %1$s: |\n            %2$s"
#define NO_DASH_BLANK "a blank is missing behind the dash in line %5$d: write `- %1$s: …`"
/* %1$s the key, %2$s the beginning of its value, %3$d the line where the context begins; of a key above %4$s its name, %5$d its line,
 * %6$d its column; %7$d the column of the key. */
static const struct { const char *context, *problem; look_fn *look; const char *hint; } ROWS[] = {
    { "", "aliases count", NULL, "remove the references (`&name`, `*name`): each counts as all that it stands for; without them, split the file" },
    { "", "more than", NULL, "split the file" },
    { "block scalar", "expected", text_behind_bar,
      "behind `%1$s: |` the line must end: write the text on the next line, two blanks deeper than `%1$s`, like\n          %1$s: |\n            %2$s …\n        or remove the `|` and leave the text where it is, if it is a single line" },
    { "block scalar", "", NULL, "behind `|` or `>` the line must end: write the text on the next line, two blanks deeper than its key" },
    { "simple key", "':'", block_not_indented, NOT_INDENTED },
    { "simple key", "':'", colon_without_blank, "a blank is missing behind the colon in line %5$d: write `%1$s: %2$s`" },
    { "simple key", "':'", NULL, "line %3$d is neither a key nor part of the text above it: write `key: text` (with a blank behind the colon), or indent the line two blanks deeper than the key whose text it goes on with" },
    { "", "mapping values", second_colon,
      "the text of `%1$s` holds a colon followed by a blank, which YAML takes for another key: put the whole text in double quotes, or write\n          %1$s: |\n            %2$s …" },
    { "", "mapping values", dash_without_blank, NO_DASH_BLANK },
    { "", "mapping values", beside_key, "`%1$s` begins in column %7$d, but `%4$s` above it (line %5$d) in column %6$d: put them in one column, with blanks; or the text of `%4$s` belongs in quotes" },
    { "", "mapping values", NULL, "this key is indented deeper than the keys above it: move it to their column; or the line above belongs in quotes" },
    { "", "any token", has_tab, "there is a tab in this line: replace it by blanks; YAML allows tabs only inside of quotes and of `|` texts (`ilab taxonomy fix` does it where it is safe)" },
    { "", "any token", block_not_indented, NOT_INDENTED },
    { "", "any token", has_key, "a text cannot begin with @, ` or %%: put the text of `%1$s` in double quotes" },
    { "", "any token", NULL, "a text cannot begin with @, ` or %%: put it in double quotes" },
    { "quoted scalar", "end of stream", NULL, "the quote that opens on line %3$d is never closed: add the closing quote, or remove the opening one" },
    { "quoted scalar", "separator", NULL, "a line `---` or `...` stands inside of the quotes that open on line %3$d: close the quotes before it, or indent the line" },
    { "double-quoted", "", NULL, "inside of double quotes a backslash begins an escape: write \\\\ for a backslash, or use single quotes" },
    { "block mapping", "'<scalar>'", apostrophe,
      "the apostrophe in `%1$s'%2$s` ends the text, which is in single quotes: write it twice (`%1$s''%2$s`) there, or put the whole text in double quotes" },
    { "block", "", dash_without_blank, NO_DASH_BLANK },
    { "block", "'<scalar>'", colon_without_blank, "a blank is missing behind the colon in line %5$d: write `%1$s: %2$s`" },
    { "block", "", beside_key,
      "`%1$s` begins in column %7$d, but `%4$s` above it (line %5$d) in column %6$d: if both belong to one entry, put them in one column, with blanks; if not, check the quotes of the text between them" },
    { "block mapping", "'-'", is_dash,
      "a `- ` stands where a key such as `question:` was expected. In a list every entry begins with `- `, all in one column: give the first entry (above this line) its `- ` too, or move this one to the column of the others" },
    { "block mapping", "'<scalar>'", value_is_quoted, "the text of `%1$s` goes on behind its closing quote: put the whole text in one pair of quotes; a quote inside is written \\\" in double quotes" },
    { "block mapping", "'?'", NULL, "a key must stand in the column of the keys above it" },
    { "block mapping", "", has_key, "this line does not fit below what stands above it: `%1$s` must begin in the same column as the other keys of its entry (the entry begins on line %3$d); quotes above must be closed" },
    { "block mapping", "", NULL, "check that keys of one entry begin in one column (the entry begins on line %3$d), and that a text that begins with a quote ends with it" },
    { "block collection", "", has_key, "`%1$s` stands neither in the column of the entries nor in that of their keys: begin an entry with `- ` in the column of the others (the list begins on line %3$d), or indent the key like its siblings" },
    { "block collection", "", NULL, "every entry of the list that begins on line %3$d must begin with `- ` in the same column" },
    { "flow sequence", "", NULL, "a text that begins with [ is taken for a list: put the text in double quotes, or close the ] (it opens on line %3$d)" },
    { "flow mapping", "", NULL, "a text that begins with { is taken for a list of keys: put the text in double quotes, or close the } (it opens on line %3$d)" },
    { "", "sequence entries", has_key, "an entry `- …` must stand on a line of its own, below `%1$s:`" },
    { "", "sequence entries", NULL, "an entry `- …` must stand on a line of its own" },
    { "", "mapping keys", NULL, "a text that begins with `? ` belongs in quotes" },
    { "", "alias", NULL, "a text that begins with * belongs in quotes" },
    { "alias", "", NULL, "a text that begins with * belongs in quotes" },
    { "anchor", "", NULL, "a text that begins with & belongs in quotes" },
    { "", "anchor", NULL, "a text that begins with & belongs in quotes" },
    { "tag", "", NULL, "a text that begins with ! belongs in quotes" },
    { "", "tag", NULL, "a text that begins with ! belongs in quotes" },
    { "", "its tag", NULL, "remove the word that begins with !!, or write a value that fits" },
    { "directive", "", NULL, "a line that begins with %% belongs in quotes, or indented below its key" },
    { "", "document start", NULL, "a line that begins with %% belongs in quotes, or indented below its key" },
    { "single document", "", NULL, "remove the line `---`: a file holds one document" },
    { "", "special characters", NULL, "remove this character: it is invisible, perhaps it came along when the text was copied (retype the words around it)" },
    { "", "duplication of key", NULL, "remove one of the two, or merge them" },
    { "", "unhashable", NULL, "a key cannot be a list: a text that begins with [ or { belongs in quotes" },
    { "", "merging", NULL, "`<<` means \"take over the keys of …\": put it in quotes if it is text" },
    { "", "is none", NULL, "put the date or number in quotes" },
    { "", "nested deeper", NULL, "a qna.yaml has at most five levels: remove what stands deeper" },
    { "", "node content", NULL, "a value is missing before this sign: write it, or put the text that holds the sign in quotes" },
};

const char *syntax_remedy(struct arena *a, struct sv text, const struct yaml_problem *p)
{
    static const char ELSE[] = "check quotes, colons and indentation around this line";
    struct scene s = { .text = text, .p = p, .line = line_at(text, (size_t)p->at.line) };
    char out[1024];
    s.from_line = p->has_from ? line_at(text, (size_t)p->from.line) : SV("");
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        if (!strstr(p->context ? p->context : "", ROWS[i].context) || !strstr(p->text, ROWS[i].problem)) continue;
        if (ROWS[i].look && !ROWS[i].look(&s)) continue;
        struct sb b;
        sb_init(&b, sizeof out);
        for (const char *h = ROWS[i].hint; *h; h++) {
            if (h[0] == '%' && h[1] == '%') sb_addch(&b, '%'), h++;
            else if (h[0] == '%' && h[1] >= '1' && h[1] <= '7' && h[2] == '$') {
                const char *const words[] = { s.key, s.value, NULL, s.near };
                const int numbers[] = { 0, 0, (p->has_from ? p->from.line : p->at.line) + 1, 0, s.near_line, s.near_col, s.col }, k = h[1] - '1';
                if (k < (int)ARRAY_LEN(words) && words[k]) sb_addc(&b, words[k]);
                else sb_addf(&b, "%d", numbers[k]);
                h += 3;
            } else sb_addch(&b, *h);
        }
        const char *copy = b.failed || !b.p ? NULL : arena_strndup(a, b.p, b.n);
        sb_release(&b);
        return copy ? copy : ELSE;
    }
    return ELSE;
}
