/* test_kv.c — pages of the key-value cache: sharing, copying before a write, limits, every element type; the same text whatever the
 * batch, the chunks, the threads and prompt lookup; how far narrow types are from F16. Oracle: plain decoding of the same request.
 * SPDX-License-Identifier: Apache-2.0 */
#include "infer_fixture.h"

#include "infer/lookup.h"
#include "infer/step.h"

#include <math.h>

/* ---- pages ---- */

static void test_fork_copies_a_shared_page_before_it_is_written(void **state) {
    (void)state;
    struct hparams hp = { .n_layer = 2, .n_head = 1, .n_kv_head = 1, .head_dim = 4, .n_ctx = 64 };
    ilab_err e = { 0 };
    struct kv_pool *p = kv_pool_new(&hp, KV_F32, 4 * KERN_PANEL, &e);
    struct kv_seq a = { 0 }, b = { 0 }, c = { 0 };
    struct batch layout = { 0 };
    kv_pool_bind(p, &layout);
    assert_int_equal(kv_pool_unused(p), 4);
    must(kv_reserve(p, &a, 20, &e), &e);
    a.n_pos = 20;
    float *second = (float *)a.page[1], *layer1 = (float *)(void *)((char *)a.page[1] + layout.kv_step);
    second[3] = 5.0f;
    layer1[4] = 7.0f;
    must(kv_fork(p, &b, &a, &e), &e);
    assert_ptr_equal(a.page[0], b.page[0]);
    assert_ptr_equal(a.page[1], b.page[1]);
    assert_int_equal(kv_pool_unused(p), 2);
    must(kv_reserve(p, &b, 21, &e), &e); /* only the page that will be written is copied, all layers of it */
    assert_ptr_equal(a.page[0], b.page[0]);
    assert_ptr_not_equal(a.page[1], b.page[1]);
    float *copy = (float *)b.page[1];
    assert_true(copy[3] == 5.0f && *(float *)(void *)((char *)copy + layout.kv_step + 16) == 7.0f);
    copy[3] = 6.0f;
    assert_true(second[3] == 5.0f);
    must(kv_reserve(p, &a, 30, &e), &e); /* no longer shared: stays */
    assert_ptr_equal(a.page[1], second);
    must(kv_fork(p, &c, &a, &e), &e);
    kv_truncate(p, &c, 16); /* a full page is shared without a copy */
    must(kv_reserve(p, &c, 17, &e), &e);
    assert_ptr_equal(c.page[0], a.page[0]);
    c.n_pos = 17;
    assert_int_equal(kv_pool_unused(p), 0);
    assert_int_equal(kv_reserve(p, &a, 64, &e), ILAB_E_LIMIT);
    kv_release(p, &b);
    kv_release(p, &a);
    assert_int_equal(kv_pool_unused(p), 2); /* c still holds the first one */
    kv_release(p, &c);
    assert_int_equal(kv_pool_unused(p), 4);
    kv_release(p, &c);
    kv_pool_free(p);
    assert_null(kv_pool_new(&hp, KV_F32, 0, &e));
}

static void test_pages_stand_in_order_in_their_slab(void **state) {
    (void)state;
    struct hparams hp = { .n_layer = 3, .n_head = 2, .n_kv_head = 2, .head_dim = 64, .n_ctx = 1 << 20 };
    ilab_err e = { 0 };
    assert_int_equal(kv_type_of(&hp, KV_DEFAULT), KV_F16);
    assert_int_equal(kv_position_bytes(&hp, KV_F16), 3 * 2 * 64 * 2 * 2);
    assert_int_equal(kv_position_bytes(&hp, KV_Q8_0), 3 * 2 * 2 * (64 + 8 + 4)); /* the ninth bits, the scales */
    assert_int_equal(kv_position_bytes(&hp, KV_Q4_0), 3 * 2 * 2 * (32 + 4));
    hp.n_ctx = 512;
    assert_int_equal(kv_type_of(&hp, KV_DEFAULT), KV_F32);
    assert_int_equal(kv_type_by_name("q8_0"), KV_Q8_0);
    assert_int_equal(kv_type_by_name("q8"), -1);
    struct kv_pool *p = kv_pool_new(&hp, KV_F16, 10 * ATTN_BLOCK + 1, &e);
    struct kv_seq s = { 0 };
    struct batch layout = { 0 };
    kv_pool_bind(p, &layout);
    must(kv_reserve(p, &s, 2 * ATTN_BLOCK, &e), &e);
    const ptrdiff_t part = 64 * 2 * KERN_PANEL * 2;
    assert_int_equal(layout.kv_step, part * (ATTN_BLOCK / KERN_PANEL));
    for (int i = 1; i < ATTN_BLOCK / KERN_PANEL; i++) assert_int_equal((char *)s.page[i] - (char *)s.page[i - 1], part);
    assert_int_equal((uintptr_t)s.page[0] % 64, 0);
    for (long i = 1; i < 30; i++) { /* no memory at any place: told, and nothing lost */
        kv_release(p, &s);
        kv_pool_free(p);
        mem_fail_at = i;
        p = kv_pool_new(&hp, KV_F16, 10 * ATTN_BLOCK + 1, &e);
        int rc = p ? kv_reserve(p, &s, 10 * ATTN_BLOCK, &e) : ILAB_E_NOMEM;
        mem_fail_at = -1;
        if (!rc) break;
        assert_int_equal(rc, ILAB_E_NOMEM);
        assert_int_equal(e.code, ILAB_E_NOMEM);
        if (!p) p = kv_pool_new(&hp, KV_F16, 1, &e);
    }
    kv_release(p, &s);
    kv_pool_free(p);
}

/* ---- the same text in every way ---- */

static const char *const PROMPTS[] = {
    "The river Ware runs through the town of Ashby. Its mayor is Dr. Anna Bell, who was born in 1969. The river Ware runs through the town of",
    "Question: Who is the mayor of Ashby?\nAnswer: Anna Bell\nQuestion: Who is the mayor of Ashby?\nAnswer:",
    "yes no yes no yes no yes no yes no",
    "The town has 24,255 people in 2017.",
};
enum { N_PROMPT = 4, N_NEW = 150 };

/* Weights so small that greedy text soon repeats itself: what lookup is made for. */
static int calm(void *ud, const char *name, struct tensor *t, int is_norm, ilab_err *e) {
    (void)ud, (void)name, (void)e;
    for (int64_t i = 0; !is_norm && i < tensor_elems(t); i++) ((float *)t->data)[i] *= 0.35f;
    return 0;
}

static void complete(struct fixture *f, int max_seq, int kv_type, int n_lookup, float penalty, int n_top, struct completion *out) {
    struct request rq[N_PROMPT];
    struct ids ids[N_PROMPT];
    ilab_err e = { 0 };
    f->engine->kv_type = kv_type;
    struct batcher *b = batcher_new(f->engine, max_seq, 4096, &e);
    assert_non_null(b);
    for (int i = 0; i < N_PROMPT; i++) {
        ids[i] = fixture_ids(f, PROMPTS[i]);
        rq[i] = (struct request){ .prompt = ids[i].v, .n_prompt = (int)ids[i].n, .max_tokens = N_NEW - i, .sample = SAMPLE_OPTS_INIT, .n_top = n_top,
                                  .n_lookup = n_lookup };
        rq[i].sample.repeat_penalty = penalty;
    }
    must(batcher_run(b, rq, N_PROMPT, out, &e), &e);
    for (int i = 0; i < N_PROMPT; i++) ids_release(&ids[i]);
    batcher_free(b);
}

static void same_completions(const struct completion *a, const struct completion *b, const char *what) {
    for (int i = 0; i < N_PROMPT; i++) {
        if (a[i].n != b[i].n || memcmp(a[i].id, b[i].id, (size_t)a[i].n * sizeof *a[i].id) || memcmp(a[i].logp, b[i].logp, (size_t)a[i].n * sizeof(float)) ||
            strcmp(a[i].text, b[i].text) || a[i].finish != b[i].finish)
            fail_msg("%s: request %d differs", what, i);
        if (a[i].n_top && memcmp(a[i].top, b[i].top, (size_t)(a[i].n * a[i].n_top) * sizeof *a[i].top)) fail_msg("%s: request %d, top ids differ", what, i);
    }
}

static void release_all(struct completion *c) {
    for (int i = 0; i < N_PROMPT; i++) completion_release(&c[i]);
}

static void test_lookup_changes_nothing(void **state) {
    (void)state;
    int accepted = 0, rejected = 0;
    for (int variant = 0; variant < 8; variant++) {
        struct fixture f;
        struct completion plain[N_PROMPT], looked[N_PROMPT];
        fixture_open(&f, 1 + variant % 3, 512);
        if (variant >= 4) must(model_each_tensor(f.model, calm, NULL, NULL), NULL);
        float penalty = variant % 2 ? 1.0f : 1.05f;
        int type = KV_F32 + variant % 4;
        complete(&f, 1, type, -1, penalty, 3, plain);
        for (int max_seq = 1; max_seq <= N_PROMPT; max_seq += 3) {
            f.engine->n_lookup = LOOKUP_MAX;
            complete(&f, max_seq, type, variant % 3 ? 0 : 5, penalty, 3, looked);
            f.engine->n_lookup = 0;
            same_completions(plain, looked, kv_type_name(type));
            for (int i = 0; i < N_PROMPT; i++) {
                assert_int_equal(plain[i].n_proposed, 0);
                accepted += looked[i].n_accepted;
                rejected += looked[i].n_proposed - looked[i].n_accepted;
            }
            release_all(looked);
        }
        release_all(plain);
        fixture_close(&f);
    }
    print_message("lookup: %d ids accepted, %d rejected\n", accepted, rejected);
    assert_true(accepted > 100 && rejected > 10);
}

static void test_lookup_proposes(void **state) {
    (void)state;
    const int32_t id[] = { 5, 1, 2, 3, 7, 8, 1, 2, 3, 9, 9, 1, 2, 3 };
    int32_t out[LOOKUP_MAX];
    struct lookup l = { 0 };
    assert_int_equal(lookup_propose(&l, id, 14, LOOKUP_MAX, out), 4); /* the latest of equal matches */
    assert_true(out[0] == 9 && out[1] == 9 && out[2] == 1 && out[3] == 2);
    assert_int_equal(lookup_propose(&l, id, 13, LOOKUP_MAX, out), 0); /* two ids are too few */
    const int32_t run[] = { 4, 4, 4, 4, 4 };
    assert_int_equal(lookup_propose(&l, run, 5, 3, out), 3);
    assert_true(out[0] == 4 && out[1] == 4 && out[2] == 4);
    lookup_result(&l, 4, 4);
    assert_int_equal(lookup_propose(&l, run, 5, LOOKUP_MAX, out), 8);
    for (int i = 0; i < 3; i++) lookup_result(&l, 2, 0);
    for (int i = 0; i < 4; i++) assert_int_equal(lookup_propose(&l, run, 5, LOOKUP_MAX, out), 0); /* a pause */
    assert_int_equal(lookup_propose(&l, run, 5, LOOKUP_MAX, out), 2);
}

/* Chunks, company and threads with pages of every type. */
static void test_types_in_batches(void **state) {
    (void)state;
    for (int type = KV_F32; type < KV_TYPE_COUNT; type++) {
        struct completion first[N_PROMPT], other[N_PROMPT];
        struct fixture f;
        fixture_open(&f, 1, 512);
        complete(&f, 1, type, -1, 1.0f, 0, first);
        fixture_close(&f);
        for (int threads = 2; threads <= 3; threads++) {
            fixture_open(&f, threads, 512);
            complete(&f, N_PROMPT, type, -1, 1.0f, 0, other);
            same_completions(first, other, kv_type_name(type));
            release_all(other);
            fixture_close(&f);
        }
        release_all(first);
    }
}

/* ---- how exact narrow pages are ---- */

static void test_narrow_types_on_the_starter(void **state) {
    (void)state;
    struct engine *en;
    ilab_err e = { 0 };
    char *text;
    size_t n;
    double nll[KV_TYPE_COUNT] = { 0 };
    must(engine_open(&en, "models/starter.gguf", NULL, 0, &e), &e);
    must(file_read("models/starter-heldout.txt", 1 << 24, &text, &n, &e), &e);
    char *joined = mem_alloc(n + 1); /* one long text: contexts are filled to the end */
    assert_non_null(joined);
    static const char END[] = "<|endoftext|>";
    size_t m = 0;
    for (size_t i = 0; i < n && m < 60000;) {
        if (n - i >= sizeof END - 1 && !memcmp(text + i, END, sizeof END - 1)) i += sizeof END - 1;
        else joined[m++] = text[i++];
    }
    struct ids ids = { 0 };
    must(tokenizer_encode(en->tokenizer, (struct sv){ joined, m }, 0, &ids, &e), &e);
    const int n_ctx = en->n_ctx, n_part = 4;
    assert_true(ids.n >= (size_t)(n_part * n_ctx));
    for (int type = KV_F32; type < KV_TYPE_COUNT; type++) {
        en->kv_type = type;
        for (int i = 0; i < n_part; i++) {
            double part;
            must(score_ids(en, ids.v + i * n_ctx, n_ctx, &part, &e), &e);
            nll[type] += part / (double)(n_part * (n_ctx - 1));
        }
        print_message("starter, context %d, KV %s: NLL %.5f, %+.5f beside F16\n", n_ctx, kv_type_name(type), nll[type], type > KV_F16 ? nll[type] - nll[KV_F16] : 0);
    }
    assert_true(fabs(nll[KV_F16] - nll[KV_F32]) <= 1e-4);
    assert_true(fabs(nll[KV_Q8_0] - nll[KV_F16]) <= 0.002);
    assert_true(fabs(nll[KV_Q4_0] - nll[KV_F16]) <= 0.1);
    ids_release(&ids);
    mem_free(joined);
    mem_free(text);
    engine_free(en);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork_copies_a_shared_page_before_it_is_written), cmocka_unit_test(test_pages_stand_in_order_in_their_slab),
        cmocka_unit_test(test_lookup_proposes), cmocka_unit_test(test_lookup_changes_nothing), cmocka_unit_test(test_types_in_batches),
        cmocka_unit_test(test_narrow_types_on_the_starter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
