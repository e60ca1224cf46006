/* repair.c — a name that a small model misspelt while copying, put right again.
 *
 * The run of words that is most alike to the name (letters in common order) is replaced by it, when it is alike enough. What
 * the sentence then says is checked by reading, like every other candidate.  SPDX-License-Identifier: Apache-2.0 */
#include "data/fact.h"

#include <string.h>

enum { MAX_WORDS = 64, MAX_NAME = 96 };
static const double ALIKE = 0.65;

/* Share of letters in common order (longest common subsequence), 0 to 1. */
static double likeness(struct sv a, struct sv b)
{
    int row[MAX_NAME + 1] = { 0 };
    if (!a.n || !b.n || a.n > MAX_NAME || b.n > MAX_NAME) return 0;
    for (size_t i = 0; i < a.n; i++) {
        int diagonal = 0;
        for (size_t j = 0; j < b.n; j++) {
            const int up = row[j + 1];
            row[j + 1] = a.p[i] == b.p[j] ? diagonal + 1 : up > row[j] ? up : row[j];
            diagonal = up;
        }
    }
    return 2.0 * row[b.n] / (double)(a.n + b.n);
}

struct sv name_repair(struct arena *a, struct sv text, struct sv name)
{
    struct { size_t from, to; } word[MAX_WORDS];
    int n = 0, k = 1;
    if (!name.n || text_has(text, name)) return text;
    for (size_t i = 0; i < name.n; i++) k += name.p[i] == ' ';
    for (size_t i = 0; i < text.n && n < MAX_WORDS;) {
        while (i < text.n && (unsigned char)text.p[i] <= ' ') i++;
        const size_t from = i;
        while (i < text.n && (unsigned char)text.p[i] > ' ') i++;
        size_t to = i;
        const char *apostrophe = memchr(text.p + from, '\'', to - from);
        if (apostrophe) to = (size_t)(apostrophe - text.p);
        while (to > from && strchr(".,;:!?", text.p[to - 1])) to--;
        if (to > from) word[n].from = from, word[n++].to = to;
    }
    double best = 0;
    int at = -1;
    for (int i = 0; i + k <= n; i++) {
        const double x = likeness((struct sv){ text.p + word[i].from, word[i + k - 1].to - word[i].from }, name);
        if (x > best) best = x, at = i;
    }
    if (at < 0 || best < ALIKE) return text;
    struct sb b;
    sb_init(&b, (size_t)1 << 20);
    sb_add(&b, (struct sv){ text.p, word[at].from });
    sb_add(&b, name);
    sb_add(&b, (struct sv){ text.p + word[at + k - 1].to, text.n - word[at + k - 1].to });
    const char *p = b.failed ? NULL : arena_strndup(a, b.p, b.n);
    const struct sv out = p ? (struct sv){ p, b.n } : text;
    sb_release(&b);
    return out;
}
