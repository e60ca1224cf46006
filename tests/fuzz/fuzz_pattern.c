/* fuzz_pattern.c — globs of documents: a pattern and a name, separated by a line end; the characters' chunks, too.
 * SPDX-License-Identifier: Apache-2.0 */
#include "document/document.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct sv rest = { (const char *)p, n }, pattern, *chunk = NULL;
    struct arena a;
    size_t n_chunk;
    if (n > 4096 || !sv_split(&rest, '\n', &pattern)) return 0;
    document_pattern_matches(pattern, rest);
    if (!document_pattern_matches(SV("*"), rest)) abort();
    arena_init(&a, (size_t)1 << 26);
    if (chunks_of_characters(rest, 20 + (int)(pattern.n % 30), 4096, (int)(pattern.n & 1), &a, &chunk, &n_chunk, NULL)) abort();
    for (size_t i = 0; i < n_chunk; i++)
        if (chunk[i].p < rest.p || chunk[i].p + chunk[i].n > rest.p + rest.n) abort();
    arena_release(&a);
    return 0;
}
