/* document_use.h — for the fuzz targets of document formats: reads bytes and looks at everything that comes out; packs parts
 * into a zip archive, so that mutations reach the XML inside and do not stop at a checksum.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_FUZZ_DOCUMENT_USE_H
#define ILAB_FUZZ_DOCUMENT_USE_H

#include "document/document.h"

#include <stdlib.h>
#include <string.h>

static inline int fuzz_count(void *ud, struct sv s) { (void)ud; return (int)(s.n / 4 + 1); }

static inline void fuzz_document(const char *format, struct sv bytes)
{
    struct extract x;
    struct chunk_list l = { 0 };
    struct sb b;
    const int rc = document_extract_bytes(format, bytes, "fuzz", &x, NULL);
    sb_init(&b, (size_t)1 << 26);
    for (size_t i = 0; !rc && i < x.n; i++) {
        if (x.v[i].heading >= (int)i || !x.v[i].text.n || !utf8_valid(x.v[i].text, NULL)) abort();
        passage_add_path(&x, i, &b);
        passage_add_place(&x, i, &b);
    }
    if (!rc) extract_add_text(&x, &b);
    lost_add_text(x.lost, &b);
    if (!rc && x.n && x.n < 2000 && !chunks_of(&x, 20, fuzz_count, NULL, &l, NULL) && !l.n) abort();
    chunks_release(&l);
    sb_release(&b);
    extract_release(&x);
}

struct fuzz_part { const char *name; struct sv text; };

static inline uint32_t fuzz_crc(struct sv s)
{
    uint32_t c = 0xFFFFFFFFu;
    for (size_t i = 0; i < s.n; i++) {
        c ^= (unsigned char)s.p[i];
        for (int k = 0; k < 8; k++) c = c >> 1 ^ (0xEDB88320u & (0u - (c & 1)));
    }
    return ~c;
}

static inline void fuzz_put(struct sb *b, uint32_t v, int n) { while (n--) sb_addch(b, (char)(v & 255)), v >>= 8; }

/* An archive whose parts are not packed. The caller releases it. */
static inline struct sb fuzz_zip(const struct fuzz_part *part, int n)
{
    struct sb b, central;
    sb_init(&b, (size_t)1 << 26);
    sb_init(&central, (size_t)1 << 20);
    for (int i = 0; i < n; i++) {
        const uint32_t at = (uint32_t)b.n, crc = fuzz_crc(part[i].text), size = (uint32_t)part[i].text.n, name = (uint32_t)strlen(part[i].name);
        for (int is_central = 0; is_central < 2; is_central++) {
            struct sb *o = is_central ? &central : &b;
            fuzz_put(o, is_central ? 0x02014b50 : 0x04034b50, 4);
            if (is_central) fuzz_put(o, 20, 2);
            fuzz_put(o, 20, 2), fuzz_put(o, 0, 2), fuzz_put(o, 0, 2), fuzz_put(o, 0, 2), fuzz_put(o, 0x21, 2);
            fuzz_put(o, crc, 4), fuzz_put(o, size, 4), fuzz_put(o, size, 4), fuzz_put(o, name, 2), fuzz_put(o, 0, 2);
            if (is_central) fuzz_put(o, 0, 2), fuzz_put(o, 0, 2), fuzz_put(o, 0, 2), fuzz_put(o, 0, 4), fuzz_put(o, at, 4);
            sb_addc(o, part[i].name);
        }
        sb_add(&b, part[i].text);
    }
    const uint32_t start = (uint32_t)b.n;
    if (central.n) sb_add(&b, (struct sv){ central.p, central.n });
    fuzz_put(&b, 0x06054b50, 4), fuzz_put(&b, 0, 4), fuzz_put(&b, (uint32_t)n, 2), fuzz_put(&b, (uint32_t)n, 2);
    fuzz_put(&b, (uint32_t)central.n, 4), fuzz_put(&b, start, 4), fuzz_put(&b, 0, 2);
    sb_release(&central);
    return b;
}

/* Parts of an archive out of one input: separated by lines "====". An input that begins with PK is an archive itself. */
static inline void fuzz_archive(const char *format, struct sv input, const struct fuzz_part *fixed, int n_fixed, const char *const *name, int n_name)
{
    struct fuzz_part part[8];
    int n = 0;
    if (sv_starts(input, "PK")) {
        fuzz_document(format, input);
        return;
    }
    for (; n < n_fixed; n++) part[n] = fixed[n];
    for (int i = 0; i < n_name && n < 8; i++) {
        const ptrdiff_t cut = sv_find(input, SV("\n====\n"), 0);
        part[n++] = (struct fuzz_part){ name[i], { input.p, cut < 0 ? input.n : (size_t)cut } };
        if (cut < 0) break;
        input = (struct sv){ input.p + cut + 6, input.n - (size_t)cut - 6 };
    }
    struct sb zip = fuzz_zip(part, n);
    fuzz_document(format, (struct sv){ zip.p, zip.n });
    sb_release(&zip);
}

enum { FUZZ_MAX_DOCUMENT = 1 << 15 }; /* the HTML parser takes long for deep trees of formatting */
#endif
