/* xml.c — XML as a tree in an arena, by expat. Declared entities are refused (nothing that we read has any), depth and memory
 * are capped.  SPDX-License-Identifier: Apache-2.0 */
#include "document/archive.h"

#include <limits.h>
#include <string.h>

struct reader { struct builder *b; struct arena *a; struct expat_api api; XML_Parser parser; struct xml *root, *at; int depth; const char *why; int code; };

/* "http://…/main|p" → "w:p". Both OOXML dialects (transitional, strict) and the older names of OpenDocument. */
static const char *short_name(struct reader *r, const XML_Char *full)
{
    static const struct { const char *uri, *prefix; } ROWS[] = {
        { "http://schemas.openxmlformats.org/wordprocessingml/2006/main", "w" },
        { "http://purl.oclc.org/ooxml/wordprocessingml/main", "w" },
        { "http://schemas.openxmlformats.org/officeDocument/2006/math", "m" },
        { "http://purl.oclc.org/ooxml/officeDocument/math", "m" },
        { "http://schemas.openxmlformats.org/drawingml/2006/main", "a" },
        { "http://schemas.openxmlformats.org/drawingml/2006/picture", "pic" },
        { "http://schemas.openxmlformats.org/drawingml/2006/chart", "c" },
        { "http://schemas.openxmlformats.org/drawingml/2006/diagram", "dgm" },
        { "http://schemas.openxmlformats.org/markup-compatibility/2006", "mc" },
        { "http://schemas.openxmlformats.org/package/2006/relationships", "rel" },
        { "http://schemas.openxmlformats.org/package/2006/metadata/core-properties", "cp" },
        { "urn:schemas-microsoft-com:vml", "v" },
        { "urn:schemas-microsoft-com:office:office", "o" },
        { "http://purl.org/dc/elements/1.1/", "dc" },
        { "urn:oasis:names:tc:opendocument:xmlns:office:1.0", "office" },
        { "urn:oasis:names:tc:opendocument:xmlns:text:1.0", "text" },
        { "urn:oasis:names:tc:opendocument:xmlns:table:1.0", "table" },
        { "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0", "draw" },
        { "urn:oasis:names:tc:opendocument:xmlns:style:1.0", "style" },
        { "urn:oasis:names:tc:opendocument:xmlns:meta:1.0", "meta" },
        { "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0", "manifest" },
        { "urn:oasis:names:tc:opendocument:xmlns:container", "ocf" },
        { "http://www.idpf.org/2007/opf", "opf" },
        { "http://www.w3.org/1999/xhtml", "h" },
        { "http://www.w3.org/1999/xlink", "xlink" },
        { "http://www.w3.org/2001/04/xmlenc#", "enc" },
        { "http://www.w3.org/XML/1998/namespace", "xml" },
    };
    const char *bar = strrchr(full, '|');
    const char *prefix = "?";
    if (!bar) return arena_strndup(r->a, full, strlen(full));
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
        if (!strncmp(ROWS[i].uri, full, (size_t)(bar - full)) && !ROWS[i].uri[bar - full]) prefix = ROWS[i].prefix;
    const size_t n = strlen(prefix), rest = strlen(bar + 1);
    char *p = arena_alloc(r->a, n + rest + 2, 1);
    if (!p) return NULL;
    memcpy(p, prefix, n);
    p[n] = ':';
    memcpy(p + n + 1, bar + 1, rest + 1);
    return p;
}

static void stop(struct reader *r, int code, const char *why)
{
    if (!r->why) r->why = why, r->code = code;
    r->api.stop(r->parser, XML_FALSE);
}

static struct xml *add_node(struct reader *r)
{
    struct xml *n = r->why ? NULL : arena_alloc(r->a, sizeof *n, sizeof(void *));
    if (!n) {
        stop(r, ILAB_E_NOMEM, "needs more memory than a document may use");
        return NULL;
    }
    n->parent = r->at;
    n->line = (int)(r->api.line(r->parser) & INT_MAX);
    if (!r->at) {
        if (!r->root) r->root = n;
    } else {
        if (r->at->last) r->at->last->next = n;
        else r->at->child = n;
        r->at->last = n;
    }
    return n;
}

static void XMLCALL on_start(void *ud, const XML_Char *name, const XML_Char **attribute)
{
    struct reader *r = ud;
    if (++r->depth > XML_MAX_DEPTH) {
        stop(r, ILAB_E_LIMIT, "nests elements deeper than 256 levels");
        return;
    }
    struct xml *n = add_node(r);
    if (!n) return;
    size_t count = 0;
    while (attribute[2 * count]) count++;
    n->name = short_name(r, name);
    n->attribute = count ? arena_alloc(r->a, count * sizeof *n->attribute, sizeof(void *)) : NULL;
    n->n_attribute = n->attribute ? (int)count : 0;
    for (int i = 0; i < n->n_attribute; i++) {
        n->attribute[i].name = short_name(r, attribute[2 * i]);
        n->attribute[i].value = arena_strndup(r->a, attribute[2 * i + 1], strlen(attribute[2 * i + 1]));
        if (!n->attribute[i].name || !n->attribute[i].value) stop(r, ILAB_E_NOMEM, "needs more memory than a document may use");
    }
    if (!n->name || (count && !n->attribute)) stop(r, ILAB_E_NOMEM, "needs more memory than a document may use");
    r->at = n;
}

static void XMLCALL on_end(void *ud, const XML_Char *name)
{
    struct reader *r = ud;
    (void)name;
    r->depth--;
    if (r->at) r->at = r->at->parent;
}

static void XMLCALL on_text(void *ud, const XML_Char *p, int n)
{
    struct reader *r = ud;
    struct xml *t = r->at ? add_node(r) : NULL;
    const char *copy = t ? arena_strndup(r->a, p, (size_t)n) : NULL;
    if (t && !copy) stop(r, ILAB_E_NOMEM, "needs more memory than a document may use");
    if (copy) t->text = (struct sv){ copy, (size_t)n };
}

static void XMLCALL on_entity(void *ud, const XML_Char *name, int is_parameter, const XML_Char *value, int n, const XML_Char *base, const XML_Char *system,
                              const XML_Char *public, const XML_Char *notation)
{
    (void)name, (void)is_parameter, (void)value, (void)n, (void)base, (void)system, (void)public, (void)notation;
    stop(ud, ILAB_E_FORMAT, "declares entities, which no document of this kind does: refused");
}

struct xml *xml_parse(struct builder *b, struct arena *a, struct sv bytes, const char *part)
{
    struct reader r = { .b = b, .a = a };
    ilab_err e = { 0 };
    if (b->rc) return NULL;
    if (libs_expat(&r.api, &e)) return build_fail(b, e.code, "%s", e.msg), NULL;
    if (bytes.n > INT_MAX / 2) return build_fail(b, ILAB_E_LIMIT, "its part '%s' is too large", part), NULL;
    r.parser = r.api.create(NULL, '|');
    if (!r.parser) return build_fail(b, ILAB_E_NOMEM, "no memory to read '%s'", part), NULL;
    r.api.set_user(r.parser, &r);
    r.api.set_elements(r.parser, on_start, on_end);
    r.api.set_text(r.parser, on_text);
    r.api.set_entities(r.parser, on_entity);
    if (r.api.parse(r.parser, bytes.p, (int)bytes.n, 1) != XML_STATUS_OK) {
        if (r.why) build_fail(b, r.code, "its part '%s' %s", part, r.why);
        else
            build_fail(b, ILAB_E_FORMAT, "its part '%s' is damaged in line %lu: %s", part, (unsigned long)r.api.line(r.parser), r.api.text_of(r.api.code(r.parser)));
        r.root = NULL;
    }
    r.api.release(r.parser);
    return r.root;
}

int xml_is(const struct xml *n, const char *name) { return n && n->name && !strcmp(n->name, name); }

const char *xml_get(const struct xml *n, const char *attribute)
{
    for (int i = 0; n && i < n->n_attribute; i++)
        if (!strcmp(n->attribute[i].name, attribute)) return n->attribute[i].value;
    return NULL;
}

int xml_int(const struct xml *n, const char *attribute, int fallback)
{
    const char *s = xml_get(n, attribute);
    int64_t v;
    return s && !parse_i64(s, -1000000, 1000000, &v) ? (int)v : fallback;
}

const struct xml *xml_child(const struct xml *n, const char *name)
{
    for (const struct xml *c = n ? n->child : NULL; c; c = c->next)
        if (xml_is(c, name)) return c;
    return NULL;
}

const struct xml *xml_below(const struct xml *n, const char *name)
{
    for (const struct xml *c = n ? n->child : NULL; c; c = c->next) {
        if (xml_is(c, name)) return c;
        const struct xml *found = xml_below(c, name);
        if (found) return found;
    }
    return NULL;
}

static void gather(const struct xml *n, struct sb *s)
{
    for (const struct xml *c = n ? n->child : NULL; c; c = c->next) {
        if (!c->name) sb_add(s, c->text);
        else gather(c, s);
    }
}

struct sv xml_text(struct builder *b, const struct xml *n)
{
    struct sb s;
    sb_init(&s, DOCUMENT_MAX_TEXT);
    gather(n, &s);
    const struct sv clean = text_clean(&b->x->mem, (struct sv){ s.p ? s.p : "", s.n }, 0);
    sb_release(&s);
    return clean.p ? clean : (struct sv){ "", 0 };
}
