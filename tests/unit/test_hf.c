/* test_hf.c — Hugging Face directories: reordering of rows, config.json, matching of tensors, views, and the way back.
 *
 * Every family with its names is checked by tests/check/hf_families.sh; here are the parts and what can be wrong. A real
 * directory and the GGUF file that another program made of it are below ../shared/data (skipped when absent).
 * Seeds of the fuzz target: CONFIG_CORPUS=tests/fuzz/corpus/config build/unit/test_hf
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/hf.h"
#include "tests/oom/oom.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define REAL "../shared/data/weights/tinystories-656k"

/* ---- weight maps ---- */

static struct tensor matrix(const void *p, int type, int64_t in, int64_t out, int64_t n)
{
    struct tensor t = { .data = p, .type = type, .n_dim = n > 1 ? 3 : out > 0 ? 2 : 1, .dim = { in, out > 0 ? out : 1, n, 1 } };
    t.row_bytes = (size_t)in * (type == QT_F32 ? 4 : 2);
    t.n_bytes = t.row_bytes * (size_t)(t.dim[1] * n);
    return t;
}

/* Applies m to a fresh buffer that the caller frees. */
static void *apply(const struct weight_map *m, struct pool *pool)
{
    ilab_err e;
    int64_t rows = 1;
    void *out = mem_aligned(weight_map_bytes(m));
    for (int k = 1; k < m->n_dim; k++) rows *= m->dim[k];
    if (weight_map_rows(m, out, 0, rows, pool, &e)) fail_msg("%s", e.msg);
    return out;
}

static void test_maps_and_their_inverses(void **state)
{
    enum { IN = 24, OUT = 32, N = 3 };
    static const struct { enum map_op op, back; int n; int64_t head_dim, block, in, out; int out_n; } ROW[] = {
        { MAP_ROTARY, MAP_UNROTARY, 1, 8, 0, IN, OUT, 1 },    { MAP_ROTARY, MAP_UNROTARY, 1, OUT, 0, IN, OUT, 1 },
        { MAP_TRANSPOSE, MAP_TRANSPOSE, 1, 0, 0, OUT, IN, 1 }, { MAP_COPY, MAP_COPY, N, 0, 0, IN, OUT, N },
    };
    struct rng r;
    uint16_t x[IN * OUT * N];
    (void)state;
    rng_seed(&r, 3);
    for (size_t i = 0; i < ARRAY_LEN(x); i++) x[i] = f32_to_f16((float)rng_normal(&r));
    struct pool *pool = pool_new(2);
    for (size_t i = 0; i < ARRAY_LEN(ROW); i++) {
        struct tensor t = matrix(x, QT_F16, IN, OUT, ROW[i].n), u;
        const struct tensor *src[1] = { &t }, *back[1] = { &u };
        struct weight_map m = { .op = ROW[i].op, .src = src, .n_src = 1, .head_dim = ROW[i].head_dim, .type = QT_F16, .n_dim = t.n_dim, .dim = { ROW[i].in, ROW[i].out, ROW[i].out_n, 1 } };
        void *y = apply(&m, pool), *again = apply(&m, NULL);
        assert_memory_equal(y, again, t.n_bytes);
        u = matrix(y, QT_F16, ROW[i].in, ROW[i].out, ROW[i].out_n);
        struct weight_map b = m;
        b.op = ROW[i].back;
        b.src = back;
        memcpy(b.dim, t.dim, sizeof b.dim);
        void *z = apply(&b, NULL);
        if (memcmp(z, x, t.n_bytes)) fail_msg("row %zu: there and back differs", i);
        if (ROW[i].op != MAP_COPY) assert_memory_not_equal(y, x, t.n_bytes);
        mem_free(again), mem_free(y), mem_free(z);
    }
    /* halves of three experts, and together again */
    struct tensor fused = matrix(x, QT_F16, IN, OUT, N), half[2];
    const struct tensor *src[1] = { &fused }, *two[2] = { &half[0], &half[1] };
    void *part[2];
    for (int k = 0; k < 2; k++) {
        struct weight_map m = { .op = MAP_HALF, .src = src, .n_src = 1, .part = k, .block = OUT / 2, .type = QT_F16, .n_dim = 3, .dim = { IN, OUT / 2, N, 1 } };
        part[k] = apply(&m, NULL);
        half[k] = matrix(part[k], QT_F16, IN, OUT / 2, N);
    }
    assert_memory_equal(part[1], x + IN * OUT / 2, IN * 2);
    struct weight_map all = { .op = MAP_CONCAT, .src = two, .n_src = 2, .block = OUT / 2, .type = QT_F16, .n_dim = 3, .dim = { IN, OUT, N, 1 } };
    void *z = apply(&all, pool);
    assert_memory_equal(z, x, sizeof x);
    mem_free(z), mem_free(part[0]), mem_free(part[1]);
    /* experts: one out of the stack, all into it; and + 1 in 32 bits */
    struct tensor one[N];
    const struct tensor *many[N];
    for (int k = 0; k < N; k++) {
        struct weight_map m = { .op = MAP_UNSTACK, .src = src, .n_src = 1, .part = k, .block = OUT, .type = QT_F16, .n_dim = 2, .dim = { IN, OUT, 1, 1 } };
        one[k] = matrix(apply(&m, NULL), QT_F16, IN, OUT, 1);
        many[k] = &one[k];
    }
    struct weight_map stack = { .op = MAP_STACK, .src = many, .n_src = N, .block = OUT, .type = QT_F16, .n_dim = 3, .dim = { IN, OUT, N, 1 } };
    z = apply(&stack, NULL);
    assert_memory_equal(z, x, sizeof x);
    mem_free(z);
    for (int k = 0; k < N; k++) mem_free((void *)one[k].data);
    struct tensor vector = matrix(x, QT_F16, IN, 0, 1);
    const struct tensor *v[1] = { &vector };
    struct weight_map plus = { .op = MAP_COPY, .src = v, .n_src = 1, .add = 1, .type = QT_F32, .n_dim = 1, .dim = { IN, 1, 1, 1 } },
                      bias = { .op = MAP_ROTARY, .src = v, .n_src = 1, .head_dim = 8, .type = QT_F32, .n_dim = 1, .dim = { IN, 1, 1, 1 } };
    float *p = apply(&plus, NULL), *q = apply(&bias, NULL);
    assert_true(p[5] == f16_to_f32(x[5]) + 1 && q[9] == f16_to_f32(x[12]) && q[10] == f16_to_f32(x[9]));
    mem_free(p), mem_free(q);
    pool_free(pool);
}

static void test_patterns(void **state)
{
    static const struct { const char *pattern, *name; int yes, layer, expert; } ROW[] = {
        { "layers.#.mlp.experts.@.w1", "layers.12.mlp.experts.7.w1", 1, 12, 7 }, { "layers.#.a", "layers.1.ab", 0, 0, 0 }, { "layers.#.a", "layers..a", 0, 0, 0 },
        { "layers.#.a", "layers.1", 0, 0, 0 }, { "norm", "norm", 1, -1, -1 }, { "cls.*", "cls.x.y", 1, -1, -1 }, { "a.#", "a.9999999", 0, 0, 0 },
    };
    char out[32];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ROW); i++) {
        int layer, expert;
        const int yes = hf_match(ROW[i].pattern, sv_of(ROW[i].name), &layer, &expert);
        if (yes != ROW[i].yes || (yes && (layer != ROW[i].layer || expert != ROW[i].expert))) fail_msg("%s, %s: %d %d %d", ROW[i].pattern, ROW[i].name, yes, layer, expert);
    }
    hf_fill_name(out, sizeof out, "blk.#.x.@", 3, 11);
    assert_string_equal(out, "blk.3.x.11");
    hf_fill_name(out, 6, "blk.#.x", 1234, 0);
    assert_true(strlen(out) == 5);
}

/* ---- a tiny llama ---- */

#define CONFIG(more) "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":8,\"num_attention_heads\":2,\"num_key_value_heads\":1," \
                     "\"intermediate_size\":6,\"num_hidden_layers\":2,\"vocab_size\":5,\"max_position_embeddings\":32" more "}"

struct weights { uint8_t p[16384]; size_t n; };
enum fault { NO_FAULT, MISSING, UNKNOWN, LAYER, SHAPE, TYPE, TWICE, ONLY_HEAD, EXPERT };

static void build(struct weights *w, enum fault fault)
{
    static const struct { const char *name; int out, in; } BLOCK[] = {
        { "self_attn.q_proj", 8, 8 }, { "self_attn.k_proj", 4, 8 }, { "self_attn.v_proj", 4, 8 }, { "self_attn.o_proj", 8, 8 }, { "mlp.gate_proj", 6, 8 },
        { "mlp.up_proj", 6, 8 },      { "mlp.down_proj", 8, 6 },    { "input_layernorm", 8, 0 },  { "post_attention_layernorm", 8, 0 },
    };
    struct sb h;
    size_t at = 0;
    sb_init(&h, 16384);
    sb_addc(&h, "{");
#define ADD(dtype, bytes, out, in, ...) do { \
        sb_addf(&h, "%s\"", at ? "," : ""); sb_addf(&h, __VA_ARGS__); \
        const size_t n_ = (size_t)(out) * (size_t)((in) + !(in)) * (bytes); \
        if ((in) > 0) sb_addf(&h, "\":{\"dtype\":\"" dtype "\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]}", (int)(out), (int)(in), at, at + n_); \
        else sb_addf(&h, "\":{\"dtype\":\"" dtype "\",\"shape\":[%d],\"data_offsets\":[%zu,%zu]}", (int)(out), at, at + n_); \
        at += n_; } while (0)
    ADD("BF16", 2, 5, 8, "%s", fault == ONLY_HEAD ? "lm_head.weight" : "model.embed_tokens.weight");
    ADD("BF16", 2, 8, 0, "model.norm.weight");
    for (int l = 0; l < 2; l++)
        for (size_t k = 0; k < ARRAY_LEN(BLOCK); k++) {
            if (fault == MISSING && l == 1 && k == 4) continue;
            const int in = fault == SHAPE && k == 1 ? 9 : BLOCK[k].in, layer = fault == LAYER && l ? 7 : l;
            if (fault == TYPE && l == 1 && k == 4) ADD("I64", 8, 6, in, "model.layers.%d.%s.weight", l, BLOCK[k].name);
            else ADD("BF16", 2, BLOCK[k].out, in, "model.layers.%d.%s.weight", layer, BLOCK[k].name);
        }
    if (fault == UNKNOWN) ADD("BF16", 2, 8, 0, "model.layers.0.surprise.weight");
    if (fault == TWICE) ADD("BF16", 2, 8, 0, "norm.weight");
    if (fault == EXPERT) ADD("BF16", 2, 8, 0, "model.layers.0.block_sparse_moe.experts.0.w1.weight");
#undef ADD
    sb_addc(&h, "}");
    while (h.n % 8) sb_addc(&h, " ");
    const uint64_t n = h.n;
    assert_true(8 + h.n + at <= sizeof w->p && !h.failed);
    memcpy(w->p, &n, 8);
    memcpy(w->p + 8, h.p, h.n);
    for (size_t i = 0; i < at; i++) w->p[8 + h.n + i] = i % 2 ? 0x3c : (uint8_t)(i * 37); /* BF16 numbers near 0.01 */
    w->n = 8 + h.n + at;
    sb_release(&h);
}

static void test_config_is_checked(void **state)
{
    static const struct { const char *config, *msg; } ROW[] = {
        { "[]", "no JSON object" },
        { "{\"architectures\":[\"FooForCausalLM\"],\"model_type\":\"foo\"}", "architecture 'FooForCausalLM' (model type 'foo') is not known; known are mixtral, mistral, llama" },
        { "{}", "is not known" },
        { CONFIG(",\"hidden_act\":\"relu\""), "hidden_act is \"relu\"" },
        { CONFIG(",\"quantization_config\":{\"quant_method\":\"gptq\"}"), "quantised (gptq)" },
        { CONFIG(",\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":2}"), "rope_scaling of type 'dynamic'" },
        { CONFIG(",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}"), "factor 0" },
        { CONFIG(",\"rope_scaling\":{\"rope_type\":\"llama3\",\"low_freq_factor\":4,\"high_freq_factor\":4}"), "out of range" },
        { CONFIG(",\"rope_scaling\":{\"rope_type\":\"longrope\",\"original_max_position_embeddings\":16,\"long_factor\":[1],\"short_factor\":[1]}"), "needs 2 numbers as long_factor" },
        { CONFIG(",\"rope_scaling\":{\"rope_type\":\"longrope\"}"), "original_max_position_embeddings" },
        { CONFIG(",\"rope_theta\":-1"), "rope_theta is -1" },
        { CONFIG(",\"head_dim\":3"), "must be even" },
        { CONFIG(",\"head_dim\":1e30"), "head dimension is 1e+30" },
        { CONFIG(",\"partial_rotary_factor\":2"), "partial_rotary_factor is 2" },
        { CONFIG(",\"num_local_experts\":99999"), "number of experts is 99999" },
        { CONFIG(",\"layer_types\":[\"full_attention\",\"sliding_attention\"]"), "layer_types" },
        { CONFIG(",\"text_config\":{\"num_hidden_layers\":2.5}"), "number of layers is 2.5" },
        { CONFIG(",\"text_config\":{\"vocab_size\":-5}"), "vocabulary is -5" },
        { CONFIG(",\"text_config\":{\"num_attention_heads\":3}"), "no multiple of 3 heads" },
        { CONFIG(",\"text_config\":{\"hidden_size\":\"8\"}"), "\"hidden_size\" is no number" },
        { "{\"model_type\":\"qwen2\",\"use_sliding_window\":true}", "use_sliding_window is true" },
        { "{\"model_type\":\"llama\"}", "\"num_hidden_layers\" is missing" },
        { CONFIG(",\"rms_norm_eps\":1e300"), "rms_norm_eps is 1e+300" },
        { CONFIG(""), NULL },
        { CONFIG(",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2,\"beta_fast\":32}"), NULL },
    };
    const char *corpus = getenv("CONFIG_CORPUS");
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ROW); i++) {
        ilab_err e = { 0 };
        struct hf_config c;
        struct hf_factors f = { 0 };
        struct gguf_writer *w = gguf_writer_new();
        json_t *v = json_parse(sv_of(ROW[i].config), "x", &e);
        int rc = v ? hf_config_read(&c, v, "dir/config.json", &e) : e.code;
        if (!rc) rc = hf_config_put(&c, w, &f, &e);
        if ((rc == 0) != (ROW[i].msg == NULL) || (rc && (!strstr(e.msg, ROW[i].msg) || !strstr(e.msg, "dir/config.json")))) fail_msg("%s: %d '%s'", ROW[i].config, rc, e.msg);
        mem_free(f.v);
        hf_config_release(&c);
        gguf_writer_free(w);
        if (corpus) {
            char name[32];
            snprintf(name, sizeof name, "config_%02zu", i);
            char *path = path_join(corpus, name);
            assert_int_equal(file_write(path, ROW[i].config, strlen(ROW[i].config), NULL), 0);
            mem_free(path);
        }
    }
}

static void test_tensors_are_checked(void **state)
{
    static const struct { enum fault fault; const char *more, *msg; } ROW[] = {
        { MISSING, "", "layer 1 lacks a tensor that layer 0 has: 'model.layers.0.mlp.gate_proj.weight'" },
        { UNKNOWN, "", "'model.layers.0.surprise.weight' is not known" },
        { LAYER, "", "is of layer 7" },
        { SHAPE, "", NULL }, /* a width that only the engine checks */
        { SHAPE, ",\"num_key_value_heads\":2", "does not fit the configured heads" },
        { TYPE, "", "element type I64" },
        { TWICE, "", "are the same weights" },
        { ONLY_HEAD, "", "holds no embedding" },
        { ONLY_HEAD, ",\"tie_word_embeddings\":true", NULL },
        { EXPERT, "", "is not known for the architecture" },
        { NO_FAULT, ",\"vocab_size\":6", "the embedding 'model.embed_tokens.weight' is [5, 8]" },
        { NO_FAULT, "", NULL },
    };
    static struct weights w;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ROW); i++) {
        ilab_err e = { 0 };
        struct hf *h = NULL;
        char config[1024];
        /* text_config stands in front of the top level */
        snprintf(config, sizeof config, "%.*s,\"text_config\":{\"x\":0%s}}", (int)strlen(CONFIG("")) - 1, CONFIG(""), ROW[i].more);
        build(&w, ROW[i].fault);
        const int rc = hf_open_memory(&h, sv_of(config), w.p, w.n, &e);
        if ((rc == 0) != (ROW[i].msg == NULL) || (rc && !strstr(e.msg, ROW[i].msg))) fail_msg("row %zu: %d '%s'", i, rc, e.msg);
        hf_close(h);
    }
}

static void test_view(void **state)
{
    static struct weights w;
    ilab_err e = { 0 };
    struct hf *h;
    struct gguf *g;
    int64_t v;
    (void)state;
    build(&w, NO_FAULT);
    if (hf_open_memory(&h, sv_of(CONFIG("")), w.p, w.n, &e) || hf_to_gguf(&g, h, &e)) fail_msg("%s", e.msg);
    assert_true(gguf_n_tensor(g) == 20 && !gguf_is_file(g) && !gguf_get_int(g, "llama.attention.head_count_kv", 0, 9, &v, &e) && v == 1);
    const struct tensor *o = gguf_tensor(g, "blk.1.attn_output.weight"), *q = gguf_tensor(g, "blk.1.attn_q.weight"), *n = gguf_tensor(g, "output_norm.weight");
    assert_true(o && q && n && o->type == QT_BF16 && q->type == QT_BF16 && n->type == QT_F32);
    const uint8_t *data = o->data;
    assert_true(data > w.p && data < w.p + w.n); /* not copied */
    assert_false((const uint8_t *)q->data > w.p && (const uint8_t *)q->data < w.p + w.n);
    assert_int_equal(gguf_check(g, &e), 0);
    gguf_close(g);
}

static int view_job(void *ud, ilab_err *e)
{
    const struct weights *w = ud;
    struct hf *h;
    struct gguf *g;
    int rc = hf_open_memory(&h, sv_of(CONFIG(",\"rope_scaling\":{\"rope_type\":\"llama3\"}")), w->p, w->n, e);
    if (!rc && (rc = hf_to_gguf(&g, h, e))) hf_close(h);
    if (!rc) gguf_close(g);
    return rc;
}

static void test_memory_that_runs_out(void **state)
{
    static struct weights w;
    ilab_err e = { 0 };
    (void)state;
    build(&w, NO_FAULT);
    if (oom_loop(view_job, &w, &e)) fail_msg("%s", e.msg);
}

/* ---- the real directory ---- */

/* The GGUF file was made by another program from the same directory. */
static void test_real_directory(void **state)
{
    struct gguf *g, *want;
    ilab_err e = { 0 };
    (void)state;
    if (!hf_is_dir(REAL)) {
        print_message("skipped: '%s' is missing\n", REAL);
        skip();
    }
    if (model_gguf_open(&g, REAL, &e) || gguf_open(&want, REAL "/tinystories-656k.f32.gguf", &e)) fail_msg("%s", e.msg);
    assert_int_equal(gguf_n_tensor(g), gguf_n_tensor(want));
    for (int i = 0; i < gguf_n_tensor(want); i++) {
        const struct tensor *b = gguf_tensor_at(want, i), *a = gguf_tensor(g, b->name);
        if (!a || a->type != b->type || a->n_bytes != b->n_bytes || memcmp(a->data, b->data, b->n_bytes)) fail_msg("'%s' differs", b->name);
    }
    gguf_close(want);
    gguf_close(g);
}

static void test_model_of_a_directory(void **state)
{
    struct model *m;
    ilab_err e = { 0 };
    (void)state;
    if (!hf_is_dir(REAL)) {
        print_message("skipped: '%s' is missing\n", REAL);
        skip();
    }
    if (model_open(&m, REAL, 0, NULL, &e)) fail_msg("%s", e.msg);
    char first[65];
    snprintf(first, sizeof first, "%s", model_hash(m, &e));
    assert_int_equal(strlen(first), 64);
    model_free(m);
    json_t *o = model_describe(REAL, 256, &e);
    assert_true(json_is_true(json_object_get(o, "runs")) && json_int(o, "parameters", 0) == 656000 && json_int(json_object_get(o, "memory"), "context", 0) == 256);
    json_decref(o);
    assert_null(model_describe("/nowhere", 0, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps_and_their_inverses), cmocka_unit_test(test_patterns), cmocka_unit_test(test_config_is_checked),
        cmocka_unit_test(test_tensors_are_checked), cmocka_unit_test(test_view), cmocka_unit_test(test_memory_that_runs_out),
        cmocka_unit_test(test_real_directory), cmocka_unit_test(test_model_of_a_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
