/* lora_steps.c — some steps of LoRA training on a fixed batch, everything written down for tests/check/torch_lora.py to compute again.
 *
 *   lora_steps MODEL OUT [-n STEPS] [-r RANK]     trains; writes OUT/first and OUT/last (adapters as PEFT folders), OUT/grads.bin (the
 *                                                 gradients of all steps, F32, in the order of OUT/params.txt), one line "step loss" each
 *   lora_steps MODEL OUT -a ADAPTER               writes OUT/logits.bin, F32 [48, V], of ids (7 i² + 3) mod V with that adapter (none: without),
 *                                                 and OUT/merged.gguf (F32)
 *   lora_steps MODEL OUT -w RANK [-s 1] [-f LAYER] [-k BITS]
 *                                                 writes a random adapter (as for a trained one, but B not zero): OUT/adapter, a PEFT folder, and
 *                                                 OUT/adapter.gguf; -s: rsLoRA, -f: lowest layer, -k: kinds (model.h); alpha is 1.5 times the rank
 *
 * Ids of step s: (7 i² + 13 s i + 3) mod V in segments of 48 rows; each row predicts the next id. In odd steps all segments begin with the first 16
 * ids, which are computed once and pay no loss.  SPDX-License-Identifier: Apache-2.0 */
#include "train/train.h"

#include <stdio.h>
#include <string.h>

enum { SEGMENT = 48, N_SEGMENT = 3, ROWS = SEGMENT * N_SEGMENT, SHARED = KERN_PANEL };

static int32_t ID[ROWS + N_SEGMENT], ROW[ROWS], LABEL[ROWS];
static struct segment SEG[N_SEGMENT + 1];

static struct batch make_batch(int step, int n_vocab, struct targets *y)
{
    y->n = 0;
    y->row = ROW;
    y->label = LABEL;
    for (int i = 0; i < ROWS; i++) ID[i] = (int32_t)((7LL * i * i + 13LL * step * i + 3) % n_vocab);
    if (step % 2) {
        const int own = SEGMENT - SHARED;
        SEG[0] = (struct segment){ 0, SHARED, 0, NULL };
        for (int s = 0; s < N_SEGMENT; s++) {
            const int row = SHARED + s * own;
            memmove(ID + row, ID + s * SEGMENT + SHARED, (size_t)own * sizeof *ID);
            SEG[s + 1] = (struct segment){ row, own, SHARED, NULL };
            for (int i = row; i < row + own - 1; i++) {
                ROW[y->n] = i;
                LABEL[y->n++] = ID[i + 1];
            }
        }
        return (struct batch){ .n_row = SHARED + N_SEGMENT * own, .id = ID, .n_seg = N_SEGMENT + 1, .seg = SEG };
    }
    for (int i = 0; i < ROWS; i++) {
        if (i % SEGMENT == SEGMENT - 1) continue;
        ROW[y->n] = i;
        LABEL[y->n++] = ID[i + 1];
    }
    for (int s = 0; s < N_SEGMENT; s++) SEG[s] = (struct segment){ s * SEGMENT, SEGMENT, 0, NULL };
    return (struct batch){ .n_row = ROWS, .id = ID, .n_seg = N_SEGMENT, .seg = SEG };
}

static int save(const struct adapter *ad, const struct model *m, const char *out, const char *name, ilab_err *e)
{
    char *dir = path_join(out, name);
    const int rc = adapter_write_peft(ad, m, dir, e);
    mem_free(dir);
    return rc;
}

static FILE *file_in(const char *out, const char *name)
{
    char *path = path_join(out, name);
    FILE *f = fopen(path, "wb");
    mem_free(path);
    return f;
}

static int train(struct gemm_ctx *g, struct model *m, const char *out, int n_step, int rank, ilab_err *e)
{
    struct adapter *ad;
    struct tape *t;
    struct optim *o;
    struct param *p;
    struct optim_opts opts = OPTIM_OPTS_INIT;
    opts.clip_norm = 0;
    int rc = adapter_new(&ad, m, rank, 2.0f * (float)rank, ADAPT_DEFAULT, 0, 5, e);
    if (rc || (rc = tape_new(&t, g, m, ad, ROWS, ROWS, e)) || (rc = save(ad, m, out, "first", e))) return rc;
    struct plan_row row[16];
    size_t planned = 3 * ad->n_params * sizeof(float); /* weights and two moments; the gradients stand in the plan */
    for (int i = tape_plan(m, ad, ROWS, ROWS, row, ARRAY_LEN(row)); i--;) planned += row[i].bytes;
    fprintf(stderr, "planned %zu bytes beside the model's file; ", planned);
    const int n = tape_params(t, &p);
    if ((rc = optim_new(&o, g, p, n, &opts, e))) return rc;
    FILE *grads = file_in(out, "grads.bin"), *names = file_in(out, "params.txt");
    if (!grads || !names) return err_set(e, ILAB_E_IO, "cannot write in '%s'", out);
    for (int i = 0; i < n; i++) fprintf(names, "%s %zu\n", p[i].name, p[i].n);
    for (int s = 0; s < n_step && !rc; s++) {
        double loss = 0, weight = 0;
        struct targets y = { 0 };
        const struct batch b = make_batch(s, m->hp.n_vocab, &y);
        tape_zero_grad(t);
        rc = tape_step(t, &b, &y, &(struct loss_opts){ 0 }, 1.0f / (float)y.n, 1, &loss, &weight, e);
        tape_finish_grad(t);
        printf("%d %.9g\n", s, loss / weight);
        for (int i = 0; i < n; i++) fwrite(p[i].g, sizeof(float), p[i].n, grads);
        optim_step(o, opts.lr);
    }
    fclose(grads);
    fclose(names);
    if (!rc) rc = save(ad, m, out, "last", e);
    optim_free(o);
    tape_free(t);
    adapter_free(ad);
    return rc;
}

/* Logits of one segment, through the pass that training has. */
static int logits(struct gemm_ctx *g, struct model *m, const char *out, const char *path, ilab_err *e)
{
    struct adapter *ad = NULL;
    const struct hparams *hp = &m->hp;
    struct targets y;
    struct layer_acts a;
    struct arena mem;
    char *merged = path_join(out, "merged.gguf");
    int rc = strcmp(path, "none") ? adapter_open(&ad, path, m, e) : 0;
    if (!rc && ad) rc = model_write(m, ad, QT_F32, merged, NULL, NULL, e);
    mem_free(merged);
    if (rc || (rc = model_rope_reserve(m, SEGMENT, e))) return rc;
    struct batch b = make_batch(0, hp->n_vocab, &y);
    arena_init(&mem, SIZE_MAX);
    const struct attn_shape shape = layer_attn_shape(m, 0, QT_F32);
    void *page[SEGMENT / KERN_PANEL];
    for (int i = 0; i < SEGMENT / KERN_PANEL; i++) page[i] = arena_alloc(&mem, attn_page_bytes(&shape) * (size_t)hp->n_layer, 64);
    SEG[0].page = page;
    b.n_row = SEGMENT;
    b.n_seg = 1;
    layer_acts_plan_forward(&a, hp, SEGMENT, ad ? ad->rank : 0, &mem);
    float *norm = arena_alloc(&mem, sizeof(float) * SEGMENT * (size_t)hp->n_embd, 64), *z = arena_alloc(&mem, sizeof(float) * SEGMENT * (size_t)hp->n_vocab, 64), inv[SEGMENT];
    for (int i = 0; i < SEGMENT; i++) ROW[i] = i;
    embed_rows(gemm_kern(g), m, &b, 0, SEGMENT, a.x);
    for (int l = 0; l < hp->n_layer; l++) layer_forward(g, m, ad, l, l, &b, &a, a.x);
    output_logits(g, m, a.x, ROW, SEGMENT, norm, inv, z);
    FILE *f = file_in(out, "logits.bin");
    if (!f || fwrite(z, sizeof(float), (size_t)SEGMENT * (size_t)hp->n_vocab, f) != (size_t)SEGMENT * (size_t)hp->n_vocab) rc = err_set(e, ILAB_E_IO, "cannot write in '%s'", out);
    if (f) fclose(f);
    arena_release(&mem);
    adapter_free(ad);
    return rc;
}

static int random_adapter(struct model *m, const char *out, int rank, int rslora, int first_layer, unsigned which, ilab_err *e)
{
    struct adapter *ad;
    struct rng r;
    char *file = path_join(out, "adapter.gguf");
    int rc = adapter_new(&ad, m, rank, 1.5f * (float)rank, which, first_layer, 5, e);
    if (rc) return rc;
    if (rslora) adapter_set_rslora(ad);
    rng_seed(&r, 11);
    for (int i = 0; i < ad->n_layer * ADAPT_COUNT; i++) {
        const struct lora *l = &ad->lora[i];
        for (int64_t k = 0; l->on && k < (int64_t)l->n_matrix * l->n_out * l->rank; k++) l->b[k] = (float)(0.1 * rng_normal(&r));
    }
    rc = adapter_write(ad, m, file, e);
    if (!rc) rc = save(ad, m, out, "adapter", e);
    mem_free(file);
    adapter_free(ad);
    return rc;
}

int main(int argc, char **argv)
{
    enum { STEPS, RANK, RANDOM, RSLORA, FIRST, KINDS, N_OPT };
    static const struct { char letter; int64_t low, high; } OPT[N_OPT] = {
        { 'n', 1, 1000 }, { 'r', 1, 256 }, { 'w', 1, 256 }, { 's', 0, 1 }, { 'f', 0, 1000 }, { 'k', 1, (1 << ADAPT_COUNT) - 1 } };
    int64_t v[N_OPT] = { 20, 8, 0, 0, 0, ADAPT_DEFAULT };
    const char *adapter = NULL;
    ilab_err e = { 0 };
    if (argc < 3) return fprintf(stderr, "usage: lora_steps MODEL OUT [-n STEPS] [-r RANK] | -a ADAPTER | -w RANK [-s 1] [-f LAYER] [-k BITS]\n"), 2;
    for (int i = 3; i + 1 < argc; i += 2) {
        int k = 0;
        if (!strcmp(argv[i], "-a")) adapter = argv[i + 1];
        else while (k < N_OPT && (argv[i][0] != '-' || argv[i][1] != OPT[k].letter)) k++;
        if (k == N_OPT || (!adapter && parse_i64(argv[i + 1], OPT[k].low, OPT[k].high, &v[k]))) return 2;
    }
    struct pool *pool = pool_new(2);
    struct gemm_ctx *g = gemm_ctx_new(kern_get(cpu_detect()), pool);
    struct model *m;
    int rc = dir_make(argv[2], &e);
    if (!rc) rc = model_open(&m, argv[1], 0, g, &e);
    if (!rc && adapter) rc = logits(g, m, argv[2], adapter, &e);
    else if (!rc && v[RANDOM]) rc = random_adapter(m, argv[2], (int)v[RANDOM], (int)v[RSLORA], (int)v[FIRST], (unsigned)v[KINDS], &e);
    else if (!rc) rc = train(g, m, argv[2], (int)v[STEPS], (int)v[RANK], &e);
    if (rc) fprintf(stderr, "%s\n", e.msg);
    else if (!adapter && !v[RANDOM]) fprintf(stderr, "peak %zu with it\n", mem_peak_rss());
    gemm_ctx_free(g);
    pool_free(pool);
    return rc != 0;
}
