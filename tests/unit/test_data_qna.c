/* test_data_qna.c — leaf_check: what is accepted, and the place, text and remedy of every finding.
 * Outcomes of the reference's own files as in its tests (../shared/data/taxonomy; skipped when that is missing).
 * SPDX-License-Identifier: Apache-2.0 */
#include "data_test.h"

static const char SKILL[] = "version: 2\n"                    /* line 1 */
                            "created_by: me\n"
                            "task_description: a test\n"
                            "seed_examples:\n"
                            "  - question: What is one?\n"     /* 5 */
                            "    answer: It is one.\n"
                            "  - question: What is two?\n"
                            "    answer: It is two.\n"
                            "  - question: What is three?\n"
                            "    answer: It is three.\n"       /* 10 */
                            "  - question: What is four?\n"
                            "    answer: It is four.\n"
                            "  - question: What is five?\n"
                            "    answer: It is five.\n";
static const char DOCUMENT[] = "domain: numbers\n" /* 15 */
                               "document:\n"
                               "  repo: .\n"
                               "  commit: HEAD\n"
                               "  patterns:\n"
                               "    - \"*.md\"\n"; /* 20 */
static const char V3[] = "version: 3\ncreated_by: me\ndomain: numbers\ndocument_outline: an outline\nseed_examples:\n";
static const char V3_ITEM[] = "  - context: Context %d.\n    questions_and_answers:\n"
                              "      - question: What is 1 of %d?\n        answer: a\n"
                              "      - question: What is 2 of %d?\n        answer: b\n"
                              "      - question: What is 3 of %d?\n        answer: c\n";
static const char V3_DOCUMENT[] = "document:\n  repo: .\n  commit: HEAD\n  patterns: [\"*.md\"]\n";

static struct leaf *leaf;
static struct findings f;

static void read_text(const char *file, struct sv text)
{
    ilab_err e = { 0 };
    findings_release(&f);
    leaf_free(leaf);
    struct lint_config *relaxed = lint_config_relaxed(120);
    const struct check_opts opts = { .lint = relaxed, .strict = 1 };
    if (leaf_check_text(text, file, "tax", &opts, &leaf, &f, &e)) fail_msg("%s", e.msg);
    lint_config_free(relaxed);
    assert_true((leaf != NULL) == (f.n_errors == 0 && !(f.n && strstr(f.v[0].text, "empty!"))));
    for (size_t i = 0; i < f.n; i++) assert_true(f.v[i].line > 0 && f.v[i].col > 0 && f.v[i].text && f.v[i].where && f.v[i].remedy && *f.v[i].remedy);
}

/* base with its first `from` replaced by `to`. */
static struct sv with(const char *base, const char *from, const char *to)
{
    static char buf[1 << 16];
    const char *place = strstr(base, from);
    if (!place) fail_msg("'%s' does not occur", from);
    const int n = snprintf(buf, sizeof buf, "%.*s%s%s", (int)(place - base), base, to, place + strlen(from));
    return (struct sv){ buf, (size_t)n };
}

struct row { const char *from, *to; int line, col; const char *where, *text, *remedy; };

static void check_rows(const char *file, const char *base, const struct row *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        read_text(file, with(base, r[i].from, r[i].to));
        int found = 0;
        for (size_t k = 0; k < f.n; k++)
            found |= f.v[k].line == r[i].line && f.v[k].col == r[i].col && !strcmp(f.v[k].where, r[i].where) && !strcmp(f.v[k].text, r[i].text) &&
                     strstr(f.v[k].remedy, r[i].remedy);
        if (found && f.n_errors == (int)f.n && f.n <= 2) continue;
        for (size_t k = 0; k < f.n; k++) print_error("%d:%d [%s] %s -- %s\n", f.v[k].line, f.v[k].col, f.v[k].where, f.v[k].text, f.v[k].remedy);
        fail_msg("row %zu: '%s' -> '%s': want %d:%d [%s] %s -- %s", i, r[i].from, r[i].to, r[i].line, r[i].col, r[i].where, r[i].text, r[i].remedy);
    }
}

static void test_schema_findings(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        { "It is two.", "Yes", 8, 13, ".seed_examples[1].answer", "True is not of type 'string'", "quotes" },
        { "It is two.", "off", 8, 13, ".seed_examples[1].answer", "False is not of type 'string'", "quotes" },
        { "It is two.", "1969", 8, 13, ".seed_examples[1].answer", "1969 is not of type 'string'", "quotes" },
        { "It is two.", "2017-06-18", 8, 13, ".seed_examples[1].answer", "2017-06-18 is not of type 'string'", "quotes" },
        { "It is two.", "null", 8, 13, ".seed_examples[1].answer", "None is not of type 'string'", "write a text" },
        { "It is two.", "\"\"", 8, 13, ".seed_examples[1].answer", "'' should be non-empty", "write a text" },
        { "It is two.", "[a]", 8, 13, ".seed_examples[1].answer", "[...] is not of type 'string'", "one text" },
        { "It is two.", "\"a\\0b\"", 8, 13, ".seed_examples[1].answer", "the text holds a NUL character", "remove" },
        { "created_by: me\n", "", 1, 1, ".", "'created_by' is a required property", "add a line" },
        { "created_by: me\n", "createdby: me\n", 2, 1, ".", "Unevaluated properties are not allowed ('createdby' was unexpected)", "did you mean 'created_by'?" },
        { "created_by: me\n", "created_by: me\nzzz: 1\n", 3, 1, ".", "Unevaluated properties are not allowed ('zzz' was unexpected)", "remove the key" },
        { "    answer: It is one.\n", "", 5, 5, ".seed_examples[0]", "'answer' is a required property", "add a line" },
        { "    answer: It is one.\n", "    anwser: It is one.\n", 6, 5, ".seed_examples[0]", "Unevaluated properties are not allowed ('anwser' was unexpected)", "did you mean 'answer'?" },
        { "version: 2", "version: 9", 1, 10, ".version", "version 9 of the schema is not known", "use 2" },
        { "version: 2", "version: x", 1, 10, ".version", "'x' is not of type 'integer'", "docs/FORMATS.md" },
        { "What is two?\n    answer: It is two.", "What is one?\n    answer: It is one.", 7, 5, ".seed_examples", "[...] has non-unique elements", "remove or change" },
        { "question: What is two?\n    answer: It is two.", "answer: It is one.\n    question: What is one?", 7, 5, ".seed_examples", "[...] has non-unique elements", "remove or change" },
        { "  - question: What is two?\n    answer: It is two.\n", "", 5, 3, ".seed_examples", "Value must have at least 5 items", "add more examples" },
        { "  - question: What is two?\n    answer: It is two.\n", "  - just text\n", 7, 5, ".seed_examples[1]", "'just text' is not of type 'object'", "question and answer" },
    };
    check_rows("tax/compositional_skills/x/qna.yaml", SKILL, ROWS, ARRAY_LEN(ROWS));
    char knowledge[2048];
    snprintf(knowledge, sizeof knowledge, "%s%s", SKILL, DOCUMENT);
    static const struct row MORE[] = {
        { "domain: numbers\n", "", 1, 1, ".", "'domain' is a required property", "add a line" },
        { "  commit: HEAD\n", "", 17, 3, ".document", "'commit' is a required property", "add a line" },
        { "    - \"*.md\"", "    - \"\"", 20, 7, ".document.patterns[0]", "'' should be non-empty", "write a text" },
        { "  patterns:\n    - \"*.md\"\n", "  patterns: []\n", 19, 13, ".document.patterns", "Value must have at least 1 items", "add one" },
        { "    - \"*.md\"\n", "    - \"*.md\"\n    - '*.md'\n", 21, 7, ".document.patterns", "[...] has non-unique elements", "remove" },
        { "    answer: It is one.\n", "    answer: It is one.\n    context: c\n", 7, 5, ".seed_examples[0]", "Unevaluated properties are not allowed ('context' was unexpected)", "remove the key" },
        { "document:\n", "document: x\nrest:\n", 16, 11, ".document", "'x' is not of type 'object'", "docs/FORMATS.md" },
    };
    check_rows("tax/knowledge/x/qna.yaml", knowledge, MORE, ARRAY_LEN(MORE));
}

static void test_lint_findings(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        { "a test\n", "a test \n", 3, 25, ".", "trailing spaces", "white space" },
        { "a test\n", "\xC3\xA4 test  \n", 3, 25, ".", "trailing spaces", "white space" },
        { "a test\n", "a test\n\n\n\n\n", 7, 1, ".", "too many blank lines (4 > 2)", "blank lines" },
        { "version: 2\n", "\nversion: 2\n", 1, 1, ".", "too many blank lines (1 > 0)", "blank lines" },
        { "It is five.\n", "It is five.\n\n\n", 16, 1, ".", "too many blank lines (2 > 0)", "blank lines" },
        { "It is five.\n", "It is five.", 14, 24, ".", "no new line character at the end of file", "newline" },
        { "version: 2\n", "version: 2\r\n", 1, 11, ".", "wrong new line character: expected \\n", "Unix" },
        { "a test\n", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", 3, 121, ".",
          "line too long (123 > 120 characters)", "break the line" },
    };
    check_rows("tax/compositional_skills/x/qna.yaml", SKILL, ROWS, ARRAY_LEN(ROWS));
    static const char WORD[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n";
    read_text("tax/compositional_skills/x/qna.yaml", with(SKILL, "a test\n", WORD)); /* one word cannot be broken */
    assert_int_equal(f.n, 0);
    read_text("tax/compositional_skills/x/qna.yaml", with(SKILL, "a test\n", "a test\n\n\n")); /* two blank lines may be */
    assert_int_equal(f.n, 0);
    read_text("tax/compositional_skills/x/qna.yaml", with(SKILL, "version: 2\n", "")); /* version 1 is not linted */
    assert_int_equal(f.n, 0);
    assert_int_equal(leaf->version, 1);
}

static void test_syntax_findings(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        { "    answer: It is two.", "\tanswer: It is two.", 8, 1, ".", "syntax error: found character '\\t' that cannot start any token", "tabs" },
        { "seed_examples:\n", "seed_examples:\n\tx: y\n", 5, 1, ".", "syntax error: found character '\\t' that cannot start any token", "tabs" },
        { "It is two.", "@home", 8, 13, ".", "syntax error: found character '@' that cannot start any token", "quotes" },
        { "It is two.", "\"open", 15, 1, ".", "syntax error: found unexpected end of stream (while scanning a quoted scalar that starts at 8:13)", "never closed" },
        { "It is two.", "It is: two.", 8, 18, ".", "syntax error: mapping values are not allowed here", "quotes" },
        { "created_by: me\n", "created_by: me\ncreated_by: you\n", 3, 1, ".", "duplication of key \"created_by\" in mapping", "remove one" },
        { "It is two.", "*star", 8, 13, ".", "syntax error: found undefined alias 'star'", "quotes" },
        { "It is two.", "!bang x", 8, 13, ".", "syntax error: could not determine a constructor for the tag '!bang'", "quotes" },
        { "It is five.\n", "It is five.\n---\na: b\n", 15, 1, ".", "syntax error: but found another document (expected a single document in the stream that starts at 1:1)", "---" },
    };
    check_rows("tax/compositional_skills/x/qna.yaml", SKILL, ROWS, ARRAY_LEN(ROWS));
    read_text("x.yaml", SV("key: caf\xE9\n"));
    assert_true(f.n == 1 && f.v[0].line == 1 && f.v[0].col == 9);
    assert_string_equal(f.v[0].text, "'utf-8' codec can't decode byte 0xe9");
    assert_has(f.v[0].remedy, "UTF-8");
    read_text("x.yaml", SV("a: \xC3\xA4\nb: \xC3\xA4\xFF\n")); /* the column counts characters */
    assert_true(f.n == 1 && f.v[0].line == 2 && f.v[0].col == 5);
    static const char *const EMPTY[] = { "", "# nothing\n", "---\n" };
    for (size_t i = 0; i < ARRAY_LEN(EMPTY); i++) {
        read_text("a/x.yaml", sv_of(EMPTY[i]));
        assert_true(f.n == 1 && !f.n_errors && !leaf);
        assert_string_equal(f.v[0].text, "Skipping a/x.yaml because it is empty!");
    }
    static const char *const NO_MAP[] = { "- a\n- b\n", "text\n", "17\n" };
    for (size_t i = 0; i < ARRAY_LEN(NO_MAP); i++) {
        read_text("x.yaml", sv_of(NO_MAP[i]));
        assert_int_equal(f.n_errors, 1);
        assert_string_equal(f.v[0].text, "The file is not valid. The top-level element is not an object with key-value pairs.");
    }
}

static void test_leaf_contents(void **state)
{
    (void)state;
    char text[4096];
    snprintf(text, sizeof text, "%s%s", SKILL, DOCUMENT);
    read_text("/x/knowledge/tax/knowledge/a/b/qna.yaml", sv_of(text));
    assert_true(leaf->is_knowledge && leaf->version == 2 && leaf->n_seed == 5);
    assert_string_equal(leaf->path, "knowledge->a->b");
    assert_string_equal(leaf->seed[1].question, "What is two?");
    assert_string_equal(leaf->seed[1].answer, "It is two.");
    assert_int_equal(leaf->seed[1].line, 7);
    assert_true(!strcmp(leaf->repo, ".") && !strcmp(leaf->commit, "HEAD") && leaf->n_pattern == 1 && !strcmp(leaf->pattern[0], "*.md"));
    assert_true(leaf->document_line == 17 && !strcmp(leaf->domain, "numbers"));
    read_text("tax/other/qna.yaml", sv_of(text)); /* no root folder: the keys decide */
    assert_true(leaf->is_knowledge);
    assert_string_equal(leaf->path, "other");
    read_text("tax/myknowledge/compositional_skills/s/qna.yaml", sv_of(SKILL));
    assert_true(!leaf->is_knowledge);
    assert_string_equal(leaf->path, "compositional_skills->s");
    read_text("qna.yaml", with(SKILL, "version: 2\n", ""));
    assert_string_equal(leaf->path, "");
    snprintf(text, sizeof text, "%s", SKILL + strlen("version: 2\n"));
    read_text("qna.yaml", with(text, "a test", "\"\"")); /* v1: may be empty */
    assert_int_equal(f.n, 0);
    size_t n = (size_t)snprintf(text, sizeof text, "%s", V3);
    for (int i = 0; i < 5; i++) n += (size_t)snprintf(text + n, sizeof text - n, V3_ITEM, i, i, i, i);
    snprintf(text + n, sizeof text - n, "%s", V3_DOCUMENT);
    read_text("tax/knowledge/v3/qna.yaml", sv_of(text));
    assert_int_equal(f.n, 0);
    assert_int_equal(leaf->n_seed, 15);
    assert_true(!strcmp(leaf->seed[14].context, "Context 4.") && !strcmp(leaf->seed[14].answer, "c") && !strcmp(leaf->task_description, "an outline"));
    read_text("tax/knowledge/v3/qna.yaml", with(text, "      - question: What is 2 of 3?\n        answer: b\n", ""));
    assert_int_equal(f.n, 1);
    assert_string_equal(f.v[0].where, ".seed_examples[3].questions_and_answers");
    assert_string_equal(f.v[0].text, "Value must have at least 3 items");
}

static void test_hostile_files_are_quick(void **state)
{
    (void)state;
    const double t0 = now_seconds();
    struct sb b;
    sb_init(&b, 8 << 20);
    sb_addc(&b, "version: 2\nseed_examples:\n");
    for (int i = 0; i < 20000; i++) sb_addc(&b, "- {q: 1} \n"); /* unknown keys, repeated, trailing spaces */
    read_text("x.yaml", (struct sv){ b.p, b.n });
    assert_true(f.n_errors >= 20000 && f.n <= 1000); /* all are counted, some are told */
    sb_reset(&b);
    for (int i = 0; i < 45000; i++) sb_addf(&b, "unknown_key_%d: 1\n", i);
    read_text("x.yaml", (struct sv){ b.p, b.n });
    assert_true(f.n_errors > 45000);
    sb_release(&b);
    assert_true(now_seconds() - t0 < 20);
}

static void test_files(void **state)
{
    (void)state;
    ilab_err e = { 0 };
    struct leaf *l = NULL;
    struct findings g = { 0 };
    put("a/qna.yaml", SKILL);
    assert_int_equal(leaf_check(at("a/qna.yaml"), test_dir, &(struct check_opts){ .no_style = 1 }, &l, &g, &e), 0);
    assert_non_null(l);
    assert_string_equal(l->path, "a");
    leaf_free(l);
    findings_release(&g);
    assert_int_equal(leaf_check(at("absent.yaml"), test_dir, &(struct check_opts){ .no_style = 1 }, &l, &g, &e), ILAB_E_NOTFOUND);
    assert_null(l);
    assert_has(e.msg, "absent.yaml");
    assert_true(leaf_check(test_dir, test_dir, &(struct check_opts){ .no_style = 1 }, &l, &g, &e) < 0); /* a folder */
    findings_release(&g);
}

/* ---- the reference's own files ---- */

static int count_in(const char *file, const char *part)
{
    ilab_err e = { 0 };
    char path[512];
    int n = 0;
    snprintf(path, sizeof path, SHARED "%s", file);
    findings_release(&f);
    leaf_free(leaf);
    struct lint_config *relaxed = lint_config_relaxed(120);
    const struct check_opts opts = { .lint = relaxed, .strict = 1 };
    if (leaf_check(path, "", &opts, &leaf, &f, &e)) fail_msg("%s", e.msg);
    lint_config_free(relaxed);
    for (size_t i = 0; i < f.n; i++) {
        assert_true(f.v[i].remedy && *f.v[i].remedy && f.v[i].line > 0);
        n += f.v[i].error && strstr(f.v[i].text, part);
    }
    return n;
}

static void test_upstream_fixtures(void **state)
{
    (void)state;
    if (file_exists(SHARED) != 2) {
        print_message("SKIP: " SHARED " is missing\n");
        skip();
    }
    static const struct { const char *file; int errors; const char *part; } ROWS[] = {
        { "upstream-fixtures/skill_valid_answer.yaml", 0, "" },
        { "upstream-fixtures/skill_too_long_answer.yaml", 0, "" },
        { "upstream-fixtures/skill_invalid_answer.yaml", 1, "True is not of type 'string'" },
        { "upstream-fixtures/skill_incomplete.yaml", 1, "Value must have at least 5 items" },
        { "upstream-fixtures/invalid_yaml.yaml", 2, "" }, /* a long line and a blank one at the end */
        { "upstream-fixtures/knowledge_valid.yaml", 0, "" },
        { "upstream-fixtures/knowledge_unsupported.yaml", 0, "" }, /* v2 knowledge: valid in the early release, and here */
        { "upstream-fixtures/test_valid_compositional_skill.yaml", 0, "" },
        { "upstream-fixtures/test_valid_knowledge_skill.yaml", 0, "" },
        { "upstream-fixtures/knowledge/e2e-qna-knowledge.yaml", 0, "" },
        { "upstream-fixtures/knowledge/e2e-qna-knowledge-phoenix.yaml", 0, "" },
        { "upstream-fixtures/knowledge/e2e-qna-knowledge-mbta.yaml", 0, "" },
        { "upstream-fixtures/compositional_skills/grounded/e2e-qna-grounded-punctuation-skill.yaml", 0, "" },
        { "upstream-fixtures/compositional_skills/grounded/e2e-qna-grounded-employee-skill.yaml", 0, "" },
        { "upstream-fixtures/compositional_skills/freeform/e2e-qna-freeform-siblings-skill.yaml", 0, "" },
        { "upstream-fixtures/compositional_skills/freeform/e2e-qna-freeform-palindrome-skill.yaml", 0, "" },
        { "upstream-main/compositional_skills/linguistics/synonyms/qna.yaml", 0, "" },
        { "upstream-main/compositional_skills/grounded/linguistics/writing/rewriting/qna.yaml", 0, "" },
        { "upstream-main/knowledge/science/animals/birds/black_capped_chickadee/qna.yaml", 0, "" },
        { "upstream-main/knowledge/arts/music/fandom/swifties/qna.yaml", 0, "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        const int n = count_in(ROWS[i].file, ROWS[i].part);
        for (size_t k = 0; k < f.n && (n != ROWS[i].errors || f.n_errors != n); k++)
            print_error("%s:%d:%d [%s] %s\n", ROWS[i].file, f.v[k].line, f.v[k].col, f.v[k].where, f.v[k].text);
        assert_int_equal(n, ROWS[i].errors);
        assert_int_equal(f.n_errors, ROWS[i].errors);
    }
    assert_int_equal(count_in("upstream-fixtures/invalid_yaml.yaml", "line too long (151 > 120 characters)"), 1);
    assert_true(f.v[0].line == 11 && f.v[0].col == 121);
    assert_int_equal(count_in("upstream-fixtures/invalid_yaml.yaml", "too many blank lines (1 > 0)"), 1);
    assert_int_equal(f.v[1].line, 19);
}

static void test_real_contributions(void **state)
{
    (void)state;
    if (file_exists(SHARED "contributions") != 2) {
        print_message("SKIP: " SHARED "contributions is missing\n");
        skip();
    }
    static const char *const FOLDER[] = { "contributions", "contributions-invalid-yaml" };
    for (int bad = 0; bad < 2; bad++) {
        char **name = NULL, path[512];
        size_t n = 0;
        snprintf(path, sizeof path, SHARED "%s", FOLDER[bad]);
        assert_int_equal(dir_list(path, &name, &n, NULL), 0);
        for (size_t i = 0; i < n; i++) {
            snprintf(path, sizeof path, "%s/%s/qna.yaml", FOLDER[bad], name[i]);
            const int syntax = count_in(path, "syntax error: ");
            int errors = 0;
            for (size_t k = 0; k < f.n; k++) errors += !f.v[k].style;
            if (syntax != bad || (!bad && errors)) fail_msg("%s: %d syntax errors, %d of the schema, %d in all: %s", path, syntax, errors, f.n_errors, f.n ? f.v[0].text : "");
        }
        dir_list_free(name, n);
    }
}

static int release(void **state)
{
    findings_release(&f);
    leaf_free(leaf);
    return dir_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema_findings),       cmocka_unit_test(test_lint_findings), cmocka_unit_test(test_syntax_findings),
        cmocka_unit_test(test_leaf_contents),         cmocka_unit_test(test_files),         cmocka_unit_test(test_hostile_files_are_quick),
        cmocka_unit_test(test_upstream_fixtures),     cmocka_unit_test(test_real_contributions),
    };
    return cmocka_run_group_tests(tests, dir_setup, release);
}
