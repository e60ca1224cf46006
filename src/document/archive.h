/* archive.h — internal to src/document: parts of zip archives, XML as a tree.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_DOCUMENT_ARCHIVE_H
#define ILAB_DOCUMENT_ARCHIVE_H

#include "document/builder.h"
#include "document/libs.h"

/* ---- archive.c ---- */
struct archive { struct zip_api api; zip_t *zip; size_t total; struct arena mem; struct builder *b; };
int archive_open(struct archive *a, struct builder *b, struct sv bytes);
void archive_close(struct archive *a);
/* The bytes of a part (in the archive's arena). 1 found, 0 absent, negative error (in b). */
int archive_part(struct archive *a, const char *name, struct sv *out);
int archive_count(struct archive *a, const char *prefix); /* parts whose names begin so */

/* ---- xml.c ---- */
struct xml_attribute { const char *name, *value; };
/* An element, or a piece of text (name NULL). Names are "w:p": the prefix that is usual for a namespace, whatever the file
 * calls it; "?:x" for unknown namespaces. Attributes without namespace have no prefix. */
struct xml {
    const char *name; int n_attribute; struct xml_attribute *attribute;
    struct sv text;
    struct xml *child, *last, *next, *parent;
    int line;
};
enum { XML_MAX_DEPTH = 256 };
struct xml *xml_parse(struct builder *b, struct arena *a, struct sv bytes, const char *part); /* NULL: error in b */
const char *xml_get(const struct xml *n, const char *attribute);                              /* NULL: absent */
int xml_is(const struct xml *n, const char *name);
const struct xml *xml_child(const struct xml *n, const char *name);                           /* n may be NULL */
const struct xml *xml_below(const struct xml *n, const char *name);                           /* first descendant; n may be NULL */
int xml_int(const struct xml *n, const char *attribute, int fallback);
struct sv xml_text(struct builder *b, const struct xml *n);                                   /* all text below; empty for NULL */

#endif
