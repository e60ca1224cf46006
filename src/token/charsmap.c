/* charsmap.c — SentencePiece's precompiled normalisation: a trie of what is replaced, and the replacements.
 *
 * Layout (sentencepiece, src/normalizer.cc, "precompiled_charsmap"): the trie's size in bytes, 32-bit little-endian; the trie, a
 * double array of 32-bit units (Darts-clone, "Unit"); the replacements, each ended by NUL, named by their offset.
 * A unit: bits 0-7 label, bit 8 has a leaf, bit 9 offset is shifted by 8, bits 10-30 offset, bit 31 leaf; a leaf's bits 0-30 value.
 * The longest match wins; bytes that are not UTF-8 become U+FFFD.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

#include <string.h>

enum { HEADER = 4, UNIT = 4 };

static uint32_t read_u32(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

int charsmap_check(const uint8_t *p, size_t n, ilab_err *e)
{
    uint32_t trie = n >= HEADER ? read_u32(p) : 0;

    if (n < HEADER + UNIT || trie % UNIT || trie < UNIT || trie >= n - HEADER || p[n - 1] != 0)
        return err_set(e, ILAB_E_FORMAT, "the tokenizer's normalisation table (%zu bytes) is damaged", n);
    return 0;
}

/* Unit k; a unit beyond the end is like none (label 0 matches no byte that is looked for). */
static uint32_t unit_at(const struct tokenizer *t, size_t k, size_t n_unit)
{
    return k < n_unit ? read_u32(t->charsmap + HEADER + k * UNIT) : 0;
}

static size_t unit_offset(uint32_t unit) { return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6); }

/* Bytes at s.p[i] that are replaced, by *with; 0: none. */
static size_t longest_match(const struct tokenizer *t, struct sv s, size_t i, struct sv *with)
{
    size_t trie = read_u32(t->charsmap), n_unit = trie / UNIT, node = unit_offset(unit_at(t, 0, n_unit)), best = 0;
    const char *texts = (const char *)t->charsmap + HEADER + trie;
    size_t texts_n = t->charsmap_n - HEADER - trie;

    for (size_t k = i; k < s.n && s.p[k]; k++) {
        uint8_t c = (uint8_t)s.p[k];
        node ^= c;
        uint32_t unit = unit_at(t, node, n_unit);
        if ((unit & (1u << 31 | 0xff)) != c)
            break;
        node ^= unit_offset(unit);
        size_t value = unit_at(t, node, n_unit) & 0x7fffffff;
        if ((unit >> 8 & 1) && value < texts_n) {
            best = k - i + 1;
            *with = sv_of(texts + value); /* the table ends with NUL */
        }
    }
    return best;
}

void charsmap_apply(const struct tokenizer *t, struct sv text, struct sb *out)
{
    for (size_t i = 0; i < text.n;) {
        struct sv with;
        size_t n = longest_match(t, text, i, &with), start = i;
        if (n) {
            sb_add(out, with);
            i += n;
            continue;
        }
        if (utf8_next(text, &i) < 0)
            sb_addc(out, "\xef\xbf\xbd");
        else
            sb_add(out, (struct sv){ text.p + start, i - start });
    }
}
