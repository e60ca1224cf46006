/* test_data_text.c — cutting documents, looking at words, perturbing names, ROUGE-L.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data_test.h"

#include <math.h>

static struct arena arena;
static ilab_err err;

static char *joined(const struct sv *v, size_t n)
{
    static char out[1 << 16];
    size_t at_byte = 0;
    out[0] = 0;
    for (size_t i = 0; i < n; i++) at_byte += (size_t)snprintf(out + at_byte, sizeof out - at_byte, "%s%.*s", i ? " | " : "", SV_ARG(v[i]));
    return out;
}

/* The sentences of a Markdown text, passage by passage. */
static void sentences_of(struct sv text, struct sv **out, size_t *n)
{
    static struct extract x;
    static struct sv all[20000];
    *n = 0;
    *out = all;
    extract_release(&x);
    assert_int_equal(document_extract_bytes("markdown", text, "t", &x, &err), 0);
    for (size_t i = 0; i < x.n; i++) {
        struct sv *v;
        size_t m;
        if (x.v[i].kind == PASSAGE_HEADING || x.v[i].kind == PASSAGE_CODE) continue;
        assert_int_equal(passage_sentences(x.v[i].text, x.v[i].kind != PASSAGE_PARAGRAPH, &arena, &v, &m, &err), 0);
        for (size_t k = 0; k < m && *n < ARRAY_LEN(all); k++) all[(*n)++] = v[k];
    }
}

static void test_sentences(void **state)
{
    (void)state;
    static const struct { const char *text, *want; } ROWS[] = {
        { "The chancellor is Dr. Stephan Becker. He took office in 2017.", "The chancellor is Dr. Stephan Becker. | He took office in 2017." },
        { "The chancellor is Dr. Stephan\nBecker, who\nlives in Ulm. It is old!", "The chancellor is Dr. Stephan Becker, who lives in Ulm. | It is old!" },
        { "It was led by Prof. Anna Lind and J. K. Berg. Who was first? Nobody knows.", "It was led by Prof. Anna Lind and J. K. Berg. | Who was first? | Nobody knows." },
        { "It moved to the U.S. in 1970. The army of the U.S. It grew. Then it joined the EU. Later it left.",
          "It moved to the U.S. in 1970. | The army of the U.S. | It grew. | Then it joined the EU. | Later it left." },
        { "It has 3.5 million books, e.g. old ones. He said \"It is big.\" She agreed.", "It has 3.5 million books, e.g. old ones. | He said \"It is big.\" | She agreed." },
        { "It opened on 5. September 1969 in Bonn. It has 12. The town is old.", "It opened on 5. September 1969 in Bonn. | It has 12. | The town is old." },
        { "# A heading\nFirst line here.\n\n## Another\n\nUnder it.\n\nTitle\n=====\nText below the title.", "First line here. | Under it. | Text below the title." },
        { "Facts of the town:\n\n- Founded: 1969\n- Students: *24,255*\n  in 2017\n* Mayor: Jo Berg.\n1. The first one\n2. The second one",
          "Facts of the town: | Founded: 1969. | Students: 24,255 in 2017. | Mayor: Jo Berg. | The first one. | The second one." },
        { "| Name | Value |\n|---|---:|\n| Founded | 1969 |\n| Staff | 1,100 | 2017 |\n\nAfter the table.", "Name: Founded; Value: 1969. | Name: Staff; Value: 1,100; 2017. | After the table." },
        { "See the [town hall](https://x.y/z_(a)) and **the _old_ church**, `code`, snake_case and 5 * 3.", "See the town hall and the old church, code, snake_case and 5 * 3." },
        { "It was founded in 1969[1][^note] by [Jo][ref].<ref name=a/> It \\*grew\\*.\xC2\xA0Now ![a picture](x.png) it is <b>big</b>.\n\n[ref]: https://x.y",
          "It was founded in 1969 by Jo. | It *grew*. | Now it is big." },
        { "It had 12 halls[1][2] in 1969[1](#cite_note-1) and [27][ref] rooms [here].[3]\n\n[ref]: https://x.y", "It had 12 halls in 1969 and 27 rooms here." },
        { "Before it.\n```\nint main(void) { return 0; }\n```\nBehind it all.", "Before it. | Behind it all." },
        { "one two\n\nWord.\n\nthree four five six", "three four five six" }, /* short scraps are no sentences */
        { "", "" }, { "\n\n---\n***\n", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct sv *v;
        size_t n;
        arena_reset(&arena);
        sentences_of(sv_of(ROWS[i].text), &v, &n);
        assert_string_equal(joined(v, n), ROWS[i].want);
    }
}

static void test_long_text_without_an_end(void **state)
{
    (void)state;
    struct sv *v;
    size_t n, total = 0;
    struct sb b;
    sb_init(&b, 1 << 20);
    for (int i = 0; i < 3000; i++) sb_addf(&b, "W\xC3\xB6rd%d ", i);
    for (int i = 0; i < 5000; i++) sb_addc(&b, "\xC3\xB6"); /* no space at all */
    arena_reset(&arena);
    assert_int_equal(passage_sentences((struct sv){ b.p, b.n }, 0, &arena, &v, &n, &err), 0);
    for (size_t i = 0; i < n; i++) {
        assert_true(v[i].n <= 2000 && utf8_valid(v[i], NULL));
        total += v[i].n;
    }
    assert_true(n > 10 && total + n + 1 >= b.n); /* nothing is lost but spaces */
    sb_release(&b);
}

/* What was made of one passage; an item gets its full stop, marks of footnotes go, other brackets stay. */
static void test_passage_sentences(void **state)
{
    (void)state;
    static const struct { const char *text; int alone; const char *want; } ROWS[] = {
        { "It was founded in 1969.[1] It has *two* halls [of stone][^a].", 0, "It was founded in 1969. | It has *two* halls [of stone]." },
        { "Standort: \xC3\x96hringen; Fl\xC3\xA4" "che: 4200 m\xC2\xB2", 1, "Standort: \xC3\x96hringen; Fl\xC3\xA4" "che: 4200 m\xC2\xB2." },
        { "Founded: 1969", 1, "Founded: 1969." }, { "Founded: 1969", 0, "" }, { "", 1, "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct sv *v;
        size_t n;
        arena_reset(&arena);
        assert_int_equal(passage_sentences(sv_of(ROWS[i].text), ROWS[i].alone, &arena, &v, &n, &err), 0);
        assert_string_equal(joined(v, n), ROWS[i].want);
    }
}

static void test_value_spans(void **state)
{
    (void)state;
    static const struct { const char *text, *has, *lacks; } ROWS[] = {
        { "The chancellor is Dr. Stephan Becker.", "Dr. Stephan Becker", "The" },
        { "It had 24,255 students in 2017.", "24,255 | 2017", "It" },
        { "It was founded on 5 September 1969.", "5 September 1969 | 1969", "5 September 1969." },
        { "Founded on September 5, 1969 by Jo.", "September 5, 1969 | Jo", NULL },
        { "It opened in September 1969, after the war.", "September 1969", NULL },
        { "He works at the University of the North and for Jan van der Berg.", "University of the North | Jan van der Berg", "He" },
        { "It is led by Jo Berg (Ulm) and by (Ann Lee).", "Jo Berg | Ulm | Ann Lee", "Jo Berg (Ulm" },
        { "Who is Bielefeld University's chancellor, and Jo\xE2\x80\x99s Club?", "Bielefeld University | Jo | Club", "Bielefeld University's" },
        { "The motto is \"Light and air\", they say.", "Light and air", "they" },
        { "In \xC5\x81\xC3\xB3" "d\xC5\xBA lives \xC3\x96mer \xC5\xA0" "imek \xE2\x80\x9CGold\xE2\x80\x9D.", "\xC5\x81\xC3\xB3" "d\xC5\xBA | \xC3\x96mer \xC5\xA0imek", NULL },
        { "\xCE\xB1\xCE\xB2\xCE\xB3 is small, \xCE\x91\xCE\xB2\xCE\xB3 is large.", "\xCE\x91\xCE\xB2\xCE\xB3", "\xCE\xB1\xCE\xB2\xCE\xB3" },
        { "", "", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct sv *v, rest = sv_of(ROWS[i].has), want;
        size_t n;
        arena_reset(&arena);
        assert_int_equal(value_spans(sv_of(ROWS[i].text), &arena, &v, &n, &err), 0);
        while (rest.n) {
            const ptrdiff_t bar = sv_find(rest, SV(" | "), 0);
            want = bar < 0 ? rest : (struct sv){ rest.p, (size_t)bar };
            rest = bar < 0 ? (struct sv){ "", 0 } : (struct sv){ rest.p + bar + 3, rest.n - (size_t)bar - 3 };
            int found = 0;
            for (size_t k = 0; k < n; k++) found |= sv_eq(v[k], want);
            if (!found) fail_msg("'%.*s' is no span of '%s': %s", SV_ARG(want), ROWS[i].text, joined(v, n));
        }
        for (size_t k = 0; k < n; k++) assert_false(ROWS[i].lacks && sv_eq_c(v[k], ROWS[i].lacks));
    }
}

static void test_subject(void **state)
{
    (void)state;
    struct seed s[] = { { .question = "Who is the chancellor of Bielefeld University?" }, { .question = "When was Bielefeld University founded?" },
                        { .question = "How many students did Bielefeld University have in June?" }, { .question = "Is Berlin bigger?" } };
    struct leaf l = { .seed = s, .n_seed = 4 };
    assert_sv(subject_find(&l, SV("Bielefeld University lies in Bielefeld."), &arena), "Bielefeld University");
    assert_sv(subject_find(&l, SV(""), &arena), "Bielefeld University"); /* a skill has no document */
    assert_sv(subject_find(&l, SV("A text about Ulm."), &arena), "");
    l.n_seed = 0;
    assert_sv(subject_find(&l, SV("Bielefeld"), &arena), "");
}

static void test_words_in_text(void **state)
{
    (void)state;
    static const struct { const char *hay, *needle; int has; } ROWS[] = {
        { "It had 24,255 students.", "24,255", 1 }, { "It had 24,255 students.", "255", 0 }, { "It had 24,255 students.", "24", 0 },
        { "It had 3.5 tons.", "5", 0 }, { "since 1969.", "1969", 1 }, { "1969, 1970", "1970", 1 }, { "in 19690", "1969", 0 },
        { "Bielefelds Kanzler", "Bielefeld", 0 }, { "Bielefeld's", "Bielefeld", 1 }, { "K\xC3\xB6ln\xC3\xA4", "K\xC3\xB6ln", 0 }, { "\xC3\xA4ln", "ln", 0 },
        { "\xE2\x80\x9CK\xC3\xB6ln\xE2\x80\x9D", "K\xC3\xB6ln", 1 }, { "1887\xE2\x80\x93" "1969", "1969", 1 }, { "", "a", 0 }, { "a", "", 0 }, { "a b", "a b", 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
        if (text_has(sv_of(ROWS[i].hay), sv_of(ROWS[i].needle)) != ROWS[i].has) fail_msg("'%s' in '%s'", ROWS[i].needle, ROWS[i].hay);
    assert_sv(text_replace(&arena, SV("19 of 1969 and 19, not 19,5"), SV("19"), SV("20")), "20 of 1969 and 20, not 19,5");
    assert_sv(text_replace(&arena, SV("Ulm and Ulmer"), SV("Ulm"), SV("X")), "X and Ulmer");
    assert_sv(text_replace(&arena, SV("abc"), SV(""), SV("X")), "abc");
}

static void test_names_are_perturbed(void **state)
{
    (void)state;
    static const char *const NAME[] = { "Bielefeld University", "Dr. Stephan Becker", "1969", "5", "0", "9", "42", "24,255", "1,100", "K\xC3\xB6ln", "M\xC3\xBCnchen-S\xC3\xBC" "d", "Li Bo", "a",
                                        "\xD0\x9C\xD0\xBE\xD1\x81\xD0\xBA\xD0\xB2\xD0\xB0", "University of Ulm", "of the", "5 September 1969", "Apollo 11", " padded  name ", "-", "x.y." };
    for (size_t i = 0; i < ARRAY_LEN(NAME); i++) {
        const struct sv name = sv_of(NAME[i]);
        int identity = 0;
        arena_reset(&arena);
        for (uint64_t seed = 0; seed < 200; seed++) {
            struct rng a, b;
            rng_seed(&a, seed);
            rng_seed(&b, seed);
            const struct sv x = name_perturb(&arena, name, &a), y = name_perturb(&arena, name, &b);
            assert_true(sv_eq(x, y) && utf8_valid(x, NULL) && x.n > 0);
            assert_false(sv_eq(sv_trim(x), sv_trim(name)));
            if (NAME[i][0] >= '1' && NAME[i][0] <= '9' && !strchr(NAME[i], ' ')) { /* a number of the same look */
                assert_true(x.n == name.n && x.p[0] != '0');
                for (size_t k = 0; k < x.n; k++) assert_true((x.p[k] == ',') == (name.p[k] == ','));
            }
            identity += sv_find(x, sv_of("Ulm"), 0) < 0;
        }
        if (!strcmp(NAME[i], "University of Ulm")) assert_true(identity > 120); /* mostly the part that tells it from others */
    }
    struct rng r;
    rng_seed(&r, 1);
    assert_true(name_perturb(&arena, SV(""), &r).n > 0);
}

/* Hand-computed: F = 2PR/(P+R), P and R over the tokens [a-z0-9]+ of the lower-cased texts. */
static void test_rouge_l(void **state)
{
    (void)state;
    static const struct { const char *a, *b; double f; } ROWS[] = {
        { "the cat sat on the mat", "the cat sat on the mat", 1 },
        { "The Cat!", "the cat", 1 },
        { "police killed the gunman", "police kill the gunman", 0.75 },                 /* LCS 3 of 4 and 4 (Lin 2004) */
        { "police killed the gunman", "the gunman kill police", 0.5 },                  /* LCS 2 */
        { "a b c d e f", "a x c y e z g h", 2 * 3 / 14.0 },                            /* LCS 3, P 3/6, R 3/8 */
        { "don't stop", "don t stop", 1 },
        { "When was it founded?", "In which year was it founded?", 2 * 3 / 10.0 },
        { "stra\xC3\x9F" "e", "stra e", 1 },                                             /* what is not a-z0-9 separates */
        { "a", "b", 0 }, { "", "a", 0 }, { "", "", 0 }, { "...", "a", 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        const double f = rouge_l(sv_of(ROWS[i].a), sv_of(ROWS[i].b)), g = rouge_l(sv_of(ROWS[i].b), sv_of(ROWS[i].a));
        if (fabs(f - ROWS[i].f) > 1e-12 || fabs(f - g) > 1e-12) fail_msg("'%s' and '%s': %.6f, want %.6f", ROWS[i].a, ROWS[i].b, f, ROWS[i].f);
    }
}

static void test_real_documents_are_cut(void **state)
{
    (void)state;
    static const char *const FILES[] = { SHARED "unibi/unibi.md", SHARED "contributions/pop_culture__swifties.v3/swifties.md",
                                         SHARED "contributions/animals__zebu.v2/zebu.md", SHARED "contributions/technical_manual__Ceph__upstream__RGW__s3.v3/cpp.md" };
    if (file_exists(FILES[0]) != 1) {
        print_message("SKIP: " SHARED "unibi is missing\n");
        skip();
    }
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        char *text;
        size_t n, n_sentence, marks = 0;
        struct sv *v;
        assert_int_equal(file_read(FILES[i], 1 << 24, &text, &n, &err), 0);
        arena_reset(&arena);
        sentences_of((struct sv){ text, n }, &v, &n_sentence);
        assert_true(n_sentence > 5);
        for (size_t k = 0; k < n_sentence; k++) {
            assert_true(utf8_valid(v[k], NULL) && v[k].n <= 2000);
            marks += sv_find(v[k], SV("]("), 0) >= 0 || sv_find(v[k], SV("**"), 0) >= 0 || sv_starts(v[k], "#");
        }
        assert_int_equal(marks, 0);
        mem_free(text);
    }
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences),     cmocka_unit_test(test_long_text_without_an_end), cmocka_unit_test(test_passage_sentences),
        cmocka_unit_test(test_value_spans),   cmocka_unit_test(test_subject),                  cmocka_unit_test(test_words_in_text),
        cmocka_unit_test(test_names_are_perturbed), cmocka_unit_test(test_rouge_l),            cmocka_unit_test(test_real_documents_are_cut),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
