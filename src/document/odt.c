/* odt.c — OpenDocument text: headings, paragraphs, lists, tables, notes, text boxes.
 *
 * Deleted and hidden text, comments, tables of contents, headers and footers of pages are left out. The place of a passage is
 * the number of its paragraph, and the page where the file notes soft page breaks.  SPDX-License-Identifier: Apache-2.0 */
#include "document/archive.h"

#include <string.h>

enum { MAX_STYLE_HOPS = 16 };
struct style { const char *name, *parent; int hidden, level; };
struct odt { struct builder *b; struct archive a; struct style *style; size_t n_style, cap_style; int n_note; };

static void add_styles(struct odt *o, const struct xml *list)
{
    for (const struct xml *s = list ? list->child : NULL; s; s = s->next) {
        const char *name = xml_is(s, "style:style") ? xml_get(s, "style:name") : NULL, *display;
        if (!name) continue;
        if (mem_grow((void **)&o->style, &o->cap_style, o->n_style + 1, sizeof *o->style)) {
            build_fail(o->b, ILAB_E_NOMEM, "no memory for the styles");
            return;
        }
        display = xml_get(xml_child(s, "style:text-properties"), "text:display");
        o->style[o->n_style++] = (struct style){ name, xml_get(s, "style:parent-style-name"), display && !strcmp(display, "none"),
                                                 xml_int(s, "style:default-outline-level", 0) };
    }
}

static const struct style *style_of(const struct odt *o, const char *name)
{
    for (size_t i = 0; name && i < o->n_style; i++)
        if (!strcmp(o->style[i].name, name)) return &o->style[i];
    return NULL;
}

/* A style by name, own or of one of its parents; hidden: also found by that. */
static int has_style(const struct odt *o, const char *name, const char *wanted)
{
    for (int hops = 0; name && hops < MAX_STYLE_HOPS; hops++) {
        if (!strcmp(name, wanted)) return 1;
        const struct style *s = style_of(o, name);
        name = s ? s->parent : NULL;
    }
    return 0;
}

static int is_hidden(const struct odt *o, const struct xml *n)
{
    const char *display = xml_get(n, "text:display");
    const struct style *s = style_of(o, xml_get(n, "text:style-name"));
    return (display && !strcmp(display, "none")) || (s && s->hidden);
}

static void read_blocks(struct odt *o, const struct xml *n, int list_level);

static void read_note(struct odt *o, const struct xml *n)
{
    struct builder *b = o->b;
    char id[24];
    const int len = snprintf(id, sizeof id, "%d", ++o->n_note);
    const struct xml *body = xml_child(n, "text:note-body");
    if (!body || b->in_note) return;
    build_note_ref(b, (struct sv){ id, (size_t)len });
    build_note(b, (struct sv){ id, (size_t)len });
    read_blocks(o, body, 0);
    build_note_end(b);
}

static void read_inline(struct odt *o, const struct xml *n);

static void read_frame(struct odt *o, const struct xml *n)
{
    const struct xml *object = xml_child(n, "draw:object"), *box = xml_child(n, "draw:text-box");
    if (object || xml_child(n, "draw:object-ole") || xml_child(n, "draw:plugin")) {
        struct sv part, mime;
        char name[256];
        const char *href = xml_get(object, "xlink:href");
        snprintf(name, sizeof name, "%.200s/content.xml", href ? strncmp(href, "./", 2) ? href : href + 2 : "");
        const int found = href ? archive_part(&o->a, name, &part) : 0;
        mime = found > 0 ? part : (struct sv){ "", 0 };
        if (mime.n > 4096) mime.n = 4096;
        build_lost(o->b, sv_find(mime, SV("<math"), 0) >= 0 || sv_find(mime, SV("MathML"), 0) >= 0 ? LOST_FORMULAS : LOST_OBJECTS, 1);
    } else if (xml_child(n, "draw:image")) build_lost(o->b, LOST_IMAGES, 1);
    if (!box) return;
    if (o->b->open && o->b->text.n) build_text(o->b, SV(" "));
    if (!o->b->depth && !o->b->in_note && o->b->open && o->b->text.n) { /* the box stands inside of a sentence: its text follows as one piece */
        for (const struct xml *p = box->child; p; p = p->next)
            if (p->name) {
                read_inline(o, p);
                build_text(o->b, SV(" "));
            }
    } else read_blocks(o, box, 0);
}

static void read_inline(struct odt *o, const struct xml *n)
{
    struct builder *b = o->b;
    for (const struct xml *c = n->child; c && !b->rc; c = c->next) {
        if (!c->name) build_text(b, c->text);
        else if (xml_is(c, "text:s") || xml_is(c, "text:tab")) build_text(b, SV(" "));
        else if (xml_is(c, "text:line-break")) build_text(b, b->kind == PASSAGE_CODE ? SV("\n") : SV(" "));
        else if (xml_is(c, "text:soft-page-break")) b->page += b->page > 0;
        else if (xml_is(c, "text:note")) read_note(o, c);
        else if (xml_is(c, "draw:frame")) read_frame(o, c);
        else if (xml_is(c, "draw:custom-shape") || xml_is(c, "draw:g")) build_lost(b, LOST_OBJECTS, 1);
        else if (xml_is(c, "office:annotation") || xml_is(c, "office:annotation-end") || xml_is(c, "text:bookmark")) continue;
        else if (xml_is(c, "text:hidden-text") || is_hidden(o, c)) build_lost(b, LOST_HIDDEN, 1);
        else if (xml_is(c, "text:ruby")) {
            const struct xml *base = xml_child(c, "text:ruby-base");
            if (base) read_inline(o, base);
        } else read_inline(o, c);
    }
}

static void read_paragraph(struct odt *o, const struct xml *n, int list_level)
{
    struct builder *b = o->b;
    const char *style = xml_get(n, "text:style-name");
    const struct style *s = style_of(o, style);
    if (!b->in_note && !b->depth) b->line++;
    if (is_hidden(o, n)) {
        build_lost(b, LOST_HIDDEN, 1);
        return;
    }
    const int is_title = has_style(o, style, "Title"), is_code = has_style(o, style, "Preformatted_20_Text") || has_style(o, style, "Source_20_Code");
    const int level = xml_is(n, "text:h") ? xml_int(n, "text:outline-level", 1) : is_title ? 1 : s && s->level > 0 ? s->level : 0;
    if (is_code && b->open && b->kind == PASSAGE_CODE) build_text(b, SV("\n"));
    else
        build_block(b, level ? PASSAGE_HEADING : list_level ? PASSAGE_ITEM : is_code ? PASSAGE_CODE : PASSAGE_PARAGRAPH, level ? level : list_level);
    read_inline(o, n);
    if (!is_code) build_end(b);
}

static void read_rows(struct odt *o, const struct xml *n, int head)
{
    struct builder *b = o->b;
    for (const struct xml *row = n->child; row && !b->rc; row = row->next) {
        if (xml_is(row, "table:table-header-rows")) read_rows(o, row, 1);
        else if (xml_is(row, "table:table-rows") || xml_is(row, "table:table-row-group")) read_rows(o, row, head);
        else if (xml_is(row, "text:soft-page-break")) b->page += b->page > 0;
        if (!xml_is(row, "table:table-row")) continue;
        if (b->depth == 1) b->line++;
        build_row(b, head);
        for (const struct xml *cell = row->child; cell && !b->rc; cell = cell->next) {
            if (!xml_is(cell, "table:table-cell")) continue; /* covered cells are filled from the one that covers them */
            int repeated = xml_int(cell, "table:number-columns-repeated", 1);
            for (int i = 0; i < repeated && i < MAX_COLUMNS; i++) {
                build_cell(b, xml_int(cell, "table:number-columns-spanned", 1), xml_int(cell, "table:number-rows-spanned", 1), 0);
                read_blocks(o, cell, 0);
            }
        }
    }
}

static void read_list(struct odt *o, const struct xml *n, int level)
{
    for (const struct xml *item = n->child; item && !o->b->rc; item = item->next)
        if (xml_is(item, "text:list-item") || xml_is(item, "text:list-header")) read_blocks(o, item, level);
}

static void read_blocks(struct odt *o, const struct xml *n, int list_level)
{
    struct builder *b = o->b;
    for (const struct xml *c = n->child; c && !b->rc; c = c->next) {
        if (xml_is(c, "text:p") || xml_is(c, "text:h")) read_paragraph(o, c, list_level);
        else if (xml_is(c, "text:list")) read_list(o, c, list_level + 1);
        else if (xml_is(c, "table:table")) {
            build_table(b);
            read_rows(o, c, 0);
            build_table_end(b);
        } else if (xml_is(c, "text:table-of-content") || xml_is(c, "text:alphabetical-index") || xml_is(c, "text:illustration-index") || xml_is(c, "text:table-index"))
            build_lost(b, LOST_CONTENTS, 1);
        else if (xml_is(c, "text:tracked-changes")) {
            for (const struct xml *k = c->child; k; k = k->next) build_lost(b, LOST_HIDDEN, xml_child(k, "text:deletion") != NULL);
        } else if (xml_is(c, "text:soft-page-break")) b->page += b->page > 0;
        else if (xml_is(c, "draw:frame")) read_frame(o, c);
        else if (xml_is(c, "text:section") && is_hidden(o, c)) build_lost(b, LOST_HIDDEN, 1);
        else if (xml_is(c, "text:section") || xml_is(c, "text:index-body") || xml_is(c, "text:bibliography")) read_blocks(o, c, list_level);
    }
}

static const struct xml *part_tree(struct odt *o, const char *name)
{
    struct sv bytes;
    return archive_part(&o->a, name, &bytes) > 0 ? xml_parse(o->b, &o->a.mem, bytes, name) : NULL;
}

static void read_metadata(struct odt *o)
{
    const struct xml *meta = xml_child(part_tree(o, "meta.xml"), "office:meta");
    if (!meta || o->b->rc) return;
    const struct xml *first = xml_child(meta, "meta:initial-creator");
    o->b->x->title = xml_text(o->b, xml_child(meta, "dc:title"));
    o->b->x->creator = xml_text(o->b, first ? first : xml_child(meta, "dc:creator"));
    o->b->x->language = xml_text(o->b, xml_child(meta, "dc:language"));
}

void read_odt(struct builder *b, struct sv bytes)
{
    struct odt o = { .b = b };
    if (!archive_open(&o.a, b, bytes)) {
        if (xml_below(part_tree(&o, "META-INF/manifest.xml"), "manifest:encryption-data"))
            build_fail(b, ILAB_E_FORMAT, "it is protected by a password: save it without one");
        const struct xml *styles = part_tree(&o, "styles.xml");
        add_styles(&o, xml_child(styles, "office:styles"));
        const struct xml *master = xml_child(styles, "office:master-styles");
        for (const struct xml *m = master ? master->child : NULL; m; m = m->next)
            for (const struct xml *k = m->child; k; k = k->next)
                if (xml_is(k, "style:header") || xml_is(k, "style:footer")) build_lost(b, LOST_PAGE_HEADERS, xml_text(b, k).n > 0);
        const struct xml *root = part_tree(&o, "content.xml");
        const struct xml *body = xml_child(xml_child(root, "office:body"), "office:text");
        if (!root) build_fail(b, ILAB_E_FORMAT, "the archive has no part 'content.xml': it is no OpenDocument text");
        else if (!body) build_fail(b, ILAB_E_FORMAT, "it is an OpenDocument file, but no text document: export the text");
        else {
            add_styles(&o, xml_child(root, "office:automatic-styles"));
            b->x->line_is_paragraph = 1;
            b->page = xml_below(body, "text:soft-page-break") != NULL;
            read_blocks(&o, body, 0);
            build_end(b);
            b->x->n_pages = b->page;
            read_metadata(&o);
        }
    }
    mem_free(o.style);
    archive_close(&o.a);
}
