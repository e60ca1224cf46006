/* refusal.c — phrases by which somebody says that they do not know: one table for the generator and the judge.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/text.h"

static const char *const NOT_KNOWING[] = {
    "i dont know", "i do not know", "dont know", "do not know", "not known to me", "i have no information", "no information",
    "does not say", "doesnt say", "not stated", "i cannot say", "i cant say", "i am not sure", "im not sure", "i have never heard",
    "unknown to me", "does not mention", "not mentioned", "das weiss ich nicht", "ich weiss es nicht", "weiss ich nicht", "keine angabe",
};

int text_has_words(struct sv hay, struct sv needle)
{
    if (!needle.n) return 0;
    for (ptrdiff_t at = sv_find(hay, needle, 0); at >= 0; at = sv_find(hay, needle, (size_t)at + 1)) {
        const size_t end = (size_t)at + needle.n;
        if ((at == 0 || hay.p[at - 1] == ' ') && (end == hay.n || hay.p[end] == ' ')) return 1;
    }
    return 0;
}

int text_is_refusal(struct sv normalized)
{
    for (size_t i = 0; i < ARRAY_LEN(NOT_KNOWING); i++)
        if (text_has_words(normalized, sv_of(NOT_KNOWING[i]))) return 1;
    return 0;
}
