/* make_model.c — GGUF files of real shapes with random weights: something to measure speed with, and to compare
 * programs with, where no real model is at hand.
 *
 *   make_model SHAPE TYPE FILE.gguf [--layers N] [--context N] [--seed N] [--vocab FILE.gguf] [--threads N]
 *   make_model --list
 * SHAPE: a row of SHAPES (model_shapes.h). TYPE: any type that src/tensor can quantise, or a mix (Q4_K_M, Q5_K_M).
 * --vocab takes the tokenizer of that file instead of a made-up SentencePiece vocabulary with all byte tokens.
 *
 * Weights are normal with deviation 1/sqrt(fan-in), norms 1, biases 0 (small test shapes vary both a little).
 * A gigabyte of quantised weights takes seconds because quantising is done once per type and fan-in: a bank of 2^20
 * independent normal weights is quantised, and rows are put together from its blocks at random places. So blocks repeat,
 * every row differs, and the distribution of weights, scales and levels is that of quantised normal weights. One tensor
 * at a time is in memory. The same seed gives the same bytes for any number of threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model_shapes.h"

#include <math.h>
#include <string.h>

enum { BANK_ELEMS = 1 << 20, MAX_BANKS = 64, MAX_UNIT = 256, CHUNKS = 64 /* tasks a tensor */ };

/* Quantised random units, the smallest pieces that rows are made of. */
struct bank { int type, unit; int64_t fan_in; size_t unit_bytes; uint8_t *p; };

struct job { /* one tensor, while it waits for its turn */
    struct maker *m;
    const struct tensor_row *row;
    char name[128];
    int type, n_dim;
    int64_t dim[4];
};
struct maker {
    struct shape s;
    const struct arch_row *arch;
    const struct mix *mix;      /* NULL: one type */
    int type;
    uint64_t seed;
    struct pool *pool;
    struct bank bank[MAX_BANKS];
    int n_bank;
    struct job *job;
    size_t n_job, cap_job;
};

/* ---- names → rows ---- */

static const struct shape *shape_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(SHAPES); i++)
        if (!strcmp(SHAPES[i].name, name)) return &SHAPES[i];
    return NULL;
}

static const struct arch_row *arch_row_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(ARCHS); i++)
        if (!strcmp(ARCHS[i].name, name)) return &ARCHS[i];
    return NULL;
}

static int can_quantise(int type)
{
    const struct qtype_info *q = qtype_info(type);
    return q && q->quantize;
}

static int64_t dim_of(const struct shape *s, char letter)
{
    const int64_t d = s->head_dim, q = s->n_head * d, k = s->n_kv_head * d, x = s->expert_ff ? s->expert_ff : s->n_ff;
    const struct { char letter; int64_t n; } row[] = {
        { 'C', s->n_embd }, { 'V', s->n_vocab }, { 'T', s->n_ctx }, { 'Q', q }, { 'K', k }, { 'D', d }, { 'S', q + 2 * k }, { 'R', d / 2 },
        { 'F', s->n_ff }, { 'G', 2 * s->n_ff }, { 'E', s->n_expert }, { 'X', x }, { 'Y', s->shared_ff }, { '2', 2 },
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++)
        if (row[i].letter == letter) return row[i].n;
    return 0;
}

/* ---- types ---- */

static int more_bits(int layer, int n)
{
    return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
}

static int wanted_type(const struct maker *m, const char *what, int layer)
{
    const struct mix *x = m->mix;
    if (!x) return m->type;
    const int eight = m->s.n_expert == 8, more = more_bits(layer, m->s.n_layer);
    if (!strcmp(what, "output.weight") || (m->s.tied && !strcmp(what, "token_embd.weight"))) return x->output;
    if (!strcmp(what, "attn_v.weight")) return eight ? x->expert_kv : more ? x->more : x->base;
    if (!strcmp(what, "attn_k.weight")) return eight ? x->expert_kv : x->base;
    if (!strcmp(what, "attn_output.weight")) return eight ? x->expert_out : x->base;
    if (!strcmp(what, "attn_qkv.weight")) return x->fused;
    if (!strncmp(what, "ffn_down", 8)) return more ? x->more : x->base;
    return x->base;
}

/* The wanted type, or what takes its place where it cannot serve. -1: none can. */
static int usable_type(int type, int64_t row_elems)
{
    const struct qtype_info *q = qtype_info(type);
    if (q && row_elems % q->elems == 0) return can_quantise(type) ? type : -1;
    for (size_t i = 0; i < ARRAY_LEN(FALLBACKS); i++)
        if (FALLBACKS[i].type == type && (q = qtype_info(FALLBACKS[i].instead)) && row_elems % q->elems == 0 && q->quantize) return FALLBACKS[i].instead;
    return q && q->quantize ? QT_F16 : -1;
}

/* ---- filling ---- */

struct bank_work { struct bank *b; uint64_t seed; };

static void bank_task(void *ud, int i_task, int i_thread)
{
    (void)i_thread;
    const struct bank_work *w = ud;
    const struct bank *b = w->b;
    const int n_unit = BANK_ELEMS / b->unit, from = (int)((int64_t)n_unit * i_task / CHUNKS), to = (int)((int64_t)n_unit * (i_task + 1) / CHUNKS);
    const double deviation = 1 / sqrt((double)b->fan_in);
    struct rng r;
    float x[MAX_UNIT];
    rng_seed(&r, w->seed + (uint64_t)i_task);
    for (int i = from; i < to; i++) {
        for (int j = 0; j < b->unit; j++)
            x[j] = (float)(deviation * rng_normal(&r));
        qtype_info(b->type)->quantize(b->p + (size_t)i * b->unit_bytes, x, b->unit);
    }
}

static const struct bank *bank_for(struct maker *m, int type, int64_t fan_in, ilab_err *e)
{
    const struct qtype_info *q = qtype_info(type);
    int unit = MAX_UNIT;
    while (unit > q->elems && fan_in % unit)
        unit /= 2;
    for (int i = 0; i < m->n_bank; i++)
        if (m->bank[i].type == type && m->bank[i].fan_in == fan_in) return &m->bank[i];
    if (m->n_bank == MAX_BANKS) {
        err_set(e, ILAB_E_LIMIT, "more than %d kinds of rows", (int)MAX_BANKS);
        return NULL;
    }
    struct bank b = { .type = type, .unit = unit, .fan_in = fan_in, .unit_bytes = (size_t)(unit / q->elems) * (size_t)q->bytes };
    b.p = mem_aligned(b.unit_bytes * (size_t)(BANK_ELEMS / unit));
    if (!b.p) {
        err_set(e, ILAB_E_NOMEM, "no memory for random blocks");
        return NULL;
    }
    m->bank[m->n_bank] = b;
    struct bank_work w = { &m->bank[m->n_bank++], hash64(&type, sizeof type, m->seed) ^ hash64(&fan_in, sizeof fan_in, m->seed) };
    pool_run(m->pool, bank_task, &w, CHUNKS);
    return w.b;
}

struct fill_work { const struct job *j; const struct bank *b; uint8_t *out; };

static void fill_task(void *ud, int i_task, int i_thread)
{
    (void)i_thread;
    const struct fill_work *w = ud;
    const struct bank *b = w->b;
    const int64_t rows = w->j->dim[1] * w->j->dim[2], from = rows * i_task / CHUNKS, to = rows * (i_task + 1) / CHUNKS, n = w->j->dim[0] / b->unit;
    uint8_t *y = w->out + (size_t)(from * n) * b->unit_bytes;
    struct rng r;
    rng_seed(&r, hash64(w->j->name, strlen(w->j->name), w->j->m->seed) + (uint64_t)i_task);
    for (int64_t i = from * n; i < to * n; i++, y += b->unit_bytes)
        memcpy(y, b->p + (size_t)rng_below(&r, (uint32_t)(BANK_ELEMS / b->unit)) * b->unit_bytes, b->unit_bytes);
}

/* Vectors: norms around 1, biases around 0; rotary factors grow from 1 to 8, as Llama 3.1's do for slow pairs. */
static void fill_vector(const struct job *j, float *y)
{
    const double vary = j->m->s.vary ? 0.2 : 0, n = (double)j->dim[0];
    struct rng r;
    rng_seed(&r, hash64(j->name, strlen(j->name), j->m->seed));
    for (int64_t i = 0; i < j->dim[0]; i++)
        switch (j->row->fill) {
        case FILL_NORM: y[i] = (float)(1 + vary * rng_normal(&r)); break;
        case FILL_BIAS: y[i] = (float)(vary * rng_normal(&r)); break;
        case FILL_ONE: y[i] = (float)(1 + (j->m->s.vary ? 7 * fmax(0, 2 * (double)i / n - 1) : 0)); break;
        default: y[i] = (float)(rng_normal(&r) / sqrt(n));
        }
}

static int fill(void *ud, void *buf, size_t n_bytes, ilab_err *e)
{
    const struct job *j = ud;
    (void)n_bytes;
    if (j->n_dim == 1) {
        fill_vector(j, buf);
        return 0;
    }
    struct fill_work w = { j, bank_for(j->m, j->type, j->dim[0], e), buf };
    if (!w.b) return e->code;
    pool_run(j->m->pool, fill_task, &w, CHUNKS);
    return 0;
}

/* ---- what the file holds ---- */

static int plan_tensor(struct maker *m, const struct tensor_row *row, int layer, ilab_err *e)
{
    if (mem_grow((void **)&m->job, &m->cap_job, m->n_job + 1, sizeof *m->job)) return err_set(e, ILAB_E_NOMEM, "no memory");
    struct job *j = &m->job[m->n_job++];
    *j = (struct job){ .m = m, .row = row, .n_dim = (int)strlen(row->dims), .dim = { 1, 1, 1, 1 }, .type = QT_F32 };
    for (int i = 0; i < j->n_dim; i++)
        if (!(j->dim[i] = dim_of(&m->s, row->dims[i])))
            return err_set(e, ILAB_E_INVALID, "shape '%s' lacks the size '%c' of tensor '%s'", m->s.name, row->dims[i], row->name);
    if (layer < 0) snprintf(j->name, sizeof j->name, "%s", row->name);
    else snprintf(j->name, sizeof j->name, "blk.%d.%s", layer, row->name);
    if (j->n_dim == 1 || (row->flags & KEEP_F32)) return 0;
    const int want = wanted_type(m, row->name, layer);
    j->type = usable_type(want, j->dim[0]);
    if (j->type < 0) return err_set(e, ILAB_E_INVALID, "tensor '%s': element type %d cannot be written by this build", j->name, want);
    return 0;
}

static int plan(struct maker *m, ilab_err *e)
{
    int rc = 0;
    for (int g = 0; !rc && g < MAX_GROUPS && m->arch->root[g]; g++)
        for (const struct tensor_row *t = m->arch->root[g]; !rc && t->name && !(m->s.tied && t == OUTPUT); t++)
            rc = plan_tensor(m, t, -1, e);
    for (int l = 0; l < m->s.n_layer; l++)
        for (int g = 0; !rc && g < MAX_GROUPS && m->arch->block[g]; g++)
            for (const struct tensor_row *t = m->arch->block[g]; !rc && t->name; t++)
                rc = plan_tensor(m, t, l, e);
    return rc;
}

static void put_extra(struct gguf_writer *w, const char *arch, const struct extra *x)
{
    char key[160];
    for (int i = 0; i < MAX_EXTRA && x[i].key; i++) {
        const int whole = !strncmp(x[i].key, "tokenizer.", 10) || !strncmp(x[i].key, "general.", 8);
        snprintf(key, sizeof key, "%s%s%s", whole ? "" : arch, whole ? "" : ".", x[i].key);
        switch (x[i].kind) {
        case GGUF_F32: gguf_put_f32(w, key, (float)x[i].v); break;
        case GGUF_BOOL: gguf_put_bool(w, key, x[i].v != 0); break;
        case GGUF_STR: gguf_put_str(w, key, sv_of(x[i].text)); break;
        default: gguf_put_u32(w, key, (uint32_t)x[i].v);
        }
    }
}

static void put_hyperparameters(struct gguf_writer *w, const struct maker *m, const char *type)
{
    const struct shape *s = &m->s;
    const char *arch = m->arch->general ? m->arch->general : m->arch->name;
    const struct { const char *key; int v; } row[] = {
        { "context_length", s->n_ctx }, { "embedding_length", s->n_embd }, { "block_count", s->n_layer }, { "feed_forward_length", s->n_ff },
        { "attention.head_count", s->n_head }, { "attention.head_count_kv", s->n_kv_head }, { "attention.key_length", s->head_dim },
        { "attention.value_length", s->head_dim }, { "rope.dimension_count", s->rope_base > 0 ? s->head_dim : 0 }, { "vocab_size", s->n_vocab },
        { "expert_count", s->n_expert }, { "expert_used_count", s->n_used }, { "expert_feed_forward_length", s->expert_ff },
        { "expert_shared_feed_forward_length", s->shared_ff },
    };
    char key[160];
    gguf_put_str(w, "general.architecture", sv_of(arch));
    gguf_put_str(w, "general.name", sv_of(s->title));
    for (size_t i = 0; i < ARRAY_LEN(FILE_TYPES); i++)
        if (!strcmp(FILE_TYPES[i].name, type)) gguf_put_u32(w, "general.file_type", (uint32_t)FILE_TYPES[i].number);
    for (size_t i = 0; i < ARRAY_LEN(row); i++)
        if (row[i].v) {
            snprintf(key, sizeof key, "%s.%s", arch, row[i].key);
            gguf_put_u32(w, key, (uint32_t)row[i].v);
        }
    snprintf(key, sizeof key, "%s.%s", arch, m->arch->eps_key);
    gguf_put_f32(w, key, 1e-5f);
    if (s->rope_base > 0) {
        snprintf(key, sizeof key, "%s.rope.freq_base", arch);
        gguf_put_f32(w, key, s->rope_base);
    }
    put_extra(w, arch, m->arch->extra);
    put_extra(w, arch, s->extra);
}

/* ---- vocabulary ---- */

enum { N_SPECIAL = 3, N_BYTE = 256, TOKEN_BYTES = 24 };
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_BYTE = 6 }; /* llama.cpp: enum llama_token_type */

/* Piece number i: letters, a word mark in front of every other one; longer with i, no two alike. */
static void make_piece(char *out, int i)
{
    char letters[12];
    int n = 0, k = i / 2;
    do {
        letters[n++] = (char)('a' + k % 26);
        k = k / 26 - 1;
    } while (k >= 0);
    letters[n] = 0;
    snprintf(out, TOKEN_BYTES, "%s%s", i % 2 ? "" : "\xe2\x96\x81" /* U+2581 */, letters);
}

static int put_vocabulary(struct gguf_writer *w, int n_vocab, ilab_err *e)
{
    static const char *const SPECIAL[N_SPECIAL] = { "<unk>", "<s>", "</s>" };
    if (n_vocab < N_SPECIAL + N_BYTE) return err_set(e, ILAB_E_INVALID, "a vocabulary needs at least %d entries", N_SPECIAL + N_BYTE);
    const size_t n = (size_t)n_vocab;
    char (*text)[TOKEN_BYTES] = mem_calloc(n, sizeof *text);
    struct sv *piece = mem_calloc(n, sizeof *piece);
    float *score = mem_calloc(n, sizeof *score);
    int32_t *type = mem_calloc(n, sizeof *type);
    int rc = text && piece && score && type ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for the vocabulary");
    for (int i = 0; !rc && i < n_vocab; i++) {
        if (i < N_SPECIAL) snprintf(text[i], TOKEN_BYTES, "%s", SPECIAL[i]);
        else if (i < N_SPECIAL + N_BYTE) snprintf(text[i], TOKEN_BYTES, "<0x%02X>", (unsigned)(i - N_SPECIAL));
        else make_piece(text[i], i - N_SPECIAL - N_BYTE);
        piece[i] = sv_of(text[i]);
        type[i] = i == 0 ? TYPE_UNKNOWN : i < N_SPECIAL ? TYPE_CONTROL : i < N_SPECIAL + N_BYTE ? TYPE_BYTE : TYPE_NORMAL;
        score[i] = i < N_SPECIAL + N_BYTE ? 0.0f : (float)-(i - N_SPECIAL - N_BYTE);
    }
    if (!rc) {
        gguf_put_str(w, "tokenizer.ggml.model", SV("llama"));
        gguf_put_str(w, "tokenizer.ggml.pre", SV("default"));
        gguf_put_str_array(w, "tokenizer.ggml.tokens", piece, n);
        gguf_put_f32_array(w, "tokenizer.ggml.scores", score, n);
        gguf_put_i32_array(w, "tokenizer.ggml.token_type", type, n);
        gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 0);
        gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1);
        gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 2);
        gguf_put_bool(w, "tokenizer.ggml.add_bos_token", 1);
    }
    mem_free(text);
    mem_free(piece);
    mem_free(score);
    mem_free(type);
    return rc;
}

/* The tokenizer of another file; its size becomes the shape's. */
static int copy_vocabulary(struct gguf_writer *w, const struct gguf *g, const char *path, int *n_vocab, ilab_err *e)
{
    const struct gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    if (!tokens || tokens->kind != GGUF_ARR) return err_set(e, ILAB_E_FORMAT, "'%s' has no vocabulary (tokenizer.ggml.tokens)", path);
    *n_vocab = (int)tokens->arr.n;
    for (int i = 0; i < gguf_n_kv(g); i++)
        if (sv_starts(gguf_kv_at(g, i)->key, "tokenizer.")) gguf_put_kv(w, gguf_kv_at(g, i));
    return 0;
}

/* ---- the program ---- */

static void list(void)
{
    printf("shapes:\n");
    for (size_t i = 0; i < ARRAY_LEN(SHAPES); i++)
        printf("  %-14s %-12s %2d layers, width %4d, %2d/%d heads, feed-forward %5d, vocabulary %5d%s\n", SHAPES[i].name, SHAPES[i].arch,
               SHAPES[i].n_layer, SHAPES[i].n_embd, SHAPES[i].n_head, SHAPES[i].n_kv_head, SHAPES[i].n_ff, SHAPES[i].n_vocab,
               SHAPES[i].n_expert ? ", experts" : "");
    printf("types:");
    for (int t = 0; t < QT_COUNT; t++)
        if (can_quantise(t)) printf(" %s", qtype_info(t)->name);
    for (size_t i = 0; i < ARRAY_LEN(MIXES); i++)
        printf(" %s", MIXES[i].name);
    printf("\n");
}

static int make(struct maker *m, const char *type, const char *vocab, const char *path, ilab_err *e)
{
    struct gguf_writer *w = gguf_writer_new();
    struct gguf *g = NULL;
    int rc = 0;
    if (vocab) {
        rc = gguf_open(&g, vocab, e);
        if (!rc) rc = copy_vocabulary(w, g, vocab, &m->s.n_vocab, e);
    } else {
        rc = put_vocabulary(w, m->s.n_vocab, e);
    }
    if (!rc) {
        put_hyperparameters(w, m, type);
        rc = plan(m, e);
    }
    for (size_t i = 0; !rc && i < m->n_job; i++) {
        struct job *j = &m->job[i];
        rc = gguf_add_tensor(w, j->name, j->type, j->n_dim, j->dim, NULL, fill, j, e);
    }
    if (!rc) rc = gguf_write(w, path, e);
    if (!rc) printf("%s: %zu tensors, %.3f GB\n", path, m->n_job, (double)gguf_writer_bytes(w) / 1e9);
    gguf_writer_free(w);
    gguf_close(g);
    return rc;
}

static int usage(void)
{
    fprintf(stderr, "usage: make_model SHAPE TYPE FILE.gguf [--layers N] [--context N] [--seed N] [--vocab FILE.gguf] [--threads N]\n"
                    "       make_model --list\n");
    return 2;
}

int main(int argc, char **argv)
{
    ilab_err e = { 0 };
    struct maker m = { .seed = 1 };
    const char *vocab = NULL;
    int64_t layers = 0, context = 0, seed = 1, threads = 0;
    const struct { const char *name; int64_t *v, lo, hi; } option[] = {
        { "--layers", &layers, 1, 1024 }, { "--context", &context, 1, 1 << 24 }, { "--seed", &seed, 0, INT64_MAX }, { "--threads", &threads, 1, 256 } };
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        list();
        return 0;
    }
    if (argc < 4) return usage();
    for (int i = 4; i < argc; i += 2) {
        size_t k = 0;
        while (k < ARRAY_LEN(option) && strcmp(argv[i], option[k].name) != 0)
            k++;
        if (i + 1 == argc) return usage();
        if (!strcmp(argv[i], "--vocab")) vocab = argv[i + 1];
        else if (k == ARRAY_LEN(option) || parse_i64(argv[i + 1], option[k].lo, option[k].hi, option[k].v)) return usage();
    }
    const struct shape *s = shape_named(argv[1]);
    if (!s) {
        fprintf(stderr, "make_model: unknown shape '%s' (see --list)\n", argv[1]);
        return 2;
    }
    m.s = *s;
    m.arch = arch_row_named(s->arch);
    m.s.head_dim = s->head_dim ? s->head_dim : s->n_embd / s->n_head;
    m.s.n_layer = layers ? (int)layers : s->n_layer;
    m.s.n_ctx = context ? (int)context : s->n_ctx;
    m.seed = (uint64_t)seed;
    for (size_t i = 0; i < ARRAY_LEN(MIXES); i++)
        if (!strcmp(MIXES[i].name, argv[2])) m.mix = &MIXES[i];
    m.type = m.mix ? m.mix->base : qtype_by_name(argv[2]);
    if (m.type < 0 || !m.arch) {
        fprintf(stderr, "make_model: unknown type '%s' (see --list)\n", argv[2]);
        return 2;
    }
    m.pool = pool_new((int)threads);
    int rc = m.pool ? make(&m, argv[2], vocab, argv[3], &e) : err_set(&e, ILAB_E_NOMEM, "no memory");
    if (rc) fprintf(stderr, "make_model: %s\n", e.msg);
    for (int i = 0; i < m.n_bank; i++)
        mem_free(m.bank[i].p);
    mem_free(m.job);
    pool_free(m.pool);
    return rc ? 1 : 0;
}
