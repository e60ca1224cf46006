/* engine.c — loads a model, its tokenizer and the kernels once.
 *
 * Panels of the linear layers are kept when they are small (MODEL_PACK): then no product has to unpack
 * weights again, and activations stay exact unless engine_bulk says otherwise. Any other model runs straight from the file map, with
 * activations rounded to 8 bits.  SPDX-License-Identifier: Apache-2.0 */
#include "infer/infer.h"

#include <string.h>

enum { PACK_MAX_BYTES = 64 << 20 /* they shall stay in the last-level cache */, PAGER_POSITIONS = 4096 /* room for a cache of so many */ };
#define PAGER_SHARE 0.9 /* of the free memory: the rest is for buffers and for others */

/* Bytes of the F32 panels of all matrices in the file. */
static double packed_bytes(const struct gguf *g) {
    double sum = 0;
    for (int i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        if (t->n_dim == 2) sum += (double)gemm_packed_floats(t->dim[1], t->dim[0]) * sizeof(float);
    }
    return sum;
}

/* A model that does not fit comes from the disk in part, and that is said before it starts. */
static int engine_page(struct engine *en, ilab_err *e) {
    const struct hparams *hp = &en->model->hp;
    const int n_pos = hp->n_ctx < PAGER_POSITIONS ? hp->n_ctx : PAGER_POSITIONS;
    const double budget = (double)mem_available() * PAGER_SHARE - (double)kv_position_bytes(hp, en->kv_type) * n_pos;
    if (!en->model->gguf) return 0;
    int rc = pager_new(&en->pager, en->model->gguf, hp->n_layer, budget, e);
    if (rc || !en->pager) return rc;
    char size[32], room[32], part[32], speed[32], time[48];
    double bytes, rate;
    pager_expect(en->pager, 0, &bytes, &rate);
    format_bytes(size, sizeof size, (double)gguf_file_bytes(en->model->gguf));
    format_bytes(room, sizeof room, (double)mem_available());
    format_bytes(part, sizeof part, bytes);
    format_bytes(speed, sizeof speed, rate);
    format_duration(time, sizeof time, rate > 0 ? bytes / rate : 0);
    log_warn("the model has %s, %s of memory are free: %s are read from the disk for each step, at %s/s about %s. A smaller type "
             "(ilab model quantize) would fit and be faster.", size, room, part, speed, time);
    return 0;
}

static int engine_load(struct engine *en, const char *path, const char *adapter_path, int n_threads, ilab_err *e) {
    struct gguf *g = NULL;
    int packed = 0;
    en->path = mem_strndup(path, strlen(path));
    en->pool = pool_new(n_threads);
    if (en->pool) en->gemm = gemm_ctx_new(kern_get(cpu_detect()), en->pool);
    if (!en->path || !en->gemm) return err_set(e, ILAB_E_NOMEM, "not enough memory to open '%s'", path);
    int rc = model_gguf_open(&g, path, e);
    if (rc) return rc;
    rc = model_supported(g, e); /* a new architecture often comes with a new tokenizer: the architecture is what to name */
    if (!rc) rc = tokenizer_of_model(&en->tokenizer, g, path, e);
    if (!rc) {
        double bytes = packed_bytes(g);
        packed = bytes <= PACK_MAX_BYTES && bytes <= (double)mem_available() / 4;
        rc = model_open_gguf(&en->model, g, packed ? MODEL_PACK : 0, en->gemm, e);
    }
    if (rc) {
        gguf_close(g); /* the model owns it only after success */
        err_name_file(e, path);
        return rc;
    }
    if (tokenizer_size(en->tokenizer) > en->model->hp.n_vocab)
        return err_set(e, ILAB_E_FORMAT, "'%s': the tokenizer has %d tokens, the model only %d", path,
                       tokenizer_size(en->tokenizer), en->model->hp.n_vocab);
    en->model->act = packed ? GEMM_ACT_F32 : GEMM_ACT_Q8;
    rc = engine_page(en, e);
    if (!rc && adapter_path) rc = adapter_open(&en->adapter, adapter_path, en->model, e);
    en->n_ctx = en->model->hp.n_ctx;
    return rc;
}

void engine_bulk(struct engine *en) { en->model->act = GEMM_ACT_Q8; }

int engine_open(struct engine **out, const char *path, const char *adapter_path, int n_threads, ilab_err *e) {
    *out = NULL;
    struct engine *en = mem_calloc(1, sizeof *en);
    if (!en) return err_set(e, ILAB_E_NOMEM, "not enough memory to open '%s'", path);
    en->own = 1;
    int rc = engine_load(en, path, adapter_path, n_threads, e);
    if (rc) engine_free(en);
    else *out = en;
    return rc;
}

int engine_wrap(struct engine **out, struct gemm_ctx *g, struct model *m, struct tokenizer *t, struct adapter *a, ilab_err *e) {
    struct engine *en = *out = mem_calloc(1, sizeof *en);
    if (!en) return err_set(e, ILAB_E_NOMEM, "not enough memory for an engine");
    en->pool = gemm_pool(g);
    en->gemm = g;
    en->model = m;
    en->tokenizer = t;
    en->adapter = a;
    en->n_ctx = m->hp.n_ctx;
    return 0;
}

void engine_free(struct engine *en) {
    if (!en) return;
    token_table_free(en->table);
    pager_free(en->pager);
    if (en->own) {
        adapter_free(en->adapter);
        model_free(en->model);
        tokenizer_free(en->tokenizer);
        gemm_ctx_free(en->gemm);
        pool_free(en->pool);
        mem_free(en->path);
    }
    mem_free(en);
}

struct token_table *engine_token_table(struct engine *en) {
    if (!en->table) en->table = token_table_new(en->tokenizer);
    return en->table;
}
