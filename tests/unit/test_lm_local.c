/* test_lm_local.c — the port over a made model: chat, raw prompts, prefix, skeleton, scores.
 * Oracles: the same ids through the batcher; a score against the sum over score_ids.  SPDX-License-Identifier: Apache-2.0 */
#include "infer_fixture.h"

#include "lm/lm.h"

#include <math.h>

static const struct lm_message CHAT[] = { { "system", { "Be brief.", 9 } }, { "user", { "Who is the mayor of Ashby?", 26 } } };

static struct lm *open_lm(struct fixture *f) {
    struct lm *lm;
    ilab_err e = { 0 };
    fixture_open(f, 1, 512);
    must(lm_local_new(&lm, f->engine, 0, &e), &e);
    return lm;
}

static void test_lm_chat_and_raw_prompt_are_the_same_conversation(void **state) {
    (void)state;
    struct fixture f;
    ilab_err e = { 0 };
    struct lm_result r[3];
    struct lm *lm = open_lm(&f);
    struct lm_request rq[3] = {
        { .message = CHAT, .n_message = 2, .max_tokens = 20, .n_top = 3 },
        { .raw = SV("<|system|>\nBe brief.\n<|user|>\nWho is the mayor of Ashby?\n<|assistant|>\n"), .max_tokens = 20, .n_top = 3 },
        { .raw = SV("<|user|>\n"), .max_tokens = 20, .temp = 0.8f, .seed = 4, .stop = { "zzz", NULL, "e", "" } },
    };
    if (tokenizer_adds_bos(f.tokenizer)) print_message("the made tokenizer adds BOS\n");
    must(lm_complete(lm, rq, 3, r, &e), &e);
    assert_string_equal(r[0].text, r[1].text + (r[1].text[0] == ' ')); /* of an answer in a chat the first space is left out */
    assert_int_equal(r[0].n_token, r[1].n_token);
    assert_true(r[0].n_token > 0 && r[0].top != NULL && r[2].top == NULL);
    double sum = 0;
    for (int i = 0; i < r[0].n_token; i++) {
        assert_int_equal(r[0].token[i].id, r[1].token[i].id);
        assert_int_equal(r[0].top[3 * i].id, r[0].token[i].id); /* greedy */
        assert_true(fabsf(r[0].top[3 * i].logp - r[0].token[i].logp) < 1e-4f);
        sum += r[0].token[i].logp;
    }
    assert_true(fabs(r[0].logp_mean - sum / r[0].n_token) < 1e-6);
    assert_null(strchr(r[2].text, 'e'));
    for (int i = 0; i < 3; i++) lm_result_release(&r[i]);
    assert_int_equal(lm_n_ctx(lm), 512);
    assert_true(lm_count_tokens(lm, SV("The river")) > 0);
    assert_string_equal(lm_hash(lm), ""); /* no file, no identity */
    lm_close(lm);
    lm_close(NULL);
    fixture_close(&f);
}

static void test_lm_prefix_and_skeleton(void **state) {
    (void)state;
    struct fixture f;
    ilab_err e = { 0 };
    struct lm_result r[2], cut;
    struct lm *lm = open_lm(&f);
    struct lm_request rq[2] = {
        { .message = CHAT, .n_message = 2, .prefix = SV("Answer: "), .skeleton = "{span}", .source = SV("of Anna Bell"), .max_tokens = 30, .temp = 2, .seed = 1 },
        { .message = CHAT, .n_message = 2, .skeleton = "Question: {choice:Who|When|How}?\nAnswer: {number}.", .max_tokens = 60, .temp = 1, .seed = 3 },
    };
    for (uint64_t seed = 0; seed < 20; seed++) {
        rq[0].seed = rq[1].seed = seed;
        must(lm_complete(lm, rq, 2, r, &e), &e);
        assert_true(r[0].finished && r[0].n > 0 && r[0].text[0] != ' '); /* the prefix's space is not in the result */
        assert_non_null(strstr("of Anna Bell", r[0].text));
        if (r[1].finished) {
            assert_true(sv_starts((struct sv){ r[1].text, r[1].n }, "Question: "));
            assert_true(sv_ends((struct sv){ r[1].text, r[1].n }, "."));
            assert_non_null(strstr(r[1].text, "?\nAnswer: "));
        }
        assert_true(r[1].logp_mean < 0);
        lm_result_release(&r[0]);
        lm_result_release(&r[1]);
    }
    rq[1].max_tokens = 2;
    must(lm_complete(lm, &rq[1], 1, &cut, &e), &e);
    assert_int_equal(cut.finished, 0);
    lm_result_release(&cut);
    rq[1].skeleton = "{nonsense}";
    assert_int_equal(lm_complete(lm, rq, 2, r, &e), ILAB_E_INVALID);
    assert_null(r[0].text);
    char *many = mem_calloc(4000, 1);
    memset(many, 'x', 3999);
    rq[0] = (struct lm_request){ .raw = { many, 3999 }, .max_tokens = 5 };
    assert_int_equal(lm_complete(lm, rq, 1, r, &e), ILAB_E_LIMIT);
    assert_non_null(strstr(e.msg, "the context holds 512"));
    mem_free(many);
    lm_close(lm);
    fixture_close(&f);
}

static void test_lm_score_is_the_log_probability_of_the_answer(void **state) {
    (void)state;
    struct fixture f;
    ilab_err e = { 0 };
    double logp, again, whole, before, all = 0;
    int n;
    struct lm *lm = open_lm(&f);
    must(lm_score(lm, CHAT, 2, SV("Anna Bell"), &logp, &n, &e), &e);
    struct chat_message m[3] = { { "system", CHAT[0].content }, { "user", CHAT[1].content }, { "assistant", SV("Anna Bell") } };
    struct chat_ids c = { 0 }, p = { 0 };
    const struct chat_template *t = chat_template_of(f.tokenizer);
    must(chat_encode(f.tokenizer, t, m, 3, 0, &c, &e), &e);
    must(chat_encode(f.tokenizer, t, m, 2, 1, &p, &e), &e);
    must(score_ids(f.engine, c.ids.v, (int)c.ids.n, &whole, &e), &e);
    must(score_ids(f.engine, p.ids.v, (int)p.ids.n, &before, &e), &e);
    int masked = 0;
    for (size_t i = 0; i < c.ids.n; i++) masked += c.mask[i];
    assert_int_equal(n, masked);
    assert_int_equal((int)(c.ids.n - p.ids.n), masked); /* this template ends with the answer's end token */
    assert_true(fabs(logp + (whole - before)) < 1e-3);
    must(lm_score(lm, CHAT, 2, SV("Anna Bell"), &again, &n, &e), &e); /* now from the cache */
    assert_true(logp == again);
    static const char *const OTHER[] = { "yes", "no", "1969", "I don't know." };
    for (size_t i = 0; i < ARRAY_LEN(OTHER); i++) {
        double lp;
        must(lm_score(lm, CHAT, 2, sv_of(OTHER[i]), &lp, &n, &e), &e);
        all += exp(lp);
    }
    assert_true(all + exp(logp) < 1.0); /* different answers share one unit of probability */
    chat_ids_release(&c);
    chat_ids_release(&p);
    lm_close(lm);
    fixture_close(&f);
}

static void test_lm_open_reads_a_file(void **state) {
    (void)state;
    static const char PATH[] = "build/test_lm_tiny.gguf";
    struct fixture f;
    struct lm *lm;
    ilab_err e = { 0 };
    fixture_open(&f, 1, 512);
    must(dir_make("build", &e), &e);
    fixture_write(&f, PATH);
    must(lm_local_open(&lm, PATH, NULL, 1, &e), &e);
    assert_int_equal(strlen(lm_hash(lm)), 64);
    assert_string_equal(lm->name, "test_lm_tiny.gguf");
    lm_close(lm);
    unlink(PATH);
    assert_int_equal(lm_local_open(&lm, PATH, NULL, 1, &e), ILAB_E_NOTFOUND);
    assert_null(lm);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lm_chat_and_raw_prompt_are_the_same_conversation),
        cmocka_unit_test(test_lm_prefix_and_skeleton),
        cmocka_unit_test(test_lm_score_is_the_log_probability_of_the_answer),
        cmocka_unit_test(test_lm_open_reads_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
