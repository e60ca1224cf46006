/* test_peft.c — adapters as folders that PEFT reads: names against a table, order of rows, settings, the way there and back, refusals.
 *
 * The names are those of the classes of transformers (modeling_*.py) and of PEFT's save_pretrained. That PyTorch computes the same with
 * such a folder: tests/check/torch_lora.py.  SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/arch_model.h"
#include "model/peft.h"

#define DIR "/tmp/ilab_test_peft"
#define CONFIG DIR "/adapter_config.json"
#define WEIGHTS DIR "/adapter_model.safetensors"
enum { N = 18, V = 97, RANK = 3, EVERYTHING = (1 << ADAPT_COUNT) - 1, NO_EXPERTS = EVERYTHING - (7 << ADAPT_EXPERTS) };
static struct gemm_ctx *G;
static int32_t IDS[N];

/* in, out: of the module. */
static const struct row { const char *arch; int experts; unsigned which; const char *module; int rank, in, out; } NAMES[] = {
    { "llama", 0, EVERYTHING, "model.layers.1.self_attn.q_proj", 3, 64, 64 },
    { "llama", 0, EVERYTHING, "model.layers.0.mlp.down_proj", 3, 96, 64 },
    { "llama", 6, EVERYTHING, "model.layers.1.block_sparse_moe.experts.5.w2", 3, 48, 64 },
    { "llama", 6, EVERYTHING, "model.layers.1.block_sparse_moe.gate", 3, 64, 6 },
    { "granite", 0, EVERYTHING, "model.layers.0.mlp.gate_proj", 3, 64, 96 },
    { "granitemoe", 6, NO_EXPERTS, "model.layers.0.shared_mlp.input_linear", 6, 64, 64 }, /* two matrices of ours: A below A */
    { "granitemoe", 6, NO_EXPERTS, "model.layers.1.block_sparse_moe.router.layer", 3, 64, 6 },
    { "qwen2", 0, EVERYTHING, "model.layers.0.self_attn.k_proj", 3, 64, 32 },
    { "qwen2moe", 6, EVERYTHING, "model.layers.0.mlp.experts.0.up_proj", 3, 64, 48 },
    { "qwen2moe", 6, EVERYTHING, "model.layers.0.mlp.shared_expert.down_proj", 3, 32, 64 },
    { "qwen3", 0, EVERYTHING, "model.layers.1.mlp.up_proj", 3, 64, 96 },
    { "qwen3moe", 6, EVERYTHING, "model.layers.1.mlp.gate", 3, 64, 6 },
    { "phi3", 0, EVERYTHING, "model.layers.0.self_attn.qkv_proj", 9, 64, 128 }, /* the tiny file is not fused: an A each */
    { "phi3", 0, EVERYTHING, "model.layers.1.mlp.gate_up_proj", 3, 64, 192 },
    { "gemma", 0, EVERYTHING, "model.layers.0.self_attn.o_proj", 3, 64, 64 },
    { "gemma2", 0, EVERYTHING, "model.layers.0.mlp.down_proj", 3, 96, 64 },
    { "gemma3", 0, EVERYTHING, "model.layers.0.self_attn.v_proj", 3, 64, 32 },
    { "smollm3", 0, EVERYTHING, "model.layers.0.self_attn.q_proj", 3, 64, 64 },
    { "olmo2", 0, EVERYTHING, "model.layers.0.self_attn.q_proj", 3, 64, 64 },
    { "gpt2", 0, EVERYTHING, "transformer.h.1.mlp.c_fc", 3, 64, 96 },
    { "gpt2", 0, EVERYTHING, "transformer.h.0.attn.c_attn", 9, 64, 192 },
};

static struct model *made(const struct row *r, struct arch_weights *x)
{
    const struct arch *a = arch_named(sv_of(r->arch));
    struct hparams hp = arch_hparams(a);
    struct model *m;
    ilab_err e = { 0 };
    hp.n_layer = 2;
    if (r->experts) arch_add_experts(&hp, a);
    arch_weights_make(x, a, &hp, 9);
    ok(model_open_gguf(&m, arch_write(NULL, a, &hp, x, -1, 0), 0, NULL, &e), &e);
    return m;
}

static void logits(struct model *m, const struct adapter *ad, float *out) { sequence_logits(G, m, ad, IDS, N, N, out); }

static void test_names_and_the_way_back(void **state)
{
    (void)state;
    static struct arch_weights x;
    static float want[N * V], got[N * V];
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        const struct row *r = &NAMES[i];
        struct model *m = made(r, &x);
        struct adapter *ad = tiny_adapter(m, RANK, r->which, 0), *back;
        struct safetensors *s;
        char name[200];
        ilab_err e = { 0 };
        ok(adapter_write_peft(ad, m, DIR, &e), &e);
        assert_true(adapter_is_dir(DIR) && !adapter_is_dir("/tmp"));
        ok(safetensors_open(&s, WEIGHTS, &e), &e);
        for (int half = 0; half < 2; half++) {
            snprintf(name, sizeof name, "base_model.model.%s.lora_%c.weight", r->module, "AB"[half]);
            const struct safetensor *t = safetensors_find(s, name);
            if (!t) fail_msg("%s: no tensor %s", r->arch, name);
            const int64_t rows = half ? r->out : r->rank, cols = half ? r->rank : r->in;
            if (t->n_dim != 2 || t->dim[0] != rows || t->dim[1] != cols) fail_msg("%s: %s is [%d, %d]", r->arch, name, (int)t->dim[0], (int)t->dim[1]);
        }
        safetensors_close(s);
        ok(adapter_open(&back, DIR, m, &e), &e);
        logits(m, ad, want);
        logits(m, back, got);
        int same = 1;
        for (int k = 0; k < ad->n_layer * ADAPT_COUNT; k++) same &= ad->lora[k].on == back->lora[k].on && ad->lora[k].rank == back->lora[k].rank;
        if (same) {
            assert_int_equal(ad->n_params, back->n_params);
            assert_memory_equal(ad->params, back->params, ad->n_params * sizeof(float));
            assert_memory_equal(want, got, sizeof want);
        } else { /* the family's modules are wider than our matrices: the same sums with zeros between */
            for (int k = 0; k < N * V; k++) assert_true(fabsf(want[k] - got[k]) < 1e-3f);
            ok(adapter_write_peft(back, m, DIR, &e), &e);
            struct adapter *again;
            ok(adapter_open(&again, DIR, m, &e), &e);
            assert_memory_equal(again->params, back->params, back->n_params * sizeof(float));
            adapter_free(again);
        }
        adapter_free(back);
        adapter_free(ad);
        model_free(m);
        arch_weights_free(&x);
    }
}

/* Rows 2i and 2i + 1 of a head are i and i + D/2 there; v's stay. */
static void test_rows_of_q_and_k(void **state)
{
    (void)state;
    static struct arch_weights x;
    ilab_err e = { 0 };
    struct model *m = made(&NAMES[0], &x);
    struct adapter *ad = tiny_adapter(m, RANK, EVERYTHING, 0);
    struct safetensors *s;
    ok(adapter_write_peft(ad, m, DIR, &e), &e);
    ok(safetensors_open(&s, WEIGHTS, &e), &e);
    const char *const module[3] = { "q_proj", "k_proj", "v_proj" };
    for (int k = 0; k < 3; k++) {
        char name[128];
        snprintf(name, sizeof name, "base_model.model.model.layers.1.self_attn.%s.lora_B.weight", module[k]);
        const float *there = safetensors_find(s, name)->data, *here = ad->lora[ADAPT_COUNT + k].b;
        for (int head = 0; head < 2; head++)
            for (int i = 0; i < 16; i++) assert_memory_equal(there + (16 * head + (k < 2 ? i % 2 * 8 + i / 2 : i)) * RANK, here + (16 * head + i) * RANK, RANK * sizeof(float));
    }
    safetensors_close(s);
    adapter_free(ad);
    model_free(m);
    arch_weights_free(&x);
}

static json_t *config(void)
{
    ilab_err e = { 0 };
    json_t *c = json_read_file(CONFIG, 1 << 20, &e);
    ok(c ? 0 : e.code, &e);
    return c;
}

static void change(const char *key, const char *value)
{
    ilab_err e = { 0 };
    json_t *c = config(), *v = json_loads(value, JSON_DECODE_ANY, NULL);
    struct sb b;
    sb_init(&b, 1 << 20);
    json_object_set_new(c, key, v);
    sb_add_json(&b, c);
    ok(file_write(CONFIG, b.p, b.n, &e), &e);
    sb_release(&b);
    json_decref(c);
}

static void test_settings(void **state)
{
    (void)state;
    static struct arch_weights x;
    static float want[N * V], got[N * V];
    ilab_err e = { 0 };
    struct model *m = made(&NAMES[0], &x);
    struct adapter *ad = tiny_adapter(m, RANK, 1u << LIN_Q | 1u << LIN_DOWN, 1), *back;
    adapter_set_rslora(ad);
    assert_true(fabsf(ad->scale - 4 / sqrtf(3)) < 1e-6f && ad->lora[ADAPT_COUNT].scale == ad->scale);
    ok(adapter_write_peft(ad, m, DIR, &e), &e);
    json_t *c = config();
    assert_string_equal(json_str(c, "peft_type"), "LORA");
    assert_string_equal(json_str(c, "task_type"), "CAUSAL_LM");
    assert_true(json_int(c, "r", 0) == RANK && json_int(c, "lora_alpha", 0) == 4 && json_is_true(json_object_get(c, "use_rslora")));
    const json_t *t = json_object_get(c, "target_modules"), *l = json_object_get(c, "layers_to_transform");
    assert_int_equal(json_array_size(t), 2);
    assert_string_equal(json_string_value(json_array_get(t, 0)), "q_proj");
    assert_string_equal(json_string_value(json_array_get(t, 1)), "down_proj");
    assert_true(json_array_size(l) == 1 && json_integer_value(json_array_get(l, 0)) == 1);
    assert_string_equal(json_str(c, "layers_pattern"), "layers"); /* else an expert's number may be taken for the layer's */
    assert_null(json_object_get(c, "use_dora"));                   /* versions before it refuse the key */
    json_decref(c);
    ok(adapter_open(&back, DIR, m, &e), &e);
    assert_true(back->rslora && back->alpha == 4 && back->scale == ad->scale);
    logits(m, ad, want);
    logits(m, back, got);
    assert_memory_equal(want, got, sizeof want);
    adapter_free(back);
    /* alpha of one module; mixed scales survive GGUF and PEFT. */
    change("use_rslora", "false");
    change("alpha_pattern", "{\"self_attn.q_proj\": 6}");
    ok(adapter_open(&back, DIR, m, &e), &e);
    assert_true(back->lora[ADAPT_COUNT + LIN_Q].scale == 2 && back->lora[ADAPT_COUNT + LIN_DOWN].scale == 4.0f / 3);
    logits(m, back, want);
    for (int gguf = 0; gguf < 2; gguf++) {
        struct adapter *again;
        if (gguf) ok(adapter_write(back, m, DIR ".gguf", &e), &e);
        else ok(adapter_write_peft(back, m, DIR, &e), &e);
        ok(adapter_open(&again, gguf ? DIR ".gguf" : DIR, m, &e), &e);
        logits(m, again, got);
        for (int k = 0; k < N * V; k++) assert_true(gguf ? fabsf(want[k] - got[k]) < 1e-4f : want[k] == got[k]);
        adapter_free(again);
    }
    adapter_free(back);
    adapter_free(ad);
    model_free(m);
    arch_weights_free(&x);
}

static void test_refusals(void **state)
{
    (void)state;
    static struct arch_weights x;
    static const struct { const char *key, *value, *said; } BAD[] = {
        { "use_dora", "true", "use_dora" }, { "peft_type", "\"IA3\"", "IA3" }, { "bias", "\"all\"", "bias" }, { "lora_alpha", "-1", "lora_alpha" },
        { "modules_to_save", "[\"lm_head\"]", "modules_to_save" }, { "alpha_pattern", "{\"layers.*q\": 2}", "regular expression" }, { "alpha_pattern", "{\"q_proj\": \"x\"}", "alpha_pattern" },
    };
    ilab_err e = { 0 };
    struct model *m = made(&NAMES[0], &x), *other;
    struct adapter *ad = tiny_adapter(m, RANK, EVERYTHING, 0), *back;
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        ok(adapter_write_peft(ad, m, DIR, &e), &e);
        change(BAD[i].key, BAD[i].value);
        assert_int_not_equal(adapter_open(&back, DIR, m, &e), 0);
        if (!strstr(e.msg, BAD[i].said)) fail_msg("%s: %s", BAD[i].key, e.msg);
    }
    ok(adapter_write_peft(ad, m, DIR, &e), &e);
    static struct arch_weights y;
    other = made(&NAMES[2], &y); /* a mixture */
    assert_int_equal(adapter_open(&back, DIR, other, &e), ILAB_E_FORMAT);
    assert_non_null(strstr(e.msg, "mlp.gate_proj"));
    unlink(WEIGHTS);
    assert_int_equal(adapter_open(&back, DIR, m, &e), ILAB_E_NOTFOUND);
    model_free(other);
    arch_weights_free(&y);
    adapter_free(ad);
    model_free(m);
    arch_weights_free(&x);
    m = made(&NAMES[5], &x); /* experts in one tensor are no modules */
    ad = tiny_adapter(m, RANK, EVERYTHING, 0);
    assert_int_equal(adapter_write_peft(ad, m, DIR, &e), ILAB_E_INVALID);
    assert_non_null(strstr(e.msg, "ffn_gate_exps"));
    adapter_free(ad);
    model_free(m);
    arch_weights_free(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_names_and_the_way_back), cmocka_unit_test(test_rows_of_q_and_k), cmocka_unit_test(test_settings),
                                        cmocka_unit_test(test_refusals) };
    for (int i = 0; i < N; i++) IDS[i] = (7 * i * i + 3) % V;
    G = gemm_ctx_new(kern_get(cpu_detect()), NULL);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    gemm_ctx_free(G);
    unlink(CONFIG);
    unlink(WEIGHTS);
    unlink(DIR ".gguf");
    rmdir(DIR);
    return failed;
}
