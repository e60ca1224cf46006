/* utf8.c — decoding, encoding, and the form in which answers are compared.
 *
 * Well-formed means Unicode 15 table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF.
 * Properties and normalisation are utf8proc's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/text.h"

#include <string.h>
#include <utf8proc.h>

int32_t utf8_next(struct sv s, size_t *i) {
    const unsigned char *p = (const unsigned char *)s.p + *i;
    size_t left = s.n - *i, len;
    unsigned c = p[0], lo = 0x80, hi = 0xBF; /* bounds of the second byte */
    *i += 1;
    if (c < 0x80) return (int32_t)c;
    if (c >= 0xC2 && c <= 0xDF) len = 2;
    else if (c >= 0xE0 && c <= 0xEF) len = 3;
    else if (c >= 0xF0 && c <= 0xF4) len = 4;
    else return -1;
    if (c == 0xE0) lo = 0xA0;
    if (c == 0xED) hi = 0x9F;
    if (c == 0xF0) lo = 0x90;
    if (c == 0xF4) hi = 0x8F;
    if (left < len || p[1] < lo || p[1] > hi) return -1;
    int32_t cp = (int32_t)(c & (0x7Fu >> len));
    for (size_t k = 1; k < len; k++) {
        if ((p[k] & 0xC0) != 0x80) return -1;
        cp = cp << 6 | (p[k] & 0x3F);
    }
    *i += len - 1;
    return cp;
}

int utf8_valid(struct sv s, size_t *bad_at) {
    for (size_t i = 0; i < s.n;) {
        size_t at = i;
        if (utf8_next(s, &i) < 0) {
            if (bad_at) *bad_at = at;
            return 0;
        }
    }
    return 1;
}

int utf8_put(char out[4], int32_t cp) {
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    int len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (int k = len - 1; k > 0; k--, cp >>= 6) out[k] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)((0xF00 >> len & 0xFF) | cp);
    return len;
}

const char *utf8_category(int32_t cp) { return utf8proc_category_string(cp); }

int32_t utf8_lower_one(int32_t cp) { return utf8proc_tolower(cp); }

int utf8_decompose_one(int32_t cp, int32_t out[UTF8_DECOMPOSED]) {
    int last_class = 0;
    ptrdiff_t n = utf8proc_decompose_char(cp, out, UTF8_DECOMPOSED, UTF8PROC_DECOMPOSE, &last_class);
    if (n >= 1 && n <= UTF8_DECOMPOSED) return (int)n;
    out[0] = cp;
    return 1;
}

int utf8_width(struct sv s) {
    int width = 0;
    for (size_t i = 0; i < s.n;) {
        int32_t cp = utf8_next(s, &i);
        width += cp < 0 ? 1 : utf8proc_charwidth(cp);
    }
    return width;
}

char *utf8_clean(struct sv s)
{
    struct sb b;
    char c[4];
    sb_init(&b, s.n * 3 + 1);
    for (size_t i = 0; i < s.n;) {
        const int32_t cp = utf8_next(s, &i);
        sb_add(&b, (struct sv){ c, (size_t)utf8_put(c, cp > 0 ? cp : 0xFFFD) });
    }
    return sb_take(&b, NULL);
}

struct sv utf8_lower(struct arena *a, struct sv s) {
    size_t max;
    /* A two-byte letter may become a three-byte one (U+023A). Malformed bytes become U+FFFD. */
    char *p = MUL_OVERFLOWS(s.n, (size_t)3, &max) ? NULL : arena_alloc(a, max + 1, 1);
    if (!p) return (struct sv){ NULL, 0 };
    size_t n = 0;
    for (size_t i = 0; i < s.n;) {
        int32_t cp = utf8_next(s, &i);
        n += (size_t)utf8_put(p + n, cp < 0 ? 0xFFFD : utf8proc_tolower(cp));
    }
    return (struct sv){ p, n };
}

/* ---- answers ---- */

enum class { LETTER, DIGIT, SPACE, GONE, BREAK }; /* BREAK: punctuation that separates words */

static int is_digit(int32_t cp) { return cp >= '0' && cp <= '9'; }

static enum class class_of(int32_t cp) {
    if (is_digit(cp)) return DIGIT;
    if (cp == '\'' || cp == 0x2019 || cp == 0x2018 || cp == 0x2BC || cp == 0xFFFD) return GONE; /* don't → dont */
    if (cp < 0x80 && cp > ' ' && !(cp >= 'a' && cp <= 'z') && !(cp >= 'A' && cp <= 'Z')) return BREAK; /* also $ + < = > ^ ` | ~ */
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_PC: case UTF8PROC_CATEGORY_PD: case UTF8PROC_CATEGORY_PS: case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI: case UTF8PROC_CATEGORY_PF: case UTF8PROC_CATEGORY_PO: case UTF8PROC_CATEGORY_SK:
        return BREAK;
    case UTF8PROC_CATEGORY_ZS: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP: case UTF8PROC_CATEGORY_CC:
        return SPACE;
    case UTF8PROC_CATEGORY_CF: return GONE;
    default: return LETTER;
    }
}

static int is_letter(const int32_t *c, ptrdiff_t n, ptrdiff_t i) { return i >= 0 && i < n && class_of(c[i]) == LETTER; }
static int digit_at(const int32_t *c, ptrdiff_t n, ptrdiff_t i) { return i >= 0 && i < n && is_digit(c[i]); }

/* c[i] separates thousands: one to three digits, or a group that follows a separator, before it and exactly
 * three digits behind it. */
static int separates_thousands(const int32_t *c, ptrdiff_t n, ptrdiff_t i) {
    if (c[i] != ',' && c[i] != '\'' && c[i] != 0x2019) return 0;
    ptrdiff_t behind = 0, before = 0;
    while (digit_at(c, n, i + 1 + behind)) behind++;
    while (digit_at(c, n, i - 1 - before)) before++;
    return behind == 3 && before >= 1 && before <= 3;
}

/* What a punctuation mark becomes: itself, nothing (0) or a space. */
static int32_t punctuation(const int32_t *c, ptrdiff_t n, ptrdiff_t i, enum class k) {
    int between_digits = digit_at(c, n, i - 1) && digit_at(c, n, i + 1);
    if (separates_thousands(c, n, i)) return 0;
    if (c[i] == '.') {
        if (between_digits) return '.';
        return is_letter(c, n, i - 1) && !is_letter(c, n, i - 2) ? 0 : ' '; /* U.S. → us, but "end.Next" → "end next" */
    }
    int minus = c[i] == '-' || c[i] == 0x2212;
    if (minus && digit_at(c, n, i + 1) && !is_letter(c, n, i - 1) && !digit_at(c, n, i - 1)) return '-';
    return k == GONE && !between_digits ? 0 : ' ';
}

/* NFKC_Casefold (Unicode 15 §3.13) */
enum { FOLD = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE, NFC = UTF8PROC_STABLE | UTF8PROC_COMPOSE };

/* The code points of a normal form of s in a temporary buffer; *n < 0: no memory. */
static int32_t *normal_form(struct sv s, int options, ptrdiff_t *n) {
    struct sb clean; /* utf8proc refuses malformed text */
    sb_init(&clean, SIZE_MAX / 32);
    char one[4];
    if (!utf8_valid(s, NULL)) {
        for (size_t i = 0; i < s.n;) {
            int32_t cp = utf8_next(s, &i);
            if (cp >= 0) sb_add(&clean, (struct sv){ one, (size_t)utf8_put(one, cp) });
        }
        s = (struct sv){ clean.p, clean.n };
    }
    int32_t *buf = NULL;
    size_t cap = 0;
    *n = -1;
    for (size_t need = s.n + 1; !clean.failed && need > cap;) {
        if (mem_grow((void **)&buf, &cap, need, sizeof *buf)) break;
        ptrdiff_t len = utf8proc_decompose((const uint8_t *)s.p, (ptrdiff_t)s.n, buf, (ptrdiff_t)cap, options);
        if (len < 0) break;
        need = (size_t)len;
        if (need <= cap) *n = utf8proc_normalize_utf32(buf, len, options);
    }
    sb_release(&clean);
    return buf;
}

struct sv utf8_compose(struct arena *a, struct sv s) {
    ptrdiff_t n;
    int32_t *c = normal_form(s, NFC, &n);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n * 4 + 1, 1);
    size_t len = 0;
    for (ptrdiff_t i = 0; p && i < n; i++) len += (size_t)utf8_put(p + len, c[i]);
    mem_free(c);
    return (struct sv){ p, p ? len : 0 };
}

struct sv utf8_normalize_answer(struct arena *a, struct sv s) {
    ptrdiff_t n;
    int32_t *c = normal_form(s, FOLD, &n);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n * 4 + 1, 1);
    size_t len = 0;
    for (ptrdiff_t i = 0; p && i < n; i++) {
        enum class k = class_of(c[i]);
        int32_t cp = k == SPACE ? ' ' : k == BREAK || k == GONE || c[i] == 0x2212 ? punctuation(c, n, i, k) : c[i];
        if (cp == 0 || (cp == ' ' && (len == 0 || p[len - 1] == ' '))) continue;
        len += (size_t)utf8_put(p + len, cp);
    }
    mem_free(c);
    if (!p) return (struct sv){ NULL, 0 };
    if (len && p[len - 1] == ' ') len--;
    p[len] = 0;
    return (struct sv){ p, len };
}
