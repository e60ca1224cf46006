/* perturb.c — names that look like a given one and are not it.
 *
 * One or two words of the name are changed: vowels for vowels, consonants for consonants, or a word's second half replaced by
 * syllables. Pure string work, so it holds for names of any kind.  SPDX-License-Identifier: Apache-2.0 */
#include "data/fact.h"

#include <string.h>

static const char VOWEL[] = "aeiou", CONSONANT[] = "bdfgklmnprstvw";
static const char *const SYLLABLE[] = { "dal", "mor", "ven", "tal", "rick", "sen", "lund", "wick", "bro", "ster", "nau", "hof", "ria", "mund",
                                        "field", "den", "gard", "lin", "rath", "ost", "bach", "ville", "ham", "zen", "kirk", "nor" };

static char change_letter(char c, struct rng *r)
{
    const char low = (char)(c | 0x20);
    const char *from = strchr(VOWEL, low) ? VOWEL : CONSONANT;
    char out = low;
    while (out == low) out = from[rng_below(r, (uint32_t)strlen(from))];
    return c == low ? out : (char)(out & ~0x20);
}

static int is_letter(char c) { return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'); }

static void perturb_word(struct sb *b, struct sv w, struct rng *r)
{
    for (size_t i = 0; i < w.n; i++) {
        if (w.p[i] < '0' || w.p[i] > '9') continue;
        for (size_t j = 0; j < w.n; j++) { /* another number of the same look */
            const int digit = w.p[j] >= '0' && w.p[j] <= '9', change = digit && (j + 1 >= w.n - w.n / 2 || rng_below(r, 3) == 0);
            sb_addch(b, change ? (char)('0' + (w.p[j] - '0' + 1 + (int)rng_below(r, 9)) % 10) : w.p[j]);
        }
        return;
    }
    const uint32_t way = rng_below(r, 4);
    if (way == 0 && w.n >= 5) { /* another second half */
        sb_add(b, (struct sv){ w.p, w.n / 2 });
        sb_addc(b, SYLLABLE[rng_below(r, ARRAY_LEN(SYLLABLE))]);
    } else if (way == 1) {      /* another word altogether */
        const char *s = SYLLABLE[rng_below(r, ARRAY_LEN(SYLLABLE))];
        sb_addch(b, (char)(s[0] & ~0x20));
        sb_addc(b, s + 1);
        for (uint32_t i = 0, n = 1 + rng_below(r, 2); i < n; i++) sb_addc(b, SYLLABLE[rng_below(r, ARRAY_LEN(SYLLABLE))]);
    } else {                    /* one to three letters */
        char buf[64];
        const size_t n = w.n < sizeof buf ? w.n : sizeof buf;
        memcpy(buf, w.p, n);
        for (uint32_t i = 0, k = 1 + rng_below(r, 3); i < k; i++) {
            const size_t at = rng_below(r, (uint32_t)n);
            if (is_letter(buf[at])) buf[at] = change_letter(buf[at], r);
        }
        sb_add(b, (struct sv){ buf, n });
        sb_add(b, (struct sv){ w.p + n, w.n - n });
    }
}

struct sv name_perturb(struct arena *a, struct sv name, struct rng *r)
{
    struct sb b;
    sb_init(&b, 4096);
    for (int attempt = 0; attempt < 20; attempt++) {
        sb_reset(&b);
        struct sv rest = name, w;
        int n_words = 0, i = 0;
        while (sv_split(&rest, ' ', &w)) n_words++;
        /* the first word carries the identity ("Bielefeld University"); now and then any word */
        const int which = n_words > 1 && rng_below(r, 4) == 0 ? (int)rng_below(r, (uint32_t)n_words) : 0;
        for (rest = name; sv_split(&rest, ' ', &w); i++) {
            if (i) sb_addch(&b, ' ');
            if (i == which && w.n > 2) perturb_word(&b, w, r);
            else sb_add(&b, w);
        }
        if (!sv_eq((struct sv){ b.p ? b.p : "", b.n }, name)) break;
    }
    const char *p = arena_strndup(a, b.p ? b.p : "", b.n);
    const struct sv out = { p ? p : "", p ? b.n : 0 };
    sb_release(&b);
    return out;
}
