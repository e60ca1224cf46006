/* docx.c — Word documents (OOXML): paragraphs with their styles, lists, tables, notes, text boxes.
 *
 * Headings are told by outline level, own or of the style. Deleted and hidden text, fields' codes, headers and footers of pages
 * are left out. The place of a passage is the number of its paragraph, and the page where the file notes page breaks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "document/archive.h"

#include <string.h>
#include <strings.h>

struct style { const char *id, *base; int outline /* -1: none */, is_list, is_code, is_contents; };
struct docx { struct builder *b; struct archive a; struct style *style; size_t n_style, cap_style; int in_note; const struct xml *box[64]; int n_box; };

static const char *val(const struct xml *n) { return xml_get(n, "w:val"); }

static int is_on(const struct xml *n)
{
    const char *v = val(n);
    return n && !(v && (!strcmp(v, "0") || !strcmp(v, "false") || !strcmp(v, "off")));
}

static int find_outline(const struct xml *properties, const char *name)
{
    const struct xml *o = xml_child(properties, "w:outlineLvl");
    if (o) return xml_int(o, "w:val", 9) < 9 ? xml_int(o, "w:val", 9) : -1;
    if (name && !strcasecmp(name, "title")) return 0;
    if (name && !strncasecmp(name, "heading ", 8) && name[8] >= '1' && name[8] <= '9') return name[8] - '1';
    return -1;
}

static void read_styles(struct docx *d)
{
    struct sv bytes;
    if (archive_part(&d->a, "word/styles.xml", &bytes) <= 0) return;
    const struct xml *root = xml_parse(d->b, &d->a.mem, bytes, "word/styles.xml");
    for (const struct xml *s = root ? root->child : NULL; s; s = s->next) {
        const char *id = xml_is(s, "w:style") ? xml_get(s, "w:styleId") : NULL, *name = val(xml_child(s, "w:name"));
        if (!id) continue;
        const struct xml *p = xml_child(s, "w:pPr");
        if (mem_grow((void **)&d->style, &d->cap_style, d->n_style + 1, sizeof *d->style)) {
            build_fail(d->b, ILAB_E_NOMEM, "no memory for the styles");
            return;
        }
        d->style[d->n_style++] = (struct style){ .id = id, .base = val(xml_child(s, "w:basedOn")), .outline = find_outline(p, name),
            .is_list = xml_child(p, "w:numPr") != NULL, .is_contents = name && !strncasecmp(name, "toc ", 4),
            .is_code = name && (!strncasecmp(name, "source", 6) || !strcasecmp(name, "html preformatted") || strcasestr(name, "code") != NULL) };
    }
}

static const struct style *style_of(const struct docx *d, const char *id)
{
    for (size_t i = 0; id && i < d->n_style; i++)
        if (!strcmp(d->style[i].id, id)) return &d->style[i];
    return NULL;
}

static void read_blocks(struct docx *d, const struct xml *n);

/* Pictures and other objects of a drawing; its text boxes wait until the paragraph ends. */
static void read_drawing(struct docx *d, const struct xml *n)
{
    const struct xml *box = xml_below(n, "w:txbxContent");
    if (box && d->n_box < (int)ARRAY_LEN(d->box)) d->box[d->n_box++] = box;
    if (xml_below(n, "pic:pic") || xml_below(n, "v:imagedata")) build_lost(d->b, LOST_IMAGES, 1);
    else if (xml_below(n, "c:chart") || xml_below(n, "dgm:relIds") || xml_below(n, "o:OLEObject")) build_lost(d->b, LOST_OBJECTS, 1);
}

static void note_ref(struct docx *d, const struct xml *n, char kind)
{
    char id[32];
    const int len = snprintf(id, sizeof id, "%c%.20s", kind, xml_get(n, "w:id") ? xml_get(n, "w:id") : "");
    build_note_ref(d->b, (struct sv){ id, (size_t)len });
}

static void read_run(struct docx *d, const struct xml *r)
{
    struct builder *b = d->b;
    const struct xml *p = xml_child(r, "w:rPr");
    const char *align = val(xml_child(p, "w:vertAlign"));
    if (is_on(xml_child(p, "w:vanish"))) {
        build_lost(b, LOST_HIDDEN, 1);
        return;
    }
    for (const struct xml *c = r->child; c; c = c->next) {
        if (xml_is(c, "w:t")) {
            const struct sv one = c->child && !c->child->name && !c->child->next ? c->child->text : (struct sv){ "", 0 };
            if (align && !strcmp(align, "superscript") && one.n == 1 && (one.p[0] == '2' || one.p[0] == '3')) build_text(b, one.p[0] == '2' ? SV("\xC2\xB2") : SV("\xC2\xB3"));
            else
                for (const struct xml *t = c->child; t; t = t->next) build_text(b, t->text); /* an entity cuts a text into pieces */
        } else if (xml_is(c, "w:tab")) build_text(b, SV(" "));
        else if (xml_is(c, "w:br") || xml_is(c, "w:cr")) {
            const char *type = xml_get(c, "w:type");
            if (type && !strcmp(type, "page")) b->page += b->page > 0;
            build_text(b, b->kind == PASSAGE_CODE ? SV("\n") : SV(" "));
        } else if (xml_is(c, "w:lastRenderedPageBreak")) b->page += b->page > 0;
        else if (xml_is(c, "w:noBreakHyphen")) build_text(b, SV("-"));
        else if (xml_is(c, "w:footnoteReference")) note_ref(d, c, 'f');
        else if (xml_is(c, "w:endnoteReference")) note_ref(d, c, 'e');
        else if (xml_is(c, "w:drawing") || xml_is(c, "w:pict")) read_drawing(d, c);
        else if (xml_is(c, "w:object")) build_lost(b, LOST_OBJECTS, 1);
        else if (xml_is(c, "w:delText")) build_lost(b, LOST_HIDDEN, 1);
        else if (xml_is(c, "w:ruby")) {
            const struct xml *base = xml_child(c, "w:rubyBase");
            for (const struct xml *k = base ? base->child : NULL; k; k = k->next)
                if (xml_is(k, "w:r")) read_run(d, k);
        } else if (xml_is(c, "mc:AlternateContent")) {
            const struct xml *choice = xml_child(c, "mc:Choice");
            if (choice) read_drawing(d, choice);
        }
    }
}

/* What stands inside a paragraph, at any depth of links, insertions and fields. */
static void read_inline(struct docx *d, const struct xml *n)
{
    for (const struct xml *c = n->child; c && !d->b->rc; c = c->next) {
        if (xml_is(c, "w:r")) read_run(d, c);
        else if (xml_is(c, "w:del") || xml_is(c, "w:moveFrom")) build_lost(d->b, LOST_HIDDEN, 1);
        else if (xml_is(c, "m:oMath") || xml_is(c, "m:oMathPara")) build_lost(d->b, LOST_FORMULAS, 1);
        else if (xml_is(c, "mc:AlternateContent")) {
            const struct xml *choice = xml_child(c, "mc:Choice");
            if (choice) read_inline(d, choice);
        } else if (c->name && !xml_is(c, "w:pPr") && !xml_is(c, "w:sdtPr")) read_inline(d, c);
    }
}

static void read_paragraph(struct docx *d, const struct xml *n)
{
    struct builder *b = d->b;
    const struct xml *p = xml_child(n, "w:pPr"), *list = xml_child(p, "w:numPr");
    const struct style *s = style_of(d, val(xml_child(p, "w:pStyle")));
    int outline = find_outline(p, NULL), is_list = list && xml_int(xml_child(list, "w:numId"), "w:val", 1) != 0, is_code = 0, is_contents = 0;
    for (int hops = 0; s && hops < 16; hops++, s = style_of(d, s->base)) {
        if (outline < 0) outline = s->outline;
        is_list |= s->is_list && !list;
        is_code |= s->is_code;
        is_contents |= s->is_contents;
    }
    if (!d->in_note && !b->depth) b->line++;
    if (is_contents) {
        build_lost(b, LOST_CONTENTS, b->x->lost[LOST_CONTENTS] == 0);
        return;
    }
    const int goes_on = is_code && b->open && b->kind == PASSAGE_CODE;
    if (goes_on) build_text(b, SV("\n"));
    else
        build_block(b, outline >= 0 ? PASSAGE_HEADING : is_list ? PASSAGE_ITEM : is_code ? PASSAGE_CODE : PASSAGE_PARAGRAPH,
                    outline >= 0 ? outline + 1 : is_list ? 1 + xml_int(xml_child(list, "w:ilvl"), "w:val", 0) : 0);
    const int first_box = d->n_box;
    read_inline(d, n);
    if (!is_code) build_end(b);
    for (; d->n_box > first_box && !b->rc;) {
        const struct xml *box = d->box[--d->n_box];
        read_blocks(d, box);
    }
}

static void read_table(struct docx *d, const struct xml *n)
{
    struct builder *b = d->b;
    build_table(b);
    for (const struct xml *row = n->child; row && !b->rc; row = row->next) {
        if (!xml_is(row, "w:tr")) continue;
        const struct xml *p = xml_child(row, "w:trPr");
        if (b->depth == 1) b->line++;
        build_row(b, is_on(xml_child(p, "w:tblHeader")));
        for (const struct xml *cell = row->child; cell; cell = cell->next) {
            const struct xml *c = xml_is(cell, "w:sdt") ? xml_below(cell, "w:tc") : cell;
            if (!xml_is(c, "w:tc")) continue;
            const struct xml *cp = xml_child(c, "w:tcPr"), *down = xml_child(cp, "w:vMerge");
            /* a merged cell says so in each row: how far it reaches is found from its first one */
            int rows = 1;
            if (down && val(down) && !strcmp(val(down), "restart")) {
                int column = 0;
                for (const struct xml *k = row->child; k && k != cell; k = k->next)
                    if (xml_is(k, "w:tc")) column += xml_int(xml_child(xml_child(k, "w:tcPr"), "w:gridSpan"), "w:val", 1);
                for (const struct xml *r = row->next; r && rows < 1000; r = r->next) {
                    if (!xml_is(r, "w:tr")) continue;
                    int at = 0;
                    const struct xml *k = r->child;
                    for (; k; k = k->next) {
                        if (!xml_is(k, "w:tc")) continue;
                        if (at >= column) break;
                        at += xml_int(xml_child(xml_child(k, "w:tcPr"), "w:gridSpan"), "w:val", 1);
                    }
                    const struct xml *m = xml_child(xml_child(k, "w:tcPr"), "w:vMerge");
                    if (!m || (val(m) && strcmp(val(m), "continue"))) break;
                    rows++;
                }
            } else if (down) continue; /* filled from above */
            build_cell(b, xml_int(xml_child(cp, "w:gridSpan"), "w:val", 1), rows, 0);
            read_blocks(d, c);
        }
    }
    build_table_end(b);
}

static void read_blocks(struct docx *d, const struct xml *n)
{
    for (const struct xml *c = n->child; c && !d->b->rc; c = c->next) {
        if (xml_is(c, "w:p")) read_paragraph(d, c);
        else if (xml_is(c, "w:tbl")) read_table(d, c);
        else if (xml_is(c, "m:oMathPara")) build_lost(d->b, LOST_FORMULAS, 1);
        else if (xml_is(c, "w:del") || xml_is(c, "w:moveFrom")) build_lost(d->b, LOST_HIDDEN, 1);
        else if (xml_is(c, "w:sdt") || xml_is(c, "w:sdtContent") || xml_is(c, "w:ins") || xml_is(c, "w:moveTo") || xml_is(c, "w:customXml")) read_blocks(d, c);
        else if (xml_is(c, "mc:AlternateContent") && xml_child(c, "mc:Choice")) read_blocks(d, xml_child(c, "mc:Choice"));
    }
}

static void read_notes(struct docx *d, const char *part, const char *element, char kind)
{
    struct sv bytes;
    if (archive_part(&d->a, part, &bytes) <= 0) return;
    const struct xml *root = xml_parse(d->b, &d->a.mem, bytes, part);
    d->in_note = 1;
    for (const struct xml *n = root ? root->child : NULL; n && !d->b->rc; n = n->next) {
        char id[32];
        const char *type = xml_get(n, "w:type");
        if (!xml_is(n, element) || (type && strcmp(type, "normal"))) continue; /* the others are lines that set notes apart */
        const int len = snprintf(id, sizeof id, "%c%.20s", kind, xml_get(n, "w:id") ? xml_get(n, "w:id") : "");
        build_note(d->b, (struct sv){ id, (size_t)len });
        read_blocks(d, n);
        build_note_end(d->b);
    }
    d->in_note = 0;
}

void read_docx(struct builder *b, struct sv bytes)
{
    struct docx d = { .b = b };
    struct sv part;
    if (bytes.n > 8 && !memcmp(bytes.p, "\xD0\xCF\x11\xE0", 4)) {
        build_fail(b, ILAB_E_FORMAT, "this is an old Word file or one with a password: save it as DOCX without a password");
        return;
    }
    if (!archive_open(&d.a, b, bytes)) {
        read_styles(&d);
        const int found = archive_part(&d.a, "word/document.xml", &part);
        if (!found) build_fail(b, ILAB_E_FORMAT, "the archive has no part 'word/document.xml': it is no Word document");
        const struct xml *root = found > 0 ? xml_parse(b, &d.a.mem, part, "word/document.xml") : NULL, *body = xml_child(root, "w:body");
        b->x->line_is_paragraph = 1;
        b->page = xml_below(body, "w:lastRenderedPageBreak") != NULL;
        if (body) read_blocks(&d, body);
        else if (root) build_fail(b, ILAB_E_FORMAT, "its part 'word/document.xml' has no body");
        build_end(b);
        b->x->n_pages = b->page;
        read_notes(&d, "word/footnotes.xml", "w:footnote", 'f');
        read_notes(&d, "word/endnotes.xml", "w:endnote", 'e');
        build_lost(b, LOST_PAGE_HEADERS, archive_count(&d.a, "word/header") + archive_count(&d.a, "word/footer"));
        if (archive_part(&d.a, "docProps/core.xml", &part) > 0 && (root = xml_parse(b, &d.a.mem, part, "docProps/core.xml")) != NULL) {
            b->x->title = xml_text(b, xml_child(root, "dc:title"));
            b->x->creator = xml_text(b, xml_child(root, "dc:creator"));
            b->x->language = xml_text(b, xml_child(root, "dc:language"));
        }
    }
    mem_free(d.style);
    archive_close(&d.a);
}
