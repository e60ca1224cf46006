/* test_text_utf8.c — well-formedness, and the form in which answers are compared.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/text.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

static void test_utf8_round_trip_of_every_code_point(void **state) {
    (void)state;
    char p[4];
    for (int32_t cp = 0; cp <= 0x10FFFF; cp++) {
        size_t n = (size_t)utf8_put(p, cp), i = 0;
        int32_t back = utf8_next((struct sv){ p, n }, &i);
        int surrogate = cp >= 0xD800 && cp <= 0xDFFF;
        if (surrogate ? back != -1 || i != 1 : back != cp || i != n) fail_msg("U+%04X", (unsigned)cp);
        for (size_t cut = 1; cut < n && !surrogate; cut++) { /* every truncation is malformed */
            i = 0;
            if (utf8_next((struct sv){ p, cut }, &i) != -1) fail_msg("U+%04X cut to %zu", (unsigned)cp, cut);
        }
    }
    static const char *const BAD[] = { "\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xED\xA0\x80", "\xFF" };
    for (size_t k = 0; k < ARRAY_LEN(BAD); k++) assert_false(utf8_valid(sv_of(BAD[k]), NULL));
    size_t at;
    assert_false(utf8_valid(SV("aé\xffz"), &at));
    assert_int_equal(at, 3);
}

static void test_normalized_answers(void **state) {
    (void)state;
    static const struct { const char *text, *want; } ROWS[] = {
        { "24,255", "24255" },
        { "There were 24,255 students.", "there were 24255 students" },
        { "1,234,567.89", "1234567.89" },
        { "24'255 and 24’255", "24255 and 24255" },
        { "In 1969,2017 and 1,2,3", "in 1969 2017 and 1 2 3" },
        { "1,2345", "1 2345" },
        { "2017,255", "2017 255" },
        { "3.5 percent.", "3.5 percent" },
        { "-5 °C, 2017-2018, −7", "-5 °c 2017 2018 -7" },
        { "Dr. Stephan Becker!", "dr stephan becker" },
        { "Dr.Becker", "dr becker" },
        { "the U.S.A. won", "the usa won" },
        { "I don't know. I don’t", "i dont know i dont" },
        { "  well-known\n\t\"thing\" (sic)  ", "well known thing sic" },
        { "STRASSE Straße", "strasse strasse" },
        { "ﬁve ２４,２５５ Å", "five 24255 å" },
        { "e\xCC\x81t\xC3\xA9", "été" },
        { "soft\xC2\xADhyphen", "softhyphen" },
        { "bad\xff\xfe bytes", "bad bytes" },
        { "...", "" },
        { "", "" },
    };
    struct arena a;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct sv out = utf8_normalize_answer(&a, sv_of(ROWS[i].text));
        assert_non_null(out.p);
        if (!sv_eq_c(out, ROWS[i].want)) fail_msg("'%s' gave '%.*s', not '%s'", ROWS[i].text, SV_ARG(out), ROWS[i].want);
        struct sv again = utf8_normalize_answer(&a, out); /* a fixed point */
        if (!sv_eq(again, out)) fail_msg("'%.*s' gave '%.*s'", SV_ARG(out), SV_ARG(again));
    }
    for (long n = 1; n < 10; n++) {
        mem_fail_at = n;
        struct arena b;
        arena_init(&b, 1000);
        struct sv out = utf8_normalize_answer(&b, SV("bad\xff one"));
        int failed = mem_fail_at == 0;
        mem_fail_at = -1;
        assert_true(failed == (out.p == NULL));
        arena_release(&b);
    }
    arena_release(&a);
}

static void test_lower_and_width(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 16);
    assert_true(sv_eq_c(utf8_lower(&a, SV("ÄÖÜ Straße İȺ")), "äöü straße iⱥ"));
    assert_int_equal(utf8_width(SV("aé")), 2);
    assert_int_equal(utf8_width(SV("e\xCC\x81")), 1);
    assert_int_equal(utf8_width(SV("日本😀")), 6);
    assert_string_equal(utf8_category('A'), "Lu");
    assert_string_equal(utf8_category(0x663), "Nd");
    arena_release(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_round_trip_of_every_code_point),
        cmocka_unit_test(test_normalized_answers),
        cmocka_unit_test(test_lower_and_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
