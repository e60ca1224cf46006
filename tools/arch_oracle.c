/* arch_oracle.c — our logits beside llama.cpp's, for one model file.
 *
 *   arch_oracle FOLDER FILE.gguf [-n POSITIONS] [-c CONTEXT] [-q] [-a RANK [-r]]
 *
 * FOLDER holds libllama.so and its ggml libraries (the npm package @node-llama-cpp/linux-x64, folder bins/linux-x64, has them).
 * llama.cpp reads a copy that we wrote (model_write). Both programs read the same ids, with F32 keys and values and no fused attention; ours computes with F32 activations, once all rows
 * in one call and once in calls of 1, 7, 16 … rows, which must agree bit for bit. Embedding models are compared by the rows of their
 * last layer. Prints one line: NMSE = Σ(ours - theirs)² / Σ theirs², positions compared, positions left out.
 * Left out are positions at which some router's last chosen expert and the first one not chosen lie closer than TIE, and those
 * that attend to them: rounding decides there.
 * -q: the products that inference uses (activations in 8 bits) and llama.cpp's, each against our exact products of the same file
 * (weights dequantised, F32 throughout): prints both NMSE and their ratio; ours may be 1.05 times as far off.
 * -a: with a random adapter of this rank on every matrix, routers and experts too, which llama.cpp reads from the file that we write;
 * -r: with rsLoRA's scale. It must change the logits by an NMSE of 1e-3 at least.
 * Exit code 1 above the limit.  SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT 1e-6
#define MORE 1.05 /* -q: times llama.cpp's distance */
#define TIE 1e-6f
#define CHANGE 1e-3

/* ---- llama.cpp's C interface, as far as it is needed (include/llama.h) ---- */

/* Passed by value; longer than llama.cpp's own, which reads its part. */
union params { int32_t i[128]; uint8_t b[512]; };
struct by_value { int32_t i[128]; };
struct llama_batch { int32_t n_tokens; int32_t *token; float *embd; int32_t *pos, *n_seq_id; int32_t **seq_id; int8_t *logits; };
struct llama {
    struct by_value (*model_params)(void), (*context_params)(void);
    void *(*load)(const char *path, struct by_value p), *(*context)(void *model, struct by_value p);
    struct llama_batch (*batch_init)(int32_t n, int32_t embd, int32_t n_seq);
    int32_t (*decode)(void *ctx, struct llama_batch b);
    float *(*logits)(void *ctx, int32_t i), *(*embeddings)(void *ctx, int32_t i);
    void *(*adapter)(void *model, const char *path);
    int32_t (*set_adapter)(void *ctx, void *adapter, float scale), (*set_adapters)(void *ctx, void **adapter, size_t n, float *scale);
    void (*log)(void (*fn)(int, const char *, void *), void *), (*init)(void), (*load_backends)(const char *folder);
};

static void quiet(int level, const char *text, void *ud)
{
    (void)ud;
    if (level >= 4) fputs(text, stderr);
}

static void *open_library(const char *folder, const char *prefix)
{
    char **names;
    size_t n;
    void *lib = NULL;
    if (dir_list(folder, &names, &n, NULL)) return NULL;
    for (size_t i = 0; i < n; i++) {
        char *path = path_join(folder, names[i]);
        if (!lib && !strncmp(names[i], prefix, strlen(prefix))) lib = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
        mem_free(path);
        mem_free(names[i]);
    }
    mem_free(names);
    return lib;
}

static int llama_open(struct llama *l, const char *folder)
{
    const struct { const char *name; void *to; int maybe; } row[] = {
        { "llama_adapter_lora_init", &l->adapter, 0 }, { "llama_set_adapter_lora", &l->set_adapter, 1 }, { "llama_set_adapters_lora", &l->set_adapters, 1 },
        { "llama_model_default_params", &l->model_params, 0 }, { "llama_context_default_params", &l->context_params, 0 },
        { "llama_model_load_from_file", &l->load, 0 }, { "llama_init_from_model", &l->context, 0 }, { "llama_batch_init", &l->batch_init, 0 },
        { "llama_decode", &l->decode, 0 }, { "llama_get_logits_ith", &l->logits, 0 }, { "llama_get_embeddings_ith", &l->embeddings, 0 },
        { "llama_log_set", &l->log, 0 }, { "llama_backend_init", &l->init, 0 }, { "ggml_backend_load_all_from_path", &l->load_backends, 0 },
    };
    void *base = open_library(folder, "libggml-base"), *ggml = open_library(folder, "libggml."), *lib = open_library(folder, "libllama.");
    if (!base || !lib) return -1;
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        void *f = dlsym(lib, row[i].name);
        if (!f && ggml) f = dlsym(ggml, row[i].name);
        if (!f && !row[i].maybe) return -1;
        memcpy(row[i].to, &f, sizeof f);
    }
    return 0;
}

/* Sets what matters in context parameters whose layout moves from version to version: defaults tell the places (two thread
 * counts of 4 in a row, then the kinds of scaling, pooling, attention and fused attention, all -1; later two types F16). */
static int set_context(struct by_value *p, int n_ctx, int embed)
{
    union params u;
    memcpy(&u, p, sizeof u);
    int at = 0, types;
    while (at < 20 && !(u.i[at] == 4 && u.i[at + 1] == 4)) at++;
    for (types = at + 12; types < 60 && !(u.i[types] == 1 && u.i[types + 1] == 1); types++) continue;
    if (at == 20 || types == 60 || u.i[0] != 512 || u.i[at + 3] != -1 || u.i[at + 6] != -1) return -1;
    u.i[0] = u.i[1] = u.i[2] = n_ctx;
    for (int i = 5; i < at; i++) u.i[i] = n_ctx; /* outputs in all, and of a sequence */
    u.i[at] = u.i[at + 1] = 2;
    u.i[at + 4] = embed ? 0 : -1; /* pooling: none */
    u.i[at + 6] = 0;              /* fused attention: off */
    u.i[types] = u.i[types + 1] = 0; /* keys and values: F32 */
    u.b[4 * (types + 6)] = (uint8_t)embed; /* behind the types two pointers, then flags */
    memcpy(p, &u, sizeof u);
    return 0;
}

static int set_adapter(const struct llama *l, void *model, void *ctx, const char *path)
{
    void *adapter = l->adapter(model, path);
    float one = 1;
    if (!adapter) return fprintf(stderr, "llama.cpp does not load '%s'\n", path), -1;
    if (!l->set_adapter && !l->set_adapters) return fprintf(stderr, "llama.cpp has no way to set an adapter\n"), -1;
    return (l->set_adapter ? l->set_adapter(ctx, adapter, one) : l->set_adapters(ctx, &adapter, 1, &one)) ? -1 : 0;
}

static int their_rows(const char *folder, const char *path, const char *adapter, const int32_t *id, int n, int n_ctx, int embed, int width, float *out)
{
    struct llama l;
    if (llama_open(&l, folder)) return fprintf(stderr, "no llama.cpp in '%s'\n", folder), -1;
    l.log(quiet, NULL);
    l.load_backends(folder);
    l.init();
    struct by_value mp = l.model_params(), cp = l.context_params();
    void *model = l.load(path, mp), *ctx;
    if (!model) return fprintf(stderr, "llama.cpp does not load '%s'\n", path), -1;
    if (set_context(&cp, n_ctx, embed)) return fprintf(stderr, "unknown layout of llama_context_params\n"), -1;
    if (!(ctx = l.context(model, cp))) return fprintf(stderr, "llama.cpp makes no context\n"), -1;
    if (adapter && set_adapter(&l, model, ctx, adapter)) return -1;
    struct llama_batch b = l.batch_init(n, 0, 1);
    b.n_tokens = n;
    for (int i = 0; i < n; i++) {
        b.token[i] = id[i];
        b.pos[i] = i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = 1;
    }
    if (l.decode(ctx, b)) return fprintf(stderr, "llama.cpp does not decode\n"), -1;
    for (int i = 0; i < n; i++) {
        const float *row = embed ? l.embeddings(ctx, i) : l.logits(ctx, i);
        if (!row) return fprintf(stderr, "llama.cpp gives no row %d\n", i), -1;
        memcpy(out + (size_t)i * (size_t)width, row, (size_t)width * sizeof *row);
    }
    return 0;
}

/* ---- ours ---- */

/* Marks rows of the last layer_forward whose routers nearly tie. */
static void mark_ties(const struct layer_acts *a, const struct hparams *hp, int row0, int n, uint8_t *tie)
{
    for (int r = 0; r < n && hp->n_expert; r++) {
        const float *p = a->moe.prob + (size_t)r * (size_t)hp->n_expert;
        const int32_t *x = a->moe.expert + (size_t)r * (size_t)hp->n_expert_used;
        float last = p[x[hp->n_expert_used - 1]], next = 0;
        for (int e = 0; e < hp->n_expert; e++) {
            int chosen = 0;
            for (int i = 0; i < hp->n_expert_used; i++) chosen |= x[i] == e;
            if (!chosen && p[e] > next) next = p[e];
        }
        if (last - next < TIE) tie[row0 + r] = 1;
    }
}

/* Logits of all rows, in calls of step[0], step[1] … rows (the last repeats). */
static int our_rows(struct gemm_ctx *g, struct model *m, const struct adapter *ad, const int32_t *id, int n, const int *step, float *out, uint8_t *tie, ilab_err *e)
{
    const struct hparams *hp = &m->hp;
    const struct attn_shape shape = layer_attn_shape(m, 0, QT_F32);
    const size_t n_page = (size_t)(n + KERN_PANEL - 1) / KERN_PANEL, page = attn_page_bytes(&shape) * (size_t)hp->n_layer;
    struct arena mem;
    struct layer_acts a;
    arena_init(&mem, SIZE_MAX);
    void **pages = arena_alloc(&mem, n_page * sizeof *pages, 64);
    for (size_t i = 0; i < n_page; i++) pages[i] = arena_alloc(&mem, page, 64);
    layer_acts_plan_forward(&a, hp, n, ad ? ad->rank : 0, &mem);
    float *norm = arena_alloc(&mem, (size_t)n * (size_t)hp->n_embd * sizeof *norm, 64), *inv = arena_alloc(&mem, (size_t)n * sizeof *inv, 64);
    int32_t *row = arena_alloc(&mem, (size_t)n * sizeof *row, 64);
    int rc = 0;
    for (int i = 0; i < n; i++) row[i] = i;
    for (int at = 0, k; at < n; at += k) {
        k = *step < n - at ? *step : n - at;
        if (step[1]) step++;
        const struct segment seg = { 0, k, at, pages };
        const struct batch b = { .n_row = k, .id = id + at, .n_seg = 1, .seg = &seg, .n_prompt = k };
        embed_rows(gemm_kern(g), m, &b, 0, k, a.x);
        for (int l = 0; l < hp->n_layer; l++) {
            layer_forward(g, m, ad, l, l, &b, &a, a.x);
            mark_ties(&a, hp, at, k, tie);
        }
        output_logits(g, m, a.x, row, k, norm, inv, out + (size_t)at * (size_t)hp->n_vocab);
    }
    if (gemm_failed(g)) rc = err_set(e, ILAB_E_NOMEM, "no memory");
    arena_release(&mem);
    return rc;
}

/* On every matrix; written for llama.cpp beside the model. */
static struct adapter *random_adapter(struct model *m, int rank, int rslora, const char *path, ilab_err *e)
{
    struct adapter *ad;
    struct rng r;
    rng_seed(&r, 3);
    if (adapter_new(&ad, m, rank, 8, (1u << ADAPT_COUNT) - 1, 0, 2, e)) return NULL;
    if (rslora) adapter_set_rslora(ad);
    for (int i = 0; i < ad->n_layer * ADAPT_COUNT; i++) {
        const struct lora *l = &ad->lora[i];
        for (int64_t k = 0; l->on && k < (int64_t)l->n_matrix * l->n_out * l->rank; k++) l->b[k] = (float)(0.1 * rng_normal(&r));
    }
    return adapter_write(ad, m, path, e) ? NULL : ad;
}

/* ---- comparison ---- */

struct distance { double nmse, worst; int worst_at, n_out; };

/* Of a from b, over the rows before the first near tie: that one, and those that attend to it, count as left out. */
static struct distance distance(const float *a, const float *b, int n, int width, const uint8_t *tie)
{
    struct distance r = { 0 };
    double diff = 0, size = 0;
    int from = 0;
    while (from < n && !tie[from]) from++;
    r.n_out = n - from;
    for (int i = 0; i < from; i++) {
        double d = 0, s = 0;
        for (int k = 0; k < width; k++) {
            const double x = (double)a[(size_t)i * (size_t)width + (size_t)k], y = (double)b[(size_t)i * (size_t)width + (size_t)k];
            d += (x - y) * (x - y);
            s += y * y;
        }
        diff += d;
        size += s;
        if (s > 0 && d / s > r.worst) r.worst = d / s, r.worst_at = i;
    }
    r.nmse = diff / size;
    return r;
}

static int report(const char *path, const struct hparams *hp, const float *ours, const float *rounded, const float *theirs, int n, int width,
                  const uint8_t *tie)
{
    if (rounded) {
        const struct distance a = distance(rounded, ours, n, width, tie), b = distance(theirs, ours, n, width, tie);
        printf("%s: NMSE ours %.3e, llama.cpp's %.3e, ratio %.3f, left out %d\n", path_base(path), a.nmse, b.nmse, a.nmse / b.nmse, a.n_out);
        return a.nmse <= MORE * b.nmse && a.n_out < n / 2 ? 0 : 1;
    }
    const struct distance d = distance(ours, theirs, n, width, tie);
    printf("%s: NMSE %.2e over %d rows, worst row %d %.2e, left out %d%s\n", path_base(path), d.nmse, n - d.n_out, d.worst_at, d.worst, d.n_out,
           hp->n_expert ? " (near ties of a router, and later rows)" : "");
    return d.nmse <= LIMIT && d.n_out < n / 2 ? 0 : 1;
}

int main(int argc, char **argv)
{
    int64_t n = 64, n_ctx = 0, quantised = 0, rank = 0, rslora = 0;
    ilab_err e = { 0 };
    if (argc < 3) return fprintf(stderr, "usage: arch_oracle FOLDER FILE.gguf [-n POSITIONS] [-c CONTEXT] [-q] [-a RANK [-r]]\n"), 2;
    for (int i = 3; i < argc; i++) {
        if (!strcmp(argv[i], "-q")) quantised = 1;
        else if (!strcmp(argv[i], "-r")) rslora = 1;
        else if (i + 1 < argc && !strcmp(argv[i], "-a") && !parse_i64(argv[i + 1], 1, 1024, &rank)) i++;
        else if (i + 1 < argc && !strcmp(argv[i], "-n") && !parse_i64(argv[i + 1], 1, 4096, &n)) i++;
        else if (i + 1 < argc && !strcmp(argv[i], "-c") && !parse_i64(argv[i + 1], 1, 1 << 20, &n_ctx)) i++;
        else return fprintf(stderr, "arch_oracle: what is '%s'?\n", argv[i]), 2;
    }
    struct pool *pool = pool_new(2);
    struct gemm_ctx *g = gemm_ctx_new(kern_get(cpu_detect()), pool);
    struct model *m;
    if (model_open(&m, argv[2], 0, g, &e) || model_rope_reserve(m, n_ctx > n ? (int)n_ctx : (int)n, &e)) return fprintf(stderr, "%s\n", e.msg), 1;
    const int embed = m->hp.encoder, width = embed ? m->hp.n_embd : m->hp.n_vocab, rows = (int)n;
    float *ours = xalloc((size_t)n * (size_t)width * sizeof *ours), *cut = xalloc((size_t)n * (size_t)width * sizeof *cut);
    float *rounded = quantised ? xalloc((size_t)n * (size_t)width * sizeof *rounded) : NULL;
    float *theirs = xalloc((size_t)n * (size_t)width * sizeof *theirs);
    int32_t *id = xalloc((size_t)n * sizeof *id);
    uint8_t *tie = xcalloc((size_t)n, 1);
    struct rng r;
    rng_seed(&r, 11);
    for (int i = 0; i < rows; i++) id[i] = (int32_t)rng_below(&r, (uint32_t)m->hp.n_vocab);
    char lora[512];
    snprintf(lora, sizeof lora, "%s.lora", argv[2]);
    struct adapter *ad = rank ? random_adapter(m, (int)rank, (int)rslora, lora, &e) : NULL;
    if (rank && !ad) return fprintf(stderr, "%s\n", e.msg), 1;
    const int whole[2] = { rows, 0 }, parts[5] = { 1, 7, 16, 5, 0 };
    int rc = embed ? model_embed_tokens(g, m, id, rows, ours, &e) : our_rows(g, m, ad, id, rows, whole, ours, tie, &e);
    if (!rc && !embed) rc = our_rows(g, m, ad, id, rows, parts, cut, tie, &e);
    if (rc) return fprintf(stderr, "%s\n", e.msg), 1;
    if (!embed && memcmp(ours, cut, (size_t)n * (size_t)width * sizeof *ours)) return fprintf(stderr, "%s: rows depend on their company\n", argv[2]), 1;
    m->act = GEMM_ACT_Q8;
    if (rounded && (rc = embed ? model_embed_tokens(g, m, id, rows, rounded, &e) : our_rows(g, m, ad, id, rows, whole, rounded, tie, &e)))
        return fprintf(stderr, "%s\n", e.msg), 1;
    m->act = GEMM_ACT_F32;
    char copy[512];
    snprintf(copy, sizeof copy, "%s.copy", argv[2]);
    const struct weight *first = &m->weight[0];
    const char *theirs_path = first->t.type == QT_F32 ? copy : argv[2]; /* a quantised file goes there as it is */
    if (theirs_path == copy && model_write(m, NULL, QT_F32, copy, NULL, NULL, &e)) return fprintf(stderr, "%s\n", e.msg), 1;
    if (their_rows(argv[1], theirs_path, ad ? lora : NULL, id, rows, (int)(n_ctx > n ? n_ctx : n), embed, width, theirs)) return 1;
    if (theirs_path == copy) unlink(copy);
    if (ad) unlink(lora);
    if (ad && (our_rows(g, m, NULL, id, rows, whole, cut, tie, &e) || distance(cut, ours, rows, width, tie).nmse < CHANGE))
        return fprintf(stderr, "%s: the adapter changes nothing\n", argv[2]), 1;
    rc = report(argv[2], &m->hp, ours, rounded, theirs, rows, width, tie);
    fflush(stdout);
    _Exit(rc); /* llama.cpp's threads and static objects need no goodbye */
}
