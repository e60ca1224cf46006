/* pretok.c — cuts text into the words inside which byte-level BPE merges.
 *
 * Each model family fixes this by regular expressions; here they are hand-written scanners, one row a name.
 *   GPT-2   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+     (Radford et al. 2019)
 *   SINGLE  \p{N} first, then GPT-2 on the stretches between the digits                     (StarCoder, SmolLM)
 *   LLAMA   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,K}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *           with K = 3 (Llama 3) or 1 (Qwen 2)
 *   PUNCT   [\p{P}$+<=>^~|]+ first, then GPT-2, then digits apart in threes (llama.cpp's "default")
 * Bytes that are not UTF-8 count as "other". The words put together are the text again, byte for byte.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

#include <string.h>

enum char_class { C_OTHER, C_LETTER, C_NUMBER, C_SPACE, C_PUNCT };
enum pattern { PATTERN_GPT2, PATTERN_SINGLE, PATTERN_PUNCT, PATTERN_LLAMA };

struct pretok { const char *name; enum pattern pattern; int max_digits, ignores_merges, adds_bos; };

static const struct pretok rows[] = {
    { "default", PATTERN_PUNCT, 3 },
    { "gpt-2", PATTERN_GPT2 },      { "gpt2", PATTERN_GPT2 },        { "phi-2", PATTERN_GPT2 },
    { "mpt", PATTERN_GPT2 },        { "olmo", PATTERN_GPT2 },        { "jais", PATTERN_GPT2 },
    { "granite-docling", PATTERN_GPT2 },
    { "smollm", PATTERN_SINGLE },   { "starcoder", PATTERN_SINGLE }, { "refact", PATTERN_SINGLE },
    { "command-r", PATTERN_SINGLE }, { "codeshell", PATTERN_SINGLE },
    { "llama-bpe", PATTERN_LLAMA, 3, 1, 1 }, { "llama3", PATTERN_LLAMA, 3, 1, 1 },
    { "llama-v3", PATTERN_LLAMA, 3, 1, 1 },  { "falcon3", PATTERN_LLAMA, 3, 1, 1 },
    { "smaug-bpe", PATTERN_LLAMA, 3 },       { "dbrx", PATTERN_LLAMA, 3 },
    { "qwen2", PATTERN_LLAMA, 1 },  { "deepseek-r1-qwen", PATTERN_LLAMA, 1 }, { "stablelm2", PATTERN_LLAMA, 1 },
};

#define FIVE_PUNCT C_PUNCT, C_PUNCT, C_PUNCT, C_PUNCT, C_PUNCT
#define SIX_LETTERS C_LETTER, C_LETTER, C_LETTER, C_LETTER, C_LETTER, C_LETTER
#define LETTERS_26 SIX_LETTERS, SIX_LETTERS, SIX_LETTERS, SIX_LETTERS, C_LETTER, C_LETTER
static const uint8_t ascii_class[128] = {
    ['A'] = LETTERS_26,
    ['a'] = LETTERS_26,
    ['0'] = C_NUMBER, C_NUMBER, C_NUMBER, C_NUMBER, C_NUMBER, C_NUMBER, C_NUMBER, C_NUMBER, C_NUMBER, C_NUMBER,
    ['\t'] = C_SPACE, C_SPACE, C_SPACE, C_SPACE, C_SPACE, [' '] = C_SPACE,
    ['!'] = FIVE_PUNCT, FIVE_PUNCT, FIVE_PUNCT,
    [':'] = FIVE_PUNCT, C_PUNCT, C_PUNCT,
    ['['] = FIVE_PUNCT,
    ['{'] = C_PUNCT, C_PUNCT, C_PUNCT, C_PUNCT, /* '`' is a symbol and in no row's extra set: other */
};

/* White_Space of the Unicode Character Database. */
static int is_space(int32_t cp)
{
    return cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

static enum char_class wide_class(struct sv s, size_t i, size_t *next)
{
    *next = i;
    int32_t cp = utf8_next(s, next);
    if (cp < 0)
        return C_OTHER;
    if (is_space(cp))
        return C_SPACE;
    switch (utf8_category(cp)[0]) {
    case 'L': return C_LETTER;
    case 'N': return C_NUMBER;
    case 'P': return C_PUNCT;
    default: return C_OTHER;
    }
}

static inline enum char_class class_at(const struct pretok *p, struct sv s, size_t i, size_t *next)
{
    uint8_t b = (uint8_t)s.p[i];
    enum char_class c;

    if (b < 128) {
        *next = i + 1;
        c = (enum char_class)ascii_class[b];
    } else
        c = wide_class(s, i, next);
    return c == C_PUNCT && p->pattern != PATTERN_PUNCT ? C_OTHER : c;
}

/* End of the run of class c that goes on at i. */
static size_t run_end(const struct pretok *p, struct sv s, size_t i, enum char_class c)
{
    size_t next;

    while (i < s.n && class_at(p, s, i, &next) == c)
        i = next;
    return i;
}

/* Bytes of 's 't 're 've 'm 'll 'd at i, or 0. */
static size_t contraction(struct sv s, size_t i, int fold)
{
    static const char *const tail[] = { "s", "t", "re", "ve", "m", "ll", "d" };

    if (s.p[i] != '\'')
        return 0;
    for (size_t k = 0; k < ARRAY_LEN(tail); k++) {
        size_t n = strlen(tail[k]), j = 0;
        if (s.n - i <= n)
            continue;
        while (j < n) {
            char c = s.p[i + 1 + j];
            if (fold && c >= 'A' && c <= 'Z')
                c = (char)(c + 32);
            if (c != tail[k][j])
                break;
            j++;
        }
        if (j == n)
            return n + 1;
    }
    return 0;
}

/* White space at i: the run without its last character when a word follows it in the same stretch. */
static size_t space_end(const struct pretok *p, struct sv s, size_t i)
{
    size_t last = i, end = i, next;
    enum char_class c = C_SPACE;

    while (end < s.n && (c = class_at(p, s, end, &next)) == C_SPACE) {
        last = end;
        end = next;
    }
    int ends_stretch = end == s.n || (p->pattern == PATTERN_SINGLE && c == C_NUMBER) || (p->pattern == PATTERN_PUNCT && c == C_PUNCT);
    return ends_stretch || last == i ? end : last;
}

static int three_digits(struct sv s, size_t i)
{
    for (size_t k = i; k < i + 3; k++)
        if (k >= s.n || s.p[k] < '0' || s.p[k] > '9')
            return 0;
    return 1;
}

/* [0-9][0-9][0-9] cuts its matches out of the run of numbers; what lies between stays together. */
static size_t number_end_in_threes(const struct pretok *p, struct sv s, size_t i)
{
    size_t next;

    if (three_digits(s, i))
        return i + 3;
    while (i < s.n && !three_digits(s, i) && class_at(p, s, i, &next) == C_NUMBER)
        i = next;
    return i;
}

static size_t gpt2_next(const struct pretok *p, struct sv s, size_t i)
{
    size_t next, n;
    enum char_class c = class_at(p, s, i, &next);

    if (c == C_NUMBER && p->pattern == PATTERN_SINGLE)
        return next;
    if (c == C_NUMBER && p->pattern == PATTERN_PUNCT)
        return number_end_in_threes(p, s, i);
    if (c == C_OTHER && (n = contraction(s, i, 0)))
        return i + n;
    if (c != C_SPACE)
        return run_end(p, s, next, c);
    if (s.p[i] == ' ' && next < s.n) {
        size_t start = next;
        c = class_at(p, s, start, &next);
        if (c == C_LETTER || c == C_OTHER || (c == C_NUMBER && p->pattern == PATTERN_GPT2))
            return run_end(p, s, next, c);
    }
    return space_end(p, s, i);
}

static int is_newline(char c) { return c == '\r' || c == '\n'; }

static size_t llama_next(const struct pretok *p, struct sv s, size_t i)
{
    size_t next, after, n;
    enum char_class c = class_at(p, s, i, &next), follow = C_SPACE;

    if ((n = contraction(s, i, 1)))
        return i + n;
    if (c == C_LETTER)
        return run_end(p, s, next, C_LETTER);
    if (c == C_NUMBER) {
        for (int k = 1; k < p->max_digits && next < s.n && class_at(p, s, next, &after) == C_NUMBER; k++)
            next = after;
        return next;
    }
    if (next < s.n)
        follow = class_at(p, s, next, &after);
    if (follow == C_LETTER && !is_newline(s.p[i]))
        return run_end(p, s, next, C_LETTER);
    if (c == C_OTHER || (s.p[i] == ' ' && follow == C_OTHER)) {
        next = run_end(p, s, next, C_OTHER);
        while (next < s.n && is_newline(s.p[next]))
            next++;
        return next;
    }
    size_t end = run_end(p, s, next, C_SPACE);
    for (size_t k = end; k > i; k--)
        if (is_newline(s.p[k - 1]))
            return k;
    return space_end(p, s, i);
}

size_t pretok_next(const struct pretok *p, struct sv s, size_t i)
{
    if (s.n - i > TOKEN_MAX_WORD_BYTES)
        s.n = i + TOKEN_MAX_WORD_BYTES;
    return p->pattern == PATTERN_LLAMA ? llama_next(p, s, i) : gpt2_next(p, s, i);
}

const struct pretok *pretok_find(struct sv name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (sv_eq_c(name, rows[i].name))
            return &rows[i];
    return NULL;
}

int pretok_ignores_merges(const struct pretok *p) { return p->ignores_merges; }
int pretok_adds_bos(const struct pretok *p) { return p->adds_bos; }
