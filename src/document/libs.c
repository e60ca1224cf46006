/* libs.c — the tables of functions of gumbo, expat and libzip.  SPDX-License-Identifier: Apache-2.0 */
#include "document/libs.h"

int libs_gumbo(struct gumbo_api *g, ilab_err *e)
{
    static const char *const SONAME[] = { "libgumbo.so.1", "libgumbo.so.2", "libgumbo.so.3", "libgumbo.so", NULL };
    const struct dynlib_symbol SYMBOL[] = { { "gumbo_parse_with_options", &g->parse }, { "gumbo_get_attribute", &g->attribute }, { "kGumboDefaultOptions", &g->defaults } };
    return dynlib_load(SONAME, "libgumbo1", SYMBOL, ARRAY_LEN(SYMBOL), e);
}

int libs_expat(struct expat_api *x, ilab_err *e)
{
    static const char *const SONAME[] = { "libexpat.so.1", "libexpat.so", NULL };
    const struct dynlib_symbol SYMBOL[] = {
        { "XML_ParserCreateNS", &x->create }, { "XML_ParserFree", &x->release }, { "XML_SetUserData", &x->set_user },
        { "XML_SetElementHandler", &x->set_elements }, { "XML_SetCharacterDataHandler", &x->set_text }, { "XML_SetEntityDeclHandler", &x->set_entities },
        { "XML_Parse", &x->parse }, { "XML_StopParser", &x->stop }, { "XML_GetErrorCode", &x->code }, { "XML_ErrorString", &x->text_of },
        { "XML_GetCurrentLineNumber", &x->line },
    };
    return dynlib_load(SONAME, "libexpat1", SYMBOL, ARRAY_LEN(SYMBOL), e);
}

int libs_zip(struct zip_api *z, ilab_err *e)
{
    static const char *const SONAME[] = { "libzip.so.4", "libzip.so.5", "libzip.so", NULL };
    const struct dynlib_symbol SYMBOL[] = {
        { "zip_source_buffer_create", &z->source }, { "zip_open_from_source", &z->open }, { "zip_discard", &z->discard }, { "zip_source_free", &z->source_free },
        { "zip_get_num_entries", &z->count }, { "zip_name_locate", &z->locate }, { "zip_get_name", &z->name }, { "zip_stat_index", &z->stat },
        { "zip_fopen_index", &z->fopen }, { "zip_fread", &z->fread }, { "zip_fclose", &z->fclose },
    };
    return dynlib_load(SONAME, "libzip4", SYMBOL, ARRAY_LEN(SYMBOL), e);
}

void libs_preload(void)
{
    struct gumbo_api g;
    struct expat_api x;
    struct zip_api z;
    libs_gumbo(&g, NULL);
    libs_expat(&x, NULL);
    libs_zip(&z, NULL);
}
