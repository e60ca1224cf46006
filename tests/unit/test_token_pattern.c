/* test_token_pattern.c — the pre-tokenizers' patterns against PCRE2, and what the small matcher refuses.
 *
 * Oracle: libpcre2-8 runs the same expressions over the same text, stage after stage. PCRE2 10.42 knows Unicode 14 and counts
 * U+180E as a space, so only code points of which both say the same take part.  SPDX-License-Identifier: Apache-2.0 */
#include "token/pattern.h"
#include "token/token_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MAX_TEXT = 4096, MAX_CP = 0x110000 };

static pcre2_code *compile(const char *text)
{
    int code;
    size_t at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);

    if (!re)
        fail_msg("PCRE2 does not compile %s: error %d at %zu", text, code, at);
    return re;
}

/* ---- code points of which both say the same ---- */

static uint8_t *agreed;

static int find_agreed(void **state)
{
    (void)state;
    static const char *const names[] = { "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe",
                                         "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn" };
    pcre2_match_data *m = pcre2_match_data_create(1, NULL);
    struct sb all;

    agreed = mem_calloc(MAX_CP, 1);
    sb_init(&all, (size_t)1 << 24);
    for (int32_t cp = 1; cp < MAX_CP; cp++) {
        char u[4];
        if (cp < 0xd800 || cp > 0xdfff)
            sb_add(&all, (struct sv){ u, (size_t)utf8_put(u, cp) });
    }
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        char text[16];
        snprintf(text, sizeof text, "\\p{%s}+", names[k]);
        pcre2_code *re = compile(text);
        for (size_t at = 0; at < all.n && pcre2_match(re, (PCRE2_SPTR)all.p, all.n, at, PCRE2_NO_UTF_CHECK, m, NULL) > 0;) {
            const size_t *v = pcre2_get_ovector_pointer(m);
            for (size_t i = v[0]; i < v[1];) {
                int32_t cp = utf8_next((struct sv){ all.p, all.n }, &i);
                agreed[cp] = !strcmp(utf8_category(cp), names[k]);
            }
            at = v[1];
        }
        pcre2_code_free(re);
    }
    agreed[0x180e] = 0;
    int n = 0;
    for (int32_t cp = 0; cp < MAX_CP; cp++)
        n += agreed[cp];
    print_message("%d code points have the same category here and in PCRE2\n", n);
    sb_release(&all);
    pcre2_match_data_free(m);
    return n > 1000000 ? 0 : -1;
}

static int release_agreed(void **state)
{
    (void)state;
    mem_free(agreed);
    return 0;
}

/* ---- the oracle: pieces of a text, stage after stage ---- */

struct ends { size_t v[MAX_TEXT]; int n; };

static void split(const pcre2_code *re, pcre2_match_data *m, struct sv s, size_t from, size_t to, struct ends *out)
{
    size_t at = from;

    while (at < to && pcre2_match(re, (PCRE2_SPTR)s.p + from, to - from, at - from, 0, m, NULL) > 0) {
        const size_t *v = pcre2_get_ovector_pointer(m);
        assert_true(v[1] > v[0]);
        if (v[0] + from > at)
            out->v[out->n++] = v[0] + from;
        out->v[out->n++] = at = v[1] + from;
    }
    if (at < to)
        out->v[out->n++] = to;
}

static void oracle(pcre2_code *const *re, pcre2_match_data *m, struct sv s, struct ends *ends)
{
    static struct ends next;

    ends->n = 1;
    ends->v[0] = s.n;
    for (; *re; re++) {
        next.n = 0;
        for (int k = 0; k < ends->n; k++)
            split(*re, m, s, k ? ends->v[k - 1] : 0, ends->v[k], &next);
        *ends = next;
    }
}

/* Runs of characters from blocks that the patterns tell apart. */
static void random_text(struct rng *r, struct sb *b)
{
    static const struct { int32_t lo, hi; } block[] = {
        { 'a', 'z' }, { 'A', 'Z' }, { '0', '9' }, { ' ', ' ' }, { ' ', ' ' }, { '\t', '\r' }, { '!', '/' }, { ':', '@' }, { '[', '`' }, { '{', 0xbf },
        { 0xc0, 0x24f }, { 0x2b0, 0x36f }, { 0x370, 0x52f }, { 0x600, 0x6ff }, { 0x900, 0x97f }, { 0x1c4, 0x1cc }, { 0x2000, 0x206f }, { 0x2160, 0x2188 },
        { 0x3000, 0x30ff }, { 0x4e00, 0x9fff }, { 0xac00, 0xd7a3 }, { 0xff00, 0xffef }, { 0x10400, 0x1044f }, { 0x1d400, 0x1d7ff }, { 0x1f300, 0x1f6ff },
        { 1, 0x1f }, { 0x80, 0xffff }, { 0x10000, 0x10ffff } };
    static const char *const piece[] = { "'s", "'S", "'re", "'LL", "'d", "'", "\r\n", "\n\n", "  ", " \n ", "\xc5\xbf", "'\xc5\xbf", "\xe2\x84\xaa", "...\n", "(", ")" };

    sb_reset(b);
    for (uint32_t n = rng_below(r, 40); n > 0; n--) {
        uint32_t k = rng_below(r, ARRAY_LEN(block) + 6);
        int run = rng_below(r, 3) ? 1 : 1 + (int)rng_below(r, 6);
        for (; run > 0; run--) {
            char u[4];
            if (k >= ARRAY_LEN(block)) {
                sb_addc(b, piece[rng_below(r, ARRAY_LEN(piece))]);
                continue;
            }
            int32_t cp = block[k].lo + (int32_t)rng_below(r, (uint32_t)(block[k].hi - block[k].lo + 1));
            if (agreed[cp])
                sb_add(b, (struct sv){ u, (size_t)utf8_put(u, cp) });
        }
    }
}

static void check_row(const struct pretok_row *row, int n_text)
{
    pcre2_code *re[PRETOK_STAGES + 1] = { NULL };
    pcre2_match_data *m = pcre2_match_data_create(8, NULL);
    struct pretok *p = NULL;
    struct ends want;
    struct sb b;
    struct rng r;
    ilab_err e = { 0 };

    for (int k = 0; row->pattern[k]; k++)
        re[k] = compile(row->pattern[k]);
    if (pretok_new_row(&p, row, &e))
        fail_msg("%s: %s", row->name, e.msg);
    rng_seed(&r, 11);
    sb_init(&b, MAX_TEXT);
    for (int t = 0; t < n_text; t++) {
        struct pretok_at at = { 0 };
        int k = 0;
        random_text(&r, &b);
        oracle(re, m, (struct sv){ b.p, b.n }, &want);
        for (size_t i = 0, end; i < b.n; i = end, k++) {
            end = pretok_next(p, &at, (struct sv){ b.p, b.n }, i);
            if (k >= want.n || end != want.v[k])
                fail_msg("%s, text %d '%s': word at byte %zu ends at %zu, not at %zu", row->name, t, b.p, i, end, k < want.n ? want.v[k] : 0);
        }
    }
    for (int k = 0; re[k]; k++)
        pcre2_code_free(re[k]);
    pcre2_match_data_free(m);
    sb_release(&b);
    pretok_free(p);
}

static void test_rows(void **state)
{
    (void)state;
    const char *const *last = NULL;
    const struct pretok_row *row;
    int n = 0;

    for (int k = 0; (row = pretok_row(k)); k++)
        if (row->pattern != last) {
            last = row->pattern;
            check_row(row, 4000);
            n++;
        }
    print_message("%d rows of patterns\n", n);
}

/* ---- what else patterns are made of ---- */

static const char *const fine[] = { "a|bc|(?:de|f)?g", "[^a-c\\n]{2,3}x", "(?i:ab|k)+?", "\\w+|[^\\w\\s]+", "\\d{3}", "\\S+", "a++b|a", "\\p{Lu}\\P{L}", "x$|.",
                                    "(?:a(?:b|c)?|d)e", "[\\]\\-\\\\a]+", " ?\\S", "a{2}|b{1,}" };

static void test_syntax(void **state)
{
    (void)state;
    struct categories *c = categories_new();
    struct rng r;
    struct sb b;

    rng_seed(&r, 5);
    sb_init(&b, MAX_TEXT);
    for (size_t k = 0; k < ARRAY_LEN(fine); k++) {
        struct pattern *p = NULL;
        ilab_err e = { 0 };
        if (pattern_new(&p, sv_of(fine[k]), c, &e)) {
            assert_string_equal(fine[k], "(?i:ab|k)+?"); /* a repeated group is refused */
            assert_non_null(strstr(e.msg, "repetition of a group"));
            continue;
        }
        pcre2_code *re[2] = { compile(fine[k]) };
        pcre2_match_data *m = pcre2_match_data_create(8, NULL);
        static struct ends want;
        for (int t = 0; t < 2000; t++) {
            size_t budget = 1000000;
            int matched, n = 0;
            sb_reset(&b);
            for (uint32_t i = 1 + rng_below(&r, 12); i > 0; i--)
                sb_addch(&b, "abcdefgkxK \n1_-]\\A"[rng_below(&r, 18)]);
            oracle(re, m, (struct sv){ b.p, b.n }, &want);
            for (size_t i = 0; i < b.n; n++) {
                i = pattern_piece_end(p, (struct sv){ b.p, b.n }, i, &budget, &matched);
                if (n >= want.n || i != want.v[n])
                    fail_msg("%s on '%s': piece %d ends at %zu, not %zu", fine[k], b.p, n, i, want.v[n]);
            }
        }
        pcre2_match_data_free(m);
        pcre2_code_free(re[0]);
        mem_free(p);
    }
    sb_release(&b);
    mem_free(c);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const text[] = { "a*?", "(a", "a)", "[a", "[]", "(?=a)", "(?<=a)", "\\b", "\\1", "\\p{Han}", "\\p{", "(?i)a", "(a)+", "a{3,2}", "a{", "*a", "[a&&b]",
                                        "[[:alpha:]]", "a{1001}", "\xff", "\\", "((((((((((((((((((a))))))))))))))))))", "(?#x)", "[z-a]" };
    struct categories *c = categories_new();

    for (size_t k = 0; k < ARRAY_LEN(text); k++) {
        struct pattern *p = NULL;
        ilab_err e = { 0 };
        if (pattern_new(&p, sv_of(text[k]), c, &e) != ILAB_E_INVALID)
            fail_msg("'%s' was taken", text[k]);
        assert_null(p);
        assert_non_null(strstr(e.msg, "not supported"));
    }
    mem_free(c);
}

/* Patterns that backtrack for ever elsewhere: the work stays in proportion to the text. */
static void test_budget(void **state)
{
    (void)state;
    struct sv pattern = SV("\\s*\\s*\\s*\\s*x|a*a*a*a*b");
    struct pretok *p = NULL;
    struct sb b;

    sb_init(&b, (size_t)1 << 20);
    for (int k = 0; k < 100000; k++)
        sb_addc(&b, k < 50000 ? "a" : " ");
    assert_int_equal(pretok_new(&p, &pattern, 1, NULL), 0);
    struct pretok_at at = { 0 };
    double start = now_seconds();
    for (size_t i = 0; i < b.n;)
        i = pretok_next(p, &at, (struct sv){ b.p, b.n }, i);
    assert_true(now_seconds() - start < 10);
    pretok_free(p);
    sb_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, find_agreed, release_agreed),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
