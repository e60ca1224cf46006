/* fuzz_html.c — HTML, and Markdown, which uses the same parser for its entities.  SPDX-License-Identifier: Apache-2.0 */
#include "document_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n > FUZZ_MAX_DOCUMENT) return 0;
    fuzz_document("html", (struct sv){ (const char *)p, n });
    fuzz_document("markdown", (struct sv){ (const char *)p, n });
    fuzz_document("text", (struct sv){ (const char *)p, n });
    return 0;
}
