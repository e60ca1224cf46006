/* fuzz_docx.c — Word documents: the parts' XML, or a whole archive.  SPDX-License-Identifier: Apache-2.0 */
#include "document_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char *const NAME[] = { "word/document.xml", "word/styles.xml", "word/footnotes.xml", "docProps/core.xml" };
    if (n <= FUZZ_MAX_DOCUMENT) fuzz_archive("docx", (struct sv){ (const char *)p, n }, NULL, 0, NAME, ARRAY_LEN(NAME));
    return 0;
}
