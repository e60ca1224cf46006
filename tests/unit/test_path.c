/* test_path.c — the gradient of every path of training against the exact one: random weights in every element type, real weights as our
 * quantiser writes them; the same bits for threads, micro-batches and CPU levels; a run keeps its path when it goes on.
 *
 * What is demanded is what the gate demands: cosine ≥ 0.999 for a layer on identical inputs, ≥ 0.995 for every layer of a whole step.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tiny_model.h"
#include "token/token.h"
#include "train/train.h"

enum { MAX_ROW = 512 };
static struct pool *POOL;
static struct gemm_ctx *G;
static char DIR[] = "/tmp/ilab-path-XXXXXX";

struct data { int32_t id[MAX_ROW], row[MAX_ROW], label[MAX_ROW]; struct segment seg[8]; struct batch b; struct targets y; };

/* Sequences of `length` ids, all tokens but each one's last are targets. */
static void batch_of(struct data *d, const int32_t *id, int n, int length)
{
    *d = (struct data){ 0 };
    memcpy(d->id, id, (size_t)n * sizeof *id);
    d->b = (struct batch){ .n_row = n, .id = d->id, .seg = d->seg };
    for (int at = 0; at < n; at += length) d->seg[d->b.n_seg++] = (struct segment){ .row0 = at, .n_row = n - at < length ? n - at : length };
    for (int i = 0; i + 1 < n; i++)
        if ((i + 1) % length) d->row[d->y.n] = i, d->label[d->y.n++] = id[i + 1];
    d->y.row = d->row;
    d->y.label = d->label;
}

static void random_batch(struct data *d, int n_vocab, int n)
{
    struct rng r;
    int32_t id[MAX_ROW];
    rng_seed(&r, 9);
    for (int i = 0; i < n; i++) id[i] = (int32_t)rng_below(&r, (uint32_t)n_vocab);
    batch_of(d, id, n, 48);
}

static struct adapter *filled_adapter(const struct model *m)
{
    struct adapter *ad;
    struct rng r;
    ilab_err e = { 0 };
    rng_seed(&r, 4);
    ok(adapter_new(&ad, m, 8, 16, (1u << LIN_COUNT) - 1, 0, 3, &e), &e);
    for (size_t i = 0; i < ad->n_params; i++)
        if (ad->params[i] == 0) ad->params[i] = 1e-3f * (float)rng_normal(&r);
    return ad;
}

/* Measures all paths on a file; each must pass. */
static void measure_file(const char *path, const char *what, const char *text, double worst[2])
{
    struct model *m;
    struct tape *t;
    struct path_report r;
    static struct data d;
    ilab_err e = { 0 };
    ok(model_open(&m, path, 0, G, &e), &e);
    if (text) {
        struct tokenizer *tok;
        struct ids id = { 0 };
        ok(tokenizer_from_gguf(&tok, m->gguf, &e), &e);
        ok(tokenizer_encode(tok, sv_of(text), TOKEN_ADD_BOS, &id, &e), &e);
        assert_true(id.n > 60);
        batch_of(&d, id.v, id.n < MAX_ROW ? (int)id.n : MAX_ROW, 64);
        ids_release(&id);
        tokenizer_free(tok);
    } else {
        random_batch(&d, m->hp.n_vocab, 144);
    }
    struct adapter *ad = filled_adapter(m);
    ok(model_rope_reserve(m, MAX_ROW, &e), &e);
    ok(tape_new(&t, G, m, ad, MAX_ROW, MAX_ROW, &e), &e);
    ok(path_measure(t, &d.b, &d.y, &(struct loss_opts){ 0 }, &r, &e), &e);
    for (int p = 0; p < r.n_row; p++) {
        const struct path_row *w = &r.row[p];
        if (!w->passed || fabs(w->worst.norm - 1) > 0.02 || fabs(w->end.norm - 1) > 0.05)
            fail_msg("%s, path %s: layer %d %.6f × %.4f, whole step %.6f × %.4f", what, w->path->name, w->worst_layer, w->worst.cosine, w->worst.norm,
                     w->end.cosine, w->end.norm);
        worst[0] = fmin(worst[0], w->worst.cosine);
        worst[1] = fmin(worst[1], w->end.cosine);
    }
    assert_ptr_equal(r.chosen, &PATHS[N_PATH - 1]);
    tape_free(t);
    adapter_free(ad);
    model_free(m);
}

static struct model *small_model(int n_embd, int n_ff, int n_vocab)
{
    const struct hparams hp = { .n_layer = 3, .n_embd = n_embd, .n_head = 4, .n_kv_head = 2, .head_dim = n_embd / 4, .n_ff = n_ff, .n_vocab = n_vocab, .n_ctx = 256,
                                .rope_dim = n_embd / 4, .norm_eps = 1e-5f, .rope_base = 10000 };
    struct model *m;
    ilab_err e = { 0 };
    ok(model_new(&m, &hp, 7, &e), &e);
    return m;
}

static void test_random_weights_of_every_type(void **state)
{
    (void)state;
    double worst[2] = { 1, 1 };
    int n = 0;
    char path[96];
    ilab_err e = { 0 };
    struct model *m = small_model(256, 512, 300);
    for (int type = 0; type < 64; type++) {
        const struct qtype_info *q = qtype_info(type);
        if (!q || !q->quantize) continue;
        snprintf(path, sizeof path, "%s/random.gguf", DIR);
        ok(model_write(m, NULL, type, path, NULL, NULL, &e), &e);
        measure_file(path, q->name, NULL, worst);
        unlink(path);
        n++;
    }
    assert_true(n >= 18);
    print_message("random weights, %d element types: worst cosine %.6f a layer, %.6f end to end\n", n, worst[0], worst[1]);
    model_free(m);
}

static const char STORY[] =
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park with her dog. One day, they found a big red "
    "ball near the tree. Lily was very happy and threw the ball to her dog. Tom had a small blue car. He liked to drive it on the floor all day "
    "long. His mom said, it is time for bed now, Tom. Tom was sad, but he put the car in the box and went to sleep.";

static void test_real_weights(void **state)
{
    (void)state;
    static const struct { const char *file, *mix; } FILES[] = {
        { "models/starter.gguf", NULL }, { "models/starter.gguf", "Q4_K_M" }, { "models/starter.gguf", "Q6_K" }, { "models/starter.gguf", "Q4_0" },
        { "models/starter.gguf", "Q3_K_M" }, { "models/starter.gguf", "Q2_K" }, { "models/starter.gguf", "IQ4_XS" },
        { "../shared/data/weights/tinystories-656k/tinystories-656k.f32.gguf", NULL }, { "../shared/data/weights/tinystories-656k/tinystories-656k.f32.gguf", "Q8_0" },
        { "../shared/data/weights/tinystories-656k/tinystories-656k.f32.gguf", "Q4_K_M" }, { "../shared/data/weights/stories260K/stories260Ktok512.gguf", "F16" },
        { "../shared/data/weights/stories260K/stories260Ktok512.gguf", "Q8_0" }, { "../shared/data/weights/stories260K/stories260Ktok512.gguf", "Q4_0" },
        { "../shared/data/weights/stories260K/stories260Ktok512.gguf", "Q5_1" },
    };
    double worst[2] = { 1, 1 };
    int missing = 0;
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        char path[96], what[160];
        ilab_err e = { 0 };
        if (file_exists(FILES[i].file) != 1) {
            missing++;
            continue;
        }
        snprintf(path, sizeof path, "%s/real.gguf", DIR);
        snprintf(what, sizeof what, "%s %s", FILES[i].file, FILES[i].mix ? FILES[i].mix : "as it is");
        struct requantize how = { .mix = FILES[i].mix, .pool = POOL };
        if (FILES[i].mix) ok(gguf_requantize(FILES[i].file, path, &how, &e), &e);
        measure_file(FILES[i].mix ? path : FILES[i].file, what, STORY, worst);
        unlink(path);
    }
    print_message("real weights: worst cosine %.6f a layer, %.6f end to end\n", worst[0], worst[1]);
    if (missing) print_message("skip %d models of ../shared/data/weights: not there\n", missing);
}

/* ---- the same bits ---- */

static float *gradient(const char *file, const struct path *p, unsigned cpu, int threads, int max_row, int parts, size_t *n)
{
    struct pool *pool = pool_new(threads);
    struct gemm_ctx *g = gemm_ctx_new(kern_get(cpu), pool);
    struct model *m;
    struct tape *t;
    struct param *param;
    static struct data d;
    ilab_err e = { 0 };
    double loss = 0, weight = 0;
    ok(model_open(&m, file, 0, g, &e), &e);
    random_batch(&d, m->hp.n_vocab, 144);
    struct adapter *ad = filled_adapter(m);
    ok(model_rope_reserve(m, MAX_ROW, &e), &e);
    ok(tape_new_with(&t, g, m, ad, max_row, MAX_ROW, &(struct tape_opts){ .logit_parts = parts }, &e), &e);
    tape_set_path(t, p);
    tape_zero_grad(t);
    ok(tape_step(t, &d.b, &d.y, &(struct loss_opts){ 0 }, 0.01f, 1, &loss, &weight, &e), &e);
    const int n_param = tape_params(t, &param);
    *n = 0;
    for (int i = 0; i < n_param; i++) *n += param[i].n;
    float *out = test_malloc(*n * sizeof *out), *at = out;
    for (int i = 0; i < n_param; at += param[i++].n) memcpy(at, param[i].g, param[i].n * sizeof *at);
    assert_int_equal(m->act, GEMM_ACT_F32); /* as the model's owner left it */
    tape_free(t);
    adapter_free(ad);
    model_free(m);
    gemm_ctx_free(g);
    pool_free(pool);
    return out;
}

static void test_same_bits(void **state)
{
    (void)state;
    static const int TYPES[] = { QT_Q4_K, QT_Q8_0, QT_Q5_1, QT_F16 };
    const unsigned cpu = cpu_detect(), levels[] = { 0, CPU_AVX2, CPU_AVX2 | CPU_AVX_VNNI, CPU_AVX2 | CPU_AVX512, cpu };
    char path[96];
    ilab_err e = { 0 };
    struct model *m = small_model(256, 256, 300);
    snprintf(path, sizeof path, "%s/bits.gguf", DIR);
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        ok(model_write(m, NULL, TYPES[i], path, NULL, NULL, &e), &e);
        for (int p = 0; p < N_PATH; p++) {
            size_t n, n2;
            float *want = gradient(path, &PATHS[p], cpu, 1, 144, 0, &n);
            for (size_t l = 0; l < ARRAY_LEN(levels); l++) {
                if ((cpu & levels[l]) != levels[l] || (l == 0 && i > 1)) continue;
                float *got = gradient(path, &PATHS[p], levels[l], 1 + (int)l % 3, l % 2 ? 48 : 100, 0, &n2);
                assert_int_equal(n, n2);
                if (memcmp(want, got, n * sizeof *got)) fail_msg("%s, path %s: other bits at level %s", qtype_info(TYPES[i])->name, PATHS[p].name, kern_get(levels[l])->isa);
                test_free(got);
            }
            test_free(want);
        }
        unlink(path);
    }
    model_free(m);
}

/* A vocabulary of several parts (loss.c): all logits at once, or a part at a time. */
static void test_same_bits_for_a_vocabulary_in_parts(void **state)
{
    (void)state;
    static const int TYPES[] = { QT_Q4_K, QT_Q8_0, QT_F16 };
    char path[96];
    ilab_err e = { 0 };
    struct model *m = small_model(256, 256, 9000);
    snprintf(path, sizeof path, "%s/parts.gguf", DIR);
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        ok(model_write(m, NULL, TYPES[i], path, NULL, NULL, &e), &e);
        for (int p = 0; p < N_PATH; p++) {
            size_t n, n2;
            float *want = gradient(path, &PATHS[p], cpu_detect(), 2, 144, 0, &n), *got = gradient(path, &PATHS[p], cpu_detect(), 1, 100, 1, &n2);
            assert_int_equal(n, n2);
            if (memcmp(want, got, n * sizeof *got)) fail_msg("%s, path %s: other bits with parts", qtype_info(TYPES[i])->name, PATHS[p].name);
            test_free(want);
            test_free(got);
        }
        unlink(path);
    }
    model_free(m);
}

/* ---- a run ---- */

static int train(const char *out, const char *precision, int64_t steps, int resume, struct path_report *r, uint64_t *bits, ilab_err *e)
{
    struct model *m;
    struct adapter *ad = NULL;
    struct dataset d = { 0 };
    char path[96], manifest[128], *text = NULL;
    size_t n = 0;
    struct train_opts o = train_opts_default();
    snprintf(path, sizeof path, "%s/run.gguf", DIR);
    ok(model_open(&m, path, 0, G, e), e);
    for (int i = 0; i < 12; i++) {
        int32_t id[24];
        uint8_t mask[24];
        for (int k = 0; k < 24; k++) id[k] = (i * 7 + k * 3) % 300, mask[k] = k > 0;
        ok(dataset_add_ids(&d, id, mask, 24, 1, e), e);
    }
    o.rank = 4, o.epochs = 0, o.max_steps = steps, o.batch_tokens = 100, o.out_dir = out, o.resume = resume, o.precision = precision, o.quiet = 1;
    o.schedule.total_steps = 4;
    int rc = train_run(G, m, NULL, &d, NULL, &o, &ad, NULL, e);
    *bits = rc ? 0 : hash64(ad->params, ad->n_params * sizeof(float), 0);
    *r = (struct path_report){ 0 };
    snprintf(manifest, sizeof manifest, "%s/manifest.json", out);
    if (!rc) {
        ok(file_read(manifest, 1 << 20, &text, &n, e), e);
        for (int i = 0; i < N_PATH; i++) {
            char key[64];
            snprintf(key, sizeof key, "\"chosen\": \"%s\"", PATHS[i].name);
            if (strstr(text, key)) r->chosen = &PATHS[i];
        }
        r->n_row = strstr(text, "\"measured\"") != NULL;
        mem_free(text);
    }
    adapter_free(ad);
    dataset_release(&d);
    model_free(m);
    return rc;
}

static void test_a_run_keeps_its_path(void **state)
{
    (void)state;
    char path[96], out[96];
    struct path_report r;
    uint64_t mixed, bits;
    ilab_err e = { 0 };
    struct model *m = small_model(256, 256, 300);
    snprintf(path, sizeof path, "%s/run.gguf", DIR);
    snprintf(out, sizeof out, "%s/run", DIR);
    ok(model_write(m, NULL, QT_Q4_K, path, NULL, NULL, &e), &e);
    model_free(m);
    log_set_level(LOG_ERROR);
    ok(train(out, "auto", 4, 0, &r, &bits, &e), &e);
    assert_ptr_equal(r.chosen, &PATHS[N_PATH - 1]);
    assert_true(r.n_row);
    ok(train(out, "mixed", 4, 0, &r, &mixed, &e), &e);
    assert_true(mixed != bits);
    ok(train(out, "auto", 4, 1, &r, &bits, &e), &e); /* the run that is there: nothing is measured, the path is kept */
    assert_string_equal(r.chosen->name, "mixed");
    assert_false(r.n_row);
    assert_true(mixed == bits);
    assert_int_equal(train(out, "best", 4, 0, &r, &bits, &e), ILAB_E_INVALID);
    assert_non_null(strstr(e.msg, "auto, exact, mixed or fast"));
    log_set_level(LOG_INFO);
}

static int set_up(void **state)
{
    (void)state;
    POOL = pool_new(2);
    G = gemm_ctx_new(kern_get(cpu_detect()), POOL);
    return !mkdtemp(DIR) || !G;
}
static int tear_down(void **state)
{
    (void)state;
    int status;
    gemm_ctx_free(G);
    pool_free(POOL);
    return child_run((const char *[]){ "rm", "-rf", DIR, NULL }, NULL, 4096, NULL, NULL, NULL, &status, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_weights_of_every_type), cmocka_unit_test(test_real_weights), cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_same_bits_for_a_vocabulary_in_parts),
        cmocka_unit_test(test_a_run_keeps_its_path),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
