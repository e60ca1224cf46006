/* scratch.c — a model from nothing: configuration, vocabulary, encoded data, run, files.
 *
 * Steps: (1) a byte-level BPE vocabulary from a sample of the data, kept as out/tokenizer.gguf; (2) the data encoded into out/data.bin;
 * (3) training of all weights, every checkpoint with out/latest.gguf beside it; (4) the finished model in `output`.
 * Each step is skipped when its file is there, so the same command goes on after a stop; with more `tokens`, another rate or other
 * data it continues the run (a WSD schedule that had begun to decay goes back to out/checkpoint-stable.bin first).
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

#include <string.h>

enum { CONFIG_MAX_BYTES = 1 << 20, LIST_MAX = 64 };
#define SAMPLE_BYTES ((size_t)40 << 20)
struct list { const char *v[LIST_MAX]; int n; };
struct config {
    const char *name, *pre, *chat_template, *validation, *schedule, *out, *output, *output_type;
    int64_t n_embd, n_layer, n_head, n_kv_head, head_dim, n_ff, n_ctx, vocab_size, seed, tokens, batch_tokens, micro_tokens, warmup_steps,
            validation_steps, validation_tokens, tied;
    double rope_base, norm_eps, lr, decay_share, final_share, weight_decay, beta2, clip_norm, checkpoint_minutes;
    struct list special_tokens, data;
};

enum key_kind { KEY_STR, KEY_INT, KEY_NUM, KEY_BOOL, KEY_LIST };
struct key { const char *name; enum key_kind kind; size_t at; int required; double lo, hi; };
#define AT(f) offsetof(struct config, f)
static const struct key KEYS[] = {
    { "name", KEY_STR, AT(name), 1, 0, 0 },
    { "n_embd", KEY_INT, AT(n_embd), 1, 8, 16384 },
    { "n_layer", KEY_INT, AT(n_layer), 1, 1, 256 },
    { "n_head", KEY_INT, AT(n_head), 1, 1, 256 },
    { "n_kv_head", KEY_INT, AT(n_kv_head), 0, 1, 256 },
    { "head_dim", KEY_INT, AT(head_dim), 0, 2, 512 },
    { "n_ff", KEY_INT, AT(n_ff), 1, 8, 65536 },
    { "n_ctx", KEY_INT, AT(n_ctx), 1, 8, 131072 },
    { "tied", KEY_BOOL, AT(tied), 0, 0, 1 },
    { "rope_base", KEY_NUM, AT(rope_base), 0, 1, 1e9 },
    { "norm_eps", KEY_NUM, AT(norm_eps), 0, 1e-12, 1e-1 },
    { "vocab_size", KEY_INT, AT(vocab_size), 1, 257, 1 << 20 },
    { "special_tokens", KEY_LIST, AT(special_tokens), 1, 0, 0 },
    { "pre", KEY_STR, AT(pre), 0, 0, 0 },
    { "chat_template", KEY_STR, AT(chat_template), 0, 0, 0 },
    { "seed", KEY_INT, AT(seed), 0, 0, 9e15 },
    { "data", KEY_LIST, AT(data), 1, 0, 0 },
    { "validation", KEY_STR, AT(validation), 0, 0, 0 },
    { "validation_steps", KEY_INT, AT(validation_steps), 0, 0, 1e12 },
    { "validation_tokens", KEY_INT, AT(validation_tokens), 0, 1, 1e12 },
    { "tokens", KEY_INT, AT(tokens), 1, 1, 1e15 },
    { "batch_tokens", KEY_INT, AT(batch_tokens), 0, 1, 1 << 28 },
    { "micro_tokens", KEY_INT, AT(micro_tokens), 0, 1, 1 << 24 },
    { "lr", KEY_NUM, AT(lr), 1, 0, 10 },
    { "warmup_steps", KEY_INT, AT(warmup_steps), 0, 0, 1e12 },
    { "schedule", KEY_STR, AT(schedule), 0, 0, 0 },
    { "decay_share", KEY_NUM, AT(decay_share), 0, 0, 1 },
    { "final_share", KEY_NUM, AT(final_share), 0, 0, 1 },
    { "weight_decay", KEY_NUM, AT(weight_decay), 0, 0, 10 },
    { "beta2", KEY_NUM, AT(beta2), 0, 0, 0.99999 },
    { "clip_norm", KEY_NUM, AT(clip_norm), 0, 0, 1e9 },
    { "checkpoint_minutes", KEY_NUM, AT(checkpoint_minutes), 0, 0.001, 1e6 },
    { "out", KEY_STR, AT(out), 1, 0, 0 },
    { "output", KEY_STR, AT(output), 0, 0, 0 },
    { "output_type", KEY_STR, AT(output_type), 0, 0, 0 },
};
static const char *const SCHEDULES[] = { [SCHEDULE_CONSTANT] = "constant", [SCHEDULE_LINEAR] = "linear", [SCHEDULE_COSINE] = "cosine",
                                         [SCHEDULE_WSD] = "wsd" };

struct scratch {
    struct config c;
    const char *path;
    struct arena mem;
    struct tokenizer *t;
    struct model *m;
    struct scratch_data data;
    struct dataset val;
    char *tokenizer_path, *bin_path, *latest_path;
};

/* ---- configuration ---- */

static int key_number(const struct key *k, struct sv text, double *out, int64_t *whole) {
    char buf[64];
    size_t n = 0;
    for (size_t i = 0; i < text.n && n + 1 < sizeof buf; i++)
        if (text.p[i] != '_')                  /* YAML 1.1: 40_000_000 */
            buf[n++] = text.p[i];
    buf[n] = 0;
    if (k->kind == KEY_NUM)
        return parse_f64(buf, k->lo, k->hi, out);
    if (!parse_i64(buf, (int64_t)k->lo, (int64_t)k->hi, whole))
        return 0;
    if (parse_f64(buf, k->lo, k->hi, out) || *out != (double)(int64_t)*out)  /* 4e7 */
        return ILAB_E_INVALID;
    *whole = (int64_t)*out;
    return 0;
}

static int key_set(struct scratch *s, const struct key *k, const struct yaml_node *v, ilab_err *e) {
    void *to = (char *)&s->c + k->at;
    double number = 0;
    int64_t whole = 0;
    int scalar = v->kind != YAML_SEQ && v->kind != YAML_MAP && v->kind != YAML_NULL;
    switch (k->kind) {
    case KEY_STR:
        if (!scalar || !v->text.n)
            break;
        *(const char **)to = arena_strndup(&s->mem, v->text.p, v->text.n);
        return *(const char **)to ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for the configuration");
    case KEY_INT:
        if (!scalar || key_number(k, v->text, &number, &whole))
            break;
        *(int64_t *)to = whole;
        return 0;
    case KEY_NUM:
        if (!scalar || key_number(k, v->text, &number, &whole))
            break;
        *(double *)to = number;
        return 0;
    case KEY_BOOL:
        if (v->kind != YAML_BOOL || !v->text.n)
            break;
        *(int64_t *)to = v->text.p[0] == 'y' || v->text.p[0] == 'Y' || v->text.p[0] == 't' || v->text.p[0] == 'T' ||
                         (v->text.n == 2 && (v->text.p[0] == 'o' || v->text.p[0] == 'O'));
        return 0;
    case KEY_LIST: {
        struct list *l = to;
        int n = v->kind == YAML_SEQ ? v->n : 1;
        if ((v->kind != YAML_SEQ && !scalar) || n < 1 || n > LIST_MAX)
            break;
        for (int i = 0; i < n; i++) {
            const struct yaml_node *item = v->kind == YAML_SEQ ? v->item[i] : v;
            if (item->kind == YAML_SEQ || item->kind == YAML_MAP || !item->text.n)
                return err_set(e, ILAB_E_FORMAT, "%s:%d:%d: '%s' must be a list of names", s->path, item->line, item->col, k->name);
            if (!(l->v[l->n++] = arena_strndup(&s->mem, item->text.p, item->text.n)))
                return err_set(e, ILAB_E_NOMEM, "no memory for the configuration");
        }
        return 0;
    }
    }
    if (k->kind == KEY_INT || k->kind == KEY_NUM)
        return err_set(e, ILAB_E_FORMAT, "%s:%d:%d: '%s' must be a%s number from %.10g to %.10g", s->path, v->line, v->col, k->name,
                       k->kind == KEY_INT ? " whole" : "", k->lo, k->hi);
    return err_set(e, ILAB_E_FORMAT, "%s:%d:%d: '%s' must be %s", s->path, v->line, v->col, k->name,
                   k->kind == KEY_STR ? "a string" : k->kind == KEY_BOOL ? "true or false" : "a list of 1 to 64 strings");
}

static int read_config(struct scratch *s, ilab_err *e) {
    struct config *c = &s->c;
    const char *names[ARRAY_LEN(KEYS)];
    struct yaml_node *root;
    char *text = NULL;
    size_t n = 0;
    *c = (struct config){ .pre = "smollm", .chat_template = "granite", .schedule = "wsd", .output_type = "F16", .tied = 1, .seed = 1,
                          .batch_tokens = 16384, .micro_tokens = 2048, .warmup_steps = 100, .validation_tokens = 100000, .rope_base = 10000,
                          .norm_eps = 1e-5, .decay_share = 0.2, .weight_decay = 0.1, .beta2 = 0.95, .clip_norm = 1, .checkpoint_minutes = 10 };
    arena_init(&s->mem, 64 << 20);
    int rc = file_read(s->path, CONFIG_MAX_BYTES, &text, &n, e);
    if (!rc)
        rc = yaml_parse((struct sv){ text, n }, s->path, &s->mem, &root, e);
    if (!rc && root->kind != YAML_MAP)
        rc = err_set(e, ILAB_E_FORMAT, "%s:1:1: the configuration must be a mapping", s->path);
    for (size_t i = 0; i < ARRAY_LEN(KEYS); i++)
        names[i] = KEYS[i].name;
    for (int i = 0; !rc && i < root->n; i++) {
        const struct yaml_node *key = root->key[i];
        const struct key *k = NULL;
        for (size_t j = 0; j < ARRAY_LEN(KEYS); j++)
            if (sv_eq_c(key->text, KEYS[j].name))
                k = &KEYS[j];
        if (k) {
            rc = key_set(s, k, root->item[i], e);
            continue;
        }
        char word[64];
        snprintf(word, sizeof word, "%.*s", SV_ARG(key->text));
        int near = nearest_name(word, names, ARRAY_LEN(names));
        rc = err_set(e, ILAB_E_FORMAT, "%s:%d:%d: unknown key '%s'%s%s%s", s->path, key->line, key->col, word, near >= 0 ? "; did you mean '" : "",
                     near >= 0 ? names[near] : "", near >= 0 ? "'?" : "");
    }
    for (size_t i = 0; !rc && i < ARRAY_LEN(KEYS); i++)
        if (KEYS[i].required && !yaml_get(root, KEYS[i].name))
            rc = err_set(e, ILAB_E_FORMAT, "%s: '%s' is missing", s->path, KEYS[i].name);
    mem_free(text);
    if (rc)
        return rc;
    c->n_kv_head = c->n_kv_head ? c->n_kv_head : c->n_head;
    c->head_dim = c->head_dim ? c->head_dim : c->n_embd / c->n_head;
    if (c->n_head % c->n_kv_head || c->head_dim < 2 || c->head_dim % 2)
        return err_set(e, ILAB_E_FORMAT, "%s: n_head must be a multiple of n_kv_head, and head_dim even", s->path);
    if (qtype_by_name(c->output_type) < 0)
        return err_set(e, ILAB_E_FORMAT, "%s: output_type '%s' is no tensor type", s->path, c->output_type);
    if (!chat_template_named(c->chat_template))
        return err_set(e, ILAB_E_FORMAT, "%s: no chat template '%s' is known", s->path, c->chat_template);
    return 0;
}

static int find_schedule(const struct scratch *s, enum schedule *out, ilab_err *e) {
    for (size_t i = 0; i < ARRAY_LEN(SCHEDULES); i++)
        if (strcmp(SCHEDULES[i], s->c.schedule) == 0) {
            *out = (enum schedule)i;
            return 0;
        }
    return err_set(e, ILAB_E_FORMAT, "%s: schedule '%s' is none of constant, linear, cosine, wsd", s->path, s->c.schedule);
}

/* ---- vocabulary, data, model ---- */

static int open_tokenizer(struct scratch *s, ilab_err *e) {
    struct gguf *g = NULL;
    int rc = gguf_open(&g, s->tokenizer_path, e);
    if (!rc)
        rc = tokenizer_from_gguf(&s->t, g, e);
    gguf_close(g);
    return rc;
}

static int make_tokenizer(struct scratch *s, ilab_err *e) {
    const struct config *c = &s->c;
    char *text = NULL;
    size_t n = 0;
    struct tokenizer *t = NULL;
    if (file_exists(s->tokenizer_path) == 1) {
        log_info("using the vocabulary in '%s'", s->tokenizer_path);
        return open_tokenizer(s, e);
    }
    int rc = scratch_sample_text(c->data.v, c->data.n, SAMPLE_BYTES, c->special_tokens.v, c->special_tokens.n, &text, &n, e);
    if (rc)
        return rc;
    double begin = now_seconds();
    rc = bpe_train(&t, (struct sv){ text, n }, (int)c->vocab_size, c->special_tokens.v, c->special_tokens.n, c->pre, e);
    mem_free(text);
    if (rc)
        return rc;
    log_info("vocabulary of %d tokens from %.1f MB of text in %.1f s", tokenizer_size(t), (double)n * 1e-6, now_seconds() - begin);
    tokenizer_set_chat_template(t, chat_template_jinja(chat_template_named(c->chat_template)));
    struct gguf_writer *w = gguf_writer_new();
    if (w) {
        gguf_put_str(w, "general.architecture", SV("llama"));
        gguf_put_str(w, "general.name", sv_of(c->name));
        (void)tokenizer_to_gguf(t, w, e);
        rc = gguf_write(w, s->tokenizer_path, e);
    } else {
        rc = err_set(e, ILAB_E_NOMEM, "no memory for the vocabulary");
    }
    gguf_writer_free(w);
    tokenizer_free(t);
    return rc ? rc : open_tokenizer(s, e);
}

static int open_data(struct scratch *s, struct pool *pool, int quiet, ilab_err *e) {
    const struct config *c = &s->c;
    struct sha256 sha;
    char hex[65];
    int rc = 0;
    sha256_init(&sha);
    for (int i = 0; i <= c->data.n && !rc; i++) {
        rc = sha256_file(i < c->data.n ? c->data.v[i] : s->tokenizer_path, hex, e);
        if (!rc)
            sha256_add(&sha, hex, 64);
    }
    if (rc)
        return rc;
    int64_t n_ctx = c->n_ctx;
    sha256_add(&sha, &n_ctx, sizeof n_ctx);
    sha256_hex(&sha, hex);
    rc = scratch_data_open(&s->data, c->data.v, c->data.n, s->bin_path, hex, s->t, (int)c->n_ctx, pool, quiet, e);
    if (rc || !c->validation)
        return rc;
    rc = dataset_read_jsonl(&s->val, c->validation, s->t, (int)c->n_ctx, NULL, e);
    size_t n_tokens = 0, n = 0;
    while (!rc && n < s->val.n && n_tokens < (size_t)c->validation_tokens)
        n_tokens += (size_t)s->val.v[n++].n;
    if (!rc)
        s->val.n = n;
    return rc;
}

static int make_model(struct scratch *s, ilab_err *e) {
    const struct config *c = &s->c;
    struct hparams hp = { .n_layer = (int)c->n_layer, .n_embd = (int)c->n_embd, .n_head = (int)c->n_head, .n_kv_head = (int)c->n_kv_head,
                          .head_dim = (int)c->head_dim, .n_ff = (int)c->n_ff, .n_vocab = tokenizer_size(s->t), .n_ctx = (int)c->n_ctx,
                          .rope_dim = (int)c->head_dim, .norm_eps = (float)c->norm_eps, .rope_base = (float)c->rope_base, .tied = (int)c->tied };
    int rc = model_new(&s->m, &hp, (uint64_t)c->seed, e);
    if (!rc)
        snprintf(s->m->name, sizeof s->m->name, "%s", c->name);
    return rc;
}

static void more_keys(void *ud, struct gguf_writer *w) {
    (void)tokenizer_to_gguf(((struct scratch *)ud)->t, w, NULL);
}

static int write_latest(void *ud, ilab_err *e) {
    struct scratch *s = ud;
    return model_write(s->m, NULL, QT_F16, s->latest_path, more_keys, s, e);
}

/* ---- the run ---- */

static void put_settings(struct sb *b, const struct config *c, int n_vocab) {
    sb_addf(b, "model.name=%s\nmodel.n_embd=%lld\nmodel.n_layer=%lld\nmodel.n_head=%lld\nmodel.n_kv_head=%lld\nmodel.head_dim=%lld\n"
            "model.n_ff=%lld\nmodel.n_vocab=%d\nmodel.tied=%lld\nmodel.rope_base=%.9g\nmodel.norm_eps=%.9g\n", c->name, (long long)c->n_embd,
            (long long)c->n_layer, (long long)c->n_head, (long long)c->n_kv_head, (long long)c->head_dim, (long long)c->n_ff, n_vocab,
            (long long)c->tied, c->rope_base, c->norm_eps);
    sb_addf(b, "n_ctx=%lld\nseed=%lld\ntokens=%lld\nbatch_tokens=%lld\nlr=%.9g\nwarmup_steps=%lld\nschedule=%s\ndecay_share=%.9g\nfinal_share=%.9g\n"
            "weight_decay=%.9g\nbeta2=%.9g\nclip_norm=%.9g\n", (long long)c->n_ctx, (long long)c->seed, (long long)c->tokens,
            (long long)c->batch_tokens, c->lr, (long long)c->warmup_steps, c->schedule, c->decay_share, c->final_share, c->weight_decay,
            c->beta2, c->clip_norm);
    for (int i = 0; i < c->data.n; i++)
        sb_addf(b, "data.%d=%s\n", i, c->data.v[i]);
}

static int run_scratch(struct scratch *s, struct gemm_ctx *g, const struct scratch_opts *o, struct train_report *rep, ilab_err *e) {
    const struct config *c = &s->c;
    struct train_opts t = train_opts_default();
    struct sb settings;
    int rc = find_schedule(s, &t.schedule.kind, e);
    if (rc)
        return rc;
    t.full = 1;
    t.share = SHARE_OFF;
    t.batch_tokens = (int)c->batch_tokens;
    t.micro_tokens = (int)c->micro_tokens;
    t.max_sample_tokens = (int)c->n_ctx;
    t.optim = (struct optim_opts){ .lr = (float)c->lr, .beta1 = 0.9f, .beta2 = (float)c->beta2, .eps = 1e-8f,
                                   .weight_decay = (float)c->weight_decay, .clip_norm = (float)c->clip_norm };
    t.schedule.warmup_steps = c->warmup_steps;
    t.schedule.final_share = (float)c->final_share;
    t.schedule.decay_share = (float)c->decay_share;
    t.seed = (uint64_t)c->seed;
    t.checkpoint_seconds = c->checkpoint_minutes * 60;
    t.val_steps = c->validation_steps;
    t.out_dir = c->out;
    t.resume = !o->fresh;
    t.quiet = o->quiet;
    sb_init(&settings, 1 << 18);
    put_settings(&settings, c, s->m->hp.n_vocab);
    struct run r = { .g = g, .m = s->m, .d = &s->data.d, .val = s->val.n ? &s->val : NULL, .o = &t, .settings = settings.p,
                     .data_hash = dataset_hash(&s->data.d), .token_goal = c->tokens, .on_checkpoint = write_latest, .ud = s };
    log_info("'%s': %.2f million parameters, %.1f million tokens of data, %.1f million to train", c->name, (double)s->m->n_params * 1e-6,
             (double)s->data.d.n_tokens * 1e-6, (double)c->tokens * 1e-6);
    rc = settings.failed ? err_set(e, ILAB_E_NOMEM, "no memory for a training run") : run_steps(&r, rep, e);
    if (!rc)
        rc = run_write_manifest(&r, rep, e);
    if (!rc && c->output)
        rc = model_write(s->m, NULL, qtype_by_name(c->output_type), c->output, more_keys, s, e);
    sb_release(&settings);
    return rc;
}

int train_from_scratch(struct gemm_ctx *g, const struct scratch_opts *o, struct train_report *r, ilab_err *e) {
    struct scratch s = { .path = o->config };
    struct train_report own;
    r = r ? r : &own;
    *r = (struct train_report){ 0 };
    int rc = read_config(&s, e);
    if (!rc)
        rc = dir_make(s.c.out, e);
    if (!rc) {
        s.tokenizer_path = path_join(s.c.out, "tokenizer.gguf");
        s.bin_path = path_join(s.c.out, "data.bin");
        s.latest_path = path_join(s.c.out, "latest.gguf");
        if (!s.tokenizer_path || !s.bin_path || !s.latest_path)
            rc = err_set(e, ILAB_E_NOMEM, "no memory for paths");
    }
    if (!rc)
        rc = make_tokenizer(&s, e);
    if (!rc)
        rc = open_data(&s, gemm_pool(g), o->quiet, e);
    if (!rc)
        rc = make_model(&s, e);
    if (!rc)
        rc = run_scratch(&s, g, o, r, e);
    model_free(s.m);
    tokenizer_free(s.t);
    scratch_data_close(&s.data);
    dataset_release(&s.val);
    mem_free(s.tokenizer_path);
    mem_free(s.bin_path);
    mem_free(s.latest_path);
    arena_release(&s.mem);
    return rc;
}
