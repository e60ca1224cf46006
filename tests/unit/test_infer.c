/* test_infer.c — sampling, streams, batches.  Oracles: a naive sampler that sorts; each completion against
 * itself computed alone, in company, on other threads, from a cache.  SPDX-License-Identifier: Apache-2.0 */
#include "infer_fixture.h"

#include "infer/stream.h"

#include <math.h>
#include <stdlib.h>

/* ---- sampling ---- */

struct entry { float p; int id; };
static int by_weight(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    return x->p != y->p ? (x->p < y->p ? 1 : -1) : x->id - y->id;
}

/* Which ids may come, by the textbook: sort, cut. */
static void naive_keep(const float *logits, int n, const struct sample_opts *o, char *keep) {
    struct entry v[64];
    double sum = 0, cum = 0;
    for (int i = 0; i < n; i++) v[i] = (struct entry){ expf(logits[i] / o->temp), i };
    qsort(v, (size_t)n, sizeof *v, by_weight);
    int k = o->top_k > 0 && o->top_k < n ? o->top_k : n;
    for (int i = 0; i < k; i++) sum += v[i].p;
    memset(keep, 0, (size_t)n);
    for (int i = 0; i < k; i++) {
        if (i && o->top_p < 1 && cum >= sum * o->top_p * (1 - 1e-6)) break;
        cum += v[i].p;
        if (v[i].p >= o->min_p * v[0].p) keep[v[i].id] = 1;
    }
}

static void test_sample_filters_agree_with_a_sorting_sampler(void **state) {
    (void)state;
    static const struct sample_opts ROW[] = {
        { .temp = 1, .top_p = 1, .repeat_penalty = 1 }, { .temp = 1, .top_p = 1, .top_k = 1, .repeat_penalty = 1 }, { .temp = 2, .top_p = 1, .top_k = 5, .repeat_penalty = 1 },
        { .temp = 0.7f, .top_p = 0.8f, .repeat_penalty = 1 }, { .temp = 1, .top_p = 1, .min_p = 0.2f, .repeat_penalty = 1 },
        { .temp = 1.5f, .top_p = 0.9f, .top_k = 20, .min_p = 0.05f, .repeat_penalty = 1 }, { .temp = 1, .top_p = 0.0f, .repeat_penalty = 1 },
    };
    const struct kern *k = kern_get(cpu_detect());
    enum { N = 50, DRAWS = 3000 };
    struct rng noise, r;
    rng_seed(&noise, 3);
    for (size_t row = 0; row < ARRAY_LEN(ROW); row++)
        for (int round = 0; round < 3; round++) {
            float logits[N], work[N];
            char keep[N];
            int seen[N] = { 0 };
            double sum = 0;
            for (int i = 0; i < N; i++) logits[i] = (float)(2 * rng_normal(&noise));
            if (round == 2) /* many equals */
                for (int i = 0; i < N; i++) logits[i] = floorf(logits[i]);
            naive_keep(logits, N, &ROW[row], keep);
            for (int i = 0; i < N; i++) sum += keep[i] ? exp(logits[i] / ROW[row].temp) : 0;
            rng_seed(&r, 1 + (uint64_t)round);
            for (int d = 0; d < DRAWS; d++) {
                memcpy(work, logits, sizeof work);
                seen[sample_next(k, work, N, &ROW[row], &r, NULL, 0, NULL)]++;
            }
            for (int i = 0; i < N; i++) {
                double p = keep[i] ? exp(logits[i] / ROW[row].temp) / sum : 0;
                if (!keep[i]) assert_int_equal(seen[i], 0);
                assert_true(fabs(seen[i] - DRAWS * p) <= 5 * sqrt(DRAWS * p * (1 - p)) + 3);
            }
        }
}

static void test_sample_greedy_penalty_logprob(void **state) {
    (void)state;
    const struct kern *k = kern_get(cpu_detect());
    struct sample_opts o = SAMPLE_OPTS_INIT;
    struct rng r;
    rng_seed(&r, 1);
    const float base[8] = { 0.5f, 2, 1, 2, -1, 0, -INFINITY, 1.5f };
    float l[8], logp;
    memcpy(l, base, sizeof l);
    assert_int_equal(sample_next(k, l, 8, &o, &r, NULL, 0, &logp), 1); /* the first of equals */
    double sum = 0;
    for (int i = 0; i < 8; i++) sum += exp(base[i]);
    assert_true(fabs(logp - (2 - log(sum))) < 1e-6);
    o.repeat_penalty = 1.5f;
    const int32_t history[] = { 1, 3, 3, 7, 4 };
    memcpy(l, base, sizeof l);
    assert_int_equal(sample_next(k, l, 8, &o, &r, history, 5, &logp), 1); /* 2/1.5 still beats 1 */
    assert_true(fabs(logp - (2 - log(sum))) < 1e-6);                      /* before the penalty */
    assert_true(fabsf(l[4] + 1.5f) < 1e-6f);
    o.repeat_penalty = 3;
    memcpy(l, base, sizeof l);
    assert_int_equal(sample_next(k, l, 8, &o, &r, history, 5, NULL), 2);
    o.repeat_last_n = 2; /* only 7 and 4 */
    memcpy(l, base, sizeof l);
    assert_int_equal(sample_next(k, l, 8, &o, &r, history, 5, NULL), 1);
    o = (struct sample_opts)SAMPLE_OPTS_INIT;
    o.temp = 0.8f;
    for (int d = 0; d < 200; d++) {
        memcpy(l, base, sizeof l);
        int id = sample_next(k, l, 8, &o, &r, NULL, 0, &logp);
        assert_true(id != 6 && fabs(logp - (base[id] - log(sum))) < 1e-5);
    }
    struct token_logprob top[8];
    assert_int_equal(top_logprobs(base, 8, 3, top), 3);
    assert_int_equal(top[0].id, 1);
    assert_int_equal(top[1].id, 3);
    assert_int_equal(top[2].id, 7);
    assert_true(fabs(top[2].logp - (1.5 - log(sum))) < 1e-6);
    assert_int_equal(top_logprobs(base, 8, 8, top), 7); /* what cannot come is no candidate */
}

/* ---- streams ---- */

struct collected { struct sb all; int n, cancel_after; };
static int collect(void *ud, struct sv piece) {
    struct collected *c = ud;
    assert_true(piece.n > 0 && utf8_valid(piece, NULL));
    sb_add(&c->all, piece);
    return ++c->n == c->cancel_after;
}

static void check_stream(const char *bytes, size_t step, const char *const *stop, int n_stop, const char *want, int stopped) {
    struct collected got = { 0 };
    struct stream s;
    sb_init(&got.all, 1 << 16);
    stream_init(&s, &(struct request){ .stop = stop, .n_stop = n_stop, .on_text = collect, .ud = &got });
    for (size_t at = 0, n = strlen(bytes); at < n && !s.stopped; at += step) stream_push(&s, (struct sv){ bytes + at, n - at < step ? n - at : step });
    stream_finish(&s);
    assert_int_equal(s.stopped, stopped);
    assert_string_equal(got.all.p ? got.all.p : "", want);
    assert_string_equal(s.text.p ? s.text.p : "", want);
    sb_release(&got.all);
    stream_release(&s);
}

static void test_stream_stop_strings_and_utf8_over_any_cut(void **state) {
    (void)state;
    static const char *const STOP[] = { "\nUser:", "END", "\n\n" };
    for (size_t step = 1; step < 12; step++) {
        check_stream("plain text", step, STOP, 3, "plain text", 0);
        check_stream("one\nUser: two", step, STOP, 3, "one", 1);
        check_stream("one\nUse two ENEND x", step, STOP, 3, "one\nUse two EN", 1);
        check_stream("a\n\nUser: b", step, STOP, 3, "a", 1);
        check_stream("tail EN", step, STOP, 3, "tail EN", 0);
        check_stream("gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x99\x82.", step, NULL, 0, "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x99\x82.", 0);
        check_stream("x\xFFy\xE2\x82", step, NULL, 0, "x\xEF\xBF\xBDy\xEF\xBF\xBD", 0);         /* stray byte, cut end */
        check_stream("\xE2\x28\xC0\xAF", step, NULL, 0, "\xEF\xBF\xBD(\xEF\xBF\xBD\xEF\xBF\xBD", 0);
    }
}

/* ---- batches ---- */

enum { N_REQ = 11, N_CTX = 900 };
static const char *const PROMPT[N_REQ] = { "The river", "Question: Who is the mayor of Ashby?\nAnswer:", "Question: Who is the mayor of Ware?\nAnswer:", "1969",
    "Question: Who is the mayor of Ashby?\nAnswer: Anna", "a", "Its mayor is Dr. Anna Bell, who was born in 1969.", "The town has 24,255 people in 2017.", "The river Ware runs",
    "The river Ware runs through the town of Ashby. Its mayor", "zzzz" };

static void make_requests(const struct fixture *f, struct ids *ids, struct request *rq) {
    for (int i = 0; i < N_REQ; i++) {
        ids[i] = fixture_ids(f, PROMPT[i]);
        rq[i] = (struct request){ .prompt = ids[i].v, .n_prompt = (int)ids[i].n, .max_tokens = 10 + 5 * i, .sample = SAMPLE_OPTS_INIT, .n_top = i % 3, .want_prompt_logp = i == 6 };
        rq[i].sample.temp = i % 2 ? 0.9f : 0.0f;
        rq[i].sample.top_k = i == 3 ? 20 : 0;
        rq[i].sample.repeat_penalty = i == 5 ? 1.2f : 1.0f;
        rq[i].sample.seed = (uint64_t)i;
    }
    while (ids[10].n < 700) assert_int_equal(ids_push(&ids[10], (int32_t)(4 + ids[10].n * 7 % 300)), 0); /* more than one chunk */
    rq[10].prompt = ids[10].v;
    rq[10].n_prompt = (int)ids[10].n;
}

static void same_completion(const struct completion *a, const struct completion *b) {
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->id, b->id, (size_t)a->n * sizeof *a->id);
    assert_memory_equal(a->logp, b->logp, (size_t)a->n * sizeof *a->logp);
    if (a->n_top) assert_memory_equal(a->top, b->top, (size_t)a->n * (size_t)a->n_top * sizeof *a->top);
    if (a->prompt_logp) assert_memory_equal(a->prompt_logp, b->prompt_logp, (size_t)a->n_prompt * sizeof(float));
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->finish, b->finish);
}

/* The next turn of a conversation: what was generated is given now. Alone, and behind the first turn in the same batcher. */
static void check_next_turn(struct fixture *f, const struct request *rq, const struct completion *first, struct batcher *b) {
    struct completion alone, behind;
    struct ids ids = { 0 };
    ilab_err e = { 0 };
    for (int i = 0; i < rq->n_prompt; i++) assert_int_equal(ids_push(&ids, rq->prompt[i]), 0);
    for (int i = 0; i < first->n; i++) assert_int_equal(ids_push(&ids, first->id[i]), 0);
    for (int i = 0; i < 9; i++) assert_int_equal(ids_push(&ids, 20 + i), 0);
    struct request next = { .prompt = ids.v, .n_prompt = (int)ids.n, .max_tokens = 12, .sample = SAMPLE_OPTS_INIT, .n_top = 2 };
    struct batcher *own = batcher_new(f->engine, 1, N_CTX, &e);
    must(batcher_run(own, &next, 1, &alone, &e), &e);
    must(batcher_run(b, &next, 1, &behind, &e), &e);
    assert_true(behind.n_prompt_cached > 0);
    same_completion(&alone, &behind);
    completion_release(&alone);
    completion_release(&behind);
    batcher_free(own);
    ids_release(&ids);
}

static void check_company(int type) {
    struct completion alone[N_REQ], c[N_REQ];
    struct ids ids[N_REQ];
    struct request rq[N_REQ];
    ilab_err e = { 0 };
    int cached = 0;
    for (int threads = 1; threads <= 2; threads++) {
        struct fixture f;
        fixture_open_in(&f, threads, N_CTX, type);
        make_requests(&f, ids, rq);
        for (int i = 0; i < N_REQ && threads == 1; i++) {
            struct batcher *b = batcher_new(f.engine, 1, N_CTX, &e);
            must(batcher_run(b, &rq[i], 1, &alone[i], &e), &e);
            assert_true(alone[i].n > 0);
            assert_int_equal(alone[i].n_prompt_cached, 0);
            if (i == 1 || i == 6) check_next_turn(&f, &rq[i], &alone[i], b);
            batcher_free(b);
        }
        static const struct { int seqs, positions; } SHAPE[] = { { 8, 8 * N_CTX }, { 3, N_CTX }, { 1, N_CTX }, { 11, 11 * N_CTX } };
        for (size_t s = 0; s < ARRAY_LEN(SHAPE); s++) {
            struct batcher *b = batcher_new(f.engine, SHAPE[s].seqs, SHAPE[s].positions, &e);
            for (int round = 0; round < 2; round++) {
                must(batcher_run(b, rq, N_REQ, c, &e), &e);
                for (int i = 0; i < N_REQ; i++) {
                    same_completion(&alone[i], &c[i]);
                    cached += c[i].n_prompt_cached;
                    if (round == 1 && i == 10 && s == 0) assert_int_equal(c[i].n_prompt_cached, c[i].n_prompt - 1);
                    completion_release(&c[i]);
                }
            }
            batcher_free(b);
        }
        for (int i = 0; i < N_REQ; i++) ids_release(&ids[i]);
        fixture_close(&f);
    }
    assert_true(cached > 0);
    print_message("prompt positions taken from other sequences or the cache: %d\n", cached);
    for (int i = 0; i < N_REQ; i++) completion_release(&alone[i]);
}

static void test_batch_results_do_not_depend_on_company_threads_or_cache(void **state) {
    (void)state;
    check_company(QT_F32);
    check_company(QT_F16); /* given and generated ids are computed differently */
}

static void test_batch_prompts_of_one_run_share_their_beginning(void **state) {
    (void)state;
    struct fixture f;
    struct request rq[4];
    struct completion c[4];
    ilab_err e = { 0 };
    fixture_open(&f, 1, N_CTX);
    struct ids base = fixture_ids(&f, FIXTURE_TEXT), ids[4] = { { 0 } };
    for (int i = 0; i < 4; i++) {
        for (size_t j = 0; j < base.n; j++) assert_int_equal(ids_push(&ids[i], base.v[j]), 0);
        assert_int_equal(ids_push(&ids[i], 10 + i), 0);
        rq[i] = (struct request){ .prompt = ids[i].v, .n_prompt = (int)ids[i].n, .max_tokens = 4, .sample = SAMPLE_OPTS_INIT };
    }
    struct batcher *b = batcher_new(f.engine, 4, 4 * N_CTX, &e);
    must(batcher_run(b, rq, 4, c, &e), &e);
    assert_int_equal(c[0].n_prompt_cached, 0);
    for (int i = 0; i < 4; i++) {
        if (i) assert_int_equal(c[i].n_prompt_cached, base.n);
        completion_release(&c[i]);
        ids_release(&ids[i]);
    }
    ids_release(&base);
    batcher_free(b);
    fixture_close(&f);
}

static void test_batch_limits_and_ends(void **state) {
    (void)state;
    struct fixture f;
    struct completion c;
    ilab_err e = { 0 };
    fixture_open(&f, 1, 64);
    struct ids p = fixture_ids(&f, "The river Ware");
    struct batcher *b = batcher_new(f.engine, 2, 128, &e);
    struct request rq = { .prompt = p.v, .n_prompt = (int)p.n, .max_tokens = 5, .sample = SAMPLE_OPTS_INIT };
    must(batcher_run(b, &rq, 1, &c, &e), &e);
    assert_int_equal(c.finish, FINISH_LENGTH);
    assert_int_equal(c.n, 5);
    completion_release(&c);
    rq.max_tokens = 1000;
    must(batcher_run(b, &rq, 1, &c, &e), &e);
    assert_int_equal(c.finish, FINISH_CONTEXT);
    assert_int_equal(c.n + c.n_prompt, 64);
    completion_release(&c);
    while (p.n < 64) assert_int_equal(ids_push(&p, 30), 0);
    rq.prompt = p.v;
    rq.n_prompt = 64;
    assert_int_equal(batcher_run(b, &rq, 1, &c, &e), ILAB_E_LIMIT);
    assert_non_null(strstr(e.msg, "64 tokens"));
    assert_non_null(strstr(e.msg, "shorten"));
    rq.max_tokens = 0; /* scoring fits */
    rq.want_prompt_logp = 1;
    must(batcher_run(b, &rq, 1, &c, &e), &e);
    assert_int_equal(c.n, 0);
    assert_true(c.prompt_logp[0] == 0 && c.prompt_logp[63] < 0);
    completion_release(&c);
    p.v[3] = 100000;
    assert_int_equal(batcher_run(b, &rq, 1, &c, &e), ILAB_E_INVALID);
    rq.n_prompt = 0;
    assert_int_equal(batcher_run(b, &rq, 1, &c, &e), ILAB_E_INVALID);
    assert_null(batcher_new(f.engine, 0, 10, &e));
    ids_release(&p);
    struct collected got = { .cancel_after = 2 };
    sb_init(&got.all, 1 << 16);
    p = fixture_ids(&f, "Question: Who");
    rq = (struct request){ .prompt = p.v, .n_prompt = (int)p.n, .max_tokens = 40, .sample = SAMPLE_OPTS_INIT, .on_text = collect, .ud = &got };
    must(batcher_run(b, &rq, 1, &c, &e), &e);
    assert_int_equal(c.finish, FINISH_CANCEL);
    assert_true(c.n < 40);
    completion_release(&c);
    sb_release(&got.all);
    ids_release(&p);
    batcher_free(b);
    fixture_close(&f);
}

static void test_scores_agree_and_do_not_depend_on_the_cache(void **state) {
    (void)state;
    struct fixture f;
    struct completion c;
    ilab_err e = { 0 };
    double nll, sum = 0;
    fixture_open(&f, 1, N_CTX);
    struct ids p = fixture_ids(&f, FIXTURE_TEXT);
    while (p.n < 600) assert_int_equal(ids_push(&p, (int32_t)(4 + p.n % 300)), 0);
    struct batcher *b = batcher_new(f.engine, 2, 2 * N_CTX, &e);
    struct request rq = { .prompt = p.v, .n_prompt = (int)p.n, .want_prompt_logp = 1, .sample = SAMPLE_OPTS_INIT };
    must(batcher_run(b, &rq, 1, &c, &e), &e);
    must(score_ids(f.engine, p.v, (int)p.n, &nll, &e), &e);
    for (int i = 0; i < (int)p.n; i++) sum -= c.prompt_logp[i];
    assert_true(fabs(sum - nll) < 1e-3);
    struct completion d;
    rq.logp_from = 570;
    must(batcher_run(b, &rq, 1, &d, &e), &e);
    assert_int_equal(d.n_prompt_cached, 569);
    assert_true(d.prompt_logp[569] == 0);
    assert_memory_equal(d.prompt_logp + 570, c.prompt_logp + 570, 30 * sizeof(float));
    completion_release(&c);
    completion_release(&d);
    struct perplexity ppl, two;
    must(perplexity_text(f.engine, SV("The river Ware"), 64, &ppl, &e), &e);
    must(perplexity_text(f.engine, SV("The river Ware\n<|endoftext|>\nThe river Ware<|endoftext|>\n"), 64, &two, &e), &e);
    assert_int_equal(two.n_tokens, 2 * ppl.n_tokens);
    assert_int_equal(two.n_parts, 2);
    assert_true(fabs(two.nll_mean - ppl.nll_mean) < 1e-12);
    assert_int_equal(perplexity_text(f.engine, SV(" \n"), 64, &ppl, &e), ILAB_E_INVALID);
    ids_release(&p);
    batcher_free(b);
    fixture_close(&f);
}

static void test_engine_of_a_file_equals_the_model_in_memory(void **state) {
    (void)state;
    static const char PATH[] = "build/test_infer_tiny.gguf";
    struct fixture f;
    struct completion c, d;
    struct engine *en;
    ilab_err e = { 0 };
    fixture_open(&f, 1, N_CTX);
    must(dir_make("build", &e), &e);
    fixture_write(&f, PATH);
    must(engine_open(&en, PATH, NULL, 2, &e), &e);
    assert_non_null(en->model->layer[0].lin[LIN_Q].packed);
    struct ids p = fixture_ids(&f, PROMPT[1]);
    struct request rq = { .prompt = p.v, .n_prompt = (int)p.n, .max_tokens = 40, .sample = SAMPLE_OPTS_INIT, .n_top = 4 };
    struct batcher *a = batcher_new(f.engine, 1, N_CTX, &e), *b = batcher_new(en, 1, N_CTX, &e);
    must(batcher_run(a, &rq, 1, &c, &e), &e);
    must(batcher_run(b, &rq, 1, &d, &e), &e);
    same_completion(&c, &d);
    completion_release(&c);
    completion_release(&d);
    batcher_free(a);
    batcher_free(b);
    engine_free(en);
    assert_int_equal(engine_open(&en, "build/no-such.gguf", NULL, 1, &e), ILAB_E_NOTFOUND);
    assert_null(en);
    ids_release(&p);
    unlink(PATH);
    fixture_close(&f);
}

static void test_batch_survives_failing_allocations(void **state) {
    (void)state;
    struct fixture f;
    ilab_err e = { 0 };
    fixture_open(&f, 1, 128);
    struct ids p = fixture_ids(&f, "Question: Who is");
    struct token_table *tt = engine_token_table(f.engine);
    int rc = 0, failed = 0, reached = 1;
    for (long n = 1; reached && n < 20000; n++) {
        struct constraint *con = NULL;
        struct batcher *b = NULL;
        struct completion c[2] = { { 0 } };
        mem_fail_at = n;
        rc = constraint_new_with(&con, "A: {line}\nB: {number}.", SV(""), f.tokenizer, tt, &e);
        if (!rc) {
            b = batcher_new(f.engine, 2, 256, &e);
            rc = b ? 0 : ILAB_E_NOMEM;
        }
        struct request rq[2] = { { .prompt = p.v, .n_prompt = (int)p.n, .max_tokens = 6, .sample = SAMPLE_OPTS_INIT, .constraint = con, .n_top = 2 },
                                 { .prompt = p.v, .n_prompt = (int)p.n, .max_tokens = 6, .sample = SAMPLE_OPTS_INIT, .want_prompt_logp = 1 } };
        if (!rc) rc = batcher_run(b, rq, 2, c, &e);
        reached = mem_fail_at == 0;
        mem_fail_at = -1;
        assert_true(rc == 0 || rc == ILAB_E_NOMEM); /* 0: somebody did without */
        failed += rc != 0;
        for (int i = 0; i < 2; i++) completion_release(&c[i]);
        batcher_free(b);
        constraint_free(con);
    }
    assert_int_equal(rc, 0);
    assert_true(!reached && failed > 30);
    print_message("failing allocations survived: %d\n", failed);
    ids_release(&p);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_filters_agree_with_a_sorting_sampler),
        cmocka_unit_test(test_sample_greedy_penalty_logprob),
        cmocka_unit_test(test_stream_stop_strings_and_utf8_over_any_cut),
        cmocka_unit_test(test_batch_results_do_not_depend_on_company_threads_or_cache),
        cmocka_unit_test(test_batch_prompts_of_one_run_share_their_beginning),
        cmocka_unit_test(test_batch_limits_and_ends),
        cmocka_unit_test(test_scores_agree_and_do_not_depend_on_the_cache),
        cmocka_unit_test(test_engine_of_a_file_equals_the_model_in_memory),
        cmocka_unit_test(test_batch_survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
