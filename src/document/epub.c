/* epub.c — EPUB books: the chapters in their order, each read as XHTML.
 *
 * A passage's part is the chapter's file, its line one of that file. The book's own table of contents is left out; a book under
 * digital rights management says so.  SPDX-License-Identifier: Apache-2.0 */
#include "document/archive.h"

#include <string.h>

/* Joins a folder and an address inside of the archive: %20 decoded, "../" and the part behind # resolved. */
static struct sv resolve(struct builder *b, const char *package, const char *href)
{
    struct sb s;
    const char *slash = strrchr(package, '/');
    sb_init(&s, 1 << 16);
    if (slash) sb_add(&s, (struct sv){ package, (size_t)(slash - package) + 1 });
    for (const char *p = href; *p && *p != '#'; p++) {
        if (!strncmp(p, "../", 3) && (p == href || p[-1] == '/')) {
            size_t n = s.n ? s.n - 1 : 0;
            while (n && s.p[n - 1] != '/') n--;
            s.n = n;
            p += 2;
        } else if (!strncmp(p, "./", 2) && (p == href || p[-1] == '/')) p++;
        else if (*p == '%' && p[1] && p[2]) {
            static const char HEX[] = "0123456789abcdef";
            const char *h = strchr(HEX, p[1] | 0x20), *l = strchr(HEX, p[2] | 0x20);
            const int high = p[1] >= '0' && p[1] <= '9' ? p[1] - '0' : h ? (int)(h - HEX) : -1, low = p[2] >= '0' && p[2] <= '9' ? p[2] - '0' : l ? (int)(l - HEX) : -1;
            if (high < 0 || low < 0 || high + low == 0) sb_addch(&s, *p);
            else {
                sb_addch(&s, (char)(high * 16 + low));
                p += 2;
            }
        } else sb_addch(&s, *p);
    }
    const struct sv out = build_copy(b, (struct sv){ s.p ? s.p : "", s.failed ? 0 : s.n });
    sb_release(&s);
    return out;
}

static const struct xml *part_tree(struct archive *a, const char *name)
{
    struct sv bytes;
    return archive_part(a, name, &bytes) > 0 ? xml_parse(a->b, &a->mem, bytes, name) : NULL;
}

/* Fonts are often obscured, which harms nobody; a chapter that is encrypted cannot be read. */
static int is_encrypted(const struct xml *encryption, const char *part)
{
    for (const struct xml *d = encryption ? encryption->child : NULL; d; d = d->next) {
        const struct xml *ref = xml_below(d, "enc:CipherReference");
        const char *uri = ref ? xml_get(ref, "URI") : NULL;
        if (uri && !strcmp(uri, part)) return 1;
    }
    return 0;
}

static void read_spine(struct archive *a, const struct xml *package, const char *opf, const struct xml *encryption)
{
    struct builder *b = a->b;
    const struct xml *manifest = xml_child(package, "opf:manifest"), *spine = xml_child(package, "opf:spine");
    int chapters = 0;
    for (const struct xml *ref = spine ? spine->child : NULL; ref && !b->rc; ref = ref->next) {
        const char *id = xml_is(ref, "opf:itemref") ? xml_get(ref, "idref") : NULL;
        const struct xml *item = id ? manifest ? manifest->child : NULL : NULL;
        while (item && !(xml_is(item, "opf:item") && xml_get(item, "id") && !strcmp(xml_get(item, "id"), id))) item = item->next;
        const char *href = xml_get(item, "href"), *type = xml_get(item, "media-type"), *properties = xml_get(item, "properties");
        struct sv bytes;
        if (!href || (type && !strstr(type, "html"))) continue;
        if (properties && strstr(properties, "nav")) {
            build_lost(b, LOST_CONTENTS, 1);
            continue;
        }
        const struct sv part = resolve(b, opf, href);
        if (b->rc || archive_part(a, part.p, &bytes) <= 0) continue;
        if (is_encrypted(encryption, part.p)) {
            build_fail(b, ILAB_E_FORMAT, "it is protected (digital rights management): only its shop's programs can read it");
            return;
        }
        b->part = text_clean(&b->x->mem, part, 0); /* names in archives need not be UTF-8 */
        if (!b->part.p) b->part = (struct sv){ "", 0 };
        b->line = 0;
        html_body(b, bytes, 1);
        chapters++;
    }
    if (!b->rc && !chapters) build_fail(b, ILAB_E_FORMAT, "it has no chapters that can be read");
}

void read_epub(struct builder *b, struct sv bytes)
{
    struct archive a;
    if (!archive_open(&a, b, bytes)) {
        const struct xml *container = part_tree(&a, "META-INF/container.xml");
        const char *path = container ? xml_get(xml_below(container, "ocf:rootfile"), "full-path") : NULL;
        const struct xml *package = path ? part_tree(&a, path) : NULL;
        const struct xml *about = xml_child(package, "opf:metadata");
        if (!b->rc && !package) build_fail(b, ILAB_E_FORMAT, "the archive names no package of chapters: it is no EPUB book");
        if (about) {
            b->x->title = xml_text(b, xml_child(about, "dc:title"));
            b->x->creator = xml_text(b, xml_child(about, "dc:creator"));
            b->x->language = xml_text(b, xml_child(about, "dc:language"));
        }
        if (package) read_spine(&a, package, path, part_tree(&a, "META-INF/encryption.xml"));
    }
    archive_close(&a);
}
