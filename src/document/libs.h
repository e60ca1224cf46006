/* libs.h — internal to src/document: the three libraries, opened when a document first needs one, so that no other command
 * pays for loading them.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_DOCUMENT_LIBS_H
#define ILAB_DOCUMENT_LIBS_H

#include "base/base.h"
#include <expat.h>
#include <gumbo.h>
#include <zip.h>

struct gumbo_api {
    GumboOutput *(*parse)(const GumboOptions *, const char *, size_t);
    GumboAttribute *(*attribute)(const GumboVector *, const char *);
    const GumboOptions *defaults;
};
struct expat_api {
    XML_Parser (*create)(const XML_Char *, XML_Char);
    void (*release)(XML_Parser);
    void (*set_user)(XML_Parser, void *);
    void (*set_elements)(XML_Parser, XML_StartElementHandler, XML_EndElementHandler);
    void (*set_text)(XML_Parser, XML_CharacterDataHandler);
    void (*set_entities)(XML_Parser, XML_EntityDeclHandler);
    enum XML_Status (*parse)(XML_Parser, const char *, int, int);
    enum XML_Status (*stop)(XML_Parser, XML_Bool);
    enum XML_Error (*code)(XML_Parser);
    const XML_LChar *(*text_of)(enum XML_Error);
    XML_Size (*line)(XML_Parser);
};
struct zip_api {
    zip_source_t *(*source)(const void *, zip_uint64_t, int, zip_error_t *);
    zip_t *(*open)(zip_source_t *, int, zip_error_t *);
    void (*discard)(zip_t *);
    void (*source_free)(zip_source_t *);
    zip_int64_t (*count)(zip_t *, zip_flags_t);
    zip_int64_t (*locate)(zip_t *, const char *, zip_flags_t);
    const char *(*name)(zip_t *, zip_uint64_t, zip_flags_t);
    int (*stat)(zip_t *, zip_uint64_t, zip_flags_t, zip_stat_t *);
    zip_file_t *(*fopen)(zip_t *, zip_uint64_t, zip_flags_t);
    zip_int64_t (*fread)(zip_file_t *, void *, zip_uint64_t);
    int (*fclose)(zip_file_t *);
};
int libs_gumbo(struct gumbo_api *api, ilab_err *e);
int libs_expat(struct expat_api *api, ilab_err *e);
int libs_zip(struct zip_api *api, ilab_err *e);
/* Loads what a format may need, before a sandbox forbids to open files. Failures come back when the library is used. */
void libs_preload(void);

#endif
