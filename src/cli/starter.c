/* starter.c — the starter model and the example taxonomy travel inside the program, so that `ilab init` needs no network.
 * Paths are those that `init` writes.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <string.h>

#define EMBED(symbol, file)                                                                                        \
    __asm__(".section .rodata\n.balign 64\n.global " #symbol "\n" #symbol ":\n.incbin \"" file "\"\n"              \
            ".global " #symbol "_end\n" #symbol "_end:\n.byte 0\n.previous\n");                                    \
    extern const unsigned char symbol[], symbol##_end[]

EMBED(embed_starter, "models/starter.gguf");
EMBED(embed_qna, "examples/university/taxonomy/knowledge/university/germany/bielefeld_university/qna.yaml");
EMBED(embed_attribution, "examples/university/taxonomy/knowledge/university/germany/bielefeld_university/attribution.txt");
EMBED(embed_document, "examples/university/documents/bielefeld_university.md");

enum { STARTER, QNA, ATTRIBUTION, DOCUMENT, COUNT };
static const struct { const char *path; const unsigned char *from, *to; } FILES[COUNT] = {
    [STARTER] = { "models/starter.gguf", embed_starter, embed_starter_end },
    [QNA] = { "taxonomy/knowledge/university/germany/bielefeld_university/qna.yaml", embed_qna, embed_qna_end },
    [ATTRIBUTION] = { "taxonomy/knowledge/university/germany/bielefeld_university/attribution.txt", embed_attribution, embed_attribution_end },
    [DOCUMENT] = { "documents/bielefeld_university.md", embed_document, embed_document_end },
};

int embedded_count(void) { return COUNT; }

struct embedded embedded_at(int i)
{
    return (struct embedded){ FILES[i].path, FILES[i].from, (size_t)(FILES[i].to - FILES[i].from) };
}
