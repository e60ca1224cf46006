/* archive.c — reads single parts of a zip archive in memory, with caps against archives that unfold without end.
 *
 * A part may have 64 MB, all parts together 192 MB; a large part that unfolds by more than 250 times is refused before it is
 * read, and none gives more bytes than it declared.  SPDX-License-Identifier: Apache-2.0 */
#include "document/archive.h"

#include <string.h>

enum { PART_MAX = 64 << 20, TOTAL_MAX = 192 << 20, ENTRIES_MAX = 65536, RATIO_FROM = 4 << 20, RATIO_MAX = 250 };

int archive_open(struct archive *a, struct builder *b, struct sv bytes)
{
    *a = (struct archive){ .b = b };
    ilab_err e = { 0 };
    arena_init(&a->mem, DOCUMENT_ARENA_MAX);
    if (libs_zip(&a->api, &e)) return build_fail(b, e.code, "%s", e.msg);
    zip_source_t *source = a->api.source(bytes.p, bytes.n, 0, NULL);
    if (!source) return build_fail(b, ILAB_E_NOMEM, "no memory to open the archive");
    a->zip = a->api.open(source, ZIP_RDONLY, NULL);
    if (!a->zip) {
        a->api.source_free(source);
        return build_fail(b, ILAB_E_FORMAT, "the archive is damaged or cut off: get the file again");
    }
    if (a->api.count(a->zip, 0) > ENTRIES_MAX) return build_fail(b, ILAB_E_LIMIT, "the archive has more than %d parts", (int)ENTRIES_MAX);
    return 0;
}

void archive_close(struct archive *a)
{
    if (a->zip) a->api.discard(a->zip);
    arena_release(&a->mem);
}

static int refuse_bomb(struct archive *a, const char *name, double bytes, double packed)
{
    char size[32], from[32];
    format_bytes(size, sizeof size, bytes);
    format_bytes(from, sizeof from, packed);
    return build_fail(a->b, ILAB_E_LIMIT, "its part '%s' unfolds from %s to %s: refused as a zip bomb; if it is none, save the document again as HTML or text", name, from, size);
}

int archive_part(struct archive *a, const char *name, struct sv *out)
{
    zip_stat_t st;
    *out = (struct sv){ "", 0 };
    if (a->b->rc) return a->b->rc;
    const zip_int64_t at = a->api.locate(a->zip, name, 0);
    if (at < 0 || a->api.stat(a->zip, (zip_uint64_t)at, 0, &st)) return 0;
    const int known = (st.valid & ZIP_STAT_SIZE) != 0 && (st.valid & ZIP_STAT_COMP_SIZE) != 0;
    if ((st.valid & ZIP_STAT_ENCRYPTION_METHOD) && st.encryption_method != ZIP_EM_NONE)
        return build_fail(a->b, ILAB_E_FORMAT, "it is protected by a password: save it without one");
    if (!known) return build_fail(a->b, ILAB_E_FORMAT, "the archive does not tell the size of '%s'", name);
    if (st.size > PART_MAX || st.size > (zip_uint64_t)TOTAL_MAX - a->total || (st.size > RATIO_FROM && st.size / RATIO_MAX > st.comp_size))
        return refuse_bomb(a, name, (double)st.size, (double)st.comp_size);
    char *p = arena_alloc(&a->mem, (size_t)st.size + 1, 1);
    zip_file_t *f = p ? a->api.fopen(a->zip, (zip_uint64_t)at, 0) : NULL;
    if (!p) return build_fail(a->b, ILAB_E_NOMEM, "no memory for '%s'", name);
    if (!f) return build_fail(a->b, ILAB_E_FORMAT, "its part '%s' cannot be unpacked", name);
    size_t n = 0;
    zip_int64_t got = 1;
    while (n < st.size && (got = a->api.fread(f, p + n, st.size - n)) > 0) n += (size_t)got;
    char more;
    const int longer = n == st.size && a->api.fread(f, &more, 1) > 0;
    a->api.fclose(f);
    if (longer) return refuse_bomb(a, name, (double)st.size + 1, (double)st.comp_size);
    if (got < 0 || n < st.size) return build_fail(a->b, ILAB_E_FORMAT, "its part '%s' is damaged or cut off: get the file again", name);
    a->total += n;
    *out = (struct sv){ p, n };
    return 1;
}

int archive_count(struct archive *a, const char *prefix)
{
    const zip_int64_t n = a->b->rc ? 0 : a->api.count(a->zip, 0);
    int found = 0;
    for (zip_int64_t i = 0; i < n; i++) {
        const char *name = a->api.name(a->zip, (zip_uint64_t)i, 0);
        found += name && !strncmp(name, prefix, strlen(prefix)) && name[strlen(name) - 1] != '/';
    }
    return found;
}
