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

static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* Another number of the same look: its first digit is not 0, its last half always differs. */
static void perturb_number(struct sb *b, struct sv w, struct rng *r)
{
    int first = 1;
    for (size_t j = 0; j < w.n; j++) {
        const int change = is_digit(w.p[j]) && (j + 1 >= w.n - w.n / 2 || rng_below(r, 3) == 0);
        const char other = (char)('0' + (w.p[j] - '0' + 1 + (int)rng_below(r, 9)) % 10);
        sb_addch(b, !change ? w.p[j] : other == '0' && first ? (w.p[j] == '9' ? '8' : '9') : other);
        first &= !is_digit(w.p[j]);
    }
}

static void add_syllables(struct sb *b, struct rng *r, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const char *s = SYLLABLE[rng_below(r, ARRAY_LEN(SYLLABLE))];
        sb_addch(b, i ? s[0] : (char)(s[0] & ~0x20));
        sb_addc(b, s + 1);
    }
}

static void perturb_word(struct sb *b, struct sv w, struct rng *r)
{
    for (size_t i = 0; i < w.n; i++)
        if (is_digit(w.p[i])) {
            perturb_number(b, w, r);
            return;
        }
    const uint32_t way = rng_below(r, 4);
    if (way == 0 && w.n >= 5) { /* another second half */
        size_t half = w.n / 2;
        while (half && ((unsigned char)w.p[half] & 0xC0) == 0x80) half--;
        sb_add(b, (struct sv){ w.p, half });
        sb_addc(b, SYLLABLE[rng_below(r, ARRAY_LEN(SYLLABLE))]);
    } else if (way == 1) {      /* another word altogether */
        add_syllables(b, r, 2 + rng_below(r, 2));
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

/* Index of the word to change. The one that carries the identity, most of the time: the first that is more than a title or a
 * function word ("Bielefeld University", "Dr. Mara Lind"), or the one behind a connector ("University of Bielefeld"). */
static int choose_word(struct sv name, struct rng *r)
{
    int candidate[16], n = 0, i = 0, behind = -1, connector = 0;
    struct sv w;
    for (struct sv rest = name; n < 16 && sv_split(&rest, ' ', &w); i++) {
        const int has_number = w.n && (is_digit(w.p[0]) || is_digit(w.p[w.n - 1]));
        if ((w.n > 2 && w.p[w.n - 1] != '.' && !word_is_function(w) && !word_is_connector(w)) || has_number) {
            if (connector && n && behind < 0) behind = i;
            candidate[n++] = i;
        }
        connector = word_is_connector(w);
    }
    if (!n) return rng_below(r, 2) ? 0 : -1;
    if (n > 1 && rng_below(r, 4) == 0) return candidate[rng_below(r, (uint32_t)n)];
    return behind >= 0 ? behind : candidate[0];
}

struct sv name_perturb(struct arena *a, struct sv name, struct rng *r)
{
    struct sb b;
    name = sv_trim(name);
    sb_init(&b, 1 << 16);
    for (int attempt = 0; attempt < 20 && (!b.n || sv_eq((struct sv){ b.p, b.n }, name)); attempt++) {
        struct sv rest = name, w;
        const int which = choose_word(name, r);
        sb_reset(&b);
        for (int i = 0; sv_split(&rest, ' ', &w); i++) {
            if (i) sb_addch(&b, ' ');
            if (i == which && w.n) perturb_word(&b, w, r);
            else sb_add(&b, w);
        }
    }
    if (!b.n || b.failed || sv_eq((struct sv){ b.p, b.n }, name)) { /* nothing in it that could be changed: another name */
        sb_reset(&b);
        add_syllables(&b, r, 3);
        if (sv_eq((struct sv){ b.p, b.n }, name)) sb_addc(&b, SYLLABLE[0]);
    }
    const char *p = arena_strndup(a, b.p, b.n);
    const struct sv out = { p ? p : "", p ? b.n : 0 };
    sb_release(&b);
    return out;
}
