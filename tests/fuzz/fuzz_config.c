/* fuzz_config.c — any bytes as config.json: as metadata keys, and with the weights of a small model as a whole model.
 *
 * The seeds in corpus/config are written by tests/unit/test_hf.c (see there) and by hand: one of each family.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/hf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void expect(int condition) {
    if (!condition)
        abort();
}

/* A llama of one layer, width 4: names and shapes. */
static const struct { const char *name; int out, in; } WEIGHTS[] = {
    { "model.embed_tokens.weight", 3, 4 },           { "model.norm.weight", 4, 0 },
    { "model.layers.0.self_attn.q_proj.weight", 4, 4 }, { "model.layers.0.self_attn.k_proj.weight", 4, 4 },
    { "model.layers.0.self_attn.v_proj.weight", 4, 4 }, { "model.layers.0.self_attn.o_proj.weight", 4, 4 },
    { "model.layers.0.mlp.gate_proj.weight", 2, 4 },    { "model.layers.0.mlp.up_proj.weight", 2, 4 },
    { "model.layers.0.mlp.down_proj.weight", 4, 2 },    { "model.layers.0.input_layernorm.weight", 4, 0 },
    { "model.layers.0.post_attention_layernorm.weight", 4, 0 },
};

static uint8_t *image(size_t *n) {
    static uint8_t bytes[4096] __attribute__((aligned(8)));
    static size_t n_bytes;
    struct sb h;
    size_t at = 0;
    *n = n_bytes;
    if (n_bytes)
        return bytes;
    sb_init(&h, 4000);
    for (size_t i = 0; i < ARRAY_LEN(WEIGHTS); i++) {
        const int in = WEIGHTS[i].in;
        const size_t size = (size_t)WEIGHTS[i].out * (in ? (size_t)in : 1) * 2;
        sb_addf(&h, "%s\"%s\":{\"dtype\":\"F16\",\"shape\":[%d", i ? "," : "{", WEIGHTS[i].name, WEIGHTS[i].out);
        if (in)
            sb_addf(&h, ",%d", in);
        sb_addf(&h, "],\"data_offsets\":[%zu,%zu]}", at, at + size);
        at += size;
    }
    sb_addc(&h, "}");
    while (h.n % 8)
        sb_addc(&h, " ");
    const uint64_t n_header = h.n;
    memcpy(bytes, &n_header, 8);
    memcpy(bytes + 8, h.p, h.n);
    *n = n_bytes = 8 + h.n + at;
    sb_release(&h);
    return bytes;
}

static void as_keys(struct sv text) {
    struct hf_config c;
    struct hf_factors f = { 0 };
    ilab_err e = { 0 };
    json_t *v = json_parse(text, "input", &e);
    if (!v)
        return;
    struct gguf_writer *w = gguf_writer_new();
    struct gguf *g = NULL;
    int rc = hf_config_read(&c, v, "input", &e);
    if (!rc)
        rc = hf_config_put(&c, w, &f, &e);
    expect(!rc || (rc == e.code && e.msg[0]));
    if (!rc) {
        expect(c.size.n_layer > 0 && c.size.head_dim > 0 && c.size.n_kv_head > 0);
        expect(!gguf_from_writer(&g, w, "input", &e) && gguf_n_kv(g) > 4);
        gguf_close(g);
    }
    mem_free(f.v);
    hf_config_release(&c);
    gguf_writer_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    const struct sv text = { (const char *)p, n };
    struct hf *h = NULL;
    struct gguf *g = NULL;
    ilab_err e = { 0 };
    size_t n_weights;
    const uint8_t *weights = image(&n_weights);
    as_keys(text);
    int rc = hf_open_memory(&h, text, weights, n_weights, &e);
    expect(rc ? rc == e.code && e.msg[0] && !h : h != NULL);
    if (rc)
        return 0;
    rc = hf_to_gguf(&g, h, &e);
    expect(rc ? rc == e.code && e.msg[0] : g != NULL);
    if (rc) {
        hf_close(h);
        return 0;
    }
    struct model *m;
    if (model_open_gguf(&m, g, 0, NULL, &e))
        gguf_close(g);
    else
        model_free(m);
    return 0;
}
