/* test_eval.c — the judge's verdicts, Wilson's interval, a quiz with a scripted model.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data_test.h"
#include "eval/eval.h"

#include <math.h>
#include <signal.h>

static void test_judge(void **state)
{
    (void)state;
#define R ANSWER_RIGHT
#define W ANSWER_WRONG
#define A ANSWER_ABSTAINED
#define Q "How many students did Bielefeld University have in 2017?"
#define C "Who is the chancellor of Bielefeld University?"
    static const struct { const char *question, *reference, *answer; enum verdict v; } ROWS[] = {
        { Q, "24,255", "24,255", R },
        { Q, "24,255", "24255 students.", R },
        { Q, "24,255", "It had 24'255 students in 2017.", R },
        { Q, "24,255", "Bielefeld University had 24,255 students.", R },
        { Q, "24,255", "24,256", W },
        { Q, "24,255", "24,255 or 24,300 students", W },               /* a foreign number */
        { Q, "24,255", "In 2018 it had 24,255 students.", W },
        { Q, "24,255", "124,255", W },
        { Q, "24,255", "24.255", W },                                   /* a decimal point is one */
        { Q, "24,255", "", W },
        { C, "Dr. Stephan Becker|Stephan Becker", "Stephan Becker.", R },
        { C, "Dr. Stephan Becker|Stephan Becker", "The chancellor is Dr. Stephan Becker.", R },
        { C, "Dr. Stephan Becker|Stephan Becker", "Its chancellor is dr stephan becker", R },
        { C, "Stephan Becker", "Bielefeld University's chancellor is Stephan Becker.", R },
        { "Who leads Ulm?", "the mayor's wife|Levi's", "The mayor\xE2\x80\x99s wife", R },
        { C, "Stephan Becker", "\xE2\x80\x9CStephan Becker\xE2\x80\x9D", R },
        { C, "Stephan Becker", "Currently, Stephan Becker is the chancellor.", R },
        { C, "Stephan Becker", "Stephan Becker of Berlin", W },         /* a foreign name */
        { C, "Stephan Becker", "Stephan Becker and \xE2\x80\x9COtto\xE2\x80\x9D", W },
        { C, "Stephan Becker", "Stephan Becker, \xC5\xA0imek", W },
        { C, "Stephan Becker", "Berlin says Stephan Becker", W },
        { C, "Stephan Becker", "Becker", W },
        { C, "Stephan Becker", "Stephan Beckers", W },
        { C, "Stephan Becker", "I don't know.", A },
        { C, "Stephan Becker", "Sorry, I don\xE2\x80\x99t know who is the chancellor of Bielefeld University.", A },
        { C, "", "I do not know.", A },
        { C, "", "The text does not say.", A },
        { C, "", "I don't know. It is Stephan Becker.", W },            /* refusal plus claim */
        { C, "Stephan Becker", "I don't know, but perhaps Stephan Becker.", W },
        { Q, "", "I don't know, about 5000.", W },
        { C, "", "Stephan Becker", W },
        { "Is it old?", "yes", "Yes.", R },
        { "Is it old?", "yes", "Yesterday.", W },
        { "When was it founded?", "5 September 1969|1969", "It was founded on 5 September 1969.", R },
        { "When was it founded?", "5 September 1969|1969", "In 1969.", R },
        { "When was it founded?", "1969", "In March 1969.", W },
        { "Is it cold?", "-5|minus 5", "It is -5 degrees.", R },
        { "Is it cold?", "5", "It is -5 degrees.", W },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        const enum verdict v = quiz_judge(sv_of(ROWS[i].question), sv_of(ROWS[i].reference), sv_of(ROWS[i].answer));
        if (v != ROWS[i].v) fail_msg("row %zu: '%s' to '%s' (%s): %d, want %d", i, ROWS[i].answer, ROWS[i].question, ROWS[i].reference, v, ROWS[i].v);
    }
}

/* Values of Newcombe 1998 (81 of 263, 15 of 148, 0 of 20, 1 of 29), and by hand. */
static void test_wilson(void **state)
{
    (void)state;
    static const struct { int right, n; double low, high; } ROWS[] = {
        { 81, 263, 0.2553, 0.3662 }, { 15, 148, 0.0624, 0.1605 }, { 0, 20, 0.0000, 0.1611 }, { 1, 29, 0.0061, 0.1718 }, { 20, 20, 0.8389, 1.0 }, { 50, 100, 0.4038, 0.5962 }, { 0, 0, 0, 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        const struct interval w = wilson(ROWS[i].right, ROWS[i].n);
        if (fabs(w.low - ROWS[i].low) > 5e-5 || fabs(w.high - ROWS[i].high) > 5e-5) fail_msg("%d of %d: %.5f to %.5f", ROWS[i].right, ROWS[i].n, w.low, w.high);
    }
}

/* ---- a quiz ---- */
struct fake { int n_requests, n_batches, stop, fails; const char *const *answer; };

static int fake_complete(void *self, const struct lm_request *q, int n, struct lm_result *out, ilab_err *e)
{
    struct fake *f = self;
    memset(out, 0, (size_t)n * sizeof *out);
    if (f->fails) return err_set(e, ILAB_E_IO, "the model is gone");
    f->n_batches++;
    for (int i = 0; i < n; i++) {
        assert_true(q[i].temp == 0 && q[i].max_tokens == 48 && !q[i].skeleton); /* greedy, short, a fresh chat each */
        assert_int_equal(q[i].n_message, 2);
        assert_string_equal(q[i].message[0].role, "system");
        assert_string_equal(q[i].message[1].role, "user");
        const char *a = f->answer[f->n_requests++ % 6];
        out[i].text = mem_strndup(a, strlen(a));
        out[i].n = strlen(a);
        out[i].logp_mean = -0.5;
    }
    if (f->stop) raise(SIGINT);
    return 0;
}
static const char *fake_hash(void *self) { return (void)self, "fake"; }
static void fake_close(void *self) { (void)self; }
static const struct lm_ops OPS = { .kind = "fake", .complete = fake_complete, .hash = fake_hash, .close = fake_close };

static const char QUIZ[] = "{\"user_input\": \"When was Ulm founded?\", \"reference\": \"854\", \"kind\": \"recall\", \"half\": \"ordinary\"}\n\n"
                           "{\"user_input\": \"Who leads Ulm?\", \"reference\": \"Jo Berg\", \"kind\": \"recall\", \"half\": \"reserved\"}\n"
                           "{\"user_input\": \"Who leads Xanten?\", \"reference\": \"\", \"kind\": \"unknown\", \"group\": \"unknown_name\"}\n"
                           "{\"user_input\": \"What is the flag of Ulm?\", \"kind\": \"unknown\", \"group\": \"unknown_attribute\"}\n"
                           "{\"user_input\": \"What is 2 plus 2?\", \"reference\": \"4\", \"kind\": \"retention\"}\n"
                           "{\"user_input\": \"Where is Rome?\", \"reference\": \"Italy\", \"kind\": \"retention\"}\n";
static const char *const ANSWERS[] = { "In 854.", "I don't know.", "I don't know.", "Red \xC3", "4", "It is in Italy." };

static void test_quiz(void **state)
{
    (void)state;
    ilab_err e = { 0 };
    struct quiz q;
    struct quiz_report r;
    struct fake f = { .answer = ANSWERS };
    struct lm lm = { .ops = &OPS, .self = &f };
    put("quiz.jsonl", QUIZ);
    if (quiz_read(&q, at("quiz.jsonl"), &e)) fail_msg("%s", e.msg);
    assert_int_equal(q.n, 6);
    if (quiz_run(&lm, &q, "Be brief.", &r, &e)) fail_msg("%s", e.msg);
    assert_int_equal(f.n_requests, 6);
    assert_true(r.kind[QUIZ_RECALL].n == 2 && r.kind[QUIZ_RECALL].good == 1 && r.kind[QUIZ_RECALL].abstained == 1);
    assert_true(r.kind[QUIZ_UNKNOWN].n == 2 && r.kind[QUIZ_UNKNOWN].good == 1 && r.kind[QUIZ_UNKNOWN].wrong == 1);
    assert_true(r.kind[QUIZ_RETENTION].good == 2);
    assert_true(r.half[0].good == 1 && r.half[1].n == 1 && r.half[1].good == 0 && r.group[0].good == 1 && r.group[1].wrong == 1);
    assert_true(r.false_refusals == 1 && r.n_answerable == 4);
    struct sb b;
    sb_init(&b, 1 << 16);
    quiz_report_text(&q, &r, &b);
    assert_has(b.p, "recall                  1 of    2   50.0 %");
    assert_has(b.p, "false refusals          1 of    4");
    json_t *v = quiz_report_json(&q, &r, 1), *list = json_object_get(v, "answers");
    assert_int_equal(json_array_size(list), 6); /* the one that is no UTF-8, too */
    assert_string_equal(json_str(json_array_get(list, 3), "answer"), "Red \xEF\xBF\xBD");
    assert_string_equal(json_str(json_array_get(list, 1), "verdict"), "abstained");
    assert_true(json_num(json_object_get(v, "recall"), "share", 0) == 0.5 && json_num(v, "false_refusals", 0) == 0.25);
    json_decref(v);
    sb_release(&b);
    quiz_report_release(&r, q.n);

    f.fails = 1;
    assert_int_equal(quiz_run(&lm, &q, "Be brief.", &r, &e), ILAB_E_IO);
    f = (struct fake){ .answer = ANSWERS, .stop = 1 };
    signal_install();
    assert_int_equal(quiz_run(&lm, &q, "Be brief.", &r, &e), ILAB_E_CANCEL);
    signal_clear();
    quiz_release(&q);
}

static void test_many_questions(void **state)
{
    (void)state;
    ilab_err e = { 0 };
    struct quiz q;
    struct quiz_report r;
    struct fake f = { .answer = ANSWERS };
    struct lm lm = { .ops = &OPS, .self = &f };
    struct sb b;
    sb_init(&b, 1 << 20);
    for (int i = 0; i < 50; i++) sb_addc(&b, QUIZ);
    put("many.jsonl", b.p);
    sb_release(&b);
    if (quiz_read(&q, at("many.jsonl"), &e) || quiz_run(&lm, &q, "x", &r, &e)) fail_msg("%s", e.msg);
    assert_true(q.n == 300 && r.kind[QUIZ_RECALL].good == 50 && f.n_batches == 3);
    quiz_report_release(&r, q.n);
    quiz_release(&q);
}

static void test_bad_quiz_files(void **state)
{
    (void)state;
    static const struct { const char *text, *msg; } ROWS[] = {
        { "", "holds no question" },
        { "{\"user_input\": 3}\n", "bad.jsonl:1:1: 'user_input' is missing" },
        { "\n{\"user_input\": \"a\", \"kind\": \"recall\"}\n", "bad.jsonl:2:1: 'reference' is missing" },
        { "{\"user_input\": \"a\", \"reference\": \"b\", \"kind\": \"x\"}\n", "bad.jsonl:1:1: 'kind' must be recall, unknown or retention, not 'x'" },
        { "{\"user_input\": \n", "bad.jsonl:1:" },
        { "[]\n", "bad.jsonl:1:1: 'user_input' is missing" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct quiz q;
        ilab_err e = { 0 };
        put("bad.jsonl", ROWS[i].text);
        assert_int_equal(quiz_read(&q, at("bad.jsonl"), &e), ILAB_E_FORMAT);
        assert_has(e.msg, ROWS[i].msg);
    }
    struct quiz q;
    ilab_err e = { 0 };
    assert_int_equal(quiz_read(&q, at("none.jsonl"), &e), ILAB_E_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge), cmocka_unit_test(test_wilson), cmocka_unit_test(test_quiz), cmocka_unit_test(test_many_questions), cmocka_unit_test(test_bad_quiz_files),
    };
    return cmocka_run_group_tests(tests, dir_setup, dir_teardown);
}
