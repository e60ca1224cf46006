/* html.c — HTML, and the chapters of EPUB, by gumbo.
 *
 * Scripts, styles, form fields, navigation and what is hidden (attribute hidden, aria-hidden, style display:none) are left out;
 * style sheets are not read. Footnotes are known by their roles, or as the targets of links that are raised or named so.
 * gumbo's memory is an arena, so that no deep tree has to be freed.  SPDX-License-Identifier: Apache-2.0 */
#include "document/builder.h"
#include "document/libs.h"

#include <string.h>
#include <strings.h>

enum { MAX_DEPTH = 512 };
struct html { struct builder *b; struct gumbo_api g; struct arena mem; GumboOptions options; int depth, lists, in_note, in_pre, in_head_rows; };

static void *gumbo_take(void *arena, size_t n) { return arena_alloc(arena, n, 16); }
static void gumbo_give(void *arena, void *p) { (void)arena, (void)p; }

static GumboOutput *parse(struct html *h, struct sv text)
{
    ilab_err e = { 0 };
    arena_init(&h->mem, DOCUMENT_ARENA_MAX);
    if (libs_gumbo(&h->g, &e)) return build_fail(h->b, e.code, "%s", e.msg), NULL;
    h->options = *h->g.defaults;
    h->options.allocator = gumbo_take;
    h->options.deallocator = gumbo_give;
    h->options.userdata = &h->mem;
    h->options.max_errors = 0;
    return h->g.parse(&h->options, text.p, text.n);
}

static const char *attr(struct html *h, const GumboNode *n, const char *name)
{
    const GumboAttribute *a = n->type == GUMBO_NODE_ELEMENT || n->type == GUMBO_NODE_TEMPLATE ? h->g.attribute(&n->v.element.attributes, name) : NULL;
    return a ? a->value : NULL;
}

static int attr_has(struct html *h, const GumboNode *n, const char *name, const char *part)
{
    const char *v = attr(h, n, name);
    return v && strcasestr(v, part);
}

static int attr_int(struct html *h, const GumboNode *n, const char *name)
{
    int64_t v = 1;
    const char *s = attr(h, n, name);
    return s && !parse_i64(s, 1, 10000, &v) ? (int)v : 1;
}

static int is_element(const GumboNode *n) { return n->type == GUMBO_NODE_ELEMENT; }
static int has_tag(const GumboNode *n, GumboTag t) { return n && n->type == GUMBO_NODE_ELEMENT && n->v.element.tag == t; }

static void gather(const GumboNode *n, struct sb *s, int depth)
{
    if (n->type == GUMBO_NODE_TEXT || n->type == GUMBO_NODE_WHITESPACE || n->type == GUMBO_NODE_CDATA) sb_addc(s, n->v.text.text);
    if (!is_element(n) || depth > MAX_DEPTH) return;
    for (unsigned i = 0; i < n->v.element.children.length; i++) gather(n->v.element.children.data[i], s, depth + 1);
}

static struct sv inner_text(struct html *h, const GumboNode *n)
{
    struct sb s;
    sb_init(&s, DOCUMENT_MAX_TEXT);
    gather(n, &s, 0);
    const struct sv out = text_clean(&h->b->x->mem, (struct sv){ s.p ? s.p : "", s.n }, 0);
    sb_release(&s);
    return out.p ? out : (struct sv){ "", 0 };
}

static int is_hidden(struct html *h, const GumboNode *n)
{
    const char *style = attr(h, n, "style"), *aria = attr(h, n, "aria-hidden");
    char flat[512];
    size_t k = 0;
    if (attr(h, n, "hidden") || (aria && !strcmp(aria, "true"))) return 1;
    if (!style) return 0;
    for (const char *p = style; *p && k + 1 < sizeof flat; p++)
        if (*p != ' ' && *p != '\t' && *p != '\n') flat[k++] = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
    flat[k] = 0;
    return strstr(flat, "display:none") || strstr(flat, "visibility:hidden");
}

/* ---- footnotes ---- */

/* "chapter.xhtml#n1" of an address, as seen from the place that is read. */
static struct sv note_id(struct html *h, const char *href)
{
    const char *hash = strchr(href, '#'), *file = path_base(h->b->part.n ? h->b->part.p : "");
    if (!hash || !hash[1]) return (struct sv){ "", 0 };
    struct sb s;
    sb_init(&s, 1 << 16);
    if (hash == href) sb_addc(&s, file);
    else {
        const char *base = hash;
        while (base > href && base[-1] != '/') base--;
        sb_add(&s, (struct sv){ base, (size_t)(hash - base) });
    }
    sb_addc(&s, hash);
    const struct sv id = build_copy(h->b, (struct sv){ s.p ? s.p : "", s.failed ? 0 : s.n });
    sb_release(&s);
    return id;
}

/* Does this link refer to a footnote? */
static int is_note_ref(struct html *h, const GumboNode *a)
{
    static const char *const NAMED[] = { "#fn", "#cite_note", "#_ftn", "#sdfootnote", "#footnote", "#endnote", "#note", "#_edn" };
    const char *href = has_tag(a, GUMBO_TAG_A) ? attr(h, a, "href") : NULL, *hash = href ? strchr(href, '#') : NULL;
    if (!hash || h->in_note || attr_has(h, a, "role", "backlink") || attr_has(h, a, "class", "back")) return 0;
    if (attr_has(h, a, "role", "doc-noteref") || attr_has(h, a, "epub:type", "noteref") || attr_has(h, a, "class", "footnote-ref")) return 1;
    for (size_t i = 0; i < ARRAY_LEN(NAMED); i++)
        if (!strncasecmp(hash, NAMED[i], strlen(NAMED[i])) && !strcasestr(hash, "ref") && !sv_ends(sv_of(hash), "anc")) return 1;
    return has_tag(a->parent, GUMBO_TAG_SUP) || (a->v.element.children.length == 1 && has_tag(a->v.element.children.data[0], GUMBO_TAG_SUP));
}

static int is_note(struct html *h, const GumboNode *n, struct sv *id)
{
    static const char *const KIND[] = { "footnote", "endnote", "rearnote" };
    const char *name = attr(h, n, "id");
    char link[256];
    *id = (struct sv){ "", 0 };
    if (h->in_note || !name || !*name || has_tag(n, GUMBO_TAG_A) || has_tag(n, GUMBO_TAG_SUP)) return 0;
    snprintf(link, sizeof link, "#%.200s", name);
    *id = note_id(h, link);
    int role = 0;
    for (size_t i = 0; i < ARRAY_LEN(KIND); i++)
        role |= (attr_has(h, n, "role", KIND[i]) && !attr_has(h, n, "role", "notes")) || (attr_has(h, n, "epub:type", KIND[i]) && !attr_has(h, n, "epub:type", "notes"));
    return id->n && (role || build_note_known(h->b, *id));
}

/* Inside a note: the number in front and the arrow behind it. */
static int is_back_link(struct html *h, const GumboNode *n)
{
    const char *href = attr(h, n, "href");
    if (!h->in_note || !href || !strchr(href, '#')) return 0;
    return attr_has(h, n, "role", "backlink") || attr_has(h, n, "class", "back") || inner_text(h, n).n <= 4;
}

/* ---- elements ---- */

static void walk(struct html *h, const GumboNode *n);

static void children(struct html *h, const GumboNode *n)
{
    for (unsigned i = 0; i < n->v.element.children.length && !h->b->rc; i++) walk(h, n->v.element.children.data[i]);
}

static void text(struct html *h, const char *s)
{
    struct builder *b = h->b;
    if (h->in_pre && b->open && b->kind == PASSAGE_CODE) {
        build_text(b, sv_of(s));
        return;
    }
    if (!b->depth && !b->in_note && (!b->open || !b->text.n)) { /* white space opens no block */
        while (*s == ' ' || *s == '\n' || *s == '\t' || *s == '\r') s++;
    }
    build_text(b, sv_of(s));
}

/* A block inside of an item that has no text yet is that item. */
static void block(struct html *h, enum passage_kind kind, int level)
{
    struct builder *b = h->b;
    if (kind == PASSAGE_PARAGRAPH && b->open && b->kind == PASSAGE_ITEM && !b->text.n && !b->depth && !b->in_note) return;
    build_block(b, kind, level);
}

/* Raised and lowered digits are characters of their own: 10², H₂O. */
static int raised(struct html *h, const GumboNode *n, int up)
{
    static const char *const UP[] = { "\xE2\x81\xB0", "\xC2\xB9", "\xC2\xB2", "\xC2\xB3", "\xE2\x81\xB4", "\xE2\x81\xB5", "\xE2\x81\xB6", "\xE2\x81\xB7", "\xE2\x81\xB8", "\xE2\x81\xB9" };
    const struct sv s = inner_text(h, n);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return 0;
    if (!s.n || s.n > 4) return 0;
    for (size_t i = 0; i < s.n; i++) {
        char low[4] = { '\xE2', '\x82', (char)(0x80 + (s.p[i] - '0')), 0 };
        build_text(h->b, sv_of(up ? UP[s.p[i] - '0'] : low));
    }
    return 1;
}

static void table(struct html *h, const GumboNode *n)
{
    struct builder *b = h->b;
    for (unsigned i = 0; i < n->v.element.children.length && !b->depth; i++) { /* its caption stands before it */
        const GumboNode *c = n->v.element.children.data[i];
        if (!has_tag(c, GUMBO_TAG_CAPTION)) continue;
        build_block(b, PASSAGE_PARAGRAPH, 0);
        children(h, c);
        build_end(b);
    }
    const int lists = h->lists, head = h->in_head_rows;
    h->lists = h->in_head_rows = 0;
    build_table(b);
    children(h, n);
    build_table_end(b);
    h->lists = lists;
    h->in_head_rows = head;
}

enum act { ACT_INLINE, ACT_BLOCK, ACT_HEADING, ACT_ITEM, ACT_LIST, ACT_DROP, ACT_HIDE, ACT_IMAGE, ACT_FORMULA, ACT_OBJECT, ACT_BREAK, ACT_PRE, ACT_TABLE, ACT_HEAD_ROWS,
           ACT_ROW, ACT_CELL, ACT_CAPTION, ACT_LINK, ACT_SUP, ACT_SUB, ACT_NAV, ACT_TERM, ACT_QUOTE };
static enum act act_of(GumboTag tag)
{
    static const struct { GumboTag tag; enum act act; } ROWS[] = {
        { GUMBO_TAG_H1, ACT_HEADING }, { GUMBO_TAG_H2, ACT_HEADING }, { GUMBO_TAG_H3, ACT_HEADING }, { GUMBO_TAG_H4, ACT_HEADING }, { GUMBO_TAG_H5, ACT_HEADING },
        { GUMBO_TAG_H6, ACT_HEADING }, { GUMBO_TAG_P, ACT_BLOCK }, { GUMBO_TAG_DIV, ACT_BLOCK }, { GUMBO_TAG_SECTION, ACT_BLOCK }, { GUMBO_TAG_ARTICLE, ACT_BLOCK },
        { GUMBO_TAG_MAIN, ACT_BLOCK }, { GUMBO_TAG_HEADER, ACT_BLOCK }, { GUMBO_TAG_FOOTER, ACT_BLOCK }, { GUMBO_TAG_ASIDE, ACT_BLOCK }, { GUMBO_TAG_BLOCKQUOTE, ACT_BLOCK },
        { GUMBO_TAG_FIGURE, ACT_BLOCK }, { GUMBO_TAG_FIGCAPTION, ACT_BLOCK }, { GUMBO_TAG_ADDRESS, ACT_BLOCK }, { GUMBO_TAG_DETAILS, ACT_BLOCK },
        { GUMBO_TAG_SUMMARY, ACT_BLOCK }, { GUMBO_TAG_FORM, ACT_BLOCK }, { GUMBO_TAG_FIELDSET, ACT_BLOCK }, { GUMBO_TAG_CENTER, ACT_BLOCK }, { GUMBO_TAG_HR, ACT_BLOCK },
        { GUMBO_TAG_BODY, ACT_BLOCK }, { GUMBO_TAG_DL, ACT_BLOCK }, { GUMBO_TAG_UL, ACT_LIST }, { GUMBO_TAG_OL, ACT_LIST }, { GUMBO_TAG_LI, ACT_ITEM },
        { GUMBO_TAG_DT, ACT_TERM }, { GUMBO_TAG_DD, ACT_ITEM }, { GUMBO_TAG_SCRIPT, ACT_HIDE }, { GUMBO_TAG_STYLE, ACT_DROP }, { GUMBO_TAG_TEMPLATE, ACT_HIDE },
        { GUMBO_TAG_NOSCRIPT, ACT_HIDE }, { GUMBO_TAG_HEAD, ACT_DROP }, { GUMBO_TAG_TITLE, ACT_DROP }, { GUMBO_TAG_SELECT, ACT_DROP }, { GUMBO_TAG_BUTTON, ACT_DROP },
        { GUMBO_TAG_TEXTAREA, ACT_DROP }, { GUMBO_TAG_INPUT, ACT_DROP }, { GUMBO_TAG_RT, ACT_DROP }, { GUMBO_TAG_RP, ACT_DROP }, { GUMBO_TAG_DEL, ACT_HIDE },
        { GUMBO_TAG_NAV, ACT_NAV }, { GUMBO_TAG_IMG, ACT_IMAGE }, { GUMBO_TAG_SVG, ACT_IMAGE }, { GUMBO_TAG_MATH, ACT_FORMULA }, { GUMBO_TAG_OBJECT, ACT_OBJECT },
        { GUMBO_TAG_EMBED, ACT_OBJECT }, { GUMBO_TAG_IFRAME, ACT_OBJECT }, { GUMBO_TAG_VIDEO, ACT_OBJECT }, { GUMBO_TAG_AUDIO, ACT_OBJECT }, { GUMBO_TAG_CANVAS, ACT_OBJECT },
        { GUMBO_TAG_BR, ACT_BREAK }, { GUMBO_TAG_PRE, ACT_PRE }, { GUMBO_TAG_TABLE, ACT_TABLE }, { GUMBO_TAG_THEAD, ACT_HEAD_ROWS }, { GUMBO_TAG_TR, ACT_ROW },
        { GUMBO_TAG_TD, ACT_CELL }, { GUMBO_TAG_TH, ACT_CELL }, { GUMBO_TAG_CAPTION, ACT_CAPTION }, { GUMBO_TAG_A, ACT_LINK }, { GUMBO_TAG_SUP, ACT_SUP },
        { GUMBO_TAG_SUB, ACT_SUB },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
        if (ROWS[i].tag == tag) return ROWS[i].act;
    return ACT_INLINE;
}

static void link(struct html *h, const GumboNode *n)
{
    if (is_back_link(h, n)) return;
    if (is_note_ref(h, n)) {
        const struct sv id = note_id(h, attr(h, n, "href"));
        if (id.n) build_note_ref(h->b, id);
    } else children(h, n);
}

static void one_block(struct html *h, const GumboNode *n, enum passage_kind kind, int level)
{
    block(h, kind, level);
    children(h, n);
    if (h->b->in_note) build_text(h->b, SV(" "));
    else build_end(h->b);
}

static void act(struct html *h, const GumboNode *n)
{
    struct builder *b = h->b;
    const GumboTag tag = n->v.element.tag;
    switch (act_of(tag)) {
    case ACT_HEADING: one_block(h, n, PASSAGE_HEADING, 1 + (int)(tag - GUMBO_TAG_H1)); break;
    case ACT_BLOCK: case ACT_QUOTE: one_block(h, n, PASSAGE_PARAGRAPH, 0); break;
    case ACT_ITEM: one_block(h, n, PASSAGE_ITEM, h->lists ? h->lists : 1); break;
    case ACT_TERM: one_block(h, n, PASSAGE_PARAGRAPH, 0); break;
    case ACT_LIST:
        h->lists++;
        if (!b->depth && !b->in_note) build_end(b);
        children(h, n);
        h->lists--;
        break;
    case ACT_DROP: break;
    case ACT_HIDE: build_lost(b, LOST_HIDDEN, tag != GUMBO_TAG_SCRIPT); break;
    case ACT_NAV: build_lost(b, LOST_CONTENTS, 1); break;
    case ACT_IMAGE: build_lost(b, LOST_IMAGES, 1); break;
    case ACT_FORMULA: build_lost(b, LOST_FORMULAS, 1); break;
    case ACT_OBJECT: build_lost(b, LOST_OBJECTS, 1); break;
    case ACT_BREAK: build_text(b, h->in_pre ? SV("\n") : SV(" ")); break;
    case ACT_PRE:
        h->in_pre++;
        one_block(h, n, PASSAGE_CODE, 0);
        h->in_pre--;
        break;
    case ACT_TABLE: table(h, n); break;
    case ACT_HEAD_ROWS:
        h->in_head_rows = 1;
        children(h, n);
        h->in_head_rows = 0;
        break;
    case ACT_ROW:
        build_row(b, h->in_head_rows);
        children(h, n);
        break;
    case ACT_CELL:
        build_cell(b, attr_int(h, n, "colspan"), attr_int(h, n, "rowspan"), tag == GUMBO_TAG_TH);
        children(h, n);
        break;
    case ACT_CAPTION: break;
    case ACT_LINK: link(h, n); break;
    case ACT_SUP: if (!raised(h, n, 1)) children(h, n); break;
    case ACT_SUB: if (!raised(h, n, 0)) children(h, n); break;
    case ACT_INLINE: children(h, n); break;
    }
}

static void walk(struct html *h, const GumboNode *n)
{
    struct sv id;
    if (n->type == GUMBO_NODE_TEXT || n->type == GUMBO_NODE_WHITESPACE || n->type == GUMBO_NODE_CDATA) {
        h->b->line = (int)n->v.text.start_pos.line;
        text(h, n->v.text.text);
        return;
    }
    if (!is_element(n)) return;
    if (h->depth >= MAX_DEPTH) {
        build_lost(h->b, LOST_DEEP, 1);
        return;
    }
    if (is_hidden(h, n)) {
        build_lost(h->b, LOST_HIDDEN, 1);
        return;
    }
    h->depth++;
    if (n->v.element.start_pos.line) h->b->line = (int)n->v.element.start_pos.line;
    if (!h->b->depth && is_note(h, n, &id)) {
        build_note(h->b, id);
        h->in_note = 1;
        children(h, n);
        h->in_note = 0;
        build_note_end(h->b);
    } else act(h, n);
    h->depth--;
}

static void metadata(struct html *h, const GumboNode *n, int depth)
{
    if (!is_element(n) || depth > 3) return;
    struct extract *x = h->b->x;
    const char *content = attr(h, n, "content");
    if (has_tag(n, GUMBO_TAG_HTML) && attr(h, n, "lang")) x->language = build_copy(h->b, sv_of(attr(h, n, "lang")));
    if (has_tag(n, GUMBO_TAG_TITLE) && !x->title.n) x->title = inner_text(h, n);
    if (has_tag(n, GUMBO_TAG_META) && content && (attr_has(h, n, "name", "author") || attr_has(h, n, "name", "creator")) && !x->creator.n)
        x->creator = build_copy(h->b, sv_of(content));
    if (has_tag(n, GUMBO_TAG_BODY)) return;
    for (unsigned i = 0; i < n->v.element.children.length; i++) metadata(h, n->v.element.children.data[i], depth + 1);
}

/* XHTML closes empty elements in place; HTML does not know that: <title/> would swallow the rest. */
static struct sv open_empty_elements(struct builder *b, struct sv s)
{
    static const char *const VOID[] = { "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr" };
    struct sb o;
    sb_init(&o, (size_t)DOCUMENT_MAX_TEXT * 2);
    for (size_t i = 0; i < s.n;) {
        const char *open = memchr(s.p + i, '<', s.n - i);
        const size_t at = open ? (size_t)(open - s.p) : s.n;
        sb_add(&o, (struct sv){ s.p + i, at - i });
        if (!open) break;
        size_t name = at + 1, end = name;
        while (end < s.n && ((s.p[end] | 0x20) >= 'a' ? (s.p[end] | 0x20) <= 'z' : (s.p[end] >= '0' && s.p[end] <= '9') || s.p[end] == ':' || s.p[end] == '-')) end++;
        size_t close = end;
        char quote = 0;
        for (; close < s.n && (quote || s.p[close] != '>'); close++) {
            if (quote ? s.p[close] == quote : s.p[close] == '"' || s.p[close] == '\'') quote = quote ? 0 : s.p[close];
            else if (!quote && s.p[close] == '<') break;
        }
        int is_void = end == name || close >= s.n || s.p[close] != '>' || s.p[close - 1] != '/' || close == end;
        for (size_t k = 0; k < ARRAY_LEN(VOID) && !is_void; k++) is_void = end - name == strlen(VOID[k]) && !strncasecmp(s.p + name, VOID[k], end - name);
        if (is_void) {
            sb_addch(&o, '<');
            i = at + 1;
            continue;
        }
        sb_add(&o, (struct sv){ s.p + at, close - 1 - at });
        sb_addc(&o, "></");
        sb_add(&o, (struct sv){ s.p + name, end - name });
        sb_addch(&o, '>');
        i = close + 1;
    }
    const struct sv out = o.failed ? (struct sv){ "", 0 } : build_copy(b, (struct sv){ o.p ? o.p : "", o.n });
    if (o.failed) build_fail(b, ILAB_E_LIMIT, "it is larger than %d MB", (int)(DOCUMENT_MAX_TEXT >> 20));
    sb_release(&o);
    return out;
}

/* The charset that the first bytes name: <meta charset=…>, <?xml encoding=…?>. */
static struct sv charset_of(struct sv s)
{
    static const char *const KEY[] = { "charset=", "encoding=" };
    if (s.n > 2048) s.n = 2048;
    for (size_t i = 0; i + 10 < s.n; i++)
        for (size_t k = 0; k < ARRAY_LEN(KEY); k++) {
            const size_t n = strlen(KEY[k]);
            if (i + n >= s.n || strncasecmp(s.p + i, KEY[k], n)) continue;
            size_t from = i + n, end;
            while (from < s.n && (s.p[from] == '"' || s.p[from] == '\'' || s.p[from] == ' ')) from++;
            for (end = from; end < s.n && end < from + 40 && !strchr("\"' />;?", s.p[end]);) end++;
            return (struct sv){ s.p + from, end - from };
        }
    return (struct sv){ "", 0 };
}

void html_body(struct builder *b, struct sv bytes, int is_chapter)
{
    struct html h = { .b = b };
    struct sv s = decode_to_utf8(b, bytes, charset_of(bytes));
    if (b->rc) return;
    if (s.n > DOCUMENT_MAX_TEXT) {
        build_fail(b, ILAB_E_LIMIT, "it is larger than %d MB", (int)(DOCUMENT_MAX_TEXT >> 20));
        return;
    }
    const struct sv head = { s.p, s.n < 512 ? s.n : 512 };
    if (is_chapter || sv_find(head, SV("<?xml"), 0) >= 0 || sv_find(head, SV("/xhtml"), 0) >= 0) s = open_empty_elements(b, s);
    GumboOutput *o = b->rc ? NULL : parse(&h, s);
    if (o && o->root) {
        if (!is_chapter) metadata(&h, o->root, 0);
        walk(&h, o->root);
    } else if (!b->rc) build_fail(b, ILAB_E_FORMAT, "it cannot be read as HTML");
    build_end(b);
    arena_release(&h.mem);
}

void read_html(struct builder *b, struct sv bytes) { html_body(b, bytes, 0); }

struct sv html_entities(struct builder *b, struct sv s)
{
    struct html h = { .b = b };
    struct sb in, out;
    if (libs_gumbo(&h.g, NULL)) return s; /* a text shows its entities rather than none at all */
    sb_init(&in, (size_t)DOCUMENT_MAX_TEXT * 5);
    sb_init(&out, DOCUMENT_MAX_TEXT);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '<') sb_addc(&in, "&lt;");
        else sb_addch(&in, s.p[i]);
    }
    GumboOutput *o = in.failed ? NULL : parse(&h, (struct sv){ in.p, in.n });
    if (o && o->root) gather(o->root, &out, 0);
    const struct sv text = o && o->root && !out.failed ? build_copy(b, (struct sv){ out.p ? out.p : "", out.n }) : s;
    sb_release(&in);
    sb_release(&out);
    arena_release(&h.mem);
    return text;
}
