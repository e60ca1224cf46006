/* plain.c — plain text: paragraphs between blank lines, items by their marks, underlined headings; and text of any charset that
 * can be told from its first bytes.  SPDX-License-Identifier: Apache-2.0 */
#include "document/builder.h"

#include <string.h>
#include <strings.h>

/* Windows-1252 above 0x7F (0x80 … 0x9F; the rest is Latin-1). */
static const unsigned short CP1252[32] = {
    0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D,   0x017D, 0x8F,
    0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178,
};

static struct sv from_utf16(struct builder *b, struct sv s, int big)
{
    char *o = arena_alloc(&b->x->mem, s.n * 2 + 4, 1);
    size_t n = 0;
    if (!o) {
        build_fail(b, ILAB_E_NOMEM, "no memory for the text of this document");
        return (struct sv){ "", 0 };
    }
    for (size_t i = 0; i + 1 < s.n; i += 2) {
        const unsigned char *u = (const unsigned char *)s.p + i;
        int32_t cp = big ? u[0] << 8 | u[1] : u[1] << 8 | u[0];
        if (cp >= 0xD800 && cp < 0xDC00 && i + 3 < s.n) {
            const int32_t low = big ? u[2] << 8 | u[3] : u[3] << 8 | u[2];
            if (low >= 0xDC00 && low < 0xE000) cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00), i += 2;
        }
        if (cp >= 0xD800 && cp < 0xE000) cp = 0xFFFD, build_lost(b, LOST_BYTES, 1);
        n += (size_t)utf8_put(o + n, cp);
    }
    return (struct sv){ o, n };
}

static struct sv from_bytes(struct builder *b, struct sv s)
{
    char *o = arena_alloc(&b->x->mem, s.n * 3 + 4, 1);
    size_t n = 0;
    if (!o) build_fail(b, ILAB_E_NOMEM, "no memory for the text of this document");
    for (size_t i = 0; o && i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        n += (size_t)utf8_put(o + n, c >= 0x80 && c < 0xA0 ? CP1252[c - 0x80] : c);
    }
    return (struct sv){ o ? o : "", n };
}

struct sv decode_to_utf8(struct builder *b, struct sv s, struct sv charset)
{
    static const char *const ONE_BYTE[] = { "iso-8859-1", "iso8859-1", "latin1", "latin-1", "windows-1252", "cp1252", "us-ascii", "ascii", "iso-8859-15" };
    size_t bad = 0;
    if (s.n >= 2 && !memcmp(s.p, "\xFF\xFE", 2)) return from_utf16(b, (struct sv){ s.p + 2, s.n - 2 }, 0);
    if (s.n >= 2 && !memcmp(s.p, "\xFE\xFF", 2)) return from_utf16(b, (struct sv){ s.p + 2, s.n - 2 }, 1);
    if (s.n >= 3 && !memcmp(s.p, "\xEF\xBB\xBF", 3)) s.p += 3, s.n -= 3;
    if (utf8_valid(s, &bad)) return s;
    for (size_t i = 0; i < ARRAY_LEN(ONE_BYTE); i++)
        if (charset.n == strlen(ONE_BYTE[i]) && !strncasecmp(charset.p, ONE_BYTE[i], charset.n)) return from_bytes(b, s);
    int line = 1, column = 1;
    for (size_t i = 0; i < bad; i++) column = s.p[i] == '\n' ? (line++, 1) : column + (((unsigned char)s.p[i] & 0xC0) != 0x80);
    const int n = (int)(charset.n < 40 ? charset.n : 40);
    if (!b->rc)
        b->rc = err_set(b->e, ILAB_E_FORMAT, "%s:%d:%d: not UTF-8 (byte 0x%02x)%s%.*s: convert the document, for example with iconv -f %.*s -t utf-8", b->name, line, column,
                        (unsigned char)s.p[bad], n ? "; the document says " : "", n, charset.p, n ? n : 6, n ? charset.p : "latin1");
    return (struct sv){ "", 0 };
}

/* Length of the mark of a list item ("- ", "12. ", "• "); 0: none. */
static size_t item_mark(struct sv l)
{
    if (l.n > 1 && strchr("-*+", l.p[0]) && l.p[0] && l.p[1] == ' ') return 2;
    if (sv_starts(l, "\xE2\x80\xA2 ")) return 4;
    size_t d = 0;
    while (d < l.n && d < 4 && l.p[d] >= '0' && l.p[d] <= '9') d++;
    return d && d <= 3 && d + 1 < l.n && (l.p[d] == '.' || l.p[d] == ')') && l.p[d + 1] == ' ' ? d + 2 : 0;
}

static int all_of(struct sv s, char c)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != c) return 0;
    return s.n > 2;
}

void read_text(struct builder *b, struct sv bytes)
{
    struct sv rest = decode_to_utf8(b, bytes, (struct sv){ "", 0 }), line;
    for (; !b->rc && sv_split(&rest, '\n', &line);) {
        b->line++;
        for (const char *p = line.p; p && (p = memchr(p, '\f', (size_t)(line.p + line.n - p))) != NULL; p++) b->page = b->page ? b->page + 1 : 2;
        const struct sv s = sv_trim(line);
        struct sv ahead = rest, below;
        if (!s.n) {
            build_end(b);
            continue;
        }
        const int under = sv_split(&ahead, '\n', &below) && (all_of(sv_trim(below), '=') ? 1 : all_of(sv_trim(below), '-') ? 2 : 0);
        const int level = under ? all_of(sv_trim(below), '=') ? 1 : 2 : 0;
        const size_t mark = item_mark(s);
        if (level && !b->open && s.n < 200) {
            build_block(b, PASSAGE_HEADING, level);
            build_text(b, s);
            build_end(b);
            rest = ahead;
            b->line++;
            continue;
        }
        if (mark) build_block(b, PASSAGE_ITEM, 1);
        else if (b->open) build_text(b, SV(" "));
        build_text(b, (struct sv){ s.p + mark, s.n - mark });
    }
    build_end(b);
}
