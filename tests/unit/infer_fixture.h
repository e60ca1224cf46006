/* infer_fixture.h — a made tokenizer and a made model of a few thousand weights, in memory or as a file.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef INFER_FIXTURE_H
#define INFER_FIXTURE_H

#include "infer/infer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char FIXTURE_TEXT[] =
    "The river Ware runs through the town of Ashby. Its mayor is Dr. Anna Bell, who was born in 1969. The town has 24,255 people in 2017.\n"
    "Question: Who is the mayor of Ashby?\nAnswer: Anna Bell\nQuestion: When was the mayor born?\nAnswer: 1969\n"
    "Question: How many people live in the town?\nAnswer: 24,255\nAnswer: yes\nAnswer: no\nAnswer: I don't know.\n";
enum { FIXTURE_VOCAB = 360 };

struct fixture { struct pool *pool; struct gemm_ctx *gemm; struct model *model; struct tokenizer *tokenizer; struct engine *engine; };

static inline void must(int rc, const ilab_err *e) {
    if (rc) print_error("%s\n", e->msg);
    assert_int_equal(rc, 0);
}

static inline struct tokenizer *fixture_tokenizer(void) {
    static const char *const SPECIAL[] = { "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>" };
    struct tokenizer *t;
    ilab_err e = { 0 };
    must(bpe_train(&t, SV(FIXTURE_TEXT), FIXTURE_VOCAB, SPECIAL, (int)ARRAY_LEN(SPECIAL), "gpt2", &e), &e);
    tokenizer_set_chat_template(t, chat_template_jinja(chat_template_named("granite")));
    return t;
}

/* Weights with enough spread that greedy text is not a constant. */
static inline int fixture_fill(void *ud, const char *name, struct tensor *t, int is_norm, ilab_err *e) {
    (void)name, (void)e;
    for (int64_t i = 0; i < tensor_elems(t); i++) ((float *)t->data)[i] = (float)(is_norm ? 1.0 + 0.2 * rng_normal(ud) : 0.35 * rng_normal(ud));
    return 0;
}

static inline struct model *fixture_model(const struct tokenizer *t, int n_ctx) {
    struct hparams hp = { .n_layer = 2, .n_embd = 32, .n_head = 4, .n_kv_head = 2, .head_dim = 8, .n_ff = 48, .n_vocab = tokenizer_size(t),
                          .n_ctx = n_ctx, .rope_dim = 8, .norm_eps = 1e-5f, .rope_base = 10000.0f, .tied = 1 };
    struct model *m;
    struct rng r;
    ilab_err e = { 0 };
    rng_seed(&r, 11);
    must(model_new(&m, &hp, 1, &e), &e);
    must(model_each_tensor(m, fixture_fill, &r, &e), &e);
    return m;
}

/* type: QT_F32, or a type to which the matrices are rounded; then the model runs as large ones do, straight from the file. */
static inline void fixture_open_in(struct fixture *f, int n_threads, int n_ctx, int type) {
    ilab_err e = { 0 };
    f->pool = pool_new(n_threads);
    f->gemm = gemm_ctx_new(kern_get(cpu_detect()), f->pool);
    f->tokenizer = fixture_tokenizer();
    f->model = fixture_model(f->tokenizer, n_ctx);
    if (type != QT_F32) {
        char path[] = "/tmp/ilab_fixture_XXXXXX";
        struct gguf *g;
        const int fd = mkstemp(path);
        assert_true(fd >= 0);
        close(fd);
        must(model_write(f->model, NULL, type, path, NULL, NULL, &e), &e);
        model_free(f->model);
        must(model_gguf_open(&g, path, &e), &e);
        must(model_open_gguf(&f->model, g, 0, f->gemm, &e), &e);
        f->model->act = GEMM_ACT_Q8;
        unlink(path);
    }
    must(engine_wrap(&f->engine, f->gemm, f->model, f->tokenizer, NULL, &e), &e);
}
static inline void fixture_open(struct fixture *f, int n_threads, int n_ctx) { fixture_open_in(f, n_threads, n_ctx, QT_F32); }

static inline void fixture_close(struct fixture *f) {
    engine_free(f->engine);
    model_free(f->model);
    tokenizer_free(f->tokenizer);
    gemm_ctx_free(f->gemm);
    pool_free(f->pool);
}

static inline void fixture_keys(void *ud, struct gguf_writer *w) { (void)tokenizer_to_gguf(ud, w, NULL); }
/* The fixture's model as a GGUF file. */
static inline void fixture_write(const struct fixture *f, const char *path) {
    ilab_err e = { 0 };
    must(model_write(f->model, NULL, QT_F32, path, fixture_keys, f->tokenizer, &e), &e);
}

static inline struct ids fixture_ids(const struct fixture *f, const char *text) {
    struct ids ids = { 0 };
    ilab_err e = { 0 };
    must(tokenizer_encode(f->tokenizer, sv_of(text), 0, &ids, &e), &e);
    return ids;
}

#endif
