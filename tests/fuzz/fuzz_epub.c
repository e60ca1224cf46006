/* fuzz_epub.c — EPUB: the package and two chapters, or a whole archive; the words of PDF pages, which are XML, too.
 * SPDX-License-Identifier: Apache-2.0 */
#include "document_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const struct fuzz_part CONTAINER[] = { { "META-INF/container.xml", { NULL, 0 } } };
    static const char *const NAME[] = { "b.opf", "a.xhtml", "n.xhtml" };
    struct fuzz_part fixed[1] = { CONTAINER[0] };
    const struct sv input = { (const char *)p, n };
    fixed[0].text = SV("<container xmlns=\"urn:oasis:names:tc:opendocument:xmlns:container\"><rootfile full-path=\"b.opf\"/></container>");
    if (n > FUZZ_MAX_DOCUMENT) return 0;
    if (sv_find(input, SV("<word"), 0) >= 0) fuzz_document("pdf", input);
    else fuzz_archive("epub", input, fixed, 1, NAME, ARRAY_LEN(NAME));
    return 0;
}
