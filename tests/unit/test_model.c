/* test_model.c — opening, writing and computing models; adapters.
 *
 * Oracles: mean losses of two pretrained models as other programs compute them (../shared/data/weights; skipped when
 * absent); a merged model against base and adapter; row-by-row decoding against one call, bit for bit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tiny_model.h"
#include "token/token.h"

#define SHARED "../shared/data/"
#define TMP "/tmp/ilab_test_model.gguf"
#define TMP2 "/tmp/ilab_test_model_2.gguf"
enum { N = 21 };
static const unsigned ALL_LINEAR = (1u << LIN_COUNT) - 1;
static struct gemm_ctx *G;

static void tiny_ids(int32_t *id, int n_vocab)
{
    for (int i = 0; i < N; i++) id[i] = (i * i * 3 + 5) % n_vocab;
}

/* ---- real weights ---- */

static double text_nll(struct model *m, const struct tokenizer *t, struct sv text, int max, size_t *n_counted)
{
    struct ids ids = { 0 };
    ilab_err e = { 0 };
    const int v = m->hp.n_vocab;
    ok(tokenizer_encode(t, text, TOKEN_ADD_BOS, &ids, &e), &e);
    const int n = ids.n < (size_t)max ? (int)ids.n : max;
    float *z = test_malloc((size_t)n * (size_t)v * sizeof *z);
    sequence_logits(G, m, NULL, ids.v, n, n, z);
    double sum = 0;
    for (int i = 0; i + 1 < n; i++) {
        const float *row = z + (size_t)i * (size_t)v;
        sum += (double)(gemm_kern(G)->log_sum_exp(row, v) - row[ids.v[i + 1]]);
    }
    *n_counted += (size_t)(n - 1);
    test_free(z);
    ids_release(&ids);
    return sum;
}

/* The stored figures were taken with ASCII quotation marks (371 tokens in the first story; 373 as it stands in the file). */
static size_t ascii_quotes(char *p, size_t n)
{
    size_t to = 0;
    for (size_t i = 0; i < n; to++) {
        const int curly = n - i >= 3 && (!memcmp(p + i, "\xe2\x80\x9c", 3) || !memcmp(p + i, "\xe2\x80\x9d", 3));
        p[to] = curly ? '"' : p[i];
        i += curly ? 3 : 1;
    }
    return to;
}

static void check_nll(const char *path, int flags, double want)
{
    struct model *m;
    struct tokenizer *t;
    ilab_err e = { 0 };
    char *text;
    size_t n, n_counted = 0;
    double sum = 0;
    ok(model_open(&m, path, flags, G, &e), &e);
    ok(tokenizer_from_gguf(&t, m->gguf, &e), &e);
    ok(file_read(SHARED "eval/tinystories_sample.txt", 1 << 20, &text, &n, &e), &e);
    n = ascii_quotes(text, n);
    const struct sv all = { text, n }, end = SV("<|endoftext|>");
    for (size_t at = 0; at < n;) {
        const ptrdiff_t to = sv_find(all, end, at);
        const struct sv story = sv_trim((struct sv){ text + at, (to < 0 ? n : (size_t)to) - at });
        if (story.n) sum += text_nll(m, t, story, 512, &n_counted);
        at = to < 0 ? n : (size_t)to + end.n;
    }
    print_message("%s: mean loss %.5f over %zu tokens\n", path_base(path), sum / (double)n_counted, n_counted);
    if (fabs(sum / (double)n_counted - want) > 0.001) fail_msg("expected %.5f", want);
    mem_free(text);
    tokenizer_free(t);
    model_free(m);
}

static void test_mean_loss_of_pretrained_models(void **state)
{
    (void)state;
    if (file_exists(SHARED "weights") != 2) {
        print_message("skipped: " SHARED "weights is missing\n");
        skip();
    }
    const int flags[3] = { 0, MODEL_PACK, MODEL_TRAINABLE };
    for (int i = 0; i < 3; i++) {
        check_nll(SHARED "weights/stories260K/stories260Ktok512.gguf", flags[i], 1.26414);
        check_nll(SHARED "weights/tinystories-656k/tinystories-656k.f32.gguf", flags[i], 2.86045);
    }
}

/* ---- forward ---- */

static void test_forward_row_by_row_has_the_same_bits(void **state)
{
    (void)state;
    const struct hparams hp = tiny_hparams(48, 40, 0);
    struct model *m = tiny_model(&hp);
    struct adapter *ad = tiny_adapter(m, 3, ALL_LINEAR, 1);
    int32_t id[N];
    float whole[N * 40], parts[N * 40];
    tiny_ids(id, hp.n_vocab);
    sequence_logits(G, m, ad, id, N, N, whole);
    for (int step = 1; step < N; step += 6) {
        sequence_logits(G, m, ad, id, N, step, parts);
        assert_memory_equal(whole, parts, sizeof whole);
    }
    adapter_free(ad);
    model_free(m);
}

static void test_rope_factors_divide_frequencies(void **state)
{
    (void)state;
    const struct hparams hp = tiny_hparams(48, 40, 1);
    struct model *m = tiny_model(&hp), *f;
    const float factor[4] = { 1, 2, 4, 8 };
    ilab_err e = { 0 };
    struct gguf *g;
    struct gguf_writer *w = gguf_writer_new();
    ok(model_write(m, NULL, QT_F32, TMP2, NULL, NULL, &e), &e);
    ok(gguf_open(&g, TMP2, &e), &e);
    for (int i = 0; i < gguf_n_kv(g); i++) gguf_put_kv(w, gguf_kv_at(g, i));
    for (int i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        ok(gguf_add_tensor(w, t->name, t->type, t->n_dim, t->dim, t->data, NULL, NULL, &e), &e);
    }
    ok(gguf_add_tensor(w, "rope_freqs.weight", QT_F32, 1, &(int64_t){ 4 }, factor, NULL, NULL, &e), &e);
    ok(gguf_write(w, TMP, &e), &e);
    gguf_writer_free(w);
    gguf_close(g);
    model_free(m);
    ok(model_open(&m, TMP, 0, G, &e), &e);
    ok(model_write(m, NULL, QT_F32, TMP2, NULL, NULL, &e), &e); /* a constant is written back, too */
    ok(model_open(&f, TMP2, 0, G, &e), &e);
    for (int i = 0; i < 4; i++) {
        const double angle = 9 * pow(10000.0, -2.0 * i / 8) / (double)factor[i];
        assert_true(fabs((double)f->rope_cos_sin[9 * 8 + 2 * i] - cos(angle)) < 1e-6);
        assert_true(fabs((double)f->rope_cos_sin[9 * 8 + 2 * i + 1] - sin(angle)) < 1e-6);
    }
    const float before = f->rope_cos_sin[9 * 8];
    ok(model_rope_reserve(f, 1000, &e), &e);
    assert_true(f->rope_n_pos == 1000 && f->rope_cos_sin[9 * 8] == before);
    model_free(f);
    model_free(m);
    unlink(TMP);
    unlink(TMP2);
}

/* ---- files ---- */

static void test_new_model_is_reproducible_and_survives_its_file(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        const struct hparams hp = tiny_hparams(48, 40, tied);
        struct model *m, *again, *back;
        ilab_err e = { 0 };
        float a[N * 40], b[N * 40];
        int32_t id[N];
        tiny_ids(id, hp.n_vocab);
        ok(model_new(&m, &hp, 5, &e), &e);
        ok(model_new(&again, &hp, 5, &e), &e);
        assert_string_equal(model_hash(m, &e), model_hash(again, &e));
        m->params[7] += 1.0f;
        assert_string_not_equal(model_hash(m, &e), model_hash(again, &e));
        ok(model_write(m, NULL, QT_F32, TMP, NULL, NULL, &e), &e);
        sequence_logits(G, m, NULL, id, N, N, a);
        for (int flags = 0; flags < 3; flags++) {
            ok(model_open(&back, TMP, flags, G, &e), &e);
            assert_int_equal(back->hp.tied, tied);
            assert_int_equal(back->hp.n_ctx, hp.n_ctx);
            sequence_logits(G, back, NULL, id, N, N, b);
            assert_memory_equal(a, b, sizeof a);
            model_free(back);
        }
        model_free(again);
        model_free(m);
    }
    unlink(TMP);
}

static void test_hash_is_sha256_of_the_file_also_from_memory(void **state)
{
    (void)state;
    const struct hparams hp = tiny_hparams(48, 40, 1);
    struct model *m = tiny_model(&hp), *a, *b;
    struct gguf *g;
    ilab_err e = { 0 };
    char want[65], *bytes;
    size_t n;
    ok(model_write(m, NULL, QT_F16, TMP, NULL, NULL, &e), &e);
    ok(sha256_file(TMP, want, &e), &e);
    ok(file_read(TMP, 1 << 24, &bytes, &n, &e), &e);
    ok(model_open(&a, TMP, 0, G, &e), &e);
    ok(gguf_open_memory(&g, bytes, n, "memory", &e), &e);
    ok(model_open_gguf(&b, g, 0, G, &e), &e);
    assert_string_equal(model_hash(a, &e), want);
    assert_string_equal(model_hash(b, &e), want);
    json_t *info = model_info(a);
    assert_int_equal(json_integer_value(json_object_get(info, "parameters")), m->n_params);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(info, "tensor_types"), "F16")), 15);
    json_decref(info);
    model_free(a);
    model_free(b);
    mem_free(bytes);
    model_free(m);
    unlink(TMP);
}

/* A file of the tiny model with one thing wrong; the message must name it. */
struct odd { const char *key; const char *text; int number; const char *tensor; const char *says; };
static void write_odd(struct model *m, const struct odd *o)
{
    struct gguf_writer *w = gguf_writer_new();
    struct gguf *g;
    ilab_err e = { 0 };
    ok(model_write(m, NULL, QT_F32, TMP2, NULL, NULL, &e), &e);
    ok(gguf_open(&g, TMP2, &e), &e);
    for (int i = 0; i < gguf_n_kv(g); i++)
        if (!o->key || !sv_eq_c(gguf_kv_at(g, i)->key, o->key)) gguf_put_kv(w, gguf_kv_at(g, i));
    if (o->key && o->text) gguf_put_str(w, o->key, sv_of(o->text));
    else if (o->key && o->number >= 0) gguf_put_u32(w, o->key, (uint32_t)o->number);
    int found = 0;
    for (int i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        if (o->tensor && !strcmp(t->name, o->tensor)) found = 1;
        else ok(gguf_add_tensor(w, t->name, t->type, t->n_dim, t->dim, t->data, NULL, NULL, &e), &e);
    }
    const float zero[32] = { 0 };
    if (o->tensor && !found) ok(gguf_add_tensor(w, o->tensor, QT_F32, 1, &(int64_t){ 32 }, zero, NULL, NULL, &e), &e);
    ok(gguf_write(w, TMP, &e), &e);
    gguf_writer_free(w);
    gguf_close(g);
}

static void test_open_refuses_what_it_cannot_compute(void **state)
{
    (void)state;
    static const struct odd ODD[] = {
        { "general.architecture", "falcon", 0, NULL, "falcon" },
        { "general.architecture", "falcon", 0, NULL, "nomic-bert" /* the list of known ones */ },
        { "llama.expert_count", NULL, 8, NULL, "llama.expert_used_count" },
        { "llama.leading_dense_block_count", NULL, 1, NULL, "llama.leading_dense_block_count" },
        { "llama.attn_logit_softcapping", NULL, 50, NULL, "llama.attn_logit_softcapping" },
        { "llama.attention.causal", NULL, 0, NULL, "llama.attention.causal" },
        { "llama.rope.scaling.type", "dynamic", 0, NULL, "dynamic" },
        { "llama.block_count", NULL, 3, NULL, "blk.2." },
        { "llama.block_count", NULL, 1, NULL, "blk.1." },
        { "llama.block_count", NULL, 100000, NULL, "llama.block_count" },
        { "llama.embedding_length", NULL, -1, NULL, "llama.embedding_length" },
        { "llama.attention.head_count", NULL, 8, NULL, "attn_q" },
        { "llama.attention.head_count_kv", NULL, 3, NULL, "3" },
        { "llama.rope.dimension_count", NULL, 7, NULL, "7" },
        { "llama.attention.value_length", NULL, 16, NULL, "value_length" },
        { NULL, NULL, 0, "blk.0.attn_sinks.weight", "blk.0.attn_sinks.weight" },
        { NULL, NULL, 0, "blk.0.attn_qkv.weight", "blk.0.attn_qkv.weight" },
        { NULL, NULL, 0, "blk.1.ffn_norm.weight", "blk.1.ffn_norm.weight" },
        { NULL, NULL, 0, "token_embd.weight", "token_embd.weight" },
        { NULL, NULL, 0, "output.weight", "output.weight" },
    };
    const struct hparams hp = tiny_hparams(48, 40, 1);
    struct model *m = tiny_model(&hp), *x;
    for (size_t i = 0; i < ARRAY_LEN(ODD); i++) {
        ilab_err e = { 0 };
        write_odd(m, &ODD[i]);
        assert_int_not_equal(model_open(&x, TMP, MODEL_PACK, G, &e), 0);
        assert_null(x);
        if (!strstr(e.msg, ODD[i].says)) fail_msg("%s: does not name '%s'", e.msg, ODD[i].says);
    }
    struct hparams bad = hp;
    bad.n_kv_head = 3;
    assert_int_not_equal(model_new(&x, &bad, 1, NULL), 0);
    model_free(m);
    unlink(TMP);
    unlink(TMP2);
}

/* ---- adapters ---- */

static void test_adapter_survives_its_file_and_refuses_another_base(void **state)
{
    (void)state;
    const struct hparams hp = tiny_hparams(48, 40, 1);
    struct model *m = tiny_model(&hp), *other;
    struct adapter *a = tiny_adapter(m, 5, ALL_LINEAR & ~(1u << LIN_K), 1), *b;
    struct gguf *g;
    ilab_err e = { 0 };
    ok(adapter_write(a, m, TMP, &e), &e);
    ok(adapter_open(&b, TMP, m, &e), &e);
    assert_true(b->rank == 5 && b->alpha == 4.0f && b->scale == a->scale && b->n_params == a->n_params);
    assert_memory_equal(a->params, b->params, a->n_params * sizeof(float));
    assert_false(b->lora[0].on || b->lora[ADAPT_COUNT + LIN_K].on);
    adapter_free(b);
    ok(gguf_open(&g, TMP, &e), &e); /* what llama.cpp looks for */
    const struct tensor *la = gguf_tensor(g, "blk.1.ffn_down.weight.lora_a"), *lb = gguf_tensor(g, "blk.1.ffn_down.weight.lora_b");
    assert_true(la && lb && la->dim[0] == 48 && la->dim[1] == 5 && lb->dim[0] == 5 && lb->dim[1] == 32);
    gguf_close(g);
    ok(model_new(&other, &hp, 3, &e), &e);
    assert_int_equal(adapter_open(&b, TMP, other, &e), ILAB_E_INVALID);
    assert_non_null(strstr(e.msg, model_hash(other, NULL)));
    assert_non_null(strstr(e.msg, model_hash(m, NULL)));
    assert_int_equal(adapter_new(&b, m, 0, 1, ALL_LINEAR, 0, 1, &e), ILAB_E_INVALID);
    assert_int_equal(adapter_new(&b, m, 2, 1, ALL_LINEAR, 2, 1, &e), ILAB_E_INVALID);
    assert_int_equal(adapter_new(&b, m, 2, 1, 0, 0, 1, &e), ILAB_E_INVALID);
    model_free(other);
    adapter_free(a);
    model_free(m);
    unlink(TMP);
}

static void more(void *ud, struct gguf_writer *w) { gguf_put_str(w, "general.name", sv_of(ud)); }
static void test_merged_model_equals_base_with_adapter(void **state)
{
    (void)state;
    const struct hparams hp = tiny_hparams(48, 40, 0);
    struct model *m = tiny_model(&hp), *base, *merged;
    ilab_err e = { 0 };
    int32_t id[N];
    float fresh[N * 40], plain[N * 40], with[N * 40], after[N * 40];
    char name[] = "taught";
    tiny_ids(id, hp.n_vocab);
    ok(model_write(m, NULL, QT_F32, TMP, NULL, NULL, &e), &e);
    ok(model_open(&base, TMP, MODEL_PACK, G, &e), &e);
    struct adapter *a = tiny_adapter(base, 4, ALL_LINEAR, 0), *zero;
    sequence_logits(G, base, NULL, id, N, N, plain);
    sequence_logits(G, base, a, id, N, N, with);
    ok(adapter_new(&zero, base, 4, 8, ALL_LINEAR, 0, 1, &e), &e);
    sequence_logits(G, base, zero, id, N, N, fresh);
    assert_memory_equal(plain, fresh, sizeof plain); /* B is zero */
    for (int type = QT_F32; type <= QT_F16; type++) {
        double worst = 0, change = 0;
        ok(model_write(base, a, type, TMP2, more, name, &e), &e);
        ok(model_open(&merged, TMP2, 0, G, &e), &e);
        assert_string_equal(merged->name, "taught");
        sequence_logits(G, merged, NULL, id, N, N, after);
        for (int i = 0; i < N * 40; i++) {
            worst = fmax(worst, fabs((double)with[i] - (double)after[i]));
            change = fmax(change, fabs((double)with[i] - (double)plain[i]));
        }
        assert_true(change > 0.5 && worst < (type == QT_F32 ? 1e-4 : 0.05));
        int64_t file_type;
        ok(gguf_get_int(merged->gguf, "general.file_type", 0, 99, &file_type, &e), &e);
        assert_int_equal(file_type, type);
        model_free(merged);
    }
    adapter_free(a);
    adapter_free(zero);
    model_free(base);
    model_free(m);
    unlink(TMP);
    unlink(TMP2);
}

/* Merging into every mix gives what requantising the merged F32 file gives. */
static void test_merged_into_every_mix(void **state)
{
    (void)state;
    const struct hparams hp = { .n_layer = 2, .n_embd = 256, .n_head = 4, .n_kv_head = 2, .head_dim = 64, .n_ff = 256, .n_vocab = 40, .n_ctx = 64,
                                .rope_dim = 64, .norm_eps = 1e-5f, .rope_base = 10000.0f };
    struct model *m = tiny_model(&hp);
    struct adapter *a = tiny_adapter(m, 4, ALL_LINEAR, 0);
    struct gguf *got, *want;
    ilab_err e = { 0 };
    char other[64], name[64];
    snprintf(other, sizeof other, "%s.mix", TMP2);
    ok(model_write(m, a, QT_F32, TMP, NULL, NULL, &e), &e);
    for (int mix = 0; mix_name(mix); mix++) {
        struct requantize how = { .mix = mix_name(mix) };
        int64_t file_type;
        snprintf(name, sizeof name, "%s", mix_name(mix));
        ok(model_write_mix(m, a, mix, NULL, TMP2, NULL, NULL, &e), &e);
        ok(gguf_requantize(TMP, other, &how, &e), &e);
        ok(gguf_open(&got, TMP2, &e), &e);
        ok(gguf_open(&want, other, &e), &e);
        ok(gguf_get_int(got, "general.file_type", 0, 99, &file_type, &e), &e);
        assert_int_equal(file_type, mix_file_type(mix));
        for (int i = 0; i < gguf_n_tensor(want); i++) {
            const struct tensor *x = gguf_tensor_at(want, i), *y = gguf_tensor(got, x->name);
            if (!y || x->type != y->type || x->n_bytes != y->n_bytes || memcmp(x->data, y->data, x->n_bytes)) fail_msg("%s: %s differs", name, x->name);
        }
        gguf_close(got);
        gguf_close(want);
    }
    assert_int_equal(model_write_mix(m, a, -1, NULL, TMP2, NULL, NULL, &e), ILAB_E_INVALID);
    adapter_free(a);
    model_free(m);
    unlink(TMP);
    unlink(TMP2);
    unlink(other);
}

/* Every allocation fails once: an error, no leak (sanitizer builds), no crash. */
static void test_no_memory_is_an_error(void **state)
{
    (void)state;
    const struct hparams hp = tiny_hparams(48, 40, 1);
    struct model *m = tiny_model(&hp);
    struct adapter *a = tiny_adapter(m, 2, ALL_LINEAR, 0);
    ilab_err e = { 0 };
    int refused = 0;
    ok(adapter_write(a, m, TMP2, &e), &e);
    ok(model_write(m, a, QT_F16, TMP, NULL, NULL, &e), &e);
    for (int what = 0; what < 6; what++) {
        int rc = ILAB_E_NOMEM;
        for (long n = 1; rc && n < 1000; n++) {
            struct model *x = NULL;
            struct adapter *y = NULL;
            mem_fail_at = n;
            rc = what < 3 ? model_open(&x, TMP, what, G, &e) : what == 3 ? model_new(&x, &hp, 1, &e) :
                 what == 4 ? adapter_open(&y, TMP2, m, &e) : model_write(m, a, QT_F16, TMP, NULL, NULL, &e);
            mem_fail_at = -1;
            assert_true(rc == 0 ? what == 5 || x || y : rc == ILAB_E_NOMEM && !x && !y && e.msg[0]);
            refused += rc != 0;
            model_free(x);
            adapter_free(y);
        }
        assert_int_equal(rc, 0);
    }
    assert_true(refused > 10);
    adapter_free(a);
    model_free(m);
    unlink(TMP);
    unlink(TMP2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean_loss_of_pretrained_models),
        cmocka_unit_test(test_forward_row_by_row_has_the_same_bits),
        cmocka_unit_test(test_rope_factors_divide_frequencies),
        cmocka_unit_test(test_new_model_is_reproducible_and_survives_its_file),
        cmocka_unit_test(test_hash_is_sha256_of_the_file_also_from_memory),
        cmocka_unit_test(test_open_refuses_what_it_cannot_compute),
        cmocka_unit_test(test_adapter_survives_its_file_and_refuses_another_base),
        cmocka_unit_test(test_merged_model_equals_base_with_adapter), cmocka_unit_test(test_merged_into_every_mix),
        cmocka_unit_test(test_no_memory_is_an_error),
    };
    struct pool *pool = pool_new(2);
    G = gemm_ctx_new(kern_get(cpu_detect()), pool);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    gemm_ctx_free(G);
    pool_free(pool);
    return failed;
}
